/* What capture tells of itself. */
#include "cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "status.h"

#define HOUR_S 3600

static struct tr_status status;
static struct tr_buf out;

static int set_up(void **state)
{
    struct tr_error err = {0};
    (void)state;
    tr_buf_init(&out, 1 << 20);
    return tr_status_init(&status, "p", &err);
}

static int tear_down(void **state)
{
    (void)state;
    tr_status_done(&status);
    tr_buf_done(&out);
    return 0;
}

static void mark(const char *file, uint64_t offset, int64_t ts)
{
    struct tr_mark mark = {.place = {.offset = offset}, .ts = ts};
    snprintf(mark.place.file, sizeof(mark.place.file), "%s", file);
    tr_status_mark(&status, &mark);
}

static void head(const char *file, uint64_t offset, const char *from, int64_t behind)
{
    tr_status_head(&status, file, offset, from, behind);
}

static const char *text(void)
{
    tr_buf_append_char(&out, '\0');
    assert_false(out.failed);
    return out.data;
}

/* The number behind a name of the JSON. */
static double number(const char *name)
{
    char quoted[64];
    tr_buf_reset(&out);
    tr_status_write(&status, true, &out);
    snprintf(quoted, sizeof(quoted), "\"%s\":", name);
    const char *at = strstr(text(), quoted);
    assert_non_null(at);
    return strtod(at + strlen(quoted), NULL);
}

/* ---- lag --------------------------------------------------------------------------------------
 */

static void test_lag_is_the_age_of_the_last_group(void **state)
{
    (void)state;
    int64_t now = tr_clock_wall_us() / 1000000;
    mark("bin.000001", 100, now - HOUR_S);
    head("bin.000001", 300, "bin.000001", 0);
    assert_true(number("bytes") == 200);
    assert_in_range((int64_t)number("seconds"), HOUR_S - 1, HOUR_S + 60);
    mark("bin.000001", 300, now);
    assert_true(number("bytes") == 0);
    assert_true(number("seconds") == 0);
}

/* The source was idle for an hour, and has logged something just now. */
static void test_lag_does_not_count_the_time_at_the_head(void **state)
{
    (void)state;
    mark("bin.000001", 100, tr_clock_wall_us() / 1000000 - HOUR_S);
    head("bin.000001", 100, "bin.000001", 0);
    assert_true(number("seconds") == 0);
    head("bin.000002", 300, "bin.000001", 150);
    assert_true(number("bytes") == 350);
    assert_in_range((int64_t)number("seconds"), 0, 60);
}

/* The place reaches a head that was seen before it did. */
static void test_reaching_the_head_counts_as_being_there(void **state)
{
    (void)state;
    int64_t old = tr_clock_wall_us() / 1000000 - HOUR_S;
    mark("bin.000001", 100, old);
    head("bin.000001", 200, "bin.000001", 0);
    mark("bin.000001", 200, old);
    head("bin.000001", 300, "bin.000001", 0);
    assert_in_range((int64_t)number("seconds"), 0, 60);
}

/* The first file has 1,100 bytes, the second 2,200; what is read is in the last one already. */
static void test_lag_goes_over_the_ends_of_files(void **state)
{
    (void)state;
    mark("bin.000001", 1000, 0);
    head("bin.000003", 500, "bin.000001", 3300);
    assert_true(number("bytes") == 2800);
    mark("bin.000001", 1100, 0);
    assert_true(number("bytes") == 2700);
    mark("bin.000002", 200, 0);
    assert_true(number("bytes") == 2500);
    mark("bin.000003", 400, 0);
    assert_true(number("bytes") == 100);
    /* Past the head, as it was seen. */
    mark("bin.000004", 300, 0);
    assert_true(number("bytes") == 0);
    head("bin.000004", 400, "bin.000004", 0);
    assert_true(number("bytes") == 100);
}

