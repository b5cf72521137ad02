/* topics.c - creating and describing topics; see kafka.h. Also how an admin answer is waited for.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "clock.h"

/* ---- admin requests ------------------------------------------------------------------------- */

rd_kafka_AdminOptions_t *tr_kafka_admin_options(struct tr_kafka_producer *producer,
                                                rd_kafka_admin_op_t op)
{
    char text[128];
    rd_kafka_AdminOptions_t *options =
        rd_kafka_AdminOptions_new(tr_kafka_producer_client(producer)->rk, op);
    if (options != NULL)
        (void)rd_kafka_AdminOptions_set_request_timeout(options, KAFKA_TRY_MS, text, sizeof(text));
    return options;
}

/* Slice by slice, so that a refused password ends the wait at once. */
int tr_kafka_admin_wait(struct tr_kafka_producer *producer, rd_kafka_queue_t *queue,
                        rd_kafka_event_t **event, const char *what, struct tr_error *err)
{
    struct tr_kafka_client *client = tr_kafka_producer_client(producer);
    int64_t until = tr_clock_mono_us() + (KAFKA_TRY_MS + 2 * KAFKA_SLICE_MS) * INT64_C(1000);
    rd_kafka_resp_err_t native = RD_KAFKA_RESP_ERR__TIMED_OUT;
    rd_kafka_event_t *got = NULL;
    int rc = 0;
    while (got == NULL && rc == 0 && tr_clock_mono_us() < until) {
        got = rd_kafka_queue_poll(queue, KAFKA_SLICE_MS);
        tr_kafka_producer_serve(producer);
        rc = tr_kafka_client_fault(client, err);
    }
    rd_kafka_queue_destroy(queue);
    if (got != NULL)
        native = rd_kafka_event_error(got);
    if (rc == 0 && native == RD_KAFKA_RESP_ERR_NO_ERROR) {
        tr_kafka_client_answered(client);
        *event = got;
        return 0;
    }
    if (got != NULL)
        rd_kafka_event_destroy(got);
    return tr_kafka_client_error(client, native, err, what);
}

/* ---- describing ----------------------------------------------------------------------------- */

static void take_settings(const rd_kafka_ConfigResource_t *resource,
                          struct tr_kafka_topic_info *info)
{
    size_t count;
    const rd_kafka_ConfigEntry_t **entries = rd_kafka_ConfigResource_configs(resource, &count);
    for (size_t i = 0; i < count; i++) {
        const char *name = rd_kafka_ConfigEntry_name(entries[i]);
        const char *value = rd_kafka_ConfigEntry_value(entries[i]);
        if (value == NULL)
            continue;
        if (strcmp(name, "max.message.bytes") == 0)
            info->message_bytes_max = strtoll(value, NULL, 10);
        else if (strcmp(name, "min.compaction.lag.ms") == 0)
            info->min_compaction_lag_ms = strtoll(value, NULL, 10);
        else if (strcmp(name, "delete.retention.ms") == 0)
            info->delete_retention_ms = strtoll(value, NULL, 10);
        else if (strcmp(name, "cleanup.policy") == 0)
            snprintf(info->cleanup_policy, sizeof(info->cleanup_policy), "%s", value);
    }
}

