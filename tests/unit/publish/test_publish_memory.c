/*
 * test_publish_memory.c - rows on their way to Kafka allocate nothing of ours in steady state: the
 * group, the batch, the handover, the sending, the acknowledgements and the checkpoint. The broker
 * is librdkafka's mock cluster; as that makes no topics by request, the linker has those requests
 * answered here. What librdkafka allocates is its own.
 */
#include "cmocka_all.h"
#include "count_allocations.h"

#include <stdio.h>

#include "group.h"
#include "mock.h"
#include "to_kafka.h"

#define TOPIC "db.shop"
#define PARTITIONS 4
#define GROUPS 100
#define ROWS 10 /* of a group */

int __wrap_tr_kafka_topic_create(struct tr_kafka_producer *producer,
                                 const struct tr_kafka_topic_spec *spec, bool *created,
                                 struct tr_error *err);
int __wrap_tr_kafka_topic_describe(struct tr_kafka_producer *producer, const char *name,
                                   struct tr_kafka_topic_info *info, struct tr_error *err);

static struct mock mock;
static struct tr_to_kafka to;
static bool made; /* the data topic */

static struct tr_shape_column column = {.name = {"id", 2}, .type = TR_SQL_INT};
static uint32_t key_column = 0;
static const struct tr_shape shape = {
    .database = {"shop", 4},
    .table = {"orders", 6},
    .database_json = {"\"shop\"", 6},
    .table_json = {"\"orders\"", 8},
    .schema_id = 1,
    .topic = TOPIC,
    .columns = &column,
    .column_count = 1,
    .key = &key_column,
    .key_count = 1,
};

struct reader {
    struct tr_handover *handover;
    struct tr_group group;
    uint64_t offset; /* of the last group's end */
};

int __wrap_tr_kafka_topic_create(struct tr_kafka_producer *producer,
                                 const struct tr_kafka_topic_spec *spec, bool *created,
                                 struct tr_error *err)
{
    (void)producer;
    (void)err;
    rd_kafka_mock_topic_create(mock.cluster, spec->name, spec->partitions, 1);
    made = made || strcmp(spec->name, TOPIC) == 0;
    *created = true;
    return 0;
}

int __wrap_tr_kafka_topic_describe(struct tr_kafka_producer *producer, const char *name,
                                   struct tr_kafka_topic_info *info, struct tr_error *err)
{
    (void)producer;
    (void)err;
    *info = (struct tr_kafka_topic_info){.exists = made && strcmp(name, TOPIC) == 0,
                                         .partitions = PARTITIONS};
    return 0;
}

static bool never(void *context)
{
    (void)context;
    return false;
}

/* ---- the reading thread's part ----------------------------------------------------------------
 */

static uint32_t append(struct tr_batch *batch, const char *text)
{
    tr_buf_append(&batch->text, text, strlen(text));
    return (uint32_t)strlen(text);
}

static void put_row(struct reader *reader, struct tr_batch *batch, int id, bool tombstone)
{
    struct tr_error err = {0};
    char key[64], value[160];
    struct tr_record *rec = tr_batch_add(batch, &err);
    assert_non_null(rec);
    snprintf(key, sizeof(key), "{\"pk.id\":%d}", id);
    snprintf(value, sizeof(value), "{\"id\":%d,\"pad\":\"%060d\"}", id, id);
    rec->kind = tombstone ? TR_RECORD_TOMBSTONE : TR_RECORD_ROW;
    rec->shape = &shape;
    rec->version = (int64_t)reader->offset + id;
    rec->ordinal = reader->group.rows;
    assert_int_equal(tr_topics_number(&to.topics, TOPIC, &rec->topic, &err), 0);
    rec->key_at = (uint32_t)batch->text.length;
    rec->key_length = append(batch, key);
    rec->value_at = (uint32_t)batch->text.length;
    rec->value_length = tombstone ? 0 : append(batch, value);
    rec->commit_at = rec->value_at + (tombstone ? 0 : rec->value_length - 1);
}

