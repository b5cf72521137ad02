/*
 * test_control.c - the control topic's records, written and read.
 *
 * The examples of schemas/ are the truth: what the code writes equals them byte for byte, and
 * reading one and writing it again gives it back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "control.h"
#include "fields.h"

#define TEXT_MAX 8192

struct example {
    char text[TEXT_MAX];
    struct tr_slice key, value;
};

static void load(struct example *example, const char *name)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", EXAMPLES, name);
    FILE *in = fopen(path, "rb");
    assert_non_null(in);
    size_t length = fread(example->text, 1, TEXT_MAX - 1, in);
    fclose(in);
    example->text[length] = '\0';
    char *end = strchr(example->text, '\n');
    assert_non_null(end);
    example->key = (struct tr_slice){example->text, (size_t)(end - example->text)};
    char *start = end + 1;
    end = strchr(start, '\n');
    assert_non_null(end);
    example->value = (struct tr_slice){start, (size_t)(end - start)};
}

static void assert_same(const struct tr_buf *got, struct tr_slice expected)
{
    if (got->length != expected.length || memcmp(got->data, expected.data, got->length) != 0)
        fail_msg("wrote    %.*s\nexpected %.*s", (int)got->length, got->data, (int)expected.length,
                 expected.data);
}

struct record {
    struct tr_buf key, value;
};

static void record_init(struct record *record)
{
    tr_buf_init(&record->key, TEXT_MAX);
    tr_buf_init(&record->value, TEXT_MAX);
}

static void assert_record(struct record *record, const struct example *example)
{
    assert_same(&record->key, example->key);
    assert_same(&record->value, example->value);
    tr_buf_done(&record->key);
    tr_buf_done(&record->value);
}

#define NAME(text) .name = {text, sizeof(text) - 1}
#define CHARSET(text) .charset = {text, sizeof(text) - 1}

static struct tr_shape_column order_columns[] = {
    {NAME("id"), .type = TR_SQL_BIGINT, .is_unsigned = true},
    {NAME("customer"), .type = TR_SQL_VARCHAR, .length = 100, CHARSET("utf8mb4")},
    {NAME("price"), .type = TR_SQL_DECIMAL, .length = 12, .scale = 2},
    {NAME("note"), .type = TR_SQL_TEXT, .nullable = true, .length = 65535, CHARSET("utf8mb4")},
    {NAME("extra \"x\""), .type = TR_SQL_TEXT, .nullable = true, .length = 4294967295,
     CHARSET("utf8mb4"), .refine = TR_REFINE_JSON},
    {NAME("changed"), .type = TR_SQL_DATETIME, .nullable = true, .fraction = 6},
};
static uint32_t order_key[] = {0};
static const struct tr_shape orders = {
    .database = {"shop", 4},
    .table = {"orders", 6},
    .schema_id = 81520000,
    .topic = "db.shop",
    .columns = order_columns,
    .column_count = 6,
    .key = order_key,
    .key_count = 1,
};

/* ---- written as in the examples ------------------------------------------------------------- */

static void test_shape_written(void **state)
{
    (void)state;
    struct example example;
    struct record record;
    struct tr_error err = {0};
    load(&example, "shape.orders.json");
    record_init(&record);
    assert_int_equal(tr_shape_write(&orders, &record.key, &record.value, &err), 0);
    assert_record(&record, &example);
}

static void test_topic_written(void **state)
{
    (void)state;
    struct example example;
    struct record record;
    struct tr_error err = {0};
    struct tr_topic topic = {"db.shop", 4, "0123456789abcdef"};
    load(&example, "topic.shop.json");
    record_init(&record);
    assert_int_equal(tr_topic_write(&topic, &record.key, &record.value, &err), 0);
    assert_record(&record, &example);
}

static void test_checkpoint_written(void **state)
{
    (void)state;
    struct example example;
    struct record record;
    struct tr_error err = {0};
    struct tr_needs_snapshot need = {TR_SLICE("shop.product"), 81000000,
                                     TR_SLICE("ALTER TABLE shop.product MODIFY")};
    struct tr_checkpoint checkpoint = {.pipeline_id = "fedcba9876543210",
                                       .server_id = 1,
                                       .file_stamp = 1764000000,
                                       .file_crc = 4294967295,
                                       .last_type = 16,
                                       .last_stamp = 1764000100,
                                       .last_crc = 17,
                                       .last_length = 31,
                                       .file = "bin.000003",
                                       .offset = 5433,
                                       .base = 81518244,
                                       .version = 81523677,
                                       .gtid = "0-1-33,1-2-9",
                                       .ts = 1764000100,
                                       .needs_snapshot = &need,
                                       .needs_snapshot_count = 1};
    load(&example, "checkpoint.mariadb.json");
    record_init(&record);
    assert_int_equal(tr_checkpoint_write(&checkpoint, &record.key, &record.value, &err), 0);
    assert_record(&record, &example);
}

