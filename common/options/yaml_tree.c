/* yaml_tree.c - see yaml_tree.h. */
#include "yaml_tree.h"

#include <string.h>
#include <yaml.h>

#define DEPTH_MAX 32

struct reader {
    yaml_parser_t parser;
    const char *file;
    int first_line;
    int depth;
    struct tr_arena *arena;
    struct tr_error *err;
};

static int line_of(const struct reader *reader, const yaml_mark_t *mark)
{
    return reader->first_line == 0 ? 0 : reader->first_line + (int)mark->line;
}

static int fail_at(const struct reader *reader, const yaml_mark_t *mark, const char *text)
{
    struct tr_node at = {.file = reader->file, .line = line_of(reader, mark)};
    return tr_node_error(&at, reader->err, "%s", text);
}

static int next_event(struct reader *reader, yaml_event_t *event)
{
    if (yaml_parser_parse(&reader->parser, event))
        return 0;
    const char *problem = reader->parser.problem;
    char text[256];
    snprintf(text, sizeof(text), "not valid YAML: %s%s%s",
             problem != NULL ? problem : "out of memory", reader->parser.context != NULL ? " " : "",
             reader->parser.context != NULL ? reader->parser.context : "");
    return fail_at(reader, &reader->parser.problem_mark, text);
}

static struct tr_node *new_node(struct reader *reader, enum tr_node_type type,
                                const yaml_mark_t *mark)
{
    struct tr_node *node = tr_arena_alloc(reader->arena, sizeof(*node));
    if (node == NULL) {
        (void)fail_at(reader, mark, "too large a document");
        return NULL;
    }
    *node = (struct tr_node){.type = type, .file = reader->file, .line = line_of(reader, mark)};
    return node;
}

static bool is_null_text(const char *text)
{
    return *text == '\0' || strcmp(text, "~") == 0 || strcmp(text, "null") == 0;
}

/* NULL, and the error set, when it can't be. */
static const char *copy_scalar(struct reader *reader, const yaml_event_t *event)
{
    const char *value = (const char *)event->data.scalar.value;
    size_t length = event->data.scalar.length;
    if (memchr(value, '\0', length) != NULL) {
        (void)fail_at(reader, &event->start_mark, "a text must not contain a zero byte");
        return NULL;
    }
    const char *copy = tr_arena_copy(reader->arena, value, length);
    if (copy == NULL)
        (void)fail_at(reader, &event->start_mark, "too large a document");
    return copy;
}

static int read_scalar(struct reader *reader, const yaml_event_t *event, struct tr_node **out)
{
    struct tr_node *node = new_node(reader, TR_NODE_SCALAR, &event->start_mark);
    if (node == NULL)
        return reader->err->code;
    node->text = copy_scalar(reader, event);
    if (node->text == NULL)
        return reader->err->code;
    if (event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && is_null_text(node->text)) {
        node->null = true;
        node->text = "";
    }
    *out = node;
    return 0;
}

static int read_value(struct reader *reader, yaml_event_t *event, struct tr_node **out);

static int check_key(const struct reader *reader, const struct tr_node *map,
                     const yaml_event_t *event)
{
    char text[256];
    if (event->type != YAML_SCALAR_EVENT)
        return fail_at(reader, &event->start_mark, "a key must be a plain word");
    const char *key = (const char *)event->data.scalar.value;
    const struct tr_node *other = tr_node_get(map, key);
    if (other == NULL)
        return 0;
    snprintf(text, sizeof(text), "the key '%s' is given twice, first in line %d", key, other->line);
    return fail_at(reader, &event->start_mark, text);
}

/* Reads "key" of a map's entry; the value's first event is left in `event`. */
static int read_key(struct reader *reader, const struct tr_node *map, yaml_event_t *event,
                    const char **key)
{
    int rc = check_key(reader, map, event);
    if (rc != 0)
        return rc;
    *key = copy_scalar(reader, event);
    if (*key == NULL)
        return reader->err->code;
    yaml_event_delete(event);
    return next_event(reader, event);
}

