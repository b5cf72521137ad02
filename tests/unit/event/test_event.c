/* test_event.c - envelopes and keys, good and bad. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "event.h"

static void assert_slice(struct tr_slice got, const char *expected)
{
    assert_int_equal(got.length, strlen(expected));
    assert_memory_equal(got.data, expected, got.length);
}

static void test_types(void **state)
{
    (void)state;
    assert_string_equal(tr_event_type_name(TR_EVENT_INSERT), "insert");
    assert_string_equal(tr_event_type_name(TR_EVENT_BOOTSTRAP_INSERT), "bootstrap-insert");
    assert_string_equal(tr_event_type_name(TR_EVENT_BARRIER), "barrier");
    assert_false(tr_event_is_marker(TR_EVENT_BOOTSTRAP_INSERT));
    assert_true(tr_event_is_marker(TR_EVENT_TABLE_TRUNCATE));
    assert_true(tr_event_is_marker(TR_EVENT_BARRIER));
    for (int i = 0; i < TR_EVENT_TYPES; i++) {
        char text[256];
        struct tr_event ev;
        struct tr_error err = {0};
        snprintf(text, sizeof(text),
                 "{\"database\":\"d\",\"table\":\"t\",\"type\":\"%s\",\"version\":1,\"data\":{}}",
                 tr_event_type_name((enum tr_event_type)i));
        assert_int_equal(tr_event_scan(&ev, tr_slice_of(text), &err), 0);
        assert_int_equal(ev.type, i);
    }
}

static void test_update(void **state)
{
    (void)state;
    struct tr_event ev;
    struct tr_error err = {0};
    const char *text =
        "{\"database\":\"shop\",\"table\":\"or\\\"ders\",\"type\":\"update\","
        "\"version\":9007199254740992,\"schema_id\":81520000,\"ts\":1764000000,\"xid\":81523001,"
        "\"commit\":true,\"gtid\":\"0-1-33\",\"unknown\":[{\"data\":{}}],\"invalid\":[\"a\"],"
        "\"data\":{\"id\":1,\"n\":{\"x\":[1]}},\"old\":{\"id\":2}}";
    assert_int_equal(tr_event_scan(&ev, tr_slice_of(text), &err), 0);
    assert_int_equal(ev.type, TR_EVENT_UPDATE);
    assert_true(ev.version == TR_VERSION_MAX);
    assert_int_equal(ev.schema_id, 81520000);
    assert_int_equal(ev.ts, 1764000000);
    assert_slice(ev.database, "\"shop\"");
    assert_slice(ev.table, "\"or\\\"ders\"");
    assert_slice(ev.invalid, "[\"a\"]");
    assert_slice(ev.data, "{\"id\":1,\"n\":{\"x\":[1]}}");
}

static void test_marker(void **state)
{
    (void)state;
    struct tr_event ev;
    struct tr_error err = {0};
    const char *text = "{\"database\":\"d\",\"table\":\"t\",\"type\":\"table-drop\",\"version\":7,"
                       "\"ts\":5,\"xid\":6,\"commit\":true}";
    assert_int_equal(tr_event_scan(&ev, tr_slice_of(text), &err), 0);
    assert_int_equal(ev.type, TR_EVENT_TABLE_DROP);
    assert_int_equal(ev.schema_id, 0);
    assert_int_equal(ev.data.length, 0);
    assert_int_equal(ev.invalid.length, 0);
}

static void assert_poison(const char *text, const char *reason)
{
    struct tr_event ev;
    struct tr_error err = {0};
    if (tr_event_scan(&ev, tr_slice_of(text), &err) != TR_EPOISON)
        fail_msg("accepted: %s", text);
    assert_int_equal(err.code, TR_EPOISON);
    if (strstr(err.text, reason) == NULL)
        fail_msg("\"%s\" says \"%s\", not \"%s\"", text, err.text, reason);
}

#define HEAD "{\"database\":\"d\",\"table\":\"t\","

static void test_no_event(void **state)
{
    (void)state;
    assert_poison("", "malformed JSON");
    assert_poison("null", "malformed JSON");
    assert_poison("[1]", "array");
    assert_poison("{}", "database");
    assert_poison("{\"database\":\"d\"}", "table");
    assert_poison("{\"database\":1}", "database");
    assert_poison(HEAD "\"version\":1,\"data\":{}}", "type");
    assert_poison(HEAD "\"type\":\"upsert\",\"version\":1,\"data\":{}}", "type");
    assert_poison(HEAD "\"type\":1,\"version\":1,\"data\":{}}", "type");
    assert_poison(HEAD "\"type\":\"insert\",\"data\":{}}", "version");
    assert_poison(HEAD "\"type\":\"insert\",\"data\":{},\"version\":1}", "version");
    assert_poison(HEAD "\"type\":\"insert\",\"version\":-1,\"data\":{}}", "version");
    assert_poison(HEAD "\"type\":\"insert\",\"version\":1.5,\"data\":{}}", "version");
    assert_poison(HEAD "\"type\":\"insert\",\"version\":9007199254740993,\"data\":{}}", "version");
    assert_poison(HEAD "\"type\":\"insert\",\"version\":1}", "data");
    assert_poison(HEAD "\"type\":\"insert\",\"version\":1,\"data\":[]}", "data");
    assert_poison(HEAD "\"type\":\"insert\",\"version\":1,\"data\":null}", "data");
    assert_poison(HEAD "\"type\":\"insert\",\"version\":1,\"schema_id\":\"1\"}", "schema_id");
    assert_poison(HEAD "\"type\":\"insert\",\"version\":1,\"data\":{\"id\":1", "malformed JSON");
    assert_poison(HEAD "\"type\":\"insert\",\"version\":1,\"data\":{\"id\":01}}", "malformed");
}

/* A text that was cut off anywhere before its data ends is no event, and nothing behind its end is
 * read (the copy has exactly that length, for the sanitizer to see). */
