/*
 * sink_call.h - how the runtime calls a sink: every call goes through here, so that the contract of
 * sink.h is asserted in one place and a sink may leave out what it has no use for.
 */
#ifndef TR_SINK_CALL_H
#define TR_SINK_CALL_H

#include <assert.h>

#include "sink.h"

/* What no sink can do without; the rest may be NULL where sink.h says so. */
static inline void tr_sink_assert(const struct tr_sink_ops *ops)
{
    assert(ops->name != NULL && ops->purpose != NULL && ops->options != NULL);
    assert(ops->settings_size > 0 && ops->batch_records_max > 0 && ops->batch_bytes_max > 0);
    assert(ops->open != NULL && ops->apply != NULL && ops->mark != NULL);
    assert(ops->stateless || (ops->load != NULL && ops->claim != NULL && ops->progress != NULL));
}

static inline int tr_sink_check_named(const struct tr_sink_ops *ops, struct tr_sink_table *tables,
                                      size_t count, struct tr_error *err)
{
    return ops->check_named == NULL ? 0 : ops->check_named(tables, count, err);
}

static inline int tr_sink_open(const struct tr_sink_ops *ops, struct tr_sink **out,
                               const struct tr_sink_context *context, struct tr_error *err)
{
    return ops->open(out, context, err);
}

static inline void tr_sink_close(const struct tr_sink_ops *ops, struct tr_sink *sink)
{
    if (ops->close != NULL)
        ops->close(sink);
}

static inline int tr_sink_load(const struct tr_sink_ops *ops, struct tr_sink *sink,
                               struct tr_sink_state *state, struct tr_error *err)
{
    return ops->stateless ? 0 : ops->load(sink, state, err);
}

static inline int tr_sink_claim(const struct tr_sink_ops *ops, struct tr_sink *sink,
                                const struct tr_sink_state *state, struct tr_error *err)
{
    return ops->stateless ? 0 : ops->claim(sink, state, err);
}

static inline int tr_sink_take_table(const struct tr_sink_ops *ops, struct tr_sink *sink,
                                     struct tr_sink_table *table, const struct tr_shape *shape,
                                     struct tr_error *err)
{
    return ops->table == NULL ? 0 : ops->table(sink, table, shape, err);
}

static inline int tr_sink_check(const struct tr_sink_ops *ops, struct tr_sink *sink,
                                struct tr_error *err)
{
    return ops->check == NULL ? 0 : ops->check(sink, err);
}

static inline int tr_sink_drop_plan(const struct tr_sink_ops *ops, struct tr_sink *sink,
                                    struct tr_sink_table *const *tables, size_t count,
                                    struct tr_buf *lines, struct tr_error *err)
{
    return ops->drop_plan == NULL ? 0 : ops->drop_plan(sink, tables, count, lines, err);
}

static inline int tr_sink_drop(const struct tr_sink_ops *ops, struct tr_sink *sink,
                               struct tr_sink_table *const *tables, size_t count,
                               struct tr_error *err)
{
    return ops->drop == NULL ? 0 : ops->drop(sink, tables, count, err);
}

/* A sink without lanes of its own is called with a lane of NULL. */
static inline int tr_sink_lane_open(const struct tr_sink_ops *ops, struct tr_sink *sink,
                                    unsigned number, struct tr_sink_lane **out,
                                    struct tr_error *err)
{
    *out = NULL;
    return ops->lane_open == NULL ? 0 : ops->lane_open(sink, number, out, err);
}

static inline void tr_sink_lane_close(const struct tr_sink_ops *ops, struct tr_sink_lane *lane)
{
    if (ops->lane_close != NULL && lane != NULL)
        ops->lane_close(lane);
}

static inline int tr_sink_apply(const struct tr_sink_ops *ops, struct tr_sink_lane *lane,
                                const struct tr_sink_batch *batch, struct tr_sink_result *results,
                                struct tr_error *err)
{
    assert(batch->count > 0);
    int rc = ops->apply(lane, batch, results, err);
    assert(rc <= 0);
    return rc;
}

static inline int tr_sink_mark(const struct tr_sink_ops *ops, struct tr_sink_lane *lane,
                               struct tr_sink_table *table, enum tr_event_type type,
                               int64_t version, struct tr_error *err)
{
    assert(tr_event_is_marker(type));
    return ops->mark(lane, table, type, version, err);
}

static inline int tr_sink_progress(const struct tr_sink_ops *ops, struct tr_sink_lane *lane,
                                   const struct tr_sink_progress *progress, size_t count,
                                   struct tr_error *err)
{
    return ops->stateless ? 0 : ops->progress(lane, progress, count, err);
}

#endif
