/* test_json_writer.c - what the JSON writer writes, byte by byte. */
#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmocka_all.h"
#include "json_scan.h"
#include "json_writer.h"

#define LIMIT (1 << 20)

static struct tr_buf buf;

static int begin(void **state)
{
    (void)state;
    tr_buf_init(&buf, LIMIT);
    return 0;
}

static int end(void **state)
{
    (void)state;
    tr_buf_done(&buf);
    return 0;
}

/* The buffer's text so far, which it then forgets. */
static const char *taken(void)
{
    tr_buf_append_char(&buf, '\0');
    assert_false(buf.failed);
    tr_buf_reset(&buf);
    return buf.data;
}

static const char *string_of(const char *data, size_t length)
{
    assert_true(tr_json_string(&buf, data, length));
    return taken();
}

static void strings_are_escaped_in_the_shortest_form(void **state)
{
    (void)state;
    assert_string_equal(string_of("", 0), "\"\"");
    assert_string_equal(string_of(NULL, 0), "\"\"");
    assert_string_equal(string_of("plain", 5), "\"plain\"");
    assert_string_equal(string_of("a\"b\\c/d", 7), "\"a\\\"b\\\\c/d\"");
    assert_string_equal(string_of("\b\t\n\f\r", 5), "\"\\b\\t\\n\\f\\r\"");
    assert_string_equal(string_of("\0\x01\x1f\x7f", 4), "\"\\u0000\\u0001\\u001f\x7f\"");
    assert_string_equal(string_of("gr\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80", 11),
                        "\"gr\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80\"");
}

/* The loops take 16 and 8 bytes at a time: the odd byte must be found at every place in them. */
static void an_odd_byte_is_found_at_every_place(void **state)
{
    (void)state;
    for (size_t length = 1; length <= 50; length++) {
        for (size_t place = 0; place < length; place++) {
            char text[64], expected[80];
            memset(text, 'x', length);
            text[place] = '\n';
            snprintf(expected, sizeof(expected), "\"%.*s\\n%.*s\"", (int)place, text,
                     (int)(length - place - 1), text + place + 1);
            assert_string_equal(string_of(text, length), expected);
            text[place] = '\xff';
            assert_false(tr_json_string(&buf, text, length));
            assert_int_equal(buf.length, 0);
        }
    }
}

static void a_string_of_escapes_outgrows_its_first_room(void **state)
{
    (void)state;
    char text[1000];
    memset(text, 1, sizeof(text));
    assert_true(tr_json_string(&buf, text, sizeof(text)));
    assert_int_equal(buf.length, 2 + 6 * sizeof(text));
    assert_memory_equal(buf.data, "\"\\u0001\\u0001", 13);
    assert_int_equal(buf.data[buf.length - 1], '"');
}

static void bytes_that_are_no_utf8_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "\x80",
        "\xbf",
        "\xc0\x80",
        "\xc1\xbf",
        "\xc3",
        "\xc3(",
        "\xe0\x80\x80",
        "\xe0\x9f\xbf",
        "\xe2\x82",
        "\xe2(\x80",
        "\xed\xa0\x80",
        "\xed\xbf\xbf",
        "\xf0\x80\x80\x80",
        "\xf0\x8f\xbf\xbf",
        "\xf4\x90\x80\x80",
        "\xf5\x80\x80",
        "\xfe",
        "\xff",
        "\xf0\x9f\x98",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        TR_JSON_LITERAL(&buf, "kept");
        assert_false(tr_json_string(&buf, bad[i], strlen(bad[i])));
        assert_false(tr_json_utf8_valid(bad[i], strlen(bad[i])));
        assert_string_equal(taken(), "kept");
    }
    static const char *const good[] = {
        "\xc2\x80",         "\xdf\xbf",         "\xe0\xa0\x80",
        "\xed\x9f\xbf",     "\xee\x80\x80",     "\xef\xbf\xbf",
        "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf", "eight or more \xc3\xbc and more than eight",
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(tr_json_utf8_valid(good[i], strlen(good[i])));
        assert_int_equal(strlen(string_of(good[i], strlen(good[i]))), strlen(good[i]) + 2);
    }
}

