/*
 * connect.c - connections to Redis, and the scripts that are loaded on each.
 *
 * Every script takes the keys it touches as KEYS, all in one slot (the version's key has the row's
 * key as hash tag). Versions are 16 digits, compared as text.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "log.h"
#include "store.h"

#define COMMAND_BYTES_MAX ((size_t)1 << 30)
#define VALUE_BYTES_DEFAULT (512LL << 20) /* Redis's own default of proto-max-bulk-len */

const char *const rd_script_texts[RD_SCRIPTS] = {
    /* KEYS row, version; ARGV version, row, ttl in ms or 0. 1 = applied, 0 = stale. */
    [RD_SCRIPT_SET] = "local v=redis.call('GET',KEYS[2])\n"
                      "if v and string.sub(v,1,16)>ARGV[1] then return 0 end\n"
                      "if ARGV[3]=='0' then redis.call('MSET',KEYS[1],ARGV[2],KEYS[2],ARGV[1])\n"
                      "else redis.call('SET',KEYS[1],ARGV[2],'PX',ARGV[3])\n"
                      "redis.call('SET',KEYS[2],ARGV[1],'PX',ARGV[3]) end\n"
                      "return 1",
    /* KEYS row, version; ARGV version, ttl of the marker in ms. */
    [RD_SCRIPT_DELETE] = "local v=redis.call('GET',KEYS[2])\n"
                         "if v and string.sub(v,1,16)>ARGV[1] then return 0 end\n"
                         "redis.call('DEL',KEYS[1])\n"
                         "redis.call('SET',KEYS[2],ARGV[1]..'d','PX',ARGV[2])\n"
                         "return 1",
    /* KEYS row, version; ARGV floor, what is just below it, ttl of the marker in ms or 0. Removes
     * what is below the floor and leaves a delete's marker; with 0 all that is there, and none. */
    [RD_SCRIPT_SWEEP] = "local v=redis.call('GET',KEYS[2])\n"
                        "if not v or (ARGV[3]~='0' and\n"
                        "(string.sub(v,1,16)>=ARGV[1] or v==ARGV[2]..'d')) then return 0 end\n"
                        "redis.call('DEL',KEYS[1],KEYS[2])\n"
                        "if ARGV[3]~='0' then\n"
                        "redis.call('SET',KEYS[2],ARGV[2]..'d','PX',ARGV[3]) end\n"
                        "return 1",
    /* KEYS store; ARGV pipeline id, then field, value … 0 = not the store that was claimed. */
    [RD_SCRIPT_PROGRESS] = "if redis.call('HGET',KEYS[1],'pipeline_id')~=ARGV[1] then\n"
                           "return 0 end\n"
                           "for i=2,#ARGV,2 do redis.call('HSET',KEYS[1],ARGV[i],ARGV[i+1]) end\n"
                           "return 1",
    /* KEYS store; ARGV pipeline id, field, version. A floor only rises: another process may have
     * raised it further. 0 as above. */
    [RD_SCRIPT_FLOOR] = "if redis.call('HGET',KEYS[1],'pipeline_id')~=ARGV[1] then return 0 end\n"
                        "local v=redis.call('HGET',KEYS[1],ARGV[2])\n"
                        "if not v or tonumber(v)<tonumber(ARGV[3]) then\n"
                        "redis.call('HSET',KEYS[1],ARGV[2],ARGV[3]) end\n"
                        "return 1",
    /* KEYS store; ARGV 1 = replace a marker, then field, value …: the marker and the progress. Old
     * progress goes; floors stay, as rows below them may still be in the topic. 0 = there is a
     * marker. */
    [RD_SCRIPT_CLAIM] = "if ARGV[1]~='1' and redis.call('HGET',KEYS[1],'pipeline_id') then\n"
                        "return 0 end\n"
                        "for _,f in ipairs(redis.call('HKEYS',KEYS[1])) do\n"
                        "if string.find(f,'^progress:') or string.find(f,'^lane:') then\n"
                        "redis.call('HDEL',KEYS[1],f) end end\n"
                        "for i=2,#ARGV,2 do redis.call('HSET',KEYS[1],ARGV[i],ARGV[i+1]) end\n"
                        "return 1",
};

const char rd_script_hashes[RD_SCRIPTS][41] = {
    [RD_SCRIPT_SET] = "7cf2a8f3ef0e9c62fc5379f12e8cf3577950924d",
    [RD_SCRIPT_DELETE] = "df0ca3f5afb39f43ca6098c0fa1b138c73188edd",
    [RD_SCRIPT_SWEEP] = "843f7fabc934798b0d7706cdb449e7e03762a8fd",
    [RD_SCRIPT_PROGRESS] = "8f9d335d34735929a14a3bb3a6a047618d4735e0",
    [RD_SCRIPT_FLOOR] = "2023bef9d93373eb31bcbc7cdbea840deeabe939",
    [RD_SCRIPT_CLAIM] = "809eefb47364a9ed333b551b3544d2e465b2c5ab",
};

