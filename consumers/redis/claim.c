/*
 * claim.c - whose store it is, and what `reset --drop` removes.
 *
 * Several pipelines may share a database if their rows' keys begin differently. A pipeline's marker
 * does not tell the others, so where there is none yet, the versions of rows do: under the keys of
 * our tables there must be none. (That theirs are not under what ours begin with, only who sets
 * both up can know.) A store is new to one process only: two that start at once agree in a
 * script, and the later one takes the marker of the other.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "store.h"

/* ---- rows without a marker ------------------------------------------------------------------- */

/* The marker's three names, NIL where it has none. The caller frees the reply, on failure too. */
static int read_marker(struct tr_sink *sink, redisReply **reply, struct tr_error *err)
{
    rd_command(&sink->main, 5);
    rd_argument_text(&sink->main, "HMGET");
    rd_argument_text(&sink->main, sink->state_key);
    rd_argument_text(&sink->main, "pipeline");
    rd_argument_text(&sink->main, "pipeline_id");
    rd_argument_text(&sink->main, "consumer");
    int code = rd_call_for(&sink->main, REDIS_REPLY_ARRAY, "HMGET", reply, err);
    return code != 0 || (*reply)->elements == 3 ? code : rd_misunderstood("HMGET", err);
}

static int has_marker(struct tr_sink *sink, bool *has, struct tr_error *err)
{
    redisReply *reply = NULL;
    int code = read_marker(sink, &reply, err);
    *has = code == 0 && reply->element[1]->type == REDIS_REPLY_STRING;
    freeReplyObject(reply);
    return code;
}

static int refuse_rows(const struct rd_table *table, struct tr_error *err)
{
    return tr_error_set(err, TR_ESTATE,
                        "redis: the database has rows where those of %.*s.%.*s would be, but no "
                        "marker of ours: another pipeline's, whose versions are not comparable, or "
                        "the marker was lost; use another database (redis.url), other `key:` "
                        "templates, or remove them with `reset --to beginning --drop`",
                        (int)table->source->database.length, table->source->database.data,
                        (int)table->source->table.length, table->source->table.data);
}

int rd_claim_check(struct tr_sink *sink, struct tr_error *err)
{
    const struct rd_table *found = NULL;
    bool marked = false;
    int code = has_marker(sink, &marked, err);
    if (code == 0 && !marked)
        code = rd_find_rows(sink, &found, err);
    if (code == 0 && found != NULL) /* or was it made while we were looking? */
        code = has_marker(sink, &marked, err);
    if (code != 0 || marked || found == NULL)
        return code;
    return refuse_rows(found, err);
}

/* ---- claiming -------------------------------------------------------------------------------- */

static void append_claim(struct tr_sink *sink, const struct tr_sink_state *state)
{
    char generation[16], format[16];
    snprintf(generation, sizeof(generation), "%d", state->generation);
    snprintf(format, sizeof(format), "%d", state->format);
    const char *pairs[] = {"pipeline", state->pipeline, "pipeline_id", state->pipeline_id,
                           "consumer", state->consumer, "generation",  generation,
                           "format",   format};
    const size_t count = sizeof(pairs) / sizeof(pairs[0]);
    rd_script(&sink->main, RD_SCRIPT_CLAIM, 1, 1 + count + 2 * state->progress_count);
    rd_argument_text(&sink->main, sink->state_key);
    rd_argument_text(&sink->main, state->replace ? "1" : "0");
    for (size_t i = 0; i < count; i++)
        rd_argument_text(&sink->main, pairs[i]);
    for (size_t i = 0; i < state->progress_count; i++)
        rd_state_append_field(&sink->main, &state->progress[i]);
}

static bool is_text(const redisReply *reply, const char *text)
{
    return reply->type == REDIS_REPLY_STRING && strcmp(reply->str, text) == 0;
}

/* Another process was quicker. */
static int adopt(struct tr_sink *sink, const struct tr_sink_state *state, struct tr_error *err)
{
    redisReply *reply = NULL;
    int code = read_marker(sink, &reply, err);
    if (code == 0 && (!is_text(reply->element[0], state->pipeline) ||
                      !is_text(reply->element[1], state->pipeline_id) ||
                      !is_text(reply->element[2], state->consumer)))
        code = tr_error_set(err, TR_ESTATE,
                            "redis: hash %s was claimed by another pipeline at the same time; use "
                            "another store",
                            sink->state_key);
    freeReplyObject(reply);
    return code;
}

int rd_claim(struct tr_sink *sink, const struct tr_sink_state *state, struct tr_error *err)
{
    redisReply *reply = NULL;
    int code = rd_connection_ready(&sink->main, err);
    if (code == 0)
        code = rd_claim_check(sink, err);
    if (code != 0)
        return code;
    append_claim(sink, state);
    code = rd_call_for(&sink->main, REDIS_REPLY_INTEGER, "the claim of the store", &reply, err);
    if (code == 0 && reply->integer == 0)
        code = adopt(sink, state, err);
    freeReplyObject(reply);
    if (code != 0) {
        rd_connection_close(&sink->main); /* scripts may be gone: they are loaded at connecting */
        return code;
    }
    snprintf(sink->pipeline_id, sizeof(sink->pipeline_id), "%s", state->pipeline_id);
    return rd_state_number_loaded(sink, err);
}

/* ---- dropping -------------------------------------------------------------------------------- */

int rd_drop_plan(struct tr_sink *sink, struct tr_sink_table *const *tables, size_t count,
                 struct tr_buf *lines, struct tr_error *err)
{
    for (size_t i = 0; i < count; i++) {
        const struct rd_table *table = tables[i]->user;
        if (table != NULL)
            tr_buf_printf(lines, "keys %s* of %.*s.%.*s, and their versions\n", table->prefix,
                          (int)tables[i]->database.length, tables[i]->database.data,
                          (int)tables[i]->table.length, tables[i]->table.data);
    }
    tr_buf_printf(lines, "hash %s\n", sink->state_key);
    return tr_buf_check(lines, "the plan", err);
}

int rd_drop(struct tr_sink *sink, struct tr_sink_table *const *tables, size_t count,
            struct tr_error *err)
{
    redisReply *reply = NULL;
    sink->pipeline_id[0] = '\0';
    int code = rd_connection_ready(&sink->main, err);
    for (size_t i = 0; code == 0 && i < count; i++) {
        if (tables[i]->user != NULL)
            code = rd_sweep_all(&sink->main, tables[i]->user, err);
    }
    if (code != 0)
        return code;
    rd_command(&sink->main, 2);
    rd_argument_text(&sink->main, "DEL");
    rd_argument_text(&sink->main, sink->state_key);
    code = rd_call(&sink->main, &reply, err);
    freeReplyObject(reply);
    return code;
}
