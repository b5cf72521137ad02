/* mock.c - see mock.h. */
#include "mock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

void mock_start(struct mock *mock)
{
    char text[256];
    *mock = (struct mock){0};
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set_log_cb(conf, NULL);
    mock->host = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
    assert_non_null(mock->host);
    mock->cluster = rd_kafka_mock_cluster_new(mock->host, 1);
    assert_non_null(mock->cluster);
    mock->servers = (struct tr_node){.type = TR_NODE_SCALAR,
                                     .key = "bootstrap.servers",
                                     .text = rd_kafka_mock_cluster_bootstraps(mock->cluster)};
    mock->properties = (struct tr_node){.type = TR_NODE_MAP, .child = &mock->servers};
}

void mock_stop(struct mock *mock)
{
    rd_kafka_mock_cluster_destroy(mock->cluster);
    rd_kafka_destroy(mock->host);
}

void mock_fill(struct mock *mock, const char *topic, int count)
{
    char text[256];
    rd_kafka_mock_topic_create(mock->cluster, topic, 1, 1);
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", mock->servers.text, text, sizeof(text));
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
    assert_non_null(rk);
    for (int i = 0; i < count; i++) {
        size_t length = (size_t)snprintf(text, sizeof(text), "%d", i);
        assert_int_equal(rd_kafka_producev(rk, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(0),
                                           RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                                           RD_KAFKA_V_KEY(text, length),
                                           RD_KAFKA_V_VALUE(text, length), RD_KAFKA_V_END),
                         0);
    }
    assert_int_equal(rd_kafka_flush(rk, 10000), 0);
    rd_kafka_destroy(rk);
}
