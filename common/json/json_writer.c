/* json_writer.c - see json_writer.h. */
#include "json_writer.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "json_chars.h"

#define DECIMAL_DIGITS_MAX 20 /* of a uint64_t */
#define ESCAPE_BYTES_MAX 6    /* \u001f */

/* Copies bytes up to the first that is not plain; returns how many. `to` has room for all. */
static inline size_t copy_plain(char *to, const char *from, const char *end)
{
    const char *at = from;
#ifdef __SSE2__
    for (; end - at >= 16; at += 16, to += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
        _mm_storeu_si128((__m128i *)(void *)to, bytes);
        unsigned odd = tr_json_odd_16(bytes);
        if (odd != 0)
            return (size_t)(at - from) + (size_t)__builtin_ctz(odd);
    }
#endif
    for (; end - at >= 8 && tr_json_plain_8(at); at += 8, to += 8)
        memcpy(to, at, 8);
    while (at < end && tr_json_is_plain(*at))
        *to++ = *at++;
    return (size_t)(at - from);
}

/* Writes the shortest escape of a quote, a backslash or a control character. */
static size_t put_escape(char *to, char c)
{
    static const char hex[] = "0123456789abcdef";
    static const char letters[0x20] = {
        ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r',
    };
    unsigned char byte = (unsigned char)c;
    to[0] = '\\';
    to[1] = c;
    if (byte < 0x20)
        to[1] = letters[byte];
    if (to[1] != '\0')
        return 2;
    memcpy(to + 1, "u00", 3);
    to[4] = hex[byte >> 4];
    to[5] = hex[byte & 0xf];
    return 6;
}

/* Copies UTF-8 sequences up to the next ASCII byte; false at bytes that are none. */
static inline bool copy_sequences(char **to, const char **at, const char *end)
{
    while (*at < end && (unsigned char)**at >= 0x80) {
        size_t length = tr_json_utf8_step(*at, end);
        if (length == 0)
            return false;
        for (size_t i = 0; i < length; i++)
            *(*to)++ = *(*at)++;
    }
    return true;
}

bool tr_json_string(struct tr_buf *buf, const char *data, size_t length)
{
    size_t before = buf->length;
    char *to = tr_buf_reserve(buf, length + 2);
    if (to == NULL)
        return true; /* the buffer's own failure says it */
    const char *at = length > 0 ? data : "";
    const char *end = at + length;
    *to++ = '"';
    for (;;) {
        size_t plain = copy_plain(to, at, end);
        at += plain;
        to += plain;
        if (at == end)
            break;
        if ((unsigned char)*at >= 0x80) {
            if (!copy_sequences(&to, &at, end)) {
                buf->length = before;
                return false;
            }
            continue;
        }
        /* An escape takes more room than was reserved: that of the rest and the quote as well. */
        buf->length = (size_t)(to - buf->data);
        to = tr_buf_reserve(buf, ESCAPE_BYTES_MAX + (size_t)(end - at));
        if (to == NULL)
            return true;
        to += put_escape(to, *at++);
    }
    *to++ = '"';
    buf->length = (size_t)(to - buf->data);
    return true;
}

void tr_json_text(struct tr_buf *buf, struct tr_slice text)
{
    bool valid = tr_json_string(buf, text.data, text.length);
    assert(valid);
    (void)valid;
}

/* Writes the digits of `value` so that they end at `end`; returns where they begin. */
static inline char *put_digits(char *end, uint64_t value)
{
    static const char pairs[] = "00010203040506070809101112131415161718192021222324"
                                "25262728293031323334353637383940414243444546474849"
                                "50515253545556575859606162636465666768697071727374"
                                "75767778798081828384858687888990919293949596979899";
    char *at = end;
    while (value >= 100) {
        at -= 2;
        memcpy(at, pairs + value % 100 * 2, 2);
        value /= 100;
    }
    if (value >= 10) {
        at -= 2;
        memcpy(at, pairs + value * 2, 2);
    } else {
        *--at = (char)('0' + value);
    }
    return at;
}

void tr_json_uint(struct tr_buf *buf, uint64_t value)
{
    char digits[DECIMAL_DIGITS_MAX];
    char *end = digits + sizeof(digits);
    char *at = put_digits(end, value);
    tr_buf_append(buf, at, (size_t)(end - at));
}

