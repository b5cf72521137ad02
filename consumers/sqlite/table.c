/* table.c - what the file has of a table, and the statements that write it; see store.h. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "json_scan.h"
#include "store.h"

const char *const sq_class_names[] = {"INTEGER", "REAL", "TEXT", "TEXT", "BLOB"};

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

/* ---- life ------------------------------------------------------------------------------------ */

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
    for (struct sq_table *at = atomic_load(&sink->tables); at != NULL; at = at->next) {
        statements_free(at);
        at->looked = false;
    }
    sq_names_forget(sink);
}

/* The source's tables may be gone already: they are not touched. */
void sq_table_free_all(struct tr_sink *sink)
{
    struct sq_table *next = NULL;
    for (struct sq_table *at = atomic_exchange(&sink->tables, NULL); at != NULL; at = next) {
        next = at->next;
        statements_free(at);
        columns_free(at);
        free(at->name);
        free(at->params);
        free(at);
    }
}

/* ---- what the file has ----------------------------------------------------------------------- */

/* A key of one integer that can't be null is declared INTEGER, which makes it the rowid; one that
 * can is declared INT: SQLite would give a row without rowid one of its own making. */
static enum sq_class declared_class(const char *type)
{
    if (strcmp(type, "INT") == 0)
        return SQ_INTEGER;
    for (int cls = SQ_INTEGER; cls <= SQ_BLOB; cls++) {
        if (strcmp(type, sq_class_names[cls]) == 0)
            return (enum sq_class)cls;
    }
    return SQ_TEXT;
}

/* From a row of name, type, notnull, pk. */
static int column_add(struct sq_table *table, sqlite3_stmt *row, struct tr_error *err)
{
    size_t count = table->column_count;
    const char *name = (const char *)sqlite3_column_text(row, 0);
    const char *type = (const char *)sqlite3_column_text(row, 1);
    struct sq_column *grown = realloc(table->columns, (count + 1) * sizeof(*grown));
    if (grown != NULL)
        table->columns = grown;
    char *copy = name != NULL && type != NULL ? strdup(name) : NULL;
    if (grown == NULL || copy == NULL) {
        free(copy);
        return tr_error_set(err, TR_ENOMEM, "sqlite: no memory for a column");
    }
    table->columns[count] = (struct sq_column){
        .name = copy, .cls = declared_class(type), .key = sqlite3_column_int(row, 3)};
    table->column_count++;
    if (table->columns[count].key == 0)
        return 0;
    table->key_count++;
    table->null_keys |= sqlite3_column_int(row, 2) == 0 && strcmp(type, "INTEGER") != 0;
    return 0;
}

static int read_columns(struct sq_table *table, sqlite3_stmt *stmt, int *step, struct tr_error *err)
{
    int code = 0;
    for (; code == 0 && (*step = sqlite3_step(stmt)) == SQLITE_ROW;) {
        const char *name = (const char *)sqlite3_column_text(stmt, 0);
        table->exists = true;
        if (name == NULL || strcmp(name, "_version") != 0)
            code = column_add(table, stmt, err);
    }
    return code;
}

int sq_table_columns(struct tr_sink *sink, struct sq_table *table, struct tr_error *err)
{
    sqlite3_stmt *stmt = NULL;
    int step = SQLITE_DONE;
    columns_free(table);
    table->exists = table->null_keys = false;
    table->key_count = 0;
    int code = sq_prepare(sink, &stmt,
                          "SELECT name, type, \"notnull\", pk FROM pragma_table_info(?1)", err);
    if (code != 0)
        return code;
    sq_bind_slice(stmt, 1, tr_slice_of(table->name));
    code = read_columns(table, stmt, &step, err);
    if (code == 0 && step != SQLITE_DONE)
        code = sq_error(sink, "read a table's columns", err);
    sqlite3_finalize(stmt);
    return code;
}

struct sq_column *sq_table_column(const struct sq_table *table, struct tr_slice name, size_t likely)
{
    for (size_t i = 0; i <= table->column_count; i++) {
        size_t at = i == 0 ? likely : i - 1;
        if (at < table->column_count && strlen(table->columns[at].name) == name.length &&
            strncasecmp(table->columns[at].name, name.data, name.length) == 0)
            return &table->columns[at];
    }
    return NULL;
}

const struct sq_column *sq_table_key(const struct sq_table *table, int place)
{
    for (size_t i = 0; i < table->column_count; i++) {
        if (table->columns[i].key == place)
            return &table->columns[i];
    }
    return NULL;
}

