/*
 * test_runtime_memory.c - in steady state the runtime allocates nothing per record. Counted by the
 * linker's wrapping of the allocation functions, for our own code only: what librdkafka allocates
 * is its own. A batch refuses to grow beyond its limits.
 */
#include "count_allocations.h"
#include "rig.h"

static struct rig rig;

static int close_rig(void **state)
{
    (void)state;
    rig_close(&rig);
    return 0;
}

#define KEYS 500

static void pass_on(int partition, const char *key, const char *value, const char *header)
{
    int rc;
    while ((rc = rig_route(&rig, partition, key, value, header)) == TR_ROUTE_FULL)
        tr_lanes_wait(&rig.lanes, tr_lanes_rounds(&rig.lanes), 5);
    assert_int_equal(rc, TR_ROUTED);
}

/* Inserts, updates of the same keys (superseded), deletes with tombstones, filtered ones: more than
 * a batch takes, so that the first round uses both batches of each lane. */
static void one_round(const char *const *keys, const char *const *values, const char *gone)
{
    for (int i = 0; i < KEYS; i++) {
        pass_on(i % 4, keys[i], values[i], NULL);
        pass_on(i % 4, keys[i], values[i], NULL);
        pass_on(i % 4, keys[i], NULL, NULL);
    }
    pass_on(0, keys[0], gone, NULL);
    pass_on(0, keys[0], NULL, "7");
    rig_settle(&rig);
}

static void nothing_per_record(void **state)
{
    (void)state;
    static const char *keys[KEYS], *values[KEYS];
    rig.settings.null = true;
    rig_open(&rig, 2, 200, 8 << 20);
    for (int i = 0; i < KEYS; i++) {
        keys[i] = rig_key(i);
        values[i] = rig_event("insert", i, 100 + i, "some text");
    }
    const char *gone = rig_event("delete", 0, 7, "some text");
    for (int i = 0; i < 2; i++)
        one_round(keys, values, gone);
    int64_t before = atomic_load(&allocations);
    for (int i = 0; i < 50; i++)
        one_round(keys, values, gone);
    assert_int_equal(atomic_load(&allocations), before);
    assert_true(before > 0); /* the counter counts */
}

static void batches_stop_at_their_bytes(void **state)
{
    (void)state;
    struct tr_batch batch;
    struct tr_parts parts;
    struct tr_error err = {0};
    struct tr_sink_table table = {.database = TR_SLICE("shop")};
    char key[32];
    int added = 0;
    tr_parts_init(&parts);
    struct tr_part *part = tr_parts_get(&parts, 0, 0, TOPIC);
    assert_int_equal(tr_batch_init(&batch, 0, 100000, 1 << 20, &err), 0);
    while (!tr_batch_full(&batch)) {
        snprintf(key, sizeof(key), "%d", added);
        struct tr_kafka_message message = {.offset = added, .value = {"x", 1}};
        struct tr_sink_record record = {.table = &table, .version = 1, .key = {"k", 1}};
        assert_int_equal(tr_batch_add(&batch, part, &message, &record, (uint64_t)added, &err), 0);
        added++;
    }
    assert_in_range(added, (1 << 20) / (TR_MESSAGE_OVERHEAD + 1),
                    (1 << 20) / (TR_MESSAGE_OVERHEAD + 1) + 2);
    assert_int_equal(batch.parts[0].messages, added);
    tr_batch_reset(&batch);
    assert_true(tr_batch_empty(&batch) && !tr_batch_full(&batch));
    tr_batch_done(&batch);
    tr_parts_done(&parts);
    rig_open(&rig, 1, 10, 1 << 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(nothing_per_record, close_rig),
        cmocka_unit_test_teardown(batches_stop_at_their_bytes, close_rig),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
