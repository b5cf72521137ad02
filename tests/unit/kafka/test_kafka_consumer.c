/* test_kafka_consumer.c - the group consumer against a mock cluster with injected errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "clock.h"
#include "kafka.h"
#include "mock.h"

#define MESSAGES 100
#define WAIT_US INT64_C(30000000)

struct member {
    struct tr_kafka_consumer *consumer;
    int refuse; /* what `assigned` returns */
    int passes; /* after so many calls it refuses no more; 0 = never */
    int64_t start;
    int assigned, revoked;
    int taken;
    int64_t next;           /* the offset that must come next */
    int64_t whole_until_ms; /* came with the last assignment */
};

static struct mock mock;

static int on_assigned(void *context, struct tr_kafka_partition *partitions, size_t count,
                       struct tr_error *err)
{
    struct member *member = context;
    member->assigned++;
    if (member->refuse != 0 && (member->passes == 0 || member->assigned <= member->passes))
        return tr_error_set(err, member->refuse, "refused by the test");
    for (size_t i = 0; i < count; i++) {
        member->whole_until_ms = partitions[i].whole_until_ms;
        partitions[i].offset = member->start;
    }
    return 0;
}

static void on_revoked(void *context, const struct tr_kafka_partition *partitions, size_t count,
                       bool lost)
{
    struct member *member = context;
    (void)partitions;
    (void)lost;
    assert_int_equal(count, 1);
    member->revoked++;
}

static void join(struct member *member)
{
    const char *topic = "t";
    struct tr_error err = {0};
    struct tr_kafka_consumer_config config = {.properties = &mock.properties,
                                              .client_id = "test",
                                              .group = "g",
                                              .queue_bytes_max = 1 << 20,
                                              .context = member,
                                              .assigned = on_assigned,
                                              .revoked = on_revoked};
    assert_int_equal(tr_kafka_consumer_new(&member->consumer, &config, &err), 0);
    assert_int_equal(tr_kafka_consumer_subscribe(member->consumer, &topic, 1, &err), 0);
}

/* Takes until `count` came, an error or the time-out; returns the error or 0. */
static int take_until(struct member *member, int count, struct tr_error *err)
{
    struct tr_kafka_message messages[16];
    int64_t until = tr_clock_mono_us() + WAIT_US;
    while (member->taken < count && tr_clock_mono_us() < until) {
        int got = tr_kafka_consumer_take(member->consumer, messages, 16, 100, err);
        if (got < 0)
            return got;
        for (int i = 0; i < got; i++) {
            assert_int_equal(messages[i].offset, member->next);
            assert_string_equal(tr_kafka_consumer_topic_name(member->consumer, messages[i].topic),
                                "t");
            member->next++;
            tr_kafka_message_free(&messages[i]);
        }
        member->taken += got;
    }
    return 0;
}

static int start(void **state)
{
    (void)state;
    mock_start(&mock);
    mock_fill(&mock, "t", MESSAGES);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    mock_stop(&mock);
    return 0;
}

static void test_takes_and_commits(void **state)
{
    (void)state;
    const char *topics[] = {"t"};
    struct tr_error err = {0};
    struct member member = {.start = 7, .next = 7};
    join(&member);
    assert_int_equal(take_until(&member, MESSAGES - 7, &err), 0);
    assert_int_equal(member.taken, MESSAGES - 7);
    assert_int_equal(tr_kafka_consumer_position(member.consumer, 0, 0), MESSAGES);
    assert_int_equal(tr_kafka_consumer_end(member.consumer, 0, 0), MESSAGES);
    struct tr_kafka_partition done = {.offset = 42, .whole_until_ms = 1700000000123};
    assert_int_equal(tr_kafka_consumer_commit(member.consumer, &done, 1, true, &err), 0);
    tr_kafka_consumer_close(member.consumer);
    assert_int_equal(member.revoked, 1);
    done.offset = TR_KAFKA_OFFSET_NONE;
    assert_int_equal(tr_kafka_group_offsets(&mock.properties, "g", topics, &done, 1, &err), 0);
    assert_int_equal(done.offset, 42);
    member = (struct member){.start = 42, .next = 42, .whole_until_ms = -1};
    join(&member);
    assert_int_equal(take_until(&member, 1, &err), 0);
    assert_int_equal(member.whole_until_ms, 1700000000123);
    tr_kafka_consumer_close(member.consumer);
}

static void test_beginning(void **state)
{
    (void)state;
    struct tr_error err = {0};
    struct member member = {.start = TR_KAFKA_OFFSET_BEGINNING};
    join(&member);
    assert_int_equal(take_until(&member, MESSAGES, &err), 0);
    assert_int_equal(member.taken, MESSAGES);
    tr_kafka_consumer_close(member.consumer);
}

