/* to_kafka.c - see to_kafka.h. */
#include "to_kafka.h"

#include <inttypes.h>
#include <stdio.h>

#include "clock.h"
#include "hash.h"
#include "killpoint.h"
#include "log.h"

#define WAIT_MS 100
#define AGAIN_FIRST_MS 250
#define AGAIN_MAX_MS 5000
#define READ_MS 30000
/* What the broker's batch and record headers take at most, beside key, value and our header. */
#define RECORD_OVERHEAD 256
/* What the producer's queue has beside its largest record. */
#define QUEUE_ROOM ((size_t)1 << 20)

/* Every message's opaque is a counter of what is still outstanding. */
static void delivered(void *context, void *opaque, int code, const char *text)
{
    struct tr_to_kafka *to = context;
    uint64_t *outstanding = opaque;
    if (code == 0) {
        (*outstanding)--;
        return;
    }
    if (to->failed == 0) {
        to->failed = code;
        snprintf(to->failure, sizeof(to->failure), "%s", text);
    }
}

static int delivery_failure(const struct tr_to_kafka *to, struct tr_error *err)
{
    if (to->failed == 0)
        return 0;
    if (to->failed == TR_ELIMIT)
        return tr_error_set(err, TR_EKAFKA,
                            "the broker refused a record as too large (%s): raise the topic's "
                            "max.message.bytes",
                            to->failure);
    return tr_error_set(err, to->failed,
                        "a record was not delivered: %s; if a topic was deleted, start again: it "
                        "is made anew, and what was not acknowledged is sent again",
                        to->failure);
}

/* ---- life ----------------------------------------------------------------------------------- */

static struct tr_node batch_size_node(const struct tr_to_kafka *to, char *text, size_t size)
{
    snprintf(text, size, "%" PRId64, to->batch_size);
    return (struct tr_node){
        .type = TR_NODE_SCALAR,
        .key = "batch.size",
        .text = text,
        .next = to->config.properties == NULL ? NULL : to->config.properties->child,
    };
}

int tr_to_kafka_make_producer(struct tr_to_kafka *to, struct tr_error *err)
{
    tr_kafka_producer_free(to->producer);
    to->producer = NULL;
    char text[24];
    struct tr_node batch_size = batch_size_node(to, text, sizeof(text));
    const struct tr_node with_size = {.type = TR_NODE_MAP, .child = &batch_size};
    char client[TR_TOPIC_NAME_MAX + 32];
    snprintf(client, sizeof(client), "tailrace.%s.capture", to->config.pipeline);
    struct tr_kafka_producer_config config = {
        .properties = to->own_batch_size ? to->config.properties : &with_size,
        .client_id = client,
        .queue_bytes_max = to->queue_bytes,
        .linger_ms = 1,
        .delivered = delivered,
        .context = to,
    };
    return tr_kafka_producer_new(&to->producer, &config, err);
}

int tr_to_kafka_open(struct tr_to_kafka *to, const struct tr_to_kafka_config *config,
                     struct tr_error *err)
{
    memset(to, 0, sizeof(*to));
    to->config = *config;
    tr_topics_init(&to->topics);
    tr_needs_init(&to->needs);
    tr_epochs_init(&to->epochs);
    tr_buf_init(&to->key, 1 << 20);
    tr_buf_init(&to->value, 64 << 20);
    to->batch_size = 1000000;
    to->queue_bytes = config->queue_bytes;
    if (config->properties != NULL && tr_node_get(config->properties, "batch.size") != NULL)
        to->own_batch_size = true;
    int rc = tr_topic_control(to->control_topic, config->pipeline, err);
    if (rc == 0)
        rc = tr_topic_schema_changes(to->schema_changes_topic, config->pipeline, err);
    if (rc == 0)
        rc = tr_to_kafka_make_producer(to, err);
    if (rc == 0)
        rc = tr_to_kafka_make_own_topics(to, err);
    return rc;
}

void tr_to_kafka_close(struct tr_to_kafka *to)
{
    tr_kafka_producer_free(to->producer);
    to->producer = NULL;
    tr_topics_done(&to->topics);
    tr_needs_done(&to->needs);
    tr_buf_done(&to->key);
    tr_buf_done(&to->value);
}

