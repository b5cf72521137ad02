/* sink.c - the Redis sink's table of operations and its tables' settings. */
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "kind.h"
#include "log.h"
#include "rules.h"

#define TTL_MAX_MS (36500LL * 86400 * 1000) /* Redis refuses what leads beyond its clock */
#define TEMPLATE_DEFAULT "{database}:{table}:{pk}"

static const struct tr_option redis_options[] = {
    {.key = "url",
     .type = TR_OPT_STRING,
     .def = "redis://127.0.0.1:6379/0",
     .common = true,
     .offset = offsetof(struct redis_settings, url),
     .help = "redis://host:port/db, or unix:///path/of/socket?db=n; no password in it."},
    {.key = "user",
     .type = TR_OPT_STRING,
     .offset = offsetof(struct redis_settings, user),
     .help = "User name for AUTH."},
    {.key = "password",
     .type = TR_OPT_SECRET,
     .offset = offsetof(struct redis_settings, password),
     .help = "Password for AUTH."},
    TR_RUNTIME_OPTIONS(struct redis_settings, common),
    {.key = "delete_marker_ttl",
     .type = TR_OPT_DURATION,
     .def = "1d",
     .offset = offsetof(struct redis_settings, delete_marker_ttl_ms),
     .min = 1000,
     .max = TTL_MAX_MS,
     .help = "How long a deleted row's version is kept, as the guard against late changes."},
    {.key = "connect_timeout",
     .type = TR_OPT_DURATION,
     .def = "5s",
     .min = 1,
     .max = 3600000,
     .offset = offsetof(struct redis_settings, connect_timeout_ms),
     .help = "Time to connect before trying again."},
    {.key = "timeout",
     .type = TR_OPT_DURATION,
     .def = "30s",
     .min = 1,
     .max = 3600000,
     .offset = offsetof(struct redis_settings, timeout_ms),
     .help = "Time to wait for replies before connecting anew."},
    {0},
};

static void free_table(struct rd_table *table)
{
    rd_kinds_free(table->kinds);
    free(table->prefix);
    free(table);
}

static void free_tables(struct rd_table *table)
{
    while (table != NULL) {
        struct rd_table *next = table->next; /* its source is the runtime's, and may be gone */
        free_table(table);
        table = next;
    }
}

static void sink_close(struct tr_sink *sink)
{
    if (sink == NULL)
        return;
    free_tables(sink->tables);
    rd_state_end_session(&sink->main);
    rd_connection_done(&sink->main);
    pthread_mutex_destroy(&sink->lock);
    free(sink->state_key);
    free(sink);
}

static void begin_session(struct rd_connection *connection)
{
    snprintf(connection->session, sizeof(connection->session), RD_LANE_FIELD "%016llx",
             (unsigned long long)tr_clock_random());
}

static int sink_open(struct tr_sink **out, const struct tr_sink_context *context,
                     struct tr_error *err)
{
    struct tr_sink *sink = calloc(1, sizeof(*sink));
    if (sink == NULL)
        return tr_error_set(err, TR_ENOMEM, "redis: no memory");
    sink->context = context;
    sink->settings = context->settings;
    pthread_mutex_init(&sink->lock, NULL);
    int code = rd_connection_init(&sink->main, sink, err);
    if (code == 0 && !context->read_only)
        begin_session(&sink->main);
    if (code == 0 && asprintf(&sink->state_key, "tailrace:store:%s:%s", context->pipeline,
                              context->consumer) < 0) {
        sink->state_key = NULL;
        code = tr_error_set(err, TR_ENOMEM, "redis: no memory");
    }
    if (code == 0)
        code = rd_connection_ready(&sink->main, err);
    if (code != 0) {
        sink_close(sink);
        return code;
    }
    *out = sink;
    return 0;
}

/* ---- tables -----------------------------------------------------------------------------------
 */

static const struct tr_rule_key rule_keys[] = {
    {"key", "TEMPLATE", TEMPLATE_DEFAULT,
     "The row's key; names all of the table's key columns, as {column}. In a database no table's "
     "keys may begin as another's do, of another pipeline neither: they are removed by that."},
    {"value", "json", "json", "What the key holds: the row as JSON."},
    {"ttl", "DURATION", NULL, "How long a row stays after its last change; for ever without it."},
    {0},
};

