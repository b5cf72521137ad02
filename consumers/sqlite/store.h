/*
 * store.h - inside the SQLite sink: the file, its tables and their prepared statements.
 *
 * One connection, used by the main thread until the lane runs and by the lane's thread from then
 * on. What the file holds beside the rows:
 *
 *     _tailrace_store(key, value)                         marker, floors, newest shape per table
 *     _tailrace_progress(topic, incarnation, partition, next)
 *     _tailrace_deleted(tbl, key, version)                 tombstones; key = JSON array of the
 * values
 */
#ifndef TR_SQLITE_STORE_H
#define TR_SQLITE_STORE_H

#include <sqlite3.h>
#include <sys/stat.h>

#include "runtime.h"
#include "sqlite_sink.h"

struct sqlite_settings {
    struct tr_runtime_settings common;
    const char *path;
    int64_t busy_timeout_ms;
};

/* How a column's JSON value is bound. */
enum sq_class { SQ_INTEGER, SQ_REAL, SQ_TEXT, SQ_JSON, SQ_BLOB };

struct sq_column {
    char *name;
    enum sq_class cls; /* as declared in the file: SQ_JSON shows as TEXT */
};

/* A table in the file. Statements are NULL until prepared, and again after a change of columns. */
struct sq_table {
    struct sq_table *next;
    struct tr_sink_table *source;
    char *name;
    bool looked; /* the following is known */
    bool exists;
    bool has_tombstones; /* if none, rows need no look at _tailrace_deleted */
    int64_t newest_schema_id;
    struct sq_column *columns; /* without _version */
    size_t column_count;
    const struct tr_shape *shape; /* the one that `params` is for */
    int *params;                  /* shape column -> statement parameter */
    size_t param_capacity;
    size_t key_count;
    enum sq_class *key_classes;
    sqlite3_stmt *upsert, *remove, *exists_row;
};

struct tr_sink {
    const struct tr_sink_context *context;
    const struct sqlite_settings *settings;
    sqlite3 *db; /* NULL: read_only and no file */
    int lock_fd;
    struct stat identity; /* of the file that is open */
    char *plain_database; /* its tables have no prefix; "" = all have; NULL = not decided */
    struct sq_table *tables;
    sqlite3_stmt *begin, *commit, *rollback;
    sqlite3_stmt *tombstone_get, *tombstone_put, *tombstone_delete;
    sqlite3_stmt *store_get, *store_put, *progress_put;
    struct tr_buf text; /* unescaped strings of one row */
    struct tr_buf key;  /* a tombstone's key */
    struct tr_buf sql;
};

struct tr_sink_lane {
    struct tr_sink *sink;
};

/* sql.c: statements and SQLite's errors as ours. */
int sq_error(struct tr_sink *sink, const char *what, struct tr_error *err);
int sq_prepare(struct tr_sink *sink, sqlite3_stmt **stmt, const char *sql,
               struct tr_error *err) TR_MUST_CHECK;
int sq_exec(struct tr_sink *sink, const char *sql, struct tr_error *err) TR_MUST_CHECK;
/* Steps a statement that returns nothing, and resets it. */
int sq_run(struct tr_sink *sink, sqlite3_stmt *stmt, const char *what,
           struct tr_error *err) TR_MUST_CHECK;
void sq_bind_slice(sqlite3_stmt *stmt, int param, struct tr_slice text);
/* "name" with quotes doubled. */
void sq_append_name(struct tr_buf *sql, const char *name);

/* file.c: the file behind the link, its lock and settings. */
int sq_file_open(struct tr_sink *sink, struct tr_error *err) TR_MUST_CHECK;
void sq_file_close(struct tr_sink *sink);
void sq_file_unlock(struct tr_sink *sink);
int sq_file_remove(struct tr_sink *sink, struct tr_error *err) TR_MUST_CHECK;
/* TR_ESTATE when the file at the path is no longer the one that is open. */
int sq_file_same(struct tr_sink *sink, struct tr_error *err) TR_MUST_CHECK;

/* state.c: marker, floors, progress. */
int sq_state_load(struct tr_sink *sink, struct tr_sink_state *state, struct tr_error *err);
int sq_state_claim(struct tr_sink *sink, const struct tr_sink_state *state, struct tr_error *err);
int sq_state_put(struct tr_sink *sink, struct tr_slice key, struct tr_slice value,
                 struct tr_error *err) TR_MUST_CHECK;
int sq_state_get(struct tr_sink *sink, struct tr_slice key, struct tr_buf *value,
                 struct tr_error *err) TR_MUST_CHECK;
int sq_state_floor(struct tr_sink *sink, const struct tr_sink_table *table, int64_t version,
                   struct tr_error *err) TR_MUST_CHECK;
int sq_state_progress(struct tr_sink *sink, const struct tr_sink_progress *progress, size_t count,
                      struct tr_error *err) TR_MUST_CHECK;

/* table.c: what a table looks like in the file. */
int sq_table_map(struct tr_sink *sink, struct tr_sink_table *table, const struct tr_shape *shape,
                 struct tr_error *err);
/* Creates or extends the table and prepares its statements for the shape. */
int sq_table_ensure(struct tr_sink *sink, struct sq_table *table, const struct tr_shape *shape,
                    struct tr_error *err) TR_MUST_CHECK;
/* Reads what the file has of the table, if that was not done yet. */
int sq_table_look(struct tr_sink *sink, struct sq_table *table, struct tr_error *err) TR_MUST_CHECK;
/* Removes rows and tombstones below the version. */
int sq_table_sweep(struct tr_sink *sink, struct sq_table *table, int64_t version,
                   struct tr_error *err) TR_MUST_CHECK;
/* Forgets what a transaction that was rolled back may have changed. */
void sq_table_forget_all(struct tr_sink *sink);
void sq_table_free_all(struct tr_sink *sink);
enum sq_class sq_class_of(const struct tr_shape_column *column);

/* bind.c: a record's JSON as statement parameters. TR_EPOISON when it does not fit the shape. */
int sq_bind_row(struct tr_sink *sink, struct sq_table *table, const struct tr_sink_record *rec,
                struct tr_error *err) TR_MUST_CHECK;
/* Binds the key's columns from `first` on; fills sink->key with the JSON array of the values. */
int sq_bind_key(struct tr_sink *sink, struct sq_table *table, const struct tr_sink_record *rec,
                sqlite3_stmt *stmt, int first, struct tr_error *err) TR_MUST_CHECK;
/* Only sink->key. */
int sq_key_text(struct tr_sink *sink, const struct tr_sink_record *rec,
                struct tr_error *err) TR_MUST_CHECK;

/* apply.c */
int sq_apply(struct tr_sink_lane *lane, const struct tr_sink_batch *batch,
             struct tr_sink_result *results, struct tr_error *err);
int sq_mark(struct tr_sink_lane *lane, struct tr_sink_table *table, enum tr_event_type type,
            int64_t version, struct tr_error *err);
int sq_progress(struct tr_sink_lane *lane, const struct tr_sink_progress *progress, size_t count,
                struct tr_error *err);

#endif
