/* http_server.c - see http_server.h. The only file that knows libmicrohttpd. */
#include "http_server.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <microhttpd.h>

#define REPLY_BYTES_MAX (16U << 20)
#define CONNECTIONS_MAX 64U
#define CONNECTION_BYTES_MAX ((size_t)32 << 10)
#define IDLE_SECONDS_MAX 10U
#define BACKLOG 64
#define ADDRESS_BYTES_MAX 256

struct tr_http_server {
    struct MHD_Daemon *daemon;
    const struct tr_http_route *routes;
    void *context;
    int port;
};

/* Sends and lets go of a reply; a NULL one (memory is out) closes the connection. */
static enum MHD_Result queue(struct MHD_Connection *connection, int status, const char *header,
                             const char *value, struct MHD_Response *response)
{
    if (response == NULL)
        return MHD_NO;
    enum MHD_Result result = MHD_add_response_header(response, header, value);
    if (result == MHD_YES)
        result = MHD_queue_response(connection, (unsigned)status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result answer_text(struct MHD_Connection *connection, int status,
                                   const char *header, const char *value, const char *text)
{
    union {
        const char *text;
        void *data; /* libmicrohttpd takes constants by a plain pointer and leaves them alone */
    } body = {.text = text};
    return queue(connection, status, header, value,
                 MHD_create_response_from_buffer(strlen(text), body.data, MHD_RESPMEM_PERSISTENT));
}

static enum MHD_Result answer_route(const struct tr_http_server *server,
                                    struct MHD_Connection *connection,
                                    const struct tr_http_route *route)
{
    struct tr_buf out;
    tr_buf_init(&out, REPLY_BYTES_MAX);
    int status = route->handle(server->context, &out);
    if (out.failed) {
        tr_buf_done(&out);
        return answer_text(connection, MHD_HTTP_INTERNAL_SERVER_ERROR, "Content-Type", "text/plain",
                           "the reply is too large\n");
    }
    /* The response owns the buffer's memory from here on. */
    struct MHD_Response *response =
        MHD_create_response_from_buffer(out.length, out.data, MHD_RESPMEM_MUST_FREE);
    if (response == NULL)
        tr_buf_done(&out);
    return queue(connection, status, "Content-Type", route->content_type, response);
}

static const struct tr_http_route *find_route(const struct tr_http_route *route, const char *path)
{
    while (route->path != NULL && strcmp(route->path, path) != 0)
        route++;
    return route->path != NULL ? route : NULL;
}

/* libmicrohttpd calls once for the headers, then for pieces of a body, then with none left. */
static enum MHD_Result handle(void *context, struct MHD_Connection *connection, const char *path,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_length, void **seen)
{
    static char mark;
    const struct tr_http_server *server = context;
    (void)version;
    (void)upload;
    if (*seen == NULL) {
        *seen = &mark;
        return MHD_YES;
    }
    if (*upload_length > 0) {
        *upload_length = 0;
        return MHD_YES;
    }
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0)
        return answer_text(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "Allow", "GET",
                           "only GET is served here\n");
    const struct tr_http_route *route = find_route(server->routes, path);
    if (route == NULL)
        return answer_text(connection, MHD_HTTP_NOT_FOUND, "Content-Type", "text/plain",
                           "there is nothing at this path\n");
    return answer_route(server, connection, route);
}

/* Splits "host:port" or "[v6]:port" in place. False when the port is none. */
static bool split_address(char *address, char **host, char **port)
{
    char *colon = strrchr(address, ':');
    if (colon == NULL || colon[1] == '\0')
        return false;
    *colon = '\0';
    *port = colon + 1;
    *host = address;
    size_t length = strlen(address);
    if (address[0] == '[' && address[length - 1] == ']') {
        address[length - 1] = '\0';
        *host = address + 1;
    }
    return strspn(*port, "0123456789") == strlen(*port) && strtoul(*port, NULL, 10) <= UINT16_MAX;
}

/* A socket that listens, or -1 with errno. */
static int listen_on(const struct addrinfo *address)
{
    int yes = 1;
    int fd = socket(address->ai_family, address->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
                    address->ai_protocol);
    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) == 0 &&
        bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int why = errno;
    close(fd);
    errno = why;
    return -1;
}

static int open_socket(const char *listen_text, int *fd, struct tr_error *err)
{
    char copy[ADDRESS_BYTES_MAX];
    char *host, *port;
    size_t length = strlen(listen_text);
    if (length < sizeof(copy))
        memcpy(copy, listen_text, length + 1);
    if (length >= sizeof(copy) || !split_address(copy, &host, &port))
        return tr_error_set(err, TR_ECONFIG, "http.listen: \"%s\" is no address; write HOST:PORT",
                            listen_text);
    struct addrinfo *found = NULL;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    bool any = host[0] == '\0' || strcmp(host, "*") == 0;
    int code = getaddrinfo(any ? NULL : host, port, &hints, &found);
    if (code != 0)
        return tr_error_set_native(err, TR_ECONFIG, code, "http.listen: can't resolve %s: %s",
                                   listen_text, gai_strerror(code));
    *fd = -1;
    /* A name's next address is for machines without the first one's family. A taken port is not
     * that: who asks for localhost:9464 must not get half of it. */
    int why = EADDRNOTAVAIL;
    for (const struct addrinfo *it = found;
         it != NULL && *fd < 0 && (why == EADDRNOTAVAIL || why == EAFNOSUPPORT); it = it->ai_next) {
        *fd = listen_on(it);
        why = errno;
    }
    freeaddrinfo(found);
    if (*fd < 0)
        return tr_error_set_native(err, TR_ECONFIG, why,
                                   "http.listen: can't listen on %s: %s; choose another address",
                                   listen_text, strerror(why));
    return 0;
}

static int port_of(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } name = {0};
    socklen_t length = sizeof(name);
    if (getsockname(fd, &name.any, &length) != 0)
        return 0;
    return ntohs(name.any.sa_family == AF_INET6 ? name.v6.sin6_port : name.v4.sin_port);
}

int tr_http_server_start(struct tr_http_server **out, const char *listen_text,
                         const struct tr_http_route *routes, void *context, struct tr_error *err)
{
    int fd = -1;
    int code = open_socket(listen_text, &fd, err);
    if (code != 0)
        return code;
    struct tr_http_server *server = calloc(1, sizeof(*server));
    if (server != NULL) {
        server->routes = routes;
        server->context = context;
        server->port = port_of(fd);
        server->daemon = MHD_start_daemon(
            MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_AUTO, 0, NULL, NULL, handle, server,
            MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX,
            MHD_OPTION_CONNECTION_TIMEOUT, IDLE_SECONDS_MAX, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
            CONNECTION_BYTES_MAX, MHD_OPTION_END);
    }
    if (server == NULL || server->daemon == NULL) {
        close(fd);
        free(server);
        return tr_error_set(err, TR_EIO, "can't start the HTTP server on %s", listen_text);
    }
    *out = server;
    return 0;
}

int tr_http_server_port(const struct tr_http_server *server)
{
    return server->port;
}

void tr_http_server_stop(struct tr_http_server *server)
{
    if (server == NULL)
        return;
    MHD_stop_daemon(server->daemon); /* also closes the socket */
    free(server);
}
