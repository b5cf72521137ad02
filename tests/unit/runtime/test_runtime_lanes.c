/* test_runtime_lanes.c - a store that fails: retries, poison, drains, progress. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "clock.h"
#include "rig.h"

static struct rig rig;

static int close_rig(void **state)
{
    (void)state;
    rig_close(&rig);
    return 0;
}

static void a_store_that_comes_back(void **state)
{
    (void)state;
    bool removed;
    rig.settings.fail_times = 3;
    rig_open(&rig, 2, 1000, 8 << 20);
    rig_row(&rig, 0, "insert", 1, 10);
    rig_row(&rig, 1, "insert", 2, 20);
    rig_settle(&rig);
    assert_int_equal(rig_version(&rig, 1, &removed), 10);
    assert_int_equal(rig_version(&rig, 2, &removed), 20);
    assert_account(&rig, 0, 1, 0, 0, 0, 0);
    assert_int_equal(rig.lanes.retries, 3);
}

static void only_the_records_that_must_wait_are_repeated(void **state)
{
    (void)state;
    struct tr_fake_counts counts;
    rig.settings.retry_times = 2;
    rig_open(&rig, 1, 1000, 8 << 20);
    for (int i = 0; i < 10; i++)
        rig_row(&rig, 0, "insert", i, 10 + i);
    rig_settle(&rig);
    tr_fake_counts(rig.sink, &counts);
    assert_int_equal(counts.applies, 2);
    assert_int_equal(counts.records, 12);
    assert_account(&rig, 0, 10, 0, 0, 0, 0);
}

static void retrying_is_visible(void **state)
{
    (void)state;
    char trouble[200];
    int64_t since = 0;
    rig.settings.fail_times = 1000000;
    rig_open(&rig, 1, 1000, 8 << 20);
    rig_row(&rig, 0, "insert", 1, 10);
    tr_lanes_offer(&rig.lanes);
    for (int i = 0; i < 200 && !tr_lanes_retrying(&rig.lanes, &since, trouble, sizeof(trouble));
         i++)
        tr_clock_sleep_ms(10);
    assert_true(since > 0);
    assert_non_null(strstr(trouble, "not reachable"));
    /* A drain does not wait for it: the record goes back. */
    assert_true(tr_lanes_drain(&rig.lanes, 5000));
    struct tr_account account;
    rig_account(&rig, 0, &account);
    assert_int_equal(account.released, 1);
    assert_int_equal(account.in_flight, 0);
    assert_int_equal(tr_part_next(rig_part(&rig, 0)), 0);
}

static void released_records_are_not_passed(void **state)
{
    (void)state;
    rig.settings.fail_times = 1000000;
    rig_open(&rig, 1, 1000, 8 << 20);
    rig_row(&rig, 0, "insert", 1, 10);
    tr_lanes_offer(&rig.lanes);
    tr_clock_sleep_ms(50);
    rig_row(&rig, 0, "insert", 2, 20); /* in the batch behind: must not overtake */
    assert_true(tr_lanes_drain(&rig.lanes, 5000));
    struct tr_part *part = rig_part(&rig, 0);
    atomic_store(&part->position, 2); /* Kafka has given both to us */
    assert_int_equal(tr_part_next(part), 0);
    struct tr_account account;
    rig_account(&rig, 0, &account);
    assert_int_equal(account.released, 2);
}

static void the_next_newest_replaces_a_refused_one(void **state)
{
    (void)state;
    bool removed;
    rig.settings.poison = "poison";
    rig_open(&rig, 1, 1000, 8 << 20);
    rig_row(&rig, 0, "insert", 1, 10);
    rig_row(&rig, 0, "update", 1, 20);
    rig_route(&rig, 0, rig_key(1), rig_event("update", 1, 30, "poison"), NULL);
    rig_route(&rig, 0, rig_key(1), rig_event("update", 1, 40, "poison"), NULL);
    rig_row(&rig, 0, "insert", 2, 50);
    rig_settle(&rig);
    assert_int_equal(rig_version(&rig, 1, &removed), 20);
    assert_int_equal(rig_version(&rig, 2, &removed), 50);
    assert_account(&rig, 0, 2, 0, 1, 0, 2);
    assert_int_equal(rig_part(&rig, 0)->settled, 5);
}

