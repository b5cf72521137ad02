/*
 * sink.h - what a store has to provide; everything else is the runtime's.
 *
 * A sink is one folder with one table of operations. The runtime alone does Kafka, batching, lanes,
 * coalescing, back-off, dead letters, offsets, floors' staleness, metrics and logging, and never
 * lets two writes of one key be in flight together: a key lies in one partition, a partition in one
 * lane, and a lane applies one batch at a time.
 *
 * Threads: open, load, claim, check, drop and close run in the main thread while no lane works;
 * table in the main thread at any time; lane operations in that lane's thread (lane_open and
 * lane_close in the main thread before and after it).
 *
 * The runtime calls through sink_call.h, which asserts this contract. NULL is allowed for
 * check_named, close, table, check, drop_plan, drop, lane_open and lane_close (a sink without lanes
 * of its own is called with a lane of NULL), and for load, claim and progress of a stateless sink.
 */
#ifndef TR_SINK_H
#define TR_SINK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "arena.h"
#include "control.h"
#include "event.h"
#include "options.h"

/* A mapped source table. Made by the runtime with the first shape of the table; never freed while
 * it runs. */
struct tr_sink_table {
    struct tr_slice database, table; /* plain */
    const struct tr_node *settings;  /* the configuration's map for this table, NULL = none */
    _Atomic int64_t floor;           /* versions below are stale */
    const struct tr_shape
        *_Atomic newest; /* that control has; a replay's records name older ones */
    void *user;          /* the sink's own, set by `table` below */
};

/* A row change, after coalescing. Everything is borrowed for the call. */
struct tr_sink_record {
    struct tr_sink_table *table;
    const struct tr_shape
        *shape;  /* of the record's schema_id; of a bare tombstone, that of its version's time */
    bool remove; /* delete or tombstone: `data` may be empty */
    int64_t version;
    struct tr_slice key;     /* the Kafka key's JSON text */
    struct tr_slice data;    /* the row's JSON object text */
    struct tr_slice invalid; /* JSON array of column names, empty = none */
};

enum tr_sink_status { TR_SINK_APPLIED, TR_SINK_STALE, TR_SINK_RETRY, TR_SINK_POISON };

struct tr_sink_result {
    enum tr_sink_status status;
    const char *reason; /* POISON and RETRY: why, in the batch's arena */
};

/* Where a store stands in one partition: the next offset it needs. */
struct tr_sink_progress {
    const char *topic;
    const char *incarnation;
    int32_t partition;
    int64_t next;
};

struct tr_sink_batch {
    const struct tr_sink_record *records; /* each key once, per partition in log order */
    size_t count;
    /* True already, also if this batch fails: a store without transactions writes these along. */
    const struct tr_sink_progress *settled;
    size_t settled_count;
    /* True once every record of this batch is APPLIED or STALE: for stores that write rows and
     * progress in one transaction; only if all results are so. */
    const struct tr_sink_progress *after;
    size_t after_count;
    struct tr_arena *arena; /* scratch for the call; reset by the runtime */
};

struct tr_sink_floor {
    const char *database, *table;
    int64_t version;
};

#define TR_SINK_FORMAT 1 /* of marker, floors and progress; a higher one is refused */

/* What a store carries about itself. Strings in `arena`. */
struct tr_sink_state {
    struct tr_arena *arena;
    bool marked; /* it has a marker; the following is meaningful only then */
    bool empty;  /* it holds nothing of ours: no rows where rows would be */
    int format;
    const char *pipeline, *pipeline_id, *consumer;
    int generation;
    struct tr_sink_floor *floors;
    size_t floor_count;
    struct tr_sink_progress *progress;
    size_t progress_count;
    bool replace; /* for claim: a marker that is there is replaced, and old progress forgotten */
};

struct tr_sink_context { /* given to open; outlives the sink */
    const char *pipeline;
    const char *consumer; /* the section's `name:`, else the sink's name */
    const void *settings; /* the filled struct of the sink's options */
    bool read_only;       /* check, reset's plan: connect, but change nothing and take no lock */
};

struct tr_sink;
struct tr_sink_lane;