static void test_truncated(void **state)
{
    (void)state;
    const char *text =
        HEAD "\"type\":\"insert\",\"version\":1,\"data\":{\"a\":\"\xc3\xa4\\u00e4\"}";
    for (size_t length = 0; length < strlen(text); length++) {
        struct tr_event ev;
        struct tr_error err = {0};
        char *copy = test_malloc(length + 1);
        memcpy(copy, text, length);
        assert_int_equal(tr_event_scan(&ev, (struct tr_slice){copy, length}, &err), TR_EPOISON);
        test_free(copy);
    }
}

static void test_key(void **state)
{
    (void)state;
    struct tr_event_key key;
    struct tr_event_key_cursor cursor;
    struct tr_json_value name, value;
    struct tr_error err = {0};
    struct tr_slice text =
        tr_slice_of("{\"database\":\"shop\",\"table\":\"t\",\"pk.id\":17,\"pk.a\\\"b\":\"x\\ny\"}");
    assert_int_equal(tr_event_key_scan(&key, text, &err), 0);
    assert_slice(key.database, "\"shop\"");
    assert_slice(key.table, "\"t\"");
    assert_slice(key.prefix, "{\"database\":\"shop\",\"table\":\"t\"");
    assert_slice(key.columns, ",\"pk.id\":17,\"pk.a\\\"b\":\"x\\ny\"");
    tr_event_key_enter(&cursor, text);
    assert_int_equal(tr_event_key_next(&cursor, &name, &value, &err), 1);
    assert_slice(name.text, "\"pk.id\"");
    assert_slice(value.text, "17");
    assert_int_equal(tr_event_key_next(&cursor, &name, &value, &err), 1);
    assert_slice(name.text, "\"pk.a\\\"b\"");
    assert_true(name.escaped);
    assert_slice(value.text, "\"x\\ny\"");
    assert_true(value.escaped);
    assert_int_equal(tr_event_key_next(&cursor, &name, &value, &err), 0);
}

static void test_marker_key(void **state)
{
    (void)state;
    struct tr_event_key key;
    struct tr_error err = {0};
    struct tr_slice text = tr_slice_of("{\"database\":\"shop\",\"table\":\"t\"}");
    assert_int_equal(tr_event_key_scan(&key, text, &err), 0);
    assert_slice(key.prefix, "{\"database\":\"shop\",\"table\":\"t\"");
    assert_int_equal(key.columns.length, 0);
}

