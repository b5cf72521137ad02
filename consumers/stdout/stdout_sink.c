/*
 * stdout_sink.c - the program tailrace-stdout: prints what a store would be given, a line of JSON
 * per row change. It is the worked example of how a store is added; it holds nothing, so it says
 * `stateless` and only the group's offsets count. Restarted, it may print a change twice.
 */
#include <stdio.h>

#include "log.h"
#include "runtime.h"

struct settings {
    struct tr_runtime_settings common;
};

/* Sink and lane are the same here: there is one lane, so that lines keep their order. */
struct tr_sink {
    int unused;
};

static struct tr_sink the_sink;

static int open_sink(struct tr_sink **out, const struct tr_sink_context *context,
                     struct tr_error *err)
{
    (void)context, (void)err;
    *out = &the_sink;
    return 0;
}

static void close_sink(struct tr_sink *sink)
{
    (void)sink;
}

static int load(struct tr_sink *sink, struct tr_sink_state *state, struct tr_error *err)
{
    (void)sink, (void)err;
    state->marked = false;
    state->empty = true;
    return 0;
}

static int claim(struct tr_sink *sink, const struct tr_sink_state *state, struct tr_error *err)
{
    (void)sink, (void)state, (void)err;
    return 0;
}

static int take_table(struct tr_sink *sink, struct tr_sink_table *table,
                      const struct tr_shape *shape, struct tr_error *err)
{
    (void)sink, (void)shape, (void)err;
    tr_log(TR_LOG_INFO, "stdout", "table", TR_STR("database", table->database.data),
           TR_STR("table", table->table.data), TR_END);
    return 0;
}

static int check(struct tr_sink *sink, struct tr_error *err)
{
    (void)sink, (void)err;
    return 0;
}

static int drop_plan(struct tr_sink *sink, struct tr_sink_table *const *tables, size_t count,
                     struct tr_buf *lines, struct tr_error *err)
{
    (void)sink, (void)tables, (void)count, (void)err;
    tr_buf_printf(lines, "nothing: standard output can't be taken back\n");
    return 0;
}

static int drop(struct tr_sink *sink, struct tr_sink_table *const *tables, size_t count,
                struct tr_error *err)
{
    (void)sink, (void)tables, (void)count, (void)err;
    return 0;
}

static int lane_open(struct tr_sink *sink, unsigned number, struct tr_sink_lane **out,
                     struct tr_error *err)
{
    if (number > 0)
        return tr_error_set(err, TR_ECONFIG, "stdout.lanes: standard output has one lane");
    *out = (struct tr_sink_lane *)(void *)sink;
    return 0;
}

static void lane_close(struct tr_sink_lane *lane)
{
    (void)lane;
}

static int flush(struct tr_error *err)
{
    if (fflush(stdout) == 0)
        return 0;
    return tr_error_set(err, TR_ESTORE, "standard output can't be written to");
}

static int apply(struct tr_sink_lane *lane, const struct tr_sink_batch *batch,
                 struct tr_sink_result *results, struct tr_error *err)
{
    (void)lane;
    for (size_t i = 0; i < batch->count; i++) {
        const struct tr_sink_record *record = &batch->records[i];
        printf("{\"op\":\"%s\",\"version\":%lld,\"key\":%.*s,\"row\":%.*s}\n",
               record->remove ? "delete" : "write", (long long)record->version,
               (int)record->key.length, record->key.data,
               record->data.length > 0 ? (int)record->data.length : 4,
               record->data.length > 0 ? record->data.data : "null");
        results[i] = (struct tr_sink_result){TR_SINK_APPLIED, NULL};
    }
    return flush(err);
}

static int mark(struct tr_sink_lane *lane, struct tr_sink_table *table, enum tr_event_type type,
                int64_t version, struct tr_error *err)
{
    (void)lane;
    printf("{\"op\":\"%s\",\"version\":%lld,\"database\":%.*s,\"table\":%.*s}\n",
           tr_event_type_name(type), (long long)version, (int)table->database.length,
           table->database.data, (int)table->table.length, table->table.data);
    return flush(err);
}

static int progress(struct tr_sink_lane *lane, const struct tr_sink_progress *done, size_t count,
                    struct tr_error *err)
{
    (void)lane, (void)done, (void)count, (void)err;
    return 0;
}

static const struct tr_option options[] = {
    TR_RUNTIME_OPTIONS(struct settings, common),
    {.key = NULL},
};

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
    .close = close_sink,
    .load = load,
    .claim = claim,
    .table = take_table,
    .check = check,
    .drop_plan = drop_plan,
    .drop = drop,
    .lane_open = lane_open,
    .lane_close = lane_close,
    .apply = apply,
    .mark = mark,
    .progress = progress,
};

int main(int argc, char **argv)
{
    return tr_runtime_main(&ops, argc, argv);
}
