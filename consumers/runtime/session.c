/* session.c - see session.h. */
#include "session.h"

#include <stdio.h>
#include <string.h>

#include "sink_call.h"

/* No more than the lanes' batches can be in it, which have limits of their own. */
#define DEAD_QUEUE_BYTES (1u << 30)
#define BATCH_BYTES_MIN (64u << 10)

/* ---- opening --------------------------------------------------------------------------------- */

static int make_names(struct tr_session *session, struct tr_error *err)
{
    const char *pipeline = session->context.pipeline;
    const char *consumer = session->context.consumer;
    if (*pipeline == '\0')
        return tr_error_set(err, TR_ECONFIG,
                            "`pipeline:` is missing: it names the pipeline whose "
                            "topics are read");
    snprintf(session->client_id, sizeof(session->client_id), "tailrace-%s", session->ops->name);
    if (tr_group_name(session->group, pipeline, consumer, err) < 0 ||
        tr_topic_control(session->control_topic, pipeline, err) < 0 ||
        tr_topic_dead(session->dead_topic, pipeline, consumer, err) < 0)
        return err->code;
    return 0;
}

static int check_rule(void *context, const char *pattern, const struct tr_node *settings,
                      struct tr_error *err)
{
    const struct tr_sink_ops *const *ops = context;
    int rc = tr_node_check_rule(settings, pattern, (*ops)->rule_keys, err);
    if (rc == 0 && (*ops)->check_rule != NULL)
        rc = (*ops)->check_rule(pattern, settings, err);
    return rc;
}

int tr_session_init(struct tr_session *session, const struct tr_program *program, bool read_only,
                    struct tr_error *err)
{
    const struct tr_sink_ops *ops = program->ops;
    tr_sink_assert(ops);
    const struct tr_runtime_settings *common =
        (const void *)((const char *)program->settings + ops->settings_common_offset);
    *session = (struct tr_session){
        .ops = ops,
        .common = common,
        .kafka = program->kafka,
        .context = {.pipeline = program->pipeline == NULL ? "" : program->pipeline,
                    .consumer =
                        common->name != NULL && *common->name != '\0' ? common->name : ops->name,
                    .settings = program->settings,
                    .read_only = read_only},
    };
    if (make_names(session, err) < 0)
        return err->code;
    if (tr_rules_parse(&session->rules, common->tables, err) < 0)
        return err->code;
    return tr_rules_each_settings(session->rules, check_rule, &session->ops, err);
}

int tr_session_open_kafka(struct tr_session *session, struct tr_error *err)
{
    const struct tr_kafka_producer_config config = {
        .properties = session->kafka,
        .client_id = session->client_id,
        .queue_bytes_max = DEAD_QUEUE_BYTES,
        .linger_ms = 5,
        .delivered = tr_dead_delivered,
    };
    session->dead =
        (struct tr_dead){.topic = session->dead_topic, .consumer = session->context.consumer};
    return tr_kafka_producer_new(&session->dead.producer, &config, err);
}

int tr_session_open_sink(struct tr_session *session, struct tr_error *err)
{
    return tr_sink_open(session->ops, &session->sink, &session->context, err);
}

int tr_session_open_tables(struct tr_session *session, struct tr_error *err)
{
    int rc = tr_tables_init(&session->tables, session->ops, session->sink, session->rules,
                            session->control, err);
    session->tables_open = true;
    if (rc == 0)
        rc = tr_tables_refresh(&session->tables, err);
    return rc < 0 ? rc : 0;
}

/* ---- control --------------------------------------------------------------------------------- */

static int take_control(void *context, const struct tr_kafka_message *message, struct tr_error *err)
{
    return tr_control_take(context, message->key, message->value, message->tombstone, err);
}

static void close_control(struct tr_session *session)
{
    tr_kafka_reader_free(session->reader);
    tr_control_free(session->control);
    session->reader = NULL;
    session->control = NULL;
}

