/* event_key.c - the key of a record; see event.h. */
#include "event.h"

#define PREFIX "pk."

static int poison(struct tr_error *err)
{
    err->code = TR_EPOISON;
    return TR_EPOISON;
}

static int next_member(struct tr_json_cursor *cursor, struct tr_json_value *name,
                       struct tr_json_value *value, struct tr_error *err)
{
    int got = tr_json_next(cursor, name, value, err);
    return got < 0 ? poison(err) : got;
}

/* The member that must come next, a string. */
static int expect(struct tr_json_cursor *cursor, const char *quoted, struct tr_slice *to,
                  struct tr_error *err)
{
    struct tr_json_value name, value;
    int got = next_member(cursor, &name, &value, err);
    if (got < 0)
        return got;
    if (got == 0 || !tr_slice_equal(name.text, tr_slice_of(quoted)) || value.type != TR_JSON_STRING)
        return tr_error_set(err, TR_EPOISON, "no key of a row: no %s where it belongs", quoted);
    *to = value.text;
    return 0;
}

static bool is_column(const struct tr_json_value *name)
{
    size_t length = sizeof(PREFIX) - 1;
    return name->text.length >= length + 2 && memcmp(name->text.data + 1, PREFIX, length) == 0;
}

/* What follows the table: only columns (a SET's value is an array), and then the end of the text.
 */
static int check_columns(struct tr_json_cursor *cursor, struct tr_error *err)
{
    struct tr_json_value name, value;
    int got;
    while ((got = next_member(cursor, &name, &value, err)) > 0)
        if (!is_column(&name) || value.type == TR_JSON_OBJECT)
            return tr_error_set(err, TR_EPOISON, "no key of a row: %.*s is no key column",
                                (int)name.text.length, name.text.data);
    if (got == 0 && cursor->at != cursor->end)
        return tr_error_set(err, TR_EPOISON, "no key of a row: text behind it");
    return got;
}

int tr_event_key_scan(struct tr_event_key *key, struct tr_slice text, struct tr_error *err)
{
    struct tr_json_cursor cursor;
    *key = (struct tr_event_key){0};
    if (tr_json_open(&cursor, text, err) < 0)
        return poison(err);
    if (!cursor.object)
        return tr_error_set(err, TR_EPOISON, "no key of a row: an array");
    if (expect(&cursor, "\"database\"", &key->database, err) < 0 ||
        expect(&cursor, "\"table\"", &key->table, err) < 0)
        return err->code;
    key->prefix = (struct tr_slice){text.data, (size_t)(cursor.at - text.data)};
    key->columns.data = cursor.at;
    if (check_columns(&cursor, err) < 0)
        return err->code;
    key->columns.length = (size_t)(cursor.at - key->columns.data) - 1;
    return 0;
}

void tr_event_key_enter(struct tr_event_key_cursor *cursor, struct tr_slice key_text)
{
    struct tr_json_value object = {.type = TR_JSON_OBJECT, .text = key_text};
    tr_json_enter(&cursor->json, &object);
}

int tr_event_key_next(struct tr_event_key_cursor *cursor, struct tr_json_value *name,
                      struct tr_json_value *value, struct tr_error *err)
{
    int got;
    do {
        got = next_member(&cursor->json, name, value, err);
    } while (got > 0 && !is_column(name));
    return got;
}

bool tr_event_key_names(const struct tr_json_value *name, struct tr_slice column)
{
    size_t prefix = sizeof(PREFIX) - 1;
    return is_column(name) && name->text.length == prefix + column.length &&
           memcmp(name->text.data + 1 + prefix, column.data + 1, column.length - 1) == 0;
}
