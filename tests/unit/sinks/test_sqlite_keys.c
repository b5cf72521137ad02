/* test_sqlite_keys.c - the SQLite sink when a table's key changes: renamed, other columns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "sqlite_file.h"

#define UID "{\"name\":\"uid\",\"type\":\"int\",\"nullable\":false}"
#define NO "{\"name\":\"no\",\"type\":\"int\",\"nullable\":false}"

/* Records of the old shape come first; then, of other partitions, behind the new one's. */
static void live_through_a_rename(struct fixture *f, const char *name, bool replay)
{
    struct harness *h = &f->h;
    char rows[64], keys[80];
    const struct tr_shape *old = harness_shape(h, "shop", name, 1, "[" ID "," NAME "]", "[\"id\"]");
    const struct tr_shape *fresh =
        harness_shape(h, "shop", name, 10, "[" NAME "," NO "]", "[\"no\"]");
    struct tr_sink_table *t = harness_table(h, old, NULL);
    atomic_store(&t->newest, replay ? fresh : old);
    snprintf(rows, sizeof(rows), "SELECT no || name FROM %s ORDER BY no", name);
    snprintf(keys, sizeof(keys), "SELECT name FROM pragma_table_info('%s') WHERE pk = 1", name);
    harness_one(h, t, old, 2, "\"pk.id\":1", "{\"id\":1,\"name\":\"a\"}");
    harness_one(h, t, old, 3, "\"pk.id\":2", "{\"id\":2,\"name\":\"b\"}");
    harness_one(h, t, old, 4, "\"pk.id\":3", NULL);
    assert_int_equal(harness_one(h, t, fresh, 11, "\"pk.no\":1", "{\"name\":\"A\",\"no\":1}"),
                     TR_SINK_APPLIED);
    assert_string_equal(query(f, rows), "1A,2b");
    assert_int_equal(harness_one(h, t, old, 5, "\"pk.id\":1", "{\"id\":1,\"name\":\"late\"}"),
                     TR_SINK_STALE);
    assert_int_equal(harness_one(h, t, old, 6, "\"pk.id\":4", "{\"id\":4,\"name\":\"d\"}"),
                     TR_SINK_APPLIED);
    assert_int_equal(harness_one(h, t, old, 7, "\"pk.id\":2", NULL), TR_SINK_APPLIED);
    assert_int_equal(harness_one(h, t, old, 3, "\"pk.id\":3", "{\"id\":3,\"name\":\"c\"}"),
                     TR_SINK_STALE);
    assert_string_equal(query(f, rows), "1A,4d");
    assert_string_equal(query(f, keys), "no");
}

static void a_renamed_key_keeps_its_rows(void **state)
{
    live_through_a_rename(*state, "live", false);
    live_through_a_rename(*state, "replayed", true);
}

/* A key of columns that old rows do not have, or not uniquely. */
static void no_row_is_left_out_for_a_new_key(void **state)
{
    struct fixture *f = *state;
    struct harness *h = &f->h;
    const struct tr_shape *old = harness_shape(h, "shop", "n", 1, "[" ID "," COUNT "]", "[\"id\"]");
    const struct tr_shape *by_count = harness_shape(h, "shop", "n", 10,
                                                    "[" ID ",{\"name\":\"count\",\"type\":\"int\","
                                                    "\"nullable\":false}]",
                                                    "[\"count\"]");
    const struct tr_shape *added =
        harness_shape(h, "shop", "n", 20, "[" ID "," COUNT "," UID "]", "[\"uid\"]");
    struct tr_sink_table *t = harness_table(h, old, NULL);
    harness_one(h, t, old, 2, "\"pk.id\":1", "{\"id\":1,\"count\":5}");
    harness_one(h, t, old, 3, "\"pk.id\":2", "{\"id\":2,\"count\":5}");
    const struct {
        const struct tr_shape *shape;
        const char *pk, *row;
    } changes[] = {{by_count, "\"pk.count\":7", "{\"id\":3,\"count\":7}"},
                   {added, "\"pk.uid\":7", "{\"id\":3,\"count\":7,\"uid\":7}"}};
    for (size_t i = 0; i < 2; i++) {
        harness_add(h, t, changes[i].shape, 30, changes[i].pk, changes[i].row);
        assert_int_equal(harness_apply(h, 0), TR_ESTATE);
        assert_non_null(strstr(h->err.text, "reset --to beginning --drop"));
        assert_string_equal(query(f, "SELECT id || '/' || count FROM n ORDER BY id"), "1/5,2/5");
        assert_string_equal(
            query(f, "SELECT count(*) FROM pragma_table_info('n') WHERE name = 'uid'"), "0");
    }
    /* As after that reset: the table is made by its newest shape, and what has no such key is
     * refused one by one. */
    struct tr_sink_table *again =
        harness_table(h, harness_shape(h, "shop", "m", 1, "[" ID "," COUNT "]", "[\"id\"]"), NULL);
    const struct tr_shape *first =
        harness_shape(h, "shop", "m", 1, "[" ID "," COUNT "]", "[\"id\"]");
    const struct tr_shape *newest =
        harness_shape(h, "shop", "m", 20, "[" ID "," COUNT "," UID "]", "[\"uid\"]");
    atomic_store(&again->newest, newest);
    assert_int_equal(harness_one(h, again, first, 2, "\"pk.id\":1", "{\"id\":1,\"count\":5}"),
                     TR_SINK_POISON);
    assert_int_equal(harness_one(h, again, newest, 30, changes[1].pk, changes[1].row),
                     TR_SINK_APPLIED);
    assert_string_equal(query(f, "SELECT uid FROM m"), "7");
}

