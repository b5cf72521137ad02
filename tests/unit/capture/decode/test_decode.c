/* test_decode.c - events, table maps and row images: what they mean, and damaged ones. */
#include <zlib.h>

#include "cmocka_all.h"
#include "wire.h"

static struct tr_error err;
static struct tr_arena arena;
static struct tr_buf scratch;
static struct wire wire;
static struct tr_cell cells[64];

static int begin(void **state)
{
    (void)state;
    tr_error_reset(&err);
    tr_arena_init(&arena, 4096, 0);
    tr_buf_init(&scratch, 1 << 20);
    return 0;
}

static int end(void **state)
{
    (void)state;
    tr_arena_done(&arena);
    tr_buf_done(&scratch);
    return 0;
}

static int read_event(struct tr_binlog_event *event, bool checksum)
{
    tr_error_reset(&err);
    return tr_binlog_event_read(event, wire.data, wire.length, checksum, &err);
}

static void add_crc(void)
{
    wire.length += 4;
    wire_end(&wire);
    uint32_t crc = (uint32_t)crc32(0, wire.data, (uInt)wire.length - 4);
    wire.length -= 4;
    wire_uint(&wire, crc, 4);
}

static void reads_a_header_and_verifies_its_checksum(void **state)
{
    (void)state;
    struct tr_binlog_event event;
    wire_begin(&wire, TR_BINLOG_XID);
    wire_uint(&wire, 42, 8);
    add_crc();
    assert_int_equal(read_event(&event, true), 0);
    assert_int_equal(event.type, TR_BINLOG_XID);
    assert_int_equal(event.timestamp, 1764000000);
    assert_int_equal(event.server_id, 1101);
    assert_int_equal(event.log_pos, 500);
    assert_int_equal(event.length, 31);
    assert_int_equal(event.body_length, 8);
    assert_int_equal(read_event(&event, false), 0);
    assert_int_equal(event.body_length, 12);
    for (size_t i = 0; i < wire.length; i++) {
        wire.data[i] ^= 0x10;
        assert_int_equal(read_event(&event, true), TR_ESOURCE);
        wire.data[i] ^= 0x10;
    }
}

static void refuses_lengths_that_do_not_fit(void **state)
{
    (void)state;
    struct tr_binlog_event event;
    wire_begin(&wire, TR_BINLOG_XID);
    wire_uint(&wire, 42, 8);
    wire_end(&wire);
    size_t whole = wire.length;
    for (wire.length = 0; wire.length < whole; wire.length++)
        assert_int_equal(read_event(&event, true), TR_ESOURCE);
    wire_begin(&wire, TR_BINLOG_STOP);
    wire_end(&wire);
    assert_int_equal(read_event(&event, true), TR_ESOURCE);
    assert_int_equal(read_event(&event, false), 0);
}

static void make_format(uint8_t algorithm)
{
    wire_begin(&wire, TR_BINLOG_FORMAT_DESCRIPTION);
    wire_uint(&wire, 4, 2);
    for (int i = 0; i < 54; i++)
        wire_uint(&wire, 0, 1);
    wire_uint(&wire, 19, 1);
    for (unsigned i = 1; i <= 171; i++)
        wire_uint(&wire, i, 1);
    wire_uint(&wire, algorithm, 1);
}

/* The file's first event says whether the others have checksums; itself always has room for one. */
static void reads_the_format(void **state)
{
    (void)state;
    struct tr_binlog_event event;
    struct tr_binlog_format format;
    make_format(1);
    add_crc();
    wire.data[17] |= 1; /* in use: set after the sum was made */
    assert_int_equal(read_event(&event, false), 0);
    assert_int_equal(tr_binlog_format_read(&format, &event, &err), 0);
    assert_true(format.checksum);
    assert_int_equal(format.post_header[TR_BINLOG_TABLE_MAP], TR_BINLOG_TABLE_MAP);
    wire.data[25] ^= 1;
    assert_int_equal(read_event(&event, false), TR_ESOURCE);
    make_format(0);
    wire_uint(&wire, 0, 4);
    wire_end(&wire);
    assert_int_equal(read_event(&event, true), 0);
    assert_int_equal(tr_binlog_format_read(&format, &event, &err), 0);
    assert_false(format.checksum);
}

