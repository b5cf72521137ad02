/*
 * topics.h - the data topics: their names numbered by the reading thread as it meets tables, made
 * and registered in control by the publishing thread before the first record.
 */
#ifndef TR_TOPICS_H
#define TR_TOPICS_H

#include <pthread.h>

#include "control.h"

#define TR_TOPICS_MAX 4096

/* Everything but the name belongs to the publishing thread. */
struct tr_topic_state {
    struct tr_topic topic;     /* name; partitions and incarnation once registered */
    bool registered;           /* control has it */
    bool ready;                /* exists, registered, and acknowledged */
    int64_t message_bytes_max; /* 0 = unknown */
};

struct tr_topics {
    pthread_mutex_t lock; /* guards count and the pointers; the states never move */
    struct tr_topic_state *states[TR_TOPICS_MAX];
    uint32_t count;
};

void tr_topics_init(struct tr_topics *topics);
void tr_topics_done(struct tr_topics *topics);
/* Takes what control has registered. Before the threads start. */
int tr_topics_load(struct tr_topics *topics, const struct tr_control *control,
                   struct tr_error *err) TR_MUST_CHECK;
/* The number of that name; made when new. Any thread. */
int tr_topics_number(struct tr_topics *topics, const char *name, uint32_t *number,
                     struct tr_error *err) TR_MUST_CHECK;
struct tr_topic_state *tr_topics_at(struct tr_topics *topics, uint32_t number);

#endif
