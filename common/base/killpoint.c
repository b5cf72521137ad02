/* killpoint.c - see killpoint.h. */
#include "killpoint.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static const char *wanted; /* NULL = none */
static size_t wanted_length;
static _Atomic long left;

static void read_environment(void)
{
    const char *text = getenv("TAILRACE_KILL_AT");
    if (text == NULL || *text == '\0')
        return;
    const char *colon = strchr(text, ':');
    wanted_length = colon != NULL ? (size_t)(colon - text) : strlen(text);
    left = colon != NULL ? strtol(colon + 1, NULL, 10) : 1;
    wanted = text;
}

void tr_kill_point(const char *point)
{
    pthread_once(&once, read_environment);
    if (wanted == NULL || strlen(point) != wanted_length ||
        strncmp(point, wanted, wanted_length) != 0)
        return;
    if (atomic_fetch_sub(&left, 1) == 1)
        raise(SIGKILL);
}
