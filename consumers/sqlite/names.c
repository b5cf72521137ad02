/*
 * names.c - what a source table is called in the file: its own name, or `<database>__<table>` when
 * several databases are mapped. Which database has no prefix is decided once per file and kept in
 * it, so that a table is never called otherwise later.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "store.h"

static const char *rule_text(const struct tr_node *rule)
{
    if (rule->type == TR_NODE_MAP)
        return tr_node_text(rule, "table", "");
    return rule->type == TR_NODE_SCALAR && rule->text != NULL ? rule->text : "";
}

/* The length of the database's name in a rule that names it literally, else 0. */
static size_t literal_database(const char *text)
{
    const char *dot = strchr(text, '.');
    if (dot == NULL || strpbrk(text, "`/") != NULL || memchr(text, '*', (size_t)(dot - text)))
        return 0;
    return (size_t)(dot - text);
}

enum rules_say { RULES_OPEN, RULES_ONE, RULES_SEVERAL };

/* Whether the rules name one database (which goes to *only), several, or leave it open. */
static enum rules_say ask_rules(const struct tr_node *rules, struct tr_slice *only)
{
    *only = TR_SLICE("");
    for (const struct tr_node *at = rules != NULL ? rules->child : NULL; at != NULL;
         at = at->next) {
        const char *text = rules->type == TR_NODE_MAP ? at->key : rule_text(at);
        if (text[0] == '!')
            continue;
        struct tr_slice name = {text, literal_database(text)};
        if (name.length == 0)
            return RULES_OPEN;
        if (only->length > 0 && !tr_slice_equal(*only, name))
            return RULES_SEVERAL;
        *only = name;
    }
    return only->length > 0 ? RULES_ONE : RULES_OPEN;
}

/* The one whose tables have no prefix; empty when there is none. */
static struct tr_slice choose_plain(struct tr_sink *sink)
{
    struct tr_slice only;
    enum rules_say say = ask_rules(sink->settings->common.tables, &only);
    if (say != RULES_OPEN)
        return say == RULES_ONE ? only : TR_SLICE("");
    const struct sq_table *first = atomic_load(&sink->tables);
    for (const struct sq_table *at = first; at != NULL; at = at->next) {
        if (!tr_slice_equal(at->source->database, first->source->database))
            return TR_SLICE("");
    }
    return first != NULL ? first->source->database : TR_SLICE("");
}

/* `decided`: the file may know it. */
static int load_plain(struct tr_sink *sink, bool decided, struct tr_error *err)
{
    struct tr_slice chosen;
    int found = decided ? sq_state_get(sink, TR_SLICE("plain_database"), &sink->sql, err) : 0;
    if (found < 0)
        return found;
    if (found == 1)
        chosen = (struct tr_slice){sink->sql.length > 0 ? sink->sql.data : "", sink->sql.length};
    else
        chosen = choose_plain(sink);
    sink->plain_database = strndup(chosen.data, chosen.length);
    if (sink->plain_database == NULL)
        return tr_error_set(err, TR_ENOMEM, "sqlite: no memory for a name");
    return found;
}

static int decide_plain(struct tr_sink *sink, struct tr_error *err)
{
    if (sink->plain_database != NULL)
        return 0;
    int found = load_plain(sink, true, err);
    if (found != 0)
        return found < 0 ? found : 0;
    return sq_state_put(sink, TR_SLICE("plain_database"), tr_slice_of(sink->plain_database), err);
}

