/* client.c - see client.h. */
#include "client.h"

#include <stdio.h>
#include <string.h>

#include "log.h"

static enum tr_log_level level_of(int syslog_level)
{
    if (syslog_level <= 3)
        return TR_LOG_ERROR;
    if (syslog_level == 4)
        return TR_LOG_WARN;
    return syslog_level <= 6 ? TR_LOG_INFO : TR_LOG_DEBUG;
}

/* From librdkafka's threads. Every broken connection is a "FAIL" line (repeats are suppressed by
 * the library); "CONFWARN" speaks of consumer properties on a producer, which share one section. */
static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    (void)rk;
    const char *thread_end = text[0] == '[' ? strstr(text, "]: ") : NULL;
    const char *said = thread_end == NULL ? text : thread_end + 3;
    if (strcmp(facility, "FAIL") == 0)
        tr_log(TR_LOG_WARN, "kafka",
               strstr(said, "authentication error") != NULL ? "connection refused to us"
                                                            : "connection failed, retrying",
               TR_STR("text", said), TR_END);
    else if (strcmp(facility, "CONFWARN") == 0)
        tr_log(TR_LOG_DEBUG, "kafka", "librdkafka", TR_STR("facility", facility),
               TR_STR("text", said), TR_END);
    else
        tr_log(level_of(level), "kafka", "librdkafka", TR_STR("facility", facility),
               TR_STR("text", said), TR_END);
}

/* A handshake that fails because of certificates fails again; others may be a dying broker. */
static bool is_certificate_problem(const char *text)
{
    return strstr(text, "certificate") != NULL || strstr(text, "verif") != NULL;
}

static void on_error(rd_kafka_t *rk, int native, const char *reason, void *opaque)
{
    struct tr_kafka_client *client = opaque;
    rd_kafka_resp_err_t code = (rd_kafka_resp_err_t)native;
    char text[256];
    if (code == RD_KAFKA_RESP_ERR__FATAL) {
        code = rd_kafka_fatal_error(rk, text, sizeof(text));
        tr_kafka_client_note_fault(client, code, text);
        return;
    }
    bool fault = tr_kafka_code_of(code) == TR_EKAFKA ||
                 (code == RD_KAFKA_RESP_ERR__SSL && is_certificate_problem(reason));
    if (fault)
        tr_kafka_client_note_fault(client, code, reason);
    else if (code != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN || !atomic_load(&client->troubled))
        tr_kafka_client_note_trouble(client, reason); /* "all are down" would hide the reason */
}

/* Every few seconds: the only sign that an idle client has a connection again. */
static int on_stats(rd_kafka_t *rk, char *json, size_t length, void *opaque)
{
    (void)rk;
    (void)length;
    if (strstr(json, "\"state\":\"UP\"") != NULL)
        tr_kafka_client_answered(opaque);
    return 0; /* librdkafka frees the text */
}

int tr_kafka_client_open(struct tr_kafka_client *client, rd_kafka_type_t type,
                         rd_kafka_conf_t *conf, struct tr_error *err)
{
    char text[256];
    size_t size = sizeof(client->brokers);
    *client = (struct tr_kafka_client){0};
    if (rd_kafka_conf_get(conf, "bootstrap.servers", client->brokers, &size) != RD_KAFKA_CONF_OK)
        snprintf(client->brokers, sizeof(client->brokers), "(mock)");
    pthread_mutex_init(&client->lock, NULL);
    rd_kafka_conf_set_opaque(conf, client);
    rd_kafka_conf_set_log_cb(conf, on_log);
    rd_kafka_conf_set_error_cb(conf, on_error);
    rd_kafka_conf_set_stats_cb(conf, on_stats);
    client->rk = rd_kafka_new(type, conf, text, sizeof(text));
    if (client->rk != NULL)
        return 0;
    rd_kafka_conf_destroy(conf);
    pthread_mutex_destroy(&client->lock);
    return tr_error_set(err, TR_ECONFIG, "kafka: %s", text);
}

void tr_kafka_client_close(struct tr_kafka_client *client)
{
    if (client->rk == NULL)
        return;
    rd_kafka_destroy(client->rk);
    client->rk = NULL;
    pthread_mutex_destroy(&client->lock);
}

