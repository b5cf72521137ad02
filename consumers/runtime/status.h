/*
 * status.h - what a running consumer tells: state, partitions, lag; /status, /healthz, /readyz.
 *
 * struct tr_live is written by the main thread and read by the HTTP server's; its lock guards the
 * texts and that parts and lanes appear.
 */
#ifndef TR_STATUS_H
#define TR_STATUS_H

#include "lane.h"

enum tr_state {
    TR_STATE_WAITING,
    TR_STATE_RUNNING,
    TR_STATE_RETRYING,
    TR_STATE_FAILED,
    TR_STATE_STOPPED,
    TR_STATE_UNKNOWN, /* the group has members, and none tells: only `status` says it */
};

const char *tr_state_name(enum tr_state state);

struct tr_live {
    pthread_mutex_t lock;
    const char *pipeline, *consumer;
    struct tr_parts *parts; /* NULL until they are there */
    struct tr_lanes *lanes;
    char waiting_for[512]; /* "" = nothing */
    char retrying[512];    /* the main thread: "" = not */
    int64_t retry_since_us;
    char kafka[256]; /* trouble with Kafka, "" = none */
    bool assigned;
    bool failed;             /* records at the head are stale: see tr_live_judge */
    _Atomic int64_t beat_us; /* the main loop's last round */
};

void tr_live_init(struct tr_live *live, const char *pipeline, const char *consumer);
void tr_live_done(struct tr_live *live);
/* Text "" ends it. Main thread. */
void tr_live_wait(struct tr_live *live, const char *what);
void tr_live_retry(struct tr_live *live, const char *trouble);

/* 0 … 100: from this share of stale records on, a consumer at the head is failed. */
#define TR_STALE_PERCENT 95
#define TR_STALE_RECORDS 1000
/* Whether records that were read at the head show that the versions are not the store's: 1 failed,
 * 0 fine, -1 too few to tell. Pure. */
int tr_live_judge(int64_t applied, int64_t stale);

enum tr_state tr_live_state(struct tr_live *live, char *trouble, size_t size);

/* A row of the list, as `status` prints it too. Counters are NULL when no process tells them. */
struct tr_status_part {
    const char *topic;
    int32_t partition;
    int64_t next, end; /* TR_KAFKA_OFFSET_NONE = not known */
    const struct tr_account *account;
};

struct tr_status {
    const char *pipeline, *consumer, *trouble; /* trouble "" = left out */
    int64_t trouble_s;                         /* for how long; -1 = not known, left out */
    enum tr_state state;
    const struct tr_status_part *parts;
    size_t part_count;
    int64_t lag_seconds; /* -1 = not known */
};

void tr_status_write(const struct tr_status *status, struct tr_buf *out);
/* The live one. */
void tr_live_write(struct tr_live *live, struct tr_buf *out);

/* HTTP: /status, /healthz, /readyz. `context` is the tr_live. */
int tr_live_http_status(void *context, struct tr_buf *out);
int tr_live_http_health(void *context, struct tr_buf *out);
int tr_live_http_ready(void *context, struct tr_buf *out);

#endif
