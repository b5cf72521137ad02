/*
 * client.h - what the clients of this folder share; private to common/kafka.
 *
 * A client is a librdkafka handle with the memory of its troubles: `trouble`, a connection problem
 * that passes, and `fault`, an error that never does (authentication, authorisation, fenced).
 * librdkafka's callbacks write them, any thread reads them.
 */
#ifndef TR_KAFKA_CLIENT_H
#define TR_KAFKA_CLIENT_H

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>

#include "kafka.h"

#define KAFKA_TRY_MS 10000    /* how long one call tries before it says "not reachable" */
#define KAFKA_SLICE_MS 100    /* how long it sleeps before it looks for faults */
#define TR_KAFKA_WHAT_MAX 384 /* "asking for topic …" */

struct tr_kafka_client {
    rd_kafka_t *rk;
    char brokers[256];    /* bootstrap.servers, for messages */
    atomic_bool troubled; /* whether `trouble` may be non-empty: a look without the lock */
    pthread_mutex_t lock; /* guards the three below */
    char trouble[256];
    int fault_native;
    char fault[256];
};

struct tr_kafka_setting {
    const char *name;
    const char *value;
};

/* Defaults, then the user's properties above them, then `fixed`, which win. */
struct tr_kafka_settings {
    const struct tr_kafka_setting *defaults; /* ended by a NULL name */
    const struct tr_kafka_setting *fixed;
};

/* ---- properties.c --------------------------------------------------------------------------- */

int tr_kafka_conf_new(rd_kafka_conf_t **out, const struct tr_node *properties,
                      const struct tr_kafka_settings *settings, struct tr_error *err) TR_MUST_CHECK;
/* The same for a client that reads. */
int tr_kafka_reading_conf_new(rd_kafka_conf_t **out, const struct tr_node *properties,
                              const struct tr_kafka_settings *settings,
                              struct tr_error *err) TR_MUST_CHECK;

/* ---- client.c ------------------------------------------------------------------------------- */

/* Takes `conf`, also at failure. */
int tr_kafka_client_open(struct tr_kafka_client *client, rd_kafka_type_t type,
                         rd_kafka_conf_t *conf, struct tr_error *err) TR_MUST_CHECK;
void tr_kafka_client_close(struct tr_kafka_client *client);
/* TR_EKAFKA, TR_EKAFKA_RETRY or TR_ELIMIT. */
int tr_kafka_code_of(rd_kafka_resp_err_t native);
/* Whether it speaks of a topic or partition that is not there. A broker that is starting or ending
 * says so of every topic, so this alone is no reason to stop. */
bool tr_kafka_is_unknown(rd_kafka_resp_err_t native);
/* Sets `err` from librdkafka's error, with the broker's words and, when it will pass, the trouble.
 */
int tr_kafka_client_error(struct tr_kafka_client *client, rd_kafka_resp_err_t native,
                          struct tr_error *err, const char *what);
/* 0, or TR_EKAFKA with the fault. */
int tr_kafka_client_fault(struct tr_kafka_client *client, struct tr_error *err);
void tr_kafka_client_note_fault(struct tr_kafka_client *client, rd_kafka_resp_err_t native,
                                const char *text);
void tr_kafka_client_note_trouble(struct tr_kafka_client *client, const char *text);
/* A broker answered: the trouble is over. Cheap. */
void tr_kafka_client_answered(struct tr_kafka_client *client);
void tr_kafka_client_trouble(struct tr_kafka_client *client, char *out, size_t size);

/* ---- message.c ------------------------------------------------------------------------------ */

void tr_kafka_message_fill(struct tr_kafka_message *message, rd_kafka_message_t *from);

/* ---- producer.c ----------------------------------------------------------------------------- */

struct tr_kafka_client *tr_kafka_producer_client(struct tr_kafka_producer *producer);
/* The cached handle of a topic; NULL with err set. */
rd_kafka_topic_t *tr_kafka_producer_topic(struct tr_kafka_producer *producer, const char *name,
                                          struct tr_error *err);
/* Serves the callbacks if that is this thread's job: nobody polled so far, or it was us. */
void tr_kafka_producer_serve(struct tr_kafka_producer *producer);

/* ---- topics.c ------------------------------------------------------------------------------- */

/* Waits for the answer to an admin request and destroys `queue`; the event is the caller's. */
int tr_kafka_admin_wait(struct tr_kafka_producer *producer, rd_kafka_queue_t *queue,
                        rd_kafka_event_t **event, const char *what,
                        struct tr_error *err) TR_MUST_CHECK;
rd_kafka_AdminOptions_t *tr_kafka_admin_options(struct tr_kafka_producer *producer,
                                                rd_kafka_admin_op_t op);

#endif
