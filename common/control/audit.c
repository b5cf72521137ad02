/* audit.c - who did what to a pipeline; see control.h. */
#include <pwd.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "fields.h"
#include "json_writer.h"

static void write_time(struct tr_buf *out, int64_t time_us)
{
    struct tm parts;
    time_t seconds = (time_t)(time_us / 1000000);
    gmtime_r(&seconds, &parts);
    tr_buf_printf(out, "\"%04d-%02d-%02dT%02d:%02d:%02d.%06dZ\"", parts.tm_year + 1900,
                  parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                  (int)(time_us % 1000000));
}

int control_audit_write(int64_t time_us, const char *who, const char *program, const char *action,
                        struct tr_slice detail, struct tr_buf *key, struct tr_buf *value,
                        struct tr_error *err)
{
    tr_buf_reset(key);
    tr_buf_reset(value);
    TR_JSON_LITERAL(key, "[\"audit\",");
    write_time(key, time_us);
    tr_buf_append_char(key, ',');
    tr_json_text(key, tr_slice_of(program));
    tr_buf_append_char(key, ']');
    TR_JSON_LITERAL(value, "{\"format\":1,\"action\":");
    tr_json_text(value, tr_slice_of(action));
    tr_json_member(value, false, "who");
    tr_json_text(value, tr_slice_of(who));
    tr_json_member(value, false, "detail");
    tr_buf_append_slice(value, detail);
    tr_buf_append_char(value, '}');
    int rc = tr_buf_check(key, "an audit record's key", err);
    return rc < 0 ? rc : tr_buf_check(value, "an audit record", err);
}

int tr_audit_write(const char *program, const char *action, struct tr_slice detail,
                   struct tr_buf *key, struct tr_buf *value, struct tr_error *err)
{
    char host[256] = "", who[512];
    struct passwd entry, *found = NULL;
    char scratch[4096];
    getpwuid_r(geteuid(), &entry, scratch, sizeof(scratch), &found);
    gethostname(host, sizeof(host) - 1);
    if (found != NULL)
        snprintf(who, sizeof(who), "%s@%s", found->pw_name, host);
    else
        snprintf(who, sizeof(who), "%ld@%s", (long)geteuid(), host);
    if (!tr_json_utf8_valid(who, strlen(who)))
        snprintf(who, sizeof(who), "%ld@?", (long)geteuid());
    return control_audit_write(tr_clock_wall_us(), who, program, action, detail, key, value, err);
}
