/* shape.c - shapes: names of types, writing, comparing, copying; see control.h. */
#include "fields.h"
#include "json_writer.h"

static const char *const type_names[] = {
#define SQL_TYPE_NAME(name, text) text,
    TR_SQL_TYPES(SQL_TYPE_NAME)
#undef SQL_TYPE_NAME
};

const char *tr_sql_type_name(enum tr_sql_type type)
{
    return (size_t)type < sizeof(type_names) / sizeof(type_names[0]) ? type_names[type] : "other";
}

static const char *const refine_names[] = {
    [TR_REFINE_NONE] = "",       [TR_REFINE_JSON] = "json",   [TR_REFINE_UUID] = "uuid",
    [TR_REFINE_INET4] = "inet4", [TR_REFINE_INET6] = "inet6",
};

/* ---- writing -------------------------------------------------------------------------------- */

static void write_size(struct tr_buf *out, const char *name, uint32_t size)
{
    if (size == 0)
        return;
    tr_json_member(out, false, name);
    tr_json_uint(out, size);
}

static void write_column(struct tr_buf *out, const struct tr_shape_column *column)
{
    TR_JSON_LITERAL(out, "{\"name\":");
    tr_json_text(out, column->name);
    tr_json_member(out, false, "type");
    tr_json_text(out, tr_slice_of(tr_sql_type_name(column->type)));
    if (column->is_unsigned)
        TR_JSON_LITERAL(out, ",\"unsigned\":true");
    tr_json_member(out, false, "nullable");
    tr_json_bool(out, column->nullable);
    write_size(out, "length", column->length);
    write_size(out, "scale", column->scale);
    write_size(out, "fraction", column->fraction);
    if (column->charset.length > 0) {
        tr_json_member(out, false, "charset");
        tr_json_text(out, column->charset);
    }
    if (column->refine != TR_REFINE_NONE) {
        tr_json_member(out, false, "refine");
        tr_json_text(out, tr_slice_of(refine_names[column->refine]));
    }
    tr_buf_append_char(out, '}');
}

static void write_value(struct tr_buf *out, const struct tr_shape *shape)
{
    TR_JSON_LITERAL(out, "{\"format\":1,\"database\":");
    tr_json_text(out, shape->database);
    tr_json_member(out, false, "table");
    tr_json_text(out, shape->table);
    tr_json_member(out, false, "schema_id");
    tr_json_int(out, shape->schema_id);
    tr_json_member(out, false, "topic");
    tr_json_text(out, tr_slice_of(shape->topic));
    TR_JSON_LITERAL(out, ",\"columns\":[");
    for (uint32_t i = 0; i < shape->column_count; i++) {
        if (i > 0)
            tr_buf_append_char(out, ',');
        write_column(out, &shape->columns[i]);
    }
    TR_JSON_LITERAL(out, "],\"key\":[");
    for (uint32_t i = 0; i < shape->key_count; i++) {
        if (i > 0)
            tr_buf_append_char(out, ',');
        tr_json_text(out, shape->columns[shape->key[i]].name);
    }
    TR_JSON_LITERAL(out, "]}");
}

int tr_shape_write(const struct tr_shape *shape, struct tr_buf *key, struct tr_buf *value,
                   struct tr_error *err)
{
    tr_buf_reset(key);
    tr_buf_reset(value);
    TR_JSON_LITERAL(key, "[\"shape\",");
    tr_json_text(key, shape->database);
    tr_buf_append_char(key, ',');
    tr_json_text(key, shape->table);
    tr_buf_append_char(key, ',');
    tr_json_int(key, shape->schema_id);
    tr_buf_append_char(key, ']');
    write_value(value, shape);
    int rc = tr_buf_check(key, "a shape's key", err);
    return rc < 0 ? rc : tr_buf_check(value, "a shape", err);
}

/* ---- comparing ------------------------------------------------------------------------------ */

static bool column_equal(const struct tr_shape_column *a, const struct tr_shape_column *b)
{
    return tr_slice_equal(a->name, b->name) && a->type == b->type &&
           a->is_unsigned == b->is_unsigned && a->nullable == b->nullable &&
           a->refine == b->refine && a->length == b->length && a->scale == b->scale &&
           a->fraction == b->fraction && tr_slice_equal(a->charset, b->charset);
}

bool tr_shape_equal(const struct tr_shape *a, const struct tr_shape *b)
{
    if (!tr_slice_equal(a->database, b->database) || !tr_slice_equal(a->table, b->table) ||
        strcmp(a->topic, b->topic) != 0 || a->column_count != b->column_count ||
        a->key_count != b->key_count)
        return false;
    for (uint32_t i = 0; i < a->column_count; i++)
        if (!column_equal(&a->columns[i], &b->columns[i]))
            return false;
    for (uint32_t i = 0; i < a->key_count; i++)
        if (a->key[i] != b->key[i])
            return false;
    return true;
}

/* ---- copying -------------------------------------------------------------------------------- */

static bool copy_slice(struct tr_slice *slice, struct tr_arena *arena)
{
    slice->data = tr_arena_copy(arena, slice->length == 0 ? "" : slice->data, slice->length);
    return slice->data != NULL;
}

static bool copy_columns(struct tr_shape *shape, struct tr_arena *arena)
{
    size_t column_bytes = shape->column_count * sizeof(*shape->columns);
    size_t key_bytes = shape->key_count * sizeof(*shape->key);
    struct tr_shape_column *columns = tr_arena_alloc(arena, column_bytes + 1);
    uint32_t *key = tr_arena_alloc(arena, key_bytes + 1);
    if (columns == NULL || key == NULL)
        return false;
    if (column_bytes > 0)
        memcpy(columns, shape->columns, column_bytes);
    if (key_bytes > 0)
        memcpy(key, shape->key, key_bytes);
    shape->columns = columns;
    shape->key = key;
    for (uint32_t i = 0; i < shape->column_count; i++)
        columns[i].key = false;
    for (uint32_t i = 0; i < shape->key_count; i++)
        columns[key[i]].key = true;
    for (uint32_t i = 0; i < shape->column_count; i++)
        if (!copy_slice(&columns[i].name, arena) || !copy_slice(&columns[i].name_json, arena) ||
            !copy_slice(&columns[i].charset, arena))
            return false;
    return true;
}

struct tr_shape *control_shape_copy(const struct tr_shape *from, struct tr_arena *arena)
{
    struct tr_shape *shape = tr_arena_alloc(arena, sizeof(*shape));
    if (shape == NULL)
        return NULL;
    *shape = *from;
    shape->topic = tr_arena_copy(arena, from->topic, strlen(from->topic));
    bool done = shape->topic != NULL && copy_slice(&shape->database, arena) &&
                copy_slice(&shape->table, arena) && copy_slice(&shape->database_json, arena) &&
                copy_slice(&shape->table_json, arena) && copy_columns(shape, arena);
    return done ? shape : NULL;
}

const struct tr_shape_column *tr_shape_find_column(const struct tr_shape *shape,
                                                   struct tr_slice name)
{
    for (uint32_t i = 0; i < shape->column_count; i++)
        if (tr_slice_equal(shape->columns[i].name, name))
            return &shape->columns[i];
    return NULL;
}
