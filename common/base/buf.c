/* buf.c - see buf.h. */
#include "buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define BUF_FIRST_BYTES 256

void tr_buf_init(struct tr_buf *buf, size_t limit)
{
    *buf = (struct tr_buf){.limit = limit};
}

void tr_buf_done(struct tr_buf *buf)
{
    free(buf->data);
    *buf = (struct tr_buf){0};
}

/* Without free room, the inline writers come here again and are refused. */
static bool fail(struct tr_buf *buf)
{
    buf->failed = true;
    buf->capacity = buf->length;
    return false;
}

bool tr_buf_grow(struct tr_buf *buf, size_t more)
{
    if (buf->failed)
        return fail(buf);
    buf->no_memory = false;
    if (more > buf->limit || buf->length > buf->limit - more)
        return fail(buf);
    size_t needed = buf->length + more;
    size_t capacity = buf->capacity < BUF_FIRST_BYTES ? BUF_FIRST_BYTES : buf->capacity;
    if (capacity > buf->limit)
        capacity = buf->limit;
    while (capacity < needed)
        capacity = capacity > buf->limit / 2 ? buf->limit : capacity * 2;
    char *data = realloc(buf->data, capacity);
    if (data == NULL) {
        buf->no_memory = true;
        return fail(buf);
    }
    buf->data = data;
    buf->capacity = capacity;
    return true;
}

void tr_buf_printf(struct tr_buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int needed = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *to = needed < 0 ? NULL : tr_buf_reserve(buf, (size_t)needed + 1);
    if (to == NULL) {
        fail(buf);
        return;
    }
    va_start(args, format);
    vsnprintf(to, (size_t)needed + 1, format, args);
    va_end(args);
    buf->length += (size_t)needed;
}

int tr_buf_check(const struct tr_buf *buf, const char *what, struct tr_error *err)
{
    if (!buf->failed)
        return 0;
    if (buf->no_memory)
        return tr_error_set(err, TR_ENOMEM, "no memory for %s: it has %zu bytes so far", what,
                            buf->length);
    return tr_error_set(err, TR_ELIMIT, "%s does not fit into %zu bytes", what, buf->limit);
}
