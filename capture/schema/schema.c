/* Known tables, what DDL does to them, and the look-up of a table map. See schema.h. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#include "hash.h"

static size_t bucket_of(struct tr_slice database, struct tr_slice table)
{
    uint64_t hash = tr_hash_fnv1a(database.data, database.length) * 31 +
                    tr_hash_fnv1a(table.data, table.length);
    return (size_t)(hash ^ hash >> 32) & (SCHEMA_BUCKETS - 1);
}

static bool same_name(const char *name, size_t length, struct tr_slice other)
{
    return length == other.length && memcmp(name, other.data, length) == 0;
}

static struct schema_known *find_known(const struct tr_schema *schema, struct tr_slice database,
                                       struct tr_slice table)
{
    struct schema_known *known = schema->tables[bucket_of(database, table)];
    while (known != NULL && !(same_name(known->table, known->table_length, table) &&
                              same_name(known->database, known->database_length, database)))
        known = known->next;
    return known;
}

/* The newest DDL on the database, or on all of them. */
static int64_t database_ddl(const struct tr_schema *schema, struct tr_slice database)
{
    int64_t newest = -1;
    for (const struct schema_database *at = schema->databases; at != NULL; at = at->next)
        if ((at->length == 0 || same_name(at->name, at->length, database)) &&
            at->ddl_version > newest)
            newest = at->ddl_version;
    return newest;
}

/* Notes DDL on a database ("" = all of them); forgetting it for want of memory would give wrong
 * shapes. */
static void note_database(struct tr_schema *schema, struct tr_slice name, int64_t version)
{
    struct schema_database *at = schema->databases;
    while (at != NULL && !same_name(at->name, at->length, name))
        at = at->next;
    if (at == NULL) {
        at = calloc(1, sizeof *at);
        if (at == NULL || (at->name = strndup(name.data, name.length)) == NULL)
            abort();
        at->length = name.length;
        at->ddl_version = -1;
        at->next = schema->databases;
        schema->databases = at;
    }
    if (version > at->ddl_version)
        at->ddl_version = version;
}

static void free_known(struct schema_known *known)
{
    schema_table_drop(known);
    free(known->database);
    free(known->table);
    free(known->topic);
    free(known);
}

static bool is_gone(const struct schema_known *known)
{
    return known->stale && known->emptied_version >= 0 &&
           known->emptied_version == known->ddl_version && known->raw.data == NULL;
}

static void free_gone(struct tr_schema *schema)
{
    for (size_t i = 0; i < SCHEMA_BUCKETS; i++) {
        struct schema_known **link = &schema->tables[i];
        while (*link != NULL) {
            struct schema_known *known = *link;
            if (!known->gone) {
                link = &known->next;
                continue;
            }
            *link = known->next;
            free_known(known);
            schema->table_count--;
        }
    }
}

/* Names that come and go, a table a job, must not add up. What is remembered of those that are gone
 * is that no shape from before may be trusted: from now on that is true of their whole database. */
static int sweep(struct tr_schema *schema, struct tr_error *err)
{
    if (schema->table_count < schema->sweep_at)
        return 0;
    for (size_t i = 0; i < SCHEMA_BUCKETS; i++)
        for (struct schema_known *known = schema->tables[i]; known != NULL; known = known->next)
            known->gone = is_gone(known);
    schema->last = NULL;
    int rc = schema_ids_drop_gone(&schema->ids, err);
    if (rc != 0)
        return rc;
    for (size_t i = 0; i < SCHEMA_BUCKETS; i++)
        for (struct schema_known *known = schema->tables[i]; known != NULL; known = known->next)
            if (known->gone)
                note_database(schema, (struct tr_slice){known->database, known->database_length},
                              known->ddl_version);
    free_gone(schema);
    schema->sweep_at =
        schema->table_count * 2 < SCHEMA_SWEEP_FIRST ? SCHEMA_SWEEP_FIRST : schema->table_count * 2;
    if (schema->table_count >= SCHEMA_TABLES_MAX)
        return tr_error_set(err, TR_ESOURCE,
                            "more than %d tables are captured: leave some out in capture.tables",
                            SCHEMA_TABLES_MAX);
    if (schema->sweep_at > SCHEMA_TABLES_MAX)
        schema->sweep_at = SCHEMA_TABLES_MAX;
    return 0;
}

/* The table of that name; made when it is met for the first time, and `outside` for those that the
 * rules leave out. NULL with err set. */
