/*
 * table.c - a table per source table: its name, its columns, its statements.
 *
 * Columns are only ever added; one that the source dropped stays, and turns null. When a column's
 * class changes (a number becomes a text) the table is written anew with the new class, because
 * SQLite would convert values on their way into the old one.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "json_writer.h"
#include "store.h"

static const char *const class_names[] = {"INTEGER", "REAL", "TEXT", "TEXT", "BLOB"};

enum sq_class sq_class_of(const struct tr_shape_column *column)
{
    if (column->refine == TR_REFINE_JSON)
        return SQ_JSON;
    if (column->refine != TR_REFINE_NONE)
        return SQ_TEXT;
    switch (column->type) {
    case TR_SQL_TINYINT:
    case TR_SQL_SMALLINT:
    case TR_SQL_MEDIUMINT:
    case TR_SQL_INT:
    case TR_SQL_YEAR:
        return SQ_INTEGER;
    case TR_SQL_BIGINT:
        return column->is_unsigned ? SQ_TEXT : SQ_INTEGER;
    case TR_SQL_BIT:
        return column->length > 63 ? SQ_TEXT : SQ_INTEGER;
    case TR_SQL_FLOAT:
    case TR_SQL_DOUBLE:
        return SQ_REAL;
    case TR_SQL_BINARY:
    case TR_SQL_VARBINARY:
    case TR_SQL_BLOB:
        return SQ_BLOB;
    case TR_SQL_SET:
        return SQ_JSON;
    default:
        return SQ_TEXT;
    }
}

/* ---- names ----------------------------------------------------------------------------------- */

static const char *rule_text(const struct tr_node *rule)
{
    if (rule->type == TR_NODE_MAP)
        return tr_node_text(rule, "table", "");
    return rule->type == TR_NODE_SCALAR && rule->text != NULL ? rule->text : "";
}

/* The one database that the rules name literally; NULL when they name several or use wildcards.
 * *several tells which of the two. */
static char *database_of_rules(const struct tr_node *rules, bool *several)
{
    char *only = NULL;
    *several = false;
    for (const struct tr_node *at = rules != NULL ? rules->child : NULL; at != NULL;
         at = at->next) {
        const char *text = rules->type == TR_NODE_MAP ? at->key : rule_text(at);
        const char *dot = strchr(text, '.');
        if (text[0] == '!')
            continue;
        if (dot == NULL || strpbrk(text, "`/") != NULL || memchr(text, '*', (size_t)(dot - text)))
            break;
        size_t length = (size_t)(dot - text);
        *several = only != NULL && (strlen(only) != length || memcmp(only, text, length) != 0);
        if (*several)
            break;
        if (only == NULL)
            only = strndup(text, length);
    }
    if (*several) {
        free(only);
        only = NULL;
    }
    return only;
}

/* Whose tables have no prefix: decided once per file, when the first table is made. */
static int decide_plain_database(struct tr_sink *sink, struct tr_error *err)
{
    if (sink->plain_database != NULL)
        return 0;
    int found = sq_state_get(sink, TR_SLICE("plain_database"), &sink->sql, err);
    if (found < 0)
        return found;
    if (found == 1) {
        sink->plain_database =
            strndup(sink->sql.data != NULL ? sink->sql.data : "", sink->sql.length);
    } else {
        bool several;
        sink->plain_database = database_of_rules(sink->settings->common.tables, &several);
        const struct sq_table *first = sink->tables;
        bool alone = !several && first != NULL;
        for (const struct sq_table *at = first; alone && at != NULL; at = at->next)
            alone = tr_slice_equal(at->source->database, first->source->database);
        if (sink->plain_database == NULL)
            sink->plain_database =
                alone ? strndup(first->source->database.data, first->source->database.length)
                      : strdup("");
    }
    if (sink->plain_database == NULL)
        return tr_error_set(err, TR_ENOMEM, "sqlite: no memory for a name");
    return sq_state_put(sink, TR_SLICE("plain_database"), tr_slice_of(sink->plain_database), err);
}