/* Rows, a savepoint that is gone back to, a delete with its tombstone. */
static void one_group(struct reader *reader, struct tr_batch *batch)
{
    struct tr_group *group = &reader->group;
    struct tr_error err = {0};
    uint64_t opened = reader->offset;
    assert_int_equal(tr_group_begin(group, (int64_t)opened, opened, false, batch, &err), 0);
    for (int i = 0; i < ROWS; i++) {
        if (i == ROWS / 2)
            assert_int_equal(tr_group_savepoint(group, TR_SLICE("s"), batch, &err), 0);
        assert_int_equal(tr_group_next_row(group, (int64_t)reader->offset + i), TR_GROUP_PUBLISH);
        put_row(reader, batch, i, false);
    }
    assert_int_equal(tr_group_rollback_to(group, TR_SLICE("s"), batch, &err), 0);
    assert_int_equal(tr_group_next_row(group, (int64_t)reader->offset + ROWS), TR_GROUP_PUBLISH);
    put_row(reader, batch, ROWS, false);
    put_row(reader, batch, ROWS, true);
    assert_int_equal(tr_group_commit(group, (int64_t)reader->offset + 1000, batch, &err), 0);
    reader->offset += 1000;
    batch->has_end = true;
    batch->end = (struct tr_mark){.place = {.file = "bin.000001", .offset = reader->offset}};
}

static void fill_batch(struct reader *reader)
{
    struct tr_error err = {0};
    struct tr_batch *batch = NULL;
    for (int i = 0; i < GROUPS; i++) {
        assert_int_equal(tr_handover_open(reader->handover, &batch, &err), 0);
        one_group(reader, batch);
        tr_handover_offer(reader->handover, batch, false);
    }
    assert_int_equal(tr_handover_open(reader->handover, &batch, &err), 0);
    tr_handover_push(reader->handover, batch);
}

/* ---- the publishing thread's part -------------------------------------------------------------
 */

static void done(int rc, const struct tr_error *err)
{
    char text[1024];
    if (rc != 0)
        fail_msg("%s", tr_error_format(err, text, sizeof(text)));
}

static void publish(struct reader *reader)
{
    struct tr_error err = {0};
    struct tr_batch *batch;
    while ((batch = tr_handover_take(reader->handover, 0)) != NULL) {
        done(tr_to_kafka_batch(&to, batch, &err), &err);
        tr_handover_return(reader->handover, batch);
    }
    done(tr_to_kafka_drain(&to, &err), &err);
    assert_int_equal(to.acked.place.offset, reader->offset);
    done(tr_to_kafka_checkpoint(&to, 0, &err), &err);
    done(tr_to_kafka_drain(&to, &err), &err);
    assert_false(to.acked_moved);
}

/* Both batches go round. */
static void one_round(struct reader *reader)
{
    fill_batch(reader);
    fill_batch(reader);
    publish(reader);
}

static void rows_cost_no_allocations(void **state)
{
    (void)state;
    struct tr_error err = {0};
    struct reader reader = {.offset = 1000};
    struct tr_batch *first = NULL;
    struct tr_to_kafka_config config = {.pipeline = "shop",
                                        .properties = &mock.properties,
                                        .partitions = PARTITIONS,
                                        .replication = 1,
                                        .queue_bytes = 64 << 20,
                                        .give_up = never};
    done(tr_to_kafka_open(&to, &config, &err), &err);
    done(tr_handover_new(&reader.handover, 2, &err), &err);
    tr_group_init(&reader.group);
    done(tr_handover_open(reader.handover, &first, &err), &err);
    done(tr_batch_add_shape(first, &shape, &err), &err);
    tr_handover_offer(reader.handover, first, false);
    for (int i = 0; i < 2; i++)
        one_round(&reader);
    int64_t before = allocations;
    for (int i = 0; i < 5; i++)
        one_round(&reader);
    assert_int_equal(allocations, before);
    assert_true(before > 0); /* the counter counts */
    tr_group_done(&reader.group);
    tr_handover_free(reader.handover);
    tr_to_kafka_close(&to);
}

static int start(void **state)
{
    (void)state;
    mock_start(&mock);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    mock_stop(&mock);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(rows_cost_no_allocations, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
