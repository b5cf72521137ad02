/*
 * bind.c - a row's JSON into statement parameters, without copying what needs no unescaping.
 *
 * Unescaped strings and decoded bytes of one row go into sink->text, which is grown before the row
 * is bound, so that it never moves while SQLite holds pointers into it.
 */
#include <string.h>

#include "json_scan.h"
#include "store.h"

static int misfit(const struct tr_shape_column *column, struct tr_error *err)
{
    return tr_error_set(err, TR_EPOISON, "the value of column %.*s does not fit its type",
                        (int)column->name.length, column->name.data);
}

static void bind_string(struct tr_sink *sink, sqlite3_stmt *stmt, int param,
                        const struct tr_json_value *value)
{
    if (value->type == TR_JSON_STRING && value->escaped) {
        size_t start = sink->text.length;
        tr_json_unescape(value, &sink->text);
        sq_bind_slice(stmt, param,
                      (struct tr_slice){sink->text.data + start, sink->text.length - start});
    } else if (value->type == TR_JSON_STRING) {
        sq_bind_slice(stmt, param, (struct tr_slice){value->text.data + 1, value->text.length - 2});
    } else {
        sq_bind_slice(stmt, param, value->text);
    }
}

/* False when the value does not fit the class. */
static bool bind_value(struct tr_sink *sink, sqlite3_stmt *stmt, int param, enum sq_class cls,
                       const struct tr_json_value *value)
{
    int64_t integer;
    double real;
    size_t start = sink->text.length;
    if (value->type == TR_JSON_NULL && cls != SQ_JSON) {
        sqlite3_bind_null(stmt, param);
        return true;
    }
    switch (cls) {
    case SQ_INTEGER:
        if (value->type != TR_JSON_NUMBER || !tr_json_to_int(value, &integer))
            return false;
        sqlite3_bind_int64(stmt, param, integer);
        return true;
    case SQ_REAL:
        if (value->type != TR_JSON_NUMBER || !tr_json_to_double(value, &real))
            return false;
        sqlite3_bind_double(stmt, param, real);
        return true;
    case SQ_BLOB:
        if (value->type != TR_JSON_STRING || !tr_json_to_bytes(value, &sink->text))
            return false;
        sqlite3_bind_blob64(stmt, param, sink->text.length > start ? sink->text.data + start : "",
                            sink->text.length - start, SQLITE_STATIC);
        return true;
    case SQ_JSON:
        if (value->type == TR_JSON_NULL)
            sqlite3_bind_null(stmt, param);
        else
            sq_bind_slice(stmt, param, value->text);
        return true;
    default:
        bind_string(sink, stmt, param, value);
        return true;
    }
}

static bool is_invalid(const struct tr_sink_record *rec, const struct tr_shape_column *column)
{
    if (rec->invalid.length == 0)
        return false;
    return memmem(rec->invalid.data, rec->invalid.length, column->name_json.data,
                  column->name_json.length) != NULL;
}

/* The shape's column of a member: usually the next one. */
static const struct tr_shape_column *column_of(const struct tr_shape *shape, uint32_t expected,
                                               struct tr_slice name)
{
    if (expected < shape->column_count && tr_slice_equal(shape->columns[expected].name_json, name))
        return &shape->columns[expected];
    for (uint32_t i = 0; i < shape->column_count; i++) {
        if (tr_slice_equal(shape->columns[i].name_json, name))
            return &shape->columns[i];
    }
    return NULL;
}

int sq_bind_row(struct tr_sink *sink, struct sq_table *table, const struct tr_sink_record *rec,
                struct tr_error *err)
{
    struct tr_json_cursor cursor;
    struct tr_json_value name, value;
    const struct tr_shape *shape = rec->shape;
    tr_buf_reset(&sink->text);
    if (tr_buf_reserve(&sink->text, rec->data.length) == NULL)
        return tr_buf_check(&sink->text, "a row", err);
    sqlite3_clear_bindings(table->upsert);
    sqlite3_bind_int64(table->upsert, 1, rec->version);
    if (tr_json_open(&cursor, rec->data, err) != 0)
        return err->code = TR_EPOISON;
    int got;
    for (uint32_t i = 0; (got = tr_json_next(&cursor, &name, &value, err)) == 1; i++) {
        const struct tr_shape_column *column = column_of(shape, i, name.text);
        if (column == NULL)
            return tr_error_set(err, TR_EPOISON, "column %.*s is not in the table's shape",
                                (int)name.text.length, name.text.data);
        enum sq_class cls = is_invalid(rec, column) ? SQ_TEXT : sq_class_of(column);
        if (!bind_value(sink, table->upsert, table->params[column - shape->columns], cls, &value))
            return misfit(column, err);
    }
    return got == 0 ? 0 : (err->code = TR_EPOISON);
}

static int each_key_value(struct tr_sink *sink, const struct tr_sink_record *rec,
                          struct sq_table *table, sqlite3_stmt *stmt, int first,
                          struct tr_error *err)
{
    struct tr_event_key_cursor cursor;
    struct tr_json_value name, value;
    int got, index = 0;
    tr_event_key_enter(&cursor, rec->key);
    tr_buf_reset(&sink->key);
    while ((got = tr_event_key_next(&cursor, &name, &value, err)) == 1) {
        tr_buf_append_char(&sink->key, index == 0 ? '[' : ',');
        tr_buf_append_slice(&sink->key, value.text);
        if (stmt != NULL && (size_t)index < table->key_count &&
            !bind_value(sink, stmt, first + index, table->key_classes[index], &value))
            return tr_error_set(err, TR_EPOISON, "a key value does not fit its column's type");
        index++;
    }
    tr_buf_append_char(&sink->key, ']');
    if (got != 0)
        return err->code = TR_EPOISON;
    if ((uint32_t)index != rec->shape->key_count)
        return tr_error_set(err, TR_EPOISON, "the record's key has %d columns, the table's %u",
                            index, rec->shape->key_count);
    return tr_buf_check(&sink->key, "a key", err);
}

int sq_bind_key(struct tr_sink *sink, struct sq_table *table, const struct tr_sink_record *rec,
                sqlite3_stmt *stmt, int first, struct tr_error *err)
{
    tr_buf_reset(&sink->text);
    if (tr_buf_reserve(&sink->text, rec->key.length) == NULL)
        return tr_buf_check(&sink->text, "a key", err);
    return each_key_value(sink, rec, table, stmt, first, err);
}

int sq_key_text(struct tr_sink *sink, const struct tr_sink_record *rec, struct tr_error *err)
{
    return each_key_value(sink, rec, NULL, NULL, 0, err);
}
