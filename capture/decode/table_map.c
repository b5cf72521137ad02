/*
 * table_map.c - TABLE_MAP events. See binlog.h.
 *
 * | 6 table id | u16 flags | u8 n | database | NUL | u8 n | table | NUL | lenenc columns |
 * | u8 type per column | lenenc n | types' metadata | bitmap: nullable | optional fields |
 *
 * An optional field is | u8 field | lenenc length | content |, from binlog_row_metadata. Layouts:
 * MySQL's libbinlogevents/include/rows_event.h, class Table_map_event; MariaDB writes the same.
 */
#include "binlog.h"
#include "charset.h"
#include "columns.h"
#include "json_writer.h"

#include <stdio.h>

#define TABLE_ID_BYTES 6
#define COLUMNS_MAX 4096             /* of a table, in MySQL and MariaDB */
#define QUOTED_MAX ((size_t)4 << 20) /* bytes of one label, quoted */

enum field {
    FIELD_SIGNEDNESS = 1,
    FIELD_DEFAULT_CHARSET = 2,
    FIELD_COLUMN_CHARSET = 3,
    FIELD_COLUMN_NAME = 4,
    FIELD_SET_LABELS = 5,
    FIELD_ENUM_LABELS = 6,
    FIELD_PRIMARY_KEY = 8,
    FIELD_PRIMARY_KEY_WITH_PREFIX = 9,
    FIELD_LABELS_DEFAULT_CHARSET = 10,
    FIELD_LABELS_COLUMN_CHARSET = 11,
    FIELD_COUNT = 16, /* those above are passed over */
};

/* What is needed while reading. Fields are collected first: their order is the server's choice. */
struct map_reader {
    struct tr_binlog_table *table;
    struct tr_arena *arena;
    struct tr_error *err;
    struct cursor fields[FIELD_COUNT]; /* at == NULL: not there */
    struct tr_buf quoted;
};

static int damaged(struct map_reader *reader, const char *what)
{
    struct tr_binlog_table *table = reader->table;
    return tr_error_set(reader->err, TR_ESOURCE, "table map of %.*s.%.*s is damaged: %s",
                        (int)table->database.length, table->database.data, (int)table->table.length,
                        table->table.data, what);
}

static void *get(struct map_reader *reader, size_t count, size_t size)
{
    void *memory = tr_arena_alloc(reader->arena, count * size);
    if (memory == NULL)
        (void)tr_error_set(reader->err, TR_ENOMEM, "no memory for a table map");
    else
        memset(memory, 0, count * size);
    return memory;
}

static int copy(struct map_reader *reader, struct tr_slice *slice)
{
    slice->data = tr_arena_copy(reader->arena, slice->data, slice->length);
    if (slice->data == NULL)
        return tr_error_set(reader->err, TR_ENOMEM, "no memory for a table map");
    return 0;
}

/* Copies what is in reader->quoted. */
static int copy_quoted(struct map_reader *reader, struct tr_slice *out)
{
    if (tr_buf_check(&reader->quoted, "a name or label", reader->err) != 0)
        return reader->err->code;
    *out = (struct tr_slice){reader->quoted.data, reader->quoted.length};
    return copy(reader, out);
}

static int set_name(struct map_reader *reader, struct tr_binlog_column *column,
                    struct tr_slice name)
{
    column->shape.name = name;
    tr_buf_reset(&reader->quoted);
    if (!tr_json_string(&reader->quoted, name.data, name.length))
        return damaged(reader, "a column's name is not UTF-8");
    if (copy(reader, &column->shape.name) != 0)
        return reader->err->code;
    return copy_quoted(reader, &column->shape.name_json);
}