/* The set of a server with as many domains as capture takes, not cut. */
static void test_long_gtid_set(void **state)
{
    (void)state;
    struct record record;
    struct tr_control *control = NULL;
    struct tr_error err = {0};
    struct tr_checkpoint checkpoint = {
        .pipeline_id = "fedcba9876543210", .file = "bin.000003", .offset = 4};
    size_t at = 0;
    for (int i = 0; i < TR_GTID_DOMAINS_MAX; i++)
        at += (size_t)snprintf(checkpoint.gtid + at, sizeof(checkpoint.gtid) - at,
                               "%s4294967295-4294967295-18446744073709551615", i == 0 ? "" : ",");
    assert_int_equal(at, TR_GTID_DOMAINS_MAX * 43 - 1);
    record_init(&record);
    assert_int_equal(tr_checkpoint_write(&checkpoint, &record.key, &record.value, &err), 0);
    assert_int_equal(tr_control_new(&control, &err), 0);
    assert_int_equal(tr_control_take(control, (struct tr_slice){record.key.data, record.key.length},
                                     (struct tr_slice){record.value.data, record.value.length},
                                     false, &err),
                     0);
    assert_string_equal(tr_control_checkpoint(control)->gtid, checkpoint.gtid);
    tr_control_free(control);
    tr_buf_done(&record.key);
    tr_buf_done(&record.value);
}

static void test_audit_written(void **state)
{
    (void)state;
    struct example example;
    struct record record;
    struct tr_error err = {0};
    struct tr_slice detail = TR_SLICE("{\"to\":\"beginning\",\"partitions\":4}");
    load(&example, "audit.reset.json");
    record_init(&record);
    assert_int_equal(control_audit_write(1764000000000001, "root@db1", "tailrace-redis", "reset",
                                         detail, &record.key, &record.value, &err),
                     0);
    assert_record(&record, &example);
    record_init(&record);
    assert_int_equal(
        tr_audit_write("tailrace-redis", "reset", detail, &record.key, &record.value, &err), 0);
    assert_memory_equal(record.key.data, "[\"audit\",\"20", 12);
    assert_non_null(memmem(record.value.data, record.value.length, "@", 1));
    tr_buf_done(&record.key);
    tr_buf_done(&record.value);
}

static void test_no_room(void **state)
{
    (void)state;
    struct tr_buf key, value;
    struct tr_error err = {0};
    tr_buf_init(&key, 100);
    tr_buf_init(&value, 100);
    assert_int_equal(tr_shape_write(&orders, &key, &value, &err), TR_ELIMIT);
    tr_buf_done(&key);
    tr_buf_done(&value);
}

/* ---- read and written again ----------------------------------------------------------------- */

static void test_shapes_again(void **state)
{
    (void)state;
    static const char *const names[] = {"shape.orders.json", "shape.no-key.json",
                                        "shape.composite-key.json"};
    for (size_t i = 0; i < 3; i++) {
        struct example example;
        struct record record;
        struct tr_arena arena;
        struct tr_shape *shape = NULL;
        struct tr_error err = {0};
        load(&example, names[i]);
        record_init(&record);
        tr_arena_init(&arena, 4096, 0);
        assert_int_equal(tr_shape_read(&shape, example.value, &arena, &err), 0);
        assert_int_equal(tr_shape_write(shape, &record.key, &record.value, &err), 0);
        assert_record(&record, &example);
        tr_arena_done(&arena);
    }
}

static void test_shape_read(void **state)
{
    (void)state;
    struct example example;
    struct tr_arena arena;
    struct tr_shape *shape = NULL;
    struct tr_error err = {0};
    tr_arena_init(&arena, 4096, 0);
    load(&example, "shape.orders.json");
    assert_int_equal(tr_shape_read(&shape, example.value, &arena, &err), 0);
    assert_true(tr_shape_equal(shape, &orders));
    assert_true(tr_slice_equal(shape->columns[4].name, TR_SLICE("extra \"x\"")));
    assert_true(tr_slice_equal(shape->columns[4].name_json, TR_SLICE("\"extra \\\"x\\\"\"")));
    assert_true(tr_slice_equal(shape->table_json, TR_SLICE("\"orders\"")));
    assert_true(shape->columns[0].key);
    assert_false(shape->columns[1].key);
    load(&example, "shape.composite-key.json");
    assert_int_equal(tr_shape_read(&shape, example.value, &arena, &err), 0);
    assert_int_equal(shape->key_count, 2);
    assert_int_equal(shape->key[0], 1);
    assert_int_equal(shape->key[1], 0);
    assert_false(tr_shape_equal(shape, &orders));
    tr_arena_done(&arena);
}

