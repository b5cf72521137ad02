/*
 * test_elasticsearch_sink.c - the Elasticsearch sink's operations against a real server.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "count_allocations.h"
#include "es_helpers.h"

#define OPS tr_elasticsearch_sink_ops

/* ---- a table -----------------------------------------------------------------------------------
 */

static struct tr_shape_column item_columns[3];

/* item(id INT PRIMARY KEY, name VARCHAR, price BIGINT) */
static struct tr_shape item_shape(void)
{
    item_columns[0] = es_column("id", TR_SQL_INT);
    item_columns[1] = es_column("name", TR_SQL_VARCHAR);
    item_columns[2] = es_column("price", TR_SQL_BIGINT);
    return es_shape("item", item_columns, 3, 1);
}

static void put_item(const struct tr_shape *shape, int64_t version, int id, const char *data)
{
    char key[128];
    snprintf(key, sizeof(key), "{\"database\":\"%s\",\"table\":\"item\",\"pk.id\":%d}",
             world.pipeline, id);
    es_put(&world.tables[0], shape, version, key, data);
}

static void put_number(const struct tr_shape *shape, int64_t version, int id)
{
    char data[128];
    snprintf(data, sizeof(data), "{\"id\":%d,\"name\":\"item %d\",\"price\":%d}", id, id, id * 10);
    put_item(shape, version, id, data);
}

static void assert_all(enum tr_sink_status status)
{
    for (size_t i = 0; i < world.count; i++)
        if (world.results[i].status != status)
            fail_msg("record %zu has status %d: %s", i, (int)world.results[i].status,
                     world.results[i].reason);
}

/* ---- rows --------------------------------------------------------------------------------------
 */

static void rows_are_written_as_they_are(void **state)
{
    (void)state;
    es_open(true);
    const struct tr_shape shape = item_shape();
    es_table(0, "item", &shape);
    es_begin();
    put_item(&shape, 10, 1, "{\"id\":1,\"name\":\"w\\u00e9 \\\"x\\\"\",\"price\":null}");
    put_item(&shape, 11, 2, "{\"id\":2,\n \"name\":\"two\", \"price\":7}");
    put_item(&shape, 12, 3, NULL);
    assert_done(es_apply());
    assert_all(TR_SINK_APPLIED);
    assert_true(es_holds("item", "1", "{\"id\":1,\"name\":\"w\\u00e9 \\\"x\\\"\",\"price\":null}"));
    assert_true(es_holds("item", "2", "{\"id\":2,\"name\":\"two\",\"price\":7}"));
    assert_int_equal(es_version("item", "2"), 11);
    assert_int_equal(es_version("item", "3"), -1);
}

static void only_newer_versions_win(void **state)
{
    (void)state;
    es_open(true);
    const struct tr_shape shape = item_shape();
    es_table(0, "item", &shape);
    es_begin();
    put_number(&shape, 10, 1);
    put_item(&shape, 20, 2, NULL);
    assert_done(es_apply());
    es_begin();
    put_item(&shape, 9, 1, "{\"id\":1,\"name\":\"old\",\"price\":1}");
    put_number(&shape, 19, 2);
    assert_done(es_apply());
    assert_all(TR_SINK_STALE);
    assert_int_equal(es_version("item", "2"), -1);
    es_begin();
    put_item(&shape, 10, 1, "{\"id\":1,\"name\":\"same\",\"price\":1}");
    put_number(&shape, 21, 2);
    assert_done(es_apply());
    assert_all(TR_SINK_APPLIED);
    assert_true(es_holds("item", "1", "{\"id\":1,\"name\":\"same\",\"price\":1}"));
    assert_int_equal(es_version("item", "2"), 21);
}

