/*
 * test_redis_faults.c - the Redis sink on a server of the test's own, which may be filled, killed
 * and restarted: no memory, cut connections, loading, eviction, keys that look like patterns or
 * like this program's own.
 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "redis_helpers.h"
#include "redis_sink.h"

#define NAME                                                                                       \
    "{\"name\":\"name\",\"type\":\"varchar\",\"nullable\":false,\"length\":99,\"charset\":"        \
    "\"utf8mb4\"}"
#define ROWS 4000

/* ---- the server -------------------------------------------------------------------------------
 */

static void pause_ms(long ms)
{
    const struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

static void start_server(struct fixture *f, const char *key_load_delay)
{
    f->server = fork();
    if (f->server == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that crashes leaves none behind */
        if (freopen("/dev/null", "w", stdout) == NULL || dup2(1, 2) < 0 || chdir(f->folder) != 0)
            _exit(126);
        execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", f->socket, "--save",
               "", "--appendonly", "no", "--loading-process-events-interval-bytes", "1024",
               "--key-load-delay", key_load_delay, (char *)NULL);
        _exit(127);
    }
    for (int tries = 0; tries < 300; tries++) {
        f->redis = redisConnectUnix(f->socket);
        if (f->redis != NULL && f->redis->err == 0)
            return;
        redisFree(f->redis);
        pause_ms(20);
    }
    fail_msg("redis-server does not answer on %s", f->socket);
}

static void stop_server(struct fixture *f, int signal_number)
{
    int status;
    redisFree(f->redis);
    kill(f->server, signal_number);
    assert_int_equal(waitpid(f->server, &status, 0), f->server);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    snprintf(f->folder, sizeof(f->folder), "/tmp/tailrace-test-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    snprintf(f->socket, sizeof(f->socket), "%s/socket", f->folder);
    snprintf(f->url, sizeof(f->url), "unix://%s?db=3", f->socket);
    start_server(f, "0");
    redis_open(f, 3, "shop");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char dump[128];
    harness_close(&f->h);
    stop_server(f, SIGKILL);
    snprintf(dump, sizeof(dump), "%s/dump.rdb", f->folder);
    unlink(dump);
    unlink(f->socket);
    int code = rmdir(f->folder);
    free(f);
    return code;
}

static void add_rows(struct fixture *f, int64_t version)
{
    char pk[32], data[300];
    for (int i = 0; i < ROWS; i++) {
        snprintf(pk, sizeof(pk), "\"pk.id\":%d", i);
        snprintf(data, sizeof(data), "{\"id\":%d,\"v\":%d,\"pad\":\"%0200d\"}", i, (int)version, i);
        harness_add(&f->h, f->table, f->shape, version, pk, i % 10 == 9 ? NULL : data);
    }
}

/* All rows of add_rows, and their versions. */
static void assert_rows(struct fixture *f, int64_t version)
{
    char command[64], expected[300];
    for (int i = 0; i < ROWS; i += 37) {
        bool removed = i % 10 == 9;
        snprintf(command, sizeof(command), "GET shop:t:%d", i);
        snprintf(expected, sizeof(expected), "{\"id\":%d,\"v\":%d,\"pad\":\"%0200d\"}", i,
                 (int)version, i);
        assert_string_equal(redis_ask(f, command), removed ? "nil" : expected);
        snprintf(command, sizeof(command), "GET tailrace:v:{shop:t:%d}", i);
        snprintf(expected, sizeof(expected), "%016d%s", (int)version, removed ? "d" : "");
        assert_string_equal(redis_ask(f, command), expected);
    }
}

/* ---- servers in trouble -----------------------------------------------------------------------
 */

static void a_full_server_is_waited_for(void **state)
{
    struct fixture *f = *state;
    add_rows(f, 1);
    assert_int_equal(harness_apply(&f->h, 0), 0);
    redis_ask(f, "CONFIG SET maxmemory-policy noeviction");
    redis_ask(f, "CONFIG SET maxmemory 1");
    add_rows(f, 2);
    int code = harness_apply(&f->h, 0);
    assert_int_equal(code != 0 ? code : (int)f->h.results[0].status,
                     code != 0 ? TR_ESTORE_RETRY : (int)TR_SINK_RETRY);
    assert_int_equal(f->h.ops->mark(f->h.lane, f->table, TR_EVENT_TABLE_SWEEP, 1, &f->h.err),
                     TR_ESTORE_RETRY);
    assert_non_null(strstr(f->h.err.text, "OOM"));
    redis_ask(f, "CONFIG SET maxmemory 0");
    add_rows(f, 2);
    assert_int_equal(harness_apply(&f->h, 0), 0);
    for (int i = 0; i < ROWS; i++)
        assert_int_equal(f->h.results[i].status, TR_SINK_APPLIED);
    assert_rows(f, 2);
}

/* What takes no writes can be read from, and emptied; nothing of it keeps a rebalance. */
static void a_server_that_takes_no_writes_is_loaded_and_dropped(void **state)
{
    struct fixture *f = *state;
    struct harness *h = &f->h;
    struct tr_sink_state loaded;
    struct tr_sink_table *tables[] = {f->table};
    static const char *const refusals[][2] = {{"CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"},
                                              {"SCRIPT FLUSH", "PING"},
                                              {"REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"}};
    add_rows(f, 1);
    assert_int_equal(harness_apply(h, 0), 0);
    redis_ask(f, "CONFIG SET maxmemory-policy noeviction");
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        redis_ask(f, refusals[i][0]);
        harness_load(h, &loaded);
        assert_true(loaded.marked);
        redis_ask(f, refusals[i][1]);
        harness_load(h, &loaded);
        assert_int_equal(h->sink->loaded, h->sink->main.sent); /* it takes the number again */
    }
    redis_ask(f, "CONFIG SET maxmemory 1");
    harness_load(h, &loaded);
    assert_int_equal(h->ops->drop(h->sink, tables, 1, &h->err), 0);
    redis_ask(f, "CONFIG SET maxmemory 0");
    assert_string_equal(redis_ask(f, "DBSIZE"), "0");
}

