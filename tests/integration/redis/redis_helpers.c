/* redis_helpers.c - see redis_helpers.h. */
#include "redis_helpers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "redis_sink.h"

void redis_open(struct fixture *f, int number, const char *database)
{
    char select[32];
    f->settings = (struct redis_settings){.url = f->url,
                                          .user = "",
                                          .password = "",
                                          .delete_marker_ttl_ms = 60000,
                                          .connect_timeout_ms = 1000,
                                          .timeout_ms = 10000};
    snprintf(select, sizeof(select), "SELECT %d", number);
    redis_ask(f, select);
    redis_ask(f, "FLUSHDB");
    harness_open(&f->h, &tr_redis_sink_ops, &f->settings);
    f->shape = harness_shape(&f->h, database, "t", 1, "[" ID "]", "[\"id\"]");
    f->table = harness_table(&f->h, f->shape, NULL);
}

const char *redis_ask(struct fixture *f, const char *command)
{
    static char out[512];
    redisReply *reply = redisCommand(f->redis, command);
    assert_non_null(reply);
    if (reply->type == REDIS_REPLY_INTEGER)
        snprintf(out, sizeof(out), "%lld", reply->integer);
    else
        snprintf(out, sizeof(out), "%s", reply->type == REDIS_REPLY_NIL ? "nil" : reply->str);
    freeReplyObject(reply);
    return out;
}
