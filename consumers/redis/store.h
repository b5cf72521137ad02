/*
 * store.h - inside the Redis sink.
 *
 * Beside the rows a Redis holds, for one pipeline and consumer:
 *
 *     tailrace:v:{<key>}                    the version of a row: 16 digits, `d` behind if deleted
 *     tailrace:store:<pipeline>:<consumer>  hash: pipeline, pipeline_id, consumer, generation,
 *                                           format, floor:["db","table"],
 *                                           progress:["topic","inc",n], lane:<random>
 *
 * One connection per lane and one of the main thread's, each used by its owner only. Tables are
 * added by the main thread; what lanes change of them is guarded by the sink's lock.
 */
#ifndef TR_REDIS_STORE_H
#define TR_REDIS_STORE_H

#include <hiredis.h>
#include <pthread.h>

#include "redis_sink.h"
#include "runtime.h"
#include "template.h"

struct redis_settings {
    struct tr_runtime_settings common;
    const char *url;
    const char *user;
    const char *password;
    int64_t delete_marker_ttl_ms;
    int64_t connect_timeout_ms;
    int64_t timeout_ms;
};

struct rd_table {
    struct rd_table *next;
    struct tr_sink_table *source;
    const struct tr_shape *first;          /* that was ever seen; rules while nothing else does */
    const struct tr_shape *_Atomic ruling; /* see kind.h; NULL = no record has come */
    const char *key;                       /* the template's text; the configuration's */
    char *prefix;                          /* what every key of the table begins with */
    int64_t ttl_ms;                        /* 0 = for ever */
    struct rd_kind *kinds;                 /* see kind.h; guarded by the sink's lock */
};

/* What a lane knows of the records that it saw last: how Redis keys are made of theirs. */
struct rd_fit {
    const struct rd_table *table; /* NULL = the rest means nothing */
    const struct tr_shape *ruling, *shape;
    const struct rd_kind *kind;
    uint8_t from[RD_KEY_COLUMNS_MAX];
};

struct rd_connection {
    struct tr_sink *sink;
    redisContext *redis;     /* NULL = not connected */
    char where[288];         /* for messages: the socket's path, or host:port */
    int64_t value_bytes_max; /* the server's proto-max-bulk-len */
    struct tr_buf out;       /* commands not sent yet */
    /* A lane numbers its pipelines in a field of the store's hash, in the pipeline itself: with the
     * time in ms, or one more than the last. So does the main connection when it has loaded the
     * store's state. A number of either that is below the last one that was answered says, at the
     * next connection, that the server lost writes. A killed process leaves its numbers: the oldest
     * of many are forgotten, after a week, at the next start. */
    char session[24]; /* the field, "" where nothing may be written */
    int64_t sent;     /* the last number */
    int64_t answered; /* the last one that was answered */
};

struct tr_sink {
    const struct tr_sink_context *context;
    const struct redis_settings *settings;
    struct rd_table *tables;
    char *state_key;
    char pipeline_id[32]; /* as the marker has it; "" until loaded or claimed */
    struct rd_connection main;
    _Atomic int64_t loaded; /* the main connection's number of the state that lanes go on from */
    pthread_mutex_t lock;   /* guards every table's kinds */
};

/* What begins so is ours: no row's key may. */
#define RD_VERSION_PREFIX "tailrace:v:{"
#define RD_STORE_PREFIX "tailrace:store:"

#define RD_VERSION_DIGITS 16

/* Fields of the store's hash begin so. */
#define RD_FLOOR_FIELD "floor:"
#define RD_PROGRESS_FIELD "progress:"
#define RD_LANE_FIELD "lane:"

struct tr_sink_lane {
    struct rd_connection connection;
    struct rd_fit fit;
    struct tr_buf key;
};

/* command.c: commands in the protocol's own form, and replies. */
void rd_command(struct rd_connection *connection, size_t argument_count);
void rd_argument(struct rd_connection *connection, struct tr_slice text);
void rd_argument_text(struct rd_connection *connection, const char *text);
void rd_argument_int(struct rd_connection *connection, int64_t number);
/* Starts `EVALSHA script` with that many keys and arguments to follow. */
enum rd_script {
    RD_SCRIPT_SET,
    RD_SCRIPT_DELETE,
    RD_SCRIPT_SWEEP,
    RD_SCRIPT_PROGRESS,
    RD_SCRIPT_FLOOR,
    RD_SCRIPT_CLAIM,
    RD_SCRIPTS
};
void rd_script(struct rd_connection *connection, enum rd_script script, size_t keys,
               size_t arguments);
/* Sends what was collected. On failure the connection is closed. */
int rd_send(struct rd_connection *connection, struct tr_error *err) TR_MUST_CHECK;
/* The next reply; an error reply is returned as a reply. The caller frees it. */
int rd_receive(struct rd_connection *connection, redisReply **reply,
               struct tr_error *err) TR_MUST_CHECK;
/* One command, one reply; error replies become errors. */
int rd_call(struct rd_connection *connection, redisReply **reply,
            struct tr_error *err) TR_MUST_CHECK;
