/* test_rules.c - every form of a rule, their order, and what wrong ones say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "rules.h"

static const struct tr_node *tables;
static const struct tr_option options[] = {
    {.key = "tables", .type = TR_OPT_NODE, .help = "The tables."},
    {.key = NULL},
};
static const struct tr_section sections[] = {
    {.name = "sqlite", .options = options, .target = &tables},
    {.name = NULL},
};

static char path[] = "/tmp/tr_rules_XXXXXX";
static struct tr_config *config;
static struct tr_rules *rules;
static struct tr_error err;

static int make_file(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    return fd >= 0 && close(fd) == 0 ? 0 : -1;
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

static int release(void **state)
{
    (void)state;
    tr_rules_free(rules);
    tr_config_free(config);
    rules = NULL;
    config = NULL;
    tables = NULL;
    tr_error_reset(&err);
    return 0;
}

/* Reads `tables: <yaml>`; 0 or the error of the rules. */
static int parse(const char *yaml)
{
    (void)release(NULL);
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    fprintf(out, "sqlite:\n  tables: %s\n", yaml);
    fclose(out);
    assert_int_equal(tr_config_load(&config, path, NULL, 0, sections, &err), 0);
    return tr_rules_parse(&rules, tables, &err);
}

static bool match(const char *database, const char *table)
{
    return tr_rules_match(rules, tr_slice_of(database), tr_slice_of(table), NULL);
}

static bool may(const char *database)
{
    return tr_rules_may_match_database(rules, tr_slice_of(database));
}

/* NULL is a part that can't be read. */
static bool may_unreadable(const char *database, const char *table)
{
    const struct tr_slice names[] = {tr_slice_of(database != NULL ? database : ""),
                                     tr_slice_of(table != NULL ? table : "")};
    return tr_rules_may_match_unreadable(rules, database != NULL ? &names[0] : NULL,
                                         table != NULL ? &names[1] : NULL);
}

static const struct tr_node *settings_of(const char *database, const char *table)
{
    const struct tr_node *settings = NULL;
    assert_true(tr_rules_match(rules, tr_slice_of(database), tr_slice_of(table), &settings));
    return settings;
}

static void expect_error(const char *yaml, const char *part)
{
    assert_int_equal(parse(yaml), TR_ECONFIG);
    assert_non_null(strstr(err.text, part));
    assert_non_null(strstr(err.text, ":2: "));
    assert_null(rules);
}

static void test_no_rules(void **state)
{
    static const char *const nothing[] = {"", "[]", "{}"};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(parse(nothing[i]), 0);
        assert_true(match("shop", "orders"));
        assert_true(may("shop"));
        assert_false(match("mysql", "user"));
        assert_false(match("sys", "x"));
        assert_false(match("INFORMATION_SCHEMA", "x"));
        assert_false(match("performance_schema", "x"));
        assert_false(may("mysql"));
        assert_true(match("mysql2", "user"));
    }
    (void)release(NULL);
    assert_int_equal(tr_rules_parse(&rules, NULL, &err), 0);
    assert_true(match("shop", "orders"));
}

static void test_names_and_wildcards(void **state)
{
    (void)state;
    assert_int_equal(parse("[shop.orders, \"log_*.a*z\", \"*.x\"]"), 0);
    assert_true(match("shop", "orders"));
    assert_false(match("shop", "orders2"));
    assert_false(match("Shop", "orders"));
    assert_true(match("log_1", "az"));
    assert_true(match("log_", "abczz"));
    assert_false(match("log_1", "abc"));
    assert_true(match("anything", "x"));
    assert_false(match("mysql", "x"));
    assert_int_equal(parse("shop.*"), 0);
    assert_true(match("shop", "orders"));
    assert_false(match("crm", "orders"));
    assert_false(may("crm"));
}

static void test_quoted(void **state)
{
    (void)state;
    assert_int_equal(parse("[\"`odd.name`.`t 1`\", \"`a``b`.`*`\", \"shop.`x*`\"]"), 0);
    assert_true(match("odd.name", "t 1"));
    assert_true(match("a`b", "*"));
    assert_false(match("a`b", "other"));
    assert_true(match("shop", "x*"));
    assert_false(match("shop", "xy"));
}

