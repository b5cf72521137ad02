/* test_elasticsearch.c - the Elasticsearch sink's names, ids, mappings and reading of replies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "elasticsearch.h"
#include "elasticsearch_sink.h"
#include "mapping.h"
#include "names.h"
#include "reply.h"

static struct tr_buf out;
static struct tr_buf scratch;
static struct tr_error err;

static int setup(void **state)
{
    (void)state;
    tr_buf_init(&out, 1 << 20);
    tr_buf_init(&scratch, TR_ES_SCRATCH_MAX);
    tr_error_reset(&err);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tr_buf_done(&out);
    tr_buf_done(&scratch);
    return 0;
}

static const char *text(void)
{
    tr_buf_append_char(&out, '\0');
    out.length--;
    return out.data;
}

/* ---- ids ---------------------------------------------------------------------------------------
 */

static void assert_id(const char *columns, const char *wanted)
{
    char key[1024];
    snprintf(key, sizeof(key), "{\"database\":\"d\",\"table\":\"t\"%s}", columns);
    tr_buf_reset(&out);
    assert_null(tr_es_id(&out, tr_slice_of(key), &scratch));
    assert_string_equal(text(), wanted);
}

static void one_column_gives_its_text(void **state)
{
    (void)state;
    assert_id(",\"pk.id\":7", "\"7\"");
    assert_id(",\"pk.id\":-12.50", "\"-12.50\"");
    assert_id(",\"pk.id\":\"a b\"", "\"a b\"");
    assert_id(",\"pk.id\":\"q\\\"\\\\\\n\"", "\"q\\\"\\\\\\n\"");
    assert_id(",\"pk.id\":\"\xc3\xbc\xf0\x9f\x99\x82\"", "\"\xc3\xbc\xf0\x9f\x99\x82\"");
    assert_id(",\"pk.id\":true", "\"true\"");
}

static void several_columns_give_an_array(void **state)
{
    (void)state;
    assert_id(",\"pk.a\":1,\"pk.b\":\"x\"", "\"[1,\\\"x\\\"]\"");
    assert_id(",\"pk.a\":\"x,y\",\"pk.b\":\"\"", "\"[\\\"x,y\\\",\\\"\\\"]\"");
    assert_id(",\"pk.a\":\"x\",\"pk.b\":\",y\"", "\"[\\\"x\\\",\\\",y\\\"]\"");
    /* However it was escaped, one text gives one id. */
    assert_id(",\"pk.a\":\"\\u00fc\\/\",\"pk.b\":2", "\"[\\\"\xc3\xbc/\\\",2]\"");
    assert_id(",\"pk.a\":\"\xc3\xbc/\",\"pk.b\":2", "\"[\\\"\xc3\xbc/\\\",2]\"");
}

static void assert_no_id(const char *key, const char *wanted)
{
    tr_buf_reset(&out);
    tr_buf_append(&out, "before", 6);
    const char *fault = tr_es_id(&out, tr_slice_of(key), &scratch);
    assert_non_null(fault);
    assert_non_null(strstr(fault, wanted));
    assert_string_equal(text(), "before");
}

static void ids_that_cannot_be_are_named(void **state)
{
    (void)state;
    char key[2048];
    assert_no_id("{\"database\":\"d\",\"table\":\"t\"}", "no columns");
    assert_no_id("{\"database\":\"d\",\"table\":\"t\",\"pk.a\":}", "no tailrace key");
    assert_no_id("{\"database\":\"d\",\"table\":\"t\",\"pk.a\":\"\"}", "empty");
    /* Its text would be that of the string "null". Among several it is told apart. */
    assert_no_id("{\"database\":\"d\",\"table\":\"t\",\"pk.a\":null}", "null");
    snprintf(key, sizeof(key), "{\"database\":\"d\",\"table\":\"t\",\"pk.a\":\"%0513d\"}", 0);
    assert_no_id(key, "512");
    snprintf(key, sizeof(key),
             "{\"database\":\"d\",\"table\":\"t\",\"pk.a\":\"%0507d\",\"pk.b\":11}", 0);
    assert_no_id(key, "512");
    /* Exactly at the limit, counted unescaped. */
    snprintf(key, sizeof(key), "{\"database\":\"d\",\"table\":\"t\",\"pk.a\":\"%0511d\\n\"}", 0);
    tr_buf_reset(&out);
    assert_null(tr_es_id(&out, tr_slice_of(key), &scratch));
}

