/* test_event_examples.c - capture writes events and keys as the examples of schemas/ have them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "encode.h"

#define QUOTED(text)                                                                               \
    .name = {text, sizeof(text) - 1}, .name_json = {"\"" text "\"", sizeof(text) + 1}
#define CELL(bytes)                                                                                \
    {                                                                                              \
        (const uint8_t *)(bytes), sizeof(bytes) - 1                                                \
    }
#define SQL_NULL                                                                                   \
    {                                                                                              \
        NULL, 0                                                                                    \
    }

enum { ID, CUSTOMER, PRICE, NOTE, COLUMNS };

static struct tr_binlog_column columns[COLUMNS] = {
    [ID] = {.shape = {QUOTED("id"), .type = TR_SQL_BIGINT, .is_unsigned = true}},
    [CUSTOMER] = {.shape = {QUOTED("customer"), .type = TR_SQL_VARCHAR, .length = 100},
                  .encoding = TR_CHARSET_UTF8},
    [PRICE] = {.shape = {QUOTED("price"), .type = TR_SQL_DECIMAL, .length = 12, .scale = 2},
               .meta = 12 << 8 | 2},
    [NOTE] = {.shape = {QUOTED("note"), .type = TR_SQL_TEXT, .nullable = true},
              .encoding = TR_CHARSET_UTF8},
};
static struct tr_binlog_table orders = {.columns = columns, .column_count = COLUMNS};
static struct tr_shape_column shape_columns[COLUMNS];
static uint32_t key_columns[] = {ID};
static const struct tr_shape shape = {
    .database = {"shop", 4},
    .table = {"orders", 6},
    .schema_id = 81520000,
    .topic = "db.shop",
    .columns = shape_columns,
    .column_count = COLUMNS,
    .key = key_columns,
    .key_count = 1,
};

#define ONE CELL("\1\0\0\0\0\0\0\0")
/* One digit, nine digits, two digits behind the point; the highest bit set for "not negative". */
#define PRICE_12_50 CELL("\x80\0\0\0\x0c\x32")
#define PRICE_13_00 CELL("\x80\0\0\0\x0d\0")

static const struct tr_cell before[COLUMNS] = {ONE, CELL("Anna"), PRICE_12_50, SQL_NULL};
static const struct tr_cell after[COLUMNS] = {ONE, CELL("Anna"), PRICE_13_00, CELL("paid")};

static struct tr_error err;
static struct tr_encoder *encoder;
static struct tr_buf out;

static int begin(void **state)
{
    (void)state;
    tr_error_reset(&err);
    tr_buf_init(&out, 1 << 20);
    for (int i = 0; i < COLUMNS; i++)
        shape_columns[i] = columns[i].shape;
    return tr_encoder_new(&encoder, &orders, &shape, &err);
}

static int end(void **state)
{
    (void)state;
    tr_encoder_free(encoder);
    tr_buf_done(&out);
    return 0;
}

static void assert_example(const char *name)
{
    char path[512], text[4096];
    snprintf(path, sizeof(path), "%s/%s.json", EXAMPLES, name);
    FILE *in = fopen(path, "rb");
    if (in == NULL)
        fail_msg("no example %s", path);
    size_t length = fread(text, 1, sizeof(text), in);
    fclose(in);
    tr_buf_append_char(&out, '\n');
    assert_false(out.failed);
    if (out.length != length || memcmp(out.data, text, length) != 0)
        fail_msg("wrote    %.*sexpected %.*s", (int)out.length, out.data, (int)length, text);
}

static struct tr_encode_header header(enum tr_event_type type, bool commit)
{
    return (struct tr_encode_header){.type = type,
                                     .version = 81523677,
                                     .ts = 1764000000,
                                     .xid = 81523001,
                                     .commit = commit,
                                     .gtid = TR_SLICE("0-1-33"),
                                     .position_file = TR_SLICE("bin.000003"),
                                     .position_offset = 5021,
                                     .thread_id = -1};
}

static void writes_insert(void **state)
{
    (void)state;
    struct tr_encoded encoded;
    struct tr_encode_header head = header(TR_EVENT_INSERT, false);
    const struct tr_cell row[COLUMNS] = {ONE, CELL("J\xc3\xbcrgen \"J\" \xc3\x96"), PRICE_12_50,
                                         SQL_NULL};
    tr_encode_event(encoder, &head, row, NULL, &out, &encoded);
    assert_example("event.insert");
}

