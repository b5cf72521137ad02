/* apply.h - a lane's operations: batches, markers, progress. */
#ifndef TR_ES_APPLY_H
#define TR_ES_APPLY_H

#include "elasticsearch.h"

int tr_es_lane_open(struct tr_sink *sink, unsigned number, struct tr_sink_lane **out,
                    struct tr_error *err);
void tr_es_lane_close(struct tr_sink_lane *lane);
int tr_es_apply(struct tr_sink_lane *lane, const struct tr_sink_batch *batch,
                struct tr_sink_result *results, struct tr_error *err);
int tr_es_progress(struct tr_sink_lane *lane, const struct tr_sink_progress *progress, size_t count,
                   struct tr_error *err);
int tr_es_mark(struct tr_sink_lane *lane, struct tr_sink_table *table, enum tr_event_type type,
               int64_t version, struct tr_error *err);

#endif