static int table_name(struct tr_sink *sink, struct sq_table *table, struct tr_error *err)
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
    if (strncasecmp(table->name, "sqlite_", 7) == 0 ||
        strncasecmp(table->name, "_tailrace_", 10) == 0)
        return tr_error_set(
            err, TR_ECONFIG,
            "sqlite: a table cannot be called %s there; leave it out under sqlite.tables",
            table->name);
    for (const struct sq_table *at = sink->tables; at != NULL; at = at->next) {
        if (at != table && at->name != NULL && strcasecmp(at->name, table->name) == 0)
            return tr_error_set(err, TR_ECONFIG,
                                "sqlite: %.*s.%.*s and %.*s.%.*s would both be table %s; leave one "
                                "out under sqlite.tables",
                                (int)database.length, database.data, (int)name.length, name.data,
                                (int)at->source->database.length, at->source->database.data,
                                (int)at->source->table.length, at->source->table.data, table->name);
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
    if (source->user != NULL)
        return 0;
    struct sq_table *table = calloc(1, sizeof(*table));
    if (table == NULL)
        return tr_error_set(err, TR_ENOMEM, "sqlite: no memory for a table");
    table->source = source;
    table->next = sink->tables;
    sink->tables = table;
    source->user = table;
    return 0;
}

/* ---- what the file has ------------------------------------------------------------------------
 */

static void columns_free(struct sq_table *table)
{
    for (size_t i = 0; i < table->column_count; i++)
        free(table->columns[i].name);
    free(table->columns);
    table->columns = NULL;
    table->column_count = 0;
}

static void statements_free(struct sq_table *table)
{
    sqlite3_stmt **stmts[] = {&table->upsert, &table->remove, &table->exists_row};
    for (size_t i = 0; i < 3; i++) {
        sqlite3_finalize(*stmts[i]);
        *stmts[i] = NULL;
    }
    table->shape = NULL;
}

void sq_table_forget_all(struct tr_sink *sink)
{
    for (struct sq_table *table = sink->tables; table != NULL; table = table->next) {
        statements_free(table);
        table->looked = false;
    }
    free(sink->plain_database);
    sink->plain_database = NULL;
}

void sq_table_free_all(struct tr_sink *sink)
{
    while (sink->tables != NULL) {
        struct sq_table *table = sink->tables;
        sink->tables = table->next;
        statements_free(table);
        columns_free(table);
        free(table->name);
        free(table->params);
        free(table->key_classes);
        table->source->user = NULL;
        free(table);
    }
    free(sink->plain_database);
    sink->plain_database = NULL;
}

static int column_add(struct sq_table *table, const char *name, enum sq_class cls,
                      struct tr_error *err)
{
    size_t count = table->column_count;
    struct sq_column *grown = realloc(table->columns, (count + 1) * sizeof(*grown));
    char *copy = strdup(name);
    if (grown != NULL)
        table->columns = grown;
    if (grown == NULL || copy == NULL) {
        free(copy);
        return tr_error_set(err, TR_ENOMEM, "sqlite: no memory for a column");
    }
    table->columns[count] = (struct sq_column){.name = copy, .cls = cls};
    table->column_count++;
    return 0;
}

static enum sq_class declared_class(const char *type)
{
    for (int cls = SQ_INTEGER; cls <= SQ_BLOB; cls++) {
        if (strcmp(type, class_names[cls]) == 0)
            return (enum sq_class)cls;
    }
    return SQ_TEXT;
}

static int read_columns(struct tr_sink *sink, struct sq_table *table, struct tr_error *err)
{
    sqlite3_stmt *stmt = NULL;
    columns_free(table);
    table->exists = false;
    int code = sq_prepare(sink, &stmt, "SELECT name, type FROM pragma_table_info(?1)", err);
    if (code != 0)
        return code;
    sq_bind_slice(stmt, 1, tr_slice_of(table->name));
    int step = sqlite3_step(stmt);
    for (; code == 0 && step == SQLITE_ROW; step = sqlite3_step(stmt)) {
        const char *name = (const char *)sqlite3_column_text(stmt, 0);
        table->exists = true;
        if (strcmp(name, "_version") != 0)
            code = column_add(table, name,
                              declared_class((const char *)sqlite3_column_text(stmt, 1)), err);
    }
    if (code == 0 && step != SQLITE_DONE)
        code = sq_error(sink, "read a table's columns", err);
    sqlite3_finalize(stmt);
    return code;
}

