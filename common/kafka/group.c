/*
 * group.c - consumer groups seen from outside; see kafka.h. Describing one and setting its offsets
 * are for short-lived commands only: the library's group administration is known to stop processes
 * that live long. Reading offsets is no administration.
 */
#include <stdio.h>
#include <string.h>

#include "client.h"
#include "clock.h"

/* ---- describing ----------------------------------------------------------------------------- */

static void take_description(const rd_kafka_ConsumerGroupDescription_t *group,
                             struct tr_kafka_group_info *info)
{
    snprintf(info->state, sizeof(info->state), "%s",
             rd_kafka_consumer_group_state_name(rd_kafka_ConsumerGroupDescription_state(group)));
    info->members = (int)rd_kafka_ConsumerGroupDescription_member_count(group);
}

static int read_description(struct tr_kafka_producer *producer, rd_kafka_event_t *event,
                            struct tr_kafka_group_info *info, const char *what,
                            struct tr_error *err)
{
    size_t count = 0;
    const rd_kafka_ConsumerGroupDescription_t **groups =
        rd_kafka_DescribeConsumerGroups_result_groups(
            rd_kafka_event_DescribeConsumerGroups_result(event), &count);
    const rd_kafka_error_t *error =
        count == 0 ? NULL : rd_kafka_ConsumerGroupDescription_error(groups[0]);
    rd_kafka_resp_err_t native =
        error == NULL ? RD_KAFKA_RESP_ERR_NO_ERROR : rd_kafka_error_code(error);
    if (native == RD_KAFKA_RESP_ERR_GROUP_ID_NOT_FOUND) {
        snprintf(info->state, sizeof(info->state), "Dead");
        return 0;
    }
    if (native != RD_KAFKA_RESP_ERR_NO_ERROR || count == 0)
        return tr_kafka_client_error(tr_kafka_producer_client(producer),
                                     count == 0 ? RD_KAFKA_RESP_ERR__BAD_MSG : native, err, what);
    take_description(groups[0], info);
    return 0;
}

static int describe_once(struct tr_kafka_producer *producer, const char *group,
                         struct tr_kafka_group_info *info, struct tr_error *err)
{
    char what[TR_KAFKA_WHAT_MAX];
    *info = (struct tr_kafka_group_info){0};
    snprintf(what, sizeof(what), "asking for group %s", group);
    rd_kafka_t *rk = tr_kafka_producer_client(producer)->rk;
    rd_kafka_AdminOptions_t *options =
        tr_kafka_admin_options(producer, RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_event_t *event;
    rd_kafka_DescribeConsumerGroups(rk, &group, 1, options, queue);
    rd_kafka_AdminOptions_destroy(options);
    if (tr_kafka_admin_wait(producer, queue, &event, what, err) < 0)
        return err->code;
    int rc = read_description(producer, event, info, what, err);
    rd_kafka_event_destroy(event);
    return rc;
}

int tr_kafka_group_describe(struct tr_kafka_producer *producer, const char *group,
                            struct tr_kafka_group_info *info, struct tr_error *err)
{
    int64_t until = tr_clock_mono_us() + KAFKA_TRY_MS * INT64_C(1000);
    for (;;) {
        /* The first to ask for a group on a new broker hears that nobody coordinates it yet. */
        struct tr_error passing = {0};
        int rc = describe_once(producer, group, info, &passing);
        if (rc == TR_EKAFKA_RETRY && tr_clock_mono_us() < until) {
            tr_clock_sleep_ms(KAFKA_SLICE_MS);
            continue;
        }
        if (rc < 0)
            *err = passing;
        return rc;
    }
}

/* ---- offsets -------------------------------------------------------------------------------- */

/* A consumer that has the group's name and never joins it. */
static int open_outsider(struct tr_kafka_client *client, const struct tr_node *properties,
                         const char *group, struct tr_error *err)
{
    static const struct tr_kafka_setting defaults[] = {
        {"client.id", "tailrace"}, {"log.connection.close", "false"}, {NULL, NULL}};
    const struct tr_kafka_setting fixed[] = {
        {"group.id", group}, {"enable.auto.commit", "false"}, {NULL, NULL}};
    rd_kafka_conf_t *conf = NULL;
    int rc = tr_kafka_reading_conf_new(&conf, properties,
                                       &(struct tr_kafka_settings){defaults, fixed}, err);
    if (rc == 0)
        rc = tr_kafka_client_open(client, RD_KAFKA_CONSUMER, conf, err);
    if (rc < 0)
        return rc;
    rd_kafka_poll_set_consumer(client->rk);
    return 0;
}

static rd_kafka_topic_partition_list_t *list_of(const char *const *topics,
                                                const struct tr_kafka_partition *partitions,
                                                size_t count, struct tr_error *err)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
    if (list == NULL)
        tr_error_set(err, TR_ENOMEM, "no memory for %zu partitions", count);
    for (size_t i = 0; list != NULL && i < count; i++)
        rd_kafka_topic_partition_list_add(list, topics[partitions[i].topic],
                                          partitions[i].partition)
            ->offset = partitions[i].offset;
    return list;
}