static void test_shapes_differ(void **state)
{
    (void)state;
    struct tr_shape_column columns[6];
    struct tr_shape other = orders;
    memcpy(columns, order_columns, sizeof(columns));
    other.columns = columns;
    other.schema_id = 1;
    assert_true(tr_shape_equal(&orders, &other)); /* the id is no content */
    columns[5].fraction = 3;
    assert_false(tr_shape_equal(&orders, &other));
    columns[5].fraction = 6;
    columns[4].refine = TR_REFINE_NONE;
    assert_false(tr_shape_equal(&orders, &other));
    columns[4].refine = TR_REFINE_JSON;
    other.key_count = 0;
    assert_false(tr_shape_equal(&orders, &other));
    other.key_count = 1;
    other.topic = "shop.orders";
    assert_false(tr_shape_equal(&orders, &other));
}

static void take_example(struct tr_control *control, const char *name)
{
    struct example example;
    struct tr_error err = {0};
    load(&example, name);
    int rc = tr_control_take(control, example.key, example.value, false, &err);
    if (rc != 0)
        fail_msg("%s: %s", name, err.text);
}

static void test_checkpoint_again(void **state)
{
    (void)state;
    struct example example;
    struct record record;
    struct tr_control *control = NULL;
    struct tr_error err = {0};
    assert_int_equal(tr_control_new(&control, &err), 0);
    assert_null(tr_control_checkpoint(control));
    for (int i = 0; i < 2; i++)
        take_example(control, "checkpoint.mariadb.json");
    const struct tr_checkpoint *checkpoint = tr_control_checkpoint(control);
    assert_non_null(checkpoint);
    assert_int_equal(checkpoint->offset, 5433);
    assert_int_equal(checkpoint->file_crc, 4294967295);
    assert_string_equal(checkpoint->gtid, "0-1-33,1-2-9");
    assert_int_equal(checkpoint->open.ordinal, 0);
    load(&example, "checkpoint.mariadb.json");
    record_init(&record);
    assert_int_equal(tr_checkpoint_write(checkpoint, &record.key, &record.value, &err), 0);
    assert_record(&record, &example);
    take_example(control, "checkpoint.open-group.json");
    checkpoint = tr_control_checkpoint(control);
    assert_int_equal(checkpoint->open.version, 81523719);
    assert_int_equal(checkpoint->open.ordinal, 40000);
    assert_int_equal(checkpoint->open.key_hash, 0xdeadbeef);
    assert_int_equal(checkpoint->open.row, 85523719);
    assert_int_equal(checkpoint->altered_count, 2);
    assert_int_equal(checkpoint->altered[0].version, 81520000);
    assert_int_equal(checkpoint->altered[1].table.length, 0);
    load(&example, "checkpoint.open-group.json");
    record_init(&record);
    assert_int_equal(tr_checkpoint_write(checkpoint, &record.key, &record.value, &err), 0);
    assert_record(&record, &example);
    load(&example, "checkpoint.mariadb.json");
    assert_int_equal(tr_control_take(control, example.key, (struct tr_slice){0}, true, &err), 0);
    assert_null(tr_control_checkpoint(control));
    tr_control_free(control);
}

/* ---- the topic as a whole ------------------------------------------------------------------- */

static void take_text(struct tr_control *control, const char *key, const char *value)
{
    struct tr_error err = {0};
    if (tr_control_take(control, tr_slice_of(key), tr_slice_of(value), false, &err) != 0)
        fail_msg("%s: %s", key, err.text);
}

