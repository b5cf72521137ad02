/* cmocka_all.h - cmocka and the standard headers that it wants to see before itself. */
#ifndef TR_CMOCKA_ALL_H
#define TR_CMOCKA_ALL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
