/* settings.c - see settings.h. */
#include "settings.h"

#include "control.h"

#define AT(field) offsetof(struct tr_capture_settings, field)

const struct tr_option tr_pipeline_options[] = {
    {"pipeline", TR_OPT_STRING, offsetof(struct tr_capture, pipeline), NULL, 0, 0, NULL, true,
     "Names the pipeline: its control topic, groups and ids."},
    {0},
};

const struct tr_option tr_capture_options[] = {
    {"topic", TR_OPT_STRING, AT(topic), "db.{database}", 0, 0, NULL, true,
     "Topic of a table's rows; {database} and {table} stand for its names."},
    {"partitions", TR_OPT_INT, AT(partitions), "4", 1, 10000, NULL, true,
     "Partitions of a topic that capture makes."},
    {"replication", TR_OPT_INT, AT(replication), "-1", -1, 100, NULL, false,
     "Replicas of a topic that capture makes; -1 is the broker's default."},
    {"delivery", TR_OPT_STRING, AT(delivery), "at-least-once", 0, 0, NULL, true,
     "What a restart may repeat: at-least-once."},
    {"tables", TR_OPT_NODE, AT(tables), NULL, 0, 0, NULL, true,
     "Which tables are captured: a list of rules, the last match wins; all without it."},
    {"on_no_key", TR_OPT_ENUM, AT(on_no_key), "stop", 0, 0, "stop|skip", true,
     "What to do at a row of a table that has no key."},
    {"primary_key_change", TR_OPT_ENUM, AT(primary_key_change), "split", 0, 0, "split|update",
     false, "A changed key is a delete and an insert, or one update under the new key."},
    {"batch_bytes", TR_OPT_SIZE, AT(batch_bytes), "1MiB", 4096, 64 << 20, NULL, false,
     "Size at which a batch goes to the publisher, idle or not."},
    {"hold_bytes", TR_OPT_SIZE, AT(hold_bytes), "4MiB", 4096, 1 << 30, NULL, false,
     "A transaction's rows are held up to this size until it is final."},
    {"queue_bytes", TR_OPT_SIZE, AT(queue_bytes), "16MiB", 1 << 20, 2000000000, NULL, false,
     "Records on their way to Kafka."},
    {"checkpoint_interval", TR_OPT_DURATION, AT(checkpoint_ms), "1s", 10, 3600000, NULL, false,
     "How often the position is written to the control topic."},
    {"http.listen", TR_OPT_STRING, AT(http_listen), NULL, 0, 0, NULL, true,
     "host:port of /metrics, /healthz, /readyz and /status; off when not set."},
    {"event.gtid", TR_OPT_BOOL, AT(event_gtid), "true", 0, 0, NULL, false,
     "Events carry the transaction's GTID."},
    {"event.position", TR_OPT_BOOL, AT(event_position), "true", 0, 0, NULL, false,
     "Events carry file:offset of their binlog event."},
    {"event.server_id", TR_OPT_BOOL, AT(event_server_id), "false", 0, 0, NULL, false,
     "Events carry the id of the server that ran the statement."},
    {"event.thread_id", TR_OPT_BOOL, AT(event_thread_id), "false", 0, 0, NULL, false,
     "Events carry the connection's id; null where the server logs none."},
    {"event.query", TR_OPT_BOOL, AT(event_query), "false", 0, 0, NULL, false,
     "Events carry the text of their statement, where the server logs it."},
    {"topic_settings.min.compaction.lag.ms", TR_OPT_DURATION, AT(min_compaction_lag_ms), "7d", 0, 0,
     NULL, false, "For how long a topic that capture makes keeps every record."},
    {"topic_settings.delete.retention.ms", TR_OPT_DURATION, AT(delete_retention_ms), "7d", 0, 0,
     NULL, false, "For how long a topic that capture makes keeps tombstones."},
    {0},
};

static int check_template(const char *text, struct tr_error *err)
{
    char name[TR_TOPIC_NAME_MAX + 1];
    size_t length = 0;
    for (const char *at = text; *at != '\0'; at++) {
        bool braces = strncmp(at, "{database}", 10) == 0 || strncmp(at, "{table}", 7) == 0;
        if (*at == '{' && !braces)
            return tr_error_set(err, TR_ECONFIG,
                                "capture.topic \"%s\": only {database} and {table} are known",
                                text);
        if (length < sizeof(name) - 1)
            name[length++] = *at;
    }
    return length > 0 ? 0 : tr_error_set(err, TR_ECONFIG, "capture.topic is empty");
}

int tr_capture_check(const struct tr_capture *config, struct tr_error *err)
{
    if (config->pipeline == NULL || config->pipeline[0] == '\0')
        return tr_error_set(err, TR_ECONFIG,
                            "pipeline is not set: it names the pipeline (\"pipeline: shop\")");
    if (strcmp(config->capture.delivery, "at-least-once") != 0)
        return tr_error_set(err, TR_ECONFIG, "capture.delivery must be at-least-once, not \"%s\"",
                            config->capture.delivery);
    if (config->capture.replication == 0)
        return tr_error_set(err, TR_ECONFIG, "capture.replication must be -1 or at least 1");
    char topic[TR_TOPIC_NAME_MAX + 1];
    int rc = tr_topic_control(topic, config->pipeline, err);
    return rc != 0 ? rc : check_template(config->capture.topic, err);
}
