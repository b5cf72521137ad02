/* test_redis_template.c - keys of rows: every key column, and no two rows with one key. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "harness.h"
#include "redis_sink.h"
#include "template.h"

#define COLUMNS                                                                                    \
    "[{\"name\":\"a\",\"type\":\"int\",\"nullable\":false},"                                       \
    "{\"name\":\"b\",\"type\":\"varchar\",\"nullable\":false,\"length\":9,"                        \
    "\"charset\":\"utf8mb4\"},{\"name\":\"c\",\"type\":\"int\",\"nullable\":true}]"

struct fixture {
    struct harness h; /* only its arena and error are used */
    const struct tr_shape *one, *two;
};

static int setup(void **state)
{
    static struct fixture f;
    memset(&f, 0, sizeof(f));
    tr_arena_init(&f.h.arena, 4096, 0);
    f.one = harness_shape(&f.h, "shop", "or:der", 1, COLUMNS, "[\"b\"]");
    f.two = harness_shape(&f.h, "shop", "item", 1, COLUMNS, "[\"a\",\"b\"]");
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    tr_arena_done(&f->h.arena);
    return 0;
}

static void assert_key(const struct tr_shape *shape, const char *template_text,
                       const char *record_key, const char *expected)
{
    struct rd_template template;
    struct tr_error err;
    struct tr_buf out;
    tr_error_reset(&err);
    tr_buf_init(&out, 4096);
    assert_int_equal(rd_template_parse(&template, template_text, shape, &err), 0);
    assert_int_equal(rd_template_key(&template, shape, NULL, tr_slice_of(record_key), &out, &err),
                     0);
    tr_buf_append_char(&out, '\0');
    assert_string_equal(out.data, expected);
    tr_buf_done(&out);
    rd_template_done(&template);
}

static void assert_refused(const struct tr_shape *shape, const char *text, const char *why)
{
    struct rd_template template;
    struct tr_error err;
    tr_error_reset(&err);
    assert_int_equal(rd_template_parse(&template, text, shape, &err), TR_ECONFIG);
    if (strstr(err.text, why) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err.text, why);
}

static void keys_are_rendered(void **state)
{
    struct fixture *f = *state;
    const char *one = "{\"database\":\"shop\",\"table\":\"or:der\",\"pk.b\":\"x:%\\n\"}";
    const char *two = "{\"database\":\"shop\",\"table\":\"item\",\"pk.a\":5,\"pk.b\":\"x:%y\"}";
    assert_key(f->one, "{b}", one, "x:%\n");
    assert_key(f->one, "p:{b}", one, "p:x:%\n");
    assert_key(f->one, "{database}:{table}:{pk}", one, "shop:or%3Ader:x%3A%25\n");
    assert_key(f->two, "{database}:{table}:{pk}", two, "shop:item:5:x%3A%25y");
    assert_key(f->two, "i:{pk}", two, "i:5:x%3A%25y");
    assert_key(f->two, "{{{b}-:{a}}", two, "{x%3A%25y-:5}");
}

static void bad_templates_are_refused(void **state)
{
    struct fixture *f = *state;
    assert_refused(f->two, "x:{a}", "leaves out the key column b");
    assert_refused(f->one, "x:{b}:{c}", "names what is no key column: c");
    assert_refused(f->one, "x:{b", "{ without }");
    assert_refused(f->two, "{a}{b}", "needs a : between two columns");
    assert_refused(f->two, "x:{b}-{a}", "needs a : between two columns");
}

