/* test_kafka_producer.c - the producer against a mock cluster with injected errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "client.h"
#include "clock.h"
#include "mock.h"

#define MESSAGES 1000
#define WAIT_US INT64_C(20000000)

struct outcome {
    int ok, failed, last_code;
    intptr_t next; /* the opaque that must come next */
    bool disorder;
    char text[256];
};

static struct mock mock;

static void on_delivered(void *context, void *opaque, int code, const char *text)
{
    struct outcome *outcome = context;
    outcome->ok += code == 0;
    outcome->failed += code != 0;
    outcome->disorder = outcome->disorder || (intptr_t)opaque != outcome->next;
    outcome->next++;
    outcome->last_code = code;
    snprintf(outcome->text, sizeof(outcome->text), "%s", text);
}

static struct tr_kafka_producer *open_producer(struct outcome *outcome)
{
    struct tr_kafka_producer *producer = NULL;
    struct tr_error err = {0};
    struct tr_kafka_producer_config config = {.properties = &mock.properties,
                                              .client_id = "test",
                                              .queue_bytes_max = 1 << 20,
                                              .linger_ms = 1,
                                              .delivered = on_delivered,
                                              .context = outcome};
    *outcome = (struct outcome){0};
    assert_int_equal(tr_kafka_producer_new(&producer, &config, &err), 0);
    return producer;
}

static int send_one(struct tr_kafka_producer *producer, intptr_t number, size_t bytes,
                    struct tr_error *err)
{
    static const char filler[65536];
    struct tr_kafka_out out = {.topic = "t",
                               .partition = 0,
                               .key = TR_SLICE("key"),
                               .value = {filler, bytes},
                               .opaque = (void *)number};
    return tr_kafka_producer_send(producer, &out, err);
}

static void send_many(struct tr_kafka_producer *producer, int count)
{
    struct tr_error err = {0};
    for (int i = 0; i < count; i++)
        assert_int_equal(send_one(producer, i, 100, &err), 0);
}

static int start(void **state)
{
    (void)state;
    mock_start(&mock);
    rd_kafka_mock_topic_create(mock.cluster, "t", 1, 1);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    mock_stop(&mock);
    return 0;
}

static void test_delivers_in_order(void **state)
{
    (void)state;
    struct outcome outcome;
    struct tr_error err = {0};
    struct tr_kafka_producer *producer = open_producer(&outcome);
    send_many(producer, MESSAGES);
    assert_int_equal(tr_kafka_producer_flush(producer, 10000, &err), 0);
    assert_int_equal(outcome.ok, MESSAGES);
    assert_false(outcome.disorder);
    assert_int_equal(tr_kafka_producer_pending(producer), 0);
    assert_int_equal(tr_kafka_producer_fatal(producer, &err), 0);
    tr_kafka_producer_free(producer);
}

/* What passes by itself is never seen, and costs neither order nor a message. */
static void test_retries(void **state)
{
    (void)state;
    struct outcome outcome;
    struct tr_error err = {0};
    struct tr_kafka_producer *producer = open_producer(&outcome);
    rd_kafka_mock_push_request_errors(
        mock.cluster, API_PRODUCE, 3, RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        RD_KAFKA_RESP_ERR__TRANSPORT, RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS);
    send_many(producer, MESSAGES);
    assert_int_equal(tr_kafka_producer_flush(producer, 20000, &err), 0);
    assert_int_equal(outcome.ok, MESSAGES);
    assert_false(outcome.disorder);
    tr_kafka_producer_free(producer);
}

