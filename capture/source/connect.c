/* A source as a whole: made from settings, connected to the first host that answers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"
#include "log.h"

static uint32_t own_server_id(const struct tr_source_settings *settings, const char *pipeline)
{
    if (settings->server_id > 0)
        return (uint32_t)settings->server_id;
    char host[256] = "";
    if (gethostname(host, sizeof host - 1) != 0)
        strcpy(host, "localhost");
    return tr_source_derive_server_id(pipeline, host);
}

int tr_source_new(struct tr_source **out, const struct tr_source_settings *settings,
                  const char *pipeline, struct tr_error *err)
{
    *out = NULL;
    struct tr_source *source = calloc(1, sizeof *source);
    if (source == NULL)
        return tr_error_set(err, TR_ENOMEM, "out of memory for the source");
    source->settings = *settings;
    source->stream.fd = source->query.fd = -1;
    pthread_mutex_init(&source->lock, NULL);
    source->server_id = own_server_id(settings, pipeline);
    int rc = tr_source_parse_hosts(settings, source->hosts, TR_SOURCE_HOSTS_MAX,
                                   &source->host_count, err);
    if (rc == 0)
        rc = tr_source_check_tls(settings, err);
    if (rc != 0) {
        tr_source_free(source);
        return rc;
    }
    *out = source;
    return 0;
}

void tr_source_free(struct tr_source *source)
{
    if (source == NULL)
        return;
    tr_source_disconnect(source);
    pthread_mutex_destroy(&source->lock);
    free(source);
}

void tr_source_disconnect(struct tr_source *source)
{
    tr_connection_close(source, &source->stream);
    tr_connection_close(source, &source->query);
    source->dumping = false;
}

const struct tr_source_server *tr_source_server(const struct tr_source *source)
{
    return &source->server;
}

const char *tr_source_endpoint(const struct tr_source *source)
{
    return source->endpoint;
}

static void name_endpoint(struct tr_source *source, const struct tr_source_host *host)
{
    const char *socket = source->settings.socket;
    if (socket != NULL && socket[0] != '\0')
        snprintf(source->endpoint, sizeof source->endpoint, "%s", socket);
    else
        snprintf(source->endpoint, sizeof source->endpoint,
                 strchr(host->name, ':') != NULL ? "[%s]:%u" : "%s:%u", host->name, host->port);
}

static int connect_to(struct tr_source *source, size_t index, struct tr_error *err)
{
    name_endpoint(source, &source->hosts[index]);
    source->host_used = index;
    int rc = tr_connection_open(source, &source->stream, &source->hosts[index],
                                tr_source_read_timeout_s(source), err);
    if (rc == 0)
        rc = tr_source_check(source, err);
    if (rc != 0)
        tr_source_disconnect(source);
    return rc;
}

uint32_t tr_source_thread_id(const struct tr_source *source)
{
    MYSQL *const sessions[] = {source->stream.mysql, source->query.mysql};
    unsigned long newest = 0;
    for (size_t i = 0; i < 2; i++)
        if (sessions[i] != NULL && mysql_thread_id(sessions[i]) > newest)
            newest = mysql_thread_id(sessions[i]);
    return (uint32_t)newest;
}

int tr_source_connect(struct tr_source *source, struct tr_error *err)
{
    tr_source_disconnect(source);
    struct tr_error first = {0};
    for (size_t i = 0; i < source->host_count; i++) {
        struct tr_error one = {0};
        int rc = connect_to(source, i, &one);
        if (rc == 0) {
            tr_log(TR_LOG_INFO, "source", "connected", TR_STR("endpoint", source->endpoint),
                   TR_STR("version", source->server.version),
                   TR_INT("server_id", source->server.server_id),
                   TR_INT("our_server_id", source->server_id), TR_END);
            return 0;
        }
        /* A host that answers but can't serve us is a thing to mend, not to pass over. */
        if (first.code == 0 || rc != TR_ESOURCE_RETRY)
            first = one;
        if (rc != TR_ESOURCE_RETRY)
            break;
    }
    if (err->code == 0)
        *err = first;
    return err->code;
}
