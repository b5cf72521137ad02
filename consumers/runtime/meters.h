/*
 * meters.h - the consumer's metrics: their names and help stand in one table in meters.c.
 * Updated from the account by the main thread, rendered by the HTTP server's.
 */
#ifndef TR_METERS_H
#define TR_METERS_H

#include "metrics.h"
#include "status.h"

enum tr_meter {
    TR_METER_RECORDS,
    TR_METER_IN_FLIGHT,
    TR_METER_LAG,
    TR_METER_LAG_SECONDS,
    TR_METER_NEXT,
    TR_METER_BATCHES,
    TR_METER_BYTES,
    TR_METER_RETRIES,
    TR_METER_LETTERS,
    TR_METER_HELD,
    TR_METER_STATE,
    TR_METERS,
};

struct tr_meters {
    struct tr_metrics *metrics;
    struct tr_metric *plain[TR_METERS]; /* of those without partitions */
    struct tr_metric *state[TR_STATE_STOPPED + 1];
    /* Of partition i in the list of all: one per result, then read, released, in flight, lag in
     * records and in seconds, next. */
    struct tr_metric *(*parts)[TR_OUTCOMES + 6];
    size_t part_count;
    struct tr_buf labels;
};

int tr_meters_init(struct tr_meters *meters, struct tr_error *err) TR_MUST_CHECK;
void tr_meters_done(struct tr_meters *meters);
/* Main thread. */
void tr_meters_update(struct tr_meters *meters, const struct tr_parts *parts,
                      const struct tr_lanes *lanes, size_t held, enum tr_state state);
/* Any thread: also before there are partitions, when nothing else is to be told. */
void tr_meters_state(struct tr_meters *meters, enum tr_state state);
/* HTTP. `context` is the tr_meters. */
int tr_meters_http(void *context, struct tr_buf *out);

#endif