/* Reads the entries of a list or map up to its end; `event` is owned by the caller. */
static int read_children(struct reader *reader, struct tr_node *parent, yaml_event_type_t end,
                         yaml_event_t *event)
{
    struct tr_node **tail = &parent->child;
    for (;;) {
        yaml_event_delete(event);
        int rc = next_event(reader, event);
        if (rc != 0)
            return rc;
        if (event->type == end)
            return 0;
        const char *key = NULL;
        if (parent->type == TR_NODE_MAP)
            rc = read_key(reader, parent, event, &key);
        if (rc == 0)
            rc = read_value(reader, event, tail);
        if (rc != 0)
            return rc;
        (*tail)->key = key;
        tail = &(*tail)->next;
    }
}

static int read_tree(struct reader *reader, yaml_event_t *event, struct tr_node **out)
{
    bool is_map = event->type == YAML_MAPPING_START_EVENT;
    struct tr_node *node =
        new_node(reader, is_map ? TR_NODE_MAP : TR_NODE_LIST, &event->start_mark);
    if (node == NULL)
        return reader->err->code;
    if (++reader->depth > DEPTH_MAX)
        return fail_at(reader, &event->start_mark, "nested too deeply");
    *out = node;
    int rc = read_children(reader, node, is_map ? YAML_MAPPING_END_EVENT : YAML_SEQUENCE_END_EVENT,
                           event);
    reader->depth--;
    return rc;
}

static bool has_anchor(const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_ALIAS_EVENT:
        return true;
    case YAML_SCALAR_EVENT:
        return event->data.scalar.anchor != NULL;
    case YAML_MAPPING_START_EVENT:
        return event->data.mapping_start.anchor != NULL;
    case YAML_SEQUENCE_START_EVENT:
        return event->data.sequence_start.anchor != NULL;
    default:
        return false;
    }
}

/* Reads the value that begins with `event`, which the caller deletes. */
static int read_value(struct reader *reader, yaml_event_t *event, struct tr_node **out)
{
    if (has_anchor(event))
        return fail_at(reader, &event->start_mark,
                       "anchors (&x) and aliases (*x) are not supported; a text that begins with "
                       "* or & needs quotes");
    if (event->type == YAML_SCALAR_EVENT)
        return read_scalar(reader, event, out);
    return read_tree(reader, event, out);
}

/* Passes over the starts of stream and document; an empty stream leaves its end in `event`. */
static int read_start(struct reader *reader, yaml_event_t *event)
{
    int rc = next_event(reader, event);
    while (rc == 0 &&
           (event->type == YAML_STREAM_START_EVENT || event->type == YAML_DOCUMENT_START_EVENT)) {
        yaml_event_delete(event);
        rc = next_event(reader, event);
    }
    return rc;
}

/* After the value: the document's end and nothing behind it. */
static int read_end(struct reader *reader, yaml_event_t *event)
{
    for (;;) {
        yaml_event_delete(event);
        int rc = next_event(reader, event);
        if (rc != 0 || event->type == YAML_STREAM_END_EVENT)
            return rc;
        if (event->type == YAML_DOCUMENT_START_EVENT)
            return fail_at(reader, &event->start_mark, "only one YAML document is read");
    }
}

static int read_document(struct reader *reader, const struct tr_node **out)
{
    yaml_event_t event = {0};
    struct tr_node *node = NULL;
    int rc = read_start(reader, &event);
    if (rc == 0 && event.type == YAML_STREAM_END_EVENT) {
        node = new_node(reader, TR_NODE_MAP, &event.start_mark);
        rc = reader->err->code;
    } else if (rc == 0) {
        rc = read_value(reader, &event, &node);
        if (rc == 0)
            rc = read_end(reader, &event);
    }
    yaml_event_delete(&event);
    *out = node;
    return rc;
}

int tr_yaml_parse(const struct tr_node **out, const char *text, size_t length, const char *file,
                  int first_line, struct tr_arena *arena, struct tr_error *err)
{
    struct reader reader = {.file = file, .first_line = first_line, .arena = arena, .err = err};
    *out = NULL;
    if (!yaml_parser_initialize(&reader.parser))
        return tr_error_set(err, TR_ENOMEM, "out of memory");
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text, length);
    int rc = read_document(&reader, out);
    yaml_parser_delete(&reader.parser);
    return rc;
}
