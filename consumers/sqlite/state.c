/* state.c - marker, floors and progress inside the file; see store.h for the tables. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_writer.h"
#include "store.h"

#define FLOOR_PREFIX "floor/"

int sq_state_put(struct tr_sink *sink, struct tr_slice key, struct tr_slice value,
                 struct tr_error *err)
{
    int code = sq_prepare(sink, &sink->store_put,
                          "INSERT INTO _tailrace_store(key, value) VALUES(?1, ?2) "
                          "ON CONFLICT(key) DO UPDATE SET value = excluded.value",
                          err);
    if (code != 0)
        return code;
    sq_bind_slice(sink->store_put, 1, key);
    sq_bind_slice(sink->store_put, 2, value);
    return sq_run(sink, sink->store_put, "write _tailrace_store", err);
}

/* Fills `value` (reset first): 1 = there, 0 = not there. */
int sq_state_get(struct tr_sink *sink, struct tr_slice key, struct tr_buf *value,
                 struct tr_error *err)
{
    tr_buf_reset(value);
    int code =
        sq_prepare(sink, &sink->store_get, "SELECT value FROM _tailrace_store WHERE key = ?1", err);
    if (code != 0)
        return code;
    sq_bind_slice(sink->store_get, 1, key);
    int step = sqlite3_step(sink->store_get);
    if (step == SQLITE_ROW) {
        tr_buf_append(value, sqlite3_column_text(sink->store_get, 0),
                      (size_t)sqlite3_column_bytes(sink->store_get, 0));
        code = 1;
    } else if (step != SQLITE_DONE) {
        code = sq_error(sink, "read _tailrace_store", err);
    }
    sqlite3_reset(sink->store_get);
    return code;
}

/* A floor only rises. */
static int put_floor(struct tr_sink *sink, int64_t version, struct tr_error *err)
{
    sqlite3_stmt *stmt = NULL;
    int code = sq_prepare(sink, &stmt,
                          "INSERT INTO _tailrace_store(key, value) VALUES(?1, CAST(?2 AS TEXT))"
                          " ON CONFLICT(key) DO UPDATE SET value = excluded.value"
                          " WHERE CAST(excluded.value AS INTEGER) > CAST(value AS INTEGER)",
                          err);
    if (code != 0)
        return code;
    sq_bind_slice(stmt, 1, (struct tr_slice){sink->key.data, sink->key.length});
    sqlite3_bind_int64(stmt, 2, version);
    code = sq_run(sink, stmt, "write a floor", err);
    sqlite3_finalize(stmt);
    return code;
}

int sq_state_floor(struct tr_sink *sink, const struct tr_sink_table *table, int64_t version,
                   struct tr_error *err)
{
    tr_buf_reset(&sink->key);
    TR_JSON_LITERAL(&sink->key, FLOOR_PREFIX "[");
    tr_json_text(&sink->key, table->database);
    tr_buf_append_char(&sink->key, ',');
    tr_json_text(&sink->key, table->table);
    tr_buf_append_char(&sink->key, ']');
    int code = tr_buf_check(&sink->key, "a table's name", err);
    return code != 0 ? code : put_floor(sink, version, err);
}

int sq_state_progress(struct tr_sink *sink, const struct tr_sink_progress *progress, size_t count,
                      struct tr_error *err)
{
    int code = sq_prepare(sink, &sink->progress_put,
                          "INSERT INTO _tailrace_progress(topic, incarnation, partition, next) "
                          "VALUES(?1, ?2, ?3, ?4) ON CONFLICT(topic, incarnation, partition) "
                          "DO UPDATE SET next = excluded.next",
                          err);
    for (size_t i = 0; code == 0 && i < count; i++) {
        sq_bind_slice(sink->progress_put, 1, tr_slice_of(progress[i].topic));
        sq_bind_slice(sink->progress_put, 2, tr_slice_of(progress[i].incarnation));
        sqlite3_bind_int(sink->progress_put, 3, progress[i].partition);
        sqlite3_bind_int64(sink->progress_put, 4, progress[i].next);
        code = sq_run(sink, sink->progress_put, "write _tailrace_progress", err);
    }
    return code;
}

