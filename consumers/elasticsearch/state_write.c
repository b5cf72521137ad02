/* state_write.c - see state.h. Writing the state. */
#include <inttypes.h>
#include <stdio.h>

#include "json_writer.h"
#include "scan.h"
#include "state.h"
#include "state_text.h"

#define PATH_BYTES_MAX 4096
#define BODY_BYTES_MAX ((size_t)16 << 20)

static const struct tr_slice nothing = {"", 0};

static struct tr_slice slice_of(const struct tr_buf *buf)
{
    return (struct tr_slice){buf->data, buf->length};
}

int tr_es_identify(struct tr_sink *sink, const char *pipeline_id, int generation,
                   struct tr_error *err)
{
    int length = snprintf(sink->pipeline_id, sizeof(sink->pipeline_id), "%s", pipeline_id);
    if (length >= (int)sizeof(sink->pipeline_id))
        return tr_error_set(err, TR_ESTATE, "the store's pipeline id is no such id");
    sink->generation = generation > 0 ? generation : 1;
    return 0;
}

/* ---- documents ---------------------------------------------------------------------------------
 */

static void put_text(struct tr_buf *out, const char *text)
{
    tr_json_text(out, tr_slice_of(text));
}

/* {"index":{"_index":"tailrace-…","require_alias":false,"_id": */
static void put_action(struct tr_buf *out, const struct tr_sink *sink, const char *action)
{
    tr_buf_printf(out, "{\"%s\":{\"_index\":\"%s\",\"require_alias\":false,\"_id\":", action,
                  sink->state_index);
}

/* ["floor","db","table"], as it is in an id. */
static void put_table_id(struct tr_buf *out, const char *kind, const struct tr_sink_table *table)
{
    tr_buf_append_char(out, '[');
    put_text(out, kind);
    tr_buf_append_char(out, ',');
    tr_json_text(out, table->database);
    tr_buf_append_char(out, ',');
    tr_json_text(out, table->table);
    tr_buf_append_char(out, ']');
}

static void put_marker(struct tr_buf *out, const struct tr_sink *sink,
                       const struct tr_sink_state *state)
{
    tr_buf_printf(out, "{\"kind\":\"marker\",\"format\":%d,\"pipeline\":", TR_SINK_FORMAT);
    put_text(out, state->pipeline);
    TR_JSON_LITERAL(out, ",\"pipeline_id\":");
    put_text(out, state->pipeline_id);
    TR_JSON_LITERAL(out, ",\"consumer\":");
    put_text(out, state->consumer);
    tr_buf_printf(out, ",\"generation\":%d}\n", sink->generation);
}

static void put_progress(struct tr_buf *out, const struct tr_sink *sink,
                         const struct tr_sink_progress *progress)
{
    /* Topic names and incarnations hold nothing that JSON would escape. */
    put_action(out, sink, "index");
    tr_buf_printf(out, "\"[\\\"progress\\\",\\\"%s\\\",\\\"%s\\\",%" PRId32 "]\"}}\n",
                  progress->topic, progress->incarnation, progress->partition);
    tr_buf_printf(out,
                  "{\"kind\":\"progress\",\"topic\":\"%s\",\"incarnation\":\"%s\","
                  "\"partition\":%" PRId32 ",\"next\":%" PRId64 "}\n",
                  progress->topic, progress->incarnation, progress->partition, progress->next);
}

void tr_es_state_put(struct tr_sink *sink, const struct tr_sink_progress *progress, size_t count,
                     struct tr_buf *body)
{
    pthread_mutex_lock(&sink->lock);
    const struct tr_es_marker marker = sink->marker;
    pthread_mutex_unlock(&sink->lock);
    /* An update that changes nothing writes nothing, but fails if the document is another one. */
    put_action(body, sink, "update");
    tr_buf_printf(body,
                  "\"marker\",\"if_seq_no\":%" PRId64 ",\"if_primary_term\":%" PRId64
                  "}}\n{\"doc\":{}}\n",
                  marker.seq_no, marker.primary_term);
    for (size_t i = 0; i < count; i++)
        put_progress(body, sink, &progress[i]);
}

/* ---- their results -----------------------------------------------------------------------------
 */

static int refuse(const struct tr_es_item *item, const char *what, struct tr_error *err)
{
    struct tr_buf reason;
    tr_buf_init(&reason, TR_ES_REPLY_BYTES_MAX);
    tr_es_item_reason(item, &reason);
    int code = tr_es_classify(item) == TR_ES_RETRY ? TR_ESTORE_RETRY : TR_ESTORE;
    tr_error_set(err, code, "elasticsearch answers %d to %s: %.*s", item->status, what,
                 (int)reason.length, reason.length > 0 ? reason.data : "");
    tr_buf_done(&reason);
    return err->code;
}

