/* dead.c - see dead.h. */
#include "dead.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clock.h"

#define HEADERS_MAX 64
#define REASON_MAX 1024
#define OURS 8
#define HEADERS_BYTES 65536

struct tr_dead_wait *tr_dead_wait_new(struct tr_dead *dead)
{
    struct tr_dead_wait *wait = calloc(1, sizeof(*wait));
    if (wait == NULL)
        return NULL;
    wait->next = dead->waits;
    dead->waits = wait;
    return wait;
}

void tr_dead_done(struct tr_dead *dead)
{
    tr_kafka_producer_free(dead->producer);
    while (dead->waits != NULL) {
        struct tr_dead_wait *wait = dead->waits;
        dead->waits = wait->next;
        free(wait);
    }
    *dead = (struct tr_dead){.producer = NULL};
}

void tr_dead_delivered(void *context, void *opaque, int code, const char *text)
{
    struct tr_dead_wait *wait = opaque;
    (void)context;
    int none = 0;
    /* The first refusal writes its text before the counter lets the waiting lane look at it. */
    if (code != 0 && atomic_compare_exchange_strong(&wait->code, &none, code))
        snprintf(wait->text, sizeof(wait->text), "%s", text);
    atomic_fetch_sub(&wait->pending, 1);
}

/* The largest record that one of the topics may hold, with room for the headers; 0 = not known: the
 * broker's default must do. */
static int find_limit(struct tr_dead *dead, const char *const *topics, size_t count, int64_t *limit,
                      struct tr_error *err)
{
    *limit = 0;
    for (size_t i = 0; i < count; i++) {
        struct tr_error why = {0};
        struct tr_kafka_topic_info info = {0};
        int rc = tr_kafka_topic_describe(dead->producer, topics[i], &info, &why);
        if (rc < 0 && tr_error_class_of(rc) == TR_CLASS_RETRY) {
            *err = why;
            return rc;
        }
        if (info.message_bytes_max > 0 && info.message_bytes_max + HEADERS_BYTES > *limit)
            *limit = info.message_bytes_max + HEADERS_BYTES;
    }
    return 0;
}

static int create_topic(struct tr_dead *dead, int64_t limit, struct tr_error *err)
{
    char text[24];
    snprintf(text, sizeof(text), "%" PRId64, limit);
    const char *const settings[][2] = {
        {"cleanup.policy", "delete"}, {"retention.ms", "-1"}, {"max.message.bytes", text}};
    const struct tr_kafka_topic_spec spec = {.name = dead->topic,
                                             .partitions = 1,
                                             .replication = -1,
                                             .settings = settings,
                                             .setting_count = limit > 0 ? 3 : 2};
    bool created = false;
    return tr_kafka_topic_create(dead->producer, &spec, &created, err);
}

int tr_dead_prepare(struct tr_dead *dead, const char *const *topics, size_t count,
                    struct tr_error *err)
{
    struct tr_kafka_topic_info info;
    int64_t limit;
    int rc = tr_kafka_topic_describe(dead->producer, dead->topic, &info, err);
    if (rc < 0 || info.exists)
        return rc;
    rc = find_limit(dead, topics, count, &limit, err);
    return rc < 0 ? rc : create_topic(dead, limit, err);
}

static void format_time(char *out, size_t size)
{
    int64_t us = tr_clock_wall_us();
    time_t seconds = (time_t)(us / 1000000);
    struct tm tm;
    char text[32];
    gmtime_r(&seconds, &tm);
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out, size, "%s.%03dZ", text, (int)(us / 1000 % 1000));
}

/* Texts that the headers point to. */
struct header_texts {
    char partition[16], offset[24], version[24], time[48], reason[REASON_MAX];
};

/* The record's own headers, then ours. A tombstone brings its tailrace-version along. */
static size_t make_headers(const struct tr_dead *dead, const struct tr_dead_letter *letter,
                           struct header_texts *texts, struct tr_kafka_header *out)
{
    struct tr_slice own;
    size_t count = tr_kafka_message_headers(letter->message, out, HEADERS_MAX - OURS);
    snprintf(texts->partition, sizeof(texts->partition), "%" PRId32, letter->message->partition);
    snprintf(texts->offset, sizeof(texts->offset), "%" PRId64, letter->message->offset);
    snprintf(texts->version, sizeof(texts->version), "%" PRId64, letter->version);
    snprintf(texts->reason, sizeof(texts->reason), "%s", letter->reason);
    format_time(texts->time, sizeof(texts->time));
    const struct tr_kafka_header ours[OURS - 1] = {
        {"tailrace-topic", tr_slice_of(letter->topic)},
        {"tailrace-partition", tr_slice_of(texts->partition)},
        {"tailrace-offset", tr_slice_of(texts->offset)},
        {"tailrace-class", tr_slice_of(letter->class_name)},
        {"tailrace-reason", tr_slice_of(texts->reason)},
        {"tailrace-consumer", tr_slice_of(dead->consumer)},
        {"tailrace-time", tr_slice_of(texts->time)},
    };
    memcpy(out + count, ours, sizeof(ours));
    count += OURS - 1;
    if (letter->version >= 0 && !tr_kafka_message_header(letter->message, "tailrace-version", &own))
        out[count++] = (struct tr_kafka_header){"tailrace-version", tr_slice_of(texts->version)};
    return count;
}

static int too_large(const struct tr_dead *dead, const char *why, struct tr_error *err)
{
    return tr_error_set(err, TR_EKAFKA, "dead letter topic %s: %s; raise its max.message.bytes",
                        dead->topic, why);
}

int tr_dead_send(struct tr_dead *dead, const struct tr_dead_letter *letter,
                 struct tr_dead_wait *wait, struct tr_error *err)
{
    struct tr_kafka_header headers[HEADERS_MAX];
    struct header_texts texts;
    const struct tr_kafka_out out = {
        .topic = dead->topic,
        .partition = 0,
        .key = letter->message->key,
        .value = letter->message->value,
        .tombstone = letter->message->tombstone,
        .headers = headers,
        .header_count = make_headers(dead, letter, &texts, headers),
        .opaque = wait,
    };
    struct tr_error why = {0};
    atomic_fetch_add(&wait->pending, 1);
    int rc = tr_kafka_producer_send(dead->producer, &out, &why);
    if (rc == 0)
        return 0;
    atomic_fetch_sub(&wait->pending, 1);
    if (rc == TR_ELIMIT) {
        too_large(dead, why.text, err);
        return tr_error_frame(err, "dead letter of %s/%d offset %lld", letter->topic,
                              (int)letter->message->partition, (long long)letter->message->offset);
    }
    *err = why;
    return tr_error_frame(err, "dead letter topic %s", dead->topic);
}

int tr_dead_settle(struct tr_dead *dead, struct tr_dead_wait *wait, int timeout_ms,
                   struct tr_error *err)
{
    int64_t until = tr_clock_mono_us() + timeout_ms * INT64_C(1000);
    while (atomic_load(&wait->pending) > 0) {
        if (tr_clock_mono_us() > until)
            return tr_error_set(err, TR_EKAFKA_RETRY, "dead letter topic %s does not answer",
                                dead->topic);
        (void)tr_kafka_producer_poll(dead->producer, 20);
    }
    int code = atomic_load(&wait->code);
    if (code == 0)
        return 0;
    if (code == TR_ELIMIT)
        return too_large(dead, wait->text, err);
    return tr_error_set(err, code, "dead letter topic %s: %s", dead->topic, wait->text);
}
