/*
 * internal.h - what the files of this module share. Nobody else includes it.
 *
 * Two connections: `stream` carries the dump, `query` all SQL while the dump runs. Each is a
 * struct tr_connection, whose descriptor is a duplicate of the library's socket: the library may
 * close its own at any error, so the thread that wakes us shuts the duplicate down, under the lock.
 */
#ifndef TR_SOURCE_INTERNAL_H
#define TR_SOURCE_INTERNAL_H

#include <mysql.h>
#include <pthread.h>

#include "source.h"

/* <errmsg.h> and <mysqld_error.h> have the others; these two are MariaDB's own or newer. */
enum {
    TR_SERVER_MASTER_FATAL = 1236,
    TR_SERVER_SLAVE_SAME_ID = 4052,
};

enum tr_tls_mode {
    TR_TLS_DISABLED,
    TR_TLS_PREFERRED,
    TR_TLS_REQUIRED,
    TR_TLS_VERIFY_CA,
    TR_TLS_VERIFY_IDENTITY,
};

#define TR_SOURCE_HOSTS_MAX 16
/* Catalogue look-ups may open many tables; the dump has its heartbeat instead. */
#define TR_SOURCE_QUERY_TIMEOUT_S 60

struct tr_source_host {
    char name[256];
    unsigned port;
};

struct tr_connection {
    MYSQL *mysql; /* NULL = not connected */
    int fd;       /* duplicate of its socket, -1 = none; guarded by tr_source.lock */
};

struct tr_source {
    struct tr_source_settings settings; /* its strings belong to the caller */
    struct tr_source_host hosts[TR_SOURCE_HOSTS_MAX];
    size_t host_count;
    size_t host_used;   /* the one we are connected to */
    uint32_t server_id; /* ours */
    struct tr_source_server server;
    char endpoint[300];

    struct tr_connection stream;
    struct tr_connection query;
    bool dumping;         /* the stream connection has been used for a dump */
    uint64_t dump_offset; /* where the dump began */
    char dump_file[256];
    bool dump_moved; /* an event that takes room in the file has come since */

    pthread_mutex_t lock; /* guards both fds and `stopping` */
    bool stopping;
};

/* hosts.c, pure */
int tr_source_parse_host(const char *text, unsigned default_port, struct tr_source_host *out,
                         struct tr_error *err) TR_MUST_CHECK;
int tr_source_parse_hosts(const struct tr_source_settings *settings, struct tr_source_host *out,
                          size_t max, size_t *count, struct tr_error *err) TR_MUST_CHECK;
/* A replica id from names: in the upper half, away from the ids that people give. Never 0. */
uint32_t tr_source_derive_server_id(const char *pipeline, const char *host_name);
/* TR_ECONFIG for a combination of TLS settings that can't do what it says. */
int tr_source_check_tls(const struct tr_source_settings *settings,
                        struct tr_error *err) TR_MUST_CHECK;

/* grants.c, pure */
/* Whether a line of SHOW GRANTS gives the privilege (also by ALL PRIVILEGES ON *.*). */
bool tr_source_grant_has(struct tr_slice grant, const char *privilege);

/* error.c, pure */
/* The code for a server's or the library's error; *truncated as in tr_source_read. `hint`, when not
 * "", says what helps; {user} in it stands for our account. */
int tr_source_classify(unsigned native, const char *text, bool *truncated, const char **hint);

/* connection.c */
int tr_connection_open(struct tr_source *source, struct tr_connection *connection,
                       const struct tr_source_host *host, unsigned read_timeout_s,
                       struct tr_error *err) TR_MUST_CHECK;
void tr_connection_close(struct tr_source *source, struct tr_connection *connection);
bool tr_source_stopping(struct tr_source *source);
unsigned tr_source_read_timeout_s(const struct tr_source *source);
/* Sets err from the connection's last error, classified; `what` says what we were doing. */
int tr_connection_error(struct tr_source *source, MYSQL *mysql, const char *what, bool *truncated,
                        struct tr_error *err);
/* Runs a statement without result. */
int tr_connection_execute(struct tr_source *source, struct tr_connection *connection,
                          const char *sql, struct tr_error *err) TR_MUST_CHECK;
/* Runs a query on a connection; the caller frees the result. */
int tr_connection_select(struct tr_source *source, struct tr_connection *connection,
                         const char *sql, MYSQL_RES **out, struct tr_error *err) TR_MUST_CHECK;
/* The same on the query connection, which is opened, or opened anew when it was lost. */
int tr_source_select(struct tr_source *source, const char *sql, MYSQL_RES **out,
                     struct tr_error *err) TR_MUST_CHECK;
/* Appends 'text' quoted as an SQL string (for sessions without NO_BACKSLASH_ESCAPES). */
void tr_source_quote(struct tr_buf *sql, struct tr_slice text);

/* check.c */
int tr_source_check(struct tr_source *source, struct tr_error *err) TR_MUST_CHECK;

/* dump.c */
/* Announces what a replica of ours understands, before a dump. */
int tr_source_announce(struct tr_source *source, struct tr_connection *connection,
                       struct tr_error *err) TR_MUST_CHECK;
int tr_source_send_dump(struct tr_source *source, struct tr_connection *connection,
                        const char *file, uint64_t offset, unsigned flags,
                        struct tr_error *err) TR_MUST_CHECK;

/* locate.c */
/* Whether `offset` is where an event of the file starts or ends, as the server reads the file. */
int tr_source_is_boundary(struct tr_source *source, const char *file, uint64_t offset, bool *is,
                          struct tr_error *err) TR_MUST_CHECK;

#endif
