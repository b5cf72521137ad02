/* epochs.c - see epochs.h. */
#include "epochs.h"

#include <assert.h>

void tr_epochs_init(struct tr_epochs *epochs)
{
    epochs->first = 0;
    epochs->count = 0;
}

bool tr_epochs_full(const struct tr_epochs *epochs)
{
    return epochs->count == TR_EPOCHS_MAX;
}

struct tr_epoch *tr_epochs_open(struct tr_epochs *epochs, const struct tr_mark *end,
                                const struct tr_open_group *open)
{
    assert(!tr_epochs_full(epochs));
    size_t at = (epochs->first + epochs->count) % TR_EPOCHS_MAX;
    struct tr_epoch *epoch = &epochs->ring[at];
    epochs->count++;
    epoch->outstanding = 0;
    epoch->has_end = end != NULL;
    if (end != NULL)
        epoch->end = *end;
    epoch->open = *open;
    return epoch;
}

bool tr_epochs_settle(struct tr_epochs *epochs, struct tr_mark *end)
{
    bool moved = false;
    while (epochs->count > 0 && epochs->ring[epochs->first].outstanding == 0) {
        const struct tr_epoch *epoch = &epochs->ring[epochs->first];
        if (epoch->has_end)
            *end = epoch->end;
        if (epoch->open.ordinal > 0)
            end->open = epoch->open;
        moved = moved || epoch->has_end || epoch->open.ordinal > 0;
        epochs->first = (epochs->first + 1) % TR_EPOCHS_MAX;
        epochs->count--;
    }
    return moved;
}
