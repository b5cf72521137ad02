/* status.c - see status.h. */
#include "status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "json_writer.h"

/* A drain takes up to 10 s, a store's connection attempt a while: much longer is dead. */
#define BEAT_MAX_US (90 * INT64_C(1000000))

const char *tr_state_name(enum tr_state state)
{
    static const char *const names[] = {"waiting", "running", "retrying",
                                        "failed",  "stopped", "unknown"};
    return names[state];
}

void tr_live_init(struct tr_live *live, const char *pipeline, const char *consumer)
{
    *live = (struct tr_live){.pipeline = pipeline, .consumer = consumer};
    pthread_mutex_init(&live->lock, NULL);
    snprintf(live->waiting_for, sizeof(live->waiting_for), "starting");
    atomic_store(&live->beat_us, tr_clock_mono_us());
}

void tr_live_done(struct tr_live *live)
{
    pthread_mutex_destroy(&live->lock);
}

void tr_live_wait(struct tr_live *live, const char *what)
{
    pthread_mutex_lock(&live->lock);
    snprintf(live->waiting_for, sizeof(live->waiting_for), "%s", what);
    pthread_mutex_unlock(&live->lock);
}

void tr_live_retry(struct tr_live *live, const char *trouble)
{
    pthread_mutex_lock(&live->lock);
    if (live->retrying[0] == '\0')
        live->retry_since_us = tr_clock_mono_us();
    snprintf(live->retrying, sizeof(live->retrying), "%s", trouble);
    pthread_mutex_unlock(&live->lock);
}

int tr_live_judge(int64_t applied, int64_t stale)
{
    if (applied + stale < TR_STALE_RECORDS)
        return -1;
    return stale * 100 >= (applied + stale) * TR_STALE_PERCENT;
}

/* With the lock. `since_us` gets 0 when it isn't known. */
static enum tr_state state_of(struct tr_live *live, char *trouble, size_t size, int64_t *since_us)
{
    *since_us = 0;
    if (live->failed) {
        snprintf(trouble, size,
                 "nearly all records at the head are stale: the store was filled "
                 "with higher versions than this topic's");
        return TR_STATE_FAILED;
    }
    if (live->lanes != NULL && tr_lanes_retrying(live->lanes, since_us, trouble, size))
        return TR_STATE_RETRYING;
    snprintf(trouble, size, "%s", live->retrying);
    if (*trouble != '\0')
        *since_us = live->retry_since_us;
    else
        snprintf(trouble, size, "%s", live->kafka);
    if (*trouble != '\0')
        return TR_STATE_RETRYING;
    snprintf(trouble, size, "%s", live->waiting_for);
    if (*trouble != '\0')
        return TR_STATE_WAITING;
    if (live->assigned)
        return TR_STATE_RUNNING;
    snprintf(trouble, size, "waiting for the group to assign partitions");
    return TR_STATE_WAITING;
}

