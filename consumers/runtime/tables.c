/* tables.c - see tables.h. */
#include "tables.h"

#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "json_scan.h"
#include "json_writer.h"
#include "sink_call.h"

#define NAME_BYTES_MAX 4096

int tr_tables_init(struct tr_tables *tables, const struct tr_sink_ops *ops, struct tr_sink *sink,
                   const struct tr_rules *rules, struct tr_control *control, struct tr_error *err)
{
    *tables = (struct tr_tables){
        .ops = ops, .sink = sink, .rules = rules, .control = control, .slot_count = 256};
    tr_buf_init(&tables->text, NAME_BYTES_MAX);
    tr_buf_init(&tables->plain, NAME_BYTES_MAX);
    tables->slots = calloc(tables->slot_count, sizeof(struct tr_table *));
    return tables->slots != NULL ? 0 : tr_error_set(err, TR_ENOMEM, "no memory for tables");
}

static void free_table(struct tr_table *table)
{
    if (table == NULL)
        return;
    free((char *)table->database_json.data);
    free((char *)table->table_json.data);
    free((char *)table->sink.database.data);
    free((char *)table->sink.table.data);
    free(table);
}

void tr_tables_done(struct tr_tables *tables)
{
    for (size_t i = 0; tables->slots != NULL && i < tables->slot_count; i++)
        free_table(tables->slots[i]);
    free(tables->slots);
    free(tables->topics);
    tr_buf_done(&tables->text);
    tr_buf_done(&tables->plain);
}

/* ---- entries --------------------------------------------------------------------------------- */

static uint64_t hash_of(struct tr_slice database, struct tr_slice table)
{
    return tr_hash_fnv1a(database.data, database.length) * 31 +
           tr_hash_fnv1a(table.data, table.length);
}

static size_t slot_of(const struct tr_tables *tables, uint64_t hash, struct tr_slice database,
                      struct tr_slice table)
{
    size_t mask = tables->slot_count - 1;
    size_t at = (size_t)hash & mask;
    for (; tables->slots[at] != NULL; at = (at + 1) & mask) {
        const struct tr_table *entry = tables->slots[at];
        if (entry->hash == hash && tr_slice_equal(entry->database_json, database) &&
            tr_slice_equal(entry->table_json, table))
            break;
    }
    return at;
}

static bool grow(struct tr_tables *tables)
{
    size_t count = tables->slot_count * 2;
    struct tr_table **slots = calloc(count, sizeof(*slots));
    if (slots == NULL)
        return false;
    for (size_t i = 0; i < tables->slot_count; i++) {
        struct tr_table *entry = tables->slots[i];
        if (entry == NULL)
            continue;
        size_t at = (size_t)entry->hash & (count - 1);
        while (slots[at] != NULL)
            at = (at + 1) & (count - 1);
        slots[at] = entry;
    }
    free(tables->slots);
    tables->slots = slots;
    tables->slot_count = count;
    return true;
}

static bool own(struct tr_slice *to, const char *data, size_t length)
{
    char *copy = malloc(length + 1);
    if (copy == NULL)
        return false;
    if (length > 0)
        memcpy(copy, data, length);
    copy[length] = '\0';
    *to = (struct tr_slice){copy, length};
    return true;
}

/* A name as it is, from the quoted one. */
static bool own_plain(struct tr_tables *tables, struct tr_slice *to, struct tr_slice quoted)
{
    struct tr_json_value value = {TR_JSON_STRING, memchr(quoted.data, '\\', quoted.length) != NULL,
                                  quoted};
    tr_buf_reset(&tables->plain);
    tr_json_unescape(&value, &tables->plain);
    return !tables->plain.failed && own(to, tables->plain.data, tables->plain.length);
}

static struct tr_table *make_table(struct tr_tables *tables, uint64_t hash,
                                   struct tr_slice database, struct tr_slice table)
{
    struct tr_table *entry = calloc(1, sizeof(*entry));
    if (entry == NULL || !own(&entry->database_json, database.data, database.length) ||
        !own(&entry->table_json, table.data, table.length) ||
        !own_plain(tables, &entry->sink.database, database) ||
        !own_plain(tables, &entry->sink.table, table)) {
        free_table(entry);
        return NULL;
    }
    entry->hash = hash;
    entry->taken = tr_rules_match(tables->rules, entry->sink.database, entry->sink.table,
                                  &entry->sink.settings);
    return entry;
}