static void test_topics(void **state)
{
    (void)state;
    struct tr_control *control = NULL;
    struct tr_error err = {0};
    assert_int_equal(tr_control_new(&control, &err), 0);
    take_example(control, "topic.shop.json");
    take_text(control, "[\"topic\",\"b\"]",
              "{\"format\":1,\"name\":\"b\",\"partitions\":1,\"incarnation\":\"00\"}");
    take_text(control, "[\"topic\",\"db.shop\"]",
              "{\"format\":1,\"name\":\"db.shop\",\"partitions\":8,\"incarnation\":\"11\"}");
    assert_int_equal(tr_control_topic_count(control), 2);
    assert_int_equal(tr_control_topic(control, "db.shop")->partitions, 8);
    assert_string_equal(tr_control_topic(control, "db.shop")->incarnation, "11");
    assert_null(tr_control_topic(control, "c"));
    assert_int_equal(tr_control_take(control, TR_SLICE("[\"topic\",\"db.shop\"]"),
                                     (struct tr_slice){0}, true, &err),
                     0);
    assert_int_equal(tr_control_topic_count(control), 1);
    assert_string_equal(tr_control_topic_number(control, 0)->name, "b");
    assert_null(tr_control_topic_number(control, 1));
    tr_control_free(control);
}

static void test_shapes_kept(void **state)
{
    (void)state;
    struct tr_slice shop = TR_SLICE("shop"), table = TR_SLICE("orders");
    struct tr_control *control = NULL;
    struct tr_error err = {0};
    assert_int_equal(tr_control_new(&control, &err), 0);
    take_example(control, "shape.orders.json");
    take_example(control, "shape.no-key.json");
    const struct tr_shape *first = tr_control_shape(control, shop, table, 81520000);
    assert_non_null(first);
    take_example(control, "shape.orders.json"); /* repeated by a restarted capture */
    assert_int_equal(tr_control_shape_count(control), 2);
    struct tr_shape later = orders;
    later.schema_id = 81530000;
    later.column_count = 5;
    const struct tr_shape *second = tr_control_add_shape(control, &later, &err);
    assert_non_null(second);
    assert_ptr_not_equal(second->columns, order_columns); /* its own copy */
    assert_true(second->columns[0].key);
    assert_ptr_equal(tr_control_add_shape(control, &later, &err), second);
    assert_ptr_equal(tr_control_shape(control, shop, table, 81520000), first);
    assert_null(tr_control_shape(control, shop, table, 81520001));
    assert_null(tr_control_shape_at(control, shop, table, 81519999));
    assert_ptr_equal(tr_control_shape_at(control, shop, table, 81529999), first);
    assert_ptr_equal(tr_control_shape_at(control, shop, table, 81530000), second);
    assert_ptr_equal(tr_control_shape_number(control, 2), second);
    assert_null(tr_control_shape_number(control, 3));
    struct tr_slice key = TR_SLICE("[\"shape\",\"shop\",\"orders\",81520000]");
    assert_int_equal(tr_control_take(control, key, (struct tr_slice){0}, true, &err), 0);
    assert_ptr_equal(tr_control_shape(control, shop, table, 81520000), first);
    tr_control_free(control);
}

static void test_many_shapes(void **state)
{
    (void)state;
    struct tr_control *control = NULL;
    struct tr_error err = {0};
    char name[32];
    assert_int_equal(tr_control_new(&control, &err), 0);
    for (int i = 0; i < 3000; i++) {
        struct tr_shape shape = orders;
        snprintf(name, sizeof(name), "t%d", i);
        shape.table = tr_slice_of(name);
        assert_non_null(tr_control_add_shape(control, &shape, &err));
    }
    assert_int_equal(tr_control_shape_count(control), 3000);
    for (int i = 0; i < 3000; i++) {
        snprintf(name, sizeof(name), "t%d", i);
        const struct tr_shape *shape =
            tr_control_shape(control, orders.database, tr_slice_of(name), 81520000);
        assert_ptr_equal(shape, tr_control_shape_number(control, (size_t)i));
    }
    tr_control_free(control);
}

static void test_unknown_kinds(void **state)
{
    (void)state;
    struct tr_control *control = NULL;
    struct tr_error err = {0};
    assert_int_equal(tr_control_new(&control, &err), 0);
    take_text(control, "[\"heartbeat\"]", "{\"format\":1}");
    take_text(control, "[\"snapshot\",\"shop\",{\"x\":1}]", "whatever");
    take_example(control, "audit.reset.json");
    assert_int_equal(tr_control_shape_count(control), 0);
    tr_control_free(control);
}

/* ---- refused -------------------------------------------------------------------------------- */

static void assert_refused(const char *key, const char *value, const char *reason)
{
    struct tr_control *control = NULL;
    struct tr_error err = {0};
    assert_int_equal(tr_control_new(&control, &err), 0);
    if (tr_control_take(control, tr_slice_of(key), tr_slice_of(value), false, &err) != TR_ESTATE)
        fail_msg("accepted: %s %s (%s)", key, value, err.text);
    if (strstr(err.text, reason) == NULL)
        fail_msg("%s %s says \"%s\", not \"%s\"", key, value, err.text, reason);
    tr_control_free(control);
}

