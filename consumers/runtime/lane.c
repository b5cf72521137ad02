/* lane.c - the threads and the hand-over; see lane.h. What a lane does with a batch: apply.c. */
#include "lane.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "log.h"
#include "sink_call.h"

#define IDLE_MS 250

/* ---- waiting --------------------------------------------------------------------------------- */

static struct timespec after_ms(int64_t ms)
{
    int64_t us = tr_clock_mono_us() + ms * 1000;
    return (struct timespec){.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
}

static int init_cond(pthread_cond_t *cond)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    int rc = pthread_cond_init(cond, &attributes);
    pthread_condattr_destroy(&attributes);
    return rc;
}

bool tr_lane_sleep(struct tr_lane *lane, int64_t ms)
{
    struct tr_lanes *lanes = lane->lanes;
    struct timespec until = after_ms(ms);
    int rc = 0;
    pthread_mutex_lock(&lanes->lock);
    while (rc == 0 && !lanes->interrupt && !lanes->stop)
        rc = pthread_cond_timedwait(&lane->wake, &lanes->lock, &until);
    bool interrupted = lanes->interrupt || lanes->stop;
    pthread_mutex_unlock(&lanes->lock);
    return !interrupted;
}

/* ---- the thread ------------------------------------------------------------------------------ */

static void release_batch(struct tr_lane *lane, struct tr_batch *batch)
{
    pthread_mutex_lock(&lane->lanes->lock);
    for (size_t i = 0; i < batch->part_count; i++) {
        const struct tr_batch_part *slot = &batch->parts[i];
        if (slot->epoch == slot->part->epoch)
            atomic_fetch_add(&slot->part->released, slot->messages);
    }
    pthread_mutex_unlock(&lane->lanes->lock);
}

static void fail(struct tr_lanes *lanes, const struct tr_error *err)
{
    pthread_mutex_lock(&lanes->lock);
    if (lanes->error.code == 0)
        lanes->error = *err;
    pthread_mutex_unlock(&lanes->lock);
    atomic_store(&lanes->failed, true);
}

/* Without the lock. */
static void work_on(struct tr_lane *lane, struct tr_batch *batch, bool given_up)
{
    struct tr_error err = {0};
    int rc = given_up ? TR_ESTOPPED : tr_lane_apply(lane, batch, &err);
    if (rc < 0) {
        release_batch(lane, batch);
        if (rc != TR_ESTOPPED)
            fail(lane->lanes, &err);
    }
    tr_batch_reset(batch);
    pthread_mutex_lock(&lane->lanes->lock);
    lane->given_up = lane->given_up || rc < 0;
    pthread_mutex_unlock(&lane->lanes->lock);
}

static void take_offer(struct tr_lane *lane)
{
    struct tr_lanes *lanes = lane->lanes;
    bool given_up = lane->given_up;
    lane->working = lane->offered;
    lane->offered = lane->behind;
    lane->behind = NULL;
    pthread_mutex_unlock(&lanes->lock);
    work_on(lane, lane->working, given_up);
    pthread_mutex_lock(&lanes->lock);
    lane->working = NULL;
}

static void flush_progress(struct tr_lane *lane)
{
    struct tr_lanes *lanes = lane->lanes;
    struct tr_error err = {0};
    lane->flush = false;
    lane->flushing = true;
    pthread_mutex_unlock(&lanes->lock);
    if (!atomic_load(&lanes->failed) && tr_lane_progress(lane, &err) < 0)
        fail(lanes, &err);
    pthread_mutex_lock(&lanes->lock);
    lane->flushing = false;
}

/* What was settled goes to the store with the next batch. Where none follows, or one without a
 * record for the store, it goes alone. */
static bool progress_is_due(const struct tr_lane *lane)
{
    return !lane->given_up && tr_clock_mono_us() >= lane->progress_due_us &&
           tr_lane_unwritten(lane);
}

