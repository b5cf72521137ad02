/* mock.h - a cluster that librdkafka plays by itself, for tests; errors are injected into it. */
#ifndef TR_TEST_MOCK_H
#define TR_TEST_MOCK_H

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include "options.h"

/* Numbers of the protocol's requests. */
enum { API_PRODUCE = 0, API_OFFSET_FETCH = 9, API_JOIN_GROUP = 11 };

struct mock {
    rd_kafka_t *host; /* the client that carries the cluster */
    rd_kafka_mock_cluster_t *cluster;
    struct tr_node servers;
    struct tr_node properties; /* to be given to the clients under test */
};

void mock_start(struct mock *mock);
void mock_stop(struct mock *mock);
/* A topic with `count` records, "0", "1" … as key and value, in partition 0. */
void mock_fill(struct mock *mock, const char *topic, int count);

#endif
