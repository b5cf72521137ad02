/* shape_read.c - a shape's record back into a struct; see control.h. */
#include <stdio.h>

#include "fields.h"
#include "json_writer.h"

#define COLUMNS_MAX 4096 /* as many as a table can have */

/* ---- words ---------------------------------------------------------------------------------- */

static bool sql_type_of(struct tr_slice text, enum tr_sql_type *type)
{
    for (int i = 0; i <= TR_SQL_OTHER; i++)
        if (tr_slice_equal(text, tr_slice_of(tr_sql_type_name((enum tr_sql_type)i)))) {
            *type = (enum tr_sql_type)i;
            return true;
        }
    return false;
}

static bool refine_of(struct tr_slice text, enum tr_refine *refine)
{
    static const char *const names[] = {"", "json", "uuid", "inet4", "inet6"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (tr_slice_equal(text, tr_slice_of(names[i]))) {
            *refine = (enum tr_refine)i;
            return true;
        }
    return false;
}

/* A name as events have it, quoted and escaped the one way that we write. */
static int quote(struct tr_slice plain, struct tr_arena *arena, struct tr_slice *out,
                 struct tr_error *err)
{
    struct tr_buf text;
    tr_buf_init(&text, CONTROL_TEXT_MAX);
    bool good = tr_json_string(&text, plain.data, plain.length) && !text.failed;
    out->length = text.length;
    out->data = good ? tr_arena_copy(arena, text.data, text.length) : NULL;
    tr_buf_done(&text);
    return out->data != NULL ? 0 : tr_error_set(err, TR_ENOMEM, "no memory for a shape's names");
}

/* ---- columns -------------------------------------------------------------------------------- */

struct column_words {
    struct tr_shape_column column;
    struct tr_slice type, refine;
};

static const struct field column_fields[] = {
    FIELD(column_words, column.name, "name", FIELD_TEXT),
    FIELD(column_words, type, "type", FIELD_TEXT),
    FIELD_OPTIONAL(column_words, column.is_unsigned, "unsigned", FIELD_BOOL),
    FIELD(column_words, column.nullable, "nullable", FIELD_BOOL),
    FIELD_OPTIONAL(column_words, column.length, "length", FIELD_U32),
    FIELD_OPTIONAL(column_words, column.scale, "scale", FIELD_U32),
    FIELD_OPTIONAL(column_words, column.fraction, "fraction", FIELD_U32),
    FIELD_OPTIONAL(column_words, column.charset, "charset", FIELD_TEXT),
    FIELD_OPTIONAL(column_words, refine, "refine", FIELD_TEXT),
    {0},
};

static int read_column(struct tr_shape_column *column, const struct tr_json_value *value,
                       struct tr_arena *arena, const char *what, struct tr_error *err)
{
    struct column_words words = {0};
    if (value->type != TR_JSON_OBJECT)
        return tr_error_set(err, TR_ESTATE, "control record: %s: a column is no object", what);
    if (fields_read(value, column_fields, &words, arena, what, err) < 0)
        return err->code;
    if (!sql_type_of(words.type, &words.column.type) ||
        !refine_of(words.refine, &words.column.refine))
        return tr_error_set(err, TR_ESTATE,
                            "control record: %s: column %.*s has the unknown type %.*s %.*s", what,
                            (int)words.column.name.length, words.column.name.data,
                            (int)words.type.length, words.type.data, (int)words.refine.length,
                            words.refine.length == 0 ? "" : words.refine.data);
    *column = words.column;
    return quote(column->name, arena, &column->name_json, err);
}

/* How many items an array has. */
static int count_items(const struct tr_json_value *array, const char *what, uint32_t *count,
                       struct tr_error *err)
{
    struct tr_json_cursor cursor;
    struct tr_json_value ignored, item;
    int got;
    *count = 0;
    tr_json_enter(&cursor, array);
    while ((got = tr_json_next(&cursor, &ignored, &item, err)) > 0)
        ++*count;
    if (got < 0)
        return fields_broken(what, err);
    if (*count > COLUMNS_MAX)
        return tr_error_set(err, TR_ESTATE, "control record: %s has %u columns", what, *count);
    return 0;
}

static int read_columns(struct tr_shape *shape, const struct tr_json_value *array,
                        struct tr_arena *arena, const char *what, struct tr_error *err)
{
    struct tr_json_cursor cursor;
    struct tr_json_value ignored, item;
    int rc = count_items(array, what, &shape->column_count, err);
    if (rc < 0)
        return rc;
    shape->columns = tr_arena_alloc(arena, (shape->column_count + 1) * sizeof(*shape->columns));
    if (shape->columns == NULL)
        return tr_error_set(err, TR_ENOMEM, "no memory for control record %s", what);
    tr_json_enter(&cursor, array);
    for (uint32_t i = 0; i < shape->column_count && rc >= 0; i++) {
        rc = tr_json_next(&cursor, &ignored, &item, err);
        if (rc > 0)
            rc = read_column(&shape->columns[i], &item, arena, what, err);
    }
    return rc < 0 ? fields_broken(what, err) : 0;
}

/* ---- key ------------------------------------------------------------------------------------ */

static int read_key_column(struct tr_shape *shape, uint32_t at, const struct tr_json_value *name,
                           const char *what, struct tr_error *err)
{
    for (uint32_t i = 0; i < shape->column_count && name->type == TR_JSON_STRING; i++)
        if (tr_json_equal(name, shape->columns[i].name)) {
            shape->key[at] = i;
            shape->columns[i].key = true;
            return 0;
        }
    return tr_error_set(err, TR_ESTATE, "control record: %s: %.*s in the key is no column", what,
                        (int)name->text.length, name->text.data);
}

static int read_key(struct tr_shape *shape, const struct tr_json_value *array,
                    struct tr_arena *arena, const char *what, struct tr_error *err)
{
    struct tr_json_cursor cursor;
    struct tr_json_value ignored, item;
    int rc = count_items(array, what, &shape->key_count, err);
    if (rc < 0)
        return rc;
    shape->key = tr_arena_alloc(arena, (shape->key_count + 1) * sizeof(*shape->key));
    if (shape->key == NULL)
        return tr_error_set(err, TR_ENOMEM, "no memory for control record %s", what);
    tr_json_enter(&cursor, array);
    for (uint32_t i = 0; i < shape->key_count && rc >= 0; i++) {
        rc = tr_json_next(&cursor, &ignored, &item, err);
        if (rc > 0)
            rc = read_key_column(shape, i, &item, what, err);
    }
    return rc < 0 ? fields_broken(what, err) : 0;
}

/* ---- the whole ------------------------------------------------------------------------------ */

struct shape_words {
    struct tr_shape shape;
    struct tr_slice topic;
    struct tr_json_value columns, key;
};

static const struct field shape_fields[] = {
    FIELD(shape_words, shape.database, "database", FIELD_TEXT),
    FIELD(shape_words, shape.table, "table", FIELD_TEXT),
    FIELD(shape_words, shape.schema_id, "schema_id", FIELD_I64),
    FIELD(shape_words, topic, "topic", FIELD_TEXT),
    FIELD(shape_words, columns, "columns", FIELD_ARRAY),
    FIELD(shape_words, key, "key", FIELD_ARRAY),
    {0},
};

static int read_shape(struct tr_shape *shape, const struct tr_json_value *object,
                      struct tr_arena *arena, struct tr_error *err)
{
    struct shape_words words = {0};
    char what[256];
    if (fields_read(object, shape_fields, &words, arena, "shape", err) < 0)
        return err->code;
    *shape = words.shape;
    shape->topic = words.topic.data;
    snprintf(what, sizeof(what), "shape of %s.%s", shape->database.data, shape->table.data);
    if (quote(shape->database, arena, &shape->database_json, err) < 0 ||
        quote(shape->table, arena, &shape->table_json, err) < 0)
        return err->code;
    int rc = read_columns(shape, &words.columns, arena, what, err);
    return rc < 0 ? rc : read_key(shape, &words.key, arena, what, err);
}

int tr_shape_read(struct tr_shape **out, struct tr_slice value, struct tr_arena *arena,
                  struct tr_error *err)
{
    struct tr_json_value object;
    if (fields_open(value, &object, "shape", err) < 0)
        return err->code;
    struct tr_shape *shape = tr_arena_alloc(arena, sizeof(*shape));
    if (shape == NULL)
        return tr_error_set(err, TR_ENOMEM, "no memory for a shape");
    *out = shape;
    return read_shape(shape, &object, arena, err);
}
