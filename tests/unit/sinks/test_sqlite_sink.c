/* test_sqlite_sink.c - the SQLite sink on real files: guards, shapes, tombstones, floors, locks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness.h"
#include "sqlite_sink.h"
#include "store.h"

#define ID "{\"name\":\"id\",\"type\":\"int\",\"nullable\":false}"
#define NAME                                                                                       \
    "{\"name\":\"name\",\"type\":\"varchar\",\"nullable\":true,\"length\":9,\"charset\":"          \
    "\"utf8mb4\"}"
#define COUNT "{\"name\":\"count\",\"type\":\"int\",\"nullable\":true}"
#define COUNT_TEXT                                                                                 \
    "{\"name\":\"count\",\"type\":\"varchar\",\"nullable\":true,\"length\":9,\"charset\":"         \
    "\"utf8mb4\"}"
#define RAW "{\"name\":\"raw\",\"type\":\"blob\",\"nullable\":true}"

struct fixture {
    char folder[64];
    char path[128];
    struct sqlite_settings settings;
    struct harness h;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    snprintf(f->folder, sizeof(f->folder), "/tmp/tailrace-test-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    snprintf(f->path, sizeof(f->path), "%s/read.db", f->folder);
    f->settings.path = f->path;
    f->settings.busy_timeout_ms = 100;
    harness_open(&f->h, &tr_sqlite_sink_ops, &f->settings);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    static const char *const suffixes[] = {"", ".g1", ".g1-wal", ".g1-shm", ".lock", ".old"};
    char path[256];
    harness_close(&f->h);
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        snprintf(path, sizeof(path), "%s%s", f->path, suffixes[i]);
        unlink(path);
    }
    int code = rmdir(f->folder);
    free(f);
    return code;
}

/* The first column of all rows, joined by `,`; as another reader of the file sees it. */
static const char *query(struct fixture *f, const char *sql)
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

static void versions_guard_rows(void **state)
{
    struct fixture *f = *state;
    struct harness *h = &f->h;
    const struct tr_shape *shape =
        harness_shape(h, "shop", "t", 1, "[" ID "," NAME "]", "[\"id\"]");
    struct tr_sink_table *t = harness_table(h, shape, NULL);
    assert_int_equal(harness_one(h, t, shape, 10, "\"pk.id\":1", "{\"id\":1,\"name\":\"a\"}"),
                     TR_SINK_APPLIED);
    assert_int_equal(harness_one(h, t, shape, 9, "\"pk.id\":1", "{\"id\":1,\"name\":\"old\"}"),
                     TR_SINK_STALE);
    assert_int_equal(harness_one(h, t, shape, 10, "\"pk.id\":1", "{\"id\":1,\"name\":\"b\"}"),
                     TR_SINK_APPLIED);
    assert_string_equal(query(f, "SELECT name || _version FROM t"), "b10");
    assert_int_equal(harness_one(h, t, shape, 9, "\"pk.id\":1", NULL), TR_SINK_STALE);
    assert_int_equal(harness_one(h, t, shape, 12, "\"pk.id\":1", NULL), TR_SINK_APPLIED);
    assert_int_equal(harness_one(h, t, shape, 11, "\"pk.id\":1", "{\"id\":1,\"name\":\"late\"}"),
                     TR_SINK_STALE);
    assert_int_equal(harness_one(h, t, shape, 11, "\"pk.id\":1", NULL), TR_SINK_STALE);
    assert_string_equal(query(f, "SELECT count(*) FROM t"), "0");
    assert_string_equal(query(f, "SELECT tbl || key || version FROM _tailrace_deleted"), "t[1]12");
    assert_int_equal(harness_one(h, t, shape, 13, "\"pk.id\":1", "{\"id\":1,\"name\":\"new\"}"),
                     TR_SINK_APPLIED);
    assert_string_equal(query(f, "SELECT count(*) FROM _tailrace_deleted"), "0");
}

