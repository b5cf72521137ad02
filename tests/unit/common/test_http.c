/*
 * test_http.c - our client against our server, and against a small one of raw replies, which can
 * do what ours doesn't: show the request, drop the connection, reply too much or never.
 */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "cmocka_all.h"
#include "http_client.h"
#include "http_server.h"

#define REQUEST_BYTES_MAX 8192

static struct tr_error err;
static struct tr_buf reply;

static int begin(void **state)
{
    (void)state;
    tr_error_reset(&err);
    tr_buf_init(&reply, 1 << 20);
    return 0;
}

static int end(void **state)
{
    (void)state;
    tr_buf_done(&reply);
    return 0;
}

static struct tr_http_config config_for(const char *url)
{
    return (struct tr_http_config){
        .url = url,
        .user = "",
        .authorization = "",
        .ca_file = "",
        .connect_timeout_ms = 2000,
        .timeout_ms = 2000,
        .reply_bytes_max = 1000,
    };
}

static struct tr_http_client *client_for(const struct tr_http_config *config)
{
    struct tr_http_client *client = NULL;
    if (tr_http_client_new(&client, config, &err) != 0)
        fail_msg("%s", err.text);
    return client;
}

static bool reply_is(const char *text)
{
    return tr_slice_equal((struct tr_slice){reply.data, reply.length}, tr_slice_of(text));
}

/* A server of raw bytes: takes one connection after another, each for a fixed number of requests,
 * and keeps the last request's text. */
struct raw {
    pthread_t thread;
    int fd;
    int port;
    char url[64];
    const char *answer; /* "" = close without one, NULL = keep silent until stopped */
    int connections;    /* to take */
    int per_connection; /* requests */
    pthread_mutex_t lock;
    char request[REQUEST_BYTES_MAX]; /* guarded by lock */
    char shown[REQUEST_BYTES_MAX];   /* the test's copy of it */
    int wait[2];                     /* a pipe whose closing ends the silence */
};

/* Reads one request with the body that its Content-Length tells. False at the end. */
static bool raw_read(struct raw *raw, int fd)
{
    char text[REQUEST_BYTES_MAX];
    size_t length = 0;
    for (;;) {
        ssize_t got = read(fd, text + length, sizeof(text) - 1 - length);
        if (got <= 0)
            return false;
        length += (size_t)got;
        text[length] = '\0';
        const char *body = strstr(text, "\r\n\r\n");
        const char *size = strstr(text, "Content-Length: ");
        if (body != NULL && strlen(body + 4) >= (size != NULL ? strtoul(size + 16, NULL, 10) : 0))
            break;
    }
    pthread_mutex_lock(&raw->lock);
    memcpy(raw->request, text, length + 1);
    pthread_mutex_unlock(&raw->lock);
    return true;
}

/* The last request, once its reply has arrived. */
static const char *raw_request(struct raw *raw)
{
    pthread_mutex_lock(&raw->lock);
    memcpy(raw->shown, raw->request, sizeof(raw->shown));
    pthread_mutex_unlock(&raw->lock);
    return raw->shown;
}

static void *raw_run(void *argument)
{
    struct raw *raw = argument;
    for (int i = 0; i < raw->connections; i++) {
        int fd = accept(raw->fd, NULL, NULL);
        if (fd < 0)
            break;
        for (int j = 0; j < raw->per_connection && raw_read(raw, fd); j++) {
            char byte;
            if (raw->answer == NULL) {
                if (read(raw->wait[0], &byte, 1) < 0)
                    break;
            } else if (send(fd, raw->answer, strlen(raw->answer), MSG_NOSIGNAL) < 0) {
                break;
            }
        }
        close(fd);
    }
    return NULL;
}

static void raw_start(struct raw *raw, const char *answer, int connections, int per_connection)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof(address);
    *raw = (struct raw){
        .answer = answer, .connections = connections, .per_connection = per_connection};
    pthread_mutex_init(&raw->lock, NULL);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    raw->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(raw->fd >= 0);
    assert_int_equal(bind(raw->fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(raw->fd, 8), 0);
    assert_int_equal(getsockname(raw->fd, (struct sockaddr *)&address, &length), 0);
    assert_int_equal(pipe(raw->wait), 0);
    raw->port = ntohs(address.sin_port);
    snprintf(raw->url, sizeof(raw->url), "http://127.0.0.1:%d/prefix/", raw->port);
    assert_int_equal(pthread_create(&raw->thread, NULL, raw_run, raw), 0);
}

