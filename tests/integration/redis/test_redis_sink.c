/*
 * test_redis_sink.c - the Redis sink against the Redis of $TAILRACE_STACK_DIR: guards, floors,
 * refused values, an emptied server. Works under the prefix `harness`, which it removes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "count_allocations.h"
#include "redis_helpers.h"

static int redis_port(void)
{
    char path[512], line[256];
    int port = 0;
    const char *folder = getenv("TAILRACE_STACK_DIR");
    assert_non_null(folder);
    snprintf(path, sizeof(path), "%s/endpoints.env", folder);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, "REDIS_PORT=", 11) == 0)
            port = atoi(line + 11 + (line[11] == '\'' || line[11] == '"'));
    }
    fclose(file);
    assert_true(port > 0);
    return port;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    int port = redis_port();
    snprintf(f->url, sizeof(f->url), "redis://127.0.0.1:%d/9", port);
    f->redis = redisConnect("127.0.0.1", port);
    assert_non_null(f->redis);
    redis_open(f, 9, "harness");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    redis_ask(f, "FLUSHDB");
    redisFree(f->redis);
    harness_close(&f->h);
    free(f);
    return 0;
}

static enum tr_sink_status write_one(struct fixture *f, int64_t version, const char *data)
{
    return harness_one(&f->h, f->table, f->shape, version, "\"pk.id\":1", data);
}

/* Rows of these ids and versions. */
static void add_rows(struct fixture *f, int first, int last)
{
    char pk[32], data[32];
    for (int id = first; id <= last; id++) {
        snprintf(pk, sizeof(pk), "\"pk.id\":%d", id);
        snprintf(data, sizeof(data), "{\"id\":%d}", id);
        harness_add(&f->h, f->table, f->shape, id, pk, data);
    }
}

static void versions_guard_rows(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(write_one(f, 10, "{\"id\":1}"), TR_SINK_APPLIED);
    assert_int_equal(write_one(f, 9, "{\"id\":1,\"old\":1}"), TR_SINK_STALE);
    assert_string_equal(redis_ask(f, "GET harness:t:1"), "{\"id\":1}");
    assert_string_equal(redis_ask(f, "GET tailrace:v:{harness:t:1}"), "0000000000000010");
    assert_string_equal(redis_ask(f, "PTTL tailrace:v:{harness:t:1}"), "-1");
    assert_int_equal(write_one(f, 10, "{\"id\":1,\"b\":2}"), TR_SINK_APPLIED);
    assert_int_equal(write_one(f, 12, NULL), TR_SINK_APPLIED);
    assert_int_equal(write_one(f, 11, "{\"id\":1}"), TR_SINK_STALE);
    assert_string_equal(redis_ask(f, "GET harness:t:1"), "nil");
    assert_string_equal(redis_ask(f, "GET tailrace:v:{harness:t:1}"), "0000000000000012d");
    assert_true(atoi(redis_ask(f, "PTTL tailrace:v:{harness:t:1}")) > 50000);
    assert_int_equal(write_one(f, 13, "{\"id\":1}"), TR_SINK_APPLIED);
    assert_string_equal(redis_ask(f, "PTTL tailrace:v:{harness:t:1}"), "-1");
}

static void markers_raise_floors(void **state)
{
    struct fixture *f = *state;
    struct harness *h = &f->h;
    struct tr_sink_state loaded;
    add_rows(f, 1, 3000);
    assert_int_equal(harness_apply(h, 0), 0);
    assert_int_equal(h->ops->mark(h->lane, f->table, TR_EVENT_TABLE_TRUNCATE, 3000, &h->err), 0);
    /* One row, its version, the store's hash, and a delete's marker for each other row. */
    assert_string_equal(redis_ask(f, "DBSIZE"), "3002");
    assert_string_equal(redis_ask(f, "EXISTS harness:t:1"), "0");
    assert_string_equal(redis_ask(f, "GET tailrace:v:{harness:t:1}"), "0000000000002999d");
    assert_true(atoi(redis_ask(f, "PTTL tailrace:v:{harness:t:1}")) > 50000);
    assert_string_equal(redis_ask(f, "GET harness:t:3000"), "{\"id\":3000}");
    harness_load(h, &loaded);
    assert_int_equal(loaded.floor_count, 1);
    assert_int_equal(loaded.floors[0].version, 3000);
}

static void refused_values_are_poison(void **state)
{
    struct fixture *f = *state;
    struct harness *h = &f->h;
    redis_ask(f, "LPUSH tailrace:v:{harness:t:500} x");
    add_rows(f, 1, 1000);
    assert_int_equal(harness_apply(h, 0), 0);
    for (int i = 1; i <= 1000; i++)
        assert_int_equal(h->results[i - 1].status, i == 500 ? TR_SINK_POISON : TR_SINK_APPLIED);
    assert_non_null(strstr(h->results[499].reason, "WRONGTYPE"));
}

