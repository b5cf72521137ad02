/*
 * event.c - events of rows and markers. See encode.h.
 *
 * database, table, type, version, schema_id, ts, xid, commit?, gtid?, position?, server_id?,
 * thread_id?, query?, invalid?, data, old?: members always come in this order. What is known only
 * later (`commit`, `invalid`) is put in between by moving what follows; both are rare.
 */
#include <string.h>

#include "charset.h"
#include "encoder.h"
#include "json_writer.h"

static const char commit_member[] = ",\"commit\":true";

/* Opens a gap of `length` bytes at `at`; NULL when the buffer cannot grow. */
static char *open_gap(struct tr_buf *out, size_t at, size_t length)
{
    if (out->failed || tr_buf_reserve(out, length) == NULL)
        return NULL;
    memmove(out->data + at + length, out->data + at, out->length - at);
    out->length += length;
    return out->data + at;
}

/* A file name comes from the server and may hold anything. */
static void put_position(const struct tr_encode_header *header, struct tr_buf *out)
{
    struct tr_slice file = header->position_file;
    TR_JSON_LITERAL(out, ",\"position\":");
    if (!tr_json_string(out, file.data, file.length))
        TR_JSON_LITERAL(out, "\"\"");
    if (out->failed)
        return;
    out->length--;
    tr_buf_append_char(out, ':');
    tr_json_uint(out, header->position_offset);
    tr_buf_append_char(out, '"');
}

/* A statement's bytes are in the client's character set, which the log does not say; what is no
 * UTF-8 is taken for latin1, where every byte is a character. */
static void put_query(struct tr_slice query, struct tr_buf *out)
{
    TR_JSON_LITERAL(out, ",\"query\":");
    if (!tr_charset_json(TR_CHARSET_UTF8, query, out))
        (void)!tr_charset_json(TR_CHARSET_LATIN1, query, out);
}

/* From `ts` to `query`. */
static void put_header(const struct tr_encode_header *header, struct tr_buf *out,
                       struct tr_encoded *encoded)
{
    tr_json_int(out, header->ts);
    TR_JSON_LITERAL(out, ",\"xid\":");
    tr_json_int(out, header->xid);
    encoded->commit_at = out->length;
    if (header->commit)
        TR_JSON_LITERAL(out, commit_member);
    if (header->gtid.length > 0) {
        TR_JSON_LITERAL(out, ",\"gtid\":");
        tr_json_text(out, header->gtid);
    }
    if (header->position_file.length > 0)
        put_position(header, out);
    if (header->with_server_id) {
        TR_JSON_LITERAL(out, ",\"server_id\":");
        tr_json_uint(out, header->server_id);
    }
    if (header->with_thread_id) {
        TR_JSON_LITERAL(out, ",\"thread_id\":");
        if (header->thread_id < 0)
            TR_JSON_LITERAL(out, "null");
        else
            tr_json_int(out, header->thread_id);
    }
    if (header->query.length > 0)
        put_query(header->query, out);
}

static inline void put_value(struct encode_column *column, const struct tr_cell *cell,
                             struct tr_buf *out, uint32_t *invalid)
{
    if (cell->data == NULL) {
        TR_JSON_LITERAL(out, "null");
    } else if (!column->value(column->column, cell, out)) {
        column->invalid = true;
        ++*invalid;
    }
}

/* All columns; the first goes without its comma. */
static void put_data(struct tr_encoder *encoder, const struct tr_cell *cells, struct tr_buf *out,
                     uint32_t *invalid)
{
    TR_JSON_LITERAL(out, "\"data\":{");
    for (uint32_t i = 0; i < encoder->column_count; i++) {
        struct encode_column *column = &encoder->columns[i];
        size_t skip = i == 0 ? 1 : 0;
        tr_buf_append(out, column->member.data + skip, column->member.length - skip);
        put_value(column, &cells[column->cell], out, invalid);
    }
    tr_buf_append_char(out, '}');
}

