/*
 * state.h - what the store carries about itself: documents in index tailrace-<pipeline>-<consumer>.
 *
 *     _id                                   document
 *     marker                                kind, format, pipeline, pipeline_id, consumer,
 *                                           generation
 *     ["floor","db","table"]                kind, database, table, version; _version = the floor
 *     ["progress","topic","inc.",part.]     kind, topic, incarnation, partition, next
 *     ["table","db","table"]                kind, database, table, alias: its index was made
 *
 * Progress may lag behind after a crash of the server (it only means that some is read again), so
 * the index syncs its log in the background; marker and floors are flushed at once.
 */
#ifndef TR_ES_STATE_H
#define TR_ES_STATE_H

#include "elasticsearch.h"
#include "reply.h"

int tr_es_state_load(struct tr_sink *sink, struct tr_sink_state *state,
                     struct tr_error *err) TR_MUST_CHECK;
int tr_es_state_claim(struct tr_sink *sink, const struct tr_sink_state *state,
                      struct tr_error *err) TR_MUST_CHECK;

/* Lane functions; any thread with its own client. */

/* Appends to a bulk one item that fails if the marker is not the one we know, then the progress;
 * 1 + count items. */
void tr_es_state_put(struct tr_sink *sink, const struct tr_sink_progress *progress, size_t count,
                     struct tr_buf *body);
/* Judges their results, which are the first items of the reply. TR_ESTATE: another store than ours;
 * TR_ESTORE_RETRY; TR_ESTORE. *verify is set when tr_es_state_verify has to decide. */
int tr_es_state_take(struct tr_es_reply *reply, size_t progress_count, bool *verify,
                     struct tr_error *err) TR_MUST_CHECK;
/* Reads the marker again: 0 when it is still this pipeline's and consumer's (another process may
 * have written it anew), else TR_ESTATE naming `reset`. */
int tr_es_state_verify(struct tr_sink *sink, struct tr_es_client *client,
                       struct tr_error *err) TR_MUST_CHECK;
int tr_es_state_put_floor(struct tr_sink *sink, struct tr_es_client *client,
                          const struct tr_sink_table *table, int64_t version,
                          struct tr_error *err) TR_MUST_CHECK;
/* Whether the table once had an index here; and that it has one from now on (`sync`: on disk). */
int tr_es_state_has_table(struct tr_sink *sink, struct tr_es_client *client,
                          const struct tr_sink_table *table, bool *has,
                          struct tr_error *err) TR_MUST_CHECK;
int tr_es_state_put_table(struct tr_sink *sink, struct tr_es_client *client,
                          const struct tr_es_table *table, bool sync,
                          struct tr_error *err) TR_MUST_CHECK;

#endif
