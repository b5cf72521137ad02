/*
 * event.c - the common header and the small events. See binlog.h.
 *
 * Layouts: https://mariadb.com/kb/en/replication-protocol/ and its pages for each event.
 */
#include <zlib.h>

#include "binlog.h"
#include "compress.h"
#include "cursor.h"

#define HEADER_BYTES 19
#define CHECKSUM_BYTES 4
#define CHECKSUM_CRC32 1
#define GTID_LIST_ITEM_BYTES 16
#define FLAGS_AT 17
#define FLAG_IN_USE 0x01
#define CREATED_BYTES 4

static int damaged(struct tr_error *err, const struct tr_binlog_event *event, const char *what)
{
    return tr_error_set(err, TR_ESOURCE, "damaged binlog event of type %u before position %u: %s",
                        event->type, event->log_pos, what);
}

/* The file's first event is written with its in-use flag unset and marked while the file is open,
 * so the flag is left out of the sum. */
static uint32_t checksum_of(const uint8_t *data, size_t length, uint8_t type)
{
    if (type != TR_BINLOG_FORMAT_DESCRIPTION)
        return (uint32_t)crc32_z(0, data, length);
    uint8_t flags = data[FLAGS_AT] & (uint8_t)~FLAG_IN_USE;
    uLong crc = crc32_z(0, data, FLAGS_AT);
    crc = crc32_z(crc, &flags, 1);
    return (uint32_t)crc32_z(crc, data + FLAGS_AT + 1, length - FLAGS_AT - 1);
}

static int verify(struct tr_binlog_event *event, const uint8_t *data, size_t length,
                  struct tr_error *err)
{
    event->crc = (uint32_t)load_le(data + length, CHECKSUM_BYTES);
    uint32_t crc = checksum_of(data, length, event->type);
    if (crc == event->crc)
        return 0;
    return damaged(err, event, "its CRC32 does not fit its content");
}

/*
 * | u32 timestamp | u8 type | u32 server id | u32 length | u32 log_pos | u16 flags | body | CRC32 |
 * A format description always ends with the algorithm for the file's events and room for a CRC32.
 */
int tr_binlog_event_read(struct tr_binlog_event *event, const uint8_t *data, size_t length,
                         bool checksum, struct tr_error *err)
{
    struct cursor cursor = {data, data + length, false};
    *event = (struct tr_binlog_event){
        .timestamp = cursor_u32(&cursor),
        .type = cursor_u8(&cursor),
        .server_id = cursor_u32(&cursor),
        .length = cursor_u32(&cursor),
        .log_pos = cursor_u32(&cursor),
        .flags = cursor_u16(&cursor),
        .body = cursor.at,
        .body_length = cursor_left(&cursor),
    };
    if (cursor.bad || event->length != length)
        return damaged(err, event, "its length does not fit what was received");
    bool sum_present = checksum;
    if (event->type == TR_BINLOG_FORMAT_DESCRIPTION) {
        sum_present = true;
        if (event->body_length < CHECKSUM_BYTES + 1)
            return damaged(err, event, "it is too short");
        checksum = cursor.end[-CHECKSUM_BYTES - 1] == CHECKSUM_CRC32;
    }
    if (!sum_present)
        return 0;
    if (event->body_length < CHECKSUM_BYTES)
        return damaged(err, event, "it is too short");
    event->body_length -= CHECKSUM_BYTES;
    return checksum ? verify(event, data, length - CHECKSUM_BYTES, err) : 0;
}

/* Not of the in-use flag, log_pos and `created`, which differ between an open and a closed file and
 * between a dump from its start and from later. */
static uint32_t identity_of(const struct tr_binlog_event *event, const uint8_t *created)
{
    uint32_t head[4] = {event->timestamp, event->type, event->server_id, event->length};
    const uint8_t *behind = created + CREATED_BYTES;
    uLong crc = crc32_z(0, (const uint8_t *)head, sizeof(head));
    crc = crc32_z(crc, event->body, (size_t)(created - event->body));
    crc = crc32_z(crc, behind, (size_t)(event->body + event->body_length - behind));
    return (uint32_t)crc;
}

/*
 * | u16 version 4 | 50 bytes server version | u32 created | u8 header length 19 |
 * | u8 post-header length per type, from type 1 | u8 checksum algorithm |
 * `created` is blanked also when the event is sent for a dump that begins later in the file.
 */
int tr_binlog_format_read(struct tr_binlog_format *format, const struct tr_binlog_event *event,
                          struct tr_error *err)
{
    struct cursor cursor = {event->body, event->body + event->body_length, false};
    uint16_t version = cursor_u16(&cursor);
    cursor_take(&cursor, 50);
    const uint8_t *created = cursor_take(&cursor, CREATED_BYTES);
    uint8_t header = cursor_u8(&cursor);
    if (cursor.bad || version != 4 || header != HEADER_BYTES || cursor_left(&cursor) < 1)
        return tr_error_set(err, TR_ESOURCE, "binlog format %u is not supported: version 4 is",
                            version);
    memset(format, 0, sizeof(*format));
    format->created = (uint32_t)load_le(created, CREATED_BYTES);
    format->identity = identity_of(event, created);
    size_t types = cursor_left(&cursor) - 1;
    for (size_t i = 0; i < types && i + 1 < sizeof(format->post_header); i++)
        format->post_header[i + 1] = cursor.at[i];
    uint8_t algorithm = cursor.end[-1];
    if (algorithm > CHECKSUM_CRC32)
        return tr_error_set(err, TR_ESOURCE, "binlog checksum algorithm %u is not supported",
                            algorithm);
    format->checksum = algorithm == CHECKSUM_CRC32;
    return 0;
}