static void put_old(struct tr_encoder *encoder, const struct tr_cell *data,
                    const struct tr_cell *before, struct tr_buf *out, uint32_t *invalid)
{
    size_t skip = 1;
    TR_JSON_LITERAL(out, ",\"old\":{");
    for (uint32_t i = 0; i < encoder->column_count; i++) {
        struct encode_column *column = &encoder->columns[i];
        if (tr_cell_equal(&data[column->cell], &before[column->cell]))
            continue;
        tr_buf_append(out, column->member.data + skip, column->member.length - skip);
        put_value(column, &before[column->cell], out, invalid);
        skip = 0;
    }
    tr_buf_append_char(out, '}');
}

/* Puts `"invalid":[…],` in front of `data`, and forgets which columns they were. */
static void insert_invalid(struct tr_encoder *encoder, size_t data_at, struct tr_buf *out)
{
    static const char head[] = "\"invalid\":[", tail[] = "],";
    size_t length = sizeof(head) - 1 + sizeof(tail) - 1 - 1; /* one name has no comma */
    for (uint32_t i = 0; i < encoder->column_count; i++) {
        if (encoder->columns[i].invalid)
            length += encoder->columns[i].column->shape.name_json.length + 1;
    }
    char *to = open_gap(out, data_at, length);
    if (to != NULL) {
        memcpy(to, head, sizeof(head) - 1);
        to += sizeof(head) - 1;
    }
    bool first = true;
    for (uint32_t i = 0; i < encoder->column_count; i++) {
        struct encode_column *column = &encoder->columns[i];
        if (to != NULL && column->invalid) {
            struct tr_slice name = column->column->shape.name_json;
            if (!first)
                *to++ = ',';
            memcpy(to, name.data, name.length);
            to += name.length;
            first = false;
        }
        column->invalid = false;
    }
    if (to != NULL)
        memcpy(to, tail, sizeof(tail) - 1);
}

void tr_encode_event(struct tr_encoder *encoder, const struct tr_encode_header *header,
                     const struct tr_cell *data, const struct tr_cell *before, struct tr_buf *out,
                     struct tr_encoded *encoded)
{
    encoded->start = out->length;
    encoded->invalid = 0;
    tr_buf_append_slice(out, encoder->heads[header->type]);
    tr_json_int(out, header->version);
    tr_buf_append_slice(out, encoder->schema);
    put_header(header, out, encoded);
    tr_buf_append_char(out, ',');
    size_t data_at = out->length;
    put_data(encoder, data, out, &encoded->invalid);
    if (before != NULL)
        put_old(encoder, data, before, out, &encoded->invalid);
    tr_buf_append_char(out, '}');
    if (encoded->invalid > 0)
        insert_invalid(encoder, data_at, out);
    encoded->end = out->length;
}

bool tr_encode_mark_commit(struct tr_buf *out, const struct tr_encoded *encoded, size_t *moved)
{
    *moved = sizeof(commit_member) - 1;
    char *to = open_gap(out, encoded->commit_at, *moved);
    if (to == NULL)
        return false;
    memcpy(to, commit_member, *moved);
    return true;
}

/* Markers speak of a table whatever its shape: they have neither `schema_id` nor `data`. */
void tr_encode_marker(const struct tr_encode_header *header, struct tr_slice database,
                      struct tr_slice table, struct tr_buf *out, struct tr_encoded *encoded)
{
    encoded->start = out->length;
    encoded->invalid = 0;
    tr_event_put_table(out, database, table);
    TR_JSON_LITERAL(out, ",\"type\":");
    tr_json_text(out, tr_slice_of(tr_event_type_name(header->type)));
    TR_JSON_LITERAL(out, ",\"version\":");
    tr_json_int(out, header->version);
    TR_JSON_LITERAL(out, ",\"ts\":");
    put_header(header, out, encoded);
    tr_buf_append_char(out, '}');
    encoded->end = out->length;
}
