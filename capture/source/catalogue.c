/* Lists from the server's catalogue: tables, foreign keys, filters. */
#include <stdio.h>
#include <string.h>

#include "internal.h"

#define NOT_SYSTEM " NOT IN ('mysql','sys','information_schema','performance_schema')"

static const char tables_sql[] =
    "SELECT t.table_schema, t.table_name, k.table_name IS NOT NULL "
    "FROM information_schema.tables t LEFT JOIN ("
    "SELECT DISTINCT table_schema, table_name FROM ("
    "SELECT table_schema, table_name, index_name FROM information_schema.statistics "
    "WHERE non_unique=0 AND table_schema" NOT_SYSTEM
    " GROUP BY table_schema, table_name, index_name HAVING MAX(nullable='YES')=0) u) k "
    "ON k.table_schema=t.table_schema AND k.table_name=t.table_name "
    "WHERE t.table_type IN ('BASE TABLE','SYSTEM VERSIONED') AND t.table_schema" NOT_SYSTEM
    " ORDER BY 1, 2";

static struct tr_slice field(MYSQL_ROW row, const unsigned long *lengths, unsigned i)
{
    return (struct tr_slice){row[i] != NULL ? row[i] : "", row[i] != NULL ? lengths[i] : 0};
}

int tr_source_each_table(struct tr_source *source,
                         int (*visit)(void *context, struct tr_slice database,
                                      struct tr_slice table, bool has_key, struct tr_error *err),
                         void *context, struct tr_error *err)
{
    MYSQL_RES *result;
    int rc = tr_source_select(source, tables_sql, &result, err);
    if (rc != 0)
        return rc;
    MYSQL_ROW row;
    while (rc == 0 && (row = mysql_fetch_row(result)) != NULL) {
        const unsigned long *lengths = mysql_fetch_lengths(result);
        rc = visit(context, field(row, lengths, 0), field(row, lengths, 1),
                   strcmp(row[2], "1") == 0, err);
    }
    mysql_free_result(result);
    return rc;
}

static const char cascades_sql[] =
    "SELECT constraint_schema, table_name, constraint_name "
    "FROM information_schema.referential_constraints "
    "WHERE constraint_schema" NOT_SYSTEM
    " AND (delete_rule IN ('CASCADE','SET NULL') OR update_rule IN ('CASCADE','SET NULL')) "
    "ORDER BY 1, 2, 3";

int tr_source_each_unlogged_cascade(struct tr_source *source,
                                    int (*visit)(void *context, struct tr_slice database,
                                                 struct tr_slice table, const char *constraint,
                                                 struct tr_error *err),
                                    void *context, struct tr_error *err)
{
    MYSQL_RES *result;
    int rc = tr_source_select(source, cascades_sql, &result, err);
    if (rc != 0)
        return rc;
    MYSQL_ROW row;
    while (rc == 0 && (row = mysql_fetch_row(result)) != NULL) {
        const unsigned long *lengths = mysql_fetch_lengths(result);
        rc = visit(context, field(row, lengths, 0), field(row, lengths, 1), row[2], err);
    }
    mysql_free_result(result);
    return rc;
}

int tr_source_filters(struct tr_source *source, char *out, size_t size, struct tr_error *err)
{
    MYSQL_RES *result;
    int rc = tr_source_select(source, "SHOW MASTER STATUS", &result, err);
    if (rc != 0)
        return rc;
    MYSQL_ROW row = mysql_fetch_row(result);
    const char *only = row != NULL && row[2] != NULL ? row[2] : "";
    const char *not = row != NULL && row[3] != NULL ? row[3] : "";
    snprintf(out, size, "%s%s%s%s%s", only[0] != '\0' ? "binlog_do_db=" : "", only,
             only[0] != '\0' && not [0] != '\0' ? " " : "",
             not [0] != '\0' ? "binlog_ignore_db=" : "", not );
    mysql_free_result(result);
    return 0;
}
