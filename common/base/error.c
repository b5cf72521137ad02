/* error.c - see error.h. */
#include "error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#undef tr_error_set
#undef tr_error_set_native

struct error_row {
    const char *name;
    const char *text;
    enum tr_error_class cls;
    int exit_code;
};

static const struct error_row error_rows[] = {{"OK", "ok", TR_CLASS_STOPPED, 0},
#define ERROR_ROW(name, cls, exit, text) {#name, text, TR_CLASS_##cls, exit},
                                              TR_ERRORS(ERROR_ROW)
#undef ERROR_ROW
};

static const struct error_row *row_of(int code)
{
    size_t count = sizeof(error_rows) / sizeof(error_rows[0]);
    size_t index = code <= 0 ? (size_t)-code : count;
    return index < count ? &error_rows[index] : &error_rows[TR_NUMBER_EBUG];
}

void tr_error_reset(struct tr_error *err)
{
    err->code = 0;
    err->native = 0;
    err->frame_count = 0;
    err->text[0] = '\0';
}

static int set_va(struct tr_error *err, int code, int native, const char *format, va_list args)
    __attribute__((format(printf, 4, 0)));

static int set_va(struct tr_error *err, int code, int native, const char *format, va_list args)
{
    if (err->code != 0)
        return err->code;
    err->code = code;
    err->native = native;
    err->frame_count = 0;
    vsnprintf(err->text, sizeof(err->text), format, args);
    return code;
}

int tr_error_set(struct tr_error *err, int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int result = set_va(err, code, 0, format, args);
    va_end(args);
    return result;
}

int tr_error_set_native(struct tr_error *err, int code, int native, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int result = set_va(err, code, native, format, args);
    va_end(args);
    return result;
}

int tr_error_frame(struct tr_error *err, const char *format, ...)
{
    if (err->code == 0 || err->frame_count >= TR_ERROR_FRAMES_MAX)
        return err->code;
    va_list args;
    va_start(args, format);
    vsnprintf(err->frames[err->frame_count++], sizeof(err->frames[0]), format, args);
    va_end(args);
    return err->code;
}

const char *tr_error_format(const struct tr_error *err, char *out, size_t size)
{
    int used = snprintf(out, size, "%s", err->text);
    if (err->native != 0 && used > 0 && (size_t)used < size)
        used += snprintf(out + used, size - (size_t)used, " (error %d)", err->native);
    for (unsigned i = 0; i < err->frame_count && used > 0 && (size_t)used < size; i++)
        used += snprintf(out + used, size - (size_t)used, "%s%s%s", i == 0 ? " [" : "; ",
                         err->frames[i], i + 1 == err->frame_count ? "]" : "");
    return out;
}

const char *tr_error_name(int code)
{
    return row_of(code)->name;
}

const char *tr_error_text(int code)
{
    return row_of(code)->text;
}

enum tr_error_class tr_error_class_of(int code)
{
    return row_of(code)->cls;
}

int tr_error_exit_code(int code)
{
    return row_of(code)->exit_code;
}
