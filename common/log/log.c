/* log.c - see log.h. */
#include "log.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"
#include "clock.h"
#include "json_writer.h"

#define LINE_BYTES_MAX 16384
#define VALUE_BYTES_MAX 1024 /* a longer text is cut, so that one value can't use up a line */

static const char *const level_names[] = {"debug", "info", "warn", "error"};

static _Atomic int minimum_level = TR_LOG_INFO;
static _Atomic int line_format = TR_LOG_AUTO;
/* Held for the write alone: one that the kernel takes in two parts must not be torn by another. */
static pthread_mutex_t write_lock = PTHREAD_MUTEX_INITIALIZER;

void tr_log_init(enum tr_log_level minimum, enum tr_log_format format)
{
    if (format == TR_LOG_AUTO)
        format = isatty(STDERR_FILENO) ? TR_LOG_LOGFMT : TR_LOG_JSON;
    atomic_store(&minimum_level, (int)minimum);
    atomic_store(&line_format, (int)format);
}

/* A quoted string of bytes that may not be UTF-8: those that are not ASCII become '?' then. */
static void put_quoted(struct tr_buf *line, const char *text, size_t length)
{
    char ascii[VALUE_BYTES_MAX];
    if (tr_json_string(line, text, length))
        return;
    for (size_t i = 0; i < length; i++) {
        ascii[i] = '?';
        if ((unsigned char)text[i] < 0x80)
            ascii[i] = text[i];
    }
    tr_json_text(line, (struct tr_slice){ascii, length});
}

/* Whether logfmt can carry the text without quotes. */
static bool is_bare(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c <= ' ' || c >= 0x7f || c == '"' || c == '=' || c == '\\')
            return false;
    }
    return length > 0;
}

static void put_text(struct tr_buf *line, bool json, const char *text)
{
    static const char mark[3] = {'.', '.', '.'};
    char cut[VALUE_BYTES_MAX];
    size_t length = strnlen(text, VALUE_BYTES_MAX + 1);
    if (length > VALUE_BYTES_MAX) {
        size_t keep = VALUE_BYTES_MAX - sizeof(mark);
        while (keep > 0 && ((unsigned char)text[keep] & 0xc0) == 0x80)
            keep--; /* not in the middle of a character */
        memcpy(cut, text, keep);
        memcpy(cut + keep, mark, sizeof(mark));
        text = cut;
        length = keep + sizeof(mark);
    }
    if (!json && is_bare(text, length))
        tr_buf_append(line, text, length);
    else
        put_quoted(line, text, length);
}

static void put_key(struct tr_buf *line, bool json, const char *key)
{
    if (json) {
        tr_json_member(line, line->length == 1, key);
        return;
    }
    if (line->length > 0)
        tr_buf_append_char(line, ' ');
    tr_buf_append(line, key, strlen(key));
    tr_buf_append_char(line, '=');
}

static void put_member(struct tr_buf *line, bool json, const char *key, const char *text)
{
    put_key(line, json, key);
    put_text(line, json, text);
}

static void put_time(struct tr_buf *line, bool json)
{
    char text[40];
    struct tm parts;
    int64_t now = tr_clock_wall_us();
    time_t seconds = (time_t)(now / 1000000);
    gmtime_r(&seconds, &parts);
    size_t used = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &parts);
    unsigned ms = (unsigned)(now % 1000000 / 1000);
    const char tail[] = {
        '.', (char)('0' + ms / 100), (char)('0' + ms / 10 % 10), (char)('0' + ms % 10), 'Z', '\0'};
    memcpy(text + used, tail, sizeof(tail));
    put_member(line, json, "ts", text);
}

static void put_field(struct tr_buf *line, bool json, const struct tr_log_field *field)
{
    put_key(line, json, field->key);
    switch (field->type) {
    case TR_LOG_TEXT:
        put_text(line, json, field->text != NULL ? field->text : "");
        return;
    case TR_LOG_INT:
        tr_json_int(line, field->number);
        return;
    case TR_LOG_DOUBLE:
        if (!tr_json_double(line, field->real))
            TR_JSON_LITERAL(line, "null");
        return;
    }
}

static void write_all(const char *data, size_t length)
{
    pthread_mutex_lock(&write_lock);
    while (length > 0) {
        ssize_t written = write(STDERR_FILENO, data, length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            break; /* there is nowhere to say it */
        data += written;
        length -= (size_t)written;
    }
    pthread_mutex_unlock(&write_lock);
}

bool tr_log_is_json(void)
{
    int format = atomic_load(&line_format);
    if (format == TR_LOG_AUTO)
        format = isatty(STDERR_FILENO) ? TR_LOG_LOGFMT : TR_LOG_JSON;
    return format == TR_LOG_JSON;
}

/* Appends the field, or forgets it when the line has no room: a line is cut at a field's end. */
static bool add_field(struct tr_buf *line, bool json, const struct tr_log_field *field)
{
    size_t before = line->length;
    put_field(line, json, field);
    if (!line->failed)
        return true;
    line->failed = false;
    line->length = before;
    return false;
}

void tr_log_write(enum tr_log_level level, const char *component, const char *event,
                  const struct tr_log_field *fields)
{
    if ((int)level < atomic_load(&minimum_level))
        return;
    bool json = tr_log_is_json();
    struct tr_buf line;
    tr_buf_init(&line, LINE_BYTES_MAX);
    if (json)
        tr_buf_append_char(&line, '{');
    put_time(&line, json);
    put_member(&line, json, "level", level_names[level]);
    put_member(&line, json, "component", component);
    put_member(&line, json, "event", event);
    while (fields->key != NULL && add_field(&line, json, fields))
        fields++;
    line.limit += 2; /* the end of the line always fits */
    tr_buf_append(&line, json ? "}\n" : "\n", json ? 2 : 1);
    write_all(line.data, line.length);
    tr_buf_done(&line);
}

void tr_log_error(enum tr_log_level level, const char *component, const struct tr_error *err,
                  const char *next)
{
    struct tr_log_field fields[TR_ERROR_FRAMES_MAX + 5];
    static const char *const frame_keys[TR_ERROR_FRAMES_MAX] = {"where", "where2", "where3",
                                                                "where4"};
    size_t count = 0;
    fields[count++] = TR_STR("code", tr_error_name(err->code));
    fields[count++] = TR_STR("error", err->text);
    if (err->native != 0)
        fields[count++] = TR_INT("native", err->native);
    for (unsigned i = 0; i < err->frame_count; i++)
        fields[count++] = TR_STR(frame_keys[i], err->frames[i]);
    if (next[0] != '\0')
        fields[count++] = TR_STR("next", next);
    fields[count] = TR_END;
    tr_log_write(level, component, tr_error_text(err->code), fields);
}
