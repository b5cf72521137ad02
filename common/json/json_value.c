/* json_value.c - what the values of a checked JSON text mean; see json_scan.h. */
#include <math.h>
#include <stdlib.h>

#include "json_chars.h"
#include "json_scan.h"

#define NUMBER_STACK_BYTES 64

/* What is between the quotes. */
static inline struct tr_slice content_of(const struct tr_json_value *string)
{
    return (struct tr_slice){string->text.data + 1, string->text.length - 2};
}

static unsigned hex_unit(const char *at)
{
    unsigned unit = 0;
    for (int i = 0; i < 4; i++) {
        char c = at[i];
        unsigned digit = c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a' + 10);
        unit = unit << 4 | digit;
    }
    return unit;
}

static size_t put_utf8(char out[4], unsigned point)
{
    if (point < 0x80) {
        out[0] = (char)point;
        return 1;
    }
    size_t length = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    static const unsigned char leads[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = length - 1; i > 0; i--, point >>= 6)
        out[i] = (char)(0x80 | (point & 0x3f));
    out[0] = (char)(leads[length] | point);
    return length;
}

/* Decodes the escape whose backslash is at `at`; returns how many bytes it takes. The scanner has
 * passed it, so it is complete and surrogates come in pairs. */
static size_t read_escape(const char *at, char out[4], size_t *out_length)
{
    static const char plain[] = "bfnrt";
    static const char meant[] = "\b\f\n\r\t";
    *out_length = 1;
    if (at[1] != 'u') {
        const char *found = strchr(plain, at[1]);
        out[0] = at[1];
        if (found != NULL)
            out[0] = meant[found - plain];
        return 2;
    }
    unsigned unit = hex_unit(at + 2);
    bool pair = unit >= 0xd800 && unit <= 0xdfff;
    if (pair)
        unit = 0x10000 + ((unit - 0xd800) << 10) + (hex_unit(at + 8) - 0xdc00);
    *out_length = put_utf8(out, unit);
    return pair ? 12 : 6;
}

bool tr_json_equal(const struct tr_json_value *string, struct tr_slice text)
{
    struct tr_slice content = content_of(string);
    if (string->type != TR_JSON_STRING)
        return false;
    if (!string->escaped)
        return tr_slice_equal(content, text);
    const char *at = content.data;
    const char *end = at + content.length;
    size_t done = 0;
    while (at < end) {
        char bytes[4] = {*at};
        size_t length = 1;
        at += *at == '\\' ? read_escape(at, bytes, &length) : 1;
        if (text.length - done < length || memcmp(text.data + done, bytes, length) != 0)
            return false;
        done += length;
    }
    return done == text.length;
}

void tr_json_unescape(const struct tr_json_value *string, struct tr_buf *out)
{
    struct tr_slice content = content_of(string);
    if (!string->escaped) {
        tr_buf_append_slice(out, content);
        return;
    }
    const char *at = content.data;
    const char *end = at + content.length;
    while (at < end) {
        const char *stop = memchr(at, '\\', (size_t)(end - at));
        if (stop == NULL)
            stop = end;
        tr_buf_append(out, at, (size_t)(stop - at));
        at = stop;
        if (at < end) {
            char bytes[4];
            size_t length;
            at += read_escape(at, bytes, &length);
            tr_buf_append(out, bytes, length);
        }
    }
}

/* The sign and the size of a number without fraction and exponent. */
static inline bool read_integer(const struct tr_json_value *number, bool *negative, uint64_t *size)
{
    const char *at = number->text.data;
    const char *end = at + number->text.length;
    if (number->type != TR_JSON_NUMBER)
        return false;
    *negative = *at == '-';
    if (*negative)
        at++;
    uint64_t sum = 0;
    for (; at < end; at++) {
        unsigned digit = (unsigned char)(*at - '0');
        if (digit > 9 || __builtin_mul_overflow(sum, 10U, &sum) ||
            __builtin_add_overflow(sum, digit, &sum))
            return false;
    }
    *size = sum;
    return true;
}

bool tr_json_to_int(const struct tr_json_value *number, int64_t *out)
{
    bool negative;
    uint64_t size;
    if (!read_integer(number, &negative, &size) || size > (uint64_t)INT64_MAX + negative)
        return false;
    *out = negative ? (int64_t)(0 - size) : (int64_t)size;
    return true;
}

