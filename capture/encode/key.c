/* key.c - keys of records. See encode.h. */
#include <string.h>

#include "encoder.h"
#include "json_writer.h"

bool tr_encode_key(struct tr_encoder *encoder, const struct tr_cell *data, struct tr_buf *out)
{
    if (encoder->key_count == 0)
        return false;
    tr_buf_append_slice(out, encoder->key_head);
    for (uint32_t i = 0; i < encoder->key_count; i++) {
        const struct encode_column *column = encoder->key[i].column;
        const struct tr_cell *cell = &data[column->cell];
        tr_buf_append_slice(out, encoder->key[i].member);
        if (cell->data == NULL)
            TR_JSON_LITERAL(out, "null");
        else
            (void)column->value(column->column, cell, out);
    }
    tr_buf_append_char(out, '}');
    return true;
}

bool tr_encode_key_changed(const struct tr_encoder *encoder, const struct tr_cell *before,
                           const struct tr_cell *after)
{
    for (uint32_t i = 0; i < encoder->key_count; i++) {
        uint32_t cell = encoder->key[i].column->cell;
        if (!tr_cell_equal(&before[cell], &after[cell]))
            return true;
    }
    return false;
}