/* ---- waiting -------------------------------------------------------------------------------- */

int tr_to_kafka_again(struct tr_to_kafka *to, int *attempt, struct tr_error *err)
{
    int64_t wait = AGAIN_FIRST_MS;
    for (int i = 0; i < *attempt && wait < AGAIN_MAX_MS; i++)
        wait *= 2;
    wait = wait < AGAIN_MAX_MS ? wait : AGAIN_MAX_MS;
    (*attempt)++;
    char next[64];
    snprintf(next, sizeof(next), "trying again in %" PRId64 " ms", wait);
    tr_log_error(TR_LOG_WARN, "kafka", err, next);
    tr_error_reset(err);
    for (int64_t slept = 0; slept < wait; slept += WAIT_MS) {
        if (to->config.give_up(to->config.context))
            return tr_error_set(err, TR_ESTOPPED, "stopped while Kafka was not reachable");
        tr_clock_sleep_ms(WAIT_MS);
    }
    return 0;
}

int tr_to_kafka_poll(struct tr_to_kafka *to, int timeout_ms, struct tr_error *err)
{
    tr_kafka_producer_poll(to->producer, timeout_ms);
    int rc = delivery_failure(to, err);
    if (rc == 0)
        rc = tr_kafka_producer_fatal(to->producer, err);
    if (rc == 0 && tr_epochs_settle(&to->epochs, &to->acked)) {
        tr_kill_point("after-ack");
        to->acked_moved = true;
    }
    return rc;
}

static int wait_for(struct tr_to_kafka *to, const uint64_t *outstanding, struct tr_error *err)
{
    int rc = 0;
    while (rc == 0 && *outstanding > 0) {
        rc = tr_to_kafka_poll(to, WAIT_MS, err);
        if (rc == 0 && *outstanding > 0 && to->config.give_up(to->config.context))
            rc = tr_error_set(err, TR_ESTOPPED, "stopped while records were not acknowledged");
    }
    return rc;
}

int tr_to_kafka_drain(struct tr_to_kafka *to, struct tr_error *err)
{
    int rc = tr_to_kafka_poll(to, 0, err);
    while (rc == 0 && tr_to_kafka_busy(to)) {
        if (to->config.give_up(to->config.context))
            return tr_error_set(err, TR_ESTOPPED, "stopped while records were not acknowledged");
        rc = tr_to_kafka_poll(to, WAIT_MS, err);
    }
    return rc;
}

bool tr_to_kafka_busy(const struct tr_to_kafka *to)
{
    return to->epochs.count > 0 || to->checkpoint_outstanding > 0;
}

/* ---- sending -------------------------------------------------------------------------------- */

int tr_to_kafka_remake_producer(struct tr_to_kafka *to, struct tr_error *err)
{
    int rc = 0;
    /* The caller's epoch is the newest, and is never complete before the caller says so. */
    while (rc == 0 && tr_kafka_producer_pending(to->producer) > 0) {
        rc = tr_to_kafka_poll(to, WAIT_MS, err);
        if (rc == 0 && to->config.give_up(to->config.context))
            rc = tr_error_set(err, TR_ESTOPPED, "stopped while records were not acknowledged");
    }
    return rc != 0 ? rc : tr_to_kafka_make_producer(to, err);
}

/* The producer takes no record that is larger than its queue, and has its queue's size from birth.
 */
static int fit_queue(struct tr_to_kafka *to, const struct tr_kafka_out *out, struct tr_error *err)
{
    size_t bytes = out->key.length + out->value.length;
    if (bytes + RECORD_OVERHEAD <= to->queue_bytes)
        return 0;
    to->queue_bytes = bytes + QUEUE_ROOM;
    tr_log(TR_LOG_INFO, "publish", "larger queue for a large record", TR_STR("topic", out->topic),
           TR_INT("record_bytes", bytes), TR_INT("queue_bytes", to->queue_bytes), TR_END);
    return tr_to_kafka_remake_producer(to, err);
}

