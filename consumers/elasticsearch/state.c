/* state.c - see state.h. Reading the state; state_write.c writes it. */
#include "state.h"

#include <stdio.h>

#include "owner.h"
#include "scan.h"
#include "state_text.h"

#define PATH_BYTES_MAX 512

/* ---- values -----------------------------------------------------------------------------------
 */

static struct tr_slice reply_of(const struct tr_es_client *client)
{
    return (struct tr_slice){client->reply.data, client->reply.length};
}

static int64_t int_member(const struct tr_json_value *object, const char *name)
{
    struct tr_error ignored = {0};
    struct tr_json_value value;
    int64_t number = -1;
    if (tr_json_find(object, name, &value, &ignored) != 1 || !tr_json_to_int(&value, &number))
        return -1;
    return number;
}

/* A text member in the arena; "" when it isn't there, NULL when memory is out. */
static const char *text_member(const struct tr_json_value *object, const char *name,
                               struct tr_arena *arena)
{
    struct tr_error ignored = {0};
    struct tr_json_value value;
    struct tr_buf text;
    if (tr_json_find(object, name, &value, &ignored) != 1 || value.type != TR_JSON_STRING)
        return "";
    tr_buf_init(&text, TR_ES_SCRATCH_MAX);
    tr_json_unescape(&value, &text);
    const char *copy = tr_arena_copy(arena, text.data, text.length);
    tr_buf_done(&text);
    return copy;
}

/* ---- the marker --------------------------------------------------------------------------------
 */

/* 1 = there is one, 0 = none (or no index), or an error. `source` points into the reply. */
static int get_marker(struct tr_sink *sink, struct tr_es_client *client,
                      struct tr_es_marker *marker, struct tr_json_value *source,
                      struct tr_error *err)
{
    char path[PATH_BYTES_MAX];
    struct tr_json_value top;
    *source = (struct tr_json_value){.type = TR_JSON_NULL};
    snprintf(path, sizeof(path), "/%s/_doc/marker", sink->state_index);
    int rc = tr_es_call(client, "GET", path, (struct tr_slice){"", 0}, err);
    if (rc != 0)
        return rc;
    if (client->status == 404)
        return 0;
    if (client->status != 200)
        return tr_es_unexpected(client, "a read of the store's marker", err);
    rc = tr_json_parse(reply_of(client), &top, err);
    if (rc == 0 && top.type == TR_JSON_OBJECT)
        rc = tr_json_find(&top, "_source", source, err);
    if (rc < 0)
        return tr_es_understood(rc, "a read of the store's marker", err);
    if (rc != 1 || source->type != TR_JSON_OBJECT)
        return tr_error_set(err, TR_ESTORE, "elasticsearch: the store's marker has no content");
    *marker = (struct tr_es_marker){
        .known = true,
        .seq_no = int_member(&top, "_seq_no"),
        .primary_term = int_member(&top, "_primary_term"),
    };
    return 1;
}

static void keep_marker(struct tr_sink *sink, const struct tr_es_marker *marker)
{
    pthread_mutex_lock(&sink->lock);
    sink->marker = *marker;
    pthread_mutex_unlock(&sink->lock);
}

static int lost(const struct tr_sink *sink, const char *what, struct tr_error *err)
{
    return tr_error_set(err, TR_ESTATE,
                        "elasticsearch: index %s %s: this is not the store that the consumer "
                        "filled; `tailrace-elasticsearch reset --to beginning` fills it again",
                        sink->state_index, what);
}

int tr_es_state_verify(struct tr_sink *sink, struct tr_es_client *client, struct tr_error *err)
{
    struct tr_es_marker marker;
    struct tr_json_value source;
    int rc = get_marker(sink, client, &marker, &source, err);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return lost(sink, "has no marker any more", err);
    if (!tr_es_member_is(&source, "pipeline", sink->context->pipeline) ||
        !tr_es_member_is(&source, "pipeline_id", sink->pipeline_id) ||
        !tr_es_member_is(&source, "consumer", sink->context->consumer) ||
        int_member(&source, "generation") != sink->generation)
        return lost(sink, "has another marker now", err);
    keep_marker(sink, &marker);
    return 0;
}

/* ---- load --------------------------------------------------------------------------------------
 */

struct loader {
    struct tr_sink_state *state;
    size_t floor_capacity, progress_capacity;
};

