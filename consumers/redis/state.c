/* state.c - marker, floors and progress in the store's hash. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "json_scan.h"
#include "json_writer.h"
#include "kind.h"

#define NUMBERS_KEPT 1000 /* of connections; a process has one per lane, and one */
#define KEPT_MS (7 * 86400LL * 1000)

static void append_progress_field(struct tr_buf *out, const struct tr_sink_progress *progress)
{
    tr_buf_reset(out);
    TR_JSON_LITERAL(out, RD_PROGRESS_FIELD "[");
    tr_json_text(out, tr_slice_of(progress->topic));
    tr_buf_append_char(out, ',');
    tr_json_text(out, tr_slice_of(progress->incarnation));
    tr_buf_printf(out, ",%d]", progress->partition);
}

void rd_state_append_field(struct rd_connection *connection,
                           const struct tr_sink_progress *progress)
{
    char room[2048];
    struct tr_buf field = {.data = room, .capacity = sizeof(room), .limit = sizeof(room)};
    append_progress_field(&field, progress);
    rd_argument(connection, (struct tr_slice){field.data, field.length});
    rd_argument_int(connection, progress->next);
}

void rd_state_append_progress(struct rd_connection *connection,
                              const struct tr_sink_progress *progress, size_t count)
{
    bool numbered = connection->session[0] != '\0';
    rd_script(connection, RD_SCRIPT_PROGRESS, 1, 1 + 2 * (count + (numbered ? 1 : 0)));
    rd_argument_text(connection, connection->sink->state_key);
    rd_argument_text(connection, connection->sink->pipeline_id);
    for (size_t i = 0; i < count; i++)
        rd_state_append_field(connection, &progress[i]);
    if (numbered) {
        int64_t now_ms = tr_clock_wall_us() / 1000;
        connection->sent = now_ms > connection->sent ? now_ms : connection->sent + 1;
        rd_argument_text(connection, connection->session);
        rd_argument_int(connection, connection->sent);
    }
}

static bool is_below(const redisReply *reply, int64_t answered)
{
    return answered > (reply->type == REDIS_REPLY_STRING ? atoll(reply->str) : 0);
}

int rd_state_check_writes(struct rd_connection *connection, struct tr_error *err)
{
    struct tr_sink *sink = connection->sink;
    redisReply *reply = NULL;
    int64_t loaded = atomic_load(&sink->loaded);
    if (connection->answered == 0 && loaded == 0)
        return 0;
    rd_command(connection, 4);
    rd_argument_text(connection, "HMGET");
    rd_argument_text(connection, sink->state_key);
    rd_argument_text(connection, connection->session);
    rd_argument_text(connection, sink->main.session);
    int code = rd_call_for(connection, REDIS_REPLY_ARRAY, "HMGET", &reply, err);
    if (code == 0 && reply->elements != 2)
        code = rd_misunderstood("HMGET", err);
    if (code == 0 &&
        (is_below(reply->element[0], connection->answered) || is_below(reply->element[1], loaded)))
        code = tr_error_set(err, TR_ESTATE,
                            "redis: writes that were answered are gone: this Redis was set back to "
                            "an older copy; start again, and it catches up by itself");
    freeReplyObject(reply);
    return code;
}

int rd_state_number_loaded(struct tr_sink *sink, struct tr_error *err)
{
    redisReply *reply = NULL;
    rd_state_append_progress(&sink->main, NULL, 0);
    int code = rd_call(&sink->main, &reply, err);
    if (code == 0)
        code = rd_state_reply(reply, err);
    freeReplyObject(reply);
    if (code == 0)
        atomic_store(&sink->loaded, sink->main.sent);
    if (code == TR_ESTORE_RETRY && sink->main.redis != NULL) {
        /* It is there and takes no writes: full, or a replica by now. The lanes find out and wait;
         * until it takes a number, only their own tell whether writes are lost. */
        rd_connection_close(&sink->main);
        tr_error_reset(err);
        code = 0;
    }
    return code;
}

void rd_state_end_session(struct rd_connection *connection)
{
    struct tr_error ignored;
    redisReply *reply = NULL;
    tr_error_reset(&ignored);
    if (connection->redis == NULL || connection->sent == 0)
        return;
    rd_command(connection, 3);
    rd_argument_text(connection, "HDEL");
    rd_argument_text(connection, connection->sink->state_key);
    rd_argument_text(connection, connection->session);
    (void)!rd_call(connection, &reply, &ignored); /* a field that stays harms nobody */
    freeReplyObject(reply);
}

int rd_state_reply(const redisReply *reply, struct tr_error *err)
{
    if (reply->type != REDIS_REPLY_INTEGER)
        return rd_reply_error(reply, err);
    if (reply->integer == 1)
        return 0;
    return tr_error_set(err, TR_ESTATE,
                        "redis: the store's marker is gone: this Redis was emptied or replaced; "
                        "run `reset --to beginning --drop` and start again");
}

