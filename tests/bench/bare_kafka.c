/*
 * bare_kafka.c - the reference of "capture to Kafka": a loop of librdkafka alone.
 *
 *     bare_kafka BOOTSTRAP TOPIC PARTITIONS MESSAGES BYTES [LINGER_MS]
 *
 * Idempotent, acks=all, lz4, as capture produces. The text is as compressible as rows are: a part
 * of it differs from message to message. Prints one JSON line.
 */
#include <librdkafka/rdkafka.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "clock.h"

static int64_t failed;

static void delivered(rd_kafka_t *kafka, const rd_kafka_message_t *message, void *context)
{
    (void)kafka;
    (void)context;
    failed += message->err != 0;
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char why[256];
    if (rd_kafka_conf_set(conf, name, value, why, sizeof(why)) != RD_KAFKA_CONF_OK) {
        fprintf(stderr, "bare_kafka: %s\n", why);
        exit(1);
    }
}

static rd_kafka_t *connect_to(const char *bootstrap, const char *linger)
{
    char why[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", bootstrap);
    set(conf, "enable.idempotence", "true");
    set(conf, "compression.codec", "lz4");
    set(conf, "linger.ms", linger);
    set(conf, "queue.buffering.max.kbytes", "32768");
    set(conf, "queue.buffering.max.messages", "1000000");
    rd_kafka_conf_set_dr_msg_cb(conf, delivered);
    rd_kafka_t *kafka = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof(why));
    if (kafka == NULL) {
        fprintf(stderr, "bare_kafka: %s\n", why);
        exit(1);
    }
    return kafka;
}

static void create_topic(rd_kafka_t *kafka, const char *name, int partitions)
{
    char why[256];
    rd_kafka_NewTopic_t *topic = rd_kafka_NewTopic_new(name, partitions, 1, why, sizeof(why));
    rd_kafka_queue_t *queue = rd_kafka_queue_new(kafka);
    rd_kafka_CreateTopics(kafka, &topic, 1, NULL, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, 30000);
    if (event == NULL || rd_kafka_event_error(event) != 0) {
        fprintf(stderr, "bare_kafka: cannot create topic %s\n", name);
        exit(1);
    }
    rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    rd_kafka_NewTopic_destroy(topic);
}

static void fill(char *text, size_t length, int64_t number)
{
    uint64_t random = (uint64_t)number * 0x9e3779b97f4a7c15U + 1;
    int used = snprintf(text, length, "{\"id\":%lld,\"c\":\"", (long long)number);
    for (size_t i = (size_t)used; i < length; i++) {
        random = random * 6364136223846793005U + 1442695040888963407U;
        text[i] = i % 12 == 11 ? '-' : (char)('0' + (random >> 33) % 10);
    }
}

static double cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

int main(int argc, char **argv)
{
    if (argc < 6) {
        fprintf(stderr,
                "usage: bare_kafka BOOTSTRAP TOPIC PARTITIONS MESSAGES BYTES [LINGER_MS]\n");
        return 1;
    }
    int partitions = atoi(argv[3]);
    int64_t count = atoll(argv[4]);
    size_t length = (size_t)atoi(argv[5]);
    /* Texts are made before the clock starts: the loop measures the library. */
    enum { TEXTS = 1024 };
    char *texts = malloc(TEXTS * length);
    for (int i = 0; i < TEXTS; i++)
        fill(texts + (size_t)i * length, length, i);
    rd_kafka_t *kafka = connect_to(argv[1], argc > 6 ? argv[6] : "2");
    create_topic(kafka, argv[2], partitions);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(kafka, argv[2], NULL);
    int64_t start = tr_clock_mono_us();
    for (int64_t i = 0; i < count; i++) {
        char key[80];
        int key_length =
            snprintf(key, sizeof(key),
                     "{\"database\":\"bench\",\"table\":\"sbtest1\",\"pk.id\":%lld}", (long long)i);
        while (rd_kafka_produce(topic, (int32_t)(i % partitions), RD_KAFKA_MSG_F_COPY,
                                texts + (size_t)(i % TEXTS) * length, length, key,
                                (size_t)key_length, NULL) != 0) {
            if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL) {
                fprintf(stderr, "bare_kafka: %s\n", rd_kafka_err2str(rd_kafka_last_error()));
                return 1;
            }
            rd_kafka_poll(kafka, 10);
        }
        if (i % 64 == 0)
            rd_kafka_poll(kafka, 0);
    }
    rd_kafka_flush(kafka, 120000);
    double seconds = (double)(tr_clock_mono_us() - start) / 1e6;
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("{\"rows\":%lld,\"seconds\":%.4f,\"cpu\":%.4f,\"rss_mb\":%.1f,\"failed\":%lld}\n",
           (long long)count, seconds, cpu_seconds(), (double)usage.ru_maxrss / 1024,
           (long long)failed);
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(kafka);
    free(texts);
    return failed > 0;
}
