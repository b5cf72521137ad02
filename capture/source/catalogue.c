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

/* ---- cascades ---------------------------------------------------------------------------------
 *
 * information_schema.referential_constraints has the rules, but shows nothing to an account that
 * may only SELECT (measured on MariaDB 10.11.19). key_column_usage does, and so does the text of
 * SHOW CREATE TABLE, one line for each constraint. */

static const char foreign_keys_sql[] =
    "SELECT DISTINCT table_schema, table_name FROM information_schema.key_column_usage "
    "WHERE referenced_table_name IS NOT NULL AND table_schema" NOT_SYSTEM " ORDER BY 1, 2";

struct cascade_visit {
    struct tr_source *source;
    int (*visit)(void *context, struct tr_slice database, struct tr_slice table,
                 const char *constraint, struct tr_error *err);
    void *context;
};

static void put_name(struct tr_buf *out, struct tr_slice name)
{
    tr_buf_append_char(out, '`');
    for (size_t i = 0; i < name.length; i++) {
        if (name.data[i] == '`')
            tr_buf_append_char(out, '`');
        tr_buf_append_char(out, name.data[i]);
    }
    tr_buf_append_char(out, '`');
}

/* Whether the line, outside of quoted names, says that the server changes rows by itself. */
static bool says_cascade(const char *line, const char *end)
{
    static const char *const rules[] = {" ON DELETE CASCADE", " ON DELETE SET NULL",
                                        " ON UPDATE CASCADE", " ON UPDATE SET NULL"};
    bool quoted = false;
    for (const char *at = line; at < end; at++) {
        quoted = quoted != (*at == '`');
        for (size_t i = 0; !quoted && i < sizeof(rules) / sizeof(rules[0]); i++) {
            size_t length = strlen(rules[i]);
            if ((size_t)(end - at) >= length && memcmp(at, rules[i], length) == 0)
                return true;
        }
    }
    return false;
}

/* "  CONSTRAINT `name` FOREIGN KEY (…) REFERENCES …", a line each. */
static int visit_lines(const struct cascade_visit *cascade, struct tr_slice database,
                       struct tr_slice table, struct tr_slice text, struct tr_error *err)
{
    static const char lead[] = "  CONSTRAINT `";
    const char *end = text.data + text.length;
    for (const char *line = text.data; line < end;) {
        const char *line_end = memchr(line, '\n', (size_t)(end - line));
        if (line_end == NULL)
            line_end = end;
        bool constraint =
            (size_t)(line_end - line) > sizeof(lead) && memcmp(line, lead, sizeof(lead) - 1) == 0;
        if (constraint && says_cascade(line, line_end)) {
            char name[200];
            const char *start = line + sizeof(lead) - 1;
            const char *close = memchr(start, '`', (size_t)(line_end - start));
            int length = close == NULL ? 0 : (int)(close - start);
            snprintf(name, sizeof(name), "%.*s", length, start);
            int rc = cascade->visit(cascade->context, database, table, name, err);
            if (rc != 0)
                return rc;
        }
        line = line_end + 1;
    }
    return 0;
}

/* "<head>`database`.`table`<tail>"; a table that isn't there is 0 and no result. */
static int select_from(struct tr_source *source, const char *head, struct tr_slice database,
                       struct tr_slice table, const char *tail, MYSQL_RES **out,
                       struct tr_error *err)
{
    enum { NO_SUCH_DATABASE = 1049, NO_SUCH_TABLE = 1146 };
    struct tr_error failed = {0};
    struct tr_buf sql;
    *out = NULL;
    tr_buf_init(&sql, 4096);
    tr_buf_printf(&sql, "%s", head);
    put_name(&sql, database);
    tr_buf_append_char(&sql, '.');
    put_name(&sql, table);
    tr_buf_printf(&sql, "%s", tail);
    tr_buf_append_char(&sql, '\0');
    int rc = tr_buf_check(&sql, "statement", &failed);
    if (rc == 0)
        rc = tr_source_select(source, sql.data, out, &failed);
    tr_buf_done(&sql);
    if (failed.native == NO_SUCH_TABLE || failed.native == NO_SUCH_DATABASE)
        return 0;
    if (rc != 0 && err->code == 0)
        *err = failed;
    return rc;
}

static int visit_table(const struct cascade_visit *cascade, struct tr_slice database,
                       struct tr_slice table, struct tr_error *err)
{
    MYSQL_RES *result;
    int rc = select_from(cascade->source, "SHOW CREATE TABLE ", database, table, "", &result, err);
    if (rc != 0 || result == NULL) /* NULL: dropped since we asked */
        return rc;
    MYSQL_ROW row = mysql_fetch_row(result);
    if (row != NULL)
        rc = visit_lines(cascade, database, table, field(row, mysql_fetch_lengths(result), 1), err);
    mysql_free_result(result);
    return rc;
}

int tr_source_each_unlogged_cascade(struct tr_source *source,
                                    int (*visit)(void *context, struct tr_slice database,
                                                 struct tr_slice table, const char *constraint,
                                                 struct tr_error *err),
                                    void *context, struct tr_error *err)
{
    const struct cascade_visit cascade = {source, visit, context};
    MYSQL_RES *result;
    int rc = tr_source_select(source, foreign_keys_sql, &result, err);
    if (rc != 0)
        return rc;
    MYSQL_ROW row;
    while (rc == 0 && (row = mysql_fetch_row(result)) != NULL) {
        const unsigned long *lengths = mysql_fetch_lengths(result);
        rc = visit_table(&cascade, field(row, lengths, 0), field(row, lengths, 1), err);
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

/* ---- may we read it? --------------------------------------------------------------------------
 *
 * The server itself is asked, because grants come by roles, patterns and columns. It says "denied"
 * before it says that there is no such table: a name that nobody gives tells of all the others. It
 * says so also before it waits for those who have locked the table, as an import does for hours. */

#define NOBODYS_TABLE "tailrace no such table"

int tr_source_check_select(struct tr_source *source, struct tr_slice database,
                           struct tr_slice table, struct tr_error *err)
{
    enum { NO_DATABASE = 1044, DENIED = 1142, DENIED_COLUMN = 1143, LOCK_TIMEOUT = 1205 };
    static const char select[] = "SET STATEMENT lock_wait_timeout=1 FOR SELECT 1 FROM ";
    MYSQL_RES *result;
    struct tr_error failed = {0};
    bool all = table.length == 0;
    int rc = select_from(source, select, database, all ? TR_SLICE(NOBODYS_TABLE) : table,
                         " LIMIT 0", &result, &failed);
    mysql_free_result(result);
    if (failed.native == LOCK_TIMEOUT)
        return 0;
    if (failed.native == NO_DATABASE || failed.native == DENIED || failed.native == DENIED_COLUMN)
        return tr_error_set_native(err, TR_ESOURCE, failed.native,
                                   "the account may not SELECT from %.*s.%.*s on %s, so its JSON "
                                   "columns, keys and foreign "
                                   "keys can't be seen: GRANT SELECT ON `%.*s`.* TO '%s'@'%%'",
                                   (int)database.length, database.data, all ? 1 : (int)table.length,
                                   all ? "*" : table.data, source->endpoint, (int)database.length,
                                   database.data,
                                   source->settings.user != NULL ? source->settings.user : "");
    if (rc != 0 && err->code == 0)
        *err = failed;
    return rc;
}