/* What a rule says; `ttl_ms` stays when it says nothing of it. */
static int read_rule(const struct tr_node *settings, const char *pattern, int64_t *ttl_ms,
                     struct tr_error *err)
{
    const char *value = tr_node_text(settings, "value", "json");
    if (strcmp(value, "json") != 0)
        return tr_node_error(settings, err, "%s: value must be json, not %s", pattern, value);
    const char *ttl = tr_node_text(settings, "ttl", NULL);
    if (ttl != NULL && (!tr_option_duration(ttl, ttl_ms) || *ttl_ms > TTL_MAX_MS))
        return tr_node_error(settings, err, "%s: ttl %s is no duration (30s, 5m, 1h, 7d)", pattern,
                             ttl);
    return 0;
}

static int check_rule(const char *pattern, const struct tr_node *settings, struct tr_error *err)
{
    int64_t ttl_ms = 0;
    return read_rule(settings, pattern, &ttl_ms, err);
}

static int table_settings(struct rd_table *table, const struct tr_shape *shape,
                          struct tr_error *err)
{
    const struct tr_node *settings = table->source->settings;
    table->key = TEMPLATE_DEFAULT;
    if (settings != NULL) {
        int code = read_rule(settings, "redis.tables", &table->ttl_ms, err);
        if (code != 0)
            return code;
        table->key = tr_node_text(settings, "key", TEMPLATE_DEFAULT);
    }
    table->prefix = rd_template_prefix(table->key, shape);
    return table->prefix != NULL ? 0 : tr_error_set(err, TR_ENOMEM, "redis: no memory");
}

/* Rows of a table are found again by what their keys begin with, so no table's keys may begin as
 * another's do. */
static int check_prefix(const struct rd_table *others, const struct rd_table *table,
                        struct tr_error *err)
{
    for (const struct rd_table *other = others; other != NULL; other = other->next) {
        size_t mine = strlen(table->prefix), theirs = strlen(other->prefix);
        size_t shorter = mine < theirs ? mine : theirs;
        if (memcmp(table->prefix, other->prefix, shorter) != 0)
            continue;
        return tr_error_set(err, TR_ECONFIG,
                            "redis: keys of %.*s.%.*s (\"%s…\") and of %.*s.%.*s (\"%s…\") can't "
                            "be told apart; give "
                            "one of them another `key:` that begins differently",
                            (int)table->source->database.length, table->source->database.data,
                            (int)table->source->table.length, table->source->table.data,
                            table->prefix, (int)other->source->database.length,
                            other->source->database.data, (int)other->source->table.length,
                            other->source->table.data, other->prefix);
    }
    return 0;
}

/* In front of the others. */
static int add_table(struct rd_table **tables, struct tr_sink_table *source,
                     const struct tr_shape *shape, struct tr_error *err)
{
    struct rd_table *table = calloc(1, sizeof(*table));
    if (table == NULL)
        return tr_error_set(err, TR_ENOMEM, "redis: no memory");
    table->source = source;
    int code = table_settings(table, shape, err);
    if (code == 0)
        code = check_prefix(*tables, table, err);
    if (code != 0) {
        free_table(table);
        return code;
    }
    table->next = *tables;
    *tables = table;
    return 0;
}

static int sink_table(struct tr_sink *sink, struct tr_sink_table *source,
                      const struct tr_shape *shape, struct tr_error *err)
{
    if (source->user != NULL)
        return 0;
    int code = add_table(&sink->tables, source, shape, err);
    if (code != 0)
        return code;
    sink->tables->first = shape;
    source->user = sink->tables;
    return 0;
}

static int check_named(struct tr_sink_table *tables, size_t count, struct tr_error *err)
{
    struct rd_table *named = NULL;
    int code = 0;
    for (size_t i = 0; code == 0 && i < count; i++) {
        const struct tr_shape names = {.database = tables[i].database, .table = tables[i].table};
        code = add_table(&named, &tables[i], &names, err);
    }
    free_tables(named);
    return code;
}

