/*
 * producer.c - see kafka.h.
 *
 * Topic handles are cached in a hash table that only grows (topics are few, and named by
 * configuration); senders share it by a read lock. Delivery callbacks run in the thread that polls;
 * the first thread to do so is remembered, so that calls that wait (topics, group) never run them
 * in another one.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "clock.h"
#include "hash.h"
#include "log.h"

#define TOPICS_FIRST 64
#define PURGE_MS 2000
#define STALL_US INT64_C(10000000)
#define STALL_TEXT "too few replicas are in sync, or a partition has no leader"

struct topic_slot {
    uint64_t hash;
    rd_kafka_topic_t *topic; /* NULL = free */
};

struct tr_kafka_producer {
    struct tr_kafka_client client; /* first: librdkafka's opaque is both */
    tr_kafka_delivered *delivered;
    void *context;
    char too_large[256]; /* what is said of a record that the broker finds too large */
    size_t queue_bytes;  /* queue.buffering.max.kbytes, in bytes */
    atomic_int pending;
    /* Any thread that polls looks whether acknowledgements come; see watch(). */
    _Atomic uint64_t acknowledged, seen;
    _Atomic int64_t seen_us;
    atomic_bool stalled;
    atomic_bool polled;
    pthread_t poller;             /* valid once polled */
    pthread_rwlock_t topics_lock; /* guards the three below */
    struct topic_slot *topics;
    size_t topic_count;
    size_t topic_capacity; /* a power of two */
};

/* ---- delivery ------------------------------------------------------------------------------- */

static int delivery_code(rd_kafka_resp_err_t native)
{
    if (native == RD_KAFKA_RESP_ERR__PURGE_QUEUE || native == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT)
        return TR_ESTOPPED;
    int code = tr_kafka_code_of(native);
    /* The library has tried as long as it may: for this message nothing passes any more. */
    return code == TR_EKAFKA_RETRY ? TR_EKAFKA : code;
}

static void on_delivered(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    (void)rk;
    struct tr_kafka_producer *producer = opaque;
    atomic_fetch_sub(&producer->pending, 1);
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        atomic_fetch_add_explicit(&producer->acknowledged, 1, memory_order_relaxed);
        tr_kafka_client_answered(&producer->client);
        producer->delivered(producer->context, message->_private, 0, "");
        return;
    }
    /* Not rd_kafka_message_errstr: of a message that we sent, that is its own payload. */
    const char *text = message->err == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE
                           ? producer->too_large
                           : rd_kafka_err2str(message->err);
    producer->delivered(producer->context, message->_private, delivery_code(message->err), text);
}

/* The broker measures batches, and doesn't say whether one record or their number is too much. */
static void word_too_large(struct tr_kafka_producer *producer)
{
    char value[32] = "";
    size_t size = sizeof(value);
    (void)rd_kafka_conf_get(rd_kafka_conf(producer->client.rk), "batch.size", value, &size);
    snprintf(
        producer->too_large, sizeof(producer->too_large),
        "%s: the record, or a batch with it (up to kafka.batch.size, %s bytes), is larger than "
        "the topic's max.message.bytes",
        rd_kafka_err2str(RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE), value);
}

/* What the user's properties have left of our limit. */
static size_t read_queue_bytes(const struct tr_kafka_producer *producer)
{
    char value[32] = "";
    size_t size = sizeof(value);
    (void)rd_kafka_conf_get(rd_kafka_conf(producer->client.rk), "queue.buffering.max.kbytes", value,
                            &size);
    return (size_t)strtoull(value, NULL, 10) * 1024;
}

/* ---- life ----------------------------------------------------------------------------------- */

static int make_conf(rd_kafka_conf_t **conf, const struct tr_kafka_producer_config *config,
                     struct tr_error *err)
{
    char kbytes[32], linger[32];
    size_t kilo = config->queue_bytes_max / 1024;
    snprintf(kbytes, sizeof(kbytes), "%zu", kilo < 1024 ? 1024 : kilo);
    snprintf(linger, sizeof(linger), "%" PRId64, config->linger_ms);
    const struct tr_kafka_setting defaults[] = {
        {"client.id", config->client_id},
        {"compression.codec", "lz4"},
        {"linger.ms", linger},
        /* The topic's own limit decides, and capture asks for it. */
        {"message.max.bytes", "1000000000"},
        {"message.timeout.ms", "0"},
        /* A topic that is deleted under us must not come back with the broker's own settings. */
        {"allow.auto.create.topics", "false"},
        {"queue.buffering.max.kbytes", kbytes},
        {"queue.buffering.max.messages", "10000000"},
        {"log.connection.close", "false"},
        {"reconnect.backoff.max.ms", "2000"},
        {"socket.nagle.disable", "true"},
        {"statistics.interval.ms", "2000"},
        {NULL, NULL},
    };
    const struct tr_kafka_setting fixed[] = {
        {"enable.idempotence", "true"},
        {"acks", "all"},
        {NULL, NULL},
    };
    return tr_kafka_conf_new(conf, config->properties, &(struct tr_kafka_settings){defaults, fixed},
                             err);
}

