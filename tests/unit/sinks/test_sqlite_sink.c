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

#include "count_allocations.h"
#include "sqlite_file.h"

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

/* Events have the JSON document `null` and NULL in the same form; a column may have one of them. */
static void a_json_null_is_no_null(void **state)
{
    struct fixture *f = *state;
    struct harness *h = &f->h;
    const struct tr_shape *shape = harness_shape(
        h, "shop", "j", 1,
        "[" ID ",{\"name\":\"must\",\"type\":\"text\",\"nullable\":false,\"refine\":\"json\"},"
        "{\"name\":\"may\",\"type\":\"text\",\"nullable\":true,\"refine\":\"json\"}]",
        "[\"id\"]");
    struct tr_sink_table *t = harness_table(h, shape, NULL);
    assert_int_equal(
        harness_one(h, t, shape, 1, "\"pk.id\":1", "{\"id\":1,\"must\":null,\"may\":null}"),
        TR_SINK_APPLIED);
    assert_string_equal(query(f, "SELECT must || typeof(must) || typeof(may) FROM j"),
                        "nulltextnull");
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

/* ---- shapes in any order ----------------------------------------------------------------------
 */

static void a_batch_may_hold_several_shapes(void **state)
{
    struct fixture *f = *state;
    struct harness *h = &f->h;
    const struct tr_shape *a = harness_shape(h, "shop", "w", 1, "[" ID "," NAME "]", "[\"id\"]");
    const struct tr_shape *b =
        harness_shape(h, "shop", "w", 10, "[" ID "," NAME "," COUNT "]", "[\"id\"]");
    const struct tr_shape *c =
        harness_shape(h, "shop", "w", 20, "[" ID "," COUNT_TEXT "," RAW "]", "[\"id\"]");
    struct tr_sink_table *t = harness_table(h, a, NULL);
    harness_add(h, t, c, 21, "\"pk.id\":1", "{\"id\":1,\"count\":\"x\",\"raw\":\"AA==\"}");
    harness_add(h, t, a, 2, "\"pk.id\":2", "{\"id\":2,\"name\":\"two\"}");
    harness_add(h, t, b, 11, "\"pk.id\":3", "{\"id\":3,\"name\":\"three\",\"count\":3}");
    harness_add(h, t, c, 22, "\"pk.id\":4", NULL);
    harness_add(h, t, a, 3, "\"pk.id\":5", NULL);
    harness_add(h, t, c, 23, "\"pk.id\":6", "{\"id\":6,\"count\":null,\"raw\":\"\"}");
    assert_int_equal(harness_apply(h, 9), 0);
    for (int i = 0; i < 6; i++)
        assert_int_equal(h->results[i].status, TR_SINK_APPLIED);
    assert_string_equal(query(f, "SELECT id || quote(name) || quote(count) || quote(raw) FROM w"),
                        "1NULL'x'X'00',2NULLNULLNULL,3NULL'3'NULL,6NULLNULLX''");
    assert_string_equal(query(f, "SELECT key || version FROM _tailrace_deleted"), "[4]22,[5]3");
    assert_string_equal(query(f, "SELECT next FROM _tailrace_progress"), "9");
}

/* The order in which partitions are read must not show. */
static void late_rows_of_old_shapes_bring_nothing_back(void **state)
{
    struct fixture *f = *state;
    struct harness *h = &f->h;
    const struct tr_shape *old =
        harness_shape(h, "shop", "l", 1, "[" ID "," NAME "," COUNT "]", "[\"id\"]");
    const struct tr_shape *narrow =
        harness_shape(h, "shop", "l", 10, "[" ID "," COUNT "]", "[\"id\"]");
    struct tr_sink_table *t = harness_table(h, old, NULL);
    harness_one(h, t, old, 2, "\"pk.id\":1", "{\"id\":1,\"name\":\"a\",\"count\":1}");
    harness_one(h, t, narrow, 11, "\"pk.id\":2", "{\"id\":2,\"count\":2}");
    harness_one(h, t, old, 3, "\"pk.id\":3", "{\"id\":3,\"name\":\"c\",\"count\":3}");
    assert_string_equal(query(f, "SELECT id || quote(name) || count FROM l"),
                        "1NULL1,2NULL2,3NULL3");
    harness_close(h);
    harness_open(h, &tr_sqlite_sink_ops, &f->settings);
    old = harness_shape(h, "shop", "l", 1, "[" ID "," NAME "," COUNT "]", "[\"id\"]");
    t = harness_table(h, old, NULL);
    harness_one(h, t, old, 4, "\"pk.id\":4", "{\"id\":4,\"name\":\"d\",\"count\":4}");
    assert_string_equal(query(f, "SELECT id || quote(name) || count FROM l WHERE id = 4"),
                        "4NULL4");
    assert_string_equal(query(f, "SELECT value FROM _tailrace_store WHERE key = 'schema/l'"),
                        "10 [\"name\"]");
    const struct tr_shape *again =
        harness_shape(h, "shop", "l", 20, "[" ID "," NAME "," COUNT "]", "[\"id\"]");
    harness_one(h, t, again, 21, "\"pk.id\":5", "{\"id\":5,\"name\":\"e\",\"count\":5}");
    assert_string_equal(query(f, "SELECT quote(name) FROM l ORDER BY id"),
                        "NULL,NULL,NULL,NULL,'e'");
}

static void peoples_indexes_and_views_survive_a_rewrite(void **state)
{
    struct fixture *f = *state;
    struct harness *h = &f->h;
    const struct tr_shape *number =
        harness_shape(h, "shop", "i", 1, "[" ID "," COUNT "]", "[\"id\"]");
    const struct tr_shape *text =
        harness_shape(h, "shop", "i", 10, "[" ID "," COUNT_TEXT "]", "[\"id\"]");
    struct tr_sink_table *t = harness_table(h, number, NULL);
    harness_one(h, t, number, 2, "\"pk.id\":1", "{\"id\":1,\"count\":7}");
    query(f, "CREATE INDEX by_count ON i(count)");
    query(f, "CREATE VIEW counts AS SELECT count FROM i");
    harness_one(h, t, text, 11, "\"pk.id\":2", "{\"id\":2,\"count\":\"007\"}");
    assert_string_equal(query(f, "SELECT count FROM counts ORDER BY count DESC"), "7,007");
    assert_string_equal(query(f, "SELECT name FROM sqlite_master WHERE name = 'by_count'"),
                        "by_count");
    assert_string_equal(query(f, "SELECT count(*) FROM sqlite_master WHERE name LIKE '%new%'"),
                        "0");
}

static void a_changed_key_writes_the_table_anew(void **state)
{
    struct fixture *f = *state;
    struct harness *h = &f->h;
    const struct tr_shape *by_id =
        harness_shape(h, "shop", "k", 1, "[" ID "," COUNT "]", "[\"id\"]");
    const struct tr_shape *by_count = harness_shape(
        h, "shop", "k", 10, "[" ID ",{\"name\":\"count\",\"type\":\"int\",\"nullable\":false}]",
        "[\"count\"]");
    struct tr_sink_table *t = harness_table(h, by_id, NULL);
    harness_one(h, t, by_id, 2, "\"pk.id\":1", "{\"id\":1,\"count\":5}");
    harness_one(h, t, by_id, 3, "\"pk.id\":5", "{\"id\":5,\"count\":6}");
    assert_int_equal(harness_one(h, t, by_count, 11, "\"pk.count\":5", "{\"id\":9,\"count\":5}"),
                     TR_SINK_APPLIED);
    assert_string_equal(query(f, "SELECT id || '/' || count FROM k ORDER BY id"), "5/6,9/5");
    /* A row or a delete under the old key means another row: never guessed. */
    assert_int_equal(harness_one(h, t, by_id, 4, "\"pk.id\":6", "{\"id\":6,\"count\":7}"),
                     TR_SINK_POISON);
    assert_non_null(strstr(h->results[0].reason, "key has changed"));
    assert_int_equal(harness_one(h, t, by_count, 12, "\"pk.id\":5", NULL), TR_SINK_POISON);
    assert_string_equal(query(f, "SELECT id || '/' || count FROM k ORDER BY id"), "5/6,9/5");
    assert_int_equal(harness_one(h, t, by_count, 13, "\"pk.count\":6", NULL), TR_SINK_APPLIED);
    assert_string_equal(query(f, "SELECT id || '/' || count FROM k ORDER BY id"), "9/5");
}

static void wide_tables_fit(void **state)
{
    enum { COLUMNS = 1017 }; /* InnoDB's most */
    struct fixture *f = *state;
    struct harness *h = &f->h;
    struct tr_buf columns, data;
    tr_buf_init(&columns, 1 << 20);
    tr_buf_init(&data, 1 << 20);
    for (int i = 0; i < COLUMNS; i++) {
        tr_buf_printf(&columns, "%c{\"name\":\"c%d\",\"type\":\"int\",\"nullable\":%s}",
                      i == 0 ? '[' : ',', i, i == 0 ? "false" : "true");
        tr_buf_printf(&data, "%c\"c%d\":%d", i == 0 ? '{' : ',', i, i);
    }
    tr_buf_append(&columns, "]", 2);
    tr_buf_append(&data, "}", 2);
    const struct tr_shape *shape = harness_shape(h, "shop", "wide", 1, columns.data, "[\"c0\"]");
    struct tr_sink_table *t = harness_table(h, shape, NULL);
    assert_int_equal(harness_one(h, t, shape, 1, "\"pk.c0\":0", data.data), TR_SINK_APPLIED);
    assert_int_equal(harness_one(h, t, shape, 2, "\"pk.c0\":0", data.data), TR_SINK_APPLIED);
    assert_string_equal(query(f, "SELECT c1016 || '/' || _version FROM wide"), "1016/2");
    tr_buf_done(&columns);
    tr_buf_done(&data);
}

static void incomplete_rows_are_poison(void **state)
{
    struct fixture *f = *state;
    struct harness *h = &f->h;
    const struct tr_shape *shape =
        harness_shape(h, "shop", "n", 1, "[" ID "," NAME "]", "[\"id\"]");
    struct tr_sink_table *t = harness_table(h, shape, NULL);
    assert_int_equal(harness_one(h, t, shape, 1, "\"pk.id\":1", "{\"name\":\"x\"}"),
                     TR_SINK_POISON);
    assert_int_equal(harness_one(h, t, shape, 1, "\"pk.id\":1", "{\"id\":1}"), TR_SINK_POISON);
    assert_int_equal(harness_one(h, t, shape, 1, "\"pk.id\":1", "{\"id\":1,\"other\":1}"),
                     TR_SINK_POISON);
    assert_int_equal(harness_one(h, t, shape, 1, "\"pk.id\":1", "{\"id\":1.5,\"name\":\"x\"}"),
                     TR_SINK_POISON);
    assert_string_equal(query(f, "SELECT count(*) FROM n"), "0");
}

/* ---- keys of every type -----------------------------------------------------------------------
 */

#define KEY_COLUMN(type) "{\"name\":\"k\",\"type\":\"" type "\",\"nullable\":false"
#define KEY_TEXT(type) KEY_COLUMN(type) ",\"length\":9,\"charset\":\"utf8mb4\"}"

/* Inserts, updates, deletes, refuses a late change and inserts again, all under one key. */
static void live_through(struct fixture *f, const char *table, const char *column, const char *key,
                         const char *stored)
{
    struct harness *h = &f->h;
    char columns[512], pk[256], data[256], sql[256];
    snprintf(columns, sizeof(columns), "[%s," NAME "]", column);
    snprintf(pk, sizeof(pk), "\"pk.k\":%s", key);
    const struct tr_shape *shape = harness_shape(h, "shop", table, 1, columns, "[\"k\"]");
    struct tr_sink_table *t = harness_table(h, shape, NULL);
    for (int version = 1; version <= 2; version++) {
        snprintf(data, sizeof(data), "{\"k\":%s,\"name\":\"v%d\"}", key, version);
        assert_int_equal(harness_one(h, t, shape, version, pk, data), TR_SINK_APPLIED);
    }
    snprintf(sql, sizeof(sql), "SELECT quote(k) || name FROM %s", table);
    snprintf(data, sizeof(data), "%sv2", stored);
    assert_string_equal(query(f, sql), data);
    snprintf(data, sizeof(data), "{\"k\":%s,\"name\":\"v\"}", key);
    assert_int_equal(harness_one(h, t, shape, 1, pk, NULL), TR_SINK_STALE);
    assert_int_equal(harness_one(h, t, shape, 4, pk, NULL), TR_SINK_APPLIED);
    assert_string_equal(query(f, sql), "");
    assert_int_equal(harness_one(h, t, shape, 3, pk, data), TR_SINK_STALE);
    assert_int_equal(harness_one(h, t, shape, 5, pk, data), TR_SINK_APPLIED);
}

static void keys_of_every_type(void **state)
{
    struct fixture *f = *state;
    live_through(f, "k_int", KEY_COLUMN("int") "}", "-9223372036854775808", "-9223372036854775808");
    live_through(f, "k_big", KEY_COLUMN("bigint") ",\"unsigned\":true}", "18446744073709551615",
                 "'18446744073709551615'");
    live_through(f, "k_binary", KEY_COLUMN("binary") ",\"length\":3}", "\"AP8n\"", "X'00FF27'");
    live_through(f, "k_decimal", KEY_COLUMN("decimal") ",\"length\":30,\"scale\":2}",
                 "-12345678901234567890.10", "'-12345678901234567890.10'");
    live_through(f, "k_text", KEY_TEXT("varchar"), "\"\\\"'é\\u0001%_\\\\ 😀\"",
                 "'\"''é\001%_\\ 😀'");
    live_through(f, "k_empty", KEY_TEXT("varchar"), "\"\"", "''");
    live_through(f, "k_time", KEY_COLUMN("datetime") ",\"fraction\":3}",
                 "\"0000-00-00 00:00:00.000\"", "'0000-00-00 00:00:00.000'");
    live_through(f, "k_double", KEY_COLUMN("double") "}", "1e300", "1.0e+300");
    live_through(f, "k_enum", KEY_COLUMN("enum") "}", "\"\"", "''");
    live_through(f, "k_bit", KEY_COLUMN("bit") ",\"length\":64}", "18446744073709551615",
                 "'18446744073709551615'");
}

/* `key:` in the configuration may name columns that can be null. */
static void null_keys_stay_single(void **state)
{
    struct fixture *f = *state;
    struct harness *h = &f->h;
    const char *tables[] = {"[" COUNT "," NAME "]", "[" COUNT "," NAME "]", "[" COUNT "," NAME "]"};
    const char *keys[] = {"[\"count\"]", "[\"name\"]", "[\"count\",\"name\"]"};
    const char *pks[] = {"\"pk.count\":null", "\"pk.name\":null",
                         "\"pk.count\":null,\"pk.name\":null"};
    for (int i = 0; i < 3; i++) {
        char name[24], sql[128];
        snprintf(name, sizeof(name), "null%d", i);
        snprintf(sql, sizeof(sql), "SELECT quote(count) || quote(name) || _version FROM %s", name);
        const struct tr_shape *shape = harness_shape(h, "shop", name, 1, tables[i], keys[i]);
        struct tr_sink_table *t = harness_table(h, shape, NULL);
        const char *row = "{\"count\":null,\"name\":null}";
        assert_int_equal(harness_one(h, t, shape, 5, pks[i], row), TR_SINK_APPLIED);
        assert_int_equal(harness_one(h, t, shape, 5, pks[i], row), TR_SINK_APPLIED);
        assert_int_equal(harness_one(h, t, shape, 7, pks[i], row), TR_SINK_APPLIED);
        assert_int_equal(harness_one(h, t, shape, 6, pks[i], row), TR_SINK_STALE);
        assert_string_equal(query(f, sql), "NULLNULL7");
        assert_int_equal(harness_one(h, t, shape, 8, pks[i], NULL), TR_SINK_APPLIED);
        assert_int_equal(harness_one(h, t, shape, 7, pks[i], row), TR_SINK_STALE);
        assert_string_equal(query(f, sql), "");
    }
}

static void numbers_at_their_ends(void **state)
{
    struct fixture *f = *state;
    struct harness *h = &f->h;
    const struct tr_shape *shape = harness_shape(
        h, "shop", "e", 1,
        "[" ID ",{\"name\":\"d\",\"type\":\"decimal\",\"nullable\":true,\"length\":65,\"scale\":30}"
        ",{\"name\":\"r\",\"type\":\"double\",\"nullable\":true}"
        ",{\"name\":\"b\",\"type\":\"bigint\",\"nullable\":true}]",
        "[\"id\"]");
    struct tr_sink_table *t = harness_table(h, shape, NULL);
    const char *sql = "SELECT d || '|' || r || '|' || b FROM e WHERE id = (SELECT max(id) FROM e)";
    harness_one(h, t, shape, 1, "\"pk.id\":1",
                "{\"id\":1,\"d\":-0.00,\"r\":-0.0,\"b\":9223372036854775807}");
    assert_string_equal(query(f, sql), "-0.00|0.0|9223372036854775807"); /* SQLite has no -0.0 */
    harness_one(
        h, t, shape, 2, "\"pk.id\":2",
        "{\"id\":2,\"d\":99999999999999999999999999999999999.999999999999999999999999999999,"
        "\"r\":18446744073709551616,\"b\":-9223372036854775808}");
    assert_string_equal(query(f, sql),
                        "99999999999999999999999999999999999.999999999999999999999999999999|"
                        "1.84467440737096e+19|-9223372036854775808");
    assert_int_equal(
        harness_one(h, t, shape, 3, "\"pk.id\":3", "{\"id\":3,\"d\":1,\"r\":1e999,\"b\":1}"),
        TR_SINK_POISON);
    assert_int_equal(harness_one(h, t, shape, 3, "\"pk.id\":3",
                                 "{\"id\":3,\"d\":1,\"r\":1,\"b\":9223372036854775808}"),
                     TR_SINK_POISON);
}

/* `"x","y"` contains `","`. */
static void invalid_names_are_whole_names(void **state)
{
    struct fixture *f = *state;
    struct harness *h = &f->h;
    const struct tr_shape *shape = harness_shape(
        h, "shop", "q", 1,
        "[" ID "," COUNT ",{\"name\":\",\",\"type\":\"blob\",\"nullable\":true}]", "[\"id\"]");
    struct tr_sink_table *t = harness_table(h, shape, NULL);
    harness_add(h, t, shape, 1, "\"pk.id\":1", "{\"id\":1,\"count\":\"/w==\",\",\":\"/w==\"}");
    h->records[0].invalid = TR_SLICE("[\"count\",\"more\"]");
    assert_int_equal(harness_apply(h, 0), 0);
    assert_int_equal(h->results[0].status, TR_SINK_APPLIED);
    assert_string_equal(query(f, "SELECT quote(count) || quote(\",\") FROM q"), "'/w=='X'FF'");
}

/* ---- names ------------------------------------------------------------------------------------
 */

static void odd_names_are_quoted(void **state)
{
    struct fixture *f = *state;
    struct harness *h = &f->h;
    const struct tr_shape *shape =
        harness_shape(h, "shop", "select \\\"a\\\";--é'`]", 1,
                      "[{\"name\":\"ro\\\"wid\",\"type\":\"int\",\"nullable\":false},"
                      "{\"name\":\"rowid\",\"type\":\"int\",\"nullable\":true},"
                      "{\"name\":\"excluded\",\"type\":\"int\",\"nullable\":true},"
                      "{\"name\":\"old\",\"type\":\"int\",\"nullable\":true},"
                      "{\"name\":\"%s?1\",\"type\":\"int\",\"nullable\":true}]",
                      "[\"ro\\\"wid\"]");
    struct tr_sink_table *t = harness_table(h, shape, NULL);
    const char *row = "{\"ro\\\"wid\":1,\"rowid\":2,\"excluded\":3,\"old\":4,\"%s?1\":5}";
    for (int version = 1; version <= 2; version++)
        assert_int_equal(harness_one(h, t, shape, version, "\"pk.ro\\\"wid\":1", row),
                         TR_SINK_APPLIED);
    assert_string_equal(query(f, "SELECT \"ro\"\"wid\" || \"rowid\" || excluded || old || \"%s?1\""
                                 " FROM \"select \"\"a\"\";--é'`]\""),
                        "12345");
    assert_int_equal(harness_one(h, t, shape, 3, "\"pk.ro\\\"wid\":1", NULL), TR_SINK_APPLIED);
    assert_int_equal(h->ops->mark(h->lane, t, TR_EVENT_TABLE_SWEEP, 9, &h->err), 0);
    assert_string_equal(query(f, "SELECT count(*) FROM _tailrace_deleted"), "0");
}

static void names_that_differ_in_case_only(void **state)
{
    struct fixture *f = *state;
    struct harness *h = &f->h;
    const struct tr_shape *lower = harness_shape(h, "shop", "t", 1, "[" ID "]", "[\"id\"]");
    const struct tr_shape *upper = harness_shape(h, "shop", "T", 2, "[" ID "]", "[\"id\"]");
    const struct tr_shape *renamed = harness_shape(
        h, "shop", "t", 9, "[{\"name\":\"Id\",\"type\":\"int\",\"nullable\":false}]", "[\"Id\"]");
    struct tr_sink_table *t = harness_table(h, lower, NULL);
    harness_one(h, t, lower, 2, "\"pk.id\":1", "{\"id\":1}");
    assert_int_equal(harness_one(h, t, renamed, 10, "\"pk.Id\":1", "{\"Id\":1}"), TR_SINK_APPLIED);
    assert_string_equal(query(f, "SELECT id || _version FROM t"), "110");
    assert_int_equal(h->ops->check(h->sink, &h->err), 0);
    struct tr_sink_table *other = harness_table(h, upper, NULL);
    assert_int_equal(h->ops->check(h->sink, &h->err), TR_ECONFIG);
    assert_non_null(strstr(h->err.text, "would both be table"));
    harness_add(h, other, upper, 3, "\"pk.id\":1", "{\"id\":1}");
    assert_int_equal(harness_apply(h, 0), TR_ECONFIG);
    assert_string_equal(query(f, "SELECT id || _version FROM t"), "110");
}

static void our_own_column_is_refused(void **state)
{
    struct fixture *f = *state;
    struct harness *h = &f->h;
    const struct tr_shape *shape = harness_shape(
        h, "shop", "o", 1, "[" ID ",{\"name\":\"_Version\",\"type\":\"int\",\"nullable\":true}]",
        "[\"id\"]");
    struct tr_sink_table *table = &h->tables[15];
    table->database = shape->database;
    table->table = shape->table;
    assert_int_equal(h->ops->table(h->sink, table, shape, &h->err), TR_ECONFIG);
    assert_non_null(strstr(h->err.text, "shop.o has a column _version"));
}

/* ---- floors and progress ----------------------------------------------------------------------
 */

static void floors_only_rise(void **state)
{
    struct fixture *f = *state;
    struct harness *h = &f->h;
    struct tr_sink_state loaded;
    const struct tr_shape *shape = harness_shape(h, "shop", "m", 1, "[" ID "]", "[\"id\"]");
    struct tr_sink_table *t = harness_table(h, shape, NULL);
    harness_one(h, t, shape, 30, "\"pk.id\":1", "{\"id\":1}");
    harness_one(h, t, shape, 31, "\"pk.id\":2", NULL);
    assert_int_equal(h->ops->mark(h->lane, t, TR_EVENT_TABLE_SWEEP, 30, &h->err), 0);
    assert_int_equal(h->ops->mark(h->lane, t, TR_EVENT_TABLE_TRUNCATE, 9, &h->err), 0);
    harness_load(h, &loaded);
    assert_int_equal(loaded.floors[0].version, 30);
    assert_string_equal(query(f, "SELECT id FROM m"), "1");
    assert_string_equal(query(f, "SELECT key FROM _tailrace_deleted"), "[2]");
}

static void other_partitions_progress_is_written_along(void **state)
{
    struct fixture *f = *state;
    struct harness *h = &f->h;
    const struct tr_shape *shape = harness_shape(h, "shop", "g", 1, "[" ID "]", "[\"id\"]");
    struct tr_sink_table *t = harness_table(h, shape, NULL);
    const struct tr_sink_progress settled[] = {{"t", "00000000000000aa", 0, 5},
                                               {"t", "00000000000000aa", 1, 6}};
    const struct tr_sink_progress after[] = {{"t", "00000000000000aa", 0, 7}};
    harness_add(h, t, shape, 1, "\"pk.id\":1", "{\"id\":1}");
    const struct tr_sink_batch batch = {.records = h->records,
                                        .count = 1,
                                        .settled = settled,
                                        .settled_count = 2,
                                        .after = after,
                                        .after_count = 1,
                                        .arena = &h->arena};
    assert_int_equal(h->ops->apply(h->lane, &batch, h->results, &h->err), 0);
    h->count = 0;
    assert_string_equal(query(f, "SELECT partition || ':' || next FROM _tailrace_progress"),
                        "0:7,1:6");
}

/* ---- memory -----------------------------------------------------------------------------------
 */

static void rows_cost_no_allocations(void **state)
{
    struct fixture *f = *state;
    struct harness *h = &f->h;
    const struct tr_shape *shape = harness_shape(
        h, "shop", "r", 1,
        "[" ID "," NAME "," RAW ",{\"name\":\"real\",\"type\":\"double\",\"nullable\":true},"
        "{\"name\":\"doc\",\"type\":\"text\",\"nullable\":true,\"charset\":\"utf8mb4\",\"refine\":"
        "\"json\"}]",
        "[\"id\"]");
    struct tr_sink_table *t = harness_table(h, shape, NULL);
    char pk[32], data[256];
    for (int i = 0; i < 2000; i++) { /* not in key order, and some rows are gone */
        int id = i * 7 % 2000;
        snprintf(pk, sizeof(pk), "\"pk.id\":%d", id);
        snprintf(data, sizeof(data),
                 "{\"id\":%d,\"name\":\"a\\u00e9\\n%d\",\"raw\":\"AAH/\",\"real\":%d.25e-7,\"doc\":"
                 "{\"k\":[%d]}}",
                 id, i, i, i);
        harness_add(h, t, shape, 5, pk, i % 10 == 9 ? NULL : data);
    }
    assert_int_equal(harness_apply(h, 1), 0);
    assert_int_equal(harness_again(h, 2000, 2), 0);
    int64_t before = allocations;
    for (int64_t i = 3; i < 8; i++)
        assert_int_equal(harness_again(h, 2000, i), 0);
    assert_int_equal(allocations, before);
    assert_true(before > 0); /* the counter counts */
    for (int i = 0; i < 2000; i++)
        assert_int_equal(h->results[i].status, TR_SINK_APPLIED);
    assert_string_equal(query(f, "SELECT count(*) FROM r"), "1800");
    assert_string_equal(query(f, "SELECT next FROM _tailrace_progress"), "8");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_A_FILE(versions_guard_rows),
        ON_A_FILE(values_keep_their_types),
        ON_A_FILE(a_json_null_is_no_null),
        ON_A_FILE(shapes_change),
        ON_A_FILE(a_dropped_column_turns_null),
        ON_A_FILE(markers_raise_floors),
        ON_A_FILE(refused_rows_are_poison_and_hold_back_progress),
        ON_A_FILE(a_replaced_file_is_noticed),
        ON_A_FILE(one_process_holds_the_file),
        ON_A_FILE(progress_is_loaded_again),
        ON_A_FILE(two_databases_get_prefixes),
        ON_A_FILE(a_batch_may_hold_several_shapes),
        ON_A_FILE(late_rows_of_old_shapes_bring_nothing_back),
        ON_A_FILE(peoples_indexes_and_views_survive_a_rewrite),
        ON_A_FILE(a_changed_key_writes_the_table_anew),
        ON_A_FILE(wide_tables_fit),
        ON_A_FILE(incomplete_rows_are_poison),
        ON_A_FILE(keys_of_every_type),
        ON_A_FILE(null_keys_stay_single),
        ON_A_FILE(numbers_at_their_ends),
        ON_A_FILE(invalid_names_are_whole_names),
        ON_A_FILE(odd_names_are_quoted),
        ON_A_FILE(names_that_differ_in_case_only),
        ON_A_FILE(our_own_column_is_refused),
        ON_A_FILE(floors_only_rise),
        ON_A_FILE(other_partitions_progress_is_written_along),
        ON_A_FILE(rows_cost_no_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
