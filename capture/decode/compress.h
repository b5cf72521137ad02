/* compress.h - MariaDB's compressed event content (log_bin_compress). Private to decode. */
#ifndef TR_COMPRESS_H
#define TR_COMPRESS_H

#include "cursor.h"
#include "error.h"

/*
 * Appends the content of the rest of `cursor` to `out`; *more = bytes gained. TR_ESOURCE when it is
 * damaged, TR_ELIMIT when `out` cannot hold it.
 */
int tr_compress_inflate(struct cursor *cursor, struct tr_buf *out, int64_t *more,
                        struct tr_error *err) TR_MUST_CHECK;

#endif