#define SHAPE_HEAD                                                                                 \
    "{\"format\":1,\"database\":\"d\",\"table\":\"t\",\"schema_id\":1,\"topic\":\"x\","            \
    "\"columns\":"

static void test_refused(void **state)
{
    (void)state;
    assert_refused("", "", "malformed");
    assert_refused("{}", "{}", "no array");
    assert_refused("[]", "{}", "kind");
    assert_refused("[1]", "{}", "kind");
    assert_refused("[\"topic\",\"t\"]", "{", "malformed");
    assert_refused("[\"topic\",\"t\"]", "{}", "format");
    assert_refused("[\"topic\",\"t\"]", "{\"format\":2}", "newer version");
    assert_refused("[\"checkpoint\"]", "{\"format\":99,\"x\":1}", "format 99");
    assert_refused("[\"shape\",\"d\",\"t\",1]", "{\"format\":2}", "newer version");
    assert_refused("[\"topic\",\"t\"]", "{\"format\":1,\"name\":\"t\"}", "partitions");
    assert_refused("[\"topic\",\"t\"]",
                   "{\"format\":1,\"name\":\"t\",\"partitions\":0,\"incarnation\":\"\"}",
                   "no partitions");
    assert_refused("[\"topic\",\"t\"]",
                   "{\"format\":1,\"name\":\"t\",\"partitions\":4294967296,\"incarnation\":\"\"}",
                   "partitions");
    assert_refused("[\"topic\",\"t\"]",
                   "{\"format\":1,\"name\":\"t\",\"partitions\":1,"
                   "\"incarnation\":\"0123456789abcdef0\"}",
                   "incarnation");
    assert_refused("[\"checkpoint\"]", "{\"format\":1}", "pipeline_id");
    assert_refused("[\"shape\",\"d\",\"t\",1]", SHAPE_HEAD "[],\"key\":[\"a\"]}", "no column");
    assert_refused("[\"shape\",\"d\",\"t\",1]", SHAPE_HEAD "[1],\"key\":[]}", "no object");
    assert_refused("[\"shape\",\"d\",\"t\",1]",
                   SHAPE_HEAD "[{\"name\":\"a\",\"type\":\"uuid\",\"nullable\":true}],\"key\":[]}",
                   "unknown type uuid");
    assert_refused("[\"shape\",\"d\",\"t\",1]",
                   SHAPE_HEAD "[{\"name\":\"a\",\"type\":\"int\"}],\"key\":[]}", "nullable");
}

/* ---- names ---------------------------------------------------------------------------------- */

static void test_names(void **state)
{
    (void)state;
    char name[TR_TOPIC_NAME_MAX + 1], longest[300];
    struct tr_error err = {0};
    assert_int_equal(tr_topic_control(name, "shop", &err), 0);
    assert_string_equal(name, "tailrace.shop.control");
    assert_int_equal(tr_topic_schema_changes(name, "shop", &err), 0);
    assert_string_equal(name, "tailrace.shop.schema-changes");
    assert_int_equal(tr_topic_dead(name, "shop", "redis", &err), 0);
    assert_string_equal(name, "tailrace.shop.dead.redis");
    assert_int_equal(tr_group_name(name, "shop", "redis", &err), 0);
    assert_string_equal(name, "shop.redis");
    assert_int_equal(tr_topic_control(name, "my shop", &err), TR_ECONFIG);
    assert_non_null(strstr(err.text, "my shop"));
    tr_error_reset(&err);
    assert_int_equal(tr_topic_dead(name, "shop", "", &err), TR_ECONFIG);
    tr_error_reset(&err);
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    assert_int_equal(tr_topic_control(name, longest, &err), TR_ECONFIG);
    assert_non_null(strstr(err.text, "longer"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shape_written),
        cmocka_unit_test(test_topic_written),
        cmocka_unit_test(test_checkpoint_written),
        cmocka_unit_test(test_long_gtid_set),
        cmocka_unit_test(test_audit_written),
        cmocka_unit_test(test_no_room),
        cmocka_unit_test(test_shapes_again),
        cmocka_unit_test(test_shape_read),
        cmocka_unit_test(test_shapes_differ),
        cmocka_unit_test(test_checkpoint_again),
        cmocka_unit_test(test_topics),
        cmocka_unit_test(test_shapes_kept),
        cmocka_unit_test(test_many_shapes),
        cmocka_unit_test(test_unknown_kinds),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
