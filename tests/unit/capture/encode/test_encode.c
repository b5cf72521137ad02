/* test_encode.c - events and keys: order, the `invalid` rule, commit, limits, no allocation. */
#include "cmocka_all.h"
#include "count_allocations.h"
#include "encode.h"
#include "json_scan.h"
#include "wire.h"

#define BEGINNING                                                                                  \
    "{\"database\":\"d\",\"table\":\"a\",\"type\":\"insert\",\"version\":77,\"schema_id\":5,"      \
    "\"ts\":1764000000,\"xid\":70"

static struct tr_error err;
static struct tr_arena arena;
static struct tr_buf out;
static struct tr_binlog_table *table;
static struct tr_shape shape;
static struct tr_encoder *encoder;
static struct tr_encoded encoded;
static uint32_t key[2] = {0, 2};
static struct tr_cell row[19], other[19];
static struct wire map;

/* ---- set-up --------------------------------------------------------------------------------- */

static void set(struct tr_cell *cells, uint32_t index, const void *data, uint32_t length)
{
    cells[index] = (struct tr_cell){data, length};
}

/* Column by column as wire.h's table has them; the hidden last one is no column of the shape. */
static void fill(struct tr_cell *cells)
{
    set(cells, 0, "\1\0\0\0", 4);
    set(cells, 1, NULL, 0);
    set(cells, 2, "a\"\xe9", 3);
    set(cells, 3, "ab", 2);
    set(cells, 4, NULL, 0);
    set(cells, 5, NULL, 0);
    set(cells, 6, NULL, 0);
    set(cells, 7, "{\"a\": [1 ,2]}", 13);
    set(cells, 8, NULL, 0);
    set(cells, 9, NULL, 0);
    set(cells, 10, "blob", 4);
    set(cells, 11, "\2", 1);
    set(cells, 12, "\3", 1);
    set(cells, 13, "\174", 1);
    set(cells, 14, "\1\1", 2);
    set(cells, 15, "\2\0\0\0", 4);
    set(cells, 16, "\376\377\377\377", 4);
    set(cells, 17, "t\xf0\x9f\x98\x80t", 6);
    set(cells, 18, "\1\0\0\0\0\0\0\0", 8);
}

static int begin(void **state)
{
    (void)state;
    tr_error_reset(&err);
    tr_arena_init(&arena, 65536, 0);
    tr_buf_init(&out, 1 << 20);
    wire_begin(&map, TR_BINLOG_TABLE_MAP);
    wire_hex(&map, wire_map_hex);
    wire_end(&map);
    struct tr_binlog_event event = wire_event(&map);
    if (tr_binlog_table_read(&table, &event, &arena, &err) != 0)
        return -1;
    static struct tr_shape_column columns[18];
    for (int i = 0; i < 18; i++)
        columns[i] = table->columns[i].shape;
    columns[4].refine = TR_REFINE_UUID;
    columns[7].refine = TR_REFINE_JSON;
    shape = (struct tr_shape){.database = TR_SLICE("d"),
                              .table = TR_SLICE("a"),
                              .schema_id = 5,
                              .columns = columns,
                              .column_count = 18,
                              .key = key,
                              .key_count = 2};
    fill(row);
    fill(other);
    return tr_encoder_new(&encoder, table, &shape, &err);
}

static int end(void **state)
{
    (void)state;
    tr_encoder_free(encoder);
    tr_arena_done(&arena);
    tr_buf_done(&out);
    return 0;
}

static struct tr_encode_header header(enum tr_event_type type)
{
    return (struct tr_encode_header){
        .type = type, .version = 77, .ts = 1764000000, .xid = 70, .thread_id = -1};
}

static void assert_text(const char *wanted)
{
    assert_false(out.failed);
    if (out.length != strlen(wanted) || memcmp(out.data, wanted, out.length) != 0)
        fail_msg("got      %.*s\nexpected %s", (int)out.length, out.data, wanted);
}

#define ROW_TEXT                                                                                   \
    "\"data\":{\"i\":1,\"g\":null,\"c\":\"a\\\"é\",\"b\":\"YWIAAAA=\",\"u\":null,\"n\":null,"     \
    "\"n4\":null,\"j\":{\"a\":[1,2]},\"t\":null,\"v\":null,\"bb\":\"YmxvYg==\",\"e\":\"é\","      \
    "\"s\":[\"x\",\"y\"],\"y\":2024,\"bt\":257,\"vc\":2,\"vp\":-2,\"tx\":\"t😀t\"}"

static void writes_an_event(void **state)
{
    (void)state;
    struct tr_encode_header head = header(TR_EVENT_INSERT);
    tr_encode_event(encoder, &head, row, NULL, &out, &encoded);
    assert_text(BEGINNING "," ROW_TEXT "}");
    assert_int_equal(encoded.start, 0);
    assert_int_equal(encoded.end, out.length);
    assert_int_equal(encoded.commit_at, strlen(BEGINNING));
    assert_int_equal(encoded.invalid, 0);
}

