/* charset.c - see charset.h. */
#include "charset.h"

#include "collations.h"
#include "json_writer.h"

#define HIGH_BITS 0x8080808080808080U
#define UTF8_PER_LATIN1 3 /* bytes at most */

/* cp1252's 80–9f; all other bytes are their own number in Unicode. */
static const uint16_t latin1_80[32] = {
    0x20ac, 0x0081, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160,
    0x2039, 0x0152, 0x008d, 0x017d, 0x008f, 0x0090, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022,
    0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0x009d, 0x017e, 0x0178,
};

bool tr_charset_is_ascii(struct tr_slice text)
{
    size_t at = 0;
    uint64_t seen = 0;
    for (; text.length - at >= sizeof(seen); at += sizeof(seen)) {
        uint64_t word;
        memcpy(&word, text.data + at, sizeof(word));
        seen |= word;
    }
    for (; at < text.length; at++)
        seen |= (uint64_t)(uint8_t)text.data[at];
    return (seen & HIGH_BITS) == 0;
}

static size_t put_utf8(char *to, unsigned point)
{
    if (point < 0x80) {
        to[0] = (char)point;
        return 1;
    }
    if (point < 0x800) {
        to[0] = (char)(0xc0 | point >> 6);
        to[1] = (char)(0x80 | (point & 0x3f));
        return 2;
    }
    to[0] = (char)(0xe0 | point >> 12);
    to[1] = (char)(0x80 | (point >> 6 & 0x3f));
    to[2] = (char)(0x80 | (point & 0x3f));
    return 3;
}

void tr_charset_latin1(struct tr_slice text, struct tr_buf *out)
{
    for (size_t i = 0; i < text.length; i++) {
        char *to = tr_buf_reserve(out, UTF8_PER_LATIN1);
        if (to == NULL)
            return;
        uint8_t byte = (uint8_t)text.data[i];
        unsigned point = byte >= 0x80 && byte < 0xa0 ? latin1_80[byte - 0x80] : byte;
        out->length += put_utf8(to, point);
    }
}

/* Character by character: what lies beyond ASCII can be neither quote nor control character. */
static void latin1_json(struct tr_slice text, struct tr_buf *out)
{
    tr_buf_append_char(out, '"');
    size_t at = 0;
    while (at < text.length) {
        size_t next = at;
        while (next < text.length && (uint8_t)text.data[next] < 0x80)
            next++;
        if (next > at) {
            /* The JSON writer's quotes are taken off again: it writes only whole strings. */
            size_t before = out->length;
            if (!tr_json_string(out, text.data + at, next - at) || out->failed)
                return;
            size_t written = out->length - before;
            memmove(out->data + before, out->data + before + 1, written - 2);
            out->length -= 2;
        }
        at = next;
        while (next < text.length && (uint8_t)text.data[next] >= 0x80)
            next++;
        tr_charset_latin1((struct tr_slice){text.data + at, next - at}, out);
        at = next;
    }
    tr_buf_append_char(out, '"');
}

bool tr_charset_json(enum tr_charset charset, struct tr_slice text, struct tr_buf *out)
{
    switch (charset) {
    case TR_CHARSET_UTF8:
        return tr_json_string(out, text.data, text.length);
    case TR_CHARSET_ASCII:
        return tr_charset_is_ascii(text) && tr_json_string(out, text.data, text.length);
    case TR_CHARSET_LATIN1:
        if (tr_charset_is_ascii(text))
            return tr_json_string(out, text.data, text.length);
        latin1_json(text, out);
        return true;
    case TR_CHARSET_BINARY:
    case TR_CHARSET_OTHER:
        break;
    }
    return false;
}

const struct tr_charset_info *tr_collation_charset(uint64_t collation)
{
    size_t low = 0, high = tr_collation_run_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct tr_collation_run *run = &tr_collation_runs[middle];
        if (collation > run->last)
            low = middle + 1;
        else if (collation < run->first)
            high = middle;
        else
            return &tr_charsets[run->charset];
    }
    return NULL;
}
