/*
 * needs.h - what a checkpoint says of tables: whose old rows may have been changed without row
 * events, and since when; and which a statement has changed since their last row.
 *
 * Added to by the reading thread, written into checkpoints by the publishing one, shown by the HTTP
 * thread: all under its own lock. A checkpoint may name a table a little before its position has
 * passed the statement; it never passes the statement without naming the table. A table that was
 * altered it names exactly while its position lies behind the statement and before the table's next
 * row: rows before and after those are of the shapes that they had at first.
 */
#ifndef TR_NEEDS_H
#define TR_NEEDS_H

#include <pthread.h>

#include "control.h"

/* More tables are remembered by their databases, and more databases as all of them. */
#define TR_NEEDS_ALTERED_MAX 500

/* Of the log, from a statement to the next look at the table. */
struct tr_needs_stretch {
    struct tr_altered_table altered;
    int64_t looked; /* version of the place where the table was looked at again; 0 = not yet */
};

struct tr_needs {
    pthread_mutex_t lock; /* guards all below */
    struct tr_needs_snapshot *items;
    uint32_t count, capacity;
    struct tr_needs_stretch *altered; /* in the order of their versions */
    struct tr_altered_table *listed;  /* room for those that a checkpoint names */
    uint32_t altered_count, altered_capacity;
};

void tr_needs_init(struct tr_needs *needs);
void tr_needs_done(struct tr_needs *needs);
/* Keeps the first version of a table that is there already. `reason` is cut at 200 bytes. */
int tr_needs_add(struct tr_needs *needs, struct tr_slice database, struct tr_slice table,
                 int64_t version, struct tr_slice reason, struct tr_error *err) TR_MUST_CHECK;
/* The table has lost all its rows: there is nothing old left to be read anew. */
void tr_needs_clear(struct tr_needs *needs, struct tr_slice database, struct tr_slice table);
/* A statement at `version` has changed a table that has a shape. */
int tr_needs_altered(struct tr_needs *needs, struct tr_slice database, struct tr_slice table,
                     int64_t version, struct tr_error *err) TR_MUST_CHECK;
/* The table was looked at again, at its next row. */
void tr_needs_looked(struct tr_needs *needs, struct tr_slice database, struct tr_slice table,
                     int64_t version);
int tr_needs_load(struct tr_needs *needs, const struct tr_checkpoint *checkpoint,
                  struct tr_error *err) TR_MUST_CHECK;
/* How many tables need one. */
uint32_t tr_needs_count(struct tr_needs *needs);
/* The name of the table with that number, "database.table"; false when there are no more. */
bool tr_needs_name(struct tr_needs *needs, uint32_t number, char *name, size_t size);
/* Since which version "database.table" needs one; 0 = it doesn't. */
int64_t tr_needs_since(struct tr_needs *needs, struct tr_slice name);
/* Writes the checkpoint with the lists in it, as of its version, which never goes back. */
int tr_needs_write_checkpoint(struct tr_needs *needs, struct tr_checkpoint *checkpoint,
                              struct tr_buf *key, struct tr_buf *value,
                              struct tr_error *err) TR_MUST_CHECK;

#endif