static void *run_lane(void *context)
{
    struct tr_lane *lane = context;
    struct tr_lanes *lanes = lane->lanes;
    pthread_mutex_lock(&lanes->lock);
    for (;;) {
        if (lane->offered == NULL && !lane->flush) {
            struct timespec until = after_ms(IDLE_MS);
            if (lanes->stop)
                break;
            pthread_cond_timedwait(&lane->wake, &lanes->lock, &until);
        }
        if (lane->offered != NULL)
            take_offer(lane);
        else if (!lane->flush && !progress_is_due(lane))
            continue;
        if ((lane->flush && lane->offered == NULL) || progress_is_due(lane))
            flush_progress(lane);
        lanes->rounds++;
        pthread_cond_signal(&lanes->main_wake);
    }
    pthread_mutex_unlock(&lanes->lock);
    return NULL;
}

/* ---- life ------------------------------------------------------------------------------------ */

static int open_lane(struct tr_lanes *lanes, unsigned number, struct tr_error *err)
{
    struct tr_lane *lane = &lanes->lane[number];
    const struct tr_lanes_config *config = &lanes->config;
    lane->letters = tr_dead_wait_new(config->dead);
    if (lane->letters == NULL)
        return tr_error_set(err, TR_ENOMEM, "no memory for a lane");
    for (unsigned i = 0; i < 2; i++)
        if (tr_batch_init(&lane->batches[i], i, config->records_max, config->bytes_max, err) < 0)
            return err->code;
    if (tr_sink_lane_open(config->ops, config->sink, number, &lane->sink_lane, err) < 0)
        return err->code;
    if (pthread_create(&lane->thread, NULL, run_lane, lane) != 0)
        return tr_error_set(err, TR_ENOMEM, "cannot start a thread");
    lane->started = true;
    return 0;
}

int tr_lanes_init(struct tr_lanes *lanes, const struct tr_lanes_config *config,
                  struct tr_error *err)
{
    *lanes = (struct tr_lanes){.config = *config};
    pthread_mutex_init(&lanes->lock, NULL);
    init_cond(&lanes->main_wake);
    lanes->lane = calloc(config->count, sizeof(*lanes->lane));
    if (lanes->lane == NULL)
        return tr_error_set(err, TR_ENOMEM, "no memory for lanes");
    for (unsigned i = 0; i < config->count; i++) {
        lanes->lane[i].lanes = lanes;
        lanes->lane[i].number = i;
        init_cond(&lanes->lane[i].wake);
    }
    for (unsigned i = 0; i < config->count; i++)
        if (open_lane(lanes, i, err) < 0)
            return err->code;
    return 0;
}

static bool all_idle(const struct tr_lanes *lanes)
{
    for (unsigned i = 0; lanes->lane != NULL && i < lanes->config.count; i++) {
        const struct tr_lane *lane = &lanes->lane[i];
        if (lane->started &&
            (lane->offered != NULL || lane->working != NULL || lane->flush || lane->flushing))
            return false;
    }
    return true;
}

/* With the lock. */
static bool wait_idle(struct tr_lanes *lanes, int timeout_ms)
{
    struct timespec until = after_ms(timeout_ms);
    int rc = 0;
    while (!all_idle(lanes) && rc == 0)
        rc = pthread_cond_timedwait(&lanes->main_wake, &lanes->lock, &until);
    return all_idle(lanes);
}

static void wake_all(struct tr_lanes *lanes)
{
    for (unsigned i = 0; lanes->lane != NULL && i < lanes->config.count; i++)
        pthread_cond_signal(&lanes->lane[i].wake);
}

static void close_lane(struct tr_lanes *lanes, struct tr_lane *lane)
{
    if (lane->started)
        pthread_join(lane->thread, NULL);
    tr_sink_lane_close(lanes->config.ops, lane->sink_lane);
    tr_batch_done(&lane->batches[0]);
    tr_batch_done(&lane->batches[1]);
    pthread_cond_destroy(&lane->wake);
    free(lane->parts);
    free(lane->settled);
    free(lane->after);
}

