/*
 * client.h - requests to one of several nodes, and what a status means whoever asked.
 *
 * One client per thread. A node that does not answer is left for the next one of the list at the
 * next request. Credentials go into headers only, and never into messages.
 */
#ifndef TR_ES_CLIENT_H
#define TR_ES_CLIENT_H

#include "http_client.h"
#include "options.h"

#define TR_ES_REPLY_BYTES_MAX ((size_t)64 << 20)

/* The settings that say how to reach it. */
struct tr_es_server {
    struct tr_string_list urls;
    const char *user;
    const char *password;
    const char *api_key;
    const char *ca;
    int64_t connect_timeout_ms;
    int64_t timeout_ms;
};

struct tr_es_client {
    const struct tr_es_server *server;
    struct tr_http_client *http; /* NULL between two nodes */
    char *authorization;         /* "" = none */
    size_t url;                  /* the node in use */
    int status;                  /* of the last reply */
    struct tr_buf reply;         /* its body */
};

/* TR_ECONFIG for settings that contradict each other. Connects to nothing yet. */
int tr_es_client_init(struct tr_es_client *client, const struct tr_es_server *server,
                      struct tr_error *err) TR_MUST_CHECK;
void tr_es_client_done(struct tr_es_client *client);
/*
 * Sends and waits; 0 for a reply that the caller has to judge: client->status and client->reply.
 * TR_ESTORE_RETRY: no answer, or 408, 429, 5xx. TR_ESTORE: 401, 403, or a certificate that does
 * not verify.
 */
int tr_es_call(struct tr_es_client *client, const char *method, const char *path,
               struct tr_slice body, struct tr_error *err) TR_MUST_CHECK;
/* The same, and any status but 200 and 201 is TR_ESTORE, named by `what`. */
int tr_es_call_ok(struct tr_es_client *client, const char *method, const char *path,
                  struct tr_slice body, const char *what, struct tr_error *err) TR_MUST_CHECK;
/* Sets TR_ESTORE with the last reply's status and reason. */
int tr_es_unexpected(const struct tr_es_client *client, const char *what, struct tr_error *err);
/* The last reply's error type is this one. */
bool tr_es_error_is(const struct tr_es_client *client, const char *type);

#endif