int tr_kafka_producer_new(struct tr_kafka_producer **out,
                          const struct tr_kafka_producer_config *config, struct tr_error *err)
{
    rd_kafka_conf_t *conf;
    int rc = make_conf(&conf, config, err);
    if (rc < 0)
        return rc;
    struct tr_kafka_producer *producer = calloc(1, sizeof(*producer));
    struct topic_slot *topics = calloc(TOPICS_FIRST, sizeof(*topics));
    if (producer == NULL || topics == NULL) {
        rd_kafka_conf_destroy(conf);
        free(producer);
        free(topics);
        return tr_error_set(err, TR_ENOMEM, "no memory for a Kafka producer");
    }
    producer->delivered = config->delivered;
    producer->context = config->context;
    producer->topics = topics;
    producer->topic_capacity = TOPICS_FIRST;
    pthread_rwlock_init(&producer->topics_lock, NULL);
    rd_kafka_conf_set_dr_msg_cb(conf, config->delivered == NULL ? NULL : on_delivered);
    rc = tr_kafka_client_open(&producer->client, RD_KAFKA_PRODUCER, conf, err);
    if (rc < 0) {
        pthread_rwlock_destroy(&producer->topics_lock);
        free(topics);
        free(producer);
        return rc;
    }
    word_too_large(producer);
    producer->queue_bytes = read_queue_bytes(producer);
    *out = producer;
    return 0;
}

