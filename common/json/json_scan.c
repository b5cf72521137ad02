/*
 * json_scan.c - see json_scan.h. Checking text and moving over it; json_value.c reads values.
 *
 * One struct scan goes over the text without recursion: a bit per open bracket says whether it is
 * an object. Every function leaves `at` behind what it accepted, or on the first bad byte.
 */
#include "json_scan.h"

#include "json_chars.h"

struct scan {
    const char *at;
    const char *end;
    unsigned depth;
    uint64_t objects[TR_JSON_DEPTH_MAX / 64];
};

static inline void skip_space(struct scan *scan)
{
    while (scan->at < scan->end && (unsigned char)*scan->at <= ' ') {
        char c = *scan->at;
        if (c != ' ' && c != '\n' && c != '\r' && c != '\t')
            return;
        scan->at++;
    }
}

static inline bool is_digit(char c)
{
    return (unsigned char)(c - '0') < 10;
}

/* Takes `c` if it is next. */
static inline bool take(struct scan *scan, char c)
{
    if (scan->at == scan->end || *scan->at != c)
        return false;
    scan->at++;
    return true;
}

static bool scan_word(struct scan *scan, const char *word)
{
    while (*word != '\0') {
        if (!take(scan, *word))
            return false;
        word++;
    }
    return true;
}

/* One or more digits. */
static inline bool scan_digits(struct scan *scan)
{
    const char *start = scan->at;
    while (scan->at < scan->end && is_digit(*scan->at))
        scan->at++;
    return scan->at > start;
}

static inline bool scan_number(struct scan *scan)
{
    take(scan, '-');
    if (!take(scan, '0') && !scan_digits(scan))
        return false;
    if (scan->at == scan->end)
        return true;
    if (*scan->at == '.') {
        scan->at++;
        if (!scan_digits(scan))
            return false;
    }
    if (scan->at < scan->end && (*scan->at == 'e' || *scan->at == 'E')) {
        scan->at++;
        if (!take(scan, '+'))
            take(scan, '-');
        return scan_digits(scan);
    }
    return true;
}

/* Four hexadecimal digits. */
static bool scan_hex(struct scan *scan, unsigned *unit)
{
    *unit = 0;
    for (int i = 0; i < 4; i++, scan->at++) {
        if (scan->at == scan->end)
            return false;
        char c = *scan->at;
        char lower = (char)(c | 0x20);
        if (is_digit(c))
            *unit = *unit << 4 | (unsigned)(c - '0');
        else if (lower >= 'a' && lower <= 'f')
            *unit = *unit << 4 | (unsigned)(lower - 'a' + 10);
        else
            return false;
    }
    return true;
}

/* Behind a backslash. Half a surrogate pair is refused: it has no UTF-8 form. */
static bool scan_escape(struct scan *scan)
{
    if (scan->at == scan->end || *scan->at == '\0' || strchr("\"\\/bfnrtu", *scan->at) == NULL)
        return false;
    if (*scan->at++ != 'u')
        return true;
    const char *start = scan->at;
    unsigned unit;
    if (!scan_hex(scan, &unit))
        return false;
    if (unit < 0xd800 || unit > 0xdfff)
        return true;
    unsigned low = 0;
    if (unit < 0xdc00 && take(scan, '\\') && take(scan, 'u') && scan_hex(scan, &low) &&
        low >= 0xdc00 && low <= 0xdfff)
        return true;
    scan->at = start;
    return false;
}

/* From the opening quote to behind the closing one. */
static inline bool scan_string(struct scan *scan, bool *escaped)
{
    *escaped = false;
    scan->at++;
    for (;;) {
        scan->at = tr_json_plain_end(scan->at, scan->end);
        if (scan->at == scan->end)
            return false;
        char c = *scan->at;
        if (c == '"') {
            scan->at++;
            return true;
        }
        if (c == '\\') {
            *escaped = true;
            scan->at++;
            if (!scan_escape(scan))
                return false;
            continue;
        }
        if ((unsigned char)c < 0x20)
            return false;
        do {
            size_t length = tr_json_utf8_step(scan->at, scan->end);
            if (length == 0)
                return false;
            scan->at += length;
        } while (scan->at < scan->end && (unsigned char)*scan->at >= 0x80);
    }
}

