/* consume.c - `run`: opening everything, the loop of the main thread, and the way out. See run.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app.h"
#include "clock.h"
#include "http_server.h"
#include "log.h"
#include "run.h"

#define TAKE_MAX 1024
#define IDLE_MS 100   /* a take's wait */
#define BLOCKED_MS 10 /* the same while something is held */
#define LANE_WAIT_MS                                                                               \
    1000 /* for room, before pausing (which throws away what was fetched ahead)                    \
          */
#define CONTROL_US 500000
#define CONTROL_WAITING_US 100000
#define CONTROL_AWAY_US 2000000
#define CONTROL_READ_MS 5000
#define ABSENT_MS 1000 /* between looks for a control topic that isn't there */
#define LANES_END_MS 5000

/* ---- control --------------------------------------------------------------------------------- */

static int subscribe(struct tr_run *run, struct tr_error *err)
{
    const struct tr_tables *tables = &run->session.tables;
    if (run->subscribed == tables->topic_count)
        return 0;
    if (tr_kafka_consumer_subscribe(run->consumer, tables->topics, tables->topic_count, err) < 0)
        return err->code;
    for (; run->subscribed < tables->topic_count; run->subscribed++)
        tr_log(TR_LOG_INFO, "kafka", "subscribed", TR_STR("topic", tables->topics[run->subscribed]),
               TR_END);
    if (run->shape_waits == 0)
        tr_live_wait(&run->live, "");
    return 0;
}

/* It may pass; until then status says so. */
static int control_is_away(struct tr_run *run, const struct tr_error *why)
{
    char text[480];
    run->control_away = true;
    run->control_due_us = tr_clock_mono_us() + CONTROL_AWAY_US;
    tr_live_retry(&run->live, tr_error_format(why, text, sizeof(text)));
    tr_log_error(TR_LOG_WARN, "control", why, "read again soon");
    return 0;
}

int tr_run_read_control(struct tr_run *run, bool to_end, struct tr_error *err)
{
    int64_t now = tr_clock_mono_us();
    struct tr_error passing = {0};
    int rc = tr_session_read_control(&run->session, to_end, to_end ? CONTROL_READ_MS : 0, &passing);
    run->control_due_us = now + (run->shape_waits > 0 ? CONTROL_WAITING_US : CONTROL_US);
    if (rc < 0 && tr_error_class_of(rc) == TR_CLASS_RETRY)
        return control_is_away(run, &passing);
    if (rc < 0) {
        *err = passing;
        return rc;
    }
    if (run->control_away)
        tr_live_retry(&run->live, "");
    run->control_away = false;
    if (to_end)
        run->control_end_us = now;
    if (strcmp(run->pipeline_id, tr_session_pipeline_id(&run->session)) != 0)
        return tr_error_set(err, TR_ESTATE,
                            "pipeline %s was begun anew (id %s, before %s): its versions are not "
                            "those that the store was filled with; use another store, or empty "
                            "this one with `reset --to beginning --drop`",
                            run->session.context.pipeline, tr_session_pipeline_id(&run->session),
                            run->pipeline_id);
    return subscribe(run, err);
}

/* ---- opening --------------------------------------------------------------------------------- */

static int open_sink(void *context, struct tr_error *err)
{
    struct tr_run *run = context;
    return tr_session_open_sink(&run->session, err);
}

static int open_control(void *context, struct tr_error *err)
{
    struct tr_run *run = context;
    return tr_session_open_control(&run->session, CONTROL_READ_MS, err);
}

static int prepare_dead(void *context, struct tr_error *err)
{
    struct tr_run *run = context;
    return tr_dead_prepare(&run->session.dead, run->session.tables.topics,
                           run->session.tables.topic_count, err);
}

