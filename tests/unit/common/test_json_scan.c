/* test_json_scan.c - what the JSON scanner accepts, and what its values mean. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmocka_all.h"
#include "json_scan.h"
#include "json_writer.h"

static struct tr_error err;

/* A heap copy without a NUL behind it, so that a sanitizer sees a read past the end. */
static struct tr_slice exact(const char *text, size_t length)
{
    char *copy = malloc(length > 0 ? length : 1);
    assert_non_null(copy);
    memcpy(copy, text, length);
    return (struct tr_slice){copy, length};
}

static int parse_code(const char *text, size_t length)
{
    struct tr_json_value value;
    struct tr_slice slice = exact(text, length);
    tr_error_reset(&err);
    int code = tr_json_parse(slice, &value, &err);
    free((void *)(uintptr_t)slice.data);
    return code;
}

static struct tr_json_value parsed(const char *text)
{
    struct tr_json_value value;
    tr_error_reset(&err);
    if (tr_json_parse(tr_slice_of(text), &value, &err) != 0)
        fail_msg("%s: %s", text, err.text);
    return value;
}

static void values_are_told_apart(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum tr_json_type type;
    } rows[] = {
        {"null", TR_JSON_NULL},        {"true", TR_JSON_TRUE},
        {"false", TR_JSON_FALSE},      {"0", TR_JSON_NUMBER},
        {"-0.5e+3", TR_JSON_NUMBER},   {"\"\"", TR_JSON_STRING},
        {"[]", TR_JSON_ARRAY},         {"{}", TR_JSON_OBJECT},
        {"[1,[2],{}]", TR_JSON_ARRAY}, {"{\"a\":{\"b\":[]}}", TR_JSON_OBJECT},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char spaced[64];
        struct tr_json_value value = parsed(rows[i].text);
        assert_int_equal(value.type, rows[i].type);
        snprintf(spaced, sizeof(spaced), " \t\r\n%s\n ", rows[i].text);
        value = parsed(spaced);
        assert_int_equal(value.type, rows[i].type);
        assert_true(tr_slice_equal(value.text, tr_slice_of(rows[i].text)));
    }
    assert_false(parsed("\"a\"").escaped);
    assert_true(parsed("\"a\\n\"").escaped);
}

static void malformed_text_is_refused_at_its_byte(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t at;
    } rows[] = {
        {"", 0},
        {" ", 1},
        {"tru", 3},
        {"trux", 3},
        {"nulll", 4},
        {"01", 1},
        {"-", 1},
        {"1.", 2},
        {"1.e1", 2},
        {"1e", 2},
        {"1e+", 3},
        {"+1", 0},
        {".5", 0},
        {"\"a", 2},
        {"\"\\x\"", 2},
        {"\"\\u12g4\"", 5},
        {"\"\n\"", 1},
        {"[", 1},
        {"[1,]", 3},
        {"[1 2]", 3},
        {"[1}", 2},
        {"{", 1},
        {"{\"a\"}", 4},
        {"{\"a\":}", 5},
        {"{\"a\":1,}", 7},
        {"{1:2}", 1},
        {"{\"a\":1]", 6},
        {"[] []", 3},
        {"\"\xff\"", 1},
        {"\"\xc3\"", 1},
        {"\"\\ud800\"", 3},
        {"\"\\udc00\"", 3},
        {"\"\\ud800\\u0041\"", 3},
        {"[1,,2]", 3},
        {"\xef\xbb\xbf{}", 0},
        {"\"\\", 2},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char expected[64];
        assert_int_equal(parse_code(rows[i].text, strlen(rows[i].text)), TR_EFORMAT);
        snprintf(expected, sizeof(expected), "byte %zu", rows[i].at);
        if (strstr(err.text, expected) == NULL)
            fail_msg("%s: %s, not %s", rows[i].text, err.text, expected);
    }
    assert_int_equal(parse_code("1\0", 2), TR_EFORMAT);
    assert_int_equal(parse_code("\"\\\0\"", 4), TR_EFORMAT);
}

/* Every prefix of a good text is bad, and reading it stays inside it. */
static void every_prefix_is_refused(void **state)
{
    (void)state;
    const char *text =
        "{\"a\":[1.5e-3,\"\\ud83d\\ude00 \xc3\xbc\\n\",true,false,null,{}],\"b\":{\"c\":[]}}";
    size_t length = strlen(text);
    assert_int_equal(parse_code(text, length), 0);
    for (size_t i = 0; i < length; i++)
        assert_int_equal(parse_code(text, i), TR_EFORMAT);
}