/* A member's name, the colon and the space around them. */
static inline bool scan_name(struct scan *scan, bool *escaped, const char **name_end)
{
    if (scan->at == scan->end || *scan->at != '"' || !scan_string(scan, escaped))
        return false;
    *name_end = scan->at;
    skip_space(scan);
    if (!take(scan, ':'))
        return false;
    skip_space(scan);
    return true;
}

/* A value without brackets. */
static inline bool scan_scalar(struct scan *scan, enum tr_json_type *type, bool *escaped)
{
    switch (*scan->at) {
    case '"':
        *type = TR_JSON_STRING;
        return scan_string(scan, escaped);
    case 't':
        *type = TR_JSON_TRUE;
        return scan_word(scan, "true");
    case 'f':
        *type = TR_JSON_FALSE;
        return scan_word(scan, "false");
    case 'n':
        *type = TR_JSON_NULL;
        return scan_word(scan, "null");
    default:
        *type = TR_JSON_NUMBER;
        return scan_number(scan);
    }
}

static inline bool in_object(const struct scan *scan)
{
    unsigned top = scan->depth - 1;
    return (scan->objects[top / 64] >> top % 64 & 1) != 0;
}

static bool push(struct scan *scan, bool object)
{
    if (scan->depth == TR_JSON_DEPTH_MAX)
        return false;
    uint64_t bit = (uint64_t)1 << scan->depth % 64;
    uint64_t *word = &scan->objects[scan->depth / 64];
    *word = object ? *word | bit : *word & ~bit;
    scan->depth++;
    return true;
}

/* Opens the bracket at `at`. Leaves `at` on its first value, or closes it when it is empty. */
static bool scan_open(struct scan *scan, bool *empty)
{
    bool escaped;
    const char *name_end;
    bool object = *scan->at == '{';
    if (!push(scan, object))
        return false;
    scan->at++;
    skip_space(scan);
    *empty = take(scan, object ? '}' : ']');
    if (*empty) {
        scan->depth--;
        return true;
    }
    return object ? scan_name(scan, &escaped, &name_end) : true;
}

/* Behind a value: closes brackets until all are closed (*done) or the next value comes. */
static bool scan_close(struct scan *scan, bool *done)
{
    bool escaped;
    const char *name_end;
    while (scan->depth > 0) {
        bool object = in_object(scan);
        skip_space(scan);
        if (take(scan, ',')) {
            skip_space(scan);
            *done = false;
            return object ? scan_name(scan, &escaped, &name_end) : true;
        }
        if (!take(scan, object ? '}' : ']'))
            return false;
        scan->depth--;
    }
    *done = true;
    return true;
}

/* Everything up to the bracket that closes the one at `at`. */
static bool scan_nested(struct scan *scan)
{
    enum tr_json_type type;
    bool escaped;
    bool done = false;
    scan->depth = 0;
    while (!done) {
        bool complete = true;
        if (scan->at == scan->end)
            return false;
        if (*scan->at == '{' || *scan->at == '[') {
            if (!scan_open(scan, &complete))
                return false;
        } else if (!scan_scalar(scan, &type, &escaped)) {
            return false;
        }
        if (complete && !scan_close(scan, &done))
            return false;
    }
    return true;
}

/* The value at `at`, which is not white space. */
static inline bool scan_value(struct scan *scan, struct tr_json_value *value)
{
    const char *start = scan->at;
    if (start == scan->end)
        return false;
    bool good;
    value->escaped = false;
    if (*start == '{' || *start == '[') {
        value->type = *start == '{' ? TR_JSON_OBJECT : TR_JSON_ARRAY;
        good = scan_nested(scan);
    } else {
        good = scan_scalar(scan, &value->type, &value->escaped);
    }
    value->text = (struct tr_slice){start, (size_t)(scan->at - start)};
    return good;
}