int tr_kafka_code_of(rd_kafka_resp_err_t native)
{
    switch ((int)native) {
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE:
        return TR_ELIMIT;
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
    case RD_KAFKA_RESP_ERR__FATAL:
    case RD_KAFKA_RESP_ERR__FENCED:
    case RD_KAFKA_RESP_ERR__INVALID_ARG:
    case RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED:
    case RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_ILLEGAL_SASL_STATE:
    case RD_KAFKA_RESP_ERR_INVALID_CONFIG:
    case RD_KAFKA_RESP_ERR_INVALID_MSG:
    case RD_KAFKA_RESP_ERR_INVALID_PARTITIONS:
    case RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH:
    case RD_KAFKA_RESP_ERR_INVALID_RECORD:
    case RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR:
    case RD_KAFKA_RESP_ERR_INVALID_REQUEST:
    case RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP:
    case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
    case RD_KAFKA_RESP_ERR_POLICY_VIOLATION:
    case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
    case RD_KAFKA_RESP_ERR_SECURITY_DISABLED:
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT:
    case RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM:
    case RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION:
        return TR_EKAFKA;
    default:
        return TR_EKAFKA_RETRY;
    }
}

bool tr_kafka_is_unknown(rd_kafka_resp_err_t native)
{
    return native == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
           native == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC ||
           native == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION;
}

int tr_kafka_client_error(struct tr_kafka_client *client, rd_kafka_resp_err_t native,
                          struct tr_error *err, const char *what)
{
    char trouble[256];
    if (tr_kafka_client_fault(client, err) < 0)
        return tr_error_frame(err, "%s", what);
    int code = tr_kafka_code_of(native);
    tr_kafka_client_trouble(client, trouble, sizeof(trouble));
    if (code != TR_EKAFKA_RETRY || trouble[0] == '\0')
        return tr_error_set_native(err, code, (int)native, "kafka at %s: %s: %s", client->brokers,
                                   what, rd_kafka_err2str(native));
    return tr_error_set_native(err, code, (int)native, "kafka at %s is not reachable: %s: %s",
                               client->brokers, what, trouble);
}

int tr_kafka_client_fault(struct tr_kafka_client *client, struct tr_error *err)
{
    pthread_mutex_lock(&client->lock);
    int rc = client->fault_native == 0 ? 0
                                       : tr_error_set_native(err, TR_EKAFKA, client->fault_native,
                                                             "kafka at %s refuses us: %s",
                                                             client->brokers, client->fault);
    pthread_mutex_unlock(&client->lock);
    return rc;
}

void tr_kafka_client_note_fault(struct tr_kafka_client *client, rd_kafka_resp_err_t native,
                                const char *text)
{
    pthread_mutex_lock(&client->lock);
    if (client->fault_native == 0) {
        client->fault_native = (int)native;
        snprintf(client->fault, sizeof(client->fault), "%s", text);
    }
    pthread_mutex_unlock(&client->lock);
}

void tr_kafka_client_note_trouble(struct tr_kafka_client *client, const char *text)
{
    pthread_mutex_lock(&client->lock);
    bool first = client->trouble[0] == '\0' && client->fault_native == 0;
    snprintf(client->trouble, sizeof(client->trouble), "%s", text);
    atomic_store(&client->troubled, true);
    pthread_mutex_unlock(&client->lock);
    if (first)
        tr_log(TR_LOG_WARN, "kafka", "trouble, retrying", TR_STR("brokers", client->brokers),
               TR_STR("text", text), TR_END);
}

void tr_kafka_client_answered(struct tr_kafka_client *client)
{
    if (!atomic_load_explicit(&client->troubled, memory_order_relaxed))
        return;
    pthread_mutex_lock(&client->lock);
    client->trouble[0] = '\0';
    atomic_store(&client->troubled, false);
    pthread_mutex_unlock(&client->lock);
    tr_log(TR_LOG_INFO, "kafka", "a broker answers again", TR_STR("brokers", client->brokers),
           TR_END);
}

void tr_kafka_client_trouble(struct tr_kafka_client *client, char *out, size_t size)
{
    pthread_mutex_lock(&client->lock);
    snprintf(out, size, "%s", client->trouble);
    pthread_mutex_unlock(&client->lock);
}