static int read_tombstone_flag(struct tr_sink *sink, struct sq_table *table, struct tr_error *err)
{
    sqlite3_stmt *stmt = NULL;
    int code =
        sq_prepare(sink, &stmt, "SELECT 1 FROM _tailrace_deleted WHERE tbl = ?1 LIMIT 1", err);
    if (code != 0)
        return code;
    sq_bind_slice(stmt, 1, tr_slice_of(table->name));
    table->has_tombstones = sqlite3_step(stmt) == SQLITE_ROW;
    sqlite3_finalize(stmt);
    return 0;
}

static void shape_setting(struct sq_table *table, char out[512])
{
    snprintf(out, 512, "schema/%s", table->name);
}

int sq_table_look(struct tr_sink *sink, struct sq_table *table, struct tr_error *err)
{
    char setting[512];
    if (table->looked)
        return 0;
    int code = decide_plain_database(sink, err);
    if (code == 0 && table->name == NULL)
        code = table_name(sink, table, err);
    if (code == 0)
        code = read_columns(sink, table, err);
    if (code == 0)
        code = read_tombstone_flag(sink, table, err);
    if (code != 0)
        return code;
    shape_setting(table, setting);
    int found = sq_state_get(sink, tr_slice_of(setting), &sink->sql, err);
    if (found < 0)
        return found;
    tr_buf_append_char(&sink->sql, '\0');
    table->newest_schema_id = found == 1 && !sink->sql.failed ? atoll(sink->sql.data) : 0;
    table->looked = true;
    return 0;
}

/* ---- making and changing ------------------------------------------------------------------------
 */

static void append_shape_name(struct tr_sink *sink, struct tr_slice name)
{
    tr_buf_append_char(&sink->sql, '"');
    for (size_t i = 0; i < name.length; i++) {
        if (name.data[i] == '"')
            tr_buf_append_char(&sink->sql, '"');
        tr_buf_append_char(&sink->sql, name.data[i]);
    }
    tr_buf_append_char(&sink->sql, '"');
}

static int run_sql(struct tr_sink *sink, struct tr_error *err)
{
    tr_buf_append_char(&sink->sql, '\0');
    int code = tr_buf_check(&sink->sql, "a statement", err);
    return code != 0 ? code : sq_exec(sink, sink->sql.data, err);
}

/* A table whose key can't be null is clustered by it: no second tree, and sorted batches run
 * through neighbouring pages. A single integer key is the rowid itself. */
static int create_table(struct tr_sink *sink, const char *name, const struct tr_shape *shape,
                        struct tr_error *err)
{
    bool clustered =
        !(shape->key_count == 1 && sq_class_of(&shape->columns[shape->key[0]]) == SQ_INTEGER);
    tr_buf_reset(&sink->sql);
    tr_buf_printf(&sink->sql, "CREATE TABLE ");
    sq_append_name(&sink->sql, name);
    for (uint32_t i = 0; i < shape->column_count; i++) {
        tr_buf_append_char(&sink->sql, i == 0 ? '(' : ',');
        append_shape_name(sink, shape->columns[i].name);
        tr_buf_printf(&sink->sql, " %s", class_names[sq_class_of(&shape->columns[i])]);
        if (shape->columns[i].key && shape->columns[i].nullable)
            clustered = false;
    }
    tr_buf_printf(&sink->sql, ", _version INTEGER, PRIMARY KEY");
    for (uint32_t i = 0; i < shape->key_count; i++) {
        tr_buf_append_char(&sink->sql, i == 0 ? '(' : ',');
        append_shape_name(sink, shape->columns[shape->key[i]].name);
    }
    tr_buf_printf(&sink->sql, "))%s", clustered ? " WITHOUT ROWID" : "");
    return run_sql(sink, err);
}