static rd_kafka_resp_err_t first_error(const rd_kafka_topic_partition_list_t *list)
{
    for (int i = 0; i < list->cnt; i++)
        if (list->elems[i].err != RD_KAFKA_RESP_ERR_NO_ERROR)
            return list->elems[i].err;
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* The callbacks of a consumer come with its messages; there are none here. */
static int serve(struct tr_kafka_client *client, struct tr_error *err)
{
    rd_kafka_message_t *message = rd_kafka_consumer_poll(client->rk, 0);
    if (message != NULL)
        rd_kafka_message_destroy(message);
    return tr_kafka_client_fault(client, err);
}

static int fetch_offsets(struct tr_kafka_client *client, rd_kafka_topic_partition_list_t *list,
                         const char *what, struct tr_error *err)
{
    rd_kafka_resp_err_t native = RD_KAFKA_RESP_ERR__TIMED_OUT;
    int64_t until = tr_clock_mono_us() + KAFKA_TRY_MS * INT64_C(1000);
    while (tr_clock_mono_us() < until) {
        native = rd_kafka_committed(client->rk, list, KAFKA_TRY_MS / 5);
        if (native == RD_KAFKA_RESP_ERR_NO_ERROR)
            native = first_error(list);
        if (native == RD_KAFKA_RESP_ERR_NO_ERROR)
            return 0;
        if (serve(client, err) < 0 || tr_kafka_code_of(native) != TR_EKAFKA_RETRY)
            break;
        tr_clock_sleep_ms(KAFKA_SLICE_MS);
    }
    return tr_kafka_client_error(client, native, err, what);
}

int tr_kafka_group_offsets(const struct tr_node *properties, const char *group,
                           const char *const *topics, struct tr_kafka_partition *partitions,
                           size_t count, struct tr_error *err)
{
    struct tr_kafka_client client = {0};
    char what[TR_KAFKA_WHAT_MAX];
    snprintf(what, sizeof(what), "reading the offsets of group %s", group);
    int rc = open_outsider(&client, properties, group, err);
    if (rc < 0)
        return rc;
    rd_kafka_topic_partition_list_t *list = list_of(topics, partitions, count, err);
    rc = list == NULL ? err->code : fetch_offsets(&client, list, what, err);
    for (size_t i = 0; rc == 0 && list != NULL && i < count; i++)
        partitions[i].offset = list->elems[i].offset;
    if (list != NULL)
        rd_kafka_topic_partition_list_destroy(list);
    tr_kafka_client_close(&client);
    return rc;
}

static int store_failed(struct tr_kafka_client *client, rd_kafka_resp_err_t native,
                        const char *group, struct tr_error *err)
{
    char what[TR_KAFKA_WHAT_MAX];
    if (native == RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID ||
        native == RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION ||
        native == RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS ||
        native == RD_KAFKA_RESP_ERR_NON_EMPTY_GROUP)
        return tr_error_set_native(err, TR_ESTATE, (int)native,
                                   "group %s has members; stop its consumers first", group);
    snprintf(what, sizeof(what), "setting the offsets of group %s", group);
    return tr_kafka_client_error(client, native, err, what);
}

/* A commit from outside is taken only while the group is empty: the broker checks. */
static int store_offsets(struct tr_kafka_client *client, rd_kafka_topic_partition_list_t *list,
                         const char *group, struct tr_error *err)
{
    rd_kafka_resp_err_t native = RD_KAFKA_RESP_ERR__TIMED_OUT;
    int64_t until = tr_clock_mono_us() + KAFKA_TRY_MS * INT64_C(1000);
    while (tr_clock_mono_us() < until) {
        native = rd_kafka_commit(client->rk, list, 0);
        if (native == RD_KAFKA_RESP_ERR_NO_ERROR)
            native = first_error(list);
        if (native == RD_KAFKA_RESP_ERR_NO_ERROR)
            return 0;
        if (serve(client, err) < 0 ||
            (native != RD_KAFKA_RESP_ERR__WAIT_COORD && native != RD_KAFKA_RESP_ERR__TRANSPORT &&
             native != RD_KAFKA_RESP_ERR_NOT_COORDINATOR &&
             native != RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS))
            break;
        tr_clock_sleep_ms(KAFKA_SLICE_MS);
    }
    return store_failed(client, native, group, err);
}

int tr_kafka_group_set_offsets(const struct tr_node *properties, const char *group,
                               const char *const *topics,
                               const struct tr_kafka_partition *partitions, size_t count,
                               struct tr_error *err)
{
    struct tr_kafka_client client = {0};
    int rc = open_outsider(&client, properties, group, err);
    if (rc < 0)
        return rc;
    rd_kafka_topic_partition_list_t *list = list_of(topics, partitions, count, err);
    rc = list == NULL ? err->code : store_offsets(&client, list, group, err);
    if (list != NULL)
        rd_kafka_topic_partition_list_destroy(list);
    tr_kafka_client_close(&client);
    return rc;
}
