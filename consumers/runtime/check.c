/* check.c - `check`: the configuration and the servers behind it. See commands.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app.h"
#include "commands.h"
#include "plan.h"
#include "sink_call.h"
#include "start.h"

struct checking {
    struct tr_session session;
    struct tr_plan plan;
    bool control;
    unsigned warnings;
};

/* ---- tables that rules name ------------------------------------------------------------------ */

struct named {
    const struct tr_rules *rules;
    struct tr_sink_table *tables;
    size_t count;
};

static bool is_there(const struct named *named, struct tr_slice database, struct tr_slice table)
{
    for (size_t i = 0; i < named->count; i++)
        if (tr_slice_equal(named->tables[i].database, database) &&
            tr_slice_equal(named->tables[i].table, table))
            return true;
    return false;
}

static int add_named(void *context, struct tr_slice database, struct tr_slice table,
                     struct tr_error *err)
{
    struct named *named = context;
    if (table.length == 0 || is_there(named, database, table))
        return 0;
    void *larger = realloc(named->tables, (named->count + 1) * sizeof(*named->tables));
    if (larger == NULL)
        return tr_error_set(err, TR_ENOMEM, "no memory for tables");
    named->tables = larger;
    struct tr_sink_table *added = &named->tables[named->count++];
    memset(added, 0, sizeof(*added));
    added->database = database;
    added->table = table;
    (void)tr_rules_match(named->rules, database, table, &added->settings);
    return 0;
}

/* Those that rules of the configuration alone would bring together. */
static int check_named(const struct tr_session *session, struct tr_error *err)
{
    struct named named = {.rules = session->rules};
    int rc = tr_rules_each_named(session->rules, add_named, &named, err);
    if (rc == 0)
        rc = tr_sink_check_named(session->ops, named.tables, named.count, err);
    free(named.tables);
    return rc;
}

/* ---- servers --------------------------------------------------------------------------------- */

static int check_kafka(struct checking *c, struct tr_error *err)
{
    if (tr_session_open_kafka(&c->session, err) < 0)
        return err->code;
    int rc = tr_session_open_control(&c->session, 10000, err);
    if (rc < 0)
        return rc;
    c->control = rc == 0;
    if (!c->control) {
        printf("ok: kafka\n");
        tr_app_warn(&c->warnings,
                    "topic %s holds no checkpoint: start tailrace-capture for pipeline %s",
                    c->session.control_topic, c->session.context.pipeline);
        return 0;
    }
    if (tr_plan_make(&c->plan, &c->session, err) < 0)
        return err->code;
    printf("ok: kafka: pipeline id %s, %zu topics, %zu partitions\n",
           tr_session_pipeline_id(&c->session), c->plan.topic_count, c->plan.part_count);
    if (c->plan.topic_count == 0)
        tr_app_warn(&c->warnings, "no table that the rules take has been captured yet");
    return 0;
}

static int check_store(struct checking *c, struct tr_error *err)
{
    if (tr_session_open_sink(&c->session, err) < 0)
        return err->code;
    if (c->control && tr_session_open_tables(&c->session, err) < 0)
        return err->code;
    if (tr_sink_check(c->session.ops, c->session.sink, err) < 0)
        return err->code;
    printf("ok: %s: reachable", c->session.ops->name);
    if (c->control)
        printf(", %zu tables", tr_tables_list(&c->session.tables, NULL, 0));
    printf("\n");
    return 0;
}

static int check_marker(struct checking *c, struct tr_error *err)
{
    struct tr_arena arena;
    if (!c->control || c->session.ops->stateless)
        return 0;
    const struct tr_start_who who = {c->session.context.pipeline,
                                     tr_session_pipeline_id(&c->session),
                                     c->session.context.consumer};
    tr_arena_init(&arena, 65536, 0);
    struct tr_sink_state state = {.arena = &arena};
    int rc = tr_sink_load(c->session.ops, c->session.sink, &state, err);
    if (rc == 0)
        rc = tr_start_marker(&state, &who, tr_plan_group_has_offsets(&c->plan), err);
    if (rc >= 0)
        printf("ok: store: %s\n", rc == 0 ? "ours" : "not filled yet");
    tr_arena_done(&arena);
    return rc < 0 ? rc : 0;
}

int tr_check(const struct tr_program *program, struct tr_error *err)
{
    struct checking c = {.control = false};
    int rc = tr_session_init(&c.session, program, true, err);
    if (rc == 0)
        rc = check_named(&c.session, err);
    if (rc == 0)
        printf("ok: configuration: consumer %s, group %s\n", c.session.context.consumer,
               c.session.group);
    if (rc == 0)
        rc = check_kafka(&c, err);
    if (rc == 0)
        rc = check_store(&c, err);
    if (rc == 0)
        rc = check_marker(&c, err);
    if (rc == 0)
        printf("ok: ready to run, %u warnings\n", c.warnings);
    fflush(stdout);
    tr_plan_done(&c.plan);
    tr_session_done(&c.session);
    return rc;
}
