/* status_command.c - `tailrace-capture status`. See commands.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "http_client.h"
#include "json_scan.h"
#include "kafka.h"
#include "start.h"
#include "status.h"

#define REPLY_MAX ((size_t)16 << 20)
#define READ_MS 10000

/* Without an address nobody can tell a running capture from a stopped one. `text` is what is wrong
 * with the source, "" = nothing. */
static void say_state(struct tr_status *status, const struct tr_capture *config, const char *text)
{
    char trouble[300];
    const char *listen = config->capture.http_listen;
    bool asked = listen != NULL && listen[0] != '\0';
    if (asked)
        snprintf(trouble, sizeof(trouble), "%s", text);
    else
        snprintf(trouble, sizeof(trouble),
                 "%.210s%scapture.http.listen is not set, so capture can't be asked whether it "
                 "runs",
                 text, text[0] == '\0' ? "" : "; ");
    tr_status_state(status, asked ? "stopped" : "unknown", trouble);
}

/* ---- the stopped one --------------------------------------------------------------------------
 */

struct offline {
    struct tr_control *control;
    struct tr_status status;
    struct tr_needs needs;
};

static int take(void *context, const struct tr_kafka_message *message, struct tr_error *err)
{
    struct offline *offline = context;
    static const struct tr_slice checkpoint_key = TR_SLICE("[\"checkpoint\"]");
    if (tr_slice_equal(message->key, checkpoint_key))
        offline->status.checkpoint_wall_us = message->timestamp_ms * 1000;
    return tr_control_take(offline->control, message->key, message->value, message->tombstone, err);
}

/* Whether the topic is there: a pipeline that has never run has none, and that is an answer. */
static int look_for_topic(const struct tr_capture *config, const char *topic, bool *exists,
                          struct tr_error *err)
{
    const struct tr_kafka_producer_config producer_config = {
        .properties = config->kafka,
        .client_id = "tailrace-capture-status",
        .queue_bytes_max = 1 << 20,
    };
    struct tr_kafka_producer *producer = NULL;
    struct tr_kafka_topic_info info = {0};
    int rc = tr_kafka_producer_new(&producer, &producer_config, err);
    if (rc == 0)
        rc = tr_kafka_topic_describe(producer, topic, &info, err);
    tr_kafka_producer_free(producer);
    *exists = info.exists;
    return rc;
}

static int read_control(struct offline *offline, const struct tr_capture *config,
                        struct tr_error *err)
{
    char topic[TR_TOPIC_NAME_MAX + 1];
    struct tr_kafka_reader *reader = NULL;
    bool exists = false;
    int rc = tr_topic_control(topic, config->pipeline, err);
    if (rc == 0)
        rc = tr_control_new(&offline->control, err);
    if (rc == 0)
        rc = look_for_topic(config, topic, &exists, err);
    if (rc != 0 || !exists)
        return rc;
    rc = tr_kafka_reader_new(&reader, config->kafka, "tailrace-capture-status", topic, err);
    if (rc == 0)
        rc = tr_kafka_reader_read(reader, READ_MS, true, take, offline, err);
    tr_kafka_reader_free(reader);
    return rc < 0 ? rc : 0;
}

static int take_checkpoint(struct offline *offline, struct tr_error *err)
{
    const struct tr_checkpoint *checkpoint = tr_control_checkpoint(offline->control);
    size_t count = tr_control_shape_count(offline->control);
    for (size_t i = 0; i < count; i++) {
        const struct tr_shape *shape = tr_control_shape_number(offline->control, i);
        (void)tr_status_table(&offline->status, shape->database, shape->table);
    }
    if (checkpoint == NULL)
        return 0;
    struct tr_mark mark = {.ts = checkpoint->ts};
    memcpy(mark.place.file, checkpoint->file, sizeof(mark.place.file));
    mark.place.offset = checkpoint->offset;
    mark.place.base = checkpoint->base;
    memcpy(mark.gtid, checkpoint->gtid, sizeof(mark.gtid));
    tr_status_mark(&offline->status, &mark);
    return tr_needs_load(&offline->needs, checkpoint, err);
}

