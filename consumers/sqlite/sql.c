/* sql.c - see store.h. */
#include <stdio.h>

#include "store.h"

/* SQLite's result codes by what can be done about them. */
static int code_of(int native)
{
    switch (native & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_FULL:
    case SQLITE_IOERR:
    case SQLITE_NOMEM:
    case SQLITE_PROTOCOL:
        return TR_ESTORE_RETRY;
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
    case SQLITE_TOOBIG:
        return TR_EPOISON;
    default:
        return TR_ESTORE;
    }
}

/* What a person can do about it. A damaged file can't be opened by `reset --drop` either. */
static void say_remedy(const struct tr_sink *sink, int native, char *out, size_t size)
{
    const char *file = sqlite3_db_filename(sink->db, "main");
    if (file == NULL || *file == '\0')
        file = sink->settings->path;
    out[0] = '\0';
    if ((native & 0xff) == SQLITE_CORRUPT || (native & 0xff) == SQLITE_NOTADB)
        snprintf(out, size,
                 "; move %.200s away, then fill it again: `tailrace-sqlite reset --to beginning`",
                 file);
    else if ((native & 0xff) == SQLITE_READONLY)
        snprintf(out, size, "; %.200s and its folder must be writable for this process", file);
}

int sq_error(struct tr_sink *sink, const char *what, struct tr_error *err)
{
    int native = sqlite3_extended_errcode(sink->db);
    char remedy[320];
    say_remedy(sink, native, remedy, sizeof(remedy));
    return tr_error_set_native(err, code_of(native), native, "sqlite: %.120s: %s%s", what,
                               sqlite3_errmsg(sink->db), remedy);
}

int sq_prepare(struct tr_sink *sink, sqlite3_stmt **stmt, const char *sql, struct tr_error *err)
{
    if (*stmt != NULL)
        return 0;
    if (sqlite3_prepare_v3(sink->db, sql, -1, SQLITE_PREPARE_PERSISTENT, stmt, NULL) != SQLITE_OK)
        return sq_error(sink, "prepare", err);
    return 0;
}

int sq_exec(struct tr_sink *sink, const char *sql, struct tr_error *err)
{
    if (sqlite3_exec(sink->db, sql, NULL, NULL, NULL) != SQLITE_OK)
        return sq_error(sink, sql, err);
    return 0;
}

int sq_run(struct tr_sink *sink, sqlite3_stmt *stmt, const char *what, struct tr_error *err)
{
    int result = sqlite3_step(stmt);
    int code = 0;
    if (result != SQLITE_DONE && result != SQLITE_ROW)
        code = sq_error(sink, what, err);
    sqlite3_reset(stmt);
    return code;
}

void sq_rollback(struct tr_sink *sink)
{
    sqlite3_exec(sink->db, "ROLLBACK", NULL, NULL, NULL); /* SQLite may have done it already */
    sq_table_forget_all(sink);
}

static int check_built(struct tr_sink *sink, struct tr_error *err)
{
    tr_buf_append_char(&sink->sql, '\0');
    return tr_buf_check(&sink->sql, "a statement", err);
}

int sq_prepare_built(struct tr_sink *sink, sqlite3_stmt **stmt, struct tr_error *err)
{
    int code = check_built(sink, err);
    return code != 0 ? code : sq_prepare(sink, stmt, sink->sql.data, err);
}

int sq_exec_built(struct tr_sink *sink, struct tr_error *err)
{
    int code = check_built(sink, err);
    return code != 0 ? code : sq_exec(sink, sink->sql.data, err);
}

int sq_bind_slice(sqlite3_stmt *stmt, int param, struct tr_slice text)
{
    return sqlite3_bind_text64(stmt, param, text.length > 0 ? text.data : "", text.length,
                               SQLITE_STATIC, SQLITE_UTF8);
}

void sq_append_slice_name(struct tr_buf *sql, struct tr_slice name)
{
    tr_buf_append_char(sql, '"');
    for (size_t i = 0; i < name.length; i++) {
        if (name.data[i] == '"')
            tr_buf_append_char(sql, '"');
        tr_buf_append_char(sql, name.data[i]);
    }
    tr_buf_append_char(sql, '"');
}

void sq_append_name(struct tr_buf *sql, const char *name)
{
    sq_append_slice_name(sql, tr_slice_of(name));
}
