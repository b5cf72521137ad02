/* consumer.c - the group consumer; see kafka.h and consumer.h. */
#include "consumer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

#define TEXT_OF(number) TEXT_OF_(number)
#define TEXT_OF_(number) #number
#define FETCH_BYTES_MAX (50u << 20)    /* librdkafka's default for one answer */
#define PARTITION_BYTES_MAX (1u << 20) /* and for one partition in it */

/* ---- life ----------------------------------------------------------------------------------- */

static void on_commit(rd_kafka_t *rk, rd_kafka_resp_err_t native,
                      rd_kafka_topic_partition_list_t *list, void *opaque)
{
    (void)rk;
    (void)list;
    struct tr_kafka_consumer *consumer = opaque;
    if (native == RD_KAFKA_RESP_ERR_NO_ERROR)
        tr_kafka_client_answered(&consumer->client);
    else if (native != RD_KAFKA_RESP_ERR__NO_OFFSET)
        tr_log(TR_LOG_WARN, "kafka", "a commit failed, the next one covers it",
               TR_STR("group", consumer->group), TR_STR("text", rd_kafka_err2str(native)), TR_END);
}

static size_t at_most(size_t value, size_t limit)
{
    return value < limit ? value : limit;
}

/* Half of the bound is for the queue, because a message in it takes more memory than its bytes. */
static size_t queue_share(const struct tr_kafka_consumer_config *config)
{
    size_t least = 1u << 20;
    return (config->queue_bytes_max < least ? least : config->queue_bytes_max) / 2;
}

static int make_conf(rd_kafka_conf_t **conf, const struct tr_kafka_consumer_config *config,
                     struct tr_error *err)
{
    char kbytes[32], fetch[32], partition[32];
    size_t bytes = queue_share(config);
    /* An answer comes compressed and is unpacked at once, on top of a queue that was not yet full:
     * small enough for that, large enough for a fast reader. */
    snprintf(kbytes, sizeof(kbytes), "%zu", bytes / 1024);
    snprintf(fetch, sizeof(fetch), "%zu", at_most(bytes / 4, FETCH_BYTES_MAX));
    snprintf(partition, sizeof(partition), "%zu", at_most(bytes / 8, PARTITION_BYTES_MAX));
    const struct tr_kafka_setting defaults[] = {
        {"client.id", config->client_id},
        {"fetch.max.bytes", fetch},
        {"fetch.message.max.bytes", partition},
        /* A fetch from partitions without news holds up those of the same broker that have some. */
        {"fetch.wait.max.ms", "100"},
        {"receive.message.max.bytes", "1000000000"},
        {"queued.max.messages.kbytes", kbytes},
        {"queued.min.messages", TEXT_OF(KAFKA_QUEUED_MESSAGES)},
        /* Also the pause after a full queue, which would otherwise starve a fast reader. */
        {"fetch.error.backoff.ms", "50"},
        {"log.connection.close", "false"},
        {"reconnect.backoff.max.ms", "2000"},
        {"session.timeout.ms", "10000"},
        {"socket.nagle.disable", "true"},
        {"statistics.interval.ms", "2000"},
        {NULL, NULL},
    };
    const struct tr_kafka_setting fixed[] = {
        {"group.id", config->group},
        {"enable.auto.commit", "false"},
        {"enable.auto.offset.store", "false"},
        {"auto.offset.reset", "error"},
        {"enable.partition.eof", "false"},
        {"isolation.level", "read_committed"},
        {"partition.assignment.strategy", "range,roundrobin"},
        {NULL, NULL},
    };
    return tr_kafka_reading_conf_new(conf, config->properties,
                                     &(struct tr_kafka_settings){defaults, fixed}, err);
}

