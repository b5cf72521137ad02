/*
 * apply.c - a batch is one pipeline: a guarded script call per record, then the progress that was
 * settled before this batch, all sent at once and answered in order.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "kind.h"

void rd_version_text(char *out, int64_t version)
{
    for (int i = RD_VERSION_DIGITS - 1; i >= 0; i--) {
        out[i] = (char)('0' + version % 10);
        version /= 10;
    }
}

void rd_append_version_key(struct rd_connection *connection, struct tr_slice key)
{
    char header[24];
    int used = snprintf(header, sizeof(header), "$%zu\r\n", key.length + sizeof(RD_VERSION_PREFIX));
    tr_buf_append(&connection->out, header, (size_t)used);
    tr_buf_append(&connection->out, RD_VERSION_PREFIX, sizeof(RD_VERSION_PREFIX) - 1);
    tr_buf_append_slice(&connection->out, key);
    tr_buf_append(&connection->out, "}\r\n", 3);
}

static void append_record(struct rd_connection *connection, const struct rd_table *table,
                          const struct tr_sink_record *rec, struct tr_slice key)
{
    char version[RD_VERSION_DIGITS];
    rd_version_text(version, rec->version);
    rd_script(connection, rec->remove ? RD_SCRIPT_DELETE : RD_SCRIPT_SET, 2, rec->remove ? 2 : 3);
    rd_argument(connection, key);
    rd_append_version_key(connection, key);
    rd_argument(connection, (struct tr_slice){version, RD_VERSION_DIGITS});
    if (rec->remove) {
        rd_argument_int(connection, connection->sink->settings->delete_marker_ttl_ms);
    } else {
        rd_argument(connection, rec->data);
        rd_argument_int(connection, table->ttl_ms);
    }
}

static void poison(const struct tr_sink_batch *batch, struct tr_sink_result *result,
                   const struct tr_error *err)
{
    char text[768];
    tr_error_format(err, text, sizeof(text));
    result->status = TR_SINK_POISON;
    result->reason = tr_arena_copy(batch->arena, text, strlen(text));
}

static bool begins(struct tr_slice key, struct tr_slice prefix)
{
    return key.length >= prefix.length && memcmp(key.data, prefix.data, prefix.length) == 0;
}

static int make_key(struct tr_sink_lane *lane, const struct tr_sink_record *rec,
                    struct tr_error *err)
{
    tr_buf_reset(&lane->key);
    int code = rd_fit_record(lane->connection.sink, &lane->fit, rec->table->user, rec->shape, err);
    if (code == 0)
        code = rd_template_key(&lane->fit.kind->template, rec->shape, lane->fit.from, rec->key,
                               &lane->key, err);
    if (code != 0)
        return code;
    struct tr_slice key = {lane->key.data, lane->key.length};
    if (begins(key, TR_SLICE(RD_VERSION_PREFIX)) || begins(key, TR_SLICE(RD_STORE_PREFIX)))
        return tr_error_set(err, TR_EPOISON,
                            "the row's key begins as this program's own keys do; give the table a "
                            "`key:` with a prefix");
    return 0;
}

static int check_size(const struct rd_connection *connection, const struct tr_sink_record *rec,
                      struct tr_error *err)
{
    if ((int64_t)rec->data.length <= connection->value_bytes_max)
        return 0;
    return tr_error_set(err, TR_EPOISON,
                        "the row has %zu bytes, this Redis takes %" PRId64 " (proto-max-bulk-len)",
                        rec->data.length, connection->value_bytes_max);
}

/* Writes a record's command; one that can't be sent is settled at once as POISON. What is wrong
 * with the table's template is everybody's. */
static int prepare(struct tr_sink_lane *lane, const struct tr_sink_batch *batch, size_t index,
                   struct tr_sink_result *result, struct tr_error *err)
{
    const struct tr_sink_record *rec = &batch->records[index];
    struct tr_error own;
    tr_error_reset(&own);
    result->status = TR_SINK_RETRY;
    result->reason = NULL;
    int code = make_key(lane, rec, &own);
    if (code == 0)
        code = check_size(&lane->connection, rec, &own);
    if (code == TR_ECONFIG || code == TR_ENOMEM) {
        *err = own;
        return code;
    }
    if (code != 0)
        poison(batch, result, &own);
    else
        append_record(&lane->connection, rec->table->user, rec,
                      (struct tr_slice){lane->key.data, lane->key.length});
    return 0;
}

