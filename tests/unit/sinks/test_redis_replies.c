/* test_redis_replies.c - a server that is no Redis, and what is repeated of what a Redis says. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness.h"
#include "redis_sink.h"
#include "store.h"

struct babbler {
    int listener;
    const char *answer;
};

/* Answers each request of one connection with the same. */
static void *babble(void *context)
{
    const struct babbler *babbler = context;
    char request[4096];
    int peer = accept(babbler->listener, NULL, NULL);
    while (peer >= 0 && read(peer, request, sizeof(request)) > 0) {
        if (write(peer, babbler->answer, strlen(babbler->answer)) < 0)
            break;
    }
    close(peer);
    return NULL;
}

static void *hang_up(void *context)
{
    const struct babbler *babbler = context;
    char request[64];
    int peer = accept(babbler->listener, NULL, NULL);
    (void)!read(peer, request, sizeof(request));
    close(peer);
    return NULL;
}

static void what_is_no_redis_ends_it(void **state)
{
    (void)state;
    static const char *const answers[] = {"HTTP/1.1 400 Bad Request\r\n\r\n", "+OK\r\n", ":1\r\n",
                                          "$-1\r\n"};
    struct redis_settings settings = {
        .user = "", .password = "", .connect_timeout_ms = 1000, .timeout_ms = 5000};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char url[160];
    snprintf(address.sun_path, sizeof(address.sun_path), "/tmp/tailrace-test-%d", (int)getpid());
    snprintf(url, sizeof(url), "unix://%s", address.sun_path);
    settings.url = url;
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        static struct harness h;
        struct babbler babbler = {.listener = socket(AF_UNIX, SOCK_STREAM, 0),
                                  .answer = answers[i]};
        pthread_t thread;
        unlink(address.sun_path);
        assert_int_equal(bind(babbler.listener, (struct sockaddr *)&address, sizeof(address)), 0);
        assert_int_equal(listen(babbler.listener, 1), 0);
        assert_int_equal(pthread_create(&thread, NULL, babble, &babbler), 0);
        assert_int_equal(harness_try_open(&h, &tr_redis_sink_ops, &settings), TR_ESTORE);
        assert_non_null(strstr(h.err.text, "redis: "));
        pthread_join(thread, NULL);
        close(babbler.listener);
        tr_arena_done(&h.arena);
    }
    unlink(address.sun_path);
}

/* The error of an open by this URL; the server, if any, hangs up at the first request. */
static const char *error_at(const char *url, int listener)
{
    static struct harness h;
    struct redis_settings settings = {.user = "me",
                                      .password = "s3cret",
                                      .connect_timeout_ms = 1000,
                                      .timeout_ms = 5000,
                                      .url = url};
    struct babbler babbler = {.listener = listener, .answer = ""};
    pthread_t thread;
    if (listener >= 0)
        assert_int_equal(pthread_create(&thread, NULL, hang_up, &babbler), 0);
    assert_int_equal(harness_try_open(&h, &tr_redis_sink_ops, &settings), TR_ESTORE_RETRY);
    if (listener >= 0)
        pthread_join(thread, NULL);
    tr_arena_done(&h.arena);
    tr_arena_done(&h.batch_arena);
    assert_null(strstr(h.err.text, "s3cret"));
    return h.err.text;
}

static void errors_name_the_server(void **state)
{
    (void)state;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char url[160], expected[200];
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(address.sun_path, sizeof(address.sun_path), "/tmp/tailrace-test-%d", (int)getpid());
    snprintf(url, sizeof(url), "unix://%s?db=3", address.sun_path);
    snprintf(expected, sizeof(expected), "redis: cannot connect to %s: ", address.sun_path);
    assert_non_null(strstr(error_at(url, -1), expected));
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listener, 1), 0);
    snprintf(expected, sizeof(expected), "redis: connection to %s lost: ", address.sun_path);
    assert_non_null(strstr(error_at(url, listener), expected));
    close(listener);
    unlink(address.sun_path);
    assert_non_null(strstr(error_at("redis://127.0.0.1:1/0", -1), "connect to 127.0.0.1:1: "));
    assert_non_null(strstr(error_at("redis://[::1]:1", -1), "connect to [::1]:1: "));
}

static void errors_do_not_quote_rows(void **state)
{
    (void)state;
    static char text[] = "ERR unknown command 'EVALSHA', with args beginning with: 'f_7' '2' "
                         "'shop:t:secret' ";
    struct tr_error err = {0};
    redisReply reply = {.type = REDIS_REPLY_ERROR, .str = text, .len = strlen(text)};
    assert_int_equal(rd_reply_error(&reply, &err), TR_ESTORE);
    assert_string_equal(err.text, "redis: ERR unknown command 'EVALSHA'");
}

static void errors_name_the_remedy(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"WRONGPASS invalid username-password pair or user is disabled.",
         "; check redis.user and its password"},
        {"NOAUTH Authentication required.", "; check redis.user and its password"},
        {"NOPERM this user has no permissions to run the 'evalsha' command", "EVALSHA, GET, SET"},
        {"ERR Error running script (call to f_7): @user_script:1: NOPERM No permissions to access "
         "a key",
         "on the tables' keys and on tailrace:*"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct tr_error err = {0};
        redisReply reply = {.type = REDIS_REPLY_ERROR,
                            .str = (char *)(uintptr_t)cases[i][0],
                            .len = strlen(cases[i][0])};
        assert_int_equal(rd_reply_error(&reply, &err), TR_ESTORE);
        assert_non_null(strstr(err.text, cases[i][0]));
        assert_non_null(strstr(err.text, cases[i][1]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_no_redis_ends_it),
        cmocka_unit_test(errors_name_the_server),
        cmocka_unit_test(errors_do_not_quote_rows),
        cmocka_unit_test(errors_name_the_remedy),
    };
    signal(SIGPIPE, SIG_IGN); /* as the programs do */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