enum tr_state tr_live_state(struct tr_live *live, char *trouble, size_t size)
{
    int64_t since_us;
    trouble[0] = '\0';
    pthread_mutex_lock(&live->lock);
    enum tr_state state = state_of(live, trouble, size, &since_us);
    pthread_mutex_unlock(&live->lock);
    return state;
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static void write_offset(struct tr_buf *out, const char *name, int64_t offset)
{
    tr_json_member(out, false, name);
    if (offset < 0)
        TR_JSON_LITERAL(out, "null");
    else
        tr_json_int(out, offset);
}

static void write_count(struct tr_buf *out, const char *name, const struct tr_account *account,
                        int64_t count)
{
    tr_json_member(out, false, name);
    if (account == NULL)
        TR_JSON_LITERAL(out, "null");
    else
        tr_json_int(out, count);
}

static int64_t lag_of(const struct tr_status_part *part)
{
    if (part->end < 0 || part->next < 0)
        return -1;
    return part->end > part->next ? part->end - part->next : 0;
}

static void write_part(struct tr_buf *out, const struct tr_status_part *part)
{
    static const struct tr_account none;
    const struct tr_account *account = part->account != NULL ? part->account : &none;
    tr_buf_append_char(out, '{');
    tr_json_member(out, true, "topic");
    tr_json_text(out, tr_slice_of(part->topic));
    tr_json_member(out, false, "partition");
    tr_json_int(out, part->partition);
    write_offset(out, "next", part->next);
    write_offset(out, "end", part->end);
    write_offset(out, "lag", lag_of(part));
    write_count(out, "read", part->account, account->read);
    for (int i = 0; i < TR_OUTCOMES; i++)
        write_count(out, tr_outcome_name((enum tr_outcome)i), part->account, account->outcomes[i]);
    write_count(out, "in_flight", part->account, account->in_flight);
    write_count(out, "released", part->account, account->released);
    tr_buf_append_char(out, '}');
}

/* Of all partitions; -1 when one is not known or there is none. */
static int64_t whole_lag(const struct tr_status *status)
{
    int64_t sum = 0;
    for (size_t i = 0; i < status->part_count; i++) {
        int64_t lag = lag_of(&status->parts[i]);
        if (lag < 0)
            return -1;
        sum += lag;
    }
    return status->part_count == 0 ? -1 : sum;
}

/* Texts of servers may be anything. */
static void write_trouble(struct tr_buf *out, const struct tr_status *status)
{
    struct tr_slice text = tr_slice_of(status->trouble);
    if (text.length == 0)
        return;
    tr_json_member(out, false, "trouble");
    if (!tr_json_string(out, text.data, text.length))
        TR_JSON_LITERAL(out, "\"(not UTF-8)\"");
    if (status->trouble_s >= 0)
        write_offset(out, "trouble_s", status->trouble_s);
}

void tr_status_write(const struct tr_status *status, struct tr_buf *out)
{
    int64_t lag = whole_lag(status);
    tr_buf_append_char(out, '{');
    tr_json_member(out, true, "pipeline");
    tr_json_text(out, tr_slice_of(status->pipeline));
    tr_json_member(out, false, "consumer");
    tr_json_text(out, tr_slice_of(status->consumer));
    tr_json_member(out, false, "state");
    tr_json_text(out, tr_slice_of(tr_state_name(status->state)));
    write_trouble(out, status);
    tr_json_member(out, false, "partitions");
    tr_buf_append_char(out, '[');
    for (size_t i = 0; i < status->part_count; i++) {
        if (i > 0)
            tr_buf_append_char(out, ',');
        write_part(out, &status->parts[i]);
    }
    TR_JSON_LITERAL(out, "],\"lag\":{");
    tr_json_member(out, true, "records");
    if (lag < 0)
        TR_JSON_LITERAL(out, "null");
    else
        tr_json_int(out, lag);
    write_offset(out, "seconds", lag < 0 ? -1 : status->lag_seconds);
    TR_JSON_LITERAL(out, "}}\n");
}

/* ---- the live one ---------------------------------------------------------------------------- */

struct snapshot {
    struct tr_status_part *parts;
    struct tr_account *accounts;
    size_t count;
    int64_t lag_seconds;
};

/* The longest; not known when one is not. */
static void take_age(struct snapshot *to, const struct tr_part *part)
{
    int64_t seconds = tr_part_lag_seconds(part, tr_clock_wall_us() / 1000);
    if (seconds < 0 || (to->lag_seconds >= 0 && seconds > to->lag_seconds))
        to->lag_seconds = seconds;
}

static void take_parts(struct snapshot *to, struct tr_parts *parts)
{
    for (size_t i = 0; i < parts->count; i++) {
        const struct tr_part *part = parts->all[i];
        if (!atomic_load(&part->assigned))
            continue;
        tr_part_account(part, &to->accounts[to->count]);
        to->parts[to->count] = (struct tr_status_part){
            .topic = part->topic_name,
            .partition = part->partition,
            .next = tr_part_next(part),
            .end = atomic_load(&part->end),
            .account = &to->accounts[to->count],
        };
        take_age(to, part);
        to->count++;
    }
}

/* Whole batches: with the lanes' lock no batch is half settled. */
static void take_snapshot(struct tr_live *live, struct snapshot *to)
{
    *to = (struct snapshot){0};
    if (live->parts == NULL || live->lanes == NULL)
        return;
    pthread_mutex_lock(&live->parts->lock);
    to->parts = calloc(live->parts->count + 1, sizeof(*to->parts));
    to->accounts = calloc(live->parts->count + 1, sizeof(*to->accounts));
    if (to->parts != NULL && to->accounts != NULL) {
        pthread_mutex_lock(&live->lanes->lock);
        take_parts(to, live->parts);
        pthread_mutex_unlock(&live->lanes->lock);
    }
    pthread_mutex_unlock(&live->parts->lock);
}

void tr_live_write(struct tr_live *live, struct tr_buf *out)
{
    char trouble[512] = "";
    struct snapshot snapshot;
    int64_t since_us;
    pthread_mutex_lock(&live->lock);
    enum tr_state state = state_of(live, trouble, sizeof(trouble), &since_us);
    take_snapshot(live, &snapshot);
    pthread_mutex_unlock(&live->lock);
    const struct tr_status status = {
        .pipeline = live->pipeline,
        .consumer = live->consumer,
        .trouble = trouble,
        .trouble_s = since_us == 0 ? -1 : (tr_clock_mono_us() - since_us) / 1000000,
        .state = state,
        .parts = snapshot.parts,
        .part_count = snapshot.count,
        .lag_seconds = snapshot.lag_seconds,
    };
    tr_status_write(&status, out);
    free(snapshot.parts);
    free(snapshot.accounts);
}

/* ---- HTTP ------------------------------------------------------------------------------------ */

int tr_live_http_status(void *context, struct tr_buf *out)
{
    tr_live_write(context, out);
    return 200;
}

int tr_live_http_health(void *context, struct tr_buf *out)
{
    struct tr_live *live = context;
    bool alive = tr_clock_mono_us() - atomic_load(&live->beat_us) < BEAT_MAX_US;
    tr_buf_printf(out, "%s\n", alive ? "ok" : "the main loop stands still");
    return alive ? 200 : 503;
}

int tr_live_http_ready(void *context, struct tr_buf *out)
{
    char trouble[512];
    enum tr_state state = tr_live_state(context, trouble, sizeof(trouble));
    if (state == TR_STATE_RUNNING) {
        tr_buf_printf(out, "ok\n");
        return 200;
    }
    tr_buf_printf(out, "%s: %s\n", tr_state_name(state), trouble);
    return 503;
}
