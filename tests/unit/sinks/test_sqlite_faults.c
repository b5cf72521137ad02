/*
 * test_sqlite_faults.c - the SQLite sink when things go wrong around it: what is at the path, a
 * process killed in a transaction, other writers, a full disk.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "sqlite_file.h"

#define ROWS 4000

static void open_with_table(struct fixture *f)
{
    harness_open(&f->h, &tr_sqlite_sink_ops, &f->settings);
    f->shape = harness_shape(&f->h, "shop", "t", 1, "[" ID "," NAME "]", "[\"id\"]");
    f->table = harness_table(&f->h, f->shape, NULL);
}

static sqlite3 *other_writer(struct fixture *f)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
    return db;
}

/* A batch of ROWS rows of about 1 kB, with ids from `first` on. */
static void add_rows(struct fixture *f, int first, int64_t version)
{
    char pk[64], data[1200];
    for (int i = first; i < first + ROWS; i++) {
        snprintf(pk, sizeof(pk), "\"pk.id\":%d", i);
        snprintf(data, sizeof(data), "{\"id\":%d,\"name\":\"%0999d\"}", i, i);
        harness_add(&f->h, f->table, f->shape, version, pk, data);
    }
}

static const char *rows_and_progress(struct fixture *f)
{
    return query(f, "SELECT count(*) || '/' || (SELECT max(next) FROM _tailrace_progress) FROM t");
}

/* ---- the path ---------------------------------------------------------------------------------
 */

static void the_path_is_a_link_to_the_generation(void **state)
{
    struct fixture *f = *state;
    char target[256] = {0};
    open_with_table(f);
    assert_true(readlink(f->path, target, sizeof(target) - 1) > 0);
    assert_string_equal(target, "read.db.g1");
    harness_close(&f->h);
}

static void a_relative_path_works(void **state)
{
    struct fixture *f = *state;
    char before[512], target[256] = {0};
    struct sqlite_settings relative = f->settings;
    struct tr_buf lines;
    assert_non_null(getcwd(before, sizeof(before)));
    assert_int_equal(chdir(f->folder), 0);
    relative.path = "read.db";
    harness_open(&f->h, &tr_sqlite_sink_ops, &relative);
    assert_true(readlink("read.db", target, sizeof(target) - 1) > 0);
    assert_string_equal(target, "read.db.g1");
    tr_buf_init(&lines, 4096);
    assert_int_equal(f->h.ops->drop_plan(f->h.sink, NULL, 0, &lines, &f->h.err), 0);
    tr_buf_append_char(&lines, '\0');
    assert_non_null(strstr(lines.data, "/read.db.g1 with all its tables, and the link read.db"));
    tr_buf_done(&lines);
    harness_close(&f->h);
    assert_int_equal(chdir(before), 0);
}

static void a_dangling_link_is_an_unmarked_store(void **state)
{
    struct fixture *f = *state;
    struct tr_sink_state loaded;
    assert_int_equal(symlink("read.db.g1", f->path), 0);
    assert_int_equal(harness_try_open(&f->h, &tr_sqlite_sink_ops, &f->settings), 0);
    harness_load(&f->h, &loaded);
    assert_false(loaded.marked);
    assert_true(loaded.empty);
    harness_close(&f->h);
}

/* Somebody's own database would be filled with our tables, and removed by `reset --drop`. */
static void a_file_at_the_path_is_not_touched(void **state)
{
    struct fixture *f = *state;
    struct stat info;
    int fd = open(f->path, O_CREAT | O_WRONLY, 0644);
    assert_true(fd >= 0);
    close(fd);
    for (int read_only = 0; read_only < 2; read_only++) {
        memset(&f->h, 0, sizeof(f->h));
        f->h.context = (struct tr_sink_context){.pipeline = "harness",
                                                .consumer = "sqlite",
                                                .settings = &f->settings,
                                                .read_only = read_only == 1};
        assert_int_equal(tr_sqlite_sink_ops.open(&f->h.sink, &f->h.context, &f->h.err), TR_ECONFIG);
        assert_non_null(strstr(f->h.err.text, "is a file, not the link"));
    }
    assert_int_equal(stat(f->path, &info), 0);
    assert_int_equal(info.st_size, 0);
    unlink(f->path);
    assert_int_equal(mkdir(f->path, 0755), 0);
    assert_int_equal(harness_try_open(&f->h, &tr_sqlite_sink_ops, &f->settings), TR_ECONFIG);
    tr_arena_done(&f->h.arena);
    assert_int_equal(rmdir(f->path), 0);
}