static void too_large_values_are_poison(void **state)
{
    struct fixture *f = *state;
    struct harness *h = &f->h;
    char *large = malloc(1200001);
    memset(large, ' ', 1200000);
    memcpy(large, "{\"id\":501", 9);
    large[1199999] = '}';
    large[1200000] = '\0';
    h->ops->lane_close(h->lane);
    redis_ask(f, "CONFIG SET proto-max-bulk-len 1048576");
    assert_int_equal(h->ops->lane_open(h->sink, 0, &h->lane, &h->err), 0);
    add_rows(f, 1, 500);
    harness_add(h, f->table, f->shape, 501, "\"pk.id\":501", large);
    add_rows(f, 502, 1001);
    int code = harness_apply(h, 0);
    redis_ask(f, "CONFIG SET proto-max-bulk-len 536870912");
    free(large);
    assert_int_equal(code, 0);
    for (int id = 1; id <= 1001; id++)
        assert_int_equal(h->results[id - 1].status, id == 501 ? TR_SINK_POISON : TR_SINK_APPLIED);
    assert_non_null(strstr(h->results[500].reason, "proto-max-bulk-len"));
    assert_string_equal(redis_ask(f, "EXISTS harness:t:501 tailrace:v:{harness:t:501}"), "0");
    assert_string_equal(redis_ask(f, "DBSIZE"), "2001"); /* rows, versions, the store's hash */
    assert_string_equal(redis_ask(f, "GET harness:t:500"), "{\"id\":500}");
    assert_string_equal(redis_ask(f, "GET harness:t:502"), "{\"id\":502}");
}

static void an_emptied_store_is_noticed(void **state)
{
    struct fixture *f = *state;
    struct harness *h = &f->h;
    struct tr_sink_progress progress = {
        .topic = "t", .incarnation = "00000000000000aa", .partition = 0, .next = 5};
    assert_int_equal(write_one(f, 1, "{\"id\":1}"), TR_SINK_APPLIED);
    assert_int_equal(h->ops->progress(h->lane, &progress, 1, &h->err), 0);
    redis_ask(f, "FLUSHDB");
    assert_int_equal(h->ops->progress(h->lane, &progress, 1, &h->err), TR_ESTATE);
    assert_non_null(strstr(h->err.text, "reset"));
    tr_error_reset(&h->err);
    harness_add(h, f->table, f->shape, 2, "\"pk.id\":1", "{\"id\":1}");
    assert_int_equal(harness_apply(h, 0), TR_ESTATE); /* the connection is new: it looks */
    assert_string_equal(redis_ask(f, "DBSIZE"), "0");
}

static void a_store_set_back_is_noticed(void **state)
{
    struct fixture *f = *state;
    struct harness *h = &f->h;
    char field[64];
    assert_int_equal(write_one(f, 1, "{\"id\":1}"), TR_SINK_APPLIED);
    assert_int_equal(write_one(f, 2, "{\"id\":1}"), TR_SINK_APPLIED);
    snprintf(field, sizeof(field), "%s", h->lane->connection.session);
    redisReply *reply = redisCommand(f->redis, "HINCRBY tailrace:store:harness:redis %s -1", field);
    assert_int_equal(reply->integer, h->lane->connection.answered - 1);
    freeReplyObject(reply);
    redis_ask(f, "CLIENT KILL TYPE normal SKIPME yes");
    harness_add(h, f->table, f->shape, 3, "\"pk.id\":1", "{\"id\":1}");
    assert_int_equal(harness_apply(h, 0), TR_ESTORE_RETRY); /* the connection is gone */
    harness_add(h, f->table, f->shape, 3, "\"pk.id\":1", "{\"id\":1}");
    assert_int_equal(harness_apply(h, 0), TR_ESTATE);
    assert_non_null(strstr(h->err.text, "older copy"));
}

