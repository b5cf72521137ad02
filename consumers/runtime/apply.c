/*
 * apply.c - what a lane does with a batch: dead letters for what is no event, the store's apply
 * until every record has a result, the marker, and settling. Lane threads only; see lane.h.
 *
 * A store that can't take records now (RETRY, or no answer at all) is waited for as long as it
 * takes: log, status and metrics say so. Only a rebalance or a stop interrupts it; then the whole
 * batch is released and read again by whoever gets its partitions.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "killpoint.h"
#include "lane.h"
#include "log.h"
#include "sink_call.h"
#include "tables.h"

#define DELAY_MIN_MS 100
#define DELAY_MAX_MS 30000
#define PROGRESS_ALONE_MS 1000 /* after the last write of it */
#define LOG_INTERVAL_US 1000000
#define LETTER_WAIT_MS 1000

struct work {
    struct tr_lane *lane;
    struct tr_batch *batch;
    size_t pending; /* records without a final result: batch->pending */
    int64_t delay_ms;
};

/* ---- trouble --------------------------------------------------------------------------------- */

static void note_trouble(struct tr_lane *lane, const struct tr_error *err, int64_t delay_ms)
{
    int64_t now = tr_clock_mono_us();
    char next[64];
    atomic_fetch_add(&lane->lanes->retries, 1);
    pthread_mutex_lock(&lane->lanes->lock);
    tr_error_format(err, lane->trouble, sizeof(lane->trouble));
    pthread_mutex_unlock(&lane->lanes->lock);
    if (atomic_load(&lane->retry_since_us) == 0)
        atomic_store(&lane->retry_since_us, now);
    if (lane->logged_us != 0 && now - lane->logged_us < LOG_INTERVAL_US)
        return;
    lane->logged_us = now;
    snprintf(next, sizeof(next), "lane %u retries in %.1f s", lane->number,
             (double)delay_ms / 1000);
    tr_log_error(TR_LOG_WARN, "store", err, next);
}

static void end_trouble(struct tr_lane *lane)
{
    int64_t since = atomic_exchange(&lane->retry_since_us, 0);
    if (since == 0)
        return;
    tr_log(TR_LOG_INFO, "store", "takes records again", TR_INT("lane", lane->number),
           TR_REAL("after_s", (double)(tr_clock_mono_us() - since) / 1e6), TR_END);
}

static int64_t next_delay(int64_t delay_ms)
{
    int64_t next = delay_ms < DELAY_MIN_MS ? DELAY_MIN_MS : delay_ms * 2;
    return next > DELAY_MAX_MS ? DELAY_MAX_MS : next;
}

/* Says it and sleeps, longer each time. TR_ESTOPPED when interrupted. */
static int back_off(struct work *work, const struct tr_error *err)
{
    int64_t delay = work->delay_ms;
    work->delay_ms = next_delay(delay);
    note_trouble(work->lane, err, delay);
    return tr_lane_sleep(work->lane, delay) ? 0 : TR_ESTOPPED;
}

/* What the caller does with a failed call: 0 = try again, TR_ESTOPPED, or the error itself. */
static int judge(struct work *work, int rc, const struct tr_error *err)
{
    return tr_error_class_of(rc) == TR_CLASS_RETRY ? back_off(work, err) : rc;
}

/* ---- progress -------------------------------------------------------------------------------- */

static bool reserve(struct tr_sink_progress **array, size_t *capacity, size_t count)
{
    if (count <= *capacity)
        return true;
    struct tr_sink_progress *larger = realloc(*array, count * 2 * sizeof(**array));
    if (larger == NULL)
        return false;
    *array = larger;
    *capacity = count * 2;
    return true;
}

bool tr_lane_unwritten(const struct tr_lane *lane)
{
    for (size_t i = 0; i < lane->part_count; i++)
        if (lane->parts[i]->written < atomic_load(&lane->parts[i]->settled))
            return true;
    return false;
}

/* What is settled and was not given to the store; TR_ENOMEM, or how many. */
static int gather_settled(struct tr_lane *lane)
{
    size_t count = 0;
    if (!reserve(&lane->settled, &lane->settled_capacity, lane->part_count))
        return TR_ENOMEM;
    for (size_t i = 0; i < lane->part_count; i++) {
        const struct tr_part *part = lane->parts[i];
        int64_t settled = atomic_load(&part->settled);
        if (part->written < settled)
            lane->settled[count++] = (struct tr_sink_progress){part->topic_name, part->incarnation,
                                                               part->partition, settled};
    }
    return (int)count;
}