bool tr_lanes_done(struct tr_lanes *lanes, int timeout_ms)
{
    pthread_mutex_lock(&lanes->lock);
    lanes->stop = true;
    lanes->interrupt = true;
    wake_all(lanes);
    bool idle = wait_idle(lanes, timeout_ms);
    pthread_mutex_unlock(&lanes->lock);
    if (!idle)
        return false;
    for (unsigned i = 0; lanes->lane != NULL && i < lanes->config.count; i++)
        close_lane(lanes, &lanes->lane[i]);
    free(lanes->lane);
    lanes->lane = NULL;
    pthread_cond_destroy(&lanes->main_wake);
    pthread_mutex_destroy(&lanes->lock);
    return true;
}

/* ---- hand-over ------------------------------------------------------------------------------- */

/* With the lock. */
static void hand_over(struct tr_lane *lane)
{
    if (lane->offered == NULL)
        lane->offered = lane->filling;
    else
        lane->behind = lane->filling;
    lane->filling = NULL;
    pthread_cond_signal(&lane->wake);
}

/* With the lock. The last one that was offered, if it has room still; else the one that nobody has;
 * NULL when the lane has both. */
static struct tr_batch *take_back(struct tr_lane *lane)
{
    struct tr_batch **last = lane->behind != NULL ? &lane->behind : &lane->offered;
    struct tr_batch *batch = *last;
    if (batch != NULL && !tr_batch_full(batch)) {
        *last = NULL;
        return batch;
    }
    for (unsigned i = 0; i < 2; i++) {
        batch = &lane->batches[i];
        if (batch != lane->working && batch != lane->offered && batch != lane->behind)
            return batch;
    }
    return NULL;
}

struct tr_batch *tr_lane_batch(struct tr_lane *lane)
{
    if (lane->filling != NULL && !tr_batch_full(lane->filling))
        return lane->filling;
    pthread_mutex_lock(&lane->lanes->lock);
    if (lane->filling != NULL)
        hand_over(lane);
    lane->filling = take_back(lane);
    pthread_mutex_unlock(&lane->lanes->lock);
    return lane->filling;
}

/* With the lock. */
static void offer(struct tr_lanes *lanes)
{
    for (unsigned i = 0; i < lanes->config.count; i++)
        if (lanes->lane[i].filling != NULL && !tr_batch_empty(lanes->lane[i].filling))
            hand_over(&lanes->lane[i]);
}

void tr_lanes_offer(struct tr_lanes *lanes)
{
    pthread_mutex_lock(&lanes->lock);
    offer(lanes);
    pthread_mutex_unlock(&lanes->lock);
}

uint64_t tr_lanes_wait(struct tr_lanes *lanes, uint64_t rounds, int timeout_ms)
{
    struct timespec until = after_ms(timeout_ms);
    int rc = 0;
    pthread_mutex_lock(&lanes->lock);
    while (lanes->rounds == rounds && rc == 0)
        rc = pthread_cond_timedwait(&lanes->main_wake, &lanes->lock, &until);
    rounds = lanes->rounds;
    pthread_mutex_unlock(&lanes->lock);
    return rounds;
}

uint64_t tr_lanes_rounds(struct tr_lanes *lanes)
{
    pthread_mutex_lock(&lanes->lock);
    uint64_t rounds = lanes->rounds;
    pthread_mutex_unlock(&lanes->lock);
    return rounds;
}

/* ---- rebalance ------------------------------------------------------------------------------- */

bool tr_lanes_drain(struct tr_lanes *lanes, int timeout_ms)
{
    pthread_mutex_lock(&lanes->lock);
    offer(lanes);
    lanes->interrupt = true;
    for (unsigned i = 0; i < lanes->config.count; i++)
        lanes->lane[i].flush = true;
    wake_all(lanes);
    bool idle = wait_idle(lanes, timeout_ms);
    pthread_mutex_unlock(&lanes->lock);
    return idle;
}

