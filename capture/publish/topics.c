/* topics.c - see topics.h. */
#include "topics.h"

#include <stdio.h>
#include <stdlib.h>

void tr_topics_init(struct tr_topics *topics)
{
    memset(topics, 0, sizeof(*topics));
    pthread_mutex_init(&topics->lock, NULL);
}

void tr_topics_done(struct tr_topics *topics)
{
    for (uint32_t i = 0; i < topics->count; i++)
        free(topics->states[i]);
    pthread_mutex_destroy(&topics->lock);
}

/* Under the lock. */
static int add(struct tr_topics *topics, const char *name, struct tr_error *err)
{
    if (topics->count == TR_TOPICS_MAX)
        return tr_error_set(err, TR_ECONFIG,
                            "capture.topic makes more than %d topics: use a template with fewer "
                            "parts, or fewer tables",
                            TR_TOPICS_MAX);
    struct tr_topic_state *state = calloc(1, sizeof(*state));
    if (state == NULL)
        return tr_error_set(err, TR_ENOMEM, "no memory for topic %s", name);
    snprintf(state->topic.name, sizeof(state->topic.name), "%s", name);
    topics->states[topics->count++] = state;
    return 0;
}

int tr_topics_number(struct tr_topics *topics, const char *name, uint32_t *number,
                     struct tr_error *err)
{
    int rc = 0;
    pthread_mutex_lock(&topics->lock);
    uint32_t i = 0;
    while (i < topics->count && strcmp(topics->states[i]->topic.name, name) != 0)
        i++;
    if (i == topics->count)
        rc = add(topics, name, err);
    *number = i;
    pthread_mutex_unlock(&topics->lock);
    return rc;
}

struct tr_topic_state *tr_topics_at(struct tr_topics *topics, uint32_t number)
{
    pthread_mutex_lock(&topics->lock);
    struct tr_topic_state *state = topics->states[number];
    pthread_mutex_unlock(&topics->lock);
    return state;
}

int tr_topics_load(struct tr_topics *topics, const struct tr_control *control, struct tr_error *err)
{
    size_t count = tr_control_topic_count(control);
    for (size_t i = 0; i < count; i++) {
        const struct tr_topic *topic = tr_control_topic_number(control, i);
        uint32_t number;
        int rc = tr_topics_number(topics, topic->name, &number, err);
        if (rc != 0)
            return rc;
        topics->states[number]->topic = *topic;
        topics->states[number]->registered = true;
    }
    return 0;
}
