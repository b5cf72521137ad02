/*
 * mark.h - the end of a group, as a checkpoint needs to know it. A value: copied, owned by nobody.
 */
#ifndef TR_MARK_H
#define TR_MARK_H

#include "control.h"
#include "place.h"

/* The last event before a place, by which the place is known again; type 0 = none. */
struct tr_mark_event {
    uint32_t type;
    uint32_t stamp;
    uint32_t crc;
    uint32_t length;
};

struct tr_mark {
    struct tr_place place;
    uint32_t file_stamp; /* of the file's format description event; 0 = not read yet */
    uint32_t file_crc;
    struct tr_mark_event last;
    int64_t ts;                   /* seconds, of the last group */
    char gtid[TR_GTID_SET_BYTES]; /* of all that was read */
    struct tr_open_group open;    /* what of the group behind it is out already */
};

#endif