/* Sends one message, waiting while the queue is full. */
static int send(struct tr_to_kafka *to, struct tr_kafka_out *out, uint64_t *outstanding,
                struct tr_error *err)
{
    out->opaque = outstanding;
    int fits = fit_queue(to, out, err);
    if (fits != 0)
        return fits;
    for (;;) {
        (*outstanding)++;
        int rc = tr_kafka_producer_send(to->producer, out, err);
        if (rc == 0)
            return 0;
        (*outstanding)--;
        if (rc != TR_EKAFKA_RETRY)
            return rc;
        tr_error_reset(err);
        rc = tr_to_kafka_poll(to, WAIT_MS, err);
        if (rc != 0)
            return rc;
        if (to->config.give_up(to->config.context))
            return tr_error_set(err, TR_ESTOPPED, "stopped while Kafka was not reachable");
    }
}

int tr_to_kafka_put_control(struct tr_to_kafka *to, struct tr_error *err)
{
    uint64_t outstanding = 0;
    struct tr_kafka_out out = {
        .topic = to->control_topic,
        .partition = 0,
        .key = {to->key.data, to->key.length},
        .value = {to->value.data, to->value.length},
    };
    int rc = send(to, &out, &outstanding, err);
    if (rc == 0)
        rc = wait_for(to, &outstanding, err);
    if (outstanding > 0) {
        /* The counter dies with this call: nothing may be told to it any more. */
        tr_kafka_producer_free(to->producer);
        to->producer = NULL;
    }
    return rc;
}