static void writes_update(void **state)
{
    (void)state;
    struct tr_encoded encoded;
    struct tr_encode_header head = header(TR_EVENT_UPDATE, true);
    tr_encode_event(encoder, &head, after, before, &out, &encoded);
    assert_example("event.update");
}

static void writes_delete(void **state)
{
    (void)state;
    struct tr_encoded encoded;
    struct tr_encode_header head = header(TR_EVENT_DELETE, true);
    tr_encode_event(encoder, &head, after, NULL, &out, &encoded);
    assert_example("event.delete");
}

static void writes_bootstrap_insert(void **state)
{
    (void)state;
    struct tr_encoded encoded;
    struct tr_encode_header head = header(TR_EVENT_BOOTSTRAP_INSERT, false);
    const struct tr_cell row[COLUMNS] = {ONE, CELL("Anna"), PRICE_13_00, SQL_NULL};
    head.gtid.length = 0;
    head.position_file.length = 0;
    tr_encode_event(encoder, &head, row, NULL, &out, &encoded);
    assert_example("event.bootstrap-insert");
}

static void writes_invalid(void **state)
{
    (void)state;
    struct tr_encoded encoded;
    struct tr_encode_header head = header(TR_EVENT_INSERT, true);
    const struct tr_cell row[COLUMNS] = {ONE, CELL("Anna"), PRICE_13_00, CELL("\xff")};
    head.with_server_id = true;
    head.server_id = 1;
    head.with_thread_id = true;
    head.query = TR_SLICE("INSERT INTO orders \xe2\x80\xa6");
    tr_encode_event(encoder, &head, row, NULL, &out, &encoded);
    assert_int_equal(encoded.invalid, 1);
    assert_example("event.invalid");
}

static void writes_markers(void **state)
{
    (void)state;
    for (int type = TR_EVENT_TABLE_TRUNCATE; type < TR_EVENT_TYPES; type++) {
        char name[64];
        struct tr_encoded encoded;
        struct tr_encode_header head = header((enum tr_event_type)type, true);
        head.gtid = TR_SLICE("0-1-34");
        head.position_offset = 5400;
        tr_buf_reset(&out);
        tr_encode_marker(&head, shape.database, shape.table, &out, &encoded);
        snprintf(name, sizeof(name), "event.%s", tr_event_type_name(head.type));
        assert_example(name);
    }
}

static void writes_keys(void **state)
{
    (void)state;
    assert_true(tr_encode_key(encoder, after, &out));
    assert_example("key.row");
    tr_buf_reset(&out);
    tr_event_put_marker_key(&out, shape.database, shape.table);
    assert_example("key.marker");
}

/* The key's order is its own, not the columns'. */
static void writes_composite_key(void **state)
{
    (void)state;
    struct tr_binlog_column two[] = {
        {.shape = {QUOTED("sku"), .type = TR_SQL_CHAR, .length = 20},
         .encoding = TR_CHARSET_LATIN1},
        {.shape = {QUOTED("order"), .type = TR_SQL_INT}},
    };
    struct tr_binlog_table table = {.columns = two, .column_count = 2};
    struct tr_shape_column two_shapes[] = {two[0].shape, two[1].shape};
    uint32_t order[] = {1, 0};
    struct tr_shape lines = {.database = TR_SLICE("shop"),
                             .table = TR_SLICE("order lines"),
                             .schema_id = 70,
                             .topic = "shop.lines",
                             .columns = two_shapes,
                             .column_count = 2,
                             .key = order,
                             .key_count = 2};
    const struct tr_cell row[] = {CELL("A:1/\"x\""), CELL("\1\0\0\0")};
    struct tr_encoder *other = NULL;
    assert_int_equal(tr_encoder_new(&other, &table, &lines, &err), 0);
    assert_true(tr_encode_key(other, row, &out));
    assert_example("key.composite");
    tr_encoder_free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(writes_insert, begin, end),
        cmocka_unit_test_setup_teardown(writes_update, begin, end),
        cmocka_unit_test_setup_teardown(writes_delete, begin, end),
        cmocka_unit_test_setup_teardown(writes_bootstrap_insert, begin, end),
        cmocka_unit_test_setup_teardown(writes_invalid, begin, end),
        cmocka_unit_test_setup_teardown(writes_markers, begin, end),
        cmocka_unit_test_setup_teardown(writes_keys, begin, end),
        cmocka_unit_test_setup_teardown(writes_composite_key, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
