/*
 * fuzz_event.c - binlog events of any bytes through decode and encode.
 *
 * Input: one byte that chooses refinements and keys, then events as in a file, without checksums. A
 * length that doesn't fit is made to fit, so that changed bytes still reach what follows. Nothing
 * may crash or read out of bounds, and every event and key that comes out must be JSON.
 */
#include "encode.h"
#include "fuzz.h"
#include "json_scan.h"
#include "json_writer.h"
#include "place.h"

#define HEADER_BYTES 19
#define LENGTH_AT 9
#define OUT_MAX ((size_t)4 << 20)
#define ROWS_MAX 200
#define COLUMNS_MAX 4096
#define TABLES_MAX 8

struct fuzz {
    uint8_t choice;
    struct tr_arena arena;
    struct tr_buf scratch, out;
    struct tr_place place;
    struct {
        struct tr_binlog_table *table;
        struct tr_encoder *encoder;
    } tables[TABLES_MAX];
    size_t table_count;
};

static struct tr_cell before[COLUMNS_MAX], after[COLUMNS_MAX];

/* The shape as the catalogue might have told it. */
static void add_table(struct fuzz *fuzz, struct tr_binlog_table *table)
{
    struct tr_error err = {0};
    uint32_t count = 0;
    struct tr_shape shape = {.database = table->database, .table = table->table, .schema_id = 4};
    if (!tr_json_utf8_valid(table->database.data, table->database.length) ||
        !tr_json_utf8_valid(table->table.data, table->table.length) ||
        fuzz->table_count == TABLES_MAX)
        return;
    shape.columns =
        tr_arena_alloc(&fuzz->arena, (table->column_count + 1) * sizeof(*shape.columns));
    shape.key = tr_arena_alloc(&fuzz->arena, (table->column_count + 1) * sizeof(*shape.key));
    CHECK(shape.columns != NULL && shape.key != NULL);
    for (uint32_t i = 0; i < table->column_count; i++) {
        if (table->columns[i].hidden)
            continue;
        shape.columns[count] = table->columns[i].shape;
        shape.columns[count].refine = (enum tr_refine)((i + fuzz->choice) % (TR_REFINE_INET6 + 1));
        if (((fuzz->choice >> (i % 8)) & 1) != 0 && shape.key_count < 3)
            shape.key[shape.key_count++] = count;
        count++;
    }
    shape.column_count = count;
    struct tr_encoder *encoder;
    CHECK(tr_encoder_new(&encoder, table, &shape, &err) == 0);
    fuzz->tables[fuzz->table_count].table = table;
    fuzz->tables[fuzz->table_count++].encoder = encoder;
}

static void check_json(const struct tr_buf *out, size_t start, size_t end)
{
    struct tr_error err = {0};
    struct tr_json_value value;
    struct tr_slice text = {out->data + start, end - start};
    CHECK(tr_json_parse(text, &value, &err) == 0);
    CHECK(value.type == TR_JSON_OBJECT);
}

static void encode(struct fuzz *fuzz, struct tr_encoder *encoder, enum tr_rows_kind kind)
{
    struct tr_encoded encoded;
    size_t moved;
    const struct tr_encode_header header = {
        .type = kind == TR_ROWS_UPDATE ? TR_EVENT_UPDATE : TR_EVENT_INSERT,
        .version = 1,
        .gtid = TR_SLICE("0-1-2"),
        .position_file = TR_SLICE("bin.000001"),
        .query = TR_SLICE("\xff"),
    };
    bool update = kind == TR_ROWS_UPDATE;
    tr_buf_reset(&fuzz->out);
    if (tr_encode_key(encoder, before, &fuzz->out) && !fuzz->out.failed)
        check_json(&fuzz->out, 0, fuzz->out.length);
    if (update)
        (void)tr_encode_key_changed(encoder, before, after);
    tr_encode_event(encoder, &header, update ? after : before, update ? before : NULL, &fuzz->out,
                    &encoded);
    if (fuzz->out.failed)
        return;
    CHECK(encoded.end == fuzz->out.length);
    check_json(&fuzz->out, encoded.start, encoded.end);
    if (tr_encode_mark_commit(&fuzz->out, &encoded, &moved))
        check_json(&fuzz->out, encoded.start, encoded.end + moved);
}

