/* es_helpers.c - see es_helpers.h. */
#include "es_helpers.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "clock.h"

struct es_world world;

static int find_server(void)
{
    char path[512], line[512];
    const char *dir = getenv("TAILRACE_STACK_DIR");
    snprintf(path, sizeof(path), "%s/endpoints.env", dir == NULL ? "/var/tmp/tailrace-stack" : dir);
    FILE *in = fopen(path, "r");
    if (in == NULL) {
        fprintf(stderr, "%s can't be read: run `deploy/stack/stack up` first\n", path);
        return -1;
    }
    while (fgets(line, sizeof(line), in) != NULL)
        sscanf(line, "ELASTICSEARCH_URL=%255s", world.url);
    fclose(in);
    if (world.url[0] == '\0')
        fprintf(stderr, "%s names no ELASTICSEARCH_URL\n", path);
    return world.url[0] == '\0' ? -1 : 0;
}

int es_setup(void **state)
{
    (void)state;
    memset(&world, 0, sizeof(world));
    if (find_server() != 0)
        return -1;
    snprintf(world.pipeline, sizeof(world.pipeline), "t%08x", (unsigned)tr_clock_random());
    tr_arena_init(&world.arena, 1 << 16, 0);
    tr_arena_init(&world.names, 1 << 12, 0);
    tr_buf_init(&world.reply, TR_ES_REPLY_BYTES_MAX);
    world.urls[0] = world.url;
    world.settings.server = (struct tr_es_server){
        .urls = {world.urls, 1}, .connect_timeout_ms = 5000, .timeout_ms = 60000};
    world.context = (struct tr_sink_context){
        .pipeline = world.pipeline, .consumer = "elasticsearch", .settings = &world.settings};
    const struct tr_http_config config = {.url = world.url,
                                          .user = "",
                                          .authorization = "",
                                          .ca_file = "",
                                          .connect_timeout_ms = 5000,
                                          .timeout_ms = 60000,
                                          .reply_bytes_max = TR_ES_REPLY_BYTES_MAX};
    return tr_http_client_new(&world.http, &config, &world.err);
}

/* Everything with the pipeline's name in front, or of its state. */
static void remove_indices(void)
{
    char path[256];
    snprintf(path, sizeof(path), "/_cat/indices/%s*,tailrace-%s-*?h=index&expand_wildcards=all",
             world.pipeline, world.pipeline);
    es_call("GET", path, "");
    char *names = strdup(world.reply.data), *rest = NULL;
    for (char *name = strtok_r(names, "\n", &rest); name != NULL;
         name = strtok_r(NULL, "\n", &rest)) {
        snprintf(path, sizeof(path), "/%s", name);
        es_call("DELETE", path, "");
    }
    free(names);
}

int es_teardown(void **state)
{
    (void)state;
    es_close();
    remove_indices();
    tr_http_client_free(world.http);
    tr_buf_done(&world.reply);
    tr_arena_done(&world.arena);
    tr_arena_done(&world.names);
    return 0;
}

const char *es_error(void)
{
    static char text[1024];
    return tr_error_format(&world.err, text, sizeof(text));
}

void es_close(void)
{
    if (world.lane != NULL)
        tr_elasticsearch_sink_ops.lane_close(world.lane);
    if (world.sink != NULL)
        tr_elasticsearch_sink_ops.close(world.sink);
    world.lane = NULL;
    world.sink = NULL;
    memset(world.tables, 0, sizeof(world.tables));
}

int es_try_claim(const char *pipeline_id, const struct tr_sink_progress *progress, size_t count,
                 bool replace)
{
    const struct tr_sink_state state = {.arena = &world.arena,
                                        .format = 1,
                                        .pipeline = world.pipeline,
                                        .pipeline_id = pipeline_id,
                                        .consumer = "elasticsearch",
                                        .generation = 1,
                                        .progress = (struct tr_sink_progress *)progress,
                                        .progress_count = count,
                                        .replace = replace};
    return tr_elasticsearch_sink_ops.claim(world.sink, &state, &world.err);
}

void es_claim(const char *pipeline_id, const struct tr_sink_progress *progress, size_t count)
{
    assert_done(es_try_claim(pipeline_id, progress, count, true));
}

void es_open(bool claim)
{
    struct tr_sink_state state = {.arena = &world.arena};
    es_close();
    assert_done(tr_elasticsearch_sink_ops.open(&world.sink, &world.context, &world.err));
    assert_done(tr_elasticsearch_sink_ops.load(world.sink, &state, &world.err));
    if (claim)
        assert_done(es_try_claim("00000000000000aa", NULL, 0, state.marked));
    assert_done(tr_elasticsearch_sink_ops.lane_open(world.sink, 0, &world.lane, &world.err));
}