static void read_format(struct tr_binlog_format *format)
{
    struct tr_binlog_event event;
    add_crc();
    assert_int_equal(read_event(&event, false), 0);
    assert_int_equal(tr_binlog_format_read(format, &event, &err), 0);
}

/* Checkpoints keep it: what it is made of must not change. */
static void a_format_identifies_its_file(void **state)
{
    (void)state;
    struct tr_binlog_format format, other;
    make_format(1);
    wire_end(&wire);
    const uint32_t head[4] = {1764000000, TR_BINLOG_FORMAT_DESCRIPTION, 1101,
                              (uint32_t)wire.length + 4};
    uLong crc = crc32(0, (const uint8_t *)head, sizeof(head));
    crc = crc32(crc, wire.data + 19, 52);
    crc = crc32(crc, wire.data + 19 + 56, (uInt)wire.length - 19 - 56);
    read_format(&format);
    assert_int_equal(format.created, 0);
    assert_int_equal(format.identity, crc);
    make_format(1);
    memcpy(wire.data + 19 + 52, "\x01\x02\x03\x04", 4);
    read_format(&other);
    assert_int_equal(other.created, 0x04030201);
    assert_int_equal(other.identity, format.identity);
    make_format(1);
    wire.data[19 + 51] ^= 1;
    read_format(&other);
    assert_int_not_equal(other.identity, format.identity);
}

static void reads_a_gtid_list(void **state)
{
    (void)state;
    struct tr_binlog_gtid_list list;
    struct tr_binlog_gtid gtid;
    wire_begin(&wire, TR_BINLOG_GTID_LIST);
    wire_uint(&wire, 0x10000002, 4);
    wire_hex(&wire, "07000000 4d040000 bc9a785634120000 08000000 4e040000 0100000000000000");
    wire_end(&wire);
    struct tr_binlog_event event = wire_event(&wire);
    assert_int_equal(tr_binlog_gtid_list_open(&list, &event, &err), 0);
    assert_true(tr_binlog_gtid_list_next(&list, &gtid));
    assert_int_equal(gtid.domain, 7);
    assert_int_equal(gtid.server_id, 1101);
    assert_int_equal(gtid.sequence, 0x123456789abc);
    assert_true(tr_binlog_gtid_list_next(&list, &gtid));
    assert_int_equal(gtid.domain, 8);
    assert_int_equal(gtid.sequence, 1);
    assert_false(tr_binlog_gtid_list_next(&list, &gtid));
    event.body_length--;
    assert_int_equal(tr_binlog_gtid_list_open(&list, &event, &err), TR_ESOURCE);
    /* An empty one is longer than it must be. */
    tr_error_reset(&err);
    wire_begin(&wire, TR_BINLOG_GTID_LIST);
    wire_uint(&wire, 0, 6);
    wire_end(&wire);
    event = wire_event(&wire);
    assert_int_equal(tr_binlog_gtid_list_open(&list, &event, &err), 0);
    assert_false(tr_binlog_gtid_list_next(&list, &gtid));
}

static void reads_a_gtid(void **state)
{
    (void)state;
    struct tr_binlog_gtid gtid;
    wire_begin(&wire, TR_BINLOG_GTID);
    wire_uint(&wire, 0x123456789abc, 8);
    wire_uint(&wire, 7, 4);
    wire_uint(&wire, 0x01 | 0x80, 1);
    wire_uint(&wire, 0, 6);
    wire_end(&wire);
    struct tr_binlog_event event = wire_event(&wire);
    assert_int_equal(tr_binlog_gtid_read(&gtid, &event, &err), 0);
    assert_int_equal(gtid.domain, 7);
    assert_int_equal(gtid.server_id, 1101);
    assert_int_equal(gtid.sequence, 0x123456789abc);
    assert_true(gtid.standalone);
    assert_true(gtid.completed_xa);
    assert_false(gtid.prepared_xa);
    event.body_length = 12;
    assert_int_equal(tr_binlog_gtid_read(&gtid, &event, &err), TR_ESOURCE);
}

