/*
 * reader.c - one small topic, read from its beginning; see kafka.h.
 *
 * Uses the library's consumer without a group. `position` passes transaction markers and aborted
 * records, because the end-of-partition signal carries the next offset to fetch.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "clock.h"

#define READER_BATCH 256

struct tr_kafka_reader {
    struct tr_kafka_client client; /* first: librdkafka's opaque is both */
    char name[256];
    rd_kafka_topic_t *topic;
    rd_kafka_queue_t *queue;
    int64_t position; /* the next offset to read */
    rd_kafka_message_t *taken[READER_BATCH];
};

static int open_reader(struct tr_kafka_reader *reader, const struct tr_node *properties,
                       const char *client_id, struct tr_error *err)
{
    const struct tr_kafka_setting defaults[] = {
        {"client.id", client_id},
        {"fetch.error.backoff.ms", "50"},
        /* An empty fetch tells the end: with the default, after half a second. */
        {"fetch.wait.max.ms", "100"},
        {"log.connection.close", "false"},
        {"queued.max.messages.kbytes", "16384"},
        {"receive.message.max.bytes", "1000000000"},
        {"reconnect.backoff.max.ms", "2000"},
        {"statistics.interval.ms", "2000"},
        {NULL, NULL},
    };
    static const struct tr_kafka_setting fixed[] = {
        {"auto.offset.reset", "earliest"},     {"enable.auto.commit", "false"},
        {"enable.partition.eof", "true"},      {"enable.auto.offset.store", "false"},
        {"isolation.level", "read_committed"}, {NULL, NULL},
    };
    rd_kafka_conf_t *conf;
    int rc = tr_kafka_reading_conf_new(&conf, properties,
                                       &(struct tr_kafka_settings){defaults, fixed}, err);
    return rc < 0 ? rc : tr_kafka_client_open(&reader->client, RD_KAFKA_CONSUMER, conf, err);
}

static int start_reader(struct tr_kafka_reader *reader, struct tr_error *err)
{
    rd_kafka_t *rk = reader->client.rk;
    reader->topic = rd_kafka_topic_new(rk, reader->name, NULL);
    if (reader->topic == NULL)
        return tr_error_set(err, TR_ECONFIG, "topic %s: %s", reader->name,
                            rd_kafka_err2str(rd_kafka_last_error()));
    reader->queue = rd_kafka_queue_new(rk);
    if (rd_kafka_consume_start_queue(reader->topic, 0, RD_KAFKA_OFFSET_BEGINNING, reader->queue) ==
        0)
        return 0;
    return tr_kafka_client_error(&reader->client, rd_kafka_last_error(), err, "starting to read");
}

int tr_kafka_reader_new(struct tr_kafka_reader **out, const struct tr_node *properties,
                        const char *client_id, const char *topic, struct tr_error *err)
{
    struct tr_kafka_reader *reader = calloc(1, sizeof(*reader));
    if (reader == NULL)
        return tr_error_set(err, TR_ENOMEM, "no memory for a Kafka reader");
    snprintf(reader->name, sizeof(reader->name), "%s", topic);
    int rc = open_reader(reader, properties, client_id, err);
    if (rc < 0) {
        free(reader);
        return rc;
    }
    rc = start_reader(reader, err);
    if (rc < 0) {
        tr_kafka_reader_free(reader);
        return rc;
    }
    *out = reader;
    return 0;
}

void tr_kafka_reader_free(struct tr_kafka_reader *reader)
{
    if (reader == NULL)
        return;
    if (reader->queue != NULL) {
        rd_kafka_consume_stop(reader->topic, 0);
        rd_kafka_queue_destroy(reader->queue);
    }
    if (reader->topic != NULL)
        rd_kafka_topic_destroy(reader->topic);
    tr_kafka_client_close(&reader->client);
    free(reader);
}

/* ---- reading -------------------------------------------------------------------------------- */

static int failed(struct tr_kafka_reader *reader, rd_kafka_resp_err_t native, struct tr_error *err)
{
    char what[TR_KAFKA_WHAT_MAX];
    if (tr_kafka_is_unknown(native))
        return tr_error_set_native(err, TR_EKAFKA_RETRY, (int)native,
                                   "kafka at %s does not know topic %s", reader->client.brokers,
                                   reader->name);
    snprintf(what, sizeof(what), "reading topic %s", reader->name);
    return tr_kafka_client_error(&reader->client, native, err, what);
}

