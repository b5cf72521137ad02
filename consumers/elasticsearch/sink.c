/* sink.c - Elasticsearch and OpenSearch as a sink: settings, opening, tables, check, drop. */
#include <stdio.h>
#include <stdlib.h>

#include "apply.h"
#include "bulk.h"
#include "elasticsearch.h"
#include "index.h"
#include "log.h"
#include "mapping.h"
#include "names.h"
#include "state.h"

#define PATH_BYTES_MAX 1024
#define ARENA_CHUNK_BYTES 4096
#define ARENA_BYTES_MAX ((size_t)64 << 20)
#define TEXT_BYTES_MAX 4096
#define BODY_BYTES_DEFAULT ((size_t)100 << 20) /* http.max_content_length */
#define BODY_BYTES_LEAST ((size_t)64 << 10)

static const struct tr_slice nothing = {"", 0};

#define OPTION(k, t, field, ...)                                                                   \
    {                                                                                              \
        .key = k, .type = TR_OPT_##t, .offset = offsetof(struct tr_es_settings, server.field),     \
        __VA_ARGS__                                                                                \
    }

static const struct tr_option options[] = {
    TR_RUNTIME_OPTIONS(struct tr_es_settings, common),
    OPTION("urls", LIST, urls, .def = "http://127.0.0.1:9200", .common = true,
           .help = "Nodes of the cluster; the first that answers is used."),
    OPTION("user", STRING, user, .common = true, .help = "User for basic authentication."),
    OPTION("password", SECRET, password, .common = true, .help = "The user's password."),
    OPTION("api_key", SECRET, api_key, .help = "API key (its encoded form), instead of a user."),
    OPTION("ca", STRING, ca, .help = "File with the CA that signed the server's certificate."),
    OPTION("connect_timeout", DURATION, connect_timeout_ms, .def = "5s", .min = 10, .max = 600000,
           .help = "How long to wait for a connection."),
    OPTION("timeout", DURATION, timeout_ms, .def = "90s", .min = 100, .max = 3600000,
           .help = "How long to wait for an answer."),
    {0},
};

/* ---- open and close ----------------------------------------------------------------------------
 */

static const struct tr_rule_key rule_keys[] = {
    {"index", "TEXT", NULL, "The alias of its index; database.table in lower case without it."},
    {"fields", "MAP", NULL,
     "Types or whole mappings of columns instead of those that follow from the column: "
     "{name: text}."},
    {0},
};

static int check_rule(const char *pattern, const struct tr_node *settings, struct tr_error *err)
{
    return tr_es_check_settings(settings, pattern, err);
}

static int name_state_index(struct tr_sink *sink, struct tr_error *err)
{
    struct tr_buf name;
    tr_buf_init(&name, TEXT_BYTES_MAX);
    tr_es_state_index(&name, sink->context->pipeline, sink->context->consumer);
    int rc = tr_buf_check(&name, "the pipeline's name", err);
    if (rc == 0 && name.length > TR_ES_NAME_MAX)
        rc = tr_error_set(err, TR_ECONFIG,
                          "the names of pipeline and consumer are too long for "
                          "an index name");
    sink->state_index = rc == 0 ? tr_arena_copy(&sink->arena, name.data, name.length) : NULL;
    tr_buf_done(&name);
    if (rc == 0 && sink->state_index == NULL)
        rc = tr_error_set(err, TR_ENOMEM, "no memory for the Elasticsearch sink");
    return rc;
}

/* Every node is asked once; a wrong password or certificate is told at once. */
static int find_node(struct tr_sink *sink, struct tr_error *err)
{
    char path[PATH_BYTES_MAX];
    snprintf(path, sizeof(path), "/%s/_doc/marker", sink->state_index);
    int rc = TR_ESTORE_RETRY;
    for (size_t i = 0; i < sink->settings->server.urls.count && rc == TR_ESTORE_RETRY; i++) {
        tr_error_reset(err);
        rc = tr_es_call(&sink->client, "GET", path, nothing, err);
    }
    if (rc == 0 && sink->client.status != 200 && sink->client.status != 404)
        rc = tr_es_unexpected(&sink->client, "a read of the store's marker", err);
    return rc;
}

