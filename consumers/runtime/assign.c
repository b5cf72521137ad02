/*
 * assign.c - what the group gives to us and takes away. The lanes are idle meanwhile: with the
 * eager protocol everything is taken before anything is given. See run.h.
 */
#include <inttypes.h>
#include <string.h>

#include "app.h"
#include "clock.h"
#include "log.h"
#include "plan.h"
#include "run.h"
#include "sink_call.h"
#include "start.h"

#define DELAY_MIN_MS 100
#define DELAY_MAX_MS 30000
#define LANES_MS 2000 /* one wait for calls to the store that are still under way */
#define CONTROL_READ_MS 6000
#define PARTIAL_MS_MAX 30000 /* a few times what a group takes to notice a dead member */

#define OFFSET_TEXT 24

/* ---- insisting ------------------------------------------------------------------------------- */

int tr_run_insist(struct tr_run *run, const char *what,
                  int (*call)(void *context, struct tr_error *err), void *context,
                  struct tr_error *err)
{
    char text[480], next[64];
    for (int64_t delay = DELAY_MIN_MS;;
         delay = delay * 2 > DELAY_MAX_MS ? DELAY_MAX_MS : delay * 2) {
        struct tr_error passing = {0};
        int rc = call(context, &passing);
        if (rc >= 0 || tr_error_class_of(rc) != TR_CLASS_RETRY) {
            tr_live_retry(&run->live, "");
            if (rc < 0)
                *err = passing;
            return rc;
        }
        tr_error_format(&passing, text, sizeof(text));
        tr_live_retry(&run->live, text);
        snprintf(next, sizeof(next), "retrying in %.1f s", (double)delay / 1000);
        tr_log_error(TR_LOG_WARN, what, &passing, next);
        atomic_store(&run->live.beat_us, tr_clock_mono_us());
        if (!tr_app_sleep_ms(delay))
            return tr_error_set(err, TR_ESTOPPED, "asked to stop");
    }
}

/* ---- the store's state ----------------------------------------------------------------------- */

struct assigning {
    struct tr_run *run;
    struct tr_arena arena;
    struct tr_sink_state state;
    struct tr_plan plan;                  /* all the group reads */
    const struct tr_kafka_partition *one; /* for ask_watermarks and ask_topic */
    int64_t low, high;
    struct tr_kafka_topic_info info;
    const char *info_topic; /* whose it is */
};

static int load_state(void *context, struct tr_error *err)
{
    struct assigning *a = context;
    tr_arena_reset(&a->arena);
    a->state = (struct tr_sink_state){.arena = &a->arena};
    return tr_sink_load(a->run->session.ops, a->run->session.sink, &a->state, err);
}

static int claim_store(void *context, struct tr_error *err)
{
    struct assigning *a = context;
    const struct tr_session *session = &a->run->session;
    const struct tr_sink_state mine = {
        .arena = &a->arena,
        .marked = true,
        .format = TR_SINK_FORMAT,
        .pipeline = session->context.pipeline,
        .pipeline_id = tr_session_pipeline_id(session),
        .consumer = session->context.consumer,
        .generation = a->state.generation > 0 ? a->state.generation : 1,
    };
    return tr_sink_claim(session->ops, session->sink, &mine, err);
}

static bool any_offset(const struct tr_kafka_partition *partitions, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (partitions[i].offset >= 0)
            return true;
    return false;
}

static int ask_group(void *context, struct tr_error *err)
{
    struct assigning *a = context;
    tr_plan_done(&a->plan);
    return tr_plan_make(&a->plan, &a->run->session, err);
}

/* A store without a marker is new only if the whole group has never applied anything: what others
 * have got of its partitions counts as well. Loaded again then, as one of them may have just
 * claimed it. */
static int look_at_group(struct assigning *a, bool *has_offsets, struct tr_error *err)
{
    int rc = tr_run_insist(a->run, "kafka", ask_group, a, err);
    if (rc < 0)
        return rc;
    *has_offsets = tr_plan_group_has_offsets(&a->plan);
    return *has_offsets ? tr_run_insist(a->run, "store", load_state, a, err) : 0;
}

