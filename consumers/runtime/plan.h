/*
 * plan.h - the partitions that a consumer reads, seen from outside: for commands that run while it
 * may be stopped. Main thread of short-lived commands only (it asks about the group).
 */
#ifndef TR_PLAN_H
#define TR_PLAN_H

#include "session.h"

struct tr_plan_part {
    uint32_t topic; /* index into topics */
    int32_t partition;
    int64_t low, high;
    int64_t group; /* TR_KAFKA_OFFSET_NONE = none */
    int64_t store; /* as above; filled by tr_plan_store */
};

struct tr_plan {
    const char **topics; /* that the shapes of our tables name */
    size_t topic_count;
    struct tr_plan_part *parts;
    size_t part_count, part_capacity;
};

/* After tr_session_open_control. Call tr_plan_done also after an error. */
int tr_plan_make(struct tr_plan *plan, struct tr_session *session,
                 struct tr_error *err) TR_MUST_CHECK;
void tr_plan_done(struct tr_plan *plan);
/* Where the store stands. */
void tr_plan_store(struct tr_plan *plan, const struct tr_session *session,
                   const struct tr_sink_state *state);
bool tr_plan_group_has_offsets(const struct tr_plan *plan);
/* Records between the first offset and the end, all partitions. */
int64_t tr_plan_replay(const struct tr_plan *plan);
/* Whether a topic lacks its beginning. */
bool tr_plan_cut(const struct tr_plan *plan, uint32_t topic);
/* The list for people, with what `reset` would do. */
void tr_plan_print(const struct tr_plan *plan, struct tr_buf *out);

#endif
