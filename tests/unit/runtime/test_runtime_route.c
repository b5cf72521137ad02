/* test_runtime_route.c - what becomes of a message: coalescing, tombstones, markers, rules. */
#include "rig.h"

static struct rig rig;

static int open_rig(void **state)
{
    (void)state;
    rig_open(&rig, 1, 1000, 8 << 20);
    return 0;
}

static int close_rig(void **state)
{
    (void)state;
    rig_close(&rig);
    return 0;
}

static void highest_version_wins(void **state)
{
    (void)state;
    bool removed;
    assert_int_equal(rig_row(&rig, 0, "insert", 1, 10), TR_ROUTED);
    assert_int_equal(rig_row(&rig, 0, "update", 1, 30), TR_ROUTED);
    assert_int_equal(rig_row(&rig, 0, "update", 1, 20), TR_ROUTED); /* a replay's */
    assert_int_equal(rig_row(&rig, 0, "insert", 2, 25), TR_ROUTED);
    rig_settle(&rig);
    assert_int_equal(rig_version(&rig, 1, &removed), 30);
    assert_int_equal(rig_version(&rig, 2, &removed), 25);
    assert_account(&rig, 0, 2, 0, 2, 0, 0);
    assert_int_equal(rig_part(&rig, 0)->settled, 4);
}

static void equal_versions_later_wins(void **state)
{
    (void)state;
    bool removed;
    rig_row(&rig, 0, "insert", 1, 10);
    rig_row(&rig, 0, "delete", 1, 10);
    rig_settle(&rig);
    assert_int_equal(rig_version(&rig, 1, &removed), 10);
    assert_true(removed);
    assert_account(&rig, 0, 1, 0, 1, 0, 0);
}

static void set_then_delete_and_back(void **state)
{
    (void)state;
    bool removed;
    rig_row(&rig, 0, "insert", 1, 10);
    rig_row(&rig, 0, "delete", 1, 20);
    rig_row(&rig, 0, "delete", 2, 30);
    rig_row(&rig, 0, "insert", 2, 40);
    rig_settle(&rig);
    assert_int_equal(rig_version(&rig, 1, &removed), 20);
    assert_true(removed);
    assert_int_equal(rig_version(&rig, 2, &removed), 40);
    assert_false(removed);
}

static void own_tombstone_is_superseded(void **state)
{
    (void)state;
    rig_row(&rig, 0, "delete", 1, 20);
    assert_int_equal(rig_route(&rig, 0, rig_key(1), NULL, "20"), TR_ROUTED);
    rig_settle(&rig);
    assert_account(&rig, 0, 1, 0, 1, 0, 0);
}

static void own_tombstone_in_the_next_batch(void **state)
{
    (void)state;
    struct tr_fake_counts counts;
    rig_row(&rig, 0, "delete", 1, 20);
    rig_settle(&rig);
    rig_route(&rig, 0, rig_key(1), NULL, "20");
    rig_settle(&rig);
    assert_account(&rig, 0, 1, 0, 1, 0, 0);
    tr_fake_counts(rig.sink, &counts);
    assert_int_equal(counts.records, 1);
    assert_int_equal(rig_part(&rig, 0)->settled, 2);
}

static void bare_tombstone_is_a_guarded_delete(void **state)
{
    (void)state;
    bool removed;
    rig_row(&rig, 0, "insert", 1, 10);
    rig_settle(&rig);
    rig_route(&rig, 0, rig_key(1), NULL, "20");
    rig_settle(&rig);
    assert_int_equal(rig_version(&rig, 1, &removed), 20);
    assert_true(removed);
    rig_route(&rig, 0, rig_key(1), NULL, "15");
    rig_settle(&rig);
    assert_account(&rig, 0, 2, 1, 0, 0, 0);
}

static void tombstone_without_version_is_filtered(void **state)
{
    (void)state;
    rig_route(&rig, 0, rig_key(1), NULL, NULL);
    rig_settle(&rig);
    assert_account(&rig, 0, 0, 0, 0, 1, 0);
    assert_int_equal(rig_part(&rig, 0)->settled, 1);
}