struct tr_table *tr_tables_find(struct tr_tables *tables, struct tr_slice database,
                                struct tr_slice table, struct tr_error *err)
{
    uint64_t hash = hash_of(database, table);
    size_t at = slot_of(tables, hash, database, table);
    if (tables->slots[at] != NULL)
        return tables->slots[at];
    struct tr_table *entry = make_table(tables, hash, database, table);
    if (entry == NULL || (tables->count * 2 >= tables->slot_count && !grow(tables))) {
        free_table(entry);
        tr_error_set(err, TR_ENOMEM, "no memory for a table");
        return NULL;
    }
    tables->count++;
    return tables->slots[slot_of(tables, hash, database, table)] = entry;
}

/* ---- shapes ---------------------------------------------------------------------------------- */

/* 1 when the topic is new. */
static int add_topic(struct tr_tables *tables, const char *topic, struct tr_error *err)
{
    for (size_t i = 0; i < tables->topic_count; i++)
        if (strcmp(tables->topics[i], topic) == 0)
            return 0;
    if (tables->topic_count == tables->topic_capacity) {
        size_t capacity = tables->topic_capacity == 0 ? 16 : tables->topic_capacity * 2;
        const char **topics = realloc(tables->topics, capacity * sizeof(*topics));
        if (topics == NULL)
            return tr_error_set(err, TR_ENOMEM, "no memory for topics");
        tables->topics = topics;
        tables->topic_capacity = capacity;
    }
    tables->topics[tables->topic_count++] = topic;
    return 1;
}

/* 1 when it named a new topic. */
static int take_shape(struct tr_tables *tables, const struct tr_shape *shape, struct tr_error *err)
{
    struct tr_table *table = tr_tables_find(tables, shape->database_json, shape->table_json, err);
    if (table == NULL)
        return err->code;
    const struct tr_shape *newest = atomic_load(&table->sink.newest);
    if (newest == NULL || newest->schema_id <= shape->schema_id)
        atomic_store(&table->sink.newest, shape);
    if (!table->taken)
        return 0;
    if (!table->ready &&
        tr_sink_take_table(tables->ops, tables->sink, &table->sink, shape, err) < 0)
        return tr_error_frame(err, "table %s.%s", table->sink.database.data,
                              table->sink.table.data);
    table->ready = true;
    return add_topic(tables, shape->topic, err);
}

int tr_tables_refresh(struct tr_tables *tables, struct tr_error *err)
{
    int found = 0;
    while (tables->shapes_seen < tr_control_shape_count(tables->control)) {
        int rc =
            take_shape(tables, tr_control_shape_number(tables->control, tables->shapes_seen), err);
        if (rc < 0)
            return rc;
        found |= rc;
        tables->shapes_seen++;
    }
    return found;
}

const struct tr_shape *tr_tables_shape(struct tr_tables *tables, struct tr_table *table,
                                       int64_t schema_id, int64_t version)
{
    if (table->recent != NULL && table->recent->schema_id == schema_id)
        return table->recent;
    if (schema_id == 0)
        return tr_control_shape_at(tables->control, table->sink.database, table->sink.table,
                                   version);
    const struct tr_shape *shape =
        tr_control_shape(tables->control, table->sink.database, table->sink.table, schema_id);
    if (shape != NULL)
        table->recent = shape;
    return shape;
}

/* ---- floors ---------------------------------------------------------------------------------- */

void tr_floor_raise(struct tr_sink_table *table, int64_t version)
{
    int64_t old = atomic_load(&table->floor);
    while (old < version && !atomic_compare_exchange_weak(&table->floor, &old, version))
        continue;
}

int tr_tables_floors(struct tr_tables *tables, const struct tr_sink_floor *floors, size_t count,
                     struct tr_error *err)
{
    for (size_t i = 0; i < count; i++) {
        tr_buf_reset(&tables->text);
        tr_json_text(&tables->text, tr_slice_of(floors[i].database));
        size_t split = tables->text.length;
        tr_json_text(&tables->text, tr_slice_of(floors[i].table));
        if (tr_buf_check(&tables->text, "a table's name", err) < 0)
            return err->code;
        struct tr_slice database = {tables->text.data, split};
        struct tr_slice name = {tables->text.data + split, tables->text.length - split};
        struct tr_table *table = tr_tables_find(tables, database, name, err);
        if (table == NULL)
            return err->code;
        tr_floor_raise(&table->sink, floors[i].version);
    }
    return 0;
}

size_t tr_tables_list(const struct tr_tables *tables, struct tr_sink_table **out, size_t max)
{
    size_t found = 0;
    for (size_t i = 0; i < tables->slot_count; i++) {
        struct tr_table *table = tables->slots[i];
        if (table == NULL || !table->ready)
            continue;
        if (found < max)
            out[found] = &table->sink;
        found++;
    }
    return found;
}
