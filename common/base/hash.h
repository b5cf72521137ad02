/* hash.h - hash functions whose results others rely on, and one for our own tables. Pure. */
#ifndef TR_HASH_H
#define TR_HASH_H

#include <stddef.h>
#include <stdint.h>

/* murmur2 with the seed of Kafka's Java client (org.apache.kafka.common.utils.Utils.murmur2). */
uint32_t tr_hash_murmur2(const void *data, size_t length);
/* The Java client's partition of a key: toPositive(murmur2) % partitions. */
int32_t tr_hash_partition(const void *key, size_t length, int32_t partitions);
/* FNV-1a, 64 bits: for tables inside one process only. */
uint64_t tr_hash_fnv1a(const void *data, size_t length);

#endif
