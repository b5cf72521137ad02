/*
 * fake_sink.h - a store that fails on demand, for tests of the runtime: in memory for unit tests,
 * in a folder (so that it outlives the process) as the program tailrace-fake.
 *
 * The folder: `marker`, `progress.<topic>.<partition>`, `floor.<database>.<table>` (each written
 * whole, by rename) and `rows`, a log of what was applied: a JSON line per row or marker.
 */
#ifndef TR_FAKE_SINK_H
#define TR_FAKE_SINK_H

#include "runtime.h"

struct tr_fake_settings {
    struct tr_runtime_settings common;
    const char *path;      /* "" = memory only */
    int64_t fail_times;    /* the first calls of apply find no store */
    int64_t retry_times;   /* the first records are answered RETRY */
    const char *poison;    /* rows that contain it are refused; "" = none */
    int64_t slow_ms;       /* every call of apply takes that long */
    const char *down_file; /* while it exists the store can't be reached */
    bool null;             /* takes everything and keeps nothing */
};

extern const struct tr_sink_ops tr_fake_sink_ops;

/* For unit tests. */
struct tr_fake_counts {
    int64_t applies, records, marks, progress_calls;
};
void tr_fake_counts(struct tr_sink *sink, struct tr_fake_counts *counts);
/* The version of a key, -1 when it was never written. */
int64_t tr_fake_version(struct tr_sink *sink, const char *key, bool *removed);
/* The progress last written for a partition, -1 = none. */
int64_t tr_fake_progress(struct tr_sink *sink, const char *topic, int32_t partition);

#endif