/* Without names in the log, columns are called as mysqlbinlog calls them: @1, @2 … */
static int read_names(struct map_reader *reader)
{
    struct cursor *cursor = &reader->fields[FIELD_COLUMN_NAME];
    char number[16];
    for (uint32_t i = 0; i < reader->table->column_count; i++) {
        struct tr_slice name;
        if (cursor->at != NULL) {
            name = cursor_slice(cursor, cursor_lenenc(cursor));
        } else {
            int length = snprintf(number, sizeof(number), "@%u", i + 1);
            name = (struct tr_slice){number, (size_t)length};
        }
        if (cursor->bad)
            return damaged(reader, "column names");
        if (set_name(reader, &reader->table->columns[i], name) != 0)
            return reader->err->code;
    }
    return 0;
}

/* MariaDB keeps a UNIQUE over long columns by a hidden last column DB_ROW_HASH_n. */
static bool is_row_hash(const struct tr_binlog_column *column)
{
    static const char prefix[] = "DB_ROW_HASH_";
    struct tr_slice name = column->shape.name;
    size_t at = sizeof(prefix) - 1;
    if (column->type != WIRE_LONGLONG || !column->shape.is_unsigned || name.length <= at ||
        memcmp(name.data, prefix, at) != 0)
        return false;
    while (at < name.length && name.data[at] >= '0' && name.data[at] <= '9')
        at++;
    return at == name.length;
}

static void mark_hidden(struct tr_binlog_table *table)
{
    for (uint32_t i = table->column_count; i-- > 0 && is_row_hash(&table->columns[i]);)
        table->columns[i].hidden = true;
}

/* One bit per numeric column, the first in the highest bit. */
static int read_signedness(struct map_reader *reader)
{
    struct cursor *cursor = &reader->fields[FIELD_SIGNEDNESS];
    unsigned bit = 0;
    uint8_t bits = 0;
    if (cursor->at == NULL)
        return 0;
    for (uint32_t i = 0; i < reader->table->column_count; i++) {
        struct tr_binlog_column *column = &reader->table->columns[i];
        if (!column_is_numeric(column))
            continue;
        if (bit % 8 == 0)
            bits = cursor_u8(cursor);
        column->shape.is_unsigned = (bits >> (7 - bit % 8) & 1) != 0;
        bit++;
    }
    return cursor->bad ? damaged(reader, "signedness") : 0;
}

/*
 * Collations of the columns that `wanted` names, in column order: either one for each
 * (`columns`), or a default and | lenenc index among them | lenenc collation | for the others.
 */
static int read_collations(struct map_reader *reader, enum field defaults, enum field columns,
                           bool (*wanted)(const struct tr_binlog_column *))
{
    bool each = reader->fields[columns].at != NULL;
    struct cursor *cursor = &reader->fields[each ? columns : defaults];
    if (cursor->at == NULL)
        return 0;
    uint64_t usual = each ? 0 : cursor_lenenc(cursor);
    uint64_t next = 0, index = UINT64_MAX;
    for (uint32_t i = 0; i < reader->table->column_count; i++) {
        struct tr_binlog_column *column = &reader->table->columns[i];
        if (!wanted(column))
            continue;
        uint64_t collation = usual;
        if (!each && index == UINT64_MAX && cursor_left(cursor) > 0)
            index = cursor_lenenc(cursor);
        if (each || index == next) {
            collation = cursor_lenenc(cursor);
            index = UINT64_MAX;
        }
        column_set_collation(column, collation);
        next++;
    }
    return cursor->bad || cursor_left(cursor) > 0 ? damaged(reader, "character sets") : 0;
}

/* A label that cannot be rendered turns its whole column to the `invalid` rule. */
static int set_label(struct map_reader *reader, struct tr_binlog_column *column, uint32_t index,
                     struct tr_slice text)
{
    tr_buf_reset(&reader->quoted);
    enum tr_charset charset = column->encoding;
    if (charset == TR_CHARSET_BINARY)
        charset = TR_CHARSET_UTF8;
    if (!tr_charset_json(charset, text, &reader->quoted)) {
        column->encoding = TR_CHARSET_OTHER;
        TR_JSON_LITERAL(&reader->quoted, "\"\"");
    }
    if (copy_quoted(reader, &column->labels_json[index]) != 0)
        return reader->err->code;
    column->labels[index] = text;
    if (charset == TR_CHARSET_LATIN1) {
        tr_buf_reset(&reader->quoted);
        tr_charset_latin1(text, &reader->quoted);
        return copy_quoted(reader, &column->labels[index]);
    }
    return copy(reader, &column->labels[index]);
}