static void what_is_no_event_is_buried(void **state)
{
    (void)state;
    bool removed;
    rig_route(&rig, 0, rig_key(1), "hello", NULL);
    rig_route(&rig, 0, rig_key(1), "{\"database\":\"shop\"}", NULL);
    rig_route(&rig, 0, NULL, rig_event("insert", 1, 5, ""), NULL);
    rig_route(&rig, 0, "", rig_event("insert", 1, 5, ""), NULL);
    rig_route(&rig, 0, "\"", rig_event("insert", 1, 5, ""), NULL);
    rig_route(&rig, 0, rig_key(1), NULL, "12x");
    rig_row(&rig, 0, "insert", 2, 10);
    rig_settle(&rig);
    assert_account(&rig, 0, 1, 0, 0, 0, 6);
    assert_int_equal(rig_version(&rig, 2, &removed), 10);
    assert_int_equal(rig.lanes.letters, 6);
}

static void excluded_tables_are_filtered(void **state)
{
    (void)state;
    rig_route(&rig, 0, "{\"database\":\"mysql\",\"table\":\"t\",\"pk.id\":1}",
              "{\"database\":\"mysql\",\"table\":\"t\",\"type\":\"insert\",\"version\":1,"
              "\"schema_id\":9,\"data\":{}}",
              NULL);
    rig_settle(&rig);
    assert_account(&rig, 0, 0, 0, 0, 1, 0);
}

static void unknown_shapes_wait(void **state)
{
    (void)state;
    const char *value = "{\"database\":\"shop\",\"table\":\"t\",\"type\":\"insert\",\"version\":1,"
                        "\"schema_id\":200,\"data\":{\"id\":1}}";
    assert_int_equal(rig_route(&rig, 0, rig_key(1), value, NULL), TR_ROUTE_SHAPE);
    rig_shape(&rig, "t", 200);
    assert_int_equal(rig_route(&rig, 0, rig_key(1), value, NULL), TR_ROUTED);
    rig_settle(&rig);
    assert_account(&rig, 0, 1, 0, 0, 0, 0);
}

static const char *marker(const char *type, const char *version)
{
    static char text[256];
    snprintf(text, sizeof(text),
             "{\"database\":\"shop\",\"table\":\"t\",\"type\":\"%s\",\"version\":%s}", type,
             version);
    return text;
}

static void markers_are_barriers_and_raise_the_floor(void **state)
{
    (void)state;
    bool removed;
    struct tr_fake_counts counts;
    const char *key = "{\"database\":\"shop\",\"table\":\"t\"}";
    rig_row(&rig, 0, "insert", 1, 10);
    assert_int_equal(rig_route(&rig, 0, key, marker("table-truncate", "50"), NULL), TR_ROUTED);
    rig_row(&rig, 0, "insert", 4, 30); /* stale, though the marker is not applied yet */
    rig_row(&rig, 0, "insert", 2, 60); /* not coalesced or reordered across it: a new batch */
    rig_settle(&rig);
    assert_int_equal(rig_version(&rig, 1, &removed), 10);
    assert_true(removed);
    assert_int_equal(rig_version(&rig, 2, &removed), 60);
    assert_false(removed);
    rig_row(&rig, 0, "insert", 3, 49);
    rig_route(&rig, 0, rig_key(3), NULL, "40");
    rig_route(&rig, 0, key, marker("table-truncate", "45"), NULL);
    rig_settle(&rig);
    assert_int_equal(rig_version(&rig, 3, &removed), -1);
    assert_int_equal(rig_version(&rig, 4, &removed), -1);
    assert_account(&rig, 0, 3, 4, 0, 0, 0);
    tr_fake_counts(rig.sink, &counts);
    assert_int_equal(counts.marks, 1);
}

/* A floor says nothing of the store's versions; only the store's own answers are judged. */
static void below_the_floor_is_no_verdict_on_the_store(void **state)
{
    (void)state;
    atomic_store(&rig_part(&rig, 0)->head_from, 0);
    rig_row(&rig, 0, "insert", 1, 60);
    rig_settle(&rig);
    rig_row(&rig, 0, "insert", 1, 55);
    rig_settle(&rig);
    assert_int_equal(rig.lanes.head_stale, 1);
    rig_route(&rig, 0, "{\"database\":\"shop\",\"table\":\"t\"}", marker("table-truncate", "70"),
              NULL);
    rig_row(&rig, 0, "insert", 2, 50);
    rig_settle(&rig);
    assert_account(&rig, 0, 2, 2, 0, 0, 0);
    assert_int_equal(rig.lanes.head_stale, 1);
}