void tr_kafka_producer_free(struct tr_kafka_producer *producer)
{
    if (producer == NULL)
        return;
    rd_kafka_purge(producer->client.rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    for (int waited = 0; tr_kafka_producer_pending(producer) > 0 && waited < PURGE_MS;
         waited += KAFKA_SLICE_MS)
        rd_kafka_poll(producer->client.rk, KAFKA_SLICE_MS);
    for (size_t i = 0; i < producer->topic_capacity; i++)
        if (producer->topics[i].topic != NULL)
            rd_kafka_topic_destroy(producer->topics[i].topic);
    tr_kafka_client_close(&producer->client);
    pthread_rwlock_destroy(&producer->topics_lock);
    free(producer->topics);
    free(producer);
}

struct tr_kafka_client *tr_kafka_producer_client(struct tr_kafka_producer *producer)
{
    return &producer->client;
}

/* ---- topic handles -------------------------------------------------------------------------- */

/* The slot of that name, or the free one where it belongs. Under topics_lock. */
static struct topic_slot *find_slot(struct topic_slot *topics, size_t capacity, uint64_t hash,
                                    const char *name)
{
    for (size_t i = (size_t)hash & (capacity - 1);; i = (i + 1) & (capacity - 1)) {
        struct topic_slot *slot = &topics[i];
        if (slot->topic == NULL)
            return slot;
        if (slot->hash == hash && strcmp(rd_kafka_topic_name(slot->topic), name) == 0)
            return slot;
    }
}

static bool grow_topics(struct tr_kafka_producer *producer)
{
    size_t capacity = producer->topic_capacity * 2;
    struct topic_slot *topics = calloc(capacity, sizeof(*topics));
    if (topics == NULL)
        return false;
    for (size_t i = 0; i < producer->topic_capacity; i++) {
        struct topic_slot *old = &producer->topics[i];
        if (old->topic != NULL)
            *find_slot(topics, capacity, old->hash, rd_kafka_topic_name(old->topic)) = *old;
    }
    free(producer->topics);
    producer->topics = topics;
    producer->topic_capacity = capacity;
    return true;
}

/* Under the write lock. */
static rd_kafka_topic_t *add_topic(struct tr_kafka_producer *producer, uint64_t hash,
                                   const char *name, struct tr_error *err)
{
    bool full = producer->topic_count * 2 >= producer->topic_capacity;
    if (full && !grow_topics(producer)) {
        tr_error_set(err, TR_ENOMEM, "no memory for topic %s", name);
        return NULL;
    }
    struct topic_slot *slot = find_slot(producer->topics, producer->topic_capacity, hash, name);
    if (slot->topic != NULL)
        return slot->topic;
    slot->hash = hash;
    slot->topic = rd_kafka_topic_new(producer->client.rk, name, NULL);
    if (slot->topic == NULL)
        tr_error_set_native(err, TR_EKAFKA, (int)rd_kafka_last_error(), "topic %s: %s", name,
                            rd_kafka_err2str(rd_kafka_last_error()));
    else
        producer->topic_count++;
    return slot->topic;
}

rd_kafka_topic_t *tr_kafka_producer_topic(struct tr_kafka_producer *producer, const char *name,
                                          struct tr_error *err)
{
    uint64_t hash = tr_hash_fnv1a(name, strlen(name));
    pthread_rwlock_rdlock(&producer->topics_lock);
    rd_kafka_topic_t *topic =
        find_slot(producer->topics, producer->topic_capacity, hash, name)->topic;
    pthread_rwlock_unlock(&producer->topics_lock);
    if (topic != NULL)
        return topic;
    pthread_rwlock_wrlock(&producer->topics_lock);
    topic = add_topic(producer, hash, name, err);
    pthread_rwlock_unlock(&producer->topics_lock);
    return topic;
}

/* ---- sending -------------------------------------------------------------------------------- */

static rd_kafka_headers_t *copy_headers(const struct tr_kafka_out *out)
{
    rd_kafka_headers_t *headers = rd_kafka_headers_new(out->header_count);
    for (size_t i = 0; headers != NULL && i < out->header_count; i++)
        if (rd_kafka_header_add(headers, out->headers[i].name, -1, out->headers[i].value.data,
                                (ssize_t)out->headers[i].value.length) !=
            RD_KAFKA_RESP_ERR_NO_ERROR) {
            rd_kafka_headers_destroy(headers);
            return NULL;
        }
    return headers;
}

/* librdkafka tells null from empty by the pointer. */
static const void *value_of(const struct tr_kafka_out *out)
{
    if (out->tombstone)
        return NULL;
    return out->value.data == NULL ? "" : out->value.data;
}

static rd_kafka_resp_err_t send_with_headers(struct tr_kafka_producer *producer,
                                             rd_kafka_topic_t *topic,
                                             const struct tr_kafka_out *out)
{
    rd_kafka_headers_t *headers = copy_headers(out);
    if (headers == NULL)
        return RD_KAFKA_RESP_ERR__CRIT_SYS_RESOURCE;
    rd_kafka_resp_err_t native = rd_kafka_producev(
        producer->client.rk, RD_KAFKA_V_RKT(topic), RD_KAFKA_V_PARTITION(out->partition),
        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
        RD_KAFKA_V_VALUE((void *)(uintptr_t)value_of(out), out->tombstone ? 0 : out->value.length),
        RD_KAFKA_V_KEY(out->key.data, out->key.length), RD_KAFKA_V_OPAQUE(out->opaque),
        RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_END);
    if (native != RD_KAFKA_RESP_ERR_NO_ERROR)
        rd_kafka_headers_destroy(headers);
    return native;
}

static rd_kafka_resp_err_t send_plain(rd_kafka_topic_t *topic, const struct tr_kafka_out *out)
{
    /* The payload is copied, so its constness holds. */
    int rc = rd_kafka_produce(
        topic, out->partition, RD_KAFKA_MSG_F_COPY, (void *)(uintptr_t)value_of(out),
        out->tombstone ? 0 : out->value.length, out->key.data, out->key.length, out->opaque);
    return rc == 0 ? RD_KAFKA_RESP_ERR_NO_ERROR : rd_kafka_last_error();
}

static int refused(struct tr_kafka_producer *producer, const struct tr_kafka_out *out,
                   rd_kafka_resp_err_t native, struct tr_error *err)
{
    size_t bytes = out->key.length + out->value.length;
    /* The library calls its queue full also when it is empty, for a record larger than all of it:
     * waiting would never end. */
    if (native == RD_KAFKA_RESP_ERR__QUEUE_FULL && bytes > producer->queue_bytes)
        return tr_error_set_native(err, TR_ELIMIT, (int)native,
                                   "topic %s: a record of %zu bytes is larger than the producer's "
                                   "queue of %zu bytes (kafka.queue.buffering.max.kbytes)",
                                   out->topic, bytes, producer->queue_bytes);
    if (native == RD_KAFKA_RESP_ERR__QUEUE_FULL)
        return tr_error_set_native(err, TR_EKAFKA_RETRY, (int)native,
                                   "the producer's queue is full");
    if (native == RD_KAFKA_RESP_ERR__FATAL && tr_kafka_producer_fatal(producer, err) < 0)
        return err->code;
    int code = tr_kafka_code_of(native);
    return tr_error_set_native(err, code == TR_EKAFKA_RETRY ? TR_EKAFKA : code, (int)native,
                               "topic %s refuses a record of %zu bytes: %s", out->topic, bytes,
                               rd_kafka_err2str(native));
}

int tr_kafka_producer_send(struct tr_kafka_producer *producer, const struct tr_kafka_out *out,
                           struct tr_error *err)
{
    rd_kafka_topic_t *topic = tr_kafka_producer_topic(producer, out->topic, err);
    if (topic == NULL)
        return err->code;
    /* Counted before, because another thread may be told of the delivery before we return. */
    if (atomic_fetch_add(&producer->pending, producer->delivered != NULL) == 0)
        atomic_store(&producer->seen_us, tr_clock_mono_us());
    rd_kafka_resp_err_t native =
        out->header_count == 0 ? send_plain(topic, out) : send_with_headers(producer, topic, out);
    if (native == RD_KAFKA_RESP_ERR_NO_ERROR)
        return 0;
    atomic_fetch_sub(&producer->pending, producer->delivered != NULL);
    return refused(producer, out, native, err);
}

/* ---- waiting -------------------------------------------------------------------------------- */

static void remember_poller(struct tr_kafka_producer *producer)
{
    if (atomic_load_explicit(&producer->polled, memory_order_relaxed))
        return;
    pthread_mutex_lock(&producer->client.lock);
    if (!atomic_load(&producer->polled)) {
        producer->poller = pthread_self();
        atomic_store(&producer->polled, true);
    }
    pthread_mutex_unlock(&producer->client.lock);
}

/*
 * The library tries again without a word where a broker is there and does not take what it is sent:
 * too few replicas are in sync, or a partition has lost its leader. So the time counts since the
 * last acknowledgement, or since nothing was under way.
 */
static void watch(struct tr_kafka_producer *producer)
{
    char trouble[8];
    uint64_t acknowledged = atomic_load(&producer->acknowledged);
    int64_t now = tr_clock_mono_us();
    if (tr_kafka_producer_pending(producer) == 0 || acknowledged != atomic_load(&producer->seen)) {
        atomic_store(&producer->seen, acknowledged);
        atomic_store(&producer->seen_us, now);
        if (atomic_exchange(&producer->stalled, false))
            tr_log(TR_LOG_INFO, "kafka", "records are acknowledged again",
                   TR_STR("brokers", producer->client.brokers), TR_END);
        return;
    }
    tr_kafka_client_trouble(&producer->client, trouble, sizeof(trouble));
    /* What keeps all of it from the brokers was said already; afterwards the time begins anew. */
    if (trouble[0] != '\0')
        atomic_store(&producer->seen_us, now);
    else if (now - atomic_load(&producer->seen_us) > STALL_US &&
             !atomic_exchange(&producer->stalled, true))
        tr_log(TR_LOG_WARN, "kafka", "no acknowledgements, waiting",
               TR_STR("brokers", producer->client.brokers), TR_STR("text", STALL_TEXT), TR_END);
}

int tr_kafka_producer_poll(struct tr_kafka_producer *producer, int timeout_ms)
{
    remember_poller(producer);
    int served = rd_kafka_poll(producer->client.rk, timeout_ms);
    watch(producer);
    return served;
}

void tr_kafka_producer_serve(struct tr_kafka_producer *producer)
{
    if (!atomic_load(&producer->polled) || pthread_equal(producer->poller, pthread_self()))
        rd_kafka_poll(producer->client.rk, 0);
}

int tr_kafka_producer_pending(const struct tr_kafka_producer *producer)
{
    if (producer->delivered == NULL)
        return rd_kafka_outq_len(producer->client.rk);
    return atomic_load(&producer->pending);
}

int tr_kafka_producer_flush(struct tr_kafka_producer *producer, int timeout_ms,
                            struct tr_error *err)
{
    rd_kafka_resp_err_t native = rd_kafka_flush(producer->client.rk, timeout_ms);
    if (native == RD_KAFKA_RESP_ERR_NO_ERROR)
        return 0;
    char what[96];
    snprintf(what, sizeof(what), "%d records not yet acknowledged",
             tr_kafka_producer_pending(producer));
    return tr_kafka_client_error(&producer->client, native, err, what);
}

int tr_kafka_producer_fatal(struct tr_kafka_producer *producer, struct tr_error *err)
{
    char text[256];
    rd_kafka_resp_err_t native = rd_kafka_fatal_error(producer->client.rk, text, sizeof(text));
    if (native != RD_KAFKA_RESP_ERR_NO_ERROR)
        return tr_error_set_native(err, TR_EKAFKA, (int)native, "kafka at %s: %s",
                                   producer->client.brokers, text);
    return tr_kafka_client_fault(&producer->client, err);
}

void tr_kafka_producer_trouble(struct tr_kafka_producer *producer, char *out, size_t size)
{
    tr_kafka_client_trouble(&producer->client, out, size);
    if (out[0] == '\0' && atomic_load(&producer->stalled))
        snprintf(out, size, "%s: no acknowledgement for %" PRId64 " s: " STALL_TEXT,
                 producer->client.brokers,
                 (tr_clock_mono_us() - atomic_load(&producer->seen_us)) / 1000000);
}