/* For each ENUM (or SET) column: | lenenc count | lenenc length | text | … */
static int read_labels(struct map_reader *reader, enum field field, uint8_t type)
{
    struct cursor *cursor = &reader->fields[field];
    if (cursor->at == NULL)
        return 0;
    for (uint32_t i = 0; i < reader->table->column_count; i++) {
        struct tr_binlog_column *column = &reader->table->columns[i];
        if (column->type != type)
            continue;
        uint64_t count = cursor_lenenc(cursor);
        if (cursor->bad || count > cursor_left(cursor))
            return damaged(reader, "labels");
        column->labels = get(reader, (size_t)count, sizeof(*column->labels));
        column->labels_json = get(reader, (size_t)count, sizeof(*column->labels_json));
        if (column->labels == NULL || column->labels_json == NULL)
            return reader->err->code;
        column->label_count = (uint32_t)count;
        for (uint32_t label = 0; label < column->label_count; label++) {
            struct tr_slice text = cursor_slice(cursor, cursor_lenenc(cursor));
            if (cursor->bad)
                return damaged(reader, "labels");
            if (set_label(reader, column, label, text) != 0)
                return reader->err->code;
        }
    }
    return 0;
}

/* Column indexes in key order, each followed by its prefix's length in the second form. */
static int read_primary_key(struct map_reader *reader)
{
    bool prefixed = reader->fields[FIELD_PRIMARY_KEY_WITH_PREFIX].at != NULL;
    struct cursor *cursor =
        &reader->fields[prefixed ? FIELD_PRIMARY_KEY_WITH_PREFIX : FIELD_PRIMARY_KEY];
    struct tr_binlog_table *table = reader->table;
    if (cursor->at == NULL)
        return 0;
    table->primary_key = get(reader, cursor_left(cursor) + 1, sizeof(*table->primary_key));
    if (table->primary_key == NULL)
        return reader->err->code;
    while (cursor_left(cursor) > 0) {
        uint64_t index = cursor_lenenc(cursor);
        if (prefixed)
            (void)cursor_lenenc(cursor);
        if (cursor->bad || index >= table->column_count)
            return damaged(reader, "primary key");
        table->primary_key[table->primary_key_count++] = (uint32_t)index;
        table->columns[index].shape.key = true;
    }
    return 0;
}

/* Whether names, signs, character sets and labels were all there, as far as columns need them. */
static bool is_full(const struct map_reader *reader)
{
    const struct cursor *fields = reader->fields;
    if (fields[FIELD_COLUMN_NAME].at == NULL)
        return false;
    for (uint32_t i = 0; i < reader->table->column_count; i++) {
        const struct tr_binlog_column *column = &reader->table->columns[i];
        if (column_is_numeric(column) && fields[FIELD_SIGNEDNESS].at == NULL)
            return false;
        if (column_has_collation(column) && fields[FIELD_DEFAULT_CHARSET].at == NULL &&
            fields[FIELD_COLUMN_CHARSET].at == NULL)
            return false;
        if (column_has_labels(column) && column->labels == NULL)
            return false;
    }
    return true;
}

static int collect_fields(struct map_reader *reader, struct cursor *cursor)
{
    while (cursor_left(cursor) > 0) {
        uint8_t field = cursor_u8(cursor);
        uint64_t length = cursor_lenenc(cursor);
        const uint8_t *at = cursor_take(cursor, length);
        if (cursor->bad)
            return damaged(reader, "optional metadata");
        if (field < FIELD_COUNT)
            reader->fields[field] = (struct cursor){at, at + length, false};
    }
    return 0;
}