static void begin_query(uint8_t type)
{
    wire_begin(&wire, type);
    wire_uint(&wire, 9, 4);
    wire_uint(&wire, 0, 4);
    wire_uint(&wire, 4, 1);
    wire_uint(&wire, 1062, 2);
    wire_uint(&wire, 3, 2);
    wire_bytes(&wire, "sssshop", 8);
}

static void reads_a_query(void **state)
{
    (void)state;
    struct tr_binlog_query query;
    int64_t inflated;
    begin_query(TR_BINLOG_QUERY);
    wire_bytes(&wire, "BEGIN", 5);
    wire_end(&wire);
    struct tr_binlog_event event = wire_event(&wire);
    assert_int_equal(tr_binlog_query_read(&query, &event, &scratch, &inflated, &err), 0);
    assert_int_equal(query.thread_id, 9);
    assert_true(tr_slice_equal(query.database, TR_SLICE("shop")));
    assert_true(tr_slice_equal(query.text, TR_SLICE("BEGIN")));
    assert_int_equal(inflated, 0);
    event.body_length = 15;
    assert_int_equal(tr_binlog_query_read(&query, &event, &scratch, &inflated, &err), TR_ESOURCE);
}

/* | 0x82 | two bytes of length | zlib | */
static void add_compressed(const void *data, size_t length, size_t claimed)
{
    uLongf room = sizeof(wire.data) - wire.length - 3;
    wire_uint(&wire, 0x82, 1);
    wire_uint(&wire, claimed >> 8, 1);
    wire_uint(&wire, claimed & 0xff, 1);
    assert_int_equal(compress(wire.data + wire.length, &room, data, (uLong)length), Z_OK);
    wire.length += room;
    wire_end(&wire);
}

static void reads_a_compressed_query(void **state)
{
    (void)state;
    struct tr_binlog_query query;
    int64_t inflated;
    char text[600];
    memset(text, 'x', sizeof(text));
    begin_query(TR_BINLOG_QUERY_COMPRESSED);
    size_t head = wire.length;
    add_compressed(text, sizeof(text), sizeof(text));
    struct tr_binlog_event event = wire_event(&wire);
    assert_int_equal(tr_binlog_query_read(&query, &event, &scratch, &inflated, &err), 0);
    assert_true(tr_slice_equal(query.text, (struct tr_slice){text, sizeof(text)}));
    assert_int_equal(inflated, (int64_t)(sizeof(text) - (wire.length - head)));
}

static void refuses_damaged_compression(void **state)
{
    (void)state;
    struct tr_binlog_query query;
    int64_t inflated;
    static const size_t claims[] = {0, 599, 601, 65535};
    char text[600];
    memset(text, 'x', sizeof(text));
    for (size_t i = 0; i < sizeof(claims) / sizeof(claims[0]); i++) {
        begin_query(TR_BINLOG_QUERY_COMPRESSED);
        add_compressed(text, sizeof(text), claims[i]);
        struct tr_binlog_event event = wire_event(&wire);
        tr_error_reset(&err);
        assert_int_equal(tr_binlog_query_read(&query, &event, &scratch, &inflated, &err),
                         TR_ESOURCE);
    }
    begin_query(TR_BINLOG_QUERY_COMPRESSED);
    add_compressed(text, sizeof(text), sizeof(text));
    struct tr_binlog_event event = wire_event(&wire);
    struct tr_buf small;
    tr_buf_init(&small, 100);
    tr_error_reset(&err);
    assert_int_equal(tr_binlog_query_read(&query, &event, &small, &inflated, &err), TR_ELIMIT);
    tr_buf_done(&small);
}

