/*
 * What an error of the server or of the library means for us. Pure.
 *
 * 1236 is one number for at least seven causes: only its text tells them apart.
 */
#include <errmsg.h>
#include <string.h>
#include <strings.h>

#include "internal.h"

struct cause {
    const char *text; /* part of the message, any case */
    int code;
    bool truncated;
    const char *hint;
};

#define HINT_PURGED "the binlog that we stand in is gone: " TR_PLACE_GIVE_UP
#define HINT_SHORTER                                                                               \
    "the file is shorter than our position: the server lost its end, or is another "               \
    "server; " TR_PLACE_GIVE_UP
#define HINT_BEHIND "the server is behind us, or is another server; " TR_PLACE_GIVE_UP

static const struct cause dump_causes[] = {
    {"Could not find first log file name", TR_ESTATE, false, HINT_PURGED},
    {"could not find next log", TR_ESTATE, false,
     "its binlogs were reset or purged while we read them: " TR_PLACE_GIVE_UP},
    {"purged required", TR_ESTATE, false, HINT_PURGED},
    {"Could not find GTID state requested", TR_ESTATE, false, HINT_PURGED},
    {"truncated in the middle of event", TR_ESOURCE_RETRY, true, ""},
    {"impossible position", TR_ESTATE, false, HINT_SHORTER},
    {"position > file size", TR_ESTATE, false, HINT_SHORTER},
    {"which is not in the master's binlog", TR_ESTATE, false, HINT_BEHIND},
    {"has more GTIDs than", TR_ESTATE, false, HINT_BEHIND},
    {"with the same server_uuid/server_id", TR_ESOURCE, false, ""},
    {"max_allowed_packet", TR_ESOURCE, false,
     "SET GLOBAL max_allowed_packet=1073741824; and the same in the server's configuration"},
    {"checksum", TR_ESOURCE, false,
     "an event in the server's binlog is damaged; look at it with mariadb-binlog "
     "--verify-binlog-checksum, and go on behind it with --start FILE:POS --force-start"},
    {"bogus data in log event", TR_ESTATE, false,
     "the position is not the start of an event, or the file is damaged; " TR_PLACE_GIVE_UP},
    {NULL, 0, false, NULL},
};

static int classify_dump(const char *text, bool *truncated, const char **hint)
{
    for (const struct cause *cause = dump_causes; cause->text != NULL; cause++) {
        if (strcasestr(text, cause->text) == NULL)
            continue;
        *truncated = cause->truncated;
        *hint = cause->hint;
        return cause->code;
    }
    return TR_ESOURCE;
}

struct number {
    unsigned native;
    int code;
    const char *hint;
};

#define HINT_ACCESS                                                                                \
    "check source.user and source.password (or source.password_file); to set it on the server: "   \
    "ALTER USER {user} IDENTIFIED BY '<password>'"
#define HINT_PRIVILEGE "GRANT REPLICATION SLAVE, BINLOG MONITOR, SELECT ON *.* TO {user}"

static const struct number numbers[] = {
    {CR_CONNECTION_ERROR, TR_ESOURCE_RETRY, ""},
    {CR_CONN_HOST_ERROR, TR_ESOURCE_RETRY, ""},
    {CR_UNKNOWN_HOST, TR_ESOURCE_RETRY, ""},
    {CR_SERVER_GONE_ERROR, TR_ESOURCE_RETRY, ""},
    {CR_SERVER_LOST, TR_ESOURCE_RETRY, ""},
    {CR_SERVER_LOST_EXTENDED, TR_ESOURCE_RETRY, ""},
    {1040, TR_ESOURCE_RETRY, ""}, /* too many connections */
    {1053, TR_ESOURCE_RETRY, ""}, /* shutdown in progress */
    {1077, TR_ESOURCE_RETRY, ""}, /* normal shutdown */
    {1079, TR_ESOURCE_RETRY, ""}, /* shutdown complete */
    {1158, TR_ESOURCE_RETRY, ""}, /* network read error … */
    {1159, TR_ESOURCE_RETRY, ""},
    {1160, TR_ESOURCE_RETRY, ""},
    {1161, TR_ESOURCE_RETRY, ""},
    {1203, TR_ESOURCE_RETRY, ""}, /* the user has too many connections */
    {1205, TR_ESOURCE_RETRY, ""}, /* lock wait time-out */
    {1317, TR_ESOURCE_RETRY, ""}, /* query interrupted */
    {1927, TR_ESOURCE_RETRY, ""}, /* connection was killed */
    {1969, TR_ESOURCE_RETRY, ""}, /* max_statement_time exceeded */
    {1044, TR_ESOURCE, HINT_PRIVILEGE},
    {1045, TR_ESOURCE, HINT_ACCESS},
    {1698, TR_ESOURCE, HINT_ACCESS},
    {1129, TR_ESOURCE, "FLUSH HOSTS"},
    {1130, TR_ESOURCE, "CREATE USER {user} IDENTIFIED BY '<password>'"},
    {1142, TR_ESOURCE, HINT_PRIVILEGE},
    {1143, TR_ESOURCE, HINT_PRIVILEGE},
    {1227, TR_ESOURCE, HINT_PRIVILEGE},
    {1820, TR_ESOURCE, "ALTER USER {user} IDENTIFIED BY '<password>'"},
    {1862, TR_ESOURCE, "ALTER USER {user} IDENTIFIED BY '<password>'"},
    {TR_SERVER_SLAVE_SAME_ID, TR_ESOURCE, ""},
};

/* 2026 is every failure of TLS: those that a person must mend are told by their words. */
static int classify_tls(const char *text, const char **hint)
{
    static const char *const lasting[] = {
        "certificate", "mismatch", "is required", "Validation", "PEM", "No such file",
        "not found",   "CRL",      "key",         "protocol",   NULL};
    *hint = "";
    for (const char *const *word = lasting; *word != NULL; word++) {
        if (strcasestr(text, *word) == NULL)
            continue;
        *hint = "check source.tls.ca (the authority of the server's certificate), source.tls.mode "
                "and that source.host is a name in the certificate";
        return TR_ESOURCE;
    }
    return TR_ESOURCE_RETRY;
}

int tr_source_classify(unsigned native, const char *text, bool *truncated, const char **hint)
{
    *truncated = false;
    *hint = "";
    if (native == TR_SERVER_MASTER_FATAL)
        return classify_dump(text, truncated, hint);
    if (native == CR_SSL_CONNECTION_ERROR)
        return classify_tls(text, hint);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (numbers[i].native != native)
            continue;
        *hint = numbers[i].hint;
        return numbers[i].code;
    }
    return TR_ESOURCE;
}