static void on_rows(struct fuzz *fuzz, const struct tr_binlog_event *event)
{
    struct tr_error err = {0};
    struct tr_binlog_rows rows;
    uint64_t id = 0, inside, last = 0;
    bool has_id = tr_binlog_rows_table(&id, event, &err) == 0;
    tr_error_reset(&err);
    if (tr_binlog_rows_open(&rows, event, &fuzz->scratch, &err) != 0)
        return;
    CHECK(has_id && id == rows.table_id);
    (void)tr_binlog_rows_complete(&rows);
    for (size_t i = fuzz->table_count; i-- > 0;) {
        struct tr_binlog_table *table = fuzz->tables[i].table;
        if (table->id != rows.table_id)
            continue;
        for (int row = 0; row < ROWS_MAX; row++) {
            if (tr_binlog_row_next(&rows, table, false, before, &inside, &err) != 1)
                return;
            CHECK(inside > last);
            last = inside;
            if (rows.kind == TR_ROWS_UPDATE &&
                tr_binlog_row_next(&rows, table, true, after, &inside, &err) != 1)
                return;
            encode(fuzz, fuzz->tables[i].encoder, rows.kind);
        }
        return;
    }
}

static void on_query(struct fuzz *fuzz, const struct tr_binlog_event *event)
{
    struct tr_error err = {0};
    struct tr_binlog_query query;
    struct tr_statement statement;
    int64_t inflated;
    if (tr_binlog_query_read(&query, event, &fuzz->scratch, &inflated, &err) != 0)
        return;
    CHECK(tr_statement_read(&statement, query.text, query.database, &fuzz->arena, &err) == 0);
    CHECK(statement.table_count <= statement.table_room);
    CHECK(statement.column_count <= statement.column_room);
}

static void on_gtid_list(const struct tr_binlog_event *event)
{
    struct tr_error err = {0};
    struct tr_binlog_gtid_list list;
    struct tr_binlog_gtid gtid;
    if (tr_binlog_gtid_list_open(&list, event, &err) != 0)
        return;
    while (tr_binlog_gtid_list_next(&list, &gtid))
        ;
    CHECK(list.at <= event->body + event->body_length);
}

static void on_event(struct fuzz *fuzz, const struct tr_binlog_event *event)
{
    struct tr_error err = {0};
    struct tr_binlog_format format;
    struct tr_binlog_gtid gtid;
    struct tr_binlog_table *table;
    struct tr_slice file;
    uint64_t position;
    switch (event->type) {
    case TR_BINLOG_FORMAT_DESCRIPTION:
        (void)!tr_binlog_format_read(&format, event, &err);
        break;
    case TR_BINLOG_GTID:
        (void)!tr_binlog_gtid_read(&gtid, event, &err);
        break;
    case TR_BINLOG_GTID_LIST:
        on_gtid_list(event);
        break;
    case TR_BINLOG_ROTATE:
        (void)!tr_binlog_rotate_read(&file, &position, event, &err);
        break;
    case TR_BINLOG_QUERY:
    case TR_BINLOG_QUERY_COMPRESSED:
        on_query(fuzz, event);
        break;
    case TR_BINLOG_TABLE_MAP:
        if (tr_binlog_table_read(&table, event, &fuzz->arena, &err) == 0)
            add_table(fuzz, table);
        break;
    default:
        on_rows(fuzz, event);
        break;
    }
}

/* In memory of just its size, so that a sanitizer sees a read past the end. */
static void take_event(struct fuzz *fuzz, const uint8_t *at, size_t length)
{
    struct tr_error err = {0};
    struct tr_binlog_event event;
    bool counted;
    uint64_t start;
    uint8_t *exact = malloc(length);
    CHECK(exact != NULL);
    memcpy(exact, at, length);
    uint32_t fitting = (uint32_t)length;
    memcpy(exact + LENGTH_AT, &fitting, sizeof(fitting));
    if (tr_binlog_event_read(&event, exact, length, false, &err) == 0) {
        struct tr_place_event head = {event.type, event.timestamp, event.length, event.log_pos,
                                      event.flags};
        uint64_t offset = fuzz->place.offset;
        if (tr_place_advance(&fuzz->place, &head, &counted, &start, &err) == 0 && counted)
            CHECK(start >= offset && fuzz->place.offset == start + event.length);
        on_event(fuzz, &event);
    }
    free(exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct fuzz fuzz = {.choice = data[0], .place = {.offset = 4}};
    tr_arena_init(&fuzz.arena, (size_t)64 << 10, (size_t)64 << 20);
    tr_buf_init(&fuzz.scratch, OUT_MAX);
    tr_buf_init(&fuzz.out, OUT_MAX);
    for (size_t at = 1; size - at >= HEADER_BYTES;) {
        uint32_t length;
        memcpy(&length, data + at + LENGTH_AT, sizeof(length));
        if (length < HEADER_BYTES || length > size - at)
            length = (uint32_t)(size - at);
        take_event(&fuzz, data + at, length);
        at += length;
    }
    for (size_t i = 0; i < fuzz.table_count; i++)
        tr_encoder_free(fuzz.tables[i].encoder);
    tr_arena_done(&fuzz.arena);
    tr_buf_done(&fuzz.scratch);
    tr_buf_done(&fuzz.out);
    return 0;
}