/* ---- names -------------------------------------------------------------------------------------
 */

static void assert_alias(const char *database, const char *table, const char *wanted)
{
    const struct tr_sink_table source = {.database = tr_slice_of(database),
                                         .table = tr_slice_of(table)};
    tr_buf_reset(&out);
    tr_error_reset(&err);
    if (wanted != NULL) {
        assert_int_equal(tr_es_alias(&out, &source, &err), 0);
        assert_string_equal(text(), wanted);
    } else {
        assert_int_equal(tr_es_alias(&out, &source, &err), TR_ECONFIG);
        assert_non_null(strstr(err.text, "`index:`"));
    }
}

static void indices_are_named_by_the_table(void **state)
{
    (void)state;
    assert_alias("shop", "orders", "shop.orders");
    assert_alias("Shop", "OrderLines", "shop.orderlines");
    assert_alias("shop", "caf\xc3\xa9", "shop.caf\xc3\xa9");
    assert_alias("_shop", "orders", NULL);
    assert_alias("-shop", "orders", NULL);
    assert_alias("+shop", "orders", NULL);
    assert_alias("shop", "a b", NULL);
    assert_alias("shop", "a/b", NULL);
    assert_alias("shop", "a*", NULL);
    assert_alias("shop", "a#", NULL);
    assert_alias("shop", "a:", NULL);
    assert_alias("shop", "a\"", NULL);
}

static void generations_are_told_from_other_indices(void **state)
{
    (void)state;
    assert_true(tr_es_is_generation(TR_SLICE("shop.a.g1"), "shop.a"));
    assert_true(tr_es_is_generation(TR_SLICE("shop.a.g12"), "shop.a"));
    assert_false(tr_es_is_generation(TR_SLICE("shop.a"), "shop.a"));
    assert_false(tr_es_is_generation(TR_SLICE("shop.a.g"), "shop.a"));
    assert_false(tr_es_is_generation(TR_SLICE("shop.a.gx"), "shop.a"));
    assert_false(tr_es_is_generation(TR_SLICE("shop.a.g1.g1"), "shop.a"));
    assert_false(tr_es_is_generation(TR_SLICE("shop.b.g1"), "shop.a"));
}

static void settings_are_checked(void **state)
{
    (void)state;
    struct tr_node index = {.type = TR_NODE_SCALAR, .key = "index", .text = "Products"};
    struct tr_node settings = {.type = TR_NODE_MAP, .child = &index};
    assert_int_equal(tr_es_check_settings(&settings, "shop.a", &err), TR_ECONFIG);
    assert_non_null(strstr(err.text, "lower case"));
    tr_error_reset(&err);
    index.text = "products";
    assert_int_equal(tr_es_check_settings(&settings, "shop.a", &err), 0);
    index.key = "indx";
    assert_int_equal(
        tr_node_check_rule(&settings, "shop.a", tr_elasticsearch_sink_ops.rule_keys, &err),
        TR_ECONFIG);
    assert_non_null(strstr(err.text, "index"));
}

/* ---- mappings ----------------------------------------------------------------------------------
 */

static const char *mapping(struct tr_shape_column column, const struct tr_node *fields)
{
    column.name = TR_SLICE("c");
    column.name_json = TR_SLICE("\"c\"");
    tr_buf_reset(&out);
    tr_es_mapping_field(&out, &column, fields);
    return text();
}

#define COLUMN(...) ((struct tr_shape_column){__VA_ARGS__})
#define TEXT_AND_KEYWORD                                                                           \
    "{\"type\":\"text\",\"fields\":{\"keyword\":{\"type\":\"keyword\",\"ignore_above\":256}}}"