static void reads_a_rotate(void **state)
{
    (void)state;
    struct tr_slice file;
    uint64_t position;
    wire_begin(&wire, TR_BINLOG_ROTATE);
    wire_uint(&wire, 4, 8);
    wire_bytes(&wire, "bin.000007", 10);
    wire_end(&wire);
    struct tr_binlog_event event = wire_event(&wire);
    assert_int_equal(tr_binlog_rotate_read(&file, &position, &event, &err), 0);
    assert_int_equal(position, 4);
    assert_true(tr_slice_equal(file, TR_SLICE("bin.000007")));
}

static struct tr_binlog_table *read_map(void)
{
    struct tr_binlog_table *table = NULL;
    wire_begin(&wire, TR_BINLOG_TABLE_MAP);
    wire_hex(&wire, wire_map_hex);
    wire_end(&wire);
    struct tr_binlog_event event = wire_event(&wire);
    if (tr_binlog_table_read(&table, &event, &arena, &err) != 0)
        fail_msg("%s", err.text);
    return table;
}

static void reads_a_table_map(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum tr_sql_type type;
        uint32_t length;
        const char *charset;
    } wanted[] = {
        {"i", TR_SQL_INT, 0, ""},
        {"g", TR_SQL_OTHER, UINT32_MAX, ""},
        {"c", TR_SQL_CHAR, 10, "latin1"},
        {"b", TR_SQL_BINARY, 5, "binary"},
        {"u", TR_SQL_BINARY, 16, "binary"},
        {"n", TR_SQL_BINARY, 16, "binary"},
        {"n4", TR_SQL_BINARY, 4, "binary"},
        {"j", TR_SQL_TEXT, UINT32_MAX, "utf8mb4"},
        {"t", TR_SQL_OTHER, 65535, ""},
        {"v", TR_SQL_OTHER, 81, ""},
        {"bb", TR_SQL_BLOB, 65535, "binary"},
        {"e", TR_SQL_ENUM, 0, "utf8mb4"},
        {"s", TR_SQL_SET, 0, "latin1"},
        {"y", TR_SQL_YEAR, 0, ""},
        {"bt", TR_SQL_BIT, 9, ""},
        {"vc", TR_SQL_INT, 0, ""},
        {"vp", TR_SQL_INT, 0, ""},
        {"tx", TR_SQL_TEXT, 65535, "utf8mb4"},
        {"DB_ROW_HASH_1", TR_SQL_BIGINT, 0, ""},
    };
    struct tr_binlog_table *table = read_map();
    assert_int_equal(table->id, 0x12);
    assert_true(tr_slice_equal(table->database, TR_SLICE("d")));
    assert_true(tr_slice_equal(table->table, TR_SLICE("a")));
    assert_true(table->full_metadata);
    assert_int_equal(table->column_count, 19);
    for (uint32_t i = 0; i < table->column_count; i++) {
        const struct tr_shape_column *shape = &table->columns[i].shape;
        assert_true(tr_slice_equal(shape->name, tr_slice_of(wanted[i].name)));
        assert_int_equal(shape->type, wanted[i].type);
        assert_int_equal(shape->length, wanted[i].length);
        assert_true(tr_slice_equal(shape->charset, tr_slice_of(wanted[i].charset)));
        assert_int_equal(shape->nullable, i > 0);
        assert_int_equal(table->columns[i].hidden, i == 18);
        assert_int_equal(shape->is_unsigned, i == 13 || i == 18);
    }
    assert_int_equal(table->primary_key_count, 1);
    assert_int_equal(table->primary_key[0], 0);
    assert_true(table->columns[0].shape.key);
    assert_int_equal(table->columns[11].label_count, 2);
    assert_true(tr_slice_equal(table->columns[11].labels[1], TR_SLICE("é")));
    assert_true(tr_slice_equal(table->columns[11].labels_json[1], TR_SLICE("\"é\"")));
    assert_true(tr_slice_equal(table->columns[12].labels[0], TR_SLICE("x")));
}