struct killer {
    struct fixture *f;
    atomic_bool stop;
};

/* Cuts every other client's connection again and again. */
static void *cut_connections(void *context)
{
    struct killer *killer = context;
    redisContext *redis = redisConnectUnix(killer->f->socket);
    while (!atomic_load(&killer->stop)) {
        freeReplyObject(redisCommand(redis, "CLIENT KILL TYPE normal"));
        pause_ms(7);
    }
    redisFree(redis);
    return NULL;
}

static void cut_connections_converge(void **state)
{
    struct fixture *f = *state;
    struct killer killer = {.f = f};
    pthread_t thread;
    int cuts = 0, version = 1;
    assert_int_equal(pthread_create(&thread, NULL, cut_connections, &killer), 0);
    for (int tries = 0; cuts < 5 && tries < 300; tries++) {
        add_rows(f, version);
        int code = harness_apply(&f->h, 0);
        assert_true(code == 0 || code == TR_ESTORE_RETRY);
        cuts += code != 0;
        version += code == 0;
    }
    atomic_store(&killer.stop, true);
    pthread_join(thread, NULL);
    assert_true(cuts > 0);
    add_rows(f, version);
    assert_int_equal(harness_apply(&f->h, 0), 0);
    redisFree(f->redis);
    f->redis = redisConnectUnix(f->socket);
    redis_ask(f, "SELECT 3");
    assert_rows(f, version);
}

static void a_loading_server_is_waited_for(void **state)
{
    struct fixture *f = *state;
    static struct harness second;
    add_rows(f, 1);
    assert_int_equal(harness_apply(&f->h, 0), 0);
    redis_ask(f, "SAVE");
    stop_server(f, SIGKILL);
    start_server(f, "400"); /* µs a key: a few seconds */
    int code = harness_try_open(&second, &tr_redis_sink_ops, &f->settings);
    assert_int_equal(code, TR_ESTORE_RETRY);
    assert_non_null(strstr(second.err.text, "LOADING"));
    tr_arena_done(&second.arena);
    int waits = 0;
    do {
        add_rows(f, 2);
        code = harness_apply(&f->h, 0);
        assert_true(code == 0 || code == TR_ESTORE_RETRY);
        waits += code != 0;
        pause_ms(code != 0 ? 50 : 0);
    } while (code != 0 && waits < 600);
    assert_true(waits > 1); /* the lost connection, then LOADING */
    redis_ask(f, "SELECT 3");
    assert_rows(f, 2);
}

static void an_emptied_server_is_noticed(void **state)
{
    struct fixture *f = *state;
    add_rows(f, 1);
    assert_int_equal(harness_apply(&f->h, 0), 0);
    stop_server(f, SIGKILL);
    start_server(f, "0");
    redis_ask(f, "SELECT 3");
    add_rows(f, 2);
    assert_int_equal(harness_apply(&f->h, 0), TR_ESTORE_RETRY);
    add_rows(f, 2);
    assert_int_equal(harness_apply(&f->h, 0), TR_ESTATE);
    assert_non_null(strstr(f->h.err.text, "reset"));
    assert_string_equal(redis_ask(f, "DBSIZE"), "0");
}

static void eviction_is_refused_without_ttl(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(f->h.ops->check(f->h.sink, &f->h.err), 0);
    redis_ask(f, "CONFIG SET maxmemory-policy volatile-lru");
    assert_int_equal(f->h.ops->check(f->h.sink, &f->h.err), TR_ECONFIG);
    assert_non_null(strstr(f->h.err.text, "volatile-lru"));
}

/* ---- keys -------------------------------------------------------------------------------------
 */

