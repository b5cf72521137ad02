/*
 * apply.c - see apply.h. A batch is one bulk; its first items are the marker's check and the
 * progress, then a row each. What the server refuses as a whole is halved until the one record that
 * it can't take stands alone.
 */
#include "apply.h"

#include <stdlib.h>

#include "bulk.h"
#include "index.h"
#include "reply.h"
#include "scan.h"
#include "state.h"

static struct tr_slice slice_of(const struct tr_buf *buf)
{
    return (struct tr_slice){buf->data, buf->length};
}

/* A part of a batch on its way. */
struct part {
    const struct tr_sink_batch *batch;
    struct tr_sink_result *results;
    size_t from, to;
    bool with_state; /* the marker's check and the progress go along */
    bool refused;    /* as a whole: to be halved */
    char reason[512];
};

static const char *keep(struct tr_arena *arena, const char *data, size_t length)
{
    const char *copy = tr_arena_copy(arena, data, length);
    return copy != NULL ? copy : "refused by elasticsearch";
}

static void set_result(struct tr_sink_result *result, enum tr_sink_status status,
                       const char *reason)
{
    *result = (struct tr_sink_result){.status = status, .reason = reason};
}

/* ---- before sending ----------------------------------------------------------------------------
 */

static int prepare_tables(struct tr_sink_lane *lane, const struct tr_sink_batch *batch,
                          struct tr_error *err)
{
    for (size_t i = 0; i < batch->count; i++) {
        const struct tr_sink_record *rec = &batch->records[i];
        if (rec->shape == lane->ready)
            continue;
        int rc = tr_es_index_prepare(lane->sink, &lane->client, tr_es_table_of(rec->table),
                                     rec->shape, err);
        if (rc != 0)
            return rc;
        lane->ready = rec->shape;
    }
    return 0;
}

static int make_room(struct tr_sink_lane *lane, size_t count, struct tr_error *err)
{
    if (count <= lane->sent_capacity)
        return 0;
    uint32_t *sent = realloc(lane->sent, count * sizeof(*sent));
    if (sent == NULL)
        return tr_error_set(err, TR_ENOMEM, "no memory for a batch of %zu records", count);
    lane->sent = sent;
    lane->sent_capacity = count;
    return 0;
}

static void refuse_part(struct part *part, const char *reason)
{
    part->refused = true;
    snprintf(part->reason, sizeof(part->reason), "%s", reason);
}

static void build(struct tr_sink_lane *lane, struct part *part)
{
    const struct tr_sink_batch *batch = part->batch;
    tr_buf_reset(&lane->body);
    lane->sent_count = 0;
    if (part->with_state)
        tr_es_state_put(lane->sink, batch->settled, batch->settled_count, &lane->body);
    for (size_t i = part->from; i < part->to && !lane->body.failed; i++) {
        const char *fault = tr_es_bulk_put(&lane->body, &batch->records[i], &lane->scratch);
        if (fault != NULL)
            set_result(&part->results[i], TR_SINK_POISON, fault);
        else
            lane->sent[lane->sent_count++] = (uint32_t)i;
    }
    if (lane->body.failed)
        refuse_part(part, "the row is larger than the server takes in one request");
}

/* ---- the reply ---------------------------------------------------------------------------------
 */

