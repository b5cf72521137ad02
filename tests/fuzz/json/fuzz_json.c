/*
 * fuzz_json.c - the JSON scanner against jansson: both must accept the same texts and read the same
 * values from them; and what the writer makes of those values must be read back the same.
 *
 * The two differ in five places, each of which is checked to be the whole reason:
 *   - nesting: ours ends at TR_JSON_DEPTH_MAX, jansson's at 2048;
 *   - integers beyond 64 bits with sign: jansson refuses the text, our text stays and only
 *     tr_json_to_int refuses;
 *   - reals beyond a double: the same with tr_json_to_double;
 *   - names that contain a NUL, escaped: jansson refuses them;
 *   - a NUL byte as it is: no JSON text has one, but jansson loses it behind a number or a word.
 */
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "fuzz.h"
#include "json_scan.h"
#include "json_writer.h"

#define SCRATCH_BYTES_MAX ((size_t)64 << 20)

/* What one walk over a text found. */
struct walk {
    bool overflow;    /* a number that no int64_t or double holds */
    bool nul_in_name; /* a member's name that jansson refuses */
    unsigned depth;   /* the deepest nesting */
};

static json_t *build(const struct tr_json_value *value, unsigned depth, struct walk *walk);

static struct tr_slice slice_of(const struct tr_buf *buf)
{
    return (struct tr_slice){buf->data, buf->length};
}

/* The content of a string, in `out`; and that the writer's string means the same. */
static void check_string(const struct tr_json_value *string, struct tr_buf *out)
{
    struct tr_buf again, bytes;
    struct tr_json_value value;
    struct tr_error err = {0};
    tr_buf_init(out, SCRATCH_BYTES_MAX);
    tr_buf_init(&again, SCRATCH_BYTES_MAX);
    tr_buf_init(&bytes, SCRATCH_BYTES_MAX);
    tr_json_unescape(string, out);
    CHECK(!out->failed && out->length + 2 <= string->text.length);
    CHECK(tr_json_equal(string, slice_of(out)));
    CHECK(tr_json_utf8_valid(out->data, out->length));
    CHECK(tr_json_string(&again, out->data, out->length));
    CHECK(tr_json_parse(slice_of(&again), &value, &err) == 0);
    CHECK(value.type == TR_JSON_STRING && tr_json_equal(&value, slice_of(out)));
    if (tr_json_to_bytes(string, &bytes)) {
        tr_buf_reset(&again);
        tr_json_base64(&again, bytes.data, bytes.length);
        CHECK(again.length == out->length + 2);
        CHECK(out->length == 0 || memcmp(again.data + 1, out->data, out->length) == 0);
    }
    tr_buf_done(&again);
    tr_buf_done(&bytes);
}

static json_t *build_string(const struct tr_json_value *string)
{
    struct tr_buf text;
    check_string(string, &text);
    json_t *built = json_stringn_nocheck(text.length > 0 ? text.data : "", text.length);
    tr_buf_done(&text);
    return built;
}

/* That the writer's text of a double is read back as the same double. */
static void check_double(double number)
{
    struct tr_buf text;
    struct tr_json_value value;
    struct tr_error err = {0};
    double again;
    tr_buf_init(&text, SCRATCH_BYTES_MAX);
    CHECK(tr_json_double(&text, number));
    CHECK(tr_json_parse(slice_of(&text), &value, &err) == 0);
    CHECK(tr_json_to_double(&value, &again));
    CHECK(number == again && signbit(number) == signbit(again));
    tr_buf_done(&text);
}

/* NULL, and walk->overflow, for a number that jansson has no place for. */
static json_t *build_number(const struct tr_json_value *number, struct walk *walk)
{
    bool whole = true;
    int64_t integer;
    double real;
    for (size_t i = 0; i < number->text.length; i++)
        whole = whole && strchr(".eE", number->text.data[i]) == NULL;
    if (whole && tr_json_to_int(number, &integer)) {
        CHECK(tr_json_to_double(number, &real));
        CHECK(real == (double)integer);
        return json_integer(integer);
    }
    if (!whole && tr_json_to_double(number, &real)) {
        CHECK(!tr_json_to_int(number, &integer));
        check_double(real);
        return json_real(real);
    }
    walk->overflow = true;
    return NULL;
}

static json_t *build_object(const struct tr_json_value *object, unsigned depth, struct walk *walk)
{
    struct tr_json_cursor cursor;
    struct tr_json_value name, value;
    struct tr_error err = {0};
    json_t *built = json_object();
    tr_json_enter(&cursor, object);
    int got;
    while ((got = tr_json_next(&cursor, &name, &value, &err)) == 1) {
        struct tr_buf text;
        check_string(&name, &text);
        if (text.length > 0 && memchr(text.data, '\0', text.length) != NULL)
            walk->nul_in_name = true;
        json_t *item = build(&value, depth, walk);
        if (item != NULL)
            json_object_setn_new_nocheck(built, text.length > 0 ? text.data : "", text.length,
                                         item);
        tr_buf_done(&text);
    }
    CHECK(got == 0 && cursor.at == cursor.end);
    return built;
}

static json_t *build_array(const struct tr_json_value *array, unsigned depth, struct walk *walk)
{
    struct tr_json_cursor cursor;
    struct tr_json_value value;
    struct tr_error err = {0};
    json_t *built = json_array();
    tr_json_enter(&cursor, array);
    int got;
    while ((got = tr_json_next(&cursor, NULL, &value, &err)) == 1) {
        json_t *item = build(&value, depth, walk);
        if (item != NULL)
            json_array_append_new(built, item);
    }
    CHECK(got == 0 && cursor.at == cursor.end);
    return built;
}

