/* message.c - received messages, for the group consumer and the reader. */
#include <string.h>

#include "client.h"

void tr_kafka_message_fill(struct tr_kafka_message *message, rd_kafka_message_t *from)
{
    rd_kafka_timestamp_type_t type;
    *message = (struct tr_kafka_message){
        .handle = from,
        .partition = from->partition,
        .offset = from->offset,
        .timestamp_ms = rd_kafka_message_timestamp(from, &type),
        .key = {from->key, from->key_len},
        .value = {from->payload, from->len},
        .tombstone = from->payload == NULL,
    };
}

void tr_kafka_message_free(struct tr_kafka_message *message)
{
    if (message->handle != NULL)
        rd_kafka_message_destroy(message->handle);
    message->handle = NULL;
}

static rd_kafka_headers_t *headers_of(const struct tr_kafka_message *message)
{
    rd_kafka_headers_t *headers = NULL;
    if (message->handle == NULL ||
        rd_kafka_message_headers(message->handle, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return NULL;
    return headers;
}

bool tr_kafka_message_header(const struct tr_kafka_message *message, const char *name,
                             struct tr_slice *value)
{
    const void *data = NULL;
    size_t length = 0;
    rd_kafka_headers_t *headers = headers_of(message);
    if (headers == NULL ||
        rd_kafka_header_get_last(headers, name, &data, &length) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return false;
    *value = (struct tr_slice){data, length};
    return true;
}

size_t tr_kafka_message_headers(const struct tr_kafka_message *message, struct tr_kafka_header *out,
                                size_t max)
{
    rd_kafka_headers_t *headers = headers_of(message);
    size_t count = 0;
    const char *name;
    const void *data;
    size_t length;
    while (headers != NULL && count < max &&
           rd_kafka_header_get_all(headers, count, &name, &data, &length) ==
               RD_KAFKA_RESP_ERR_NO_ERROR)
        out[count++] = (struct tr_kafka_header){name, {data, length}};
    return count;
}