static struct tr_sink_table *table_with(struct fixture *f, const struct tr_shape *shape,
                                        const char *key, const char *ttl)
{
    static struct tr_node nodes[64];
    static size_t used;
    struct tr_node *map = &nodes[used++];
    *map = (struct tr_node){.type = TR_NODE_MAP};
    const char *pairs[][2] = {{"key", key}, {"ttl", ttl}};
    for (int i = 0; i < 2; i++) {
        if (pairs[i][1] == NULL)
            continue;
        struct tr_node *node = &nodes[used++];
        *node = (struct tr_node){
            .type = TR_NODE_SCALAR, .key = pairs[i][0], .text = pairs[i][1], .next = map->child};
        map->child = node;
    }
    struct tr_sink_table *table = &f->h.tables[f->h.table_count++];
    table->database = shape->database;
    table->table = shape->table;
    table->settings = map;
    tr_error_reset(&f->h.err);
    int code = f->h.ops->table(f->h.sink, table, shape, &f->h.err);
    return code == 0 ? table : NULL;
}

static void prefixes_are_no_patterns(void **state)
{
    struct fixture *f = *state;
    struct harness *h = &f->h;
    const char *keys[] = {"a[bc]*?\\^:{id}", "ab:{id}", "ac-x:{id}", "a%5B:{id}"};
    struct tr_sink_table *tables[4];
    const struct tr_shape *shapes[4];
    char name[24];
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof(name), "glob%d", i);
        shapes[i] = harness_shape(h, "shop", name, 1, "[" ID "]", "[\"id\"]");
        tables[i] = table_with(f, shapes[i], keys[i], NULL);
        assert_non_null(tables[i]);
        assert_int_equal(harness_one(h, tables[i], shapes[i], 5, "\"pk.id\":1", "{\"id\":1}"),
                         TR_SINK_APPLIED);
    }
    assert_string_equal(redis_ask(f, "EXISTS a[bc]*?\\^:1 ab:1 ac-x:1 a%%5B:1"), "4");
    assert_int_equal(h->ops->mark(h->lane, tables[0], TR_EVENT_TABLE_TRUNCATE, 9, &h->err), 0);
    assert_string_equal(redis_ask(f, "EXISTS ab:1 ac-x:1 a%%5B:1"), "3");
    assert_string_equal(redis_ask(f, "EXISTS a[bc]*?\\^:1"), "0");
}

static void keys_of_two_tables_never_meet(void **state)
{
    struct fixture *f = *state;
    struct harness *h = &f->h;
    const struct tr_shape *a = harness_shape(h, "shop", "a", 1, "[" ID "]", "[\"id\"]");
    const struct tr_shape *b = harness_shape(h, "shop", "b", 1, "[" ID "]", "[\"id\"]");
    assert_non_null(table_with(f, a, "row:{id}", NULL));
    const char *meeting[] = {"row:{id}", "row:x:{id}", "ro{id}", "{id}", "row:{id}:b"};
    for (size_t i = 0; i < sizeof(meeting) / sizeof(meeting[0]); i++) {
        assert_null(table_with(f, b, meeting[i], NULL));
        assert_int_equal(f->h.err.code, TR_ECONFIG);
        assert_non_null(strstr(f->h.err.text, "can't be told apart"));
    }
    assert_non_null(table_with(f, b, "rows:{id}", NULL));
}

/* A value of the source's may say anything. */
static void our_own_keys_are_not_overwritten(void **state)
{
    struct fixture *f = *state;
    struct harness *h = &f->h;
    struct tr_sink_state loaded;
    h->ops->lane_close(h->lane); /* anew: no other table beside one without a prefix */
    h->ops->close(h->sink);
    h->table_count = 0;
    memset(h->tables, 0, sizeof(h->tables));
    assert_int_equal(h->ops->open(&h->sink, &h->context, &h->err), 0);
    harness_load(h, &loaded);
    assert_int_equal(h->ops->lane_open(h->sink, 0, &h->lane, &h->err), 0);
    const struct tr_shape *shape = harness_shape(h, "shop", "n", 1, "[" NAME "]", "[\"name\"]");
    struct tr_sink_table *t = table_with(f, shape, "{name}", NULL);
    assert_non_null(t);
    const char *names[] = {"tailrace:store:harness:redis", "tailrace:v:{x}"};
    for (int i = 0; i < 2; i++) {
        char pk[96], data[96];
        snprintf(pk, sizeof(pk), "\"pk.name\":\"%s\"", names[i]);
        snprintf(data, sizeof(data), "{\"name\":\"%s\"}", names[i]);
        assert_int_equal(harness_one(h, t, shape, 1, pk, data), TR_SINK_POISON);
        assert_int_equal(harness_one(h, t, shape, 2, pk, NULL), TR_SINK_POISON);
    }
    assert_string_equal(redis_ask(f, "HGET tailrace:store:harness:redis pipeline"), "harness");
    assert_int_equal(
        harness_one(h, t, shape, 1, "\"pk.name\":\"tailrace:\\u0000*\"", "{\"name\":\"x\"}"),
        TR_SINK_APPLIED);
}