static void integers(void **state)
{
    (void)state;
    static const int64_t values[] = {0, 1, -1, 9, 10, 99, 100, -100, 12345, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        char expected[32];
        snprintf(expected, sizeof(expected), "%lld", (long long)values[i]);
        tr_json_int(&buf, values[i]);
        assert_string_equal(taken(), expected);
    }
    tr_json_uint(&buf, UINT64_MAX);
    assert_string_equal(taken(), "18446744073709551615");
    for (uint64_t power = 1; power <= UINT64_MAX / 10; power *= 10) {
        char expected[32];
        snprintf(expected, sizeof(expected), "%llu", (unsigned long long)power - 1);
        tr_json_uint(&buf, power - 1);
        assert_string_equal(taken(), expected);
    }
}

static const char *double_of(double value)
{
    assert_true(tr_json_double(&buf, value));
    return taken();
}

static const char *float_of(float value)
{
    assert_true(tr_json_float(&buf, value));
    return taken();
}

static void doubles_are_short(void **state)
{
    (void)state;
    assert_string_equal(double_of(0.0), "0");
    assert_string_equal(double_of(-0.0), "-0");
    assert_string_equal(double_of(1.0), "1");
    assert_string_equal(double_of(-12.34), "-12.34");
    assert_string_equal(double_of(0.1), "0.1");
    assert_string_equal(double_of(0.1 + 0.2), "0.30000000000000004");
    assert_string_equal(double_of(0.000001), "0.000001");
    assert_string_equal(double_of(-0.05), "-0.05");
    assert_string_equal(double_of(1e-7), "1e-07");
    assert_string_equal(double_of(1e20), "1e+20");
    assert_string_equal(double_of(9007199254740991.0), "9007199254740991");
    assert_string_equal(double_of(DBL_MAX), "1.7976931348623157e+308");
    assert_string_equal(double_of(5e-324), "5e-324");
    assert_string_equal(float_of(0.1F), "0.1");
    assert_string_equal(float_of(16777215.0F), "16777215");
    assert_string_equal(float_of(-3.4028235e38F), "-3.4028235e+38");
    assert_string_equal(float_of(0.33333334F), "0.33333334");
    assert_string_equal(float_of(1e10F), "1e+10");
    assert_string_equal(float_of(1e-45F), "1e-45");
    assert_false(tr_json_double(&buf, (double)NAN));
    assert_false(tr_json_double(&buf, -(double)INFINITY));
    assert_false(tr_json_float(&buf, INFINITY));
    assert_int_equal(buf.length, 0);
}

/* Numbers of every size: random bits, and random integers with up to 9 decimals. */
static void doubles_read_back(void **state)
{
    (void)state;
    uint64_t seed = 88172645463325252U;
    for (int i = 0; i < 200000; i++) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        double value;
        memcpy(&value, &seed, sizeof(value));
        if (i % 2 == 0)
            value = (double)(int64_t)(seed >> 20) / pow(10, (double)(i / 2 % 10));
        uint32_t bits = (uint32_t)seed;
        float small;
        memcpy(&small, &bits, sizeof(small));
        if (i % 2 == 0)
            small = (float)(bits >> 8) / powf(10, (float)(i / 2 % 8));
        if (isfinite(value))
            assert_true(strtod(double_of(value), NULL) == value);
        if (isfinite(small))
            assert_true(strtof(float_of(small), NULL) == small);
    }
}

/* Makes a locale whose numbers have a decimal comma, in a folder of its own, and enters it. */
static void enter_comma_locale(char *folder)
{
    char path[128], command[512];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/source", folder);
    FILE *source = fopen(path, "w");
    assert_non_null(source);
    fputs("LC_NUMERIC\ndecimal_point \",\"\nthousands_sep \"\"\ngrouping -1\n"
          "END LC_NUMERIC\n",
          source);
    assert_int_equal(fclose(source), 0);
    /* It warns of all the categories that are not there, and makes the one that is. */
    snprintf(command, sizeof(command), "localedef -c -i %s %s/xx_XX >%s/log 2>&1", path, folder,
             folder);
    assert_true(system(command) >= 0); /* NOLINT(cert-env33-c): all of it is ours */
    assert_int_equal(setenv("LOCPATH", folder, 1), 0);
    assert_non_null(setlocale(LC_NUMERIC, "xx_XX"));
}

