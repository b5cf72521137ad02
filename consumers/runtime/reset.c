/*
 * reset.c - `reset --to beginning`: a plan, and with --execute its execution. See commands.h.
 *
 * The order makes a crash in between harmless: the audit first; then the store is emptied (with
 * --drop: a run would now refuse it as lost, and reset can be repeated); then it gets its marker
 * with progress at the new offsets (a run would start at the lower ones: these); the group last.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "json_writer.h"
#include "log.h"
#include "plan.h"
#include "sink_call.h"
#include "start.h"

#define TEXT_BYTES_MAX (16u << 20)
#define CONTROL_READ_MS 15000
#define AUDIT_MS 15000

struct reset {
    const struct tr_reset_request *request;
    struct tr_session session;
    struct tr_plan plan;
    struct tr_arena arena;
    struct tr_sink_state state;
    struct tr_sink_table **tables;
    size_t table_count;
    struct tr_buf text;
};

/* ---- what stands against it ------------------------------------------------------------------ */

static int check_request(const struct tr_reset_request *request, struct tr_error *err)
{
    if (request->to == NULL || strcmp(request->to, "beginning") != 0)
        return tr_error_set(err, TR_EUSAGE, "reset needs `--to beginning`");
    return 0;
}

static int check_group(struct reset *reset, struct tr_error *err)
{
    struct tr_kafka_group_info group;
    if (tr_kafka_group_describe(reset->session.dead.producer, reset->session.group, &group, err) <
        0)
        return err->code;
    if (group.members == 0)
        return 0;
    return tr_error_set(err, TR_ESTATE,
                        "group %s has %d live member%s: stop tailrace-%s first (a killed one is "
                        "forgotten after its session time-out)",
                        reset->session.group, group.members, group.members == 1 ? "" : "s",
                        reset->session.ops->name);
}

static int check_marker(struct reset *reset, struct tr_error *err)
{
    const struct tr_session *session = &reset->session;
    const struct tr_start_who who = {session->context.pipeline, tr_session_pipeline_id(session),
                                     session->context.consumer};
    if (reset->request->drop || !reset->state.marked)
        return 0;
    int rc = tr_start_marker(&reset->state, &who, false, err);
    return rc < 0 ? rc : 0;
}

/* ---- the plan -------------------------------------------------------------------------------- */

static int list_tables(struct reset *reset, struct tr_error *err)
{
    reset->table_count = tr_tables_list(&reset->session.tables, NULL, 0);
    reset->tables = calloc(reset->table_count + 1, sizeof(*reset->tables));
    if (reset->tables == NULL)
        return tr_error_set(err, TR_ENOMEM, "no memory for tables");
    tr_tables_list(&reset->session.tables, reset->tables, reset->table_count);
    return 0;
}

static int open_all(struct reset *reset, struct tr_error *err)
{
    struct tr_session *session = &reset->session;
    if (tr_session_open_kafka(session, err) < 0)
        return err->code;
    int rc = tr_session_open_control(session, CONTROL_READ_MS, err);
    if (rc != 0)
        return rc < 0 ? rc : tr_session_no_control(session, err);
    if (check_group(reset, err) < 0 || tr_session_open_sink(session, err) < 0 ||
        tr_session_open_tables(session, err) < 0 || tr_plan_make(&reset->plan, session, err) < 0)
        return err->code;
    reset->state = (struct tr_sink_state){.arena = &reset->arena};
    if (tr_sink_load(session->ops, session->sink, &reset->state, err) < 0)
        return err->code;
    tr_plan_store(&reset->plan, session, &reset->state);
    if (check_marker(reset, err) < 0)
        return err->code;
    return list_tables(reset, err);
}

