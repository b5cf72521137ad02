/* pipeline_rows.c - rows events into records. See reader.h. */
#include <inttypes.h>
#include <stdlib.h>

#include "log.h"
#include "reader.h"

#define CELLS_FIRST 256

static int room_for_cells(struct tr_reader *reader, uint32_t columns, struct tr_error *err)
{
    if (columns <= reader->cell_capacity)
        return 0;
    uint32_t capacity = columns < CELLS_FIRST ? CELLS_FIRST : columns;
    struct tr_cell *before = calloc(capacity, sizeof(*before));
    struct tr_cell *after = calloc(capacity, sizeof(*after));
    if (before == NULL || after == NULL) {
        free(before);
        free(after);
        return tr_error_set(err, TR_ENOMEM, "no memory for %u columns", columns);
    }
    free(reader->before);
    free(reader->after);
    reader->before = before;
    reader->after = after;
    reader->cell_capacity = capacity;
    return 0;
}

/* A statement gave the table another key: old rows lie under the old one in topics and stores. */
static int mark_key_change(struct tr_reader *reader, struct tr_schema_table *table, int64_t version,
                           struct tr_error *err)
{
    const struct tr_shape *shape = table->shape;
    table->key_changed = false;
    if (reader->needs == NULL)
        return 0;
    tr_log(TR_LOG_WARN, "schema", "the key columns have changed: table needs a snapshot",
           TR_STR("topic", shape->topic), TR_INT("schema_id", shape->schema_id), TR_END);
    return tr_needs_add(reader->needs, shape->database, shape->table, version,
                        TR_SLICE("its key columns have changed"), err);
}

int tr_reader_table_map(struct tr_reader *reader, const struct tr_binlog_event *ev,
                        struct tr_error *err)
{
    struct tr_schema_table *table = NULL;
    int64_t version = tr_place_version(&reader->place, reader->place.offset, 0);
    int rc = tr_schema_map(reader->schema, ev, version, &table, err);
    if (rc != 0 || table == NULL)
        return rc;
    if (table->looked_at && reader->needs != NULL)
        tr_needs_looked(reader->needs, table->table->database, table->table->table, version);
    table->looked_at = false;
    /* Also of a table that is skipped from here on, since it has no key any more. */
    if (table->key_changed)
        rc = mark_key_change(reader, table, version, err);
    if (rc != 0 || table->encoder == NULL)
        return rc;
    if (table->is_new && reader->topics != NULL)
        rc = tr_batch_add_shape(reader->batch, table->shape, err);
    if (rc != 0)
        return rc;
    table->is_new = false;
    if (reader->topics != NULL && table->topic_index == 0) {
        /* One more than the number, so that 0 means not asked for yet. */
        rc = tr_topics_number(reader->topics, table->shape->topic, &table->topic_index, err);
        table->topic_index++;
    }
    return rc != 0 ? rc : room_for_cells(reader, table->table->column_count, err);
}

/* What all rows of one event share. */
struct rows_state {
    struct tr_reader *reader;
    struct tr_schema_table *table;
    struct tr_binlog_rows rows;
    struct tr_encode_header header;
    uint64_t start;  /* of the event in the file */
    int64_t invalid; /* values that went out by the `invalid` rule */
};

static int64_t version_of(const struct rows_state *state, uint64_t end_inside)
{
    return tr_place_version(&state->reader->place, state->start, end_inside);
}

/* Appends key (Kafka only) and event of one image. */
static int add_row(struct rows_state *state, enum tr_event_type type, int64_t version,
                   const struct tr_cell *data, const struct tr_cell *before, struct tr_error *err)
{
    struct tr_reader *reader = state->reader;
    struct tr_batch *batch = reader->batch;
    struct tr_record *rec = tr_batch_add(batch, err);
    if (rec == NULL)
        return err->code;
    struct tr_buf *text = &batch->text;
    size_t key_at = text->length;
    if (reader->topics != NULL)
        (void)tr_encode_key(state->table->encoder, data, text);
    size_t value_at = text->length;
    struct tr_encoded encoded = {0};
    state->header.type = type;
    state->header.version = version;
    tr_encode_event(state->table->encoder, &state->header, data, before, text, &encoded);
    *rec = (struct tr_record){
        .kind = TR_RECORD_ROW,
        .topic = state->table->topic_index - 1,
        .key_at = (uint32_t)key_at,
        .key_length = (uint32_t)(value_at - key_at),
        .value_at = (uint32_t)encoded.start,
        .value_length = (uint32_t)(encoded.end - encoded.start),
        .commit_at = (uint32_t)encoded.commit_at,
        .position = state->start,
        .ordinal = reader->group.rows,
        .version = version,
        .shape = state->table->shape,
    };
    state->invalid += encoded.invalid;
    if (reader->topics == NULL)
        tr_buf_append_char(text, '\n');
    return tr_buf_check(text, "a batch", err);
}

