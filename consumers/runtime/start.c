/* start.c - see start.h. */
#include "start.h"

#include <string.h>

static const char *or_empty(const char *text)
{
    return text == NULL ? "" : text;
}

int tr_start_marker(const struct tr_sink_state *state, const struct tr_start_who *who,
                    bool group_has_offsets, struct tr_error *err)
{
    if (!state->marked && !group_has_offsets)
        return 1;
    if (!state->marked)
        return tr_error_set(err, TR_ESTATE,
                            "the store has lost its marker, but the group has offsets: it was "
                            "emptied or replaced; fill it again with `reset --to beginning`");
    const char *pipeline = or_empty(state->pipeline), *id = or_empty(state->pipeline_id);
    if (strcmp(pipeline, who->pipeline) != 0 || strcmp(id, who->pipeline_id) != 0)
        return tr_error_set(err, TR_ESTATE,
                            "the store was filled by pipeline %s (id %s), this is %s (id %s): "
                            "versions mean nothing across pipelines; use another store, or empty "
                            "this one with `reset --to beginning --drop`",
                            pipeline, id, who->pipeline, who->pipeline_id);
    if (strcmp(or_empty(state->consumer), who->consumer) != 0)
        return tr_error_set(err, TR_ESTATE,
                            "the store belongs to consumer %s, this is %s; use another store, or "
                            "set `name: %s`",
                            or_empty(state->consumer), who->consumer, or_empty(state->consumer));
    if (state->format > TR_SINK_FORMAT)
        return tr_error_set(err, TR_ESTATE,
                            "the store has format %d, this program knows %d: use a newer one",
                            state->format, TR_SINK_FORMAT);
    return 0;
}

int64_t tr_start_progress(const struct tr_sink_state *state, const char *topic,
                          const char *incarnation, int32_t partition)
{
    for (size_t i = 0; i < state->progress_count; i++) {
        const struct tr_sink_progress *progress = &state->progress[i];
        if (progress->partition == partition && strcmp(progress->topic, topic) == 0 &&
            strcmp(progress->incarnation, incarnation) == 0)
            return progress->next;
    }
    return TR_KAFKA_OFFSET_NONE;
}

int64_t tr_start_offset(int64_t progress, int64_t group, bool stateless)
{
    int64_t known = stateless ? group : progress;
    if (known < 0)
        return TR_KAFKA_OFFSET_BEGINNING;
    return group >= 0 && group < known ? group : known;
}