static int malformed(const struct scan *scan, const char *start, struct tr_error *err)
{
    bool bracket = scan->at < scan->end && (*scan->at == '[' || *scan->at == '{');
    if (bracket && scan->depth == TR_JSON_DEPTH_MAX)
        return tr_error_set(err, TR_EFORMAT, "JSON is nested deeper than %d at byte %zu",
                            TR_JSON_DEPTH_MAX, (size_t)(scan->at - start));
    return tr_error_set(err, TR_EFORMAT, "malformed JSON at byte %zu", (size_t)(scan->at - start));
}

static inline void scan_init(struct scan *scan, const char *at, const char *end)
{
    /* objects[] stays as it is: push sets each bit before in_object reads it. */
    scan->at = at;
    scan->end = end;
    scan->depth = 0;
}

int tr_json_parse(struct tr_slice text, struct tr_json_value *value, struct tr_error *err)
{
    struct scan scan;
    if (text.length == 0)
        return tr_error_set(err, TR_EFORMAT, "malformed JSON at byte 0: the text is empty");
    scan_init(&scan, text.data, text.data + text.length);
    skip_space(&scan);
    if (!scan_value(&scan, value))
        return malformed(&scan, text.data, err);
    skip_space(&scan);
    if (scan.at != scan.end)
        return malformed(&scan, text.data, err);
    return 0;
}

void tr_json_enter(struct tr_json_cursor *cursor, const struct tr_json_value *value)
{
    *cursor = (struct tr_json_cursor){
        .start = value->text.data,
        .at = value->text.data + 1,
        .end = value->text.data + value->text.length,
        .first = true,
        .object = value->type == TR_JSON_OBJECT,
    };
}

int tr_json_open(struct tr_json_cursor *cursor, struct tr_slice text, struct tr_error *err)
{
    if (text.length == 0 || (text.data[0] != '{' && text.data[0] != '['))
        return tr_error_set(err, TR_EFORMAT, "malformed JSON at byte 0: no object or array");
    struct tr_json_value value = {
        .type = text.data[0] == '{' ? TR_JSON_OBJECT : TR_JSON_ARRAY,
        .text = text,
    };
    tr_json_enter(cursor, &value);
    return 0;
}

/* To the next member's name or item: 1, at the closing bracket: 0, otherwise -1. */
static inline int step_in(struct scan *scan, const struct tr_json_cursor *cursor)
{
    skip_space(scan);
    if (take(scan, cursor->object ? '}' : ']'))
        return 0;
    if (!cursor->first) {
        if (!take(scan, ','))
            return -1;
        skip_space(scan);
    }
    return 1;
}

int tr_json_next(struct tr_json_cursor *cursor, struct tr_json_value *name,
                 struct tr_json_value *value, struct tr_error *err)
{
    struct scan scan;
    scan_init(&scan, cursor->at, cursor->end);
    int step = step_in(&scan, cursor);
    if (step < 0)
        return malformed(&scan, cursor->start, err);
    if (step == 0) {
        cursor->at = scan.at;
        return 0;
    }
    if (cursor->object) {
        const char *start = scan.at;
        const char *name_end;
        bool escaped;
        if (!scan_name(&scan, &escaped, &name_end))
            return malformed(&scan, cursor->start, err);
        *name =
            (struct tr_json_value){TR_JSON_STRING, escaped, {start, (size_t)(name_end - start)}};
    }
    if (!scan_value(&scan, value))
        return malformed(&scan, cursor->start, err);
    cursor->at = scan.at;
    cursor->first = false;
    return 1;
}

int tr_json_find(const struct tr_json_value *object, const char *name, struct tr_json_value *value,
                 struct tr_error *err)
{
    struct tr_json_cursor cursor;
    struct tr_json_value key;
    struct tr_slice wanted = tr_slice_of(name);
    tr_json_enter(&cursor, object);
    for (;;) {
        int got = tr_json_next(&cursor, &key, value, err);
        if (got <= 0)
            return got;
        if (cursor.object && tr_json_equal(&key, wanted))
            return 1;
    }
}
