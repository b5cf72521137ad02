/* sink.c - the SQLite sink's table of operations. */
#include <stdlib.h>
#include <string.h>

#include "store.h"

static const struct tr_option sqlite_options[] = {
    {.key = "path",
     .type = TR_OPT_STRING,
     .offset = offsetof(struct sqlite_settings, path),
     .common = true,
     .help = "The read model: a link to the present generation's file <path>.g<n>."},
    TR_RUNTIME_OPTIONS(struct sqlite_settings, common),
    {.key = "busy_timeout",
     .type = TR_OPT_DURATION,
     .def = "5s",
     .offset = offsetof(struct sqlite_settings, busy_timeout_ms),
     .min = 0,
     .max = 3600000,
     .help = "How long to wait for another writer of the file before trying again."},
    {0},
};

static void sink_close(struct tr_sink *sink);

static int sink_open(struct tr_sink **out, const struct tr_sink_context *context,
                     struct tr_error *err)
{
    const struct sqlite_settings *settings = context->settings;
    if (settings->path == NULL || settings->path[0] == '\0')
        return tr_error_set(err, TR_ECONFIG, "sqlite.path is not set: name the read model's file");
    struct tr_sink *sink = calloc(1, sizeof(*sink));
    if (sink == NULL)
        return tr_error_set(err, TR_ENOMEM, "sqlite: no memory");
    sink->context = context;
    sink->settings = settings;
    sink->lock_fd = -1;
    tr_buf_init(&sink->text, (size_t)1 << 30);
    tr_buf_init(&sink->key, (size_t)64 << 20);
    tr_buf_init(&sink->sql, (size_t)16 << 20);
    int code = sq_file_open(sink, err);
    if (code != 0) {
        sink_close(sink);
        return code;
    }
    *out = sink;
    return 0;
}

static void sink_close(struct tr_sink *sink)
{
    if (sink == NULL)
        return;
    sq_file_close(sink);
    sq_table_free_all(sink);
    sq_file_unlock(sink);
    tr_buf_done(&sink->text);
    tr_buf_done(&sink->key);
    tr_buf_done(&sink->sql);
    free(sink);
}

static int sink_check(struct tr_sink *sink, struct tr_error *err)
{
    struct tr_sink_state state;
    struct tr_arena arena;
    tr_arena_init(&arena, 4096, 0);
    memset(&state, 0, sizeof(state));
    state.arena = &arena;
    int code = sq_state_load(sink, &state, err);
    if (code == 0)
        code = sq_names_check(sink, state.marked, err);
    tr_arena_done(&arena);
    return code;
}

static int sink_drop_plan(struct tr_sink *sink, struct tr_sink_table *const *tables, size_t count,
                          struct tr_buf *lines, struct tr_error *err)
{
    (void)tables;
    (void)count;
    char *real = realpath(sink->settings->path, NULL);
    tr_buf_printf(lines, "file %s with all its tables, and the link %s to it\n",
                  real != NULL ? real : sink->settings->path, sink->settings->path);
    free(real);
    return tr_buf_check(lines, "the plan", err);
}

static int sink_drop(struct tr_sink *sink, struct tr_sink_table *const *tables, size_t count,
                     struct tr_error *err)
{
    (void)tables;
    (void)count;
    return sq_file_remove(sink, err);
}

static int lane_open(struct tr_sink *sink, unsigned number, struct tr_sink_lane **out,
                     struct tr_error *err)
{
    if (number != 0)
        return tr_error_set(err, TR_ECONFIG, "sqlite.lanes must be 1: a file has one writer");
    struct tr_sink_lane *lane = malloc(sizeof(*lane));
    if (lane == NULL)
        return tr_error_set(err, TR_ENOMEM, "sqlite: no memory");
    lane->sink = sink;
    *out = lane;
    return 0;
}

static void lane_close(struct tr_sink_lane *lane)
{
    free(lane);
}

const struct tr_sink_ops tr_sqlite_sink_ops = {
    .name = "sqlite",
    .purpose = "Keeps a SQLite file equal to the source's tables.",
    .options = sqlite_options,
    .settings_size = sizeof(struct sqlite_settings),
    .settings_common_offset = offsetof(struct sqlite_settings, common),
    .exclusive = true,
    .lanes = 1,
    .batch_records_max = 50000,
    .batch_bytes_max = (size_t)24 << 20,
    .open = sink_open,
    .close = sink_close,
    .load = sq_state_load,
    .claim = sq_state_claim,
    .table = sq_table_map,
    .check = sink_check,
    .drop_plan = sink_drop_plan,
    .drop = sink_drop,
    .lane_open = lane_open,
    .lane_close = lane_close,
    .apply = sq_apply,
    .mark = sq_mark,
    .progress = sq_progress,
};
