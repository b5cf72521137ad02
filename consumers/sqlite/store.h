/*
 * store.h - inside the SQLite sink: the file, its tables and their prepared statements.
 *
 * One connection, used by the main thread until the lane runs and by the lane's thread from then
 * on. What the file holds beside the rows:
 *
 *     _tailrace_store(key, value)           marker, floors, newest shape per table
 *     _tailrace_progress(topic, incarnation, partition, next)
 *     _tailrace_deleted(tbl, key, version)  tombstones; key = JSON array of the values
 *
 * The main thread may add tables while the lane works: they are pushed onto an atomic list, and are
 * removed only when no lane is left. Everything else of a table is the connection's owner's.
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
    int key;           /* place in the primary key, from 1; 0 = none */
    bool dropped;      /* the newest shape has it no longer: it is null in every row */
};

/* Where the value of a shape's column goes. */
struct sq_param {
    int number; /* of the upsert's parameter; 0 = nowhere, the column is dropped */
    enum sq_class cls;
};

/* A table in the file. Statements are NULL until prepared, and again after a change of columns. */
struct sq_table {
    struct sq_table *next;
    struct tr_sink_table *source;
    char *name;
    bool looked; /* the following is known */
    bool exists;
    bool null_keys;      /* key columns may be null: such rows never meet in ON CONFLICT */
    bool has_tombstones; /* if none, rows need no look at _tailrace_deleted */
    int64_t newest_schema_id;
    struct sq_column *columns; /* without _version */
    size_t column_count;
    size_t key_count;
    const struct tr_shape *shape; /* the one that the following is for */
    bool other_key;               /* its key is not the table's */
    struct sq_param *params;      /* per column of the shape */
    size_t param_capacity;
    sqlite3_stmt *upsert, *remove, *exists_row;
};

struct tr_sink {
    const struct tr_sink_context *context;
    const struct sqlite_settings *settings;
    sqlite3 *db; /* NULL: read_only and no file */
    int lock_fd;
    struct stat identity; /* of the file that is open */
    char *plain_database; /* its tables have no prefix; "" = all have; NULL = not decided */
    struct sq_table *_Atomic tables;
    sqlite3_stmt *begin, *commit;
    sqlite3_stmt *tombstone_get, *tombstone_put, *tombstone_delete;
    sqlite3_stmt *store_get, *store_put, *progress_put;
    struct tr_buf text; /* unescaped strings of one row */
    struct tr_buf key;  /* a tombstone's key */
    struct tr_buf sql;
    int bind_code; /* the first failure of a row's binding */
};

struct tr_sink_lane {
    struct tr_sink *sink;
};

/* sql.c: statements and SQLite's errors as ours. */
int sq_error(struct tr_sink *sink, const char *what, struct tr_error *err);
int sq_prepare(struct tr_sink *sink, sqlite3_stmt **stmt, const char *sql,
               struct tr_error *err) TR_MUST_CHECK;
int sq_exec(struct tr_sink *sink, const char *sql, struct tr_error *err) TR_MUST_CHECK;
/* The same with the text of sink->sql. */
int sq_prepare_built(struct tr_sink *sink, sqlite3_stmt **stmt, struct tr_error *err) TR_MUST_CHECK;
int sq_exec_built(struct tr_sink *sink, struct tr_error *err) TR_MUST_CHECK;
/* Steps a statement that returns nothing, and resets it. */
int sq_run(struct tr_sink *sink, sqlite3_stmt *stmt, const char *what,
           struct tr_error *err) TR_MUST_CHECK;
/* Forgets what a transaction that failed has done. */
void sq_rollback(struct tr_sink *sink);
/* SQLite's code; text of the statement's own state can't fail. */
int sq_bind_slice(sqlite3_stmt *stmt, int param, struct tr_slice text);
/* "name" with quotes doubled. */
void sq_append_name(struct tr_buf *sql, const char *name);
void sq_append_slice_name(struct tr_buf *sql, struct tr_slice name);

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

/* names.c: what tables are called in the file. */
int sq_table_map(struct tr_sink *sink, struct tr_sink_table *table, const struct tr_shape *shape,
                 struct tr_error *err);
int sq_columns_check(const struct tr_shape *shape, struct tr_error *err) TR_MUST_CHECK;
int sq_table_name(struct tr_sink *sink, struct sq_table *table, struct tr_error *err) TR_MUST_CHECK;
/* Whether all tables can have their names; `marked`: the file is ours and may have decided some. */
int sq_names_check(struct tr_sink *sink, bool marked, struct tr_error *err) TR_MUST_CHECK;
void sq_names_forget(struct tr_sink *sink);

/* table.c: what the file has of a table, and its statements. */
extern const char *const sq_class_names[];
enum sq_class sq_class_of(const struct tr_shape_column *column);
/* Creates or extends the table and prepares its statements for the shape. */
int sq_table_ensure(struct tr_sink *sink, struct sq_table *table, const struct tr_shape *shape,
                    struct tr_error *err) TR_MUST_CHECK;
/* Reads what the file has of the table, if that was not done yet. */
int sq_table_look(struct tr_sink *sink, struct sq_table *table, struct tr_error *err) TR_MUST_CHECK;
int sq_table_columns(struct tr_sink *sink, struct sq_table *table,
                     struct tr_error *err) TR_MUST_CHECK;
/* By name, whatever the case; `likely` is where it probably is. NULL when it has none. */
struct sq_column *sq_table_column(const struct sq_table *table, struct tr_slice name,
                                  size_t likely);
/* The column at a place of the primary key, from 1. */
const struct sq_column *sq_table_key(const struct sq_table *table, int place);
/* Removes rows and tombstones below the version. */
int sq_table_sweep(struct tr_sink *sink, struct sq_table *table, int64_t version,
                   struct tr_error *err) TR_MUST_CHECK;
/* Forgets what is known of the file: a transaction was rolled back, or the file is closed. */
void sq_table_forget_all(struct tr_sink *sink);
void sq_table_free_all(struct tr_sink *sink);

/* change.c: makes the table fit the shape, which it does not. Statements must be finalized. */
int sq_table_change(struct tr_sink *sink, struct sq_table *table, const struct tr_shape *shape,
                    struct tr_error *err) TR_MUST_CHECK;
/* The shape's key is the table's, column for column, under the same names or renamed ones. */
bool sq_like_key(const struct sq_table *table, const struct tr_shape *shape);

/* bind.c: a record's JSON as statement parameters. TR_EPOISON when it does not fit the shape.
 * *null_key: a key column is null. */
int sq_bind_row(struct tr_sink *sink, struct sq_table *table, const struct tr_sink_record *rec,
                bool *null_key, struct tr_error *err) TR_MUST_CHECK;
/* Binds the key's columns, from ?1 on; fills sink->key with the JSON array of the values. */
int sq_bind_key(struct tr_sink *sink, struct sq_table *table, const struct tr_sink_record *rec,
                sqlite3_stmt *stmt, struct tr_error *err) TR_MUST_CHECK;
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