static int read_fields(struct map_reader *reader, struct cursor *cursor)
{
    if (collect_fields(reader, cursor) != 0 || read_signedness(reader) != 0 ||
        read_collations(reader, FIELD_DEFAULT_CHARSET, FIELD_COLUMN_CHARSET,
                        column_has_collation) != 0 ||
        read_collations(reader, FIELD_LABELS_DEFAULT_CHARSET, FIELD_LABELS_COLUMN_CHARSET,
                        column_has_labels) != 0 ||
        read_names(reader) != 0 || read_labels(reader, FIELD_SET_LABELS, WIRE_SET) != 0 ||
        read_labels(reader, FIELD_ENUM_LABELS, WIRE_ENUM) != 0 || read_primary_key(reader) != 0)
        return reader->err->code;
    mark_hidden(reader->table);
    reader->table->full_metadata = is_full(reader);
    return 0;
}

static int read_types(struct map_reader *reader, struct cursor *cursor)
{
    struct tr_binlog_table *table = reader->table;
    uint64_t count = cursor_lenenc(cursor);
    const uint8_t *types = cursor_take(cursor, count);
    if (cursor->bad || count > COLUMNS_MAX)
        return damaged(reader, "number of columns");
    uint64_t meta_length = cursor_lenenc(cursor);
    const uint8_t *meta_at = cursor_take(cursor, meta_length);
    const uint8_t *nullable = cursor_take(cursor, (count + 7) / 8);
    if (cursor->bad)
        return damaged(reader, "column types");
    table->columns = get(reader, (size_t)count, sizeof(*table->columns));
    if (table->columns == NULL)
        return reader->err->code;
    table->column_count = (uint32_t)count;
    struct cursor meta = {meta_at, meta_at + meta_length, false};
    for (uint32_t i = 0; i < table->column_count; i++) {
        if (!column_read_meta(&table->columns[i], types[i], &meta) || meta.bad)
            return damaged(reader, "types' metadata");
        table->columns[i].shape.nullable = (nullable[i / 8] >> i % 8 & 1) != 0;
    }
    return 0;
}

static int read_table(struct map_reader *reader, struct cursor *cursor)
{
    struct tr_binlog_table *table = reader->table;
    cursor_take(cursor, 2);
    table->database = cursor_name(cursor);
    table->table = cursor_name(cursor);
    if (cursor->bad)
        return damaged(reader, "names");
    if (copy(reader, &table->database) != 0 || copy(reader, &table->table) != 0 ||
        copy(reader, &table->raw) != 0 || read_types(reader, cursor) != 0)
        return reader->err->code;
    return read_fields(reader, cursor);
}

int tr_binlog_table_peek(uint64_t *id, struct tr_slice *raw, const struct tr_binlog_event *event,
                         struct tr_error *err)
{
    struct cursor cursor = {event->body, event->body + event->body_length, false};
    *id = cursor_uint(&cursor, TABLE_ID_BYTES);
    *raw = cursor_slice(&cursor, cursor_left(&cursor));
    if (cursor.bad)
        return tr_error_set(err, TR_ESOURCE, "a table map is damaged: it is too short");
    return 0;
}

int tr_binlog_table_read(struct tr_binlog_table **out, const struct tr_binlog_event *event,
                         struct tr_arena *arena, struct tr_error *err)
{
    struct map_reader reader = {.arena = arena, .err = err};
    uint64_t id;
    struct tr_slice raw;
    if (tr_binlog_table_peek(&id, &raw, event, err) != 0)
        return err->code;
    reader.table = get(&reader, 1, sizeof(*reader.table));
    if (reader.table == NULL)
        return err->code;
    reader.table->id = id;
    reader.table->raw = raw;
    tr_buf_init(&reader.quoted, QUOTED_MAX);
    const uint8_t *at = (const uint8_t *)raw.data;
    struct cursor cursor = {at, at + raw.length, false};
    int rc = read_table(&reader, &cursor);
    tr_buf_done(&reader.quoted);
    *out = rc == 0 ? reader.table : NULL;
    return rc;
}