static bool read_limit(const struct tr_json_value *node, int64_t *limit)
{
    struct tr_error ignored = {0};
    struct tr_json_value http, number;
    return node->type == TR_JSON_OBJECT && tr_json_find(node, "http", &http, &ignored) == 1 &&
           http.type == TR_JSON_OBJECT &&
           tr_json_find(&http, "max_content_length_in_bytes", &number, &ignored) == 1 &&
           tr_json_to_int(&number, limit);
}

/* The least that any node takes in one request. An account that may not ask gets the default. */
static void read_body_limit(struct tr_sink *sink)
{
    static const char path[] = "/_nodes/http?filter_path=nodes.*.http.max_content_length_in_bytes";
    struct tr_error ignored = {0};
    struct tr_json_cursor cursor;
    struct tr_json_value top, nodes, name, node;
    int64_t limit;
    sink->body_bytes_max = BODY_BYTES_DEFAULT;
    if (tr_es_call_ok(&sink->client, "GET", path, nothing, "its limits", &ignored) != 0)
        return;
    struct tr_slice text = {sink->client.reply.data, sink->client.reply.length};
    if (tr_json_parse(text, &top, &ignored) != 0 || top.type != TR_JSON_OBJECT ||
        tr_json_find(&top, "nodes", &nodes, &ignored) != 1 || nodes.type != TR_JSON_OBJECT)
        return;
    tr_json_enter(&cursor, &nodes);
    while (tr_json_next(&cursor, &name, &node, &ignored) == 1)
        if (read_limit(&node, &limit) && limit >= (int64_t)BODY_BYTES_LEAST &&
            (size_t)limit < sink->body_bytes_max)
            sink->body_bytes_max = (size_t)limit;
}

static void close_sink(struct tr_sink *sink)
{
    if (sink == NULL)
        return;
    for (struct tr_es_table *table = sink->tables; table != NULL; table = table->next)
        free(table->ready);
    tr_es_client_done(&sink->client);
    tr_arena_done(&sink->arena);
    pthread_mutex_destroy(&sink->lock);
    pthread_mutex_destroy(&sink->making);
    free(sink);
}

static int open_sink(struct tr_sink **out, const struct tr_sink_context *context,
                     struct tr_error *err)
{
    struct tr_sink *sink = calloc(1, sizeof(*sink));
    if (sink == NULL)
        return tr_error_set(err, TR_ENOMEM, "no memory for the Elasticsearch sink");
    sink->context = context;
    sink->settings = context->settings;
    sink->generation = 1;
    pthread_mutex_init(&sink->lock, NULL);
    pthread_mutex_init(&sink->making, NULL);
    tr_arena_init(&sink->arena, ARENA_CHUNK_BYTES, ARENA_BYTES_MAX);
    int rc = name_state_index(sink, err);
    rc = rc == 0 ? tr_es_client_init(&sink->client, &sink->settings->server, err) : rc;
    rc = rc == 0 ? find_node(sink, err) : rc;
    if (rc != 0) {
        close_sink(sink);
        return rc;
    }
    read_body_limit(sink);
    *out = sink;
    return 0;
}

/* ---- tables ------------------------------------------------------------------------------------
 */

/* Two tables under one alias would overwrite each other's rows. */
static int check_alias(const struct tr_es_table *others, const struct tr_es_table *table,
                       struct tr_error *err)
{
    for (const struct tr_es_table *other = others; other != NULL; other = other->next) {
        if (strcmp(other->alias, table->alias) != 0)
            continue;
        const struct tr_sink_table *a = other->source, *b = table->source;
        return tr_error_set(err, TR_ECONFIG,
                            "tables %.*s.%.*s and %.*s.%.*s would share index %s; give one of "
                            "them another name with `index:` under elasticsearch.tables",
                            (int)a->database.length, a->database.data, (int)a->table.length,
                            a->table.data, (int)b->database.length, b->database.data,
                            (int)b->table.length, b->table.data, table->alias);
    }
    return 0;
}