static void keys_stay_distinct(void **state)
{
    (void)state;
    struct tr_shape_column columns[] = {es_column("a", TR_SQL_VARCHAR),
                                        es_column("b", TR_SQL_VARCHAR)};
    const struct tr_shape shape = es_shape("pair", columns, 2, 2);
    static const char *const keys[][2] = {
        {"\"x\",\"pk.b\":\"y,z\"", "[\"x\",\"y,z\"]"},
        {"\"x,y\",\"pk.b\":\"z\"", "[\"x,y\",\"z\"]"},
        {"\"\",\"pk.b\":\"\"", "[\"\",\"\"]"},
        {"\"\\\"\",\"pk.b\":\"\\\\ /#?%\"", "[\"\\\"\",\"\\\\ /#?%\"]"},
        {"\"ü\\n\",\"pk.b\":\"🙂\"", "[\"ü\\n\",\"🙂\"]"},
    };
    es_open(true);
    es_table(0, "pair", &shape);
    es_begin();
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        char key[256], data[64];
        snprintf(key, sizeof(key), "{\"database\":\"d\",\"table\":\"pair\",\"pk.a\":%s}",
                 keys[i][0]);
        snprintf(data, sizeof(data), "{\"a\":\"%zu\",\"b\":null}", i);
        es_put(&world.tables[0], &shape, 1, key, data);
    }
    assert_done(es_apply());
    assert_all(TR_SINK_APPLIED);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        char data[64];
        snprintf(data, sizeof(data), "{\"a\":\"%zu\",\"b\":null}", i);
        assert_true(es_holds("pair", keys[i][1], data));
    }
    assert_int_equal(es_count("pair"), sizeof(keys) / sizeof(keys[0]));
}

/* ---- what the server refuses -------------------------------------------------------------------
 */

static void refused_rows_are_poison_and_no_others(void **state)
{
    (void)state;
    char huge[700];
    es_open(true);
    const struct tr_shape shape = item_shape();
    es_table(0, "item", &shape);
    es_begin();
    for (int i = 0; i < 1000; i++)
        put_number(&shape, 5, i);
    put_item(&shape, 5, 1000, "{\"id\":1000,\"name\":\"a\",\"price\":9223372036854775808}");
    put_item(&shape, 5, 1001, "{\"id\":1001,\"name\":\"a\",\"unknown\":1}");
    put_item(&shape, -1, 1002, "{\"id\":1002}");
    snprintf(huge, sizeof(huge), "{\"database\":\"d\",\"table\":\"item\",\"pk.id\":\"%0600d\"}", 7);
    es_put(&world.tables[0], &shape, 5, huge, "{\"id\":7}");
    put_number(&shape, 5, 1003);
    assert_done(es_apply());
    for (size_t i = 0; i < world.count; i++)
        assert_int_equal(world.results[i].status,
                         i >= 1000 && i < 1004 ? TR_SINK_POISON : TR_SINK_APPLIED);
    assert_non_null(strstr(world.results[1000].reason, "failed to parse field [price]"));
    assert_null(strstr(world.results[1000].reason, "9223372036854775808"));
    assert_non_null(strstr(world.results[1001].reason, "strict"));
    assert_non_null(strstr(world.results[1002].reason, "version"));
    assert_non_null(strstr(world.results[1003].reason, "512 bytes"));
    assert_int_equal(es_count("item"), 1001);
}

