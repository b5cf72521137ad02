/* http_client.c - see http_client.h. The only file that knows libcurl. */
#include "http_client.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

#define URL_BYTES_MAX 65536
#define CONTENT_TYPE_BYTES_MAX 256

struct tr_http_client {
    CURL *curl;
    struct tr_buf url; /* the base without a slash at its end, then a request's path; NUL behind */
    size_t base_length;
    char *origin;        /* scheme, host and port for messages: never a password */
    char *authorization; /* a header line, or NULL */
    size_t reply_bytes_max;
    struct tr_buf *reply; /* of the request under way */
    bool reply_too_large;
    char message[CURL_ERROR_SIZE];
};

static pthread_once_t global_once = PTHREAD_ONCE_INIT;
static CURLcode global_result;

static void global_init(void)
{
    global_result = curl_global_init(CURL_GLOBAL_DEFAULT);
}

static bool given(const char *text)
{
    return text != NULL && text[0] != '\0';
}

/* Takes the URL apart once, so that a wrong one is told at the start and by its name. */
static int read_origin(struct tr_http_client *client, const char *url, struct tr_error *err)
{
    char *scheme = NULL;
    CURLU *parts = curl_url();
    if (parts == NULL)
        return tr_error_set(err, TR_ENOMEM, "no memory for an HTTP client");
    CURLUcode code = curl_url_set(parts, CURLUPART_URL, url, 0);
    if (code == CURLUE_OK)
        code = curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0);
    if (code != CURLUE_OK || (strcasecmp(scheme, "http") != 0 && strcasecmp(scheme, "https") != 0))
        tr_error_set(err, TR_ECONFIG,
                     "not an HTTP URL; write http://HOST:PORT or https://HOST:PORT");
    curl_url_set(parts, CURLUPART_USER, NULL, 0);
    curl_url_set(parts, CURLUPART_PASSWORD, NULL, 0);
    curl_url_set(parts, CURLUPART_PATH, NULL, 0);
    curl_url_set(parts, CURLUPART_QUERY, NULL, 0);
    curl_url_set(parts, CURLUPART_FRAGMENT, NULL, 0);
    char *origin = NULL;
    if (err->code == 0 && curl_url_get(parts, CURLUPART_URL, &origin, 0) == CURLUE_OK)
        client->origin = strndup(origin, strlen(origin) - 1); /* the path's slash is the last */
    if (err->code == 0 && client->origin == NULL)
        tr_error_set(err, TR_ENOMEM, "no memory for an HTTP client");
    curl_free(origin);
    curl_free(scheme);
    curl_url_cleanup(parts);
    return err->code;
}

static size_t take_reply(char *data, size_t one, size_t length, void *context)
{
    struct tr_http_client *client = context;
    (void)one; /* always 1 */
    if (length > client->reply_bytes_max - client->reply->length) {
        client->reply_too_large = true;
        return 0;
    }
    tr_buf_append(client->reply, data, length);
    if (!client->reply->failed)
        return length;
    client->reply_too_large = true;
    return 0;
}

/* Options that stay the same for all requests. Only those can fail that copy a string. */
static CURLcode set_options(struct tr_http_client *client, const struct tr_http_config *config)
{
    CURL *curl = client->curl;
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, client->message);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)config->connect_timeout_ms);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)config->timeout_ms);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_reply);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, client);
    CURLcode code = curl_easy_setopt(curl, CURLOPT_PROXY, "");
    if (code == CURLE_OK)
        code = curl_easy_setopt(curl, CURLOPT_USERAGENT, "tailrace/" TR_VERSION);
    if (code == CURLE_OK && given(config->ca_file))
        code = curl_easy_setopt(curl, CURLOPT_CAINFO, config->ca_file);
    if (code == CURLE_OK && given(config->user)) {
        curl_easy_setopt(curl, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
        code = curl_easy_setopt(curl, CURLOPT_USERNAME, config->user);
        if (code == CURLE_OK)
            code = curl_easy_setopt(curl, CURLOPT_PASSWORD,
                                    config->password != NULL ? config->password : "");
    }
    return code;
}