static int open_store(struct assigning *a, const struct tr_kafka_partition *partitions,
                      size_t count, struct tr_error *err)
{
    struct tr_run *run = a->run;
    const struct tr_start_who who = {run->session.context.pipeline,
                                     tr_session_pipeline_id(&run->session),
                                     run->session.context.consumer};
    if (run->session.ops->stateless)
        return 0;
    bool has_offsets = any_offset(partitions, count);
    int rc = tr_run_insist(run, "store", load_state, a, err);
    if (rc == 0 && !a->state.marked && !has_offsets)
        rc = look_at_group(a, &has_offsets, err);
    if (rc == 0)
        rc = tr_start_marker(&a->state, &who, has_offsets, err);
    if (rc == 1) {
        tr_log(a->state.empty ? TR_LOG_INFO : TR_LOG_WARN, "store",
               a->state.empty ? "first start with this store"
                              : "first start with this store, which is not empty",
               TR_STR("pipeline", who.pipeline), TR_STR("pipeline_id", who.pipeline_id),
               TR_STR("consumer", who.consumer), TR_END);
        rc = tr_run_insist(run, "store", claim_store, a, err);
    }
    if (rc < 0)
        return rc;
    return tr_tables_floors(&run->session.tables, a->state.floors, a->state.floor_count, err);
}

/* ---- partitions ------------------------------------------------------------------------------ */

static size_t partitions_of(const struct tr_kafka_partition *partitions, size_t count,
                            uint32_t topic)
{
    size_t found = 0;
    for (size_t i = 0; i < count; i++)
        found += partitions[i].topic == topic;
    return found;
}

static int ask_topic(void *context, struct tr_error *err)
{
    struct assigning *a = context;
    struct tr_run *run = a->run;
    a->info_topic = tr_kafka_consumer_topic_name(run->consumer, a->one->topic);
    return tr_kafka_topic_describe(run->session.dead.producer, a->info_topic, &a->info, err);
}

/* One process holds the store and all partitions. A part of a topic comes for a while when a member
 * died a moment ago and the group has not noticed yet; if it stays so, another process is there,
 * and neither store would ever be whole. (A whole topic that is missing comes with the next
 * rebalance, or another process has all.) */
static int check_exclusive(struct assigning *a, const struct tr_kafka_partition *partitions,
                           size_t count, struct tr_error *err)
{
    struct tr_run *run = a->run;
    bool partial = false;
    for (size_t i = 0; run->session.ops->exclusive && i < count; i++) {
        const char *topic = tr_kafka_consumer_topic_name(run->consumer, partitions[i].topic);
        size_t ours = partitions_of(partitions, count, partitions[i].topic);
        if (partitions_of(partitions, i, partitions[i].topic) > 0)
            continue;
        a->one = &partitions[i];
        if (tr_run_insist(run, "kafka", ask_topic, a, err) < 0)
            return err->code;
        if (ours >= (size_t)a->info.partitions)
            continue;
        partial = true;
        tr_log(TR_LOG_WARN, "kafka", "another member has partitions of ours",
               TR_STR("topic", topic), TR_INT("ours", ours),
               TR_INT("partitions", a->info.partitions), TR_END);
    }
    if (!partial)
        run->partial_until_us = 0;
    else if (run->partial_until_us == 0)
        run->partial_until_us = tr_clock_mono_us() + PARTIAL_MS_MAX * 1000;
    return 0;
}

int tr_run_check_partial(const struct tr_run *run, struct tr_error *err)
{
    if (run->partial_until_us == 0 || tr_clock_mono_us() < run->partial_until_us)
        return 0;
    return tr_error_set(err, TR_ESTATE,
                        "another process in group %s has had some of the partitions for %d s, and "
                        "this store needs all of them in one; stop the other, or give it another "
                        "`name:`",
                        run->session.group, PARTIAL_MS_MAX / 1000);
}

static int ask_watermarks(void *context, struct tr_error *err)
{
    struct assigning *a = context;
    struct tr_run *run = a->run;
    return tr_kafka_watermarks(run->session.dead.producer,
                               tr_kafka_consumer_topic_name(run->consumer, a->one->topic),
                               a->one->partition, &a->low, &a->high, err);
}

