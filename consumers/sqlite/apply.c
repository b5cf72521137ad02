/*
 * apply.c - a batch is one transaction: rows sorted by table and key, then the progress.
 *
 * A row's version is compared by the upsert itself; a deleted row's by its tombstone, which is only
 * looked for in tables that have any. The progress goes into the same transaction, but only when no
 * record was refused: a refused one passes through the dead letters first.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "json_scan.h"
#include "store.h"

struct sorted {
    const struct tr_sink_record *rec;
    bool numeric;
    int64_t number;
    struct tr_slice key;
    size_t index;
};

/* By table, then older shapes first: a batch changes from one to the next only once. Numbers before
 * all else, so that the order is one in keys of both (a BIGINT UNSIGNED beyond an int64, null). */
static int compare_sorted(const void *left, const void *right)
{
    const struct sorted *a = left, *b = right;
    if (a->rec->table != b->rec->table)
        return a->rec->table < b->rec->table ? -1 : 1;
    if (a->rec->shape->schema_id != b->rec->shape->schema_id)
        return a->rec->shape->schema_id < b->rec->shape->schema_id ? -1 : 1;
    if (a->numeric != b->numeric)
        return a->numeric ? -1 : 1;
    if (a->numeric && a->number != b->number)
        return a->number < b->number ? -1 : 1;
    size_t shorter = a->key.length < b->key.length ? a->key.length : b->key.length;
    int order = memcmp(a->key.data, b->key.data, shorter);
    if (order != 0)
        return order;
    if (a->key.length != b->key.length)
        return a->key.length < b->key.length ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

/* Sorting needs only the first key column: close rows are written together. */
static void sort_key(struct sorted *to, const struct tr_sink_record *rec, size_t index)
{
    struct tr_event_key_cursor cursor;
    struct tr_json_value name, value;
    struct tr_error ignored;
    tr_error_reset(&ignored);
    *to = (struct sorted){.rec = rec, .key = rec->key, .index = index};
    tr_event_key_enter(&cursor, rec->key);
    if (tr_event_key_next(&cursor, &name, &value, &ignored) == 1) {
        to->numeric = value.type == TR_JSON_NUMBER && tr_json_to_int(&value, &to->number);
        to->key.length = (size_t)(rec->key.data + rec->key.length - value.text.data);
        to->key.data = value.text.data;
    }
}

static struct sorted *sort_batch(const struct tr_sink_batch *batch)
{
    struct sorted *sorted = tr_arena_alloc(batch->arena, (batch->count + 1) * sizeof(*sorted));
    if (sorted == NULL)
        return NULL;
    bool in_order = true;
    for (size_t i = 0; i < batch->count; i++) {
        sort_key(&sorted[i], &batch->records[i], i);
        in_order = in_order && (i == 0 || compare_sorted(&sorted[i - 1], &sorted[i]) < 0);
    }
    if (!in_order)
        qsort(sorted, batch->count, sizeof(*sorted), compare_sorted);
    return sorted;
}

/* ---- tombstones ------------------------------------------------------------------------------ */

static void bind_tombstone(struct tr_sink *sink, const struct sq_table *table, sqlite3_stmt *stmt)
{
    sq_bind_slice(stmt, 1, tr_slice_of(table->name));
    sq_bind_slice(stmt, 2, (struct tr_slice){sink->key.data, sink->key.length});
}

/* Whether a newer delete of the row is known; an older one is forgotten. 1, 0 or TR_E… */
static int tombstone_newer(struct tr_sink *sink, struct sq_table *table,
                           const struct tr_sink_record *rec, struct tr_error *err)
{
    int code = sq_key_text(sink, rec, err);
    if (code == 0)
        code = sq_prepare(sink, &sink->tombstone_get,
                          "SELECT version FROM _tailrace_deleted WHERE tbl = ?1 AND key = ?2", err);
    if (code != 0)
        return code;
    bind_tombstone(sink, table, sink->tombstone_get);
    int step = sqlite3_step(sink->tombstone_get);
    bool there = step == SQLITE_ROW;
    int64_t version = there ? sqlite3_column_int64(sink->tombstone_get, 0) : 0;
    if (!there && step != SQLITE_DONE)
        code = sq_error(sink, "read _tailrace_deleted", err);
    sqlite3_reset(sink->tombstone_get);
    if (code != 0 || !there || version > rec->version)
        return code != 0 ? code : there;
    code = sq_prepare(sink, &sink->tombstone_delete,
                      "DELETE FROM _tailrace_deleted WHERE tbl = ?1 AND key = ?2", err);
    if (code != 0)
        return code;
    bind_tombstone(sink, table, sink->tombstone_delete);
    return sq_run(sink, sink->tombstone_delete, "forget a tombstone", err);
}

/* ---- one record ------------------------------------------------------------------------------ */

/* Removes the row up to the record's version: 1 = a newer one is there, 0 = none is left. */
static int remove_older(struct tr_sink *sink, struct sq_table *table,
                        const struct tr_sink_record *rec, struct tr_error *err)
{
    int code = sq_bind_key(sink, table, rec, table->remove, err);
    if (code != 0)
        return code;
    sqlite3_bind_int64(table->remove, (int)table->key_count + 1, rec->version);
    code = sq_run(sink, table->remove, "delete a row", err);
    if (code != 0 || sqlite3_changes(sink->db) > 0)
        return code;
    code = sq_bind_key(sink, table, rec, table->exists_row, err);
    if (code != 0)
        return code;
    int step = sqlite3_step(table->exists_row);
    if (step != SQLITE_ROW && step != SQLITE_DONE)
        code = sq_error(sink, "look for a row", err);
    sqlite3_reset(table->exists_row);
    return code != 0 ? code : step == SQLITE_ROW;
}

static int upsert(struct tr_sink *sink, struct sq_table *table, const struct tr_sink_record *rec,
                  enum tr_sink_status *status, struct tr_error *err)
{
    bool null_key;
    *status = TR_SINK_STALE;
    if (table->has_tombstones) {
        int newer = tombstone_newer(sink, table, rec, err);
        if (newer != 0)
            return newer < 0 ? newer : 0;
    }
    int code = sq_bind_row(sink, table, rec, &null_key, err);
    if (code == 0 && null_key && table->null_keys) {
        /* Nulls never meet in ON CONFLICT. */
        int newer = remove_older(sink, table, rec, err);
        if (newer != 0)
            return newer < 0 ? newer : 0;
        code = sq_bind_row(sink, table, rec, &null_key, err);
    }
    if (code == 0)
        code = sq_run(sink, table->upsert, "write a row", err);
    if (code == 0 && sqlite3_changes(sink->db) > 0)
        *status = TR_SINK_APPLIED;
    return code;
}

static int tombstone_put(struct tr_sink *sink, struct sq_table *table,
                         const struct tr_sink_record *rec, enum tr_sink_status *status,
                         struct tr_error *err)
{
    int code =
        sq_prepare(sink, &sink->tombstone_put,
                   "INSERT INTO _tailrace_deleted AS old(tbl, key, version) VALUES(?1, ?2, ?3)"
                   " ON CONFLICT(tbl, key) DO UPDATE SET version = excluded.version"
                   " WHERE excluded.version >= old.version",
                   err);
    if (code != 0)
        return code;
    bind_tombstone(sink, table, sink->tombstone_put);
    sqlite3_bind_int64(sink->tombstone_put, 3, rec->version);
    code = sq_run(sink, sink->tombstone_put, "write a tombstone", err);
    if (code == 0 && sqlite3_changes(sink->db) > 0)
        *status = TR_SINK_APPLIED;
    table->has_tombstones = true;
    return code;
}

static int remove_row(struct tr_sink *sink, struct sq_table *table,
                      const struct tr_sink_record *rec, enum tr_sink_status *status,
                      struct tr_error *err)
{
    *status = TR_SINK_STALE;
    int newer = remove_older(sink, table, rec, err);
    return newer != 0 ? (newer < 0 ? newer : 0) : tombstone_put(sink, table, rec, status, err);
}

static int refuse_key(const struct tr_shape *shape, const struct sq_table *table,
                      struct tr_error *err)
{
    return tr_error_set(err, TR_EPOISON,
                        "the table's key has changed: shape %" PRId64
                        " has another than the newest, %" PRId64,
                        shape->schema_id, table->newest_schema_id);
}

static int apply_record(struct tr_sink *sink, const struct tr_sink_record *rec,
                        enum tr_sink_status *status, struct tr_error *err)
{
    struct sq_table *table = rec->table->user;
    int code = sq_table_ensure(sink, table, rec->shape, err);
    if (code == 0 && table->other_key)
        code = refuse_key(rec->shape, table, err);
    if (code != 0)
        return code;
    return rec->remove ? remove_row(sink, table, rec, status, err)
                       : upsert(sink, table, rec, status, err);
}

/* Fills one result; only what concerns the whole file is an error. */
static int settle_record(struct tr_sink *sink, const struct tr_sink_batch *batch,
                         const struct sorted *at, struct tr_sink_result *result,
                         struct tr_error *err)
{
    struct tr_error own;
    tr_error_reset(&own);
    int code = apply_record(sink, at->rec, &result->status, &own);
    if (code == 0)
        return 0;
    if (code != TR_EPOISON) {
        *err = own;
        return code;
    }
    char text[768];
    tr_error_format(&own, text, sizeof(text));
    result->status = TR_SINK_POISON;
    result->reason = tr_arena_copy(batch->arena, text, strlen(text));
    return 0;
}

/* ---- the batch ------------------------------------------------------------------------------- */

static int begin(struct tr_sink *sink, struct tr_error *err)
{
    int code = sq_file_same(sink, err);
    if (code == 0)
        code = sq_prepare(sink, &sink->begin, "BEGIN IMMEDIATE", err);
    if (code == 0)
        code = sq_run(sink, sink->begin, "begin", err);
    return code;
}

static int finish(struct tr_sink *sink, int code, struct tr_error *err)
{
    if (code == 0)
        code = sq_prepare(sink, &sink->commit, "COMMIT", err);
    if (code == 0)
        code = sq_run(sink, sink->commit, "commit", err);
    if (code != 0)
        sq_rollback(sink);
    return code;
}

/* What was true before the batch is written in any case: of other partitions too. */
static int write_progress(struct tr_sink *sink, const struct tr_sink_batch *batch, bool clean,
                          struct tr_error *err)
{
    int code = sq_state_progress(sink, batch->settled, batch->settled_count, err);
    if (code == 0 && clean)
        code = sq_state_progress(sink, batch->after, batch->after_count, err);
    return code;
}

int sq_apply(struct tr_sink_lane *lane, const struct tr_sink_batch *batch,
             struct tr_sink_result *results, struct tr_error *err)
{
    struct tr_sink *sink = lane->sink;
    struct sorted *sorted = sort_batch(batch);
    if (sorted == NULL)
        return tr_error_set(err, TR_ENOMEM, "sqlite: no memory to sort a batch");
    int code = begin(sink, err);
    if (code != 0)
        return code;
    bool clean = true;
    for (size_t i = 0; code == 0 && i < batch->count; i++) {
        struct tr_sink_result *result = &results[sorted[i].index];
        result->reason = NULL;
        code = settle_record(sink, batch, &sorted[i], result, err);
        clean = clean && code == 0 && result->status <= TR_SINK_STALE;
    }
    if (code == 0)
        code = write_progress(sink, batch, clean, err);
    return finish(sink, code, err);
}

int sq_mark(struct tr_sink_lane *lane, struct tr_sink_table *source, enum tr_event_type type,
            int64_t version, struct tr_error *err)
{
    (void)type;
    struct tr_sink *sink = lane->sink;
    struct sq_table *table = source->user;
    int code = begin(sink, err);
    if (code != 0)
        return code;
    code = sq_state_floor(sink, source, version, err);
    if (code == 0 && table != NULL)
        code = sq_table_look(sink, table, err);
    if (code == 0 && table != NULL && table->exists)
        code = sq_table_sweep(sink, table, version, err);
    return finish(sink, code, err);
}

int sq_progress(struct tr_sink_lane *lane, const struct tr_sink_progress *progress, size_t count,
                struct tr_error *err)
{
    struct tr_sink *sink = lane->sink;
    int code = begin(sink, err);
    if (code != 0)
        return code;
    return finish(sink, sq_state_progress(sink, progress, count, err), err);
}
