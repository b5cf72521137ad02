/*
 * test_kafka_module.c - common/kafka against a real broker.
 *
 * The broker is the one of the stack in TAILRACE_STACK_DIR (see deploy/stack). Every test uses
 * topics and groups of its own, named by a random number.
 */
#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "clock.h"
#include "kafka.h"

#define MESSAGES 20000
#define WAIT_US INT64_C(30000000)

static char bootstrap[256];
static struct tr_node servers = {
    .type = TR_NODE_SCALAR, .key = "bootstrap.servers", .text = bootstrap};
static struct tr_node properties = {.type = TR_NODE_MAP, .child = &servers};
static struct tr_error err;
static char message_text[1024];

#define assert_ok(call)                                                                            \
    do {                                                                                           \
        if ((call) < 0)                                                                            \
            fail_msg("%s", tr_error_format(&err, message_text, sizeof(message_text)));             \
    } while (0)

/* ---- helpers -------------------------------------------------------------------------------- */

static int find_broker(void **state)
{
    (void)state;
    char path[512], line[512];
    const char *dir = getenv("TAILRACE_STACK_DIR");
    snprintf(path, sizeof(path), "%s/endpoints.env", dir == NULL ? "/var/tmp/tailrace-stack" : dir);
    FILE *in = fopen(path, "r");
    if (in == NULL) {
        fprintf(stderr, "%s can't be read: run `deploy/stack/stack up` first\n", path);
        return -1;
    }
    while (fgets(line, sizeof(line), in) != NULL)
        sscanf(line, "KAFKA_BOOTSTRAP=%255s", bootstrap);
    fclose(in);
    if (bootstrap[0] == '\0')
        fprintf(stderr, "%s names no KAFKA_BOOTSTRAP\n", path);
    return bootstrap[0] == '\0' ? -1 : 0;
}

static int reset_error(void **state)
{
    (void)state;
    tr_error_reset(&err);
    return 0;
}

static const char *unique(const char *prefix, char *out)
{
    snprintf(out, 100, "%s.%016" PRIx64, prefix, tr_clock_random());
    return out;
}

struct counts {
    int ok, failed, last_code;
};

static void count_delivery(void *context, void *opaque, int code, const char *text)
{
    struct counts *counts = context;
    (void)opaque;
    (void)text;
    counts->ok += code == 0;
    counts->failed += code != 0;
    counts->last_code = code;
}

static struct tr_kafka_producer *open_producer(struct counts *counts)
{
    struct tr_kafka_producer *producer = NULL;
    struct tr_kafka_producer_config config = {
        .properties = &properties,
        .client_id = "test",
        .queue_bytes_max = 64 << 20,
        .linger_ms = 5,
        .delivered = count_delivery,
        .context = counts,
    };
    *counts = (struct counts){0};
    assert_ok(tr_kafka_producer_new(&producer, &config, &err));
    return producer;
}

static void create_topic(struct tr_kafka_producer *producer, const char *name, int32_t partitions)
{
    /* Room for whole batches, which the limit is on; less than a record of test_too_large. */
    static const char *const settings[][2] = {{"cleanup.policy", "compact"},
                                              {"max.message.bytes", "1040000"}};
    struct tr_kafka_topic_spec spec = {name, partitions, -1, settings, 2};
    bool created = false;
    assert_ok(tr_kafka_topic_create(producer, &spec, &created, &err));
    assert_true(created);
}

/* Records 0 … count - 1, in turn over the partitions; key and value are the number's text. */
static void produce(struct tr_kafka_producer *producer, const char *topic, int32_t partitions,
                    int count)
{
    for (int i = 0; i < count; i++) {
        char text[32];
        snprintf(text, sizeof(text), "%d", i);
        struct tr_kafka_out out = {.topic = topic,
                                   .partition = i % partitions,
                                   .key = tr_slice_of(text),
                                   .value = tr_slice_of(text)};
        assert_ok(tr_kafka_producer_send(producer, &out, &err));
    }
    assert_ok(tr_kafka_producer_flush(producer, 20000, &err));
}

/* A member of a group, as the runtime would be one. */
struct member {
    struct tr_kafka_consumer *consumer;
    int64_t start; /* for partitions without a committed offset */
    int assigned, revoked;
    size_t count;
    struct tr_kafka_partition partitions[8]; /* offset = next to commit */
};

