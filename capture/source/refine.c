/*
 * What a table map can't tell, looked up in the catalogue: which BLOB is JSON, which BINARY is a
 * UUID or an address, and which unique key may stand for a missing primary key.
 *
 * The catalogue shows the table as it is now, the map as it was then: nothing is taken from it
 * unless both have the same columns in the same order.
 */
#include <stdio.h>
#include <string.h>

#include "internal.h"

#define COLUMNS_MAX 4096

/* "SELECT <what> FROM information_schema.<view> WHERE <its names>=… ORDER BY <order>" */
static int select_of_table(struct tr_source *source, const char *head, const char *schema_column,
                           const struct tr_binlog_table *table, const char *tail, MYSQL_RES **out,
                           struct tr_error *err)
{
    struct tr_buf sql;
    tr_buf_init(&sql, 16384);
    tr_buf_printf(&sql, "%s WHERE %s=", head, schema_column);
    tr_source_quote(&sql, table->database);
    tr_buf_printf(&sql, " AND table_name=");
    tr_source_quote(&sql, table->table);
    tr_buf_printf(&sql, " %s", tail);
    tr_buf_append_char(&sql, '\0');
    int rc = tr_buf_check(&sql, "statement", err);
    if (rc == 0)
        rc = tr_source_select(source, sql.data, out, err);
    tr_buf_done(&sql);
    return rc;
}

static int column_index(const struct tr_binlog_table *table, const char *name, uint32_t *index)
{
    struct tr_slice wanted = tr_slice_of(name);
    for (uint32_t i = 0; i < table->column_count; i++) {
        if (table->columns[i].hidden || !tr_slice_equal(table->columns[i].shape.name, wanted))
            continue;
        *index = i;
        return 0;
    }
    return -1;
}

static bool same_columns(const struct tr_binlog_table *table, MYSQL_RES *result)
{
    uint32_t i = 0;
    MYSQL_ROW row;
    while ((row = mysql_fetch_row(result)) != NULL) {
        while (i < table->column_count && table->columns[i].hidden)
            i++;
        if (i == table->column_count ||
            !tr_slice_equal(table->columns[i].shape.name, tr_slice_of(row[0])))
            return false;
        i++;
    }
    while (i < table->column_count && table->columns[i].hidden)
        i++;
    return i == table->column_count;
}

static enum tr_refine refine_of(const char *data_type, const struct tr_shape_column *column)
{
    static const struct {
        const char *data_type;
        uint32_t length;
        enum tr_refine refine;
    } known[] = {
        {"uuid", 16, TR_REFINE_UUID},
        {"inet6", 16, TR_REFINE_INET6},
        {"inet4", 4, TR_REFINE_INET4},
    };
    if (column->type != TR_SQL_BINARY)
        return TR_REFINE_NONE;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(data_type, known[i].data_type) == 0 && column->length == known[i].length)
            return known[i].refine;
    return TR_REFINE_NONE;
}

static int refine_columns(struct tr_source *source, struct tr_binlog_table *table, bool *same,
                          struct tr_error *err)
{
    MYSQL_RES *result;
    int rc =
        select_of_table(source, "SELECT column_name, data_type FROM information_schema.columns",
                        "table_schema", table, "ORDER BY ordinal_position", &result, err);
    if (rc != 0)
        return rc;
    *same = same_columns(table, result);
    mysql_data_seek(result, 0);
    MYSQL_ROW row;
    while (*same && (row = mysql_fetch_row(result)) != NULL) {
        uint32_t i;
        if (column_index(table, row[0], &i) == 0)
            table->columns[i].shape.refine = refine_of(row[1], &table->columns[i].shape);
    }
    mysql_free_result(result);
    return 0;
}

/* MariaDB's JSON is a LONGTEXT with the check json_valid(`name`) on the column. */
static void refine_json(struct tr_binlog_table *table, const char *name, const char *clause)
{
    struct tr_buf wanted;
    uint32_t i;
    tr_buf_init(&wanted, 4096);
    tr_buf_printf(&wanted, "json_valid(`%s`)", name);
    bool is = !wanted.failed &&
              tr_slice_equal((struct tr_slice){wanted.data, wanted.length}, tr_slice_of(clause));
    tr_buf_done(&wanted);
    if (is && column_index(table, name, &i) == 0 && table->columns[i].shape.type == TR_SQL_TEXT)
        table->columns[i].shape.refine = TR_REFINE_JSON;
}

