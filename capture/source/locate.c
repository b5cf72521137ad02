/* Places in the server's binlog: its head, its files, a GTID set's place. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

static int copy_file_name(char out[256], const char *name, struct tr_error *err)
{
    if (strlen(name) > 255)
        return tr_error_set(err, TR_ESOURCE, "the binlog's file name is too long: %.64s…", name);
    strcpy(out, name);
    return 0;
}

/* The one value of a query as text; "" for NULL. */
static int select_text(struct tr_source *source, const char *sql, char *out, size_t size,
                       struct tr_error *err)
{
    MYSQL_RES *result;
    int rc = tr_source_select(source, sql, &result, err);
    if (rc != 0)
        return rc;
    MYSQL_ROW row = mysql_fetch_row(result);
    const char *text = row != NULL && row[0] != NULL ? row[0] : "";
    if (strlen(text) >= size)
        rc =
            tr_error_set(err, TR_ESOURCE, "%s: the answer is longer than %zu bytes", sql, size - 1);
    else
        strcpy(out, text);
    mysql_free_result(result);
    return rc;
}

/* The GTID set is read first: it may be behind the place, never ahead of it. */
int tr_source_head(struct tr_source *source, char file[256], uint64_t *offset,
                   char gtid[TR_GTID_SET_BYTES], struct tr_error *err)
{
    int rc = select_text(source, "SELECT @@global.gtid_binlog_pos", gtid, TR_GTID_SET_BYTES, err);
    if (rc != 0)
        return rc;
    MYSQL_RES *result;
    rc = tr_source_select(source, "SHOW MASTER STATUS", &result, err);
    if (rc != 0)
        return rc;
    MYSQL_ROW row = mysql_fetch_row(result);
    if (row == NULL) {
        rc = tr_error_set(err, TR_ESOURCE, "log_bin is OFF on %s: it writes no binlog",
                          source->endpoint);
    } else {
        rc = copy_file_name(file, row[0], err);
        *offset = strtoull(row[1], NULL, 10);
    }
    mysql_free_result(result);
    return rc;
}

int tr_source_oldest(struct tr_source *source, char file[256], struct tr_error *err)
{
    int rc = select_text(source, "SHOW BINARY LOGS", file, 256, err);
    if (rc == 0 && file[0] == '\0')
        return tr_error_set(err, TR_ESOURCE, "%s has no binlog file", source->endpoint);
    return rc;
}

int tr_source_bytes_between(struct tr_source *source, const char *from, const char *to,
                            int64_t *bytes, struct tr_error *err)
{
    MYSQL_RES *result;
    int rc = tr_source_select(source, "SHOW BINARY LOGS", &result, err);
    if (rc != 0)
        return rc;
    MYSQL_ROW row;
    bool inside = false, ended = false;
    int64_t sum = 0;
    while (!ended && (row = mysql_fetch_row(result)) != NULL) {
        ended = strcmp(row[0], to) == 0;
        inside = inside || strcmp(row[0], from) == 0;
        if (inside && !ended)
            sum += strtoll(row[1], NULL, 10);
    }
    mysql_free_result(result);
    *bytes = inside && ended ? sum : -1;
    return 0;
}

int tr_source_file_after(struct tr_source *source, const char *file, char next[256],
                         struct tr_error *err)
{
    MYSQL_RES *result;
    int rc = tr_source_select(source, "SHOW BINARY LOGS", &result, err);
    if (rc != 0)
        return rc;
    MYSQL_ROW row;
    bool seen = false, found = false;
    while (!found && (row = mysql_fetch_row(result)) != NULL) {
        found = seen;
        if (found)
            rc = copy_file_name(next, row[0], err);
        seen = seen || strcmp(row[0], file) == 0;
    }
    mysql_free_result(result);
    if (rc == 0 && !found)
        rc = tr_error_set(err, TR_ESTATE,
                          seen ? "%s is the last binlog file of %s" : "%s is no binlog file of %s",
                          file, source->endpoint);
    return rc;
}

/* The connection's error, when asking again may help; else 0. */
static int retry_only(struct tr_source *source, MYSQL *mysql, struct tr_error *err)
{
    struct tr_error failed = {0};
    int rc = tr_connection_error(source, mysql, "SHOW BINLOG EVENTS", NULL, &failed);
    if (tr_error_class_of(rc) != TR_CLASS_RETRY)
        return 0;
    *err = failed;
    return rc;
}

/*
 * SHOW BINLOG EVENTS from the file's start, row by row: it may be long, and it ends with an error
 * where the file is cut. Asked only when a dump begins at a place that the server can't read.
 */
