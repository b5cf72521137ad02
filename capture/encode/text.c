/* text.c - text, bytes, JSON, labels. See values.h. */
#include <string.h>

#include "bytes.h"
#include "charset.h"
#include "json_scan.h"
#include "json_writer.h"
#include "values.h"

#define BINARY_BYTES_MAX 1024 /* more than a BINARY(255) */

static struct tr_slice text_of(const struct tr_cell *cell)
{
    return (struct tr_slice){(const char *)cell->data, cell->length};
}

bool tr_value_text(const struct tr_binlog_column *column, const struct tr_cell *cell,
                   struct tr_buf *out)
{
    return tr_charset_json((enum tr_charset)column->encoding, text_of(cell), out) ||
           tr_value_raw(column, cell, out);
}

/* The log leaves out the zero bytes at the end of a BINARY(n); they belong to the value. */
bool tr_value_binary(const struct tr_binlog_column *column, const struct tr_cell *cell,
                     struct tr_buf *out)
{
    uint8_t padded[BINARY_BYTES_MAX];
    uint32_t full = column->shape.length;
    bool pad = column->shape.type == TR_SQL_BINARY && cell->length < full;
    if (!pad || full > sizeof(padded)) {
        tr_json_base64(out, cell->data, cell->length);
        return true;
    }
    memcpy(padded, cell->data, cell->length);
    memset(padded + cell->length, 0, full - cell->length);
    tr_json_base64(out, padded, full);
    return true;
}

bool tr_value_refined(const struct tr_binlog_column *column, const struct tr_cell *cell,
                      struct tr_buf *out)
{
    (void)tr_value_binary(column, cell, out);
    return false;
}

/* Whether the text is nested so deep that the event around it could not be read any more. Only long
 * text can be. */
static bool is_too_deep(struct tr_slice text)
{
    const size_t around = 2; /* the event and its `data` */
    size_t depth = 0;
    bool quoted = false;
    if (text.length < 2 * (TR_JSON_DEPTH_MAX - around))
        return false;
    for (size_t i = 0; i < text.length; i++) {
        char c = text.data[i];
        if (c == '"')
            quoted = !quoted;
        else if (quoted && c == '\\')
            i++;
        else if (!quoted && (c == '[' || c == '{') && ++depth > TR_JSON_DEPTH_MAX - around)
            return true;
        else if (!quoted && (c == ']' || c == '}'))
            depth--;
    }
    return false;
}

/* Only checked text is passed on, without insignificant white space. Text of another character set
 * is converted behind what was written, then moved to its place. */
bool tr_value_json(const struct tr_binlog_column *column, const struct tr_cell *cell,
                   struct tr_buf *out)
{
    struct tr_slice text = text_of(cell);
    struct tr_json_value value;
    struct tr_error ignored;
    tr_error_reset(&ignored);
    size_t start = out->length;
    if (column->encoding == TR_CHARSET_LATIN1) {
        tr_charset_latin1(text, out);
        size_t length = out->length - start;
        if (tr_buf_reserve(out, length) == NULL)
            return true; /* the buffer says so */
        text = (struct tr_slice){out->data + start, length};
    }
    if (tr_json_parse(text, &value, &ignored) != 0 || is_too_deep(text)) {
        out->length = start;
        return tr_value_raw(column, cell, out);
    }
    size_t converted = out->length - start;
    tr_json_compact(text, out);
    if (converted > 0 && !out->failed) {
        memmove(out->data + start, out->data + start + converted, out->length - start - converted);
        out->length -= converted;
    }
    return true;
}

/* | u8 or u16 number, from 1 | ; 0 is what MySQL stores for a value that is no label. */
bool tr_value_enum(const struct tr_binlog_column *column, const struct tr_cell *cell,
                   struct tr_buf *out)
{
    uint64_t number = bytes_le(cell->data, cell->length);
    if (number == 0) {
        TR_JSON_LITERAL(out, "\"\"");
        return true;
    }
    if (number > column->label_count || column->encoding == TR_CHARSET_OTHER)
        return tr_value_raw(column, cell, out);
    tr_buf_append_slice(out, column->labels_json[number - 1]);
    return true;
}

/* | a bit per label, the first in the lowest | */
bool tr_value_set(const struct tr_binlog_column *column, const struct tr_cell *cell,
                  struct tr_buf *out)
{
    uint64_t bits = bytes_le(cell->data, cell->length);
    uint32_t count = column->label_count;
    if (bits != 0 && (column->encoding == TR_CHARSET_OTHER || (count < 64 && bits >> count != 0)))
        return tr_value_raw(column, cell, out);
    char before = '[';
    for (; bits != 0; bits &= bits - 1) {
        tr_buf_append_char(out, before);
        tr_buf_append_slice(out, column->labels_json[__builtin_ctzll(bits)]);
        before = ',';
    }
    if (before == '[')
        tr_buf_append_char(out, '[');
    tr_buf_append_char(out, ']');
    return true;
}
