/* properties.c - the `kafka:` section as librdkafka's configuration. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"

/* The most that librdkafka lets message.max.bytes be. */
#define MESSAGE_BYTES_MAX 1000000000ULL

const struct tr_option tr_kafka_options[] = {
    {.key = "bootstrap.servers",
     .type = TR_OPT_STRING,
     .def = "127.0.0.1:9092",
     .common = true,
     .help = "Brokers to begin with, host:port, separated by commas."},
    {.key = "security.protocol",
     .type = TR_OPT_STRING,
     .help = "plaintext, ssl, sasl_plaintext or sasl_ssl."},
    {.key = "sasl.mechanisms", .type = TR_OPT_STRING, .help = "PLAIN, SCRAM-SHA-256, …"},
    {.key = "sasl.username", .type = TR_OPT_STRING, .help = "Name for SASL."},
    {.key = "sasl.password", .type = TR_OPT_SECRET, .help = "Password for SASL."},
    {.key = "compression.codec",
     .type = TR_OPT_STRING,
     .help = "Of what is produced; lz4 without it."},
    {.key = NULL},
};

const char tr_kafka_options_help[] =
    "any property of librdkafka but those that tailrace sets itself (acks, group.id, …)";

/* Ours alone: with other values records would be lost, repeated out of order or passed over. */
static const char *const locked_names[] = {
    "acks",
    "auto.commit.enable",
    "auto.offset.reset",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.gapless.guarantee",
    "enable.idempotence",
    "enable.partition.eof",
    "group.id",
    "isolation.level",
    "partition.assignment.strategy",
    "request.required.acks",
    "transactional.id",
    NULL,
};

static bool is_locked(const char *name)
{
    for (size_t i = 0; locked_names[i] != NULL; i++)
        if (strcmp(locked_names[i], name) == 0)
            return true;
    return false;
}

/* The library lists its properties only as a Markdown table: cuts the names, first in each row, out
 * of it. NULL-ended; they point into `table`. */
static const char **cut_names(char *table)
{
    size_t count = 0;
    for (const char *c = table; *c != '\0'; c++)
        count += *c == '\n';
    const char **names = calloc(count + 1, sizeof(*names));
    char *rest = NULL;
    size_t used = 0;
    for (char *line = strtok_r(table, "\n", &rest); names != NULL && line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        size_t length = strcspn(line, " |");
        if (strchr(line, '|') == NULL || length == 0 || used == count)
            continue;
        line[length] = '\0';
        names[used++] = line;
    }
    return names;
}

/* The nearest name that librdkafka knows, for "did you mean"; NULL when none is near. Its text goes
 * into `out`, because the list of names is freed here. */
static const char *nearest_name(const char *name, char *out, size_t size)
{
    char *table = NULL;
    size_t length = 0;
    FILE *memory = open_memstream(&table, &length);
    if (memory == NULL)
        return NULL;
    rd_kafka_conf_properties_show(memory);
    fclose(memory);
    const char **names = table == NULL ? NULL : cut_names(table);
    const char *found = names == NULL ? NULL : tr_options_nearest(name, names);
    if (found != NULL)
        snprintf(out, size, "%s", found);
    free(names);
    free(table);
    return found == NULL ? NULL : out;
}

static int refuse(const struct tr_node *node, rd_kafka_conf_res_t result, const char *text,
                  struct tr_error *err)
{
    char near[128];
    const char *nearest = NULL;
    if (result == RD_KAFKA_CONF_UNKNOWN)
        nearest = nearest_name(node->key, near, sizeof(near));
    if (nearest != NULL)
        return tr_error_set(err, TR_ECONFIG,
                            "kafka.%s (line %d) is no property of librdkafka; did you mean %s?",
                            node->key, node->line, nearest);
    return tr_error_set(err, TR_ECONFIG, "kafka.%s (line %d): %s", node->key, node->line, text);
}