int tr_kafka_consumer_new(struct tr_kafka_consumer **out,
                          const struct tr_kafka_consumer_config *config, struct tr_error *err)
{
    rd_kafka_conf_t *conf;
    int rc = make_conf(&conf, config, err);
    if (rc < 0)
        return rc;
    struct tr_kafka_consumer *consumer = calloc(1, sizeof(*consumer));
    if (consumer == NULL) {
        rd_kafka_conf_destroy(conf);
        return tr_error_set(err, TR_ENOMEM, "no memory for a Kafka consumer");
    }
    consumer->context = config->context;
    consumer->assigned = config->assigned;
    consumer->revoked = config->revoked;
    consumer->queue_bytes = queue_share(config);
    snprintf(consumer->group, sizeof(consumer->group), "%s", config->group);
    tr_kafka_rebalance_register(conf);
    rd_kafka_conf_set_offset_commit_cb(conf, on_commit);
    rc = tr_kafka_client_open(&consumer->client, RD_KAFKA_CONSUMER, conf, err);
    if (rc < 0) {
        free(consumer);
        return rc;
    }
    rd_kafka_poll_set_consumer(consumer->client.rk);
    consumer->queue = rd_kafka_queue_get_consumer(consumer->client.rk);
    *out = consumer;
    return 0;
}

void tr_kafka_consumer_close(struct tr_kafka_consumer *consumer)
{
    if (consumer == NULL)
        return;
    tr_kafka_rebalance_abandon(consumer);
    consumer->closing = true;
    rd_kafka_consumer_close(consumer->client.rk);
    rd_kafka_queue_destroy(consumer->queue);
    tr_kafka_client_close(&consumer->client);
    for (uint32_t i = 0; i < consumer->topic_count; i++)
        free(consumer->topics[i]);
    free(consumer->topics);
    free(consumer->partitions);
    free(consumer);
}

/* ---- topics --------------------------------------------------------------------------------- */

uint32_t tr_kafka_consumer_topic(struct tr_kafka_consumer *consumer, const char *name)
{
    for (uint32_t i = 0; i < consumer->topic_count; i++)
        if (strcmp(consumer->topics[i], name) == 0)
            return i;
    if (consumer->topic_count == consumer->topic_capacity) {
        uint32_t capacity = consumer->topic_capacity == 0 ? 16 : consumer->topic_capacity * 2;
        char **topics = realloc(consumer->topics, capacity * sizeof(*topics));
        if (topics == NULL)
            abort(); /* a few bytes per configured topic; without them there is no way on */
        consumer->topics = topics;
        consumer->topic_capacity = capacity;
    }
    char *copy = strdup(name);
    if (copy == NULL)
        abort();
    consumer->topics[consumer->topic_count] = copy;
    return consumer->topic_count++;
}

const char *tr_kafka_consumer_topic_name(const struct tr_kafka_consumer *consumer, uint32_t topic)
{
    return topic < consumer->topic_count ? consumer->topics[topic] : "";
}

int tr_kafka_consumer_subscribe(struct tr_kafka_consumer *consumer, const char *const *topics,
                                size_t count, struct tr_error *err)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
    if (list == NULL)
        return tr_error_set(err, TR_ENOMEM, "no memory for a subscription");
    for (size_t i = 0; i < count; i++)
        rd_kafka_topic_partition_list_add(list, topics[i], RD_KAFKA_PARTITION_UA);
    rd_kafka_resp_err_t native = rd_kafka_subscribe(consumer->client.rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    if (native == RD_KAFKA_RESP_ERR_NO_ERROR)
        return 0;
    return tr_kafka_client_error(&consumer->client, native, err, "subscribing");
}

/* ---- taking --------------------------------------------------------------------------------- */

/* The partition that a message belongs to; NULL when it isn't ours. Messages come in runs of one
 * partition, so the one before is tried first. */
static struct consumer_partition *partition_of(struct tr_kafka_consumer *consumer,
                                               const rd_kafka_message_t *message)
{
    struct consumer_partition *last = consumer->last;
    if (last != NULL && consumer->last_topic == message->rkt &&
        last->partition == message->partition)
        return last;
    uint32_t topic = tr_kafka_consumer_topic(consumer, rd_kafka_topic_name(message->rkt));
    for (size_t i = 0; i < consumer->partition_count; i++) {
        struct consumer_partition *partition = &consumer->partitions[i];
        if (partition->topic == topic && partition->partition == message->partition) {
            consumer->last = partition;
            consumer->last_topic = message->rkt;
            return partition;
        }
    }
    return NULL;
}