static void writes_optional_members_in_order(void **state)
{
    (void)state;
    struct tr_encode_header head = header(TR_EVENT_INSERT);
    head.commit = true;
    head.gtid = TR_SLICE("0-1-33");
    head.position_file = TR_SLICE("b\"in.000003");
    head.position_offset = 5021;
    head.with_server_id = head.with_thread_id = true;
    head.server_id = 4000000000;
    head.query = TR_SLICE("INSERT \"\xe9\"");
    tr_encode_event(encoder, &head, row, NULL, &out, &encoded);
    assert_text(BEGINNING
                ",\"commit\":true,\"gtid\":\"0-1-33\",\"position\":\"b\\\"in.000003:5021\""
                ",\"server_id\":4000000000,\"thread_id\":null,"
                "\"query\":\"INSERT \\\"é\\\"\"," ROW_TEXT "}");
}

static void old_has_what_changed(void **state)
{
    (void)state;
    struct tr_encode_header head = header(TR_EVENT_INSERT);
    set(other, 1, NULL, 0);
    set(other, 2, NULL, 0);
    set(other, 13, "\0", 1);
    set(other, 18, "\2\0\0\0\0\0\0\0", 8); /* hidden: left out */
    tr_encode_event(encoder, &head, row, other, &out, &encoded);
    assert_text(BEGINNING "," ROW_TEXT ",\"old\":{\"c\":null,\"y\":0}}");
    tr_buf_reset(&out);
    tr_encode_event(encoder, &head, row, row, &out, &encoded);
    assert_text(BEGINNING "," ROW_TEXT ",\"old\":{}}");
}

static void names_what_is_invalid_once(void **state)
{
    (void)state;
    struct tr_encode_header head = header(TR_EVENT_INSERT);
    tr_buf_append(&out, "before", 6);
    for (int i = 0; i < 18; i++)
        set(row, (uint32_t)i, NULL, 0);
    set(row, 0, "\1\0\0\0", 4);
    set(row, 4, "\1\2", 2);
    set(row, 7, "{\"a\":", 5);
    set(row, 11, "\3", 1);
    set(row, 12, "\4", 1);
    set(row, 17, "\xc3(", 2);
    memcpy(other, row, sizeof(row));
    set(other, 17, "\xff", 1);
    tr_encode_event(encoder, &head, row, other, &out, &encoded);
    assert_text("before" BEGINNING ",\"invalid\":[\"u\",\"j\",\"e\",\"s\",\"tx\"],"
                "\"data\":{\"i\":1,\"g\":null,\"c\":null,\"b\":null,"
                "\"u\":\"AQIAAAAAAAAAAAAAAAAAAA==\",\"n\":null,\"n4\":null,\"j\":\"eyJhIjo=\","
                "\"t\":null,\"v\":null,\"bb\":null,\"e\":\"Aw==\",\"s\":\"BA==\",\"y\":null,"
                "\"bt\":null,\"vc\":null,\"vp\":null,\"tx\":\"wyg=\"},\"old\":{\"tx\":\"/w==\"}}");
    assert_int_equal(encoded.invalid, 6);
    assert_int_equal(encoded.start, 6);
    assert_int_equal(encoded.end, out.length);
    tr_buf_reset(&out);
    fill(row);
    tr_encode_event(encoder, &head, row, NULL, &out, &encoded);
    assert_text(BEGINNING "," ROW_TEXT "}"); /* forgotten with its event */
}

static void commit_is_put_in_later(void **state)
{
    (void)state;
    struct tr_encode_header head = header(TR_EVENT_INSERT);
    struct tr_encoded first;
    size_t moved;
    tr_encode_event(encoder, &head, row, NULL, &out, &first);
    tr_buf_append_char(&out, '\n');
    size_t before = out.length;
    tr_encode_event(encoder, &head, row, NULL, &out, &encoded);
    assert_true(tr_encode_mark_commit(&out, &encoded, &moved));
    assert_int_equal(moved, strlen(",\"commit\":true"));
    assert_int_equal(out.length, 2 * (before - 1) + 1 + moved);
    assert_true(tr_encode_mark_commit(&out, &first, &moved));
    assert_text(BEGINNING ",\"commit\":true," ROW_TEXT "}\n" BEGINNING ",\"commit\":true," ROW_TEXT
                          "}");
}

