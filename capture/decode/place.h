/*
 * place.h - where we are in the binlog, and the versions that follow from it.
 *
 *     version = base + place of the row image's end in the uncompressed binlog file
 *
 * The place is anchored to the file: an event's end is its log_pos where that is there and the
 * event is not artificial, extended past 32 bits by the running offset; lengths are summed only
 * where a server leaves log_pos out. Events that are sent anew at a resume count nothing. `base`
 * grows by a file's full length at its end, and by what each compressed event inflates, at that
 * event's end. Pure; used by the reading thread only.
 */
#ifndef TR_PLACE_H
#define TR_PLACE_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"

/* What helps when reading can't go on from a place: the end of such an error's text. */
#define TR_PLACE_GIVE_UP                                                                           \
    "start once with --start latest --force-start (changes between are not captured), then "       \
    "rebuild the stores"

struct tr_place {
    char file[256];
    uint64_t offset; /* end of the last counted event, in the file as on disk; 4 at its start */
    int64_t base;
};

/* What the place needs to know of an event: its header. */
struct tr_place_event {
    uint8_t type;
    uint32_t timestamp;
    uint32_t length;  /* whole event, header and checksum included */
    uint32_t log_pos; /* as in the header */
    uint16_t flags;   /* 0x20 = artificial */
};

/*
 * Moves past an event. *counted tells whether it takes room in the file; if so *start is its first
 * byte's offset and place->offset its end. TR_ESTATE when anchors run backwards, and at 2^53.
 */
int tr_place_advance(struct tr_place *place, const struct tr_place_event *event, bool *counted,
                     uint64_t *start, struct tr_error *err) TR_MUST_CHECK;
/* The event just passed inflated by `more` bytes (uncompressed - compressed length). */
void tr_place_inflate(struct tr_place *place, int64_t more);
/* The file has ended (ROTATE, or another file's name without one): base grows, the new one starts.
 */
void tr_place_next_file(struct tr_place *place, const char *file);
/* The version of a byte `inside` the event that starts at `start` (inside the inflated event). */
static inline int64_t tr_place_version(const struct tr_place *place, uint64_t start,
                                       uint64_t inside)
{
    return place->base + (int64_t)(start + inside);
}

#endif
