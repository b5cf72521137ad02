/*
 * commit.c - offsets: what is settled is told to the group, about every second and at a drain; and
 * what else happens by the clock. See run.h.
 */
#include <stdlib.h>

#include "clock.h"
#include "killpoint.h"
#include "log.h"
#include "run.h"

#define TICK_US 200000
#define COMMIT_US 1000000
#define METER_US 1000000
#define ENDS_US 5000000
#define DRAIN_MS 10000
/* An idle partition's commit is repeated, also at the end, so that its time tells until when we
 * were there. */
#define RENEW_MS 60000
#define RENEW_LAST_MS 5000

/* ---- commits --------------------------------------------------------------------------------- */

static bool reserve(struct tr_run *run, size_t count)
{
    if (count <= run->scratch_capacity)
        return true;
    void *larger = realloc(run->scratch, count * 2 * sizeof(*run->scratch));
    if (larger == NULL)
        return false;
    run->scratch = larger;
    run->scratch_capacity = count * 2;
    return true;
}

/* At the end it is not worth waiting for a broker that is away. */
static int64_t renew_after(struct tr_run *run, bool last)
{
    if (!last)
        return RENEW_MS;
    pthread_mutex_lock(&run->live.lock);
    bool trouble = run->live.kafka[0] != '\0';
    pthread_mutex_unlock(&run->live.lock);
    return trouble ? INT64_MAX : RENEW_LAST_MS;
}

/* Wall time in ms: the store misses no delete of before; 0 = not known. */
static int64_t whole_until(const struct tr_part *part)
{
    int64_t read_ms = tr_part_read_until_ms(part);
    return read_ms > part->whole_ms ? read_ms : part->whole_ms;
}

static bool due(const struct tr_part *part, const struct tr_kafka_partition *now, int64_t renew_ms)
{
    if (!atomic_load(&part->assigned) || now->offset < 0 || now->offset < part->committed)
        return false;
    return now->offset > part->committed ||
           now->whole_until_ms - part->committed_until_ms >= renew_ms;
}

int tr_run_commit(struct tr_run *run, bool wait, struct tr_error *err)
{
    size_t count = 0;
    int64_t renew_ms = renew_after(run, wait);
    if (!reserve(run, run->parts.count))
        return tr_error_set(err, TR_ENOMEM, "no memory for offsets");
    for (size_t i = 0; i < run->parts.count; i++) {
        struct tr_part *part = run->parts.all[i];
        int64_t until_ms = whole_until(part); /* before the offset: never too late */
        run->scratch[count] = (struct tr_kafka_partition){.topic = part->topic,
                                                          .partition = part->partition,
                                                          .offset = tr_part_next(part),
                                                          .whole_until_ms = until_ms};
        if (due(part, &run->scratch[count], renew_ms))
            count++;
    }
    if (count == 0)
        return 0;
    int rc = tr_kafka_consumer_commit(run->consumer, run->scratch, count, wait, err);
    if (rc < 0)
        return rc;
    tr_kill_point("after-commit");
    for (size_t i = 0; i < count; i++) {
        const struct tr_kafka_partition *one = &run->scratch[i];
        struct tr_part *part = tr_parts_find(&run->parts, one->topic, one->partition);
        part->committed = one->offset;
        part->committed_until_ms = one->whole_until_ms;
    }
    return 0;
}

/* A commit that fails is made up for by the next one, or by reading a little twice. */
static int commit_or_say(struct tr_run *run, bool wait, struct tr_error *err)
{
    struct tr_error passing = {0};
    int rc = tr_run_commit(run, wait, &passing);
    if (rc == 0)
        return 0;
    if (!wait && tr_error_class_of(rc) != TR_CLASS_RETRY) {
        *err = passing;
        return rc;
    }
    tr_log_error(TR_LOG_WARN, "kafka", &passing, "the next commit covers it");
    return 0;
}

/* ---- by the clock ---------------------------------------------------------------------------- */

/* Right after a take, when every message up to the position has been handed to us. */
static void update_part(struct tr_run *run, struct tr_part *part)
{
    int64_t end = tr_kafka_consumer_end(run->consumer, part->topic, part->partition);
    int64_t position = tr_kafka_consumer_position(run->consumer, part->topic, part->partition);
    if (end >= 0 && !part->paused)
        atomic_store(&part->end, end);
    if (position >= 0)
        atomic_store(&part->position, position);
    if (end >= 0 && tr_part_lag(part) == 0)
        atomic_store(&part->caught_up_ms, tr_clock_wall_us() / 1000);
    /* Once at the head, whatever comes later was read there. */
    if (atomic_load(&part->head_from) == INT64_MAX && tr_part_next(part) >= part->end)
        atomic_store(&part->head_from, part->end);
}

/* A paused partition is not fetched, so the library learns nothing of its end: we ask, so that the
 * lag stays true while a store is down. */
