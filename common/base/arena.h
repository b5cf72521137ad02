/*
 * arena.h - memory that lives as long as a batch and is released as a whole.
 *
 * One owner, one thread at a time. Reset keeps the chunks, so steady state allocates nothing.
 */
#ifndef TR_ARENA_H
#define TR_ARENA_H

#include <stddef.h>

#include "error.h"

struct tr_arena_chunk;

struct tr_arena {
    struct tr_arena_chunk *first;
    struct tr_arena_chunk *current;
    size_t chunk_bytes; /* size of an ordinary chunk */
    size_t limit_bytes; /* of all chunks together; 0 = none */
    size_t total_bytes; /* held from the system now */
};

void tr_arena_init(struct tr_arena *arena, size_t chunk_bytes, size_t limit_bytes);
/* Aligned for any type; NULL when memory or the limit is exhausted. Never zeroed. */
void *tr_arena_alloc(struct tr_arena *arena, size_t bytes);
/* A copy with a terminating NUL behind it; NULL as above. */
char *tr_arena_copy(struct tr_arena *arena, const char *data, size_t length);
/* Forgets all allocations; keeps the chunks. */
void tr_arena_reset(struct tr_arena *arena);
void tr_arena_done(struct tr_arena *arena);

#endif
