/* pipeline.c - see pipeline.h. Wires the stages, runs the reading thread, publishes in this one. */
#include "pipeline.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app.h"
#include "clock.h"
#include "http_server.h"
#include "log.h"
#include "reader.h"
#include "start.h"
#include "to_file.h"
#include "to_kafka.h"

#define BATCHES 4
#define IDLE_MS 200
/* While acknowledgements are due: soon enough for the checkpoint, too seldom to cost anything. */
#define BUSY_MS 5
#define GIVE_UP_US (10 * 1000000)
#define CONNECT_FIRST_MS 250
#define CONNECT_MAX_MS 5000

struct pipeline {
    const struct tr_capture *config;
    const struct tr_pipeline_orders *orders;
    struct tr_rules *rules;
    struct tr_source *source;
    struct tr_control *control;
    struct tr_schema *schema;
    struct tr_handover *handover;
    struct tr_http_server *http;
    struct tr_status status;
    struct tr_to_file file;
    struct tr_to_kafka kafka;
    bool to_kafka;
    struct tr_start start;
    char stop_file[256]; /* --stop-at-end: the head at the start */
    uint64_t stop_offset;
    struct tr_reader reader;
    struct tr_error reader_error;
    atomic_bool reader_failed; /* for good: nothing more comes, and the process is to end */
    int reader_result;
    bool publishing;      /* to Kafka, and the start, which may take long, is over */
    int64_t shown;        /* version of the position that status has */
    bool in_trouble;      /* Kafka; as status has it */
    int64_t stop_seen_us; /* when the publishing thread first saw the end; 0 = not yet */
};

/* The source can't be reached: says so and waits, ever longer. TR_ESTOPPED when told to stop. */
static int wait_for_source(struct pipeline *pipeline, int64_t *wait, struct tr_error *err)
{
    char next[64], text[300];
    snprintf(next, sizeof(next), "trying again in %" PRId64 " ms", *wait);
    tr_log_error(TR_LOG_WARN, "source", err, next);
    tr_status_state(&pipeline->status, "connecting", tr_error_format(err, text, sizeof(text)));
    tr_error_reset(err);
    if (!tr_app_sleep_ms(*wait))
        return tr_error_set(err, TR_ESTOPPED, "stopped while the source was not reachable");
    *wait = *wait * 2 < CONNECT_MAX_MS ? *wait * 2 : CONNECT_MAX_MS;
    return 0;
}

/* Waits as long as the server can't be reached. */
static int connect_source(struct pipeline *pipeline, struct tr_error *err)
{
    int64_t wait = CONNECT_FIRST_MS;
    int rc;
    while ((rc = tr_source_connect(pipeline->source, err)) != 0) {
        if (tr_error_class_of(rc) != TR_CLASS_RETRY)
            return rc;
        rc = wait_for_source(pipeline, &wait, err);
        if (rc != 0)
            return rc;
    }
    tr_status_state(&pipeline->status, "connecting", "");
    return 0;
}

/* ---- shared with check ------------------------------------------------------------------------
 */

static int refuse_cascade(void *context, struct tr_slice database, struct tr_slice table,
                          const char *constraint, struct tr_error *err)
{
    const struct tr_rules *rules = context;
    if (!tr_rules_match(rules, database, table, NULL))
        return 0;
    return tr_error_set(err, TR_ESOURCE,
                        "table %.*s.%.*s: foreign key %s changes rows by CASCADE or SET NULL, and "
                        "this server doesn't log that: exclude the table, change the key to "
                        "RESTRICT, or set source.unlogged_cascades: accept",
                        (int)database.length, database.data, (int)table.length, table.data,
                        constraint);
}

int tr_pipeline_check_cascades(const struct tr_capture *config, struct tr_source *source,
                               const struct tr_rules *rules, struct tr_error *err)
{
    if (config->source.unlogged_cascades != 0)
        return 0;
    return tr_source_each_unlogged_cascade(source, refuse_cascade, (void *)(uintptr_t)rules, err);
}

struct select_check {
    struct tr_source *source;
    const struct tr_rules *rules;
    void (*partly)(void *context, struct tr_slice database);
    void *context;
    struct tr_slice database; /* whose tables are looked at one by one */
    bool visible;             /* there is one */
};

