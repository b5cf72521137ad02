/* A table map made into a table: its shape, found or made, and its encoder. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "json_writer.h"
#include "log.h"

#define ARENA_CHUNK_BYTES ((size_t)8 << 10)
#define ARENA_BYTES_MAX ((size_t)64 << 20) /* 4,096 columns with thousands of labels */

void schema_table_drop(struct schema_known *known)
{
    tr_encoder_free(known->current.encoder);
    known->current = (struct tr_schema_table){0};
    known->raw = (struct tr_slice){0};
    tr_arena_done(&known->arena);
}

static void *get(struct schema_known *known, size_t bytes, struct tr_error *err)
{
    void *memory = tr_arena_alloc(&known->arena, bytes);
    if (memory == NULL)
        (void)tr_error_set(err, TR_ENOMEM, "no memory for a table");
    return memory;
}

static int quote(struct schema_known *known, struct tr_slice text, struct tr_slice *out,
                 struct tr_error *err)
{
    struct tr_buf buf;
    tr_buf_init(&buf, 4096);
    int rc = 0;
    if (!tr_json_string(&buf, text.data, text.length))
        rc = tr_error_set(err, TR_ESOURCE, "the table's name is not UTF-8");
    if (rc == 0)
        rc = tr_buf_check(&buf, "a table's name", err);
    out->length = buf.length;
    out->data = rc == 0 ? tr_arena_copy(&known->arena, buf.data, buf.length) : NULL;
    if (rc == 0 && out->data == NULL)
        rc = tr_error_set(err, TR_ENOMEM, "no memory for a table");
    tr_buf_done(&buf);
    return rc;
}

/* What both a stored shape and a table map tell of a column; refinement and key aside. */
static bool same_column(const struct tr_shape_column *a, const struct tr_shape_column *b)
{
    return tr_slice_equal(a->name, b->name) && a->type == b->type &&
           a->is_unsigned == b->is_unsigned && a->nullable == b->nullable &&
           a->length == b->length && a->scale == b->scale && a->fraction == b->fraction &&
           tr_slice_equal(a->charset, b->charset);
}

static bool looks_like(const struct tr_shape *shape, const struct tr_binlog_table *table)
{
    uint32_t visible = 0;
    for (uint32_t i = 0; i < table->column_count; i++) {
        if (table->columns[i].hidden)
            continue;
        if (visible == shape->column_count ||
            !same_column(&shape->columns[visible], &table->columns[i].shape))
            return false;
        visible++;
    }
    return visible == shape->column_count;
}

static bool same_key(const struct tr_shape *a, const struct tr_shape *b)
{
    bool same = a->key_count == b->key_count;
    for (uint32_t i = 0; same && i < a->key_count; i++)
        same = tr_slice_equal(a->columns[a->key[i]].name, b->columns[b->key[i]].name);
    return same;
}

/* Whether the map names the shape's key as primary. It names another one when the key was changed
 * by a statement that was read before a restart, and when the shape's key is a unique one that the
 * server doesn't prefer. */
static bool names_key(const struct tr_shape *shape, const struct tr_binlog_table *table)
{
    bool same = shape->key_count == table->primary_key_count;
    for (uint32_t i = 0; same && i < shape->key_count; i++)
        same = tr_slice_equal(shape->columns[shape->key[i]].name,
                              table->columns[table->primary_key[i]].shape.name);
    return same;
}

static bool find_column(const struct tr_binlog_table *table, const struct tr_shape_column *wanted,
                        uint32_t *index)
{
    for (uint32_t i = 0; i < table->column_count; i++) {
        if (table->columns[i].hidden || !same_column(wanted, &table->columns[i].shape))
            continue;
        *index = i;
        return true;
    }
    return false;
}

/* The catalogue is ahead of the log and can't say what all of the table's columns were: those that
 * an older shape had already are still what they were. */
static void inherit(struct tr_binlog_table *table, const struct tr_shape *older)
{
    uint32_t i;
    for (uint32_t j = 0; j < older->column_count; j++)
        if (find_column(table, &older->columns[j], &i) &&
            table->columns[i].shape.refine == TR_REFINE_NONE)
            table->columns[i].shape.refine = older->columns[j].refine;
}