/* First the settings: unlike a request for metadata, asking for them never creates the topic. */
static int describe_settings(struct tr_kafka_producer *producer, const char *name,
                             struct tr_kafka_topic_info *info, struct tr_error *err)
{
    struct tr_kafka_client *client = tr_kafka_producer_client(producer);
    char what[TR_KAFKA_WHAT_MAX];
    snprintf(what, sizeof(what), "asking for the settings of topic %s", name);
    rd_kafka_ConfigResource_t *resource =
        rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, name);
    rd_kafka_AdminOptions_t *options =
        tr_kafka_admin_options(producer, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client->rk);
    rd_kafka_event_t *event = NULL;
    rd_kafka_DescribeConfigs(client->rk, &resource, 1, options, queue);
    rd_kafka_ConfigResource_destroy(resource);
    rd_kafka_AdminOptions_destroy(options);
    if (tr_kafka_admin_wait(producer, queue, &event, what, err) < 0)
        return err->code;
    size_t count = 0;
    const rd_kafka_ConfigResource_t **answers = rd_kafka_DescribeConfigs_result_resources(
        rd_kafka_event_DescribeConfigs_result(event), &count);
    rd_kafka_resp_err_t native =
        count == 0 ? RD_KAFKA_RESP_ERR__BAD_MSG : rd_kafka_ConfigResource_error(answers[0]);
    int rc = 0;
    if (native == RD_KAFKA_RESP_ERR_NO_ERROR) {
        info->exists = true;
        take_settings(answers[0], info);
    } else if (native != RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) {
        rc = tr_kafka_client_error(client, native, err, what);
    }
    rd_kafka_event_destroy(event);
    return rc;
}

/* How many partitions, 0 while one of them has no leader yet. */
static int32_t led_partitions(const rd_kafka_metadata_topic_t *topic)
{
    for (int i = 0; i < topic->partition_cnt; i++)
        if (topic->partitions[i].leader < 0)
            return 0;
    return topic->partition_cnt;
}

static int describe_partitions(struct tr_kafka_producer *producer, const char *name,
                               struct tr_kafka_topic_info *info, struct tr_error *err)
{
    struct tr_kafka_client *client = tr_kafka_producer_client(producer);
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_topic_t *topic = tr_kafka_producer_topic(producer, name, err);
    if (topic == NULL)
        return err->code;
    rd_kafka_resp_err_t native = rd_kafka_metadata(client->rk, 0, topic, &metadata, KAFKA_TRY_MS);
    if (native == RD_KAFKA_RESP_ERR_NO_ERROR && metadata->topic_cnt == 1) {
        native = metadata->topics[0].err;
        info->partitions = led_partitions(&metadata->topics[0]);
        if (info->partitions > 0)
            info->replication = metadata->topics[0].partitions[0].replica_cnt;
    }
    if (metadata != NULL)
        rd_kafka_metadata_destroy(metadata);
    if (native == RD_KAFKA_RESP_ERR_NO_ERROR)
        return 0;
    char what[TR_KAFKA_WHAT_MAX];
    snprintf(what, sizeof(what), "asking for the partitions of topic %s", name);
    return tr_kafka_client_error(client, native, err, what);
}

int tr_kafka_topic_describe(struct tr_kafka_producer *producer, const char *name,
                            struct tr_kafka_topic_info *info, struct tr_error *err)
{
    *info = (struct tr_kafka_topic_info){.min_compaction_lag_ms = -1, .delete_retention_ms = -1};
    int rc = describe_settings(producer, name, info, err);
    if (rc < 0 || !info->exists)
        return rc;
    return describe_partitions(producer, name, info, err);
}

int tr_kafka_watermarks(struct tr_kafka_producer *producer, const char *topic, int32_t partition,
                        int64_t *low, int64_t *high, struct tr_error *err)
{
    struct tr_kafka_client *client = tr_kafka_producer_client(producer);
    rd_kafka_resp_err_t native =
        rd_kafka_query_watermark_offsets(client->rk, topic, partition, low, high, KAFKA_TRY_MS);
    tr_kafka_producer_serve(producer);
    if (native == RD_KAFKA_RESP_ERR_NO_ERROR) {
        tr_kafka_client_answered(client);
        return 0;
    }
    if (tr_kafka_is_unknown(native))
        return tr_error_set_native(err, TR_EKAFKA_RETRY, (int)native,
                                   "kafka at %s does not know partition %d of topic %s",
                                   client->brokers, (int)partition, topic);
    char what[TR_KAFKA_WHAT_MAX];
    snprintf(what, sizeof(what), "asking for the offsets of topic %s", topic);
    return tr_kafka_client_error(client, native, err, what);
}

/* ---- creating ------------------------------------------------------------------------------- */

