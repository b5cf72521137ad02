/* handover.c - see handover.h. */
#include "handover.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define BATCHES_MAX 16

struct tr_handover {
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t given; /* the publisher waits for a batch */
    pthread_cond_t freed; /* the reader waits for a free one */
    struct tr_batch batches[BATCHES_MAX];
    size_t batch_count;
    struct tr_batch *free[BATCHES_MAX];
    size_t free_count;
    struct tr_batch *full[BATCHES_MAX]; /* oldest first */
    size_t full_count;
    struct tr_batch *offered;
    bool closed;  /* by the reader */
    bool stopped; /* by the publisher */
};

int tr_handover_new(struct tr_handover **out, size_t batches, struct tr_error *err)
{
    struct tr_handover *handover = calloc(1, sizeof(*handover));
    if (handover == NULL)
        return tr_error_set(err, TR_ENOMEM, "no memory for batches");
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&handover->lock, NULL);
    pthread_cond_init(&handover->given, &attr);
    pthread_cond_init(&handover->freed, &attr);
    pthread_condattr_destroy(&attr);
    handover->batch_count = batches < BATCHES_MAX ? batches : BATCHES_MAX;
    for (size_t i = 0; i < handover->batch_count; i++) {
        tr_batch_init(&handover->batches[i]);
        handover->free[handover->free_count++] = &handover->batches[i];
    }
    *out = handover;
    return 0;
}

void tr_handover_free(struct tr_handover *handover)
{
    if (handover == NULL)
        return;
    for (size_t i = 0; i < handover->batch_count; i++)
        tr_batch_done(&handover->batches[i]);
    pthread_cond_destroy(&handover->given);
    pthread_cond_destroy(&handover->freed);
    pthread_mutex_destroy(&handover->lock);
    free(handover);
}

/* ---- the reading thread -----------------------------------------------------------------------
 */

int tr_handover_open(struct tr_handover *handover, struct tr_batch **out, struct tr_error *err)
{
    pthread_mutex_lock(&handover->lock);
    while (handover->offered == NULL && handover->free_count == 0 && !handover->stopped)
        pthread_cond_wait(&handover->freed, &handover->lock);
    bool stopped = handover->stopped;
    if (!stopped) {
        if (handover->offered != NULL)
            *out = handover->offered;
        else
            *out = handover->free[--handover->free_count];
        handover->offered = NULL;
    }
    pthread_mutex_unlock(&handover->lock);
    return stopped ? tr_error_set(err, TR_ESTOPPED, "publishing has ended") : 0;
}

void tr_handover_push(struct tr_handover *handover, struct tr_batch *batch)
{
    pthread_mutex_lock(&handover->lock);
    handover->full[handover->full_count++] = batch;
    pthread_cond_signal(&handover->given);
    pthread_mutex_unlock(&handover->lock);
}

void tr_handover_offer(struct tr_handover *handover, struct tr_batch *batch, bool wake)
{
    pthread_mutex_lock(&handover->lock);
    handover->offered = batch;
    if (wake)
        pthread_cond_signal(&handover->given);
    pthread_mutex_unlock(&handover->lock);
}

void tr_handover_close(struct tr_handover *handover)
{
    pthread_mutex_lock(&handover->lock);
    handover->closed = true;
    pthread_cond_signal(&handover->given);
    pthread_mutex_unlock(&handover->lock);
}

/* ---- the publishing thread --------------------------------------------------------------------
 */

static struct timespec deadline_in(int timeout_ms)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += timeout_ms / 1000;
    at.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_sec++;
        at.tv_nsec -= 1000000000;
    }
    return at;
}

/* Under the lock. */
static struct tr_batch *take_now(struct tr_handover *handover)
{
    struct tr_batch *batch = handover->offered;
    if (handover->full_count == 0) {
        handover->offered = NULL;
        return batch;
    }
    batch = handover->full[0];
    handover->full_count--;
    for (size_t i = 0; i < handover->full_count; i++)
        handover->full[i] = handover->full[i + 1];
    return batch;
}

struct tr_batch *tr_handover_take(struct tr_handover *handover, int timeout_ms)
{
    pthread_mutex_lock(&handover->lock);
    struct tr_batch *batch = take_now(handover);
    if (batch == NULL && timeout_ms > 0 && !handover->closed) {
        struct timespec until = deadline_in(timeout_ms);
        pthread_cond_timedwait(&handover->given, &handover->lock, &until);
        batch = take_now(handover);
    }
    pthread_mutex_unlock(&handover->lock);
    return batch;
}

void tr_handover_return(struct tr_handover *handover, struct tr_batch *batch)
{
    tr_batch_reset(batch);
    pthread_mutex_lock(&handover->lock);
    handover->free[handover->free_count++] = batch;
    pthread_cond_signal(&handover->freed);
    pthread_mutex_unlock(&handover->lock);
}

bool tr_handover_finished(struct tr_handover *handover)
{
    pthread_mutex_lock(&handover->lock);
    bool finished = handover->closed && handover->full_count == 0 && handover->offered == NULL;
    pthread_mutex_unlock(&handover->lock);
    return finished;
}

void tr_handover_stop(struct tr_handover *handover)
{
    pthread_mutex_lock(&handover->lock);
    handover->stopped = true;
    pthread_cond_signal(&handover->freed);
    pthread_mutex_unlock(&handover->lock);
}