static void fields_override_the_mapping(void **state)
{
    (void)state;
    static struct tr_node format = {.type = TR_NODE_SCALAR, .key = "format", .text = "uuuu-MM-dd"};
    static struct tr_node type = {
        .type = TR_NODE_SCALAR, .key = "type", .text = "date", .next = &format};
    static struct tr_node price = {.type = TR_NODE_MAP, .key = "price", .child = &type};
    static struct tr_node name = {
        .type = TR_NODE_SCALAR, .key = "name", .text = "keyword", .next = &price};
    static struct tr_node fields = {.type = TR_NODE_MAP, .key = "fields", .child = &name};
    static const struct tr_node settings = {.type = TR_NODE_MAP, .child = &fields};
    es_open(true);
    const struct tr_shape shape = item_shape();
    world.tables[0].settings = &settings;
    es_table(0, "item", &shape);
    char *data = malloc(50000);
    snprintf(data, 50000, "{\"id\":1,\"name\":\"%040000d\",\"price\":null}", 1);
    es_begin();
    put_item(&shape, 1, 1, data);
    put_item(&shape, 1, 2, "{\"id\":2,\"name\":\"x\",\"price\":\"0000-00-00\"}");
    put_item(&shape, 1, 3, "{\"id\":3,\"name\":\"x\",\"price\":\"2024-02-29\"}");
    free(data);
    assert_done(es_apply());
    assert_int_equal(world.results[0].status, TR_SINK_POISON);
    assert_int_equal(world.results[1].status, TR_SINK_POISON);
    assert_int_equal(world.results[2].status, TR_SINK_APPLIED);
    assert_non_null(strstr(world.results[0].reason, "of type [keyword]"));
}

/* A server with a small limit: halves go through, and the one that is too large stays alone. */
static void large_batches_are_sent_in_parts(void **state)
{
    (void)state;
    es_open(true);
    OPS.lane_close(world.lane);
    world.sink->body_bytes_max = 20000;
    assert_done(OPS.lane_open(world.sink, 0, &world.lane, &world.err));
    const struct tr_shape shape = item_shape();
    es_table(0, "item", &shape);
    char *data = malloc(30000);
    snprintf(data, 30000, "{\"id\":500,\"name\":\"%025000d\",\"price\":null}", 1);
    es_begin();
    for (int i = 0; i < 1000; i++)
        if (i == 500)
            put_item(&shape, 3, i, data);
        else
            put_number(&shape, 3, i);
    free(data);
    assert_done(es_apply());
    for (size_t i = 0; i < world.count; i++)
        assert_int_equal(world.results[i].status, i == 500 ? TR_SINK_POISON : TR_SINK_APPLIED);
    assert_non_null(strstr(world.results[500].reason, "larger than the server takes"));
    assert_int_equal(es_count("item"), 999);
}

/* ---- shapes ------------------------------------------------------------------------------------
 */

static void added_columns_appear(void **state)
{
    (void)state;
    es_open(true);
    const struct tr_shape shape = item_shape();
    es_table(0, "item", &shape);
    es_begin();
    put_number(&shape, 1, 1);
    assert_done(es_apply());
    struct tr_shape_column columns[] = {item_columns[0], item_columns[1],
                                        es_column("price", TR_SQL_VARCHAR),
                                        es_column("added", TR_SQL_DATETIME)};
    const struct tr_shape next = es_shape("item", columns, 4, 1);
    es_begin();
    put_item(&next, 2, 2,
             "{\"id\":2,\"name\":\"b\",\"price\":\"12\",\"added\":\"2024-01-02 03:04:05\"}");
    put_item(&next, 2, 3,
             "{\"id\":3,\"name\":\"b\",\"price\":\"dear\",\"added\":\"0000-00-00 00:00:00\"}");
    put_number(&shape, 2, 4);
    assert_done(es_apply());
    assert_int_equal(world.results[0].status, TR_SINK_APPLIED);
    assert_int_equal(world.results[1].status, TR_SINK_POISON);
    assert_int_equal(world.results[2].status, TR_SINK_APPLIED);
    char path[128];
    snprintf(path, sizeof(path), "/%s.item/_mapping", world.pipeline);
    assert_int_equal(es_call("GET", path, ""), 200);
    assert_non_null(strstr(world.reply.data, "\"added\":{\"type\":\"date\""));
    assert_non_null(strstr(world.reply.data, "\"price\":{\"type\":\"long\"}"));
    assert_non_null(strstr(world.reply.data, "\"_meta\":{\"tailrace\""));
}