static int check_visible(void *context, struct tr_slice database, struct tr_slice table,
                         bool has_key, struct tr_error *err)
{
    (void)has_key;
    struct select_check *check = context;
    if (!tr_slice_equal(database, check->database))
        return 0;
    check->visible = true;
    return tr_rules_match(check->rules, database, table, NULL)
               ? tr_source_check_select(check->source, database, table, err)
               : 0;
}

/* The rules may take a part of the database only, and so may the account. What it may not see is
 * told at its first row. */
static int check_select(void *context, struct tr_slice database, struct tr_slice table,
                        struct tr_error *err)
{
    struct select_check *check = context;
    struct tr_error denied = {0};
    int rc = tr_source_check_select(check->source, database, table, &denied);
    if (rc == TR_ESOURCE && table.length == 0) {
        check->database = database;
        check->visible = false;
        int each = tr_source_each_table(check->source, check_visible, check, err);
        if (each != 0 || check->visible) {
            if (each == 0 && check->partly != NULL)
                check->partly(check->context, database);
            return each;
        }
    }
    if (rc != 0)
        *err = denied;
    return rc;
}

int tr_pipeline_check_select(struct tr_source *source, const struct tr_rules *rules,
                             void (*partly)(void *context, struct tr_slice database), void *context,
                             struct tr_error *err)
{
    struct select_check check = {
        .source = source, .rules = rules, .partly = partly, .context = context};
    return tr_rules_each_named(rules, check_select, &check, err);
}

/* ---- HTTP -------------------------------------------------------------------------------------
 */

static int serve_status(void *context, struct tr_buf *out)
{
    tr_status_write(context, true, out);
    tr_buf_append_char(out, '\n');
    return 200;
}

static int serve_metrics(void *context, struct tr_buf *out)
{
    struct tr_status *status = context;
    tr_status_gauges(status);
    tr_metrics_render(status->metrics, out);
    return 200;
}

static int serve_health(void *context, struct tr_buf *out)
{
    bool alive = tr_status_alive(context);
    tr_buf_printf(out, "%s\n", alive ? "ok" : "the publishing thread stands still");
    return alive ? 200 : 503;
}

static int serve_ready(void *context, struct tr_buf *out)
{
    return tr_status_ready(context, out) ? 200 : 503;
}

static int start_http(struct pipeline *pipeline, struct tr_error *err)
{
    static const struct tr_http_route routes[] = {
        {"/status", "application/json", serve_status},
        {"/metrics", "text/plain; version=0.0.4", serve_metrics},
        {"/healthz", "text/plain", serve_health},
        {"/readyz", "text/plain", serve_ready},
        {NULL, NULL, NULL},
    };
    const char *listen = pipeline->config->capture.http_listen;
    if (listen == NULL || listen[0] == '\0')
        return 0;
    int rc = tr_http_server_start(&pipeline->http, listen, routes, &pipeline->status, err);
    if (rc == 0)
        tr_log(TR_LOG_INFO, "http", "listening", TR_STR("address", listen),
               TR_INT("port", tr_http_server_port(pipeline->http)), TR_END);
    return rc;
}

/* ---- before the first row ---------------------------------------------------------------------
 */

/* For status: what keeps the brokers from answering, if anything. */
static void say_trouble(struct pipeline *pipeline)
{
    char trouble[300] = "";
    if (pipeline->kafka.producer != NULL)
        tr_kafka_producer_trouble(pipeline->kafka.producer, trouble, sizeof(trouble));
    if (trouble[0] == '\0' && !pipeline->in_trouble)
        return;
    pipeline->in_trouble = trouble[0] != '\0';
    tr_status_kafka(&pipeline->status, trouble);
}

/* After a stop, or the end of reading, everything under way may still be acknowledged, but a broker
 * that is away doesn't keep us: what wasn't acknowledged is read again at the next start. */