static void nesting_has_a_limit(void **state)
{
    (void)state;
    char text[2 * (TR_JSON_DEPTH_MAX + 1)];
    memset(text, '[', TR_JSON_DEPTH_MAX);
    memset(text + TR_JSON_DEPTH_MAX, ']', TR_JSON_DEPTH_MAX);
    assert_int_equal(parse_code(text, (size_t)TR_JSON_DEPTH_MAX * 2), 0);
    memset(text, '[', TR_JSON_DEPTH_MAX + 1);
    memset(text + TR_JSON_DEPTH_MAX + 1, ']', TR_JSON_DEPTH_MAX + 1);
    assert_int_equal(parse_code(text, sizeof(text)), TR_EFORMAT);
    assert_non_null(strstr(err.text, "deeper than 512 at byte 512"));
}

static void a_cursor_goes_over_members(void **state)
{
    (void)state;
    struct tr_json_cursor cursor;
    struct tr_json_value name, value;
    struct tr_json_value object =
        parsed("{ \"a\" : 1 , \"b\\n\":[true, {\"x\":null}], \"\":\"s\" }");
    tr_json_enter(&cursor, &object);
    assert_int_equal(tr_json_next(&cursor, &name, &value, &err), 1);
    assert_true(tr_json_equal(&name, TR_SLICE("a")));
    assert_true(tr_slice_equal(value.text, TR_SLICE("1")));
    assert_int_equal(tr_json_next(&cursor, &name, &value, &err), 1);
    assert_true(tr_json_equal(&name, TR_SLICE("b\n")));
    assert_int_equal(value.type, TR_JSON_ARRAY);
    struct tr_json_cursor inner;
    struct tr_json_value item;
    tr_json_enter(&inner, &value);
    assert_int_equal(tr_json_next(&inner, NULL, &item, &err), 1);
    assert_int_equal(item.type, TR_JSON_TRUE);
    assert_int_equal(tr_json_next(&inner, NULL, &item, &err), 1);
    assert_int_equal(item.type, TR_JSON_OBJECT);
    assert_int_equal(tr_json_next(&inner, NULL, &item, &err), 0);
    assert_int_equal(tr_json_next(&cursor, &name, &value, &err), 1);
    assert_true(tr_json_equal(&name, TR_SLICE("")));
    assert_int_equal(tr_json_next(&cursor, &name, &value, &err), 0);
}

static void an_unchecked_text_is_checked_as_it_is_passed(void **state)
{
    (void)state;
    struct tr_json_cursor cursor;
    struct tr_json_value name, value;
    assert_int_equal(tr_json_open(&cursor, TR_SLICE("{\"a\":1,\"b\":x}"), &err), 0);
    assert_int_equal(tr_json_next(&cursor, &name, &value, &err), 1);
    tr_error_reset(&err);
    assert_int_equal(tr_json_next(&cursor, &name, &value, &err), TR_EFORMAT);
    assert_non_null(strstr(err.text, "byte 11"));
    tr_error_reset(&err);
    assert_int_equal(tr_json_open(&cursor, TR_SLICE("[1"), &err), 0);
    assert_int_equal(tr_json_next(&cursor, NULL, &value, &err), 1);
    assert_int_equal(tr_json_next(&cursor, NULL, &value, &err), TR_EFORMAT);
    tr_error_reset(&err);
    assert_int_equal(tr_json_open(&cursor, TR_SLICE("null"), &err), TR_EFORMAT);
    tr_error_reset(&err);
    assert_int_equal(tr_json_open(&cursor, TR_SLICE(""), &err), TR_EFORMAT);
}

static void members_are_found_by_name(void **state)
{
    (void)state;
    struct tr_json_value value;
    struct tr_json_value object = parsed("{\"a\":1,\"\\u0062\":2,\"c\":3}");
    assert_int_equal(tr_json_find(&object, "b", &value, &err), 1);
    assert_true(tr_slice_equal(value.text, TR_SLICE("2")));
    assert_int_equal(tr_json_find(&object, "d", &value, &err), 0);
}

static void strings_are_unescaped(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        const char *text;
        size_t length;
    } rows[] = {
        {"\"\"", "", 0},
        {"\"abc\"", "abc", 3},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t", 8},
        {"\"a\\u0041\\u00e4\\u20AC\"", "aA\xc3\xa4\xe2\x82\xac", 7},
        {"\"\\ud83D\\uDe00!\"", "\xf0\x9f\x98\x80!", 5},
        {"\"\\u0000x\"", "\0x", 2},
    };
    struct tr_buf buf;
    tr_buf_init(&buf, 1000);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct tr_json_value value = parsed(rows[i].json);
        tr_buf_reset(&buf);
        tr_json_unescape(&value, &buf);
        struct tr_slice text = {rows[i].text, rows[i].length};
        assert_true(tr_slice_equal((struct tr_slice){buf.data, buf.length}, text));
        assert_true(tr_json_equal(&value, text));
        assert_false(tr_json_equal(&value, TR_SLICE("another text")));
        if (text.length > 0) {
            text.length--;
            assert_false(tr_json_equal(&value, text));
        }
    }
    tr_buf_done(&buf);
}

static bool int_of(const char *text, int64_t *out)
{
    struct tr_json_value value = parsed(text);
    return tr_json_to_int(&value, out);
}

