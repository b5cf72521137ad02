/*
 * rows.c - rows events: their head, and walking the row images. See binlog.h.
 *
 * | 6 table id | u16 flags | v2: u16 extra length, counting itself | lenenc columns |
 * | bitmap: present | UPDATE: bitmap: present after | images |
 *
 * An image is | bitmap over the present columns: NULL | values of those that are not NULL |.
 * MariaDB's compressed kinds have everything from the first image on compressed. Layouts: MariaDB
 * knowledge base, "rows_event_v1v2-rows_compressed_event_v1".
 */
#include <inttypes.h>

#include "columns.h"
#include "compress.h"

#define HEADER_BYTES 19
#define TABLE_ID_BYTES 6

static bool kind_of(uint8_t type, enum tr_rows_kind *kind, bool *v2, bool *compressed)
{
    *v2 = type >= TR_BINLOG_WRITE_ROWS_V2 && type <= TR_BINLOG_DELETE_ROWS_V2;
    *compressed = type >= TR_BINLOG_WRITE_ROWS_COMPRESSED_V1;
    switch (type) {
    case TR_BINLOG_WRITE_ROWS_V1:
    case TR_BINLOG_WRITE_ROWS_V2:
    case TR_BINLOG_WRITE_ROWS_COMPRESSED_V1:
        *kind = TR_ROWS_INSERT;
        return true;
    case TR_BINLOG_UPDATE_ROWS_V1:
    case TR_BINLOG_UPDATE_ROWS_V2:
    case TR_BINLOG_UPDATE_ROWS_COMPRESSED_V1:
        *kind = TR_ROWS_UPDATE;
        return true;
    case TR_BINLOG_DELETE_ROWS_V1:
    case TR_BINLOG_DELETE_ROWS_V2:
    case TR_BINLOG_DELETE_ROWS_COMPRESSED_V1:
        *kind = TR_ROWS_DELETE;
        return true;
    default:
        return false;
    }
}

/* Puts the event together again as if it had come uncompressed: its head, then the images. */
static int inflate(struct tr_binlog_rows *rows, struct cursor *cursor, struct tr_buf *scratch,
                   struct tr_error *err)
{
    tr_buf_reset(scratch);
    tr_buf_append(scratch, rows->event_start, (size_t)(cursor->at - rows->event_start));
    size_t head = scratch->length;
    if (tr_compress_inflate(cursor, scratch, &rows->inflated, err) != 0)
        return tr_error_frame(err, "rows event of table id %" PRIu64, rows->table_id);
    rows->event_start = (const uint8_t *)scratch->data;
    rows->at = rows->event_start + head;
    rows->end = rows->event_start + scratch->length;
    return 0;
}

int tr_binlog_rows_table(uint64_t *id, const struct tr_binlog_event *event, struct tr_error *err)
{
    struct cursor cursor = {event->body, event->body + event->body_length, false};
    *id = cursor_uint(&cursor, TABLE_ID_BYTES);
    if (cursor.bad)
        return tr_error_set(err, TR_ESOURCE, "a rows event is damaged: it has no table id");
    return 0;
}

int tr_binlog_rows_open(struct tr_binlog_rows *rows, const struct tr_binlog_event *event,
                        struct tr_buf *scratch, struct tr_error *err)
{
    struct cursor cursor = {event->body, event->body + event->body_length, false};
    bool v2, compressed;
    *rows = (struct tr_binlog_rows){.event_start = event->body - HEADER_BYTES};
    if (!kind_of(event->type, &rows->kind, &v2, &compressed))
        return tr_error_set(err, TR_EBUG, "event type %u holds no rows", event->type);
    rows->table_id = cursor_uint(&cursor, TABLE_ID_BYTES);
    cursor_take(&cursor, 2);
    if (v2) {
        uint16_t extra = cursor_u16(&cursor);
        cursor_take(&cursor, extra < 2 ? UINT64_MAX : extra - 2u);
    }
    uint64_t columns = cursor_lenenc(&cursor);
    rows->present = cursor_take(&cursor, columns / 8 + (columns % 8 != 0));
    if (rows->kind == TR_ROWS_UPDATE)
        rows->present_after = cursor_take(&cursor, columns / 8 + (columns % 8 != 0));
    if (cursor.bad || columns > UINT32_MAX)
        return tr_error_set(err, TR_ESOURCE, "a rows event of table id %" PRIu64 " is damaged",
                            rows->table_id);
    rows->column_count = (uint32_t)columns;
    rows->at = cursor.at;
    rows->end = cursor.end;
    return compressed ? inflate(rows, &cursor, scratch, err) : 0;
}

static bool bit(const uint8_t *bits, uint32_t index)
{
    return (bits[index / 8] >> index % 8 & 1) != 0;
}

