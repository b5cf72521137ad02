/*
 * bare_redis.c - the reference of the Redis consumer: a pipelined guarded EVALSHA loop.
 *
 *     bare_redis PORT ROWS BYTES [PIPELINE]
 *
 * One connection, `PIPELINE` calls sent at once; compares the version, writes row and version.
 * Prints one JSON line.
 */
#include <hiredis.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"

static const char script[] = "local v=redis.call('GET',KEYS[2])\n"
                             "if v and string.sub(v,1,16)>ARGV[1] then return 0 end\n"
                             "redis.call('MSET',KEYS[1],ARGV[2],KEYS[2],ARGV[1])\n"
                             "return 1";

static long long drain(redisContext *redis, int count)
{
    long long applied = 0;
    for (int i = 0; i < count; i++) {
        redisReply *reply = NULL;
        if (redisGetReply(redis, (void **)&reply) != REDIS_OK) {
            fprintf(stderr, "bare_redis: %s\n", redis->errstr);
            exit(1);
        }
        applied += reply->type == REDIS_REPLY_INTEGER ? reply->integer : 0;
        freeReplyObject(reply);
    }
    return applied;
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: bare_redis PORT ROWS BYTES [PIPELINE]\n");
        return 1;
    }
    long long rows = atoll(argv[2]), applied = 0;
    size_t length = (size_t)atoi(argv[3]);
    int pipeline = argc > 4 ? atoi(argv[4]) : 1000, waiting = 0;
    redisContext *redis = redisConnect("127.0.0.1", atoi(argv[1]));
    redisReply *loaded = redisCommand(redis, "SCRIPT LOAD %s", script);
    char *row = malloc(length + 1);
    memset(row, 'x', length);
    row[length] = '\0';
    int64_t start = tr_clock_mono_us();
    for (long long i = 0; i < rows; i++) {
        redisAppendCommand(
            redis, "EVALSHA %s 2 bare:sbtest1:%lld tailrace:v:{bare:sbtest1:%lld} %016lld %b",
            loaded->str, i, i, i + 1, row, length);
        if (++waiting == pipeline) {
            applied += drain(redis, waiting);
            waiting = 0;
        }
    }
    applied += drain(redis, waiting);
    printf("{\"rows\":%lld,\"seconds\":%.4f,\"applied\":%lld}\n", rows,
           (double)(tr_clock_mono_us() - start) / 1e6, applied);
    freeReplyObject(loaded);
    redisFree(redis);
    free(row);
    return applied != rows;
}