static int check_collision(const struct tr_sink *sink, const struct tr_es_table *table,
                           struct tr_error *err)
{
    if (check_alias(sink->tables, table, err) != 0)
        return err->code;
    if (strcmp(table->alias, sink->state_index) == 0)
        return tr_error_set(err, TR_ECONFIG, "index %s is where the consumer keeps its state",
                            table->alias);
    return 0;
}

/* A text that lives as long as the arena; NULL when memory is out. */
static const char *keep(struct tr_arena *arena, struct tr_buf *text)
{
    const char *copy = text->failed ? NULL : tr_arena_copy(arena, text->data, text->length);
    tr_buf_reset(text);
    return copy;
}

static int name_table(struct tr_sink *sink, struct tr_es_table *table, struct tr_error *err)
{
    struct tr_buf text;
    tr_buf_init(&text, TEXT_BYTES_MAX);
    int rc = tr_es_alias(&text, table->source, err);
    if (rc == 0) {
        table->alias = keep(&sink->arena, &text);
        tr_buf_append_char(&text, '/');
        if (table->alias != NULL)
            tr_http_escape(&text, tr_slice_of(table->alias));
        table->path = keep(&sink->arena, &text);
    }
    if (table->alias != NULL) {
        tr_es_bulk_action(&text, "index", table->alias);
        table->index_action.length = text.length;
        table->index_action.data = keep(&sink->arena, &text);
        tr_es_bulk_action(&text, "delete", table->alias);
        table->delete_action.length = text.length;
        table->delete_action.data = keep(&sink->arena, &text);
    }
    tr_buf_done(&text);
    if (rc == 0 && (table->path == NULL || table->delete_action.data == NULL ||
                    table->index_action.data == NULL))
        rc = tr_error_set(err, TR_ENOMEM, "no memory for a table");
    return rc;
}

/* Maybe a column that comes later, so no error. */
static void warn_unknown_fields(const struct tr_es_table *table, const struct tr_shape *shape)
{
    for (const struct tr_node *node = table->fields != NULL ? table->fields->child : NULL;
         node != NULL; node = node->next)
        if (tr_shape_find_column(shape, tr_slice_of(node->key)) == NULL)
            tr_log(TR_LOG_WARN, "elasticsearch", "fields names a column that the table has not",
                   TR_STR("index", table->alias), TR_STR("column", node->key), TR_END);
}

static int add_table(struct tr_sink *sink, struct tr_sink_table *source,
                     const struct tr_shape *shape, struct tr_error *err)
{
    struct tr_es_table *table = tr_arena_alloc(&sink->arena, sizeof(*table));
    if (table == NULL)
        return tr_error_set(err, TR_ENOMEM, "no memory for a table");
    *table = (struct tr_es_table){
        .source = source,
        .fields = source->settings != NULL ? tr_node_get(source->settings, "fields") : NULL,
    };
    int rc = tr_es_check_settings(source->settings, "tables", err);
    rc = rc == 0 ? name_table(sink, table, err) : rc;
    rc = rc == 0 ? check_collision(sink, table, err) : rc;
    if (rc != 0)
        return rc;
    warn_unknown_fields(table, shape);
    table->next = sink->tables;
    sink->tables = table;
    source->user = table;
    return 0;
}

static int take_table(struct tr_sink *sink, struct tr_sink_table *source,
                      const struct tr_shape *shape, struct tr_error *err)
{
    int rc = tr_es_mapping_check(shape, err);
    if (rc != 0 || source->user != NULL)
        return rc;
    return add_table(sink, source, shape, err);
}

