/* wire.h - binlog events made by hand, for tests of decode and encode. */
#ifndef TR_TEST_WIRE_H
#define TR_TEST_WIRE_H

#include <stdlib.h>
#include <string.h>

#include "binlog.h"

/* The bytes of an event: header, body; the checksum is the test's business. */
struct wire {
    uint8_t data[4096];
    size_t length;
};

static inline void wire_bytes(struct wire *wire, const void *data, size_t length)
{
    memcpy(wire->data + wire->length, data, length);
    wire->length += length;
}

static inline void wire_uint(struct wire *wire, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        wire->data[wire->length++] = (uint8_t)(value >> (8 * i));
}

static inline void wire_hex(struct wire *wire, const char *hex)
{
    for (; hex[0] != '\0' && hex[1] != '\0'; hex += 2) {
        if (*hex == ' ') {
            hex--;
            continue;
        }
        char pair[3] = {hex[0], hex[1], '\0'};
        wire->data[wire->length++] = (uint8_t)strtoul(pair, NULL, 16);
    }
}

static inline void wire_begin(struct wire *wire, uint8_t type)
{
    wire->length = 0;
    wire_uint(wire, 1764000000, 4);
    wire_uint(wire, type, 1);
    wire_uint(wire, 1101, 4);
    wire_uint(wire, 0, 4);
    wire_uint(wire, 500, 4);
    wire_uint(wire, 0, 2);
}

/* Sets the header's length. */
static inline void wire_end(struct wire *wire)
{
    for (unsigned i = 0; i < 4; i++)
        wire->data[9 + i] = (uint8_t)(wire->length >> (8 * i));
}

/* The event as tr_binlog_event_read gives it for events without checksum. */
static inline struct tr_binlog_event wire_event(const struct wire *wire)
{
    struct tr_error err;
    struct tr_binlog_event event;
    tr_error_reset(&err);
    if (tr_binlog_event_read(&event, wire->data, wire->length, false, &err) != 0)
        abort();
    return event;
}

/*
 * A table map as MariaDB 10.11 wrote it with FULL metadata:
 * CREATE TABLE d.a (i INT PRIMARY KEY, g GEOMETRY, c CHAR(10) CHARACTER SET latin1, b BINARY(5),
 *   u UUID, n INET6, n4 INET4, j JSON, t TEXT COMPRESSED, v VARCHAR(20) COMPRESSED, bb BLOB,
 *   e ENUM('a','é'), s SET('x','y') CHARACTER SET latin1, y YEAR, bt BIT(9), vc INT AS (i+1),
 *   vp INT AS (i+1) STORED, tx TEXT, UNIQUE (tx))
 */
static const char wire_map_hex[] =
    "120000000000 0100 0164 00 0161 00 13 03fffefefefefefc8c8dfcfefe0d100303fc08"
    "17 04fe0afe05fe10fe10fe0404025100 02f701f8010101 02 feff07 010148"
    "020b3f0108062e072d082d0a2d 070100"
    "0438 0169 0167 0163 0162 0175 016e 026e34 016a 0174 0176 026262 0165 0173 0179 026274 027663"
    "027670 027478 0d44425f524f575f484153485f31"
    "0b022d08 0505020178 0179 0606020161 02c3a9 080100";

/* The row that was inserted into it: table id, flags, columns, image. */
static const char wire_row_hex[] =
    "120000000000 0100 13 ffff07 0000f8 01000000 19000000 000000000101000000000000000000f03f"
    "0000000000000040 036162e9 026162 0f123e4567e89b12d3a4564266141740"
    "1000000000000000000000000000000001 0401020304 08000000 7b2261223a20317d"
    "0800 8964aba8a03d0000 0400767676 0400626c6f62 02 03 7c 0101 02000000 02000000 02007474"
    "c9dab6a700000000";

#endif