static void the_index_is_made_as_documented(void **state)
{
    (void)state;
    char path[128];
    es_open(true);
    const struct tr_shape shape = item_shape();
    es_table(0, "item", &shape);
    es_begin();
    put_number(&shape, 1, 1);
    assert_done(es_apply());
    snprintf(path, sizeof(path), "/%s.item.g1/_settings", world.pipeline);
    assert_int_equal(es_call("GET", path, ""), 200);
    assert_non_null(strstr(world.reply.data, "\"number_of_shards\":\"1\""));
    assert_non_null(strstr(world.reply.data, "\"number_of_replicas\":\"0\""));
    assert_non_null(strstr(world.reply.data, "\"gc_deletes\":\"1d\""));
    snprintf(path, sizeof(path), "/_alias/%s.item", world.pipeline);
    assert_int_equal(es_call("GET", path, ""), 200);
    snprintf(path, sizeof(path), "/%s.item/_mapping", world.pipeline);
    assert_int_equal(es_call("GET", path, ""), 200);
    assert_non_null(strstr(world.reply.data, "\"dynamic\":\"strict\""));
}

/* ---- markers -----------------------------------------------------------------------------------
 */

static void a_floor_removes_what_is_below_it(void **state)
{
    (void)state;
    es_open(true);
    const struct tr_shape shape = item_shape();
    es_table(0, "item", &shape);
    es_begin();
    for (int i = 0; i < 4000; i++)
        put_number(&shape, i < 3990 ? 10 + i : 5000 + i - 3990, i);
    assert_done(es_apply());
    assert_done(OPS.mark(world.lane, &world.tables[0], TR_EVENT_TABLE_SWEEP, 5000, &world.err));
    assert_int_equal(es_count("item"), 10);
    es_begin();
    put_number(&shape, 4000, 1);
    put_number(&shape, 5001, 2);
    assert_done(es_apply());
    assert_int_equal(world.results[0].status, TR_SINK_STALE);
    assert_int_equal(world.results[1].status, TR_SINK_APPLIED);
    /* Repeatable, never lower, and known to whoever comes next. */
    assert_done(OPS.mark(world.lane, &world.tables[0], TR_EVENT_TABLE_TRUNCATE, 5000, &world.err));
    assert_done(OPS.mark(world.lane, &world.tables[0], TR_EVENT_TABLE_TRUNCATE, 70, &world.err));
    assert_int_equal(es_count("item"), 11);
    struct tr_sink_state loaded = {.arena = &world.arena};
    assert_done(OPS.load(world.sink, &loaded, &world.err));
    assert_int_equal(loaded.floor_count, 1);
    assert_string_equal(loaded.floors[0].database, world.pipeline);
    assert_string_equal(loaded.floors[0].table, "item");
    assert_int_equal(loaded.floors[0].version, 5000);
}

static void a_marker_before_any_row_is_no_error(void **state)
{
    (void)state;
    es_open(true);
    const struct tr_shape shape = item_shape();
    es_table(0, "item", &shape);
    assert_done(OPS.mark(world.lane, &world.tables[0], TR_EVENT_TABLE_TRUNCATE, 9, &world.err));
}

/* ---- what the store carries about itself -------------------------------------------------------
 */

