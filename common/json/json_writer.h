/*
 * json_writer.h - JSON text, value by value, into a byte buffer. No tree, no allocation of its own.
 *
 * The caller writes punctuation itself (tr_buf_append_char, TR_JSON_LITERAL) and checks the buffer
 * once, at the end. Any thread, one buffer each.
 */
#ifndef TR_JSON_WRITER_H
#define TR_JSON_WRITER_H

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"

#define TR_JSON_LITERAL(buf, text) tr_buf_append((buf), text, sizeof(text) - 1)

/* A quoted, escaped string (RFC 8259: ", \ and below 0x20 escaped, shortest form; all else as is).
 * False, with nothing written, when the bytes are not UTF-8 (overlong, surrogate, > U+10FFFF). */
bool tr_json_string(struct tr_buf *buf, const char *data, size_t length) TR_MUST_CHECK;
/* The same for text known to be UTF-8, e.g. names; asserts. */
void tr_json_text(struct tr_buf *buf, struct tr_slice text);
void tr_json_int(struct tr_buf *buf, int64_t value);
void tr_json_uint(struct tr_buf *buf, uint64_t value);
/* The shortest decimal text that reads back to the same value; false (nothing written) for NaN and
 * infinities, which JSON doesn't have. */
bool tr_json_double(struct tr_buf *buf, double value) TR_MUST_CHECK;
bool tr_json_float(struct tr_buf *buf, float value) TR_MUST_CHECK;
/* A quoted base64 string (RFC 4648 §4, with padding). */
void tr_json_base64(struct tr_buf *buf, const void *data, size_t length);
void tr_json_bool(struct tr_buf *buf, bool value);
/* `,"name":` or `"name":` when first; name must need no escape. */
void tr_json_member(struct tr_buf *buf, bool first, const char *name);

bool tr_json_utf8_valid(const char *data, size_t length) TR_MUST_CHECK;

#endif
