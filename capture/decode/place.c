/* place.c - see place.h. */
#include "place.h"

#include <inttypes.h>
#include <stdio.h>

#include "binlog.h"

#define FLAG_ARTIFICIAL 0x20u
#define WRAP ((uint64_t)1 << 32)
#define VERSION_MAX ((int64_t)1 << 53)

/* Written anew by the server at the start of a dump, as well as being in the file. */
static bool sent_anew(uint8_t type)
{
    return type == TR_BINLOG_FORMAT_DESCRIPTION || type == TR_BINLOG_ROTATE ||
           type == TR_BINLOG_GTID_LIST || type == TR_BINLOG_CHECKPOINT ||
           type == TR_BINLOG_START_ENCRYPTION;
}

/* log_pos has 32 bits: the end that it means is the one nearest to where the lengths lead. */
static uint64_t extend(uint32_t log_pos, uint64_t expected)
{
    uint64_t end = expected / WRAP * WRAP + log_pos;
    if (end > expected && end - expected > WRAP / 2 && end >= WRAP)
        return end - WRAP;
    if (end < expected && expected - end > WRAP / 2)
        return end + WRAP;
    return end;
}

/* Whether the event lies in the file, and if so its end. */
static bool counts(const struct tr_place *place, const struct tr_place_event *event, uint64_t *end)
{
    if ((event->flags & FLAG_ARTIFICIAL) != 0 || event->type == TR_BINLOG_HEARTBEAT)
        return false;
    uint64_t expected = place->offset + event->length;
    if (event->log_pos == 0) {
        *end = expected;
        return !sent_anew(event->type);
    }
    *end = extend(event->log_pos, expected);
    return !(sent_anew(event->type) && *end <= place->offset);
}

int tr_place_advance(struct tr_place *place, const struct tr_place_event *event, bool *counted,
                     uint64_t *start, struct tr_error *err)
{
    uint64_t end = 0;
    *counted = counts(place, event, &end);
    *start = place->offset;
    if (!*counted)
        return 0;
    if (end < event->length || end - event->length < place->offset)
        return tr_error_set(err, TR_ESTATE,
                            "%s: an event of type %u ends at %" PRIu64 " and overlaps what was "
                            "read up to %" PRIu64 ": the file is not the one that was read "
                            "before; " TR_PLACE_GIVE_UP,
                            place->file, event->type, end, place->offset);
    if (end > (uint64_t)VERSION_MAX || place->base > VERSION_MAX - (int64_t)end)
        return tr_error_set(err, TR_ESTATE,
                            "%s:%" PRIu64
                            ": versions are exhausted (2^53): start a new pipeline with "
                            "new topics, and rebuild the stores",
                            place->file, end);
    *start = end - event->length;
    place->offset = end;
    return 0;
}

void tr_place_inflate(struct tr_place *place, int64_t more)
{
    place->base += more;
}

void tr_place_next_file(struct tr_place *place, const char *file)
{
    place->base += (int64_t)place->offset;
    place->offset = 4;
    snprintf(place->file, sizeof(place->file), "%s", file);
}