static void a_changed_key_is_never_guessed(void **state)
{
    struct fixture *f = *state;
    struct harness *h = &f->h;
    const struct tr_shape *by_id =
        harness_shape(h, "shop", "k", 1, "[" ID "," NAME "]", "[\"id\"]");
    const struct tr_shape *by_name =
        harness_shape(h, "shop", "k", 5, "[" ID "," NAME "]", "[\"name\"]");
    struct tr_sink_table *t = harness_table(h, by_id, NULL);
    const char *row = "{\"id\":1,\"name\":\"1\"}";
    assert_int_equal(harness_one(h, t, by_id, 2, "\"pk.id\":1", row), TR_SINK_APPLIED);
    assert_int_equal(harness_one(h, t, by_id, 3, "\"pk.name\":\"1\"", NULL), TR_SINK_POISON);
    assert_string_equal(redis_ask(f, "GET shop:k:1"), row);
    /* The newer key's first record: from here on it rules, and the older one's are refused. */
    assert_int_equal(
        harness_one(h, t, by_name, 6, "\"pk.name\":\"a\"", "{\"id\":1,\"name\":\"a\"}"),
        TR_SINK_APPLIED);
    assert_int_equal(harness_one(h, t, by_id, 7, "\"pk.id\":1", NULL), TR_SINK_POISON);
    assert_non_null(strstr(h->results[0].reason, "key has changed"));
    assert_string_equal(redis_ask(f, "GET shop:k:1"), row);
    assert_string_equal(redis_ask(f, "GET shop:k:a"), "{\"id\":1,\"name\":\"a\"}");
}

static void percent_encoding_keeps_rows_apart(void **state)
{
    struct fixture *f = *state;
    struct harness *h = &f->h;
    const struct tr_shape *shape =
        harness_shape(h, "shop", "p", 1, "[" ID "," NAME "]", "[\"id\",\"name\"]");
    struct tr_sink_table *t = harness_table(h, shape, NULL);
    const char *row = "{\"id\":-1,\"name\":\"50%:é\\n\"}";
    assert_int_equal(harness_one(h, t, shape, 2, "\"pk.id\":-1,\"pk.name\":\"50%:é\\n\"", row),
                     TR_SINK_APPLIED);
    assert_int_equal(harness_one(h, t, shape, 2, "\"pk.id\":-1,\"pk.name\":\"50%3Aé\\n\"", "{}"),
                     TR_SINK_APPLIED);
    redisReply *reply = redisCommand(f->redis, "GET %s", "shop:p:-1:50%25%3Aé\n");
    assert_string_equal(reply->str, row);
    freeReplyObject(reply);
}

static void ttl_is_for_row_and_version(void **state)
{
    struct fixture *f = *state;
    struct harness *h = &f->h;
    const struct tr_shape *shape = harness_shape(h, "shop", "ttl", 1, "[" ID "]", "[\"id\"]");
    struct tr_sink_table *t = table_with(f, shape, "cached:{id}", "300ms");
    assert_non_null(t);
    assert_int_equal(harness_one(h, t, shape, 5, "\"pk.id\":1", "{\"id\":1}"), TR_SINK_APPLIED);
    assert_int_equal(harness_one(h, t, shape, 6, "\"pk.id\":2", NULL), TR_SINK_APPLIED);
    assert_true(atoi(redis_ask(f, "PTTL cached:1")) > 0);
    assert_true(atoi(redis_ask(f, "PTTL tailrace:v:{cached:1}")) > 0);
    assert_true(atoi(redis_ask(f, "PTTL tailrace:v:{cached:2}")) > 50000);
    pause_ms(400);
    assert_string_equal(redis_ask(f, "EXISTS cached:1 tailrace:v:{cached:1}"), "0");
    assert_int_equal(harness_one(h, t, shape, 5, "\"pk.id\":1", "{\"id\":1}"), TR_SINK_APPLIED);
    assert_null(table_with(f, f->shape, "x:{id}", "9999999d"));
    assert_int_equal(h->err.code, TR_ECONFIG);
}

/* ---- floors -----------------------------------------------------------------------------------
 */

/* Two processes share the store: the one that lags behind must not lower the other's floor. */
static void floors_only_rise(void **state)
{
    struct fixture *f = *state;
    struct harness *h = &f->h;
    struct tr_sink_state loaded;
    assert_int_equal(harness_one(h, f->table, f->shape, 30, "\"pk.id\":1", "{\"id\":1}"),
                     TR_SINK_APPLIED);
    assert_int_equal(h->ops->mark(h->lane, f->table, TR_EVENT_TABLE_SWEEP, 30, &h->err), 0);
    assert_int_equal(h->ops->mark(h->lane, f->table, TR_EVENT_TABLE_TRUNCATE, 9, &h->err), 0);
    harness_load(h, &loaded);
    assert_int_equal(loaded.floors[0].version, 30);
    assert_string_equal(redis_ask(f, "GET shop:t:1"), "{\"id\":1}");
}

