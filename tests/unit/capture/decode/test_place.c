/* test_place.c - places and versions: what counts, anchors, 32 bits, files. */
#include <string.h>

#include "binlog.h"
#include "cmocka_all.h"
#include "place.h"

static struct tr_error err;
static struct tr_place place;
static bool counted;
static uint64_t start;

static int begin(void **state)
{
    (void)state;
    tr_error_reset(&err);
    place = (struct tr_place){.file = "bin.000001", .offset = 4, .base = 1000};
    return 0;
}

static int advance(uint8_t type, uint32_t timestamp, uint32_t length, uint32_t log_pos,
                   uint16_t flags)
{
    struct tr_place_event event = {type, timestamp, length, log_pos, flags};
    return tr_place_advance(&place, &event, &counted, &start, &err);
}

static void counts_events_by_their_anchor(void **state)
{
    (void)state;
    assert_int_equal(advance(TR_BINLOG_FORMAT_DESCRIPTION, 7, 252, 256, 0), 0);
    assert_true(counted);
    assert_int_equal(start, 4);
    assert_int_equal(place.offset, 256);
    assert_int_equal(advance(TR_BINLOG_QUERY, 7, 100, 356, 0), 0);
    assert_int_equal(start, 256);
    assert_int_equal(tr_place_version(&place, start, 40), 1000 + 296);
}

static void bridges_what_was_not_sent(void **state)
{
    (void)state;
    place.offset = 500;
    assert_int_equal(advance(TR_BINLOG_TABLE_MAP, 7, 50, 800, 0), 0);
    assert_int_equal(start, 750);
    assert_int_equal(place.offset, 800);
}

static void does_not_count_what_is_sent_anew(void **state)
{
    (void)state;
    place.offset = 500;
    assert_int_equal(advance(TR_BINLOG_ROTATE, 0, 43, 0, 0x20), 0);
    assert_false(counted);
    assert_int_equal(advance(TR_BINLOG_FORMAT_DESCRIPTION, 7, 252, 0, 0), 0);
    assert_false(counted);
    assert_int_equal(advance(TR_BINLOG_FORMAT_DESCRIPTION, 7, 252, 256, 0), 0);
    assert_false(counted);
    assert_int_equal(advance(TR_BINLOG_GTID_LIST, 7, 43, 299, 0), 0);
    assert_false(counted);
    assert_int_equal(advance(TR_BINLOG_CHECKPOINT, 7, 43, 0, 0), 0);
    assert_false(counted);
    assert_int_equal(advance(TR_BINLOG_HEARTBEAT, 0, 39, 500, 0), 0);
    assert_false(counted);
    assert_int_equal(place.offset, 500);
    assert_int_equal(advance(TR_BINLOG_GTID, 7, 42, 542, 0), 0);
    assert_true(counted);
}

static void counts_file_heads_in_their_place(void **state)
{
    (void)state;
    place.offset = 256;
    assert_int_equal(advance(TR_BINLOG_GTID_LIST, 7, 43, 299, 0), 0);
    assert_true(counted);
    assert_int_equal(advance(TR_BINLOG_CHECKPOINT, 7, 40, 339, 0), 0);
    assert_true(counted);
    assert_int_equal(advance(TR_BINLOG_ROTATE, 7, 47, 386, 0), 0);
    assert_true(counted);
    assert_int_equal(place.offset, 386);
}

/* A session may set its time to the first second of 1970. */
static void counts_an_event_of_time_zero(void **state)
{
    (void)state;
    assert_int_equal(advance(TR_BINLOG_QUERY, 0, 96, 100, 0), 0);
    assert_true(counted);
}

static void sums_where_there_is_no_anchor(void **state)
{
    (void)state;
    place.offset = 500;
    assert_int_equal(advance(TR_BINLOG_TABLE_MAP, 7, 60, 0, 0), 0);
    assert_int_equal(advance(TR_BINLOG_WRITE_ROWS_V1, 7, 40, 0, 0), 0);
    assert_int_equal(start, 560);
    assert_int_equal(place.offset, 600);
    assert_int_equal(advance(TR_BINLOG_XID, 7, 31, 631, 0), 0);
    assert_int_equal(start, 600);
}

static void goes_on_past_32_bits(void **state)
{
    (void)state;
    const uint64_t wrap = (uint64_t)1 << 32;
    place.offset = wrap - 100;
    assert_int_equal(advance(TR_BINLOG_WRITE_ROWS_V1, 7, 200, 100, 0), 0);
    assert_int_equal(start, wrap - 100);
    assert_int_equal(place.offset, wrap + 100);
    assert_int_equal(advance(TR_BINLOG_XID, 7, 31, 131, 0), 0);
    assert_int_equal(place.offset, wrap + 131);
    place.offset = 3 * wrap - 50;
    assert_int_equal(advance(TR_BINLOG_XID, 7, 50, 0, 0), 0);
    assert_int_equal(place.offset, 3 * wrap);
    assert_int_equal(advance(TR_BINLOG_XID, 7, 31, 31, 0), 0);
    assert_int_equal(place.offset, 3 * wrap + 31);
}

static void refuses_anchors_that_run_backwards(void **state)
{
    (void)state;
    place.offset = 500;
    assert_int_equal(advance(TR_BINLOG_QUERY, 7, 100, 550, 0), TR_ESTATE);
    assert_non_null(strstr(err.text, "bin.000001"));
    assert_non_null(strstr(err.text, TR_PLACE_GIVE_UP));
    assert_int_equal(place.offset, 500);
}

static void a_file_adds_its_length_to_the_base(void **state)
{
    (void)state;
    place.offset = 700;
    tr_place_next_file(&place, "bin.000002");
    assert_int_equal(place.base, 1700);
    assert_int_equal(place.offset, 4);
    assert_string_equal(place.file, "bin.000002");
}

static void inflation_moves_what_follows(void **state)
{
    (void)state;
    assert_int_equal(advance(TR_BINLOG_WRITE_ROWS_COMPRESSED_V1, 7, 96, 100, 0), 0);
    assert_int_equal(tr_place_version(&place, start, 596), 1000 + 600);
    tr_place_inflate(&place, 504); /* 600 bytes instead of 96 */
    assert_int_equal(advance(TR_BINLOG_XID, 7, 31, 131, 0), 0);
    assert_int_equal(tr_place_version(&place, start, 0), 1000 + 604);
}

static void stops_when_versions_are_exhausted(void **state)
{
    (void)state;
    place.base = ((int64_t)1 << 53) - 100;
    assert_int_equal(advance(TR_BINLOG_QUERY, 7, 96, 100, 0), 0);
    assert_int_equal(advance(TR_BINLOG_QUERY, 7, 96, 196, 0), TR_ESTATE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(counts_events_by_their_anchor, begin),
        cmocka_unit_test_setup(bridges_what_was_not_sent, begin),
        cmocka_unit_test_setup(does_not_count_what_is_sent_anew, begin),
        cmocka_unit_test_setup(counts_file_heads_in_their_place, begin),
        cmocka_unit_test_setup(counts_an_event_of_time_zero, begin),
        cmocka_unit_test_setup(sums_where_there_is_no_anchor, begin),
        cmocka_unit_test_setup(goes_on_past_32_bits, begin),
        cmocka_unit_test_setup(refuses_anchors_that_run_backwards, begin),
        cmocka_unit_test_setup(a_file_adds_its_length_to_the_base, begin),
        cmocka_unit_test_setup(inflation_moves_what_follows, begin),
        cmocka_unit_test_setup(stops_when_versions_are_exhausted, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