/* ---- redis://[user@]host[:port][/db] and unix:///path[?db=n] --------------------------------- */

struct endpoint {
    char host[256];
    int port;
    int db;
    char path[108];
    char user[128];
};

static bool parse_unix(const char *text, struct endpoint *to)
{
    const char *query = strstr(text, "?db=");
    size_t length = query != NULL ? (size_t)(query - text) : strlen(text);
    if (length == 0 || length >= sizeof(to->path))
        return false;
    memcpy(to->path, text, length);
    to->db = query != NULL ? atoi(query + 4) : 0;
    return true;
}

static bool copy_part(char *to, size_t size, const char *from, size_t length)
{
    if (length >= size)
        return false;
    memcpy(to, from, length);
    to[length] = '\0';
    return true;
}

/* host, host:port, [ipv6] or [ipv6]:port */
static bool parse_address(const char *host, const char *end, struct endpoint *to)
{
    bool bracket = host < end && *host == '[';
    const char *close = bracket ? memchr(host, ']', (size_t)(end - host)) : NULL;
    const char *from = bracket && close != NULL ? close + 1 : host;
    const char *colon = memrchr(from, ':', (size_t)(end - from));
    const char *host_end = colon != NULL ? colon : end;
    char *stop = NULL;
    to->port = 6379;
    if (bracket && (close == NULL || host_end != close + 1))
        return false;
    if (colon != NULL) {
        long port = strtol(colon + 1, &stop, 10);
        if (stop != end || port <= 0 || port > 65535)
            return false;
        to->port = (int)port;
    }
    host += bracket;
    host_end -= bracket;
    return host_end > host &&
           copy_part(to->host, sizeof(to->host), host, (size_t)(host_end - host));
}

static bool parse_tcp(const char *text, struct endpoint *to)
{
    const char *slash = strchr(text, '/');
    size_t length = slash != NULL ? (size_t)(slash - text) : strlen(text);
    const char *at = memrchr(text, '@', length);
    if (at != NULL && !copy_part(to->user, sizeof(to->user), text, (size_t)(at - text)))
        return false;
    if (slash != NULL && slash[1] != '\0') {
        char *end = NULL;
        long db = strtol(slash + 1, &end, 10);
        if (*end != '\0' || db < 0 || db > INT_MAX)
            return false;
        to->db = (int)db;
    }
    return parse_address(at != NULL ? at + 1 : text, text + length, to);
}

/* Redis's own programs read user:password@, but a URL comes by the command line too, where others
 * see it. A password may hold any character: all up to the last @ counts. */
static bool has_password(const char *url)
{
    const char *at = strrchr(url, '@');
    const char *slashes = strstr(url, "://");
    const char *from = slashes != NULL ? slashes + 3 : url;
    return strncmp(url, "unix:", 5) != 0 && at > from &&
           memchr(from, ':', (size_t)(at - from)) != NULL;
}

/* No message shows the URL: what is wrong with it may be a password. */
static int parse_url(const struct redis_settings *settings, struct endpoint *to,
                     struct tr_error *err)
{
    *to = (struct endpoint){0};
    const char *url = settings->url;
    bool good = false;
    if (has_password(url))
        return tr_error_set(err, TR_ECONFIG,
                            "redis.url holds a password, which others can read; put it into a file "
                            "named by redis.password_file, and the user's name into redis.user");
    if (strncmp(url, "redis://", 8) == 0)
        good = parse_tcp(url + 8, to);
    else if (strncmp(url, "unix://", 7) == 0)
        good = parse_unix(url + 7, to);
    if (!good)
        return tr_error_set(err, TR_ECONFIG,
                            "redis.url is no redis://host:port/db nor unix:///path/of/socket?db=n");
    if (settings->user[0] != '\0')
        snprintf(to->user, sizeof(to->user), "%s", settings->user);
    return 0;
}

int rd_url_check(const struct redis_settings *settings, struct tr_error *err)
{
    struct endpoint endpoint;
    return parse_url(settings, &endpoint, err);
}

/* ---- connecting --------------------------------------------------------------------------------
 */

