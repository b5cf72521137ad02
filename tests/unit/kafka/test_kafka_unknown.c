/*
 * test_kafka_unknown.c - a topic that the broker does not know may be known in a moment: asking for
 * its offsets and reading it are told to try again, and then succeed. The mock cluster would make
 * the topic when it is asked for it, so it is told to deny it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "clock.h"
#include "kafka.h"
#include "mock.h"

#define RECORDS 5
#define TRY_MS 2000

static struct mock mock;

static void deny(bool denied)
{
    rd_kafka_mock_topic_set_error(mock.cluster, "late",
                                  denied ? RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART
                                         : RD_KAFKA_RESP_ERR_NO_ERROR);
}

static int start(void **state)
{
    (void)state;
    mock_start(&mock);
    mock_fill(&mock, "late", RECORDS);
    deny(true);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    mock_stop(&mock);
    return 0;
}

static void assert_unknown(int rc, struct tr_error *err)
{
    assert_int_equal(rc, TR_EKAFKA_RETRY);
    assert_int_equal(tr_error_class_of(rc), TR_CLASS_RETRY);
    assert_non_null(strstr(err->text, "does not know"));
    assert_non_null(strstr(err->text, "late"));
    tr_error_reset(err);
}

static void test_offsets(void **state)
{
    (void)state;
    struct tr_kafka_producer *producer = NULL;
    struct tr_error err = {0};
    int64_t low, high;
    struct tr_kafka_producer_config config = {
        .properties = &mock.properties, .client_id = "test", .queue_bytes_max = 1 << 20};
    assert_int_equal(tr_kafka_producer_new(&producer, &config, &err), 0);
    assert_unknown(tr_kafka_watermarks(producer, "late", 0, &low, &high, &err), &err);
    deny(false);
    assert_unknown(tr_kafka_watermarks(producer, "late", 9, &low, &high, &err), &err);
    /* What was denied is remembered by the library for a moment. */
    int rc = TR_EKAFKA_RETRY;
    for (int tries = 0; rc == TR_EKAFKA_RETRY && tries < 50; tries++) {
        tr_error_reset(&err);
        rc = tr_kafka_watermarks(producer, "late", 0, &low, &high, &err);
        tr_clock_sleep_ms(rc == 0 ? 0 : 100);
    }
    assert_int_equal(rc, 0);
    assert_int_equal(low, 0);
    assert_int_equal(high, RECORDS);
    tr_kafka_producer_free(producer);
}

static int take(void *context, const struct tr_kafka_message *message, struct tr_error *err)
{
    int *count = context;
    (void)err;
    assert_int_equal(message->offset, *count);
    (*count)++;
    return 0;
}

static void test_reader(void **state)
{
    (void)state;
    struct tr_kafka_reader *reader = NULL;
    struct tr_error err = {0};
    int count = 0;
    assert_int_equal(tr_kafka_reader_new(&reader, &mock.properties, "test", "late", &err), 0);
    assert_unknown(tr_kafka_reader_read(reader, TRY_MS, true, take, &count, &err), &err);
    deny(false);
    int rc = TR_EKAFKA_RETRY;
    for (int tries = 0; rc == TR_EKAFKA_RETRY && tries < 50; tries++) {
        tr_error_reset(&err);
        rc = tr_kafka_reader_read(reader, TRY_MS, true, take, &count, &err);
        tr_clock_sleep_ms(rc < 0 ? 100 : 0);
    }
    assert_int_equal(rc < 0 ? rc : count, RECORDS);
    tr_kafka_reader_free(reader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_offsets, start, stop),
        cmocka_unit_test_setup_teardown(test_reader, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