/* jansson's tree of a value, made with our cursors. */
static json_t *build(const struct tr_json_value *value, unsigned depth, struct walk *walk)
{
    bool nests = value->type == TR_JSON_ARRAY || value->type == TR_JSON_OBJECT;
    if (nests && depth + 1 > walk->depth)
        walk->depth = depth + 1;
    switch (value->type) {
    case TR_JSON_NULL:
        return json_null();
    case TR_JSON_FALSE:
        return json_false();
    case TR_JSON_TRUE:
        return json_true();
    case TR_JSON_NUMBER:
        return build_number(value, walk);
    case TR_JSON_STRING:
        return build_string(value);
    case TR_JSON_ARRAY:
        return build_array(value, depth + 1, walk);
    case TR_JSON_OBJECT:
        return build_object(value, depth + 1, walk);
    }
    abort();
}

/* How deep the brackets of a text go that jansson accepted. Its tree doesn't tell: a value that was
 * replaced by a later one of the same name is gone from it. */
static unsigned depth_of(struct tr_slice text)
{
    unsigned depth = 0;
    unsigned deepest = 0;
    bool inside = false; /* a string */
    for (size_t i = 0; i < text.length; i++) {
        char c = text.data[i];
        if (c == '"')
            inside = !inside;
        else if (inside && c == '\\')
            i++;
        else if (!inside && (c == '[' || c == '{'))
            depth++;
        else if (!inside && (c == ']' || c == '}'))
            depth--;
        deepest = depth > deepest ? depth : deepest;
    }
    return deepest;
}

/* That the text without white space means the same and has none left. */
static void check_compact(struct tr_slice text, const json_t *tree)
{
    struct tr_buf compact, again;
    struct tr_json_value value;
    struct tr_error err = {0};
    struct walk walk = {0};
    tr_buf_init(&compact, SCRATCH_BYTES_MAX);
    tr_buf_init(&again, SCRATCH_BYTES_MAX);
    tr_json_compact(text, &compact);
    CHECK(tr_json_parse(slice_of(&compact), &value, &err) == 0);
    CHECK(value.text.length == compact.length);
    json_t *built = build(&value, 0, &walk);
    CHECK(json_equal(built, tree));
    json_decref(built);
    tr_json_compact(slice_of(&compact), &again);
    CHECK(tr_slice_equal(slice_of(&compact), slice_of(&again)));
    tr_buf_done(&compact);
    tr_buf_done(&again);
}

/* A cursor over text that nobody checked: what it lets pass must be a whole JSON text. */
static void check_open(struct tr_slice text)
{
    struct tr_json_cursor cursor;
    struct tr_json_value name, value;
    struct tr_error err = {0};
    if (tr_json_open(&cursor, text, &err) != 0)
        return;
    int got;
    while ((got = tr_json_next(&cursor, &name, &value, &err)) == 1)
        CHECK(value.text.length > 0);
    CHECK(got == 0 || (got == TR_EFORMAT && err.code == TR_EFORMAT));
    if (got != 0)
        return;
    struct tr_slice passed = {text.data, (size_t)(cursor.at - text.data)};
    if (tr_json_parse(passed, &value, &err) != 0)
        CHECK(strstr(err.text, "deeper") != NULL); /* by one: the bracket that was opened */
}

/* Any bytes as a string: written if and only if they are UTF-8, and read back the same. */
static void check_bytes(struct tr_slice bytes)
{
    struct tr_buf text;
    struct tr_json_value value;
    struct tr_error err = {0};
    tr_buf_init(&text, SCRATCH_BYTES_MAX);
    bool written = tr_json_string(&text, bytes.data, bytes.length);
    CHECK(written == tr_json_utf8_valid(bytes.data, bytes.length));
    if (written) {
        CHECK(tr_json_parse(slice_of(&text), &value, &err) == 0);
        CHECK(tr_json_equal(&value, bytes));
    }
    tr_buf_done(&text);
}

/* Only jansson accepts: that is agreed for deep nesting alone. */
static void check_refused(struct tr_slice text, const struct tr_error *our_error)
{
    CHECK(strstr(our_error->text, "deeper") != NULL && depth_of(text) > TR_JSON_DEPTH_MAX);
}

/* Only we accept: that is agreed for numbers out of range and names with a NUL. */
static void check_accepted(const struct tr_json_value *ours, const json_error_t *their_error)
{
    struct walk walk = {0};
    enum json_error_code why = json_error_code(their_error);
    json_t *built = build(ours, 0, &walk);
    json_decref(built);
    CHECK(why == json_error_numeric_overflow || why == json_error_null_byte_in_key);
    CHECK(why != json_error_numeric_overflow || walk.overflow);
    CHECK(why != json_error_null_byte_in_key || walk.nul_in_name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tr_slice text = {(const char *)data, size};
    struct tr_json_value ours;
    struct tr_error our_error = {0};
    json_error_t their_error;
    int code = tr_json_parse(text, &ours, &our_error);
    CHECK(code == our_error.code && (code == 0 || code == TR_EFORMAT));
    check_open(text);
    check_bytes(text);
    if (size == 0 || memchr(data, '\0', size) != NULL) {
        CHECK(code == TR_EFORMAT);
        return 0;
    }
    json_t *theirs = json_loadb(text.data, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, &their_error);
    if (code == 0 && theirs != NULL) {
        struct walk walk = {0};
        json_t *built = build(&ours, 0, &walk);
        CHECK(!walk.overflow && !walk.nul_in_name && walk.depth <= TR_JSON_DEPTH_MAX);
        CHECK(json_equal(built, theirs));
        json_decref(built);
        check_compact(text, theirs);
    } else if (theirs != NULL) {
        check_refused(text, &our_error);
    } else if (code == 0) {
        check_accepted(&ours, &their_error);
    }
    json_decref(theirs);
    return 0;
}
