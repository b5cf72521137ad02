/* group.c - see group.h. */
#include "group.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "encode.h"
#include "hash.h"

#define SAVEPOINTS_MAX 65536

void tr_group_init(struct tr_group *group)
{
    memset(group, 0, sizeof(*group));
    tr_buf_init(&group->names, 8 << 20);
}

void tr_group_done(struct tr_group *group)
{
    free(group->savepoints);
    tr_buf_done(&group->names);
}

static void forget_savepoints(struct tr_group *group)
{
    group->savepoint_count = 0;
    tr_buf_reset(&group->names);
}

static void close_group(struct tr_group *group)
{
    group->open = false;
    group->out = 0;
    group->out_at = 0;
    group->out_xid = 0;
    group->table_count = 0;
    forget_savepoints(group);
}

int tr_group_begin(struct tr_group *group, int64_t xid, uint64_t position, bool standalone,
                   const struct tr_batch *batch, struct tr_error *err)
{
    if (group->open)
        return tr_error_set(err, TR_ESOURCE,
                            "a transaction begins before the one that began at offset %" PRIu64
                            " has ended: this binlog is not understood",
                            group->opened);
    if (group->out > 0 && group->out_xid != xid)
        return tr_error_set(err, TR_ESTATE,
                            "the transaction with xid %" PRId64 ", of which %" PRIu64 " rows were "
                            "published, is no longer in the binlog: the source is another one",
                            group->out_xid, group->out);
    group->open = true;
    group->standalone = standalone;
    group->xid = xid;
    group->opened = position;
    group->rows = 0;
    group->at = 0;
    group->start = tr_batch_fill(batch);
    forget_savepoints(group);
    return 0;
}

/* ---- going out early ------------------------------------------------------------------------ */

static void note_table(struct tr_group *group, const struct tr_shape *shape)
{
    if (shape == NULL || group->table_count == TR_GROUP_TABLES_MAX)
        return;
    for (size_t i = 0; i < group->table_count; i++)
        if (group->tables[i] == shape)
            return;
    group->tables[group->table_count++] = shape;
}

void tr_group_pass(struct tr_group *group, const struct tr_shape *shape)
{
    note_table(group, shape);
}

void tr_group_resume(struct tr_group *group, const struct tr_open_group *open)
{
    group->out = open->ordinal;
    group->out_at = open->row;
    group->out_hash = open->key_hash;
    group->out_xid = open->version;
}

static uint64_t row_hash(const struct tr_batch *batch, const struct tr_record *row)
{
    struct tr_slice key = tr_batch_key(batch, row);
    if (key.length == 0) /* a file's events have none */
        key = tr_batch_value(batch, row);
    return tr_hash_fnv1a(key.data, key.length);
}

/* The first record of the row that `last` belongs to: a changed key makes three records. */
static size_t row_start(const struct tr_batch *batch, size_t from, const struct tr_record *last)
{
    size_t at = (size_t)(last - batch->records);
    while (at > from && batch->records[at - 1].ordinal == last->ordinal)
        at--;
    return at;
}

int tr_group_go_out(struct tr_group *group, struct tr_batch *batch, struct tr_batch *next,
                    struct tr_error *err)
{
    const struct tr_record *last = tr_batch_last_row(batch, group->start.records);
    if (last == NULL)
        return 0;
    const struct tr_record *before = NULL;
    int64_t held_back = last->version;
    size_t last_at = row_start(batch, group->start.records, last);
    for (size_t i = group->start.records; i < last_at; i++) {
        const struct tr_record *rec = &batch->records[i];
        note_table(group, rec->shape);
        if (rec->kind == TR_RECORD_ROW)
            before = rec;
    }
    if (before != NULL) {
        group->out = before->ordinal;
        group->out_at = before->version;
        group->out_hash = row_hash(batch, before);
    }
    group->out_xid = group->xid;
    batch->open = tr_group_open(group);
    int rc = tr_batch_move_tail(batch, last_at, next, err);
    group->start = (struct tr_batch_fill){0, 0};
    for (size_t i = 0; i < group->savepoint_count; i++) {
        struct tr_group_savepoint *savepoint = &group->savepoints[i];
        savepoint->fill = savepoint->at >= held_back ? tr_batch_fill(next) : group->start;
    }
    return rc;
}

int tr_group_compare(struct tr_group *group, struct tr_batch *batch, struct tr_batch_fill from,
                     struct tr_error *err)
{
    const struct tr_record *row = tr_batch_last_row(batch, from.records);
    bool same = row != NULL && row_hash(batch, row) == group->out_hash;
    tr_batch_truncate(batch, from);
    if (same)
        return 0;
    return tr_error_set(err, TR_ESTATE,
                        "the row with version %" PRId64 " of the transaction at offset %" PRIu64
                        " is not the one that was published before: the source is another one",
                        group->out_at, group->opened);
}

/* ---- savepoints -------------------------------------------------------------------------------
 */

/* The newest of that name, as the server compares them; count when there is none. */
static size_t find_savepoint(const struct tr_group *group, struct tr_slice name)
{
    for (size_t i = group->savepoint_count; i > 0; i--) {
        const struct tr_group_savepoint *savepoint = &group->savepoints[i - 1];
        if (savepoint->name_length == name.length &&
            strncasecmp(group->names.data + savepoint->name_at, name.data, name.length) == 0)
            return i - 1;
    }
    return group->savepoint_count;
}

