/*
 * buf.h - a growing byte buffer with a limit.
 *
 * Writers append without checking each call: a buffer that could not grow turns `failed` and takes
 * nothing more, and the writer asks once, at the end of a record. One owner, one thread at a time.
 */
#ifndef TR_BUF_H
#define TR_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "error.h"

struct tr_buf {
    char *data;
    size_t length;
    size_t capacity;
    size_t limit; /* bytes; reached = failed */
    bool failed;
    bool no_memory; /* why it failed; else the limit */
};

/* A piece of bytes that somebody else owns. */
struct tr_slice {
    const char *data;
    size_t length;
};

#define TR_SLICE(literal) ((struct tr_slice){literal, sizeof(literal) - 1})

void tr_buf_init(struct tr_buf *buf, size_t limit);
void tr_buf_done(struct tr_buf *buf);
/* Grows to at least `more` free bytes; false (and failed) when limit or memory forbid it. */
bool tr_buf_grow(struct tr_buf *buf, size_t more);
/* printf at the end of the buffer. */
void tr_buf_printf(struct tr_buf *buf, const char *format, ...) TR_PRINTF(2, 3);
/* Sets TR_ELIMIT or TR_ENOMEM if the buffer failed. `what` names the content. */
int tr_buf_check(const struct tr_buf *buf, const char *what, struct tr_error *err) TR_MUST_CHECK;

static inline void tr_buf_reset(struct tr_buf *buf)
{
    buf->length = 0;
    buf->failed = false;
    buf->no_memory = false;
}

/* Room for `more` bytes at the end; NULL when failed. The caller adds to length what it wrote. */
static inline char *tr_buf_reserve(struct tr_buf *buf, size_t more)
{
    if (buf->capacity - buf->length < more && !tr_buf_grow(buf, more))
        return NULL;
    return buf->data + buf->length;
}

static inline void tr_buf_append(struct tr_buf *buf, const void *data, size_t length)
{
    if (length == 0)
        return;
    char *to = tr_buf_reserve(buf, length);
    if (to == NULL)
        return;
    memcpy(to, data, length);
    buf->length += length;
}

static inline void tr_buf_append_char(struct tr_buf *buf, char c)
{
    char *to = tr_buf_reserve(buf, 1);
    if (to == NULL)
        return;
    *to = c;
    buf->length++;
}

static inline void tr_buf_append_slice(struct tr_buf *buf, struct tr_slice slice)
{
    tr_buf_append(buf, slice.data, slice.length);
}

static inline struct tr_slice tr_slice_of(const char *text)
{
    return (struct tr_slice){text, strlen(text)};
}

static inline bool tr_slice_equal(struct tr_slice a, struct tr_slice b)
{
    return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

#endif