/* An error reply concerns the one record, unless it stops everything. */
static int settle(const struct tr_sink_batch *batch, const redisReply *reply,
                  struct tr_sink_result *result, struct tr_error *err)
{
    struct tr_error own;
    tr_error_reset(&own);
    if (reply->type == REDIS_REPLY_INTEGER) {
        result->status = reply->integer == 1 ? TR_SINK_APPLIED : TR_SINK_STALE;
        return 0;
    }
    switch (rd_reply_error(reply, &own)) {
    case TR_EPOISON:
        poison(batch, result, &own);
        return 0;
    case TR_ESTORE_RETRY:
        result->status = TR_SINK_RETRY;
        result->reason = tr_arena_copy(batch->arena, own.text, strlen(own.text));
        return 0;
    default:
        *err = own;
        return own.code;
    }
}

static int receive_record(struct tr_sink_lane *lane, const struct tr_sink_batch *batch,
                          struct tr_sink_result *result, bool *lost_scripts, struct tr_error *err)
{
    redisReply *reply = NULL;
    int code = rd_receive(&lane->connection, &reply, err);
    if (code != 0)
        return code;
    if (reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, "NOSCRIPT", 8) == 0)
        *lost_scripts = true;
    code = settle(batch, reply, result, err);
    freeReplyObject(reply);
    return code;
}

static int receive_state(struct tr_sink_lane *lane, struct tr_error *err)
{
    redisReply *reply = NULL;
    int code = rd_receive(&lane->connection, &reply, err);
    if (code == 0)
        code = rd_state_reply(reply, err);
    freeReplyObject(reply);
    return code;
}

/* The progress carries the number of this lane's pipeline. */
static int receive_progress(struct tr_sink_lane *lane, struct tr_error *err)
{
    int code = receive_state(lane, err);
    if (code == 0)
        lane->connection.answered = lane->connection.sent;
    return code;
}

int rd_apply(struct tr_sink_lane *lane, const struct tr_sink_batch *batch,
             struct tr_sink_result *results, struct tr_error *err)
{
    struct rd_connection *connection = &lane->connection;
    bool lost_scripts = false;
    int code = rd_connection_ready(connection, err);
    if (code != 0)
        return code;
    for (size_t i = 0; code == 0 && i < batch->count; i++)
        code = prepare(lane, batch, i, &results[i], err);
    rd_state_append_progress(connection, batch->settled, batch->settled_count);
    if (code == 0)
        code = rd_send(connection, err);
    for (size_t i = 0; code == 0 && i < batch->count; i++) {
        if (results[i].status != TR_SINK_POISON)
            code = receive_record(lane, batch, &results[i], &lost_scripts, err);
    }
    if (code == 0)
        code = receive_progress(lane, err);
    if (code != 0 || lost_scripts)
        rd_connection_close(connection); /* replies may be left; scripts are loaded at connecting */
    return code;
}

int rd_progress(struct tr_sink_lane *lane, const struct tr_sink_progress *progress, size_t count,
                struct tr_error *err)
{
    int code = rd_connection_ready(&lane->connection, err);
    if (code != 0 || count == 0)
        return code;
    rd_state_append_progress(&lane->connection, progress, count);
    code = rd_send(&lane->connection, err);
    if (code == 0)
        code = receive_progress(lane, err);
    if (code != 0)
        rd_connection_close(&lane->connection);
    return code;
}

int rd_mark(struct tr_sink_lane *lane, struct tr_sink_table *source, enum tr_event_type type,
            int64_t version, struct tr_error *err)
{
    (void)type;
    struct rd_connection *connection = &lane->connection;
    int code = rd_connection_ready(connection, err);
    if (code != 0)
        return code;
    rd_state_append_floor(connection, source, version);
    rd_state_append_progress(connection, NULL, 0);
    code = rd_send(connection, err);
    if (code == 0)
        code = receive_state(lane, err);
    if (code == 0)
        code = receive_progress(lane, err);
    if (code == 0 && source->user != NULL)
        code = rd_sweep(connection, source->user, version, err);
    if (code != 0)
        rd_connection_close(connection);
    return code;
}
