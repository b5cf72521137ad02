/*
 * part.h - the partitions that we consume: where each stands, and the account of its records.
 *
 * Per partition: read = applied + stale + superseded + filtered + dead + in flight + released.
 * Every counter has one writer: the main thread counts what is read and where it went back
 * (released, at a rebalance), the partition's lane what became of the rest. Markers and tombstones
 * are counted with the rows. Others (status, metrics) read at any time.
 *
 * A partition that is revoked keeps its struct and its counters until the process ends.
 */
#ifndef TR_PART_H
#define TR_PART_H

#include <pthread.h>
#include <stdatomic.h>

#include "kafka.h"

#define TR_INCARNATION_MAX 17

enum tr_outcome {
    TR_OUT_APPLIED,
    TR_OUT_STALE,      /* the store, or the table's floor, has something newer */
    TR_OUT_SUPERSEDED, /* a newer change of the same key came in the same batch */
    TR_OUT_FILTERED,   /* by rule */
    TR_OUT_DEAD,       /* in the dead letter topic, acknowledged */
    TR_OUTCOMES,
};

const char *tr_outcome_name(enum tr_outcome outcome);

struct tr_table;

/* A message that was taken and can't be handed on yet. */
struct tr_held {
    struct tr_held *next;
    struct tr_kafka_message message;
};

struct tr_part {
    /* Constant, the incarnation while it is assigned. */
    uint32_t topic;
    int32_t partition;
    unsigned lane;
    const char *topic_name;
    char incarnation[TR_INCARNATION_MAX];

    /* Main thread. */
    /* Until the first record, where it may show that we were away too long; else -1. */
    int64_t tombstones_kept_ms;
    bool paused;
    struct tr_held *held_first, *held_last;
    int64_t shape_wait_us; /* since when a record waits for its shape; 0 = none does */
    uint64_t delete_hash;  /* the last delete that was handed on: its tombstone follows */
    int64_t delete_version;
    struct tr_table *table;     /* of the record before */
    uint32_t batch_slot[2];     /* where it is in its lane's batches; see tr_batch_part_of */
    int64_t committed;          /* what we asked the group to remember */
    int64_t committed_until_ms; /* whole_until_ms of that */
    int64_t whole_ms;           /* wall time: the store misses no delete of before; 0 = not known */

    /* Lane. */
    int64_t written; /* progress that the store was given */

    /* Any thread. */
    atomic_bool assigned;
    _Atomic uint32_t epoch;  /* grows when what is in flight is given up; under the lanes' lock */
    _Atomic int64_t settled; /* the next offset that the store needs */
    /* Time stamp of the last settled record, at first of the first that was read; 0 = none. */
    _Atomic int64_t settled_ms;
    _Atomic int64_t caught_up_ms; /* when there was no lag the last time; 0 = never */
    _Atomic int64_t position;     /* the next offset to read; TR_KAFKA_OFFSET_NONE = not known */
    _Atomic int64_t end;          /* the partition's end as last heard; as above */
    _Atomic int64_t head_from; /* records from here on were read at the head; INT64_MAX = not yet */
    _Atomic int64_t read;      /* main */
    _Atomic int64_t released;  /* main, or the lane that gives up: rare, so added atomically */
    _Atomic int64_t released_before;       /* released when this assignment began */
    _Atomic int64_t done;                  /* lane: messages of settled batches */
    _Atomic int64_t outcomes[TR_OUTCOMES]; /* lane */
};

/* All partitions that this process ever had. The list changes in the main thread only. */
struct tr_parts {
    pthread_mutex_t lock; /* guards all, count while other threads read them */
    struct tr_part **all;
    size_t count, capacity;
    struct tr_part ***by_topic; /* main: [topic][partition] */
    int32_t *widths;
    uint32_t topic_count;
};

void tr_parts_init(struct tr_parts *parts);
void tr_parts_done(struct tr_parts *parts);
/* Main thread. The partition, made when it is new; NULL when memory is out. `topic_name` must live
 * as long as the process. */
struct tr_part *tr_parts_get(struct tr_parts *parts, uint32_t topic, int32_t partition,
                             const char *topic_name);
/* Main thread. NULL when we never had it. */
struct tr_part *tr_parts_find(const struct tr_parts *parts, uint32_t topic, int32_t partition);

/* One writer per counter, so that no locked instruction is needed. */
static inline void tr_count(_Atomic int64_t *counter, int64_t n)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

/* A consistent enough view for status; exact while no lane works. */
struct tr_account {
    int64_t read, in_flight, released;
    int64_t outcomes[TR_OUTCOMES];
};

void tr_part_account(const struct tr_part *part, struct tr_account *account);
void tr_account_add(struct tr_account *to, const struct tr_account *from);
/* TR_EBUG, naming the partition, when the account does not add up: after a drain every record that
 * was read has an outcome or was released. */
int tr_part_check(const struct tr_part *part, struct tr_error *err) TR_MUST_CHECK;

/* The next offset that is needed: behind all that is settled, and behind commit markers when
 * nothing is in flight and nothing was given up in this assignment. */
int64_t tr_part_next(const struct tr_part *part);
/* Records between that and the end; 0 when the end is not known. */
int64_t tr_part_lag(const struct tr_part *part);
/* Wall time in ms: all that the partition had held by then is in the store; 0 = not known. */
int64_t tr_part_read_until_ms(const struct tr_part *part);
/* How long the store has been behind in a partition: since the record that it has last, or since it
 * had all there was; 0 when it has, -1 while neither is known. */
int64_t tr_part_lag_seconds(const struct tr_part *part, int64_t now_ms);

#endif
