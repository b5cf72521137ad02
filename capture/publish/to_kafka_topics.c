/* to_kafka_topics.c - topics made, found, registered. See to_kafka.h. */
#include <inttypes.h>
#include <stdio.h>

#include "clock.h"
#include "log.h"
#include "to_kafka.h"

#define BATCH_SIZE_MIN 1024

/* An admin call that is repeated for as long as the brokers can't be reached. */
static int create(struct tr_to_kafka *to, const struct tr_kafka_topic_spec *spec, bool *created,
                  struct tr_error *err)
{
    int attempt = 0;
    int rc;
    while ((rc = tr_kafka_topic_create(to->producer, spec, created, err)) == TR_EKAFKA_RETRY) {
        rc = tr_to_kafka_again(to, &attempt, err);
        if (rc != 0)
            return rc;
    }
    return rc;
}

static int describe(struct tr_to_kafka *to, const char *name, struct tr_kafka_topic_info *info,
                    struct tr_error *err)
{
    int attempt = 0;
    for (;;) {
        int rc = tr_kafka_topic_describe(to->producer, name, info, err);
        /* A partition without a leader shows as none: wait for it. */
        if (rc == 0 && info->exists && info->partitions == 0)
            rc = tr_error_set(err, TR_EKAFKA_RETRY, "topic %s has partitions without a leader",
                              name);
        if (rc != TR_EKAFKA_RETRY)
            return rc;
        rc = tr_to_kafka_again(to, &attempt, err);
        if (rc != 0)
            return rc;
    }
}

/* A topic that is there may have been made by somebody who may do what we may not. */
static int make_if_missing(struct tr_to_kafka *to, const struct tr_kafka_topic_spec *spec,
                           struct tr_kafka_topic_info *info, struct tr_error *err)
{
    bool created;
    int rc = describe(to, spec->name, info, err);
    return rc != 0 || info->exists ? rc : create(to, spec, &created, err);
}

int tr_to_kafka_check_control(const char *topic, const struct tr_kafka_topic_info *info,
                              struct tr_error *err)
{
    if (!info->exists)
        return 0;
    if (info->partitions != 1)
        return tr_error_set(err, TR_EKAFKA, "topic %s has %" PRId32 " partitions; it must have one",
                            topic, info->partitions);
    if (info->cleanup_policy[0] != '\0' && strcmp(info->cleanup_policy, "compact") != 0)
        return tr_error_set(err, TR_EKAFKA,
                            "topic %s has cleanup.policy=%s: it would lose checkpoints and shapes; "
                            "set it to compact (kafka-configs)",
                            topic, info->cleanup_policy);
    return 0;
}

int tr_to_kafka_make_own_topics(struct tr_to_kafka *to, struct tr_error *err)
{
    /* Small segments and an eager cleaner: a reader goes through all of it at every start. */
    static const char *const control_settings[][2] = {
        {"cleanup.policy", "compact"},    {"segment.bytes", "1048576"},
        {"segment.ms", "600000"},         {"min.cleanable.dirty.ratio", "0.1"},
        {"delete.retention.ms", "60000"}, {"max.compaction.lag.ms", "3600000"},
    };
    static const char *const history_settings[][2] = {
        {"cleanup.policy", "delete"},
        {"retention.ms", "-1"},
        {"retention.bytes", "-1"},
    };
    struct tr_kafka_topic_spec control = {
        .name = to->control_topic,
        .partitions = 1,
        .replication = to->config.replication,
        .settings = control_settings,
        .setting_count = sizeof(control_settings) / sizeof(control_settings[0]),
    };
    struct tr_kafka_topic_spec history = {
        .name = to->schema_changes_topic,
        .partitions = 1,
        .replication = to->config.replication,
        .settings = history_settings,
        .setting_count = sizeof(history_settings) / sizeof(history_settings[0]),
    };
    struct tr_kafka_topic_info info;
    int rc = make_if_missing(to, &control, &info, err);
    if (rc == 0)
        rc = tr_to_kafka_check_control(to->control_topic, &info, err);
    return rc != 0 ? rc : make_if_missing(to, &history, &info, err);
}

static int make_data_topic(struct tr_to_kafka *to, const char *name, bool *created,
                           struct tr_error *err)
{
    char compaction_lag[24], retention[24];
    snprintf(compaction_lag, sizeof(compaction_lag), "%" PRId64, to->config.min_compaction_lag_ms);
    snprintf(retention, sizeof(retention), "%" PRId64, to->config.delete_retention_ms);
    const char *const settings[][2] = {
        {"cleanup.policy", "compact"},
        {"min.compaction.lag.ms", compaction_lag},
        {"delete.retention.ms", retention},
    };
    struct tr_kafka_topic_spec spec = {
        .name = name,
        .partitions = to->config.partitions,
        .replication = to->config.replication,
        .settings = settings,
        .setting_count = sizeof(settings) / sizeof(settings[0]),
    };
    int rc = create(to, &spec, created, err);
    if (rc == 0 && *created)
        tr_log(TR_LOG_INFO, "publish", "topic created", TR_STR("topic", name),
               TR_INT("partitions", to->config.partitions), TR_END);
    return rc;
}

/* The broker's limit is on a whole batch: ours must stay below the smallest topic's. The producer
 * takes it at its birth, so it is made anew once all that is under way is acknowledged. */