static bool give_up(void *context)
{
    struct pipeline *pipeline = context;
    say_trouble(pipeline);
    if (pipeline->publishing)
        tr_status_beat(&pipeline->status);
    if (!tr_app_stopping() && !atomic_load(&pipeline->reader_failed))
        return false;
    int64_t now = tr_clock_mono_us();
    if (pipeline->stop_seen_us == 0)
        pipeline->stop_seen_us = now;
    return now - pipeline->stop_seen_us > GIVE_UP_US;
}

static int open_kafka(struct pipeline *pipeline, struct tr_error *err)
{
    const struct tr_capture_settings *settings = &pipeline->config->capture;
    const struct tr_to_kafka_config config = {
        .pipeline = pipeline->config->pipeline,
        .properties = pipeline->config->kafka,
        .partitions = (int32_t)settings->partitions,
        .replication = (int32_t)settings->replication,
        .min_compaction_lag_ms = settings->min_compaction_lag_ms,
        .delete_retention_ms = settings->delete_retention_ms,
        .queue_bytes = (size_t)settings->queue_bytes,
        .give_up = give_up,
        .context = pipeline,
    };
    pipeline->to_kafka = true;
    int rc = tr_to_kafka_open(&pipeline->kafka, &config, err);
    if (rc == 0)
        rc = tr_to_kafka_read_control(&pipeline->kafka, pipeline->control, err);
    return rc;
}

struct emptiness {
    struct pipeline *pipeline;
    char last[TR_TOPIC_NAME_MAX +
              1]; /* the topic that was looked at last: tables come by database */
};

static int check_topic_empty(void *context, struct tr_slice database, struct tr_slice table,
                             bool has_key, struct tr_error *err)
{
    (void)has_key;
    struct emptiness *emptiness = context;
    struct pipeline *pipeline = emptiness->pipeline;
    const char *topic;
    if (!tr_rules_match(pipeline->rules, database, table, NULL))
        return 0;
    int rc = tr_schema_table_topic(pipeline->schema, database, table, &topic, err);
    if (rc != 0 || strcmp(topic, emptiness->last) == 0)
        return rc;
    snprintf(emptiness->last, sizeof(emptiness->last), "%s", topic);
    return tr_to_kafka_check_empty(&pipeline->kafka, topic, err);
}

/* A checkpoint before any row: from now on this pipeline has an identity, and rows have versions
 * that nobody gives again. */
static int first_checkpoint(struct pipeline *pipeline, const struct tr_checkpoint *old,
                            struct tr_error *err)
{
    struct tr_to_kafka_identity *identity = &pipeline->kafka.identity;
    const struct tr_source_server *server = tr_source_server(pipeline->source);
    identity->server_id = pipeline->start.server_id;
    memcpy(identity->server_uuid, server->server_uuid, sizeof(identity->server_uuid));
    if (old != NULL)
        memcpy(identity->pipeline_id, old->pipeline_id, sizeof(identity->pipeline_id));
    else
        snprintf(identity->pipeline_id, sizeof(identity->pipeline_id), "%016" PRIx64,
                 tr_clock_random());
    if (!pipeline->start.fresh)
        return 0;
    return tr_to_kafka_checkpoint_now(&pipeline->kafka, &pipeline->start.mark, err);
}

/* Statements that were read before the restart and no row has followed yet. */
static void take_altered(struct pipeline *pipeline, const struct tr_checkpoint *checkpoint)
{
    for (uint32_t i = 0; i < checkpoint->altered_count; i++) {
        const struct tr_altered_table *altered = &checkpoint->altered[i];
        tr_schema_ddl(pipeline->schema, altered->database, altered->table, altered->version);
    }
}

static int prepare_kafka(struct pipeline *pipeline, struct tr_error *err)
{
    const struct tr_checkpoint *checkpoint = tr_control_checkpoint(pipeline->control);
    int rc = 0;
    if (checkpoint != NULL) {
        take_altered(pipeline, checkpoint);
        rc = tr_needs_load(&pipeline->kafka.needs, checkpoint, err);
    }
    if (rc == 0)
        rc = first_checkpoint(pipeline, checkpoint, err);
    pipeline->kafka.acked = pipeline->start.mark;
    tr_status_needs(&pipeline->status, &pipeline->kafka.needs);
    return rc;
}

