/*
 * handover.h - batches between the reading and the publishing thread.
 *
 * A fixed number of batches goes round: free → filled by the reader → full, or offered → taken by
 * the publisher → free. At each end of a group the reader offers its batch: an idle publisher takes
 * it at once, so a single row waits for nothing; from a busy one the reader takes it back and goes
 * on filling it, up to batch_bytes. When none is free the reader waits: that is the back-pressure.
 */
#ifndef TR_HANDOVER_H
#define TR_HANDOVER_H

#include "batch.h"

struct tr_handover;

int tr_handover_new(struct tr_handover **out, size_t batches, struct tr_error *err) TR_MUST_CHECK;
void tr_handover_free(struct tr_handover *handover);

/* ---- the reading thread -----------------------------------------------------------------------
 */

/* The batch to fill: the offered one when nobody took it, else an empty one; waits for one.
 * TR_ESTOPPED when the publisher has ended. */
int tr_handover_open(struct tr_handover *handover, struct tr_batch **out,
                     struct tr_error *err) TR_MUST_CHECK;
/* Gives the batch away for good. */
void tr_handover_push(struct tr_handover *handover, struct tr_batch *batch);
/* Lets the publisher take it; `wake` = it shall do so now, not at its next look. */
void tr_handover_offer(struct tr_handover *handover, struct tr_batch *batch, bool wake);
/* No more batches come. One that is on offer is still taken. */
void tr_handover_close(struct tr_handover *handover);

/* ---- the publishing thread --------------------------------------------------------------------
 */

/* The oldest batch, waiting up to timeout_ms for one; NULL when there is none (yet). */
struct tr_batch *tr_handover_take(struct tr_handover *handover, int timeout_ms);
/* Back to the free ones. */
void tr_handover_return(struct tr_handover *handover, struct tr_batch *batch);
/* Whether the reader has closed and all batches were taken. */
bool tr_handover_finished(struct tr_handover *handover);
/* The publisher has ended: the reader gets TR_ESTOPPED. */
void tr_handover_stop(struct tr_handover *handover);

#endif