static int copy_config(struct tr_http_client *client, const struct tr_http_config *config,
                       struct tr_error *err)
{
    static const char header[] = "Authorization: ";
    tr_buf_init(&client->url, URL_BYTES_MAX);
    tr_buf_append(&client->url, config->url, strlen(config->url));
    while (client->url.length > 0 && client->url.data[client->url.length - 1] == '/')
        client->url.length--;
    client->base_length = client->url.length;
    client->reply_bytes_max = config->reply_bytes_max;
    if (given(config->authorization)) {
        size_t bytes = sizeof(header) + strlen(config->authorization);
        client->authorization = malloc(bytes);
        if (client->authorization == NULL)
            return tr_error_set(err, TR_ENOMEM, "no memory for an HTTP client");
        memcpy(client->authorization, header, sizeof(header) - 1);
        memcpy(client->authorization + sizeof(header) - 1, config->authorization,
               strlen(config->authorization) + 1);
    }
    return tr_buf_check(&client->url, "the URL", err);
}

int tr_http_client_new(struct tr_http_client **out, const struct tr_http_config *config,
                       struct tr_error *err)
{
    pthread_once(&global_once, global_init);
    struct tr_http_client *client = calloc(1, sizeof(*client));
    if (client == NULL)
        return tr_error_set(err, TR_ENOMEM, "no memory for an HTTP client");
    client->curl = global_result == CURLE_OK ? curl_easy_init() : NULL;
    if (client->curl == NULL)
        tr_error_set(err, TR_ENOMEM, "libcurl can't start");
    if (err->code == 0 && read_origin(client, config->url, err) == 0 &&
        copy_config(client, config, err) == 0 && set_options(client, config) != CURLE_OK)
        tr_error_set(err, TR_ENOMEM, "libcurl refuses the settings for %s", client->origin);
    if (err->code != 0) {
        tr_http_client_free(client);
        return err->code;
    }
    *out = client;
    return 0;
}

void tr_http_client_free(struct tr_http_client *client)
{
    if (client == NULL)
        return;
    curl_easy_cleanup(client->curl);
    tr_buf_done(&client->url);
    free(client->origin);
    free(client->authorization);
    free(client);
}

/* NULL when memory is out. An empty "Expect:" keeps curl from waiting a second for a 100. */
static struct curl_slist *build_headers(const struct tr_http_client *client,
                                        const char *content_type)
{
    char line[CONTENT_TYPE_BYTES_MAX];
    struct curl_slist *headers = NULL;
    snprintf(line, sizeof(line), "Content-Type: %s",
             content_type != NULL ? content_type : "application/json");
    const char *const lines[] = {line, "Expect:", client->authorization};
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        if (lines[i] == NULL)
            continue;
        struct curl_slist *longer = curl_slist_append(headers, lines[i]);
        if (longer == NULL) {
            curl_slist_free_all(headers);
            headers = NULL;
            break;
        }
        headers = longer;
    }
    return headers;
}

/* What a failure means for the caller: only what a later attempt can cure is worth a retry. */
static int code_of(CURLcode code)
{
    switch (code) {
    case CURLE_URL_MALFORMAT:
        return TR_EBUG;
    case CURLE_OUT_OF_MEMORY:
        return TR_ENOMEM;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_UNSUPPORTED_PROTOCOL: /* what answers speaks no HTTP; the URL's was looked at */
    case CURLE_WEIRD_SERVER_REPLY:
        return TR_ESTORE;
    default:
        return TR_ESTORE_RETRY;
    }
}