static void raw_stop(struct raw *raw)
{
    close(raw->wait[1]);
    shutdown(raw->fd, SHUT_RDWR);
    pthread_join(raw->thread, NULL);
    close(raw->wait[0]);
    close(raw->fd);
    pthread_mutex_destroy(&raw->lock);
}

static void a_request_carries_what_it_was_given(void **state)
{
    (void)state;
    struct raw raw;
    int status = 0;
    raw_start(&raw, "HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok", 1, 5);
    struct tr_http_config config = config_for(raw.url);
    config.user = "user";
    config.password = "pass";
    struct tr_http_client *client = client_for(&config);
    assert_int_equal(tr_http_request(client, "POST", "/_bulk?a=b", "application/x-ndjson",
                                     TR_SLICE("{}\n{}\n"), &status, &reply, &err),
                     0);
    assert_int_equal(status, 201);
    assert_true(reply_is("ok"));
    assert_int_equal(strncmp(raw_request(&raw), "POST /prefix/_bulk?a=b HTTP/1.1\r\n", 33), 0);
    assert_non_null(strstr(raw_request(&raw), "Content-Type: application/x-ndjson\r\n"));
    assert_non_null(strstr(raw_request(&raw), "Authorization: Basic dXNlcjpwYXNz\r\n"));
    assert_null(strstr(raw_request(&raw), "Expect"));
    assert_non_null(strstr(raw_request(&raw), "\r\n\r\n{}\n{}\n"));
    static const char *const methods[] = {"PUT", "DELETE", "GET", "POST"};
    for (size_t i = 0; i < 4; i++) {
        char expected[64];
        snprintf(expected, sizeof(expected), "%s /prefix/x HTTP/1.1\r\n", methods[i]);
        assert_int_equal(tr_http_request(client, methods[i], "/x", NULL, (struct tr_slice){0},
                                         &status, &reply, &err),
                         0);
        assert_int_equal(strncmp(raw_request(&raw), expected, strlen(expected)), 0);
        assert_non_null(strstr(raw_request(&raw), "Content-Type: application/json\r\n"));
        assert_string_equal(strstr(raw_request(&raw), "\r\n\r\n"), "\r\n\r\n");
    }
    tr_http_client_free(client);
    raw_stop(&raw);
}

