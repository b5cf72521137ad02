/*
 * runtime.h - the program around a sink. A store's main.c is one call of tr_runtime_main.
 */
#ifndef TR_RUNTIME_H
#define TR_RUNTIME_H

#include "sink.h"

/* Settings that every consumer has in its section; the first member of a sink's settings struct
 * need not be this one (settings_common_offset says where it is). */
struct tr_runtime_settings {
    const char *name;             /* consumer name; "" = the sink's */
    const struct tr_node *tables; /* rules */
    const char *http_listen;
    int64_t lanes; /* 0 = the sink's default; so below */
    int64_t batch_records_max;
    int64_t batch_bytes_max;
    int64_t queue_bytes_max; /* fetched and not applied, all lanes together */
    int64_t shape_wait_ms;   /* how long a record waits for its table's shape */
};

/* The rows of the option table for these, to be put first into a sink's table:
 *     const struct tr_option options[] = {TR_RUNTIME_OPTIONS(struct redis_settings, common), …,
 * {0}};
 */
#define TR_RUNTIME_OPTIONS(owner, member)                                                          \
    {.key = "name",                                                                                \
     .type = TR_OPT_STRING,                                                                        \
     .offset = offsetof(owner, member.name),                                                       \
     .help = "Consumer name: part of the group, the dead letter topic and the store's marker."},   \
        {.key = "tables",                                                                          \
         .type = TR_OPT_NODE,                                                                      \
         .offset = offsetof(owner, member.tables),                                                 \
         .common = true,                                                                           \
         .help = "Rules for the tables to take, last match wins."},                                \
        {.key = "http.listen",                                                                     \
         .type = TR_OPT_STRING,                                                                    \
         .offset = offsetof(owner, member.http_listen),                                            \
         .common = true,                                                                           \
         .help = "host:port for /metrics, /healthz, /readyz, /status; off if unset."},             \
        {.key = "lanes",                                                                           \
         .type = TR_OPT_INT,                                                                       \
         .offset = offsetof(owner, member.lanes),                                                  \
         .min = 0,                                                                                 \
         .max = 64,                                                                                \
         .help = "Parallel writers; 0 = what suits the store."},                                   \
        {.key = "batch_records_max",                                                               \
         .type = TR_OPT_INT,                                                                       \
         .offset = offsetof(owner, member.batch_records_max),                                      \
         .min = 0,                                                                                 \
         .max = 1000000,                                                                           \
         .help = "Records per batch; 0 = what suits the store."},                                  \
        {.key = "batch_bytes_max",                                                                 \
         .type = TR_OPT_SIZE,                                                                      \
         .offset = offsetof(owner, member.batch_bytes_max),                                        \
         .min = 0,                                                                                 \
         .max = 1 << 30,                                                                           \
         .help = "Bytes per batch; 0 = what suits the store."},                                    \
        {.key = "queue_bytes_max",                                                                 \
         .type = TR_OPT_SIZE,                                                                      \
         .def = "64MiB",                                                                           \
         .offset = offsetof(owner, member.queue_bytes_max),                                        \
         .min = 1 << 20,                                                                           \
         .max = INT64_MAX,                                                                         \
         .help = "Bound of what is fetched and not applied yet."},                                 \
    {                                                                                              \
        .key = "shape_wait", .type = TR_OPT_DURATION, .def = "60s",                                \
        .offset = offsetof(owner, member.shape_wait_ms), .min = 0, .max = 86400000,                \
        .help = "How long a record may wait for its table's shape before the process stops."       \
    }

/* run, check, status, reset, help. Returns the exit code. */
int tr_runtime_main(const struct tr_sink_ops *ops, int argc, char **argv);

#endif
