/* group.c - see group.h. */
#include "group.h"

#include <inttypes.h>
#include <stdio.h>

#include "encode.h"
#include "hash.h"

void tr_group_init(struct tr_group *group)
{
    memset(group, 0, sizeof(*group));
    tr_savepoints_init(&group->savepoints);
}

void tr_group_done(struct tr_group *group)
{
    tr_savepoints_done(&group->savepoints);
}

static void close_group(struct tr_group *group)
{
    group->open = false;
    group->out = 0;
    group->out_at = 0;
    group->out_xid = 0;
    group->table_count = 0;
    tr_savepoints_reset(&group->savepoints);
}

int tr_group_begin(struct tr_group *group, int64_t xid, uint64_t position, bool standalone,
                   const struct tr_batch *batch, struct tr_error *err)
{
    if (group->open)
        return tr_error_set(err, TR_ESOURCE,
                            "a transaction begins before the one that began at offset %" PRIu64
                            " has ended: this binlog is not understood; " TR_PLACE_GIVE_UP,
                            group->opened);
    if (group->out > 0 && group->out_xid != xid)
        return tr_error_set(err, TR_ESTATE,
                            "the transaction with xid %" PRId64 ", of which %" PRIu64 " rows were "
                            "published, is no longer in the binlog: the source is another "
                            "one; " TR_PLACE_GIVE_UP,
                            group->out_xid, group->out);
    group->open = true;
    group->standalone = standalone;
    group->xid = xid;
    group->opened = position;
    group->rows = 0;
    group->at = 0;
    group->start = tr_batch_fill(batch);
    tr_savepoints_reset(&group->savepoints);
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

/* Whether ROLLBACK TO may undo the rows from `row` on, and leave `before`, which stands in front of
 * it. *number comes down from the newest savepoint with the calls. */
static bool savepoint_between(const struct tr_savepoints *savepoints, uint32_t *number,
                              const struct tr_record *before, const struct tr_record *row)
{
    while (*number > 0 && (savepoints->items[*number - 1].gone ||
                           savepoints->items[*number - 1].at >= row->version))
        (*number)--;
    return *number > 0 && savepoints->items[*number - 1].at >= before->version;
}

/* The first record that stays when the others go out: of the last row, which gets `commit` at the
 * end; of the row before too when the last one may be undone to a savepoint between them, since
 * `commit` would then stand on that one; and so on, where it is no more than half of the group. */
static size_t hold_from(const struct tr_group *group, const struct tr_batch *batch,
                        const struct tr_record *last)
{
    size_t at = row_start(batch, group->start.records, last);
    uint32_t number = group->savepoints.count;
    size_t half = (batch->text.length - group->start.text) / 2;
    for (bool first = true; at > group->start.records; first = false) {
        const struct tr_record *before = &batch->records[at - 1];
        size_t start = row_start(batch, group->start.records, before);
        bool small = batch->text.length - batch->records[start].key_at <= half;
        if (!(first || small) ||
            !savepoint_between(&group->savepoints, &number, before, &batch->records[at]))
            break;
        at = start;
    }
    return at;
}

/* What was set behind the first record that stays, was so behind its part of the text too. */
static void move_savepoints(struct tr_savepoints *savepoints, struct tr_batch_fill from)
{
    for (uint32_t i = 0; i < savepoints->count; i++) {
        struct tr_batch_fill *fill = &savepoints->items[i].fill;
        bool stays = fill->records > from.records;
        fill->records = stays ? fill->records - from.records : 0;
        fill->text = stays ? fill->text - from.text : 0;
    }
}

int tr_group_go_out(struct tr_group *group, struct tr_batch *batch, struct tr_batch *next,
                    struct tr_error *err)
{
    const struct tr_record *last = tr_batch_last_row(batch, group->start.records);
    if (last == NULL)
        return 0;
    const struct tr_record *before = NULL;
    size_t stay = hold_from(group, batch, last);
    for (size_t i = group->start.records; i < stay; i++) {
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
    move_savepoints(&group->savepoints, (struct tr_batch_fill){stay, batch->records[stay].key_at});
    group->start = (struct tr_batch_fill){0, 0};
    return tr_batch_move_tail(batch, stay, next, err);
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
                        " is not the one that was published before: the source is another "
                        "one; " TR_PLACE_GIVE_UP,
                        group->out_at, group->opened);
}

/* ---- savepoints -------------------------------------------------------------------------------
 */

int tr_group_savepoint(struct tr_group *group, struct tr_slice name, const struct tr_batch *batch,
                       struct tr_error *err)
{
    return tr_savepoints_set(&group->savepoints, name, group->at, tr_batch_fill(batch), err);
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
    const struct tr_savepoint *savepoint = tr_savepoints_find(&group->savepoints, name);
    if (savepoint == NULL)
        return tr_error_set(err, TR_ESOURCE,
                            "ROLLBACK TO %.*s in the transaction at offset %" PRIu64 ", which has "
                            "no such savepoint among the last %d: which rows it undoes can't be "
                            "told; go on behind the transaction with --start FILE:POS "
                            "--force-start, and make its tables anew in every store",
                            (int)(name.length < 64 ? name.length : 64), name.data, group->opened,
                            TR_SAVEPOINTS_MAX / 2);
    tr_savepoints_cut(&group->savepoints, savepoint);
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
                            " of it was published: the source is another one; " TR_PLACE_GIVE_UP,
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
    tr_savepoints_reset(&group->savepoints);
}