/* Cut anywhere, or with any byte changed, a map is read or refused, never more. */
static void survives_damaged_maps(void **state)
{
    (void)state;
    struct tr_binlog_table *table;
    wire_begin(&wire, TR_BINLOG_TABLE_MAP);
    wire_hex(&wire, wire_map_hex);
    wire_end(&wire);
    struct tr_binlog_event event = wire_event(&wire);
    size_t whole = event.body_length;
    uint8_t *exact = malloc(whole);
    for (size_t length = 0; length < whole; length++) {
        uint8_t *cut = malloc(length + 1);
        memcpy(cut, event.body, length);
        struct tr_binlog_event damaged = event;
        damaged.body = cut;
        damaged.body_length = length;
        tr_error_reset(&err);
        tr_arena_reset(&arena);
        int rc = tr_binlog_table_read(&table, &damaged, &arena, &err);
        assert_true(rc == TR_ESOURCE || (rc == 0 && !table->full_metadata) ||
                    (rc == 0 && table->primary_key_count == 0));
        free(cut);
    }
    for (size_t at = 0; at < whole; at++) {
        for (unsigned value = 0; value < 256; value += 15) {
            memcpy(exact, event.body, whole);
            exact[at] = (uint8_t)value;
            struct tr_binlog_event damaged = event;
            damaged.body = exact;
            tr_error_reset(&err);
            tr_arena_reset(&arena);
            (void)!tr_binlog_table_read(&table, &damaged, &arena, &err);
        }
    }
    free(exact);
}

static void make_row(uint8_t type)
{
    wire_begin(&wire, type);
    wire_hex(&wire, wire_row_hex);
    wire_end(&wire);
}

static void assert_cell(uint32_t index, const void *data, uint32_t length)
{
    assert_non_null(cells[index].data);
    assert_int_equal(cells[index].length, length);
    assert_memory_equal(cells[index].data, data, length);
}

static void walks_a_row(void **state)
{
    (void)state;
    struct tr_binlog_rows rows;
    uint64_t id = 0, inside = 0;
    struct tr_binlog_table *table = read_map();
    make_row(TR_BINLOG_WRITE_ROWS_V1);
    struct tr_binlog_event event = wire_event(&wire);
    assert_int_equal(tr_binlog_rows_open(&rows, &event, &scratch, &err), 0);
    assert_int_equal(rows.kind, TR_ROWS_INSERT);
    assert_int_equal(rows.table_id, 0x12);
    assert_int_equal(tr_binlog_rows_table(&id, &event, &err), 0);
    assert_int_equal(id, 0x12);
    assert_true(tr_binlog_rows_complete(&rows));
    assert_int_equal(tr_binlog_row_next(&rows, table, false, cells, &inside, &err), 1);
    assert_int_equal(inside, wire.length);
    assert_cell(0, "\1\0\0\0", 4);
    assert_cell(2, "ab\xe9", 3);
    assert_cell(3, "ab", 2);
    assert_cell(7, "{\"a\": 1}", 8);
    assert_cell(10, "blob", 4);
    assert_cell(11, "\2", 1);
    assert_cell(14, "\1\1", 2);
    assert_cell(17, "tt", 2);
    assert_int_equal(tr_binlog_row_next(&rows, table, false, cells, &inside, &err), 0);
}

static void refuses_cut_rows(void **state)
{
    (void)state;
    struct tr_binlog_rows rows;
    uint64_t inside;
    struct tr_binlog_table *table = read_map();
    make_row(TR_BINLOG_DELETE_ROWS_V1);
    struct tr_binlog_event event = wire_event(&wire);
    size_t head = 6 + 2 + 1 + 3; /* up to the first image */
    for (size_t length = 0; length < event.body_length; length++) {
        struct tr_binlog_event damaged = event;
        damaged.body_length = length;
        tr_error_reset(&err);
        if (length < head) {
            assert_int_equal(tr_binlog_rows_open(&rows, &damaged, &scratch, &err), TR_ESOURCE);
            continue;
        }
        assert_int_equal(tr_binlog_rows_open(&rows, &damaged, &scratch, &err), 0);
        int got = tr_binlog_row_next(&rows, table, false, cells, &inside, &err);
        assert_int_equal(got, length == head ? 0 : TR_ESOURCE);
    }
    assert_non_null(strstr(err.text, "d.a"));
}