static struct sq_column *find_column(struct sq_table *table, struct tr_slice name)
{
    for (size_t i = 0; i < table->column_count; i++) {
        if (strlen(table->columns[i].name) == name.length &&
            strncasecmp(table->columns[i].name, name.data, name.length) == 0)
            return &table->columns[i];
    }
    return NULL;
}

static bool class_differs(enum sq_class declared, enum sq_class wanted)
{
    return strcmp(class_names[declared], class_names[wanted]) != 0;
}

static int add_missing(struct tr_sink *sink, struct sq_table *table, const struct tr_shape *shape,
                       bool *rewrite, struct tr_error *err)
{
    int code = 0;
    for (uint32_t i = 0; code == 0 && i < shape->column_count; i++) {
        const struct tr_shape_column *wanted = &shape->columns[i];
        const struct sq_column *have = find_column(table, wanted->name);
        if (have != NULL) {
            *rewrite |= class_differs(have->cls, sq_class_of(wanted));
            continue;
        }
        tr_buf_reset(&sink->sql);
        tr_buf_printf(&sink->sql, "ALTER TABLE ");
        sq_append_name(&sink->sql, table->name);
        tr_buf_printf(&sink->sql, " ADD COLUMN ");
        append_shape_name(sink, wanted->name);
        tr_buf_printf(&sink->sql, " %s", class_names[sq_class_of(wanted)]);
        code = run_sql(sink, err);
    }
    return code;
}

/* Columns that the source has no longer turn null. */
static int null_dropped(struct tr_sink *sink, struct sq_table *table, const struct tr_shape *shape,
                        struct tr_error *err)
{
    int code = 0;
    for (size_t i = 0; code == 0 && i < table->column_count; i++) {
        struct tr_slice name = tr_slice_of(table->columns[i].name);
        bool there = false;
        for (uint32_t j = 0; !there && j < shape->column_count; j++)
            there = shape->columns[j].name.length == name.length &&
                    strncasecmp(shape->columns[j].name.data, name.data, name.length) == 0;
        if (there)
            continue;
        tr_buf_reset(&sink->sql);
        tr_buf_printf(&sink->sql, "UPDATE ");
        sq_append_name(&sink->sql, table->name);
        tr_buf_printf(&sink->sql, " SET ");
        sq_append_name(&sink->sql, table->columns[i].name);
        tr_buf_printf(&sink->sql, " = NULL WHERE _version < %" PRId64, shape->schema_id);
        code = run_sql(sink, err);
    }
    return code;
}

/* The same rows under the new classes; columns that are gone from the shape go with the old table.
 */
static int rewrite_table(struct tr_sink *sink, struct sq_table *table, const struct tr_shape *shape,
                         struct tr_error *err)
{
    char *fresh = NULL;
    if (asprintf(&fresh, "_tailrace_new_%s", table->name) < 0)
        return tr_error_set(err, TR_ENOMEM, "sqlite: no memory for a name");
    int code = create_table(sink, fresh, shape, err);
    tr_buf_reset(&sink->sql);
    tr_buf_printf(&sink->sql, "INSERT INTO ");
    sq_append_name(&sink->sql, fresh);
    for (int pass = 0; pass < 2; pass++) {
        tr_buf_printf(&sink->sql, pass == 0 ? "(" : " SELECT ");
        for (uint32_t i = 0; i < shape->column_count; i++) {
            append_shape_name(sink, shape->columns[i].name);
            tr_buf_append_char(&sink->sql, ',');
        }
        tr_buf_printf(&sink->sql, pass == 0 ? "_version)" : "_version FROM ");
    }
    sq_append_name(&sink->sql, table->name);
    tr_buf_printf(&sink->sql, "; DROP TABLE ");
    sq_append_name(&sink->sql, table->name);
    tr_buf_printf(&sink->sql, "; ALTER TABLE ");
    sq_append_name(&sink->sql, fresh);
    tr_buf_printf(&sink->sql, " RENAME TO ");
    sq_append_name(&sink->sql, table->name);
    if (code == 0)
        code = run_sql(sink, err);
    free(fresh);
    return code;
}

