/*
 * epochs.h - how far all records are acknowledged: a ring of epochs, in the order of the log.
 *
 * An epoch is what one batch had. Each message's opaque pointer is its epoch; the delivery callback
 * counts it down. The mark of the newest epoch up to which nothing is outstanding is where the
 * checkpoint may go: the contiguous prefix, never the greatest. Publishing thread only.
 */
#ifndef TR_EPOCHS_H
#define TR_EPOCHS_H

#include "mark.h"

#define TR_EPOCHS_MAX 256

struct tr_epoch {
    uint64_t outstanding;
    bool has_end;
    struct tr_mark end;
    struct tr_open_group open; /* of the batch */
};

struct tr_epochs {
    struct tr_epoch ring[TR_EPOCHS_MAX];
    size_t first, count;
};

void tr_epochs_init(struct tr_epochs *epochs);
bool tr_epochs_full(const struct tr_epochs *epochs);
/* Opens the next one; the ring must not be full. `end` NULL = no group ended in it. The caller adds
 * to `outstanding` before each send, and holds one itself until all were sent. */
struct tr_epoch *tr_epochs_open(struct tr_epochs *epochs, const struct tr_mark *end,
                                const struct tr_open_group *open);
/* Drops the complete ones at the front; true, and *end brought up to date, when a group's end or a
 * part of an open group was among them. */
bool tr_epochs_settle(struct tr_epochs *epochs, struct tr_mark *end);

#endif
