/* names.c - see names.h. */
#include "names.h"

#include <stdio.h>

#include "elasticsearch.h"
#include "json_writer.h"

#define GENERATION_BYTES 12 /* ".g" and digits behind the alias */

/* Why the server would refuse the name; NULL when it would not. */
static const char *name_fault(struct tr_slice name)
{
    if (name.length == 0)
        return "is empty";
    if (name.length > TR_ES_NAME_MAX - GENERATION_BYTES)
        return "is longer than 243 bytes";
    if (strchr("-_+.", name.data[0]) != NULL)
        return "begins with one of - _ + .";
    for (size_t i = 0; i < name.length; i++) {
        unsigned char c = (unsigned char)name.data[i];
        if (c < 0x21 || strchr("\\/*?\"<>|,#:", c) != NULL)
            return "holds a space, a control character or one of \\ / * ? \" < > | , # :";
        if (c >= 'A' && c <= 'Z')
            return "is not in lower case";
    }
    return NULL;
}

int tr_es_check_settings(const struct tr_node *settings, const char *table, struct tr_error *err)
{
    if (settings == NULL)
        return 0;
    const struct tr_node *fields = tr_node_get(settings, "fields");
    if (fields != NULL && fields->type != TR_NODE_MAP)
        return tr_node_error(fields, err, "%s: fields is a map, like {name: text}", table);
    const struct tr_node *index = tr_node_get(settings, "index");
    if (index == NULL)
        return 0;
    if (index->type != TR_NODE_SCALAR)
        return tr_node_error(index, err, "%s: index is a plain text", table);
    const char *fault = name_fault(tr_slice_of(index->text));
    if (fault != NULL)
        return tr_node_error(index, err, "%s: index '%s' %s", table, index->text, fault);
    return 0;
}