static void read_only_changes_nothing(void **state)
{
    struct fixture *f = *state;
    static struct harness reader;
    struct tr_sink_state loaded;
    const struct tr_sink_context context = {
        .pipeline = "harness", .consumer = "sqlite", .settings = &f->settings, .read_only = true};
    reader = (struct harness){.ops = &tr_sqlite_sink_ops};
    tr_arena_init(&reader.arena, 4096, 0);
    assert_int_equal(reader.ops->open(&reader.sink, &context, &reader.err), 0);
    harness_load(&reader, &loaded);
    assert_false(loaded.marked);
    assert_int_equal(reader.ops->check(reader.sink, &reader.err), 0);
    reader.ops->close(reader.sink);
    assert_int_equal(access(f->path, F_OK), -1);
    open_with_table(f); /* beside the one that writes and holds the lock */
    add_rows(f, 1, 1);
    assert_int_equal(harness_apply(&f->h, 8), 0);
    assert_int_equal(reader.ops->open(&reader.sink, &context, &reader.err), 0);
    const struct tr_shape *shape =
        harness_shape(&reader, "shop", "t", 1, "[" ID "," NAME "]", "[\"id\"]");
    harness_table(&reader, shape, NULL);
    harness_load(&reader, &loaded);
    assert_true(loaded.marked);
    assert_int_equal(loaded.progress[0].next, 8);
    assert_int_equal(reader.ops->check(reader.sink, &reader.err), 0);
    reader.ops->close(reader.sink);
    tr_arena_done(&reader.arena);
    harness_close(&f->h);
}

static void drop_starts_again_empty(void **state)
{
    struct fixture *f = *state;
    struct tr_sink_state loaded;
    open_with_table(f);
    add_rows(f, 1, 1);
    assert_int_equal(harness_apply(&f->h, 8), 0);
    assert_int_equal(f->h.ops->drop(f->h.sink, NULL, 0, &f->h.err), 0);
    harness_load(&f->h, &loaded);
    assert_false(loaded.marked);
    assert_true(loaded.empty);
    harness_close(&f->h);
    open_with_table(f);
    add_rows(f, 1, 1);
    assert_int_equal(harness_apply(&f->h, 3), 0);
    assert_string_equal(rows_and_progress(f), "4000/3");
    harness_close(&f->h);
}

/* The runtime frees its tables before it closes the sink. */
static void closing_leaves_the_runtimes_tables_alone(void **state)
{
    struct fixture *f = *state;
    open_with_table(f);
    add_rows(f, 1, 1);
    assert_int_equal(harness_apply(&f->h, 8), 0);
    memset(f->h.tables, 0xff, sizeof(f->h.tables));
    harness_close(&f->h);
    const unsigned char *bytes = (const unsigned char *)f->h.tables;
    for (size_t i = 0; i < sizeof(f->h.tables[0]); i++)
        assert_int_equal(bytes[i], 0xff);
}

/* ---- crashes ----------------------------------------------------------------------------------
 */

static int kill_self(void *ignored)
{
    (void)ignored;
    return raise(SIGKILL);
}

static void die_in_a_transaction(struct fixture *f)
{
    open_with_table(f);
    add_rows(f, 1, 1);
    if (harness_apply(&f->h, 10) != 0)
        _exit(1);
    add_rows(f, 2001, 2);
    sqlite3_progress_handler(f->h.sink->db, 20000, kill_self, NULL);
    harness_apply(&f->h, 20);
    _exit(2);
}

