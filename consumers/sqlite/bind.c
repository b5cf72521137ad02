/*
 * bind.c - a row's JSON into statement parameters, without copying what needs no unescaping.
 *
 * Unescaped strings and decoded bytes of one row go into sink->text, which is grown before the row
 * is bound, so that it never moves while SQLite holds pointers into it.
 */
#include "json_scan.h"
#include "store.h"

static int misfit(const struct tr_shape_column *column, struct tr_error *err)
{
    return tr_error_set(err, TR_EPOISON, "the value of column %.*s does not fit its type",
                        (int)column->name.length, column->name.data);
}

static int bind_string(struct tr_sink *sink, sqlite3_stmt *stmt, int param,
                       const struct tr_json_value *value)
{
    if (value->type != TR_JSON_STRING)
        return sq_bind_slice(stmt, param, value->text);
    if (!value->escaped)
        return sq_bind_slice(stmt, param,
                             (struct tr_slice){value->text.data + 1, value->text.length - 2});
    size_t start = sink->text.length;
    tr_json_unescape(value, &sink->text);
    return sq_bind_slice(stmt, param,
                         (struct tr_slice){sink->text.data + start, sink->text.length - start});
}

static int bind_blob(struct tr_sink *sink, sqlite3_stmt *stmt, int param, size_t start)
{
    size_t length = sink->text.length - start;
    return sqlite3_bind_blob64(stmt, param, length > 0 ? sink->text.data + start : "", length,
                               SQLITE_STATIC);
}

/* In a column that can't be NULL it is the JSON document `null`, which events have in the same
 * form. */
static bool is_null(const struct tr_shape_column *column, const struct tr_json_value *value)
{
    return value->type == TR_JSON_NULL && (column->refine != TR_REFINE_JSON || column->nullable);
}

/* False when the value does not fit the class. */
static bool bind_value(struct tr_sink *sink, sqlite3_stmt *stmt, int param, enum sq_class cls,
                       const struct tr_shape_column *column, const struct tr_json_value *value)
{
    int64_t integer;
    double real;
    size_t start = sink->text.length;
    int native;
    if (is_null(column, value)) {
        native = sqlite3_bind_null(stmt, param);
    } else if (cls == SQ_INTEGER) {
        if (!tr_json_to_int(value, &integer))
            return false;
        native = sqlite3_bind_int64(stmt, param, integer);
    } else if (cls == SQ_REAL) {
        if (!tr_json_to_double(value, &real))
            return false;
        native = sqlite3_bind_double(stmt, param, real);
    } else if (cls == SQ_BLOB) {
        if (!tr_json_to_bytes(value, &sink->text))
            return false;
        native = bind_blob(sink, stmt, param, start);
    } else if (cls == SQ_JSON) {
        native = sq_bind_slice(stmt, param, value->text);
    } else {
        native = bind_string(sink, stmt, param, value);
    }
    if (sink->bind_code == SQLITE_OK)
        sink->bind_code = native;
    return true;
}

/* What could not even be bound: too large for SQLite, or no memory. */
static int check_bound(struct tr_sink *sink, struct tr_error *err)
{
    int native = sink->bind_code;
    sink->bind_code = SQLITE_OK;
    if (native == SQLITE_OK)
        return tr_buf_check(&sink->text, "a row", err);
    int code = native == SQLITE_TOOBIG  ? TR_EPOISON
               : native == SQLITE_NOMEM ? TR_ESTORE_RETRY
                                        : TR_ESTORE;
    return tr_error_set_native(err, code, native, "sqlite: bind a row: %s", sqlite3_errstr(native));
}

static bool is_invalid(const struct tr_sink_record *rec, const struct tr_shape_column *column)
{
    struct tr_json_cursor cursor;
    struct tr_json_value ignored, name;
    struct tr_error err;
    if (rec->invalid.length == 0)
        return false;
    tr_error_reset(&err);
    if (tr_json_open(&cursor, rec->invalid, &err) != 0)
        return false;
    while (tr_json_next(&cursor, &ignored, &name, &err) == 1) {
        if (tr_slice_equal(name.text, column->name_json))
            return true;
    }
    return false;
}

/* A SET is an array, unless it is a text by the `invalid` rule: this can be told from the value
 * alone, and must be, as a record's key has no `invalid`. */
