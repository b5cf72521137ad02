/* arena.c - see arena.h. */
#include "arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct tr_arena_chunk {
    struct tr_arena_chunk *next;
    size_t capacity;
    size_t used;
    alignas(max_align_t) char data[];
};

void tr_arena_init(struct tr_arena *arena, size_t chunk_bytes, size_t limit_bytes)
{
    *arena = (struct tr_arena){.chunk_bytes = chunk_bytes, .limit_bytes = limit_bytes};
}

static struct tr_arena_chunk *chunk_new(struct tr_arena *arena, size_t bytes)
{
    size_t capacity = bytes > arena->chunk_bytes ? bytes : arena->chunk_bytes;
    size_t left = arena->limit_bytes - arena->total_bytes;
    if (arena->limit_bytes != 0 && capacity > left) {
        if (bytes > left)
            return NULL;
        capacity = left;
    }
    struct tr_arena_chunk *chunk = malloc(sizeof(*chunk) + capacity);
    if (chunk == NULL)
        return NULL;
    chunk->next = NULL;
    chunk->capacity = capacity;
    chunk->used = 0;
    arena->total_bytes += capacity;
    return chunk;
}

/* Takes the first chunk from `*link` on with room for `bytes` out of the list; NULL = none. */
static struct tr_arena_chunk *chunk_take(struct tr_arena_chunk **link, size_t bytes)
{
    while (*link != NULL && (*link)->capacity < bytes)
        link = &(*link)->next;
    struct tr_arena_chunk *chunk = *link;
    if (chunk != NULL)
        *link = chunk->next;
    return chunk;
}

static void chunks_free(struct tr_arena *arena, struct tr_arena_chunk **link)
{
    struct tr_arena_chunk *chunk = *link;
    *link = NULL;
    while (chunk != NULL) {
        struct tr_arena_chunk *next = chunk->next;
        arena->total_bytes -= chunk->capacity;
        free(chunk);
        chunk = next;
    }
}

/*
 * The next chunk with room: of those behind the current one, which a reset left empty, or a new
 * one. When the limit forbids that, the empty ones are given up: they were too small.
 */
static struct tr_arena_chunk *chunk_with_room(struct tr_arena *arena, size_t bytes)
{
    struct tr_arena_chunk **link = arena->current != NULL ? &arena->current->next : &arena->first;
    struct tr_arena_chunk *chunk = chunk_take(link, bytes);
    if (chunk == NULL)
        chunk = chunk_new(arena, bytes);
    if (chunk == NULL && *link != NULL) {
        chunks_free(arena, link);
        chunk = chunk_new(arena, bytes);
    }
    if (chunk == NULL)
        return NULL;
    chunk->used = 0;
    chunk->next = *link;
    *link = chunk;
    return arena->current = chunk;
}

void *tr_arena_alloc(struct tr_arena *arena, size_t bytes)
{
    const size_t align = alignof(max_align_t);
    if (bytes > SIZE_MAX / 2)
        return NULL;
    size_t rounded = (bytes + align - 1) / align * align;
    struct tr_arena_chunk *chunk = arena->current;
    if (chunk == NULL || chunk->capacity - chunk->used < rounded) {
        chunk = chunk_with_room(arena, rounded);
        if (chunk == NULL)
            return NULL;
    }
    void *result = chunk->data + chunk->used;
    chunk->used += rounded;
    return result;
}

char *tr_arena_copy(struct tr_arena *arena, const char *data, size_t length)
{
    char *copy = tr_arena_alloc(arena, length + 1);
    if (copy == NULL)
        return NULL;
    if (length > 0)
        memcpy(copy, data, length);
    copy[length] = '\0';
    return copy;
}

void tr_arena_reset(struct tr_arena *arena)
{
    arena->current = arena->first;
    if (arena->first != NULL)
        arena->first->used = 0;
}

void tr_arena_done(struct tr_arena *arena)
{
    chunks_free(arena, &arena->first);
    *arena = (struct tr_arena){0};
}
