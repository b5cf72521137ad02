/*
 * http_server.h - the small server behind /metrics, /healthz, /readyz and /status.
 *
 * Runs in one thread of its own (libmicrohttpd inside); handlers are called from it and must be
 * quick and only read shared state under their own locks or atomics. GET only; anything else 405,
 * unknown paths 404.
 */
#ifndef TR_HTTP_SERVER_H
#define TR_HTTP_SERVER_H

#include "buf.h"

struct tr_http_server;

struct tr_http_route {
    const char *path; /* NULL ends the list */
    const char *content_type;
    /* Fills `out` and returns the status code. */
    int (*handle)(void *context, struct tr_buf *out);
};

/* `listen` = "host:port" (port 0 = any free one). Routes and context must outlive the server.
 * TR_ECONFIG when the address can't be bound, naming it. */
int tr_http_server_start(struct tr_http_server **out, const char *listen,
                         const struct tr_http_route *routes, void *context,
                         struct tr_error *err) TR_MUST_CHECK;
int tr_http_server_port(const struct tr_http_server *server);
void tr_http_server_stop(struct tr_http_server *server);

#endif
