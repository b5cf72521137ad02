/*
 * A table's topic: from the rule's `topic:`, else from the template.
 *
 * Two names from the template must not meet in one topic, and two topics must not differ by `.` and
 * `_` only: Kafka's metrics take them for one. Found when a table is first met, also for tables
 * that are made later.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "internal.h"

static bool is_topic_name(const char *name)
{
    size_t length = strlen(name);
    if (length == 0 || length > TR_TOPIC_NAME_MAX || strcmp(name, ".") == 0 ||
        strcmp(name, "..") == 0)
        return false;
    for (const char *at = name; *at != '\0'; at++)
        if (!(isalnum((unsigned char)*at) || *at == '.' || *at == '_' || *at == '-') ||
            (unsigned char)*at > 127)
            return false;
    return true;
}

static int check_name(const char *name, struct tr_slice database, struct tr_slice table,
                      struct tr_error *err)
{
    if (is_topic_name(name))
        return 0;
    return tr_error_set(err, TR_ECONFIG,
                        "table %.*s.%.*s: '%.120s' is no topic name (1 to %d letters, digits, "
                        "'.', '_', '-'); give the table a rule with topic: in capture.tables",
                        (int)database.length, database.data, (int)table.length, table.data, name,
                        TR_TOPIC_NAME_MAX);
}

int tr_schema_topic(const char *topic_template, struct tr_slice database, struct tr_slice table,
                    char *out, struct tr_error *err)
{
    struct tr_buf name;
    tr_buf_init(&name, 4096);
    for (const char *at = topic_template; *at != '\0';) {
        if (strncmp(at, "{database}", 10) == 0) {
            tr_buf_append_slice(&name, database);
            at += 10;
        } else if (strncmp(at, "{table}", 7) == 0) {
            tr_buf_append_slice(&name, table);
            at += 7;
        } else {
            tr_buf_append_char(&name, *at++);
        }
    }
    tr_buf_append_char(&name, '\0');
    int rc = tr_buf_check(&name, "a topic's name", err);
    if (rc == 0)
        rc = check_name(name.data, database, table, err);
    if (rc == 0)
        strcpy(out, name.data);
    tr_buf_done(&name);
    return rc;
}

static void fold(char *out, const char *name)
{
    size_t i = 0;
    for (; name[i] != '\0'; i++)
        out[i] = name[i] == '.' ? '_' : name[i];
    out[i] = '\0';
}

/* Whose rows a topic of the template takes: a table's, or all of a database's. Quoted, because
 * names may hold dots themselves. */
static char *owner_of(const struct tr_schema *schema, const struct schema_known *known, bool given)
{
    char *owner = NULL;
    bool by_table = given || strstr(schema->config.topic_template, "{table}") != NULL;
    int n = by_table ? asprintf(&owner, "`%s`.`%s`", known->database, known->table)
                     : asprintf(&owner, "`%s`", known->database);
    return n < 0 ? NULL : owner;
}

static int collide(const struct schema_topic *there, const struct schema_topic *ours,
                   struct tr_error *err)
{
    bool same = strcmp(there->name, ours->name) == 0;
    /* The template without a placeholder puts everything into one topic, by intention. */
    bool together = same && (there->given || ours->given || strcmp(there->owner, ours->owner) == 0);
    if (together)
        return 0;
    return tr_error_set(err, TR_ECONFIG,
                        same ? "%s and %s would share the topic '%s' (%s); give one of them a rule "
                               "with topic: in capture.tables"
                             : "%s and %s: the topics '%s' and '%s' differ by '.' and '_' only, "
                               "which Kafka can't tell apart; give one of them a rule with topic: "
                               "in capture.tables",
                        there->owner, ours->owner, there->name, ours->name);
}

/* Checks against the topics of the same folded name and adds this one; takes `topic` over. */
static int register_topic(struct tr_schema *schema, struct schema_topic *topic,
                          struct tr_error *err)
{
    size_t bucket =
        (size_t)tr_hash_fnv1a(topic->folded, strlen(topic->folded)) & (SCHEMA_BUCKETS - 1);
    bool by_all = strstr(schema->config.topic_template, "{database}") == NULL &&
                  strstr(schema->config.topic_template, "{table}") == NULL;
    bool present = false;
    int rc = 0;
    for (struct schema_topic *at = schema->topics[bucket]; rc == 0 && at != NULL; at = at->next) {
        if (strcmp(at->folded, topic->folded) != 0)
            continue;
        if (!(by_all && strcmp(at->name, topic->name) == 0))
            rc = collide(at, topic, err);
        present =
            present || (strcmp(at->name, topic->name) == 0 && strcmp(at->owner, topic->owner) == 0);
    }
    if (rc != 0 || present) {
        free(topic->owner);
        free(topic);
        return rc;
    }
    topic->next = schema->topics[bucket];
    schema->topics[bucket] = topic;
    return 0;
}

static int name_topic(struct tr_schema *schema, const struct schema_known *known, char *out,
                      bool *given, struct tr_error *err)
{
    struct tr_slice database = {known->database, known->database_length};
    struct tr_slice table = {known->table, known->table_length};
    const char *setting =
        known->settings != NULL ? tr_node_text(known->settings, "topic", NULL) : NULL;
    *given = setting != NULL;
    if (setting == NULL)
        return tr_schema_topic(schema->config.topic_template, database, table, out, err);
    return tr_schema_topic(setting, database, table, out, err);
}

int schema_topic_of(struct tr_schema *schema, struct schema_known *known, struct tr_error *err)
{
    if (known->topic != NULL)
        return 0;
    struct schema_topic *topic = calloc(1, sizeof *topic);
    if (topic == NULL)
        return tr_error_set(err, TR_ENOMEM, "no memory for a topic");
    int rc = name_topic(schema, known, topic->name, &topic->given, err);
    if (rc != 0) {
        free(topic);
        return rc;
    }
    fold(topic->folded, topic->name);
    topic->owner = owner_of(schema, known, topic->given);
    char *name = strdup(topic->name);
    if (topic->owner == NULL || name == NULL) {
        free(topic->owner);
        free(topic);
        free(name);
        return tr_error_set(err, TR_ENOMEM, "no memory for a topic");
    }
    rc = register_topic(schema, topic, err);
    if (rc != 0)
        free(name);
    else
        known->topic = name;
    return rc;
}

void schema_topics_free(struct tr_schema *schema)
{
    for (size_t i = 0; i < SCHEMA_BUCKETS; i++) {
        while (schema->topics[i] != NULL) {
            struct schema_topic *topic = schema->topics[i];
            schema->topics[i] = topic->next;
            free(topic->owner);
            free(topic);
        }
    }
}
