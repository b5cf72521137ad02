/* One connection: opening with TLS, closing, statements, errors. */
#include <errmsg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "internal.h"

bool tr_source_stopping(struct tr_source *source)
{
    pthread_mutex_lock(&source->lock);
    bool stopping = source->stopping;
    pthread_mutex_unlock(&source->lock);
    return stopping;
}

/* A hint for people, with our account's name filled in. */
static void append_hint(struct tr_buf *out, const char *hint, const char *user)
{
    const char *at = strstr(hint, "{user}");
    if (at == NULL) {
        tr_buf_printf(out, "%s", hint);
        return;
    }
    tr_buf_printf(out, "%.*s'%s'@'%%'%s", (int)(at - hint), hint, user, at + strlen("{user}"));
}

static const char *user_name(const struct tr_source *source)
{
    return source->settings.user != NULL ? source->settings.user : "";
}

static int set_same_id(struct tr_source *source, unsigned native, struct tr_error *err)
{
    return tr_error_set_native(err, TR_ESOURCE, (int)native,
                               "server id %u is used by another replica of %s, which cut us off; "
                               "set source.server_id to an id that no other replica has",
                               source->server_id, source->endpoint);
}

/* What the server says may be long: it is cut before the hint is. */
static int set_with_hint(const struct tr_source *source, int code, unsigned native,
                         const char *what, const char *text, const char *hint, struct tr_error *err)
{
    struct tr_buf buf, tail;
    tr_buf_init(&buf, 4096);
    tr_buf_init(&tail, 4096);
    if (hint[0] != '\0') {
        tr_buf_printf(&tail, "; ");
        append_hint(&tail, hint, user_name(source));
    }
    size_t length = strlen(text);
    while (length > 0 && (text[length - 1] == '.' || text[length - 1] == ';'))
        length--;
    tr_buf_printf(&buf, "%s at %s: ", what, source->endpoint);
    size_t taken = buf.length + tail.length + 1;
    size_t room = taken < sizeof(err->text) ? sizeof(err->text) - taken : 0;
    if (tail.length > 0 && length > room)
        length = room;
    tr_buf_append(&buf, text, length);
    tr_buf_append(&buf, tail.data, tail.length);
    int rc = tr_error_set_native(err, code, (int)native, "%.*s", (int)buf.length, buf.data);
    tr_buf_done(&tail);
    tr_buf_done(&buf);
    return rc;
}

int tr_connection_error(struct tr_source *source, MYSQL *mysql, const char *what, bool *truncated,
                        struct tr_error *err)
{
    unsigned native = mysql_errno(mysql);
    const char *text = mysql_error(mysql);
    const char *hint;
    bool cut;
    int code = tr_source_classify(native, text, &cut, &hint);
    if (truncated != NULL)
        *truncated = cut;
    if (tr_source_stopping(source))
        return tr_error_set(err, TR_ESTOPPED, "stopped");
    if (native == TR_SERVER_SLAVE_SAME_ID ||
        (native == TR_SERVER_MASTER_FATAL && strstr(text, "same server_uuid/server_id") != NULL))
        return set_same_id(source, native, err);
    return set_with_hint(source, code, native, what, text, hint, err);
}

unsigned tr_source_read_timeout_s(const struct tr_source *source)
{
    int64_t heartbeat_ms = source->settings.heartbeat_ms > 0 ? source->settings.heartbeat_ms : 1000;
    return (unsigned)((4 * heartbeat_ms + 999) / 1000);
}

static const char *text_or_null(const char *text)
{
    return text != NULL && text[0] != '\0' ? text : NULL;
}

/*
 * What libmariadb does: a CA file makes it check the chain in any mode; VERIFY_SERVER_CERT checks
 * chain and name; ENFORCE only offers TLS, and a server without it is then accepted in the clear
 * unless a CA or VERIFY_SERVER_CERT is given. So `required` is checked again after the connect.
 */
static void set_tls(MYSQL *mysql, const struct tr_source_settings *settings)
{
    my_bool offer = settings->tls_mode != TR_TLS_DISABLED;
    my_bool verify = settings->tls_mode == TR_TLS_VERIFY_IDENTITY;
    if (offer)
        mysql_ssl_set(mysql, text_or_null(settings->tls_key), text_or_null(settings->tls_cert),
                      text_or_null(settings->tls_ca), NULL, NULL);
    mysql_optionsv(mysql, MYSQL_OPT_SSL_ENFORCE, &offer);
    mysql_optionsv(mysql, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &verify);
}

static void set_options(MYSQL *mysql, const struct tr_source *source, unsigned read_timeout_s)
{
    const struct tr_source_settings *settings = &source->settings;
    int64_t timeout_ms = settings->connect_timeout_ms > 0 ? settings->connect_timeout_ms : 3000;
    unsigned connect_s = (unsigned)((timeout_ms + 999) / 1000);
    unsigned protocol =
        text_or_null(settings->socket) != NULL ? MYSQL_PROTOCOL_SOCKET : MYSQL_PROTOCOL_TCP;
    my_bool off = 0;
    unsigned no = 0;
    mysql_optionsv(mysql, MYSQL_OPT_CONNECT_TIMEOUT, &connect_s);
    mysql_optionsv(mysql, MYSQL_OPT_READ_TIMEOUT, &read_timeout_s);
    mysql_optionsv(mysql, MYSQL_OPT_WRITE_TIMEOUT, &read_timeout_s);
    mysql_optionsv(mysql, MYSQL_OPT_PROTOCOL, &protocol);
    mysql_optionsv(mysql, MYSQL_OPT_LOCAL_INFILE, &no);
    mysql_optionsv(mysql, MYSQL_OPT_RECONNECT, &off);
    mysql_optionsv(mysql, MYSQL_SET_CHARSET_NAME, "utf8mb4");
    mysql_optionsv(mysql, MYSQL_OPT_CONNECT_ATTR_ADD, "program_name", "tailrace-capture");
    set_tls(mysql, settings);
}

