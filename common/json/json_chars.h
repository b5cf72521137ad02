/*
 * json_chars.h - how the JSON writer and the scanner look at bytes; private to common/json.
 *
 * Most bytes of a string need no attention. tr_json_plain_end passes over them 16 or 8 at a time
 * and stops at the first that does: a quote, a backslash, a control character, or not ASCII.
 */
#ifndef TR_JSON_CHARS_H
#define TR_JSON_CHARS_H

#include <locale.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define TR_JSON_EACH_BYTE 0x0101010101010101U
#define TR_JSON_HIGH_BITS 0x8080808080808080U

static inline bool tr_json_is_plain(char c)
{
    unsigned char byte = (unsigned char)c;
    return byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
}

/* A non-zero byte wherever `word` has a zero byte; also above one, so only zero or not counts. */
static inline uint64_t tr_json_zero_bytes(uint64_t word)
{
    return (word - TR_JSON_EACH_BYTE) & ~word & TR_JSON_HIGH_BITS;
}

/* Whether the 8 bytes at `at` are all plain. */
static inline bool tr_json_plain_8(const char *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof(word));
    uint64_t control = (word - TR_JSON_EACH_BYTE * 0x20) & ~word & TR_JSON_HIGH_BITS;
    return ((word & TR_JSON_HIGH_BITS) | control |
            tr_json_zero_bytes(word ^ TR_JSON_EACH_BYTE * '"') |
            tr_json_zero_bytes(word ^ TR_JSON_EACH_BYTE * '\\')) == 0;
}

#ifdef __SSE2__
/* A bit for each of 16 bytes that is not plain. Bytes above 0x7f are negative, so below 0x20 too.
 */
static inline unsigned tr_json_odd_16(__m128i bytes)
{
    __m128i odd = _mm_or_si128(_mm_cmplt_epi8(bytes, _mm_set1_epi8(0x20)),
                               _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')),
                                            _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'))));
    return (unsigned)_mm_movemask_epi8(odd);
}
#endif

/* The first byte from `at` on that is not plain, or `end`. */
static inline const char *tr_json_plain_end(const char *at, const char *end)
{
#ifdef __SSE2__
    for (; end - at >= 16; at += 16) {
        unsigned odd = tr_json_odd_16(_mm_loadu_si128((const __m128i *)(const void *)at));
        if (odd != 0)
            return at + __builtin_ctz(odd);
    }
#endif
    while (end - at >= 8 && tr_json_plain_8(at))
        at += 8;
    while (at < end && tr_json_is_plain(*at))
        at++;
    return at;
}

static inline bool tr_json_is_tail(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

/*
 * The length, 2 to 4, of the well-formed UTF-8 sequence at `at`, whose first byte is not ASCII; 0
 * when it is none (Unicode, table 3-7: no overlong form, no surrogate, nothing above U+10FFFF).
 */
static inline size_t tr_json_utf8_step(const char *at, const char *end)
{
    unsigned char lead = (unsigned char)at[0];
    size_t left = (size_t)(end - at);
    if (lead < 0xc2 || lead > 0xf4 || left < 2 || !tr_json_is_tail(at[1]))
        return 0;
    if (lead < 0xe0)
        return 2;
    unsigned char second = (unsigned char)at[1];
    if (left < 3 || !tr_json_is_tail(at[2]))
        return 0;
    if (lead < 0xf0)
        return (lead == 0xe0 && second < 0xa0) || (lead == 0xed && second > 0x9f) ? 0 : 3;
    if (left < 4 || !tr_json_is_tail(at[3]))
        return 0;
    return (lead == 0xf0 && second < 0x90) || (lead == 0xf4 && second > 0x8f) ? 0 : 4;
}

/* The locale in which numbers are written with a point; never freed ("C" is a constant of libc). */
static inline locale_t tr_json_c_locale(void)
{
    return newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

#endif
