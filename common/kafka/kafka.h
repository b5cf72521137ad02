/*
 * kafka.h - all that tailrace asks of Kafka; the only module that includes rdkafka.h.
 *
 * Three clients, each owned by one thread unless said otherwise: a producer (capture, dead
 * letters), a group consumer (the runtime) and a reader of one small topic (control). Properties
 * come from the `kafka:` section; ours are defaults below them, except those that correctness
 * needs (enable.idempotence, acks, enable.auto.commit, auto.offset.reset), which a user can't
 * change: trying is TR_ECONFIG. librdkafka's log lines go to tr_log. Errors: TR_EKAFKA_RETRY for
 * what passes by itself, TR_EKAFKA for the rest (authentication, authorisation, fatal), TR_ECONFIG
 * for a bad property.
 */
#ifndef TR_KAFKA_H
#define TR_KAFKA_H

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "options.h"

/* The `kafka:` section's best known keys with their defaults, and what others it takes. */
extern const struct tr_option tr_kafka_options[];
extern const char tr_kafka_options_help[];

#define TR_KAFKA_OFFSET_NONE (-1001)   /* no such offset */
#define TR_KAFKA_OFFSET_BEGINNING (-2) /* to start with: the first that the topic still has */

/* ---- producer ------------------------------------------------------------------------------- */

struct tr_kafka_producer;

struct tr_kafka_header {
    const char *name;
    struct tr_slice value;
};

/* One message to be sent; all slices are borrowed for the call and copied. */
struct tr_kafka_out {
    const char *topic;
    int32_t partition; /* -1 = the library's choice (single-partition topics) */
    struct tr_slice key;
    struct tr_slice value;
    bool tombstone; /* null value */
    const struct tr_kafka_header *headers;
    size_t header_count;
    void *opaque; /* given to the delivery callback */
};

/* Called by tr_kafka_producer_poll's thread (or flush's, or free's), once per message. `code` is 0
 * or a TR_E… code; `text` says why (broker's words), with "too large" as TR_ELIMIT and a purged
 * message as TR_ESTOPPED. */
typedef void tr_kafka_delivered(void *context, void *opaque, int code, const char *text);

struct tr_kafka_producer_config {
    const struct tr_node *properties; /* the kafka: map, may be NULL */
    const char *client_id;
    size_t queue_bytes_max;
    int64_t linger_ms;
    tr_kafka_delivered *delivered;
    void *context;
};

int tr_kafka_producer_new(struct tr_kafka_producer **out,
                          const struct tr_kafka_producer_config *config,
                          struct tr_error *err) TR_MUST_CHECK;
/* Purges what is in flight (delivered is called for it) and frees; NULL does nothing. */
void tr_kafka_producer_free(struct tr_kafka_producer *producer);
/* 0; TR_EKAFKA_RETRY when the queue is full (poll, then try again); TR_ELIMIT too large, also for
 * the whole queue; else fatal. Any thread. */
int tr_kafka_producer_send(struct tr_kafka_producer *producer, const struct tr_kafka_out *out,
                           struct tr_error *err) TR_MUST_CHECK;
/* Serves delivery callbacks for up to timeout_ms; returns how many events were served. */
int tr_kafka_producer_poll(struct tr_kafka_producer *producer, int timeout_ms);
/* Messages whose delivered was not called yet. */
int tr_kafka_producer_pending(const struct tr_kafka_producer *producer);
/* Waits until all is delivered; TR_EKAFKA_RETRY on time-out. Polls itself. */
int tr_kafka_producer_flush(struct tr_kafka_producer *producer, int timeout_ms,
                            struct tr_error *err) TR_MUST_CHECK;
/* A fatal error of the client (fenced, refused by authentication …), 0 when none. */
int tr_kafka_producer_fatal(struct tr_kafka_producer *producer, struct tr_error *err);
/* "" or, for status, the last connection problem, until a broker answers; or that brokers answer
 * and have acknowledged nothing for 10 s. Copies. */
void tr_kafka_producer_trouble(struct tr_kafka_producer *producer, char *out, size_t size);

/* ---- topics (admin of topics only; on the producer's handle) -------------------------------- */

/* Any thread. Each tries for about ten seconds and then returns TR_EKAFKA_RETRY, naming what is
 * wrong with the connection; the caller decides how often to repeat. */