/* What stops the process. Called when no row of the batch may be counted. */
static int stop(struct tr_sink_lane *lane, const struct tr_sink_record *rec,
                const struct tr_es_item *item, enum tr_es_verdict verdict, struct tr_error *err)
{
    const char *alias = tr_es_table_of(rec->table)->alias;
    tr_buf_reset(&lane->scratch);
    tr_es_item_reason(item, &lane->scratch);
    int length = (int)lane->scratch.length;
    const char *reason = length > 0 ? lane->scratch.data : "";
    if (verdict == TR_ES_CLOSED)
        return tr_error_set(err, TR_ESTORE,
                            "elasticsearch: index %s is closed; open it (POST /%s/_open) and start "
                            "again",
                            alias, alias);
    if (verdict == TR_ES_BLOCKED)
        return tr_error_set(err, TR_ESTORE,
                            "elasticsearch: index %s takes no writes: %.*s; lift the block or set "
                            "the alias right, and start again",
                            alias, length, reason);
    if (verdict == TR_ES_MISSING)
        return tr_error_set(err, TR_ESTATE,
                            "elasticsearch: index %s vanished: %.*s; `tailrace-elasticsearch reset "
                            "--to beginning` fills it again",
                            alias, length, reason);
    return tr_error_set(err, TR_ESTORE, "elasticsearch: index %s: unknown answer %d: %.*s", alias,
                        item->status, length, reason);
}

static int take_item(struct tr_sink_lane *lane, struct part *part, size_t index,
                     const struct tr_es_item *item, struct tr_error *err)
{
    struct tr_sink_result *result = &part->results[index];
    enum tr_es_verdict verdict = tr_es_classify(item);
    switch (verdict) {
    case TR_ES_APPLIED:
        set_result(result, TR_SINK_APPLIED, NULL);
        return 0;
    case TR_ES_STALE:
        set_result(result, TR_SINK_STALE, NULL);
        return 0;
    case TR_ES_RETRY:
    case TR_ES_POISON:
        tr_buf_reset(&lane->scratch);
        tr_es_item_reason(item, &lane->scratch);
        set_result(result, verdict == TR_ES_RETRY ? TR_SINK_RETRY : TR_SINK_POISON,
                   keep(part->batch->arena, lane->scratch.data, lane->scratch.length));
        return 0;
    default:
        return stop(lane, &part->batch->records[index], item, verdict, err);
    }
}