/* For a record larger than the whole queue no wait would ever end: it is said at once. */
static void test_larger_than_the_queue(void **state)
{
    (void)state;
    static char large[(1 << 20) + 1];
    struct outcome outcome;
    struct tr_error err = {0};
    struct tr_kafka_producer *producer = open_producer(&outcome);
    struct tr_kafka_out out = {
        .topic = "t", .key = TR_SLICE("key"), .value = {large, sizeof(large)}};
    assert_int_equal(tr_kafka_producer_send(producer, &out, &err), TR_ELIMIT);
    assert_non_null(strstr(err.text, "queue.buffering.max.kbytes"));
    assert_int_equal(tr_kafka_producer_pending(producer), 0);
    tr_error_reset(&err);
    assert_int_equal(send_one(producer, 0, 100, &err), 0);
    assert_int_equal(tr_kafka_producer_flush(producer, 10000, &err), 0);
    tr_kafka_producer_free(producer);
}

static void assert_delivery_code(rd_kafka_resp_err_t native, int code)
{
    struct outcome outcome;
    struct tr_error err = {0};
    struct tr_kafka_producer *producer = open_producer(&outcome);
    rd_kafka_mock_push_request_errors(mock.cluster, API_PRODUCE, 1, native);
    send_many(producer, 1);
    assert_int_equal(tr_kafka_producer_flush(producer, 10000, &err), 0);
    assert_int_equal(outcome.failed, 1);
    assert_int_equal(outcome.last_code, code);
    /* The broker's words come first, and nothing of the record is quoted. */
    assert_ptr_equal(strstr(outcome.text, rd_kafka_err2str(native)), outcome.text);
    assert_null(strstr(outcome.text, "key"));
    assert_int_equal(strstr(outcome.text, "kafka.batch.size, 1000000 ") != NULL, code == TR_ELIMIT);
    tr_kafka_producer_free(producer);
}

static void test_refused(void **state)
{
    (void)state;
    assert_delivery_code(RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, TR_EKAFKA);
    assert_delivery_code(RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, TR_ELIMIT);
}

/* With the broker down the queue fills to its bound, and freeing tells of every message. */
static void test_queue_full(void **state)
{
    (void)state;
    struct outcome outcome;
    struct tr_error err = {0};
    int sent = 0;
    rd_kafka_mock_broker_set_down(mock.cluster, 1);
    struct tr_kafka_producer *producer = open_producer(&outcome);
    while (sent < 100 && send_one(producer, sent, 50000, &err) == 0)
        sent++;
    assert_int_equal(err.code, TR_EKAFKA_RETRY);
    assert_in_range(sent, 15, 22);
    assert_int_equal(tr_kafka_producer_pending(producer), sent);
    tr_error_reset(&err);
    assert_int_equal(tr_kafka_producer_flush(producer, 200, &err), TR_EKAFKA_RETRY);
    assert_non_null(strstr(err.text, "not yet acknowledged"));
    tr_kafka_producer_free(producer);
    assert_int_equal(outcome.failed, sent);
    assert_int_equal(outcome.last_code, TR_ESTOPPED);
}

static void wait_for_trouble(struct tr_kafka_producer *producer, bool wanted)
{
    char text[256];
    int64_t until = tr_clock_mono_us() + WAIT_US;
    do {
        tr_kafka_producer_poll(producer, 50);
        tr_kafka_producer_trouble(producer, text, sizeof(text));
    } while ((text[0] != '\0') != wanted && tr_clock_mono_us() < until);
    assert_int_equal(text[0] != '\0', wanted);
}

static void test_trouble_comes_and_goes(void **state)
{
    (void)state;
    struct outcome outcome;
    struct tr_error err = {0};
    struct tr_kafka_producer *producer = open_producer(&outcome);
    send_many(producer, 1);
    assert_int_equal(tr_kafka_producer_flush(producer, 10000, &err), 0);
    wait_for_trouble(producer, false);
    rd_kafka_mock_broker_set_down(mock.cluster, 1);
    wait_for_trouble(producer, true);
    rd_kafka_mock_broker_set_up(mock.cluster, 1);
    wait_for_trouble(producer, false); /* though nothing is sent */
    assert_int_equal(tr_kafka_producer_fatal(producer, &err), 0);
    tr_kafka_producer_free(producer);
}

