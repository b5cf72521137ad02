/*
 * route.h - from a Kafka message to its place: the envelope is scanned (nothing is decoded), the
 * table and the shape looked up, and the message handed to its lane's batch, or counted.
 *
 * Main thread. Allocates nothing per record.
 */
#ifndef TR_ROUTE_H
#define TR_ROUTE_H

#include "lane.h"
#include "tables.h"

enum tr_routed {
    TR_ROUTED,      /* the message is taken over */
    TR_ROUTE_FULL,  /* the lane has no room: keep the message and come again */
    TR_ROUTE_SHAPE, /* its shape is not known yet: read control, then come again */
};

/*
 * `control_read`: control was read to its end after this message was first seen, so a table without
 * any shape has none. Returns enum tr_routed or TR_E…, which stops the process (the message is
 * freed).
 */
int tr_route(struct tr_tables *tables, struct tr_lane *lane, struct tr_part *part,
             struct tr_kafka_message *message, bool control_read,
             struct tr_error *err) TR_MUST_CHECK;
/* For the message of a stop: which table and shape a held message waits for. */
void tr_route_describe(const struct tr_kafka_message *message, char *out, size_t size);

#endif