static int print_plan(struct reset *reset, struct tr_error *err)
{
    const struct tr_session *session = &reset->session;
    struct tr_buf *text = &reset->text;
    tr_buf_reset(text);
    tr_buf_printf(text, "reset of consumer %s (group %s) to the beginning\n",
                  session->context.consumer, session->group);
    tr_plan_print(&reset->plan, text);
    if (!session->ops->stateless && !reset->state.marked)
        tr_buf_printf(text, "the store has no marker and gets a new one\n");
    if (reset->request->drop) {
        tr_buf_printf(text, "--drop removes from the store %s:\n", session->context.consumer);
        if (tr_sink_drop_plan(session->ops, session->sink, reset->tables, reset->table_count, text,
                              err) < 0)
            return err->code;
        if (text->length > 0 && text->data[text->length - 1] != '\n')
            tr_buf_append_char(text, '\n');
    }
    if (!reset->request->execute)
        tr_buf_printf(text, "nothing was changed; add --execute to do it\n");
    if (tr_buf_check(text, "the plan", err) < 0)
        return err->code;
    fwrite(text->data, 1, text->length, stdout);
    fflush(stdout);
    return 0;
}

/* ---- execution ------------------------------------------------------------------------------- */

static int confirm(const struct reset *reset, struct tr_error *err)
{
    const char *name = reset->session.context.consumer;
    char line[256];
    if (!reset->request->drop)
        return 0;
    if (reset->request->confirm != NULL) {
        if (strcmp(reset->request->confirm, name) == 0)
            return 0;
        return tr_error_set(err, TR_EUSAGE, "--confirm %s is not the store's name, which is %s",
                            reset->request->confirm, name);
    }
    if (!isatty(STDIN_FILENO))
        return tr_error_set(err, TR_EUSAGE,
                            "--drop removes what the store holds: add `--confirm %s`", name);
    printf("Type the store's name, %s, to go on: ", name);
    fflush(stdout);
    if (fgets(line, sizeof(line), stdin) == NULL)
        line[0] = '\0';
    line[strcspn(line, "\r\n")] = '\0';
    return strcmp(line, name) == 0
               ? 0
               : tr_error_set(err, TR_EUSAGE, "that is not its name; nothing was changed");
}

static void write_detail(const struct reset *reset, struct tr_buf *out)
{
    tr_json_member(out, true, "consumer");
    tr_json_text(out, tr_slice_of(reset->session.context.consumer));
    tr_json_member(out, false, "to");
    tr_json_text(out, tr_slice_of(reset->request->to));
    tr_json_member(out, false, "drop");
    tr_json_bool(out, reset->request->drop);
    TR_JSON_LITERAL(out, ",\"partitions\":[");
    for (size_t i = 0; i < reset->plan.part_count; i++) {
        const struct tr_plan_part *part = &reset->plan.parts[i];
        tr_buf_append(out, i == 0 ? "{" : ",{", i == 0 ? 1 : 2);
        tr_json_member(out, true, "topic");
        tr_json_text(out, tr_slice_of(reset->plan.topics[part->topic]));
        tr_json_member(out, false, "partition");
        tr_json_int(out, part->partition);
        tr_json_member(out, false, "group");
        tr_json_int(out, part->group >= 0 ? part->group : -1);
        tr_json_member(out, false, "store");
        tr_json_int(out, part->store >= 0 ? part->store : -1);
        tr_json_member(out, false, "new");
        tr_json_int(out, part->low);
        tr_buf_append_char(out, '}');
    }
    tr_buf_append_char(out, ']');
}

static int send_audit(struct reset *reset, const struct tr_buf *key, const struct tr_buf *value,
                      struct tr_error *err)
{
    struct tr_dead_wait *wait = tr_dead_wait_new(&reset->session.dead);
    if (wait == NULL)
        return tr_error_set(err, TR_ENOMEM, "no memory for the audit");
    const struct tr_kafka_out out = {
        .topic = reset->session.control_topic,
        .partition = 0,
        .key = {key->data, key->length},
        .value = {value->data, value->length},
        .opaque = wait,
    };
    wait->pending = 1;
    if (tr_kafka_producer_send(reset->session.dead.producer, &out, err) < 0 ||
        tr_kafka_producer_flush(reset->session.dead.producer, AUDIT_MS, err) < 0)
        return tr_error_frame(err, "audit in topic %s", reset->session.control_topic);
    if (wait->code != 0)
        return tr_error_set(err, wait->code, "audit in topic %s: %s", reset->session.control_topic,
                            wait->text);
    return 0;
}