/* An idle lane has written nothing that it could miss: what was loaded tells. */
static void a_store_set_back_behind_an_idle_lane_is_noticed(void **state)
{
    struct fixture *f = *state;
    struct harness *h = &f->h;
    struct tr_sink_state loaded;
    assert_int_equal(write_one(f, 1, "{\"id\":1}"), TR_SINK_APPLIED);
    h->ops->lane_close(h->lane);
    assert_int_equal(h->ops->lane_open(h->sink, 0, &h->lane, &h->err), 0);
    harness_load(h, &loaded);
    assert_int_equal(write_one(f, 2, "{\"id\":1}"), TR_SINK_APPLIED);
    h->ops->lane_close(h->lane);
    assert_int_equal(h->ops->lane_open(h->sink, 0, &h->lane, &h->err), 0);
    redisReply *reply =
        redisCommand(f->redis, "HINCRBY tailrace:store:harness:redis %s -1", h->sink->main.session);
    assert_int_equal(reply->integer, h->sink->main.sent - 1);
    freeReplyObject(reply);
    harness_add(h, f->table, f->shape, 3, "\"pk.id\":1", "{\"id\":1}");
    assert_int_equal(harness_apply(h, 0), TR_ESTATE);
    assert_non_null(strstr(h->err.text, "older copy"));
    tr_error_reset(&h->err);
    assert_int_equal(h->ops->load(h->sink, &loaded, &h->err), TR_ESTATE);
    assert_non_null(strstr(h->err.text, "older copy"));
    assert_string_equal(redis_ask(f, "GET tailrace:v:{harness:t:1}"), "0000000000000002");
}

static void progress_is_loaded_again(void **state)
{
    struct fixture *f = *state;
    struct harness *h = &f->h;
    struct tr_sink_state loaded;
    struct tr_sink_progress progress = {
        .topic = "db.shop", .incarnation = "00000000000000aa", .partition = 3, .next = 5};
    assert_int_equal(h->ops->progress(h->lane, &progress, 1, &h->err), 0);
    harness_load(h, &loaded);
    assert_true(loaded.marked);
    assert_string_equal(loaded.pipeline, "harness");
    assert_int_equal(loaded.progress_count, 1);
    assert_string_equal(loaded.progress[0].topic, "db.shop");
    assert_int_equal(loaded.progress[0].partition, 3);
    assert_int_equal(loaded.progress[0].next, 5);
    loaded.replace = true;
    assert_int_equal(h->ops->claim(h->sink, &loaded, &h->err), 0);
    loaded.progress_count = 0;
    assert_int_equal(h->ops->claim(h->sink, &loaded, &h->err), 0);
    harness_load(h, &loaded);
    assert_int_equal(loaded.progress_count, 0);
}

static void lost_scripts_are_loaded_again(void **state)
{
    struct fixture *f = *state;
    struct harness *h = &f->h;
    assert_int_equal(write_one(f, 1, "{\"id\":1}"), TR_SINK_APPLIED);
    redis_ask(f, "SCRIPT FLUSH");
    harness_add(h, f->table, f->shape, 2, "\"pk.id\":1", "{\"id\":1,\"n\":2}");
    assert_int_equal(harness_apply(h, 0), TR_ESTORE_RETRY);
    assert_int_equal(write_one(f, 2, "{\"id\":1,\"n\":2}"), TR_SINK_APPLIED);
    assert_string_equal(redis_ask(f, "GET harness:t:1"), "{\"id\":1,\"n\":2}");
}

static void drop_is_told_before(void **state)
{
    struct fixture *f = *state;
    struct harness *h = &f->h;
    struct tr_sink_table *tables[] = {f->table};
    struct tr_buf lines;
    tr_buf_init(&lines, 4096);
    write_one(f, 1, "{\"id\":1}");
    assert_int_equal(h->ops->drop_plan(h->sink, tables, 1, &lines, &h->err), 0);
    tr_buf_append_char(&lines, '\0');
    assert_string_equal(lines.data, "keys harness:t:* of harness.t, and their versions\n"
                                    "hash tailrace:store:harness:redis\n");
    tr_buf_done(&lines);
    assert_string_equal(redis_ask(f, "DBSIZE"), "3"); /* a row, its version, the hash */
}

static void drop_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    struct harness *h = &f->h;
    struct tr_sink_table *tables[] = {f->table};
    write_one(f, 1, "{\"id\":1}");
    redis_ask(f, "SET somebody:elses 1");
    assert_int_equal(h->ops->drop(h->sink, tables, 1, &h->err), 0);
    assert_string_equal(redis_ask(f, "DBSIZE"), "1");
    assert_string_equal(redis_ask(f, "GET somebody:elses"), "1");
}

/* `check` before capture has run: no table is known, only the rules. */
static void rules_say_whether_eviction_is_agreed(void **state)
{
    static struct harness h;
    struct fixture *f = *state;
    struct tr_node ttl = {.type = TR_NODE_SCALAR, .key = "ttl", .text = "1h"};
    struct tr_node name = {.type = TR_NODE_SCALAR, .key = "table", .text = "shop.*", .next = &ttl};
    struct tr_node rule = {.type = TR_NODE_MAP, .child = &name};
    const struct tr_node rules = {.type = TR_NODE_LIST, .child = &rule};
    assert_int_equal(harness_try_open(&h, &tr_redis_sink_ops, &f->settings), 0);
    redis_ask(f, "CONFIG SET maxmemory-policy volatile-lru");
    int unruled = h.ops->check(h.sink, &h.err);
    tr_error_reset(&h.err);
    f->settings.common.tables = &rules;
    int agreed = h.ops->check(h.sink, &h.err);
    tr_error_reset(&h.err);
    name.next = NULL;
    int lasting = h.ops->check(h.sink, &h.err);
    redis_ask(f, "CONFIG SET maxmemory-policy noeviction");
    harness_close(&h);
    assert_int_equal(unruled, TR_ECONFIG);
    assert_int_equal(agreed, 0);
    assert_int_equal(lasting, TR_ECONFIG);
}

