/*
 * collations.h - what a collation number in a table map means: character set, bytes a character,
 * and how we render it. The tables are in collations.gen.c. Private to decode; constant.
 */
#ifndef TR_COLLATIONS_H
#define TR_COLLATIONS_H

#include <stddef.h>
#include <stdint.h>

#include "binlog.h"

struct tr_charset_info {
    const char *name;
    uint8_t max_bytes; /* of a character */
    uint8_t encoding;  /* enum tr_charset */
};

struct tr_collation_run {
    uint16_t first, last;
    uint8_t charset;
};

extern const struct tr_charset_info tr_charsets[];
extern const struct tr_collation_run tr_collation_runs[];
extern const size_t tr_collation_run_count;

/* NULL when the number is not known. */
const struct tr_charset_info *tr_collation_charset(uint64_t collation);

#endif