void tr_json_int(struct tr_buf *buf, int64_t value)
{
    char digits[DECIMAL_DIGITS_MAX + 1];
    char *end = digits + sizeof(digits);
    char *at = put_digits(end, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
    if (value < 0)
        *--at = '-';
    tr_buf_append(buf, at, (size_t)(end - at));
}

/* Writes mantissa / 10^scale with all its digits. */
static void put_scaled(struct tr_buf *buf, bool negative, uint64_t mantissa, unsigned scale)
{
    char text[DECIMAL_DIGITS_MAX + 4];
    char *end = text + sizeof(text);
    char *at = put_digits(end, mantissa);
    while (end - at <= (ptrdiff_t)scale)
        *--at = '0';
    if (scale > 0) {
        size_t whole = (size_t)(end - at) - scale;
        memmove(at - 1, at, whole);
        at--;
        at[whole] = '.';
    }
    if (negative)
        *--at = '-';
    tr_buf_append(buf, at, (size_t)(end - at));
}

/*
 * Most numbers that people store have few decimals. m / 10^k with m < 2^53 and k <= 22 is rounded
 * once, so if it gives the value back then so does the text; and up to 15 digits (6 of a float, for
 * which the double's second rounding can't matter either) that text is the only one of its length.
 */
static bool put_short(struct tr_buf *buf, double value, double mantissa_max, bool is_float)
{
    static const double powers[] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6};
    double size = fabs(value);
    for (unsigned scale = 0; scale < sizeof(powers) / sizeof(powers[0]); scale++) {
        double scaled = size * powers[scale] + 0.5;
        if (scaled >= mantissa_max)
            return false;
        uint64_t mantissa = (uint64_t)scaled;
        double back = (double)mantissa / powers[scale];
        if (is_float ? (float)back == (float)size : back == size) {
            put_scaled(buf, signbit(value) != 0, mantissa, scale);
            return true;
        }
    }
    return false;
}

/* Tries precisions until the text reads back as the value, in a locale with a decimal point. */
static void put_printed(struct tr_buf *buf, double value, int first, int last, bool is_float)
{
    char text[40];
    int used = 0;
    locale_t before = uselocale(tr_json_c_locale());
    for (int precision = first; precision <= last; precision++) {
        used = snprintf(text, sizeof(text), "%.*g", precision, value);
        if (is_float ? strtof(text, NULL) == (float)value : strtod(text, NULL) == value)
            break;
    }
    uselocale(before);
    tr_buf_append(buf, text, (size_t)used);
}

bool tr_json_double(struct tr_buf *buf, double value)
{
    if (!isfinite(value))
        return false;
    if (fabs(value) < 9007199254740992.0 && (double)(int64_t)value == value)
        put_scaled(buf, signbit(value) != 0, (uint64_t)fabs(value), 0);
    else if (!put_short(buf, value, 1e15, false))
        put_printed(buf, value, fabs(value) < DBL_MIN ? 1 : DBL_DIG, DBL_DECIMAL_DIG, false);
    return true;
}

bool tr_json_float(struct tr_buf *buf, float value)
{
    if (!isfinite(value))
        return false;
    if (fabsf(value) < 16777216.0F && (float)(int32_t)value == value)
        put_scaled(buf, signbit(value) != 0, (uint64_t)fabsf(value), 0);
    else if (!put_short(buf, (double)value, 1e6, true))
        put_printed(buf, (double)value, fabsf(value) < FLT_MIN ? 1 : FLT_DIG, FLT_DECIMAL_DIG,
                    true);
    return true;
}

void tr_json_base64(struct tr_buf *buf, const void *data, size_t length)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *at = data;
    char *to = length > SIZE_MAX / 2 ? NULL : tr_buf_reserve(buf, (length + 2) / 3 * 4 + 2);
    if (to == NULL) {
        buf->failed = true;
        return;
    }
    char *start = to;
    *to++ = '"';
    for (; length >= 3; length -= 3, at += 3) {
        unsigned group = (unsigned)at[0] << 16 | (unsigned)at[1] << 8 | at[2];
        *to++ = digits[group >> 18];
        *to++ = digits[group >> 12 & 63];
        *to++ = digits[group >> 6 & 63];
        *to++ = digits[group & 63];
    }
    if (length > 0) {
        unsigned group = (unsigned)at[0] << 16 | (length == 2 ? (unsigned)at[1] << 8 : 0);
        *to++ = digits[group >> 18];
        *to++ = digits[group >> 12 & 63];
        *to++ = '=';
        *to++ = '=';
        if (length == 2)
            to[-2] = digits[group >> 6 & 63];
    }
    *to++ = '"';
    buf->length += (size_t)(to - start);
}

void tr_json_bool(struct tr_buf *buf, bool value)
{
    if (value)
        TR_JSON_LITERAL(buf, "true");
    else
        TR_JSON_LITERAL(buf, "false");
}

void tr_json_member(struct tr_buf *buf, bool first, const char *name)
{
    struct tr_slice text = tr_slice_of(name);
    char *to = tr_buf_reserve(buf, text.length + 4);
    if (to == NULL)
        return;
    char *start = to;
    if (!first)
        *to++ = ',';
    *to++ = '"';
    memcpy(to, text.data, text.length);
    to += text.length;
    *to++ = '"';
    *to++ = ':';
    buf->length += (size_t)(to - start);
}

bool tr_json_utf8_valid(const char *data, size_t length)
{
    const char *at = data;
    const char *end = length > 0 ? data + length : data;
    while (at < end) {
        uint64_t word;
        if (end - at >= 8) {
            memcpy(&word, at, sizeof(word));
            if ((word & TR_JSON_HIGH_BITS) == 0) {
                at += 8;
                continue;
            }
        }
        size_t step = (unsigned char)*at < 0x80 ? 1 : tr_json_utf8_step(at, end);
        if (step == 0)
            return false;
        at += step;
    }
    return true;
}