/* Whether a table's rows are to stay for ever. As long as none is known, the rules say it. */
static int look_for_lasting(const struct tr_sink *sink, bool *lasting, struct tr_error *err)
{
    *lasting = false;
    for (const struct rd_table *table = sink->tables; table != NULL; table = table->next)
        *lasting = *lasting || table->ttl_ms == 0;
    if (sink->tables != NULL)
        return 0;
    struct tr_rules *rules = NULL;
    int code = tr_rules_parse(&rules, sink->settings->common.tables, err);
    *lasting = code == 0 && !tr_rules_all_have(rules, "ttl");
    tr_rules_free(rules);
    return code;
}

/* A Redis that evicts would drop rows and versions behind our back; with a ttl that is agreed. */
static int check_eviction(struct tr_sink *sink, struct tr_error *err)
{
    redisReply *reply = NULL;
    rd_command(&sink->main, 3);
    rd_argument_text(&sink->main, "CONFIG");
    rd_argument_text(&sink->main, "GET");
    rd_argument_text(&sink->main, "maxmemory-policy");
    int code = rd_call(&sink->main, &reply, err);
    if (code == TR_ESTORE) { /* CONFIG is not for us here: nothing is known */
        tr_log(TR_LOG_WARN, "redis", "maxmemory-policy cannot be read", TR_STR("why", err->text),
               TR_END);
        tr_error_reset(err);
        return 0;
    }
    if (code == 0 && reply->elements == 2 && reply->element[1]->type == REDIS_REPLY_STRING &&
        strcmp(reply->element[1]->str, "noeviction") != 0)
        code = tr_error_set(err, TR_ECONFIG,
                            "redis: maxmemory-policy is %s: rows would vanish unseen; set it to "
                            "noeviction, or give every table a `ttl:`",
                            reply->element[1]->str);
    freeReplyObject(reply);
    return code;
}

static int sink_check(struct tr_sink *sink, struct tr_error *err)
{
    const struct rd_kind *kind;
    bool lasting;
    int code = look_for_lasting(sink, &lasting, err);
    if (code == 0)
        code = rd_connection_ready(&sink->main, err);
    for (struct rd_table *table = sink->tables; code == 0 && table != NULL; table = table->next)
        code = rd_table_kind(sink, table, &kind, err);
    if (code == 0)
        code = rd_claim_check(sink, err);
    return code == 0 && lasting ? check_eviction(sink, err) : code;
}

/* ---- lanes ------------------------------------------------------------------------------------
 */

static int lane_open(struct tr_sink *sink, unsigned number, struct tr_sink_lane **out,
                     struct tr_error *err)
{
    (void)number;
    struct tr_sink_lane *lane = calloc(1, sizeof(*lane));
    if (lane == NULL)
        return tr_error_set(err, TR_ENOMEM, "redis: no memory");
    tr_buf_init(&lane->key, (size_t)64 << 20);
    int code = rd_connection_init(&lane->connection, sink, err);
    if (code != 0) {
        free(lane);
        return code;
    }
    begin_session(&lane->connection);
    *out = lane;
    return 0;
}

static void lane_close(struct tr_sink_lane *lane)
{
    rd_state_end_session(&lane->connection);
    rd_connection_done(&lane->connection);
    tr_buf_done(&lane->key);
    free(lane);
}

const struct tr_sink_ops tr_redis_sink_ops = {
    .name = "redis",
    .purpose = "Keeps rows in Redis, one key per row, equal to the source's tables.",
    .options = redis_options,
    .settings_size = sizeof(struct redis_settings),
    .settings_common_offset = offsetof(struct redis_settings, common),
    .exclusive = false,
    .lanes = 2,
    .batch_records_max = 5000,
    .batch_bytes_max = (size_t)4 << 20,
    .rule_keys = rule_keys,
    .check_rule = check_rule,
    .check_named = check_named,
    .open = sink_open,
    .close = sink_close,
    .load = rd_state_load,
    .claim = rd_claim,
    .table = sink_table,
    .check = sink_check,
    .drop_plan = rd_drop_plan,
    .drop = rd_drop,
    .lane_open = lane_open,
    .lane_close = lane_close,
    .apply = rd_apply,
    .mark = rd_mark,
    .progress = rd_progress,
};