/* The source may be away: then its head is not known, and that is part of the answer. */
static void look_at_source(struct offline *offline, const struct tr_capture *config)
{
    struct tr_source *source = NULL;
    struct tr_error err = {0};
    char file[256], gtid[TR_GTID_SET_BYTES], text[300] = "";
    uint64_t offset;
    int rc = tr_source_new(&source, &config->source, config->pipeline, &err);
    if (rc == 0)
        rc = tr_source_connect(source, &err);
    if (rc == 0)
        rc = tr_source_head(source, file, &offset, gtid, &err);
    const char *ours = offline->status.mark.place.file;
    int64_t between = 0;
    if (rc == 0 && offline->status.has_mark && strcmp(ours, file) != 0)
        rc = tr_source_bytes_between(source, ours, file, &between, &err);
    if (rc == 0)
        tr_status_head(&offline->status, file, offset, ours, between);
    if (rc == 0 && between < 0)
        rc = tr_source_check_file(source, ours, &err);
    if (rc != 0)
        (void)tr_error_format(&err, text, sizeof(text));
    say_state(&offline->status, config, text);
    tr_source_free(source);
}

static int ask_servers(const struct tr_capture *config, struct tr_buf *out, struct tr_error *err)
{
    struct offline *offline = calloc(1, sizeof(*offline));
    if (offline == NULL)
        return tr_error_set(err, TR_ENOMEM, "no memory for the status");
    tr_needs_init(&offline->needs);
    int rc = tr_status_init(&offline->status, config->pipeline, err);
    offline->status.needs = &offline->needs;
    if (rc == 0)
        rc = read_control(offline, config, err);
    if (rc == 0)
        rc = take_checkpoint(offline, err);
    if (rc == 0) {
        look_at_source(offline, config);
        tr_buf_reset(out);
        tr_status_write(&offline->status, false, out);
        tr_buf_append_char(out, '\n');
    }
    tr_status_done(&offline->status);
    tr_needs_done(&offline->needs);
    tr_control_free(offline->control);
    free(offline);
    return rc;
}

/* ---- printing ---------------------------------------------------------------------------------
 */

/* "lag.bytes  1234": one line for each scalar; a table a line. */
static int print_members(const struct tr_json_value *object, const char *prefix,
                         struct tr_error *err)
{
    struct tr_json_cursor cursor;
    struct tr_json_value name = {0}, value;
    int got;
    tr_json_enter(&cursor, object);
    while ((got = tr_json_next(&cursor, &name, &value, err)) > 0) {
        char label[128];
        bool is_table = object->type == TR_JSON_ARRAY;
        int length = is_table ? 0 : (int)name.text.length - 2;
        snprintf(label, sizeof(label), "%s%s%.*s", prefix, prefix[0] == '\0' || is_table ? "" : ".",
                 length > 0 ? length : 0, length > 0 ? name.text.data + 1 : "");
        if (!is_table && (value.type == TR_JSON_OBJECT || value.type == TR_JSON_ARRAY))
            got = print_members(&value, label, err);
        else
            printf("%-20s %.*s\n", label, (int)value.text.length, value.text.data);
        if (got < 0)
            break;
    }
    return got < 0 ? got : 0;
}

int tr_command_status(const struct tr_capture *config, bool json, struct tr_error *err)
{
    struct tr_buf out;
    tr_buf_init(&out, REPLY_MAX);
    int rc = tr_capture_check(config, err);
    if (rc == 0 && !tr_http_ask(config->capture.http_listen, "/status", &out))
        rc = ask_servers(config, &out, err);
    if (rc == 0)
        rc = tr_buf_check(&out, "the status", err);
    struct tr_json_value value;
    if (rc == 0)
        rc = tr_json_parse((struct tr_slice){out.data, out.length}, &value, err);
    if (rc == 0 && json)
        printf("%.*s\n", (int)value.text.length, value.text.data);
    else if (rc == 0)
        rc = print_members(&value, "", err);
    fflush(stdout);
    tr_buf_done(&out);
    return rc;
}
