/* names.c - the names of topics and groups; see control.h. */
#include <stdio.h>
#include <string.h>

#include "control.h"

static bool is_name(const char *text)
{
    for (const char *c = text; *c != '\0'; c++)
        if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') ||
              *c == '.' || *c == '_' || *c == '-'))
            return false;
    return text[0] != '\0';
}

static int make_name(char *out, const char *before, const char *pipeline, const char *between,
                     const char *consumer, struct tr_error *err)
{
    const char *bad = !is_name(pipeline) ? pipeline : !is_name(consumer) ? consumer : NULL;
    if (bad != NULL)
        return tr_error_set(err, TR_ECONFIG,
                            "\"%s\" can't be part of a topic's name: use letters, digits, '.', "
                            "'_' and '-'",
                            bad);
    int length =
        snprintf(out, TR_TOPIC_NAME_MAX + 1, "%s%s%s%s", before, pipeline, between, consumer);
    if (length > TR_TOPIC_NAME_MAX)
        return tr_error_set(err, TR_ECONFIG,
                            "the name %s%s%s%s is longer than %d bytes: choose a shorter one",
                            before, pipeline, between, consumer, TR_TOPIC_NAME_MAX);
    return 0;
}

int tr_topic_control(char *out, const char *pipeline, struct tr_error *err)
{
    return make_name(out, "tailrace.", pipeline, ".", "control", err);
}

int tr_topic_schema_changes(char *out, const char *pipeline, struct tr_error *err)
{
    return make_name(out, "tailrace.", pipeline, ".", "schema-changes", err);
}

int tr_topic_dead(char *out, const char *pipeline, const char *consumer, struct tr_error *err)
{
    return make_name(out, "tailrace.", pipeline, ".dead.", consumer, err);
}

int tr_group_name(char *out, const char *pipeline, const char *consumer, struct tr_error *err)
{
    return make_name(out, "", pipeline, ".", consumer, err);
}