/* The runtime frees its tables before it closes the sink. */
static void closing_leaves_the_runtimes_tables_alone(void **state)
{
    struct fixture *f = *state;
    f->h.ops->lane_close(f->h.lane);
    f->h.lane = NULL;
    memset(f->h.tables, 0xff, sizeof(f->h.tables));
    f->h.ops->close(f->h.sink);
    assert_int_equal(*(const unsigned char *)&f->h.tables[0].user, 0xff);
    assert_int_equal(f->h.ops->open(&f->h.sink, &f->h.context, &f->h.err), 0);
}

static void error_replies_by_what_can_be_done(void **state)
{
    (void)state;
    static const struct {
        const char *reply;
        int code;
    } cases[] = {
        {"OOM command not allowed when used memory > 'maxmemory'.", TR_ESTORE_RETRY},
        {"ERR Error running script (call to f_7cf2): @user_script:3: @user_script: 3: -OOM command "
         "not allowed when used memory > 'maxmemory'.",
         TR_ESTORE_RETRY},
        {"ERR Error running script (call to f_7cf2): @user_script:1: WRONGTYPE Operation against a "
         "key holding the wrong kind of value",
         TR_EPOISON},
        {"ERR max number of clients reached", TR_ESTORE_RETRY},
        {"READONLY You can't write against a read only replica.", TR_ESTORE_RETRY},
        {"NOAUTH Authentication required.", TR_ESTORE},
        {"ERR unknown command 'EVALSHA'", TR_ESTORE},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct tr_error err = {0};
        redisReply reply = {.type = REDIS_REPLY_ERROR,
                            .str = (char *)(uintptr_t)cases[i].reply,
                            .len = strlen(cases[i].reply)};
        assert_int_equal(rd_reply_error(&reply, &err), cases[i].code);
        assert_non_null(strstr(err.text, cases[i].reply));
    }
}

static void urls(void **state)
{
    (void)state;
    static const char *const good[] = {"redis://h",          "redis://h:1/2",
                                       "redis://u@h:1",      "redis://[::1]",
                                       "redis://[::1]:6379", "redis://u@[fe80::1]:1/15",
                                       "unix:///s?db=2",     "unix:///a:b@c"};
    static const char *const bad[] = {
        "h:1",          "redis://",       "redis://h:0", "redis://h:x",           "redis://h/x",
        "redis://[::1", "redis://[::1]x", "rediss://h",  "redis://h/99999999999", "unix://",
        "redis://[]:1"};
    static const char *const with_password[] = {
        "redis://u:pw@h:1", "redis://:pw@h",   "redis://:p:/w@:@[fe80::1]:1/15",
        "redis://u:@h",     "rediss://u:pw@h", "u:pw@h"};
    struct tr_error err;
    struct redis_settings settings = {.user = "", .password = ""};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        tr_error_reset(&err);
        settings.url = good[i];
        if (rd_url_check(&settings, &err) != 0)
            fail_msg("%s is refused", good[i]);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        tr_error_reset(&err);
        settings.url = bad[i];
        if (rd_url_check(&settings, &err) != TR_ECONFIG)
            fail_msg("%s is taken", bad[i]);
    }
    for (size_t i = 0; i < sizeof(with_password) / sizeof(with_password[0]); i++) {
        tr_error_reset(&err);
        settings.url = with_password[i];
        assert_int_equal(rd_url_check(&settings, &err), TR_ECONFIG);
        assert_non_null(strstr(err.text, "redis.password_file"));
        assert_null(strstr(err.text, "w@"));
    }
}

/* ---- changed shapes ---------------------------------------------------------------------------
 */

static enum tr_sink_status write_as(struct fixture *f, struct tr_sink_table *t,
                                    const struct tr_shape *shape, int64_t version, const char *pk,
                                    const char *data)
{
    const struct tr_shape *newest = atomic_load(&t->newest);
    if (newest == NULL || newest->schema_id < shape->schema_id)
        atomic_store(&t->newest, shape);
    return harness_one(&f->h, t, shape, version, pk, data);
}

