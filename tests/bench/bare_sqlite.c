/*
 * bare_sqlite.c - the reference of the SQLite consumer: a prepared guarded upsert in a loop.
 *
 *     bare_sqlite FILE ROWS ROWS_PER_TRANSACTION
 *
 * The table of sysbench with a version, keys in order, WAL. Prints one JSON line.
 */
#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"

static void run(sqlite3 *db, const char *sql)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) {
        fprintf(stderr, "bare_sqlite: %s: %s\n", sql, sqlite3_errmsg(db));
        exit(1);
    }
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: bare_sqlite FILE ROWS ROWS_PER_TRANSACTION\n");
        return 1;
    }
    long long rows = atoll(argv[2]), each = atoll(argv[3]);
    char c[121], pad[61];
    memset(c, '1', 120);
    memset(pad, '2', 60);
    c[120] = pad[60] = '\0';
    sqlite3 *db = NULL;
    sqlite3_stmt *upsert = NULL;
    sqlite3_open(argv[1], &db);
    run(db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint=16384");
    run(db,
        "CREATE TABLE t(id INTEGER PRIMARY KEY, k INTEGER, c TEXT, pad TEXT, _version INTEGER)");
    sqlite3_prepare_v2(db,
                       "INSERT INTO t AS old VALUES(?1,?2,?3,?4,?5) ON CONFLICT(id) DO UPDATE SET "
                       "k=excluded.k, c=excluded.c, pad=excluded.pad, _version=excluded._version "
                       "WHERE excluded._version>=old._version",
                       -1, &upsert, NULL);
    int64_t start = tr_clock_mono_us();
    for (long long i = 0; i < rows; i++) {
        if (i % each == 0)
            run(db, i == 0 ? "BEGIN" : "COMMIT; BEGIN");
        sqlite3_bind_int64(upsert, 1, i);
        sqlite3_bind_int64(upsert, 2, i * 7);
        sqlite3_bind_text(upsert, 3, c, 120, SQLITE_STATIC);
        sqlite3_bind_text(upsert, 4, pad, 60, SQLITE_STATIC);
        sqlite3_bind_int64(upsert, 5, i + 1);
        if (sqlite3_step(upsert) != SQLITE_DONE) {
            fprintf(stderr, "bare_sqlite: %s\n", sqlite3_errmsg(db));
            return 1;
        }
        sqlite3_reset(upsert);
    }
    run(db, "COMMIT");
    printf("{\"rows\":%lld,\"seconds\":%.4f}\n", rows, (double)(tr_clock_mono_us() - start) / 1e6);
    sqlite3_finalize(upsert);
    sqlite3_close(db);
    return 0;
}