static int send_shapes(struct tr_to_kafka *to, const struct tr_batch *batch, struct tr_error *err)
{
    for (size_t i = 0; i < batch->shape_count; i++) {
        const struct tr_shape *shape = batch->shapes[i];
        uint32_t number;
        int rc = tr_topics_number(&to->topics, shape->topic, &number, err);
        if (rc == 0)
            rc = tr_to_kafka_ready(to, tr_topics_at(&to->topics, number), err);
        if (rc == 0)
            rc = tr_shape_write(shape, &to->key, &to->value, err);
        if (rc == 0)
            rc = tr_to_kafka_put_control(to, err);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int too_large(const struct tr_batch *batch, const struct tr_record *rec,
                     const struct tr_topic_state *state, struct tr_error *err)
{
    struct tr_slice key = tr_batch_key(batch, rec);
    int key_shown = key.length < 200 ? (int)key.length : 200;
    const struct tr_shape *shape = rec->shape;
    return tr_error_set(
        err, TR_EKAFKA,
        "table %.*s.%.*s: the row with key %.*s at %s:%" PRIu64 " makes a record of "
        "%zu bytes, and topic %s takes %" PRId64 ": raise its max.message.bytes "
        "(kafka-configs) and start again",
        (int)shape->database.length, shape->database.data, (int)shape->table.length,
        shape->table.data, key_shown, key.data, batch->file, rec->position,
        (size_t)rec->key_length + rec->value_length, state->topic.name, state->message_bytes_max);
}

/* The producer's own limits, which the user has set lower than the topic's. */
static int refused(const struct tr_batch *batch, const struct tr_record *rec, struct tr_error *err)
{
    struct tr_slice key = tr_batch_key(batch, rec);
    int key_shown = key.length < 100 ? (int)key.length : 100;
    const struct tr_shape *shape = rec->shape;
    struct tr_error library = *err;
    tr_error_reset(err);
    return tr_error_set(err, TR_EKAFKA,
                        "table %.*s.%.*s: the row with key %.*s at %s:%" PRIu64 ": %s; leave "
                        "message.max.bytes and queue.buffering.max.kbytes out of kafka:, or raise "
                        "them, and start again",
                        (int)shape->database.length, shape->database.data, (int)shape->table.length,
                        shape->table.data, key_shown, key.data, batch->file, rec->position,
                        library.text);
}

static int send_row(struct tr_to_kafka *to, const struct tr_batch *batch,
                    const struct tr_record *rec, struct tr_epoch *epoch, struct tr_error *err)
{
    struct tr_topic_state *state = tr_topics_at(&to->topics, rec->topic);
    if (!state->ready) {
        int rc = tr_to_kafka_ready(to, state, err);
        if (rc != 0)
            return rc;
    }
    int64_t size = (int64_t)rec->key_length + rec->value_length + RECORD_OVERHEAD;
    if (state->message_bytes_max > 0 && size > state->message_bytes_max)
        return too_large(batch, rec, state, err);
    struct tr_slice key = tr_batch_key(batch, rec);
    char version[24];
    struct tr_kafka_header header = {"tailrace-version", {version, 0}};
    struct tr_kafka_out out = {
        .topic = state->topic.name,
        .partition = tr_hash_partition(key.data, key.length, state->topic.partitions),
        .key = key,
        .value = tr_batch_value(batch, rec),
    };
    if (rec->kind == TR_RECORD_TOMBSTONE) {
        header.value.length = (size_t)snprintf(version, sizeof(version), "%" PRId64, rec->version);
        out.headers = &header;
        out.header_count = 1;
        out.tombstone = true;
    }
    int rc = send(to, &out, &epoch->outstanding, err);
    return rc == TR_ELIMIT ? refused(batch, rec, err) : rc;
}

static int send_marker(struct tr_to_kafka *to, const struct tr_batch *batch,
                       const struct tr_record *rec, struct tr_epoch *epoch, struct tr_error *err)
{
    struct tr_topic_state *state = tr_topics_at(&to->topics, rec->topic);
    int rc = tr_to_kafka_ready(to, state, err);
    for (int32_t i = 0; rc == 0 && i < state->topic.partitions; i++) {
        struct tr_kafka_out out = {
            .topic = state->topic.name,
            .partition = i,
            .key = tr_batch_key(batch, rec),
            .value = tr_batch_value(batch, rec),
        };
        rc = send(to, &out, &epoch->outstanding, err);
    }
    return rc;
}

static int send_record(struct tr_to_kafka *to, const struct tr_batch *batch,
                       const struct tr_record *rec, struct tr_epoch *epoch, struct tr_error *err)
{
    struct tr_kafka_out out;
    switch (rec->kind) {
    case TR_RECORD_ROW:
    case TR_RECORD_TOMBSTONE:
        return send_row(to, batch, rec, epoch, err);
    case TR_RECORD_MARKER:
        return send_marker(to, batch, rec, epoch, err);
    case TR_RECORD_DDL:
        out = (struct tr_kafka_out){
            .topic = to->schema_changes_topic,
            .partition = 0,
            .value = tr_batch_value(batch, rec),
        };
        return send(to, &out, &epoch->outstanding, err);
    }
    return tr_error_set(err, TR_EBUG, "record of kind %d", (int)rec->kind);
}

/* Room for one more epoch: waits for the oldest. */
static int open_epoch(struct tr_to_kafka *to, const struct tr_batch *batch, struct tr_epoch **epoch,
                      struct tr_error *err)
{
    while (tr_epochs_full(&to->epochs)) {
        int rc = tr_to_kafka_poll(to, WAIT_MS, err);
        if (rc != 0)
            return rc;
        if (tr_epochs_full(&to->epochs) && to->config.give_up(to->config.context))
            return tr_error_set(err, TR_ESTOPPED, "stopped while records were not acknowledged");
    }
    *epoch = tr_epochs_open(&to->epochs, batch->has_end ? &batch->end : NULL, &batch->open);
    return 0;
}

int tr_to_kafka_batch(struct tr_to_kafka *to, const struct tr_batch *batch, struct tr_error *err)
{
    if (batch->count > 0)
        tr_kill_point("before-produce");
    struct tr_epoch *epoch = NULL;
    int rc = send_shapes(to, batch, err);
    if (rc == 0)
        rc = open_epoch(to, batch, &epoch, err);
    if (rc != 0)
        return rc;
    /* One is held here, so that no poll in between takes the epoch for complete. */
    epoch->outstanding++;
    for (size_t i = 0; rc == 0 && i < batch->count; i++) {
        rc = send_record(to, batch, &batch->records[i], epoch, err);
        /* Now and then, so that acknowledgements don't pile up behind a large batch. */
        if (rc == 0 && i % 4096 == 4095)
            rc = tr_to_kafka_poll(to, 0, err);
    }
    if (rc == 0)
        epoch->outstanding--;
    return rc;
}

/* ---- checkpoint ----------------------------------------------------------------------------- */

static int write_checkpoint(struct tr_to_kafka *to, const struct tr_mark *mark,
                            struct tr_error *err)
{
    struct tr_checkpoint checkpoint = {
        .server_id = to->identity.server_id,
        .file_stamp = mark->file_stamp,
        .file_crc = mark->file_crc,
        .last_type = mark->last.type,
        .last_stamp = mark->last.stamp,
        .last_crc = mark->last.crc,
        .last_length = mark->last.length,
        .offset = mark->place.offset,
        .base = mark->place.base,
        .version = tr_place_version(&mark->place, mark->place.offset, 0),
        .ts = mark->ts,
        .open = mark->open,
    };
    memcpy(checkpoint.pipeline_id, to->identity.pipeline_id, sizeof(checkpoint.pipeline_id));
    memcpy(checkpoint.server_uuid, to->identity.server_uuid, sizeof(checkpoint.server_uuid));
    memcpy(checkpoint.file, mark->place.file, sizeof(checkpoint.file));
    memcpy(checkpoint.gtid, mark->gtid, sizeof(checkpoint.gtid));
    return tr_needs_write_checkpoint(&to->needs, &checkpoint, &to->key, &to->value, err);
}

/* The one before is acknowledged: only then is it what a restart would find. */
static void note_acknowledged(struct tr_to_kafka *to)
{
    if (to->checkpoint_sent_us != 0 && to->checkpoint_outstanding == 0)
        atomic_store(&to->checkpoint_wall_us,
                     tr_clock_wall_us() - (tr_clock_mono_us() - to->checkpoint_sent_us));
}

int tr_to_kafka_checkpoint(struct tr_to_kafka *to, int64_t interval_ms, struct tr_error *err)
{
    note_acknowledged(to);
    int64_t now = tr_clock_mono_us();
    if (!to->acked_moved || to->checkpoint_outstanding > 0 ||
        now - to->checkpoint_sent_us < interval_ms * 1000)
        return 0;
    int rc = write_checkpoint(to, &to->acked, err);
    if (rc != 0)
        return rc;
    struct tr_kafka_out out = {
        .topic = to->control_topic,
        .partition = 0,
        .key = {to->key.data, to->key.length},
        .value = {to->value.data, to->value.length},
    };
    rc = send(to, &out, &to->checkpoint_outstanding, err);
    to->acked_moved = false;
    to->checkpoint_sent_us = now;
    return rc;
}

int tr_to_kafka_checkpoint_now(struct tr_to_kafka *to, const struct tr_mark *mark,
                               struct tr_error *err)
{
    int rc = write_checkpoint(to, mark, err);
    if (rc == 0)
        rc = tr_to_kafka_put_control(to, err);
    if (rc == 0) {
        to->acked = *mark;
        to->acked_moved = false;
        to->checkpoint_sent_us = tr_clock_mono_us();
        atomic_store(&to->checkpoint_wall_us, tr_clock_wall_us());
    }
    return rc;
}

/* ---- reading what is there ------------------------------------------------------------------ */

static int take_control(void *context, const struct tr_kafka_message *message, struct tr_error *err)
{
    return tr_control_take(context, message->key, message->value, message->tombstone, err);
}

int tr_to_kafka_read_control(struct tr_to_kafka *to, struct tr_control *control,
                             struct tr_error *err)
{
    int attempt = 0;
    for (;;) {
        struct tr_kafka_reader *reader = NULL;
        int rc = tr_kafka_reader_new(&reader, to->config.properties, "tailrace-capture-control",
                                     to->control_topic, err);
        if (rc == 0)
            rc = tr_kafka_reader_read(reader, READ_MS, true, take_control, control, err);
        tr_kafka_reader_free(reader);
        if (rc >= 0)
            return tr_topics_load(&to->topics, control, err);
        if (rc != TR_EKAFKA_RETRY)
            return rc;
        rc = tr_to_kafka_again(to, &attempt, err);
        if (rc != 0)
            return rc;
    }
}