static void the_state_comes_back(void **state)
{
    (void)state;
    struct tr_sink_state loaded = {.arena = &world.arena};
    es_open(false);
    assert_done(OPS.load(world.sink, &loaded, &world.err));
    assert_false(loaded.marked);
    assert_true(loaded.empty);
    struct tr_sink_progress progress[] = {{"db.x", "00aa", 0, 5}, {"db.x", "00aa", 1, 7}};
    es_claim("00000000000000aa", progress, 2);
    progress[1].next = 9;
    assert_done(OPS.progress(world.lane, progress, 2, &world.err));
    assert_done(OPS.load(world.sink, &loaded, &world.err));
    assert_true(loaded.marked);
    assert_int_equal(loaded.format, 1);
    assert_int_equal(loaded.generation, 1);
    assert_string_equal(loaded.pipeline, world.pipeline);
    assert_string_equal(loaded.pipeline_id, "00000000000000aa");
    assert_string_equal(loaded.consumer, "elasticsearch");
    assert_int_equal(loaded.progress_count, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_string_equal(loaded.progress[i].topic, "db.x");
        assert_string_equal(loaded.progress[i].incarnation, "00aa");
        assert_int_equal(loaded.progress[i].next, loaded.progress[i].partition == 0 ? 5 : 9);
    }
    /* A reset forgets the progress that it does not name, and keeps what it does. */
    progress[0].next = 1;
    es_claim("00000000000000aa", progress, 1);
    struct tr_sink_state again = {.arena = &world.arena};
    assert_done(OPS.load(world.sink, &again, &world.err));
    assert_int_equal(again.progress_count, 1);
    assert_int_equal(again.progress[0].partition, 0);
    assert_int_equal(again.progress[0].next, 1);
}

static void progress_goes_along_with_rows(void **state)
{
    (void)state;
    const struct tr_sink_progress settled = {"db.x", "00aa", 3, 41};
    es_open(true);
    const struct tr_shape shape = item_shape();
    es_table(0, "item", &shape);
    es_begin();
    put_number(&shape, 1, 1);
    const struct tr_sink_batch batch = {.records = world.records,
                                        .count = 1,
                                        .settled = &settled,
                                        .settled_count = 1,
                                        .arena = &world.arena};
    assert_done(OPS.apply(world.lane, &batch, world.results, &world.err));
    struct tr_sink_state loaded = {.arena = &world.arena};
    assert_done(OPS.load(world.sink, &loaded, &world.err));
    assert_int_equal(loaded.progress_count, 1);
    assert_int_equal(loaded.progress[0].next, 41);
}

static void a_lost_marker_stops(void **state)
{
    (void)state;
    char path[128];
    es_open(true);
    const struct tr_shape shape = item_shape();
    es_table(0, "item", &shape);
    es_begin();
    put_number(&shape, 1, 1);
    assert_done(es_apply());
    snprintf(path, sizeof(path), "/tailrace-%s-elasticsearch", world.pipeline);
    assert_int_equal(es_call("DELETE", path, ""), 200);
    assert_stops(es_apply(), TR_ESTATE, "reset");
    assert_stops(OPS.mark(world.lane, &world.tables[0], TR_EVENT_TABLE_TRUNCATE, 9, &world.err),
                 TR_ESTATE, "reset");
    assert_stops(OPS.progress(world.lane, NULL, 0, &world.err), TR_ESTATE, "reset");
    /* Rows without a marker are not an empty store. */
    struct tr_sink_state loaded = {.arena = &world.arena};
    assert_done(OPS.load(world.sink, &loaded, &world.err));
    assert_false(loaded.marked);
    assert_false(loaded.empty);
}

static void another_marker_stops_but_the_same_one_does_not(void **state)
{
    (void)state;
    struct tr_sink *first;
    struct tr_sink_lane *lane;
    es_open(true);
    const struct tr_shape shape = item_shape();
    es_table(0, "item", &shape);
    es_begin();
    put_number(&shape, 1, 1);
    assert_done(es_apply());
    /* Another process of this consumer starts. */
    first = world.sink;
    lane = world.lane;
    assert_done(OPS.open(&world.sink, &world.context, &world.err));
    es_claim("00000000000000aa", NULL, 0);
    world.lane = lane;
    assert_done(es_apply());
    es_claim("00000000000000bb", NULL, 0);
    assert_stops(es_apply(), TR_ESTATE, "another marker");
    OPS.close(world.sink);
    world.sink = first;
}

/* ---- what stops --------------------------------------------------------------------------------
 */

