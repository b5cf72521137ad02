/*
 * sweep.c - finds and removes rows by what the names of their versions begin with: all of a table,
 * those below a floor, or any at all. A SCAN passes over the whole database.
 */
#include <stdio.h>
#include <string.h>

#include "store.h"

#define SCAN_COUNT 1000
#define PATTERN_BYTES_MAX 65536

/* What is done with a page of names of versions. 1 = that was enough. */
struct visitor {
    int (*page)(struct visitor *visitor, const redisReply *names, struct tr_error *err);
    struct tr_sink *sink;
    struct rd_connection *connection;
    int64_t floor; /* for sweep_page; 0 = all, and without a marker */
    const struct rd_table *found;
};

static void append_scan(struct rd_connection *connection, const char *cursor, const char *prefix,
                        struct tr_buf *pattern)
{
    tr_buf_reset(pattern);
    tr_buf_append(pattern, RD_VERSION_PREFIX, sizeof(RD_VERSION_PREFIX) - 1);
    for (const char *at = prefix; *at != '\0'; at++) {
        if (strchr("*?[]\\^", *at) != NULL)
            tr_buf_append_char(pattern, '\\');
        tr_buf_append_char(pattern, *at);
    }
    tr_buf_append_char(pattern, '*');
    rd_command(connection, 6);
    rd_argument_text(connection, "SCAN");
    rd_argument_text(connection, cursor);
    rd_argument_text(connection, "MATCH");
    rd_argument(connection, (struct tr_slice){pattern->data, pattern->length});
    rd_argument_text(connection, "COUNT");
    rd_argument_int(connection, SCAN_COUNT);
}

static bool is_page(const redisReply *reply)
{
    if (reply->elements != 2 || reply->element[0]->type != REDIS_REPLY_STRING ||
        reply->element[1]->type != REDIS_REPLY_ARRAY)
        return false;
    for (size_t i = 0; i < reply->element[1]->elements; i++) {
        if (reply->element[1]->element[i]->type != REDIS_REPLY_STRING)
            return false;
    }
    return true;
}

static int scan(struct visitor *visitor, const char *prefix, struct tr_error *err)
{
    char cursor[32] = "0";
    struct tr_buf pattern;
    tr_buf_init(&pattern, PATTERN_BYTES_MAX);
    int code;
    do {
        redisReply *reply = NULL;
        append_scan(visitor->connection, cursor, prefix, &pattern);
        code = rd_call_for(visitor->connection, REDIS_REPLY_ARRAY, "SCAN", &reply, err);
        if (code == 0 && !is_page(reply))
            code = rd_misunderstood("SCAN", err);
        if (code == 0) {
            snprintf(cursor, sizeof(cursor), "%s", reply->element[0]->str);
            code = visitor->page(visitor, reply->element[1], err);
        }
        freeReplyObject(reply);
    } while (code == 0 && strcmp(cursor, "0") != 0);
    tr_buf_done(&pattern);
    return code < 0 ? code : 0;
}

/* The row's key in the name of its version. */
static bool key_of(const redisReply *name, struct tr_slice *key)
{
    const size_t prefix = sizeof(RD_VERSION_PREFIX) - 1;
    if ((size_t)name->len < prefix + 1)
        return false;
    *key = (struct tr_slice){name->str + prefix, (size_t)name->len - prefix - 1};
    return true;
}

/* ---- removing -------------------------------------------------------------------------------- */

static size_t append_sweeps(const struct visitor *visitor, const redisReply *names)
{
    struct rd_connection *connection = visitor->connection;
    int64_t ttl_ms = visitor->floor > 0 ? connection->sink->settings->delete_marker_ttl_ms : 0;
    char floor[RD_VERSION_DIGITS], below[RD_VERSION_DIGITS];
    rd_version_text(floor, visitor->floor);
    rd_version_text(below, visitor->floor > 0 ? visitor->floor - 1 : 0);
    size_t count = 0;
    for (size_t i = 0; i < names->elements; i++) {
        struct tr_slice key;
        if (!key_of(names->element[i], &key))
            continue;
        rd_script(connection, RD_SCRIPT_SWEEP, 2, 3);
        rd_argument(connection, key);
        rd_append_version_key(connection, key);
        rd_argument(connection, (struct tr_slice){floor, RD_VERSION_DIGITS});
        rd_argument(connection, (struct tr_slice){below, RD_VERSION_DIGITS});
        rd_argument_int(connection, ttl_ms);
        count++;
    }
    return count;
}

static int sweep_page(struct visitor *visitor, const redisReply *names, struct tr_error *err)
{
    size_t count = append_sweeps(visitor, names);
    int code = count > 0 ? rd_send(visitor->connection, err) : 0;
    for (size_t i = 0; code == 0 && i < count; i++) {
        redisReply *reply = NULL;
        code = rd_receive(visitor->connection, &reply, err);
        if (code == 0 && reply->type != REDIS_REPLY_INTEGER)
            code = rd_reply_error(reply, err);
        freeReplyObject(reply);
    }
    return code;
}

int rd_sweep(struct rd_connection *connection, const struct rd_table *table, int64_t floor,
             struct tr_error *err)
{
    struct visitor visitor = {.page = sweep_page, .connection = connection, .floor = floor};
    return floor > 0 ? scan(&visitor, table->prefix, err) : 0; /* nothing is below 0 */
}

int rd_sweep_all(struct rd_connection *connection, const struct rd_table *table,
                 struct tr_error *err)
{
    struct visitor visitor = {.page = sweep_page, .connection = connection};
    return scan(&visitor, table->prefix, err);
}

/* ---- finding --------------------------------------------------------------------------------- */

static int find_page(struct visitor *visitor, const redisReply *names, struct tr_error *err)
{
    (void)err;
    struct tr_slice key;
    for (size_t i = 0; i < names->elements; i++) {
        const struct rd_table *at = key_of(names->element[i], &key) ? visitor->sink->tables : NULL;
        for (; at != NULL; at = at->next) {
            size_t length = strlen(at->prefix);
            if (key.length < length || memcmp(key.data, at->prefix, length) != 0)
                continue;
            visitor->found = at;
            return 1;
        }
    }
    return 0;
}

int rd_find_rows(struct tr_sink *sink, const struct rd_table **found, struct tr_error *err)
{
    struct visitor visitor = {.page = find_page, .sink = sink, .connection = &sink->main};
    int code = sink->tables != NULL ? scan(&visitor, "", err) : 0;
    *found = visitor.found;
    return code;
}
