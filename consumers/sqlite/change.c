/*
 * change.c - makes a table of the file fit a newer shape of its source.
 *
 * Columns are added. One that the source dropped stays and is null in every row, of older shapes
 * too: which ones are is kept in _tailrace_store with the newest shape's number. When a column's
 * class changes (a number becomes a text), or the key does, the table is written anew, because
 * SQLite would convert values on their way into the old one, and can't change a key. What people
 * added to the table, indexes and triggers, is made again. A key column that was renamed is renamed
 * here too. No row is ever left out on the way: a change that would need it stops.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "json_writer.h"
#include "log.h"
#include "store.h"

#define KEPT_BYTES_MAX ((size_t)1 << 20)

/* ---- comparing ------------------------------------------------------------------------------- */

static bool is_named(const struct sq_column *column, struct tr_slice name)
{
    return strlen(column->name) == name.length &&
           strncasecmp(column->name, name.data, name.length) == 0;
}

static bool same_key(const struct sq_table *table, const struct tr_shape *shape)
{
    bool same = table->key_count == shape->key_count;
    for (uint32_t i = 0; same && i < shape->key_count; i++)
        same = is_named(sq_table_key(table, (int)i + 1), shape->columns[shape->key[i]].name);
    return same;
}

static bool class_differs(enum sq_class declared, enum sq_class wanted)
{
    return strcmp(sq_class_names[declared], sq_class_names[wanted]) != 0;
}

static bool in_shape(const struct tr_shape *shape, const struct sq_column *column)
{
    for (uint32_t i = 0; i < shape->column_count; i++) {
        if (is_named(column, shape->columns[i].name))
            return true;
    }
    return false;
}

/* The shape's key column at a place is the table's there, or that under another name: then neither
 * has a column by the other's name, and their values are of one class. */
static bool like_key_column(const struct sq_table *table, const struct tr_shape *shape,
                            uint32_t place)
{
    const struct sq_column *mine = sq_table_key(table, (int)place + 1);
    const struct tr_shape_column *theirs = &shape->columns[shape->key[place]];
    if (is_named(mine, theirs->name))
        return true;
    return !in_shape(shape, mine) && sq_table_column(table, theirs->name, 0) == NULL &&
           !class_differs(mine->cls, sq_class_of(theirs));
}

bool sq_like_key(const struct sq_table *table, const struct tr_shape *shape)
{
    bool like = table->key_count == shape->key_count;
    for (uint32_t i = 0; like && i < shape->key_count; i++)
        like = like_key_column(table, shape, i);
    return like;
}

static bool nullable_key(const struct tr_shape *shape)
{
    for (uint32_t i = 0; i < shape->key_count; i++) {
        if (shape->columns[shape->key[i]].nullable)
            return true;
    }
    return false;
}

static bool needs_rewrite(const struct sq_table *table, const struct tr_shape *shape)
{
    if (!same_key(table, shape) || (nullable_key(shape) && !table->null_keys))
        return true;
    for (uint32_t i = 0; i < shape->column_count; i++) {
        const struct sq_column *have = sq_table_column(table, shape->columns[i].name, i);
        if (have != NULL && class_differs(have->cls, sq_class_of(&shape->columns[i])))
            return true;
    }
    return false;
}

/* ---- making ---------------------------------------------------------------------------------- */

/* A table whose key can't be null is clustered by it: no second tree, and sorted batches run
 * through neighbouring pages. A single integer key is the rowid itself; see declared_class. */
