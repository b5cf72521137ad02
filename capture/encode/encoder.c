/* encoder.c - making an encoder. See encode.h. */
#include "encoder.h"

#include <inttypes.h>
#include <stdlib.h>

#include "json_writer.h"

#define ARENA_CHUNK_BYTES ((size_t)16 << 10)
#define TEXT_BYTES_MAX ((size_t)64 << 10) /* of one piece of constant text */

/* Copies the text made so far into the arena and empties the buffer. */
static int keep(struct tr_encoder *encoder, struct tr_buf *text, struct tr_slice *out,
                struct tr_error *err)
{
    if (tr_buf_check(text, "a table's or column's name", err) != 0)
        return err->code;
    out->length = text->length;
    out->data = tr_arena_copy(&encoder->arena, text->data, text->length);
    tr_buf_reset(text);
    return out->data == NULL ? tr_error_set(err, TR_ENOMEM, "no memory for an encoder") : 0;
}

static int make_heads(struct tr_encoder *encoder, const struct tr_shape *shape, struct tr_buf *text,
                      struct tr_error *err)
{
    for (int type = 0; type < TR_EVENT_TYPES; type++) {
        tr_event_put_table(text, shape->database, shape->table);
        tr_buf_printf(
            text, ",\"type\":\"%s\",\"version\":", tr_event_type_name((enum tr_event_type)type));
        if (keep(encoder, text, &encoder->heads[type], err) != 0)
            return err->code;
    }
    tr_buf_printf(text, ",\"schema_id\":%" PRId64 ",\"ts\":", shape->schema_id);
    if (keep(encoder, text, &encoder->schema, err) != 0)
        return err->code;
    tr_event_put_table(text, shape->database, shape->table);
    return keep(encoder, text, &encoder->key_head, err);
}

static int make_column(struct tr_encoder *encoder, const struct tr_binlog_table *table,
                       const struct tr_shape *shape, uint32_t cell, struct tr_buf *text,
                       struct tr_error *err)
{
    uint32_t index = encoder->column_count++;
    struct encode_column *column = &encoder->columns[index];
    column->column = &table->columns[cell];
    column->cell = cell;
    column->invalid = false;
    column->value = tr_value_function(column->column, shape->columns[index].refine);
    tr_buf_append_char(text, ',');
    tr_buf_append_slice(text, column->column->shape.name_json);
    tr_buf_append_char(text, ':');
    return keep(encoder, text, &column->member, err);
}

static int make_columns(struct tr_encoder *encoder, const struct tr_binlog_table *table,
                        const struct tr_shape *shape, struct tr_buf *text, struct tr_error *err)
{
    uint32_t visible = 0;
    for (uint32_t i = 0; i < table->column_count; i++)
        visible += table->columns[i].hidden ? 0 : 1;
    if (visible != shape->column_count)
        return tr_error_set(err, TR_EBUG, "a table map of %.*s has %u columns, its shape %u",
                            (int)shape->table.length, shape->table.data, visible,
                            shape->column_count);
    encoder->columns = tr_arena_alloc(&encoder->arena, (size_t)visible * sizeof(*encoder->columns));
    if (encoder->columns == NULL)
        return tr_error_set(err, TR_ENOMEM, "no memory for an encoder");
    for (uint32_t i = 0; i < table->column_count; i++) {
        if (!table->columns[i].hidden && make_column(encoder, table, shape, i, text, err) != 0)
            return err->code;
    }
    return 0;
}

static int make_key(struct tr_encoder *encoder, const struct tr_shape *shape, struct tr_buf *text,
                    struct tr_error *err)
{
    encoder->key =
        tr_arena_alloc(&encoder->arena, (size_t)shape->key_count * sizeof(*encoder->key));
    if (encoder->key == NULL)
        return tr_error_set(err, TR_ENOMEM, "no memory for an encoder");
    encoder->key_count = shape->key_count;
    for (uint32_t i = 0; i < shape->key_count; i++) {
        if (shape->key[i] >= encoder->column_count)
            return tr_error_set(err, TR_EBUG, "the shape of %.*s has a key column %u of %u",
                                (int)shape->table.length, shape->table.data, shape->key[i],
                                encoder->column_count);
        const struct encode_column *column = &encoder->columns[shape->key[i]];
        struct tr_slice name = column->column->shape.name_json;
        encoder->key[i].column = column;
        TR_JSON_LITERAL(text, ",\"pk.");
        tr_buf_append(text, name.data + 1, name.length - 1);
        tr_buf_append_char(text, ':');
        if (keep(encoder, text, &encoder->key[i].member, err) != 0)
            return err->code;
    }
    return 0;
}

int tr_encoder_new(struct tr_encoder **out, const struct tr_binlog_table *table,
                   const struct tr_shape *shape, struct tr_error *err)
{
    struct tr_encoder *encoder = calloc(1, sizeof(*encoder));
    *out = NULL;
    if (encoder == NULL)
        return tr_error_set(err, TR_ENOMEM, "no memory for an encoder");
    tr_arena_init(&encoder->arena, ARENA_CHUNK_BYTES, 0);
    struct tr_buf text;
    tr_buf_init(&text, TEXT_BYTES_MAX);
    int rc = make_heads(encoder, shape, &text, err);
    if (rc == 0)
        rc = make_columns(encoder, table, shape, &text, err);
    if (rc == 0)
        rc = make_key(encoder, shape, &text, err);
    tr_buf_done(&text);
    if (rc != 0) {
        tr_encoder_free(encoder);
        return rc;
    }
    *out = encoder;
    return 0;
}

void tr_encoder_free(struct tr_encoder *encoder)
{
    if (encoder == NULL)
        return;
    tr_arena_done(&encoder->arena);
    free(encoder);
}
