/*
 * stdout_sink.c - the program tailrace-stdout: prints what a store would be given, a line of JSON
 * per row change or marker. It is the worked example of how a store is added: a struct of settings,
 * the operations, their table, and a main of one call. It holds nothing, so it is `stateless` and
 * only the group's offsets count: after a crash it may print a change again.
 */
#include <inttypes.h>
#include <stdio.h>

#include "runtime.h"

struct settings {
    struct tr_runtime_settings common; /* a store's own stand beside them */
};

/* A store connects here. There is nothing to hold, so the other operations get NULL. */
static int open_sink(struct tr_sink **out, const struct tr_sink_context *context,
                     struct tr_error *err)
{
    (void)context, (void)err;
    *out = NULL;
    return 0;
}

/* Whole lines, whatever other lanes print. */
static void print(const char *op, int64_t version, struct tr_slice key, struct tr_slice row)
{
    printf("{\"op\":\"%s\",\"version\":%" PRId64 ",\"key\":%.*s,\"row\":%.*s}\n", op, version,
           (int)key.length, key.data, (int)row.length, row.data);
}

static int flush(struct tr_error *err)
{
    bool good = fflush(stdout) == 0 && !ferror(stdout);
    return good ? 0 : tr_error_set(err, TR_ESTORE, "standard output can't be written to");
}

/* What came is settled when this returns 0; every record has its own result. */
static int apply(struct tr_sink_lane *lane, const struct tr_sink_batch *batch,
                 struct tr_sink_result *results, struct tr_error *err)
{
    (void)lane;
    for (size_t i = 0; i < batch->count; i++) {
        const struct tr_sink_record *rec = &batch->records[i];
        print(rec->remove ? "delete" : "write", rec->version, rec->key,
              rec->data.length > 0 ? rec->data : TR_SLICE("null"));
        results[i] = (struct tr_sink_result){TR_SINK_APPLIED, NULL};
    }
    return flush(err);
}

/* A truncate, drop or sweep: a store removes the table's rows below the version. */
static int mark(struct tr_sink_lane *lane, struct tr_sink_table *table, enum tr_event_type type,
                int64_t version, struct tr_error *err)
{
    struct tr_buf key;
    (void)lane;
    tr_buf_init(&key, 8 << 10); /* far more than two names can take */
    tr_event_put_marker_key(&key, table->database, table->table);
    print(tr_event_type_name(type), version, (struct tr_slice){key.data, key.length},
          TR_SLICE("null"));
    tr_buf_done(&key);
    return flush(err);
}

static const struct tr_option options[] = {TR_RUNTIME_OPTIONS(struct settings, common), {0}};

static const struct tr_sink_ops ops = {
    .name = "stdout",
    .purpose = "Prints row changes as lines of JSON.",
    .options = options,
    .settings_size = sizeof(struct settings),
    .settings_common_offset = offsetof(struct settings, common),
    .stateless = true,
    .lanes = 1,
    .batch_records_max = 10000,
    .batch_bytes_max = 4 << 20,
    .open = open_sink,
    .apply = apply,
    .mark = mark,
};

int main(int argc, char **argv)
{
    return tr_runtime_main(&ops, argc, argv);
}