static int report(const struct tr_http_client *client, CURLcode code, const char *method,
                  const char *path, struct tr_error *err)
{
    int path_length = (int)strcspn(path, "?"); /* a query may hold a row's values */
    if (client->reply_too_large)
        return tr_error_set(err, TR_ESTORE, "%s %s%.*s: the reply is larger than %zu bytes", method,
                            client->origin, path_length, path, client->reply_bytes_max);
    const char *why = given(client->message) ? client->message : curl_easy_strerror(code);
    return tr_error_set_native(err, code_of(code), (int)code, "%s %s%.*s: %s", method,
                               client->origin, path_length, path, why);
}

static void set_request(struct tr_http_client *client, const char *method, struct tr_slice body,
                        const struct curl_slist *headers)
{
    CURL *curl = client->curl;
    bool head = strcmp(method, "HEAD") == 0;
    bool sends = body.length > 0 || strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0;
    curl_easy_setopt(curl, CURLOPT_HTTPGET, 1L); /* forgets the last request's body */
    if (sends) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.length);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body.length > 0 ? body.data : "");
    }
    curl_easy_setopt(curl, CURLOPT_NOBODY, head ? 1L : 0L);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, head ? NULL : method);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
}

int tr_http_request(struct tr_http_client *client, const char *method, const char *path,
                    const char *content_type, struct tr_slice body, int *status,
                    struct tr_buf *reply, struct tr_error *err)
{
    if (path[0] != '/')
        return tr_error_set(err, TR_EBUG, "%s: a path begins with a slash", client->origin);
    struct curl_slist *headers = build_headers(client, content_type);
    client->url.length = client->base_length;
    client->url.failed = false;
    tr_buf_append(&client->url, path, strlen(path) + 1);
    if (headers == NULL || client->url.failed) {
        curl_slist_free_all(headers);
        return tr_error_set(err, TR_ENOMEM, "%s %s: no memory for the request", method,
                            client->origin);
    }
    tr_buf_reset(reply);
    client->reply = reply;
    client->reply_too_large = false;
    client->message[0] = '\0';
    set_request(client, method, body, headers);
    CURLcode code = curl_easy_setopt(client->curl, CURLOPT_URL, client->url.data);
    if (code == CURLE_OK)
        code = curl_easy_perform(client->curl);
    long got = 0;
    curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &got);
    curl_easy_setopt(client->curl, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(headers);
    client->reply = NULL;
    *status = (int)got;
    return code == CURLE_OK ? 0 : report(client, code, method, path, err);
}

void tr_http_escape(struct tr_buf *out, struct tr_slice segment)
{
    static const char hex[] = "0123456789ABCDEF";
    static const char unreserved[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                     "0123456789-._~";
    for (size_t i = 0; i < segment.length; i++) {
        unsigned char byte = (unsigned char)segment.data[i];
        if (byte != '\0' && strchr(unreserved, byte) != NULL) {
            tr_buf_append_char(out, (char)byte);
        } else {
            const char escape[] = {'%', hex[byte >> 4], hex[byte & 0xf]};
            tr_buf_append(out, escape, sizeof(escape));
        }
    }
}

bool tr_http_ask(const char *listen, const char *path, struct tr_buf *reply)
{
    char url[300];
    struct tr_error ignored = {0};
    struct tr_http_client *client = NULL;
    int status = 0;
    if (listen == NULL || *listen == '\0')
        return false;
    /* Who listens on every address does so on this one. */
    const char *host = *listen == ':' || *listen == '*' ? "127.0.0.1" : "";
    snprintf(url, sizeof(url), "http://%s%s", host, *listen == '*' ? listen + 1 : listen);
    const struct tr_http_config config = {.url = url,
                                          .user = "",
                                          .password = "",
                                          .authorization = "",
                                          .ca_file = "",
                                          .connect_timeout_ms = 2000,
                                          .timeout_ms = 5000,
                                          .reply_bytes_max = reply->limit};
    int rc = tr_http_client_new(&client, &config, &ignored);
    if (rc == 0)
        rc = tr_http_request(client, "GET", path, NULL, (struct tr_slice){"", 0}, &status, reply,
                             &ignored);
    tr_http_client_free(client);
    return rc == 0 && status == 200;
}
