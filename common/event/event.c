/* event.c - see event.h. */
#include "event.h"

#include "json_writer.h"

static const char *const type_names[TR_EVENT_TYPES] = {
    "insert",         "update",     "delete",      "bootstrap-insert",
    "table-truncate", "table-drop", "table-sweep", "barrier",
};

const char *tr_event_type_name(enum tr_event_type type)
{
    return (unsigned)type < TR_EVENT_TYPES ? type_names[type] : "";
}

void tr_event_put_table(struct tr_buf *out, struct tr_slice database, struct tr_slice table)
{
    TR_JSON_LITERAL(out, "{\"database\":");
    tr_json_text(out, database);
    TR_JSON_LITERAL(out, ",\"table\":");
    tr_json_text(out, table);
}

void tr_event_put_marker_key(struct tr_buf *out, struct tr_slice database, struct tr_slice table)
{
    tr_event_put_table(out, database, table);
    tr_buf_append_char(out, '}');
}

/* A member's value as it came, before it is judged. */
struct scan {
    struct tr_event *ev;
    bool typed;
};

static bool type_of(struct tr_slice quoted, enum tr_event_type *type)
{
    for (unsigned i = 0; i < TR_EVENT_TYPES; i++) {
        size_t length = strlen(type_names[i]);
        if (quoted.length == length + 2 && memcmp(quoted.data + 1, type_names[i], length) == 0) {
            *type = (enum tr_event_type)i;
            return true;
        }
    }
    return false;
}

static inline bool is_named(struct tr_slice name, const char *quoted, size_t length)
{
    return name.length == length && memcmp(name.data, quoted, length) == 0;
}
#define IS_NAMED(name, literal) is_named((name), "\"" literal "\"", sizeof(literal) + 1)

static bool take_text(struct tr_slice *to, const struct tr_json_value *value,
                      enum tr_json_type type)
{
    *to = value->text;
    return value->type == type;
}

static bool take_int(int64_t *to, const struct tr_json_value *value)
{
    return value->type == TR_JSON_NUMBER && tr_json_to_int(value, to);
}

/* False when a member that we know has a value that it can't have. */
static bool take_member(struct scan *scan, struct tr_slice name, const struct tr_json_value *value)
{
    struct tr_event *ev = scan->ev;
    if (IS_NAMED(name, "database"))
        return take_text(&ev->database, value, TR_JSON_STRING);
    if (IS_NAMED(name, "table"))
        return take_text(&ev->table, value, TR_JSON_STRING);
    if (IS_NAMED(name, "type")) {
        scan->typed = value->type == TR_JSON_STRING && type_of(value->text, &ev->type);
        return scan->typed;
    }
    if (IS_NAMED(name, "version"))
        return take_int(&ev->version, value) && ev->version >= 0 && ev->version <= TR_VERSION_MAX;
    if (IS_NAMED(name, "schema_id"))
        return take_int(&ev->schema_id, value) && ev->schema_id >= 0;
    if (IS_NAMED(name, "ts"))
        return take_int(&ev->ts, value);
    if (IS_NAMED(name, "invalid"))
        return take_text(&ev->invalid, value, TR_JSON_ARRAY);
    if (IS_NAMED(name, "data"))
        return take_text(&ev->data, value, TR_JSON_OBJECT);
    return true;
}

/* The scanner's word for broken text is another one than ours for a record that is no event. */
static int poison(struct tr_error *err)
{
    err->code = TR_EPOISON;
    return TR_EPOISON;
}

static int check(const struct scan *scan, struct tr_error *err)
{
    const struct tr_event *ev = scan->ev;
    const char *missing = NULL;
    if (ev->database.length == 0)
        missing = "database";
    else if (ev->table.length == 0)
        missing = "table";
    else if (!scan->typed)
        missing = "type";
    else if (ev->version < 0)
        missing = "version";
    else if (ev->data.length == 0 && !tr_event_is_marker(ev->type))
        missing = "data";
    if (missing != NULL)
        return tr_error_set(err, TR_EPOISON, "no event: no \"%s\" up to \"data\"", missing);
    return 0;
}

int tr_event_scan(struct tr_event *ev, struct tr_slice value, struct tr_error *err)
{
    struct tr_json_cursor cursor;
    struct tr_json_value name, member;
    struct scan scan = {.ev = ev};
    *ev = (struct tr_event){.version = -1};
    if (tr_json_open(&cursor, value, err) < 0)
        return poison(err);
    if (!cursor.object)
        return tr_error_set(err, TR_EPOISON, "no event: an array");
    while (ev->data.length == 0) {
        int got = tr_json_next(&cursor, &name, &member, err);
        if (got < 0)
            return poison(err);
        if (got == 0)
            break;
        if (!take_member(&scan, name.text, &member))
            return tr_error_set(err, TR_EPOISON, "no event: %.*s has a value that it can't have",
                                (int)name.text.length, name.text.data);
    }
    return check(&scan, err);
}