/* Room for one more in an array that lives in an arena: doubles by copying. */
static void *grow(struct tr_arena *arena, void *items, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity)
        return items;
    size_t more = *capacity == 0 ? 16 : *capacity * 2;
    void *larger = tr_arena_alloc(arena, more * size);
    if (larger != NULL && count > 0)
        memcpy(larger, items, count * size);
    *capacity = more;
    return larger;
}

static int no_memory(struct tr_error *err)
{
    return tr_error_set(err, TR_ENOMEM, "no memory for the store's state");
}

static int take_floor(struct loader *loader, const struct tr_json_value *source,
                      struct tr_error *err)
{
    struct tr_sink_state *state = loader->state;
    state->floors = grow(state->arena, state->floors, state->floor_count, &loader->floor_capacity,
                         sizeof(*state->floors));
    if (state->floors == NULL)
        return no_memory(err);
    struct tr_sink_floor *floor = &state->floors[state->floor_count++];
    floor->database = text_member(source, "database", state->arena);
    floor->table = text_member(source, "table", state->arena);
    floor->version = int_member(source, "version");
    return floor->database != NULL && floor->table != NULL ? 0 : no_memory(err);
}

static int take_progress(struct loader *loader, const struct tr_json_value *source,
                         struct tr_error *err)
{
    struct tr_sink_state *state = loader->state;
    state->progress = grow(state->arena, state->progress, state->progress_count,
                           &loader->progress_capacity, sizeof(*state->progress));
    if (state->progress == NULL)
        return no_memory(err);
    struct tr_sink_progress *progress = &state->progress[state->progress_count++];
    progress->topic = text_member(source, "topic", state->arena);
    progress->incarnation = text_member(source, "incarnation", state->arena);
    progress->partition = (int32_t)int_member(source, "partition");
    progress->next = int_member(source, "next");
    return progress->topic != NULL && progress->incarnation != NULL ? 0 : no_memory(err);
}

static int load_hit(void *context, const struct tr_es_hit *hit, struct tr_error *err)
{
    struct loader *loader = context;
    if (!hit->has_source || hit->source.type != TR_JSON_OBJECT)
        return 0;
    if (tr_es_member_is(&hit->source, "kind", "floor"))
        return take_floor(loader, &hit->source, err);
    if (tr_es_member_is(&hit->source, "kind", "progress"))
        return take_progress(loader, &hit->source, err);
    return 0;
}

static int take_marker(struct tr_sink *sink, const struct tr_json_value *source,
                       struct tr_sink_state *state, struct tr_error *err)
{
    state->marked = true;
    state->format = (int)int_member(source, "format");
    state->generation = (int)int_member(source, "generation");
    state->pipeline = text_member(source, "pipeline", state->arena);
    state->pipeline_id = text_member(source, "pipeline_id", state->arena);
    state->consumer = text_member(source, "consumer", state->arena);
    if (state->pipeline == NULL || state->pipeline_id == NULL || state->consumer == NULL)
        return no_memory(err);
    return tr_es_identify(sink, state->pipeline_id, state->generation, err);
}

/* Whether any index says that it is ours: rows without a marker. */
static int find_rows(struct tr_sink *sink, bool *found, struct tr_error *err)
{
    struct tr_json_cursor cursor;
    struct tr_es_owned owned;
    int rc = tr_es_call_ok(&sink->client, "GET", TR_ES_OWNER_QUERY, (struct tr_slice){"", 0},
                           "a look at the indices", err);
    if (rc == 0)
        rc = tr_es_owned_open(&cursor, &sink->client, err);
    if (rc != 0)
        return rc;
    while ((rc = tr_es_owned_next(&cursor, sink, &owned, err)) == 1)
        *found = *found || owned.ours;
    return rc;
}

int tr_es_state_load(struct tr_sink *sink, struct tr_sink_state *state, struct tr_error *err)
{
    struct loader loader = {.state = state};
    struct tr_es_marker marker;
    struct tr_json_value source;
    char path[PATH_BYTES_MAX];
    int rc = get_marker(sink, &sink->client, &marker, &source, err);
    if (rc < 0)
        return rc;
    if (rc == 0) {
        bool found = false;
        rc = find_rows(sink, &found, err);
        state->empty = !found;
        return rc;
    }
    rc = take_marker(sink, &source, state, err);
    if (rc != 0)
        return rc;
    keep_marker(sink, &marker);
    snprintf(path, sizeof(path), "/%s", sink->state_index);
    const struct tr_es_visitor visitor = {.context = &loader, .hit = load_hit};
    rc = tr_es_refresh(&sink->client, path, err);
    return rc == 0 ? tr_es_scan(&sink->client, path, "{}", &visitor, err) : rc;
}
