/*
 * es_helpers.h - what tests of the Elasticsearch sink need: a sink on the stack's server, shapes,
 * records, and a look at what the server holds.
 *
 * The server is the one of the stack in TAILRACE_STACK_DIR (see deploy/stack). Each test has a
 * pipeline of its own, named by a random number, and removes its indices.
 */
#ifndef TR_TEST_ES_HELPERS_H
#define TR_TEST_ES_HELPERS_H

#include "elasticsearch.h"

#define ES_TABLES_MAX 4
#define ES_RECORDS_MAX 4096

struct es_world {
    char url[256];
    char pipeline[64];
    struct tr_es_settings settings;
    struct tr_sink_context context;
    struct tr_sink *sink;
    struct tr_sink_lane *lane;
    struct tr_arena arena; /* of a batch: reset by es_begin */
    struct tr_arena names; /* of shapes */
    struct tr_error err;
    struct tr_http_client *http;
    struct tr_buf reply;
    int status;
    struct tr_sink_table tables[ES_TABLES_MAX];
    struct tr_sink_record records[ES_RECORDS_MAX];
    struct tr_sink_result results[ES_RECORDS_MAX];
    size_t count;
    const char *urls[2];
};

extern struct es_world world;

/* cmocka set-up and tear-down. */
int es_setup(void **state);
int es_teardown(void **state);

/* Opens the sink (again), with a lane; the marker is claimed when `claim`. */
void es_open(bool claim);
void es_close(void);
int es_try_claim(const char *pipeline_id, const struct tr_sink_progress *progress, size_t count,
                 bool replace);
/* As reset does. */
void es_claim(const char *pipeline_id, const struct tr_sink_progress *progress, size_t count);
/* The error's text, for messages. */
const char *es_error(void);
#define assert_done(call)                                                                          \
    do {                                                                                           \
        if ((call) != 0)                                                                           \
            fail_msg("%s", es_error());                                                            \
    } while (0)
/* That it failed so, with that in its message; and forgets the error. */
#define assert_stops(call, wanted, text)                                                           \
    do {                                                                                           \
        assert_int_equal((call), (wanted));                                                        \
        assert_non_null(strstr(es_error(), (text)));                                               \
        tr_error_reset(&world.err);                                                                \
    } while (0)

struct tr_shape_column es_column(const char *name, enum tr_sql_type type);
/* A shape of columns that live on; the first `keys` are the key. */
struct tr_shape es_shape(const char *table, struct tr_shape_column *columns, uint32_t count,
                         uint32_t keys);
/* Table number `index` of the world, told to the sink. */
struct tr_sink_table *es_table(size_t index, const char *name, const struct tr_shape *shape);

/* A batch of records; key and data are copied. */
void es_begin(void);
void es_put(struct tr_sink_table *table, const struct tr_shape *shape, int64_t version,
            const char *key, const char *data);
int es_apply(void);

/* A request past the sink; the reply is in world.reply, with a NUL behind it. */
int es_call(const char *method, const char *path, const char *body);
/* Whether the row is there, with that _source. */
bool es_holds(const char *alias, const char *id, const char *source);
int64_t es_version(const char *alias, const char *id);
int64_t es_count(const char *alias);

#endif
