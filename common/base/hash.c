/* hash.c - see hash.h. */
#include "hash.h"

#include <assert.h>
#include <string.h>

uint32_t tr_hash_murmur2(const void *data, size_t length)
{
    const uint32_t m = 0x5bd1e995;
    const unsigned char *at = data;
    uint32_t h = 0x9747b28cU ^ (uint32_t)length;
    for (; length >= 4; at += 4, length -= 4) {
        uint32_t k =
            (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
        k *= m;
        k ^= k >> 24;
        k *= m;
        h *= m;
        h ^= k;
    }
    if (length >= 3)
        h ^= (uint32_t)at[2] << 16;
    if (length >= 2)
        h ^= (uint32_t)at[1] << 8;
    if (length >= 1) {
        h ^= at[0];
        h *= m;
    }
    h ^= h >> 13;
    h *= m;
    h ^= h >> 15;
    return h;
}

int32_t tr_hash_partition(const void *key, size_t length, int32_t partitions)
{
    assert(partitions > 0);
    return (int32_t)(tr_hash_murmur2(key, length) & 0x7fffffff) % partitions;
}

uint64_t tr_hash_fnv1a(const void *data, size_t length)
{
    const unsigned char *at = data;
    uint64_t h = 0xcbf29ce484222325U;
    for (size_t i = 0; i < length; i++)
        h = (h ^ at[i]) * 0x100000001b3U;
    return h;
}