static void test_lag_is_not_known_without_the_way_to_the_head(void **state)
{
    (void)state;
    mark("bin.000001", 1000, 0);
    head("bin.000003", 500, "bin.000001", -1);
    tr_buf_reset(&out);
    tr_status_write(&status, true, &out);
    assert_non_null(strstr(text(), "\"bytes\":null"));
    mark("bin.000002", 200, 0);
    tr_buf_reset(&out);
    tr_status_write(&status, true, &out);
    assert_non_null(strstr(text(), "\"bytes\":null"));
}

/* ---- probes -----------------------------------------------------------------------------------
 */

static void test_a_publisher_that_stands_still_is_not_alive(void **state)
{
    (void)state;
    assert_true(tr_status_alive(&status));
    tr_status_beat(&status);
    assert_true(tr_status_alive(&status));
    atomic_store(&status.beat_us, tr_clock_mono_us() - 80 * (int64_t)1000000);
    assert_true(tr_status_alive(&status));
    atomic_store(&status.beat_us, tr_clock_mono_us() - 91 * (int64_t)1000000);
    assert_false(tr_status_alive(&status));
    tr_status_beat(&status);
    assert_true(tr_status_alive(&status));
}

static void assert_ready(bool ready, const char *words)
{
    tr_buf_reset(&out);
    assert_int_equal(tr_status_ready(&status, &out), ready);
    assert_string_equal(text(), words);
}

static void test_readiness_says_what_is_waited_for(void **state)
{
    (void)state;
    assert_ready(false, "connecting\n");
    tr_status_state(&status, "running", "");
    assert_ready(true, "ok\n");
    tr_status_kafka(&status, "all brokers are down");
    assert_ready(false, "waiting-for-kafka: all brokers are down\n");
    tr_status_state(&status, "reconnecting", "no route to db1");
    assert_ready(false, "reconnecting: no route to db1\n");
}

/* ---- metrics ----------------------------------------------------------------------------------
 */

static int64_t metric(const char *name)
{
    char line[80];
    tr_buf_reset(&out);
    tr_status_gauges(&status);
    tr_metrics_render(status.metrics, &out);
    snprintf(line, sizeof(line), "\n%s ", name);
    const char *at = strstr(text(), line);
    assert_non_null(at);
    return strtoll(at + strlen(line), NULL, 10);
}

static void test_gauges_follow_the_state(void **state)
{
    struct tr_needs needs;
    struct tr_error err = {0};
    (void)state;
    tr_needs_init(&needs);
    tr_status_needs(&status, &needs);
    assert_int_equal(metric("tailrace_capture_running"), 0);
    assert_int_equal(metric("tailrace_capture_checkpoint_age_seconds"), -1);
    assert_int_equal(metric("tailrace_capture_needs_snapshot_tables"), 0);
    tr_status_state(&status, "running", "");
    tr_status_checkpoint(&status, tr_clock_wall_us() - 30 * (int64_t)1000000);
    assert_int_equal(metric("tailrace_capture_running"), 1);
    assert_int_equal(metric("tailrace_capture_kafka_trouble"), 0);
    assert_in_range(metric("tailrace_capture_checkpoint_age_seconds"), 30, 60);
    tr_status_kafka(&status, "all brokers are down");
    assert_int_equal(
        tr_needs_add(&needs, tr_slice_of("shop"), tr_slice_of("a"), 7, tr_slice_of("MODIFY"), &err),
        0);
    assert_int_equal(metric("tailrace_capture_running"), 0);
    assert_int_equal(metric("tailrace_capture_kafka_trouble"), 1);
    assert_int_equal(metric("tailrace_capture_needs_snapshot_tables"), 1);
    tr_needs_done(&needs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_lag_is_the_age_of_the_last_group, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lag_does_not_count_the_time_at_the_head, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_reaching_the_head_counts_as_being_there, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_lag_goes_over_the_ends_of_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lag_is_not_known_without_the_way_to_the_head, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_publisher_that_stands_still_is_not_alive, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_readiness_says_what_is_waited_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_gauges_follow_the_state, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