static int on_assigned(void *context, struct tr_kafka_partition *partitions, size_t count,
                       struct tr_error *error)
{
    struct member *member = context;
    (void)error;
    member->assigned++;
    member->count = count;
    for (size_t i = 0; i < count; i++) {
        if (partitions[i].offset == TR_KAFKA_OFFSET_NONE)
            partitions[i].offset = member->start;
        member->partitions[i] = partitions[i];
    }
    return 0;
}

static void on_revoked(void *context, const struct tr_kafka_partition *partitions, size_t count,
                       bool lost)
{
    struct member *member = context;
    struct tr_error ignored = {0};
    bool moved = false;
    (void)partitions;
    assert_int_equal(count, member->count);
    for (size_t i = 0; i < count; i++)
        moved = moved || member->partitions[i].offset > 0;
    if (!lost && moved)
        assert_int_equal(
            tr_kafka_consumer_commit(member->consumer, member->partitions, count, true, &ignored),
            0);
    member->revoked++;
    member->count = 0;
}

static void join_with(struct member *member, const char *group, const char *topic,
                      size_t queue_bytes)
{
    struct tr_kafka_consumer_config config = {
        .properties = &properties,
        .client_id = "test",
        .group = group,
        .queue_bytes_max = queue_bytes,
        .context = member,
        .assigned = on_assigned,
        .revoked = on_revoked,
    };
    assert_ok(tr_kafka_consumer_new(&member->consumer, &config, &err));
    assert_ok(tr_kafka_consumer_subscribe(member->consumer, &topic, 1, &err));
}

static void join(struct member *member, const char *group, const char *topic)
{
    join_with(member, group, topic, 8 << 20);
}

/* Takes once; counts each record in `seen` by its number. Returns how many came. */
static int take(struct member *member, int timeout_ms, uint8_t *seen)
{
    struct tr_kafka_message messages[512];
    int got = tr_kafka_consumer_take(member->consumer, messages, 512, timeout_ms, &err);
    for (int i = 0; i < got; i++) {
        char text[32] = {0};
        memcpy(text, messages[i].value.data, messages[i].value.length);
        seen[atoi(text)]++;
        for (size_t p = 0; p < member->count; p++)
            if (member->partitions[p].partition == messages[i].partition)
                member->partitions[p].offset = messages[i].offset + 1;
        tr_kafka_message_free(&messages[i]);
    }
    return got;
}

static int count_seen(const uint8_t *seen, int count)
{
    int total = 0;
    for (int i = 0; i < count; i++)
        total += seen[i] > 0;
    return total;
}

/* ---- topics --------------------------------------------------------------------------------- */

static void test_topics(void **state)
{
    (void)state;
    char name[100];
    struct counts counts;
    struct tr_kafka_topic_info info;
    struct tr_kafka_producer *producer = open_producer(&counts);
    unique("topics", name);
    assert_ok(tr_kafka_topic_describe(producer, name, &info, &err));
    assert_false(info.exists);
    assert_ok(tr_kafka_topic_describe(producer, name, &info, &err));
    assert_false(info.exists); /* asking didn't create it */
    create_topic(producer, name, 3);
    assert_ok(tr_kafka_topic_describe(producer, name, &info, &err));
    assert_true(info.exists);
    assert_int_equal(info.partitions, 3);
    assert_int_equal(info.message_bytes_max, 1040000);
    assert_string_equal(info.cleanup_policy, "compact");
    bool created = true;
    struct tr_kafka_topic_spec again = {name, 1, -1, NULL, 0};
    assert_ok(tr_kafka_topic_create(producer, &again, &created, &err));
    assert_false(created);
    int64_t low, high;
    produce(producer, name, 3, 9);
    assert_ok(tr_kafka_watermarks(producer, name, 2, &low, &high, &err));
    assert_int_equal(low, 0);
    assert_int_equal(high, 3);
    static const char *const wrong[][2] = {{"cleanup.policy", "nonsense"}};
    struct tr_kafka_topic_spec bad = {"bad", 1, -1, wrong, 1};
    assert_int_equal(tr_kafka_topic_create(producer, &bad, &created, &err), TR_EKAFKA);
    assert_non_null(strstr(err.text, "nonsense"));
    tr_kafka_producer_free(producer);
}