/* A name that is set again leaves its old place. */
static void remove_savepoint(struct tr_group *group, size_t at)
{
    group->savepoint_count--;
    memmove(&group->savepoints[at], &group->savepoints[at + 1],
            (group->savepoint_count - at) * sizeof(group->savepoints[0]));
}

int tr_group_savepoint(struct tr_group *group, struct tr_slice name, const struct tr_batch *batch,
                       struct tr_error *err)
{
    size_t old = find_savepoint(group, name);
    if (old < group->savepoint_count)
        remove_savepoint(group, old);
    if (group->savepoint_count == group->savepoint_capacity) {
        size_t capacity = group->savepoint_capacity == 0 ? 16 : group->savepoint_capacity * 2;
        struct tr_group_savepoint *grown =
            capacity > SAVEPOINTS_MAX
                ? NULL
                : realloc(group->savepoints, capacity * sizeof(*group->savepoints));
        if (grown == NULL)
            return tr_error_set(err, TR_ESOURCE, "a transaction with more than %d savepoints",
                                SAVEPOINTS_MAX);
        group->savepoints = grown;
        group->savepoint_capacity = capacity;
    }
    group->savepoints[group->savepoint_count++] = (struct tr_group_savepoint){
        .name_at = group->names.length,
        .name_length = name.length,
        .at = group->at,
        .fill = tr_batch_fill(batch),
    };
    tr_buf_append_slice(&group->names, name);
    return tr_buf_check(&group->names, "savepoint names", err);
}

static int undone(const struct tr_group *group, const char *how, struct tr_error *err)
{
    char tables[300] = "";
    size_t at = 0;
    for (size_t i = 0; i < group->table_count && at < sizeof(tables) - 1; i++) {
        const struct tr_shape *shape = group->tables[i];
        int n = snprintf(tables + at, sizeof(tables) - at, "%s%.*s.%.*s", i == 0 ? "" : ", ",
                         (int)shape->database.length, shape->database.data,
                         (int)shape->table.length, shape->table.data);
        at += n > 0 ? (size_t)n : 0;
    }
    return tr_error_set(err, TR_ESOURCE,
                        "the transaction at offset %" PRIu64 " %s after rows of %s were published, "
                        "because it was too large to be held: make these tables anew in every "
                        "store, and go on behind it with --start FILE:POS --force-start",
                        group->opened, how, tables);
}

int tr_group_rollback_to(struct tr_group *group, struct tr_slice name, struct tr_batch *batch,
                         struct tr_error *err)
{
    size_t at = find_savepoint(group, name);
    if (at == group->savepoint_count)
        return tr_error_set(err, TR_ESOURCE,
                            "ROLLBACK TO %.*s in the transaction at offset %" PRIu64 ", which has "
                            "no such savepoint: which rows it undoes can't be told",
                            (int)(name.length < 64 ? name.length : 64), name.data, group->opened);
    const struct tr_group_savepoint *savepoint = &group->savepoints[at];
    group->savepoint_count = at + 1;
    /* Reading again what went out before a broken connection or a restart: what this undoes never
     * did. */
    if (group->at <= group->out_at)
        return 0;
    if (savepoint->at < group->out_at)
        return undone(group, "goes back to a savepoint", err);
    tr_batch_truncate(batch, savepoint->fill);
    return 0;
}

/* ---- the end ----------------------------------------------------------------------------------
 */

static int mark_commit(struct tr_batch *batch, struct tr_record *row, struct tr_error *err)
{
    const struct tr_encoded encoded = {
        .start = row->value_at,
        .end = (size_t)row->value_at + row->value_length,
        .commit_at = row->commit_at,
    };
    size_t moved = 0;
    if (!tr_encode_mark_commit(&batch->text, &encoded, &moved))
        return tr_error_set(err, TR_ELIMIT, "a batch has no room for the mark of a commit");
    row->value_length += (uint32_t)moved;
    size_t next = (size_t)(row - batch->records) + 1;
    tr_batch_shift(batch, next, row->commit_at, (uint32_t)moved);
    return 0;
}

int tr_group_commit(struct tr_group *group, int64_t version, struct tr_batch *batch,
                    struct tr_error *err)
{
    if (!group->open)
        return 0;
    if (version < group->out_at)
        return tr_error_set(err, TR_ESTATE,
                            "the transaction at offset %" PRIu64 " ends at version %" PRId64
                            ", and a row of version %" PRId64
                            " of it was published: the source is another one",
                            group->opened, version, group->out_at);
    struct tr_record *last = tr_batch_last_row(batch, group->start.records);
    int rc = last == NULL ? 0 : mark_commit(batch, last, err);
    close_group(group);
    return rc;
}

int tr_group_void(struct tr_group *group, struct tr_batch *batch, const char *how,
                  struct tr_error *err)
{
    if (group->out > 0)
        return undone(group, how, err);
    if (group->open)
        tr_batch_truncate(batch, group->start);
    close_group(group);
    return 0;
}

void tr_group_break(struct tr_group *group, struct tr_batch *batch)
{
    if (!group->open)
        return;
    tr_batch_truncate(batch, group->start);
    group->open = false;
    forget_savepoints(group);
}