int sq_state_claim(struct tr_sink *sink, const struct tr_sink_state *state, struct tr_error *err)
{
    char number[24];
    int code =
        sq_exec(sink,
                "BEGIN IMMEDIATE;"
                "CREATE TABLE IF NOT EXISTS _tailrace_store(key TEXT PRIMARY KEY, value TEXT) "
                "WITHOUT ROWID;"
                "CREATE TABLE IF NOT EXISTS _tailrace_progress(topic TEXT, incarnation TEXT,"
                " partition INTEGER, next INTEGER, PRIMARY KEY(topic, incarnation, partition)) "
                "WITHOUT ROWID;"
                "CREATE TABLE IF NOT EXISTS _tailrace_deleted(tbl TEXT, key TEXT, version INTEGER,"
                " PRIMARY KEY(tbl, key)) WITHOUT ROWID;"
                "DELETE FROM _tailrace_progress",
                err);
    const char *pairs[][2] = {{"pipeline", state->pipeline},
                              {"pipeline_id", state->pipeline_id},
                              {"consumer", state->consumer}};
    for (size_t i = 0; code == 0 && i < 3; i++)
        code = sq_state_put(sink, tr_slice_of(pairs[i][0]), tr_slice_of(pairs[i][1]), err);
    snprintf(number, sizeof(number), "%d", state->generation);
    if (code == 0)
        code = sq_state_put(sink, TR_SLICE("generation"), tr_slice_of(number), err);
    snprintf(number, sizeof(number), "%d", state->format);
    if (code == 0)
        code = sq_state_put(sink, TR_SLICE("format"), tr_slice_of(number), err);
    if (code == 0)
        code = sq_state_progress(sink, state->progress, state->progress_count, err);
    if (code == 0)
        code = sq_exec(sink, "COMMIT", err);
    if (code == 0)
        return 0;
    sq_rollback(sink);
    return code;
}

/* ---- reading --------------------------------------------------------------------------------- */

typedef int row_taker(struct tr_sink_state *state, sqlite3_stmt *row);

static const char *column_copy(struct tr_sink_state *state, sqlite3_stmt *row, int column)
{
    const char *text = (const char *)sqlite3_column_text(row, column);
    return tr_arena_copy(state->arena, text != NULL ? text : "",
                         (size_t)sqlite3_column_bytes(row, column));
}

static int take_progress(struct tr_sink_state *state, sqlite3_stmt *row)
{
    struct tr_sink_progress *to = &state->progress[state->progress_count++];
    to->topic = column_copy(state, row, 0);
    to->incarnation = column_copy(state, row, 1);
    to->partition = sqlite3_column_int(row, 2);
    to->next = sqlite3_column_int64(row, 3);
    return to->topic != NULL && to->incarnation != NULL ? 0 : TR_ENOMEM;
}

static int take_floor(struct tr_sink_state *state, sqlite3_stmt *row)
{
    struct tr_sink_floor *to = &state->floors[state->floor_count++];
    to->database = column_copy(state, row, 0);
    to->table = column_copy(state, row, 1);
    to->version = sqlite3_column_int64(row, 2);
    return to->database != NULL && to->table != NULL ? 0 : TR_ENOMEM;
}

static int take_pair(struct tr_sink_state *state, sqlite3_stmt *row)
{
    const char *key = column_copy(state, row, 0);
    const char *value = column_copy(state, row, 1);
    if (key == NULL || value == NULL)
        return TR_ENOMEM;
    if (strcmp(key, "pipeline") == 0)
        state->pipeline = value;
    else if (strcmp(key, "pipeline_id") == 0)
        state->pipeline_id = value;
    else if (strcmp(key, "consumer") == 0)
        state->consumer = value;
    else if (strcmp(key, "generation") == 0)
        state->generation = atoi(value);
    else if (strcmp(key, "format") == 0)
        state->format = atoi(value);
    return 0;
}

