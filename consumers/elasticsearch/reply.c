/* reply.c - see reply.h. */
#include "reply.h"

#define REASON_BYTES_MAX 300 /* of what we keep */
#define RAW_BYTES_MAX 2000   /* of what the server says, with the values it quotes */

int tr_es_understood(int rc, const char *what, struct tr_error *err)
{
    if (rc != TR_EFORMAT && rc != TR_ELIMIT)
        return rc;
    err->code = TR_ESTORE;
    return tr_error_frame(err, "elasticsearch's answer to %s was not understood", what);
}

int tr_es_object_open(struct tr_json_cursor *members, struct tr_slice text, struct tr_error *err)
{
    int rc = tr_json_open(members, text, err);
    if (rc == 0 && !members->object)
        rc = tr_error_set(err, TR_EFORMAT, "a list instead of an object");
    return rc;
}

int tr_es_reply_open(struct tr_es_reply *reply, struct tr_slice text, struct tr_error *err)
{
    struct tr_json_cursor top;
    struct tr_json_value name, value;
    int rc = tr_es_object_open(&top, text, err);
    if (rc != 0)
        return rc;
    while ((rc = tr_json_next(&top, &name, &value, err)) == 1) {
        if (value.type != TR_JSON_ARRAY || !tr_json_equal(&name, TR_SLICE("items")))
            continue;
        tr_json_enter(&reply->items, &value);
        return 0;
    }
    return rc < 0 ? rc : tr_error_set(err, TR_EFORMAT, "a bulk reply without items");
}

static struct tr_slice plain(const struct tr_json_value *string)
{
    return (struct tr_slice){string->text.data + 1, string->text.length - 2};
}

static int read_error(struct tr_es_item *item, const struct tr_json_value *error,
                      struct tr_error *err)
{
    struct tr_json_cursor members;
    struct tr_json_value name, value;
    int rc;
    if (error->type != TR_JSON_OBJECT)
        return tr_error_set(err, TR_EFORMAT, "a bulk reply's error is no object");
    item->type = TR_SLICE("error");
    tr_json_enter(&members, error);
    while ((rc = tr_json_next(&members, &name, &value, err)) == 1) {
        if (value.type != TR_JSON_STRING)
            continue;
        if (tr_json_equal(&name, TR_SLICE("type")))
            item->type = plain(&value);
        else if (tr_json_equal(&name, TR_SLICE("reason")))
            item->reason = value;
    }
    return rc;
}

int tr_es_reply_next(struct tr_es_reply *reply, struct tr_es_item *item, struct tr_error *err)
{
    struct tr_json_cursor one, members;
    struct tr_json_value name, value;
    *item = (struct tr_es_item){.reason = {.type = TR_JSON_NULL}};
    int rc = tr_json_next(&reply->items, &name, &value, err);
    if (rc != 1)
        return rc;
    rc = tr_es_object_open(&one, value.text, err);
    rc = rc == 0 ? tr_json_next(&one, &name, &value, err) : rc;
    if (rc != 1 || value.type != TR_JSON_OBJECT)
        return tr_error_set(err, TR_EFORMAT, "a bulk reply's item is no result");
    item->remove = tr_json_equal(&name, TR_SLICE("delete"));
    tr_json_enter(&members, &value);
    while ((rc = tr_json_next(&members, &name, &value, err)) == 1) {
        int64_t status;
        if (tr_json_equal(&name, TR_SLICE("status")) && tr_json_to_int(&value, &status))
            item->status = (int)status;
        else if (tr_json_equal(&name, TR_SLICE("error")) && read_error(item, &value, err) < 0)
            return err->code;
    }
    return rc < 0 ? rc : 1;
}

static bool type_is(const struct tr_es_item *item, const char *type)
{
    return tr_slice_equal(item->type, tr_slice_of(type));
}

static bool reason_contains(const struct tr_es_item *item, const char *text)
{
    return item->reason.type == TR_JSON_STRING &&
           memmem(item->reason.text.data, item->reason.text.length, text, strlen(text)) != NULL;
}

/* Most are about the row. An alias that somebody changed would be the whole table's ruin, though.
 */
static enum tr_es_verdict classify_400(const struct tr_es_item *item)
{
    if (type_is(item, "index_closed_exception"))
        return TR_ES_CLOSED;
    if (reason_contains(item, "no write index is defined for alias") ||
        reason_contains(item, "has more than one ind"))
        return TR_ES_BLOCKED;
    return TR_ES_POISON;
}

