/*
 * test_elasticsearch_bulk.c - bodies of bulks, and what becomes of answers to a whole request.
 *
 * A small server in a thread plays the part that a real one does not play on demand: it refuses any
 * bulk that has a bad row in it as a whole, or is busy.
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "apply.h"
#include "bulk.h"

#define RECORDS 1000

/* ---- the server --------------------------------------------------------------------------------
 */

static struct {
    int listener;
    pthread_t thread;
    int refusal;       /* the status for a bulk with a row named "bad" */
    atomic_int busy;   /* answers 503 to so many bulks first */
    atomic_int bulks;  /* how many came */
    atomic_int always; /* a status for everything; 0 = none */
} server;

/* A whole request: the body's place in `text`; 0 = the client has gone. */
static size_t read_request(int fd, struct tr_buf *text, size_t *body)
{
    size_t wanted = 0;
    tr_buf_reset(text);
    for (;;) {
        char *to = tr_buf_reserve(text, 65536);
        ssize_t got = read(fd, to, 65535);
        if (got <= 0)
            return 0;
        text->length += (size_t)got;
        text->data[text->length] = '\0';
        char *end = strstr(text->data, "\r\n\r\n");
        if (end == NULL)
            continue;
        const char *length = strcasestr(text->data, "content-length: ");
        *body = (size_t)(end + 4 - text->data);
        wanted = *body + (length != NULL && length < end ? (size_t)atol(length + 16) : 0);
        if (text->length >= wanted)
            return wanted;
    }
}

static void answer(int fd, int status, const char *body)
{
    struct tr_buf reply;
    tr_buf_init(&reply, 1 << 20);
    tr_buf_printf(
        &reply, "HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
        status, strlen(body), body);
    assert_int_equal(write(fd, reply.data, reply.length), reply.length);
    tr_buf_done(&reply);
}

static void answer_items(int fd, const char *body)
{
    struct tr_buf reply;
    tr_buf_init(&reply, 1 << 20);
    tr_buf_printf(&reply, "{\"errors\":false,\"took\":1,\"items\":[");
    const char *comma = "";
    for (const char *line = body; *line != '\0'; line = strchr(line, '\n') + 1) {
        bool update = strncmp(line, "{\"update\":", 10) == 0;
        if (!update && strncmp(line, "{\"index\":", 9) != 0)
            continue;
        tr_buf_printf(&reply, "%s{\"%s\":{\"status\":200}}", comma, update ? "update" : "index");
        comma = ",";
    }
    tr_buf_append(&reply, "]}", 3);
    answer(fd, 200, reply.data);
    tr_buf_done(&reply);
}

static void serve(int fd, struct tr_buf *text)
{
    size_t body;
    while (read_request(fd, text, &body) > 0) {
        if (atomic_load(&server.always) != 0) {
            answer(fd, atomic_load(&server.always),
                   "{\"error\":{\"type\":\"security_exception\",\"reason\":\"who are you\"}}");
            continue;
        }
        if (strstr(text->data, "/_bulk") == NULL) {
            answer(fd, 404, "{}");
            continue;
        }
        atomic_fetch_add(&server.bulks, 1);
        if (atomic_load(&server.busy) > 0) {
            atomic_fetch_sub(&server.busy, 1);
            answer(fd, 503, "{\"error\":{\"type\":\"busy\",\"reason\":\"later\"}}");
        } else if (strstr(text->data + body, "\"bad\"") != NULL) {
            answer(fd, server.refusal, "{\"error\":{\"type\":\"t\",\"reason\":\"no\"}}");
        } else {
            answer_items(fd, text->data + body);
        }
    }
    close(fd);
}

static void *run_server(void *unused)
{
    struct tr_buf text;
    tr_buf_init(&text, 16 << 20);
    int fd;
    while ((fd = accept(server.listener, NULL, NULL)) >= 0)
        serve(fd, &text);
    tr_buf_done(&text);
    return unused;
}

