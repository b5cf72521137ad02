/*
 * http_client.h - blocking HTTP/1.1 requests on one kept-alive connection (libcurl inside).
 *
 * One client per thread. Replies are limited in size. TLS with a CA file and host verification,
 * basic auth and API-key headers. Proxies of the environment are not used, redirects not followed.
 */
#ifndef TR_HTTP_CLIENT_H
#define TR_HTTP_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"

struct tr_http_client;

struct tr_http_config {
    const char *url;  /* base: scheme, host, port, path prefix */
    const char *user; /* "" = no basic auth */
    const char *password;
    const char *authorization; /* a whole Authorization header value, "" = none */
    const char *ca_file;       /* "" = the system's */
    int64_t connect_timeout_ms;
    int64_t timeout_ms; /* of a whole request */
    size_t reply_bytes_max;
};

/* TR_ECONFIG when the URL is none. */
int tr_http_client_new(struct tr_http_client **out, const struct tr_http_config *config,
                       struct tr_error *err) TR_MUST_CHECK;
void tr_http_client_free(struct tr_http_client *client);
/*
 * Sends and waits. `path` begins with a slash and comes behind the base URL. `content_type` NULL =
 * application/json. The body is borrowed for the call.
 * 0 when any reply arrived: *status is its code and `reply` (reset first) its body.
 * TR_ESTORE_RETRY when none did (connection, time-out); TR_ESTORE when the server's certificate is
 * refused, the CA file can't be read, the reply is no HTTP or larger than allowed; TR_EBUG for a
 * malformed URL.
 */
int tr_http_request(struct tr_http_client *client, const char *method, const char *path,
                    const char *content_type, struct tr_slice body, int *status,
                    struct tr_buf *reply, struct tr_error *err) TR_MUST_CHECK;
/*
 * Asks a server of ours by what its http.listen says ("host:port", ":port", "*:port"; "" or NULL =
 * none). True when it answered 200 with `reply`; false when nobody did within a few seconds.
 */
bool tr_http_ask(const char *listen, const char *path, struct tr_buf *reply);
/* Percent-encodes one path segment. */
void tr_http_escape(struct tr_buf *out, struct tr_slice segment);

#endif