static void a_killed_transaction_never_was(void **state)
{
    struct fixture *f = *state;
    int status = 0;
    pid_t child = fork();
    if (child == 0)
        die_in_a_transaction(f);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_string_equal(rows_and_progress(f), "4000/10");
    open_with_table(f);
    assert_string_equal(rows_and_progress(f), "4000/10");
    assert_string_equal(query(f, "SELECT max(_version) FROM t"), "1");
    add_rows(f, 2001, 2);
    assert_int_equal(harness_apply(&f->h, 20), 0);
    assert_string_equal(rows_and_progress(f), "6000/20");
    assert_string_equal(query(f, "PRAGMA integrity_check"), "ok");
    harness_close(&f->h);
}

/* ---- others, and no room ----------------------------------------------------------------------
 */

static void other_writers_are_waited_for(void **state)
{
    struct fixture *f = *state;
    open_with_table(f);
    sqlite3 *other = other_writer(f);
    assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    struct tr_sink_progress progress = {"t", "00000000000000aa", 0, 1};
    assert_int_equal(f->h.ops->progress(f->h.lane, &progress, 1, &f->h.err), TR_ESTORE_RETRY);
    tr_error_reset(&f->h.err);
    assert_int_equal(f->h.ops->mark(f->h.lane, f->table, TR_EVENT_TABLE_DROP, 1, &f->h.err),
                     TR_ESTORE_RETRY);
    for (int again = 0; again < 2; again++) {
        add_rows(f, 1, 1);
        assert_int_equal(harness_apply(&f->h, 10), TR_ESTORE_RETRY);
        assert_non_null(strstr(f->h.err.text, "database is locked"));
    }
    assert_int_equal(sqlite3_exec(other, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(other);
    add_rows(f, 1, 1);
    assert_int_equal(harness_apply(&f->h, 10), 0);
    assert_string_equal(rows_and_progress(f), "4000/10");
    harness_close(&f->h);
}

static void readers_hinder_nobody(void **state)
{
    struct fixture *f = *state;
    open_with_table(f);
    add_rows(f, 1, 1);
    assert_int_equal(harness_apply(&f->h, 10), 0);
    sqlite3 *reader = other_writer(f);
    assert_int_equal(sqlite3_exec(reader, "BEGIN; SELECT * FROM t LIMIT 1", NULL, NULL, NULL),
                     SQLITE_OK);
    const struct tr_shape *wider = harness_shape(
        &f->h, "shop", "t", 5,
        "[" ID "," NAME ",{\"name\":\"more\",\"type\":\"int\",\"nullable\":true}]", "[\"id\"]");
    assert_int_equal(harness_one(&f->h, f->table, wider, 6, "\"pk.id\":1",
                                 "{\"id\":1,\"name\":\"x\",\"more\":1}"),
                     TR_SINK_APPLIED);
    sqlite3_close(reader);
    assert_string_equal(query(f, "SELECT more FROM t WHERE id = 1"), "1");
    harness_close(&f->h);
}

static void limit_files(rlim_t bytes)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void a_full_disk_is_waited_for(void **state)
{
    struct fixture *f = *state;
    open_with_table(f);
    add_rows(f, 1, 1);
    assert_int_equal(harness_apply(&f->h, 10), 0);
    signal(SIGXFSZ, SIG_IGN);
    limit_files(6 << 20);
    int code = 0;
    for (int batch = 1; code == 0 && batch < 9; batch++) {
        add_rows(f, batch * ROWS + 1, 2);
        code = harness_apply(&f->h, 10 + batch);
    }
    assert_int_equal(code, TR_ESTORE_RETRY);
    int before = atoi(rows_and_progress(f));
    add_rows(f, before + 1, 2);
    assert_int_equal(harness_apply(&f->h, 99), TR_ESTORE_RETRY);
    limit_files(RLIM_INFINITY);
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(atoi(rows_and_progress(f)), before);
    add_rows(f, before + 1, 2);
    assert_int_equal(harness_apply(&f->h, 99), 0);
    assert_int_equal(atoi(rows_and_progress(f)), before + ROWS);
    assert_string_equal(query(f, "PRAGMA integrity_check"), "ok");
    harness_close(&f->h);
}

/* The first batch makes the table: what was rolled back is made again. */
static void a_full_file_at_the_first_row(void **state)
{
    struct fixture *f = *state;
    open_with_table(f);
    sqlite3_exec(f->h.sink->db, "PRAGMA max_page_count = 20", NULL, NULL, NULL);
    for (int again = 0; again < 2; again++) {
        add_rows(f, 1, 1);
        assert_int_equal(harness_apply(&f->h, 10), TR_ESTORE_RETRY);
        assert_non_null(strstr(f->h.err.text, "full"));
    }
    assert_string_equal(query(f, "SELECT count(*) FROM sqlite_master WHERE name = 't'"), "0");
    sqlite3_exec(f->h.sink->db, "PRAGMA max_page_count = 1000000", NULL, NULL, NULL);
    add_rows(f, 1, 1);
    assert_int_equal(harness_apply(&f->h, 10), 0);
    assert_string_equal(rows_and_progress(f), "4000/10");
    harness_close(&f->h);
}

/* What the message says to do about a damaged file works. */
static void a_damaged_file_is_moved_away(void **state)
{
    struct fixture *f = *state;
    char file[256], away[256];
    struct tr_sink_state loaded;
    snprintf(file, sizeof(file), "%s.g1", f->path);
    snprintf(away, sizeof(away), "%s.old", f->path);
    FILE *out = fopen(file, "w");
    assert_non_null(out);
    for (int i = 0; i < 1000; i++)
        fprintf(out, "this is no database\n");
    fclose(out);
    assert_int_equal(symlink("read.db.g1", f->path), 0);
    assert_int_equal(harness_try_open(&f->h, &tr_sqlite_sink_ops, &f->settings), TR_ESTORE);
    assert_non_null(strstr(f->h.err.text, "read.db.g1 away, then fill it again"));
    tr_arena_done(&f->h.arena);
    tr_arena_done(&f->h.batch_arena);
    assert_int_equal(rename(file, away), 0);
    assert_int_equal(harness_try_open(&f->h, &tr_sqlite_sink_ops, &f->settings), 0);
    harness_load(&f->h, &loaded);
    assert_false(loaded.marked);
    assert_true(loaded.empty);
    harness_close(&f->h);
}

static void a_file_that_cannot_be_written_is_named(void **state)
{
    struct fixture *f = *state;
    open_with_table(f);
    sqlite3_exec(f->h.sink->db, "PRAGMA query_only = ON", NULL, NULL, NULL);
    add_rows(f, 1, 1);
    assert_int_equal(harness_apply(&f->h, 10), TR_ESTORE);
    assert_non_null(strstr(f->h.err.text, "read.db.g1 and its folder must be writable"));
    harness_close(&f->h);
}

int main(void)
{
#define IN_A_FOLDER(test)                                                                          \
    cmocka_unit_test_setup_teardown(test, sqlite_folder_setup, sqlite_folder_teardown)
    const struct CMUnitTest tests[] = {
        IN_A_FOLDER(the_path_is_a_link_to_the_generation),
        IN_A_FOLDER(a_relative_path_works),
        IN_A_FOLDER(a_dangling_link_is_an_unmarked_store),
        IN_A_FOLDER(a_file_at_the_path_is_not_touched),
        IN_A_FOLDER(read_only_changes_nothing),
        IN_A_FOLDER(drop_starts_again_empty),
        IN_A_FOLDER(closing_leaves_the_runtimes_tables_alone),
        IN_A_FOLDER(a_killed_transaction_never_was),
        IN_A_FOLDER(other_writers_are_waited_for),
        IN_A_FOLDER(readers_hinder_nobody),
        IN_A_FOLDER(a_full_disk_is_waited_for),
        IN_A_FOLDER(a_full_file_at_the_first_row),
        IN_A_FOLDER(a_damaged_file_is_moved_away),
        IN_A_FOLDER(a_file_that_cannot_be_written_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