static int take_rows(struct tr_sink_lane *lane, struct part *part, struct tr_es_reply *reply,
                     struct tr_error *err)
{
    struct tr_es_item item;
    for (size_t i = 0; i < lane->sent_count; i++) {
        int rc = tr_es_reply_next(reply, &item, err);
        if (rc == 0)
            return tr_error_set(err, TR_ESTORE, "elasticsearch: a bulk reply misses items");
        if (rc == 1)
            rc = take_item(lane, part, lane->sent[i], &item, err);
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* A vanished index may be all of the store's: the marker tells which message is right. */
static int explain(struct tr_sink_lane *lane, struct tr_error *err)
{
    struct tr_error other = {0};
    if (err->code == TR_ESTATE &&
        tr_es_state_verify(lane->sink, &lane->client, &other) == TR_ESTATE)
        *err = other;
    return err->code;
}

static int take_reply(struct tr_sink_lane *lane, struct part *part, struct tr_error *err)
{
    struct tr_es_reply reply;
    bool verify = false;
    int rc = tr_es_reply_open(&reply, slice_of(&lane->client.reply), err);
    if (rc == 0 && part->with_state)
        rc = tr_es_state_take(&reply, part->batch->settled_count, &verify, err);
    if (rc == 0)
        rc = take_rows(lane, part, &reply, err);
    if (tr_es_understood(rc, "a bulk", err) != 0)
        return explain(lane, err);
    return verify ? tr_es_state_verify(lane->sink, &lane->client, err) : 0;
}

/* ---- parts -------------------------------------------------------------------------------------
 */

static int send(struct tr_sink_lane *lane, struct part *part, struct tr_error *err)
{
    part->refused = false;
    build(lane, part);
    if (part->refused || lane->body.length == 0)
        return 0;
    int rc = tr_es_call(&lane->client, "POST", TR_ES_BULK_PATH, slice_of(&lane->body), err);
    if (rc != 0)
        return rc;
    if (lane->client.status == 200)
        return take_reply(lane, part, err);
    if (lane->client.status != 400 && lane->client.status != 413)
        return tr_es_unexpected(&lane->client, "a bulk", err);
    tr_buf_reset(&lane->scratch);
    tr_es_error_reason(slice_of(&lane->client.reply), &lane->scratch);
    tr_buf_append_char(&lane->scratch, '\0');
    refuse_part(part, lane->client.status == 413
                          ? "the row is larger than the server takes in one request"
                          : lane->scratch.data);
    return 0;
}

/* Sends what was refused as a whole in halves; a record that is refused alone is poison. */
static int send_halves(struct tr_sink_lane *lane, const struct part *whole, struct tr_error *err)
{
    size_t step = whole->to - whole->from;
    struct part part = *whole;
    part.with_state = false;
    while (part.from < whole->to) {
        size_t left = whole->to - part.from;
        part.to = part.from + (step < left ? step : left);
        int rc = send(lane, &part, err);
        if (rc != 0)
            return rc;
        if (part.refused && part.to - part.from > 1) {
            step = (part.to - part.from) / 2;
            continue;
        }
        if (part.refused) {
            set_result(&part.results[part.from], TR_SINK_POISON,
                       keep(part.batch->arena, part.reason, strlen(part.reason)));
            step = whole->to - part.from; /* hope again */
        }
        part.from = part.to;
    }
    return 0;
}

int tr_es_apply(struct tr_sink_lane *lane, const struct tr_sink_batch *batch,
                struct tr_sink_result *results, struct tr_error *err)
{
    struct part part = {.batch = batch, .results = results, .to = batch->count, .with_state = true};
    int rc = prepare_tables(lane, batch, err);
    rc = rc == 0 ? make_room(lane, batch->count, err) : rc;
    rc = rc == 0 ? send(lane, &part, err) : rc;
    if (rc != 0 || !part.refused)
        return rc;
    rc = tr_es_progress(lane, batch->settled, batch->settled_count, err);
    return rc == 0 ? send_halves(lane, &part, err) : rc;
}

/* ---- progress alone, lanes ---------------------------------------------------------------------
 */

int tr_es_progress(struct tr_sink_lane *lane, const struct tr_sink_progress *progress, size_t count,
                   struct tr_error *err)
{
    struct tr_es_reply reply;
    bool verify = false;
    tr_buf_reset(&lane->body);
    tr_es_state_put(lane->sink, progress, count, &lane->body);
    int rc = tr_buf_check(&lane->body, "the progress", err);
    if (rc == 0)
        rc = tr_es_call_ok(&lane->client, "POST", TR_ES_BULK_PATH, slice_of(&lane->body),
                           "the progress", err);
    if (rc == 0)
        rc = tr_es_reply_open(&reply, slice_of(&lane->client.reply), err);
    if (rc == 0)
        rc = tr_es_state_take(&reply, count, &verify, err);
    if (rc == 0 && verify)
        rc = tr_es_state_verify(lane->sink, &lane->client, err);
    return tr_es_understood(rc, "the progress", err);
}

int tr_es_lane_open(struct tr_sink *sink, unsigned number, struct tr_sink_lane **out,
                    struct tr_error *err)
{
    (void)number;
    struct tr_sink_lane *lane = calloc(1, sizeof(*lane));
    if (lane == NULL)
        return tr_error_set(err, TR_ENOMEM, "no memory for a lane");
    lane->sink = sink;
    tr_buf_init(&lane->body, sink->body_bytes_max);
    tr_buf_init(&lane->scratch, TR_ES_SCRATCH_MAX);
    int rc = tr_es_client_init(&lane->client, &sink->settings->server, err);
    lane->client.url = sink->client.url;
    if (rc != 0) {
        tr_es_lane_close(lane);
        return rc;
    }
    *out = lane;
    return 0;
}

void tr_es_lane_close(struct tr_sink_lane *lane)
{
    if (lane == NULL)
        return;
    tr_es_client_done(&lane->client);
    tr_buf_done(&lane->body);
    tr_buf_done(&lane->scratch);
    free(lane->sent);
    free(lane);
}
