/*
 * status.h - what capture knows of itself, for /status, /metrics and the status command.
 *
 * Written by the reading thread (head, state), the publishing one (how far it is) and read by the
 * HTTP thread, under one lock; rows are counted in metrics, without it.
 */
#ifndef TR_CAPTURE_STATUS_H
#define TR_CAPTURE_STATUS_H

#include <pthread.h>
#include <stdatomic.h>

#include "mark.h"
#include "metrics.h"
#include "needs.h"

#define TR_STATUS_TABLES_MAX 4096

struct tr_status_table {
    char name[400]; /* "database.table" */
    struct tr_metric *rows;
};

struct tr_status {
    _Atomic int64_t beat_us; /* monotonic, of the publishing thread; 0 = it has not begun */
    pthread_mutex_t lock;    /* guards all below */
    const char *pipeline;
    const char *state; /* a literal: "connecting", "running", "reconnecting", "stopping" */
    char trouble[300]; /* why it isn't running, "" otherwise */
    char kafka_trouble[300];
    struct tr_mark mark; /* all up to here is acknowledged, or written */
    bool has_mark;
    char head_file[256];
    uint64_t head_offset;
    int64_t head_us;            /* wall clock, when the head was seen */
    int64_t at_head_us;         /* all that was logged by then is behind us; 0 = not known */
    int64_t behind_bytes;       /* of the files from behind_file to the head's; -1 = not known */
    char behind_file[256];      /* ours, unless it has just changed */
    int64_t checkpoint_wall_us; /* 0 = none */
    struct tr_status_table *tables;
    uint32_t table_count, table_capacity;
    int64_t rows_at, rows_then; /* a sample for rows_per_s: time, sum */
    double rows_per_s;
    struct tr_needs *needs; /* may be NULL */
    struct tr_metrics *metrics;
    struct tr_metric *rows_total, *batches_total, *bytes_total, *invalid_total, *reconnects_total;
};

int tr_status_init(struct tr_status *status, const char *pipeline,
                   struct tr_error *err) TR_MUST_CHECK;
void tr_status_done(struct tr_status *status);
void tr_status_state(struct tr_status *status, const char *state, const char *trouble);
/* What keeps Kafka from answering, "" = nothing. */
void tr_status_kafka(struct tr_status *status, const char *trouble);
void tr_status_needs(struct tr_status *status, struct tr_needs *needs);
void tr_status_mark(struct tr_status *status, const struct tr_mark *mark);
/* The file that the mark is in, "" = none yet. */
void tr_status_file(struct tr_status *status, char file[256]);
/* The server's head, and the bytes of the files from `from` up to the head's, -1 = not known. */
void tr_status_head(struct tr_status *status, const char *file, uint64_t offset, const char *from,
                    int64_t behind_bytes);
void tr_status_checkpoint(struct tr_status *status, int64_t wall_us);
/* The counter of a table's rows. */
struct tr_metric *tr_status_table(struct tr_status *status, struct tr_slice database,
                                  struct tr_slice table);
/* Takes a sample for rows_per_s; about once a second. */
void tr_status_sample(struct tr_status *status);
/* The JSON of `status --json`, `live` = of the running process (else counters are null). */
void tr_status_write(struct tr_status *status, bool live, struct tr_buf *out);
/* The publishing thread goes round, be it that it waits for a server. */
void tr_status_beat(struct tr_status *status);
/* Whether it went round in the last 90 s, for /healthz; longer than any single call to Kafka may
 * take. Before the first beat it counts as alive. */
bool tr_status_alive(struct tr_status *status);
/* Whether changes pass right now, for /readyz; `out` gets "ok", or the state and its trouble. */
bool tr_status_ready(struct tr_status *status, struct tr_buf *out);
/* Copies the gauges into the metrics, for /metrics. */
void tr_status_gauges(struct tr_status *status);

#endif