static void test_regex(void **state)
{
    (void)state;
    assert_int_equal(parse("['/^shop\\.log_\\d+$/', '!/_\\D2$/', '/^a\\\\d/']"), 0);
    assert_true(match("shop", "log_17"));
    assert_false(match("shop", "log_x"));
    assert_false(match("shop", "log_"));
    assert_false(match("myshop", "log_17"));
    assert_true(match("a\\d", "x"));
    assert_true(may("anything"));
    /* What looks like a repetition of one, and is none. */
    assert_int_equal(parse("['/^[*+]+\\.[]*+]*[^]+]?[[:alpha:]*+]{1,3}\\++(a+)+$/']"), 0);
    assert_true(match("+*", "*]++bb++aa"));
    /* Nor are repetitions side by side too many. */
    assert_int_equal(parse("['/^tenant_[0-9]{6}\\.events_[0-9]{4}_[0-9]{2}_[0-9]{2}$/',"
                           "'/^[a-z]{1,64}\\.[a-z0-9_]{1,64}$/',"
                           "'/^(a)?(b)?(c)?(d)?(e)?(f)?(g)?(h)?(i)?(j)+x$/']"),
                     0);
    assert_true(match("tenant_000017", "events_2026_01_31"));
    assert_true(match("abc", "dejx"));
    /* A backslash in brackets is one of their characters, but for \d. */
    assert_int_equal(parse("['/^[\\d_]+\\.[x\\]+$/']"), 0);
    assert_true(match("1_2", "x\\"));
    assert_false(match("d", "x"));
    assert_int_equal(parse("['/user/']"), 0);
    assert_true(match("app", "users"));
    assert_false(match("mysql", "user"));
}

static void test_order(void **state)
{
    (void)state;
    assert_int_equal(parse("[\"shop.*\", \"!shop.tmp_*\", shop.tmp_keep]"), 0);
    assert_true(match("shop", "orders"));
    assert_false(match("shop", "tmp_1"));
    assert_true(match("shop", "tmp_keep"));
    assert_false(match("crm", "orders"));
    assert_int_equal(parse("[\"!shop.*\", shop.orders]"), 0);
    assert_true(match("crm", "x"));
    assert_false(match("shop", "x"));
    assert_true(match("shop", "orders"));
    assert_false(match("mysql", "user"));
    assert_true(may("shop"));
    assert_int_equal(parse("[\"!shop.*\"]"), 0);
    assert_false(may("shop"));
    assert_true(may("crm"));
}

static void test_system_by_name(void **state)
{
    (void)state;
    assert_int_equal(parse("[\"*.*\", mysql.time_zone, \"!sys.*\"]"), 0);
    assert_true(match("mysql", "time_zone"));
    assert_false(match("mysql", "user"));
    assert_false(match("sys", "x"));
    assert_true(may("mysql"));
    assert_false(may("sys"));
}

static void test_settings(void **state)
{
    (void)state;
    assert_int_equal(parse("[\"shop.*\", {table: shop.product, key: a}, {table: \"shop.p*\"}]"), 0);
    assert_null(settings_of("shop", "orders"));
    assert_null(tr_node_get(settings_of("shop", "product"), "key"));
    assert_string_equal(tr_node_text(settings_of("shop", "pear"), "table", ""), "shop.p*");
    assert_int_equal(parse("{shop.product: {key: b}, crm.person: , \"shop.*\": }"), 0);
    assert_string_equal(tr_node_text(settings_of("shop", "product"), "key", ""), "b");
    assert_null(settings_of("crm", "person"));
    assert_null(settings_of("shop", "x"));
    assert_false(match("crm", "x"));
}

static int count_settings(void *context, const char *pattern, const struct tr_node *settings,
                          struct tr_error *error)
{
    static const char *const known[] = {"table", "key", NULL};
    (*(int *)context)++;
    return tr_node_check_keys(settings, pattern, known, error);
}

static void test_each_settings(void **state)
{
    int count = 0;
    (void)state;
    assert_int_equal(parse("[a.b, {table: c.d, key: 1}, {table: e.f, kay: 1}]"), 0);
    assert_int_equal(tr_rules_each_settings(rules, count_settings, &count, &err), TR_ECONFIG);
    assert_int_equal(count, 2);
    assert_non_null(strstr(err.text, "e.f: unknown key 'kay'; did you mean 'key'?"));
}

