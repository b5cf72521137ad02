/*
 * lane.h - the writers: threads that apply batches, one batch at a time each.
 *
 * A partition belongs to one lane, so its records are applied in order and its progress is a
 * prefix. A lane has two batches: the main thread fills one while the lane applies the other. A
 * batch is offered after every round of the main thread; the lane takes it when it is idle (so an
 * idle store sees a record at once), and until then the main thread takes it back and fills on (so
 * a busy store sees large batches).
 *
 * Main thread: everything declared here but for the last section. The lanes' lock guards the
 * hand-over, what is settled, and the trouble's text.
 */
#ifndef TR_LANE_H
#define TR_LANE_H

#include <pthread.h>

#include "batch.h"
#include "dead.h"

struct tr_lanes;

struct tr_lane {
    struct tr_lanes *lanes;
    unsigned number;
    pthread_t thread;
    bool started;
    pthread_cond_t wake;
    struct tr_sink_lane *sink_lane;
    struct tr_batch batches[2];
    struct tr_batch *filling; /* main */
    /* Lock. */
    struct tr_batch *offered; /* full, or what there is */
    struct tr_batch *behind;  /* the same, while the lane has not taken the one offered yet */
    struct tr_batch *working; /* the lane's own */
    bool flush;               /* write progress now */
    bool flushing;            /* it is being written */
    bool given_up;            /* takes nothing more until resumed: later batches must not pass */
    struct tr_part **parts;   /* changed while the lane is idle */
    size_t part_count, part_capacity;
    char trouble[512];
    /* Lane thread. */
    struct tr_sink_progress *settled, *after;
    size_t settled_capacity, after_capacity;
    struct tr_dead_wait *letters;
    int64_t logged_us;         /* when trouble was said last */
    int64_t progress_due_us;   /* not to be written alone before that */
    int64_t progress_delay_ms; /* grows while the store does not take it */
    /* Any thread. */
    _Atomic int64_t retry_since_us; /* 0 = not retrying */
};

struct tr_lanes_config {
    const struct tr_sink_ops *ops;
    struct tr_sink *sink;
    struct tr_dead *dead;
    unsigned count;
    size_t records_max, bytes_max; /* of one batch */
};

struct tr_lanes {
    struct tr_lanes_config config;
    pthread_mutex_t lock;
    pthread_cond_t main_wake;
    struct tr_lane *lane;
    bool stop;             /* lock: the threads end */
    bool interrupt;        /* lock: no waiting in back-off: settle or give up */
    uint64_t rounds;       /* lock: grows when a lane is done with something */
    struct tr_error error; /* lock: the first that stops the process */
    /* Any thread. */
    atomic_bool failed;
    _Atomic int64_t retries, batches, records, bytes, letters;
    _Atomic int64_t head_applied, head_stale; /* of records that were read at the head */
};

/* Opens the sink's lanes and starts the threads. Call tr_lanes_done also after an error. */
int tr_lanes_init(struct tr_lanes *lanes, const struct tr_lanes_config *config,
                  struct tr_error *err) TR_MUST_CHECK;
/* Ends the threads and closes the sink's lanes. False when a thread did not come back from the
 * store in time: then nothing it uses may be freed. */
bool tr_lanes_done(struct tr_lanes *lanes, int timeout_ms);

/* The batch to fill for a lane, NULL while it has no room. */
struct tr_batch *tr_lane_batch(struct tr_lane *lane);
/* Ends a round: lanes may take what was filled. */
void tr_lanes_offer(struct tr_lanes *lanes);
/* Waits until a lane is done with something since `rounds` was read. Returns the new count. */
uint64_t tr_lanes_wait(struct tr_lanes *lanes, uint64_t rounds, int timeout_ms);
uint64_t tr_lanes_rounds(struct tr_lanes *lanes);

/* Lets the lanes settle all they have, without waiting for a store that fails, and write progress.
 * False when a store's call did not return within timeout_ms. */
bool tr_lanes_drain(struct tr_lanes *lanes, int timeout_ms);
/* After a drain that was not in time: what is in flight counts as released from now on. */
void tr_lanes_abandon(struct tr_lanes *lanes, struct tr_parts *parts);
/* Waits for lanes that are still inside the store: TR_ESTORE_RETRY when one does not come back in
 * time. Afterwards nothing is touched by them until tr_lanes_resume. */
int tr_lanes_quiet(struct tr_lanes *lanes, int timeout_ms, struct tr_error *err) TR_MUST_CHECK;
/* With a new assignment. */
void tr_lanes_resume(struct tr_lanes *lanes);
/* While quiet: which partitions the lanes have. */
int tr_lane_adopt(struct tr_lane *lane, struct tr_part *part, struct tr_error *err) TR_MUST_CHECK;
void tr_lanes_disown(struct tr_lanes *lanes);

/* The error that stops the process, if a lane met one. */
int tr_lanes_error(struct tr_lanes *lanes, struct tr_error *err);
/* Any thread: whether one is retrying, and since when at the longest (µs); copies its trouble. */
bool tr_lanes_retrying(struct tr_lanes *lanes, int64_t *since_us, char *trouble, size_t size);

/* ---- lane threads only (apply.c) ------------------------------------------------------------- */

/* Applies and settles the whole batch: 0; TR_ESTOPPED when it was interrupted; what stops us. */
int tr_lane_apply(struct tr_lane *lane, struct tr_batch *batch, struct tr_error *err) TR_MUST_CHECK;
/* Writes settled progress that the store was not given yet. A store that can't take it now is no
 * error: it is said, and tried again later or with the next batch. */
int tr_lane_progress(struct tr_lane *lane, struct tr_error *err) TR_MUST_CHECK;
bool tr_lane_unwritten(const struct tr_lane *lane);
/* Sleeps for back-off; false when interrupted. */
bool tr_lane_sleep(struct tr_lane *lane, int64_t ms);

#endif