static int fit_batches(struct tr_to_kafka *to, const struct tr_topic_state *state,
                       struct tr_error *err)
{
    /* Compression that doesn't help makes a batch a little larger. */
    int64_t room = state->message_bytes_max - state->message_bytes_max / 64 - 512;
    if (state->message_bytes_max == 0 || to->own_batch_size || room >= to->batch_size ||
        room < BATCH_SIZE_MIN)
        return 0;
    to->batch_size = room;
    tr_log(TR_LOG_INFO, "publish", "smaller batches", TR_STR("topic", state->topic.name),
           TR_INT("max_message_bytes", state->message_bytes_max), TR_END);
    return tr_to_kafka_remake_producer(to, err);
}

static int register_topic(struct tr_to_kafka *to, struct tr_topic_state *state, int32_t partitions,
                          struct tr_error *err)
{
    state->topic.partitions = partitions;
    snprintf(state->topic.incarnation, sizeof(state->topic.incarnation), "%016" PRIx64,
             tr_clock_random());
    int rc = tr_topic_write(&state->topic, &to->key, &to->value, err);
    if (rc == 0)
        rc = tr_to_kafka_put_control(to, err);
    state->registered = rc == 0;
    return rc;
}

/* The lowest and highest offset of a partition, waiting while the brokers can't be reached. */
static int watermarks(struct tr_to_kafka *to, const char *topic, int32_t partition, int64_t *low,
                      int64_t *high, struct tr_error *err)
{
    int attempt = 0;
    int rc;
    while ((rc = tr_kafka_watermarks(to->producer, topic, partition, low, high, err)) ==
           TR_EKAFKA_RETRY) {
        rc = tr_to_kafka_again(to, &attempt, err);
        if (rc != 0)
            return rc;
    }
    return rc;
}

/* Whether nothing was ever written to the topic: somebody has made it anew, or we were stopped
 * before its first record. */
static int never_written(struct tr_to_kafka *to, const char *topic, int32_t partitions, bool *never,
                         struct tr_error *err)
{
    int rc = 0;
    *never = true;
    for (int32_t i = 0; rc == 0 && *never && i < partitions; i++) {
        int64_t low, high;
        rc = watermarks(to, topic, i, &low, &high, err);
        *never = rc == 0 && high == 0;
    }
    return rc;
}

static int holds_records(struct tr_to_kafka *to, const char *topic, int32_t partitions, bool *holds,
                         struct tr_error *err)
{
    int rc = 0;
    *holds = false;
    for (int32_t i = 0; rc == 0 && !*holds && i < partitions; i++) {
        int64_t low, high;
        rc = watermarks(to, topic, i, &low, &high, err);
        *holds = rc == 0 && high > low;
    }
    return rc;
}

/* No record goes out before its topic is registered: those that are there belong to a pipeline, or
 * to a control topic, that we know nothing of. */
static int check_unregistered(struct tr_to_kafka *to, const char *topic, int32_t partitions,
                              struct tr_error *err)
{
    bool holds;
    int rc = holds_records(to, topic, partitions, &holds, err);
    if (rc != 0 || !holds)
        return rc;
    return tr_error_set(err, TR_ESTATE,
                        "topic %s holds records, but %s doesn't know it: new versions could be "
                        "lower than those. This takes `recover` (make a checkpoint from the "
                        "topics), which this version doesn't have; restore %s, or delete the "
                        "topic and rebuild the stores that had it, or give its tables another "
                        "topic",
                        topic, to->control_topic, to->control_topic);
}

int tr_to_kafka_ready(struct tr_to_kafka *to, struct tr_topic_state *state, struct tr_error *err)
{
    if (state->ready)
        return 0;
    struct tr_kafka_topic_info info;
    bool created = false;
    int rc = describe(to, state->topic.name, &info, err);
    if (rc == 0 && !info.exists) {
        rc = make_data_topic(to, state->topic.name, &created, err);
        if (rc == 0)
            rc = describe(to, state->topic.name, &info, err);
    }
    if (rc == 0 && !state->registered && !created)
        rc = check_unregistered(to, state->topic.name, info.partitions, err);
    bool anew = true;
    /* A broker that is behind may have said that there is no such topic: what the topic holds
     * rules.
     */
    if (rc == 0 && state->registered)
        rc = never_written(to, state->topic.name, info.partitions, &anew, err);
    if (rc != 0)
        return rc;
    if (!anew && state->registered && info.partitions < state->topic.partitions)
        return tr_error_set(
            err, TR_ESTATE,
            "topic %s has %d partitions, and %d are registered in %s: it is not "
            "the topic that was written before; restore it, or start a new pipeline",
            state->topic.name, info.partitions, state->topic.partitions, to->control_topic);
    state->message_bytes_max = info.message_bytes_max;
    rc = fit_batches(to, state, err);
    /* A topic made anew gets a new incarnation, so that stores don't take its offsets for the old.
     */
    if (rc == 0 && (!state->registered || anew))
        rc = register_topic(to, state, info.partitions, err);
    state->ready = rc == 0;
    return rc;
}

int tr_to_kafka_check_empty(struct tr_to_kafka *to, const char *topic, struct tr_error *err)
{
    struct tr_kafka_topic_info info;
    bool holds = false;
    int rc = describe(to, topic, &info, err);
    if (rc == 0 && info.exists)
        rc = holds_records(to, topic, info.partitions, &holds, err);
    if (rc != 0 || !holds)
        return rc;
    return tr_error_set(err, TR_ESTATE,
                        "topic %s holds records, but %s has no checkpoint: new versions could be "
                        "lower than those. This takes `recover` (make a checkpoint from the "
                        "topics), which this version doesn't have; restore %s, or delete the data "
                        "topics and rebuild the stores, or name another pipeline and topic",
                        topic, to->control_topic, to->control_topic);
}