/* Brokers that answer and take nothing: the library tries again, and says nothing itself. */
static void test_no_acknowledgements_are_told(void **state)
{
    (void)state;
    struct outcome outcome;
    struct tr_error err = {0};
    char trouble[300];
    rd_kafka_resp_err_t refusals[600];
    struct tr_kafka_producer *producer = open_producer(&outcome);
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++)
        refusals[i] = RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS;
    rd_kafka_mock_push_request_errors_array(mock.cluster, API_PRODUCE,
                                            sizeof(refusals) / sizeof(refusals[0]), refusals);
    assert_int_equal(send_one(producer, 0, 10, &err), 0);
    wait_for_trouble(producer, true);
    tr_kafka_producer_trouble(producer, trouble, sizeof(trouble));
    assert_non_null(strstr(trouble, "no acknowledgement for 1"));
    assert_non_null(strstr(trouble, "too few replicas"));
    assert_int_equal(outcome.ok + outcome.failed, 0);
    rd_kafka_mock_clear_request_errors(mock.cluster, API_PRODUCE);
    wait_for_trouble(producer, false);
    assert_int_equal(outcome.ok, 1);
    tr_kafka_producer_free(producer);
}

static void test_fatal(void **state)
{
    (void)state;
    struct outcome outcome;
    struct tr_error err = {0};
    struct tr_kafka_producer *producer = open_producer(&outcome);
    rd_kafka_test_fatal_error(tr_kafka_producer_client(producer)->rk,
                              RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, "for the test");
    assert_int_equal(tr_kafka_producer_fatal(producer, &err), TR_EKAFKA);
    assert_non_null(strstr(err.text, "for the test"));
    tr_error_reset(&err);
    assert_int_equal(send_one(producer, 0, 1, &err), TR_EKAFKA);
    tr_kafka_producer_free(producer);
}

/* Nobody listens: it is said within seconds, and as something that will pass. */
static void test_unreachable(void **state)
{
    (void)state;
    struct outcome outcome;
    struct tr_kafka_topic_info info;
    struct tr_error err = {0};
    mock.servers.text = "127.0.0.1:1";
    struct tr_kafka_producer *producer = open_producer(&outcome);
    int64_t start_us = tr_clock_mono_us();
    assert_int_equal(tr_kafka_topic_describe(producer, "t", &info, &err), TR_EKAFKA_RETRY);
    assert_true(tr_clock_mono_us() - start_us < 15000000);
    assert_non_null(strstr(err.text, "127.0.0.1:1"));
    assert_non_null(strstr(err.text, "not reachable"));
    tr_kafka_producer_free(producer);
}

static void test_many_topics(void **state)
{
    (void)state;
    struct outcome outcome;
    struct tr_error err = {0};
    rd_kafka_topic_t *topics[300];
    char name[32];
    struct tr_kafka_producer *producer = open_producer(&outcome);
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof(name), "t%d", i);
        topics[i] = tr_kafka_producer_topic(producer, name, &err);
        assert_non_null(topics[i]);
    }
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof(name), "t%d", i);
        assert_ptr_equal(tr_kafka_producer_topic(producer, name, &err), topics[i]);
        assert_string_equal(rd_kafka_topic_name(topics[i]), name);
    }
    tr_kafka_producer_free(producer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_delivers_in_order, start, stop),
        cmocka_unit_test_setup_teardown(test_retries, start, stop),
        cmocka_unit_test_setup_teardown(test_larger_than_the_queue, start, stop),
        cmocka_unit_test_setup_teardown(test_refused, start, stop),
        cmocka_unit_test_setup_teardown(test_queue_full, start, stop),
        cmocka_unit_test_setup_teardown(test_trouble_comes_and_goes, start, stop),
        cmocka_unit_test_setup_teardown(test_no_acknowledgements_are_told, start, stop),
        cmocka_unit_test_setup_teardown(test_fatal, start, stop),
        cmocka_unit_test_setup_teardown(test_unreachable, start, stop),
        cmocka_unit_test_setup_teardown(test_many_topics, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
