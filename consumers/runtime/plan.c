/* plan.c - see plan.h. */
#include "plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "start.h"

/* ---- topics ---------------------------------------------------------------------------------- */

static bool has_topic(const struct tr_plan *plan, const char *topic)
{
    for (size_t i = 0; i < plan->topic_count; i++)
        if (plan->topics[i] != NULL && strcmp(plan->topics[i], topic) == 0)
            return true;
    return false;
}

static int find_topics(struct tr_plan *plan, const struct tr_session *session, struct tr_error *err)
{
    size_t count = tr_control_shape_count(session->control);
    plan->topics = calloc(count + 1, sizeof(*plan->topics));
    if (plan->topics == NULL)
        return tr_error_set(err, TR_ENOMEM, "no memory for topics");
    for (size_t i = 0; i < count; i++) {
        const struct tr_shape *shape = tr_control_shape_number(session->control, i);
        if (tr_rules_match(session->rules, shape->database, shape->table, NULL) &&
            !has_topic(plan, shape->topic))
            plan->topics[plan->topic_count++] = shape->topic;
    }
    return 0;
}

/* ---- partitions ------------------------------------------------------------------------------ */

static int add_part(struct tr_plan *plan, const struct tr_session *session, uint32_t topic,
                    int32_t partition, struct tr_error *err)
{
    if (plan->part_count == plan->part_capacity) {
        size_t capacity = plan->part_capacity == 0 ? 16 : plan->part_capacity * 2;
        void *larger = realloc(plan->parts, capacity * sizeof(*plan->parts));
        if (larger == NULL)
            return tr_error_set(err, TR_ENOMEM, "no memory for partitions");
        plan->parts = larger;
        plan->part_capacity = capacity;
    }
    struct tr_plan_part *part = &plan->parts[plan->part_count];
    *part = (struct tr_plan_part){.topic = topic,
                                  .partition = partition,
                                  .group = TR_KAFKA_OFFSET_NONE,
                                  .store = TR_KAFKA_OFFSET_NONE};
    if (tr_kafka_watermarks(session->dead.producer, plan->topics[topic], partition, &part->low,
                            &part->high, err) < 0)
        return err->code;
    plan->part_count++;
    return 0;
}

static int find_parts(struct tr_plan *plan, const struct tr_session *session, struct tr_error *err)
{
    for (uint32_t topic = 0; topic < plan->topic_count; topic++) {
        struct tr_kafka_topic_info info;
        if (tr_kafka_topic_describe(session->dead.producer, plan->topics[topic], &info, err) < 0)
            return err->code;
        if (info.exists && info.partitions == 0)
            return tr_error_set(err, TR_EKAFKA_RETRY,
                                "topic %s: a partition has no leader; try again when its brokers "
                                "are up",
                                plan->topics[topic]);
        for (int32_t i = 0; info.exists && i < info.partitions; i++)
            if (add_part(plan, session, topic, i, err) < 0)
                return err->code;
    }
    return 0;
}

static int ask_group(struct tr_plan *plan, const struct tr_session *session, struct tr_error *err)
{
    struct tr_kafka_partition *list = calloc(plan->part_count + 1, sizeof(*list));
    if (list == NULL)
        return tr_error_set(err, TR_ENOMEM, "no memory for offsets");
    for (size_t i = 0; i < plan->part_count; i++)
        list[i] = (struct tr_kafka_partition){.topic = plan->parts[i].topic,
                                              .partition = plan->parts[i].partition,
                                              .offset = TR_KAFKA_OFFSET_NONE};
    int rc = plan->part_count == 0
                 ? 0
                 : tr_kafka_group_offsets(session->kafka, session->group, plan->topics, list,
                                          plan->part_count, err);
    for (size_t i = 0; rc == 0 && i < plan->part_count; i++)
        plan->parts[i].group = list[i].offset >= 0 ? list[i].offset : TR_KAFKA_OFFSET_NONE;
    free(list);
    return rc;
}

int tr_plan_make(struct tr_plan *plan, struct tr_session *session, struct tr_error *err)
{
    *plan = (struct tr_plan){0};
    if (find_topics(plan, session, err) < 0 || find_parts(plan, session, err) < 0)
        return err->code;
    return ask_group(plan, session, err);
}

void tr_plan_done(struct tr_plan *plan)
{
    free(plan->topics);
    free(plan->parts);
    *plan = (struct tr_plan){0};
}

void tr_plan_store(struct tr_plan *plan, const struct tr_session *session,
                   const struct tr_sink_state *state)
{
    for (size_t i = 0; i < plan->part_count; i++) {
        struct tr_plan_part *part = &plan->parts[i];
        const char *topic = plan->topics[part->topic];
        part->store = tr_start_progress(state, topic, tr_session_incarnation(session, topic),
                                        part->partition);
    }
}

/* ---- arithmetic ------------------------------------------------------------------------------ */

bool tr_plan_group_has_offsets(const struct tr_plan *plan)
{
    for (size_t i = 0; i < plan->part_count; i++)
        if (plan->parts[i].group >= 0)
            return true;
    return false;
}

int64_t tr_plan_replay(const struct tr_plan *plan)
{
    int64_t sum = 0;
    for (size_t i = 0; i < plan->part_count; i++)
        sum += plan->parts[i].high - plan->parts[i].low;
    return sum;
}

bool tr_plan_cut(const struct tr_plan *plan, uint32_t topic)
{
    for (size_t i = 0; i < plan->part_count; i++)
        if (plan->parts[i].topic == topic && plan->parts[i].low > 0)
            return true;
    return false;
}

static const char *offset_text(int64_t offset, char *out, size_t size)
{
    if (offset < 0)
        snprintf(out, size, "-");
    else
        snprintf(out, size, "%" PRId64, offset);
    return out;
}

void tr_plan_print(const struct tr_plan *plan, struct tr_buf *out)
{
    tr_buf_printf(out, "%-40s %9s %12s %12s %12s %12s %12s\n", "topic", "partition", "store",
                  "group", "new", "end", "to replay");
    for (size_t i = 0; i < plan->part_count; i++) {
        const struct tr_plan_part *part = &plan->parts[i];
        char store[24], group[24];
        tr_buf_printf(out, "%-40s %9d %12s %12s %12" PRId64 " %12" PRId64 " %12" PRId64 "\n",
                      plan->topics[part->topic], (int)part->partition,
                      offset_text(part->store, store, sizeof(store)),
                      offset_text(part->group, group, sizeof(group)), part->low, part->high,
                      part->high - part->low);
    }
    tr_buf_printf(out, "%" PRId64 " records to replay in %zu partitions\n", tr_plan_replay(plan),
                  plan->part_count);
    for (uint32_t topic = 0; topic < plan->topic_count; topic++)
        if (tr_plan_cut(plan, topic))
            tr_buf_printf(out,
                          "NOTE: topic %s no longer starts at offset 0 and holds no snapshot: rows "
                          "that did not change since will be missing from the store\n",
                          plan->topics[topic]);
}