static void test_bad_rules(void **state)
{
    (void)state;
    expect_error("[shop]", "expected database.table, or database.*");
    expect_error("[\"my shop.x\"]", "needs back-ticks");
    expect_error("[a.b.c]", "needs back-ticks");
    expect_error("[\"`a.b\"]", "the closing back-tick is missing");
    expect_error("[\".b\"]", "is empty");
    expect_error("['/(/']", "rule '/(/': ");
    expect_error("['/[a\\\\D]/']", "can't stand in brackets");
    expect_error("['/(a{100}){50}/']", "too large");
    expect_error("['/a{5000}/']", "too large");
    expect_error("['/a{99999999999999999999}/']", "too large");
    expect_error("['/(((((((((a+)+)+)+)+)+)+)+)+)+/']", "too many groups inside");
    expect_error("['/((a|b*)?(a|b*)?(a|b*)?(a|b*)?(a|b*)?(a|b*)?(a|b*)?(a|b*)?(a|b*)?(a|b*)?"
                 "(a|b*)?)*/']",
                 "too many groups inside");
    expect_error("['/((a{600}b)*c){2}/']", "too many groups inside");
    expect_error("['/(((((((((((((((((((((((((((((((((a)))))))))))))))))))))))))))))))))/']",
                 "groups are too deep");
    expect_error("['/((((((((((((a*)*)*)*)*)*)*)*)*)*)*)*)*/']", "too many groups inside");
    expect_error("['/a++/']", "needs parentheses");
    expect_error("['/[+*]**/']", "needs parentheses");
    expect_error("['/a{2}{3}/']", "needs parentheses");
    expect_error("['/x']", "an expression is written /…/");
    expect_error("[{tabel: a.b}]", "a map with the key 'table'");
    expect_error("[[a.b]]", "a rule is a pattern");
    expect_error("{a.b: 5}", "expected settings");
    expect_error("[{table: \"!a.b\"}]", "an exclusion takes no settings");
}

static void test_names_that_cannot_be_read(void **state)
{
    (void)state;
    assert_int_equal(parse("[shop.größe, shop.orders, \"log.*\", straße.orders]"), 0);
    assert_true(may_unreadable("shop", NULL));
    assert_true(may_unreadable("log", NULL));
    assert_true(may_unreadable(NULL, "orders"));
    assert_false(may_unreadable(NULL, "items"));
    assert_false(may_unreadable("straße", NULL));
    assert_false(may_unreadable("other", NULL));
    assert_false(may_unreadable(NULL, NULL));
    assert_int_equal(parse("[\"shop.*\", \"!shop.größe\", \"!sh*.*\"]"), 0);
    assert_false(may_unreadable("shop", NULL));
    assert_int_equal(parse("[\"shop.*\", \"!shop.größe\", \"!shop.g*\"]"), 0);
    assert_true(may_unreadable("shop", NULL));
    assert_int_equal(parse("[\"/^shop[.]/\"]"), 0);
    assert_true(may_unreadable("shop", NULL));
    assert_true(may_unreadable(NULL, "orders"));
    assert_false(may_unreadable("mysql", NULL));
    assert_int_equal(parse("[\"!shop.*\"]"), 0);
    assert_true(may_unreadable("other", NULL));
    assert_false(may_unreadable("shop", NULL));
    assert_true(may_unreadable(NULL, NULL));
    assert_false(may_unreadable("mysql", NULL));
}

static void test_a_setting_of_all(void **state)
{
    (void)state;
    assert_int_equal(parse("[{table: shop.a, ttl: 1h}, {table: \"log.*\", ttl: 1d}]"), 0);
    assert_true(tr_rules_all_have(rules, "ttl"));
    assert_false(tr_rules_all_have(rules, "key"));
    assert_int_equal(parse("[{table: \"shop.*\", ttl: 1h}, \"!shop.x\"]"), 0);
    assert_true(tr_rules_all_have(rules, "ttl"));
    assert_int_equal(parse("[{table: shop.a, ttl: 1h}, shop.b]"), 0);
    assert_false(tr_rules_all_have(rules, "ttl"));
    assert_int_equal(parse("[\"!shop.x\", {table: shop.a, ttl: 1h}]"), 0);
    assert_false(tr_rules_all_have(rules, "ttl")); /* begins with everything */
    assert_int_equal(parse("[]"), 0);
    assert_false(tr_rules_all_have(rules, "ttl"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_no_rules, release),
        cmocka_unit_test_teardown(test_names_and_wildcards, release),
        cmocka_unit_test_teardown(test_quoted, release),
        cmocka_unit_test_teardown(test_regex, release),
        cmocka_unit_test_teardown(test_order, release),
        cmocka_unit_test_teardown(test_system_by_name, release),
        cmocka_unit_test_teardown(test_names_that_cannot_be_read, release),
        cmocka_unit_test_teardown(test_settings, release),
        cmocka_unit_test_teardown(test_each_settings, release),
        cmocka_unit_test_teardown(test_a_setting_of_all, release),
        cmocka_unit_test_teardown(test_bad_rules, release),
    };
    return cmocka_run_group_tests_name("rules", tests, make_file, remove_file);
}