struct tr_shape_column es_column(const char *name, enum tr_sql_type type)
{
    size_t length = strlen(name);
    char *json = tr_arena_alloc(&world.names, length + 3);
    snprintf(json, length + 3, "\"%s\"", name);
    return (struct tr_shape_column){
        .name = {tr_arena_copy(&world.names, name, length), length},
        .name_json = {json, length + 2},
        .type = type,
        .charset = type == TR_SQL_VARCHAR || type == TR_SQL_TEXT ? TR_SLICE("utf8mb4")
                                                                 : (struct tr_slice){"", 0},
    };
}

struct tr_shape es_shape(const char *table, struct tr_shape_column *columns, uint32_t count,
                         uint32_t keys)
{
    static uint32_t indexes[] = {0, 1, 2, 3};
    for (uint32_t i = 0; i < keys; i++)
        columns[i].key = true;
    return (struct tr_shape){.database = tr_slice_of(world.pipeline),
                             .table = tr_slice_of(table),
                             .columns = columns,
                             .column_count = count,
                             .key = indexes,
                             .key_count = keys};
}

struct tr_sink_table *es_table(size_t index, const char *name, const struct tr_shape *shape)
{
    struct tr_sink_table *table = &world.tables[index];
    table->database = tr_slice_of(world.pipeline);
    table->table = tr_slice_of(name);
    assert_done(tr_elasticsearch_sink_ops.table(world.sink, table, shape, &world.err));
    return table;
}

void es_begin(void)
{
    world.count = 0;
    tr_arena_reset(&world.arena);
}

void es_put(struct tr_sink_table *table, const struct tr_shape *shape, int64_t version,
            const char *key, const char *data)
{
    assert_true(world.count < ES_RECORDS_MAX);
    struct tr_sink_record *rec = &world.records[world.count++];
    *rec = (struct tr_sink_record){
        .table = table, .shape = shape, .remove = data == NULL, .version = version};
    rec->key = (struct tr_slice){tr_arena_copy(&world.arena, key, strlen(key)), strlen(key)};
    if (data != NULL)
        rec->data =
            (struct tr_slice){tr_arena_copy(&world.arena, data, strlen(data)), strlen(data)};
}

int es_apply(void)
{
    const struct tr_sink_batch batch = {
        .records = world.records, .count = world.count, .arena = &world.arena};
    memset(world.results, 0xff, sizeof(world.results));
    return tr_elasticsearch_sink_ops.apply(world.lane, &batch, world.results, &world.err);
}

int es_call(const char *method, const char *path, const char *body)
{
    struct tr_error err = {0};
    int rc = tr_http_request(world.http, method, path, NULL, tr_slice_of(body), &world.status,
                             &world.reply, &err);
    assert_int_equal(rc, 0);
    tr_buf_append_char(&world.reply, '\0');
    return world.status;
}

static int get(const char *alias, const char *id)
{
    struct tr_buf path;
    tr_buf_init(&path, 4096);
    tr_buf_printf(&path, "/%s.%s/_doc/", world.pipeline, alias);
    tr_http_escape(&path, tr_slice_of(id));
    tr_buf_append_char(&path, '\0');
    int status = es_call("GET", path.data, "");
    tr_buf_done(&path);
    return status;
}

bool es_holds(const char *alias, const char *id, const char *source)
{
    char wanted[4096];
    snprintf(wanted, sizeof(wanted), "\"_source\":%s}", source);
    return get(alias, id) == 200 && strstr(world.reply.data, wanted) != NULL;
}

int64_t es_version(const char *alias, const char *id)
{
    int64_t version = -1;
    if (get(alias, id) != 200)
        return -1;
    const char *at = strstr(world.reply.data, "\"_version\":");
    assert_non_null(at);
    assert_int_equal(sscanf(at, "\"_version\":%" SCNd64, &version), 1);
    return version;
}

int64_t es_count(const char *alias)
{
    char path[256];
    int64_t count = -1;
    snprintf(path, sizeof(path), "/%s.%s/_refresh", world.pipeline, alias);
    assert_int_equal(es_call("POST", path, ""), 200);
    snprintf(path, sizeof(path), "/%s.%s/_count", world.pipeline, alias);
    assert_int_equal(es_call("GET", path, ""), 200);
    assert_int_equal(sscanf(world.reply.data, "{\"count\":%" SCNd64, &count), 1);
    return count;
}