/* An error that came in a message's place: 0 when it passes by itself. */
static int take_error(struct tr_kafka_consumer *consumer, const rd_kafka_message_t *message,
                      struct tr_error *err)
{
    const char *text = rd_kafka_message_errstr(message);
    const char *topic = message->rkt == NULL ? "" : rd_kafka_topic_name(message->rkt);
    if (message->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET ||
        message->err == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE)
        return tr_error_set_native(
            err, TR_ESTATE, (int)message->err,
            "partition %d of topic %s no longer has offset %lld: records between were removed or "
            "the topic was made anew; start over with `reset --to beginning`",
            (int)message->partition, topic, (long long)message->offset);
    if (tr_kafka_code_of(message->err) == TR_EKAFKA)
        return tr_error_set_native(err, TR_EKAFKA, (int)message->err,
                                   "kafka at %s refuses us: %s%s%s", consumer->client.brokers,
                                   topic, topic[0] == '\0' ? "" : ": ", text);
    tr_log(TR_LOG_WARN, "kafka", "trouble, retrying", TR_STR("group", consumer->group),
           TR_STR("topic", topic), TR_STR("text", text), TR_END);
    return 0;
}

/* Gives the batch's messages to the caller, in order; what is old or not ours is dropped. */
static int hand_over(struct tr_kafka_consumer *consumer, size_t got,
                     struct tr_kafka_message *messages, struct tr_error *err)
{
    size_t count = 0, bytes = 0;
    int rc = 0;
    for (size_t i = 0; i < got; i++) {
        rd_kafka_message_t *from = consumer->taken[i];
        struct consumer_partition *partition = NULL;
        if (from->err != RD_KAFKA_RESP_ERR_NO_ERROR)
            rc = rc < 0 ? rc : take_error(consumer, from, err);
        else if (rc == 0)
            partition = partition_of(consumer, from);
        if (partition == NULL || from->offset < partition->expected) {
            rd_kafka_message_destroy(from);
            continue;
        }
        partition->expected = from->offset + 1;
        bytes += from->len + from->key_len;
        tr_kafka_message_fill(&messages[count], from);
        messages[count++].topic = partition->topic;
    }
    if (rc == 0) {
        tr_kafka_wake(consumer, count, bytes);
        return (int)count;
    }
    consumer->stop = *err;
    while (count > 0)
        tr_kafka_message_free(&messages[--count]);
    return rc;
}

static void drop_batch(struct tr_kafka_consumer *consumer, size_t got)
{
    for (size_t i = 0; i < got; i++)
        rd_kafka_message_destroy(consumer->taken[i]);
}

/* The library's batch call waits until the batch is full; so wait for one, then take what is there.
 */
static size_t fetch_batch(struct tr_kafka_consumer *consumer, size_t max, int timeout_ms)
{
    size_t want = at_most(max, KAFKA_TAKE_MAX);
    ssize_t got = rd_kafka_consume_batch_queue(consumer->queue, timeout_ms, consumer->taken, 1);
    if (got <= 0 || want == 1 || consumer->pending != NULL)
        return got < 0 ? 0 : (size_t)got;
    ssize_t more = rd_kafka_consume_batch_queue(consumer->queue, 0, consumer->taken + 1, want - 1);
    return more < 0 ? (size_t)got : (size_t)(got + more);
}

int tr_kafka_consumer_take(struct tr_kafka_consumer *consumer, struct tr_kafka_message *messages,
                           size_t max, int timeout_ms, struct tr_error *err)
{
    if (consumer->stop.code != 0) {
        *err = consumer->stop;
        return err->code;
    }
    if (max == 0)
        return tr_error_set(err, TR_EBUG, "take called without room for a message");
    int rc = tr_kafka_rebalance_serve(consumer, err);
    if (rc < 0)
        return rc;
    size_t got = fetch_batch(consumer, max, timeout_ms);
    if (tr_kafka_client_fault(&consumer->client, &consumer->stop) < 0) {
        drop_batch(consumer, got);
        *err = consumer->stop;
        return err->code;
    }
    if (consumer->pending != NULL) {
        drop_batch(consumer, got);
        return tr_kafka_rebalance_serve(consumer, err);
    }
    return hand_over(consumer, got, messages, err);
}

/* ---- positions ------------------------------------------------------------------------------ */

/* Without memory for it, it is not known later. */
static void put_metadata(rd_kafka_topic_partition_t *elem, int64_t whole_until_ms)
{
    char text[24];
    snprintf(text, sizeof(text), "%lld", (long long)whole_until_ms);
    elem->metadata = whole_until_ms > 0 ? strdup(text) : NULL; /* freed with the list */
    elem->metadata_size = elem->metadata != NULL ? strlen(text) : 0;
}

