/*
 * elasticsearch.h - inside the Elasticsearch sink: what its files share.
 *
 * What the server holds:
 *
 *     alias <index>, index <index>.g<generation>   rows: _id = key, _version = version,
 *                                                  _source = row
 *     index tailrace-<pipeline>-<consumer>         marker, floors, progress, tables that have an
 *                                                  index
 *
 * The sink is used by the main thread while no lane works, and read by the lanes; what lanes change
 * in it is guarded by its two locks. A lane is its thread's alone.
 */
#ifndef TR_ELASTICSEARCH_H
#define TR_ELASTICSEARCH_H

#include <pthread.h>

#include "client.h"
#include "elasticsearch_sink.h"
#include "runtime.h"

#define TR_ES_NAME_MAX 255 /* bytes of an index name, the server's limit */
#define TR_ES_ID_MAX 512   /* bytes of an _id, the server's limit */
#define TR_ES_SCRATCH_MAX (1 << 20)

struct tr_es_settings {
    struct tr_runtime_settings common;
    struct tr_es_server server;
};

/* A table's place on the server. Made by the main thread, constant but for `ready`. */
struct tr_es_table {
    struct tr_es_table *next;
    struct tr_sink_table *source;
    const char *alias;            /* plain */
    const char *path;             /* "/alias", percent-encoded */
    struct tr_slice index_action; /* an action line up to the version */
    struct tr_slice delete_action;
    const struct tr_node *fields; /* overrides of the mapping; NULL = none */
    /* Shapes whose columns the index has; guarded by the sink's `making`. */
    const struct tr_shape **ready;
    size_t ready_count, ready_capacity;
};

/* Which write of the marker we hold to be ours. */
struct tr_es_marker {
    bool known;
    int64_t seq_no, primary_term;
};

struct tr_sink {
    const struct tr_sink_context *context;
    const struct tr_es_settings *settings;
    struct tr_es_client client; /* the main thread's */
    struct tr_arena arena;      /* what lives as long as the sink; main thread */
    const char *state_index;    /* a plain name that needs no encoding */
    size_t body_bytes_max;      /* of a request, as the server says */
    int generation;
    char pipeline_id[64];
    struct tr_es_table *tables;
    pthread_mutex_t making; /* guards every table's ready; held while an index is made */
    pthread_mutex_t lock;   /* guards marker */
    struct tr_es_marker marker;
};

struct tr_sink_lane {
    struct tr_sink *sink;
    struct tr_es_client client;
    struct tr_buf body;    /* of the bulk under way */
    struct tr_buf scratch; /* ids, reasons */
    uint32_t *sent;        /* the bulk's row items: indexes into the batch's records */
    size_t sent_count, sent_capacity;
    const struct tr_shape *ready; /* seen last: most batches have one */
};

static inline struct tr_es_table *tr_es_table_of(const struct tr_sink_table *table)
{
    return table->user;
}

#endif