/* All that the source is asked before the first row. Changes nothing, so it can be asked again. */
static int look_at_source(struct pipeline *pipeline, struct tr_error *err)
{
    const struct tr_pipeline_orders *orders = pipeline->orders;
    const struct tr_checkpoint *checkpoint =
        pipeline->to_kafka ? tr_control_checkpoint(pipeline->control) : NULL;
    struct tr_start *start = &pipeline->start;
    struct emptiness emptiness = {.pipeline = pipeline};
    char gtid[TR_GTID_SET_BYTES];
    int rc = tr_start_choose(start, pipeline->source, checkpoint, orders->start,
                             orders->force_start, err);
    if (rc == 0)
        rc = tr_start_same_server(pipeline->source, start->server_id, &start->mark, err);
    if (rc == 0)
        rc = tr_pipeline_check_select(pipeline->source, pipeline->rules, NULL, NULL, err);
    if (rc == 0)
        rc = tr_pipeline_check_cascades(pipeline->config, pipeline->source, pipeline->rules, err);
    if (rc == 0 && pipeline->to_kafka && checkpoint == NULL)
        rc = tr_source_each_table(pipeline->source, check_topic_empty, &emptiness, err);
    if (rc == 0 && orders->stop_at_end)
        rc = tr_source_head(pipeline->source, pipeline->stop_file, &pipeline->stop_offset, gtid,
                            err);
    return rc;
}

/* The source may go away while Kafka is waited for: it is waited for here as everywhere. */
static int choose_start(struct pipeline *pipeline, struct tr_error *err)
{
    int64_t wait = CONNECT_FIRST_MS;
    int rc;
    while ((rc = look_at_source(pipeline, err)) == TR_ESOURCE_RETRY) {
        rc = wait_for_source(pipeline, &wait, err);
        tr_source_disconnect(pipeline->source);
        if (rc == 0)
            rc = connect_source(pipeline, err);
        if (rc != 0)
            return rc;
    }
    if (rc == 0 && pipeline->to_kafka)
        rc = prepare_kafka(pipeline, err);
    if (rc == 0)
        tr_status_mark(&pipeline->status, &pipeline->start.mark);
    return rc;
}

/* What is wrong with our orders is said before anybody is asked or anything is written. */
static int check_orders(struct pipeline *pipeline, struct tr_error *err)
{
    int rc = tr_start_check_form(pipeline->orders->start, pipeline->orders->force_start, err);
    if (rc == 0)
        rc = tr_rules_parse(&pipeline->rules, pipeline->config->capture.tables, err);
    return rc != 0 ? rc : tr_schema_check_rules(pipeline->rules, err);
}

static int open_all(struct pipeline *pipeline, struct tr_error *err)
{
    const struct tr_capture *config = pipeline->config;
    int rc = tr_status_init(&pipeline->status, config->pipeline, err);
    if (rc == 0)
        rc = check_orders(pipeline, err);
    if (rc == 0)
        rc = tr_control_new(&pipeline->control, err);
    if (rc == 0 && pipeline->orders->output != NULL)
        rc = tr_to_file_open(&pipeline->file, pipeline->orders->output, err);
    if (rc == 0)
        rc = start_http(pipeline, err);
    if (rc == 0)
        rc = tr_source_new(&pipeline->source, &config->source, config->pipeline, err);
    if (rc == 0)
        rc = connect_source(pipeline, err);
    if (rc == 0 && pipeline->orders->output == NULL)
        rc = open_kafka(pipeline, err);
    const struct tr_schema_config schema = {
        .rules = pipeline->rules,
        .topic_template = config->capture.topic,
        .skip_without_key = config->capture.on_no_key == TR_ON_NO_KEY_SKIP,
    };
    if (rc == 0)
        rc = tr_schema_new(&pipeline->schema, &schema, pipeline->control, pipeline->source, err);
    if (rc == 0)
        rc = choose_start(pipeline, err);
    if (rc == 0)
        rc = tr_handover_new(&pipeline->handover, BATCHES, err);
    return rc;
}

