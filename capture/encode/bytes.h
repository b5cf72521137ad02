/* bytes.h - integers out of a value's bytes. Private to encode. */
#ifndef TR_BYTES_H
#define TR_BYTES_H

#include <stdint.h>

static inline uint64_t bytes_le(const uint8_t *at, unsigned length)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < length; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

static inline uint64_t bytes_be(const uint8_t *at, unsigned length)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < length; i++)
        value = value << 8 | at[i];
    return value;
}

#endif