/* ASCII only: the server says when anything else is not in lower case. */
static void append_lower(struct tr_buf *out, struct tr_slice text)
{
    static const char upper[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    static const char lower[] = "abcdefghijklmnopqrstuvwxyz";
    for (size_t i = 0; i < text.length; i++) {
        const char *found = memchr(upper, text.data[i], sizeof(upper) - 1);
        tr_buf_append(out, found != NULL ? &lower[found - upper] : &text.data[i], 1);
    }
}

int tr_es_alias(struct tr_buf *out, const struct tr_sink_table *table, struct tr_error *err)
{
    const char *index = tr_node_text(table->settings, "index", NULL);
    size_t start = out->length;
    if (index != NULL) {
        tr_buf_append_slice(out, tr_slice_of(index));
        return tr_buf_check(out, "an index name", err);
    }
    append_lower(out, table->database);
    tr_buf_append_char(out, '.');
    append_lower(out, table->table);
    if (tr_buf_check(out, "an index name", err) != 0)
        return err->code;
    const char *fault = name_fault((struct tr_slice){out->data + start, out->length - start});
    if (fault == NULL)
        return 0;
    return tr_error_set(err, TR_ECONFIG,
                        "table %.*s.%.*s: its default index name %s; give it another one with "
                        "`index:` under elasticsearch.tables",
                        (int)table->database.length, table->database.data, (int)table->table.length,
                        table->table.data, fault);
}

bool tr_es_is_generation(struct tr_slice index, const char *alias)
{
    size_t length = strlen(alias);
    if (index.length < length + 3 || memcmp(index.data, alias, length) != 0 ||
        memcmp(index.data + length, ".g", 2) != 0)
        return false;
    for (size_t i = length + 2; i < index.length; i++)
        if (index.data[i] < '0' || index.data[i] > '9')
            return false;
    return true;
}

void tr_es_state_index(struct tr_buf *out, const char *pipeline, const char *consumer)
{
    tr_buf_append(out, "tailrace-", strlen("tailrace-"));
    append_lower(out, tr_slice_of(pipeline));
    tr_buf_append_char(out, '-');
    append_lower(out, tr_slice_of(consumer));
}

/* One value of an array id. Texts that are equal must give equal bytes, however they came. */
static void put_value(struct tr_buf *out, const struct tr_json_value *value, struct tr_buf *scratch)
{
    if (value->type == TR_JSON_STRING && value->escaped) {
        tr_buf_reset(scratch);
        tr_json_unescape(value, scratch);
        tr_json_text(out, (struct tr_slice){scratch->data, scratch->length});
    } else if (value->type == TR_JSON_ARRAY || value->type == TR_JSON_OBJECT) {
        tr_json_compact(value->text, out);
    } else {
        tr_buf_append_slice(out, value->text);
    }
}

/* The text of the only value, as a JSON string. `text_length` gets its bytes when unescaped. */
static void put_single(struct tr_buf *out, const struct tr_json_value *value,
                       struct tr_buf *scratch, size_t *text_length)
{
    tr_buf_reset(scratch);
    if (value->type == TR_JSON_STRING) {
        *text_length = value->text.length - 2;
        tr_buf_append_slice(out, value->text);
        if (value->escaped) {
            tr_json_unescape(value, scratch);
            *text_length = scratch->length;
        }
        return;
    }
    tr_json_compact(value->text, scratch);
    *text_length = scratch->length;
    tr_json_text(out, (struct tr_slice){scratch->data, scratch->length});
}

/* The array is built behind what `out` holds, and then moved into a string of itself. */
static int put_array(struct tr_buf *out, struct tr_slice key, struct tr_buf *scratch,
                     size_t *text_length, struct tr_error *err)
{
    struct tr_event_key_cursor cursor;
    struct tr_json_value name, value;
    size_t start = out->length;
    int rc;
    tr_event_key_enter(&cursor, key);
    tr_buf_append_char(out, '[');
    while ((rc = tr_event_key_next(&cursor, &name, &value, err)) == 1) {
        if (out->length > start + 1)
            tr_buf_append_char(out, ',');
        put_value(out, &value, scratch);
    }
    tr_buf_append_char(out, ']');
    if (rc != 0 || out->failed)
        return rc;
    *text_length = out->length - start;
    tr_buf_reset(scratch);
    tr_buf_append(scratch, out->data + start, *text_length);
    out->length = start;
    if (!scratch->failed)
        tr_json_text(out, (struct tr_slice){scratch->data, scratch->length});
    return 0;
}

static const char *put_id(struct tr_buf *out, struct tr_slice key, struct tr_buf *scratch,
                          size_t *text_length)
{
    static const char broken[] = "the key is no tailrace key";
    struct tr_error ignored = {0};
    struct tr_event_key_cursor cursor;
    struct tr_json_value name, first, second;
    tr_event_key_enter(&cursor, key);
    int rc = tr_event_key_next(&cursor, &name, &first, &ignored);
    if (rc != 1)
        return rc == 0 ? "the key has no columns" : broken;
    rc = tr_event_key_next(&cursor, &name, &second, &ignored);
    if (rc == 0 && first.type == TR_JSON_NULL)
        return "its only key column is null, which no text stands for";
    if (rc == 0)
        put_single(out, &first, scratch, text_length);
    else if (rc < 0 || put_array(out, key, scratch, text_length, &ignored) != 0)
        return broken;
    return NULL;
}

const char *tr_es_id(struct tr_buf *out, struct tr_slice key, struct tr_buf *scratch)
{
    size_t start = out->length;
    size_t length = 0;
    if (key.length > TR_ES_SCRATCH_MAX / 2)
        return "the key makes an _id of more than 512 bytes";
    const char *fault = put_id(out, key, scratch, &length);
    if (fault == NULL && scratch->failed)
        fault = "the key does not fit into memory";
    if (fault == NULL && length == 0)
        fault = "the key is an empty text, which Elasticsearch does not take as an _id";
    if (fault == NULL && length > TR_ES_ID_MAX)
        fault = "the key makes an _id of more than 512 bytes";
    if (fault != NULL)
        out->length = start;
    return fault;
}