/* Each closes its batch; whatever the lane has taken by then, the last one must not be forgotten.
 */
static void marker_behind_marker(void **state)
{
    (void)state;
    char version[16];
    for (int i = 0; i < 50; i++) {
        snprintf(version, sizeof(version), "%d", 100 + i);
        for (int32_t partition = 0; partition < 2; partition++)
            while (rig_route(&rig, partition, "{\"database\":\"shop\",\"table\":\"t\"}",
                             marker("table-sweep", version), NULL) == TR_ROUTE_FULL)
                tr_lanes_wait(&rig.lanes, tr_lanes_rounds(&rig.lanes), 5);
        tr_lanes_offer(&rig.lanes);
        uint64_t rounds = tr_lanes_rounds(&rig.lanes);
        for (int wait = 0; wait < 400 && rig_part(&rig, 1)->settled < i + 1; wait++)
            rounds = tr_lanes_wait(&rig.lanes, rounds, 5);
        assert_int_equal(rig_part(&rig, 1)->settled, i + 1);
    }
}

static void marker_of_a_table_without_rows(void **state)
{
    (void)state;
    rig_route(&rig, 0, "{\"database\":\"shop\",\"table\":\"u\"}",
              "{\"database\":\"shop\",\"table\":\"u\",\"type\":\"table-drop\",\"version\":5}",
              NULL);
    rig_settle(&rig);
    assert_account(&rig, 0, 0, 0, 0, 1, 0);
}

static void barriers_stop_by_name(void **state)
{
    (void)state;
    assert_int_equal(rig_route(&rig, 0, "{\"database\":\"shop\",\"table\":\"t\"}",
                               marker("barrier", "50"), NULL),
                     TR_ESTATE);
    assert_non_null(strstr(rig.err.text, "barrier"));
}

static void keys_of_one_hash_bucket_stay_apart(void **state)
{
    (void)state;
    bool removed;
    for (int i = 0; i < 900; i++)
        assert_int_equal(rig_row(&rig, 0, "insert", i, 1000 + i), TR_ROUTED);
    rig_settle(&rig);
    for (int i = 0; i < 900; i++)
        assert_int_equal(rig_version(&rig, i, &removed), 1000 + i);
    assert_account(&rig, 0, 900, 0, 0, 0, 0);
}

static void a_full_lane_says_so(void **state)
{
    (void)state;
    int routed = 0;
    rig_close(&rig);
    rig.settings.slow_ms = 200;
    rig_open(&rig, 1, 1000, 8 << 20);
    while (rig_row(&rig, 0, "insert", routed, 100 + routed) == TR_ROUTED && routed < 5000)
        routed++;
    /* Two batches of 1,000, and a third when the lane took the first in between. */
    assert_in_range(routed, 2000, 3000);
    rig_settle(&rig);
    assert_account(&rig, 0, routed, 0, 0, 0, 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, open_rig, close_rig)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(highest_version_wins),
        CASE(equal_versions_later_wins),
        CASE(set_then_delete_and_back),
        CASE(own_tombstone_is_superseded),
        CASE(own_tombstone_in_the_next_batch),
        CASE(bare_tombstone_is_a_guarded_delete),
        CASE(tombstone_without_version_is_filtered),
        CASE(what_is_no_event_is_buried),
        CASE(excluded_tables_are_filtered),
        CASE(unknown_shapes_wait),
        CASE(markers_are_barriers_and_raise_the_floor),
        CASE(below_the_floor_is_no_verdict_on_the_store),
        CASE(marker_behind_marker),
        CASE(marker_of_a_table_without_rows),
        CASE(barriers_stop_by_name),
        CASE(keys_of_one_hash_bucket_stay_apart),
        CASE(a_full_lane_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