static void ask_ends(struct tr_run *run, int64_t now)
{
    run->ends_due_us = now + ENDS_US;
    for (size_t i = 0; i < run->parts.count; i++) {
        struct tr_part *part = run->parts.all[i];
        struct tr_error ignored = {0};
        int64_t low, high;
        if (!atomic_load(&part->assigned) || !part->paused)
            continue;
        if (tr_kafka_watermarks(run->session.dead.producer,
                                tr_kafka_consumer_topic_name(run->consumer, part->topic),
                                part->partition, &low, &high, &ignored) < 0) {
            run->ends_due_us = tr_clock_mono_us() + 6 * ENDS_US;
            return;
        }
        atomic_store(&part->end, high);
    }
}

static void judge(struct tr_run *run)
{
    int64_t applied = atomic_load(&run->lanes.head_applied);
    int64_t stale = atomic_load(&run->lanes.head_stale);
    int verdict = tr_live_judge(applied, stale);
    if (verdict < 0)
        return;
    atomic_fetch_sub(&run->lanes.head_applied, applied);
    atomic_fetch_sub(&run->lanes.head_stale, stale);
    pthread_mutex_lock(&run->live.lock);
    bool was = run->live.failed;
    run->live.failed = verdict == 1;
    pthread_mutex_unlock(&run->live.lock);
    if (verdict == 1 && !was)
        tr_log(TR_LOG_ERROR, "store", "failed: nearly all records at the head are stale",
               TR_INT("stale", stale), TR_INT("of", applied + stale),
               TR_STR("remedy", "the store was filled with higher versions than this topic's: "
                                "reset --to beginning --drop"),
               TR_END);
}

static void update_meters(struct tr_run *run)
{
    char trouble[512];
    enum tr_state state = tr_live_state(&run->live, trouble, sizeof(trouble));
    tr_meters_update(&run->meters, &run->parts, &run->lanes, run->held_count, state);
}

int tr_run_tick(struct tr_run *run, struct tr_error *err)
{
    int64_t now = tr_clock_mono_us();
    atomic_store_explicit(&run->live.beat_us, now, memory_order_relaxed);
    if (now < run->tick_due_us)
        return 0;
    run->tick_due_us = now + TICK_US;
    for (size_t i = 0; i < run->parts.count; i++)
        if (atomic_load(&run->parts.all[i]->assigned))
            update_part(run, run->parts.all[i]);
    pthread_mutex_lock(&run->live.lock);
    tr_kafka_consumer_trouble(run->consumer, run->live.kafka, sizeof(run->live.kafka));
    pthread_mutex_unlock(&run->live.lock);
    (void)tr_kafka_producer_poll(run->session.dead.producer, 0);
    judge(run);
    if (now >= run->ends_due_us)
        ask_ends(run, now);
    if (now >= run->meter_due_us) {
        run->meter_due_us = now + METER_US;
        update_meters(run);
    }
    int rc = tr_run_check_partial(run, err);
    if (rc != 0)
        return rc;
    if (now < run->commit_due_us || !run->assigned)
        return 0;
    run->commit_due_us = now + COMMIT_US;
    return commit_or_say(run, false, err);
}

/* ---- the end of an assignment ---------------------------------------------------------------- */

void tr_run_settle(struct tr_run *run, bool commit)
{
    struct tr_error ignored = {0};
    for (size_t i = 0; i < run->parts.count; i++)
        tr_run_drop_held(run, run->parts.all[i]);
    tr_live_wait(&run->live, "");
    if (!tr_lanes_drain(&run->lanes, DRAIN_MS)) {
        tr_log(TR_LOG_WARN, "store",
               "a call to the store does not return; its records are released",
               TR_INT("after_ms", DRAIN_MS), TR_END);
        tr_lanes_abandon(&run->lanes, &run->parts);
        run->stuck = true;
    } else {
        run->stuck = false;
    }
    if (!commit || !run->assigned)
        return;
    /* With the position of the last tick: by now it may be behind messages that a rebalance has
     * thrown away before we saw them. */
    (void)!commit_or_say(run, true, &ignored);
}

int tr_run_account(struct tr_run *run, struct tr_error *err)
{
    struct tr_account sum = {0};
    for (size_t i = 0; i < run->parts.count; i++) {
        struct tr_account one;
        if (tr_part_check(run->parts.all[i], err) < 0)
            return err->code;
        tr_part_account(run->parts.all[i], &one);
        tr_account_add(&sum, &one);
    }
    tr_log(TR_LOG_INFO, "consumer", "account", TR_INT("read", sum.read),
           TR_INT("applied", sum.outcomes[TR_OUT_APPLIED]),
           TR_INT("stale", sum.outcomes[TR_OUT_STALE]),
           TR_INT("superseded", sum.outcomes[TR_OUT_SUPERSEDED]),
           TR_INT("filtered", sum.outcomes[TR_OUT_FILTERED]),
           TR_INT("dead", sum.outcomes[TR_OUT_DEAD]), TR_INT("in_flight", sum.in_flight),
           TR_INT("released", sum.released), TR_END);
    return 0;
}