static enum sq_class class_of_value(const struct tr_shape_column *column, enum sq_class cls,
                                    const struct tr_json_value *value)
{
    return column->type == TR_SQL_SET && value->type == TR_JSON_STRING ? SQ_TEXT : cls;
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

static int bind_member(struct tr_sink *sink, struct sq_table *table,
                       const struct tr_sink_record *rec, const struct tr_shape_column *column,
                       const struct tr_json_value *value, struct tr_error *err)
{
    const struct sq_param *param = &table->params[column - rec->shape->columns];
    if (param->number == 0)
        return 0;
    enum sq_class cls =
        is_invalid(rec, column) ? SQ_TEXT : class_of_value(column, param->cls, value);
    return bind_value(sink, table->upsert, param->number, cls, column, value) ? 0
                                                                              : misfit(column, err);
}

/* A row without all its columns is none: nulls in the place of others would be made up. */
static int check_complete(const struct tr_shape *shape, uint32_t members, struct tr_error *err)
{
    if (members == shape->column_count)
        return 0;
    return tr_error_set(err, TR_EPOISON, "the row has %u columns, the table's shape %u", members,
                        shape->column_count);
}

static int bind_members(struct tr_sink *sink, struct sq_table *table,
                        const struct tr_sink_record *rec, bool *null_key, struct tr_error *err)
{
    struct tr_json_cursor cursor;
    struct tr_json_value name, value;
    uint32_t count = 0;
    int got, code = 0;
    if (tr_json_open(&cursor, rec->data, err) != 0)
        return err->code = TR_EPOISON;
    while (code == 0 && (got = tr_json_next(&cursor, &name, &value, err)) != 0) {
        if (got < 0)
            return err->code = TR_EPOISON;
        const struct tr_shape_column *column = column_of(rec->shape, count++, name.text);
        if (column == NULL)
            return tr_error_set(err, TR_EPOISON, "column %.*s is not in the table's shape",
                                (int)name.text.length, name.text.data);
        *null_key = *null_key || (column->key && value.type == TR_JSON_NULL);
        code = bind_member(sink, table, rec, column, &value, err);
    }
    return code != 0 ? code : check_complete(rec->shape, count, err);
}

int sq_bind_row(struct tr_sink *sink, struct sq_table *table, const struct tr_sink_record *rec,
                bool *null_key, struct tr_error *err)
{
    *null_key = false;
    tr_buf_reset(&sink->text);
    if (tr_buf_reserve(&sink->text, rec->data.length) == NULL)
        return tr_buf_check(&sink->text, "a row", err);
    sqlite3_clear_bindings(table->upsert); /* columns that the shape does not have are null */
    sqlite3_bind_int64(table->upsert, 1, rec->version);
    int code = bind_members(sink, table, rec, null_key, err);
    int bound = check_bound(sink, err);
    return code != 0 ? code : bound;
}

static int bind_key_value(struct tr_sink *sink, const struct sq_table *table,
                          const struct tr_shape *shape, uint32_t index, sqlite3_stmt *stmt,
                          const struct tr_json_value *value, struct tr_error *err)
{
    const struct tr_shape_column *column = &shape->columns[shape->key[index]];
    enum sq_class cls = class_of_value(column, table->params[shape->key[index]].cls, value);
    return bind_value(sink, stmt, (int)index + 1, cls, column, value) ? 0 : misfit(column, err);
}

static int each_key_value(struct tr_sink *sink, const struct tr_sink_record *rec,
                          struct sq_table *table, sqlite3_stmt *stmt, struct tr_error *err)
{
    const struct tr_shape *shape = rec->shape;
    struct tr_event_key_cursor cursor;
    struct tr_json_value name, value;
    uint32_t index = 0;
    int got;
    tr_event_key_enter(&cursor, rec->key);
    tr_buf_reset(&sink->key);
    for (; (got = tr_event_key_next(&cursor, &name, &value, err)) == 1; index++) {
        if (index >= shape->key_count ||
            !tr_event_key_names(&name, shape->columns[shape->key[index]].name_json))
            return tr_error_set(err, TR_EPOISON,
                                "%.*s of the record's key is not in the key of the table's shape",
                                (int)name.text.length, name.text.data);
        tr_buf_append_char(&sink->key, index == 0 ? '[' : ',');
        tr_buf_append_slice(&sink->key, value.text);
        if (stmt != NULL && bind_key_value(sink, table, shape, index, stmt, &value, err) != 0)
            return err->code;
    }
    tr_buf_append_char(&sink->key, ']');
    if (got != 0)
        return err->code = TR_EPOISON;
    if (index != shape->key_count)
        return tr_error_set(err, TR_EPOISON, "the record's key has %u columns, the table's %u",
                            index, shape->key_count);
    return tr_buf_check(&sink->key, "a key", err);
}

int sq_bind_key(struct tr_sink *sink, struct sq_table *table, const struct tr_sink_record *rec,
                sqlite3_stmt *stmt, struct tr_error *err)
{
    tr_buf_reset(&sink->text);
    if (tr_buf_reserve(&sink->text, rec->key.length) == NULL)
        return tr_buf_check(&sink->text, "a key", err);
    int code = each_key_value(sink, rec, table, stmt, err);
    int bound = check_bound(sink, err);
    return code != 0 ? code : bound;
}

int sq_key_text(struct tr_sink *sink, const struct tr_sink_record *rec, struct tr_error *err)
{
    return each_key_value(sink, rec, NULL, NULL, err);
}
