/*
 * json_scan.h - a zero-copy JSON scanner: a cursor with an end over text that stays where it is.
 *
 * Values are slices of the input: strings with their quotes, still escaped. Nothing is built and
 * nothing allocated. Accepts RFC 8259, UTF-8 checked, up to TR_JSON_DEPTH_MAX deep; duplicate
 * names are not looked for. Any thread.
 */
#ifndef TR_JSON_SCAN_H
#define TR_JSON_SCAN_H

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"

#define TR_JSON_DEPTH_MAX 512

enum tr_json_type {
    TR_JSON_NULL,
    TR_JSON_FALSE,
    TR_JSON_TRUE,
    TR_JSON_NUMBER,
    TR_JSON_STRING,
    TR_JSON_ARRAY,
    TR_JSON_OBJECT,
};

struct tr_json_value {
    enum tr_json_type type;
    bool escaped; /* a string that contains a backslash */
    struct tr_slice text;
};

/* Checks the whole text (one value, white space around it) and returns the value.
 * TR_EFORMAT with the offset of the first bad byte. */
int tr_json_parse(struct tr_slice text, struct tr_json_value *value,
                  struct tr_error *err) TR_MUST_CHECK;

/* A cursor over the members of an object or the items of an array. Validates what it passes, so
 * that it also serves on text that was never checked as a whole. */
struct tr_json_cursor {
    const char *start;
    const char *at;
    const char *end;
    bool first;
    bool object;
};

/* `value` must be an object or an array. */
void tr_json_enter(struct tr_json_cursor *cursor, const struct tr_json_value *value);
/* 1 = got one, 0 = end, TR_EFORMAT. `name` (quoted, escaped) is left alone for arrays. */
int tr_json_next(struct tr_json_cursor *cursor, struct tr_json_value *name,
                 struct tr_json_value *value, struct tr_error *err) TR_MUST_CHECK;
/* Opens text that begins with '{' or '[' without checking it first; trailing text is not looked at.
 * TR_EFORMAT when it begins otherwise. This is the fast way into an envelope. */
int tr_json_open(struct tr_json_cursor *cursor, struct tr_slice text,
                 struct tr_error *err) TR_MUST_CHECK;

/* The member called `name` of an object: 1 = found, 0 = not there, TR_EFORMAT. */
int tr_json_find(const struct tr_json_value *object, const char *name, struct tr_json_value *value,
                 struct tr_error *err) TR_MUST_CHECK;

/* Whether a string value equals plain text (unescaping as needed). */
bool tr_json_equal(const struct tr_json_value *string, struct tr_slice text);
/* Appends the unescaped content of a string value. */
void tr_json_unescape(const struct tr_json_value *string, struct tr_buf *out);
/* Exact integers only (no fraction, no exponent); false when it is none or out of range. */
bool tr_json_to_int(const struct tr_json_value *number, int64_t *out) TR_MUST_CHECK;
bool tr_json_to_uint(const struct tr_json_value *number, uint64_t *out) TR_MUST_CHECK;
bool tr_json_to_double(const struct tr_json_value *number, double *out) TR_MUST_CHECK;
/* Decodes the content of a base64 string value; false when it is none. */
bool tr_json_to_bytes(const struct tr_json_value *string, struct tr_buf *out) TR_MUST_CHECK;
/* Appends the text without insignificant white space; the text must have been checked. */
void tr_json_compact(struct tr_slice text, struct tr_buf *out);

#endif