int tr_source_is_boundary(struct tr_source *source, const char *file, uint64_t offset, bool *is,
                          struct tr_error *err)
{
    struct tr_buf sql;
    tr_buf_init(&sql, 4096);
    tr_buf_printf(&sql, "SHOW BINLOG EVENTS IN ");
    tr_source_quote(&sql, tr_slice_of(file));
    struct tr_connection connection = {NULL, -1};
    *is = false;
    int rc = tr_buf_check(&sql, "statement", err);
    if (rc == 0)
        rc = tr_connection_open(source, &connection, &source->hosts[source->host_used],
                                TR_SOURCE_QUERY_TIMEOUT_S, err);
    if (rc == 0 && mysql_real_query(connection.mysql, sql.data, sql.length) != 0)
        rc = tr_connection_error(source, connection.mysql, "SHOW BINLOG EVENTS", NULL, err);
    MYSQL_RES *result = rc == 0 ? mysql_use_result(connection.mysql) : NULL;
    MYSQL_ROW row;
    while (result != NULL && !*is && (row = mysql_fetch_row(result)) != NULL)
        *is = strtoull(row[1], NULL, 10) == offset || strtoull(row[4], NULL, 10) == offset;
    /* Where the connection is lost, the rest of the file isn't told. */
    if (result != NULL && !*is && mysql_errno(connection.mysql) != 0)
        rc = retry_only(source, connection.mysql, err);
    /* The rest of the rows isn't wanted. The result speaks to its connection when it goes, so it
     * goes first; cut off, that takes no time. */
    if (result != NULL)
        mariadb_cancel(connection.mysql);
    mysql_free_result(result);
    tr_connection_close(source, &connection);
    tr_buf_done(&sql);
    return rc;
}

/* One event of a dump. Whether those behind a format description have a CRC32, it tells: a file may
 * be older than the server's setting. */
static int read_event(struct tr_binlog_event *event, const uint8_t *packet, unsigned long size,
                      bool *checksum, struct tr_error *err)
{
    struct tr_binlog_format format;
    int rc = tr_binlog_event_read(event, packet + 1, size - 1, *checksum, err);
    if (rc != 0 || event->type != TR_BINLOG_FORMAT_DESCRIPTION)
        return rc;
    rc = tr_binlog_format_read(&format, event, err);
    if (rc == 0)
        *checksum = format.checksum;
    return rc;
}

/* Judges an event of a dump: 1 = it is the one looked for, 0 = go on. */
typedef int dump_judge(const struct tr_binlog_event *event, void *user, struct tr_error *err);

/* Reads a dump up to the event looked for; 0 = the log's end came first. */
static int search_dump(struct tr_source *source, MYSQL *mysql, dump_judge *judge, void *user,
                       const char *doing, bool *truncated, struct tr_error *err)
{
    bool checksum = source->server.checksum;
    int rc = 0;
    while (rc == 0) {
        unsigned long size = mysql_net_read_packet(mysql);
        if (size == packet_error)
            return tr_connection_error(source, mysql, doing, truncated, err);
        const uint8_t *packet = mysql->net.read_pos;
        if (size < 20 || packet[0] != 0)
            return 0;
        struct tr_binlog_event event;
        rc = read_event(&event, packet, size, &checksum, err);
        if (rc == 0)
            rc = judge(&event, user, err);
    }
    return rc;
}

struct place {
    char file[256];
    uint64_t offset;
};

/* The first GTID event is where it starts; a ROTATE tells the file. */
static int judge_gtid(const struct tr_binlog_event *event, void *user, struct tr_error *err)
{
    struct place *place = user;
    if (event->type == TR_BINLOG_ROTATE) {
        struct tr_slice name;
        uint64_t position;
        int rc = tr_binlog_rotate_read(&name, &position, event, err);
        if (rc == 0)
            snprintf(place->file, sizeof(place->file), "%.*s", (int)name.length, name.data);
        return rc;
    }
    if (event->type != TR_BINLOG_GTID || event->log_pos == 0)
        return 0;
    place->offset = event->log_pos - event->length;
    return 1;
}

/* The first event that lies behind the dump's start. */
static int judge_behind(const struct tr_binlog_event *event, void *user, struct tr_error *err)
{
    (void)err;
    const uint64_t *start = user;
    return event->timestamp != 0 && event->log_pos > *start;
}

/* Whether the server's index has the file, and its length there. */
static int find_file(struct tr_source *source, const char *file, bool *found, uint64_t *length,
                     struct tr_error *err)
{
    MYSQL_RES *result;
    int rc = tr_source_select(source, "SHOW BINARY LOGS", &result, err);
    if (rc != 0)
        return rc;
    MYSQL_ROW row;
    *found = false;
    while (!*found && (row = mysql_fetch_row(result)) != NULL) {
        *found = strcmp(row[0], file) == 0;
        *length = strtoull(row[1], NULL, 10);
    }
    mysql_free_result(result);
    return 0;
}

int tr_source_check_file(struct tr_source *source, const char *file, struct tr_error *err)
{
    uint64_t length;
    bool found;
    int rc = find_file(source, file, &found, &length, err);
    if (rc != 0 || found)
        return rc;
    return tr_error_set(err, TR_ESTATE,
                        "binlog file %s of the checkpoint is no longer on %s: " TR_PLACE_GIVE_UP,
                        file, source->endpoint);
}