bool tr_json_to_uint(const struct tr_json_value *number, uint64_t *out)
{
    bool negative;
    return read_integer(number, &negative, out) && (!negative || *out == 0);
}

/* strtod wants a NUL behind the text, which a slice hasn't. */
static bool read_double(const char *text, double *out)
{
    *out = strtod_l(text, NULL, tr_json_c_locale());
    return isfinite(*out);
}

bool tr_json_to_double(const struct tr_json_value *number, double *out)
{
    bool negative;
    uint64_t size;
    if (number->type != TR_JSON_NUMBER)
        return false;
    if (read_integer(number, &negative, &size) && size <= (uint64_t)1 << 53) {
        *out = negative ? -(double)size : (double)size;
        return true;
    }
    char small[NUMBER_STACK_BYTES];
    size_t length = number->text.length;
    char *copy = length < sizeof(small) ? small : malloc(length + 1);
    if (copy == NULL)
        return false;
    memcpy(copy, number->text.data, length);
    copy[length] = '\0';
    bool good = read_double(copy, out);
    if (copy != small)
        free(copy);
    return good;
}

/* -1 when it is no base64 digit. */
static inline int base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Decodes up to 4 digits, of which the last may be padding, into up to 3 bytes; 0 = malformed. */
static size_t base64_group(const char *from, bool last, char out[3])
{
    size_t digits = last && from[3] == '=' ? (from[2] == '=' ? 2 : 3) : 4;
    unsigned bits = 0;
    for (size_t i = 0; i < 4; i++) {
        int digit = i < digits ? base64_digit(from[i]) : 0;
        if (digit < 0)
            return 0;
        bits = bits << 6 | (unsigned)digit;
    }
    /* Bits that belong to no byte must be zero, or two texts would mean the same bytes. */
    if ((digits == 2 && (bits & 0xffff) != 0) || (digits == 3 && (bits & 0xff) != 0))
        return 0;
    out[0] = (char)(bits >> 16);
    out[1] = (char)(bits >> 8);
    out[2] = (char)bits;
    return digits - 1;
}

/* Decodes `length` digits; `to` may be `from`, as every group is read before it is written. */
static bool base64_decode(const char *from, size_t length, char *to, size_t *to_length)
{
    *to_length = 0;
    if (length % 4 != 0)
        return false;
    for (size_t at = 0; at < length; at += 4) {
        char bytes[3];
        size_t count = base64_group(from + at, at + 4 == length, bytes);
        if (count == 0)
            return false;
        memcpy(to + *to_length, bytes, count);
        *to_length += count;
    }
    return true;
}

bool tr_json_to_bytes(const struct tr_json_value *string, struct tr_buf *out)
{
    if (string->type != TR_JSON_STRING)
        return false;
    struct tr_slice content = content_of(string);
    size_t before = out->length;
    /* Other writers escape the slash: then the digits go into the buffer and are decoded there. */
    if (string->escaped) {
        tr_json_unescape(string, out);
        content = (struct tr_slice){out->data + before, out->length - before};
        out->length = before;
    }
    if (content.length == 0)
        return true;
    char *to = tr_buf_reserve(out, content.length);
    if (to == NULL || out->failed)
        return true; /* the buffer's own failure says it */
    size_t length;
    if (!base64_decode(content.data, content.length, to, &length))
        return false;
    out->length = before + length;
    return true;
}

void tr_json_compact(struct tr_slice text, struct tr_buf *out)
{
    char *to = text.length == 0 ? NULL : tr_buf_reserve(out, text.length);
    if (to == NULL)
        return;
    char *start = to;
    const char *at = text.data;
    const char *end = at + text.length;
    bool inside = false; /* a string */
    while (at < end) {
        const char *run = at;
        if (inside) {
            at = tr_json_plain_end(at, end);
            memcpy(to, run, (size_t)(at - run));
            to += at - run;
        }
        if (at == end)
            break;
        char c = *at++;
        if (inside || (unsigned char)c > ' ')
            *to++ = c;
        if (inside && c == '\\' && at < end)
            *to++ = *at++;
        else if (c == '"')
            inside = !inside;
    }
    out->length += (size_t)(to - start);
}
