/* clock.c - see clock.h. */
#include "clock.h"

#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

static int64_t read_us(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t tr_clock_mono_us(void)
{
    return read_us(CLOCK_MONOTONIC);
}

int64_t tr_clock_wall_us(void)
{
    return read_us(CLOCK_REALTIME);
}

void tr_clock_sleep_ms(int64_t ms)
{
    struct timespec rest = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&rest, NULL);
}

uint64_t tr_clock_random(void)
{
    uint64_t value;
    if (getrandom(&value, sizeof(value), 0) != (ssize_t)sizeof(value))
        abort();
    return value;
}