static void values_keep_their_types(void **state)
{
    struct fixture *f = *state;
    struct harness *h = &f->h;
    const struct tr_shape *shape = harness_shape(
        h, "shop", "v", 1,
        "[" ID "," RAW
        ",{\"name\":\"big\",\"type\":\"bigint\",\"unsigned\":true,\"nullable\":true},"
        "{\"name\":\"price\",\"type\":\"decimal\",\"nullable\":true,\"length\":9,\"scale\":2},"
        "{\"name\":\"tags\",\"type\":\"set\",\"nullable\":true},"
        "{\"name\":\"doc\",\"type\":\"text\",\"nullable\":true,\"charset\":\"utf8mb4\",\"refine\":"
        "\"json\"},"
        "{\"name\":\"real\",\"type\":\"double\",\"nullable\":true}]",
        "[\"id\"]");
    struct tr_sink_table *t = harness_table(h, shape, NULL);
    assert_int_equal(
        harness_one(h, t, shape, 1, "\"pk.id\":-5",
                    "{\"id\":-5,\"raw\":\"AAH/\",\"big\":18446744073709551615,\"price\":1.50,"
                    "\"tags\":[\"a\",\"b\"],\"doc\":{\"k\":\"\\u00e9\"},\"real\":0.1}"),
        TR_SINK_APPLIED);
    assert_string_equal(query(f, "SELECT id||'|'||hex(raw)||typeof(raw)||'|'||big||typeof(big)||'|'"
                                 "||price||'|'||tags||'|'||doc||'|'||real||typeof(real) FROM v"),
                        "-5|0001FFblob|18446744073709551615text|1.50|[\"a\",\"b\"]|"
                        "{\"k\":\"\\u00e9\"}|0.1real");
}

static void shapes_change(void **state)
{
    struct fixture *f = *state;
    struct harness *h = &f->h;
    const struct tr_shape *first =
        harness_shape(h, "shop", "s", 1, "[" ID "," NAME "]", "[\"id\"]");
    const struct tr_shape *wider =
        harness_shape(h, "shop", "s", 5, "[" ID "," NAME "," COUNT "]", "[\"id\"]");
    const struct tr_shape *text =
        harness_shape(h, "shop", "s", 9, "[" ID "," COUNT_TEXT "]", "[\"id\"]");
    struct tr_sink_table *t = harness_table(h, first, NULL);
    harness_one(h, t, first, 2, "\"pk.id\":1", "{\"id\":1,\"name\":\"a\"}");
    harness_one(h, t, wider, 6, "\"pk.id\":2", "{\"id\":2,\"name\":\"b\",\"count\":7}");
    harness_one(h, t, first, 4, "\"pk.id\":3", "{\"id\":3,\"name\":\"c\"}");
    assert_string_equal(query(f, "SELECT id||name||coalesce(count,'-') FROM s ORDER BY id"),
                        "1a-,2b7,3c-");
    harness_one(h, t, text, 10, "\"pk.id\":4", "{\"id\":4,\"count\":\"007\"}");
    assert_string_equal(query(f, "SELECT id||coalesce(count,'-') FROM s ORDER BY id"),
                        "1-,27,3-,4007");
}

static void a_dropped_column_turns_null(void **state)
{
    struct fixture *f = *state;
    struct harness *h = &f->h;
    const struct tr_shape *first =
        harness_shape(h, "shop", "d", 1, "[" ID "," NAME "]", "[\"id\"]");
    const struct tr_shape *narrow = harness_shape(h, "shop", "d", 5, "[" ID "]", "[\"id\"]");
    struct tr_sink_table *t = harness_table(h, first, NULL);
    harness_one(h, t, first, 2, "\"pk.id\":1", "{\"id\":1,\"name\":\"a\"}");
    harness_one(h, t, narrow, 6, "\"pk.id\":2", "{\"id\":2}");
    assert_string_equal(query(f, "SELECT name FROM d ORDER BY id"), "NULL,NULL");
}

static void markers_raise_floors(void **state)
{
    struct fixture *f = *state;
    struct harness *h = &f->h;
    struct tr_sink_state loaded;
    const struct tr_shape *shape = harness_shape(h, "shop", "m", 1, "[" ID "]", "[\"id\"]");
    struct tr_sink_table *t = harness_table(h, shape, NULL);
    harness_one(h, t, shape, 10, "\"pk.id\":1", "{\"id\":1}");
    harness_one(h, t, shape, 30, "\"pk.id\":2", "{\"id\":2}");
    harness_one(h, t, shape, 11, "\"pk.id\":3", NULL);
    for (int again = 0; again < 2; again++)
        assert_int_equal(h->ops->mark(h->lane, t, TR_EVENT_TABLE_TRUNCATE, 20, &h->err), 0);
    assert_string_equal(query(f, "SELECT id FROM m"), "2");
    assert_string_equal(query(f, "SELECT count(*) FROM _tailrace_deleted"), "0");
    harness_load(h, &loaded);
    assert_int_equal(loaded.floor_count, 1);
    assert_string_equal(loaded.floors[0].table, "m");
    assert_int_equal(loaded.floors[0].version, 20);
}