/* Nothing settles between gathering and this: settling is this thread's. */
static void note_written(struct tr_lane *lane)
{
    lane->progress_delay_ms = PROGRESS_ALONE_MS;
    lane->progress_due_us = tr_clock_mono_us() + PROGRESS_ALONE_MS * 1000;
    for (size_t i = 0; i < lane->part_count; i++)
        lane->parts[i]->written = atomic_load(&lane->parts[i]->settled);
}

static int gather_after(struct tr_lane *lane, const struct tr_batch *batch)
{
    if (!reserve(&lane->after, &lane->after_capacity, batch->part_count))
        return TR_ENOMEM;
    for (size_t i = 0; i < batch->part_count; i++) {
        const struct tr_part *part = batch->parts[i].part;
        /* The marker, which is the last message, comes after the records. */
        int64_t marker = batch->marker.table != NULL && batch->marker.part == i;
        lane->after[i] = (struct tr_sink_progress){part->topic_name, part->incarnation,
                                                   part->partition, batch->parts[i].next - marker};
    }
    return (int)batch->part_count;
}

int tr_lane_progress(struct tr_lane *lane, struct tr_error *err)
{
    const struct tr_lanes_config *config = &lane->lanes->config;
    int count = gather_settled(lane);
    if (count < 0)
        return tr_error_set(err, count, "no memory for progress");
    if (count == 0)
        return 0;
    struct tr_error passing = {0};
    int rc = tr_sink_progress(config->ops, lane->sink_lane, lane->settled, (size_t)count, &passing);
    if (rc == 0) {
        note_written(lane);
        end_trouble(lane);
        return 0;
    }
    if (tr_error_class_of(rc) != TR_CLASS_RETRY) {
        *err = passing;
        return rc;
    }
    lane->progress_delay_ms = next_delay(lane->progress_delay_ms);
    lane->progress_due_us = tr_clock_mono_us() + lane->progress_delay_ms * 1000;
    note_trouble(lane, &passing, lane->progress_delay_ms);
    return 0;
}

/* ---- dead letters ---------------------------------------------------------------------------- */

static int send_letter(struct work *work, const struct tr_batch_item *item, const char *reason,
                       struct tr_error *err)
{
    bool event = item->record.table == NULL;
    const struct tr_batch_part *slot = &work->batch->parts[item->part];
    const struct tr_dead_letter letter = {
        .message = &item->message,
        .topic = slot->part->topic_name,
        .version = event ? -1 : item->record.version,
        .class_name = event ? TR_DEAD_CLASS_EVENT : TR_DEAD_CLASS_STORE,
        .reason = reason != NULL ? reason : "refused",
    };
    for (;;) {
        struct tr_error passing = {0};
        int rc =
            tr_dead_send(work->lane->lanes->config.dead, &letter, work->lane->letters, &passing);
        if (rc == 0)
            return 0;
        if ((rc = judge(work, rc, &passing)) < 0) {
            *err = passing;
            return rc;
        }
    }
}

/* Waits for the acknowledgements: 0, 1 = send all again, TR_E… */
static int settle_letters(struct work *work, struct tr_error *err)
{
    struct tr_dead_wait *wait = work->lane->letters;
    for (;;) {
        struct tr_error passing = {0};
        int rc = tr_dead_settle(work->lane->lanes->config.dead, wait, LETTER_WAIT_MS, &passing);
        if (rc == 0)
            return 0;
        if (atomic_load(&wait->pending) > 0) {
            /* Not answered yet: it is the producer that tries on. */
            note_trouble(work->lane, &passing, LETTER_WAIT_MS);
            if (!tr_lane_sleep(work->lane, 0))
                return TR_ESTOPPED;
            continue;
        }
        atomic_store(&wait->code, 0);
        if ((rc = judge(work, rc, &passing)) == 0)
            return 1;
        *err = passing;
        return rc;
    }
}

static void say_dead(struct work *work, const struct tr_batch_item *item, const char *reason)
{
    const struct tr_part *part = work->batch->parts[item->part].part;
    atomic_fetch_add(&work->lane->lanes->letters, 1);
    tr_log(TR_LOG_WARN, "store", "sent to dead letters", TR_STR("topic", part->topic_name),
           TR_INT("partition", part->partition), TR_INT("offset", item->message.offset),
           TR_STR("reason", reason != NULL ? reason : "refused"), TR_END);
}