static void numbers_ignore_the_locale(void **state)
{
    (void)state;
    char folder[] = "/tmp/test_json_writer.XXXXXX";
    char command[128];
    char check[16];
    enter_comma_locale(folder);
    snprintf(check, sizeof(check), "%g", 1.5);
    assert_string_equal(check, "1,5");
    assert_string_equal(double_of(1.0 / 3), "0.3333333333333333");
    assert_string_equal(double_of(1.5e-9), "1.5e-09");
    assert_string_equal(float_of(0.33333334F), "0.33333334");
    struct tr_json_value number = {.type = TR_JSON_NUMBER, .text = TR_SLICE("2.25")};
    double value;
    assert_true(tr_json_to_double(&number, &value));
    assert_true(value == 2.25);
    setlocale(LC_NUMERIC, "C");
    snprintf(command, sizeof(command), "rm -r %s", folder);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c) */
}

static void base64(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"", "\"\""},
        {"f", "\"Zg==\""},
        {"fo", "\"Zm8=\""},
        {"foo", "\"Zm9v\""},
        {"foob", "\"Zm9vYg==\""},
        {"fooba", "\"Zm9vYmE=\""},
        {"foobar", "\"Zm9vYmFy\""},
        {"\xff\xef\xbf", "\"/++/\""},
    };
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        tr_json_base64(&buf, pairs[i][0], strlen(pairs[i][0]));
        assert_string_equal(taken(), pairs[i][1]);
    }
}

static void members_and_words(void **state)
{
    (void)state;
    tr_buf_append_char(&buf, '{');
    tr_json_member(&buf, true, "a");
    tr_json_bool(&buf, true);
    tr_json_member(&buf, false, "b");
    tr_json_text(&buf, TR_SLICE("x"));
    tr_json_member(&buf, false, "c");
    tr_json_bool(&buf, false);
    tr_buf_append_char(&buf, '}');
    assert_string_equal(taken(), "{\"a\":true,\"b\":\"x\",\"c\":false}");
}

static void a_full_buffer_says_so(void **state)
{
    (void)state;
    char text[600];
    struct tr_error err = {0};
    struct tr_buf tight;
    memset(text, 2, sizeof(text));
    tr_buf_init(&tight, 1000);
    assert_true(tr_json_string(&tight, text, sizeof(text)));
    assert_true(tight.failed);
    assert_int_equal(tr_buf_check(&tight, "the row", &err), TR_ELIMIT);
    tr_json_base64(&tight, text, sizeof(text));
    tr_json_member(&tight, true, "a");
    assert_true(tight.length <= 1000);
    tr_buf_done(&tight);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(strings_are_escaped_in_the_shortest_form, begin, end),
        cmocka_unit_test_setup_teardown(an_odd_byte_is_found_at_every_place, begin, end),
        cmocka_unit_test_setup_teardown(a_string_of_escapes_outgrows_its_first_room, begin, end),
        cmocka_unit_test_setup_teardown(bytes_that_are_no_utf8_are_refused, begin, end),
        cmocka_unit_test_setup_teardown(integers, begin, end),
        cmocka_unit_test_setup_teardown(doubles_are_short, begin, end),
        cmocka_unit_test_setup_teardown(doubles_read_back, begin, end),
        cmocka_unit_test_setup_teardown(numbers_ignore_the_locale, begin, end),
        cmocka_unit_test_setup_teardown(base64, begin, end),
        cmocka_unit_test_setup_teardown(members_and_words, begin, end),
        cmocka_unit_test_setup_teardown(a_full_buffer_says_so, begin, end),
    };
    return cmocka_run_group_tests_name("json_writer", tests, NULL, NULL);
}
