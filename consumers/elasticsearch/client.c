/* client.c - see client.h. */
#include "client.h"

#include <stdio.h>
#include <stdlib.h>

#include "reply.h"

#define MESSAGE_BYTES_MAX 1024

static bool given(const char *text)
{
    return text != NULL && text[0] != '\0';
}

static int check_server(const struct tr_es_server *server, struct tr_error *err)
{
    if (server->urls.count == 0)
        return tr_error_set(err, TR_ECONFIG,
                            "elasticsearch.urls is empty; name a node, like http://127.0.0.1:9200");
    if (given(server->user) && given(server->api_key))
        return tr_error_set(err, TR_ECONFIG,
                            "elasticsearch.user and elasticsearch.api_key are both set; keep one");
    return 0;
}

int tr_es_client_init(struct tr_es_client *client, const struct tr_es_server *server,
                      struct tr_error *err)
{
    *client = (struct tr_es_client){.server = server};
    tr_buf_init(&client->reply, TR_ES_REPLY_BYTES_MAX);
    if (check_server(server, err) != 0)
        return err->code;
    const char *key = given(server->api_key) ? server->api_key : "";
    size_t size = strlen("ApiKey ") + strlen(key) + 1;
    client->authorization = malloc(size);
    if (client->authorization == NULL)
        return tr_error_set(err, TR_ENOMEM, "no memory for an Elasticsearch client");
    snprintf(client->authorization, size, "%s%s", *key != '\0' ? "ApiKey " : "", key);
    return 0;
}

void tr_es_client_done(struct tr_es_client *client)
{
    tr_http_client_free(client->http);
    free(client->authorization);
    tr_buf_done(&client->reply);
    *client = (struct tr_es_client){0};
}

static int connect_node(struct tr_es_client *client, struct tr_error *err)
{
    const struct tr_es_server *server = client->server;
    const struct tr_http_config config = {
        .url = server->urls.items[client->url],
        .user = given(server->user) ? server->user : "",
        .password = given(server->password) ? server->password : "",
        .authorization = client->authorization,
        .ca_file = given(server->ca) ? server->ca : "",
        .connect_timeout_ms = server->connect_timeout_ms,
        .timeout_ms = server->timeout_ms,
        .reply_bytes_max = TR_ES_REPLY_BYTES_MAX,
    };
    if (tr_http_client_new(&client->http, &config, err) == 0)
        return 0;
    return tr_error_frame(err, "elasticsearch.urls, item %zu", client->url + 1);
}

static void leave_node(struct tr_es_client *client)
{
    if (client->server->urls.count < 2)
        return;
    tr_http_client_free(client->http);
    client->http = NULL;
    client->url = (client->url + 1) % client->server->urls.count;
}

static struct tr_slice reply_of(const struct tr_es_client *client)
{
    return (struct tr_slice){client->reply.data, client->reply.length};
}

static int fail(const struct tr_es_client *client, int code, const char *what, const char *remedy,
                struct tr_error *err)
{
    struct tr_buf reason;
    tr_buf_init(&reason, MESSAGE_BYTES_MAX);
    tr_es_error_reason(reply_of(client), &reason);
    tr_error_set(err, code, "elasticsearch answers %d to %s: %.*s%s", client->status, what,
                 (int)reason.length, reason.length > 0 ? reason.data : "", remedy);
    tr_buf_done(&reason);
    return err->code;
}

int tr_es_unexpected(const struct tr_es_client *client, const char *what, struct tr_error *err)
{
    return fail(client, TR_ESTORE, what, "", err);
}

bool tr_es_error_is(const struct tr_es_client *client, const char *type)
{
    return tr_es_error_type_is(reply_of(client), type);
}

int tr_es_call(struct tr_es_client *client, const char *method, const char *path,
               struct tr_slice body, struct tr_error *err)
{
    if (client->http == NULL && connect_node(client, err) != 0)
        return err->code;
    int rc = tr_http_request(client->http, method, path, NULL, body, &client->status,
                             &client->reply, err);
    if (rc == TR_ESTORE_RETRY)
        leave_node(client);
    if (rc != 0)
        return rc;
    int status = client->status;
    if (status == 401)
        return fail(client, TR_ESTORE, method,
                    "; check elasticsearch.user and its password, or elasticsearch.api_key", err);
    if (status == 403)
        return fail(
            client, TR_ESTORE, method,
            "; the account needs the privileges read, write, create_index and manage on its "
            "tables' indices and on tailrace-*",
            err);
    if (status == 408 || status == 429 || status >= 500)
        return fail(client, TR_ESTORE_RETRY, method, "", err);
    return 0;
}

int tr_es_call_ok(struct tr_es_client *client, const char *method, const char *path,
                  struct tr_slice body, const char *what, struct tr_error *err)
{
    int rc = tr_es_call(client, method, path, body, err);
    if (rc != 0)
        return tr_error_frame(err, "%s", what);
    if (client->status != 200 && client->status != 201)
        return tr_es_unexpected(client, what, err);
    return 0;
}