static uint32_t count_bits(const uint8_t *bits, uint32_t count)
{
    uint32_t set = 0;
    for (uint32_t i = 0; i < count / 8; i++)
        set += (uint32_t)__builtin_popcount(bits[i]);
    if (count % 8 != 0)
        set += (uint32_t)__builtin_popcount(bits[count / 8] & ((1u << count % 8) - 1));
    return set;
}

bool tr_binlog_rows_complete(const struct tr_binlog_rows *rows)
{
    uint32_t count = rows->column_count;
    return count_bits(rows->present, count) == count &&
           (rows->kind != TR_ROWS_UPDATE || count_bits(rows->present_after, count) == count);
}

static int bad_table(const struct tr_binlog_table *table, const char *what, struct tr_error *err)
{
    return tr_error_set(err, TR_ESOURCE, "a rows event of table %.*s.%.*s is damaged: %s",
                        (int)table->database.length, table->database.data, (int)table->table.length,
                        table->table.data, what);
}

/* Temporal columns made with mysql56_temporal_format=OFF have no fraction digits in the table map:
 * with any, their values' length cannot be known. */
static bool has_old_temporal(const struct tr_binlog_table *table)
{
    for (uint32_t i = 0; i < table->column_count; i++) {
        uint8_t type = table->columns[i].type;
        if (type == WIRE_TIME || type == WIRE_DATETIME || type == WIRE_TIMESTAMP)
            return true;
    }
    return false;
}

/* The image ends inside this column, or the column's type is one whose values have no known end. */
static int bad_column(const struct tr_binlog_table *table, uint32_t index, struct tr_error *err)
{
    const struct tr_binlog_column *column = &table->columns[index];
    bool known = column->fixed_bytes != 0 || column->length_bytes != 0;
    const char *remedy = "leave the table out of capture.tables";
    if (known)
        remedy = has_old_temporal(table)
                     ? "times with fractions in the format of MariaDB 5.3 cannot be read: ALTER "
                       "TABLE … FORCE converts them"
                     : "the event is damaged";
    return tr_error_set(err, TR_ESOURCE,
                        "a rows event of table %.*s.%.*s cannot be read at column %.*s of %s type "
                        "%u: %s",
                        (int)table->database.length, table->database.data, (int)table->table.length,
                        table->table.data, (int)column->shape.name.length, column->shape.name.data,
                        known ? "the" : "the unknown", column->type, remedy);
}

/* Takes one value off the image; false when it doesn't fit. */
static inline bool take_value(struct cursor *cursor, const struct tr_binlog_column *column,
                              struct tr_cell *cell)
{
    uint32_t length = column->fixed_bytes;
    if (length == 0) {
        const unsigned bytes = column->length_bytes;
        if (bytes == 0 || cursor_left(cursor) < bytes)
            return false;
        length = cursor->at[0];
        if (bytes > 1)
            length = (uint32_t)load_le(cursor->at, bytes);
        cursor->at += bytes;
    }
    if (cursor_left(cursor) < length)
        return false;
    cell->data = cursor->at;
    cell->length = length;
    cursor->at += length;
    return true;
}

/* The image's values. `all`: every column is present, so that NULL bits are numbered as columns. */
static int walk_values(struct cursor *cursor, const struct tr_binlog_table *table,
                       const uint8_t *present, bool all, struct tr_cell *cells,
                       struct tr_error *err)
{
    uint32_t count = table->column_count;
    uint32_t held = all ? count : count_bits(present, count);
    const uint8_t *nulls = cursor_take(cursor, (held + 7) / 8);
    uint32_t number = 0;
    if (nulls == NULL || held == 0)
        return bad_table(table, "a row image is cut off", err);
    for (uint32_t i = 0; i < count; i++) {
        if (!all && !bit(present, i)) {
            cells[i] = (struct tr_cell){NULL, 0};
            continue;
        }
        if (bit(nulls, number++)) {
            cells[i] = (struct tr_cell){NULL, 0};
            continue;
        }
        if (!take_value(cursor, &table->columns[i], &cells[i]))
            return bad_column(table, i, err);
    }
    return 0;
}

int tr_binlog_row_next(struct tr_binlog_rows *rows, const struct tr_binlog_table *table, bool after,
                       struct tr_cell *cells, uint64_t *end_inside, struct tr_error *err)
{
    if (rows->column_count != table->column_count)
        return bad_table(table, "it has another number of columns than its table map", err);
    if (rows->at == rows->end)
        return after ? bad_table(table, "an update's second image is missing", err) : 0;
    const uint8_t *present = after ? rows->present_after : rows->present;
    if (present == NULL)
        return tr_error_set(err, TR_EBUG, "only updates have a second image");
    bool all = count_bits(present, rows->column_count) == rows->column_count;
    struct cursor cursor = {rows->at, rows->end, false};
    int rc = walk_values(&cursor, table, present, all, cells, err);
    if (rc != 0)
        return rc;
    rows->at = cursor.at;
    *end_inside = (uint64_t)(cursor.at - rows->event_start);
    return 1;
}
