/* sqlite_file.c - see sqlite_file.h. */
#include "sqlite_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

int sqlite_folder_setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    snprintf(f->folder, sizeof(f->folder), "/tmp/tailrace-test-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    snprintf(f->path, sizeof(f->path), "%s/read.db", f->folder);
    f->settings.path = f->path;
    f->settings.busy_timeout_ms = 50;
    *state = f;
    return 0;
}

int sqlite_folder_teardown(void **state)
{
    struct fixture *f = *state;
    static const char *const suffixes[] = {"", ".g1", ".g1-wal", ".g1-shm", ".lock", ".old"};
    char path[256];
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        snprintf(path, sizeof(path), "%s%s", f->path, suffixes[i]);
        unlink(path);
    }
    int code = rmdir(f->folder);
    free(f);
    return code;
}

int sqlite_setup(void **state)
{
    if (sqlite_folder_setup(state) != 0)
        return -1;
    struct fixture *f = *state;
    harness_open(&f->h, &tr_sqlite_sink_ops, &f->settings);
    return 0;
}

int sqlite_teardown(void **state)
{
    struct fixture *f = *state;
    harness_close(&f->h);
    return sqlite_folder_teardown(state);
}

const char *query(struct fixture *f, const char *sql)
{
    static char out[4096];
    sqlite3 *db = NULL;
    sqlite3_stmt *stmt = NULL;
    out[0] = '\0';
    assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
    if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    while (sqlite3_step(stmt) == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(stmt, 0);
        size_t used = strlen(out);
        snprintf(out + used, sizeof(out) - used, "%s%s", used > 0 ? "," : "",
                 text != NULL ? text : "NULL");
    }
    sqlite3_finalize(stmt);
    sqlite3_close(db);
    return out;
}