/* The group's offsets are asked for again until they come: no partition starts without them. */
static void test_offsets_retried(void **state)
{
    (void)state;
    struct tr_error err = {0};
    struct member member = {.start = 0};
    rd_kafka_mock_push_request_errors(mock.cluster, API_OFFSET_FETCH, 2,
                                      RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
                                      RD_KAFKA_RESP_ERR_NOT_COORDINATOR);
    join(&member);
    assert_int_equal(take_until(&member, MESSAGES, &err), 0);
    assert_int_equal(member.taken, MESSAGES);
    assert_int_equal(member.assigned, 1);
    tr_kafka_consumer_close(member.consumer);
}

static void test_not_authorised(void **state)
{
    (void)state;
    struct tr_error err = {0};
    struct member member = {.start = 0};
    rd_kafka_mock_push_request_errors(mock.cluster, API_JOIN_GROUP, 1,
                                      RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED);
    join(&member);
    assert_int_equal(take_until(&member, 1, &err), TR_EKAFKA);
    assert_int_equal(member.taken, 0);
    tr_error_reset(&err);
    assert_int_equal(take_until(&member, 1, &err), TR_EKAFKA); /* and it stays so */
    tr_kafka_consumer_close(member.consumer);
}

static void test_assignment_refused(void **state)
{
    (void)state;
    struct tr_error err = {0};
    struct member member = {.start = 0, .refuse = TR_ESTORE};
    join(&member);
    assert_int_equal(take_until(&member, 1, &err), TR_ESTORE);
    tr_error_reset(&err);
    assert_int_equal(take_until(&member, 1, &err), TR_ESTORE);
    assert_int_equal(member.assigned, 1);
    tr_kafka_consumer_close(member.consumer);
    assert_int_equal(member.revoked, 0); /* it never had them */
}

/* An error that passes comes out of take, and the next take asks again. */
static void test_assignment_put_off(void **state)
{
    (void)state;
    struct tr_error err = {0};
    struct member member = {.start = 3, .next = 3, .refuse = TR_ESTORE_RETRY, .passes = 2};
    join(&member);
    for (int call = 1; call <= 2; call++) {
        assert_int_equal(take_until(&member, 1, &err), TR_ESTORE_RETRY);
        assert_non_null(strstr(err.text, "refused by the test"));
        assert_int_equal(member.assigned, call);
        assert_int_equal(member.taken, 0);
        tr_error_reset(&err);
    }
    assert_int_equal(take_until(&member, MESSAGES - 3, &err), 0);
    assert_int_equal(member.taken, MESSAGES - 3);
    assert_int_equal(member.assigned, 3);
    tr_kafka_consumer_close(member.consumer);
    assert_int_equal(member.revoked, 1);
}

static void test_no_start(void **state)
{
    (void)state;
    struct tr_error err = {0};
    struct member member = {.start = TR_KAFKA_OFFSET_NONE};
    join(&member);
    assert_int_equal(take_until(&member, 1, &err), TR_EBUG);
    tr_kafka_consumer_close(member.consumer);
}

static void test_close_while_down(void **state)
{
    (void)state;
    char text[256] = "";
    struct tr_error err = {0};
    struct tr_kafka_message messages[4];
    struct member member = {.start = 0};
    join(&member);
    assert_int_equal(take_until(&member, MESSAGES, &err), 0);
    rd_kafka_mock_broker_set_down(mock.cluster, 1);
    int64_t until = tr_clock_mono_us() + WAIT_US;
    while (text[0] == '\0' && tr_clock_mono_us() < until) {
        /* An unreachable broker is no error. */
        assert_int_equal(tr_kafka_consumer_take(member.consumer, messages, 4, 100, &err), 0);
        tr_kafka_consumer_trouble(member.consumer, text, sizeof(text));
    }
    assert_true(text[0] != '\0');
    int64_t start_us = tr_clock_mono_us();
    tr_kafka_consumer_close(member.consumer);
    assert_true(tr_clock_mono_us() - start_us < 15000000);
    assert_int_equal(member.revoked, 1);
}

static void test_close_at_once(void **state)
{
    (void)state;
    struct member member = {.start = 0};
    join(&member);
    tr_kafka_consumer_close(member.consumer);
    assert_int_equal(member.revoked, 0);
    tr_kafka_consumer_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_takes_and_commits, start, stop),
        cmocka_unit_test_setup_teardown(test_beginning, start, stop),
        cmocka_unit_test_setup_teardown(test_offsets_retried, start, stop),
        cmocka_unit_test_setup_teardown(test_not_authorised, start, stop),
        cmocka_unit_test_setup_teardown(test_assignment_refused, start, stop),
        cmocka_unit_test_setup_teardown(test_assignment_put_off, start, stop),
        cmocka_unit_test_setup_teardown(test_no_start, start, stop),
        cmocka_unit_test_setup_teardown(test_close_while_down, start, stop),
        cmocka_unit_test_setup_teardown(test_close_at_once, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
