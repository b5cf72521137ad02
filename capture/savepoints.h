/*
 * savepoints.h - the savepoints of the open group, by name and in the order they were set.
 *
 * The log tells of every SAVEPOINT and of no RELEASE, so what is kept grows as long as the
 * transaction does. It has a limit: at that the oldest are forgotten, and a ROLLBACK TO one of them
 * finds none of its name, as if nobody had set it. Used by the group alone, on the reading thread.
 */
#ifndef TR_SAVEPOINTS_H
#define TR_SAVEPOINTS_H

#include "batch.h"

#define TR_SAVEPOINTS_MAX 65536
#define TR_SAVEPOINTS_NAME_BYTES_MAX ((size_t)8 << 20)

struct tr_savepoint {
    size_t name_at, name_length; /* in `names` */
    size_t hash;                 /* of the name as the server compares it */
    uint32_t next;               /* number + 1 of the next one in its bucket; 0 = none */
    bool gone;                   /* its name was set again */
    int64_t at;                  /* version of the last row read when it was set */
    struct tr_batch_fill fill;
};

struct tr_savepoints {
    struct tr_savepoint *items; /* as they were set, also those that are gone */
    uint32_t count, capacity;   /* the capacity is a power of two */
    uint32_t *buckets;          /* `capacity` of them: number + 1 of a savepoint; 0 = none */
    struct tr_buf names;
};

void tr_savepoints_init(struct tr_savepoints *savepoints);
void tr_savepoints_done(struct tr_savepoints *savepoints);
/* Forgets all of them; costs as much as there are. */
void tr_savepoints_reset(struct tr_savepoints *savepoints);
/* Sets one; an older one of that name is gone. */
int tr_savepoints_set(struct tr_savepoints *savepoints, struct tr_slice name, int64_t at,
                      struct tr_batch_fill fill, struct tr_error *err) TR_MUST_CHECK;
/* NULL when nobody set it, or it was forgotten. Valid until the next change. */
struct tr_savepoint *tr_savepoints_find(struct tr_savepoints *savepoints, struct tr_slice name);
/* Forgets those that were set after this one. */
void tr_savepoints_cut(struct tr_savepoints *savepoints, const struct tr_savepoint *last);

#endif