static void refused_rows_are_poison_and_hold_back_progress(void **state)
{
    struct fixture *f = *state;
    struct harness *h = &f->h;
    struct tr_sink_state loaded;
    const struct tr_shape *shape =
        harness_shape(h, "shop", "p", 1, "[" ID "," NAME "]", "[\"id\"]");
    struct tr_sink_table *t = harness_table(h, shape, NULL);
    harness_add(h, t, shape, 1, "\"pk.id\":1", "{\"id\":1,\"name\":\"same\"}");
    assert_int_equal(harness_apply(h, 1), 0);
    query(f, "CREATE UNIQUE INDEX by_name ON p(name)");
    char pk[64], data[64];
    for (int i = 2; i <= 1001; i++) {
        snprintf(pk, sizeof(pk), "\"pk.id\":%d", i);
        snprintf(data, sizeof(data), "{\"id\":%d,\"name\":\"n%d\"}", i, i == 500 ? 0 : i);
        harness_add(h, t, shape, i, pk, i == 500 ? "{\"id\":500,\"name\":\"same\"}" : data);
    }
    assert_int_equal(harness_apply(h, 1001), 0);
    for (int i = 2; i <= 1001; i++)
        assert_int_equal(h->results[i - 2].status, i == 500 ? TR_SINK_POISON : TR_SINK_APPLIED);
    assert_non_null(strstr(h->results[498].reason, "UNIQUE"));
    harness_load(h, &loaded);
    assert_int_equal(loaded.progress[0].next, 1);
    assert_string_equal(query(f, "SELECT count(*) FROM p"), "1000");
}

static void a_replaced_file_is_noticed(void **state)
{
    struct fixture *f = *state;
    struct harness *h = &f->h;
    char file[160], old[160];
    const struct tr_shape *shape = harness_shape(h, "shop", "r", 1, "[" ID "]", "[\"id\"]");
    struct tr_sink_table *t = harness_table(h, shape, NULL);
    harness_one(h, t, shape, 1, "\"pk.id\":1", "{\"id\":1}");
    snprintf(file, sizeof(file), "%s.g1", f->path);
    snprintf(old, sizeof(old), "%s.old", f->path);
    assert_int_equal(rename(file, old), 0);
    harness_add(h, t, shape, 2, "\"pk.id\":2", "{\"id\":2}");
    assert_int_equal(harness_apply(h, 0), TR_ESTATE);
    assert_non_null(strstr(h->err.text, "replaced"));
}

static void one_process_holds_the_file(void **state)
{
    struct fixture *f = *state;
    static struct harness second;
    assert_int_equal(harness_try_open(&second, &tr_sqlite_sink_ops, &f->settings), TR_ESTATE);
    assert_non_null(strstr(second.err.text, "another process"));
    tr_arena_done(&second.arena);
}

static void progress_is_loaded_again(void **state)
{
    struct fixture *f = *state;
    struct harness *h = &f->h;
    struct tr_sink_state loaded;
    const struct tr_shape *shape = harness_shape(h, "shop", "g", 1, "[" ID "]", "[\"id\"]");
    struct tr_sink_table *t = harness_table(h, shape, NULL);
    harness_add(h, t, shape, 1, "\"pk.id\":1", "{\"id\":1}");
    assert_int_equal(harness_apply(h, 77), 0);
    harness_load(h, &loaded);
    assert_true(loaded.marked);
    assert_string_equal(loaded.pipeline_id, "0123456789abcdef");
    assert_int_equal(loaded.progress_count, 1);
    assert_int_equal(loaded.progress[0].next, 77);
    assert_string_equal(loaded.progress[0].incarnation, "00000000000000aa");
}

static void two_databases_get_prefixes(void **state)
{
    struct fixture *f = *state;
    struct harness *h = &f->h;
    const struct tr_shape *a = harness_shape(h, "shop", "x", 1, "[" ID "]", "[\"id\"]");
    const struct tr_shape *b = harness_shape(h, "crm", "x", 1, "[" ID "]", "[\"id\"]");
    struct tr_sink_table *ta = harness_table(h, a, NULL), *tb = harness_table(h, b, NULL);
    harness_one(h, ta, a, 1, "\"pk.id\":1", "{\"id\":1}");
    harness_one(h, tb, b, 1, "\"pk.id\":2", "{\"id\":2}");
    assert_string_equal(query(f, "SELECT id FROM shop__x UNION SELECT id FROM crm__x"), "1,2");
}

int main(void)
{
#define ON_A_FILE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        ON_A_FILE(versions_guard_rows),
        ON_A_FILE(values_keep_their_types),
        ON_A_FILE(shapes_change),
        ON_A_FILE(a_dropped_column_turns_null),
        ON_A_FILE(markers_raise_floors),
        ON_A_FILE(refused_rows_are_poison_and_hold_back_progress),
        ON_A_FILE(a_replaced_file_is_noticed),
        ON_A_FILE(one_process_holds_the_file),
        ON_A_FILE(progress_is_loaded_again),
        ON_A_FILE(two_databases_get_prefixes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