static int left_ms(int64_t until)
{
    int64_t left = (until - tr_clock_mono_us()) / 1000;
    return left < 0 ? 0 : (int)left;
}

/* The end offset now: of committed records, as the isolation level is read_committed. */
static int query_end(struct tr_kafka_reader *reader, int64_t until, int64_t *end,
                     struct tr_error *err)
{
    rd_kafka_resp_err_t native;
    int64_t low;
    do {
        int slice = left_ms(until) < 1000 ? left_ms(until) + 1 : 1000;
        native =
            rd_kafka_query_watermark_offsets(reader->client.rk, reader->name, 0, &low, end, slice);
        rd_kafka_poll(reader->client.rk, 0);
        if (native == RD_KAFKA_RESP_ERR_NO_ERROR) {
            tr_kafka_client_answered(&reader->client);
            return 0;
        }
        if (tr_kafka_client_fault(&reader->client, err) < 0)
            return err->code;
    } while (tr_kafka_code_of(native) == TR_EKAFKA_RETRY && !tr_kafka_is_unknown(native) &&
             left_ms(until) > 0);
    return failed(reader, native, err);
}

typedef int take_function(void *context, const struct tr_kafka_message *message,
                          struct tr_error *err);

/* One entry of the queue: 1 = a record was given, 0 = something else, TR_E… */
static int take_one(struct tr_kafka_reader *reader, rd_kafka_message_t *from, take_function *take,
                    void *context, struct tr_error *err)
{
    struct tr_kafka_message message;
    if (from->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        if (from->offset > reader->position)
            reader->position = from->offset;
        return 0;
    }
    if (from->err != RD_KAFKA_RESP_ERR_NO_ERROR)
        return tr_kafka_code_of(from->err) == TR_EKAFKA_RETRY ? 0 : failed(reader, from->err, err);
    if (from->offset < reader->position)
        return 0;
    tr_kafka_message_fill(&message, from);
    reader->position = from->offset + 1;
    int rc = take(context, &message, err);
    return rc < 0 ? rc : 1;
}

/* Waits up to timeout_ms for the first entry and takes all that are there. */
static int take_batch(struct tr_kafka_reader *reader, int timeout_ms, take_function *take,
                      void *context, struct tr_error *err)
{
    ssize_t got = rd_kafka_consume_batch_queue(reader->queue, timeout_ms, reader->taken, 1);
    if (got == 1) {
        ssize_t more =
            rd_kafka_consume_batch_queue(reader->queue, 0, reader->taken + 1, READER_BATCH - 1);
        got += more < 0 ? 0 : more;
    }
    int count = 0, rc = 0;
    for (ssize_t i = 0; i < got; i++) {
        rc = rc < 0 ? rc : take_one(reader, reader->taken[i], take, context, err);
        count += rc > 0;
        rd_kafka_message_destroy(reader->taken[i]);
    }
    rd_kafka_poll(reader->client.rk, 0);
    if (rc >= 0)
        rc = tr_kafka_client_fault(&reader->client, err);
    return rc < 0 ? rc : count;
}

int tr_kafka_reader_read(struct tr_kafka_reader *reader, int timeout_ms, bool to_end,
                         int (*take)(void *context, const struct tr_kafka_message *message,
                                     struct tr_error *err),
                         void *context, struct tr_error *err)
{
    int64_t until = tr_clock_mono_us() + timeout_ms * INT64_C(1000);
    int64_t end = 0;
    int count = 0;
    if (to_end && query_end(reader, until, &end, err) < 0)
        return err->code;
    if (!to_end)
        return take_batch(reader, timeout_ms, take, context, err);
    while (reader->position < end) {
        if (left_ms(until) == 0)
            return failed(reader, RD_KAFKA_RESP_ERR__TIMED_OUT, err);
        int slice = left_ms(until) < KAFKA_SLICE_MS ? left_ms(until) : KAFKA_SLICE_MS;
        int rc = take_batch(reader, slice, take, context, err);
        if (rc < 0)
            return rc;
        count += rc;
    }
    return count;
}
