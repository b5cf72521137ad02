/* fields.c - see fields.h. */
#include "fields.h"

#include <stdint.h>
#include <stdio.h>

int fields_broken(const char *what, struct tr_error *err)
{
    if (err->code == TR_EFORMAT)
        err->code = TR_ESTATE;
    return tr_error_frame(err, "control record: %s", what);
}

static int misfit(const char *name, const char *what, struct tr_error *err)
{
    return tr_error_set(err, TR_ESTATE,
                        "control record: %s: \"%s\" is missing or has a value that it can't have; "
                        "the control topic is damaged or another program wrote to it",
                        what, name);
}

int fields_text(const struct tr_json_value *value, struct tr_arena *arena, struct tr_slice *out,
                const char *what, struct tr_error *err)
{
    struct tr_buf plain;
    if (value->type != TR_JSON_STRING)
        return misfit("(text)", what, err);
    tr_buf_init(&plain, CONTROL_TEXT_MAX);
    tr_json_unescape(value, &plain);
    int rc = tr_buf_check(&plain, what, err);
    if (rc == 0) {
        out->length = plain.length;
        out->data = tr_arena_copy(arena, plain.length == 0 ? "" : plain.data, plain.length);
        if (out->data == NULL)
            rc = tr_error_set(err, TR_ENOMEM, "no memory for control record %s", what);
    }
    tr_buf_done(&plain);
    return rc;
}

static bool take_chars(const struct field *field, const struct tr_json_value *value, char *to)
{
    struct tr_buf plain;
    tr_buf_init(&plain, field->size - 1);
    if (value->type == TR_JSON_STRING)
        tr_json_unescape(value, &plain);
    bool fits = value->type == TR_JSON_STRING && !plain.failed;
    if (fits) {
        if (plain.length > 0)
            memcpy(to, plain.data, plain.length);
        to[plain.length] = '\0';
    }
    tr_buf_done(&plain);
    return fits;
}

static bool take_number(const struct field *field, const struct tr_json_value *value, char *to)
{
    uint64_t wide = 0;
    int64_t with_sign = 0;
    if (value->type != TR_JSON_NUMBER)
        return false;
    if (field->kind == FIELD_I64) {
        if (!tr_json_to_int(value, &with_sign))
            return false;
        memcpy(to, &with_sign, sizeof(with_sign));
        return true;
    }
    if (!tr_json_to_uint(value, &wide))
        return false;
    if (field->kind == FIELD_U64) {
        memcpy(to, &wide, sizeof(wide));
        return true;
    }
    uint32_t narrow = (uint32_t)wide;
    memcpy(to, &narrow, sizeof(narrow));
    return wide <= (field->kind == FIELD_U32 ? UINT32_MAX : (uint64_t)INT32_MAX);
}

static bool take_bool(const struct tr_json_value *value, char *to)
{
    bool yes = value->type == TR_JSON_TRUE;
    memcpy(to, &yes, sizeof(yes));
    return yes || value->type == TR_JSON_FALSE;
}

static int take(const struct field *field, const struct tr_json_value *value, char *to,
                struct tr_arena *arena, const char *what, struct tr_error *err)
{
    bool fits = false;
    switch (field->kind) {
    case FIELD_TEXT:
        if (value->type == TR_JSON_STRING)
            return fields_text(value, arena, (struct tr_slice *)(void *)to, what, err);
        break;
    case FIELD_CHARS:
        fits = take_chars(field, value, to);
        break;
    case FIELD_BOOL:
        fits = take_bool(value, to);
        break;
    case FIELD_ARRAY:
    case FIELD_OBJECT:
        fits = value->type == (field->kind == FIELD_ARRAY ? TR_JSON_ARRAY : TR_JSON_OBJECT);
        memcpy(to, value, sizeof(*value));
        break;
    case FIELD_U32:
    case FIELD_I32:
    case FIELD_U64:
    case FIELD_I64:
        fits = take_number(field, value, to);
        break;
    }
    return fits ? 0 : misfit(field->name, what, err);
}

int fields_read(const struct tr_json_value *object, const struct field *fields, void *target,
                struct tr_arena *arena, const char *what, struct tr_error *err)
{
    struct tr_json_cursor cursor;
    struct tr_json_value name, value;
    uint32_t seen = 0;
    int got;
    tr_json_enter(&cursor, object);
    while ((got = tr_json_next(&cursor, &name, &value, err)) > 0)
        for (unsigned i = 0; fields[i].name != NULL; i++)
            if (tr_json_equal(&name, tr_slice_of(fields[i].name))) {
                char *to = (char *)target + fields[i].offset;
                if (take(&fields[i], &value, to, arena, what, err) < 0)
                    return err->code;
                seen |= UINT32_C(1) << i;
            }
    if (got < 0)
        return fields_broken(what, err);
    for (unsigned i = 0; fields[i].name != NULL; i++)
        if (!fields[i].optional && (seen >> i & 1) == 0)
            return misfit(fields[i].name, what, err);
    return 0;
}

int fields_open(struct tr_slice text, struct tr_json_value *object, const char *what,
                struct tr_error *err)
{
    struct tr_json_value value;
    uint64_t format = 0;
    if (tr_json_parse(text, object, err) < 0)
        return fields_broken(what, err);
    if (object->type != TR_JSON_OBJECT)
        return misfit("{", what, err);
    int found = tr_json_find(object, "format", &value, err);
    if (found < 0)
        return fields_broken(what, err);
    if (found == 0 || value.type != TR_JSON_NUMBER || !tr_json_to_uint(&value, &format) ||
        format == 0)
        return misfit("format", what, err);
    if (format > TR_CONTROL_FORMAT)
        return tr_error_set(err, TR_ESTATE,
                            "control record: %s has format %llu and this program knows up to %d; "
                            "use the newer version of tailrace that wrote it",
                            what, (unsigned long long)format, TR_CONTROL_FORMAT);
    return 0;
}
