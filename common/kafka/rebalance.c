/*
 * rebalance.c - what the group assigns to us and takes away.
 *
 * librdkafka's callback comes in the middle of a batch. It is only noted there and answered after
 * the batch, so that it is certain which messages belong to the old assignment (all of them: they
 * are dropped) and that the caller's functions run outside of the library's. librdkafka waits for
 * our answer (rd_kafka_assign) before it starts another rebalance.
 */
#include <stdlib.h>
#include <string.h>

#include "consumer.h"
#include "log.h"

#define COMMITTED_TRIES 6
#define COMMITTED_TRY_MS 5000
#define MS_DIGITS_MAX 15

/* ---- lists ---------------------------------------------------------------------------------- */

/* Metadata that other tools wrote is no time. */
static int64_t whole_until_ms_of(const rd_kafka_topic_partition_t *elem)
{
    int64_t ms = 0;
    const char *text = elem->metadata;
    if (elem->metadata_size > MS_DIGITS_MAX)
        return 0;
    for (size_t i = 0; i < elem->metadata_size; i++) {
        if (text[i] < '0' || text[i] > '9')
            return 0;
        ms = ms * 10 + (text[i] - '0');
    }
    return ms;
}

static struct tr_kafka_partition *partitions_of(struct tr_kafka_consumer *consumer,
                                                const rd_kafka_topic_partition_list_t *list)
{
    struct tr_kafka_partition *partitions = calloc((size_t)list->cnt + 1, sizeof(*partitions));
    for (int i = 0; partitions != NULL && i < list->cnt; i++)
        partitions[i] = (struct tr_kafka_partition){
            .topic = tr_kafka_consumer_topic(consumer, list->elems[i].topic),
            .partition = list->elems[i].partition,
            .offset = list->elems[i].offset,
            .whole_until_ms = whole_until_ms_of(&list->elems[i]),
        };
    return partitions;
}