static int remember_shape(struct tr_sink *sink, struct sq_table *table, int64_t schema_id,
                          struct tr_error *err)
{
    char setting[512], text[24];
    shape_setting(table, setting);
    snprintf(text, sizeof(text), "%" PRId64, schema_id);
    table->newest_schema_id = schema_id;
    return sq_state_put(sink, tr_slice_of(setting), tr_slice_of(text), err);
}

static int adapt_table(struct tr_sink *sink, struct sq_table *table, const struct tr_shape *shape,
                       struct tr_error *err)
{
    bool newer = shape->schema_id > table->newest_schema_id, rewrite = false;
    int code = 0;
    if (!table->exists)
        code = create_table(sink, table->name, shape, err);
    else
        code = add_missing(sink, table, shape, &rewrite, err);
    if (code == 0)
        code = read_columns(sink, table, err);
    if (code == 0 && newer && rewrite) {
        code = rewrite_table(sink, table, shape, err);
        if (code == 0)
            code = read_columns(sink, table, err);
    }
    if (code == 0 && newer)
        code = null_dropped(sink, table, shape, err);
    if (code == 0 && newer)
        code = remember_shape(sink, table, shape->schema_id, err);
    return code;
}

/* ---- statements
 * ----------------------------------------------------------------------------------- */

static void append_key_match(struct tr_sink *sink, const struct tr_shape *shape)
{
    for (uint32_t i = 0; i < shape->key_count; i++) {
        tr_buf_printf(&sink->sql, i == 0 ? " WHERE " : " AND ");
        append_shape_name(sink, shape->columns[shape->key[i]].name);
        tr_buf_printf(&sink->sql, " IS ?%u", i + 1);
    }
}

static int prepare_built(struct tr_sink *sink, sqlite3_stmt **stmt, struct tr_error *err)
{
    tr_buf_append_char(&sink->sql, '\0');
    int code = tr_buf_check(&sink->sql, "a statement", err);
    return code != 0 ? code : sq_prepare(sink, stmt, sink->sql.data, err);
}

static int prepare_upsert(struct tr_sink *sink, struct sq_table *table,
                          const struct tr_shape *shape, struct tr_error *err)
{
    tr_buf_reset(&sink->sql);
    tr_buf_printf(&sink->sql, "INSERT INTO ");
    sq_append_name(&sink->sql, table->name);
    tr_buf_printf(&sink->sql, " AS old(_version");
    for (size_t i = 0; i < table->column_count; i++) {
        tr_buf_append_char(&sink->sql, ',');
        sq_append_name(&sink->sql, table->columns[i].name);
    }
    tr_buf_printf(&sink->sql, ") VALUES(?1");
    for (size_t i = 0; i < table->column_count; i++)
        tr_buf_printf(&sink->sql, ",?%zu", i + 2);
    tr_buf_printf(&sink->sql, ") ON CONFLICT");
    for (uint32_t i = 0; i < shape->key_count; i++) {
        tr_buf_append_char(&sink->sql, i == 0 ? '(' : ',');
        append_shape_name(sink, shape->columns[shape->key[i]].name);
    }
    tr_buf_printf(&sink->sql, ") DO UPDATE SET _version = excluded._version");
    for (size_t i = 0; i < table->column_count; i++) {
        tr_buf_append_char(&sink->sql, ',');
        sq_append_name(&sink->sql, table->columns[i].name);
        tr_buf_printf(&sink->sql, " = excluded.");
        sq_append_name(&sink->sql, table->columns[i].name);
    }
    tr_buf_printf(&sink->sql, " WHERE excluded._version >= old._version");
    return prepare_built(sink, &table->upsert, err);
}

static int prepare_statements(struct tr_sink *sink, struct sq_table *table,
                              const struct tr_shape *shape, struct tr_error *err)
{
    int code = prepare_upsert(sink, table, shape, err);
    tr_buf_reset(&sink->sql);
    tr_buf_printf(&sink->sql, "DELETE FROM ");
    sq_append_name(&sink->sql, table->name);
    append_key_match(sink, shape);
    tr_buf_printf(&sink->sql, " AND _version <= ?%u", shape->key_count + 1);
    if (code == 0)
        code = prepare_built(sink, &table->remove, err);
    tr_buf_reset(&sink->sql);
    tr_buf_printf(&sink->sql, "SELECT 1 FROM ");
    sq_append_name(&sink->sql, table->name);
    append_key_match(sink, shape);
    if (code == 0)
        code = prepare_built(sink, &table->exists_row, err);
    return code;
}