static rd_kafka_topic_partition_list_t *list_of(struct tr_kafka_consumer *consumer,
                                                const struct tr_kafka_partition *partitions,
                                                size_t count)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
    for (size_t i = 0; list != NULL && i < count; i++) {
        rd_kafka_topic_partition_t *elem = rd_kafka_topic_partition_list_add(
            list, tr_kafka_consumer_topic_name(consumer, partitions[i].topic),
            partitions[i].partition);
        elem->offset = partitions[i].offset;
        put_metadata(elem, partitions[i].whole_until_ms);
    }
    return list;
}

static rd_kafka_resp_err_t first_error(const rd_kafka_topic_partition_list_t *list)
{
    for (int i = 0; i < list->cnt; i++)
        if (list->elems[i].err != RD_KAFKA_RESP_ERR_NO_ERROR)
            return list->elems[i].err;
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

int tr_kafka_consumer_pause(struct tr_kafka_consumer *consumer,
                            const struct tr_kafka_partition *partitions, size_t count, bool pause,
                            struct tr_error *err)
{
    rd_kafka_topic_partition_list_t *list = list_of(consumer, partitions, count);
    if (list == NULL)
        return tr_error_set(err, TR_ENOMEM, "no memory for %zu partitions", count);
    rd_kafka_resp_err_t native = pause ? rd_kafka_pause_partitions(consumer->client.rk, list)
                                       : rd_kafka_resume_partitions(consumer->client.rk, list);
    if (native == RD_KAFKA_RESP_ERR_NO_ERROR)
        native = first_error(list);
    rd_kafka_topic_partition_list_destroy(list);
    if (native == RD_KAFKA_RESP_ERR_NO_ERROR)
        return 0;
    return tr_kafka_client_error(&consumer->client, native, err,
                                 pause ? "pausing partitions" : "resuming partitions");
}

int tr_kafka_consumer_commit(struct tr_kafka_consumer *consumer,
                             const struct tr_kafka_partition *partitions, size_t count, bool wait,
                             struct tr_error *err)
{
    if (count == 0)
        return 0;
    rd_kafka_topic_partition_list_t *list = list_of(consumer, partitions, count);
    if (list == NULL)
        return tr_error_set(err, TR_ENOMEM, "no memory for %zu partitions", count);
    rd_kafka_resp_err_t native = rd_kafka_commit(consumer->client.rk, list, wait ? 0 : 1);
    if (native == RD_KAFKA_RESP_ERR_NO_ERROR && wait)
        native = first_error(list);
    rd_kafka_topic_partition_list_destroy(list);
    if (native == RD_KAFKA_RESP_ERR_NO_ERROR)
        return 0;
    return tr_kafka_client_error(&consumer->client, native, err, "committing offsets");
}

int64_t tr_kafka_consumer_position(struct tr_kafka_consumer *consumer, uint32_t topic,
                                   int32_t partition)
{
    struct tr_kafka_partition one = {
        .topic = topic, .partition = partition, .offset = TR_KAFKA_OFFSET_NONE};
    rd_kafka_topic_partition_list_t *list = list_of(consumer, &one, 1);
    if (list == NULL)
        return TR_KAFKA_OFFSET_NONE;
    rd_kafka_resp_err_t native = rd_kafka_position(consumer->client.rk, list);
    int64_t offset = list->elems[0].offset;
    rd_kafka_topic_partition_list_destroy(list);
    return native == RD_KAFKA_RESP_ERR_NO_ERROR && offset >= 0 ? offset : TR_KAFKA_OFFSET_NONE;
}

int64_t tr_kafka_consumer_end(struct tr_kafka_consumer *consumer, uint32_t topic, int32_t partition)
{
    int64_t low, high;
    const char *name = tr_kafka_consumer_topic_name(consumer, topic);
    if (rd_kafka_get_watermark_offsets(consumer->client.rk, name, partition, &low, &high) !=
            RD_KAFKA_RESP_ERR_NO_ERROR ||
        high < 0)
        return TR_KAFKA_OFFSET_NONE;
    return high;
}

void tr_kafka_consumer_trouble(struct tr_kafka_consumer *consumer, char *out, size_t size)
{
    tr_kafka_client_trouble(&consumer->client, out, size);
}