static void close_all(struct pipeline *pipeline)
{
    tr_http_server_stop(pipeline->http);
    tr_schema_free(pipeline->schema);
    tr_handover_free(pipeline->handover);
    if (pipeline->to_kafka)
        tr_to_kafka_close(&pipeline->kafka);
    tr_to_file_close(&pipeline->file);
    tr_source_free(pipeline->source);
    tr_control_free(pipeline->control);
    tr_rules_free(pipeline->rules);
    tr_status_done(&pipeline->status);
}

/* ---- the reading thread -----------------------------------------------------------------------
 */

/* A first start at a place that somebody gave takes what is there as the beginning. */
static uint32_t threads_known_from(const struct pipeline *pipeline)
{
    const struct tr_pipeline_orders *orders = pipeline->orders;
    bool given = orders->start != NULL && strcmp(orders->start, "latest") != 0;
    return given && !orders->force_start ? 0 : tr_source_thread_id(pipeline->source);
}

static int prepare_reader(struct pipeline *pipeline, struct tr_error *err)
{
    struct tr_reader *reader = &pipeline->reader;
    *reader = (struct tr_reader){
        .config = pipeline->config,
        .rules = pipeline->rules,
        .source = pipeline->source,
        .control = pipeline->control,
        .schema = pipeline->schema,
        .handover = pipeline->handover,
        .topics = pipeline->to_kafka ? &pipeline->kafka.topics : NULL,
        .needs = pipeline->to_kafka ? &pipeline->kafka.needs : NULL,
        .status = &pipeline->status,
        .server_id = pipeline->start.server_id,
        .threads_known_from = threads_known_from(pipeline),
        .boundary = pipeline->start.mark,
        .connected = true,
    };
    memcpy(reader->stop_file, pipeline->stop_file, sizeof(reader->stop_file));
    reader->stop_offset = pipeline->stop_offset;
    int rc = tr_reader_init(reader, err);
    if (rc == 0)
        tr_group_resume(&reader->group, &pipeline->start.mark.open);
    return rc;
}

/* Said here and not only at the end: Kafka may be away, and then the end is some time off. */
static void say_reader_failed(struct pipeline *pipeline)
{
    char text[300];
    const struct tr_error *failed = &pipeline->reader_error;
    tr_status_state(&pipeline->status, "stopping", tr_error_format(failed, text, sizeof(text)));
    tr_log_error(TR_LOG_ERROR, "source", failed,
                 "stopping when Kafka has what was read, or in 10 s without it");
    atomic_store(&pipeline->reader_failed, true);
}

static void *reading_thread(void *context)
{
    struct pipeline *pipeline = context;
    pipeline->reader_result = tr_reader_run(&pipeline->reader, &pipeline->reader_error);
    bool failed = pipeline->reader_result != 0 && pipeline->reader_result != TR_ESTOPPED;
    if (failed && pipeline->to_kafka)
        say_reader_failed(pipeline);
    tr_handover_close(pipeline->handover);
    return NULL;
}

static void wake_source(void *context)
{
    tr_source_wake(context);
}

/* ---- publishing -------------------------------------------------------------------------------
 */

static int publish_batch(struct pipeline *pipeline, struct tr_batch *batch, struct tr_error *err)
{
    tr_metric_add(pipeline->status.batches_total, 1);
    tr_metric_add(pipeline->status.bytes_total, (int64_t)batch->text.length);
    if (pipeline->to_kafka)
        return tr_to_kafka_batch(&pipeline->kafka, batch, err);
    int rc = tr_to_file_batch(&pipeline->file, batch, err);
    if (rc == 0 && batch->has_end)
        tr_status_mark(&pipeline->status, &batch->end);
    return rc;
}

/* What is acknowledged is what status calls our position. */
static void show_acknowledged(struct pipeline *pipeline)
{
    const struct tr_place *place = &pipeline->kafka.acked.place;
    int64_t version = tr_place_version(place, place->offset, 0);
    if (version == pipeline->shown)
        return;
    pipeline->shown = version;
    tr_status_mark(&pipeline->status, &pipeline->kafka.acked);
}

static int serve_kafka(struct pipeline *pipeline, struct tr_error *err)
{
    struct tr_to_kafka *kafka = &pipeline->kafka;
    int rc = tr_to_kafka_poll(kafka, 0, err);
    if (rc == 0)
        rc = tr_to_kafka_checkpoint(kafka, pipeline->config->capture.checkpoint_ms, err);
    show_acknowledged(pipeline);
    tr_status_checkpoint(&pipeline->status, atomic_load(&kafka->checkpoint_wall_us));
    say_trouble(pipeline);
    return rc;
}