static void a_key_stays_itself_when_columns_change(void **state)
{
    struct fixture *f = *state;
    struct harness *h = &f->h;
    static const struct {
        const char *columns, *key, *pk;
    } shapes[] = {
        {"[" ID "," NAME "]", "[\"id\",\"name\"]", "\"pk.id\":7,\"pk.name\":\"x\""},
        /* A column before the key's; a wider number, another text. */
        {"[{\"name\":\"first\",\"type\":\"int\",\"nullable\":true},"
         "{\"name\":\"id\",\"type\":\"bigint\",\"nullable\":false},"
         "{\"name\":\"name\",\"type\":\"char\",\"nullable\":false,\"length\":9,\"charset\":"
         "\"latin1\"}]",
         "[\"id\",\"name\"]", "\"pk.id\":7,\"pk.name\":\"x\""},
        /* The key's columns in another order. */
        {"[" NAME "," ID "]", "[\"name\",\"id\"]", "\"pk.name\":\"x\",\"pk.id\":7"},
        /* One of them renamed. */
        {"[{\"name\":\"no\",\"type\":\"int\",\"nullable\":false}," NAME "]", "[\"no\",\"name\"]",
         "\"pk.no\":7,\"pk.name\":\"x\""},
    };
    const size_t count = sizeof(shapes) / sizeof(shapes[0]);
    const struct tr_shape *all[4];
    struct tr_sink_table *t = NULL;
    char row[32];
    for (size_t i = 0; i < count; i++) {
        all[i] = harness_shape(h, "shop", "ddl", (int64_t)i * 10, shapes[i].columns, shapes[i].key);
        t = t == NULL ? table_with(f, all[i], "ddl:{name}:{id}", NULL) : t;
        snprintf(row, sizeof(row), "{\"shape\":%zu}", i);
        assert_int_equal(write_as(f, t, all[i], (int64_t)i * 10 + 1, shapes[i].pk, row),
                         TR_SINK_APPLIED);
        assert_string_equal(redis_ask(f, "GET ddl:x:7"), row);
    }
    /* A replay brings the first shapes again, and the newest is known. */
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(write_as(f, t, all[i], 100, shapes[i].pk, "{}"), TR_SINK_APPLIED);
        assert_int_equal(write_as(f, t, all[i], 100, shapes[i].pk, NULL), TR_SINK_APPLIED);
        assert_string_equal(redis_ask(f, "EXISTS ddl:x:7"), "0");
    }
    assert_string_equal(redis_ask(f, "DBSIZE"),
                        "2"); /* no other key, only the marker of this one */
}

/* As DROP and CREATE make it: the newest shape rules, after a start too. */
static void a_new_key_replaces_the_old_one(void **state)
{
    struct fixture *f = *state;
    struct harness *h = &f->h;
    const struct tr_shape *by_id =
        harness_shape(h, "shop", "k", 1, "[" ID "," NAME "]", "[\"id\"]");
    const struct tr_shape *by_name =
        harness_shape(h, "shop", "k", 5, "[" ID "," NAME "]", "[\"name\"]");
    struct tr_sink_table *t = table_with(f, by_id, "k:{name}", NULL);
    const char *row = "{\"id\":1,\"name\":\"a\"}";
    /* The template is for the newer key: before that is known, it stops. */
    harness_add(h, t, by_id, 2, "\"pk.id\":1", row);
    assert_int_equal(harness_apply(h, 0), TR_ECONFIG);
    assert_int_equal(write_as(f, t, by_name, 6, "\"pk.name\":\"a\"", row), TR_SINK_APPLIED);
    assert_string_equal(redis_ask(f, "GET k:a"), row);
    assert_int_equal(write_as(f, t, by_id, 2, "\"pk.id\":1", row), TR_SINK_POISON);
    assert_non_null(strstr(h->results[0].reason, "key has changed"));
    assert_int_equal(write_as(f, t, by_name, 7, "\"pk.name\":\"a\"", NULL), TR_SINK_APPLIED);
    assert_string_equal(redis_ask(f, "EXISTS k:a"), "0");
}

static void other_texts_are_another_key(void **state)
{
    struct fixture *f = *state;
    struct harness *h = &f->h;
    static const char *const types[] = {
        "\"decimal\",\"length\":9,\"scale\":2",
        "\"decimal\",\"length\":9,\"scale\":4",
        "\"varbinary\",\"length\":9,\"charset\":\"binary\"",
        "\"varchar\",\"length\":9,\"charset\":\"utf8mb4\"",
        "\"timestamp\"",
        "\"datetime\"",
    };
    for (size_t i = 0; i + 1 < sizeof(types) / sizeof(types[0]); i += 2) {
        const struct tr_shape *shapes[2];
        char columns[160], name[16];
        snprintf(name, sizeof(name), "types%zu", i);
        for (size_t j = 0; j < 2; j++) {
            snprintf(columns, sizeof(columns), "[{\"name\":\"id\",\"nullable\":false,\"type\":%s}]",
                     types[i + j]);
            shapes[j] = harness_shape(h, "shop", name, (int64_t)j + 1, columns, "[\"id\"]");
        }
        struct tr_sink_table *t = harness_table(h, shapes[0], NULL);
        atomic_store(&t->newest, shapes[1]); /* which rules only from its first record on */
        assert_int_equal(write_as(f, t, shapes[0], 1, "\"pk.id\":1", "{}"), TR_SINK_APPLIED);
        assert_int_equal(write_as(f, t, shapes[1], 2, "\"pk.id\":1", "{}"), TR_SINK_APPLIED);
        assert_int_equal(write_as(f, t, shapes[0], 3, "\"pk.id\":1", "{}"), TR_SINK_POISON);
    }
}

/* ---- two processes ----------------------------------------------------------------------------
 */