static void a_get_may_have_a_body_and_a_head_has_none(void **state)
{
    (void)state;
    struct raw raw;
    int status = 0;
    raw_start(&raw, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", 1, 3);
    struct tr_http_config config = config_for(raw.url);
    config.authorization = "ApiKey secret";
    struct tr_http_client *client = client_for(&config);
    assert_int_equal(tr_http_request(client, "GET", "/_search", NULL, TR_SLICE("{\"size\":1}"),
                                     &status, &reply, &err),
                     0);
    assert_int_equal(status, 404);
    assert_int_equal(strncmp(raw_request(&raw), "GET /prefix/_search", 19), 0);
    assert_non_null(strstr(raw_request(&raw), "Authorization: ApiKey secret\r\n"));
    assert_non_null(strstr(raw_request(&raw), "\r\n\r\n{\"size\":1}"));
    assert_int_equal(tr_http_request(client, "HEAD", "/index", NULL, (struct tr_slice){0}, &status,
                                     &reply, &err),
                     0);
    assert_int_equal(strncmp(raw_request(&raw), "HEAD /prefix/index", 18), 0);
    assert_int_equal(
        tr_http_request(client, "DELETE", "/i", NULL, (struct tr_slice){0}, &status, &reply, &err),
        0);
    assert_int_equal(strncmp(raw_request(&raw), "DELETE /prefix/i", 16), 0);
    tr_http_client_free(client);
    raw_stop(&raw);
}

/* A server that closes idle connections must not look like an outage. */
static void a_dropped_connection_is_opened_anew(void **state)
{
    (void)state;
    struct raw raw;
    int status = 0;
    raw_start(&raw, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1", 3, 1);
    struct tr_http_config config = config_for(raw.url);
    struct tr_http_client *client = client_for(&config);
    for (int i = 0; i < 3; i++) {
        if (tr_http_request(client, "POST", "/", NULL, TR_SLICE("{}"), &status, &reply, &err) != 0)
            fail_msg("%s", err.text);
        assert_int_equal(status, 200);
        assert_true(reply_is("1"));
        tr_clock_sleep_ms(20);
    }
    tr_http_client_free(client);
    raw_stop(&raw);
}

static void no_reply_is_worth_a_retry(void **state)
{
    (void)state;
    struct raw raw;
    int status = 0;
    raw_start(&raw, "", 1, 1);
    struct tr_http_config config = config_for(raw.url);
    struct tr_http_client *client = client_for(&config);
    assert_int_equal(tr_http_request(client, "GET", "/a?secret=1", NULL, (struct tr_slice){0},
                                     &status, &reply, &err),
                     TR_ESTORE_RETRY);
    char expected[64];
    snprintf(expected, sizeof(expected), "GET http://127.0.0.1:%d/a: ", raw.port);
    assert_int_equal(strncmp(err.text, expected, strlen(expected)), 0);
    assert_null(strstr(err.text, "secret"));
    raw_stop(&raw);
    tr_error_reset(&err);
    assert_int_equal(
        tr_http_request(client, "GET", "/a", NULL, (struct tr_slice){0}, &status, &reply, &err),
        TR_ESTORE_RETRY);
    assert_int_equal(status, 0);
    tr_http_client_free(client);
}

static void a_silent_server_times_out(void **state)
{
    (void)state;
    struct raw raw;
    int status = 0;
    raw_start(&raw, NULL, 1, 1);
    struct tr_http_config config = config_for(raw.url);
    config.timeout_ms = 200;
    struct tr_http_client *client = client_for(&config);
    int64_t before = tr_clock_mono_us();
    assert_int_equal(
        tr_http_request(client, "GET", "/", NULL, (struct tr_slice){0}, &status, &reply, &err),
        TR_ESTORE_RETRY);
    assert_true(tr_clock_mono_us() - before >= 190000);
    assert_non_null(strstr(err.text, "timed out"));
    tr_http_client_free(client);
    raw_stop(&raw);
}

static void a_reply_has_a_limit(void **state)
{
    (void)state;
    struct raw raw;
    int status = 0;
    static char answer[1200];
    int used = snprintf(answer, sizeof(answer), "HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n");
    memset(answer + used, 'x', 1001);
    raw_start(&raw, answer, 1, 1);
    struct tr_http_config config = config_for(raw.url);
    struct tr_http_client *client = client_for(&config);
    assert_int_equal(
        tr_http_request(client, "GET", "/", NULL, (struct tr_slice){0}, &status, &reply, &err),
        TR_ESTORE);
    assert_non_null(strstr(err.text, "larger than 1000 bytes"));
    tr_http_client_free(client);
    raw_stop(&raw);
}

static void wrong_urls_are_refused_without_their_password(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "host", "ftp://user:secret@h/", "http://", "http:// x/"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct tr_http_client *client = NULL;
        struct tr_http_config config = config_for(bad[i]);
        tr_error_reset(&err);
        assert_int_equal(tr_http_client_new(&client, &config, &err), TR_ECONFIG);
        assert_null(client);
        assert_null(strstr(err.text, "secret"));
    }
    struct tr_http_config config = config_for("http://user:secret@127.0.0.1:1/x");
    int status;
    tr_error_reset(&err);
    struct tr_http_client *client = client_for(&config);
    assert_int_equal(
        tr_http_request(client, "GET", "/", NULL, (struct tr_slice){0}, &status, &reply, &err),
        TR_ESTORE_RETRY);
    assert_null(strstr(err.text, "secret"));
    tr_error_reset(&err);
    assert_int_equal(
        tr_http_request(client, "GET", "@evil", NULL, (struct tr_slice){0}, &status, &reply, &err),
        TR_EBUG);
    tr_http_client_free(client);
}

static void segments_are_percent_encoded(void **state)
{
    (void)state;
    tr_http_escape(&reply, (struct tr_slice){"aZ09-._~/%\xc3\xbc \0", 14});
    assert_true(reply_is("aZ09-._~%2F%25%C3%BC%20%00"));
}

static int handle_count(void *context, struct tr_buf *out)
{
    int *count = context;
    tr_buf_printf(out, "count %d\n", ++*count);
    return 200;
}

static int handle_sick(void *context, struct tr_buf *out)
{
    (void)context;
    tr_buf_append_slice(out, TR_SLICE("not ready\n"));
    return 503;
}

static int handle_empty(void *context, struct tr_buf *out)
{
    (void)context;
    (void)out;
    return 200;
}

static const struct tr_http_route routes[] = {
    {"/metrics", "text/plain; version=0.0.4", handle_count},
    {"/readyz", "text/plain", handle_sick},
    {"/empty", "text/plain", handle_empty},
    {0},
};

static void the_server_answers_its_routes(void **state)
{
    (void)state;
    static const struct {
        const char *method, *path;
        int status;
        const char *body;
    } rows[] = {
        {"GET", "/metrics", 200, "count 1\n"},
        {"GET", "/metrics?x=1", 200, "count 2\n"},
        {"GET", "/readyz", 503, "not ready\n"},
        {"GET", "/empty", 200, ""},
        {"GET", "/metrics/", 404, "there is nothing at this path\n"},
        {"POST", "/metrics", 405, "only GET is served here\n"},
        {"DELETE", "/none", 405, "only GET is served here\n"},
    };
    struct tr_http_server *server = NULL;
    char url[64];
    int count = 0;
    assert_int_equal(tr_http_server_start(&server, "127.0.0.1:0", routes, &count, &err), 0);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d", tr_http_server_port(server));
    struct tr_http_config config = config_for(url);
    struct tr_http_client *client = client_for(&config);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int status = 0;
        struct tr_slice body = i == 5 ? TR_SLICE("a body") : (struct tr_slice){0};
        if (tr_http_request(client, rows[i].method, rows[i].path, NULL, body, &status, &reply,
                            &err) != 0)
            fail_msg("%s", err.text);
        assert_int_equal(status, rows[i].status);
        assert_true(reply_is(rows[i].body));
    }
    tr_http_client_free(client);
    tr_http_server_stop(server);
    assert_int_equal(count, 2);
}

