/*
 * bulk.c - see bulk.h.
 *
 *     {"index":{"_index":"shop.orders","version_type":"external_gte","version":81,"_id":"7"}}\n
 *     {"id":7,…}\n                                       the row, as it came
 *     {"delete":{"_index":"shop.orders","version_type":"external_gte","version":82,"_id":"9"}}\n
 *
 * A line that the server can't take (a version out of range, an _id too long, a newline inside)
 * would have the whole request refused, so these are looked for here.
 */
#include "bulk.h"

#include "json_writer.h"
#include "names.h"

void tr_es_bulk_action(struct tr_buf *out, const char *action, const char *alias)
{
    tr_buf_printf(out, "{\"%s\":{\"_index\":", action);
    tr_json_text(out, tr_slice_of(alias));
    TR_JSON_LITERAL(out, ",\"version_type\":\"external_gte\",\"version\":");
}

static void put_row(struct tr_buf *body, struct tr_slice data)
{
    /* Only white space between values can be a newline: the row was scanned. */
    if (memchr(data.data, '\n', data.length) != NULL)
        tr_json_compact(data, body);
    else
        tr_buf_append_slice(body, data);
    tr_buf_append_char(body, '\n');
}

const char *tr_es_bulk_put(struct tr_buf *body, const struct tr_sink_record *rec,
                           struct tr_buf *scratch)
{
    const struct tr_es_table *table = tr_es_table_of(rec->table);
    size_t start = body->length;
    if (rec->version < 0 || rec->version > TR_VERSION_MAX)
        return "the version is out of range";
    if (!rec->remove && rec->data.length == 0)
        return "the change has no row";
    tr_buf_append_slice(body, rec->remove ? table->delete_action : table->index_action);
    tr_json_int(body, rec->version);
    TR_JSON_LITERAL(body, ",\"_id\":");
    const char *fault = tr_es_id(body, rec->key, scratch);
    if (fault != NULL) {
        body->length = start;
        return fault;
    }
    TR_JSON_LITERAL(body, "}}\n");
    if (!rec->remove)
        put_row(body, rec->data);
    return NULL;
}
