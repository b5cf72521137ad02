/*
 * source.h - the connection to the server: checks, the dump stream, the catalogue. The only module
 * that includes mysql.h.
 *
 * Owned by the reading thread, which blocks all signals; only tr_source_wake may be called from
 * another one. Errors: TR_ESOURCE_RETRY = connect again with back-off (network, server shut down,
 * killed dump thread, read time-out); TR_ESOURCE = a person must act, and the text has the
 * statement that helps; TR_ESTATE = the position cannot be resumed (purged, another server).
 */
#ifndef TR_SOURCE_H
#define TR_SOURCE_H

#include "binlog.h"
#include "control.h"
#include "options.h"
#include "place.h"

struct tr_source_settings { /* filled by the options table */
    struct tr_string_list hosts;
    const char *host;
    int64_t port;
    const char *socket;
    const char *user;
    const char *password;
    int64_t server_id; /* 0 = derived from pipeline name and host name */
    int tls_mode;      /* disabled, preferred, required, verify_ca, verify_identity */
    const char *tls_ca, *tls_cert, *tls_key;
    int64_t connect_timeout_ms;
    int64_t heartbeat_ms;  /* 1 s; the read time-out is 4 of them */
    int unlogged_cascades; /* refuse, accept */
};

extern const struct tr_option tr_source_options[]; /* section "source" */

/* What identifies the server and what it can do. */
struct tr_source_server {
    char version[64];
    bool mariadb;
    uint32_t server_id;
    char server_uuid[40]; /* "" on MariaDB */
    bool checksum;
    uint32_t lower_case_table_names;
};

struct tr_source;

int tr_source_new(struct tr_source **out, const struct tr_source_settings *settings,
                  const char *pipeline, struct tr_error *err) TR_MUST_CHECK;
void tr_source_free(struct tr_source *source);
/* Connects (to the first of the hosts that answers) and checks version, log_bin, format ROW, image
 * FULL, metadata FULL, privileges, each failure with the statement that fixes it. */
int tr_source_connect(struct tr_source *source, struct tr_error *err) TR_MUST_CHECK;
void tr_source_disconnect(struct tr_source *source);
const struct tr_source_server *tr_source_server(const struct tr_source *source);
/* The server's number of our newest session: those that began later have greater ones. */
uint32_t tr_source_thread_id(const struct tr_source *source);
/* "host:port", for logs. */
const char *tr_source_endpoint(const struct tr_source *source);

/* The present end of the binlog and the GTID set there (by its own, second connection, which is
 * also used by all catalogue look-ups while the dump runs). */
int tr_source_head(struct tr_source *source, char file[256], uint64_t *offset,
                   char gtid[TR_GTID_SET_BYTES], struct tr_error *err) TR_MUST_CHECK;
/* The oldest binlog file there is. */
int tr_source_oldest(struct tr_source *source, char file[256], struct tr_error *err) TR_MUST_CHECK;
/* The file that follows `file` in the server's index; TR_ESTATE when there is none. */
int tr_source_file_after(struct tr_source *source, const char *file, char next[256],
                         struct tr_error *err) TR_MUST_CHECK;
/* Bytes of the files from `from` on up to, not including, `to`; -1 when the server doesn't have
 * both. */
int tr_source_bytes_between(struct tr_source *source, const char *from, const char *to,
                            int64_t *bytes, struct tr_error *err) TR_MUST_CHECK;
/* File and offset of a GTID set; for `--start GTID`. */
int tr_source_find_gtid(struct tr_source *source, const char *gtid, char file[256],
                        uint64_t *offset, struct tr_error *err) TR_MUST_CHECK;

/* TR_ESTATE with the remedy when the server no longer has the checkpoint's file. */
int tr_source_check_file(struct tr_source *source, const char *file,
                         struct tr_error *err) TR_MUST_CHECK;
/* Whether a dump can begin at file and offset: TR_ESTATE with the reason when it can't. Not while
 * our dump runs, which the server would end. */
int tr_source_check_place(struct tr_source *source, const char *file, uint64_t offset,
                          struct tr_error *err) TR_MUST_CHECK;

/* Begins the dump at file and offset (4 … 2^32-1; the caller discards up to places beyond). */
int tr_source_dump(struct tr_source *source, const char *file, uint64_t offset,
                   struct tr_error *err) TR_MUST_CHECK;
/*
 * The next event, borrowed until the next call: 1 = got one, TR_E… Blocks up to the read time-out;
 * heartbeats come out as events. TR_ESOURCE_RETRY with *truncated set: the file ends in the middle
 * of an event (error 1236): void the open group and go on with tr_source_file_after.
 */
int tr_source_read(struct tr_source *source, const uint8_t **data, size_t *length, bool *truncated,
                   struct tr_error *err) TR_MUST_CHECK;
/* From any thread: makes a blocking read return TR_ESTOPPED. */
void tr_source_wake(struct tr_source *source);

/* ---- catalogue ----------------------------------------------------------------------------------
 */

#define TR_SOURCE_KEY_MAX 64

struct tr_source_key {
    uint32_t columns[TR_SOURCE_KEY_MAX]; /* indexes into the table map's columns */
    uint32_t count;                      /* 0 = none */
};

/* Refines the columns of `table` (json, uuid, inet4, inet6) that the catalogue still has by name
 * and type. Where all its columns still match the map (*same), `key` is the best unique key over
 * NOT NULL columns of a table without a primary key (fewest columns, then first by name); where
 * they don't, it is `older` (the key that the table had before) unless the catalogue speaks against
 * it. TR_ESOURCE with the GRANT when the account may not read the table. */
int tr_source_refine(struct tr_source *source, struct tr_binlog_table *table,
                     const struct tr_source_key *older, bool *same, struct tr_source_key *key,
                     struct tr_error *err) TR_MUST_CHECK;
/* TR_ESOURCE with the GRANT when the account may not SELECT from the table, or, with `table` empty,
 * from any table of the database; 0 also when the table is gone. */
int tr_source_check_select(struct tr_source *source, struct tr_slice database,
                           struct tr_slice table, struct tr_error *err) TR_MUST_CHECK;
/* Calls back for each base table (database, table, whether it has a usable key). */
int tr_source_each_table(struct tr_source *source,
                         int (*visit)(void *context, struct tr_slice database,
                                      struct tr_slice table, bool has_key, struct tr_error *err),
                         void *context, struct tr_error *err) TR_MUST_CHECK;
/* Calls back for each child table whose rows the server changes by CASCADE / SET NULL without
 * logging row events (`constraint` names the foreign key). */
int tr_source_each_unlogged_cascade(struct tr_source *source,
                                    int (*visit)(void *context, struct tr_slice database,
                                                 struct tr_slice table, const char *constraint,
                                                 struct tr_error *err),
                                    void *context, struct tr_error *err) TR_MUST_CHECK;
/* The server's binlog filters (binlog_do_db …) as text, "" when none. */
int tr_source_filters(struct tr_source *source, char *out, size_t size,
                      struct tr_error *err) TR_MUST_CHECK;

#endif