/* The same key, no value: what stays of the row after compaction. */
static int add_tombstone(struct rows_state *state, struct tr_error *err)
{
    if (state->reader->topics == NULL)
        return 0;
    struct tr_batch *batch = state->reader->batch;
    struct tr_record *rec = tr_batch_add(batch, err);
    if (rec == NULL)
        return err->code;
    *rec = batch->records[batch->count - 2];
    rec->kind = TR_RECORD_TOMBSTONE;
    rec->value_at = rec->key_at + rec->key_length;
    rec->value_length = 0;
    rec->commit_at = rec->value_at;
    return 0;
}

static int add_update(struct rows_state *state, int64_t before_version, int64_t version,
                      struct tr_error *err)
{
    struct tr_reader *reader = state->reader;
    bool moved = tr_encode_key_changed(state->table->encoder, reader->before, reader->after);
    bool split = moved && reader->config->capture.primary_key_change == TR_KEY_CHANGE_SPLIT;
    if (!split)
        return add_row(state, TR_EVENT_UPDATE, version, reader->after, reader->before, err);
    int rc = add_row(state, TR_EVENT_DELETE, before_version, reader->before, NULL, err);
    if (rc == 0)
        rc = add_tombstone(state, err);
    if (rc == 0)
        rc = add_row(state, TR_EVENT_INSERT, version, reader->after, NULL, err);
    return rc;
}

static int add_change(struct rows_state *state, int64_t before_version, int64_t version,
                      struct tr_error *err)
{
    int rc;
    switch (state->rows.kind) {
    case TR_ROWS_INSERT:
        return add_row(state, TR_EVENT_INSERT, version, state->reader->before, NULL, err);
    case TR_ROWS_UPDATE:
        return add_update(state, before_version, version, err);
    case TR_ROWS_DELETE:
        rc = add_row(state, TR_EVENT_DELETE, version, state->reader->before, NULL, err);
        return rc != 0 ? rc : add_tombstone(state, err);
    }
    return tr_error_set(err, TR_EBUG, "rows of kind %d", (int)state->rows.kind);
}

/* A group that went out in part can't be taken back any more: its rest goes in ordinary batches. */
static size_t hold_limit(const struct tr_reader *reader)
{
    const struct tr_capture_settings *settings = &reader->config->capture;
    bool large = reader->group.out > 0;
    return (size_t)(large ? settings->batch_bytes : settings->hold_bytes);
}

/* One change: one image, or two of an update. 1 = done, 0 = no more. */
static int next_change(struct rows_state *state, struct tr_error *err)
{
    struct tr_reader *reader = state->reader;
    const struct tr_binlog_table *table = state->table->table;
    uint64_t end = 0;
    int got = tr_binlog_row_next(&state->rows, table, false, reader->before, &end, err);
    if (got <= 0)
        return got;
    int64_t before_version = version_of(state, end);
    int64_t version = before_version;
    if (state->rows.kind == TR_ROWS_UPDATE) {
        got = tr_binlog_row_next(&state->rows, table, true, reader->after, &end, err);
        if (got == 0)
            return tr_error_set(err, TR_ESOURCE, "an update without its second row image");
        if (got < 0)
            return got;
        version = version_of(state, end);
    }
    enum tr_group_turn turn = tr_group_next_row(&reader->group, version);
    if (turn != TR_GROUP_PUBLISH)
        tr_group_pass(&reader->group, state->table->shape);
    if (turn == TR_GROUP_PASS)
        return 1;
    struct tr_batch_fill from = tr_batch_fill(reader->batch);
    int rc = add_change(state, before_version, version, err);
    if (rc == 0 && turn == TR_GROUP_COMPARE)
        rc = tr_group_compare(&reader->group, reader->batch, from, err);
    if (rc == 0 && tr_group_held(&reader->group, reader->batch) > hold_limit(reader))
        rc = tr_reader_go_out(reader, err);
    return rc == 0 ? 1 : rc;
}

