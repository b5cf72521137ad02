/*
 * What a table map can't tell, looked up in the catalogue: which BLOB is JSON, which BINARY is a
 * UUID or an address, and which unique key may stand for a missing primary key.
 *
 * The catalogue shows the table as it is now, the map as it was then. A column is refined when both
 * have one of that name and type, whatever the other columns are: a column that was added meanwhile
 * must not change how the others are rendered. A key is taken from the catalogue only when both
 * have the same columns in the same order; else an older shape's key goes on where nothing speaks
 * against it.
 */
#include <stdio.h>
#include <string.h>

#include "internal.h"

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

/* WITH SYSTEM VERSIONING alone adds two columns to the rows that the catalogue doesn't list. */
static bool is_implicit(const struct tr_binlog_column *column)
{
    return column->shape.type == TR_SQL_TIMESTAMP && column->shape.fraction == 6 &&
           (tr_slice_equal(column->shape.name, TR_SLICE("row_start")) ||
            tr_slice_equal(column->shape.name, TR_SLICE("row_end")));
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
    while (i < table->column_count && (table->columns[i].hidden || is_implicit(&table->columns[i])))
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

/* "utf8" is "utf8mb3" by its older name. */
static bool same_charset(const char *ours, size_t length, const char *theirs)
{
    if (strcmp(theirs, "utf8") == 0)
        theirs = "utf8mb3";
    if (length == 4 && memcmp(ours, "utf8", 4) == 0)
        return strcmp(theirs, "utf8mb3") == 0;
    return strlen(theirs) == length && memcmp(ours, theirs, length) == 0;
}

/* Whether the catalogue's column is a text of the same size and character set. */
static bool same_text(const char *data_type, const char *charset,
                      const struct tr_shape_column *column)
{
    static const struct {
        const char *data_type;
        uint32_t length;
    } texts[] = {
        {"tinytext", UINT8_MAX},
        {"text", UINT16_MAX},
        {"mediumtext", 0xffffff},
        {"longtext", UINT32_MAX},
    };
    if (column->type != TR_SQL_TEXT || charset == NULL ||
        !same_charset(column->charset.data, column->charset.length, charset))
        return false;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (strcmp(data_type, texts[i].data_type) == 0)
            return column->length == texts[i].length;
    return false;
}

/* A look-up that shows no column at all: the table is gone, or we may not read it. */
static int probe_hidden(struct tr_source *source, const struct tr_binlog_table *table, bool any,
                        struct tr_error *err)
{
    return any ? 0 : tr_source_check_select(source, table->database, table->table, err);
}

/* MariaDB's JSON is a LONGTEXT with the check json_valid(`name`) on the column. */
static bool is_json(const char *name, const char *clause)
{
    struct tr_buf wanted;
    tr_buf_init(&wanted, 4096);
    tr_buf_printf(&wanted, "json_valid(`%s`)", name);
    bool is = clause != NULL && !wanted.failed &&
              tr_slice_equal((struct tr_slice){wanted.data, wanted.length}, tr_slice_of(clause));
    tr_buf_done(&wanted);
    return is;
}

/* The check's column becomes JSON where the catalogue's is the map's. */
static void refine_json(struct tr_binlog_table *table, MYSQL_RES *columns, const char *name)
{
    uint32_t i;
    if (column_index(table, name, &i) != 0)
        return;
    struct tr_shape_column *column = &table->columns[i].shape;
    MYSQL_ROW row;
    mysql_data_seek(columns, 0);
    while ((row = mysql_fetch_row(columns)) != NULL)
        if (strcmp(row[0], name) == 0 && same_text(row[1], row[2], column))
            column->refine = TR_REFINE_JSON;
}

/* Not joined with the columns: the server finds one table's quickly only by constants. */
static int refine_checks(struct tr_source *source, struct tr_binlog_table *table,
                         MYSQL_RES *columns, struct tr_error *err)
{
    MYSQL_RES *result;
    int rc = select_of_table(
        source, "SELECT constraint_name, check_clause FROM information_schema.check_constraints",
        "constraint_schema", table, "AND level='Column'", &result, err);
    if (rc != 0)
        return rc;
    MYSQL_ROW row;
    while ((row = mysql_fetch_row(result)) != NULL)
        if (is_json(row[0], row[1]))
            refine_json(table, columns, row[0]);
    mysql_free_result(result);
    return 0;
}

static int refine_columns(struct tr_source *source, struct tr_binlog_table *table, bool *same,
                          struct tr_error *err)
{
    MYSQL_RES *result;
    int rc = select_of_table(
        source, "SELECT column_name, data_type, character_set_name FROM information_schema.columns",
        "table_schema", table, "ORDER BY ordinal_position", &result, err);
    if (rc != 0)
        return rc;
    *same = same_columns(table, result);
    mysql_data_seek(result, 0);
    MYSQL_ROW row;
    while ((row = mysql_fetch_row(result)) != NULL) {
        uint32_t i;
        if (column_index(table, row[0], &i) == 0)
            table->columns[i].shape.refine = refine_of(row[1], &table->columns[i].shape);
    }
    rc = probe_hidden(source, table, mysql_num_rows(result) > 0, err);
    if (rc == 0)
        rc = refine_checks(source, table, result, err);
    mysql_free_result(result);
    return rc;
}

/* The best of the unique keys, which come ordered by name. */
struct best_key {
    uint32_t columns[TR_SOURCE_KEY_MAX]; /* of the key at hand */
    uint32_t count;
    bool usable;
    bool primary;     /* the key at hand is the primary one */
    bool has_primary; /* there is one */
    bool maps_is_primary;
    bool has_maps;  /* the key that the map calls primary is among them */
    bool has_older; /* the older shape's is */
    struct tr_source_key best;
    char name[256];
};

static bool same_key(const struct best_key *keys, const uint32_t *columns, uint32_t count)
{
    return keys->usable && keys->count > 0 && keys->count == count &&
           memcmp(keys->columns, columns, count * sizeof *columns) == 0;
}

static void close_key(struct best_key *keys, const struct tr_binlog_table *table,
                      const struct tr_source_key *older)
{
    bool maps = same_key(keys, table->primary_key, table->primary_key_count);
    keys->has_maps = keys->has_maps || maps;
    keys->maps_is_primary = keys->maps_is_primary || (maps && keys->primary);
    keys->has_older = keys->has_older || same_key(keys, older->columns, older->count);
    if (keys->usable && keys->count > 0 &&
        (keys->best.count == 0 || keys->count < keys->best.count)) {
        memcpy(keys->best.columns, keys->columns, sizeof keys->columns);
        keys->best.count = keys->count;
    }
    keys->count = 0;
    keys->usable = true;
}

static void take_key_column(struct best_key *keys, const struct tr_binlog_table *table,
                            const struct tr_source_key *older, MYSQL_ROW row)
{
    if (strcmp(keys->name, row[0]) != 0) {
        close_key(keys, table, older);
        snprintf(keys->name, sizeof keys->name, "%s", row[0]);
        keys->primary = strcmp(row[0], "PRIMARY") == 0;
        keys->has_primary = keys->has_primary || keys->primary;
    }
    bool nullable = row[2] != NULL && strcmp(row[2], "YES") == 0;
    uint32_t i;
    if (nullable || keys->count == TR_SOURCE_KEY_MAX || row[1] == NULL ||
        column_index(table, row[1], &i) != 0)
        keys->usable = false;
    else
        keys->columns[keys->count++] = i;
}

static int read_keys(struct tr_source *source, const struct tr_binlog_table *table,
                     const struct tr_source_key *older, struct best_key *keys, struct tr_error *err)
{
    MYSQL_RES *result;
    int rc = select_of_table(
        source, "SELECT index_name, column_name, nullable FROM information_schema.statistics",
        "table_schema", table, "AND non_unique=0 ORDER BY BINARY index_name, seq_in_index", &result,
        err);
    if (rc != 0)
        return rc;
    *keys = (struct best_key){.usable = true};
    MYSQL_ROW row;
    while ((row = mysql_fetch_row(result)) != NULL)
        take_key_column(keys, table, older, row);
    close_key(keys, table, older);
    mysql_free_result(result);
    return 0;
}

/* A server names the unique key that it prefers as primary in the map; ours is the one with the
 * fewest columns, so it is chosen here whenever the table has no true primary key. */
static int choose_key(struct tr_source *source, const struct tr_binlog_table *table, bool same,
                      const struct tr_source_key *older, struct tr_source_key *key,
                      struct tr_error *err)
{
    struct best_key keys;
    int rc = read_keys(source, table, older, &keys, err);
    if (rc != 0)
        return rc;
    /* Keys that came and went since the map was written say nothing about its rows. */
    bool later = table->primary_key_count > 0 && !keys.has_maps;
    if (same && !keys.has_primary && !later)
        *key = keys.best;
    /* Ahead of the log, the catalogue can only say that the older key is no longer one. */
    bool against = keys.maps_is_primary || (keys.has_primary && !keys.has_older);
    if (!same && table->primary_key_count > 0 && !against)
        *key = *older;
    return 0;
}

int tr_source_refine(struct tr_source *source, struct tr_binlog_table *table,
                     const struct tr_source_key *older, bool *same, struct tr_source_key *key,
                     struct tr_error *err)
{
    *same = false;
    key->count = 0;
    int rc = refine_columns(source, table, same, err);
    if (rc != 0 || (!*same && older->count == 0))
        return rc;
    return choose_key(source, table, *same, older, key, err);
}