/* A process that lost its partitions may write late, and knows no floor. */
static void a_late_write_does_not_undo_a_floor(void **state)
{
    struct fixture *f = *state;
    struct harness *h = &f->h;
    const char *row = "{\"id\":1}";
    assert_int_equal(harness_one(h, f->table, f->shape, 5, "\"pk.id\":1", row), TR_SINK_APPLIED);
    assert_int_equal(harness_one(h, f->table, f->shape, 3, "\"pk.id\":2", NULL), TR_SINK_APPLIED);
    assert_int_equal(h->ops->mark(h->lane, f->table, TR_EVENT_TABLE_TRUNCATE, 90, &h->err), 0);
    assert_int_equal(harness_one(h, f->table, f->shape, 60, "\"pk.id\":1", row), TR_SINK_STALE);
    assert_int_equal(harness_one(h, f->table, f->shape, 60, "\"pk.id\":2", row), TR_SINK_STALE);
    assert_string_equal(redis_ask(f, "EXISTS shop:t:1 shop:t:2"), "0");
    assert_string_equal(redis_ask(f, "GET tailrace:v:{shop:t:2}"), "0000000000000089d");
    assert_true(atoi(redis_ask(f, "PTTL tailrace:v:{shop:t:1}")) > 50000);
    assert_int_equal(harness_one(h, f->table, f->shape, 91, "\"pk.id\":1", row), TR_SINK_APPLIED);
    assert_string_equal(redis_ask(f, "GET shop:t:1"), row);
}

struct second {
    struct tr_sink_context context;
    struct tr_sink *sink;
    struct tr_sink_table table;
    struct tr_sink_state state;
};

/* Another process, of that pipeline and with that template for shop.t, has looked at the store. */
static void open_second(struct fixture *f, struct second *second, const char *pipeline,
                        const struct tr_node *settings)
{
    *second = (struct second){
        .context = {.pipeline = pipeline, .consumer = "redis", .settings = &f->settings},
        .table = {.database = f->shape->database, .table = f->shape->table, .settings = settings}};
    assert_int_equal(f->h.ops->open(&second->sink, &second->context, &f->h.err), 0);
    assert_int_equal(f->h.ops->table(second->sink, &second->table, f->shape, &f->h.err), 0);
    second->state.arena = &f->h.arena;
    assert_int_equal(f->h.ops->load(second->sink, &second->state, &f->h.err), 0);
}

static int claim_second(struct fixture *f, struct second *second, const char *id)
{
    struct tr_sink_state *mine = &second->state;
    mine->pipeline = second->context.pipeline;
    mine->pipeline_id = id;
    mine->consumer = second->context.consumer;
    mine->generation = mine->format = 1;
    tr_error_reset(&f->h.err);
    return f->h.ops->claim(second->sink, mine, &f->h.err);
}

static void another_pipelines_rows_are_noticed(void **state)
{
    struct fixture *f = *state;
    struct harness *h = &f->h;
    struct tr_node key = {.type = TR_NODE_SCALAR, .key = "key", .text = "mine:{id}"};
    const struct tr_node settings = {.type = TR_NODE_MAP, .child = &key};
    struct second second;
    assert_int_equal(harness_one(h, f->table, f->shape, 5, "\"pk.id\":1", "{}"), TR_SINK_APPLIED);
    open_second(f, &second, "apart", &settings);
    assert_int_equal(claim_second(f, &second, "1"), 0); /* no key is both's */
    h->ops->close(second.sink);
    open_second(f, &second, "other", NULL);
    assert_false(second.state.marked);
    assert_int_equal(claim_second(f, &second, "1"), TR_ESTATE);
    assert_non_null(strstr(h->err.text, "shop.t"));
    assert_non_null(strstr(h->err.text, "reset --to beginning --drop"));
    tr_error_reset(&h->err);
    assert_int_equal(h->ops->check(second.sink, &h->err), TR_ESTATE);
    assert_string_equal(redis_ask(f, "EXISTS tailrace:store:other:redis"), "0");
    /* What the message says to do. */
    struct tr_sink_table *tables[] = {&second.table};
    second.state.replace = true;
    assert_int_equal(claim_second(f, &second, "1"), TR_ESTATE); /* a reset without --drop */
    assert_int_equal(h->ops->drop(second.sink, tables, 1, &h->err), TR_OK);
    assert_int_equal(claim_second(f, &second, "1"), 0);
    assert_string_equal(redis_ask(f, "EXISTS shop:t:1 tailrace:v:{shop:t:1}"), "0");
    assert_string_equal(redis_ask(f, "HGET tailrace:store:other:redis pipeline_id"), "1");
    h->ops->close(second.sink);
}