/* Capture may be started after us. */
static int wait_control(struct tr_run *run, struct tr_error *err)
{
    char what[400];
    bool said = false;
    snprintf(what, sizeof(what), "waiting for a checkpoint in topic %s: has tailrace-capture run?",
             run->session.control_topic);
    for (;;) {
        int rc = tr_run_insist(run, "kafka", open_control, run, err);
        if (rc <= 0)
            return rc;
        if (!said)
            tr_log(TR_LOG_INFO, "control", "waiting for a checkpoint",
                   TR_STR("topic", run->session.control_topic), TR_END);
        said = true;
        tr_live_wait(&run->live, what);
        atomic_store(&run->live.beat_us, tr_clock_mono_us());
        if (!tr_app_sleep_ms(ABSENT_MS))
            return tr_error_set(err, TR_ESTOPPED, "asked to stop");
    }
}

static int http_status(void *context, struct tr_buf *out)
{
    return tr_live_http_status(&((struct tr_run *)context)->live, out);
}

static int http_health(void *context, struct tr_buf *out)
{
    return tr_live_http_health(&((struct tr_run *)context)->live, out);
}

static int http_ready(void *context, struct tr_buf *out)
{
    return tr_live_http_ready(&((struct tr_run *)context)->live, out);
}

static int http_metrics(void *context, struct tr_buf *out)
{
    struct tr_run *run = context;
    char trouble[512];
    tr_meters_state(&run->meters, tr_live_state(&run->live, trouble, sizeof(trouble)));
    return tr_meters_http(&run->meters, out);
}

static int open_http(struct tr_run *run, struct tr_error *err)
{
    static const struct tr_http_route routes[] = {
        {"/status", "application/json", http_status},
        {"/healthz", "text/plain", http_health},
        {"/readyz", "text/plain", http_ready},
        {"/metrics", "text/plain; version=0.0.4", http_metrics},
        {NULL, NULL, NULL},
    };
    const char *listen = run->session.common->http_listen;
    if (listen == NULL || *listen == '\0')
        return 0;
    int rc = tr_http_server_start(&run->http, listen, routes, run, err);
    if (rc == 0)
        tr_log(TR_LOG_INFO, "http", "listening", TR_STR("address", listen),
               TR_INT("port", tr_http_server_port(run->http)), TR_END);
    return rc;
}

static int open_consumer(struct tr_run *run, struct tr_error *err)
{
    const struct tr_kafka_consumer_config config = {
        .properties = run->session.kafka,
        .client_id = run->session.client_id,
        .group = run->session.group,
        .queue_bytes_max = (size_t)run->session.common->queue_bytes_max / 2,
        .context = run,
        .assigned = tr_run_assigned,
        .revoked = tr_run_revoked,
    };
    run->messages = calloc(TAKE_MAX, sizeof(*run->messages));
    if (run->messages == NULL)
        return tr_error_set(err, TR_ENOMEM, "no memory for messages");
    return tr_kafka_consumer_new(&run->consumer, &config, err);
}

static int open_lanes(struct tr_run *run, struct tr_error *err)
{
    const struct tr_lanes_config config = {
        .ops = run->session.ops,
        .sink = run->session.sink,
        .dead = &run->session.dead,
        .count = tr_session_lanes(&run->session),
        .records_max = tr_session_batch_records(&run->session),
        .bytes_max = tr_session_batch_bytes(&run->session),
    };
    int rc = tr_lanes_init(&run->lanes, &config, err);
    pthread_mutex_lock(&run->live.lock);
    run->live.parts = &run->parts;
    run->live.lanes = &run->lanes;
    pthread_mutex_unlock(&run->live.lock);
    return rc;
}

static int open_all(struct tr_run *run, struct tr_error *err)
{
    if (open_http(run, err) < 0 || tr_session_open_kafka(&run->session, err) < 0 ||
        tr_run_insist(run, "store", open_sink, run, err) < 0 || wait_control(run, err) < 0 ||
        tr_session_open_tables(&run->session, err) < 0 ||
        tr_run_insist(run, "kafka", prepare_dead, run, err) < 0 || open_consumer(run, err) < 0 ||
        open_lanes(run, err) < 0)
        return err->code;
    snprintf(run->pipeline_id, sizeof(run->pipeline_id), "%s",
             tr_session_pipeline_id(&run->session));
    tr_live_wait(&run->live, "waiting for the first shape of a table that the rules take");
    return subscribe(run, err);
}