struct tr_sink_ops {
    const char *name; /* section, program suffix, default consumer name */
    const char *purpose;
    const struct tr_option *options;
    size_t settings_size;
    size_t settings_common_offset; /* of the struct tr_runtime_settings inside the settings */
    bool exclusive;                /* one process holds the store and all partitions */
    bool stateless; /* holds nothing of itself (stdout): only the group's offsets count,
                       and load, claim and progress are never called */
    unsigned lanes; /* default number */
    size_t batch_records_max, batch_bytes_max; /* defaults */

    const struct tr_rule_key *rule_keys; /* what a rule of `tables:` may say; NULL: only `table` */
    /* Checks the values of one such rule, before anything is opened; NULL: any are good.
     * TR_ECONFIG with file and line. */
    int (*check_rule)(const char *pattern, const struct tr_node *settings, struct tr_error *err);
    /* For `check`, before anything is opened: whether the tables that rules name, of which there
     * may be no shape yet, would get in each other's way; NULL: they can't. TR_ECONFIG. */
    int (*check_named)(struct tr_sink_table *tables, size_t count, struct tr_error *err);
    /* TR_ECONFIG, TR_ESTORE (fatal), TR_ESTORE_RETRY. Checks the sink's configuration first. */
    int (*open)(struct tr_sink **out, const struct tr_sink_context *context, struct tr_error *err);
    void (*close)(struct tr_sink *sink);
    int (*load)(struct tr_sink *sink, struct tr_sink_state *state, struct tr_error *err);
    /* Writes the marker (pipeline, pipeline_id, consumer, format, generation) and the given
     * progress, creating what holds them. Without `replace` the store was new when it was loaded:
     * a marker that is there by now is kept and adopted, with all that came with it, if it is ours
     * (two processes that start at once), else TR_ESTATE. An exclusive store has no other. */
    int (*claim)(struct tr_sink *sink, const struct tr_sink_state *state, struct tr_error *err);
    /* Validates one table's mapping (names, key template, collisions) and may set table->user; main
     * thread. Called before any record of the table. TR_ECONFIG. */
    int (*table)(struct tr_sink *sink, struct tr_sink_table *table, const struct tr_shape *shape,
                 struct tr_error *err);
    /* What a person should know before `run`: TR_ECONFIG/TR_ESTORE when it would not work. */
    int (*check)(struct tr_sink *sink, struct tr_error *err);
    /* For `reset --drop`: appends one line per thing that drop would remove. */
    int (*drop_plan)(struct tr_sink *sink, struct tr_sink_table *const *tables, size_t count,
                     struct tr_buf *lines, struct tr_error *err);
    int (*drop)(struct tr_sink *sink, struct tr_sink_table *const *tables, size_t count,
                struct tr_error *err);

    int (*lane_open)(struct tr_sink *sink, unsigned number, struct tr_sink_lane **out,
                     struct tr_error *err);
    void (*lane_close)(struct tr_sink_lane *lane);
    /*
     * Applies a batch, filling one result per record, and returns 0; or nothing is known of any:
     * TR_ESTORE_RETRY (the runtime waits and gives the same batch again), TR_ESTORE or TR_ESTATE
     * (the process stops: a lost or foreign store, a closed index). Must notice, at the latest
     * with the first batch after a reconnect, that the store lost its marker (TR_ESTATE naming
     * `reset`). A row is written only if its version is at least the stored one. Creates or
     * extends what a new shape needs.
     */
    int (*apply)(struct tr_sink_lane *lane, const struct tr_sink_batch *batch,
                 struct tr_sink_result *results, struct tr_error *err);
    /* A marker (truncate, drop, sweep): stores the floor, then removes rows (and tombstones) of the
     * table with a version below it. Repeatable. */
    int (*mark)(struct tr_sink_lane *lane, struct tr_sink_table *table, enum tr_event_type type,
                int64_t version, struct tr_error *err);
    /* Writes progress alone (idle, drain, after dead letters). */
    int (*progress)(struct tr_sink_lane *lane, const struct tr_sink_progress *progress,
                    size_t count, struct tr_error *err);
};

#endif