void rd_state_append_floor(struct rd_connection *connection, const struct tr_sink_table *table,
                           int64_t version)
{
    char room[2048];
    struct tr_buf field = {.data = room, .capacity = sizeof(room), .limit = sizeof(room)};
    TR_JSON_LITERAL(&field, RD_FLOOR_FIELD "[");
    tr_json_text(&field, table->database);
    tr_buf_append_char(&field, ',');
    tr_json_text(&field, table->table);
    tr_buf_append_char(&field, ']');
    rd_script(connection, RD_SCRIPT_FLOOR, 1, 3);
    rd_argument_text(connection, connection->sink->state_key);
    rd_argument_text(connection, connection->sink->pipeline_id);
    rd_argument(connection, (struct tr_slice){field.data, field.length});
    rd_argument_int(connection, version);
}

/* ---- loading -----------------------------------------------------------------------------------
 */

/* The strings of a JSON array like ["a","b",3] into `out`; numbers as their text. */
static int array_texts(struct tr_sink_state *state, struct tr_slice text, const char **out,
                       size_t count, struct tr_error *err)
{
    struct tr_json_cursor cursor;
    struct tr_json_value name, value;
    struct tr_buf plain;
    int code = tr_json_open(&cursor, text, err);
    tr_buf_init(&plain, 65536);
    for (size_t i = 0; code == 0 && i < count; i++) {
        if (tr_json_next(&cursor, &name, &value, err) != 1) {
            code = tr_error_set(err, TR_ESTATE, "redis: a field of the store's state is damaged");
            break;
        }
        tr_buf_reset(&plain);
        if (value.type == TR_JSON_STRING)
            tr_json_unescape(&value, &plain);
        else
            tr_buf_append_slice(&plain, value.text);
        out[i] = tr_arena_copy(state->arena, plain.data, plain.length);
        if (out[i] == NULL)
            code = tr_error_set(err, TR_ENOMEM, "redis: no memory for the store's state");
    }
    tr_buf_done(&plain);
    return code;
}

static int take_progress(struct tr_sink_state *state, struct tr_slice key, const char *value,
                         struct tr_error *err)
{
    const char *texts[3];
    int code = array_texts(state, key, texts, 3, err);
    if (code == 0)
        state->progress[state->progress_count++] = (struct tr_sink_progress){
            .topic = texts[0],
            .incarnation = texts[1],
            .partition = atoi(texts[2]),
            .next = atoll(value),
        };
    return code;
}

static int take_floor(struct tr_sink_state *state, struct tr_slice key, const char *value,
                      struct tr_error *err)
{
    const char *texts[2];
    int code = array_texts(state, key, texts, 2, err);
    if (code == 0)
        state->floors[state->floor_count++] = (struct tr_sink_floor){
            .database = texts[0],
            .table = texts[1],
            .version = atoll(value),
        };
    return code;
}

static int take_field(struct tr_sink_state *state, const redisReply *name, const redisReply *value,
                      struct tr_error *err)
{
    struct tr_slice field = {name->str, (size_t)name->len};
    const size_t floor = sizeof(RD_FLOOR_FIELD) - 1, progress = sizeof(RD_PROGRESS_FIELD) - 1;
    if (strncmp(name->str, RD_FLOOR_FIELD, floor) == 0)
        return take_floor(state, (struct tr_slice){field.data + floor, field.length - floor},
                          value->str, err);
    if (strncmp(name->str, RD_PROGRESS_FIELD, progress) == 0)
        return take_progress(state,
                             (struct tr_slice){field.data + progress, field.length - progress},
                             value->str, err);
    const char *copy = tr_arena_copy(state->arena, value->str, (size_t)value->len);
    if (copy == NULL)
        return tr_error_set(err, TR_ENOMEM, "redis: no memory for the store's state");
    if (strcmp(name->str, "pipeline") == 0)
        state->pipeline = copy;
    else if (strcmp(name->str, "pipeline_id") == 0)
        state->pipeline_id = copy;
    else if (strcmp(name->str, "consumer") == 0)
        state->consumer = copy;
    else if (strcmp(name->str, "generation") == 0)
        state->generation = atoi(copy);
    else if (strcmp(name->str, "format") == 0)
        state->format = atoi(copy);
    return 0;
}

