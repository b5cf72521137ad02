/*
 * file.c - `path` is a link to the file of the present generation, `<path>.g<generation>`; a lock
 * beside it lets one process in.
 *
 * synchronous=NORMAL: a power cut may undo the last transactions, rows and progress together, and
 * the next start goes on from the progress that is left.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "store.h"

#define PATH_BYTES 4096

static int beside(struct tr_sink *sink, const char *suffix, char out[PATH_BYTES],
                  struct tr_error *err)
{
    int used = snprintf(out, PATH_BYTES, "%s%s", sink->settings->path, suffix);
    if (used < 0 || used >= PATH_BYTES)
        return tr_error_set(err, TR_ECONFIG, "sqlite.path is too long");
    return 0;
}

static int lock_take(struct tr_sink *sink, struct tr_error *err)
{
    char path[PATH_BYTES];
    int code = beside(sink, ".lock", path, err);
    if (code != 0)
        return code;
    sink->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (sink->lock_fd < 0)
        return tr_error_set_native(
            err, TR_ESTORE, errno,
            "sqlite: cannot open %s: %s; make the folder and let this user write there", path,
            strerror(errno));
    if (flock(sink->lock_fd, LOCK_EX | LOCK_NB) != 0)
        return tr_error_set(err, TR_ESTATE,
                            "sqlite: %s is held by another process; stop that one first", path);
    return 0;
}

void sq_file_unlock(struct tr_sink *sink)
{
    if (sink->lock_fd >= 0)
        close(sink->lock_fd);
    sink->lock_fd = -1;
}

static int link_make(struct tr_sink *sink, struct tr_error *err)
{
    const char *slash = strrchr(sink->settings->path, '/');
    char full[PATH_BYTES];
    int code = beside(sink, ".g1", full, err);
    if (code != 0)
        return code;
    const char *target = full + (slash != NULL ? slash + 1 - sink->settings->path : 0);
    if (symlink(target, sink->settings->path) != 0 && errno != EEXIST)
        return tr_error_set_native(err, TR_ESTORE, errno, "sqlite: cannot make the link %s: %s",
                                   sink->settings->path, strerror(errno));
    return 0;
}

/* What is at the path, if anything, must be our link: 1 = nothing is there. */
static int link_check(struct tr_sink *sink, struct tr_error *err)
{
    struct stat info;
    const char *path = sink->settings->path;
    if (lstat(path, &info) != 0)
        return 1;
    if (S_ISLNK(info.st_mode))
        return 0;
    if (S_ISREG(info.st_mode))
        return tr_error_set(err, TR_ECONFIG,
                            "sqlite.path: %s is a file, not the link to the read model's file; "
                            "if it is the read model, `mv` it to %s.g1, else choose another path",
                            path, path);
    return tr_error_set(err, TR_ECONFIG, "sqlite.path: %s is no file but a folder or device", path);
}

static int connect_file(struct tr_sink *sink, struct tr_error *err)
{
    int flags = sink->context->read_only ? SQLITE_OPEN_READONLY
                                         : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    int native =
        sqlite3_open_v2(sink->settings->path, &sink->db, flags | SQLITE_OPEN_NOMUTEX, NULL);
    if (native != SQLITE_OK)
        return tr_error_set_native(err, TR_ESTORE, native, "sqlite: cannot open %s: %s",
                                   sink->settings->path,
                                   sink->db != NULL ? sqlite3_errmsg(sink->db) : "no memory");
    sqlite3_extended_result_codes(sink->db, 1);
    sqlite3_busy_timeout(sink->db, (int)sink->settings->busy_timeout_ms);
    if (sink->context->read_only)
        return 0;
    int code = sq_exec(sink,
                       "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
                       "PRAGMA wal_autocheckpoint=16384; PRAGMA cache_size=-65536;"
                       "PRAGMA temp_store=MEMORY; PRAGMA foreign_keys=OFF;"
                       "PRAGMA legacy_alter_table=ON", /* people's views don't hinder renames */
                       err);
    if (code == 0 && stat(sink->settings->path, &sink->identity) != 0)
        code = tr_error_set_native(err, TR_ESTORE, errno, "sqlite: %s: %s", sink->settings->path,
                                   strerror(errno));
    return code;
}

static int open_to_write(struct tr_sink *sink, struct tr_error *err)
{
    int code = sink->lock_fd < 0 ? lock_take(sink, err) : 0;
    if (code == 0)
        code = link_check(sink, err);
    if (code == 1)
        code = link_make(sink, err);
    return code != 0 ? code : connect_file(sink, err);
}

int sq_file_open(struct tr_sink *sink, struct tr_error *err)
{
    if (!sink->context->read_only)
        return open_to_write(sink, err);
    int code = link_check(sink, err);
    if (code != 0 || access(sink->settings->path, F_OK) != 0)
        return code < 0 ? code : 0;
    return connect_file(sink, err);
}

static void finish(sqlite3_stmt **stmt)
{
    sqlite3_finalize(*stmt);
    *stmt = NULL;
}

void sq_file_close(struct tr_sink *sink)
{
    sq_table_forget_all(sink);
    finish(&sink->begin);
    finish(&sink->commit);
    finish(&sink->tombstone_get);
    finish(&sink->tombstone_put);
    finish(&sink->tombstone_delete);
    finish(&sink->store_get);
    finish(&sink->store_put);
    finish(&sink->progress_put);
    sqlite3_close(sink->db);
    sink->db = NULL;
}

int sq_file_remove(struct tr_sink *sink, struct tr_error *err)
{
    sq_file_close(sink);
    char target[PATH_BYTES];
    char *real = realpath(sink->settings->path, NULL);
    const char *suffixes[] = {"", "-wal", "-shm"};
    for (size_t i = 0; real != NULL && i < 3; i++) {
        int used = snprintf(target, sizeof(target), "%s%s", real, suffixes[i]);
        bool fits = used > 0 && used < (int)sizeof(target);
        if (fits && unlink(target) != 0 && errno != ENOENT) {
            int code = tr_error_set_native(err, TR_ESTORE, errno, "sqlite: cannot remove %s: %s",
                                           target, strerror(errno));
            free(real);
            return code;
        }
    }
    free(real);
    unlink(sink->settings->path);
    return sq_file_open(sink, err);
}

int sq_file_same(struct tr_sink *sink, struct tr_error *err)
{
    struct stat now;
    if (stat(sink->settings->path, &now) == 0 && now.st_dev == sink->identity.st_dev &&
        now.st_ino == sink->identity.st_ino)
        return 0;
    return tr_error_set(err, TR_ESTATE,
                        "sqlite: %s was replaced or removed while it was in use; start again: an "
                        "older copy catches up by itself, for a lost one run `reset`",
                        sink->settings->path);
}