#define KEYWORD "{\"type\":\"keyword\"}"
#define OPAQUE "{\"type\":\"object\",\"enabled\":false}"

static void numbers_and_texts_are_mapped(void **state)
{
    (void)state;
    const struct tr_slice utf8 = TR_SLICE("utf8mb4");
    assert_string_equal(mapping(COLUMN(.type = TR_SQL_INT), NULL), "{\"type\":\"long\"}");
    assert_string_equal(mapping(COLUMN(.type = TR_SQL_YEAR), NULL), "{\"type\":\"long\"}");
    assert_string_equal(mapping(COLUMN(.type = TR_SQL_INT, .is_unsigned = true), NULL),
                        "{\"type\":\"long\"}");
    assert_string_equal(mapping(COLUMN(.type = TR_SQL_BIGINT), NULL), "{\"type\":\"long\"}");
    assert_string_equal(mapping(COLUMN(.type = TR_SQL_BIGINT, .is_unsigned = true), NULL), KEYWORD);
    assert_string_equal(mapping(COLUMN(.type = TR_SQL_BIT, .length = 8), NULL),
                        "{\"type\":\"long\"}");
    assert_string_equal(mapping(COLUMN(.type = TR_SQL_BIT, .length = 64), NULL), KEYWORD);
    assert_string_equal(mapping(COLUMN(.type = TR_SQL_FLOAT), NULL), "{\"type\":\"double\"}");
    assert_string_equal(mapping(COLUMN(.type = TR_SQL_DECIMAL), NULL), KEYWORD);
    assert_string_equal(mapping(COLUMN(.type = TR_SQL_TIME), NULL), KEYWORD);
    assert_string_equal(mapping(COLUMN(.type = TR_SQL_ENUM), NULL), KEYWORD);
    assert_string_equal(mapping(COLUMN(.type = TR_SQL_SET), NULL), KEYWORD);
    assert_string_equal(mapping(COLUMN(.type = TR_SQL_VARCHAR, .charset = utf8), NULL),
                        TEXT_AND_KEYWORD);
    assert_string_equal(mapping(COLUMN(.type = TR_SQL_TEXT, .charset = utf8), NULL),
                        TEXT_AND_KEYWORD);
    assert_string_equal(mapping(COLUMN(.type = TR_SQL_CHAR, .charset = utf8, .key = true), NULL),
                        KEYWORD);
}

static void the_other_types_are_mapped(void **state)
{
    (void)state;
    assert_string_equal(mapping(COLUMN(.type = TR_SQL_BLOB), NULL), "{\"type\":\"binary\"}");
    assert_string_equal(mapping(COLUMN(.type = TR_SQL_VARBINARY), NULL), "{\"type\":\"binary\"}");
    assert_string_equal(mapping(COLUMN(.type = TR_SQL_BINARY, .key = true), NULL), KEYWORD);
    assert_string_equal(mapping(COLUMN(.type = TR_SQL_OTHER), NULL), OPAQUE);
    assert_string_equal(mapping(COLUMN(.type = TR_SQL_TEXT, .refine = TR_REFINE_JSON), NULL),
                        OPAQUE);
    assert_string_equal(mapping(COLUMN(.type = TR_SQL_BINARY, .refine = TR_REFINE_UUID), NULL),
                        KEYWORD);
    assert_string_equal(mapping(COLUMN(.type = TR_SQL_DATE), NULL),
                        "{\"type\":\"date\",\"format\":\"uuuu-MM-dd\",\"ignore_malformed\":true}");
    assert_string_equal(
        mapping(COLUMN(.type = TR_SQL_DATETIME), NULL),
        "{\"type\":\"date\",\"format\":\"uuuu-MM-dd HH:mm:ss\",\"ignore_malformed\":"
        "true}");
    assert_string_equal(mapping(COLUMN(.type = TR_SQL_TIMESTAMP, .fraction = 6), NULL),
                        "{\"type\":\"date\",\"format\":\"uuuu-MM-dd HH:mm:ss.SSSSSS\","
                        "\"ignore_malformed\":true}");
}

