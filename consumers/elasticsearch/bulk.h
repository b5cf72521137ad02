/*
 * bulk.h - the body of a bulk, from records. Pure; the lane's thread.
 */
#ifndef TR_ES_BULK_H
#define TR_ES_BULK_H

#include "elasticsearch.h"

/* The parts of an action line that are the same for all rows of a table: up to the version. */
void tr_es_bulk_action(struct tr_buf *out, const char *action, const char *alias);
/*
 * Appends one record's lines. NULL, or why the record can't be sent (a constant text); the body is
 * as before then. A body that is full turns `failed`.
 */
const char *tr_es_bulk_put(struct tr_buf *body, const struct tr_sink_record *rec,
                           struct tr_buf *scratch);

#endif