/* The key of an older shape, in the map's columns; none when it has lost one of them. */
static struct tr_source_key key_of(const struct tr_binlog_table *table,
                                   const struct tr_shape *older)
{
    struct tr_source_key key = {.count = 0};
    uint32_t count = older == NULL ? 0 : older->key_count;
    for (uint32_t i = 0; i < count && i < TR_SOURCE_KEY_MAX; i++)
        if (!find_column(table, &older->columns[older->key[i]], &key.columns[i]))
            return key;
    key.count = count <= TR_SOURCE_KEY_MAX ? count : 0;
    return key;
}

/* CREATE SEQUENCE makes a table of one row and these columns, whose changes are no rows of data. */
static bool is_sequence(const struct tr_binlog_table *table)
{
    static const char *const names[] = {"next_not_cached_value", "minimum_value", "maximum_value",
                                        "start_value",           "increment",     "cache_size",
                                        "cycle_option",          "cycle_count"};
    if (table->column_count != 8 || table->primary_key_count != 0)
        return false;
    for (uint32_t i = 0; i < 8; i++)
        if (!tr_slice_equal(table->columns[i].shape.name, tr_slice_of(names[i])))
            return false;
    return true;
}

static int set_key(struct schema_known *known, struct tr_shape *shape, const uint32_t *key,
                   uint32_t count, struct tr_error *err)
{
    shape->key = get(known, (count + 1) * sizeof *key, err);
    if (shape->key == NULL)
        return err->code;
    memcpy(shape->key, key, count * sizeof *key);
    shape->key_count = count;
    for (uint32_t i = 0; i < count; i++)
        shape->columns[key[i]].key = true;
    return 0;
}

static int set_columns(struct schema_known *known, struct tr_shape *shape,
                       const struct tr_binlog_table *table, struct tr_error *err)
{
    shape->columns = get(known, (table->column_count + 1) * sizeof *shape->columns, err);
    if (shape->columns == NULL)
        return err->code;
    for (uint32_t i = 0; i < table->column_count; i++) {
        if (table->columns[i].hidden)
            continue;
        shape->columns[shape->column_count] = table->columns[i].shape;
        shape->columns[shape->column_count++].key = false;
    }
    return 0;
}

/* A shape that doesn't come from the control topic, in the table's arena. `older` may be NULL. */
static int make_shape(struct tr_schema *schema, struct schema_known *known,
                      struct tr_binlog_table *table, const struct tr_shape *older, int64_t version,
                      struct tr_shape *shape, struct tr_error *err)
{
    const struct tr_source_key older_key = key_of(table, older);
    struct tr_source_key found = {.count = 0};
    uint32_t key[SCHEMA_KEY_MAX], count = 0;
    bool same;
    int rc = tr_source_refine(schema->source, table, &older_key, &same, &found, err);
    if (rc == 0 && !same && older != NULL)
        inherit(table, older);
    known->by_unique = rc == 0 && found.count > 0;
    if (rc == 0)
        rc = schema_key_choose(known, table, &found, key, &count, err);
    if (rc != 0)
        return rc;
    *shape = (struct tr_shape){
        .database = {known->database, known->database_length},
        .table = {known->table, known->table_length},
        .schema_id = version,
        .topic = known->topic,
    };
    rc = quote(known, shape->database, &shape->database_json, err);
    if (rc == 0)
        rc = quote(known, shape->table, &shape->table_json, err);
    if (rc == 0)
        rc = set_columns(known, shape, table, err);
    if (rc == 0)
        rc = set_key(known, shape, key, count, err);
    return rc;
}

bool schema_table_has_rows(const struct schema_known *known, const struct tr_shape *shape)
{
    return shape->schema_id > known->emptied_version || shape->schema_id == known->kept_id;
}