/* In front of the others. */
static int add_named(struct tr_arena *arena, struct tr_buf *text, struct tr_es_table **named,
                     struct tr_sink_table *source, struct tr_error *err)
{
    struct tr_es_table *table = tr_arena_alloc(arena, sizeof(*table));
    if (tr_es_alias(text, source, err) != 0)
        return err->code;
    const char *alias = keep(arena, text);
    if (table == NULL || alias == NULL)
        return tr_error_set(err, TR_ENOMEM, "no memory for a table");
    *table = (struct tr_es_table){.next = *named, .source = source, .alias = alias};
    *named = table;
    return check_alias(table->next, table, err);
}

static int check_named(struct tr_sink_table *tables, size_t count, struct tr_error *err)
{
    struct tr_arena arena;
    struct tr_buf text;
    struct tr_es_table *named = NULL;
    int rc = 0;
    tr_arena_init(&arena, ARENA_CHUNK_BYTES, ARENA_BYTES_MAX);
    tr_buf_init(&text, TEXT_BYTES_MAX);
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = add_named(&arena, &text, &named, &tables[i], err);
    tr_buf_done(&text);
    tr_arena_done(&arena);
    return rc;
}

/* ---- check and drop ----------------------------------------------------------------------------
 */

static int check_sink(struct tr_sink *sink, struct tr_error *err)
{
    for (const struct tr_es_table *table = sink->tables; table != NULL; table = table->next) {
        int rc = tr_es_index_check(sink, &sink->client, table, err);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int plan_drop(struct tr_sink *sink, struct tr_sink_table *const *tables, size_t count,
                     struct tr_buf *lines, struct tr_error *err)
{
    for (size_t i = 0; i < count; i++) {
        int rc = tr_es_index_plan(sink, &sink->client, tr_es_table_of(tables[i]), lines, err);
        if (rc != 0)
            return rc;
    }
    tr_buf_printf(lines, "index %s: marker, floors and progress\n", sink->state_index);
    return 0;
}

static int drop(struct tr_sink *sink, struct tr_sink_table *const *tables, size_t count,
                struct tr_error *err)
{
    char path[PATH_BYTES_MAX];
    int rc = 0;
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = tr_es_index_drop(sink, &sink->client, tr_es_table_of(tables[i]), err);
    if (rc != 0)
        return rc;
    /* Last: as long as the marker is there, an interrupted drop can be told from a lost store. */
    snprintf(path, sizeof(path), "/%s", sink->state_index);
    rc = tr_es_call(&sink->client, "DELETE", path, nothing, err);
    if (rc == 0 && sink->client.status != 200 && sink->client.status != 404)
        rc = tr_es_unexpected(&sink->client, "the removal of the store's own index", err);
    return rc;
}

const struct tr_sink_ops tr_elasticsearch_sink_ops = {
    .name = "elasticsearch",
    .purpose = "Keeps Elasticsearch (or OpenSearch) indices equal to the source's tables.",
    .options = options,
    .settings_size = sizeof(struct tr_es_settings),
    .settings_common_offset = offsetof(struct tr_es_settings, common),
    /* With two, the node waits for work between bulks (83 % of a bare loader, 87 % with four). */
    .lanes = 4,
    /* Bodies of 1 to 5 MB are the fastest; each message counts with what it costs in memory. */
    .batch_records_max = 10000,
    .batch_bytes_max = (size_t)5 << 20,
    .rule_keys = rule_keys,
    .check_rule = check_rule,
    .check_named = check_named,
    .open = open_sink,
    .close = close_sink,
    .load = tr_es_state_load,
    .claim = tr_es_state_claim,
    .table = take_table,
    .check = check_sink,
    .drop_plan = plan_drop,
    .drop = drop,
    .lane_open = tr_es_lane_open,
    .lane_close = tr_es_lane_close,
    .apply = tr_es_apply,
    .mark = tr_es_mark,
    .progress = tr_es_progress,
};
