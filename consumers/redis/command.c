/*
 * command.c - commands are written in RESP straight into one buffer and sent as a whole: nothing is
 * allocated per command.
 *
 *     *<arguments>\r\n $<bytes>\r\n <argument>\r\n …           (redis.io, "RESP protocol spec")
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "store.h"

static void append_header(struct tr_buf *out, char kind, size_t number)
{
    char text[24];
    size_t at = sizeof(text);
    text[--at] = '\n';
    text[--at] = '\r';
    do {
        text[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    text[--at] = kind;
    tr_buf_append(out, text + at, sizeof(text) - at);
}

void rd_command(struct rd_connection *connection, size_t argument_count)
{
    append_header(&connection->out, '*', argument_count);
}

void rd_argument(struct rd_connection *connection, struct tr_slice text)
{
    append_header(&connection->out, '$', text.length);
    tr_buf_append_slice(&connection->out, text);
    tr_buf_append(&connection->out, "\r\n", 2);
}

void rd_argument_text(struct rd_connection *connection, const char *text)
{
    rd_argument(connection, tr_slice_of(text));
}

void rd_argument_int(struct rd_connection *connection, int64_t number)
{
    char text[24];
    int used = snprintf(text, sizeof(text), "%" PRId64, number);
    rd_argument(connection, (struct tr_slice){text, (size_t)used});
}

void rd_script(struct rd_connection *connection, enum rd_script script, size_t keys,
               size_t arguments)
{
    rd_command(connection, 3 + keys + arguments);
    rd_argument(connection, TR_SLICE("EVALSHA"));
    rd_argument(connection, (struct tr_slice){rd_script_hashes[script], 40});
    rd_argument_int(connection, (int64_t)keys);
}

int rd_misunderstood(const char *what, struct tr_error *err)
{
    return tr_error_set(err, TR_ESTORE,
                        "redis: the server's answer to %s was not understood; is it a Redis?",
                        what);
}

/* What is no answer at all will be none the next time either. */
static int connection_lost(struct rd_connection *connection, struct tr_error *err)
{
    int kind = connection->redis->err == REDIS_ERR_PROTOCOL ? TR_ESTORE : TR_ESTORE_RETRY;
    int code = tr_error_set_native(err, kind, errno, "redis: connection to %s lost: %s",
                                   connection->where, connection->redis->errstr);
    rd_connection_close(connection);
    return code;
}

int rd_send(struct rd_connection *connection, struct tr_error *err)
{
    int code = tr_buf_check(&connection->out, "a batch of commands", err);
    if (code == 0 && redisAppendFormattedCommand(connection->redis, connection->out.data,
                                                 connection->out.length) != REDIS_OK)
        code = tr_error_set(err, TR_ENOMEM, "redis: no memory for a batch of commands");
    tr_buf_reset(&connection->out);
    int done = 0;
    while (code == 0 && !done) {
        if (redisBufferWrite(connection->redis, &done) != REDIS_OK)
            return connection_lost(connection, err);
    }
    return code;
}

int rd_receive(struct rd_connection *connection, redisReply **reply, struct tr_error *err)
{
    *reply = NULL;
    if (redisGetReply(connection->redis, (void **)reply) != REDIS_OK)
        return connection_lost(connection, err);
    return 0;
}

/* Redis 7 gives a script's error as it is; older ones have it inside a sentence of their own,
 * "ERR Error running script (call to f_…): @user_script:1: @user_script: 1: -OOM command not…". */
static bool says(const redisReply *reply, const char *code)
{
    static const char wrapped[] = "ERR Error running script";
    if (strncmp(reply->str, code, strlen(code)) == 0)
        return true;
    if (strncmp(reply->str, wrapped, sizeof(wrapped) - 1) != 0)
        return false;
    const char *found = strstr(reply->str, code);
    return found != NULL && (found[-1] == ' ' || found[-1] == '-');
}

/* What it was about may be quoted behind an error: keys and rows. */
static int text_length(const redisReply *reply)
{
    const char *quote = strstr(reply->str, ", with args beginning with");
    return (int)(quote != NULL ? quote - reply->str : (ptrdiff_t)reply->len);
}

/* What a person can do about it. */
static const char *remedy_of(const redisReply *reply)
{
    static const char *const remedies[][2] = {
        {"WRONGPASS", "; check redis.user and its password"},
        {"NOAUTH", "; check redis.user and its password"},
        {"ERR invalid password", "; check redis.password"}, /* before Redis 6 */
        {"NOPERM", "; the user needs " RD_COMMANDS
                   " on the tables' keys and on tailrace:*, and CONFIG GET for "
                   "all that is checked"},
    };
    for (size_t i = 0; i < sizeof(remedies) / sizeof(remedies[0]); i++) {
        if (says(reply, remedies[i][0]))
            return remedies[i][1];
    }
    return "";
}

int rd_reply_error(const redisReply *reply, struct tr_error *err)
{
    if (reply->type != REDIS_REPLY_ERROR || reply->str == NULL)
        return rd_misunderstood("a command", err);
    static const char *const passing[] = {"OOM",
                                          "LOADING",
                                          "BUSY",
                                          "MASTERDOWN",
                                          "READONLY",
                                          "NOSCRIPT",
                                          "CLUSTERDOWN",
                                          "TRYAGAIN",
                                          "MISCONF",
                                          "NOREPLICAS",
                                          "ERR max number of clients reached"};
    for (size_t i = 0; i < sizeof(passing) / sizeof(passing[0]); i++) {
        if (says(reply, passing[i]))
            return tr_error_set(err, TR_ESTORE_RETRY, "redis: %.*s", text_length(reply),
                                reply->str);
    }
    return tr_error_set(err, says(reply, "WRONGTYPE") ? TR_EPOISON : TR_ESTORE, "redis: %.*s%s",
                        text_length(reply), reply->str, remedy_of(reply));
}

int rd_call(struct rd_connection *connection, redisReply **reply, struct tr_error *err)
{
    *reply = NULL;
    int code = rd_send(connection, err);
    if (code == 0)
        code = rd_receive(connection, reply, err);
    if (code != 0 || (*reply)->type != REDIS_REPLY_ERROR)
        return code;
    code = rd_reply_error(*reply, err);
    freeReplyObject(*reply);
    *reply = NULL;
    return code;
}

int rd_call_for(struct rd_connection *connection, int type, const char *what, redisReply **reply,
                struct tr_error *err)
{
    int code = rd_call(connection, reply, err);
    if (code == 0 && (*reply == NULL || (*reply)->type != type)) {
        freeReplyObject(*reply);
        *reply = NULL;
        code = rd_misunderstood(what, err);
    }
    return code;
}
