/*
 * cursor.h - reading bytes with an end. Private to decode.
 *
 * A read beyond the end yields zeros and turns the cursor `bad`, which the reader asks about once,
 * at the end of a structure. Numbers are little-endian unless named otherwise.
 */
#ifndef TR_CURSOR_H
#define TR_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "buf.h"

struct cursor {
    const uint8_t *at;
    const uint8_t *end;
    bool bad;
};

static inline size_t cursor_left(const struct cursor *cursor)
{
    return (size_t)(cursor->end - cursor->at);
}

/* The next `length` bytes; NULL when there are fewer. */
static inline const uint8_t *cursor_take(struct cursor *cursor, uint64_t length)
{
    if (length > cursor_left(cursor)) {
        cursor->bad = true;
        cursor->at = cursor->end;
        return NULL;
    }
    const uint8_t *taken = cursor->at;
    cursor->at += length;
    return taken;
}

static inline uint64_t load_le(const uint8_t *at, unsigned length)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < length; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

static inline uint64_t cursor_uint(struct cursor *cursor, unsigned length)
{
    const uint8_t *at = cursor_take(cursor, length);
    return at == NULL ? 0 : load_le(at, length);
}

static inline uint8_t cursor_u8(struct cursor *cursor)
{
    return (uint8_t)cursor_uint(cursor, 1);
}

static inline uint16_t cursor_u16(struct cursor *cursor)
{
    return (uint16_t)cursor_uint(cursor, 2);
}

static inline uint32_t cursor_u32(struct cursor *cursor)
{
    return (uint32_t)cursor_uint(cursor, 4);
}

/* A length-encoded integer: 0–250 itself; 252, 253, 254 = 2, 3, 8 bytes follow. */
static inline uint64_t cursor_lenenc(struct cursor *cursor)
{
    uint8_t first = cursor_u8(cursor);
    switch (first) {
    case 251:
    case 255:
        cursor->bad = true;
        return 0;
    case 252:
        return cursor_uint(cursor, 2);
    case 253:
        return cursor_uint(cursor, 3);
    case 254:
        return cursor_uint(cursor, 8);
    default:
        return first;
    }
}

static inline struct tr_slice cursor_slice(struct cursor *cursor, uint64_t length)
{
    const uint8_t *at = cursor_take(cursor, length);
    return at == NULL ? (struct tr_slice){"", 0}
                      : (struct tr_slice){(const char *)at, (size_t)length};
}

/* u8 length, bytes, NUL: names in table maps. */
static inline struct tr_slice cursor_name(struct cursor *cursor)
{
    struct tr_slice name = cursor_slice(cursor, cursor_u8(cursor));
    cursor_u8(cursor);
    return name;
}

#endif
