/*
 * wake.c - keeps a fast reader's queue from running dry.
 *
 * librdkafka (2.0, and others before 2.2) stops fetching when its queue is full, and looks whether
 * there is room again only when its broker thread wakes up for another reason, else once a second.
 * A consumer that empties the queue in less waits for the rest of that second, every time. So when
 * a queue that was full is half empty, we ask the partitions' leaders for something cheap: sending
 * a request wakes the threads.
 */
#include "consumer.h"

#define WAKE_WAIT_MS                                                                               \
    50 /* for the answer, which is not needed; there is half a queue to go on with */

/* Whether a queue of so many messages is at least half full, by bytes or by number. */
static bool is_half_full(const struct tr_kafka_consumer *consumer, size_t messages)
{
    return messages * consumer->message_bytes >= consumer->queue_bytes / 2 ||
           messages >= KAFKA_QUEUED_MESSAGES / 2;
}

static void ask_leaders(struct tr_kafka_consumer *consumer)
{
    rd_kafka_topic_partition_list_t *list =
        rd_kafka_topic_partition_list_new((int)consumer->partition_count);
    if (list == NULL)
        return;
    for (size_t i = 0; i < consumer->partition_count; i++)
        rd_kafka_topic_partition_list_add(
            list, tr_kafka_consumer_topic_name(consumer, consumer->partitions[i].topic),
            consumer->partitions[i].partition)
            ->offset = RD_KAFKA_OFFSET_END;
    /* Whether it succeeds doesn't matter. */
    (void)rd_kafka_offsets_for_times(consumer->client.rk, list, WAKE_WAIT_MS);
    rd_kafka_topic_partition_list_destroy(list);
}

void tr_kafka_wake(struct tr_kafka_consumer *consumer, size_t taken, size_t taken_bytes)
{
    if (taken == 0)
        return;
    /* Slowly moving, so that one odd batch doesn't turn the estimate. */
    size_t average = taken_bytes / taken + 1;
    consumer->message_bytes =
        consumer->message_bytes == 0 ? average : (consumer->message_bytes * 7 + average) / 8;
    size_t left = rd_kafka_queue_length(consumer->queue);
    consumer->was_full = consumer->was_full || is_half_full(consumer, left + taken);
    if (!consumer->was_full || is_half_full(consumer, left))
        return;
    if (consumer->partition_count > 0)
        ask_leaders(consumer);
    consumer->was_full = false;
}