static int start_server(char *url, size_t size)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof(address);
    server.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(server.listener, (struct sockaddr *)&address, length) != 0 ||
        listen(server.listener, 8) != 0 ||
        getsockname(server.listener, (struct sockaddr *)&address, &length) != 0)
        return -1;
    snprintf(url, size, "http://127.0.0.1:%d", ntohs(address.sin_port));
    return pthread_create(&server.thread, NULL, run_server, NULL);
}

/* ---- a lane on it ------------------------------------------------------------------------------
 */

static char url[64];
static const char *const urls[] = {url};
static struct tr_es_settings settings;
static struct tr_sink sink;
static struct tr_sink_context context = {.pipeline = "p", .consumer = "elasticsearch"};
static struct tr_sink_lane *lane;
static struct tr_error err;
static struct tr_arena arena;
static struct tr_es_table table;
static struct tr_sink_table source;
static struct tr_shape shape;
static struct tr_sink_record records[RECORDS];
static struct tr_sink_result results[RECORDS];
static char keys[RECORDS][64];

static int setup(void **state)
{
    (void)state;
    memset(&server, 0, sizeof(server));
    if (start_server(url, sizeof(url)) != 0)
        return -1;
    settings.server =
        (struct tr_es_server){.urls = {urls, 1}, .connect_timeout_ms = 5000, .timeout_ms = 20000};
    sink = (struct tr_sink){.context = &context,
                            .settings = &settings,
                            .state_index = "tailrace-p-e",
                            .body_bytes_max = 1 << 20,
                            .marker = {true, 1, 1}};
    pthread_mutex_init(&sink.lock, NULL);
    tr_arena_init(&arena, 1 << 16, 0);
    tr_error_reset(&err);
    table = (struct tr_es_table){
        .source = &source,
        .alias = "a",
        .path = "/a",
        .index_action = TR_SLICE("{\"index\":{\"_index\":\"a\",\"version\":"),
        .delete_action = TR_SLICE("{\"delete\":{\"_index\":\"a\",\"version\":")};
    source.user = &table;
    int rc = tr_es_lane_open(&sink, 0, &lane, &err);
    if (rc == 0)
        lane->ready = &shape; /* as if its index were there */
    return rc;
}

static int teardown(void **state)
{
    (void)state;
    tr_es_lane_close(lane);
    shutdown(server.listener, SHUT_RDWR);
    pthread_join(server.thread, NULL);
    close(server.listener);
    tr_arena_done(&arena);
    pthread_mutex_destroy(&sink.lock);
    return 0;
}

static int apply(const size_t *bad, size_t bad_count)
{
    for (size_t i = 0; i < RECORDS; i++) {
        snprintf(keys[i], sizeof(keys[i]), "{\"database\":\"d\",\"table\":\"t\",\"pk.i\":%zu}", i);
        records[i] = (struct tr_sink_record){.table = &source,
                                             .shape = &shape,
                                             .version = 5,
                                             .key = tr_slice_of(keys[i]),
                                             .data = TR_SLICE("{\"name\":\"good\"}")};
    }
    for (size_t i = 0; i < bad_count; i++)
        records[bad[i]].data = TR_SLICE("{\"name\":\"bad\"}");
    const struct tr_sink_batch batch = {.records = records, .count = RECORDS, .arena = &arena};
    memset(results, 0xff, sizeof(results));
    return tr_es_apply(lane, &batch, results, &err);
}

static void assert_only_bad(const size_t *bad, size_t bad_count, const char *reason)
{
    for (size_t i = 0; i < RECORDS; i++) {
        bool is_bad = false;
        for (size_t b = 0; b < bad_count; b++)
            is_bad = is_bad || bad[b] == i;
        assert_int_equal(results[i].status, is_bad ? TR_SINK_POISON : TR_SINK_APPLIED);
        if (is_bad)
            assert_non_null(strstr(results[i].reason, reason));
    }
}

/* ---- tests -------------------------------------------------------------------------------------
 */

