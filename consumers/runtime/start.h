/*
 * start.h - where a consumer begins: what the store's marker means, and the offset to start at.
 * Pure functions; the main thread's.
 */
#ifndef TR_START_H
#define TR_START_H

#include "kafka.h"
#include "sink.h"

struct tr_start_who {
    const char *pipeline, *pipeline_id, *consumer;
};

/*
 * What a store's marker says: 0 it is ours; 1 it has none and nothing was ever applied, so this is
 * a true first start: claim it; TR_ESTATE (naming `reset`) when it belongs to another pipeline or
 * consumer, has a higher format, or lost its marker while the group has offsets.
 */
int tr_start_marker(const struct tr_sink_state *state, const struct tr_start_who *who,
                    bool group_has_offsets, struct tr_error *err) TR_MUST_CHECK;

/* The store's progress in a partition of this incarnation of a topic; TR_KAFKA_OFFSET_NONE when it
 * has none. */
int64_t tr_start_progress(const struct tr_sink_state *state, const char *topic,
                          const char *incarnation, int32_t partition);

/*
 * The lower of the store's progress and the group's offset. What a store has no progress in it may
 * not hold (it was set back to before its first batch, or the topic was made anew and the group's
 * offset is the old one's): the beginning. A stateless store goes by the group alone.
 */
int64_t tr_start_offset(int64_t progress, int64_t group, bool stateless);

#endif