static void append_table(struct tr_sink *sink, const char *name, const struct tr_shape *shape,
                         const struct sq_table *old)
{
    struct tr_buf *sql = &sink->sql;
    bool nullable = nullable_key(shape);
    bool rowid = shape->key_count == 1 && sq_class_of(&shape->columns[shape->key[0]]) == SQ_INTEGER;
    tr_buf_printf(sql, "CREATE TABLE ");
    sq_append_name(sql, name);
    for (uint32_t i = 0; i < shape->column_count; i++) {
        enum sq_class cls = sq_class_of(&shape->columns[i]);
        bool plain = cls == SQ_INTEGER && shape->columns[i].key && nullable;
        tr_buf_append_char(sql, i == 0 ? '(' : ',');
        sq_append_slice_name(sql, shape->columns[i].name);
        tr_buf_printf(sql, " %s", plain ? "INT" : sq_class_names[cls]);
    }
    for (size_t i = 0; old != NULL && i < old->column_count; i++) {
        if (in_shape(shape, &old->columns[i]))
            continue;
        tr_buf_append_char(sql, ',');
        sq_append_name(sql, old->columns[i].name);
        tr_buf_printf(sql, " %s", sq_class_names[old->columns[i].cls]);
    }
    tr_buf_printf(sql, ", _version INTEGER, PRIMARY KEY");
    for (uint32_t i = 0; i < shape->key_count; i++) {
        tr_buf_append_char(sql, i == 0 ? '(' : ',');
        sq_append_slice_name(sql, shape->columns[shape->key[i]].name);
    }
    tr_buf_printf(sql, "))%s", nullable || rowid ? "" : " WITHOUT ROWID");
}

static int create_table(struct tr_sink *sink, const struct sq_table *table,
                        const struct tr_shape *shape, struct tr_error *err)
{
    tr_buf_reset(&sink->sql);
    append_table(sink, table->name, shape, NULL);
    return sq_exec_built(sink, err);
}

static int add_missing(struct tr_sink *sink, struct sq_table *table, const struct tr_shape *shape,
                       struct tr_error *err)
{
    int code = 0;
    for (uint32_t i = 0; code == 0 && i < shape->column_count; i++) {
        const struct tr_shape_column *wanted = &shape->columns[i];
        if (sq_table_column(table, wanted->name, i) != NULL)
            continue;
        tr_buf_reset(&sink->sql);
        tr_buf_printf(&sink->sql, "ALTER TABLE ");
        sq_append_name(&sink->sql, table->name);
        tr_buf_printf(&sink->sql, " ADD COLUMN ");
        sq_append_slice_name(&sink->sql, wanted->name);
        tr_buf_printf(&sink->sql, " %s", sq_class_names[sq_class_of(wanted)]);
        code = sq_exec_built(sink, err);
    }
    return code;
}

/* Only called when the keys are alike. */
static int rename_key(struct tr_sink *sink, struct sq_table *table, const struct tr_shape *shape,
                      struct tr_error *err)
{
    int code = 0;
    for (uint32_t i = 0; code == 0 && i < shape->key_count; i++) {
        const struct sq_column *mine = sq_table_key(table, (int)i + 1);
        struct tr_slice wanted = shape->columns[shape->key[i]].name;
        if (is_named(mine, wanted))
            continue;
        tr_buf_reset(&sink->sql);
        tr_buf_printf(&sink->sql, "ALTER TABLE ");
        sq_append_name(&sink->sql, table->name);
        tr_buf_printf(&sink->sql, " RENAME COLUMN ");
        sq_append_name(&sink->sql, mine->name);
        tr_buf_printf(&sink->sql, " TO ");
        sq_append_slice_name(&sink->sql, wanted);
        code = sq_exec_built(sink, err);
    }
    return code == 0 ? sq_table_columns(sink, table, err) : code;
}

/* ---- writing anew ---------------------------------------------------------------------------- */

/* The statements of people's indexes and triggers, each with a NUL behind it. */
static int keep_statements(struct tr_sink *sink, const struct sq_table *table, struct tr_buf *kept,
                           struct tr_error *err)
{
    sqlite3_stmt *stmt = NULL;
    int code = sq_prepare(sink, &stmt,
                          "SELECT sql FROM sqlite_master WHERE tbl_name = ?1 COLLATE NOCASE"
                          " AND type IN ('index', 'trigger') AND sql IS NOT NULL ORDER BY type",
                          err);
    if (code != 0)
        return code;
    sq_bind_slice(stmt, 1, tr_slice_of(table->name));
    while (sqlite3_step(stmt) == SQLITE_ROW) {
        tr_buf_append(kept, sqlite3_column_text(stmt, 0), (size_t)sqlite3_column_bytes(stmt, 0));
        tr_buf_append_char(kept, '\0');
    }
    sqlite3_finalize(stmt);
    return tr_buf_check(kept, "the table's indexes", err);
}