static void a_server_is_asked_by_where_it_listens(void **state)
{
    (void)state;
    static const char *const hosts[] = {"", "*", "127.0.0.1", "localhost", "0.0.0.0"};
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        struct tr_http_server *server = NULL;
        char listen[64];
        int count = 0;
        snprintf(listen, sizeof(listen), "%s:0", hosts[i]);
        assert_int_equal(tr_http_server_start(&server, listen, routes, &count, &err), 0);
        snprintf(listen, sizeof(listen), "%s:%d", hosts[i], tr_http_server_port(server));
        if (!tr_http_ask(listen, "/metrics", &reply))
            fail_msg("no answer at %s", listen);
        assert_int_equal(reply.length, strlen("count 1\n"));
        assert_false(tr_http_ask(listen, "/readyz", &reply)); /* 503 */
        tr_http_server_stop(server);
        assert_false(tr_http_ask(listen, "/metrics", &reply));
    }
    assert_false(tr_http_ask("", "/metrics", &reply));
    assert_false(tr_http_ask(NULL, "/metrics", &reply));
}

static void the_server_names_an_address_it_cannot_have(void **state)
{
    (void)state;
    struct tr_http_server *server = NULL, *second = NULL;
    char address[64];
    assert_int_equal(tr_http_server_start(&server, "localhost:0", routes, NULL, &err), 0);
    snprintf(address, sizeof(address), "localhost:%d", tr_http_server_port(server));
    assert_int_equal(tr_http_server_start(&second, address, routes, NULL, &err), TR_ECONFIG);
    assert_non_null(strstr(err.text, address));
    assert_non_null(strstr(err.text, "in use"));
    tr_http_server_stop(server);
    static const char *const bad[] = {
        "9464",        "127.0.0.1:",     "127.0.0.1:http", "no.such.invalid:1",
        "192.0.2.1:0", "127.0.0.1:99999"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        tr_error_reset(&err);
        assert_int_equal(tr_http_server_start(&second, bad[i], routes, NULL, &err), TR_ECONFIG);
        assert_non_null(strstr(err.text, bad[i]));
    }
    assert_null(second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_request_carries_what_it_was_given, begin, end),
        cmocka_unit_test_setup_teardown(a_get_may_have_a_body_and_a_head_has_none, begin, end),
        cmocka_unit_test_setup_teardown(a_dropped_connection_is_opened_anew, begin, end),
        cmocka_unit_test_setup_teardown(no_reply_is_worth_a_retry, begin, end),
        cmocka_unit_test_setup_teardown(a_silent_server_times_out, begin, end),
        cmocka_unit_test_setup_teardown(a_reply_has_a_limit, begin, end),
        cmocka_unit_test_setup_teardown(wrong_urls_are_refused_without_their_password, begin, end),
        cmocka_unit_test_setup_teardown(segments_are_percent_encoded, begin, end),
        cmocka_unit_test_setup_teardown(the_server_answers_its_routes, begin, end),
        cmocka_unit_test_setup_teardown(a_server_is_asked_by_where_it_listens, begin, end),
        cmocka_unit_test_setup_teardown(the_server_names_an_address_it_cannot_have, begin, end),
    };
    return cmocka_run_group_tests_name("http", tests, NULL, NULL);
}