static int each_row(struct tr_sink *sink, struct tr_sink_state *state, const char *sql,
                    row_taker *take, struct tr_error *err)
{
    sqlite3_stmt *stmt = NULL;
    int code = sq_prepare(sink, &stmt, sql, err);
    if (code != 0)
        return code;
    int step = sqlite3_step(stmt);
    for (; code == 0 && step == SQLITE_ROW; step = sqlite3_step(stmt)) {
        if (take(state, stmt) != 0)
            code = tr_error_set(err, TR_ENOMEM, "sqlite: no memory for the store's state");
    }
    if (code == 0 && step != SQLITE_DONE)
        code = sq_error(sink, sql, err);
    sqlite3_finalize(stmt);
    return code;
}

static int count_of(struct tr_sink *sink, const char *sql, size_t *count, struct tr_error *err)
{
    sqlite3_stmt *stmt = NULL;
    int code = sq_prepare(sink, &stmt, sql, err);
    if (code != 0)
        return code;
    if (sqlite3_step(stmt) == SQLITE_ROW)
        *count = (size_t)sqlite3_column_int64(stmt, 0);
    else
        code = sq_error(sink, sql, err);
    sqlite3_finalize(stmt);
    return code;
}

static int load_lists(struct tr_sink *sink, struct tr_sink_state *state, struct tr_error *err)
{
    size_t progress = 0, floors = 0;
    int code = count_of(sink, "SELECT count(*) FROM _tailrace_progress", &progress, err);
    if (code == 0)
        code = count_of(sink, "SELECT count(*) FROM _tailrace_store WHERE key LIKE 'floor/%'",
                        &floors, err);
    if (code != 0)
        return code;
    state->progress = tr_arena_alloc(state->arena, (progress + 1) * sizeof(*state->progress));
    state->floors = tr_arena_alloc(state->arena, (floors + 1) * sizeof(*state->floors));
    if (state->progress == NULL || state->floors == NULL)
        return tr_error_set(err, TR_ENOMEM, "sqlite: no memory for the store's state");
    code =
        each_row(sink, state, "SELECT topic, incarnation, partition, next FROM _tailrace_progress",
                 take_progress, err);
    if (code == 0)
        code = each_row(sink, state,
                        "SELECT json_extract(substr(key, 7), '$[0]'),"
                        " json_extract(substr(key, 7), '$[1]'), CAST(value AS INTEGER)"
                        " FROM _tailrace_store WHERE key LIKE 'floor/%'",
                        take_floor, err);
    return code;
}

int sq_state_load(struct tr_sink *sink, struct tr_sink_state *state, struct tr_error *err)
{
    state->marked = false;
    state->empty = true;
    if (sink->db == NULL)
        return 0;
    size_t marker = 0, others = 0;
    int code = count_of(sink,
                        "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name IN"
                        " ('_tailrace_store', '_tailrace_progress', '_tailrace_deleted')",
                        &marker, err);
    if (code == 0)
        code = count_of(sink,
                        "SELECT count(*) FROM sqlite_master WHERE type = 'table'"
                        " AND name NOT LIKE '\\_tailrace\\_%' ESCAPE '\\'",
                        &others, err);
    if (code != 0)
        return code;
    state->empty = others == 0;
    if (marker < 3)
        return 0;
    state->pipeline = state->pipeline_id = state->consumer = "";
    code =
        each_row(sink, state, "SELECT key, value FROM _tailrace_store WHERE key NOT LIKE 'floor/%'",
                 take_pair, err);
    if (code == 0)
        code = load_lists(sink, state, err);
    state->marked = code == 0 && state->pipeline_id[0] != '\0';
    return code;
}