static rd_kafka_NewTopic_t *new_topic(const struct tr_kafka_topic_spec *spec, struct tr_error *err)
{
    char text[256];
    rd_kafka_NewTopic_t *topic =
        rd_kafka_NewTopic_new(spec->name, spec->partitions, spec->replication, text, sizeof(text));
    if (topic == NULL) {
        tr_error_set(err, TR_ECONFIG, "topic %s can't be created: %s", spec->name, text);
        return NULL;
    }
    for (size_t i = 0; i < spec->setting_count; i++)
        if (rd_kafka_NewTopic_set_config(topic, spec->settings[i][0], spec->settings[i][1]) !=
            RD_KAFKA_RESP_ERR_NO_ERROR) {
            tr_error_set(err, TR_ECONFIG, "topic %s can't be created with %s=%s", spec->name,
                         spec->settings[i][0], spec->settings[i][1]);
            rd_kafka_NewTopic_destroy(topic);
            return NULL;
        }
    return topic;
}

static int read_created(struct tr_kafka_producer *producer, rd_kafka_event_t *event,
                        const char *name, bool *created, struct tr_error *err)
{
    size_t count = 0;
    const rd_kafka_topic_result_t **results =
        rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
    rd_kafka_resp_err_t native =
        count == 0 ? RD_KAFKA_RESP_ERR__BAD_MSG : rd_kafka_topic_result_error(results[0]);
    *created = native == RD_KAFKA_RESP_ERR_NO_ERROR;
    if (*created || native == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
        return 0;
    const char *text = count == 0 ? NULL : rd_kafka_topic_result_error_string(results[0]);
    return tr_error_set_native(err, tr_kafka_code_of(native), (int)native,
                               "kafka at %s: topic %s can't be created: %s",
                               tr_kafka_producer_client(producer)->brokers, name,
                               text == NULL ? rd_kafka_err2str(native) : text);
}

static int request_topic(struct tr_kafka_producer *producer, const struct tr_kafka_topic_spec *spec,
                         bool *created, struct tr_error *err)
{
    char what[TR_KAFKA_WHAT_MAX];
    rd_kafka_NewTopic_t *topic = new_topic(spec, err);
    if (topic == NULL)
        return err->code;
    rd_kafka_t *rk = tr_kafka_producer_client(producer)->rk;
    rd_kafka_AdminOptions_t *options =
        tr_kafka_admin_options(producer, RD_KAFKA_ADMIN_OP_CREATETOPICS);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_event_t *event = NULL;
    snprintf(what, sizeof(what), "creating topic %s", spec->name);
    rd_kafka_CreateTopics(rk, &topic, 1, options, queue);
    rd_kafka_NewTopic_destroy(topic);
    rd_kafka_AdminOptions_destroy(options);
    if (tr_kafka_admin_wait(producer, queue, &event, what, err) < 0)
        return err->code;
    int rc = read_created(producer, event, spec->name, created, err);
    rd_kafka_event_destroy(event);
    return rc;
}

int tr_kafka_topic_create(struct tr_kafka_producer *producer,
                          const struct tr_kafka_topic_spec *spec, bool *created,
                          struct tr_error *err)
{
    int64_t until = tr_clock_mono_us() + KAFKA_TRY_MS * INT64_C(1000);
    int rc = request_topic(producer, spec, created, err);
    if (rc < 0)
        return rc;
    /* Other brokers, and the library's own cache, learn of a topic a moment after its creation. */
    while (tr_clock_mono_us() < until) {
        struct tr_error passing = {0};
        struct tr_kafka_topic_info info;
        rc = tr_kafka_topic_describe(producer, spec->name, &info, &passing);
        if (rc == 0 && info.partitions > 0)
            return 0;
        if (rc < 0 && tr_error_class_of(rc) != TR_CLASS_RETRY) {
            *err = passing;
            return rc;
        }
        tr_clock_sleep_ms(KAFKA_SLICE_MS / 2);
    }
    return tr_error_set(err, TR_EKAFKA_RETRY,
                        "topic %s was created, but its partitions have no leader yet", spec->name);
}