/* Which statement parameter each column of the shape is. */
static int map_params(struct sq_table *table, const struct tr_shape *shape, struct tr_error *err)
{
    if (table->param_capacity < shape->column_count) {
        int *params = realloc(table->params, shape->column_count * sizeof(*params));
        if (params == NULL)
            return tr_error_set(err, TR_ENOMEM, "sqlite: no memory for a table");
        table->params = params;
        table->param_capacity = shape->column_count;
    }
    for (uint32_t i = 0; i < shape->column_count; i++) {
        const struct sq_column *column = find_column(table, shape->columns[i].name);
        table->params[i] = (int)(column - table->columns) + 2;
    }
    enum sq_class *classes = realloc(table->key_classes, shape->key_count * sizeof(*classes));
    if (classes == NULL)
        return tr_error_set(err, TR_ENOMEM, "sqlite: no memory for a table");
    for (uint32_t i = 0; i < shape->key_count; i++)
        classes[i] = sq_class_of(&shape->columns[shape->key[i]]);
    table->key_classes = classes;
    table->key_count = shape->key_count;
    return 0;
}

static int check_names(const struct tr_shape *shape, struct tr_error *err)
{
    for (uint32_t i = 0; i < shape->column_count; i++) {
        if (tr_slice_equal(shape->columns[i].name, TR_SLICE("_version")))
            return tr_error_set(
                err, TR_ECONFIG,
                "sqlite: %.*s has a column _version, which the read model needs for "
                "itself; leave the table out under sqlite.tables",
                (int)shape->table.length, shape->table.data);
    }
    return 0;
}

/* Rows of an older shape, or of one that changed nothing here, need no change of the table. */
static bool fits(struct sq_table *table, const struct tr_shape *shape)
{
    if (table->upsert == NULL || shape->schema_id > table->newest_schema_id)
        return false;
    for (uint32_t i = 0; i < shape->column_count; i++) {
        if (find_column(table, shape->columns[i].name) == NULL)
            return false;
    }
    return true;
}

int sq_table_ensure(struct tr_sink *sink, struct sq_table *table, const struct tr_shape *shape,
                    struct tr_error *err)
{
    if (table->shape == shape)
        return 0;
    int code = sq_table_look(sink, table, err);
    if (code == 0 && !fits(table, shape)) {
        statements_free(table);
        code = check_names(shape, err);
        if (code == 0)
            code = adapt_table(sink, table, shape, err);
        if (code == 0)
            code = prepare_statements(sink, table, shape, err);
    }
    if (code == 0)
        code = map_params(table, shape, err);
    if (code == 0)
        table->shape = shape;
    return code != 0
               ? tr_error_frame(err, "table %.*s", (int)shape->table.length, shape->table.data)
               : 0;
}

int sq_table_sweep(struct tr_sink *sink, struct sq_table *table, int64_t version,
                   struct tr_error *err)
{
    sqlite3_stmt *stmt = NULL;
    tr_buf_reset(&sink->sql);
    tr_buf_printf(&sink->sql, "DELETE FROM ");
    sq_append_name(&sink->sql, table->name);
    tr_buf_printf(&sink->sql, " WHERE _version < %" PRId64, version);
    int code = run_sql(sink, err);
    if (code == 0)
        code = sq_prepare(sink, &stmt,
                          "DELETE FROM _tailrace_deleted WHERE tbl = ?1 AND version < ?2", err);
    if (code != 0)
        return code;
    sq_bind_slice(stmt, 1, tr_slice_of(table->name));
    sqlite3_bind_int64(stmt, 2, version);
    code = sq_run(sink, stmt, "sweep tombstones", err);
    sqlite3_finalize(stmt);
    return code;
}
