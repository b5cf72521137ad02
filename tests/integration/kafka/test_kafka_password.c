/*
 * test_kafka_password.c - what a broker that asks for passwords makes of wrong ones.
 *
 * Run by sasl_broker.py, which starts such a broker (user "right", password "secret") and
 * names it in KAFKA_SASL_BOOTSTRAP.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "clock.h"
#include "kafka.h"

#define AT_ONCE_US INT64_C(5000000)

static struct tr_error err;
static struct tr_node nodes[5] = {
    {.type = TR_NODE_SCALAR, .key = "bootstrap.servers", .next = &nodes[1]},
    {.type = TR_NODE_SCALAR,
     .key = "security.protocol",
     .text = "sasl_plaintext",
     .next = &nodes[2]},
    {.type = TR_NODE_SCALAR, .key = "sasl.mechanism", .text = "PLAIN", .next = &nodes[3]},
    {.type = TR_NODE_SCALAR, .key = "sasl.username", .text = "right", .next = &nodes[4]},
    {.type = TR_NODE_SCALAR, .key = "sasl.password"},
};
static struct tr_node properties = {.type = TR_NODE_MAP, .child = nodes};

static int reset(void **state)
{
    (void)state;
    tr_error_reset(&err);
    nodes[0].text = getenv("KAFKA_SASL_BOOTSTRAP");
    if (nodes[0].text == NULL)
        fprintf(stderr, "KAFKA_SASL_BOOTSTRAP is not set: run sasl_broker.py\n");
    return nodes[0].text == NULL ? -1 : 0;
}

static struct tr_kafka_producer *open_producer(const char *password)
{
    struct tr_kafka_producer *producer = NULL;
    struct tr_kafka_producer_config config = {
        .properties = &properties, .client_id = "test", .queue_bytes_max = 1 << 20};
    nodes[4].text = password;
    assert_int_equal(tr_kafka_producer_new(&producer, &config, &err), 0);
    return producer;
}

static void assert_refused_at_once(int rc, int64_t start_us)
{
    if (rc != TR_EKAFKA)
        fail_msg("%d: %s", rc, err.text);
    assert_true(tr_clock_mono_us() - start_us < AT_ONCE_US);
    assert_non_null(strstr(err.text, nodes[0].text));
    tr_error_reset(&err);
}

static int take_none(void *context, const struct tr_kafka_message *message, struct tr_error *error)
{
    (void)context;
    (void)message;
    (void)error;
    return 0;
}

static void test_right(void **state)
{
    (void)state;
    struct tr_kafka_topic_info info;
    struct tr_kafka_producer *producer = open_producer("secret");
    assert_int_equal(tr_kafka_topic_describe(producer, "none", &info, &err), 0);
    assert_false(info.exists);
    assert_int_equal(tr_kafka_producer_fatal(producer, &err), 0);
    tr_kafka_producer_free(producer);
}

static void test_wrong_producer(void **state)
{
    (void)state;
    struct tr_kafka_topic_info info;
    int64_t start_us = tr_clock_mono_us();
    struct tr_kafka_producer *producer = open_producer("wrong");
    assert_refused_at_once(tr_kafka_topic_describe(producer, "none", &info, &err), start_us);
    assert_refused_at_once(tr_kafka_producer_fatal(producer, &err), start_us);
    tr_kafka_producer_free(producer);
}

static void test_wrong_reader(void **state)
{
    (void)state;
    struct tr_kafka_reader *reader = NULL;
    int64_t start_us = tr_clock_mono_us();
    nodes[4].text = "wrong";
    assert_int_equal(tr_kafka_reader_new(&reader, &properties, "test", "none", &err), 0);
    assert_refused_at_once(tr_kafka_reader_read(reader, 10000, true, take_none, NULL, &err),
                           start_us);
    tr_kafka_reader_free(reader);
}

static int never_assigned(void *context, struct tr_kafka_partition *partitions, size_t count,
                          struct tr_error *error)
{
    (void)context;
    (void)partitions;
    (void)count;
    return tr_error_set(error, TR_EBUG, "assigned all the same");
}

static void never_revoked(void *context, const struct tr_kafka_partition *partitions, size_t count,
                          bool lost)
{
    (void)context;
    (void)partitions;
    (void)count;
    (void)lost;
}

/* Joins with the topic and takes until an error comes. */
static int take_until_error(const char *topic)
{
    struct tr_kafka_message message;
    struct tr_kafka_consumer *consumer = NULL;
    struct tr_kafka_consumer_config config = {.properties = &properties,
                                              .client_id = "test",
                                              .group = "g",
                                              .queue_bytes_max = 1 << 20,
                                              .assigned = never_assigned,
                                              .revoked = never_revoked};
    int64_t until = tr_clock_mono_us() + 4 * AT_ONCE_US;
    int rc = tr_kafka_consumer_new(&consumer, &config, &err);
    if (rc == 0)
        rc = tr_kafka_consumer_subscribe(consumer, &topic, 1, &err);
    while (rc == 0 && tr_clock_mono_us() < until)
        rc = tr_kafka_consumer_take(consumer, &message, 1, 100, &err);
    tr_kafka_consumer_close(consumer);
    return rc;
}

static void test_wrong_consumer(void **state)
{
    (void)state;
    int64_t start_us = tr_clock_mono_us();
    nodes[4].text = "wrong";
    assert_refused_at_once(take_until_error("none"), start_us);
}

static void test_wrong_group(void **state)
{
    (void)state;
    const char *topics[] = {"none"};
    struct tr_kafka_partition partition = {0};
    int64_t start_us = tr_clock_mono_us();
    nodes[4].text = "wrong";
    assert_refused_at_once(tr_kafka_group_offsets(&properties, "g", topics, &partition, 1, &err),
                           start_us);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_right, reset),
        cmocka_unit_test_setup(test_wrong_producer, reset),
        cmocka_unit_test_setup(test_wrong_reader, reset),
        cmocka_unit_test_setup(test_wrong_consumer, reset),
        cmocka_unit_test_setup(test_wrong_group, reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