static int write_audit(struct reset *reset, struct tr_error *err)
{
    struct tr_buf key, value;
    char program[80];
    snprintf(program, sizeof(program), "tailrace-%s", reset->session.ops->name);
    tr_buf_init(&key, 4096);
    tr_buf_init(&value, TEXT_BYTES_MAX);
    tr_buf_reset(&reset->text);
    tr_buf_append_char(&reset->text, '{');
    write_detail(reset, &reset->text);
    tr_buf_append_char(&reset->text, '}');
    int rc = tr_buf_check(&reset->text, "the audit", err);
    if (rc == 0)
        rc = tr_audit_write(program, "reset",
                            (struct tr_slice){reset->text.data, reset->text.length}, &key, &value,
                            err);
    if (rc == 0)
        rc = send_audit(reset, &key, &value, err);
    tr_buf_done(&key);
    tr_buf_done(&value);
    return rc;
}

static int claim(struct reset *reset, struct tr_error *err)
{
    const struct tr_session *session = &reset->session;
    struct tr_sink_progress *progress =
        tr_arena_alloc(&reset->arena, (reset->plan.part_count + 1) * sizeof(*progress));
    if (progress == NULL)
        return tr_error_set(err, TR_ENOMEM, "no memory for progress");
    for (size_t i = 0; i < reset->plan.part_count; i++) {
        const struct tr_plan_part *part = &reset->plan.parts[i];
        const char *topic = reset->plan.topics[part->topic];
        progress[i] = (struct tr_sink_progress){topic, tr_session_incarnation(session, topic),
                                                part->partition, part->low};
    }
    const struct tr_sink_state mine = {
        .arena = &reset->arena,
        .marked = true,
        .format = TR_SINK_FORMAT,
        .pipeline = session->context.pipeline,
        .pipeline_id = tr_session_pipeline_id(session),
        .consumer = session->context.consumer,
        .generation = reset->state.generation > 0 ? reset->state.generation : 1,
        .progress = progress,
        .progress_count = reset->plan.part_count,
        .replace = true,
    };
    return tr_sink_claim(session->ops, session->sink, &mine, err);
}

static int set_group(struct reset *reset, struct tr_error *err)
{
    size_t count = reset->plan.part_count;
    struct tr_kafka_partition *list = calloc(count + 1, sizeof(*list));
    if (list == NULL)
        return tr_error_set(err, TR_ENOMEM, "no memory for offsets");
    for (size_t i = 0; i < count; i++) {
        const struct tr_plan_part *part = &reset->plan.parts[i];
        list[i] = (struct tr_kafka_partition){
            .topic = part->topic, .partition = part->partition, .offset = part->low};
    }
    int rc = count == 0 ? 0
                        : tr_kafka_group_set_offsets(reset->session.kafka, reset->session.group,
                                                     reset->plan.topics, list, count, err);
    free(list);
    return rc;
}

static int execute(struct reset *reset, struct tr_error *err)
{
    const struct tr_session *session = &reset->session;
    if (confirm(reset, err) < 0 || write_audit(reset, err) < 0)
        return err->code;
    if (reset->request->drop &&
        tr_sink_drop(session->ops, session->sink, reset->tables, reset->table_count, err) < 0)
        return err->code;
    if (claim(reset, err) < 0 || set_group(reset, err) < 0)
        return err->code;
    printf("done: start `tailrace-%s run` to fill the store again\n", session->ops->name);
    fflush(stdout);
    return 0;
}

int tr_reset(const struct tr_program *program, const struct tr_reset_request *request,
             struct tr_error *err)
{
    struct reset reset = {.request = request};
    tr_arena_init(&reset.arena, 65536, 0);
    tr_buf_init(&reset.text, TEXT_BYTES_MAX);
    int rc = check_request(request, err);
    if (rc == 0)
        rc = tr_session_init(&reset.session, program, !request->execute, err);
    if (rc == 0)
        rc = open_all(&reset, err);
    if (rc == 0)
        rc = print_plan(&reset, err);
    if (rc == 0 && request->execute)
        rc = execute(&reset, err);
    free(reset.tables);
    tr_plan_done(&reset.plan);
    tr_session_done(&reset.session);
    tr_arena_done(&reset.arena);
    tr_buf_done(&reset.text);
    return rc;
}