/* Begins a dump there, and ends it. *truncated as in tr_source_read. */
static int try_dump(struct tr_source *source, const char *file, uint64_t offset, bool *truncated,
                    struct tr_error *err)
{
    struct tr_connection connection = {NULL, -1};
    int rc = tr_connection_open(source, &connection, &source->hosts[source->host_used],
                                TR_SOURCE_QUERY_TIMEOUT_S, err);
    if (rc == 0)
        rc = tr_source_announce(source, &connection, err);
    /* 1 = end at the log's end instead of waiting there. */
    if (rc == 0)
        rc = tr_source_send_dump(source, &connection, file, offset, 1, err);
    if (rc == 0)
        rc = search_dump(source, connection.mysql, judge_behind, &offset, "looking for the place",
                         truncated, err);
    tr_connection_close(source, &connection);
    return rc < 0 ? rc : 0;
}

int tr_source_check_place(struct tr_source *source, const char *file, uint64_t offset,
                          struct tr_error *err)
{
    uint64_t length = 0;
    bool found;
    int rc = find_file(source, file, &found, &length, err);
    if (rc != 0)
        return rc;
    if (!found)
        return tr_error_set(err, TR_ESTATE,
                            "%s has no binlog file %s (purged, or never there); SHOW BINARY LOGS "
                            "lists those that it has",
                            source->endpoint, file);
    if (offset > length)
        return tr_error_set(
            err, TR_ESTATE, "impossible position %s:%llu: the file ends at %llu on %s", file,
            (unsigned long long)offset, (unsigned long long)length, source->endpoint);
    /* The protocol can't ask for places beyond; they are compared when reading gets there. */
    if (offset > UINT32_MAX)
        return 0;
    struct tr_error failed = {0};
    bool truncated = false, is = true;
    rc = try_dump(source, file, offset, &truncated, &failed);
    /* From the middle of an event the server reads lengths that are none, and complains of many
     * things: of a packet's size, of a damaged file; or it sends what is no event. */
    if (failed.native == TR_SERVER_MASTER_FATAL || (rc == TR_ESOURCE && failed.native == 0)) {
        struct tr_error own = {0};
        int asked = tr_source_is_boundary(source, file, offset, &is, &own);
        if (truncated || asked != 0) {
            failed = own;
            rc = asked;
        } else if (!is) {
            rc = 0;
        }
    }
    if (rc == 0 && !is)
        return tr_error_set(err, TR_ESTATE,
                            "no event begins at %s:%llu on %s: give the position of a GTID event",
                            file, (unsigned long long)offset, source->endpoint);
    if (rc != 0 && err->code == 0)
        *err = failed;
    return rc;
}

static bool is_gtid_list(const char *text)
{
    return text[0] != '\0' && strspn(text, "0123456789-,") == strlen(text) &&
           strchr(text, '-') != NULL;
}

static int start_gtid_dump(struct tr_source *source, struct tr_connection *connection,
                           const char *gtid, struct tr_error *err)
{
    struct tr_buf sql;
    tr_buf_init(&sql, 4096);
    tr_buf_printf(&sql, "SET @slave_connect_state='%s', @slave_gtid_strict_mode=1", gtid);
    tr_buf_append_char(&sql, '\0');
    int rc = tr_buf_check(&sql, "GTID", err);
    if (rc == 0)
        rc = tr_connection_open(source, connection, &source->hosts[source->host_used],
                                TR_SOURCE_QUERY_TIMEOUT_S, err);
    if (rc == 0)
        rc = tr_source_announce(source, connection, err);
    if (rc == 0)
        rc = tr_connection_execute(source, connection, sql.data, err);
    /* 1 = end at the log's end instead of waiting there. */
    if (rc == 0)
        rc = tr_source_send_dump(source, connection, "", 4, 1, err);
    tr_buf_done(&sql);
    return rc;
}

/*
 * The server itself looks for it: a dump by GTID begins with the first group that the set lacks.
 * When there is none yet, the head as it was before is the place: all up to it is in the set.
 */
int tr_source_find_gtid(struct tr_source *source, const char *gtid, char file[256],
                        uint64_t *offset, struct tr_error *err)
{
    if (!is_gtid_list(gtid))
        return tr_error_set(err, TR_EUSAGE, "'%s' is no MariaDB GTID set (as 0-1101-33)", gtid);
    char head_file[256], head_gtid[TR_GTID_SET_BYTES];
    uint64_t head_offset;
    struct place found = {"", 0};
    int rc = tr_source_head(source, head_file, &head_offset, head_gtid, err);
    if (rc != 0)
        return rc;
    struct tr_connection connection = {NULL, -1};
    rc = start_gtid_dump(source, &connection, gtid, err);
    if (rc == 0)
        rc = search_dump(source, connection.mysql, judge_gtid, &found, "looking for the GTID", NULL,
                         err);
    tr_connection_close(source, &connection);
    if (rc < 0)
        return rc;
    strcpy(file, rc == 1 ? found.file : head_file);
    *offset = rc == 1 ? found.offset : head_offset;
    return 0;
}
