/* rig.c - see rig.h. */
#include "rig.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXTS_MAX 200000

static char *texts[TEXTS_MAX];
static size_t text_count;
static const char *next_header;

/* A message made by hand has no headers in librdkafka. */
bool __wrap_tr_kafka_message_header(const struct tr_kafka_message *message, const char *name,
                                    struct tr_slice *value);
bool __wrap_tr_kafka_message_header(const struct tr_kafka_message *message, const char *name,
                                    struct tr_slice *value)
{
    (void)message;
    if (next_header == NULL || strcmp(name, "tailrace-version") != 0)
        return false;
    *value = tr_slice_of(next_header);
    return true;
}

/* ---- dead letters ---------------------------------------------------------------------------- */

struct rig_letter rig_letters[RIG_LETTERS_MAX];
_Atomic int rig_letter_count;
_Atomic int rig_send_fails, rig_deliver_fails;
atomic_bool rig_unanswered;
static void *unanswered[RIG_LETTERS_MAX];
static _Atomic int unanswered_count;

int __wrap_tr_kafka_producer_send(struct tr_kafka_producer *producer,
                                  const struct tr_kafka_out *out, struct tr_error *err);
int __wrap_tr_kafka_producer_poll(struct tr_kafka_producer *producer, int timeout_ms);

static pthread_mutex_t letters_lock = PTHREAD_MUTEX_INITIALIZER; /* of the lanes' writing */

/* Whoever has read the count sees that many letters whole. */
static void keep_letter(const struct tr_kafka_out *out)
{
    pthread_mutex_lock(&letters_lock);
    assert_true(rig_letter_count < RIG_LETTERS_MAX);
    struct rig_letter *letter = &rig_letters[rig_letter_count];
    size_t used = 0;
    letter->headers[0] = '\0';
    for (size_t i = 0; i < out->header_count; i++)
        used += (size_t)snprintf(letter->headers + used, sizeof(letter->headers) - used, "%s=%.*s;",
                                 out->headers[i].name, (int)out->headers[i].value.length,
                                 out->headers[i].value.data);
    snprintf(letter->value, sizeof(letter->value), "%.*s", (int)out->value.length,
             out->tombstone ? "" : out->value.data);
    letter->tombstone = out->tombstone;
    atomic_fetch_add(&rig_letter_count, 1);
    pthread_mutex_unlock(&letters_lock);
}

/* Acknowledged at once, unless told to fail. */
int __wrap_tr_kafka_producer_send(struct tr_kafka_producer *producer,
                                  const struct tr_kafka_out *out, struct tr_error *err)
{
    (void)producer;
    if (atomic_load(&rig_send_fails) > 0) {
        atomic_fetch_sub(&rig_send_fails, 1);
        return tr_error_set(err, TR_EKAFKA_RETRY, "the queue is full");
    }
    if (atomic_load(&rig_unanswered)) {
        unanswered[atomic_fetch_add(&unanswered_count, 1)] = out->opaque;
        return 0;
    }
    bool fails = atomic_load(&rig_deliver_fails) > 0;
    if (fails)
        atomic_fetch_sub(&rig_deliver_fails, 1);
    else
        keep_letter(out);
    tr_dead_delivered(NULL, out->opaque, fails ? TR_EKAFKA_RETRY : 0, fails ? "timed out" : "");
    return 0;
}

int __wrap_tr_kafka_producer_poll(struct tr_kafka_producer *producer, int timeout_ms)
{
    (void)producer, (void)timeout_ms;
    return 0;
}

static const char *keep(char *text)
{
    assert_true(text_count < TEXTS_MAX);
    return texts[text_count++] = text;
}

/* ---- life ------------------------------------------------------------------------------------ */

void rig_shape(struct rig *rig, const char *table, int64_t schema_id)
{
    char key[256], value[1024];
    snprintf(key, sizeof(key), "[\"shape\",\"shop\",\"%s\",%" PRId64 "]", table, schema_id);
    snprintf(value, sizeof(value),
             "{\"format\":1,\"database\":\"shop\",\"table\":\"%s\",\"schema_id\":%" PRId64
             ",\"topic\":\"" TOPIC "\",\"columns\":[{\"name\":\"id\",\"type\":\"int\","
             "\"nullable\":false}],\"key\":[\"id\"]}",
             table, schema_id);
    assert_int_equal(
        tr_control_take(rig->control, tr_slice_of(key), tr_slice_of(value), false, &rig->err), 0);
    assert_true(tr_tables_refresh(&rig->tables, &rig->err) >= 0);
}

