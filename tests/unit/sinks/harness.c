/* harness.c - see harness.h. */
#include "harness.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void expect(struct harness *h, int code, const char *what)
{
    char text[1024];
    if (code != 0)
        fail_msg("%s: %s", what, tr_error_format(&h->err, text, sizeof(text)));
}

int harness_try_open(struct harness *h, const struct tr_sink_ops *ops, const void *settings)
{
    memset(h, 0, sizeof(*h));
    h->ops = ops;
    h->context = (struct tr_sink_context){
        .pipeline = "harness", .consumer = ops->name, .settings = settings, .read_only = false};
    tr_arena_init(&h->arena, 65536, 0);
    tr_arena_init(&h->batch_arena, 65536, 0);
    return ops->open(&h->sink, &h->context, &h->err);
}

void harness_load(struct harness *h, struct tr_sink_state *state)
{
    memset(state, 0, sizeof(*state));
    state->arena = &h->arena;
    expect(h, h->ops->load(h->sink, state, &h->err), "load");
}

void harness_open(struct harness *h, const struct tr_sink_ops *ops, const void *settings)
{
    struct tr_sink_state state;
    expect(h, harness_try_open(h, ops, settings), "open");
    harness_load(h, &state);
    if (!state.marked) {
        state.pipeline = "harness";
        state.pipeline_id = "0123456789abcdef";
        state.consumer = ops->name;
        state.generation = 1;
        state.format = TR_SINK_FORMAT;
        expect(h, ops->claim(h->sink, &state, &h->err), "claim");
    }
    expect(h, ops->lane_open(h->sink, 0, &h->lane, &h->err), "lane_open");
}

void harness_close(struct harness *h)
{
    if (h->lane != NULL)
        h->ops->lane_close(h->lane);
    h->ops->close(h->sink);
    tr_arena_done(&h->arena);
    tr_arena_done(&h->batch_arena);
}

const struct tr_shape *harness_shape(struct harness *h, const char *database, const char *table,
                                     int64_t schema_id, const char *columns, const char *key)
{
    struct tr_shape *shape = NULL;
    struct tr_buf text;
    tr_buf_init(&text, 1 << 20);
    tr_buf_printf(&text,
                  "{\"format\":1,\"database\":\"%s\",\"table\":\"%s\",\"schema_id\":%" PRId64
                  ",\"topic\":\"t\",\"columns\":%s,\"key\":%s}",
                  database, table, schema_id, columns, key);
    struct tr_slice value = {text.data, text.length};
    expect(h, tr_shape_read(&shape, value, &h->arena, &h->err), "shape");
    tr_buf_done(&text);
    return shape;
}

struct tr_sink_table *harness_table(struct harness *h, const struct tr_shape *shape,
                                    const struct tr_node *settings)
{
    struct tr_sink_table *table = &h->tables[h->table_count++];
    table->database = shape->database;
    table->table = shape->table;
    table->settings = settings;
    expect(h, h->ops->table(h->sink, table, shape, &h->err), "table");
    return table;
}

void harness_add(struct harness *h, struct tr_sink_table *table, const struct tr_shape *shape,
                 int64_t version, const char *pk, const char *data)
{
    struct tr_buf key;
    tr_buf_init(&key, 1 << 20);
    tr_buf_printf(&key, "{\"database\":%.*s,\"table\":%.*s,%s}", (int)shape->database_json.length,
                  shape->database_json.data, (int)shape->table_json.length, shape->table_json.data,
                  pk);
    struct tr_sink_record *rec = &h->records[h->count++];
    memset(rec, 0, sizeof(*rec));
    rec->table = table;
    rec->shape = shape;
    rec->version = version;
    rec->remove = data == NULL;
    rec->key = (struct tr_slice){tr_arena_copy(&h->arena, key.data, key.length), key.length};
    if (data != NULL)
        rec->data = (struct tr_slice){tr_arena_copy(&h->arena, data, strlen(data)), strlen(data)};
    tr_buf_done(&key);
}

static int apply(struct harness *h, int64_t settled_next, int64_t after_next)
{
    const struct tr_sink_progress settled = {"t", "00000000000000aa", 0, settled_next};
    const struct tr_sink_progress after = {"t", "00000000000000aa", 0, after_next};
    struct tr_sink_batch batch = {.records = h->records,
                                  .count = h->count,
                                  .settled = &settled,
                                  .settled_count = settled_next > 0,
                                  .after = &after,
                                  .after_count = after_next > 0,
                                  .arena = &h->batch_arena};
    tr_arena_reset(&h->batch_arena);
    tr_error_reset(&h->err);
    int code = h->ops->apply(h->lane, &batch, h->results, &h->err);
    h->count = 0;
    return code;
}

int harness_apply(struct harness *h, int64_t next)
{
    return apply(h, 0, next);
}

int harness_again(struct harness *h, size_t count, int64_t next)
{
    h->count = count;
    return apply(h, next, next + 1);
}

enum tr_sink_status harness_one(struct harness *h, struct tr_sink_table *table,
                                const struct tr_shape *shape, int64_t version, const char *pk,
                                const char *data)
{
    harness_add(h, table, shape, version, pk, data);
    expect(h, harness_apply(h, 0), "apply");
    return h->results[0].status;
}