/* ---- the loop -------------------------------------------------------------------------------- */

static bool ending(struct tr_run *run)
{
    return tr_app_stopping() || atomic_load_explicit(&run->lanes.failed, memory_order_relaxed);
}

/* Gives held messages their way. A lane gets a second to make room before its partitions pause. */
static int serve_held(struct tr_run *run, struct tr_error *err)
{
    int64_t until = tr_clock_mono_us() + LANE_WAIT_MS * INT64_C(1000);
    uint64_t rounds = tr_lanes_rounds(&run->lanes);
    int blocked;
    while ((blocked = tr_run_retry_held(run, err)) > 0) {
        tr_lanes_offer(&run->lanes);
        int64_t left_us = until - tr_clock_mono_us();
        if (ending(run))
            return 0;
        if (left_us <= 0)
            return tr_run_pause_held(run, err);
        rounds = tr_lanes_wait(&run->lanes, rounds, left_us > 100000 ? 100 : 10);
    }
    tr_lanes_offer(&run->lanes);
    return blocked;
}

/*
 * The first record after a resume of which it is not known how long it came after. Where it is
 * older than tombstones are kept, or those before it were compacted away, deletes may be gone from
 * the topic, and their rows still in the store.
 */
static void look_at_first(struct tr_part *part, const struct tr_kafka_message *message)
{
    int64_t age_ms = tr_clock_wall_us() / 1000 - message->timestamp_ms;
    int64_t start = atomic_load(&part->settled);
    bool too_old = message->timestamp_ms > 0 && age_ms > part->tombstones_kept_ms;
    part->tombstones_kept_ms = -1;
    if (too_old || message->offset > start)
        tr_log(TR_LOG_WARN, "consumer",
               "deletes may be gone from the topic unread: verify or rebuild the store",
               TR_STR("topic", part->topic_name), TR_INT("partition", part->partition),
               TR_INT("from", start), TR_INT("first", message->offset),
               TR_INT("age_s", age_ms / 1000), TR_END);
}

/* A failed one and those behind it go back: they are read again after a restart. */
static void give_back(struct tr_run *run, size_t from, size_t count)
{
    for (size_t i = from; i < count; i++) {
        const struct tr_kafka_message *message = &run->messages[i];
        struct tr_part *part = tr_parts_find(&run->parts, message->topic, message->partition);
        tr_kafka_message_free(&run->messages[i]);
        if (part != NULL)
            atomic_fetch_add(&part->released, 1);
    }
}

static int route_all(struct tr_run *run, size_t count, struct tr_error *err)
{
    int rc = 0;
    for (size_t i = 0; i < count; i++) {
        const struct tr_kafka_message *message = &run->messages[i];
        struct tr_part *part = tr_parts_find(&run->parts, message->topic, message->partition);
        if (part == NULL)
            return tr_error_set(err, TR_EBUG, "a message of a partition that we never had");
        tr_count(&part->read, 1);
        if (atomic_load_explicit(&part->settled_ms, memory_order_relaxed) == 0)
            atomic_store(&part->settled_ms, message->timestamp_ms);
        if (part->tombstones_kept_ms >= 0)
            look_at_first(part, message);
    }
    for (size_t i = 0; rc == 0 && i < count; i++) {
        struct tr_kafka_message *message = &run->messages[i];
        struct tr_part *part = tr_parts_find(&run->parts, message->topic, message->partition);
        rc = tr_run_route(run, part, message, err);
        if (rc < 0)
            give_back(run, i, count);
    }
    tr_lanes_offer(&run->lanes);
    return rc;
}

