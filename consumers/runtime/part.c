/* part.c - see part.h. */
#include "part.h"

#include <inttypes.h>
#include <stdlib.h>

const char *tr_outcome_name(enum tr_outcome outcome)
{
    static const char *const names[TR_OUTCOMES] = {"applied", "stale", "superseded", "filtered",
                                                   "dead"};
    return outcome < TR_OUTCOMES ? names[outcome] : "unknown";
}

/* ---- the list -------------------------------------------------------------------------------- */

void tr_parts_init(struct tr_parts *parts)
{
    *parts = (struct tr_parts){0};
    pthread_mutex_init(&parts->lock, NULL);
}

void tr_parts_done(struct tr_parts *parts)
{
    for (size_t i = 0; i < parts->count; i++)
        free(parts->all[i]);
    for (uint32_t i = 0; i < parts->topic_count; i++)
        free(parts->by_topic[i]);
    free(parts->by_topic);
    free(parts->widths);
    free(parts->all);
    pthread_mutex_destroy(&parts->lock);
}

struct tr_part *tr_parts_find(const struct tr_parts *parts, uint32_t topic, int32_t partition)
{
    if (topic >= parts->topic_count || partition < 0 || partition >= parts->widths[topic])
        return NULL;
    return parts->by_topic[topic][partition];
}

static bool widen_topics(struct tr_parts *parts, uint32_t topic)
{
    if (topic < parts->topic_count)
        return true;
    uint32_t count = topic + 1;
    struct tr_part ***by_topic = realloc(parts->by_topic, count * sizeof(*by_topic));
    if (by_topic != NULL)
        parts->by_topic = by_topic;
    int32_t *widths = realloc(parts->widths, count * sizeof(*widths));
    if (widths != NULL)
        parts->widths = widths;
    if (by_topic == NULL || widths == NULL)
        return false;
    for (uint32_t i = parts->topic_count; i < count; i++) {
        parts->by_topic[i] = NULL;
        parts->widths[i] = 0;
    }
    parts->topic_count = count;
    return true;
}

static bool widen_topic(struct tr_parts *parts, uint32_t topic, int32_t partition)
{
    if (partition < parts->widths[topic])
        return true;
    struct tr_part **row =
        realloc(parts->by_topic[topic], ((size_t)partition + 1) * sizeof(struct tr_part *));
    if (row == NULL)
        return false;
    for (int32_t i = parts->widths[topic]; i <= partition; i++)
        row[i] = NULL;
    parts->by_topic[topic] = row;
    parts->widths[topic] = partition + 1;
    return true;
}

static bool append(struct tr_parts *parts, struct tr_part *part)
{
    bool done = true;
    pthread_mutex_lock(&parts->lock);
    if (parts->count == parts->capacity) {
        size_t capacity = parts->capacity == 0 ? 16 : parts->capacity * 2;
        struct tr_part **all = realloc(parts->all, capacity * sizeof(struct tr_part *));
        done = all != NULL;
        if (done) {
            parts->all = all;
            parts->capacity = capacity;
        }
    }
    if (done)
        parts->all[parts->count++] = part;
    pthread_mutex_unlock(&parts->lock);
    return done;
}

struct tr_part *tr_parts_get(struct tr_parts *parts, uint32_t topic, int32_t partition,
                             const char *topic_name)
{
    struct tr_part *part = tr_parts_find(parts, topic, partition);
    if (part != NULL)
        return part;
    if (partition < 0 || !widen_topics(parts, topic) || !widen_topic(parts, topic, partition))
        return NULL;
    part = calloc(1, sizeof(*part));
    if (part == NULL || !append(parts, part)) {
        free(part);
        return NULL;
    }
    part->topic = topic;
    part->partition = partition;
    part->topic_name = topic_name;
    part->position = TR_KAFKA_OFFSET_NONE;
    part->end = TR_KAFKA_OFFSET_NONE;
    part->head_from = INT64_MAX;
    return parts->by_topic[topic][partition] = part;
}

/* ---- the account ----------------------------------------------------------------------------- */

void tr_part_account(const struct tr_part *part, struct tr_account *account)
{
    int64_t done = atomic_load_explicit(&part->done, memory_order_relaxed);
    account->released = atomic_load_explicit(&part->released, memory_order_relaxed);
    account->read = atomic_load_explicit(&part->read, memory_order_relaxed);
    for (int i = 0; i < TR_OUTCOMES; i++)
        account->outcomes[i] = atomic_load_explicit(&part->outcomes[i], memory_order_relaxed);
    account->in_flight = account->read - done - account->released;
}

void tr_account_add(struct tr_account *to, const struct tr_account *from)
{
    to->read += from->read;
    to->in_flight += from->in_flight;
    to->released += from->released;
    for (int i = 0; i < TR_OUTCOMES; i++)
        to->outcomes[i] += from->outcomes[i];
}

int tr_part_check(const struct tr_part *part, struct tr_error *err)
{
    struct tr_account a;
    int64_t sum = 0;
    tr_part_account(part, &a);
    for (int i = 0; i < TR_OUTCOMES; i++)
        sum += a.outcomes[i];
    if (a.in_flight == 0 && a.read == sum + a.released)
        return 0;
    return tr_error_set(err, TR_EBUG,
                        "the account of %s/%d does not add up: read %" PRId64 ", settled %" PRId64
                        ", in flight %" PRId64 ", released %" PRId64,
                        part->topic_name, (int)part->partition, a.read, sum, a.in_flight,
                        a.released);
}

int64_t tr_part_next(const struct tr_part *part)
{
    struct tr_account account;
    /* In this order: a batch that settles in between makes settled too low, never too high. */
    int64_t settled = atomic_load(&part->settled);
    int64_t position = atomic_load(&part->position);
    tr_part_account(part, &account);
    bool all = account.in_flight == 0 && account.released == atomic_load(&part->released_before);
    return all && position > settled ? position : settled;
}

int64_t tr_part_lag(const struct tr_part *part)
{
    int64_t end = atomic_load(&part->end);
    int64_t lag = end - tr_part_next(part);
    return end < 0 || lag < 0 ? 0 : lag;
}

int64_t tr_part_read_until_ms(const struct tr_part *part)
{
    int64_t settled_ms = atomic_load(&part->settled_ms);
    int64_t caught_up_ms = atomic_load(&part->caught_up_ms);
    return settled_ms > caught_up_ms ? settled_ms : caught_up_ms;
}

int64_t tr_part_lag_seconds(const struct tr_part *part, int64_t now_ms)
{
    int64_t since_ms = tr_part_read_until_ms(part);
    if (tr_part_lag(part) == 0)
        return 0;
    return since_ms == 0 ? -1 : now_ms > since_ms ? (now_ms - since_ms) / 1000 : 0;
}