static void the_second_to_claim_a_new_store_forgets_nothing(void **state)
{
    struct fixture *f = *state;
    struct second first, later, foreign;
    open_second(f, &first, "twice", NULL);
    open_second(f, &later, "twice", NULL);
    open_second(f, &foreign, "twice", NULL);
    assert_int_equal(claim_second(f, &first, "1"), 0);
    redis_ask(f, "HSET tailrace:store:twice:redis progress:[\"t\",\"i\",0] 7");
    redis_ask(f, "HSET tailrace:store:twice:redis floor:[\"shop\",\"t\"] 9");
    assert_int_equal(claim_second(f, &later, "1"), 0);
    assert_int_equal(claim_second(f, &foreign, "2"), TR_ESTATE);
    f->h.ops->load(later.sink, &later.state, &f->h.err);
    assert_int_equal(later.state.progress_count, 1);
    assert_int_equal(later.state.floor_count, 1);
    assert_string_equal(later.state.pipeline_id, "1");
    f->h.ops->close(first.sink);
    f->h.ops->close(later.sink);
    f->h.ops->close(foreign.sink);
}

/* Many are of no use: the oldest go. The process's own two, and those of others that live, stay. */
static void numbers_of_killed_processes_are_forgotten(void **state)
{
    struct fixture *f = *state;
    struct harness *h = &f->h;
    struct tr_sink_state loaded;
    assert_int_equal(harness_one(h, f->table, f->shape, 5, "\"pk.id\":1", "{}"), TR_SINK_APPLIED);
    int others = atoi(redis_ask(f, "HLEN tailrace:store:harness:redis")) - 2;
    redisReply *reply = redisCommand(
        f->redis, "EVAL %s 1 tailrace:store:harness:redis",
        "for i=1,1100 do redis.call('HSET',KEYS[1],'lane:'..i,1600000000000+i) end return 1");
    assert_int_equal(reply->integer, 1);
    freeReplyObject(reply);
    harness_load(h, &loaded);
    assert_int_equal(atoi(redis_ask(f, "HLEN tailrace:store:harness:redis")), others + 1000);
    assert_string_equal(redis_ask(f, "HEXISTS tailrace:store:harness:redis lane:102"), "0");
    assert_string_equal(redis_ask(f, "HEXISTS tailrace:store:harness:redis lane:103"), "1");
    /* Of late ones none is forgotten: their processes may live. */
    reply = redisCommand(f->redis, "EVAL %s 1 tailrace:store:harness:redis",
                         "local t=redis.call('TIME')[1] for i=1,1100 do "
                         "redis.call('HSET',KEYS[1],'lane:'..i,(t-86400*6)*1000) end return 1");
    freeReplyObject(reply);
    harness_load(h, &loaded);
    assert_int_equal(atoi(redis_ask(f, "HLEN tailrace:store:harness:redis")), others + 1102);
    reply = redisCommand(f->redis, "EVAL %s 1 tailrace:store:harness:redis",
                         "for i=1,1100 do redis.call('HDEL',KEYS[1],'lane:'..i) end return 1");
    freeReplyObject(reply);
    redis_ask(f, "CLIENT KILL TYPE normal SKIPME yes");
    harness_add(h, f->table, f->shape, 6, "\"pk.id\":1", "{}");
    assert_int_equal(harness_apply(h, 0), TR_ESTORE_RETRY);
    assert_int_equal(harness_one(h, f->table, f->shape, 6, "\"pk.id\":1", "{}"), TR_SINK_APPLIED);
    h->ops->lane_close(h->lane);
    assert_int_equal(atoi(redis_ask(f, "HLEN tailrace:store:harness:redis")), others + 1);
    assert_int_equal(h->ops->lane_open(h->sink, 0, &h->lane, &h->err), 0);
}

int main(void)
{
#define ON_A_SERVER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        ON_A_SERVER(a_full_server_is_waited_for),
        ON_A_SERVER(a_server_that_takes_no_writes_is_loaded_and_dropped),
        ON_A_SERVER(cut_connections_converge),
        ON_A_SERVER(a_loading_server_is_waited_for),
        ON_A_SERVER(an_emptied_server_is_noticed),
        ON_A_SERVER(eviction_is_refused_without_ttl),
        ON_A_SERVER(prefixes_are_no_patterns),
        ON_A_SERVER(keys_of_two_tables_never_meet),
        ON_A_SERVER(our_own_keys_are_not_overwritten),
        ON_A_SERVER(a_changed_key_is_never_guessed),
        ON_A_SERVER(percent_encoding_keeps_rows_apart),
        ON_A_SERVER(ttl_is_for_row_and_version),
        ON_A_SERVER(floors_only_rise),
        ON_A_SERVER(closing_leaves_the_runtimes_tables_alone),
        cmocka_unit_test(error_replies_by_what_can_be_done),
        cmocka_unit_test(urls),
        ON_A_SERVER(a_key_stays_itself_when_columns_change),
        ON_A_SERVER(a_new_key_replaces_the_old_one),
        ON_A_SERVER(other_texts_are_another_key),
        ON_A_SERVER(a_late_write_does_not_undo_a_floor),
        ON_A_SERVER(another_pipelines_rows_are_noticed),
        ON_A_SERVER(the_second_to_claim_a_new_store_forgets_nothing),
        ON_A_SERVER(numbers_of_killed_processes_are_forgotten),
    };
    signal(SIGPIPE, SIG_IGN); /* as the programs do */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