void tr_lanes_abandon(struct tr_lanes *lanes, struct tr_parts *parts)
{
    pthread_mutex_lock(&lanes->lock);
    for (unsigned i = 0; i < lanes->config.count; i++)
        lanes->lane[i].given_up = true;
    for (size_t i = 0; i < parts->count; i++) {
        struct tr_part *part = parts->all[i];
        struct tr_account account;
        tr_part_account(part, &account);
        atomic_fetch_add(&part->epoch, 1);
        atomic_fetch_add(&part->released, account.in_flight);
    }
    pthread_mutex_unlock(&lanes->lock);
}

int tr_lanes_quiet(struct tr_lanes *lanes, int timeout_ms, struct tr_error *err)
{
    pthread_mutex_lock(&lanes->lock);
    for (unsigned i = 0; i < lanes->config.count; i++)
        lanes->lane[i].given_up = true;
    bool idle = wait_idle(lanes, timeout_ms);
    pthread_mutex_unlock(&lanes->lock);
    return idle ? 0 : tr_error_set(err, TR_ESTORE_RETRY, "a call to the store does not return");
}

void tr_lanes_resume(struct tr_lanes *lanes)
{
    pthread_mutex_lock(&lanes->lock);
    lanes->interrupt = false;
    for (unsigned i = 0; i < lanes->config.count; i++)
        lanes->lane[i].given_up = false;
    pthread_mutex_unlock(&lanes->lock);
}

int tr_lane_adopt(struct tr_lane *lane, struct tr_part *part, struct tr_error *err)
{
    struct tr_lanes *lanes = lane->lanes;
    bool done = true;
    pthread_mutex_lock(&lanes->lock);
    if (lane->part_count == lane->part_capacity) {
        size_t capacity = lane->part_capacity == 0 ? 16 : lane->part_capacity * 2;
        struct tr_part **parts = realloc(lane->parts, capacity * sizeof(struct tr_part *));
        done = parts != NULL;
        if (done) {
            lane->parts = parts;
            lane->part_capacity = capacity;
        }
    }
    if (done)
        lane->parts[lane->part_count++] = part;
    pthread_mutex_unlock(&lanes->lock);
    return done ? 0 : tr_error_set(err, TR_ENOMEM, "no memory for a partition");
}

void tr_lanes_disown(struct tr_lanes *lanes)
{
    pthread_mutex_lock(&lanes->lock);
    for (unsigned i = 0; i < lanes->config.count; i++) {
        lanes->lane[i].part_count = 0;
        atomic_store(&lanes->lane[i].retry_since_us, 0); /* trouble with progress they had */
    }
    pthread_mutex_unlock(&lanes->lock);
}

/* ---- what others ask ------------------------------------------------------------------------- */

int tr_lanes_error(struct tr_lanes *lanes, struct tr_error *err)
{
    if (!atomic_load(&lanes->failed))
        return 0;
    pthread_mutex_lock(&lanes->lock);
    if (err->code == 0)
        *err = lanes->error;
    pthread_mutex_unlock(&lanes->lock);
    return err->code;
}

bool tr_lanes_retrying(struct tr_lanes *lanes, int64_t *since_us, char *trouble, size_t size)
{
    *since_us = 0;
    trouble[0] = '\0';
    pthread_mutex_lock(&lanes->lock);
    for (unsigned i = 0; lanes->lane != NULL && i < lanes->config.count; i++) {
        int64_t since = atomic_load(&lanes->lane[i].retry_since_us);
        if (since == 0 || (*since_us != 0 && since >= *since_us))
            continue;
        *since_us = since;
        snprintf(trouble, size, "%s", lanes->lane[i].trouble);
    }
    pthread_mutex_unlock(&lanes->lock);
    return *since_us != 0;
}