static struct schema_known *get_known(struct tr_schema *schema, struct tr_slice database,
                                      struct tr_slice table, struct tr_error *err)
{
    const struct tr_node *settings = NULL;
    struct schema_known *known = find_known(schema, database, table);
    if (known != NULL)
        return known;
    if (!tr_rules_match(schema->config.rules, database, table, &settings))
        return &schema->outside;
    if (sweep(schema, err) != 0)
        return NULL;
    known = calloc(1, sizeof *known);
    if (known != NULL) {
        known->database = strndup(database.data, database.length);
        known->table = strndup(table.data, table.length);
    }
    if (known == NULL || known->database == NULL || known->table == NULL) {
        if (known != NULL)
            free_known(known);
        (void)tr_error_set(err, TR_ENOMEM, "no memory for a table");
        return NULL;
    }
    known->database_length = database.length;
    known->table_length = table.length;
    known->settings = settings;
    known->by_rules = true;
    known->captured = true;
    known->ddl_version = database_ddl(schema, database);
    known->emptied_version = -1;
    known->kept_id = -1;
    size_t bucket = bucket_of(database, table);
    known->next = schema->tables[bucket];
    schema->tables[bucket] = known;
    schema->table_count++;
    return known;
}

int tr_schema_table_topic(struct tr_schema *schema, struct tr_slice database, struct tr_slice table,
                          const char **topic, struct tr_error *err)
{
    struct schema_known *known = get_known(schema, database, table, err);
    if (known == NULL)
        return err->code;
    if (!known->by_rules)
        return tr_error_set(err, TR_EBUG, "the topic of a table that isn't captured");
    int rc = schema_topic_of(schema, known, err);
    *topic = known->topic;
    return rc;
}

/* A table whose topic would be another one now is told of at its next row. */
static int take_topics(struct tr_schema *schema, struct tr_error *err)
{
    size_t count = schema->control == NULL ? 0 : tr_control_shape_count(schema->control);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        const struct tr_shape *shape = tr_control_shape_number(schema->control, i);
        const char *topic;
        if (tr_rules_match(schema->config.rules, shape->database, shape->table, NULL))
            rc = tr_schema_table_topic(schema, shape->database, shape->table, &topic, err);
    }
    return rc;
}

int tr_schema_new(struct tr_schema **out, const struct tr_schema_config *config,
                  struct tr_control *control, struct tr_source *source, struct tr_error *err)
{
    *out = NULL;
    int rc = tr_schema_check_rules(config->rules, err);
    if (rc != 0)
        return rc;
    struct tr_schema *schema = calloc(1, sizeof *schema);
    if (schema == NULL)
        return tr_error_set(err, TR_ENOMEM, "no memory for the schema");
    schema->config = *config;
    schema->control = control;
    schema->source = source;
    schema->sweep_at = SCHEMA_SWEEP_FIRST;
    rc = take_topics(schema, err);
    if (rc != 0)
        tr_schema_free(schema);
    else
        *out = schema;
    return rc;
}

void tr_schema_free(struct tr_schema *schema)
{
    if (schema == NULL)
        return;
    for (size_t i = 0; i < SCHEMA_BUCKETS; i++) {
        while (schema->tables[i] != NULL) {
            struct schema_known *known = schema->tables[i];
            schema->tables[i] = known->next;
            free_known(known);
        }
    }
    while (schema->databases != NULL) {
        struct schema_database *database = schema->databases;
        schema->databases = database->next;
        free(database->name);
        free(database);
    }
    schema_topics_free(schema);
    schema_ids_clear(&schema->ids);
    free(schema);
}

/*
 * | u16 flags | u8 n | database | NUL | u8 n | table | NUL | …: what follows the table id. The rest
 * is read only when the table is captured and new.
 */
static int read_names(struct tr_slice raw, struct tr_slice *database, struct tr_slice *table,
                      struct tr_error *err)
{
    struct tr_slice *names[] = {database, table};
    size_t at = 2;
    for (size_t i = 0; i < 2; i++) {
        size_t length = at < raw.length ? (unsigned char)raw.data[at] : 0;
        if (at >= raw.length || raw.length - at < length + 2)
            return tr_error_set(err, TR_ESOURCE, "a table map is damaged: its names are cut off");
        *names[i] = (struct tr_slice){raw.data + at + 1, length};
        at += length + 2;
    }
    return 0;
}

static bool is_current(const struct schema_known *known, struct tr_slice raw)
{
    if (!known->by_rules)
        return true;
    return !known->stale && known->raw.data != NULL && tr_slice_equal(known->raw, raw);
}