static void fields_win_over_types(void **state)
{
    (void)state;
    struct tr_node limit = {.type = TR_NODE_SCALAR, .key = "ignore_above", .text = "64"};
    struct tr_node index = {
        .type = TR_NODE_SCALAR, .key = "index", .text = "false", .next = &limit};
    struct tr_node type = {
        .type = TR_NODE_SCALAR, .key = "type", .text = "keyword", .next = &index};
    struct tr_node map = {.type = TR_NODE_MAP, .key = "c", .child = &type};
    struct tr_node plain = {.type = TR_NODE_SCALAR, .key = "c", .text = "text"};
    struct tr_node fields = {.type = TR_NODE_MAP, .child = &plain};
    assert_string_equal(mapping(COLUMN(.type = TR_SQL_INT), &fields), "{\"type\":\"text\"}");
    fields.child = &map;
    assert_string_equal(mapping(COLUMN(.type = TR_SQL_INT), &fields),
                        "{\"type\":\"keyword\",\"index\":false,\"ignore_above\":64}");
}

static void an_index_is_made_with_alias_and_owner(void **state)
{
    (void)state;
    struct tr_shape_column columns[] = {
        {.name = TR_SLICE("id"), .name_json = TR_SLICE("\"id\""), .type = TR_SQL_INT},
        {.name = TR_SLICE("j"), .name_json = TR_SLICE("\"j\""), .refine = TR_REFINE_JSON}};
    const struct tr_shape shape = {.columns = columns, .column_count = 2};
    const struct tr_es_owner owner = {"shop", "00aa", "elasticsearch"};
    tr_es_mapping_index(&out, "shop.a", &owner, &shape, NULL);
    assert_string_equal(
        text(),
        "{\"aliases\":{\"shop.a\":{}},\"settings\":{\"index\":{\"number_of_shards\":1,"
        "\"number_of_replicas\":0,\"gc_deletes\":\"1d\"}},\"mappings\":{\"dynamic\":"
        "\"strict\",\"_meta\":{\"tailrace\":{\"pipeline\":\"shop\",\"pipeline_id\":\"00aa\","
        "\"consumer\":\"elasticsearch\"}},\"properties\":{\"id\":{\"type\":\"long\"},\"j\":"
        "{\"type\":\"object\",\"enabled\":false}}}}");
}

static void columns_that_cannot_be_fields_are_refused(void **state)
{
    (void)state;
    static const char *const names[] = {"_id", "_source", "a..b", ".a", "a.", " "};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct tr_shape_column column = {.name = tr_slice_of(names[i])};
        const struct tr_shape shape = {.database = TR_SLICE("d"),
                                       .table = TR_SLICE("t"),
                                       .columns = &column,
                                       .column_count = 1};
        tr_error_reset(&err);
        assert_int_equal(tr_es_mapping_check(&shape, &err), TR_ECONFIG);
        assert_non_null(strstr(err.text, names[i]));
    }
}

/* ---- replies -----------------------------------------------------------------------------------
 */