static int publish_connection(struct tr_source *source, struct tr_connection *connection,
                              MYSQL *mysql, struct tr_error *err)
{
    int fd = dup((int)mysql_get_socket(mysql));
    if (fd < 0)
        return tr_error_set(err, TR_EIO, "no file descriptor left for the source's connection");
    pthread_mutex_lock(&source->lock);
    connection->mysql = mysql;
    connection->fd = fd;
    bool stopping = source->stopping;
    pthread_mutex_unlock(&source->lock);
    if (!stopping)
        return 0;
    connection->mysql = NULL;
    pthread_mutex_lock(&source->lock);
    connection->fd = -1;
    pthread_mutex_unlock(&source->lock);
    close(fd);
    return tr_error_set(err, TR_ESTOPPED, "stopped");
}

static int require_tls(struct tr_source *source, MYSQL *mysql, struct tr_error *err)
{
    if (source->settings.tls_mode < TR_TLS_REQUIRED || mysql_get_ssl_cipher(mysql) != NULL)
        return 0;
    return tr_error_set(err, TR_ESOURCE,
                        "%s offers no TLS, which source.tls.mode asks for; set ssl_cert and "
                        "ssl_key in the server's configuration and restart it",
                        source->endpoint);
}

int tr_connection_open(struct tr_source *source, struct tr_connection *connection,
                       const struct tr_source_host *host, unsigned read_timeout_s,
                       struct tr_error *err)
{
    const struct tr_source_settings *settings = &source->settings;
    const char *socket = text_or_null(settings->socket);
    tr_connection_close(source, connection);
    if (tr_source_stopping(source))
        return tr_error_set(err, TR_ESTOPPED, "stopped");
    MYSQL *mysql = mysql_init(NULL);
    if (mysql == NULL)
        return tr_error_set(err, TR_ENOMEM, "out of memory for a connection");
    set_options(mysql, source, read_timeout_s);
    int rc;
    if (mysql_real_connect(mysql, socket != NULL ? NULL : host->name, user_name(source),
                           settings->password, NULL, host->port, socket, 0) == NULL)
        rc = tr_connection_error(source, mysql, "connecting", NULL, err);
    else if ((rc = require_tls(source, mysql, err)) == 0)
        rc = publish_connection(source, connection, mysql, err);
    if (rc != 0)
        mysql_close(mysql);
    return rc;
}

void tr_connection_close(struct tr_source *source, struct tr_connection *connection)
{
    if (connection->mysql == NULL)
        return;
    pthread_mutex_lock(&source->lock);
    int fd = connection->fd;
    connection->fd = -1;
    pthread_mutex_unlock(&source->lock);
    mysql_close(connection->mysql);
    connection->mysql = NULL;
    if (fd >= 0)
        close(fd);
}

int tr_connection_execute(struct tr_source *source, struct tr_connection *connection,
                          const char *sql, struct tr_error *err)
{
    if (mysql_real_query(connection->mysql, sql, strlen(sql)) != 0)
        return tr_connection_error(source, connection->mysql, sql, NULL, err);
    return 0;
}

int tr_connection_select(struct tr_source *source, struct tr_connection *connection,
                         const char *sql, MYSQL_RES **out, struct tr_error *err)
{
    int rc = tr_connection_execute(source, connection, sql, err);
    if (rc != 0)
        return rc;
    *out = mysql_store_result(connection->mysql);
    if (*out == NULL)
        return tr_connection_error(source, connection->mysql, sql, NULL, err);
    return 0;
}

static int open_query(struct tr_source *source, struct tr_error *err)
{
    int rc = tr_connection_open(source, &source->query, &source->hosts[source->host_used],
                                TR_SOURCE_QUERY_TIMEOUT_S, err);
    /* Answers must not depend on the server's settings for new sessions. */
    if (rc == 0)
        rc = tr_connection_execute(source, &source->query,
                                   "SET SESSION sql_mode='', time_zone='+00:00'", err);
    return rc;
}

int tr_source_select(struct tr_source *source, const char *sql, MYSQL_RES **out,
                     struct tr_error *err)
{
    if (source->query.mysql != NULL) {
        struct tr_error lost = {0};
        int rc = tr_connection_select(source, &source->query, sql, out, &lost);
        if (rc != TR_ESOURCE_RETRY) {
            if (rc != 0)
                *err = err->code != 0 ? *err : lost;
            return rc;
        }
    }
    /* It idles between look-ups, so the server may have closed it (wait_timeout). */
    int rc = open_query(source, err);
    if (rc != 0)
        return rc;
    return tr_connection_select(source, &source->query, sql, out, err);
}

void tr_source_quote(struct tr_buf *sql, struct tr_slice text)
{
    tr_buf_append_char(sql, '\'');
    for (size_t i = 0; i < text.length; i++) {
        char c = text.data[i];
        if (c == '\'' || c == '\\')
            tr_buf_append_char(sql, '\\');
        tr_buf_append_char(sql, c);
    }
    tr_buf_append_char(sql, '\'');
}

void tr_source_wake(struct tr_source *source)
{
    pthread_mutex_lock(&source->lock);
    source->stopping = true;
    if (source->stream.fd >= 0)
        shutdown(source->stream.fd, SHUT_RDWR);
    if (source->query.fd >= 0)
        shutdown(source->query.fd, SHUT_RDWR);
    pthread_mutex_unlock(&source->lock);
}
