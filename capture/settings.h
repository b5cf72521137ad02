/*
 * settings.h - capture's own section of the configuration, and what all its commands share.
 * Constant after the configuration is loaded; any thread.
 */
#ifndef TR_CAPTURE_SETTINGS_H
#define TR_CAPTURE_SETTINGS_H

#include "options.h"
#include "rules.h"
#include "source.h"

enum tr_on_no_key { TR_ON_NO_KEY_STOP, TR_ON_NO_KEY_SKIP };
enum tr_key_change { TR_KEY_CHANGE_SPLIT, TR_KEY_CHANGE_UPDATE };

struct tr_capture_settings {
    const char *topic;
    int64_t partitions;
    int64_t replication;
    const char *delivery;
    const struct tr_node *tables;
    int on_no_key;
    int primary_key_change;
    int64_t batch_bytes;
    int64_t hold_bytes;
    int64_t queue_bytes;
    int64_t checkpoint_ms;
    const char *http_listen;
    bool event_gtid, event_position, event_server_id, event_thread_id, event_query;
    int64_t min_compaction_lag_ms;
    int64_t delete_retention_ms;
};

struct tr_capture {
    const char *pipeline;
    struct tr_source_settings source;
    const struct tr_node *kafka;
    struct tr_capture_settings capture;
};

extern const struct tr_option tr_capture_options[];  /* section "capture" */
extern const struct tr_option tr_pipeline_options[]; /* the top level */

/* What the table of options can't check. */
int tr_capture_check(const struct tr_capture *config, struct tr_error *err) TR_MUST_CHECK;

#endif