/* | u64 sequence | u32 domain | u8 flags | commit id or zeros, XA id | */
int tr_binlog_gtid_read(struct tr_binlog_gtid *gtid, const struct tr_binlog_event *event,
                        struct tr_error *err)
{
    enum { STANDALONE = 0x01, PREPARED_XA = 0x40, COMPLETED_XA = 0x80 };
    struct cursor cursor = {event->body, event->body + event->body_length, false};
    gtid->sequence = cursor_uint(&cursor, 8);
    gtid->domain = cursor_u32(&cursor);
    uint8_t flags = cursor_u8(&cursor);
    gtid->server_id = event->server_id;
    gtid->standalone = (flags & STANDALONE) != 0;
    gtid->prepared_xa = (flags & PREPARED_XA) != 0;
    gtid->completed_xa = (flags & COMPLETED_XA) != 0;
    return cursor.bad ? damaged(err, event, "GTID") : 0;
}

/* | u32 count, the upper 4 bits flags | count of (u32 domain | u32 server id | u64 sequence) | */
int tr_binlog_gtid_list_open(struct tr_binlog_gtid_list *list, const struct tr_binlog_event *event,
                             struct tr_error *err)
{
    struct cursor cursor = {event->body, event->body + event->body_length, false};
    uint32_t count = cursor_u32(&cursor) & 0x0fffffff;
    if (cursor.bad || cursor_left(&cursor) / GTID_LIST_ITEM_BYTES < count)
        return damaged(err, event, "GTID list");
    *list = (struct tr_binlog_gtid_list){.at = cursor.at, .left = count};
    return 0;
}

bool tr_binlog_gtid_list_next(struct tr_binlog_gtid_list *list, struct tr_binlog_gtid *gtid)
{
    if (list->left == 0)
        return false;
    struct cursor cursor = {list->at, list->at + GTID_LIST_ITEM_BYTES, false};
    *gtid = (struct tr_binlog_gtid){
        .domain = cursor_u32(&cursor),
        .server_id = cursor_u32(&cursor),
        .sequence = cursor_uint(&cursor, 8),
    };
    list->at = cursor.at;
    list->left--;
    return true;
}

/*
 * | u32 thread | u32 seconds | u8 database length | u16 error | u16 status length | `more` bytes |
 * | status variables | database | NUL | …
 */
static void read_query_head(struct tr_binlog_query *query, const struct tr_binlog_event *event,
                            size_t more, struct cursor *cursor)
{
    enum { THREAD_SPECIFIC = 0x0004 };
    *cursor = (struct cursor){event->body, event->body + event->body_length, false};
    query->used_temporary = (event->flags & THREAD_SPECIFIC) != 0;
    query->thread_id = cursor_u32(cursor);
    cursor_take(cursor, 4);
    uint8_t database_length = cursor_u8(cursor);
    cursor_take(cursor, 2);
    uint16_t status_length = cursor_u16(cursor);
    cursor_take(cursor, more);
    cursor_take(cursor, status_length);
    query->database = cursor_slice(cursor, database_length);
    cursor_take(cursor, 1);
}

/* The head, and text or compressed text. */
int tr_binlog_query_read(struct tr_binlog_query *query, const struct tr_binlog_event *event,
                         struct tr_buf *scratch, int64_t *inflated, struct tr_error *err)
{
    struct cursor cursor;
    read_query_head(query, event, 0, &cursor);
    *inflated = 0;
    if (cursor.bad)
        return damaged(err, event, "query");
    if (event->type != TR_BINLOG_QUERY_COMPRESSED) {
        query->text = cursor_slice(&cursor, cursor_left(&cursor));
        return 0;
    }
    tr_buf_reset(scratch);
    if (tr_compress_inflate(&cursor, scratch, inflated, err) != 0)
        return damaged(err, event, "compressed query");
    query->text = (struct tr_slice){scratch->length == 0 ? "" : scratch->data, scratch->length};
    return 0;
}

/* The head with | u32 file id | u32, u32 file name's place | u8 duplicates | in it, and the text.
 */
int tr_binlog_load_read(struct tr_binlog_query *query, const struct tr_binlog_event *event,
                        struct tr_error *err)
{
    struct cursor cursor;
    read_query_head(query, event, 4 + 4 + 4 + 1, &cursor);
    if (cursor.bad)
        return damaged(err, event, "load");
    query->text = cursor_slice(&cursor, cursor_left(&cursor));
    return 0;
}

/* | u64 position | file name | */
int tr_binlog_rotate_read(struct tr_slice *file, uint64_t *position,
                          const struct tr_binlog_event *event, struct tr_error *err)
{
    struct cursor cursor = {event->body, event->body + event->body_length, false};
    *position = cursor_uint(&cursor, 8);
    *file = cursor_slice(&cursor, cursor_left(&cursor));
    if (cursor.bad || file->length == 0 || file->length > 255)
        return damaged(err, event, "rotate");
    return 0;
}