static int refine_checks(struct tr_source *source, struct tr_binlog_table *table,
                         struct tr_error *err)
{
    MYSQL_RES *result;
    int rc = select_of_table(
        source, "SELECT constraint_name, check_clause FROM information_schema.check_constraints",
        "constraint_schema", table, "AND level='Column'", &result, err);
    if (rc != 0)
        return rc;
    MYSQL_ROW row;
    while ((row = mysql_fetch_row(result)) != NULL)
        refine_json(table, row[0], row[1]);
    mysql_free_result(result);
    return 0;
}

/* The best of the unique keys, which come ordered by name: PRIMARY ends the search. */
struct best_key {
    uint32_t columns[64], best[64];
    uint32_t count, best_count;
    bool usable;
    bool has_primary;
    bool has_maps; /* the key that the map calls primary is among them */
    char name[256];
};

static void close_key(struct best_key *keys, const struct tr_binlog_table *table)
{
    if (keys->usable && keys->count == table->primary_key_count &&
        memcmp(keys->columns, table->primary_key, keys->count * sizeof keys->columns[0]) == 0)
        keys->has_maps = true;
    if (keys->usable && keys->count > 0 &&
        (keys->best_count == 0 || keys->count < keys->best_count)) {
        memcpy(keys->best, keys->columns, sizeof keys->best);
        keys->best_count = keys->count;
    }
    keys->count = 0;
    keys->usable = true;
}

static void take_key_column(struct best_key *keys, const struct tr_binlog_table *table,
                            MYSQL_ROW row)
{
    if (strcmp(keys->name, row[0]) != 0) {
        close_key(keys, table);
        snprintf(keys->name, sizeof keys->name, "%s", row[0]);
    }
    if (strcmp(row[0], "PRIMARY") == 0)
        keys->has_primary = true;
    bool nullable = row[2] != NULL && strcmp(row[2], "YES") == 0;
    uint32_t i;
    if (nullable || keys->count == 64 || row[1] == NULL || column_index(table, row[1], &i) != 0)
        keys->usable = false;
    else
        keys->columns[keys->count++] = i;
}

/* A server names the unique key that it prefers as primary in the map; ours is the one with the
 * fewest columns, so it is chosen here whenever the table has no true primary key. */
static int choose_key(struct tr_source *source, const struct tr_binlog_table *table, uint32_t *key,
                      uint32_t key_max, uint32_t *key_count, struct tr_error *err)
{
    MYSQL_RES *result;
    int rc = select_of_table(
        source, "SELECT index_name, column_name, nullable FROM information_schema.statistics",
        "table_schema", table, "AND non_unique=0 ORDER BY BINARY index_name, seq_in_index", &result,
        err);
    if (rc != 0)
        return rc;
    struct best_key keys = {.usable = true};
    MYSQL_ROW row;
    while ((row = mysql_fetch_row(result)) != NULL)
        take_key_column(&keys, table, row);
    close_key(&keys, table);
    mysql_free_result(result);
    /* Keys that came and went since the map was written say nothing about its rows. */
    bool later = table->primary_key_count > 0 && !keys.has_maps;
    if (keys.has_primary || later || keys.best_count > key_max)
        return 0;
    memcpy(key, keys.best, keys.best_count * sizeof *key);
    *key_count = keys.best_count;
    return 0;
}

int tr_source_refine(struct tr_source *source, struct tr_binlog_table *table, bool *same,
                     uint32_t *key, uint32_t key_max, uint32_t *key_count, struct tr_error *err)
{
    *same = false;
    *key_count = 0;
    int rc = refine_columns(source, table, same, err);
    if (rc != 0 || !*same)
        return rc;
    rc = refine_checks(source, table, err);
    if (rc == 0)
        rc = choose_key(source, table, key, key_max, key_count, err);
    return rc;
}
