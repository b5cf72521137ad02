/* redis_helpers.h - what tests of the Redis sink share: a sink with a table, and another client. */
#ifndef TR_TEST_REDIS_HELPERS_H
#define TR_TEST_REDIS_HELPERS_H

#include "harness.h"
#include "store.h"

#define ID "{\"name\":\"id\",\"type\":\"int\",\"nullable\":false}"

struct fixture {
    char folder[64], socket[128]; /* of a server of the test's own, else empty */
    pid_t server;
    char url[160]; /* for the sink */
    struct redis_settings settings;
    struct harness h;
    const struct tr_shape *shape; /* of a table `t` with the key `id` */
    struct tr_sink_table *table;
    redisContext *redis; /* another client's */
};

/* Opens a sink at f->url with the table `t` of that database. f->redis is connected, and chooses
 * the Redis database `number`, which is emptied. */
void redis_open(struct fixture *f, int number, const char *database);
/* The reply of one command of the other client as text; "nil" and numbers too. */
const char *redis_ask(struct fixture *f, const char *command);

#endif
