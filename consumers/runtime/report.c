/* report.c - `status`: from the running process, or from Kafka. See commands.h. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "http_client.h"
#include "json_scan.h"
#include "plan.h"
#include "status.h"

#define REPLY_BYTES_MAX (16u << 20)
#define CONTROL_READ_MS 10000

/* ---- from Kafka ------------------------------------------------------------------------------ */

/* A member may be retrying, or wait for something: only the process itself can tell. */
static void say_unknown(const struct tr_session *session, char *trouble, size_t size)
{
    const char *listen = session->common->http_listen;
    if (listen == NULL || *listen == '\0')
        snprintf(trouble, size, "%s.http.listen is not set; the group has live members",
                 session->ops->name);
    else
        snprintf(trouble, size, "nobody answers at %s (%s.http.listen); the group has live members",
                 listen, session->ops->name);
}

static void write_plan(const struct tr_session *session, const struct tr_plan *plan, bool live,
                       struct tr_buf *out)
{
    char trouble[256] = "";
    struct tr_status_part *parts = calloc(plan->part_count + 1, sizeof(*parts));
    if (live)
        say_unknown(session, trouble, sizeof(trouble));
    struct tr_status status = {
        .pipeline = session->context.pipeline,
        .consumer = session->context.consumer,
        .trouble = trouble,
        .trouble_s = -1,
        .state = live ? TR_STATE_UNKNOWN : TR_STATE_STOPPED,
        .parts = parts,
        .part_count = parts == NULL ? 0 : plan->part_count,
        .lag_seconds = -1,
    };
    for (size_t i = 0; i < status.part_count; i++)
        parts[i] = (struct tr_status_part){
            .topic = plan->topics[plan->parts[i].topic],
            .partition = plan->parts[i].partition,
            .next = plan->parts[i].group,
            .end = plan->parts[i].high,
        };
    tr_status_write(&status, out);
    free(parts);
}

static int ask_kafka(const struct tr_program *program, struct tr_buf *out, struct tr_error *err)
{
    struct tr_session session;
    struct tr_plan plan = {0};
    struct tr_kafka_group_info group = {.members = 0};
    int rc = tr_session_init(&session, program, true, err);
    if (rc == 0)
        rc = tr_session_open_kafka(&session, err);
    if (rc == 0)
        rc = tr_session_open_control(&session, CONTROL_READ_MS, err);
    if (rc == 0)
        rc = tr_plan_make(&plan, &session, err);
    if (rc >= 0)
        rc = tr_kafka_group_describe(session.dead.producer, session.group, &group, err);
    if (rc >= 0)
        write_plan(&session, &plan, group.members > 0, out);
    tr_plan_done(&plan);
    tr_session_done(&session);
    return rc < 0 ? rc : 0;
}

/* ---- for people ------------------------------------------------------------------------------ */

static void print_cell(const struct tr_json_value *part, const char *name, int width)
{
    struct tr_json_value value;
    struct tr_error ignored = {0};
    char text[128] = "-";
    if (tr_json_find(part, name, &value, &ignored) == 1 && value.type != TR_JSON_NULL) {
        bool quoted = value.type == TR_JSON_STRING;
        snprintf(text, sizeof(text), "%.*s", (int)(value.text.length - (quoted ? 2 : 0)),
                 value.text.data + quoted);
    }
    printf(width < 0 ? "%-*s" : " %*s", abs(width), text);
}

static void print_parts(const struct tr_json_value *whole)
{
    static const char *const columns[] = {"next",  "end",        "lag",      "read", "applied",
                                          "stale", "superseded", "filtered", "dead"};
    struct tr_json_value list, part, name;
    struct tr_json_cursor cursor;
    struct tr_error ignored = {0};
    if (tr_json_find(whole, "partitions", &list, &ignored) != 1)
        return;
    printf("%-36s %9s", "topic", "partition");
    for (size_t i = 0; i < sizeof(columns) / sizeof(*columns); i++)
        printf(" %10s", columns[i]);
    printf("\n");
    tr_json_enter(&cursor, &list);
    while (tr_json_next(&cursor, &name, &part, &ignored) == 1) {
        print_cell(&part, "topic", -36);
        print_cell(&part, "partition", 9);
        for (size_t i = 0; i < sizeof(columns) / sizeof(*columns); i++)
            print_cell(&part, columns[i], 10);
        printf("\n");
    }
}

/* A server's text may hold what a terminal would obey. */
static int print_trouble(const struct tr_json_value *whole, struct tr_error *err)
{
    struct tr_json_value value;
    struct tr_buf text;
    if (tr_json_find(whole, "trouble", &value, err) != 1 || value.type != TR_JSON_STRING)
        return 0;
    tr_buf_init(&text, REPLY_BYTES_MAX);
    tr_json_unescape(&value, &text);
    for (size_t i = 0; i < text.length; i++)
        if ((unsigned char)text.data[i] < 0x20 || text.data[i] == 0x7f)
            text.data[i] = ' ';
    printf("trouble: %.*s", (int)text.length, text.length > 0 ? text.data : "");
    if (tr_json_find(whole, "trouble_s", &value, err) == 1 && value.type == TR_JSON_NUMBER)
        printf(", for %.*s s", (int)value.text.length, value.text.data);
    printf("\n");
    int rc = tr_buf_check(&text, "the trouble's text", err);
    tr_buf_done(&text);
    return rc;
}

static int print_text(struct tr_slice text, struct tr_error *err)
{
    struct tr_json_value whole, lag;
    if (tr_json_parse(text, &whole, err) < 0)
        return err->code;
    printf("consumer");
    print_cell(&whole, "consumer", 0);
    printf(" of pipeline");
    print_cell(&whole, "pipeline", 0);
    printf(":");
    print_cell(&whole, "state", 0);
    printf("\n");
    if (print_trouble(&whole, err) < 0)
        return err->code;
    print_parts(&whole);
    if (tr_json_find(&whole, "lag", &lag, err) == 1) {
        printf("lag:");
        print_cell(&lag, "records", 0);
        printf(" records,");
        print_cell(&lag, "seconds", 0);
        printf(" s\n");
    }
    return 0;
}

int tr_status_command(const struct tr_program *program, bool json, struct tr_error *err)
{
    const struct tr_runtime_settings *common =
        (const void *)((const char *)program->settings + program->ops->settings_common_offset);
    struct tr_buf out;
    int rc = 0;
    tr_buf_init(&out, REPLY_BYTES_MAX);
    if (!tr_http_ask(common->http_listen, "/status", &out)) {
        tr_buf_reset(&out);
        rc = ask_kafka(program, &out, err);
    }
    if (rc == 0)
        rc = tr_buf_check(&out, "the status", err);
    if (rc == 0 && json)
        fwrite(out.data, 1, out.length, stdout);
    else if (rc == 0)
        rc = print_text((struct tr_slice){out.data, out.length}, err);
    fflush(stdout);
    tr_buf_done(&out);
    return rc;
}