int tr_es_state_take(struct tr_es_reply *reply, size_t progress_count, bool *verify,
                     struct tr_error *err)
{
    struct tr_es_item item;
    *verify = false;
    for (size_t i = 0; i < progress_count + 1; i++) {
        int rc = tr_es_reply_next(reply, &item, err);
        if (rc != 1)
            return rc < 0 ? rc : tr_error_set(err, TR_ESTORE, "a bulk reply misses items");
        if (item.status == 200 || item.status == 201)
            continue;
        if (item.status == 404 || (i == 0 && item.status == 409))
            *verify = true;
        else
            return refuse(&item, i == 0 ? "a check of the marker" : "the progress", err);
    }
    return 0;
}

/* ---- single documents --------------------------------------------------------------------------
 */

static int flush(struct tr_sink *sink, struct tr_es_client *client, struct tr_error *err)
{
    char path[PATH_BYTES_MAX];
    snprintf(path, sizeof(path), "/%s/_flush", sink->state_index);
    return tr_es_call_ok(client, "POST", path, nothing, "a flush of the store's state", err);
}

int tr_es_state_put_floor(struct tr_sink *sink, struct tr_es_client *client,
                          const struct tr_sink_table *table, int64_t version, struct tr_error *err)
{
    struct tr_buf id, body;
    tr_buf_init(&id, PATH_BYTES_MAX);
    tr_buf_init(&body, PATH_BYTES_MAX);
    put_table_id(&id, "floor", table);
    /* The version keeps a floor from ever going down. */
    put_action(&body, sink, "index");
    tr_json_text(&body, slice_of(&id));
    tr_buf_printf(&body, ",\"version\":%" PRId64 ",\"version_type\":\"external_gte\"}}\n", version);
    TR_JSON_LITERAL(&body, "{\"kind\":\"floor\",\"database\":");
    tr_json_text(&body, table->database);
    TR_JSON_LITERAL(&body, ",\"table\":");
    tr_json_text(&body, table->table);
    tr_buf_printf(&body, ",\"version\":%" PRId64 "}\n", version);
    int rc = tr_buf_check(&body, "a floor", err);
    if (rc == 0)
        rc = tr_es_bulk_all(client, slice_of(&body), "a table's floor", err);
    if (rc == 0)
        rc = flush(sink, client, err);
    tr_buf_done(&id);
    tr_buf_done(&body);
    return rc;
}

int tr_es_state_has_table(struct tr_sink *sink, struct tr_es_client *client,
                          const struct tr_sink_table *table, bool *has, struct tr_error *err)
{
    struct tr_buf id, path;
    tr_buf_init(&id, PATH_BYTES_MAX);
    tr_buf_init(&path, PATH_BYTES_MAX);
    put_table_id(&id, "table", table);
    tr_buf_printf(&path, "/%s/_doc/", sink->state_index);
    tr_http_escape(&path, slice_of(&id));
    tr_buf_append_char(&path, '\0');
    int rc = tr_buf_check(&path, "a table's name", err);
    if (rc == 0)
        rc = tr_es_call(client, "GET", path.data, nothing, err);
    if (rc == 0 && client->status != 200 && client->status != 404)
        rc = tr_es_unexpected(client, "a read of the store's state", err);
    *has = rc == 0 && client->status == 200;
    tr_buf_done(&id);
    tr_buf_done(&path);
    return rc;
}

int tr_es_state_put_table(struct tr_sink *sink, struct tr_es_client *client,
                          const struct tr_es_table *table, bool sync, struct tr_error *err)
{
    struct tr_buf id, body;
    tr_buf_init(&id, PATH_BYTES_MAX);
    tr_buf_init(&body, PATH_BYTES_MAX);
    put_table_id(&id, "table", table->source);
    put_action(&body, sink, "index");
    tr_json_text(&body, slice_of(&id));
    TR_JSON_LITERAL(&body, "}}\n{\"kind\":\"table\",\"database\":");
    tr_json_text(&body, table->source->database);
    TR_JSON_LITERAL(&body, ",\"table\":");
    tr_json_text(&body, table->source->table);
    TR_JSON_LITERAL(&body, ",\"alias\":");
    put_text(&body, table->alias);
    TR_JSON_LITERAL(&body, "}\n");
    int rc = tr_buf_check(&body, "a table's entry", err);
    if (rc == 0)
        rc = tr_es_bulk_all(client, slice_of(&body), "a table's entry", err);
    if (rc == 0 && sync)
        rc = flush(sink, client, err);
    tr_buf_done(&id);
    tr_buf_done(&body);
    return rc;
}