/* The stored shape of this place, when nothing speaks against it; else a new one. */
static int find_shape(struct tr_schema *schema, struct schema_known *known,
                      struct tr_binlog_table *table, int64_t version, struct tr_error *err)
{
    const struct tr_shape *stored =
        tr_control_shape_at(schema->control, table->database, table->table, version);
    if (stored != NULL && strcmp(stored->topic, known->topic) != 0)
        return tr_error_set(err, TR_ECONFIG,
                            "its topic was '%s' and would now be '%s': moving a table to another "
                            "topic is not supported; set topic: %s for it in capture.tables",
                            stored->topic, known->topic, stored->topic);
    if (stored != NULL && stored->schema_id > known->ddl_version && looks_like(stored, table) &&
        (stored->schema_id == version || names_key(stored, table))) {
        known->current.shape = stored;
        return 0;
    }
    struct tr_shape shape;
    int rc = make_shape(schema, known, table, stored, version, &shape, err);
    if (rc != 0)
        return rc;
    if (stored != NULL && tr_shape_equal(stored, &shape)) {
        known->current.shape = stored;
        if (stored->schema_id <= known->emptied_version)
            known->kept_id = stored->schema_id;
        return 0;
    }
    known->current.shape = tr_control_add_shape(schema->control, &shape, err);
    known->current.is_new = true;
    return known->current.shape == NULL ? err->code : 0;
}

/* Rows from before are keyed otherwise in topics and stores, where the table wasn't emptied since.
 * Asked at the place where the shape begins, so also when that place is read again. */
static void compare_keys(const struct tr_schema *schema, struct schema_known *known,
                         int64_t version)
{
    const struct tr_shape *shape = known->current.shape;
    if (shape->schema_id != version)
        return;
    const struct tr_shape *older =
        tr_control_shape_at(schema->control, shape->database, shape->table, version - 1);
    known->current.key_changed = older != NULL && older->key_count > 0 &&
                                 schema_table_has_rows(known, older) && !same_key(older, shape);
}

static int no_key(struct tr_schema *schema, struct schema_known *known, struct tr_error *err)
{
    if (!schema->config.skip_without_key)
        return tr_error_set(err, TR_ECONFIG,
                            "it has no primary key and no unique key over NOT NULL columns: "
                            "ALTER TABLE `%s`.`%s` ADD PRIMARY KEY (…), or name columns that "
                            "identify a row with key: in capture.tables, or leave such tables out "
                            "with capture.on_no_key: skip",
                            known->database, known->table);
    tr_log(TR_LOG_WARN, "schema", "table without a key is skipped",
           TR_STR("database", known->database), TR_STR("table", known->table), TR_END);
    return 0;
}

static int check_metadata(const struct tr_binlog_table *table, struct tr_error *err)
{
    if (table->full_metadata)
        return 0;
    return tr_error_set(err, TR_ESOURCE,
                        "the binlog lacks names, types or keys of its columns here: it was written "
                        "without binlog_row_metadata=FULL; SET GLOBAL binlog_row_metadata='FULL'; "
                        "and start behind this place with --start latest --force-start");
}

int schema_table_build(struct tr_schema *schema, struct schema_known *known,
                       const struct tr_binlog_event *event, int64_t version, struct tr_error *err)
{
    uint64_t id;
    struct tr_slice raw;
    uint32_t topic_index = known->current.topic_index;
    schema_table_drop(known);
    tr_arena_init(&known->arena, ARENA_CHUNK_BYTES, ARENA_BYTES_MAX);
    int rc = tr_binlog_table_peek(&id, &raw, event, err);
    if (rc == 0)
        rc = tr_binlog_table_read(&known->current.table, event, &known->arena, err);
    if (rc != 0)
        return rc;
    known->captured = !is_sequence(known->current.table);
    if (known->captured) {
        rc = check_metadata(known->current.table, err);
        if (rc == 0)
            rc = schema_topic_of(schema, known, err);
        if (rc == 0)
            rc = find_shape(schema, known, known->current.table, version, err);
        if (rc == 0)
            compare_keys(schema, known, version);
    }
    if (rc == 0 && known->captured && known->current.shape->key_count == 0) {
        rc = no_key(schema, known, err);
        known->captured = false;
    }
    if (rc == 0 && known->captured)
        rc = tr_encoder_new(&known->current.encoder, known->current.table, known->current.shape,
                            err);
    if (rc != 0) {
        schema_table_drop(known);
        return rc;
    }
    known->current.topic_index = topic_index;
    known->current.looked_at = true;
    known->raw.data = tr_arena_copy(&known->arena, raw.data, raw.length);
    known->raw.length = raw.length;
    known->stale = false;
    return known->raw.data == NULL ? tr_error_set(err, TR_ENOMEM, "no memory for a table") : 0;
}