static void all_of_a_key_refused(void **state)
{
    (void)state;
    bool removed;
    rig.settings.poison = "poison";
    rig_open(&rig, 1, 1000, 8 << 20);
    for (int i = 0; i < 3; i++)
        rig_route(&rig, 0, rig_key(1), rig_event("update", 1, 30 + i, "poison"), NULL);
    rig_settle(&rig);
    assert_int_equal(rig_version(&rig, 1, &removed), -1);
    assert_account(&rig, 0, 0, 0, 0, 0, 3);
}

static void poison_and_retry_in_one_batch(void **state)
{
    (void)state;
    rig.settings.poison = "poison";
    rig.settings.retry_times = 1;
    rig_open(&rig, 1, 1000, 8 << 20);
    rig_route(&rig, 0, rig_key(1), rig_event("insert", 1, 10, "poison"), NULL);
    rig_row(&rig, 0, "insert", 2, 20);
    rig_row(&rig, 0, "insert", 3, 30);
    rig_settle(&rig);
    assert_account(&rig, 0, 2, 0, 0, 0, 1);
}

static void progress_is_written_when_idle_and_at_a_drain(void **state)
{
    (void)state;
    struct tr_fake_counts counts;
    rig_open(&rig, 1, 1000, 8 << 20);
    rig_row(&rig, 0, "insert", 1, 10);
    rig_settle(&rig);
    for (int i = 0; i < 300 && tr_fake_progress(rig.sink, TOPIC, 0) != 1; i++)
        tr_clock_sleep_ms(10);
    assert_int_equal(tr_fake_progress(rig.sink, TOPIC, 0), 1);
    rig_row(&rig, 0, "insert", 2, 20);
    rig_settle(&rig);
    assert_true(tr_lanes_drain(&rig.lanes, 5000));
    assert_int_equal(tr_fake_progress(rig.sink, TOPIC, 0), 2);
    tr_fake_counts(rig.sink, &counts);
    assert_int_equal(counts.progress_calls, 2);
    tr_lanes_resume(&rig.lanes);
}

/* A table that rarely changes in a topic that others fill: its progress must not stay behind. */
static void progress_is_written_while_nothing_is_for_the_store(void **state)
{
    (void)state;
    int64_t offset = 0;
    rig_open(&rig, 1, 1000, 8 << 20);
    for (int i = 0; i < 40 && tr_fake_progress(rig.sink, TOPIC, 0) < 10; i++) {
        assert_int_equal(rig_route(&rig, 0, rig_key(1), NULL, NULL), TR_ROUTED); /* filtered */
        tr_lanes_offer(&rig.lanes);
        offset++;
        tr_clock_sleep_ms(100);
    }
    assert_true(tr_fake_progress(rig.sink, TOPIC, 0) >= 10);
    rig_settle(&rig);
    assert_account(&rig, 0, 0, 0, 0, offset, 0);
}

static bool is_retrying(struct rig *r, bool expected)
{
    char trouble[200];
    int64_t since;
    for (int i = 0; i < 500; i++) {
        if (tr_lanes_retrying(&r->lanes, &since, trouble, sizeof(trouble)) == expected)
            return expected;
        tr_clock_sleep_ms(10);
    }
    return !expected;
}

