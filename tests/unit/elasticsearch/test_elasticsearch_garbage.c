/* test_elasticsearch_garbage.c - a server that is no Elasticsearch ends the process with a word on
 * the store, not as a bug of ours. */
#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "elasticsearch.h"

#define OPS tr_elasticsearch_sink_ops

struct babbler {
    int listener;
    pthread_t thread;
    const char *answer;
    char url[64];
    struct tr_es_settings settings;
    const char *urls[1];
};

/* Answers the request of each connection with the same. */
static void *babble(void *context)
{
    const struct babbler *b = context;
    char request[4096];
    for (int peer; (peer = accept(b->listener, NULL, NULL)) >= 0; close(peer)) {
        if (read(peer, request, sizeof(request)) > 0)
            (void)!write(peer, b->answer, strlen(b->answer));
    }
    return NULL;
}

static void start(struct babbler *b, const char *answer)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof(address);
    *b = (struct babbler){.listener = socket(AF_INET, SOCK_STREAM, 0), .answer = answer};
    assert_int_equal(bind(b->listener, (struct sockaddr *)&address, length), 0);
    assert_int_equal(listen(b->listener, 8), 0);
    assert_int_equal(getsockname(b->listener, (struct sockaddr *)&address, &length), 0);
    snprintf(b->url, sizeof(b->url), "http://127.0.0.1:%d", ntohs(address.sin_port));
    b->urls[0] = b->url;
    b->settings.server =
        (struct tr_es_server){.urls = {b->urls, 1}, .connect_timeout_ms = 5000, .timeout_ms = 5000};
    assert_int_equal(pthread_create(&b->thread, NULL, babble, b), 0);
}

static void stop(struct babbler *b)
{
    shutdown(b->listener, SHUT_RDWR);
    pthread_join(b->thread, NULL);
    close(b->listener);
}

/* Opens a sink on it, loads and checks; the first failure, which names the store. */
static void assert_store_is_blamed(const char *answer)
{
    struct babbler b;
    struct tr_error err = {0};
    struct tr_sink *sink = NULL;
    struct tr_sink_state state = {0};
    struct tr_arena arena;
    char text[1024];
    start(&b, answer);
    const struct tr_sink_context context = {
        .pipeline = "p", .consumer = "elasticsearch", .settings = &b.settings};
    tr_arena_init(&arena, 4096, 0);
    state.arena = &arena;
    int rc = OPS.open(&sink, &context, &err);
    if (rc == 0)
        rc = OPS.load(sink, &state, &err);
    tr_error_format(&err, text, sizeof(text));
    if (rc != TR_ESTORE || tr_error_exit_code(rc) != 5)
        fail_msg("%s gives %s: %s", answer, tr_error_name(rc), text);
    if (strstr(text, "elasticsearch") == NULL && strstr(text, "127.0.0.1") == NULL)
        fail_msg("%s names no store", text);
    OPS.close(sink);
    tr_arena_done(&arena);
    stop(&b);
}

static void garbage_blames_the_store(void **state)
{
    (void)state;
#define HTTP "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
    static const char *const answers[] = {
        HTTP,
        HTTP "<html>It works!</html>",
        HTTP "[]",
        HTTP "17",
        HTTP "{\"_source\":17}",
        HTTP "{\"_source\":{\"kind\":\"marker\"",
        "-ERR unknown command 'GET'\r\n",
        "HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n<html>",
    };
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++)
        assert_store_is_blamed(answers[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(garbage_blames_the_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