static int take_hash(struct tr_sink_state *state, const redisReply *reply, struct tr_error *err)
{
    size_t count = reply->elements / 2 + 1;
    state->pipeline = state->pipeline_id = state->consumer = "";
    state->progress = tr_arena_alloc(state->arena, count * sizeof(*state->progress));
    state->floors = tr_arena_alloc(state->arena, count * sizeof(*state->floors));
    if (state->progress == NULL || state->floors == NULL)
        return tr_error_set(err, TR_ENOMEM, "redis: no memory for the store's state");
    for (size_t i = 0; i + 1 < reply->elements; i += 2) {
        if (reply->element[i]->type != REDIS_REPLY_STRING ||
            reply->element[i + 1]->type != REDIS_REPLY_STRING)
            return rd_misunderstood("HGETALL", err);
        int code = take_field(state, reply->element[i], reply->element[i + 1], err);
        if (code != 0)
            return code;
    }
    state->marked = state->pipeline_id[0] != '\0';
    return 0;
}

static int read_size(struct rd_connection *connection, bool *empty, struct tr_error *err)
{
    redisReply *reply = NULL;
    rd_command(connection, 1);
    rd_argument_text(connection, "DBSIZE");
    int code = rd_call_for(connection, REDIS_REPLY_INTEGER, "DBSIZE", &reply, err);
    *empty = code == 0 && reply->integer == 0;
    freeReplyObject(reply);
    return code;
}

static int compare_numbers(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

/* Below which numbers are too many to be kept; 0 = there are few. */
static int oldest_kept(const redisReply *hash, int64_t *oldest, struct tr_error *err)
{
    int64_t *numbers = malloc((hash->elements + 1) * sizeof(*numbers));
    size_t count = 0;
    if (numbers == NULL)
        return tr_error_set(err, TR_ENOMEM, "redis: no memory for the store's state");
    for (size_t i = 0; i + 1 < hash->elements; i += 2)
        if (strncmp(hash->element[i]->str, RD_LANE_FIELD, sizeof(RD_LANE_FIELD) - 1) == 0)
            numbers[count++] = atoll(hash->element[i + 1]->str);
    qsort(numbers, count, sizeof(*numbers), compare_numbers);
    int64_t old = tr_clock_wall_us() / 1000 - KEPT_MS;
    *oldest = count > NUMBERS_KEPT ? numbers[count - NUMBERS_KEPT] : 0;
    *oldest = *oldest < old ? *oldest : old; /* a lane of ours may be idle for long */
    free(numbers);
    return 0;
}

/* The numbers of connections whose process was killed; see store.h. */
static int forget_numbers(struct tr_sink *sink, const redisReply *hash, struct tr_error *err)
{
    int64_t oldest = 0;
    int code = oldest_kept(hash, &oldest, err);
    for (size_t i = 0; code == 0 && i + 1 < hash->elements; i += 2) {
        const redisReply *name = hash->element[i];
        redisReply *reply = NULL;
        if (strncmp(name->str, RD_LANE_FIELD, sizeof(RD_LANE_FIELD) - 1) != 0 ||
            atoll(hash->element[i + 1]->str) >= oldest)
            continue;
        rd_command(&sink->main, 3);
        rd_argument_text(&sink->main, "HDEL");
        rd_argument_text(&sink->main, sink->state_key);
        rd_argument(&sink->main, (struct tr_slice){name->str, (size_t)name->len});
        code = rd_call(&sink->main, &reply, err);
        freeReplyObject(reply);
    }
    return code;
}

/* A template that does not fit its table is better told before the first record. */
static int check_templates(struct tr_sink *sink, struct tr_error *err)
{
    const struct rd_kind *ignored;
    for (struct rd_table *table = sink->tables; table != NULL; table = table->next) {
        int code = rd_table_kind(sink, table, &ignored, err);
        if (code != 0)
            return code;
    }
    return 0;
}

/* What was loaded before has to be there still: lanes may have gone on from it. */
static int number_again(struct tr_sink *sink, struct tr_error *err)
{
    int code = rd_state_check_writes(&sink->main, err);
    return code == 0 ? rd_state_number_loaded(sink, err) : code;
}

int rd_state_load(struct tr_sink *sink, struct tr_sink_state *state, struct tr_error *err)
{
    redisReply *reply = NULL;
    state->marked = false;
    sink->pipeline_id[0] = '\0'; /* what is there is looked at by our caller */
    int code = check_templates(sink, err);
    if (code == 0)
        code = rd_connection_ready(&sink->main, err);
    if (code != 0)
        return code;
    rd_command(&sink->main, 2);
    rd_argument_text(&sink->main, "HGETALL");
    rd_argument_text(&sink->main, sink->state_key);
    code = rd_call_for(&sink->main, REDIS_REPLY_ARRAY, "HGETALL", &reply, err);
    if (code == 0)
        code = take_hash(state, reply, err);
    if (code == 0 && !sink->context->read_only)
        code = forget_numbers(sink, reply, err);
    freeReplyObject(reply);
    if (code == 0)
        code = read_size(&sink->main, &state->empty, err);
    if (code != 0 || !state->marked)
        return code;
    snprintf(sink->pipeline_id, sizeof(sink->pipeline_id), "%s", state->pipeline_id);
    return sink->context->read_only ? 0 : number_again(sink, err);
}