static void a_vanished_index_stops_until_reset(void **state)
{
    (void)state;
    char path[128];
    es_open(true);
    const struct tr_shape shape = item_shape();
    es_table(0, "item", &shape);
    es_begin();
    put_number(&shape, 1, 1);
    put_item(&shape, 1, 2, NULL);
    assert_done(es_apply());
    snprintf(path, sizeof(path), "/%s.item.g1", world.pipeline);
    assert_int_equal(es_call("DELETE", path, ""), 200);
    assert_stops(es_apply(), TR_ESTATE, "reset");
    es_open(false);
    es_table(0, "item", &shape);
    es_begin();
    put_number(&shape, 1, 1);
    assert_stops(es_apply(), TR_ESTATE, "is gone");
    struct tr_sink_table *tables[] = {&world.tables[0]};
    assert_done(OPS.drop(world.sink, tables, 1, &world.err));
    es_open(true);
    es_table(0, "item", &shape);
    es_begin();
    put_number(&shape, 1, 1);
    assert_done(es_apply());
    assert_int_equal(es_count("item"), 1);
}

static void a_closed_or_blocked_index_stops(void **state)
{
    (void)state;
    char path[128];
    es_open(true);
    const struct tr_shape shape = item_shape();
    es_table(0, "item", &shape);
    es_begin();
    put_number(&shape, 1, 1);
    assert_done(es_apply());
    snprintf(path, sizeof(path), "/%s.item.g1/_settings", world.pipeline);
    assert_int_equal(es_call("PUT", path, "{\"index.blocks.write\":true}"), 200);
    assert_stops(es_apply(), TR_ESTORE, "takes no writes");
    assert_int_equal(es_call("PUT", path, "{\"index.blocks.write\":false}"), 200);
    assert_done(es_apply());
    snprintf(path, sizeof(path), "/%s.item.g1/_close", world.pipeline);
    assert_int_equal(es_call("POST", path, ""), 200);
    assert_stops(es_apply(), TR_ESTORE, "is closed");
    snprintf(path, sizeof(path), "/%s.item.g1/_open", world.pipeline);
    assert_int_equal(es_call("POST", path, ""), 200);
    assert_done(es_apply());
}

static void others_indices_are_left_alone(void **state)
{
    (void)state;
    char path[128], body[512];
    es_open(true);
    const struct tr_shape shape = item_shape();
    es_table(0, "item", &shape);
    es_begin();
    put_number(&shape, 1, 1);
    snprintf(path, sizeof(path), "/%s.item", world.pipeline);
    assert_int_equal(es_call("PUT", path, "{}"), 200);
    assert_stops(es_apply(), TR_ESTATE, "in the place of the alias");
    assert_stops(OPS.check(world.sink, &world.err), TR_ESTATE, "in the place of the alias");
    assert_int_equal(es_call("DELETE", path, ""), 200);
    snprintf(path, sizeof(path), "/%s.item.g1", world.pipeline);
    snprintf(body, sizeof(body),
             "{\"aliases\":{\"%s.item\":{}},\"mappings\":{\"_meta\":{\"tailrace\":"
             "{\"pipeline\":\"other\",\"pipeline_id\":\"00\",\"consumer\":\"elasticsearch\"}}}}",
             world.pipeline);
    assert_int_equal(es_call("PUT", path, body), 200);
    assert_stops(es_apply(), TR_ESTATE, "another pipeline's index");
    struct tr_sink_table *tables[] = {&world.tables[0]};
    assert_done(OPS.drop(world.sink, tables, 1, &world.err));
    assert_int_equal(es_call("GET", path, ""), 200);
}

static void several_tables_in_one_index_are_refused(void **state)
{
    (void)state;
    es_open(true);
    const struct tr_shape shape = item_shape();
    es_table(0, "item", &shape);
    world.tables[1].database = tr_slice_of(world.pipeline);
    world.tables[1].table = TR_SLICE("Item");
    assert_stops(OPS.table(world.sink, &world.tables[1], &shape, &world.err), TR_ECONFIG,
                 "would share index");
    world.tables[2].database = tr_slice_of(world.pipeline);
    world.tables[2].table = TR_SLICE("a b");
    assert_stops(OPS.table(world.sink, &world.tables[2], &shape, &world.err), TR_ECONFIG,
                 "`index:`");
}