static struct tr_encode_header common_header(const struct tr_reader *reader,
                                             const struct tr_binlog_event *ev, uint64_t start)
{
    const struct tr_capture_settings *settings = &reader->config->capture;
    struct tr_encode_header header = {
        .ts = ev->timestamp,
        .xid = reader->group.xid,
        .with_server_id = settings->event_server_id,
        .with_thread_id = settings->event_thread_id,
        .server_id = ev->server_id,
        .thread_id = -1, /* MariaDB logs none with rows */
    };
    if (settings->event_gtid)
        header.gtid = tr_slice_of(reader->gtid);
    if (settings->event_position) {
        header.position_file = tr_slice_of(reader->place.file);
        header.position_offset = start;
    }
    if (settings->event_query)
        header.query = (struct tr_slice){reader->query.data, reader->query.length};
    return header;
}

static int check_rows(const struct tr_reader *reader, const struct rows_state *state,
                      struct tr_error *err)
{
    const struct tr_binlog_table *table = state->table->table;
    if (!tr_binlog_rows_complete(&state->rows))
        return tr_error_set(err, TR_ESOURCE,
                            "table %.*s.%.*s: a row without all its columns; a session has changed "
                            "binlog_row_image: SET GLOBAL binlog_row_image=FULL, and go on behind "
                            "this transaction with --start FILE:POS --force-start",
                            (int)table->database.length, table->database.data,
                            (int)table->table.length, table->table.data);
    if (!reader->group.open)
        return tr_error_set(err, TR_ESOURCE,
                            "rows outside of a transaction: the position to start from lies inside "
                            "one; give the position of its GTID event");
    return 0;
}

static struct tr_metric *row_counter(struct tr_reader *reader, const struct tr_shape *shape)
{
    size_t at = ((uintptr_t)shape >> 4) % TR_READER_COUNTERS;
    if (reader->counters[at].shape != shape) {
        reader->counters[at].rows = tr_status_table(reader->status, shape->database, shape->table);
        reader->counters[at].shape = shape;
    }
    return reader->counters[at].rows;
}

static void count_rows(struct tr_reader *reader, struct rows_state *state, uint64_t rows)
{
    tr_metric_add(row_counter(reader, state->table->shape), (int64_t)rows);
    tr_metric_add(reader->status->rows_total, (int64_t)rows);
    if (state->invalid > 0)
        tr_metric_add(reader->status->invalid_total, state->invalid);
}

static bool is_compressed(uint8_t type)
{
    return type >= TR_BINLOG_WRITE_ROWS_COMPRESSED_V1 &&
           type <= TR_BINLOG_DELETE_ROWS_COMPRESSED_V1;
}

/* Ends a statement that had no table left to name. */
#define DUMMY_TABLE_ID 0xffffffu

int tr_reader_rows(struct tr_reader *reader, const struct tr_binlog_event *ev, uint64_t start,
                   struct tr_error *err)
{
    uint64_t id;
    struct rows_state state = {.reader = reader, .start = start};
    int rc = tr_binlog_rows_table(&id, ev, err);
    if (rc != 0)
        return rc;
    state.table = tr_schema_by_id(reader->schema, id);
    if (state.table == NULL && id != DUMMY_TABLE_ID)
        return tr_error_set(err, TR_ESOURCE,
                            "rows of table id %" PRIu64 ", which no table map has named: the "
                            "position to start from lies inside a transaction",
                            id);
    bool captured = state.table != NULL && state.table->encoder != NULL;
    if (!captured && !is_compressed(ev->type))
        return 0;
    rc = tr_binlog_rows_open(&state.rows, ev, &reader->scratch, err);
    if (rc == 0 && captured)
        rc = check_rows(reader, &state, err);
    if (rc != 0)
        return rc;
    if (captured) {
        state.header = common_header(reader, ev, start);
        uint64_t first = reader->group.rows;
        int got;
        while ((got = next_change(&state, err)) > 0)
            ;
        count_rows(reader, &state, reader->group.rows - first);
        if (got < 0)
            return got;
    }
    /* The versions behind this event count it as if it had come uncompressed. */
    tr_place_inflate(&reader->place, state.rows.inflated);
    return 0;
}