/* Until the reader has ended and all that it read is handed on. */
static int publish(struct pipeline *pipeline, struct tr_error *err)
{
    int rc = 0;
    /* Whoever reads a file or standard output may take all the time he wants. */
    pipeline->publishing = pipeline->to_kafka;
    while (rc == 0) {
        if (pipeline->publishing)
            tr_status_beat(&pipeline->status);
        bool busy = pipeline->to_kafka && tr_to_kafka_busy(&pipeline->kafka);
        struct tr_batch *batch = tr_handover_take(pipeline->handover, busy ? BUSY_MS : IDLE_MS);
        if (batch == NULL && tr_handover_finished(pipeline->handover))
            break;
        if (batch != NULL) {
            rc = publish_batch(pipeline, batch, err);
            tr_handover_return(pipeline->handover, batch);
        }
        if (rc == 0 && pipeline->to_kafka)
            rc = serve_kafka(pipeline, err);
        tr_status_sample(&pipeline->status);
    }
    return rc;
}

/* Everything acknowledged, and the checkpoint behind it. */
static int finish_kafka(struct pipeline *pipeline, struct tr_error *err)
{
    struct tr_to_kafka *kafka = &pipeline->kafka;
    int rc = tr_to_kafka_drain(kafka, err);
    if (rc == 0 && kafka->acked_moved)
        rc = tr_to_kafka_checkpoint_now(kafka, &kafka->acked, err);
    if (rc == TR_ESTOPPED)
        tr_log(
            TR_LOG_WARN, "publish",
            "stopped before Kafka has acknowledged everything; it is read again at the next start",
            TR_END);
    return rc;
}

static int run_threads(struct pipeline *pipeline, struct tr_error *err)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, reading_thread, pipeline) != 0)
        return tr_error_set(err, TR_ENOMEM, "the reading thread can't be made");
    tr_app_on_stop(wake_source, pipeline->source);
    int rc = publish(pipeline, err);
    if (!atomic_load(&pipeline->reader_failed))
        tr_status_state(&pipeline->status, "stopping", "");
    if (rc != 0) {
        /* Nobody takes batches any more: the reader ends at its next one, or at once. */
        tr_handover_stop(pipeline->handover);
        tr_app_stop();
        tr_source_wake(pipeline->source);
    }
    pthread_join(thread, NULL);
    tr_app_on_stop(NULL, NULL);
    if (rc == 0 && pipeline->to_kafka)
        rc = finish_kafka(pipeline, err);
    if (rc != 0 && rc != TR_ESTOPPED)
        return rc;
    if (pipeline->reader_result != 0 && pipeline->reader_result != TR_ESTOPPED) {
        *err = pipeline->reader_error;
        return pipeline->reader_result;
    }
    /* Where the next start goes on. */
    const struct tr_place *place =
        pipeline->to_kafka ? &pipeline->kafka.acked.place : &pipeline->reader.boundary.place;
    tr_log(TR_LOG_INFO, "capture", "stopped", TR_STR("file", place->file),
           TR_INT("offset", place->offset),
           TR_INT("rows", tr_metric_get(pipeline->status.rows_total)), TR_END);
    return 0;
}

int tr_pipeline_run(const struct tr_capture *config, const struct tr_pipeline_orders *orders,
                    struct tr_error *err)
{
    struct pipeline *pipeline = calloc(1, sizeof(*pipeline));
    if (pipeline == NULL)
        return tr_error_set(err, TR_ENOMEM, "no memory for the pipeline");
    pipeline->config = config;
    pipeline->orders = orders;
    int rc = open_all(pipeline, err);
    if (rc == 0)
        rc = prepare_reader(pipeline, err);
    if (rc == 0) {
        rc = run_threads(pipeline, err);
        tr_reader_done(&pipeline->reader);
    }
    close_all(pipeline);
    free(pipeline);
    return rc == TR_ESTOPPED ? 0 : rc;
}
