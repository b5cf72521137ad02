/*
 * group.h - the open group (transaction) of the binlog: what of it is held back, what has gone out,
 * and what happens to it when the log itself undoes rows.
 *
 * A group is final at its XID or COMMIT. Until then its rows lie at the end of the batch, and
 * ROLLBACK TO or ROLLBACK is a truncation. A group too large to be held goes out as it comes, all
 * but its last row, so that `commit` can still be set on that one, and the one before a savepoint
 * that it may be undone to; if rows that went out prove void, capture stops and names them. When
 * the connection breaks, the held rows are dropped and the group is read again from its start; rows
 * that went out before are passed over by version, and the last of them must have the key that it
 * had. The same after a restart, by what the checkpoint says of the open group. Reading thread
 * only.
 */
#ifndef TR_GROUP_H
#define TR_GROUP_H

#include "savepoints.h"

#define TR_GROUP_TABLES_MAX 16

struct tr_group {
    bool open;
    bool standalone;            /* ends with its one statement */
    int64_t xid;                /* version of its opening event */
    uint64_t opened;            /* that event's start in the file, for messages */
    uint64_t rows;              /* captured rows read so far, undone ones too */
    int64_t at;                 /* version of the last of these; 0 = none yet */
    uint64_t out;               /* number of the last row that went out before the group's end */
    int64_t out_at;             /* its version; rows up to there are out when read again */
    uint64_t out_hash;          /* of its key */
    int64_t out_xid;            /* the group that `out` speaks of, while it is not open again */
    struct tr_batch_fill start; /* where its records begin in the present batch */
    struct tr_savepoints savepoints;
    const struct tr_shape *tables[TR_GROUP_TABLES_MAX]; /* of the rows that went out */
    size_t table_count;
};

void tr_group_init(struct tr_group *group);
void tr_group_done(struct tr_group *group);

/* Opens a group. TR_ESTATE when another group was half out and this one isn't it. */
int tr_group_begin(struct tr_group *group, int64_t xid, uint64_t position, bool standalone,
                   const struct tr_batch *batch, struct tr_error *err) TR_MUST_CHECK;

/* After a restart: what went out of a group before, as the checkpoint has it. */
void tr_group_resume(struct tr_group *group, const struct tr_open_group *open);
/* What is out of the group: for the batch that holds the last of it, and for checkpoints until the
 * group is read again. */
static inline struct tr_open_group tr_group_open(const struct tr_group *group)
{
    return (struct tr_open_group){group->out_xid, group->out, group->out_hash, group->out_at};
}

enum tr_group_turn {
    TR_GROUP_PUBLISH, /* encode it into the batch */
    TR_GROUP_COMPARE, /* encode it, then tr_group_compare */
    TR_GROUP_PASS,    /* it went out before the connection broke, or the restart */
};
/* Numbers the next captured row (group->rows; its records carry it) and says what to do with it.
 * What is captured may have changed since rows went out, so their versions tell which they are. */
static inline enum tr_group_turn tr_group_next_row(struct tr_group *group, int64_t version)
{
    group->rows++;
    group->at = version;
    if (version > group->out_at)
        return TR_GROUP_PUBLISH;
    return version == group->out_at ? TR_GROUP_COMPARE : TR_GROUP_PASS;
}
/* A row of this table was passed over: it is out, should the group prove void. */
void tr_group_pass(struct tr_group *group, const struct tr_shape *shape);
/* The records from `from` on are the row that went out last before the connection broke, or the
 * restart: TR_ESTATE when it is another one. They are taken off the batch again. */
int tr_group_compare(struct tr_group *group, struct tr_batch *batch, struct tr_batch_fill from,
                     struct tr_error *err) TR_MUST_CHECK;

/* Bytes of the group that the batch holds. */
static inline size_t tr_group_held(const struct tr_group *group, const struct tr_batch *batch)
{
    return batch->text.length - group->start.text;
}
/* Lets what is held go out with `batch`; its last rows move to `next`, which is empty. */
int tr_group_go_out(struct tr_group *group, struct tr_batch *batch, struct tr_batch *next,
                    struct tr_error *err) TR_MUST_CHECK;

int tr_group_savepoint(struct tr_group *group, struct tr_slice name, const struct tr_batch *batch,
                       struct tr_error *err) TR_MUST_CHECK;
/* TR_ESOURCE when rows behind the savepoint have gone out, or nobody set it, or it is forgotten. */
int tr_group_rollback_to(struct tr_group *group, struct tr_slice name, struct tr_batch *batch,
                         struct tr_error *err) TR_MUST_CHECK;
/* Ends the group at `version`: its last row gets `commit`. */
int tr_group_commit(struct tr_group *group, int64_t version, struct tr_batch *batch,
                    struct tr_error *err) TR_MUST_CHECK;
/* The group proves void (`how`: "is rolled back", "ends with its file"). TR_ESOURCE when rows of it
 * have gone out. Also right when no group is open; `batch` may then be NULL. */
int tr_group_void(struct tr_group *group, struct tr_batch *batch, const char *how,
                  struct tr_error *err) TR_MUST_CHECK;
/* The connection broke: drops what is held, keeps in mind what went out. */
void tr_group_break(struct tr_group *group, struct tr_batch *batch);

#endif