/* Buries every item of `list` for which the result (or the item itself) says so. */
static int bury(struct work *work, const uint32_t *list, const struct tr_sink_result *results,
                size_t count, struct tr_error *err)
{
    int rc = 1;
    tr_kill_point("before-dead-letter");
    while (rc == 1) {
        rc = 0;
        for (size_t i = 0; rc == 0 && i < count; i++)
            if (results[i].status == TR_SINK_POISON)
                rc = send_letter(work, &work->batch->items[list[i]], results[i].reason, err);
        if (rc == 0)
            rc = settle_letters(work, err);
    }
    for (size_t i = 0; rc == 0 && i < count; i++) {
        const struct tr_batch_item *item = &work->batch->items[list[i]];
        if (results[i].status != TR_SINK_POISON)
            continue;
        say_dead(work, item, results[i].reason);
        work->batch->parts[item->part].outcomes[TR_OUT_DEAD]++;
    }
    return rc;
}

/* Items that the main thread found to be no events. */
static int bury_refused(struct work *work, struct tr_error *err)
{
    struct tr_batch *batch = work->batch;
    size_t count = 0;
    for (size_t i = 0; i < batch->item_count && count < batch->refused; i++) {
        if (batch->items[i].record.table != NULL)
            continue;
        batch->pending[count] = (uint32_t)i;
        batch->results[count++] = (struct tr_sink_result){TR_SINK_POISON, batch->items[i].reason};
    }
    return bury(work, batch->pending, batch->results, count, err);
}

/* ---- results --------------------------------------------------------------------------------- */

static void count_final(struct tr_batch *batch, uint32_t at, enum tr_sink_status status)
{
    const struct tr_batch_item *item = &batch->items[at];
    struct tr_batch_part *slot = &batch->parts[item->part];
    bool stale = status == TR_SINK_STALE;
    slot->outcomes[stale ? TR_OUT_STALE : TR_OUT_APPLIED]++;
    slot->outcomes[TR_OUT_SUPERSEDED] += tr_batch_chain(batch, at);
    if (item->message.offset < atomic_load_explicit(&slot->part->head_from, memory_order_relaxed))
        return;
    slot->head_stale += stale;
    slot->head_applied += !stale;
}

/* After dead letters: the next newest of each key, and what is to be retried, stay pending. */
static void replace_refused(struct work *work)
{
    struct tr_batch *batch = work->batch;
    size_t kept = 0;
    for (size_t i = 0; i < work->pending; i++) {
        uint32_t at = batch->pending[i];
        if (batch->results[i].status == TR_SINK_POISON)
            at = batch->items[at].older;
        if (at != TR_BATCH_NONE)
            batch->pending[kept++] = at;
    }
    work->pending = kept;
}

static int unknown_status(const struct work *work, size_t i, struct tr_error *err)
{
    return tr_error_set(err, TR_EBUG, "the store %s gave result %d for record %zu of a batch",
                        work->lane->lanes->config.ops->name, (int)work->batch->results[i].status,
                        i);
}

/* Sorts the results; then waits if any record is to be retried. */
static int take_results(struct work *work, struct tr_error *err)
{
    struct tr_batch *batch = work->batch;
    size_t kept = 0, refused = 0, retry = 0, count = work->pending;
    struct tr_error passing = {0};
    for (size_t i = 0; i < count; i++) {
        const struct tr_sink_result result = batch->results[i];
        if (result.status == TR_SINK_APPLIED || result.status == TR_SINK_STALE) {
            count_final(batch, batch->pending[i], result.status);
            continue;
        }
        if (result.status == TR_SINK_RETRY && retry++ == 0)
            tr_error_set(&passing, TR_ESTORE_RETRY, "%s",
                         result.reason != NULL ? result.reason : "the store asks to wait");
        else if (result.status == TR_SINK_POISON)
            refused++;
        else if (result.status != TR_SINK_RETRY)
            return unknown_status(work, i, err);
        batch->pending[kept] = batch->pending[i];
        batch->results[kept++] = result;
    }
    work->pending = kept;
    if (kept < count)
        work->delay_ms = DELAY_MIN_MS;
    int rc = refused > 0 ? bury(work, batch->pending, batch->results, kept, err) : 0;
    if (rc < 0)
        return rc;
    replace_refused(work);
    if (retry == 0)
        end_trouble(work->lane);
    return retry > 0 ? back_off(work, &passing) : 0;
}

/* ---- applying -------------------------------------------------------------------------------- */

#define STATUS_NONE ((enum tr_sink_status)99)

