/*
 * consumer.h - the group consumer's inside: consumer.c takes messages, rebalance.c handles what the
 * group assigns. Private to common/kafka; all of it belongs to the thread that calls take.
 */
#ifndef TR_KAFKA_CONSUMER_H
#define TR_KAFKA_CONSUMER_H

#include "client.h"

#define KAFKA_TAKE_MAX 4096           /* messages of one call */
#define KAFKA_QUEUED_MESSAGES 1000000 /* and of librdkafka's queue */

/* A partition that is ours now. */
struct consumer_partition {
    uint32_t topic;
    int32_t partition;
    int64_t expected; /* no message below it comes out any more */
};

struct tr_kafka_consumer {
    struct tr_kafka_client client; /* first: librdkafka's opaque is both */
    void *context;
    int (*assigned)(void *context, struct tr_kafka_partition *partitions, size_t count,
                    struct tr_error *err);
    void (*revoked)(void *context, const struct tr_kafka_partition *partitions, size_t count,
                    bool lost);
    char group[256];
    rd_kafka_queue_t *queue;
    char **topics;
    uint32_t topic_count, topic_capacity;
    struct consumer_partition *partitions;
    size_t partition_count;
    struct consumer_partition *last; /* the partition of the message before, with its handle */
    rd_kafka_topic_t *last_topic;
    /* A rebalance that librdkafka told us of and that waits for our answer. */
    rd_kafka_topic_partition_list_t *pending;
    bool pending_assign; /* else revoke */
    bool closing;
    struct tr_error stop; /* what ended this consumer */
    size_t queue_bytes;   /* at which librdkafka stops fetching */
    size_t message_bytes; /* of late, on average */
    bool was_full;        /* the queue was at least half full since the last wake */
    rd_kafka_message_t *taken[KAFKA_TAKE_MAX];
};

/* Registers the callback that fills `pending`. */
void tr_kafka_rebalance_register(rd_kafka_conf_t *conf);
/* Answers the pending rebalance, if there is one. An error that passes (class RETRY) leaves it
 * pending. */
int tr_kafka_rebalance_serve(struct tr_kafka_consumer *consumer,
                             struct tr_error *err) TR_MUST_CHECK;
/* Gives up what is pending, before closing. */
void tr_kafka_rebalance_abandon(struct tr_kafka_consumer *consumer);

/* ---- wake.c ---- */

/* After each batch: wakes the fetching threads when there is room again. */
void tr_kafka_wake(struct tr_kafka_consumer *consumer, size_t taken, size_t taken_bytes);

#endif