static void test_names_of_key_columns(void **state)
{
    (void)state;
    const struct tr_json_value name = {.type = TR_JSON_STRING, .text = TR_SLICE("\"pk.id\"")};
    const struct tr_json_value other = {.type = TR_JSON_STRING, .text = TR_SLICE("\"qk.id\"")};
    assert_true(tr_event_key_names(&name, TR_SLICE("\"id\"")));
    assert_false(tr_event_key_names(&name, TR_SLICE("\"i\"")));
    assert_false(tr_event_key_names(&name, TR_SLICE("\"it\"")));
    assert_false(tr_event_key_names(&name, TR_SLICE("\"pk.id\"")));
    assert_false(tr_event_key_names(&other, TR_SLICE("\"id\"")));
}

static void test_bad_keys(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "17",
        "{\"table\":\"t\",\"database\":\"d\"}",
        "{\"database\":\"d\",\"table\":1}",
        "{\"database\":\"d\",\"table\":\"t\",\"id\":1}",
        "{\"database\":\"d\",\"table\":\"t\",\"pk.id\":1}x",
        "{\"database\":\"d\",\"table\":\"t\",\"pk.id\":{\"a\":1}}",
        "{\"database\":\"d\",\"table\":\"t\",\"pk.id\":[\"a\"}",
        "{\"database\":\"d\",\"table\":\"t\",\"pk.id\":1",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct tr_event_key key;
        struct tr_error err = {0};
        if (tr_event_key_scan(&key, tr_slice_of(bad[i]), &err) != TR_EPOISON)
            fail_msg("accepted: %s", bad[i]);
    }
}

/* ---- the examples of schemas/ --------------------------------------------------------------- */

static struct tr_slice load(char *text, size_t size, const char *kind, const char *name)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s.%s.json", EXAMPLES, kind, name);
    FILE *in = fopen(path, "rb");
    if (in == NULL)
        fail_msg("no example %s", path);
    size_t length = fread(text, 1, size, in);
    fclose(in);
    assert_true(length > 0 && text[length - 1] == '\n');
    return (struct tr_slice){text, length - 1};
}

static void test_event_examples(void **state)
{
    (void)state;
    char text[4096];
    struct tr_event ev;
    for (int i = 0; i < TR_EVENT_TYPES; i++) {
        struct tr_error err = {0};
        struct tr_slice value =
            load(text, sizeof(text), "event", tr_event_type_name((enum tr_event_type)i));
        assert_int_equal(tr_event_scan(&ev, value, &err), 0);
        assert_int_equal(ev.type, i);
        assert_int_equal(ev.version, 81523677);
        assert_int_equal(ev.ts, 1764000000);
        assert_slice(ev.table, "\"orders\"");
        bool marker = tr_event_is_marker(ev.type);
        assert_int_equal(ev.data.length == 0, marker);
        assert_int_equal(ev.schema_id, marker ? 0 : 81520000);
    }
    struct tr_error err = {0};
    assert_int_equal(tr_event_scan(&ev, load(text, sizeof(text), "event", "invalid"), &err), 0);
    assert_slice(ev.invalid, "[\"note\"]");
}

static void test_key_examples(void **state)
{
    (void)state;
    char text[4096];
    struct tr_event_key key;
    struct tr_error err = {0};
    assert_int_equal(tr_event_key_scan(&key, load(text, sizeof(text), "key", "composite"), &err),
                     0);
    assert_slice(key.table, "\"order lines\"");
    assert_slice(key.columns, ",\"pk.order\":1,\"pk.sku\":\"A:1/\\\"x\\\"\"");
    assert_int_equal(tr_event_key_scan(&key, load(text, sizeof(text), "key", "set"), &err), 0);
    assert_slice(key.columns, ",\"pk.days\":[\"mon\",\"tue\"],\"pk.id\":1");
    assert_int_equal(tr_event_key_scan(&key, load(text, sizeof(text), "key", "row"), &err), 0);
    assert_slice(key.columns, ",\"pk.id\":1");
    assert_int_equal(tr_event_key_scan(&key, load(text, sizeof(text), "key", "marker"), &err), 0);
    assert_int_equal(key.columns.length, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_update),
        cmocka_unit_test(test_marker),
        cmocka_unit_test(test_no_event),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_key),
        cmocka_unit_test(test_marker_key),
        cmocka_unit_test(test_bad_keys),
        cmocka_unit_test(test_event_examples),
        cmocka_unit_test(test_key_examples),
        cmocka_unit_test(test_names_of_key_columns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