/* ---- servers -----------------------------------------------------------------------------------
 */

static void the_first_node_that_answers_is_used(void **state)
{
    (void)state;
    static const char *const nowhere[] = {"http://127.0.0.1:9"};
    world.settings.server.urls = (struct tr_string_list){nowhere, 1};
    assert_int_equal(OPS.open(&world.sink, &world.context, &world.err), TR_ESTORE_RETRY);
    tr_error_reset(&world.err);
    world.urls[0] = nowhere[0];
    world.urls[1] = world.url;
    world.settings.server.urls = (struct tr_string_list){world.urls, 2};
    es_open(true);
    const struct tr_shape shape = item_shape();
    es_table(0, "item", &shape);
    es_begin();
    put_number(&shape, 1, 1);
    assert_done(es_apply());
    assert_all(TR_SINK_APPLIED);
}

static void drop_says_what_it_removes_and_removes_it(void **state)
{
    (void)state;
    char path[128], line[512];
    struct tr_buf lines;
    tr_buf_init(&lines, 4096);
    es_open(true);
    const struct tr_shape shape = item_shape();
    es_table(0, "item", &shape);
    es_begin();
    put_number(&shape, 1, 1);
    assert_done(es_apply());
    assert_int_equal(es_count("item"), 1);
    struct tr_sink_table *tables[] = {&world.tables[0]};
    assert_done(OPS.drop_plan(world.sink, tables, 1, &lines, &world.err));
    tr_buf_append_char(&lines, '\0');
    snprintf(line, sizeof(line),
             "index %s.item.g1 of alias %s.item: 1 documents\nindex "
             "tailrace-%s-elasticsearch:",
             world.pipeline, world.pipeline, world.pipeline);
    assert_non_null(strstr(lines.data, line));
    tr_buf_done(&lines);
    assert_done(OPS.drop(world.sink, tables, 1, &world.err));
    snprintf(path, sizeof(path), "/%s.item", world.pipeline);
    assert_int_equal(es_call("HEAD", path, ""), 404);
    snprintf(path, sizeof(path), "/tailrace-%s-elasticsearch", world.pipeline);
    assert_int_equal(es_call("HEAD", path, ""), 404);
}

/* Our own in a batch of that many rows. */
static int64_t allocations_of(const struct tr_shape *shape, int rows)
{
    es_begin();
    for (int i = 0; i < rows; i++)
        put_number(shape, 1, i);
    int64_t before = allocations;
    assert_done(es_apply());
    return allocations - before;
}

/* Once the buffers have grown, a batch costs the same few whatever it holds: a row costs none. */
static void rows_cost_no_allocations(void **state)
{
    (void)state;
    es_open(true);
    const struct tr_shape shape = item_shape();
    es_table(0, "item", &shape);
    for (int i = 0; i < 2; i++)
        allocations_of(&shape, 4000);
    int64_t per_batch = allocations_of(&shape, 1);
    assert_int_equal(allocations_of(&shape, 4000), per_batch);
    assert_int_equal(allocations_of(&shape, 400), per_batch);
    assert_true(per_batch < 10);
}

/* ---- replays and two processes -----------------------------------------------------------------
 */