void rig_open(struct rig *rig, unsigned lanes, size_t records_max, size_t bytes_max)
{
    struct tr_fake_settings settings = rig->settings;
    *rig = (struct rig){.settings = settings};
    const char **strings[] = {&rig->settings.path, &rig->settings.poison, &rig->settings.down_file};
    for (size_t i = 0; i < 3; i++)
        *strings[i] = *strings[i] == NULL ? "" : *strings[i];
    const struct tr_sink_context context = {
        .pipeline = "p", .consumer = "fake", .settings = &rig->settings};
    assert_int_equal(tr_fake_sink_ops.open(&rig->sink, &context, &rig->err), 0);
    assert_int_equal(tr_rules_parse(&rig->rules, NULL, &rig->err), 0);
    assert_int_equal(tr_control_new(&rig->control, &rig->err), 0);
    assert_int_equal(tr_tables_init(&rig->tables, &tr_fake_sink_ops, rig->sink, rig->rules,
                                    rig->control, &rig->err),
                     0);
    rig_shape(rig, "t", 100);
    rig->dead = (struct tr_dead){.topic = "dead", .consumer = "fake"};
    rig_letter_count = 0;
    tr_parts_init(&rig->parts);
    const struct tr_lanes_config config = {.ops = &tr_fake_sink_ops,
                                           .sink = rig->sink,
                                           .dead = &rig->dead,
                                           .count = lanes,
                                           .records_max = records_max,
                                           .bytes_max = bytes_max};
    assert_int_equal(tr_lanes_init(&rig->lanes, &config, &rig->err), 0);
}

void rig_close(struct rig *rig)
{
    for (size_t i = 0; i < rig->parts.count; i++)
        assert_int_equal(tr_part_check(rig->parts.all[i], &rig->err), 0);
    assert_true(tr_lanes_done(&rig->lanes, 10000));
    /* As the end of the producer does with what is left. */
    while (unanswered_count > 0)
        tr_dead_delivered(NULL, unanswered[--unanswered_count], TR_ESTOPPED, "purged");
    tr_dead_done(&rig->dead);
    tr_parts_done(&rig->parts);
    tr_tables_done(&rig->tables);
    tr_fake_sink_ops.close(rig->sink);
    tr_control_free(rig->control);
    tr_rules_free(rig->rules);
    while (text_count > 0)
        free(texts[--text_count]);
    rig->settings = (struct tr_fake_settings){0};
}

struct tr_part *rig_part(struct rig *rig, int32_t partition)
{
    struct tr_part *part = tr_parts_find(&rig->parts, 0, partition);
    if (part != NULL)
        return part;
    part = tr_parts_get(&rig->parts, 0, partition, TOPIC);
    assert_non_null(part);
    part->lane = (unsigned)partition % rig->lanes.config.count;
    part->delete_version = -1;
    part->written = -1;
    atomic_store(&part->assigned, true);
    snprintf(part->incarnation, sizeof(part->incarnation), "i");
    assert_int_equal(tr_lane_adopt(&rig->lanes.lane[part->lane], part, &rig->err), 0);
    return part;
}

/* ---- messages -------------------------------------------------------------------------------- */

int rig_route(struct rig *rig, int32_t partition, const char *key, const char *value,
              const char *header)
{
    struct tr_part *part = rig_part(rig, partition);
    struct tr_kafka_message message = {
        .partition = partition,
        .offset = rig->offset[partition],
        .timestamp_ms = 1,
        .key = key == NULL ? (struct tr_slice){NULL, 0} : tr_slice_of(key),
        .value = value == NULL ? (struct tr_slice){NULL, 0} : tr_slice_of(value),
        .tombstone = value == NULL,
    };
    next_header = header;
    int rc = tr_route(&rig->tables, &rig->lanes.lane[part->lane], part, &message, true, &rig->err);
    next_header = NULL;
    if (rc == TR_ROUTED) {
        rig->offset[partition]++;
        tr_count(&part->read, 1);
    }
    return rc;
}

const char *rig_key(int number)
{
    char *text;
    assert_true(asprintf(&text, "{\"database\":\"shop\",\"table\":\"t\",\"pk.id\":%d}", number) >
                0);
    return keep(text);
}

const char *rig_event(const char *type, int number, int64_t version, const char *more)
{
    char *text;
    assert_true(
        asprintf(&text,
                 "{\"database\":\"shop\",\"table\":\"t\",\"type\":\"%s\",\"version\":%" PRId64
                 ",\"schema_id\":100,\"ts\":1,\"data\":{\"id\":%d,\"v\":\"%s\"}}",
                 type, version, number, more) > 0);
    return keep(text);
}

int rig_row(struct rig *rig, int32_t partition, const char *type, int number, int64_t version)
{
    return rig_route(rig, partition, rig_key(number), rig_event(type, number, version, "text"),
                     NULL);
}

void rig_settle(struct rig *rig)
{
    uint64_t rounds = tr_lanes_rounds(&rig->lanes);
    for (int i = 0; i < 1000; i++) {
        int64_t in_flight = 0;
        tr_lanes_offer(&rig->lanes);
        for (size_t p = 0; p < rig->parts.count; p++) {
            struct tr_account account;
            tr_part_account(rig->parts.all[p], &account);
            in_flight += account.in_flight;
        }
        if (in_flight == 0)
            return;
        rounds = tr_lanes_wait(&rig->lanes, rounds, 20);
    }
    fail_msg("not settled in time");
}

int64_t rig_version(struct rig *rig, int number, bool *removed)
{
    return tr_fake_version(rig->sink, rig_key(number), removed);
}

void rig_account(struct rig *rig, int32_t partition, struct tr_account *account)
{
    tr_part_account(rig_part(rig, partition), account);
}