static void a_refused_bulk_is_searched_for_the_row(void **state)
{
    (void)state;
    const size_t bad[] = {0, 1, 500, 999};
    server.refusal = 400;
    assert_int_equal(apply(bad, 4), 0);
    assert_only_bad(bad, 4, "t: no");
    assert_true(atomic_load(&server.bulks) < 120);
    server.refusal = 413;
    assert_int_equal(apply(bad, 4), 0);
    assert_only_bad(bad, 4, "larger than the server takes");
}

static void a_busy_server_is_for_the_caller_to_wait_for(void **state)
{
    (void)state;
    atomic_store(&server.busy, 1);
    assert_int_equal(apply(NULL, 0), TR_ESTORE_RETRY);
    assert_non_null(strstr(err.text, "busy: later"));
    tr_error_reset(&err);
    assert_int_equal(apply(NULL, 0), 0);
    assert_only_bad(NULL, 0, "");
}

/* Told at once, naming what to look at, and never the secret. */
static void a_wrong_password_stops(void **state)
{
    (void)state;
    settings.server.user = "elastic";
    settings.server.password = "topsecret";
    tr_es_lane_close(lane);
    assert_int_equal(tr_es_lane_open(&sink, 0, &lane, &err), 0);
    lane->ready = &shape;
    atomic_store(&server.always, 401);
    assert_int_equal(apply(NULL, 0), TR_ESTORE);
    assert_non_null(strstr(err.text, "elasticsearch.user"));
    assert_null(strstr(err.text, "topsecret"));
    tr_error_reset(&err);
    atomic_store(&server.always, 403);
    assert_int_equal(apply(NULL, 0), TR_ESTORE);
    assert_non_null(
        strstr(err.text, "read, write, create_index and manage on its tables' indices"));
    tr_error_reset(&err);
    struct tr_es_client client;
    settings.server.api_key = "abc";
    assert_int_equal(tr_es_client_init(&client, &settings.server, &err), TR_ECONFIG);
    tr_es_client_done(&client);
    settings.server.api_key = "";
}

static void bodies_are_as_documented(void **state)
{
    (void)state;
    struct tr_buf body, scratch;
    struct tr_sink_record rec = {.table = &source,
                                 .version = 81,
                                 .key = TR_SLICE("{\"database\":\"d\",\"table\":\"t\","
                                                 "\"pk.i\":7}"),
                                 .data = TR_SLICE("{\"i\":7,\n\t\"s\":\"a\\n b\"}")};
    tr_buf_init(&body, 1000);
    tr_buf_init(&scratch, 1000);
    assert_null(tr_es_bulk_put(&body, &rec, &scratch));
    rec.remove = true;
    rec.version = 82;
    assert_null(tr_es_bulk_put(&body, &rec, &scratch));
    tr_buf_append_char(&body, '\0');
    assert_string_equal(body.data,
                        "{\"index\":{\"_index\":\"a\",\"version\":81,\"_id\":\"7\"}}\n"
                        "{\"i\":7,\"s\":\"a\\n b\"}\n"
                        "{\"delete\":{\"_index\":\"a\",\"version\":82,\"_id\":\"7\"}}\n");
    size_t length = body.length;
    rec.version = -1;
    assert_non_null(tr_es_bulk_put(&body, &rec, &scratch));
    rec.version = TR_VERSION_MAX + 1;
    assert_non_null(tr_es_bulk_put(&body, &rec, &scratch));
    rec = (struct tr_sink_record){.table = &source, .key = rec.key};
    assert_non_null(tr_es_bulk_put(&body, &rec, &scratch));
    assert_int_equal(body.length, length);
    tr_buf_reset(&body);
    tr_es_bulk_action(&body, "index", "shop.a");
    tr_buf_append_char(&body, '\0');
    assert_string_equal(body.data, "{\"index\":{\"_index\":\"shop.a\",\"version_type\":"
                                   "\"external_gte\",\"version\":");
    tr_buf_done(&body);
    tr_buf_done(&scratch);
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(a_refused_bulk_is_searched_for_the_row),
        CASE(a_busy_server_is_for_the_caller_to_wait_for),
        CASE(a_wrong_password_stops),
        CASE(bodies_are_as_documented),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
