/* Which columns identify a row, and what rules may say about a table. */
#include <string.h>

#include "internal.h"

static int visible_index(const struct tr_binlog_table *table, const char *name, uint32_t *index)
{
    uint32_t visible = 0;
    for (uint32_t i = 0; i < table->column_count; i++) {
        if (table->columns[i].hidden)
            continue;
        if (tr_slice_equal(table->columns[i].shape.name, tr_slice_of(name))) {
            *index = visible;
            return 0;
        }
        visible++;
    }
    return -1;
}

/* A shape has no hidden columns: indexes into the map become indexes into the shape. */
static uint32_t to_visible(const struct tr_binlog_table *table, uint32_t index)
{
    uint32_t visible = 0;
    for (uint32_t i = 0; i < index; i++)
        visible += table->columns[i].hidden ? 0 : 1;
    return visible;
}

static int take_indexes(const struct tr_binlog_table *table, const uint32_t *from, uint32_t count,
                        uint32_t key[SCHEMA_KEY_MAX], uint32_t *out, struct tr_error *err)
{
    if (count > SCHEMA_KEY_MAX)
        return tr_error_set(err, TR_ESOURCE, "a key of %u columns; %d are the most", count,
                            SCHEMA_KEY_MAX);
    for (uint32_t i = 0; i < count; i++)
        key[i] = to_visible(table, from[i]);
    *out = count;
    return 0;
}

static int take_named(const struct tr_binlog_table *table, const char *name,
                      uint32_t key[SCHEMA_KEY_MAX], uint32_t *count, struct tr_error *err)
{
    if (name == NULL || *count == SCHEMA_KEY_MAX)
        return tr_error_set(err, TR_ECONFIG, "key: must be a list of at most %d column names",
                            SCHEMA_KEY_MAX);
    if (visible_index(table, name, &key[*count]) != 0)
        return tr_error_set(err, TR_ECONFIG, "key: names '%s', which is no column of it", name);
    (*count)++;
    return 0;
}

static int take_setting(const struct tr_node *node, const struct tr_binlog_table *table,
                        uint32_t key[SCHEMA_KEY_MAX], uint32_t *count, struct tr_error *err)
{
    if (node->type == TR_NODE_SCALAR)
        return take_named(table, node->text, key, count, err);
    int rc = 0;
    for (const struct tr_node *item = node->child; rc == 0 && item != NULL; item = item->next)
        rc = take_named(table, item->type == TR_NODE_SCALAR ? item->text : NULL, key, count, err);
    return rc;
}

int schema_key_choose(const struct schema_known *known, const struct tr_binlog_table *table,
                      const struct tr_source_key *found, uint32_t key[SCHEMA_KEY_MAX],
                      uint32_t *count, struct tr_error *err)
{
    *count = 0;
    if (found->count > 0)
        return take_indexes(table, found->columns, found->count, key, count, err);
    if (table->primary_key_count > 0)
        return take_indexes(table, table->primary_key, table->primary_key_count, key, count, err);
    const struct tr_node *given =
        known->settings != NULL ? tr_node_get(known->settings, "key") : NULL;
    return given != NULL ? take_setting(given, table, key, count, err) : 0;
}

const struct tr_rule_key tr_schema_rule_keys[] = {
    {"topic", "TEXT", NULL, "The topic of its rows, instead of what capture.topic says."},
    {"key", "LIST", NULL, "Key columns, for a table without a key of its own."},
    {0},
};

static int check_rule(void *context, const char *pattern, const struct tr_node *settings,
                      struct tr_error *err)
{
    (void)context;
    if (tr_node_get(settings, "exclude_columns") != NULL)
        return tr_error_set(err, TR_ECONFIG,
                            "capture.tables, %s: exclude_columns is not supported; leave it out, "
                            "or leave the table out with \"!%s\"",
                            pattern, pattern);
    return tr_node_check_rule(settings, "capture.tables", tr_schema_rule_keys, err);
}

int tr_schema_check_rules(const struct tr_rules *rules, struct tr_error *err)
{
    return tr_rules_each_settings(rules, check_rule, NULL, err);
}