static int apply_property(rd_kafka_conf_t *conf, const struct tr_node *node, struct tr_error *err)
{
    char text[256];
    if (node->type != TR_NODE_SCALAR)
        return tr_error_set(err, TR_ECONFIG,
                            "kafka.%s (line %d) must be one value; write lists with commas",
                            node->key, node->line);
    if (is_locked(node->key))
        return tr_error_set(err, TR_ECONFIG,
                            "kafka.%s (line %d) is set by tailrace and can't be changed; remove it",
                            node->key, node->line);
    rd_kafka_conf_res_t result = rd_kafka_conf_set(conf, node->key, node->text, text, sizeof(text));
    return result == RD_KAFKA_CONF_OK ? 0 : refuse(node, result, text, err);
}

static int apply_settings(rd_kafka_conf_t *conf, const struct tr_kafka_setting *settings,
                          struct tr_error *err)
{
    char text[256];
    for (; settings->name != NULL; settings++)
        if (rd_kafka_conf_set(conf, settings->name, settings->value, text, sizeof(text)) !=
            RD_KAFKA_CONF_OK)
            return tr_error_set(err, TR_ECONFIG, "kafka: %s=%s: %s", settings->name,
                                settings->value, text);
    return 0;
}

static int check_brokers(const rd_kafka_conf_t *conf, struct tr_error *err)
{
    char value[512];
    size_t size = sizeof(value);
    if (rd_kafka_conf_get(conf, "bootstrap.servers", value, &size) == RD_KAFKA_CONF_OK && size > 1)
        return 0;
    size = sizeof(value);
    if (rd_kafka_conf_get(conf, "test.mock.num.brokers", value, &size) == RD_KAFKA_CONF_OK &&
        strcmp(value, "0") != 0)
        return 0;
    return tr_error_set(err, TR_ECONFIG,
                        "kafka.bootstrap.servers is not set; give host:port of your brokers");
}

int tr_kafka_conf_new(rd_kafka_conf_t **out, const struct tr_node *properties,
                      const struct tr_kafka_settings *settings, struct tr_error *err)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    if (conf == NULL)
        return tr_error_set(err, TR_ENOMEM, "no memory for Kafka's configuration");
    int rc = apply_settings(conf, settings->defaults, err);
    const struct tr_node *node = properties == NULL ? NULL : properties->child;
    for (; rc == 0 && node != NULL; node = node->next)
        rc = apply_property(conf, node, err);
    if (rc == 0)
        rc = apply_settings(conf, settings->fixed, err);
    if (rc == 0)
        rc = check_brokers(conf, err);
    if (rc < 0) {
        rd_kafka_conf_destroy(conf);
        return rc;
    }
    *out = conf;
    return 0;
}

/*
 * librdkafka wants message.max.bytes, which is for a producer, to be no more than fetch.max.bytes.
 * To who reads it says nothing, as a larger record is fetched all the same: what the section says
 * for capture must not stop a consumer.
 */
static int limit_messages(rd_kafka_conf_t *conf, struct tr_error *err)
{
    char fetch[32], limit[32], why[256] = "no such property";
    size_t size = sizeof(fetch);
    bool known = rd_kafka_conf_get(conf, "fetch.max.bytes", fetch, &size) == RD_KAFKA_CONF_OK;
    unsigned long long bytes = strtoull(fetch, NULL, 10);
    snprintf(limit, sizeof(limit), "%llu", bytes < MESSAGE_BYTES_MAX ? bytes : MESSAGE_BYTES_MAX);
    if (known &&
        rd_kafka_conf_set(conf, "message.max.bytes", limit, why, sizeof(why)) == RD_KAFKA_CONF_OK)
        return 0;
    return tr_error_set(err, TR_ECONFIG, "kafka.fetch.max.bytes: %s", why);
}

int tr_kafka_reading_conf_new(rd_kafka_conf_t **out, const struct tr_node *properties,
                              const struct tr_kafka_settings *settings, struct tr_error *err)
{
    int rc = tr_kafka_conf_new(out, properties, settings, err);
    if (rc == 0 && (rc = limit_messages(*out, err)) < 0)
        rd_kafka_conf_destroy(*out);
    return rc;
}
