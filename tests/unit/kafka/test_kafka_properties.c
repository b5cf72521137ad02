/* test_kafka_properties.c - what the kafka: section may say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "kafka.h"

static struct tr_node servers = {
    .type = TR_NODE_SCALAR, .key = "bootstrap.servers", .text = "127.0.0.1:1", .line = 3};

/* Makes a producer with one more property. */
static int try_property(enum tr_node_type type, const char *name, const char *value,
                        struct tr_error *err)
{
    struct tr_node property = {.type = type, .key = name, .text = value, .line = 4};
    struct tr_node map = {.type = TR_NODE_MAP, .child = &property};
    struct tr_kafka_producer *producer = NULL;
    struct tr_kafka_producer_config config = {
        .properties = &map, .client_id = "test", .queue_bytes_max = 1 << 20};
    property.next = &servers;
    tr_error_reset(err);
    int rc = tr_kafka_producer_new(&producer, &config, err);
    if (rc == 0)
        tr_kafka_producer_free(producer);
    return rc;
}

static void test_allowed(void **state)
{
    (void)state;
    struct tr_error err = {0};
    assert_int_equal(try_property(TR_NODE_SCALAR, "linger.ms", "20", &err), 0);
    assert_int_equal(try_property(TR_NODE_SCALAR, "compression.codec", "zstd", &err), 0);
    assert_int_equal(try_property(TR_NODE_SCALAR, "queue.buffering.max.kbytes", "9000", &err), 0);
    assert_int_equal(try_property(TR_NODE_SCALAR, "fetch.min.bytes", "2", &err), 0);
}

/* One section serves capture, which may need large messages, and the consumers. */
static void test_consumers_take_what_producers_need(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {{"message.max.bytes", "100000000"},
                                           {"message.max.bytes", "1000"},
                                           {"fetch.max.bytes", "900000000"},
                                           {"fetch.max.bytes", "100000"}};
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        struct tr_error err = {0};
        struct tr_node property = {
            .type = TR_NODE_SCALAR, .key = pairs[i][0], .text = pairs[i][1], .next = &servers};
        struct tr_node map = {.type = TR_NODE_MAP, .child = &property};
        struct tr_kafka_consumer *consumer = NULL;
        struct tr_kafka_reader *reader = NULL;
        struct tr_kafka_consumer_config config = {
            .properties = &map, .client_id = "test", .group = "g", .queue_bytes_max = 16 << 20};
        if (tr_kafka_consumer_new(&consumer, &config, &err) != 0)
            fail_msg("%s = %s: %s", pairs[i][0], pairs[i][1], err.text);
        tr_kafka_consumer_close(consumer);
        /* It goes on to look for its topic, of which nobody tells it. */
        if (tr_kafka_reader_new(&reader, &map, "test", "t", &err) == TR_ECONFIG)
            fail_msg("%s = %s: %s", pairs[i][0], pairs[i][1], err.text);
        tr_kafka_reader_free(reader);
    }
}

static void test_ours_alone(void **state)
{
    (void)state;
    static const char *const names[] = {
        "acks",
        "request.required.acks",
        "enable.idempotence",
        "enable.auto.commit",
        "auto.offset.reset",
        "enable.auto.offset.store",
        "isolation.level",
        "group.id",
        "partition.assignment.strategy",
        "transactional.id",
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct tr_error err = {0};
        assert_int_equal(try_property(TR_NODE_SCALAR, names[i], "1", &err), TR_ECONFIG);
        assert_non_null(strstr(err.text, names[i]));
        assert_non_null(strstr(err.text, "line 4"));
        assert_non_null(strstr(err.text, "remove it"));
    }
}

static void test_unknown(void **state)
{
    (void)state;
    struct tr_error err = {0};
    assert_int_equal(try_property(TR_NODE_SCALAR, "sasl.usernam", "x", &err), TR_ECONFIG);
    assert_non_null(strstr(err.text, "did you mean sasl.username"));
    assert_int_equal(try_property(TR_NODE_SCALAR, "zzzzzzzzzzzzzzzz", "x", &err), TR_ECONFIG);
    assert_non_null(strstr(err.text, "zzzzzzzzzzzzzzzz"));
}

static void test_bad_values(void **state)
{
    (void)state;
    struct tr_error err = {0};
    assert_int_equal(try_property(TR_NODE_SCALAR, "linger.ms", "soon", &err), TR_ECONFIG);
    assert_non_null(strstr(err.text, "linger.ms"));
    assert_int_equal(try_property(TR_NODE_LIST, "debug", NULL, &err), TR_ECONFIG);
    assert_non_null(strstr(err.text, "one value"));
    assert_int_equal(try_property(TR_NODE_SCALAR, "max.in.flight", "1000", &err), TR_ECONFIG);
}

static void test_no_brokers(void **state)
{
    (void)state;
    struct tr_error err = {0};
    struct tr_kafka_reader *reader = NULL;
    assert_int_equal(tr_kafka_reader_new(&reader, NULL, "test", "t", &err), TR_ECONFIG);
    assert_non_null(strstr(err.text, "kafka.bootstrap.servers is not set"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_allowed),
        cmocka_unit_test(test_ours_alone),
        cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_bad_values),
        cmocka_unit_test(test_no_brokers),
        cmocka_unit_test(test_consumers_take_what_producers_need),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