/* As servers sent them: Elasticsearch 8.19, OpenSearch 2.19. */
static const char recorded[] =
    "{\"errors\":true,\"took\":3,\"items\":["
    "{\"index\":{\"status\":201}},{\"index\":{\"status\":200}},"
    "{\"delete\":{\"status\":404}},"
    "{\"index\":{\"status\":409,\"error\":{\"type\":\"version_conflict_engine_exception\","
    "\"reason\":\"[7]: version conflict, current version [9] is higher than the one provided "
    "[8]\"}}},"
    "{\"index\":{\"status\":400,\"error\":{\"type\":\"document_parsing_exception\",\"reason\":"
    "\"[1:7] failed to parse field [id] of type [long] in document with id '3'. Preview of field's "
    "value: 'secret'\"}}},"
    "{\"index\":{\"status\":400,\"error\":{\"type\":\"mapper_parsing_exception\",\"reason\":"
    "\"failed to parse field [id] of type [long] in document with id '3'. Preview of field's "
    "value: "
    "'secret'\"}}},"
    "{\"index\":{\"status\":400,\"error\":{\"type\":\"index_closed_exception\",\"reason\":"
    "\"closed\"}}},"
    "{\"delete\":{\"status\":404,\"error\":{\"type\":\"index_not_found_exception\",\"reason\":\"no "
    "such "
    "index [a]\"}}},"
    "{\"index\":{\"status\":404,\"error\":{\"type\":\"index_not_found_exception\",\"reason\":\"no "
    "such "
    "index [a] and [require_alias] request flag is [true] and [a] is not an alias\"}}},"
    "{\"index\":{\"status\":429,\"error\":{\"type\":\"cluster_block_exception\",\"reason\":\"index "
    "[a] "
    "blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark];\"}}},"
    "{\"index\":{\"status\":403,\"error\":{\"type\":\"cluster_block_exception\",\"reason\":\"index "
    "[a] "
    "blocked by: [FORBIDDEN/8/index write (api)];\"}}},"
    "{\"index\":{\"status\":503,\"error\":{\"type\":\"unavailable_shards_exception\",\"reason\":"
    "\"x\"}}},"
    "{\"index\":{\"status\":400,\"error\":{\"type\":\"illegal_argument_exception\",\"reason\":\"no "
    "write "
    "index is defined for alias [a]. The write index may be explicitly disabled\"}}},"
    "{\"index\":{\"status\":404}},{\"index\":{\"status\":302}}]}";

static void items_are_classified(void **state)
{
    (void)state;
    static const enum tr_es_verdict wanted[] = {
        TR_ES_APPLIED, TR_ES_APPLIED, TR_ES_APPLIED, TR_ES_STALE,   TR_ES_POISON,
        TR_ES_POISON,  TR_ES_CLOSED,  TR_ES_MISSING, TR_ES_MISSING, TR_ES_RETRY,
        TR_ES_BLOCKED, TR_ES_RETRY,   TR_ES_BLOCKED, TR_ES_UNKNOWN, TR_ES_UNKNOWN};
    struct tr_es_reply reply;
    struct tr_es_item item;
    size_t count = 0;
    int rc;
    assert_int_equal(tr_es_reply_open(&reply, TR_SLICE(recorded), &err), 0);
    while ((rc = tr_es_reply_next(&reply, &item, &err)) == 1) {
        assert_true(count < sizeof(wanted) / sizeof(wanted[0]));
        assert_int_equal(tr_es_classify(&item), wanted[count]);
        tr_buf_reset(&out);
        tr_es_item_reason(&item, &out);
        assert_null(strstr(text(), "secret"));
        if (count == 4)
            assert_string_equal(text(), "document_parsing_exception: [1:7] failed to parse field "
                                        "[id] of type [long]");
        count++;
    }
    assert_int_equal(rc, 0);
    assert_int_equal(count, sizeof(wanted) / sizeof(wanted[0]));
}

static void add(const char *piece)
{
    tr_buf_append_slice(&scratch, tr_slice_of(piece));
}

static void long_reasons_are_cut_between_characters(void **state)
{
    (void)state;
    add("{\"items\":[{\"index\":{\"status\":400,\"error\":{\"type\":\"t\",\"reason\":\"");
    while (scratch.length < 500000)
        add("\xc3\xbc\\u00fc\\ud83d\\ude42\\\\");
    add("\"}}}]}");
    struct tr_es_reply reply;
    struct tr_es_item item;
    assert_int_equal(
        tr_es_reply_open(&reply, (struct tr_slice){scratch.data, scratch.length}, &err), 0);
    assert_int_equal(tr_es_reply_next(&reply, &item, &err), 1);
    tr_es_item_reason(&item, &out);
    assert_true(out.length > 290 && out.length <= 300);
    assert_true(((unsigned char)out.data[out.length - 1] & 0xc0) != 0xc0);
}