/* A replay brings the oldest shape's records first; what is written today has to fit. */
static void the_index_is_made_by_the_newest_shape(void **state)
{
    (void)state;
    char path[128];
    es_open(true);
    item_shape(); /* for its columns */
    struct tr_shape_column columns[] = {item_columns[0], item_columns[1],
                                        es_column("price", TR_SQL_VARCHAR)};
    struct tr_shape_column first[] = {item_columns[0], item_columns[1],
                                      es_column("price", TR_SQL_INT),
                                      es_column("gone", TR_SQL_INT)};
    const struct tr_shape old = es_shape("item", first, 4, 1);
    struct tr_shape newest = es_shape("item", columns, 3, 1);
    newest.schema_id = old.schema_id + 1;
    struct tr_sink_table *table = es_table(0, "item", &old);
    atomic_store(&table->newest, &newest);
    es_begin();
    put_item(&old, 1, 1, "{\"id\":1,\"name\":\"a\",\"price\":7,\"gone\":3}");
    assert_done(es_apply());
    assert_all(TR_SINK_APPLIED);
    es_begin();
    put_item(&newest, 2, 2, "{\"id\":2,\"name\":\"b\",\"price\":\"dear\"}");
    put_item(&old, 2, 3, "{\"id\":3,\"name\":\"c\",\"price\":9,\"gone\":4}");
    assert_done(es_apply());
    assert_all(TR_SINK_APPLIED);
    snprintf(path, sizeof(path), "/%s.item/_mapping", world.pipeline);
    assert_int_equal(es_call("GET", path, ""), 200);
    assert_non_null(strstr(world.reply.data, "\"price\":{\"type\":\"text\""));
    assert_non_null(strstr(world.reply.data, "\"gone\":{\"type\":\"long\"}"));
}

/* Two processes have both seen a store without a marker. */
static void the_second_to_claim_a_new_store_forgets_nothing(void **state)
{
    (void)state;
    es_open(true);
    const struct tr_shape shape = item_shape();
    es_table(0, "item", &shape);
    es_begin();
    put_number(&shape, 1, 1);
    assert_done(es_apply());
    struct tr_sink *first = world.sink;
    struct tr_sink_state before = {.arena = &world.arena}, after = {.arena = &world.arena};
    const struct tr_sink_progress progress = {"db.x", "00aa", 0, 5};
    assert_done(OPS.progress(world.lane, &progress, 1, &world.err));
    assert_done(OPS.load(first, &before, &world.err));
    assert_done(OPS.open(&world.sink, &world.context, &world.err));
    assert_done(es_try_claim("00000000000000aa", NULL, 0, false));
    assert_stops(es_try_claim("00000000000000bb", NULL, 0, false), TR_ESTATE, "another marker");
    assert_done(OPS.load(world.sink, &after, &world.err));
    assert_int_equal(after.progress_count, before.progress_count);
    assert_string_equal(after.pipeline_id, "00000000000000aa");
    OPS.close(world.sink);
    world.sink = first;
    char path[128];
    snprintf(path, sizeof(path), "/tailrace-%s-elasticsearch/_count?q=kind:table", world.pipeline);
    assert_int_equal(es_call("GET", path, ""), 200);
    assert_non_null(strstr(world.reply.data, "\"count\":1"));
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, es_setup, es_teardown)
    const struct CMUnitTest tests[] = {
        CASE(rows_are_written_as_they_are),
        CASE(only_newer_versions_win),
        CASE(keys_stay_distinct),
        CASE(refused_rows_are_poison_and_no_others),
        CASE(fields_override_the_mapping),
        CASE(large_batches_are_sent_in_parts),
        CASE(added_columns_appear),
        CASE(the_index_is_made_as_documented),
        CASE(a_floor_removes_what_is_below_it),
        CASE(a_marker_before_any_row_is_no_error),
        CASE(the_state_comes_back),
        CASE(progress_goes_along_with_rows),
        CASE(a_lost_marker_stops),
        CASE(another_marker_stops_but_the_same_one_does_not),
        CASE(a_vanished_index_stops_until_reset),
        CASE(a_closed_or_blocked_index_stops),
        CASE(others_indices_are_left_alone),
        CASE(several_tables_in_one_index_are_refused),
        CASE(the_first_node_that_answers_is_used),
        CASE(drop_says_what_it_removes_and_removes_it),
        CASE(rows_cost_no_allocations),
        CASE(the_index_is_made_by_the_newest_shape),
        CASE(the_second_to_claim_a_new_store_forgets_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