int tr_schema_map(struct tr_schema *schema, const struct tr_binlog_event *event, int64_t version,
                  struct tr_schema_table **out, struct tr_error *err)
{
    uint64_t id;
    struct tr_slice raw, database, table;
    *out = NULL;
    int rc = tr_binlog_table_peek(&id, &raw, event, err);
    if (rc != 0)
        return rc;
    struct schema_id *entry = schema_ids_find(&schema->ids, id);
    if (entry != NULL && is_current(entry->known, raw)) {
        *out = &entry->known->current;
        return 0;
    }
    rc = read_names(raw, &database, &table, err);
    if (rc != 0)
        return rc;
    struct schema_known *known = get_known(schema, database, table, err);
    if (known == NULL)
        return err->code;
    if (!is_current(known, raw)) {
        rc = schema_table_build(schema, known, event, version, err);
        if (rc != 0)
            return tr_error_frame(err, "table %s.%s", known->database, known->table);
    }
    schema->last = NULL; /* putting may move the slots */
    rc = schema_ids_put(&schema->ids, id, known, err);
    *out = &known->current;
    return rc;
}

struct tr_schema_table *tr_schema_by_id(struct tr_schema *schema, uint64_t table_id)
{
    struct schema_id *entry = schema->last;
    if (entry == NULL || entry->id != table_id)
        entry = schema_ids_find(&schema->ids, table_id);
    schema->last = entry;
    return entry != NULL ? &entry->known->current : NULL;
}

static void mark_ddl(struct schema_known *known, int64_t version)
{
    known->stale = true;
    if (version > known->ddl_version)
        known->ddl_version = version;
}

void tr_schema_ddl(struct tr_schema *schema, struct tr_slice database, struct tr_slice table,
                   int64_t version)
{
    if (table.length > 0) {
        /* Also a table that has had no rows yet: a shape from before this must not be trusted. */
        struct tr_error ignored = {0};
        struct schema_known *known = get_known(schema, database, table, &ignored);
        if (known != NULL && known->by_rules)
            mark_ddl(known, version);
        return;
    }
    note_database(schema, database, version);
    for (size_t i = 0; i < SCHEMA_BUCKETS; i++)
        for (struct schema_known *known = schema->tables[i]; known != NULL; known = known->next)
            if (database.length == 0 ||
                same_name(known->database, known->database_length, database))
                mark_ddl(known, version);
}

void tr_schema_emptied(struct tr_schema *schema, struct tr_slice database, struct tr_slice table,
                       int64_t version)
{
    tr_schema_ddl(schema, database, table, version);
    struct schema_known *known = find_known(schema, database, table);
    if (known == NULL)
        return;
    known->emptied_version = version;
    known->kept_id = -1;
    /* Its next row has a table map of its own; until then, or for ever, it costs no memory. */
    schema_table_drop(known);
}

bool tr_schema_has_rows(const struct tr_schema *schema, const struct tr_shape *shape)
{
    const struct schema_known *known = find_known(schema, shape->database, shape->table);
    return known == NULL || schema_table_has_rows(known, shape);
}

bool tr_schema_seen(const struct tr_schema *schema, const struct tr_shape *shape)
{
    const struct schema_known *known = find_known(schema, shape->database, shape->table);
    return known != NULL && known->current.shape == shape;
}

int tr_schema_key_lost(struct tr_schema *schema, struct tr_slice database, struct tr_slice table,
                       bool *lost, struct tr_error *err)
{
    struct schema_known *known = find_known(schema, database, table);
    *lost = false;
    if (known == NULL || !known->captured || !known->by_unique || known->current.table == NULL)
        return 0;
    const struct tr_shape *shape = known->current.shape;
    const struct tr_source_key none = {.count = 0};
    struct tr_source_key found = {.count = 0};
    uint32_t key[SCHEMA_KEY_MAX], count = 0;
    bool same;
    int rc = tr_source_refine(schema->source, known->current.table, &none, &same, &found, err);
    if (rc != 0 || !same)
        return rc;
    rc = schema_key_choose(known, known->current.table, &found, key, &count, err);
    *lost = rc == 0 && (found.count == 0 || count != shape->key_count ||
                        memcmp(key, shape->key, count * sizeof(key[0])) != 0);
    return rc;
}

void tr_schema_forget_ids(struct tr_schema *schema)
{
    schema->last = NULL;
    schema_ids_clear(&schema->ids);
}