/* A table that is filled again: rows come by the key that they had, until the wider one's do. */
static void a_widened_key_keeps_older_rows(void **state)
{
    struct fixture *f = *state;
    struct harness *h = &f->h;
    const struct tr_shape *narrow = harness_shape(h, "shop", "w", 1, "[" ID "," NO "]", "[\"id\"]");
    const struct tr_shape *wide =
        harness_shape(h, "shop", "w", 10, "[" ID "," NO "]", "[\"no\",\"id\"]");
    struct tr_sink_table *t = harness_table(h, narrow, NULL);
    atomic_store(&t->newest, wide);
    harness_one(h, t, narrow, 2, "\"pk.id\":1", "{\"id\":1,\"no\":5}");
    harness_one(h, t, narrow, 3, "\"pk.id\":2", "{\"id\":2,\"no\":5}");
    assert_int_equal(harness_one(h, t, narrow, 4, "\"pk.id\":1", "{\"id\":1,\"no\":6}"),
                     TR_SINK_APPLIED);
    assert_int_equal(harness_one(h, t, wide, 11, "\"pk.no\":7,\"pk.id\":2", "{\"id\":2,\"no\":7}"),
                     TR_SINK_APPLIED);
    assert_string_equal(query(f, "SELECT id || '/' || no FROM w ORDER BY id, no"), "1/6,2/5,2/7");
    assert_string_equal(
        query(f, "SELECT name FROM pragma_table_info('w') WHERE pk > 0 ORDER BY pk"), "no,id");
    assert_int_equal(harness_one(h, t, narrow, 5, "\"pk.id\":3", "{\"id\":3,\"no\":1}"),
                     TR_SINK_POISON);
}

/* Of another character set: base64, a text where an array is expected, in row and key. */
static void a_set_of_unknown_text_is_found_by_its_key(void **state)
{
    struct fixture *f = *state;
    struct harness *h = &f->h;
    const struct tr_shape *shape = harness_shape(
        h, "shop", "s", 1, "[{\"name\":\"s\",\"type\":\"set\",\"nullable\":false}," COUNT "]",
        "[\"s\"]");
    struct tr_sink_table *t = harness_table(h, shape, NULL);
    harness_add(h, t, shape, 2, "\"pk.s\":\"AQ==\"", "{\"s\":\"AQ==\",\"count\":1}");
    h->records[0].invalid = TR_SLICE("[\"s\"]");
    assert_int_equal(harness_apply(h, 0), 0);
    harness_one(h, t, shape, 3, "\"pk.s\":[\"a\",\"b\"]", "{\"s\":[\"a\",\"b\"],\"count\":2}");
    assert_string_equal(query(f, "SELECT s FROM s ORDER BY count"), "AQ==,[\"a\",\"b\"]");
    assert_int_equal(harness_one(h, t, shape, 1, "\"pk.s\":\"AQ==\"", NULL), TR_SINK_STALE);
    assert_int_equal(harness_one(h, t, shape, 4, "\"pk.s\":\"AQ==\"", NULL), TR_SINK_APPLIED);
    assert_int_equal(harness_one(h, t, shape, 5, "\"pk.s\":[\"a\",\"b\"]", NULL), TR_SINK_APPLIED);
    assert_string_equal(query(f, "SELECT count(*) FROM s"), "0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_A_FILE(a_renamed_key_keeps_its_rows),
        ON_A_FILE(no_row_is_left_out_for_a_new_key),
        ON_A_FILE(a_widened_key_keeps_older_rows),
        ON_A_FILE(a_set_of_unknown_text_is_found_by_its_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