/* Two different keys never give one text. */
static void encoding_keeps_keys_apart(void **state)
{
    struct fixture *f = *state;
    assert_key(f->two, "{pk}", "{\"database\":\"\",\"table\":\"\",\"pk.a\":1,\"pk.b\":\"2:3\"}",
               "1:2%3A3");
    assert_key(f->two, "{pk}", "{\"database\":\"\",\"table\":\"\",\"pk.a\":1,\"pk.b\":\"2%3A3\"}",
               "1:2%253A3");
    assert_key(f->two, "{pk}", "{\"database\":\"\",\"table\":\"\",\"pk.a\":1,\"pk.b\":\"%%::\"}",
               "1:%25%25%3A%3A");
    assert_key(f->two, "{pk}", "{\"database\":\"\",\"table\":\"\",\"pk.a\":1,\"pk.b\":\"\"}", "1:");
    assert_key(f->two, "{pk}", "{\"database\":\"\",\"table\":\"\",\"pk.a\":1,\"pk.b\":null}",
               "1:%null");
    assert_key(f->two, "{pk}", "{\"database\":\"\",\"table\":\"\",\"pk.a\":1,\"pk.b\":\"%null\"}",
               "1:%25null");
    assert_key(f->two, "{pk}",
               "{\"database\":\"\",\"table\":\"\",\"pk.a\":1,\"pk.b\":\"\\u00e9 *?[\"}", "1:é *?[");
}

static void other_columns_are_poison(void **state)
{
    struct fixture *f = *state;
    struct rd_template template;
    struct tr_error err;
    struct tr_buf out;
    tr_error_reset(&err);
    tr_buf_init(&out, 4096);
    assert_int_equal(rd_template_parse(&template, "{a}:{b}", f->two, &err), 0);
    const char *key = "{\"database\":\"shop\",\"table\":\"item\",\"pk.a\":5}";
    assert_int_equal(rd_template_key(&template, f->two, NULL, tr_slice_of(key), &out, &err),
                     TR_EPOISON);
    tr_error_reset(&err);
    key = "{\"database\":\"shop\",\"table\":\"item\",\"pk.b\":5,\"pk.a\":5}";
    assert_int_equal(rd_template_key(&template, f->two, NULL, tr_slice_of(key), &out, &err),
                     TR_EPOISON);
    assert_non_null(strstr(err.text, "pk.b"));
    rd_template_done(&template);
    tr_error_reset(&err);
    assert_int_equal(rd_template_parse(&template, "{b}", f->one, &err), 0);
    key = "{\"database\":\"shop\",\"table\":\"or:der\",\"pk.b\":null}";
    assert_int_equal(rd_template_key(&template, f->one, NULL, tr_slice_of(key), &out, &err),
                     TR_EPOISON);
    tr_buf_done(&out);
    rd_template_done(&template);
}

static int check_two(struct fixture *f, const char *one, const char *two)
{
    struct tr_node key[] = {{.type = TR_NODE_SCALAR, .key = "key", .text = one},
                            {.type = TR_NODE_SCALAR, .key = "key", .text = two}};
    const struct tr_node rules[] = {{.type = TR_NODE_MAP, .child = &key[0]},
                                    {.type = TR_NODE_MAP, .child = &key[1]}};
    struct tr_sink_table tables[] = {{.database = f->one->database, .table = f->one->table},
                                     {.database = f->two->database, .table = f->two->table}};
    tables[0].settings = one != NULL ? &rules[0] : NULL;
    tables[1].settings = two != NULL ? &rules[1] : NULL;
    tr_error_reset(&f->h.err);
    return tr_redis_sink_ops.check_named(tables, 2, &f->h.err);
}

static void named_tables_do_not_share_a_prefix(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(check_two(f, NULL, NULL), 0);
    assert_int_equal(check_two(f, "order:{b}", "item:{pk}"), 0);
    assert_int_equal(check_two(f, "row:{b}", "row:{pk}"), TR_ECONFIG);
    assert_non_null(strstr(f->h.err.text, "can't be told apart"));
    assert_int_equal(check_two(f, NULL, "shop:{pk}"), TR_ECONFIG);
    assert_int_equal(check_two(f, "{b}", NULL), TR_ECONFIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_rendered),
        cmocka_unit_test(encoding_keeps_keys_apart),
        cmocka_unit_test(bad_templates_are_refused),
        cmocka_unit_test(other_columns_are_poison),
        cmocka_unit_test(named_tables_do_not_share_a_prefix),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
