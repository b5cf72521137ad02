/*
 * harness.h - drives a sink's operations as the runtime does, from shapes and records as text.
 * Used by tests of single sinks; errors fail the test at once.
 */
#ifndef TR_SINK_HARNESS_H
#define TR_SINK_HARNESS_H

#include "sink.h"

#define HARNESS_RECORDS_MAX 4096

struct harness {
    const struct tr_sink_ops *ops;
    struct tr_sink_context context;
    struct tr_sink *sink;
    struct tr_sink_lane *lane;
    struct tr_arena arena;       /* lives on: shapes, records, what was loaded */
    struct tr_arena batch_arena; /* of one batch, and of its results */
    struct tr_sink_table tables[16];
    size_t table_count;
    struct tr_sink_record records[HARNESS_RECORDS_MAX];
    struct tr_sink_result results[HARNESS_RECORDS_MAX];
    size_t count;
    struct tr_error err;
};

/* Opens sink and lane; claims the store when it has no marker. */
void harness_open(struct harness *h, const struct tr_sink_ops *ops, const void *settings);
/* The same without claiming, nor failing: returns open's code. */
int harness_try_open(struct harness *h, const struct tr_sink_ops *ops, const void *settings);
void harness_close(struct harness *h);
/* `columns` and `key` are JSON text as in a shape's record. */
const struct tr_shape *harness_shape(struct harness *h, const char *database, const char *table,
                                     int64_t schema_id, const char *columns, const char *key);
struct tr_sink_table *harness_table(struct harness *h, const struct tr_shape *shape,
                                    const struct tr_node *settings);
/* Adds a record to the batch; `pk` is the key's tail like `"pk.id":1`; data NULL = delete. */
void harness_add(struct harness *h, struct tr_sink_table *table, const struct tr_shape *shape,
                 int64_t version, const char *pk, const char *data);
/* Applies the batch and empties it; `next` > 0 is the progress after it (topic "t", partition 0).
 */
int harness_apply(struct harness *h, int64_t next);
/* Applies the first `count` records of an earlier batch again; `next` is settled before it. */
int harness_again(struct harness *h, size_t count, int64_t next);
/* Applies one record and returns its status. */
enum tr_sink_status harness_one(struct harness *h, struct tr_sink_table *table,
                                const struct tr_shape *shape, int64_t version, const char *pk,
                                const char *data);
void harness_load(struct harness *h, struct tr_sink_state *state);

#endif