/* One that the new rows or columns don't allow is left out, with a word. */
static int make_again(struct tr_sink *sink, const struct tr_buf *kept, struct tr_error *err)
{
    for (size_t at = 0; at < kept->length; at += strlen(kept->data + at) + 1) {
        struct tr_error own;
        tr_error_reset(&own);
        int code = sq_exec(sink, kept->data + at, &own);
        if (code == TR_ESTORE_RETRY) {
            *err = own;
            return code;
        }
        if (code != 0)
            tr_log_error(TR_LOG_WARN, "sqlite", &own, "the table was written anew without it");
    }
    return 0;
}

static void append_columns(struct tr_sink *sink, const struct sq_table *table)
{
    for (size_t i = 0; i < table->column_count; i++) {
        sq_append_name(&sink->sql, table->columns[i].name);
        tr_buf_append_char(&sink->sql, ',');
    }
    tr_buf_printf(&sink->sql, "_version");
}

/* A rowid would be made up for a key that is null. */
static void append_keys_there(struct tr_sink *sink, const struct tr_shape *shape)
{
    const char *word = " WHERE ";
    for (uint32_t i = 0; i < shape->key_count; i++) {
        if (shape->columns[shape->key[i]].nullable)
            continue;
        tr_buf_printf(&sink->sql, "%s", word);
        sq_append_slice_name(&sink->sql, shape->columns[shape->key[i]].name);
        tr_buf_printf(&sink->sql, " IS NOT NULL");
        word = " AND ";
    }
}

static int fill_fresh(struct tr_sink *sink, const struct sq_table *table, const char *fresh,
                      const struct tr_shape *shape, struct tr_error *err)
{
    struct tr_buf *sql = &sink->sql;
    tr_buf_reset(sql);
    append_table(sink, fresh, shape, table);
    tr_buf_printf(sql, "; INSERT OR IGNORE INTO ");
    sq_append_name(sql, fresh);
    tr_buf_append_char(sql, '(');
    append_columns(sink, table);
    tr_buf_printf(sql, ") SELECT ");
    append_columns(sink, table);
    tr_buf_printf(sql, " FROM ");
    sq_append_name(sql, table->name);
    append_keys_there(sink, shape);
    return sq_exec_built(sink, err);
}

/* A row that has no key, or one that is another's too, was not taken. Nothing could ever change it,
 * but it is somebody's row: the transaction is taken back. */
static int check_all_there(struct tr_sink *sink, const struct sq_table *table, const char *fresh,
                           const struct tr_shape *shape, struct tr_error *err)
{
    sqlite3_stmt *stmt = NULL;
    struct tr_buf *sql = &sink->sql;
    tr_buf_reset(sql);
    tr_buf_printf(sql, "SELECT (SELECT count(*) FROM ");
    sq_append_name(sql, table->name);
    tr_buf_printf(sql, ") - (SELECT count(*) FROM ");
    sq_append_name(sql, fresh);
    tr_buf_append_char(sql, ')');
    int code = sq_prepare_built(sink, &stmt, err);
    if (code != 0)
        return code;
    int64_t left = sqlite3_step(stmt) == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : -1;
    if (left < 0)
        code = sq_error(sink, "count rows", err);
    sqlite3_finalize(stmt);
    if (left <= 0)
        return code;
    return tr_error_set(err, TR_ESTATE,
                        "sqlite: with shape %" PRId64 " table %s has another key, under which "
                        "%" PRId64 " of its rows can't be told apart; nothing was removed; "
                        "`tailrace-sqlite reset --to beginning --drop` makes the table by its "
                        "newest shape and fills it again",
                        shape->schema_id, table->name, left);
}

static int take_place(struct tr_sink *sink, const struct sq_table *table, const char *fresh,
                      struct tr_error *err)
{
    struct tr_buf *sql = &sink->sql;
    tr_buf_reset(sql);
    tr_buf_printf(sql, "DROP TABLE ");
    sq_append_name(sql, table->name);
    tr_buf_printf(sql, "; ALTER TABLE ");
    sq_append_name(sql, fresh);
    tr_buf_printf(sql, " RENAME TO ");
    sq_append_name(sql, table->name);
    return sq_exec_built(sink, err);
}