static void test_too_large(void **state)
{
    (void)state;
    char name[100];
    struct counts counts;
    struct tr_kafka_producer *producer = open_producer(&counts);
    create_topic(producer, unique("large", name), 1);
    /* Not compressible, or lz4 would make it fit. */
    size_t size = 1 << 20;
    uint64_t *noise = malloc(size);
    for (size_t i = 0; i < size / 8; i++)
        noise[i] = tr_clock_random();
    struct tr_kafka_out out = {.topic = name, .key = TR_SLICE("k"), .value = {(char *)noise, size}};
    assert_ok(tr_kafka_producer_send(producer, &out, &err));
    assert_ok(tr_kafka_producer_flush(producer, 20000, &err));
    assert_int_equal(counts.failed, 1);
    assert_int_equal(counts.last_code, TR_ELIMIT);
    produce(producer, name, 1, 10);
    assert_int_equal(counts.ok, 10); /* others still pass */
    free(noise);
    tr_kafka_producer_free(producer);
}

/* ---- messages ------------------------------------------------------------------------------- */

static void send_specimens(struct tr_kafka_producer *producer, const char *topic)
{
    struct tr_kafka_header headers[] = {{"tailrace-version", TR_SLICE("42")},
                                        {"other", TR_SLICE("")}};
    struct tr_kafka_out specimens[] = {
        {.topic = topic, .key = TR_SLICE("key"), .value = TR_SLICE("value")},
        {.topic = topic,
         .key = TR_SLICE("key"),
         .tombstone = true,
         .headers = headers,
         .header_count = 2},
        {.topic = topic, .key = TR_SLICE("key"), .value = TR_SLICE("")},
        {.topic = topic,
         .key = TR_SLICE("key"),
         .value = TR_SLICE("v"),
         .headers = headers,
         .header_count = 1},
        {.topic = topic, .key = TR_SLICE("key"), .tombstone = true},
    };
    for (size_t i = 0; i < 5; i++)
        assert_ok(tr_kafka_producer_send(producer, &specimens[i], &err));
    assert_ok(tr_kafka_producer_flush(producer, 20000, &err));
}

static int check_specimen(void *context, const struct tr_kafka_message *message,
                          struct tr_error *error)
{
    int number = (*(int *)context)++;
    struct tr_slice value = {0};
    struct tr_kafka_header all[4];
    (void)error;
    assert_int_equal(message->offset, number);
    assert_memory_equal(message->key.data, "key", 3);
    assert_int_equal(message->tombstone, number == 1 || number == 4);
    static const size_t lengths[] = {5, 0, 0, 1, 0};
    assert_int_equal(message->value.length, lengths[number]);
    bool has = tr_kafka_message_header(message, "tailrace-version", &value);
    assert_int_equal(has, number == 1 || number == 3);
    if (has)
        assert_true(tr_slice_equal(value, TR_SLICE("42")));
    static const size_t counts[] = {0, 2, 0, 1, 0};
    assert_int_equal(tr_kafka_message_headers(message, all, 4), counts[number]);
    assert_true(message->timestamp_ms > 1700000000000);
    return 0;
}

static void test_reader(void **state)
{
    (void)state;
    char name[100], missing[100];
    struct counts counts;
    int number = 0;
    struct tr_kafka_reader *reader = NULL;
    struct tr_kafka_producer *producer = open_producer(&counts);
    create_topic(producer, unique("reader", name), 1);
    assert_ok(tr_kafka_reader_new(&reader, &properties, "test", name, &err));
    assert_int_equal(tr_kafka_reader_read(reader, 10000, true, check_specimen, &number, &err), 0);
    send_specimens(producer, name);
    int got = tr_kafka_reader_read(reader, 10000, true, check_specimen, &number, &err);
    assert_ok(got);
    assert_int_equal(got, 5);
    assert_int_equal(tr_kafka_reader_read(reader, 10000, true, check_specimen, &number, &err), 0);
    tr_kafka_reader_free(reader);
    unique("missing", missing);
    assert_ok(tr_kafka_reader_new(&reader, &properties, "test", missing, &err));
    assert_int_equal(tr_kafka_reader_read(reader, 10000, true, check_specimen, &number, &err),
                     TR_EKAFKA_RETRY);
    assert_non_null(strstr(err.text, missing));
    tr_error_reset(&err);
    tr_kafka_reader_free(reader);
    tr_kafka_producer_free(producer);
}

