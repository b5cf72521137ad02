/* check.c - `tailrace-capture check`. See commands.h. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "app.h"
#include "commands.h"
#include "kafka.h"
#include "pipeline.h"
#include "schema.h"
#include "start.h"
#include "to_kafka.h"

#define READ_MS 30000

struct check {
    const struct tr_capture *config;
    struct tr_rules *rules;
    struct tr_source *source;
    struct tr_schema *schema;           /* for the tables' topics */
    struct tr_kafka_producer *producer; /* NULL until Kafka has answered */
    char last_topic[TR_TOPIC_NAME_MAX + 1];
    unsigned tables, warnings;
};

/* ---- source -----------------------------------------------------------------------------------
 */

static int check_table(void *context, struct tr_slice database, struct tr_slice table, bool has_key,
                       struct tr_error *err)
{
    struct check *check = context;
    const char *topic;
    const struct tr_node *own = NULL;
    if (!tr_rules_match(check->rules, database, table, &own))
        return 0;
    check->tables++;
    if (!has_key && (own == NULL || tr_node_get(own, "key") == NULL)) {
        bool skip = check->config->capture.on_no_key == TR_ON_NO_KEY_SKIP;
        tr_app_warn(&check->warnings,
                    "table %.*s.%.*s has no key (PRIMARY KEY, or UNIQUE over NOT NULL columns): %s",
                    (int)database.length, database.data, (int)table.length, table.data,
                    skip ? "its rows are not captured (capture.on_no_key: skip)"
                         : "capture stops at its first row; give it a key, exclude it, or set "
                           "capture.on_no_key: skip");
    }
    return tr_schema_table_topic(check->schema, database, table, &topic, err);
}

static void warn_partly(void *context, struct tr_slice database)
{
    struct check *check = context;
    tr_app_warn(
        &check->warnings,
        "the account may not SELECT from all of %.*s.*: capture stops at the first row of a table "
        "that it captures and the account can't see",
        (int)database.length, database.data);
}

static int check_source(struct check *check, struct tr_error *err)
{
    char filters[512], file[256], gtid[TR_GTID_SET_BYTES];
    uint64_t offset;
    int rc = tr_source_connect(check->source, err);
    if (rc != 0)
        return rc;
    const struct tr_source_server *server = tr_source_server(check->source);
    printf("ok: source %s, %s, server id %" PRIu32 "\n", tr_source_endpoint(check->source),
           server->version, server->server_id);
    rc = tr_source_head(check->source, file, &offset, gtid, err);
    if (rc == 0) {
        printf("ok: binlog %s:%" PRIu64 "\n", file, offset);
        rc = tr_source_filters(check->source, filters, sizeof(filters), err);
    }
    if (rc == 0 && filters[0] != '\0')
        tr_app_warn(&check->warnings, "the server's binlog filters leave changes out: %s", filters);
    if (rc == 0)
        rc = tr_pipeline_check_select(check->source, check->rules, warn_partly, check, err);
    if (rc == 0)
        rc = tr_source_each_table(check->source, check_table, check, err);
    if (rc == 0)
        rc = tr_pipeline_check_cascades(check->config, check->source, check->rules, err);
    if (rc == 0)
        printf("ok: %u tables are captured\n", check->tables);
    if (rc == 0 && check->tables == 0)
        tr_app_warn(&check->warnings,
                    "no table matches capture.tables (or the account has no SELECT on them)");
    return rc;
}

/* ---- Kafka ------------------------------------------------------------------------------------
 */

static void compare_time(struct check *check, const char *topic, const char *name, int64_t is,
                         int64_t wanted, const char *effect)
{
    if (is >= 0 && is != wanted)
        tr_app_warn(&check->warnings,
                    "topic %s has %s=%" PRId64 ", capture.topic_settings.%s is %" PRId64 " ms: %s; "
                    "kafka-configs can change it",
                    topic, name, is, name, wanted, effect);
}

/* An existing topic is used as it is. */
static void compare_topic(struct check *check, const char *topic,
                          const struct tr_kafka_topic_info *info)
{
    const struct tr_capture_settings *settings = &check->config->capture;
    if (info->partitions != settings->partitions)
        tr_app_warn(&check->warnings,
                    "topic %s has %" PRId32 " partitions, capture.partitions is %" PRId64
                    ": it is used as it was registered",
                    topic, info->partitions, settings->partitions);
    if (settings->replication > 0 && info->replication > 0 &&
        info->replication != settings->replication)
        tr_app_warn(&check->warnings,
                    "topic %s has %" PRId32 " replicas, capture.replication is %" PRId64
                    ": kafka-reassign-partitions can change it",
                    topic, info->replication, settings->replication);
    if (info->cleanup_policy[0] != '\0' && strcmp(info->cleanup_policy, "compact") != 0)
        tr_app_warn(
            &check->warnings, "topic %s has cleanup.policy=%s, not compact: %s", topic,
            info->cleanup_policy,
            strstr(info->cleanup_policy, "delete") != NULL
                ? "its oldest rows are deleted by time or size, and stores can't be rebuilt from it"
                : "it grows without end");
    compare_time(check, topic, "min.compaction.lag.ms", info->min_compaction_lag_ms,
                 settings->min_compaction_lag_ms, "so long each change of a row stays readable");
    compare_time(check, topic, "delete.retention.ms", info->delete_retention_ms,
                 settings->delete_retention_ms,
                 "a consumer that was away for longer misses deletes");
}

