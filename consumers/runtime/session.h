/*
 * session.h - what every command of a consumer opens: names, rules, Kafka, control, the store.
 *
 * Main thread. Opened step by step, as far as a command needs; tr_session_done closes all that is
 * open, in order.
 */
#ifndef TR_SESSION_H
#define TR_SESSION_H

#include "dead.h"
#include "runtime.h"
#include "tables.h"

/* The program: filled from the configuration before a command runs. */
struct tr_program {
    const struct tr_sink_ops *ops;
    void *settings; /* the sink's */
    const char *pipeline;
    const struct tr_node *kafka;
};

struct tr_session {
    const struct tr_sink_ops *ops;
    const struct tr_runtime_settings *common;
    const struct tr_node *kafka;
    struct tr_sink_context context; /* pipeline, consumer, settings */
    char client_id[64];
    char group[TR_TOPIC_NAME_MAX + 1];
    char control_topic[TR_TOPIC_NAME_MAX + 1];
    char dead_topic[TR_TOPIC_NAME_MAX + 1];
    struct tr_rules *rules;
    struct tr_dead dead; /* its producer is the one client for admin, too */
    struct tr_kafka_reader *reader;
    struct tr_control *control;
    struct tr_sink *sink;
    struct tr_tables tables;
    bool tables_open;
};

/* Names and rules. Connects to nothing. */
int tr_session_init(struct tr_session *session, const struct tr_program *program, bool read_only,
                    struct tr_error *err) TR_MUST_CHECK;
int tr_session_open_kafka(struct tr_session *session, struct tr_error *err) TR_MUST_CHECK;
/* One attempt. */
int tr_session_open_sink(struct tr_session *session, struct tr_error *err) TR_MUST_CHECK;
/* Reads control to its end as of now: 0; 1 when there is no such topic, or no checkpoint in it yet
 * (nothing is open then); TR_E…, of which one that passes lets the next call go on where this one
 * ended. */
int tr_session_open_control(struct tr_session *session, int timeout_ms,
                            struct tr_error *err) TR_MUST_CHECK;
/* TR_ESTATE for commands that can't wait for it. */
int tr_session_no_control(const struct tr_session *session, struct tr_error *err);
/* After both: the tables that control knows. */
int tr_session_open_tables(struct tr_session *session, struct tr_error *err) TR_MUST_CHECK;
/* Later records of control; with `to_end` all that are there now. Returns 1 when a topic is new. */
int tr_session_read_control(struct tr_session *session, bool to_end, int timeout_ms,
                            struct tr_error *err) TR_MUST_CHECK;
void tr_session_done(struct tr_session *session);

const char *tr_session_pipeline_id(const struct tr_session *session);
/* Of a topic as registered in control; "" when it is not. */
const char *tr_session_incarnation(const struct tr_session *session, const char *topic);
/* The setting, or the sink's default where that is 0. */
unsigned tr_session_lanes(const struct tr_session *session);
size_t tr_session_batch_records(const struct tr_session *session);
size_t tr_session_batch_bytes(const struct tr_session *session);

#endif
