/*
 * stdout_sink.c - the program tailrace-stdout: prints what a store would be given, a line of JSON
 * per row change. It is the worked example of how a store is added: a struct of settings, the
 * operations, their table, and a main of one call. It holds nothing, so it is `stateless` and only
 * the group's offsets count; after a crash it may print a change again.
 */
#include <stdio.h>

#include "json_writer.h"
#include "runtime.h"

struct settings {
    struct tr_runtime_settings common;
};

struct tr_sink {
    struct tr_buf line; /* of the only lane */
};

struct tr_sink_lane {
    struct tr_sink sink;
};

static int open_sink(struct tr_sink **out, const struct tr_sink_context *context,
                     struct tr_error *err)
{
    static struct tr_sink_lane only;
    const struct settings *settings = context->settings;
    if (settings->common.lanes > 1)
        return tr_error_set(err, TR_ECONFIG, "stdout.lanes: standard output has one lane");
    tr_buf_init(&only.sink.line, 256 << 20);
    *out = &only.sink;
    return 0;
}

static int open_lane(struct tr_sink *sink, unsigned number, struct tr_sink_lane **out,
                     struct tr_error *err)
{
    (void)number, (void)err;
    *out = (struct tr_sink_lane *)sink;
    return 0;
}

static int print(struct tr_buf *line, struct tr_error *err)
{
    int rc = tr_buf_check(line, "a line", err);
    if (rc < 0)
        return rc;
    if (fwrite(line->data, 1, line->length, stdout) != line->length || fflush(stdout) != 0)
        return tr_error_set(err, TR_ESTORE, "standard output can't be written to");
    tr_buf_reset(line);
    return 0;
}

static void write_record(struct tr_buf *line, const struct tr_sink_record *record)
{
    TR_JSON_LITERAL(line, "{\"op\":");
    tr_json_text(line, tr_slice_of(record->remove ? "delete" : "write"));
    tr_json_member(line, false, "version");
    tr_json_int(line, record->version);
    tr_json_member(line, false, "key");
    tr_buf_append_slice(line, record->key);
    tr_json_member(line, false, "row");
    tr_buf_append_slice(line, record->data.length > 0 ? record->data : TR_SLICE("null"));
    TR_JSON_LITERAL(line, "}\n");
}

static int apply(struct tr_sink_lane *lane, const struct tr_sink_batch *batch,
                 struct tr_sink_result *results, struct tr_error *err)
{
    for (size_t i = 0; i < batch->count; i++) {
        write_record(&lane->sink.line, &batch->records[i]);
        results[i] = (struct tr_sink_result){TR_SINK_APPLIED, NULL};
    }
    return print(&lane->sink.line, err);
}

static int mark(struct tr_sink_lane *lane, struct tr_sink_table *table, enum tr_event_type type,
                int64_t version, struct tr_error *err)
{
    struct tr_buf *line = &lane->sink.line;
    TR_JSON_LITERAL(line, "{\"op\":");
    tr_json_text(line, tr_slice_of(tr_event_type_name(type)));
    tr_json_member(line, false, "version");
    tr_json_int(line, version);
    tr_json_member(line, false, "database");
    tr_json_text(line, table->database);
    tr_json_member(line, false, "table");
    tr_json_text(line, table->table);
    TR_JSON_LITERAL(line, "}\n");
    return print(line, err);
}

static const struct tr_option options[] = {TR_RUNTIME_OPTIONS(struct settings, common),
                                           {.key = NULL}};

static const struct tr_sink_ops ops = {
    .name = "stdout",
    .purpose = "prints row changes as lines of JSON",
    .options = options,
    .settings_size = sizeof(struct settings),
    .settings_common_offset = offsetof(struct settings, common),
    .stateless = true,
    .lanes = 1,
    .batch_records_max = 10000,
    .batch_bytes_max = 4 << 20,
    .open = open_sink,
    .lane_open = open_lane,
    .apply = apply,
    .mark = mark,
};

int main(int argc, char **argv)
{
    return tr_runtime_main(&ops, argc, argv);
}