static int check_range(const struct assigning *a, const char *topic, int32_t partition,
                       int64_t start, struct tr_error *err)
{
    if (start >= a->low && start <= a->high)
        return 0;
    return tr_error_set(err, TR_ESTATE,
                        "%s/%d is to be read from offset %" PRId64 ", but it has %" PRId64
                        " to %" PRId64 ": %s; fill the store again with `reset --to beginning`",
                        topic, (int)partition, start, a->low, a->high,
                        start < a->low ? "records between were removed by retention"
                                       : "the topic was made anew or cut");
}

/*
 * Until when the store misses no delete: one that reads from the beginning has no row yet that a
 * lost one could have removed; else the group's offset tells, if we begin no lower.
 */
static int64_t whole_until(const struct assigning *a, int64_t start, int64_t committed)
{
    if (start <= a->low)
        return tr_clock_wall_us() / 1000;
    return committed >= 0 && start >= committed ? a->one->whole_until_ms : 0;
}

/*
 * Deletes that came since then may be gone from a compacted topic, and their rows still in the
 * store. Where it isn't known, the first record has to tell: see tr_part's tombstones_kept_ms,
 * which is returned.
 */
static int64_t tombstones_at_stake(const struct assigning *a, const struct tr_part *part,
                                   int64_t start)
{
    int64_t kept_ms = a->info.delete_retention_ms;
    if (strstr(a->info.cleanup_policy, "compact") == NULL || start <= a->low || start >= a->high)
        return -1;
    if (part->whole_ms == 0 || kept_ms < 0)
        return kept_ms;
    int64_t behind_ms = tr_clock_wall_us() / 1000 - part->whole_ms;
    if (behind_ms > kept_ms)
        tr_log(TR_LOG_WARN, "consumer",
               "away or behind for longer than tombstones are kept: verify or rebuild the store",
               TR_STR("topic", part->topic_name), TR_INT("partition", part->partition),
               TR_INT("offset", start), TR_INT("behind_s", behind_ms / 1000), TR_END);
    return -1;
}

static void begin_part(struct tr_part *part, int64_t start, int64_t committed, int64_t progress,
                       const struct assigning *a)
{
    atomic_store(&part->settled, start);
    atomic_store(&part->settled_ms, 0);
    atomic_store(&part->caught_up_ms, 0);
    atomic_store(&part->position, TR_KAFKA_OFFSET_NONE);
    atomic_store(&part->end, a->high);
    atomic_store(&part->head_from, start >= a->high ? start : INT64_MAX);
    atomic_store(&part->released_before, atomic_load(&part->released));
    /* Where we start lower than the group was told, it is told so: its tools show a true lag. */
    part->committed = start == committed ? committed : TR_KAFKA_OFFSET_NONE;
    part->committed_until_ms = a->one->whole_until_ms;
    part->written = progress == start ? start : -1;
    part->delete_version = -1;
    part->table = NULL;
    part->paused = false;
    part->whole_ms = whole_until(a, start, committed);
    part->tombstones_kept_ms = tombstones_at_stake(a, part, start);
    atomic_store(&part->assigned, true);
}

static const char *offset_text(int64_t offset, char *out)
{
    if (offset < 0)
        return "none";
    snprintf(out, OFFSET_TEXT, "%" PRId64, offset);
    return out;
}

/* Its settings only serve a warning: an account that may not ask for them goes without. */
static int know_topic(struct assigning *a, const char *topic, struct tr_error *err)
{
    struct tr_error why = {0};
    if (a->info_topic == topic)
        return 0;
    int rc = tr_run_insist(a->run, "kafka", ask_topic, a, &why);
    if (rc != TR_EKAFKA) {
        if (rc < 0)
            *err = why;
        return rc;
    }
    a->info = (struct tr_kafka_topic_info){.delete_retention_ms = -1};
    tr_log_error(TR_LOG_WARN, "kafka", &why, "how long tombstones are kept is not known");
    return 0;
}