static void trouble_with_progress_alone_is_visible(void **state)
{
    (void)state;
    char path[] = "/tmp/tailrace-down-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    unlink(path);
    rig.settings.down_file = path;
    rig_open(&rig, 1, 1000, 8 << 20);
    rig_row(&rig, 0, "insert", 1, 10);
    rig_settle(&rig);
    fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
    assert_true(is_retrying(&rig, true));
    /* What is not for the store says nothing of it. */
    for (int i = 0; i < 30; i++) {
        char trouble[200];
        int64_t since;
        assert_int_equal(rig_route(&rig, 0, rig_key(1), NULL, NULL), TR_ROUTED);
        rig_settle(&rig);
        assert_true(tr_lanes_retrying(&rig.lanes, &since, trouble, sizeof(trouble)));
        tr_clock_sleep_ms(20);
    }
    unlink(path);
    assert_false(is_retrying(&rig, false));
    assert_int_equal(tr_fake_progress(rig.sink, TOPIC, 0), 31);
}

static void a_drain_writes_the_progress_of_the_last_batch(void **state)
{
    (void)state;
    rig.settings.slow_ms = 200;
    rig_open(&rig, 1, 1000, 8 << 20);
    rig_row(&rig, 0, "insert", 1, 10);
    tr_lanes_offer(&rig.lanes);
    tr_clock_sleep_ms(50); /* that one is on its way */
    rig_row(&rig, 0, "insert", 2, 20);
    assert_true(tr_lanes_drain(&rig.lanes, 5000));
    assert_int_equal(rig_part(&rig, 0)->settled, 2);
    assert_int_equal(tr_fake_progress(rig.sink, TOPIC, 0), 2);
}

static void a_call_that_does_not_return(void **state)
{
    (void)state;
    rig.settings.slow_ms = 700;
    rig_open(&rig, 1, 1000, 8 << 20);
    rig_row(&rig, 0, "insert", 1, 10);
    tr_lanes_offer(&rig.lanes);
    tr_clock_sleep_ms(50);
    assert_false(tr_lanes_drain(&rig.lanes, 100));
    tr_lanes_abandon(&rig.lanes, &rig.parts);
    struct tr_account account;
    rig_account(&rig, 0, &account);
    assert_int_equal(account.released, 1);
    assert_int_equal(account.in_flight, 0);
    assert_int_equal(tr_lanes_quiet(&rig.lanes, 10, &rig.err), TR_ESTORE_RETRY);
    tr_error_reset(&rig.err);
    assert_int_equal(tr_lanes_quiet(&rig.lanes, 5000, &rig.err), 0);
    tr_lanes_resume(&rig.lanes);
    /* What came back late is counted once, as released. */
    rig_account(&rig, 0, &account);
    assert_int_equal(account.released, 1);
    assert_int_equal(account.outcomes[TR_OUT_APPLIED], 0);
    assert_int_equal(rig_part(&rig, 0)->settled, 0);
}

static void order_within_a_partition_over_many_batches(void **state)
{
    (void)state;
    bool removed;
    int64_t version = 0;
    rig_open(&rig, 2, 64, 8 << 20);
    for (int i = 0; i < 3000; i++) {
        int32_t partition = i % 2;
        int rc;
        version++;
        while ((rc = rig_row(&rig, partition, "update", partition, version)) == TR_ROUTE_FULL)
            tr_lanes_wait(&rig.lanes, tr_lanes_rounds(&rig.lanes), 5);
        assert_int_equal(rc, TR_ROUTED);
    }
    rig_settle(&rig);
    assert_int_equal(rig_version(&rig, 0, &removed), 2999);
    assert_int_equal(rig_version(&rig, 1, &removed), 3000);
    for (int32_t partition = 0; partition < 2; partition++) {
        struct tr_account a;
        rig_account(&rig, partition, &a);
        assert_int_equal(a.outcomes[TR_OUT_STALE], 0);
        assert_int_equal(a.outcomes[TR_OUT_APPLIED] + a.outcomes[TR_OUT_SUPERSEDED], 1500);
        assert_int_equal(rig_part(&rig, partition)->settled, 1500);
    }
}