static void whole_errors_are_read(void **state)
{
    (void)state;
    tr_es_error_reason(
        TR_SLICE("{\"error\":{\"root_cause\":[],\"type\":\"illegal_argument_exception\","
                 "\"reason\":\"id is too long\"},\"status\":400}"),
        &out);
    assert_string_equal(text(), "illegal_argument_exception: id is too long");
    tr_buf_reset(&out);
    tr_es_error_reason(TR_SLICE("{\"error\":\"alias [a] missing\",\"status\":404}"), &out);
    assert_string_equal(text(), "error: alias [a] missing");
    tr_buf_reset(&out);
    tr_es_error_reason(TR_SLICE("<html>\nBad gateway"), &out);
    assert_string_equal(text(), "<html> Bad gateway");
    assert_true(tr_es_error_type_is(TR_SLICE("{\"error\":{\"type\":\"x\"}}"), "x"));
    assert_false(tr_es_error_type_is(TR_SLICE(""), "x"));
}

static void broken_replies_are_errors(void **state)
{
    (void)state;
    static const char *const broken[] = {"", "[]", "{}", "{\"items\":1}", "{\"items\":["};
    static const char *const bad_items[] = {"{\"items\":[1]}", "{\"items\":[{}]}",
                                            "{\"items\":[{\"index\":1}]}"};
    struct tr_es_reply reply;
    struct tr_es_item item;
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        tr_error_reset(&err);
        assert_int_equal(tr_es_reply_open(&reply, tr_slice_of(broken[i]), &err), TR_EFORMAT);
    }
    for (size_t i = 0; i < sizeof(bad_items) / sizeof(bad_items[0]); i++) {
        tr_error_reset(&err);
        assert_int_equal(tr_es_reply_open(&reply, tr_slice_of(bad_items[i]), &err), 0);
        assert_int_equal(tr_es_reply_next(&reply, &item, &err), TR_EFORMAT);
    }
}

/* ---- tables that rules name --------------------------------------------------------------------
 */

static int check_two(const char *one, const char *one_index, const char *two, const char *two_index)
{
    struct tr_node index[] = {{.type = TR_NODE_SCALAR, .key = "index", .text = one_index},
                              {.type = TR_NODE_SCALAR, .key = "index", .text = two_index}};
    const struct tr_node rules[] = {{.type = TR_NODE_MAP, .child = &index[0]},
                                    {.type = TR_NODE_MAP, .child = &index[1]}};
    struct tr_sink_table tables[] = {
        {TR_SLICE("shop"), tr_slice_of(one), one_index != NULL ? &rules[0] : NULL, 0, NULL, NULL},
        {TR_SLICE("shop"), tr_slice_of(two), two_index != NULL ? &rules[1] : NULL, 0, NULL, NULL}};
    tr_error_reset(&err);
    return tr_elasticsearch_sink_ops.check_named(tables, 2, &err);
}

static void named_tables_do_not_share_an_index(void **state)
{
    (void)state;
    assert_int_equal(check_two("a", "x", "b", "y"), 0);
    assert_int_equal(check_two("a", NULL, "b", NULL), 0);
    assert_int_equal(check_two("a", "x", "b", "x"), TR_ECONFIG);
    assert_non_null(strstr(err.text, "tables shop.a and shop.b would share index x"));
    assert_int_equal(check_two("a", "shop.b", "b", NULL), TR_ECONFIG);
    assert_int_equal(check_two("a", NULL, "A", NULL), TR_ECONFIG);
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(one_column_gives_its_text),
        CASE(several_columns_give_an_array),
        CASE(ids_that_cannot_be_are_named),
        CASE(indices_are_named_by_the_table),
        CASE(generations_are_told_from_other_indices),
        CASE(settings_are_checked),
        CASE(numbers_and_texts_are_mapped),
        CASE(the_other_types_are_mapped),
        CASE(fields_win_over_types),
        CASE(an_index_is_made_with_alias_and_owner),
        CASE(columns_that_cannot_be_fields_are_refused),
        CASE(items_are_classified),
        CASE(long_reasons_are_cut_between_characters),
        CASE(whole_errors_are_read),
        CASE(broken_replies_are_errors),
        CASE(named_tables_do_not_share_an_index),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