struct tr_kafka_topic_spec {
    const char *name;
    int32_t partitions;
    int32_t replication; /* -1 = the broker's default */
    const char *const (*settings)[2];
    size_t setting_count;
};

struct tr_kafka_topic_info {
    bool exists;
    int32_t partitions;
    int32_t replication;           /* of partition 0; 0 when unknown */
    int64_t message_bytes_max;     /* max.message.bytes, 0 when unknown */
    int64_t min_compaction_lag_ms; /* min.compaction.lag.ms, -1 when unknown */
    int64_t delete_retention_ms;   /* delete.retention.ms, -1 when unknown */
    char cleanup_policy[32];
};

/* Creates; 0 also when it exists already (*created tells). Waits until the broker knows it. */
int tr_kafka_topic_create(struct tr_kafka_producer *producer,
                          const struct tr_kafka_topic_spec *spec, bool *created,
                          struct tr_error *err) TR_MUST_CHECK;
int tr_kafka_topic_describe(struct tr_kafka_producer *producer, const char *name,
                            struct tr_kafka_topic_info *info, struct tr_error *err) TR_MUST_CHECK;
/* First offset and the offset after the last record. TR_EKAFKA_RETRY also for a partition that the
 * brokers do not know. */
int tr_kafka_watermarks(struct tr_kafka_producer *producer, const char *topic, int32_t partition,
                        int64_t *low, int64_t *high, struct tr_error *err) TR_MUST_CHECK;

/* ---- messages and the group consumer -------------------------------------------------------- */

/* A received message. Key and value live until tr_kafka_message_free. */
struct tr_kafka_message {
    void *handle;   /* rd_kafka_message_t */
    uint32_t topic; /* index of the name in the consumer's topic list */
    int32_t partition;
    int64_t offset;
    int64_t timestamp_ms;
    struct tr_slice key; /* data NULL = null key */
    struct tr_slice value;
    bool tombstone; /* null value */
};

void tr_kafka_message_free(struct tr_kafka_message *message);
/* The value of a header; false when it isn't there. */
bool tr_kafka_message_header(const struct tr_kafka_message *message, const char *name,
                             struct tr_slice *value);
/* All headers, for dead letters; returns how many were stored. */
size_t tr_kafka_message_headers(const struct tr_kafka_message *message, struct tr_kafka_header *out,
                                size_t max);

struct tr_kafka_consumer;

struct tr_kafka_partition {
    uint32_t topic;
    int32_t partition;
    /* In: committed offset or TR_KAFKA_OFFSET_NONE. Out: where to start, or
     * TR_KAFKA_OFFSET_BEGINNING; a NONE left standing is TR_EBUG. */
    int64_t offset;
    /* Wall time in ms: who has read up to `offset` misses no delete of before. It is kept with a
     * commit, as the offset's metadata (decimal text); 0 = not known. */
    int64_t whole_until_ms;
};

struct tr_kafka_consumer_config {
    const struct tr_node *properties;
    const char *client_id;
    const char *group;
    size_t queue_bytes_max; /* fetched and not yet taken */
    void *context;
    /* Both are called inside tr_kafka_consumer_take, by its thread. `assigned` fills `offset` of
     * every partition (which come with the group's committed offsets) and returns 0; an error
     * stops the consumer and comes out of take, now and at every later call; one that passes
     * (class RETRY) comes out of take, and the next take calls again. `revoked`: settle and
     * commit what you can (or release it); `lost` when the group already gave the partitions to
     * others: don't commit. */
    int (*assigned)(void *context, struct tr_kafka_partition *partitions, size_t count,
                    struct tr_error *err);
    void (*revoked)(void *context, const struct tr_kafka_partition *partitions, size_t count,
                    bool lost);
};

int tr_kafka_consumer_new(struct tr_kafka_consumer **out,
                          const struct tr_kafka_consumer_config *config,
                          struct tr_error *err) TR_MUST_CHECK;
/* Leaves the group (revoked is called) and frees. All messages must have been freed before. */
void tr_kafka_consumer_close(struct tr_kafka_consumer *consumer);
/* The index of a topic name; made on first use, valid for the consumer's life. */
uint32_t tr_kafka_consumer_topic(struct tr_kafka_consumer *consumer, const char *name);
const char *tr_kafka_consumer_topic_name(const struct tr_kafka_consumer *consumer, uint32_t topic);
int tr_kafka_consumer_subscribe(struct tr_kafka_consumer *consumer, const char *const *topics,
                                size_t count, struct tr_error *err) TR_MUST_CHECK;