static void dead_letters_say_what_where_and_why(void **state)
{
    (void)state;
    rig.settings.poison = "poison";
    rig_open(&rig, 1, 1000, 8 << 20);
    rig_row(&rig, 3, "insert", 1, 10);
    rig_route(&rig, 3, rig_key(2), rig_event("insert", 2, 30, "poison"), NULL);
    rig_route(&rig, 3, rig_key(2), "no event", NULL);
    rig_settle(&rig);
    assert_int_equal(rig_letter_count, 2);
    const char *event = rig_letters[0].headers, *store = rig_letters[1].headers;
    assert_string_equal(rig_letters[0].value, "no event");
    assert_non_null(strstr(event, "tailrace-class=event;"));
    assert_non_null(strstr(event, "tailrace-offset=2;"));
    assert_null(strstr(event, "tailrace-version"));
    assert_non_null(strstr(store, "tailrace-topic=" TOPIC ";tailrace-partition=3;"));
    assert_non_null(strstr(store, "tailrace-offset=1;tailrace-class=store;"));
    assert_non_null(strstr(store, "tailrace-reason=fake: the row contains the poison;"));
    assert_non_null(strstr(store, "tailrace-consumer=fake;tailrace-time=20"));
    assert_non_null(strstr(store, "tailrace-version=30;"));
}

static void dead_letters_are_acknowledged_first(void **state)
{
    (void)state;
    rig.settings.poison = "poison";
    rig_open(&rig, 1, 1000, 8 << 20);
    atomic_store(&rig_send_fails, 1);
    atomic_store(&rig_deliver_fails, 2);
    rig_route(&rig, 0, rig_key(1), rig_event("insert", 1, 10, "poison"), NULL);
    rig_row(&rig, 0, "insert", 2, 20);
    tr_lanes_offer(&rig.lanes);
    tr_clock_sleep_ms(50);
    assert_int_equal(rig_part(&rig, 0)->settled, 0);
    rig_settle(&rig);
    assert_int_equal(rig_letter_count, 1);
    assert_int_equal(rig.lanes.retries, 3);
    assert_account(&rig, 0, 1, 0, 0, 0, 1);
    assert_int_equal(rig_part(&rig, 0)->settled, 2);
}

/* A stop does not wait for a topic that does not answer; the answer still finds who asked. */
static void letters_without_an_answer_outlive_their_lane(void **state)
{
    (void)state;
    struct tr_account account;
    rig.settings.poison = "poison";
    rig_open(&rig, 1, 1000, 8 << 20);
    atomic_store(&rig_unanswered, true);
    rig_route(&rig, 0, rig_key(1), rig_event("insert", 1, 10, "poison"), NULL);
    tr_lanes_offer(&rig.lanes);
    tr_clock_sleep_ms(50);
    assert_true(tr_lanes_drain(&rig.lanes, 10000));
    atomic_store(&rig_unanswered, false);
    rig_account(&rig, 0, &account);
    assert_int_equal(account.outcomes[TR_OUT_DEAD], 0);
    assert_int_equal(account.released, 1);
    assert_int_equal(rig_part(&rig, 0)->settled, 0);
}

#define CASE(name) cmocka_unit_test_teardown(name, close_rig)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_store_that_comes_back),
        CASE(only_the_records_that_must_wait_are_repeated),
        CASE(retrying_is_visible),
        CASE(released_records_are_not_passed),
        CASE(the_next_newest_replaces_a_refused_one),
        CASE(all_of_a_key_refused),
        CASE(poison_and_retry_in_one_batch),
        CASE(progress_is_written_when_idle_and_at_a_drain),
        CASE(progress_is_written_while_nothing_is_for_the_store),
        CASE(trouble_with_progress_alone_is_visible),
        CASE(a_drain_writes_the_progress_of_the_last_batch),
        CASE(a_call_that_does_not_return),
        CASE(dead_letters_say_what_where_and_why),
        CASE(dead_letters_are_acknowledged_first),
        CASE(letters_without_an_answer_outlive_their_lane),
        CASE(order_within_a_partition_over_many_batches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
