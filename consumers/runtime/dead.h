/*
 * dead.h - dead letters: records that no retry can save, kept in a topic of their own.
 *
 * A dead letter is the record as it was (key, value, headers), and in further headers what, where
 * and why: tailrace-topic, -partition, -offset, -version, -class, -reason, -consumer, -time.
 * Called by the lanes, several at a time; each waits for its own acknowledgements.
 */
#ifndef TR_DEAD_H
#define TR_DEAD_H

#include <stdatomic.h>

#include "kafka.h"

/* Why a record went there: the header tailrace-class. */
#define TR_DEAD_CLASS_EVENT "event" /* it is no event */
#define TR_DEAD_CLASS_STORE "store" /* the store refuses it for good */

struct tr_dead_wait;

struct tr_dead {
    struct tr_kafka_producer *producer;
    const char *topic;
    const char *consumer;
    struct tr_dead_wait *waits; /* all that were made; main thread */
};

struct tr_dead_letter {
    const struct tr_kafka_message *message;
    const char *topic; /* where it came from */
    int64_t version;   /* -1 = it has none */
    const char *class_name;
    const char *reason;
};

/* One caller's letters under way. It lives as long as the producer: who stops waiting may leave
 * some unanswered, and they are answered when the producer goes. */
struct tr_dead_wait {
    struct tr_dead_wait *next;
    _Atomic int pending;
    _Atomic int code; /* of the first that was refused */
    char text[256];   /* written by whoever sets code */
};

/* Main thread. NULL = no memory. Freed by tr_dead_done. */
struct tr_dead_wait *tr_dead_wait_new(struct tr_dead *dead);
/* Ends the producer, and what waited for it. */
void tr_dead_done(struct tr_dead *dead);

/* Of the producer that serves dead letters: opaque is the tr_dead_wait. */
tr_kafka_delivered tr_dead_delivered;

/* Creates the topic unless it is there: one partition, kept for ever, with room for the largest
 * record of `topics`. */
int tr_dead_prepare(struct tr_dead *dead, const char *const *topics, size_t count,
                    struct tr_error *err) TR_MUST_CHECK;
/* Hands one letter to the producer. TR_EKAFKA: larger than the topic takes, with the remedy. */
int tr_dead_send(struct tr_dead *dead, const struct tr_dead_letter *letter,
                 struct tr_dead_wait *wait, struct tr_error *err) TR_MUST_CHECK;
/* Waits up to timeout_ms until all are acknowledged: 0; TR_EKAFKA_RETRY (send all of them again);
 * TR_EKAFKA. */
int tr_dead_settle(struct tr_dead *dead, struct tr_dead_wait *wait, int timeout_ms,
                   struct tr_error *err) TR_MUST_CHECK;

#endif