static struct timeval timeval_of(int64_t ms)
{
    return (struct timeval){.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
}

static void name_endpoint(struct rd_connection *connection, const struct endpoint *to)
{
    bool ipv6 = strchr(to->host, ':') != NULL;
    if (to->path[0] != '\0')
        snprintf(connection->where, sizeof(connection->where), "%s", to->path);
    else
        snprintf(connection->where, sizeof(connection->where), "%s%s%s:%d", ipv6 ? "[" : "",
                 to->host, ipv6 ? "]" : "", to->port);
}

static int dial(struct rd_connection *connection, const struct endpoint *to, struct tr_error *err)
{
    const struct redis_settings *settings = connection->sink->settings;
    struct timeval limit = timeval_of(settings->connect_timeout_ms);
    name_endpoint(connection, to);
    redisContext *redis = to->path[0] != '\0' ? redisConnectUnixWithTimeout(to->path, limit)
                                              : redisConnectWithTimeout(to->host, to->port, limit);
    if (redis == NULL || redis->err != 0) {
        int code = tr_error_set(err, TR_ESTORE_RETRY, "redis: cannot connect to %s: %s",
                                connection->where, redis != NULL ? redis->errstr : "no memory");
        if (redis != NULL)
            redisFree(redis);
        return code;
    }
    redisSetTimeout(redis, timeval_of(settings->timeout_ms));
    connection->redis = redis;
    return 0;
}

static int simple_call(struct rd_connection *connection, struct tr_error *err)
{
    redisReply *reply = NULL;
    int code = rd_call(connection, &reply, err);
    freeReplyObject(reply);
    return code;
}

static int authenticate(struct rd_connection *connection, const struct endpoint *to,
                        struct tr_error *err)
{
    const char *password = connection->sink->settings->password;
    int code = 0;
    if (password[0] != '\0') {
        rd_command(connection, to->user[0] != '\0' ? 3 : 2);
        rd_argument_text(connection, "AUTH");
        if (to->user[0] != '\0')
            rd_argument_text(connection, to->user);
        rd_argument_text(connection, password);
        code = simple_call(connection, err);
    }
    if (code == 0 && to->db != 0) {
        rd_command(connection, 2);
        rd_argument_text(connection, "SELECT");
        rd_argument_int(connection, to->db);
        code = simple_call(connection, err);
    }
    return code;
}

static int load_scripts(struct rd_connection *connection, struct tr_error *err)
{
    for (int i = 0; i < RD_SCRIPTS; i++) {
        redisReply *reply = NULL;
        rd_command(connection, 3);
        rd_argument_text(connection, "SCRIPT");
        rd_argument_text(connection, "LOAD");
        rd_argument_text(connection, rd_script_texts[i]);
        int code = rd_call_for(connection, REDIS_REPLY_STRING, "SCRIPT LOAD", &reply, err);
        if (code == 0 && strcmp(reply->str, rd_script_hashes[i]) != 0)
            code = tr_error_set(err, TR_EBUG, "redis: script %d has hash %.40s", i, reply->str);
        freeReplyObject(reply);
        if (code != 0)
            return code;
    }
    return 0;
}

/* The largest value the server takes: a larger one would end the connection, not fail by itself. */
static int read_limits(struct rd_connection *connection, struct tr_error *err)
{
    struct tr_error ignored;
    redisReply *reply = NULL;
    tr_error_reset(&ignored);
    connection->value_bytes_max = VALUE_BYTES_DEFAULT;
    rd_command(connection, 3);
    rd_argument_text(connection, "CONFIG");
    rd_argument_text(connection, "GET");
    rd_argument_text(connection, "proto-max-bulk-len");
    int code = rd_call(connection, &reply, &ignored);
    if (code == 0 && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
        reply->element[1]->type == REDIS_REPLY_STRING)
        connection->value_bytes_max = atoll(reply->element[1]->str);
    freeReplyObject(reply);
    if (connection->redis == NULL)
        return tr_error_set(err, ignored.code, "%s", ignored.text);
    return 0;
}

static int check_marker(struct rd_connection *connection, struct tr_error *err)
{
    const struct tr_sink *sink = connection->sink;
    redisReply *reply = NULL;
    if (sink->pipeline_id[0] == '\0')
        return 0;
    rd_script(connection, RD_SCRIPT_PROGRESS, 1, 1);
    rd_argument_text(connection, sink->state_key);
    rd_argument_text(connection, sink->pipeline_id);
    int code = rd_call(connection, &reply, err);
    if (code == 0)
        code = rd_state_reply(reply, err);
    freeReplyObject(reply);
    return code != 0 ? code : rd_state_check_writes(connection, err);
}

int rd_connection_ready(struct rd_connection *connection, struct tr_error *err)
{
    struct endpoint endpoint;
    if (connection->redis != NULL)
        return 0;
    int code = parse_url(connection->sink->settings, &endpoint, err);
    if (code == 0)
        code = dial(connection, &endpoint, err);
    if (code == 0)
        code = authenticate(connection, &endpoint, err);
    if (code == 0)
        code = load_scripts(connection, err);
    if (code == 0)
        code = read_limits(connection, err);
    if (code == 0)
        code = check_marker(connection, err);
    if (code != 0)
        rd_connection_close(connection);
    return code;
}

int rd_connection_init(struct rd_connection *connection, struct tr_sink *sink, struct tr_error *err)
{
    *connection = (struct rd_connection){.sink = sink};
    tr_buf_init(&connection->out, COMMAND_BYTES_MAX);
    return rd_url_check(sink->settings, err);
}

void rd_connection_close(struct rd_connection *connection)
{
    if (connection->redis != NULL)
        redisFree(connection->redis);
    connection->redis = NULL;
    tr_buf_reset(&connection->out);
}

void rd_connection_done(struct rd_connection *connection)
{
    rd_connection_close(connection);
    tr_buf_done(&connection->out);
}
