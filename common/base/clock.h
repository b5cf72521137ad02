/* clock.h - time and randomness of the system. Thread-safe. */
#ifndef TR_CLOCK_H
#define TR_CLOCK_H

#include <stdint.h>

int64_t tr_clock_mono_us(void); /* for intervals */
int64_t tr_clock_wall_us(void); /* since 1970, for people */
void tr_clock_sleep_ms(int64_t ms);
/* From the kernel; stops the process when it has none to give. */
uint64_t tr_clock_random(void);

#endif