/* ---- claim -------------------------------------------------------------------------------------
 */

static int make_index(struct tr_sink *sink, struct tr_error *err)
{
    char path[PATH_BYTES_MAX];
    snprintf(path, sizeof(path), "/%s", sink->state_index);
    int rc = tr_es_call(&sink->client, "PUT", path,
                        TR_SLICE("{\"settings\":{\"index\":{\"number_of_shards\":1,"
                                 "\"number_of_replicas\":0,\"translog\":{\"durability\":"
                                 "\"async\"}}},\"mappings\":{\"dynamic\":false,\"properties\":"
                                 "{\"kind\":{\"type\":\"keyword\"}}}}"),
                        err);
    if (rc != 0 || sink->client.status == 200)
        return rc;
    if (tr_es_error_is(&sink->client, "resource_already_exists_exception"))
        return 0;
    return tr_es_unexpected(&sink->client, "the making of the store's own index", err);
}

struct forgetter {
    struct tr_sink *sink;
    struct tr_buf *body;
};

static int forget_hit(void *context, const struct tr_es_hit *hit, struct tr_error *err)
{
    (void)err;
    struct forgetter *forgetter = context;
    tr_buf_printf(forgetter->body,
                  "{\"delete\":{\"_index\":\"%s\",\"_id\":", forgetter->sink->state_index);
    tr_buf_append_slice(forgetter->body, hit->id.text);
    tr_buf_append(forgetter->body, "}}\n", 3);
    return 0;
}

/* A reset says that the rows come anew: no table is known to have an index, and of no partition is
 * known where we are but what the reset says behind this. */
static int put_forgotten(struct tr_sink *sink, struct tr_buf *body, struct tr_error *err)
{
    char path[PATH_BYTES_MAX];
    struct forgetter forgetter = {sink, body};
    const struct tr_es_visitor visitor = {.context = &forgetter, .hit = forget_hit};
    snprintf(path, sizeof(path), "/%s", sink->state_index);
    int rc = tr_es_refresh(&sink->client, path, err);
    if (rc != 0)
        return rc;
    return tr_es_scan(
        &sink->client, path,
        "{\"_source\":false,\"query\":{\"terms\":{\"kind\":[\"table\",\"progress\"]}}}", &visitor,
        err);
}

static int put_claim(struct tr_sink *sink, const struct tr_sink_state *state, struct tr_error *err)
{
    struct tr_buf body;
    tr_buf_init(&body, BODY_BYTES_MAX);
    int rc = put_forgotten(sink, &body, err);
    if (rc == 0) {
        put_action(&body, sink, "index");
        TR_JSON_LITERAL(&body, "\"marker\"}}\n");
        put_marker(&body, sink, state);
        for (size_t i = 0; i < state->progress_count; i++)
            put_progress(&body, sink, &state->progress[i]);
        rc = tr_buf_check(&body, "the store's state", err);
    }
    rc = rc == 0 ? tr_es_bulk_all(&sink->client, slice_of(&body), "the store's marker", err) : rc;
    tr_buf_done(&body);
    return rc;
}

/* The marker of a new store. 409: another process was quicker, and has perhaps written more. */
static int create_marker(struct tr_sink *sink, const struct tr_sink_state *state,
                         struct tr_error *err)
{
    char path[PATH_BYTES_MAX];
    struct tr_buf body;
    tr_buf_init(&body, BODY_BYTES_MAX);
    put_marker(&body, sink, state);
    snprintf(path, sizeof(path), "/%s/_create/marker", sink->state_index);
    int rc = tr_buf_check(&body, "the store's marker", err);
    rc = rc == 0 ? tr_es_call(&sink->client, "PUT", path, slice_of(&body), err) : rc;
    if (rc == 0 && sink->client.status != 201 && sink->client.status != 409)
        rc = tr_es_unexpected(&sink->client, "the store's marker", err);
    tr_buf_done(&body);
    return rc;
}

int tr_es_state_claim(struct tr_sink *sink, const struct tr_sink_state *state, struct tr_error *err)
{
    int rc = tr_es_identify(sink, state->pipeline_id, state->generation, err);
    rc = rc == 0 ? make_index(sink, err) : rc;
    if (rc == 0)
        rc = state->replace ? put_claim(sink, state, err) : create_marker(sink, state, err);
    rc = rc == 0 ? flush(sink, &sink->client, err) : rc;
    return rc == 0 ? tr_es_state_verify(sink, &sink->client, err) : rc;
}