static rd_kafka_t *open_transactional(const char *id)
{
    char text[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", bootstrap, text, sizeof(text));
    rd_kafka_conf_set(conf, "transactional.id", id, text, sizeof(text));
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
    assert_non_null(rk);
    rd_kafka_error_t *error = NULL;
    for (int i = 0; i < 10; i++) {
        error = rd_kafka_init_transactions(rk, 10000);
        if (error == NULL || !rd_kafka_error_is_retriable(error))
            break;
        rd_kafka_error_destroy(error);
    }
    assert_null(error);
    return rk;
}

static void transaction(rd_kafka_t *rk, const char *topic, int from, int count, bool commit)
{
    assert_null(rd_kafka_begin_transaction(rk));
    for (int i = from; i < from + count; i++) {
        char text[32];
        int length = snprintf(text, sizeof(text), "%d", i);
        assert_int_equal(rd_kafka_producev(rk, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(0),
                                           RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                                           RD_KAFKA_V_KEY(text, (size_t)length),
                                           RD_KAFKA_V_VALUE(text, (size_t)length), RD_KAFKA_V_END),
                         0);
    }
    rd_kafka_flush(rk, 10000);
    assert_null(commit ? rd_kafka_commit_transaction(rk, 20000)
                       : rd_kafka_abort_transaction(rk, 20000));
}

static int count_record(void *context, const struct tr_kafka_message *message,
                        struct tr_error *error)
{
    (void)message;
    (void)error;
    ++*(int *)context;
    return 0;
}

/* Commit markers and aborted records take offsets: both clients must get past them. */
static void test_transactions(void **state)
{
    (void)state;
    char name[100], id[100], group[100];
    uint8_t seen[64] = {0};
    struct counts counts;
    int number = 0;
    struct tr_kafka_reader *reader = NULL;
    struct member member = {.start = TR_KAFKA_OFFSET_BEGINNING};
    struct tr_kafka_producer *producer = open_producer(&counts);
    create_topic(producer, unique("transactions", name), 1);
    rd_kafka_t *rk = open_transactional(unique("id", id));
    transaction(rk, name, 0, 10, true);
    transaction(rk, name, 10, 10, false);
    transaction(rk, name, 20, 10, true);
    transaction(rk, name, 30, 5, false);
    assert_ok(tr_kafka_reader_new(&reader, &properties, "test", name, &err));
    int got = tr_kafka_reader_read(reader, 10000, true, count_record, &number, &err);
    assert_ok(got);
    assert_int_equal(got, 20);
    tr_kafka_reader_free(reader);
    join(&member, unique("group", group), name);
    int64_t until = tr_clock_mono_us() + WAIT_US;
    while (tr_kafka_consumer_position(member.consumer, 0, 0) < 39 && tr_clock_mono_us() < until)
        assert_ok(take(&member, 100, seen));
    assert_int_equal(count_seen(seen, 64), 20);
    assert_int_equal(tr_kafka_consumer_position(member.consumer, 0, 0), 39);
    assert_int_equal(tr_kafka_consumer_end(member.consumer, 0, 0), 39);
    tr_kafka_consumer_close(member.consumer);
    rd_kafka_destroy(rk);
    tr_kafka_producer_free(producer);
}

/* ---- groups --------------------------------------------------------------------------------- */

static void test_group(void **state)
{
    (void)state;
    char name[100], group[100];
    const char *topics[] = {name};
    uint8_t *seen = calloc(MESSAGES, 1);
    struct counts counts;
    struct tr_kafka_group_info info;
    struct member member = {.start = 0};
    struct tr_kafka_partition partitions[2] = {{0}, {.partition = 1}};
    struct tr_kafka_producer *producer = open_producer(&counts);
    create_topic(producer, unique("group", name), 2);
    unique("g", group);
    produce(producer, name, 2, MESSAGES);
    assert_int_equal(counts.ok, MESSAGES);
    assert_ok(tr_kafka_group_offsets(&properties, group, topics, partitions, 2, &err));
    assert_int_equal(partitions[1].offset, TR_KAFKA_OFFSET_NONE);
    join(&member, group, name);
    int64_t until = tr_clock_mono_us() + WAIT_US;
    while (count_seen(seen, MESSAGES) < MESSAGES && tr_clock_mono_us() < until)
        assert_ok(take(&member, 100, seen));
    assert_int_equal(count_seen(seen, MESSAGES), MESSAGES);
    assert_int_equal(member.assigned, 1);
    assert_ok(tr_kafka_group_describe(producer, group, &info, &err));
    assert_string_equal(info.state, "Stable");
    assert_int_equal(info.members, 1);
    struct tr_kafka_partition moved[2] = {{.offset = 7}, {.partition = 1, .offset = 9}};
    assert_int_equal(tr_kafka_group_set_offsets(&properties, group, topics, moved, 2, &err),
                     TR_ESTATE);
    assert_non_null(strstr(err.text, "members"));
    tr_error_reset(&err);
    tr_kafka_consumer_close(member.consumer); /* commits in on_revoked */
    assert_int_equal(member.revoked, 1);
    assert_ok(tr_kafka_group_describe(producer, group, &info, &err));
    assert_string_equal(info.state, "Empty");
    assert_ok(tr_kafka_group_offsets(&properties, group, topics, partitions, 2, &err));
    assert_int_equal(partitions[0].offset, MESSAGES / 2);
    assert_ok(tr_kafka_group_set_offsets(&properties, group, topics, moved, 2, &err));
    assert_ok(tr_kafka_group_offsets(&properties, group, topics, partitions, 2, &err));
    assert_int_equal(partitions[0].offset, 7);
    assert_int_equal(partitions[1].offset, 9);
    assert_ok(tr_kafka_group_describe(producer, "nobody.ever", &info, &err));
    assert_string_equal(info.state, "Dead");
    free(seen);
    tr_kafka_producer_free(producer);
}

/* Two members, the second of which comes and goes: every record comes to one of them, and none
 * twice, because positions are committed when partitions are taken away. */
static void test_rebalance(void **state)
{
    (void)state;
    char name[100], group[100];
    uint8_t *seen = calloc(MESSAGES, 1);
    struct counts counts;
    struct member first = {.start = 0}, second = {.start = 0};
    struct tr_kafka_producer *producer = open_producer(&counts);
    create_topic(producer, unique("rebalance", name), 4);
    join(&first, unique("g", group), name);
    int64_t until = tr_clock_mono_us() + WAIT_US;
    while (first.count < 4 && tr_clock_mono_us() < until)
        assert_ok(take(&first, 100, seen));
    join(&second, group, name);
    while (second.count < 2 && tr_clock_mono_us() < until) {
        assert_ok(take(&first, 50, seen));
        assert_ok(take(&second, 50, seen));
    }
    bool left = false;
    produce(producer, name, 4, MESSAGES);
    while (count_seen(seen, MESSAGES) < MESSAGES && tr_clock_mono_us() < until) {
        assert_ok(take(&first, 10, seen));
        if (!left)
            assert_ok(take(&second, 10, seen));
        if (!left && count_seen(seen, MESSAGES) > MESSAGES / 4) {
            assert_int_equal(second.count, 2);
            tr_kafka_consumer_close(second.consumer);
            left = true;
        }
    }
    assert_true(left);
    assert_int_equal(count_seen(seen, MESSAGES), MESSAGES);
    for (int i = 0; i < MESSAGES; i++)
        assert_int_equal(seen[i], 1);
    assert_true(first.revoked >= 1);
    tr_kafka_consumer_close(first.consumer);
    free(seen);
    tr_kafka_producer_free(producer);
}

static void test_pause(void **state)
{
    (void)state;
    char name[100], group[100];
    uint8_t *seen = calloc(MESSAGES, 1);
    struct counts counts;
    struct member member = {.start = 0};
    struct tr_kafka_producer *producer = open_producer(&counts);
    create_topic(producer, unique("pause", name), 2);
    produce(producer, name, 2, MESSAGES);
    join(&member, unique("g", group), name);
    int64_t until = tr_clock_mono_us() + WAIT_US;
    while (count_seen(seen, MESSAGES) < 500 && tr_clock_mono_us() < until)
        assert_ok(take(&member, 100, seen));
    for (int round = 0; round < 3; round++) {
        assert_ok(tr_kafka_consumer_pause(member.consumer, member.partitions, 2, true, &err));
        assert_ok(take(&member, 100, seen)); /* what was on its way */
        for (int i = 0; i < 5; i++)
            assert_int_equal(take(&member, 100, seen), 0);
        assert_ok(tr_kafka_consumer_pause(member.consumer, member.partitions, 2, false, &err));
        assert_ok(take(&member, 100, seen));
    }
    while (count_seen(seen, MESSAGES) < MESSAGES && tr_clock_mono_us() < until)
        assert_ok(take(&member, 100, seen));
    for (int i = 0; i < MESSAGES; i++)
        assert_int_equal(seen[i], 1);
    tr_kafka_consumer_close(member.consumer);
    free(seen);
    tr_kafka_producer_free(producer);
}

/* The topic is many times the queue's bound, and reading it must not wait at each time that the
 * queue was full (a second each, unless the fetching threads are woken). */
static void test_small_queue(void **state)
{
    (void)state;
    char name[100], group[100];
    uint64_t filler[120], random = tr_clock_random() | 1;
    struct tr_kafka_message messages[64];
    struct counts counts;
    struct member member = {.start = 0};
    struct tr_kafka_producer *producer = open_producer(&counts);
    struct tr_kafka_topic_spec spec = {unique("small", name), 4, -1, NULL, 0};
    bool created = false;
    assert_ok(tr_kafka_topic_create(producer, &spec, &created, &err));
    for (int i = 0; i < MESSAGES; i++) {
        /* Not compressible, or one answer would hold all of the topic. */
        for (size_t k = 0; k < sizeof(filler) / sizeof(filler[0]); k++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            filler[k] = random;
        }
        struct tr_kafka_out out = {.topic = name,
                                   .partition = i % 4,
                                   .key = TR_SLICE("k"),
                                   .value = {(char *)filler, sizeof(filler)}};
        assert_ok(tr_kafka_producer_send(producer, &out, &err));
    }
    assert_ok(tr_kafka_producer_flush(producer, 20000, &err));
    assert_int_equal(counts.ok, MESSAGES);
    join_with(&member, unique("g", group), name, 1 << 20);
    int64_t first_us = 0, until = tr_clock_mono_us() + WAIT_US;
    int taken = 0;
    while (taken < MESSAGES && tr_clock_mono_us() < until) {
        int got = tr_kafka_consumer_take(member.consumer, messages, 64, 100, &err);
        assert_ok(got);
        first_us = first_us == 0 && got > 0 ? tr_clock_mono_us() : first_us;
        taken += got;
        for (int i = 0; i < got; i++)
            tr_kafka_message_free(&messages[i]);
        tr_clock_sleep_ms(got > 0 ? 1 : 0);
    }
    assert_int_equal(taken, MESSAGES);
    assert_true(tr_clock_mono_us() - first_us < 8000000);
    tr_kafka_consumer_close(member.consumer);
    tr_kafka_producer_free(producer);
}

static void test_out_of_range(void **state)
{
    (void)state;
    char name[100], group[100];
    uint8_t seen[16] = {0};
    struct counts counts;
    struct member member = {.start = 1000};
    struct tr_kafka_producer *producer = open_producer(&counts);
    create_topic(producer, unique("range", name), 1);
    produce(producer, name, 1, 10);
    join(&member, unique("g", group), name);
    int64_t until = tr_clock_mono_us() + WAIT_US;
    int rc = 0;
    while (rc >= 0 && tr_clock_mono_us() < until)
        rc = take(&member, 100, seen);
    assert_int_equal(rc, TR_ESTATE);
    assert_non_null(strstr(err.text, name));
    assert_non_null(strstr(err.text, "1000"));
    assert_non_null(strstr(err.text, "reset"));
    tr_error_reset(&err);
    assert_int_equal(take(&member, 100, seen), TR_ESTATE); /* and it stays so */
    tr_kafka_consumer_close(member.consumer);
    tr_kafka_producer_free(producer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_topics, reset_error),
        cmocka_unit_test_setup(test_too_large, reset_error),
        cmocka_unit_test_setup(test_reader, reset_error),
        cmocka_unit_test_setup(test_transactions, reset_error),
        cmocka_unit_test_setup(test_group, reset_error),
        cmocka_unit_test_setup(test_rebalance, reset_error),
        cmocka_unit_test_setup(test_pause, reset_error),
        cmocka_unit_test_setup(test_small_queue, reset_error),
        cmocka_unit_test_setup(test_out_of_range, reset_error),
    };
    return cmocka_run_group_tests(tests, find_broker, NULL);
}