static void integers_are_exact_or_none(void **state)
{
    (void)state;
    int64_t number;
    assert_true(int_of("-9223372036854775808", &number) && number == INT64_MIN);
    assert_true(int_of("9223372036854775807", &number) && number == INT64_MAX);
    assert_true(int_of("-0", &number) && number == 0);
    assert_false(int_of("9223372036854775808", &number));
    assert_false(int_of("-9223372036854775809", &number));
    assert_false(int_of("99999999999999999999999", &number));
    assert_false(int_of("1.0", &number));
    assert_false(int_of("1e2", &number));
    assert_false(int_of("\"1\"", &number));
    uint64_t big;
    struct tr_json_value value = parsed("18446744073709551615");
    assert_true(tr_json_to_uint(&value, &big) && big == UINT64_MAX);
    value = parsed("18446744073709551616");
    assert_false(tr_json_to_uint(&value, &big));
    value = parsed("-1");
    assert_false(tr_json_to_uint(&value, &big));
}

static void numbers_as_doubles(void **state)
{
    (void)state;
    static const char *const texts[] = {"0",
                                        "-12",
                                        "1.5",
                                        "0.1",
                                        "1e-400",
                                        "123456789012345678901",
                                        "9007199254740993",
                                        "-1.7976931348623157e308",
                                        "4.9e-324"};
    double number;
    struct tr_json_value value;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        value = parsed(texts[i]);
        assert_true(tr_json_to_double(&value, &number));
        assert_true(number == strtod(texts[i], NULL));
    }
    char longer[200];
    snprintf(longer, sizeof(longer), "1.%0190de3", 1);
    value = parsed(longer);
    assert_true(tr_json_to_double(&value, &number) && number == 1000);
    value = parsed("1e400");
    assert_false(tr_json_to_double(&value, &number));
    value = parsed("\"1\"");
    assert_false(tr_json_to_double(&value, &number));
}

static void base64_is_decoded(void **state)
{
    (void)state;
    char bytes[256];
    struct tr_buf json, out;
    tr_buf_init(&json, 10000);
    tr_buf_init(&out, 10000);
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)(255 - i);
    for (size_t length = 0; length <= sizeof(bytes); length++) {
        struct tr_json_value value;
        tr_buf_reset(&json);
        tr_buf_reset(&out);
        tr_json_base64(&json, bytes, length);
        assert_int_equal(tr_json_parse((struct tr_slice){json.data, json.length}, &value, &err), 0);
        assert_true(tr_json_to_bytes(&value, &out));
        assert_int_equal(out.length, length);
        assert_true(length == 0 || memcmp(out.data, bytes, length) == 0);
    }
    tr_buf_reset(&out);
    struct tr_json_value value = parsed("\"\\/++\\/\"");
    assert_true(tr_json_to_bytes(&value, &out));
    assert_true(tr_slice_equal((struct tr_slice){out.data, out.length}, TR_SLICE("\xff\xef\xbf")));
    static const char *const bad[] = {"\"Z\"",    "\"Zg=\"",  "\"Zg\"",   "\"Zh==\"",
                                      "\"Zm9=\"", "\"====\"", "\"Z===\"", "\"Zg==Zg==\"",
                                      "\"Zm9-\"", "1"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        value = parsed(bad[i]);
        assert_false(tr_json_to_bytes(&value, &out));
        assert_int_equal(out.length, 3);
    }
    tr_buf_done(&json);
    tr_buf_done(&out);
}

static void compacting_leaves_strings_alone(void **state)
{
    (void)state;
    struct tr_buf buf;
    tr_buf_init(&buf, 1000);
    tr_json_compact(TR_SLICE(" {\n \"a b\" : [ 1 , \"c \\\" d\\\\\" , \"\xc3\xbc  x\" ] }\t"),
                    &buf);
    assert_true(tr_slice_equal((struct tr_slice){buf.data, buf.length},
                               TR_SLICE("{\"a b\":[1,\"c \\\" d\\\\\",\"\xc3\xbc  x\"]}")));
    tr_buf_done(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_told_apart),
        cmocka_unit_test(malformed_text_is_refused_at_its_byte),
        cmocka_unit_test(every_prefix_is_refused),
        cmocka_unit_test(nesting_has_a_limit),
        cmocka_unit_test(a_cursor_goes_over_members),
        cmocka_unit_test(an_unchecked_text_is_checked_as_it_is_passed),
        cmocka_unit_test(members_are_found_by_name),
        cmocka_unit_test(strings_are_unescaped),
        cmocka_unit_test(integers_are_exact_or_none),
        cmocka_unit_test(numbers_as_doubles),
        cmocka_unit_test(base64_is_decoded),
        cmocka_unit_test(compacting_leaves_strings_alone),
    };
    return cmocka_run_group_tests_name("json_scan", tests, NULL, NULL);
}
