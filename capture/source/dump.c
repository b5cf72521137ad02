/*
 * The dump: what a replica announces, the command, and the stream of events.
 *
 * COM_BINLOG_DUMP's body: u32 position, u16 flags (1 = end at the log's end, 2 = send annotate
 * events), u32 server id, file name to the end (MariaDB knowledge base, "COM_BINLOG_DUMP").
 */
#include <string.h>

#include "internal.h"

enum {
    FLAG_SEND_ANNOTATE = 2,
    HEADER_BYTES = 19,
    EOF_MARK = 0xFE,
    EOF_BYTES_MAX = 9,
};

static void put_u16(unsigned char *to, unsigned value)
{
    to[0] = (unsigned char)(value & 0xff);
    to[1] = (unsigned char)(value >> 8 & 0xff);
}

static void put_u32(unsigned char *to, uint32_t value)
{
    put_u16(to, value & 0xffff);
    put_u16(to + 2, value >> 16);
}

static uint32_t get_u32(const uint8_t *from)
{
    return (uint32_t)from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 |
           (uint32_t)from[3] << 24;
}

/* Both spellings of each variable: a server ignores the one that it does not know. */
int tr_source_announce(struct tr_source *source, struct tr_connection *connection,
                       struct tr_error *err)
{
    int64_t heartbeat_ms = source->settings.heartbeat_ms > 0 ? source->settings.heartbeat_ms : 1000;
    struct tr_buf sql;
    tr_buf_init(&sql, 4096);
    tr_buf_printf(&sql,
                  "SET @master_binlog_checksum=@@global.binlog_checksum, "
                  "@source_binlog_checksum=@@global.binlog_checksum, "
                  "@master_heartbeat_period=%lld, @source_heartbeat_period=%lld, "
                  "@mariadb_slave_capability=4",
                  (long long)heartbeat_ms * 1000000, (long long)heartbeat_ms * 1000000);
    tr_buf_append_char(&sql, '\0');
    int rc = tr_buf_check(&sql, "statement", err);
    if (rc == 0)
        rc = tr_connection_execute(source, connection, sql.data, err);
    tr_buf_done(&sql);
    return rc;
}

int tr_source_send_dump(struct tr_source *source, struct tr_connection *connection,
                        const char *file, uint64_t offset, unsigned flags, struct tr_error *err)
{
    unsigned char body[10 + 256];
    size_t name = strlen(file);
    if (name > 255 || offset < 4 || offset > UINT32_MAX)
        return tr_error_set(err, TR_EBUG, "no dump can begin at %s:%llu", file,
                            (unsigned long long)offset);
    put_u32(body, (uint32_t)offset);
    put_u16(body + 4, flags);
    put_u32(body + 6, source->server_id);
    memcpy(body + 10, file, name);
    MYSQL *mysql = connection->mysql;
    if (mysql->methods->db_command(mysql, COM_BINLOG_DUMP, (const char *)body, 10 + name, 1,
                                   NULL) != 0)
        return tr_connection_error(source, mysql, "asking for the binlog", NULL, err);
    return 0;
}

int tr_source_dump(struct tr_source *source, const char *file, uint64_t offset,
                   struct tr_error *err)
{
    int rc = 0;
    if (source->stream.mysql == NULL || source->dumping)
        rc = tr_connection_open(source, &source->stream, &source->hosts[source->host_used],
                                tr_source_read_timeout_s(source), err);
    if (rc == 0)
        rc = tr_source_announce(source, &source->stream, err);
    if (rc == 0)
        rc = tr_source_send_dump(source, &source->stream, file, offset, FLAG_SEND_ANNOTATE, err);
    if (rc != 0)
        return rc;
    source->dumping = true;
    source->dump_moved = false;
    source->dump_offset = offset;
    strcpy(source->dump_file, file);
    return 0;
}

/*
 * "Truncated in the middle of an event" has two causes: a server that was killed while it wrote
 * (the file just ends), and a position that is not the start of an event. The second must never
 * make us go on with the next file. It can only be the second when nothing was sent since.
 */
static int judge_truncated(struct tr_source *source, bool *truncated, struct tr_error *err)
{
    if (source->dump_moved || source->dump_offset <= 4)
        return err->code;
    struct tr_error own = {0};
    bool is;
    int rc = tr_source_is_boundary(source, source->dump_file, source->dump_offset, &is, &own);
    if (rc == 0 && is)
        return err->code;
    *truncated = false;
    if (rc == 0)
        (void)tr_error_set(
            &own, TR_ESTATE, "no event begins at %s:%llu on %s: give the position of a GTID event",
            source->dump_file, (unsigned long long)source->dump_offset, source->endpoint);
    *err = own;
    return err->code;
}

static int read_failed(struct tr_source *source, bool *truncated, struct tr_error *err)
{
    struct tr_error one = {0};
    int rc =
        tr_connection_error(source, source->stream.mysql, "reading the binlog", truncated, &one);
    if (*truncated)
        rc = judge_truncated(source, truncated, &one);
    if (err->code == 0)
        *err = one;
    return rc;
}

/* Events that take room in the file have a time and a place (MariaDB's fake ones have neither). */
static void note_moved(struct tr_source *source, const uint8_t *event, size_t length)
{
    if (!source->dump_moved && length >= HEADER_BYTES && get_u32(event) != 0 &&
        get_u32(event + 13) > source->dump_offset)
        source->dump_moved = true;
}

int tr_source_read(struct tr_source *source, const uint8_t **data, size_t *length, bool *truncated,
                   struct tr_error *err)
{
    MYSQL *mysql = source->stream.mysql;
    *truncated = false;
    if (mysql == NULL || !source->dumping)
        return tr_error_set(err, TR_EBUG, "no dump is running");
    unsigned long size = mysql_net_read_packet(mysql);
    /* packet_error is 32 bits wide inside a 64-bit result: it never equals -1. */
    if (size == packet_error)
        return read_failed(source, truncated, err);
    const uint8_t *packet = mysql->net.read_pos;
    if (size == 0 || (packet[0] == EOF_MARK && size < EOF_BYTES_MAX))
        return tr_error_set(err, TR_ESOURCE_RETRY, "%s ended the dump", source->endpoint);
    if (packet[0] != 0 || size - 1 < HEADER_BYTES)
        return tr_error_set(err, TR_ESOURCE, "%s sent a packet of %lu bytes that is no event",
                            source->endpoint, size);
    *data = packet + 1;
    *length = size - 1;
    note_moved(source, *data, *length);
    return 1;
}