static void update_needs_both_images(void **state)
{
    (void)state;
    struct tr_binlog_rows rows;
    uint64_t inside;
    struct tr_binlog_table *table = read_map();
    wire_begin(&wire, TR_BINLOG_UPDATE_ROWS_V1);
    wire_hex(&wire, "120000000000 0000 13 ffff07 fdff07 feff07 07000000");
    wire_end(&wire);
    struct tr_binlog_event event = wire_event(&wire);
    assert_int_equal(tr_binlog_rows_open(&rows, &event, &scratch, &err), 0);
    assert_int_equal(rows.kind, TR_ROWS_UPDATE);
    assert_false(tr_binlog_rows_complete(&rows)); /* the second bitmap leaves a column out */
    assert_int_equal(tr_binlog_row_next(&rows, table, false, cells, &inside, &err), 1);
    assert_cell(0, "\7\0\0\0", 4);
    assert_null(cells[18].data);
    assert_int_equal(tr_binlog_row_next(&rows, table, true, cells, &inside, &err), TR_ESOURCE);
}

static void columns_left_out_have_no_value(void **state)
{
    (void)state;
    struct tr_binlog_rows rows;
    uint64_t inside;
    struct tr_binlog_table *table = read_map();
    wire_begin(&wire, TR_BINLOG_WRITE_ROWS_V1);
    /* Present: columns 0, 2, 18; of these, 2 is NULL. */
    wire_hex(&wire, "120000000000 0100 13 050004 02 07000000 c9dab6a700000000");
    wire_end(&wire);
    struct tr_binlog_event event = wire_event(&wire);
    assert_int_equal(tr_binlog_rows_open(&rows, &event, &scratch, &err), 0);
    assert_false(tr_binlog_rows_complete(&rows));
    assert_int_equal(tr_binlog_row_next(&rows, table, false, cells, &inside, &err), 1);
    assert_cell(0, "\7\0\0\0", 4);
    assert_null(cells[1].data);
    assert_null(cells[2].data);
    assert_cell(18, "\xc9\xda\xb6\xa7\0\0\0\0", 8);
}

static void reads_rows_of_version_2(void **state)
{
    (void)state;
    struct tr_binlog_rows rows;
    uint64_t inside;
    struct tr_binlog_table *table = read_map();
    wire_begin(&wire, TR_BINLOG_WRITE_ROWS_V2);
    wire_hex(&wire, "120000000000 0100 0500 010203 13 010000 00 07000000");
    wire_end(&wire);
    struct tr_binlog_event event = wire_event(&wire);
    assert_int_equal(tr_binlog_rows_open(&rows, &event, &scratch, &err), 0);
    assert_int_equal(tr_binlog_row_next(&rows, table, false, cells, &inside, &err), 1);
    assert_cell(0, "\7\0\0\0", 4);
}

/* Offsets inside count as if the event had come uncompressed. */
static void reads_compressed_rows(void **state)
{
    (void)state;
    struct tr_binlog_rows rows;
    uint64_t inside;
    struct tr_binlog_table *table = read_map();
    wire_begin(&wire, TR_BINLOG_WRITE_ROWS_COMPRESSED_V1);
    wire_hex(&wire, "120000000000 0100 13 010000");
    size_t head = wire.length;
    static const uint8_t images[] = {0, 7, 0, 0, 0, 0, 8, 0, 0, 0};
    add_compressed(images, sizeof(images), sizeof(images));
    struct tr_binlog_event event = wire_event(&wire);
    assert_int_equal(tr_binlog_rows_open(&rows, &event, &scratch, &err), 0);
    assert_int_equal(rows.inflated, (int64_t)sizeof(images) - (int64_t)(wire.length - head));
    assert_int_equal(tr_binlog_row_next(&rows, table, false, cells, &inside, &err), 1);
    assert_int_equal(inside, head + 5);
    assert_int_equal(tr_binlog_row_next(&rows, table, false, cells, &inside, &err), 1);
    assert_int_equal(inside, head + 10);
    assert_cell(0, "\10\0\0\0", 4);
    assert_int_equal(tr_binlog_row_next(&rows, table, false, cells, &inside, &err), 0);
}