/* Those of RD_COMMANDS: "SELECT, SCRIPT LOAD" as "+select +script|load". */
static void allow_commands(struct fixture *f, const char *user)
{
    char command[512];
    size_t used = (size_t)snprintf(command, sizeof(command), "%s +", user);
    for (const char *at = RD_COMMANDS; *at != '\0' && used < sizeof(command) - 3; at++) {
        if (*at != ',') {
            command[used++] = *at == ' ' ? '|' : *at;
            continue;
        }
        command[used++] = ' ';
        command[used++] = '+';
        at++; /* the blank */
    }
    command[used] = '\0';
    assert_string_equal(redis_ask(f, command), "OK");
}

/* The commands that the message of a refusal names are all that it takes. */
static void an_account_needs_these_commands_only(void **state)
{
    static struct harness h;
    struct fixture *f = *state;
    struct redis_settings settings = f->settings;
    struct tr_buf lines;
    redis_ask(f, "FLUSHDB");
    allow_commands(f, "ACL SETUSER bounded reset on >word ~harness:* ~tailrace:*");
    settings.user = "bounded";
    settings.password = "word";
    harness_open(&h, &tr_redis_sink_ops, &settings);
    const struct tr_shape *shape = harness_shape(&h, "harness", "t", 1, "[" ID "]", "[\"id\"]");
    struct tr_sink_table *table = harness_table(&h, shape, NULL);
    tr_buf_init(&lines, 4096);
    assert_int_equal(harness_one(&h, table, shape, 5, "\"pk.id\":1", "{}"), TR_SINK_APPLIED);
    assert_int_equal(harness_one(&h, table, shape, 6, "\"pk.id\":2", NULL), TR_SINK_APPLIED);
    assert_int_equal(h.ops->check(h.sink, &h.err), 0);
    assert_int_equal(h.ops->mark(h.lane, table, TR_EVENT_TABLE_TRUNCATE, 9, &h.err), 0);
    assert_int_equal(h.ops->drop_plan(h.sink, (struct tr_sink_table *[]){table}, 1, &lines, &h.err),
                     0);
    assert_int_equal(h.ops->drop(h.sink, (struct tr_sink_table *[]){table}, 1, &h.err), 0);
    tr_buf_done(&lines);
    harness_close(&h);
    redis_ask(f, "ACL DELUSER bounded");
}

static void rows_cost_no_allocations(void **state)
{
    struct fixture *f = *state;
    struct harness *h = &f->h;
    add_rows(f, 1, 2000);
    for (size_t i = 9; i < 2000; i += 10)
        h->records[i].remove = true;
    assert_int_equal(harness_apply(h, 1), 0);
    assert_int_equal(harness_again(h, 2000, 2), 0);
    int64_t before = allocations;
    for (int64_t i = 3; i < 8; i++)
        assert_int_equal(harness_again(h, 2000, i), 0);
    assert_int_equal(allocations, before);
    assert_true(before > 0); /* the counter counts */
    for (int i = 0; i < 2000; i++)
        assert_int_equal(h->results[i].status, TR_SINK_APPLIED);
    assert_string_equal(redis_ask(f, "DBSIZE"), "3801"); /* 1,800 rows, versions, the hash */
}

int main(void)
{
#define ON_REDIS(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        ON_REDIS(versions_guard_rows),
        ON_REDIS(markers_raise_floors),
        ON_REDIS(refused_values_are_poison),
        ON_REDIS(too_large_values_are_poison),
        ON_REDIS(an_emptied_store_is_noticed),
        ON_REDIS(a_store_set_back_is_noticed),
        ON_REDIS(a_store_set_back_behind_an_idle_lane_is_noticed),
        ON_REDIS(progress_is_loaded_again),
        ON_REDIS(lost_scripts_are_loaded_again),
        ON_REDIS(drop_is_told_before),
        ON_REDIS(drop_leaves_nothing),
        ON_REDIS(rules_say_whether_eviction_is_agreed),
        ON_REDIS(an_account_needs_these_commands_only),
        ON_REDIS(rows_cost_no_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