static rd_kafka_resp_err_t first_error(const rd_kafka_topic_partition_list_t *list)
{
    for (int i = 0; i < list->cnt; i++)
        if (list->elems[i].err != RD_KAFKA_RESP_ERR_NO_ERROR)
            return list->elems[i].err;
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static void drop_pending(struct tr_kafka_consumer *consumer)
{
    rd_kafka_topic_partition_list_destroy(consumer->pending);
    consumer->pending = NULL;
}

static void forget_partitions(struct tr_kafka_consumer *consumer)
{
    free(consumer->partitions);
    consumer->partitions = NULL;
    consumer->partition_count = 0;
    consumer->last = NULL;
    consumer->last_topic = NULL;
}

/* ---- assigned ------------------------------------------------------------------------------- */

static int fetch_committed(struct tr_kafka_consumer *consumer, struct tr_error *err)
{
    rd_kafka_t *rk = consumer->client.rk;
    rd_kafka_resp_err_t native = RD_KAFKA_RESP_ERR_NO_ERROR;
    for (int try = 1; consumer->pending->cnt > 0 && try <= COMMITTED_TRIES; try++) {
        native = rd_kafka_committed(rk, consumer->pending, COMMITTED_TRY_MS);
        if (native == RD_KAFKA_RESP_ERR_NO_ERROR)
            native = first_error(consumer->pending);
        if (native == RD_KAFKA_RESP_ERR_NO_ERROR || tr_kafka_code_of(native) != TR_EKAFKA_RETRY)
            break;
        tr_log(TR_LOG_WARN, "kafka", "the group's offsets could not be read, retrying",
               TR_STR("group", consumer->group), TR_STR("text", rd_kafka_err2str(native)),
               TR_INT("try", try), TR_END);
    }
    if (native == RD_KAFKA_RESP_ERR_NO_ERROR)
        return 0;
    return tr_kafka_client_error(&consumer->client, native, err, "reading the group's offsets");
}

static int check_start(struct tr_kafka_consumer *consumer,
                       const struct tr_kafka_partition *partition, struct tr_error *err)
{
    if (partition->offset >= 0 || partition->offset == TR_KAFKA_OFFSET_BEGINNING)
        return 0;
    return tr_error_set(err, TR_EBUG, "no offset to start from for partition %d of topic %s",
                        (int)partition->partition,
                        tr_kafka_consumer_topic_name(consumer, partition->topic));
}

/* Fills the pending list's offsets and our table with where to start. */
static int take_starts(struct tr_kafka_consumer *consumer,
                       const struct tr_kafka_partition *partitions, struct tr_error *err)
{
    size_t count = (size_t)consumer->pending->cnt;
    forget_partitions(consumer);
    consumer->partitions = calloc(count + 1, sizeof(*consumer->partitions));
    if (consumer->partitions == NULL)
        return tr_error_set(err, TR_ENOMEM, "no memory for %zu partitions", count);
    for (size_t i = 0; i < count; i++) {
        if (check_start(consumer, &partitions[i], err) < 0)
            return err->code;
        consumer->pending->elems[i].offset = partitions[i].offset;
        consumer->partitions[i] = (struct consumer_partition){
            partitions[i].topic, partitions[i].partition, partitions[i].offset};
    }
    consumer->partition_count = count;
    return 0;
}

static int assign(struct tr_kafka_consumer *consumer, struct tr_error *err)
{
    struct tr_kafka_partition *partitions = partitions_of(consumer, consumer->pending);
    if (partitions == NULL)
        return tr_error_set(err, TR_ENOMEM, "no memory for an assignment");
    int rc = consumer->assigned(consumer->context, partitions, (size_t)consumer->pending->cnt, err);
    if (rc == 0)
        rc = take_starts(consumer, partitions, err);
    free(partitions);
    if (rc < 0)
        return rc;
    rd_kafka_resp_err_t native = rd_kafka_assign(consumer->client.rk, consumer->pending);
    if (native == RD_KAFKA_RESP_ERR_NO_ERROR)
        return 0;
    return tr_kafka_client_error(&consumer->client, native, err, "taking partitions over");
}

static int serve_assign(struct tr_kafka_consumer *consumer, struct tr_error *err)
{
    int rc = fetch_committed(consumer, err);
    if (rc == 0)
        rc = assign(consumer, err);
    if (rc < 0 && tr_error_class_of(rc) == TR_CLASS_RETRY)
        return rc; /* it stays pending, and the next take tries again */
    if (rc < 0) {
        consumer->stop = *err;
        forget_partitions(consumer);
        rd_kafka_assign(consumer->client.rk, NULL);
    } else {
        tr_kafka_client_answered(&consumer->client);
        tr_log(TR_LOG_INFO, "kafka", "partitions assigned", TR_STR("group", consumer->group),
               TR_INT("count", consumer->partition_count), TR_END);
    }
    drop_pending(consumer);
    return rc;
}

/* ---- revoked -------------------------------------------------------------------------------- */

static void serve_revoke(struct tr_kafka_consumer *consumer)
{
    bool lost = rd_kafka_assignment_lost(consumer->client.rk) != 0;
    struct tr_kafka_partition *partitions = partitions_of(consumer, consumer->pending);
    tr_log(lost ? TR_LOG_WARN : TR_LOG_INFO, "kafka",
           lost ? "partitions lost to the group" : "partitions revoked",
           TR_STR("group", consumer->group), TR_INT("count", consumer->pending->cnt), TR_END);
    /* After a stop the caller was never told that it has them. */
    if (partitions != NULL && consumer->partition_count > 0)
        consumer->revoked(consumer->context, partitions, (size_t)consumer->pending->cnt, lost);
    free(partitions);
    forget_partitions(consumer);
    rd_kafka_assign(consumer->client.rk, NULL);
    drop_pending(consumer);
}

/* ---- from outside --------------------------------------------------------------------------- */

static void on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t kind,
                         rd_kafka_topic_partition_list_t *list, void *opaque)
{
    struct tr_kafka_consumer *consumer = opaque;
    if (consumer->pending != NULL)
        drop_pending(consumer);
    bool known = kind == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS ||
                 kind == RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS;
    consumer->pending = known ? rd_kafka_topic_partition_list_copy(list) : NULL;
    consumer->pending_assign = kind == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
    if (consumer->pending == NULL) {
        tr_log(TR_LOG_WARN, "kafka", "a rebalance failed, retrying",
               TR_STR("text", rd_kafka_err2str(kind)), TR_END);
        rd_kafka_assign(rk, NULL);
    } else if (consumer->closing && consumer->pending_assign) {
        tr_kafka_rebalance_abandon(consumer);
    } else if (consumer->closing) {
        serve_revoke(consumer);
    }
}

void tr_kafka_rebalance_register(rd_kafka_conf_t *conf)
{
    rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
}

int tr_kafka_rebalance_serve(struct tr_kafka_consumer *consumer, struct tr_error *err)
{
    if (consumer->pending == NULL)
        return 0;
    if (consumer->pending_assign)
        return serve_assign(consumer, err);
    serve_revoke(consumer);
    return 0;
}

void tr_kafka_rebalance_abandon(struct tr_kafka_consumer *consumer)
{
    if (consumer->pending == NULL)
        return;
    if (!consumer->pending_assign) {
        serve_revoke(consumer);
        return;
    }
    rd_kafka_assign(consumer->client.rk, NULL);
    drop_pending(consumer);
}