static int take_some(struct tr_run *run, struct tr_error *err)
{
    struct tr_error passing = {0};
    int wait = run->held_count > 0 ? BLOCKED_MS : IDLE_MS;
    int got = tr_kafka_consumer_take(run->consumer, run->messages, TAKE_MAX, wait, &passing);
    if (got >= 0)
        return got > 0 ? route_all(run, (size_t)got, err) : 0;
    if (tr_error_class_of(got) != TR_CLASS_RETRY) {
        *err = passing;
        return got;
    }
    tr_log_error(TR_LOG_WARN, "kafka", &passing, "retrying");
    (void)tr_app_sleep_ms(ABSENT_MS);
    return 0;
}

static int loop(struct tr_run *run, struct tr_error *err)
{
    while (!ending(run)) {
        if (tr_clock_mono_us() >= run->control_due_us &&
            tr_run_read_control(run, run->shape_waits > 0, err) < 0)
            return err->code;
        if (run->held_count > 0 && serve_held(run, err) < 0)
            return err->code;
        if (take_some(run, err) < 0 || tr_run_tick(run, err) < 0)
            return err->code;
    }
    return tr_lanes_error(&run->lanes, err);
}

/* ---- the way out ----------------------------------------------------------------------------- */

/* Everything else needs the lanes to be back from the store. */
static void close_all(struct tr_run *run)
{
    if (run->http != NULL)
        tr_http_server_stop(run->http);
    tr_session_done(&run->session);
    tr_parts_done(&run->parts);
    tr_run_free_held(run);
    tr_meters_done(&run->meters);
    tr_live_done(&run->live);
    free(run->messages);
    free(run->scratch);
}

static void close_lanes(struct tr_run *run, int rc, const struct tr_error *err)
{
    if (run->consumer != NULL && !run->stuck)
        tr_kafka_consumer_close(run->consumer);
    run->consumer = NULL;
    pthread_mutex_lock(&run->live.lock);
    run->live.lanes = NULL;
    pthread_mutex_unlock(&run->live.lock);
    if (!run->stuck && tr_lanes_done(&run->lanes, LANES_END_MS))
        return;
    /* A thread is inside the store's library: nothing that it uses may go away under it. */
    if (rc < 0 && rc != TR_ESTOPPED)
        tr_log_error(TR_LOG_ERROR, "consumer", err, "ending without waiting for the store");
    else
        tr_log(TR_LOG_WARN, "consumer", "ending without waiting for the store", TR_END);
    _exit(tr_error_exit_code(rc));
}

static int finish(struct tr_run *run, int rc, struct tr_error *err)
{
    struct tr_error account = {0};
    if (run->lanes.lane == NULL) {
        tr_kafka_consumer_close(run->consumer);
        return rc;
    }
    tr_run_settle(run, true);
    if (rc == 0)
        rc = tr_lanes_error(&run->lanes, err);
    if (tr_run_account(run, &account) < 0) {
        tr_log_error(TR_LOG_ERROR, "consumer", &account, "please report it");
        if (rc == 0 || rc == TR_ESTOPPED) {
            *err = account;
            rc = account.code;
        }
    }
    close_lanes(run, rc, err);
    return rc;
}

int tr_run(const struct tr_program *program, struct tr_error *err)
{
    struct tr_run *run = calloc(1, sizeof(*run));
    if (run == NULL)
        return tr_error_set(err, TR_ENOMEM, "no memory");
    int rc = tr_session_init(&run->session, program, false, err);
    tr_live_init(&run->live, run->session.context.pipeline, run->session.context.consumer);
    tr_parts_init(&run->parts);
    if (rc == 0)
        rc = tr_meters_init(&run->meters, err);
    if (rc == 0)
        rc = open_all(run, err);
    if (rc == 0)
        rc = loop(run, err);
    rc = finish(run, rc, err);
    close_all(run);
    free(run);
    if (rc != TR_ESTOPPED)
        return rc;
    tr_error_reset(err);
    return 0;
}
