/*
 * run.h - the inside of `run`, shared by its files: consume.c (the loop), held.c (messages that
 * can't go on yet), assign.c (what the group gives and takes), commit.c (offsets). Main thread.
 */
#ifndef TR_RUN_H
#define TR_RUN_H

#include "commands.h"
#include "meters.h"
#include "route.h"
#include "session.h"
#include "status.h"

struct tr_run {
    struct tr_session session;
    char pipeline_id[24]; /* that everything here belongs to */
    struct tr_live live;
    struct tr_meters meters;
    struct tr_http_server *http;
    struct tr_parts parts;
    struct tr_lanes lanes;
    struct tr_kafka_consumer *consumer;
    struct tr_kafka_message *messages; /* of one take */
    struct tr_held *spare;             /* nodes that hold nothing */
    struct tr_held *spare_blocks;      /* the first of each block, for freeing */
    size_t held_count;
    size_t subscribed;      /* how many of the tables' topics */
    size_t shape_waits;     /* partitions that wait for a shape */
    int64_t control_end_us; /* when control was last read to its end */
    int64_t control_due_us, tick_due_us, commit_due_us, meter_due_us, ends_due_us;
    int64_t
        partial_until_us; /* exclusive sinks: how long a part of the partitions may stay; 0 = all */
    bool control_away;    /* it could not be read the last time */
    bool assigned;
    bool stuck;                         /* a store's call did not return in time */
    struct tr_kafka_partition *scratch; /* for commits */
    size_t scratch_capacity;
};

/* ---- held.c ---------------------------------------------------------------------------------- */

/* Routes a message that was just taken, or holds it behind those of its partition that wait. */
int tr_run_route(struct tr_run *run, struct tr_part *part, struct tr_kafka_message *message,
                 struct tr_error *err) TR_MUST_CHECK;
/* Tries the held ones again. Returns how many partitions still wait for a lane and are not paused,
 * or TR_E… (TR_ESTATE: a shape did not come in time). */
int tr_run_retry_held(struct tr_run *run, struct tr_error *err) TR_MUST_CHECK;
/* Pauses every partition that has something held. */
int tr_run_pause_held(struct tr_run *run, struct tr_error *err) TR_MUST_CHECK;
/* Frees what a partition holds and counts it as released. */
void tr_run_drop_held(struct tr_run *run, struct tr_part *part);
void tr_run_free_held(struct tr_run *run);

/* ---- assign.c -------------------------------------------------------------------------------- */

int tr_run_assigned(void *context, struct tr_kafka_partition *partitions, size_t count,
                    struct tr_error *err);
void tr_run_revoked(void *context, const struct tr_kafka_partition *partitions, size_t count,
                    bool lost);
/* Calls until it succeeds, a stop is asked for (TR_ESTOPPED) or the error is final. Visibly. */
int tr_run_insist(struct tr_run *run, const char *what,
                  int (*call)(void *context, struct tr_error *err), void *context,
                  struct tr_error *err) TR_MUST_CHECK;

/* TR_ESTATE when an exclusive sink has had only a part of the partitions for too long. */
int tr_run_check_partial(const struct tr_run *run, struct tr_error *err) TR_MUST_CHECK;

/* ---- commit.c -------------------------------------------------------------------------------- */

/* Positions, ends, commits, metrics, the verdict on stale records: each as often as it is due. */
int tr_run_tick(struct tr_run *run, struct tr_error *err) TR_MUST_CHECK;
/* Commits what is settled; `wait` = synchronously. */
int tr_run_commit(struct tr_run *run, bool wait, struct tr_error *err) TR_MUST_CHECK;
/* Lets the lanes finish, within bounds; what isn't settled counts as released. */
void tr_run_settle(struct tr_run *run, bool commit);
/* Writes the account of the whole run to the log. TR_EBUG when it does not add up. */
int tr_run_account(struct tr_run *run, struct tr_error *err) TR_MUST_CHECK;

/* ---- consume.c ------------------------------------------------------------------------------- */

/* Reads control and takes new tables; subscribes again when there are new topics. */
int tr_run_read_control(struct tr_run *run, bool to_end, struct tr_error *err) TR_MUST_CHECK;

#endif
