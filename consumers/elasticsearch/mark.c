/*
 * mark.c - see apply.h. Truncate, drop and sweep: the floor first, so that whoever starts after us
 * knows it, then every row below it. Rows are found by a scan for their versions and removed by
 * guarded deletes just below the floor: one that was written anew in between stays.
 */
#include <inttypes.h>

#include "apply.h"
#include "json_writer.h"
#include "scan.h"
#include "state.h"

struct sweep {
    struct tr_sink_lane *lane;
    const struct tr_es_table *table;
    int64_t floor;
};

static int sweep_hit(void *context, const struct tr_es_hit *hit, struct tr_error *err)
{
    (void)err;
    struct sweep *sweep = context;
    struct tr_buf *body = &sweep->lane->body;
    if (hit->version >= sweep->floor)
        return 0;
    tr_buf_append_slice(body, sweep->table->delete_action);
    tr_json_int(body, sweep->floor - 1);
    TR_JSON_LITERAL(body, ",\"_id\":");
    tr_buf_append_slice(body, hit->id.text);
    TR_JSON_LITERAL(body, "}}\n");
    return 0;
}

static int sweep_page(void *context, struct tr_error *err)
{
    struct sweep *sweep = context;
    struct tr_buf *body = &sweep->lane->body;
    int rc = tr_buf_check(body, "a page of deletes", err);
    if (rc == 0)
        rc = tr_es_bulk_all(&sweep->lane->client, (struct tr_slice){body->data, body->length},
                            "the removal of rows below a table's floor", err);
    tr_buf_reset(body);
    return rc;
}

int tr_es_mark(struct tr_sink_lane *lane, struct tr_sink_table *table, enum tr_event_type type,
               int64_t version, struct tr_error *err)
{
    struct sweep sweep = {.lane = lane, .table = tr_es_table_of(table), .floor = version};
    const struct tr_es_visitor visitor = {.context = &sweep, .hit = sweep_hit, .page = sweep_page};
    (void)type; /* all three mean the same here: nothing below the floor */
    tr_buf_reset(&lane->body);
    int rc = tr_es_state_verify(lane->sink, &lane->client, err);
    if (rc == 0)
        rc = tr_es_state_put_floor(lane->sink, &lane->client, table, version, err);
    if (rc == 0)
        rc = tr_es_refresh(&lane->client, sweep.table->path, err);
    if (rc == 0)
        rc = tr_es_scan(&lane->client, sweep.table->path, "{\"version\":true,\"_source\":false}",
                        &visitor, err);
    if (rc != 0)
        tr_error_frame(err, "floor %" PRId64 " of index %s", version, sweep.table->alias);
    return rc;
}