/* The same, and a reply of another type (REDIS_REPLY_…) is TR_ESTORE, named by `what`. */
int rd_call_for(struct rd_connection *connection, int type, const char *what, redisReply **reply,
                struct tr_error *err) TR_MUST_CHECK;
/* TR_ESTORE: what answers is no Redis, or none that we know. */
int rd_misunderstood(const char *what, struct tr_error *err);
/* What an error reply means: TR_ESTORE_RETRY, TR_EPOISON, TR_ESTATE or TR_ESTORE; sets err. */
int rd_reply_error(const redisReply *reply, struct tr_error *err);
/* What the user must be allowed, for messages; CONFIG GET may be refused. */
#define RD_COMMANDS                                                                                \
    "SELECT, SCRIPT LOAD, EVALSHA, GET, SET, MSET, DEL, SCAN, DBSIZE, HGET, HMGET, HGETALL, "      \
    "HKEYS, "                                                                                      \
    "HSET, HDEL"

/* connect.c */
int rd_connection_init(struct rd_connection *connection, struct tr_sink *sink,
                       struct tr_error *err) TR_MUST_CHECK;
/* Connects when needed: authenticates, selects, loads the scripts, checks the marker. */
int rd_connection_ready(struct rd_connection *connection, struct tr_error *err) TR_MUST_CHECK;
void rd_connection_close(struct rd_connection *connection);
void rd_connection_done(struct rd_connection *connection);
int rd_url_check(const struct redis_settings *settings, struct tr_error *err) TR_MUST_CHECK;
extern const char *const rd_script_texts[RD_SCRIPTS];
/* SHA-1 of the scripts in hex, as the server named them; the same on every server. */
extern const char rd_script_hashes[RD_SCRIPTS][41];

/* state.c: marker, floors and progress in the store's hash. */
int rd_state_load(struct tr_sink *sink, struct tr_sink_state *state, struct tr_error *err);
void rd_state_append_progress(struct rd_connection *connection,
                              const struct tr_sink_progress *progress, size_t count);
/* The two arguments that such a field is. */
void rd_state_append_field(struct rd_connection *connection,
                           const struct tr_sink_progress *progress);
/* TR_ESTATE when writes that were answered are gone, the lane's own or what was loaded. */
int rd_state_check_writes(struct rd_connection *connection, struct tr_error *err) TR_MUST_CHECK;
/* Numbers what the main connection has just loaded or claimed. */
int rd_state_number_loaded(struct tr_sink *sink, struct tr_error *err) TR_MUST_CHECK;
/* Removes the connection's number from the store's hash. */
void rd_state_end_session(struct rd_connection *connection);
/* What the reply of an append_progress or append_floor says: TR_ESTATE = the marker is gone. */
int rd_state_reply(const redisReply *reply, struct tr_error *err);
void rd_state_append_floor(struct rd_connection *connection, const struct tr_sink_table *table,
                           int64_t version);

/* claim.c: whose store it is, and what `reset --drop` removes. */
int rd_claim(struct tr_sink *sink, const struct tr_sink_state *state, struct tr_error *err);
/* TR_ESTATE when a database without our marker has rows where ours would be. */
int rd_claim_check(struct tr_sink *sink, struct tr_error *err) TR_MUST_CHECK;
int rd_drop_plan(struct tr_sink *sink, struct tr_sink_table *const *tables, size_t count,
                 struct tr_buf *lines, struct tr_error *err);
int rd_drop(struct tr_sink *sink, struct tr_sink_table *const *tables, size_t count,
            struct tr_error *err);

/* apply.c */
int rd_apply(struct tr_sink_lane *lane, const struct tr_sink_batch *batch,
             struct tr_sink_result *results, struct tr_error *err);
int rd_mark(struct tr_sink_lane *lane, struct tr_sink_table *table, enum tr_event_type type,
            int64_t version, struct tr_error *err);
int rd_progress(struct tr_sink_lane *lane, const struct tr_sink_progress *progress, size_t count,
                struct tr_error *err);
/* RD_VERSION_DIGITS digits. */
void rd_version_text(char *out, int64_t version);
void rd_append_version_key(struct rd_connection *connection, struct tr_slice key);

/* sweep.c: rows found by what the names of their versions begin with. */

/* Removes all rows of a table with a version below the floor, and leaves of each, as a delete
 * would, a marker just below it: a late write of an older version, by a process that does not know
 * the floor, stays stale. */
int rd_sweep(struct rd_connection *connection, const struct rd_table *table, int64_t floor,
             struct tr_error *err) TR_MUST_CHECK;
/* Removes all rows of a table and what is known of them. */
int rd_sweep_all(struct rd_connection *connection, const struct rd_table *table,
                 struct tr_error *err) TR_MUST_CHECK;
/* The first of the sink's tables of which the database has anything; NULL = none. */
int rd_find_rows(struct tr_sink *sink, const struct rd_table **found,
                 struct tr_error *err) TR_MUST_CHECK;

#endif