static void names_a_type_that_cannot_be_walked(void **state)
{
    (void)state;
    struct tr_binlog_rows rows;
    struct tr_binlog_table *table;
    uint64_t inside;
    wire_begin(&wire, TR_BINLOG_TABLE_MAP);
    wire_hex(&wire, "120000000000 0100 0164 00 0161 00 02 0363 00 00");
    wire_end(&wire);
    struct tr_binlog_event event = wire_event(&wire);
    assert_int_equal(tr_binlog_table_read(&table, &event, &arena, &err), 0);
    assert_false(table->full_metadata);
    wire_begin(&wire, TR_BINLOG_WRITE_ROWS_V1);
    wire_hex(&wire, "120000000000 0100 02 03 00 07000000 0000");
    wire_end(&wire);
    event = wire_event(&wire);
    assert_int_equal(tr_binlog_rows_open(&rows, &event, &scratch, &err), 0);
    assert_int_equal(tr_binlog_row_next(&rows, table, false, cells, &inside, &err), TR_ESOURCE);
    assert_non_null(strstr(err.text, "unknown type 99"));
    assert_non_null(strstr(err.text, "@2"));
}

/* The old temporal types with fractions: longer than the table map lets us know. */
static void names_the_remedy_for_old_times(void **state)
{
    (void)state;
    struct tr_binlog_rows rows;
    struct tr_binlog_table *table;
    uint64_t inside;
    wire_begin(&wire, TR_BINLOG_TABLE_MAP);
    wire_hex(&wire, "120000000000 0100 0164 00 0161 00 01 0b 00 00");
    wire_end(&wire);
    struct tr_binlog_event event = wire_event(&wire);
    assert_int_equal(tr_binlog_table_read(&table, &event, &arena, &err), 0);
    wire_begin(&wire, TR_BINLOG_WRITE_ROWS_V1);
    wire_hex(&wire, "120000000000 0100 01 01 00 0102030405");
    wire_end(&wire);
    event = wire_event(&wire);
    assert_int_equal(tr_binlog_rows_open(&rows, &event, &scratch, &err), 0);
    assert_int_equal(tr_binlog_row_next(&rows, table, false, cells, &inside, &err), 1);
    assert_int_equal(tr_binlog_row_next(&rows, table, false, cells, &inside, &err), TR_ESOURCE);
    assert_non_null(strstr(err.text, "FORCE"));
}

static void refuses_another_number_of_columns(void **state)
{
    (void)state;
    struct tr_binlog_rows rows;
    uint64_t inside;
    struct tr_binlog_table *table = read_map();
    wire_begin(&wire, TR_BINLOG_WRITE_ROWS_V1);
    wire_hex(&wire, "120000000000 0100 01 01 00 07000000");
    wire_end(&wire);
    struct tr_binlog_event event = wire_event(&wire);
    assert_int_equal(tr_binlog_rows_open(&rows, &event, &scratch, &err), 0);
    assert_int_equal(tr_binlog_row_next(&rows, table, false, cells, &inside, &err), TR_ESOURCE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
        TEST(reads_a_header_and_verifies_its_checksum),
        TEST(refuses_lengths_that_do_not_fit),
        TEST(reads_the_format),
        TEST(a_format_identifies_its_file),
        TEST(reads_a_gtid),
        TEST(reads_a_gtid_list),
        TEST(reads_a_query),
        TEST(reads_a_compressed_query),
        TEST(refuses_damaged_compression),
        TEST(reads_a_rotate),
        TEST(reads_a_table_map),
        TEST(survives_damaged_maps),
        TEST(walks_a_row),
        TEST(refuses_cut_rows),
        TEST(update_needs_both_images),
        TEST(columns_left_out_have_no_value),
        TEST(reads_rows_of_version_2),
        TEST(reads_compressed_rows),
        TEST(names_a_type_that_cannot_be_walked),
        TEST(names_the_remedy_for_old_times),
        TEST(refuses_another_number_of_columns),
#undef TEST
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
