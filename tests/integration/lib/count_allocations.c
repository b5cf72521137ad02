/* count_allocations.c - preloaded into a program: counts its calls of malloc, calloc and realloc,
 * and says at its end how many there were. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);

static atomic_long calls;

void *malloc(size_t size)
{
    atomic_fetch_add(&calls, 1);
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    atomic_fetch_add(&calls, 1);
    return __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    atomic_fetch_add(&calls, 1);
    return __libc_realloc(old, size);
}

__attribute__((destructor)) static void say(void)
{
    char text[64];
    int length = snprintf(text, sizeof(text), "allocations: %ld\n", atomic_load(&calls));
    if (length > 0 && write(STDERR_FILENO, text, (size_t)length) < 0)
        return;
}
