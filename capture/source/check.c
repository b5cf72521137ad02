/*
 * Whether this server can be captured from: version, settings, privileges. Each failure is one line
 * with the statement that mends it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "internal.h"

/* Global variables that must have a value, in the order in which they matter. */
static const struct requirement {
    const char *variable;
    const char *value;
    const char *why;
} requirements[] = {
    {"binlog_format", "ROW", "changes come as rows only then"},
    {"binlog_row_image", "FULL", "a change must hold the whole row"},
    {"binlog_row_metadata", "FULL", "names, types and keys must be in the log"},
};

#define VARIABLES                                                                                  \
    "SELECT VERSION(), @@server_id, @@log_bin, @@global.binlog_format, "                           \
    "@@global.binlog_row_image, @@global.binlog_row_metadata, @@global.binlog_checksum, "          \
    "@@lower_case_table_names"

static int check_kind(struct tr_source *source, struct tr_error *err)
{
    MYSQL *mysql = source->stream.mysql;
    unsigned long version = mysql_get_server_version(mysql);
    snprintf(source->server.version, sizeof source->server.version, "%s",
             mysql_get_server_info(mysql));
    source->server.mariadb = mariadb_connection(mysql) != 0;
    if (!source->server.mariadb)
        return tr_error_set(err, TR_ESOURCE,
                            "%s is MySQL %s: only MariaDB is supported as a source",
                            source->endpoint, source->server.version);
    if (version < 100500)
        return tr_error_set(err, TR_ESOURCE,
                            "%s is MariaDB %s: 10.5 or later is needed (binlog_row_metadata)",
                            source->endpoint, source->server.version);
    return 0;
}

static bool is_on(const char *text)
{
    return strcmp(text, "1") == 0 || strcasecmp(text, "ON") == 0;
}

static int check_values(struct tr_source *source, MYSQL_ROW row, struct tr_error *err)
{
    if (!is_on(row[2]))
        return tr_error_set(err, TR_ESOURCE,
                            "log_bin is OFF on %s: it writes no binlog; put log_bin=bin and "
                            "binlog_format=ROW into [mariadbd] of its configuration and restart it",
                            source->endpoint);
    for (size_t i = 0; i < sizeof requirements / sizeof requirements[0]; i++) {
        const struct requirement *need = &requirements[i];
        if (strcasecmp(row[3 + i], need->value) == 0)
            continue;
        return tr_error_set(err, TR_ESOURCE,
                            "%s is %s on %s, %s is needed (%s): SET GLOBAL %s='%s'; and "
                            "%s=%s in its configuration; sessions that are open keep the old value",
                            need->variable, row[3 + i], source->endpoint, need->value, need->why,
                            need->variable, need->value, need->variable, need->value);
    }
    source->server.server_id = (uint32_t)strtoul(row[1], NULL, 10);
    source->server.checksum = strcasecmp(row[6], "NONE") != 0;
    source->server.lower_case_table_names = (uint32_t)strtoul(row[7], NULL, 10);
    if (source->server.server_id == source->server_id)
        return tr_error_set(err, TR_ESOURCE,
                            "source.server_id %u is the id of %s itself; set it to an id that no "
                            "server has",
                            source->server_id, source->endpoint);
    return 0;
}

static int check_variables(struct tr_source *source, struct tr_error *err)
{
    MYSQL_RES *result;
    int rc = tr_connection_select(source, &source->stream, VARIABLES, &result, err);
    if (rc != 0)
        return rc;
    MYSQL_ROW row = mysql_fetch_row(result);
    if (row == NULL)
        rc = tr_error_set(err, TR_ESOURCE, "%s did not say its settings", source->endpoint);
    else
        rc = check_values(source, row, err);
    mysql_free_result(result);
    return rc;
}

static const char *const privileges[] = {"REPLICATION SLAVE", "BINLOG MONITOR", "SELECT"};
#define PRIVILEGES (sizeof privileges / sizeof privileges[0])

static void mark_granted(struct tr_slice grant, bool *have)
{
    for (size_t i = 0; i < PRIVILEGES; i++)
        have[i] = have[i] || tr_source_grant_has(grant, privileges[i]);
    /* The name of BINLOG MONITOR before 10.5, and still MySQL's. */
    have[1] = have[1] || tr_source_grant_has(grant, "REPLICATION CLIENT");
}

static int check_privileges(struct tr_source *source, struct tr_error *err)
{
    MYSQL_RES *result;
    int rc = tr_connection_select(source, &source->stream, "SHOW GRANTS", &result, err);
    if (rc != 0)
        return rc;
    bool have[PRIVILEGES] = {false};
    MYSQL_ROW row;
    while ((row = mysql_fetch_row(result)) != NULL)
        mark_granted(tr_slice_of(row[0]), have);
    mysql_free_result(result);
    for (size_t i = 0; i < PRIVILEGES; i++) {
        if (have[i])
            continue;
        return tr_error_set(err, TR_ESOURCE,
                            "the account lacks %s on %s: GRANT REPLICATION SLAVE, BINLOG MONITOR, "
                            "SELECT ON *.* TO '%s'@'%%'",
                            privileges[i], source->endpoint,
                            source->settings.user != NULL ? source->settings.user : "");
    }
    return 0;
}

int tr_source_check(struct tr_source *source, struct tr_error *err)
{
    int rc = check_kind(source, err);
    if (rc == 0)
        rc = check_privileges(source, err);
    if (rc == 0)
        rc = check_variables(source, err);
    return rc;
}
