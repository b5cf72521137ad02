/*
 * charset.h - text in a column's character set as UTF-8. For table maps' labels and for encode.
 * Pure; any thread.
 */
#ifndef TR_CHARSET_H
#define TR_CHARSET_H

#include "binlog.h"

/*
 * Appends cp1252 text as UTF-8. The five bytes that cp1252 leaves undefined (81 8d 8f 90 9d) are
 * the C1 controls of the same number, as MySQL and MariaDB have them in `latin1`.
 */
void tr_charset_latin1(struct tr_slice text, struct tr_buf *out);
/* Whether every byte is ASCII. */
bool tr_charset_is_ascii(struct tr_slice text);
/* Appends the text as a JSON string; false, with nothing written, when it cannot be rendered. */
bool tr_charset_json(enum tr_charset charset, struct tr_slice text,
                     struct tr_buf *out) TR_MUST_CHECK;

#endif