/* 1 when there is no such topic. */
static int find_control(struct tr_session *session, struct tr_error *err)
{
    struct tr_kafka_topic_info info;
    if (tr_kafka_topic_describe(session->dead.producer, session->control_topic, &info, err) < 0)
        return err->code;
    if (!info.exists)
        return 1;
    int rc = tr_control_new(&session->control, err);
    return rc < 0 ? rc
                  : tr_kafka_reader_new(&session->reader, session->kafka, session->client_id,
                                        session->control_topic, err);
}

int tr_session_open_control(struct tr_session *session, int timeout_ms, struct tr_error *err)
{
    int rc = session->reader == NULL ? find_control(session, err) : 0;
    if (rc == 0) {
        rc = tr_kafka_reader_read(session->reader, timeout_ms, true, take_control, session->control,
                                  err);
        /* A topic that takes longer than that: the next call goes on from here. */
        if (rc < 0 && tr_error_class_of(rc) == TR_CLASS_RETRY)
            return rc;
        rc = rc < 0 ? rc : tr_control_checkpoint(session->control) == NULL;
    }
    if (rc != 0)
        close_control(session);
    return rc;
}

int tr_session_no_control(const struct tr_session *session, struct tr_error *err)
{
    return tr_error_set(err, TR_ESTATE,
                        "topic %s does not exist or holds no checkpoint: tailrace-capture has not "
                        "run for pipeline %s",
                        session->control_topic, session->context.pipeline);
}

int tr_session_read_control(struct tr_session *session, bool to_end, int timeout_ms,
                            struct tr_error *err)
{
    struct tr_error other = {0};
    int rc = tr_kafka_reader_read(session->reader, timeout_ms, to_end, take_control,
                                  session->control, err);
    /* Also when the read broke off: what came before is not read again. */
    int found = tr_tables_refresh(&session->tables, &other);
    if (found < 0)
        *err = other;
    else if (rc >= 0 && tr_control_checkpoint(session->control) == NULL)
        return tr_error_set(err, TR_ESTATE, "the checkpoint was removed from topic %s",
                            session->control_topic);
    return rc < 0 && found >= 0 ? rc : found;
}

const char *tr_session_pipeline_id(const struct tr_session *session)
{
    return tr_control_checkpoint(session->control)->pipeline_id;
}

const char *tr_session_incarnation(const struct tr_session *session, const char *topic)
{
    const struct tr_topic *registered = tr_control_topic(session->control, topic);
    return registered == NULL ? "" : registered->incarnation;
}

/* ---- closing and sizes ----------------------------------------------------------------------- */

void tr_session_done(struct tr_session *session)
{
    if (session->tables_open)
        tr_tables_done(&session->tables);
    if (session->sink != NULL)
        tr_sink_close(session->ops, session->sink);
    close_control(session);
    tr_dead_done(&session->dead);
    if (session->rules != NULL)
        tr_rules_free(session->rules);
    *session = (struct tr_session){.ops = NULL};
}

static int64_t or_default(int64_t setting, int64_t def)
{
    return setting > 0 ? setting : def;
}

unsigned tr_session_lanes(const struct tr_session *session)
{
    unsigned def = session->ops->lanes > 0 ? session->ops->lanes : 1;
    return (unsigned)or_default(session->common->lanes, def);
}

size_t tr_session_batch_records(const struct tr_session *session)
{
    return (size_t)or_default(session->common->batch_records_max,
                              (int64_t)session->ops->batch_records_max);
}

/* Half of the bound is for what Kafka's client has fetched, half for the lanes' batches. */
size_t tr_session_batch_bytes(const struct tr_session *session)
{
    int64_t share = session->common->queue_bytes_max / 2 / (2 * tr_session_lanes(session));
    int64_t bytes =
        or_default(session->common->batch_bytes_max, (int64_t)session->ops->batch_bytes_max);
    if (bytes > share)
        bytes = share;
    return bytes < (int64_t)BATCH_BYTES_MIN ? BATCH_BYTES_MIN : (size_t)bytes;
}