static void keys_are_written_in_key_order(void **state)
{
    (void)state;
    assert_true(tr_encode_key(encoder, row, &out));
    assert_text("{\"database\":\"d\",\"table\":\"a\",\"pk.i\":1,\"pk.c\":\"a\\\"é\"}");
    tr_encoder_free(encoder);
    key[0] = 2;
    key[1] = 0;
    assert_int_equal(tr_encoder_new(&encoder, table, &shape, &err), 0);
    key[0] = 0;
    key[1] = 2;
    tr_buf_reset(&out);
    assert_true(tr_encode_key(encoder, row, &out));
    assert_text("{\"database\":\"d\",\"table\":\"a\",\"pk.c\":\"a\\\"é\",\"pk.i\":1}");
    tr_encoder_free(encoder);
    shape.key_count = 0;
    assert_int_equal(tr_encoder_new(&encoder, table, &shape, &err), 0);
    assert_false(tr_encode_key(encoder, row, &out));
}

/* By bytes: what a collation holds equal is another key. */
static void keys_change_with_their_bytes(void **state)
{
    (void)state;
    assert_false(tr_encode_key_changed(encoder, row, other));
    set(other, 17, "x", 1);
    assert_false(tr_encode_key_changed(encoder, row, other));
    set(other, 2, "A\"\xe9", 3);
    assert_true(tr_encode_key_changed(encoder, row, other));
    set(other, 2, NULL, 0);
    assert_true(tr_encode_key_changed(encoder, row, other));
    set(row, 2, NULL, 0);
    assert_false(tr_encode_key_changed(encoder, row, other));
}

static void writes_markers(void **state)
{
    (void)state;
    struct tr_encode_header head = header(TR_EVENT_TABLE_TRUNCATE);
    head.gtid = TR_SLICE("0-1-33");
    tr_encode_marker(&head, TR_SLICE("d"), TR_SLICE("o\"dd"), &out, &encoded);
    assert_text("{\"database\":\"d\",\"table\":\"o\\\"dd\",\"type\":\"table-truncate\","
                "\"version\":77,\"ts\":1764000000,\"xid\":70,\"gtid\":\"0-1-33\"}");
    tr_buf_reset(&out);
    tr_event_put_marker_key(&out, TR_SLICE("d"), TR_SLICE("o\"dd"));
    assert_text("{\"database\":\"d\",\"table\":\"o\\\"dd\"}");
}

static void refuses_a_shape_of_another_table(void **state)
{
    (void)state;
    struct tr_encoder *none;
    shape.column_count = 17;
    assert_int_equal(tr_encoder_new(&none, table, &shape, &err), TR_EBUG);
    assert_null(none);
    tr_error_reset(&err);
    shape.column_count = 18;
    key[1] = 18;
    assert_int_equal(tr_encoder_new(&none, table, &shape, &err), TR_EBUG);
    key[1] = 2;
}

/* Whatever the limit, the buffer says that it failed, or the text is whole. */
static void fails_cleanly_at_every_limit(void **state)
{
    (void)state;
    struct tr_encode_header head = header(TR_EVENT_INSERT);
    head.gtid = TR_SLICE("0-1-33");
    head.position_file = TR_SLICE("bin.000003");
    head.query = TR_SLICE("x\xe9");
    set(row, 17, "\xff", 1);
    tr_encode_event(encoder, &head, row, other, &out, &encoded);
    size_t whole = out.length;
    for (size_t limit = 1; limit <= whole + 8; limit++) {
        struct tr_buf small;
        struct tr_json_value value;
        tr_buf_init(&small, limit);
        tr_encode_event(encoder, &head, row, other, &small, &encoded);
        assert_true(small.length <= limit);
        if (limit < whole)
            assert_true(small.failed);
        if (!small.failed) {
            struct tr_slice text = {small.data, small.length};
            assert_int_equal(tr_json_parse(text, &value, &err), 0);
        }
        tr_buf_done(&small);
    }
}

static void steady_state_allocates_nothing(void **state)
{
    (void)state;
    struct tr_encode_header head = header(TR_EVENT_INSERT);
    head.position_file = TR_SLICE("bin.000003");
    set(other, 2, "b", 1);
    set(row, 17, "\xff", 1);
    int64_t before = allocations;
    for (int i = 0; i < 100; i++) {
        size_t moved;
        if (i == 1) {                          /* the first round makes the buffer large enough */
            assert_true(allocations > before); /* the counter counts */
            before = allocations;
        }
        tr_buf_reset(&out);
        assert_true(tr_encode_key(encoder, row, &out));
        tr_encode_event(encoder, &head, row, other, &out, &encoded);
        assert_true(tr_encode_mark_commit(&out, &encoded, &moved));
    }
    assert_int_equal(allocations, before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
        TEST(writes_an_event),
        TEST(writes_optional_members_in_order),
        TEST(old_has_what_changed),
        TEST(names_what_is_invalid_once),
        TEST(commit_is_put_in_later),
        TEST(keys_are_written_in_key_order),
        TEST(keys_change_with_their_bytes),
        TEST(writes_markers),
        TEST(refuses_a_shape_of_another_table),
        TEST(fails_cleanly_at_every_limit),
        TEST(steady_state_allocates_nothing),
#undef TEST
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