static int rewrite_table(struct tr_sink *sink, struct sq_table *table, const struct tr_shape *shape,
                         struct tr_error *err)
{
    char *fresh = NULL;
    struct tr_buf kept;
    if (asprintf(&fresh, "_tailrace_new_%s", table->name) < 0)
        return tr_error_set(err, TR_ENOMEM, "sqlite: no memory for a name");
    if (!same_key(table, shape))
        tr_log(TR_LOG_WARN, "sqlite",
               "the table's key has changed: it is written anew; take a new snapshot",
               TR_STR("table", table->name), TR_INT("schema_id", shape->schema_id), TR_END);
    tr_buf_init(&kept, KEPT_BYTES_MAX);
    int code = keep_statements(sink, table, &kept, err);
    if (code == 0)
        code = fill_fresh(sink, table, fresh, shape, err);
    if (code == 0)
        code = check_all_there(sink, table, fresh, shape, err);
    if (code == 0)
        code = take_place(sink, table, fresh, err);
    if (code == 0)
        code = make_again(sink, &kept, err);
    tr_buf_done(&kept);
    free(fresh);
    return code;
}

/* ---- dropped columns, and what is remembered ------------------------------------------------- */

/* Flags what the newest shape has no longer, and nulls it in the rows of older shapes. */
static int drop_columns(struct tr_sink *sink, struct sq_table *table, const struct tr_shape *shape,
                        struct tr_error *err)
{
    int code = 0;
    for (size_t i = 0; code == 0 && i < table->column_count; i++) {
        struct sq_column *column = &table->columns[i];
        column->dropped = !in_shape(shape, column);
        if (!column->dropped)
            continue;
        tr_buf_reset(&sink->sql);
        tr_buf_printf(&sink->sql, "UPDATE ");
        sq_append_name(&sink->sql, table->name);
        tr_buf_printf(&sink->sql, " SET ");
        sq_append_name(&sink->sql, column->name);
        tr_buf_printf(&sink->sql, " = NULL WHERE ");
        sq_append_name(&sink->sql, column->name);
        tr_buf_printf(&sink->sql, " IS NOT NULL AND _version < %" PRId64, shape->schema_id);
        code = sq_exec_built(sink, err);
    }
    return code;
}

/* Read by read_newest of table.c. */
static int remember(struct tr_sink *sink, struct sq_table *table, int64_t schema_id,
                    struct tr_error *err)
{
    char setting[512];
    bool first = true;
    snprintf(setting, sizeof(setting), "schema/%s", table->name);
    tr_buf_reset(&sink->sql);
    tr_buf_printf(&sink->sql, "%" PRId64 " [", schema_id);
    for (size_t i = 0; i < table->column_count; i++) {
        if (!table->columns[i].dropped)
            continue;
        if (!first)
            tr_buf_append_char(&sink->sql, ',');
        first = false;
        tr_json_text(&sink->sql, tr_slice_of(table->columns[i].name));
    }
    tr_buf_append_char(&sink->sql, ']');
    table->newest_schema_id = schema_id;
    int code = tr_buf_check(&sink->sql, "a table's state", err);
    if (code != 0)
        return code;
    return sq_state_put(sink, tr_slice_of(setting),
                        (struct tr_slice){sink->sql.data, sink->sql.length}, err);
}

static int extend_table(struct tr_sink *sink, struct sq_table *table, const struct tr_shape *shape,
                        struct tr_error *err)
{
    int code = 0;
    if (sq_like_key(table, shape) && !same_key(table, shape))
        code = rename_key(sink, table, shape, err);
    if (code == 0)
        code = add_missing(sink, table, shape, err);
    if (code == 0)
        code = sq_table_columns(sink, table, err);
    if (code == 0 && needs_rewrite(table, shape))
        code = rewrite_table(sink, table, shape, err);
    return code;
}

int sq_table_change(struct tr_sink *sink, struct sq_table *table, const struct tr_shape *shape,
                    struct tr_error *err)
{
    int code = table->exists ? extend_table(sink, table, shape, err)
                             : create_table(sink, table, shape, err);
    if (code == 0)
        code = sq_table_columns(sink, table, err);
    if (code == 0)
        code = drop_columns(sink, table, shape, err);
    if (code == 0)
        code = remember(sink, table, shape->schema_id, err);
    return code;
}