enum tr_es_verdict tr_es_classify(const struct tr_es_item *item)
{
    switch (item->status) {
    case 200:
    case 201:
        return TR_ES_APPLIED;
    case 400:
        return classify_400(item);
    case 401:
    case 403:
        return TR_ES_BLOCKED;
    case 404:
        if (item->type.length > 0)
            return TR_ES_MISSING;
        return item->remove ? TR_ES_APPLIED : TR_ES_UNKNOWN;
    case 409:
        return TR_ES_STALE;
    case 413:
        return TR_ES_POISON;
    case 408:
    case 429:
        return TR_ES_RETRY;
    default:
        return item->status >= 500 && item->status <= 599 ? TR_ES_RETRY : TR_ES_UNKNOWN;
    }
}

/* Servers quote values behind these words; a reason stands in logs and headers. */
static size_t without_values(const char *text, size_t length)
{
    static const char *const quotes[] = {
        " in document with id",
        ". Preview of field's value",
        ", all of which were skipped",
        ". Original exception",
        ", document(",
        "\n at [Source",
    };
    for (size_t i = 0; i < sizeof(quotes) / sizeof(quotes[0]); i++) {
        const char *found = memmem(text, length, quotes[i], strlen(quotes[i]));
        if (found != NULL)
            length = (size_t)(found - text);
    }
    return length;
}

/* Cuts the text behind `start` to its limit, between two characters. */
static void shorten(struct tr_buf *out, size_t start)
{
    size_t length = without_values(out->data + start, out->length - start);
    if (length > REASON_BYTES_MAX) {
        length = REASON_BYTES_MAX;
        while (length > 0 && ((unsigned char)out->data[start + length] & 0xc0) == 0x80)
            length--;
    }
    out->length = start + length;
}

/* The beginning of a long text: a server may quote the whole of a large value. Cut between two
 * characters, and not inside an escape. */
static struct tr_json_value beginning(const struct tr_json_value *string)
{
    struct tr_json_value cut = *string;
    const char *content = string->text.data + 1;
    size_t at = 0;
    if (string->text.length < RAW_BYTES_MAX + 16)
        return cut;
    while (at < RAW_BYTES_MAX || ((unsigned char)content[at] & 0xc0) == 0x80)
        at += content[at] != '\\' ? 1 : content[at + 1] == 'u' ? 6 : 2;
    cut.text.length = at + 2;
    return cut;
}

void tr_es_item_reason(const struct tr_es_item *item, struct tr_buf *out)
{
    size_t start = out->length;
    tr_buf_append_slice(out, item->type);
    if (item->reason.type == TR_JSON_STRING) {
        tr_buf_append(out, ": ", 2);
        const struct tr_json_value reason = beginning(&item->reason);
        tr_json_unescape(&reason, out);
    }
    if (item->type.length == 0)
        tr_buf_printf(out, "status %d", item->status);
    if (!out->failed)
        shorten(out, start);
}

/* {"error":{"type":…,"reason":…}} or {"error":"…"}; false for anything else. */
static bool whole_error(struct tr_slice text, struct tr_es_item *item)
{
    struct tr_error ignored = {0};
    struct tr_json_value top, error;
    *item = (struct tr_es_item){.reason = {.type = TR_JSON_NULL}};
    if (tr_json_parse(text, &top, &ignored) != 0 || top.type != TR_JSON_OBJECT ||
        tr_json_find(&top, "error", &error, &ignored) != 1)
        return false;
    if (error.type != TR_JSON_STRING)
        return read_error(item, &error, &ignored) == 0;
    item->type = TR_SLICE("error");
    item->reason = error;
    return true;
}

void tr_es_error_reason(struct tr_slice text, struct tr_buf *out)
{
    struct tr_es_item item;
    size_t start = out->length;
    if (whole_error(text, &item)) {
        tr_es_item_reason(&item, out);
        return;
    }
    size_t length = text.length < REASON_BYTES_MAX ? text.length : REASON_BYTES_MAX;
    for (size_t i = 0; i < length; i++)
        tr_buf_append(out, (unsigned char)text.data[i] < 0x20 ? " " : &text.data[i], 1);
    if (!out->failed)
        shorten(out, start);
}

bool tr_es_error_type_is(struct tr_slice text, const char *type)
{
    struct tr_es_item item;
    return whole_error(text, &item) && type_is(&item, type);
}
