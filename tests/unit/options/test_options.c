/* test_options.c - the layers of a configuration, every type of value, and what errors say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "options.h"

struct source {
    const char *host;
    const char *password;
    int64_t port;
    int tls_mode;
    const char *tls_ca;
    int64_t wait_ms;
    int64_t bytes;
    bool fast;
    struct tr_string_list hosts;
    const struct tr_node *tables;
};

static struct {
    const char *pipeline;
} top;
static struct source source;
static const struct tr_node *kafka;

static const struct tr_option top_options[] = {
    {.key = "pipeline", .type = TR_OPT_STRING, .help = "Names the pipeline."},
    {.key = NULL},
};

static const struct tr_option source_options[] = {
    {.key = "host",
     .type = TR_OPT_STRING,
     .offset = offsetof(struct source, host),
     .def = "127.0.0.1",
     .common = true,
     .help = "The server."},
    {.key = "password",
     .type = TR_OPT_SECRET,
     .offset = offsetof(struct source, password),
     .help = "Its password."},
    {.key = "port",
     .type = TR_OPT_INT,
     .offset = offsetof(struct source, port),
     .def = "3306",
     .min = 1,
     .max = 65535,
     .help = "Its port."},
    {.key = "tls.mode",
     .type = TR_OPT_ENUM,
     .offset = offsetof(struct source, tls_mode),
     .def = "off",
     .values = "off|required|verify_ca",
     .help = "Whether TLS is used."},
    {.key = "tls.ca",
     .type = TR_OPT_STRING,
     .offset = offsetof(struct source, tls_ca),
     .help = "The authority."},
    {.key = "wait",
     .type = TR_OPT_DURATION,
     .offset = offsetof(struct source, wait_ms),
     .def = "10s",
     .help = "How long."},
    {.key = "bytes",
     .type = TR_OPT_SIZE,
     .offset = offsetof(struct source, bytes),
     .def = "4MiB",
     .min = 1,
     .max = 1 << 30,
     .help = "How much."},
    {.key = "fast",
     .type = TR_OPT_BOOL,
     .offset = offsetof(struct source, fast),
     .help = "Whether fast."},
    {.key = "hosts",
     .type = TR_OPT_LIST,
     .offset = offsetof(struct source, hosts),
     .help = "More servers."},
    {.key = "tables",
     .type = TR_OPT_NODE,
     .offset = offsetof(struct source, tables),
     .help = "The tables."},
    {.key = NULL},
};

static const struct tr_option kafka_options[] = {
    {.key = "bootstrap.servers", .def = "127.0.0.1:9092", .common = true, .help = "The brokers."},
    {.key = "linger.ms", .help = "How long to collect."},
    {.key = NULL},
};

static const struct tr_rule_key rule_keys[] = {
    {"index", "TEXT", "rows", "Where they go."},
    {"fields", "MAP", NULL, "Their types."},
    {0},
};

static const struct tr_section sections[] = {
    {.name = "", .options = top_options, .target = &top},
    {.name = "source",
     .options = source_options,
     .target = &source,
     .rule_keys = rule_keys,
     .help = "Where rows come from."},
    {.name = "kafka",
     .options = kafka_options,
     .target = &kafka,
     .free_map = true,
     .help = "any property of librdkafka"},
    {.name = NULL},
};

static char folder[] = "/tmp/tr_options_XXXXXX";
static struct tr_error err;

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) != NULL && chdir(folder) == 0 ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink("tailrace.yaml");
    unlink("secret");
    return chdir("/") == 0 && rmdir(folder) == 0 ? 0 : -1;
}

static int reset(void **state)
{
    static const char *const names[] = {
        "TAILRACE_PIPELINE",
        "TAILRACE_SOURCE_HOST",
        "TAILRACE_SOURCE_TLS_MODE",
        "TAILRACE_SOURCE_TABLES",
        "TAILRACE_SOURCE_PASSWORD",
        "TAILRACE_SOURCE_PASSWORD_FILE",
        "TAILRACE_SOURCE_PROT",
        "TAILRACE_KAFKA_LINGER_MS",
        "TAILRACE_KAFKA_SASL_PASSWORD_FILE",
        "TAILRACE_KAFKA_MY_KEY",
        "TAILRACE_KAFKA_BOOTSTRAP_SERVERS",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        unsetenv(names[i]);
    memset(&source, 0, sizeof(source));
    kafka = NULL;
    tr_error_reset(&err);
    return 0;
}

static void write_file(const char *path, const char *text)
{
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    fputs(text, out);
    assert_int_equal(fclose(out), 0);
}

static struct tr_config *load_with(const char *yaml, const char *const *overrides, size_t count)
{
    struct tr_config *config = NULL;
    write_file("tailrace.yaml", yaml);
    int rc = tr_config_load(&config, NULL, overrides, count, sections, &err);
    assert_int_equal(rc, err.code);
    return config;
}

static struct tr_config *load(const char *yaml)
{
    return load_with(yaml, NULL, 0);
}

static void expect_error(const char *yaml, const char *text)
{
    tr_error_reset(&err);
    assert_null(load(yaml));
    assert_int_equal(err.code, TR_ECONFIG);
    assert_string_equal(err.text, text);
}

static void test_defaults(void **state)
{
    (void)state;
    struct tr_config *config = load("");
    assert_non_null(config);
    assert_string_equal(source.host, "127.0.0.1");
    assert_string_equal(source.password, "");
    assert_int_equal(source.port, 3306);
    assert_int_equal(source.tls_mode, 0);
    assert_int_equal(source.wait_ms, 10000);
    assert_int_equal(source.bytes, 4 << 20);
    assert_false(source.fast);
    assert_null(source.tables);
    assert_string_equal(top.pipeline, "");
    assert_string_equal(tr_node_text(kafka, "bootstrap.servers", "?"), "127.0.0.1:9092");
    assert_string_equal(tr_config_path(config), "./tailrace.yaml");
    tr_config_free(config);
}

static void test_file(void **state)
{
    (void)state;
    struct tr_config *config = load("pipeline: shop\n"
                                    "redis: {whatever: 1}\n"
                                    "source:\n"
                                    "  host: db1\n"
                                    "  port: 3307\n"
                                    "  password: 'p#w'\n"
                                    "  tls: {mode: verify_ca, ca: /ca.pem}\n"
                                    "  wait: 2h\n"
                                    "  bytes: 64KiB\n"
                                    "  fast: yes\n"
                                    "  hosts: [a, \"b,c\"]\n"
                                    "  tables: [\"shop.*\", {table: x.y, key: '{id}'}]\n"
                                    "kafka:\n"
                                    "  bootstrap.servers: [h1:1, h2:2]\n"
                                    "  ssl: {ca.location: /x}\n");
    assert_non_null(config);
    assert_string_equal(top.pipeline, "shop");
    assert_string_equal(source.host, "db1");
    assert_int_equal(source.port, 3307);
    assert_string_equal(source.password, "p#w");
    assert_int_equal(source.tls_mode, 2);
    assert_string_equal(source.tls_ca, "/ca.pem");
    assert_int_equal(source.wait_ms, 7200000);
    assert_int_equal(source.bytes, 65536);
    assert_true(source.fast);
    assert_int_equal(source.hosts.count, 2);
    assert_string_equal(source.hosts.items[1], "b,c");
    assert_int_equal(source.tables->type, TR_NODE_LIST);
    assert_string_equal(source.tables->child->text, "shop.*");
    assert_string_equal(tr_node_text(source.tables->child->next, "key", ""), "{id}");
    assert_int_equal(source.tables->child->line, 12);
    assert_string_equal(tr_node_text(kafka, "bootstrap.servers", ""), "h1:1,h2:2");
    assert_string_equal(tr_node_text(kafka, "ssl.ca.location", ""), "/x");
    tr_config_free(config);
}

static void test_precedence(void **state)
{
    (void)state;
    static const char *const overrides[] = {"source.host=line", "source.host=last",
                                            "source.fast=true", "kafka.linger.ms=3",
                                            "pipeline=by-line"};
    const char *yaml = "source: {host: file, tls.mode: required}\nkafka: {linger.ms: 1}\n";
    setenv("TAILRACE_SOURCE_HOST", "environment", 1);
    setenv("TAILRACE_SOURCE_TLS_MODE", "verify_ca", 1);
    setenv("TAILRACE_SOURCE_TABLES", "[\"a.*\", b.c]", 1);
    setenv("TAILRACE_KAFKA_LINGER_MS", "2", 1);
    setenv("TAILRACE_PIPELINE", "by-environment", 1);
    struct tr_config *config = load(yaml);
    assert_non_null(config);
    assert_string_equal(source.host, "environment");
    assert_int_equal(source.tls_mode, 2);
    assert_string_equal(source.tables->child->next->text, "b.c");
    assert_string_equal(tr_node_text(kafka, "linger.ms", ""), "2");
    assert_string_equal(top.pipeline, "by-environment");
    tr_config_free(config);
    config = load_with(yaml, overrides, 5);
    assert_non_null(config);
    assert_string_equal(source.host, "last");
    assert_true(source.fast);
    assert_string_equal(tr_node_text(kafka, "linger.ms", ""), "3");
    assert_string_equal(top.pipeline, "by-line");
    tr_config_free(config);
}

static void test_free_map_variables(void **state)
{
    (void)state;
    write_file("secret", "hidden\nsecond line\n");
    setenv("TAILRACE_KAFKA_BOOTSTRAP_SERVERS", "k:1", 1);
    setenv("TAILRACE_KAFKA_MY_KEY", "v", 1);
    setenv("TAILRACE_KAFKA_SASL_PASSWORD_FILE", "secret", 1);
    struct tr_config *config = load("kafka: {my_key: file}\n");
    assert_non_null(config);
    assert_string_equal(tr_node_text(kafka, "bootstrap.servers", ""), "k:1");
    assert_string_equal(tr_node_text(kafka, "my_key", ""), "v");
    assert_null(tr_node_get(kafka, "my.key"));
    assert_string_equal(tr_node_text(kafka, "sasl.password", ""), "hidden");
    tr_config_free(config);
    config = load("source: {port: 1}\n");
    assert_non_null(config);
    assert_string_equal(tr_node_text(kafka, "my.key", ""), "v");
    tr_config_free(config);
}

static void test_secrets_in_urls(void **state)
{
    (void)state;
    static const char *const refused[] = {
        "source.host=redis://u:pw@h:1", "source.host=x://:p:/@@[::1]",
        "source.hosts=http://a:1,http://u:p,w@b", "source.hosts=http://u:pw@a,http://b:1"};
    static const char *const taken[] = {"source.host=redis://u@h:1", "source.host=x://[::1]:1/2",
                                        "source.hosts=http://a:1,http://u@b:2"};
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        tr_error_reset(&err);
        assert_null(load_with("", &refused[i], 1));
        assert_int_equal(err.code, TR_ECONFIG);
        assert_non_null(strstr(err.text, "others can read it; use source.password_file"));
    }
    for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
        tr_error_reset(&err);
        struct tr_config *config = load_with("", &taken[i], 1);
        assert_non_null(config);
        tr_config_free(config);
    }
}

static void test_secrets(void **state)
{
    (void)state;
    static const char *const by_line[] = {"source.password=x"};
    static const char *const kafka_by_line[] = {"kafka.sasl.password=x"};
    write_file("secret", "from file\r\n");
    struct tr_config *config = load("source: {password_file: secret}\nkafka: {a.b_file: secret}\n");
    assert_non_null(config);
    assert_string_equal(source.password, "from file");
    assert_string_equal(tr_node_text(kafka, "a.b", ""), "from file");
    tr_config_free(config);
    setenv("TAILRACE_SOURCE_PASSWORD", "from environment", 1);
    config = load("source: {password_file: secret}\n");
    assert_non_null(config);
    assert_string_equal(source.password, "from environment");
    tr_config_free(config);
    assert_null(load_with("", by_line, 1));
    assert_non_null(strstr(err.text, "not taken from the command line"));
    tr_error_reset(&err);
    assert_null(load_with("", kafka_by_line, 1));
    assert_non_null(strstr(err.text, "not taken from the command line"));
    unsetenv("TAILRACE_SOURCE_PASSWORD");
    expect_error("source: {password: a, password_file: secret}\n",
                 "./tailrace.yaml:1: source.password_file is given twice, as a text and as a file");
    expect_error("source: {password_file: nowhere}\n",
                 "./tailrace.yaml:1: source.password_file: cannot read nowhere: "
                 "No such file or directory");
}

static void test_bad_values(void **state)
{
    (void)state;
    expect_error("source:\n  port: 99999\n",
                 "./tailrace.yaml:2: source.port: 99999 is outside 1 to 65535");
    expect_error("source: {port: 12x}",
                 "./tailrace.yaml:1: source.port: '12x' is not a whole number");
    expect_error("source: {wait: 10}", "./tailrace.yaml:1: source.wait: '10' is not a duration "
                                       "like 500ms, 10s, 5m, 2h or 7d");
    expect_error("source: {wait: 99999999999999999h}",
                 "./tailrace.yaml:1: source.wait: '99999999999999999h' is not a duration like "
                 "500ms, 10s, 5m, 2h or 7d");
    expect_error("source: {bytes: 2GiB}", "./tailrace.yaml:1: source.bytes: 2GiB is outside 1 to "
                                          "1073741824 bytes");
    expect_error("source: {bytes: 2GB}", "./tailrace.yaml:1: source.bytes: '2GB' is not a size "
                                         "like 512, 64KiB, 4MiB or 1GiB");
    expect_error("source: {fast: maybe}",
                 "./tailrace.yaml:1: source.fast: 'maybe' is neither true nor false");
    expect_error("source: {tls: {mode: on}}",
                 "./tailrace.yaml:1: source.tls.mode: 'on' is none of off|required|verify_ca");
    expect_error("source: {host: [a, b]}", "./tailrace.yaml:1: source.host: expected one value");
    expect_error("source: 5", "./tailrace.yaml:1: source: expected settings like {key: value}");
    expect_error("source: {tls.ca: a, tls: {ca: b}}",
                 "./tailrace.yaml:1: source.tls.ca is given twice");
}

static void test_unknown_keys(void **state)
{
    (void)state;
    static const char *const by_line[] = {"sauce.host=x"};
    static const char *const far[] = {"elsewhere.host=x"};
    expect_error("source:\n  host: a\n  prot: 1\n",
                 "./tailrace.yaml:3: source.prot: unknown key; did you mean source.port?");
    expect_error("source: {tls: {mod: off}}",
                 "./tailrace.yaml:1: source.tls.mod: unknown key; did you mean source.tls.mode?");
    expect_error("source: {colour: 1}", "./tailrace.yaml:1: source.colour: unknown key; see help");
    expect_error("sorce: {}", "./tailrace.yaml:1: unknown section 'sorce'; did you mean 'source'?");
    expect_error("elasticserach: {}", "./tailrace.yaml:1: unknown section 'elasticserach'; did you "
                                      "mean 'elasticsearch'?");
    setenv("TAILRACE_SOURCE_PROT", "1", 1);
    expect_error("", "environment TAILRACE_SOURCE_PROT: source.prot: unknown key; did you mean "
                     "source.port?");
    unsetenv("TAILRACE_SOURCE_PROT");
    tr_error_reset(&err);
    assert_null(load_with("", by_line, 1));
    assert_int_equal(err.code, TR_EUSAGE);
    assert_string_equal(err.text, "unknown option --sauce.host; did you mean --source.host?");
    tr_error_reset(&err);
    assert_null(load_with("", far, 1));
    assert_string_equal(err.text, "unknown option --elsewhere.host; see help");
}

static void test_bad_yaml(void **state)
{
    (void)state;
    expect_error("source: {host: a\n", "./tailrace.yaml:2: not valid YAML: did not find expected "
                                       "',' or '}' while parsing a flow mapping");
    expect_error("source: {host: *x}\n",
                 "./tailrace.yaml:1: anchors (&x) and aliases (*x) are not supported; a text that "
                 "begins with * or & needs quotes");
    expect_error("source: {host: a}\nsource: {host: b}\n",
                 "./tailrace.yaml:2: the key 'source' is given twice, first in line 1");
    expect_error("- a\n", "./tailrace.yaml:1: expected sections like 'source:'");
    expect_error("a: 1\n---\nb: 1\n", "./tailrace.yaml:2: only one YAML document is read");
    expect_error("a: \"x\\0y\"\n", "./tailrace.yaml:1: a text must not contain a zero byte");
}

static void test_no_file(void **state)
{
    (void)state;
    struct tr_config *config = NULL;
    unlink("tailrace.yaml");
    assert_int_equal(tr_config_load(&config, "nowhere.yaml", NULL, 0, sections, &err), TR_ECONFIG);
    assert_string_equal(err.text,
                        "cannot read the configuration nowhere.yaml: No such file or directory");
    assert_null(config);
}

static void test_check_keys(void **state)
{
    static const char *const known[] = {"index", "fields", NULL};
    (void)state;
    struct tr_config *config = load("source:\n  tables:\n    a.b: {indx: 1}\n");
    assert_non_null(config);
    const struct tr_node *table = tr_node_get(source.tables, "a.b");
    assert_int_equal(tr_node_check_keys(table, "tables.a.b", known, &err), TR_ECONFIG);
    assert_string_equal(err.text,
                        "./tailrace.yaml:3: tables.a.b: unknown key 'indx'; did you mean 'index'?");
    tr_error_reset(&err);
    assert_int_equal(tr_node_check_rule(table, "a.b", rule_keys, &err), TR_ECONFIG);
    assert_string_equal(err.text,
                        "./tailrace.yaml:3: a.b: unknown key 'indx'; did you mean 'index'?");
    tr_error_reset(&err);
    assert_int_equal(tr_node_check_rule(table, "a.b", NULL, &err), TR_ECONFIG);
    assert_string_equal(err.text, "./tailrace.yaml:3: a.b: unknown key 'indx'");
    tr_config_free(config);
}

static void test_help(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    tr_options_help(out, sections, false);
    fclose(out);
    assert_non_null(strstr(text, "source.host "));
    assert_non_null(strstr(text, "[127.0.0.1]"));
    assert_null(strstr(text, "source.port"));
    assert_null(strstr(text, "source.tables: {index}"));
    free(text);
    out = open_memstream(&text, &size);
    tr_options_reference(out, "tailrace-x", sections);
    fclose(out);
    assert_non_null(strstr(text, "| `source.tls.mode` | off\\|required\\|verify_ca | `off` |"));
    assert_non_null(strstr(text, "`password_file` names a file"));
    assert_non_null(strstr(text, "Takes any property of librdkafka."));
    assert_non_null(strstr(text, "### source\n\nWhere rows come from.\n\n| option"));
    assert_non_null(strstr(text, "| `index` | TEXT | `rows` | Where they go. |\n"
                                 "| `fields` | MAP |  | Their types. |\n"));
    free(text);
    out = open_memstream(&text, &size);
    tr_options_help(out, sections, true);
    fclose(out);
    assert_non_null(strstr(text, "source.tables: {index}         Where they go. [rows]\n"));
    free(text);
}

static void test_nearest(void **state)
{
    static const char *const known[] = {"elasticsearch", "redis", "log", NULL};
    (void)state;
    assert_string_equal(tr_options_nearest("elastic-search", known), "elasticsearch");
    assert_string_equal(tr_options_nearest("rdeis", known), "redis");
    assert_string_equal(tr_options_nearest("Log", known), "log");
    assert_null(tr_options_nearest("kafka", known));
    assert_null(tr_options_nearest("x", known));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_defaults, reset),
        cmocka_unit_test_setup(test_file, reset),
        cmocka_unit_test_setup(test_precedence, reset),
        cmocka_unit_test_setup(test_free_map_variables, reset),
        cmocka_unit_test_setup(test_secrets, reset),
        cmocka_unit_test_setup(test_secrets_in_urls, reset),
        cmocka_unit_test_setup(test_bad_values, reset),
        cmocka_unit_test_setup(test_unknown_keys, reset),
        cmocka_unit_test_setup(test_bad_yaml, reset),
        cmocka_unit_test_setup(test_no_file, reset),
        cmocka_unit_test_setup(test_check_keys, reset),
        cmocka_unit_test_setup(test_help, reset),
        cmocka_unit_test_setup(test_nearest, reset),
    };
    return cmocka_run_group_tests_name("options", tests, make_folder, remove_folder);
}
