/* compress.c - see compress.h. */
#include "compress.h"

#include <zlib.h>

#define KIND_MASK 0xf0u
#define KIND_ZLIB 0x80u

static int damaged(struct tr_error *err)
{
    return tr_error_set(err, TR_ESOURCE, "compressed binlog event is damaged");
}

/*
 * | u8 0x80 | algorithm << 4 | n | n bytes: plain length, big-endian | zlib stream |
 * From MariaDB's log_event.cc, binlog_buf_compress.
 */
int tr_compress_inflate(struct cursor *cursor, struct tr_buf *out, int64_t *more,
                        struct tr_error *err)
{
    size_t packed = cursor_left(cursor);
    uint8_t head = cursor_u8(cursor);
    if ((head & KIND_MASK) != KIND_ZLIB)
        return damaged(err);
    const unsigned digits = head & 7u;
    uint64_t plain = 0;
    for (unsigned i = 0; i < digits; i++)
        plain = plain << 8 | cursor_u8(cursor);
    if (cursor->bad)
        return damaged(err);
    /* The factor is beyond what zlib can reach: a damaged length must not cost memory. */
    if (plain == 0 || plain > UINT32_MAX || plain > (uint64_t)packed * 1100)
        return damaged(err);
    char *to = tr_buf_reserve(out, (size_t)plain);
    if (to == NULL)
        return tr_buf_check(out, "an inflated binlog event", err);
    uLongf length = (uLongf)plain;
    int rc = uncompress((Bytef *)to, &length, cursor->at, (uLong)cursor_left(cursor));
    if (rc == Z_MEM_ERROR)
        return tr_error_set_native(err, TR_ENOMEM, rc, "no memory to inflate a binlog event");
    if (rc != Z_OK || length != plain)
        return damaged(err);
    out->length += (size_t)plain;
    *more = (int64_t)plain - (int64_t)packed;
    return 0;
}