/* Up to `max` messages, waiting up to timeout_ms for the first. Returns how many, or TR_E…
 * Must be called often (max.poll.interval.ms), also while all partitions are paused. An unreachable
 * broker is no error here: it is logged, and tr_kafka_consumer_trouble tells. An error that
 * passes (class RETRY): an assignment could not be taken up; call again. TR_ESTATE: an offset that
 * the topic no longer has. Messages of partitions that are not ours any more never come out. */
int tr_kafka_consumer_take(struct tr_kafka_consumer *consumer, struct tr_kafka_message *messages,
                           size_t max, int timeout_ms, struct tr_error *err) TR_MUST_CHECK;
int tr_kafka_consumer_pause(struct tr_kafka_consumer *consumer,
                            const struct tr_kafka_partition *partitions, size_t count, bool pause,
                            struct tr_error *err) TR_MUST_CHECK;
/* Commits `offset` (next to read) of each partition, with whole_until_ms; wait = synchronously. */
int tr_kafka_consumer_commit(struct tr_kafka_consumer *consumer,
                             const struct tr_kafka_partition *partitions, size_t count, bool wait,
                             struct tr_error *err) TR_MUST_CHECK;
/* The next offset to read (passes commit markers); TR_KAFKA_OFFSET_NONE before the first. */
int64_t tr_kafka_consumer_position(struct tr_kafka_consumer *consumer, uint32_t topic,
                                   int32_t partition);
/* "" or the last connection problem, for status; cleared when a broker answers. Copies. */
void tr_kafka_consumer_trouble(struct tr_kafka_consumer *consumer, char *out, size_t size);
/* Locally known end of the partition (cached from the last fetch), or TR_KAFKA_OFFSET_NONE. */
int64_t tr_kafka_consumer_end(struct tr_kafka_consumer *consumer, uint32_t topic,
                              int32_t partition);

/* ---- groups from outside; describing and setting are admin: never inside `run` ------------- */

struct tr_kafka_group_info {
    char state[32]; /* "Stable", "Empty", "Dead" … */
    int members;
};

int tr_kafka_group_describe(struct tr_kafka_producer *producer, const char *group,
                            struct tr_kafka_group_info *info, struct tr_error *err) TR_MUST_CHECK;
/* The group's committed offsets of the partitions (TR_KAFKA_OFFSET_NONE where none). Topic indexes
 * are into `topics`. Works on any client: opens a short-lived one. */
int tr_kafka_group_offsets(const struct tr_node *properties, const char *group,
                           const char *const *topics, struct tr_kafka_partition *partitions,
                           size_t count, struct tr_error *err) TR_MUST_CHECK;
/* Sets them; the group must have no members. */
int tr_kafka_group_set_offsets(const struct tr_node *properties, const char *group,
                               const char *const *topics,
                               const struct tr_kafka_partition *partitions, size_t count,
                               struct tr_error *err) TR_MUST_CHECK;

/* ---- reader of a whole small topic ---------------------------------------------------------- */

struct tr_kafka_reader; /* partition 0 from the beginning, without a group, read_committed */

int tr_kafka_reader_new(struct tr_kafka_reader **out, const struct tr_node *properties,
                        const char *client_id, const char *topic,
                        struct tr_error *err) TR_MUST_CHECK;
void tr_kafka_reader_free(struct tr_kafka_reader *reader);
/*
 * Gives each record to `take` (its error ends the read). Waits up to timeout_ms for records;
 * `to_end`: reads until the end offset as of the call, or TR_EKAFKA_RETRY after timeout_ms.
 * Returns the number of records, or TR_E… A topic that the brokers do not know: TR_EKAFKA_RETRY at
 * once.
 */
int tr_kafka_reader_read(struct tr_kafka_reader *reader, int timeout_ms, bool to_end,
                         int (*take)(void *context, const struct tr_kafka_message *message,
                                     struct tr_error *err),
                         void *context, struct tr_error *err) TR_MUST_CHECK;

#endif