static int check_topic(void *context, struct tr_slice database, struct tr_slice table, bool has_key,
                       struct tr_error *err)
{
    (void)has_key;
    struct check *check = context;
    const char *topic;
    struct tr_kafka_topic_info info;
    if (!tr_rules_match(check->rules, database, table, NULL))
        return 0;
    int rc = tr_schema_table_topic(check->schema, database, table, &topic, err);
    if (rc != 0 || strcmp(topic, check->last_topic) == 0)
        return rc;
    snprintf(check->last_topic, sizeof(check->last_topic), "%s", topic);
    rc = tr_kafka_topic_describe(check->producer, topic, &info, err);
    if (rc != 0 || !info.exists)
        return rc;
    compare_topic(check, topic, &info);
    return 0;
}

static void nothing_delivered(void *context, void *opaque, int code, const char *text)
{
    (void)context;
    (void)opaque;
    (void)code;
    (void)text;
}

static int take_control(void *context, const struct tr_kafka_message *message, struct tr_error *err)
{
    return tr_control_take(context, message->key, message->value, message->tombstone, err);
}

static int read_control(struct check *check, const char *topic, struct tr_control *control,
                        struct tr_error *err)
{
    struct tr_kafka_reader *reader = NULL;
    int rc =
        tr_kafka_reader_new(&reader, check->config->kafka, "tailrace-capture-check", topic, err);
    if (rc == 0)
        rc = tr_kafka_reader_read(reader, READ_MS, true, take_control, control, err);
    tr_kafka_reader_free(reader);
    return rc < 0 ? rc : 0;
}

/* Whether the next start can go on: what would stop it is told while there is time. */
static int check_checkpoint(struct check *check, const struct tr_checkpoint *checkpoint,
                            struct tr_error *err)
{
    struct tr_start start;
    int rc = tr_start_choose(&start, check->source, checkpoint, NULL, false, err);
    if (rc == 0)
        rc = tr_start_same_server(check->source, start.server_id, &start.mark, err);
    if (rc == 0)
        rc = tr_source_check_file(check->source, checkpoint->file, err);
    if (rc == 0)
        printf("ok: checkpoint %s:%" PRIu64 "\n", checkpoint->file, checkpoint->offset);
    return rc;
}

static int check_control(struct check *check, const char *topic, struct tr_error *err)
{
    struct tr_control *control = NULL;
    int rc = tr_control_new(&control, err);
    if (rc == 0)
        rc = read_control(check, topic, control, err);
    if (rc == 0 && tr_control_checkpoint(control) != NULL)
        rc = check_checkpoint(check, tr_control_checkpoint(control), err);
    tr_control_free(control);
    return rc;
}

static int check_kafka(struct check *check, struct tr_error *err)
{
    const struct tr_kafka_producer_config config = {
        .properties = check->config->kafka,
        .client_id = "tailrace-capture-check",
        .queue_bytes_max = 1 << 20,
        .delivered = nothing_delivered,
    };
    char control[TR_TOPIC_NAME_MAX + 1];
    struct tr_kafka_topic_info info;
    int rc = tr_topic_control(control, check->config->pipeline, err);
    if (rc == 0)
        rc = tr_kafka_producer_new(&check->producer, &config, err);
    if (rc == 0)
        rc = tr_kafka_topic_describe(check->producer, control, &info, err);
    if (rc != 0)
        return rc;
    printf("ok: kafka; control topic %s %s\n", control,
           info.exists ? "exists" : "is not there yet");
    rc = tr_to_kafka_check_control(control, &info, err);
    if (rc == 0 && info.exists)
        rc = check_control(check, control, err);
    return rc != 0 ? rc : tr_source_each_table(check->source, check_topic, check, err);
}

int tr_command_check(const struct tr_capture *config, struct tr_error *err)
{
    struct check check = {.config = config};
    int rc = tr_capture_check(config, err);
    if (rc == 0)
        rc = tr_rules_parse(&check.rules, config->capture.tables, err);
    const struct tr_schema_config schema = {
        .rules = check.rules,
        .topic_template = config->capture.topic,
    };
    if (rc == 0)
        rc = tr_schema_new(&check.schema, &schema, NULL, NULL, err);
    if (rc == 0)
        rc = tr_source_new(&check.source, &config->source, config->pipeline, err);
    if (rc == 0)
        rc = check_source(&check, err);
    if (rc == 0)
        rc = check_kafka(&check, err);
    if (rc == 0)
        printf("ok: ready to run, %u warnings\n", check.warnings);
    fflush(stdout);
    tr_kafka_producer_free(check.producer);
    tr_schema_free(check.schema);
    tr_source_free(check.source);
    tr_rules_free(check.rules);
    return rc;
}