static int check_name(const struct tr_sink *sink, const struct sq_table *table,
                      struct tr_error *err)
{
    if (strncasecmp(table->name, "sqlite_", 7) == 0 ||
        strncasecmp(table->name, "_tailrace_", 10) == 0)
        return tr_error_set(
            err, TR_ECONFIG,
            "sqlite: a table cannot be called %s there; leave it out under sqlite.tables",
            table->name);
    for (const struct sq_table *at = atomic_load(&sink->tables); at != NULL; at = at->next) {
        const struct tr_sink_table *mine = table->source, *other = at->source;
        if (at != table && at->name != NULL && strcasecmp(at->name, table->name) == 0)
            return tr_error_set(err, TR_ECONFIG,
                                "sqlite: %.*s.%.*s and %.*s.%.*s would both be table %s; leave one "
                                "out under sqlite.tables",
                                (int)mine->database.length, mine->database.data,
                                (int)mine->table.length, mine->table.data,
                                (int)other->database.length, other->database.data,
                                (int)other->table.length, other->table.data, table->name);
    }
    return 0;
}

static int make_name(struct tr_sink *sink, struct sq_table *table, struct tr_error *err)
{
    struct tr_slice database = table->source->database, name = table->source->table;
    bool plain = tr_slice_equal(tr_slice_of(sink->plain_database), database);
    int used = plain ? asprintf(&table->name, "%.*s", (int)name.length, name.data)
                     : asprintf(&table->name, "%.*s__%.*s", (int)database.length, database.data,
                                (int)name.length, name.data);
    if (used < 0) {
        table->name = NULL;
        return tr_error_set(err, TR_ENOMEM, "sqlite: no memory for a name");
    }
    return check_name(sink, table, err);
}

static int name_all(struct tr_sink *sink, struct tr_error *err)
{
    int code = 0;
    for (struct sq_table *at = atomic_load(&sink->tables); code == 0 && at != NULL; at = at->next)
        code = at->name == NULL ? make_name(sink, at, err) : 0;
    return code;
}

/* All get their names, so that none is written under a name that is another's too. */
int sq_table_name(struct tr_sink *sink, struct sq_table *table, struct tr_error *err)
{
    if (table->name != NULL)
        return 0;
    int code = decide_plain(sink, err);
    return code == 0 ? name_all(sink, err) : code;
}

void sq_names_forget(struct tr_sink *sink)
{
    for (struct sq_table *at = atomic_load(&sink->tables); at != NULL; at = at->next) {
        free(at->name);
        at->name = NULL;
    }
    free(sink->plain_database);
    sink->plain_database = NULL;
}

int sq_names_check(struct tr_sink *sink, bool marked, struct tr_error *err)
{
    sq_table_forget_all(sink);
    int code = load_plain(sink, marked, err);
    if (code >= 0)
        code = name_all(sink, err);
    sq_table_forget_all(sink);
    return code;
}

/* SQLite tells names apart whatever their case. */
int sq_columns_check(const struct tr_shape *shape, struct tr_error *err)
{
    for (uint32_t i = 0; i < shape->column_count; i++) {
        struct tr_slice name = shape->columns[i].name;
        if (name.length == 8 && strncasecmp(name.data, "_version", 8) == 0)
            return tr_error_set(
                err, TR_ECONFIG,
                "sqlite: %.*s.%.*s has a column _version, which the read model needs for "
                "itself; leave the table out under sqlite.tables",
                (int)shape->database.length, shape->database.data, (int)shape->table.length,
                shape->table.data);
    }
    return 0;
}

int sq_table_map(struct tr_sink *sink, struct tr_sink_table *source, const struct tr_shape *shape,
                 struct tr_error *err)
{
    if (shape->key_count == 0)
        return tr_error_set(err, TR_ECONFIG, "sqlite: %.*s.%.*s has no key",
                            (int)source->database.length, source->database.data,
                            (int)source->table.length, source->table.data);
    int code = sq_columns_check(shape, err);
    if (code != 0 || source->user != NULL)
        return code;
    struct sq_table *table = calloc(1, sizeof(*table));
    if (table == NULL)
        return tr_error_set(err, TR_ENOMEM, "sqlite: no memory for a table");
    table->source = source;
    table->next = atomic_load(&sink->tables);
    atomic_store(&sink->tables, table);
    source->user = table;
    return 0;
}