static int read_tombstone_flag(struct tr_sink *sink, struct sq_table *table, struct tr_error *err)
{
    sqlite3_stmt *stmt = NULL;
    int code =
        sq_prepare(sink, &stmt, "SELECT 1 FROM _tailrace_deleted WHERE tbl = ?1 LIMIT 1", err);
    if (code != 0)
        return code;
    sq_bind_slice(stmt, 1, tr_slice_of(table->name));
    int step = sqlite3_step(stmt);
    table->has_tombstones = step == SQLITE_ROW;
    if (step != SQLITE_ROW && step != SQLITE_DONE)
        code = sq_error(sink, "read _tailrace_deleted", err);
    sqlite3_finalize(stmt);
    return code;
}

/* `<schema_id> ["a dropped column",…]`, as sq_table_change wrote it. */
static int read_newest(struct tr_sink *sink, struct sq_table *table, struct tr_error *err)
{
    struct tr_json_cursor cursor;
    struct tr_json_value ignored, name;
    char setting[512];
    snprintf(setting, sizeof(setting), "schema/%s", table->name);
    int found = sq_state_get(sink, tr_slice_of(setting), &sink->sql, err);
    table->newest_schema_id = 0;
    if (found < 1 || !table->exists)
        return found < 0 ? found : 0;
    tr_buf_append_char(&sink->sql, '\0');
    int code = tr_buf_check(&sink->sql, "a table's state", err);
    if (code != 0)
        return code;
    table->newest_schema_id = atoll(sink->sql.data);
    const char *list = strchr(sink->sql.data, ' ');
    if (list == NULL)
        return 0;
    code = tr_json_open(&cursor, tr_slice_of(list + 1), err);
    while (code == 0 && (code = tr_json_next(&cursor, &ignored, &name, err)) == 1) {
        for (size_t i = 0; i < table->column_count; i++)
            table->columns[i].dropped |= tr_json_equal(&name, tr_slice_of(table->columns[i].name));
        code = 0;
    }
    return code;
}

int sq_table_look(struct tr_sink *sink, struct sq_table *table, struct tr_error *err)
{
    if (table->looked)
        return 0;
    int code = sq_table_name(sink, table, err);
    if (code == 0)
        code = sq_table_columns(sink, table, err);
    if (code == 0)
        code = read_tombstone_flag(sink, table, err);
    if (code == 0)
        code = read_newest(sink, table, err);
    table->looked = code == 0;
    return code;
}

/* ---- statements ------------------------------------------------------------------------------ */

static void append_key_match(struct tr_sink *sink, const struct sq_table *table)
{
    for (size_t i = 1; i <= table->key_count; i++) {
        tr_buf_printf(&sink->sql, i == 1 ? " WHERE " : " AND ");
        sq_append_name(&sink->sql, sq_table_key(table, (int)i)->name);
        tr_buf_printf(&sink->sql, " IS ?%zu", i);
    }
}

static int prepare_upsert(struct tr_sink *sink, struct sq_table *table, struct tr_error *err)
{
    struct tr_buf *sql = &sink->sql;
    tr_buf_reset(sql);
    tr_buf_printf(sql, "INSERT INTO ");
    sq_append_name(sql, table->name);
    tr_buf_printf(sql, " AS old(_version");
    for (size_t i = 0; i < table->column_count; i++) {
        tr_buf_append_char(sql, ',');
        sq_append_name(sql, table->columns[i].name);
    }
    tr_buf_printf(sql, ") VALUES(?1");
    for (size_t i = 0; i < table->column_count; i++)
        tr_buf_printf(sql, ",?%zu", i + 2);
    tr_buf_printf(sql, ") ON CONFLICT");
    for (size_t i = 1; i <= table->key_count; i++) {
        tr_buf_append_char(sql, i == 1 ? '(' : ',');
        sq_append_name(sql, sq_table_key(table, (int)i)->name);
    }
    tr_buf_printf(sql, ") DO UPDATE SET _version = excluded._version");
    for (size_t i = 0; i < table->column_count; i++) {
        if (table->columns[i].key != 0)
            continue;
        tr_buf_append_char(sql, ',');
        sq_append_name(sql, table->columns[i].name);
        tr_buf_printf(sql, " = excluded.");
        sq_append_name(sql, table->columns[i].name);
    }
    tr_buf_printf(sql, " WHERE excluded._version >= old._version");
    return sq_prepare_built(sink, &table->upsert, err);
}

static int prepare_statements(struct tr_sink *sink, struct sq_table *table, struct tr_error *err)
{
    int code = prepare_upsert(sink, table, err);
    tr_buf_reset(&sink->sql);
    tr_buf_printf(&sink->sql, "DELETE FROM ");
    sq_append_name(&sink->sql, table->name);
    append_key_match(sink, table);
    tr_buf_printf(&sink->sql, " AND _version <= ?%zu", table->key_count + 1);
    if (code == 0)
        code = sq_prepare_built(sink, &table->remove, err);
    tr_buf_reset(&sink->sql);
    tr_buf_printf(&sink->sql, "SELECT 1 FROM ");
    sq_append_name(&sink->sql, table->name);
    append_key_match(sink, table);
    if (code == 0)
        code = sq_prepare_built(sink, &table->exists_row, err);
    return code;
}