static int start_part(struct assigning *a, struct tr_kafka_partition *one, struct tr_error *err)
{
    struct tr_run *run = a->run;
    const char *topic = tr_kafka_consumer_topic_name(run->consumer, one->topic);
    struct tr_part *part = tr_parts_get(&run->parts, one->topic, one->partition, topic);
    int64_t committed = one->offset;
    char texts[2][OFFSET_TEXT];
    bool stateless = run->session.ops->stateless;
    if (part == NULL)
        return tr_error_set(err, TR_ENOMEM, "no memory for a partition");
    a->one = one;
    if (know_topic(a, topic, err) < 0 || tr_run_insist(run, "kafka", ask_watermarks, a, err) < 0)
        return err->code;
    snprintf(part->incarnation, sizeof(part->incarnation), "%s",
             tr_session_incarnation(&run->session, topic));
    int64_t progress = tr_start_progress(&a->state, topic, part->incarnation, one->partition);
    int64_t start = tr_start_offset(progress, committed, stateless);
    if (start == TR_KAFKA_OFFSET_BEGINNING)
        start = a->low;
    if (!stateless && progress < 0 && committed > start)
        tr_log(TR_LOG_WARN, "store",
               a->low > 0 ? "has no progress here and is filled from the topic's beginning, before "
                            "which records were removed: verify or rebuild the store"
                          : "has no progress here and is filled from the topic's beginning",
               TR_STR("topic", topic), TR_INT("partition", one->partition), TR_END);
    if (check_range(a, topic, one->partition, start, err) < 0)
        return err->code;
    part->lane = ((unsigned)one->topic + (unsigned)one->partition) % run->lanes.config.count;
    begin_part(part, start, committed, progress, a);
    one->offset = start;
    tr_log(TR_LOG_INFO, "kafka", "reading", TR_STR("topic", topic),
           TR_INT("partition", one->partition), TR_INT("from", start), TR_INT("end", a->high),
           TR_STR("store", offset_text(progress, texts[0])),
           TR_STR("group", offset_text(committed, texts[1])), TR_END);
    return tr_lane_adopt(&run->lanes.lane[part->lane], part, err);
}

/* New topics are subscribed to by the loop, not in the middle of a rebalance. */
static int read_control(void *context, struct tr_error *err)
{
    struct tr_run *run = context;
    return tr_session_read_control(&run->session, true, CONTROL_READ_MS, err);
}

static int quiet_lanes(void *context, struct tr_error *err)
{
    struct tr_run *run = context;
    return tr_lanes_quiet(&run->lanes, LANES_MS, err);
}

int tr_run_assigned(void *context, struct tr_kafka_partition *partitions, size_t count,
                    struct tr_error *err)
{
    struct assigning a = {.run = context};
    struct tr_run *run = context;
    /* Incarnations and the pipeline's id come from control: as fresh as can be. */
    int rc = tr_run_insist(run, "kafka", read_control, run, err);
    if (rc >= 0)
        rc = tr_run_insist(run, "store", quiet_lanes, run, err);
    tr_lanes_disown(&run->lanes); /* what an attempt before this one may have given them */
    tr_arena_init(&a.arena, 65536, 0);
    if (rc == 0)
        rc = check_exclusive(&a, partitions, count, err);
    if (rc == 0 && count > 0)
        rc = open_store(&a, partitions, count, err);
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = start_part(&a, &partitions[i], err);
    tr_arena_done(&a.arena);
    tr_plan_done(&a.plan);
    if (rc < 0)
        return rc;
    tr_lanes_resume(&run->lanes);
    run->assigned = count > 0;
    pthread_mutex_lock(&run->live.lock);
    run->live.assigned = run->assigned;
    pthread_mutex_unlock(&run->live.lock);
    return 0;
}

void tr_run_revoked(void *context, const struct tr_kafka_partition *partitions, size_t count,
                    bool lost)
{
    struct tr_run *run = context;
    tr_run_settle(run, !lost);
    for (size_t i = 0; i < count; i++) {
        struct tr_part *part =
            tr_parts_find(&run->parts, partitions[i].topic, partitions[i].partition);
        struct tr_error ignored = {0};
        if (part == NULL)
            continue;
        /* A pause outlives the assignment inside the library. */
        if (part->paused)
            (void)!tr_kafka_consumer_pause(run->consumer, &partitions[i], 1, false, &ignored);
        part->paused = false;
        atomic_store(&part->assigned, false);
    }
    tr_lanes_disown(&run->lanes);
    run->assigned = false;
    pthread_mutex_lock(&run->live.lock);
    run->live.assigned = false;
    pthread_mutex_unlock(&run->live.lock);
}