static int call_apply(struct work *work, struct tr_error *err)
{
    struct tr_batch *batch = work->batch;
    struct tr_lane *lane = work->lane;
    int settled = gather_settled(lane);
    int after = gather_after(lane, batch);
    if (settled < 0 || after < 0)
        return tr_error_set(err, TR_ENOMEM, "no memory for progress");
    for (size_t i = 0; i < work->pending; i++) {
        batch->records[i] = batch->items[batch->pending[i]].record;
        batch->results[i] = (struct tr_sink_result){STATUS_NONE, NULL};
    }
    tr_arena_reset(&batch->scratch);
    const struct tr_sink_batch call = {
        .records = batch->records,
        .count = work->pending,
        .settled = lane->settled,
        .settled_count = (size_t)settled,
        .after = lane->after,
        .after_count = (size_t)after,
        .arena = &batch->scratch,
    };
    int rc = tr_sink_apply(lane->lanes->config.ops, lane->sink_lane, &call, batch->results, err);
    if (rc == 0)
        note_written(lane);
    return rc;
}

static int apply_records(struct work *work, struct tr_error *err)
{
    struct tr_batch *batch = work->batch;
    work->pending = batch->head_count;
    if (batch->head_count > 0)
        memcpy(batch->pending, batch->heads, batch->head_count * sizeof(*batch->heads));
    while (work->pending > 0) {
        struct tr_error passing = {0};
        int rc = call_apply(work, &passing);
        if (rc == 0) {
            tr_kill_point("after-apply");
            rc = take_results(work, &passing);
        } else {
            rc = judge(work, rc, &passing);
        }
        if (rc < 0) {
            *err = passing;
            return rc;
        }
    }
    /* What had no record for the store says nothing of it. */
    if (batch->head_count > 0)
        end_trouble(work->lane);
    return 0;
}

static int apply_marker(struct work *work, struct tr_error *err)
{
    const struct tr_batch_marker *marker = &work->batch->marker;
    const struct tr_lanes_config *config = &work->lane->lanes->config;
    for (;;) {
        struct tr_error passing = {0};
        int rc = tr_sink_mark(config->ops, work->lane->sink_lane, marker->table, marker->type,
                              marker->version, &passing);
        if (rc == 0)
            break;
        if ((rc = judge(work, rc, &passing)) < 0) {
            *err = passing;
            return rc;
        }
    }
    end_trouble(work->lane);
    work->batch->parts[marker->part].outcomes[TR_OUT_APPLIED]++;
    tr_log(TR_LOG_INFO, "store", tr_event_type_name(marker->type),
           TR_STR("database", marker->table->database.data),
           TR_STR("table", marker->table->table.data), TR_INT("version", marker->version), TR_END);
    return 0;
}

/* ---- settling -------------------------------------------------------------------------------- */

static void settle_part(struct tr_lanes *lanes, const struct tr_batch_part *slot)
{
    struct tr_part *part = slot->part;
    for (int i = 0; i < TR_OUTCOMES; i++)
        tr_count(&part->outcomes[i], slot->outcomes[i]);
    tr_count(&part->done, slot->messages);
    atomic_store(&part->settled, slot->next);
    atomic_store(&part->settled_ms, slot->last_ms);
    atomic_fetch_add(&lanes->head_applied, slot->head_applied);
    atomic_fetch_add(&lanes->head_stale, slot->head_stale);
    atomic_fetch_add(&lanes->records, slot->messages);
}

static void settle_batch(struct tr_lane *lane, const struct tr_batch *batch)
{
    struct tr_lanes *lanes = lane->lanes;
    pthread_mutex_lock(&lanes->lock);
    for (size_t i = 0; i < batch->part_count; i++)
        if (batch->parts[i].epoch == batch->parts[i].part->epoch)
            settle_part(lanes, &batch->parts[i]);
    pthread_mutex_unlock(&lanes->lock);
    atomic_fetch_add(&lanes->batches, 1);
    atomic_fetch_add(&lanes->bytes, (int64_t)batch->bytes);
}

int tr_lane_apply(struct tr_lane *lane, struct tr_batch *batch, struct tr_error *err)
{
    struct work work = {.lane = lane, .batch = batch, .delay_ms = DELAY_MIN_MS};
    int rc = 0;
    if (batch->refused > 0 && (rc = bury_refused(&work, err)) == 0)
        end_trouble(lane);
    if (rc == 0)
        rc = apply_records(&work, err);
    if (rc == 0 && batch->marker.table != NULL)
        rc = apply_marker(&work, err);
    if (rc == 0)
        settle_batch(lane, batch);
    else
        atomic_store(&lane->retry_since_us, 0);
    return rc;
}