/* Which statement parameter each column of the shape is. */
static int map_params(struct sq_table *table, const struct tr_shape *shape, struct tr_error *err)
{
    if (table->param_capacity < shape->column_count) {
        struct sq_param *params = realloc(table->params, shape->column_count * sizeof(*params));
        if (params == NULL)
            return tr_error_set(err, TR_ENOMEM, "sqlite: no memory for a table");
        table->params = params;
        table->param_capacity = shape->column_count;
    }
    for (uint32_t i = 0; i < shape->column_count; i++) {
        const struct tr_shape_column *from = &shape->columns[i];
        const struct sq_column *to = sq_table_column(table, from->name, i);
        bool nowhere = to == NULL || to->dropped;
        table->params[i] = (struct sq_param){.number = nowhere ? 0 : (int)(to - table->columns) + 2,
                                             .cls = sq_class_of(from)};
    }
    table->other_key = !sq_like_key(table, shape);
    for (uint32_t i = 0; !table->other_key && i < shape->key_count; i++) /* renamed ones too */
        table->params[shape->key[i]].number =
            (int)(sq_table_key(table, (int)i + 1) - table->columns) + 2;
    return 0;
}

/* Records of older shapes fit into what the newest one made: what it has no longer goes nowhere. */
static bool fits(const struct sq_table *table, const struct tr_shape *shape)
{
    return table->exists && shape->schema_id <= table->newest_schema_id;
}

/* Whether the later key is another than the earlier one, but has all its columns, and only such as
 * the earlier shape has too: then what is unique by the earlier one stays so by the later. */
static bool widens(const struct tr_shape *later, const struct tr_shape *earlier)
{
    bool all = true, same = later->key_count == earlier->key_count;
    for (uint32_t i = 0; all && i < earlier->key_count; i++) {
        struct tr_slice name = earlier->columns[earlier->key[i]].name;
        same = same && tr_slice_equal(name, later->columns[later->key[i]].name);
        const struct tr_shape_column *column = tr_shape_find_column(later, name);
        all = column != NULL && column->key;
    }
    for (uint32_t i = 0; all && i < later->key_count; i++)
        all = tr_shape_find_column(earlier, later->columns[later->key[i]].name) != NULL;
    return all && !same;
}

/* A table is made by the newest shape: a replay brings old records first, and by theirs it would be
 * made with a key or columns that are no more. But where the key was widened old records come by
 * their own key, and the table is written anew by the wider one when its first record comes. */
static const struct tr_shape *wanted_shape(const struct sq_table *table,
                                           const struct tr_shape *shape)
{
    const struct tr_shape *newest = atomic_load(&table->source->newest);
    if (table->exists || newest == NULL || newest->schema_id < shape->schema_id ||
        newest->key_count == 0 || widens(newest, shape))
        return shape;
    return newest;
}

static int ensure(struct tr_sink *sink, struct sq_table *table, const struct tr_shape *shape,
                  struct tr_error *err)
{
    int code = sq_table_look(sink, table, err);
    if (code == 0 && !fits(table, shape)) {
        const struct tr_shape *wanted = wanted_shape(table, shape);
        statements_free(table);
        code = sq_columns_check(wanted, err);
        if (code == 0)
            code = sq_table_change(sink, table, wanted, err);
    }
    if (code == 0 && table->upsert == NULL)
        code = prepare_statements(sink, table, err);
    if (code == 0)
        code = map_params(table, shape, err);
    if (code == 0)
        table->shape = shape;
    return code;
}

int sq_table_ensure(struct tr_sink *sink, struct sq_table *table, const struct tr_shape *shape,
                    struct tr_error *err)
{
    if (table->shape == shape)
        return 0;
    if (ensure(sink, table, shape, err) == 0)
        return 0;
    if (err->code == TR_EPOISON) /* it was no record that was refused, and half a change was made */
        err->code = TR_ESTORE;
    return tr_error_frame(err, "table %.*s", (int)shape->table.length, shape->table.data);
}

int sq_table_sweep(struct tr_sink *sink, struct sq_table *table, int64_t version,
                   struct tr_error *err)
{
    sqlite3_stmt *stmt = NULL;
    tr_buf_reset(&sink->sql);
    tr_buf_printf(&sink->sql, "DELETE FROM ");
    sq_append_name(&sink->sql, table->name);
    tr_buf_printf(&sink->sql, " WHERE _version < %" PRId64, version);
    int code = sq_exec_built(sink, err);
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
