/*
 * to_kafka.h - batches into Kafka, and what was acknowledged: the publishing thread's half of
 * "nothing is passed over".
 *
 * Order of things: a topic exists and is registered in control, then a shape is acknowledged there,
 * then its first row goes out. The checkpoint is a record in control too, and names a place only
 * when every record up to it is acknowledged. Everything here belongs to the publishing thread.
 */
#ifndef TR_TO_KAFKA_H
#define TR_TO_KAFKA_H

#include <stdatomic.h>

#include "epochs.h"
#include "handover.h"
#include "kafka.h"
#include "needs.h"
#include "topics.h"

struct tr_to_kafka_config {
    const char *pipeline;
    const struct tr_node *properties; /* the kafka: section */
    int32_t partitions;
    int32_t replication; /* -1 = the broker's default */
    int64_t min_compaction_lag_ms;
    int64_t delete_retention_ms;
    size_t queue_bytes;
    /* Whether to stop waiting for a broker that doesn't answer. */
    bool (*give_up)(void *context);
    void *context;
};

/* The server and pipeline that a checkpoint belongs to. */
struct tr_to_kafka_identity {
    char pipeline_id[17];
    uint32_t server_id;
    char server_uuid[40];
};

struct tr_to_kafka {
    struct tr_to_kafka_config config;
    struct tr_kafka_producer *producer;
    struct tr_topics topics;
    struct tr_needs needs;
    struct tr_epochs epochs;
    struct tr_to_kafka_identity identity;
    char control_topic[TR_TOPIC_NAME_MAX + 1];
    char schema_changes_topic[TR_TOPIC_NAME_MAX + 1];
    int64_t batch_size;   /* of the producer: no larger than any topic's max.message.bytes */
    bool own_batch_size;  /* set by the user: left alone */
    size_t queue_bytes;   /* of the producer: the setting's, or what the largest record needs */
    struct tr_mark acked; /* all up to here is acknowledged */
    bool acked_moved;     /* since the last checkpoint was written */
    uint64_t checkpoint_outstanding;
    int64_t checkpoint_sent_us;         /* monotonic */
    _Atomic int64_t checkpoint_wall_us; /* of the last acknowledged one; 0 = none; any thread */
    struct tr_buf key, value;           /* scratch */
    int failed;                         /* code of the first delivery that failed */
    char failure[256];
};

/* Makes the producer, control and schema-changes, waiting for the brokers as long as it takes. */
int tr_to_kafka_open(struct tr_to_kafka *to, const struct tr_to_kafka_config *config,
                     struct tr_error *err) TR_MUST_CHECK;
void tr_to_kafka_close(struct tr_to_kafka *to);
/* Reads control to its end, and takes over its topics. */
int tr_to_kafka_read_control(struct tr_to_kafka *to, struct tr_control *control,
                             struct tr_error *err) TR_MUST_CHECK;
/* TR_ESTATE naming the topic when it holds records. */
int tr_to_kafka_check_empty(struct tr_to_kafka *to, const char *topic,
                            struct tr_error *err) TR_MUST_CHECK;

/* Sends all that is in the batch; waits while the producer's queue is full. */
int tr_to_kafka_batch(struct tr_to_kafka *to, const struct tr_batch *batch,
                      struct tr_error *err) TR_MUST_CHECK;
/* Serves acknowledgements, waiting up to timeout_ms for the first, and settles epochs. */
int tr_to_kafka_poll(struct tr_to_kafka *to, int timeout_ms, struct tr_error *err) TR_MUST_CHECK;
/* Whether records or a checkpoint are on their way. */
bool tr_to_kafka_busy(const struct tr_to_kafka *to);
/* Writes the checkpoint when it has moved and the last one is `interval_ms` old. */
int tr_to_kafka_checkpoint(struct tr_to_kafka *to, int64_t interval_ms,
                           struct tr_error *err) TR_MUST_CHECK;
/* Writes it and waits until it is acknowledged. */
int tr_to_kafka_checkpoint_now(struct tr_to_kafka *to, const struct tr_mark *mark,
                               struct tr_error *err) TR_MUST_CHECK;
/* Waits until everything is acknowledged. */
int tr_to_kafka_drain(struct tr_to_kafka *to, struct tr_error *err) TR_MUST_CHECK;

/* ---- to_kafka_topics.c --------------------------------------------------------------------------
 */

/* TR_EKAFKA when the control topic, if it exists, can't keep what is written there. */
int tr_to_kafka_check_control(const char *topic, const struct tr_kafka_topic_info *info,
                              struct tr_error *err) TR_MUST_CHECK;
/* Makes control and schema-changes. */
int tr_to_kafka_make_own_topics(struct tr_to_kafka *to, struct tr_error *err) TR_MUST_CHECK;
/* Makes and registers a data topic, if that isn't done yet. TR_ESTATE for one that holds records
 * and isn't registered. */
int tr_to_kafka_ready(struct tr_to_kafka *to, struct tr_topic_state *state,
                      struct tr_error *err) TR_MUST_CHECK;
/* Sends key and value (of `to`) to control and waits for the acknowledgement. */
int tr_to_kafka_put_control(struct tr_to_kafka *to, struct tr_error *err) TR_MUST_CHECK;
/* (Re-)makes the producer, with the present batch_size and queue_bytes. */
int tr_to_kafka_make_producer(struct tr_to_kafka *to, struct tr_error *err) TR_MUST_CHECK;
/* The same, once all that is under way is acknowledged. */
int tr_to_kafka_remake_producer(struct tr_to_kafka *to, struct tr_error *err) TR_MUST_CHECK;
/* After something that may pass: says so, waits; TR_ESTOPPED when it is time to give up. */
int tr_to_kafka_again(struct tr_to_kafka *to, int *attempt, struct tr_error *err) TR_MUST_CHECK;

#endif
