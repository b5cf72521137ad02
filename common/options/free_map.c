/* free_map.c - the layers of a section that takes any key; see layers.h and options.h. */
#include <ctype.h>
#include <string.h>

#include "layers.h"

#define KEY_MAX 256

/* One key of the map while it is read. The node comes first: it is what the user gets. */
struct entry {
    struct tr_node node;
    struct tr_raw raw;
    struct entry *next;
};

struct free_map {
    const struct tr_layers *layers;
    const struct tr_section *section;
    struct entry *first;
    struct entry **tail;
};

static struct entry *find_entry(const struct free_map *map, const char *key)
{
    for (struct entry *entry = map->first; entry != NULL; entry = entry->next)
        if (strcmp(entry->node.key, key) == 0)
            return entry;
    return NULL;
}

static struct entry *add_entry(struct free_map *map, const char *key)
{
    struct entry *entry = tr_layers_alloc(map->layers, sizeof(*entry));
    if (entry == NULL)
        return NULL;
    *entry = (struct entry){.node.type = TR_NODE_SCALAR};
    entry->node.key = tr_arena_copy(map->layers->arena, key, strlen(key));
    entry->raw.name = tr_layers_name(map->layers, map->section->name, key);
    if (entry->node.key == NULL || entry->raw.name == NULL)
        return NULL;
    *map->tail = entry;
    map->tail = &entry->next;
    return entry;
}

/* Takes what a layer says for a key, which may end in "_file". */
static int put(struct free_map *map, char *key, enum tr_layer layer, const char *text,
               const struct tr_node *from)
{
    size_t length = strlen(key);
    bool is_file = length > 5 && strcmp(key + length - 5, "_file") == 0;
    if (is_file)
        key[length - 5] = '\0';
    struct entry *entry = find_entry(map, key);
    if (entry == NULL)
        entry = add_entry(map, key);
    if (entry == NULL || text == NULL || from == NULL)
        return tr_error_set(map->layers->err, TR_ELIMIT, "the configuration is too large");
    if (entry->raw.layer == layer && layer != TR_LAYER_LINE)
        return tr_node_error(from, map->layers->err, "%s is given twice", entry->raw.name);
    entry->raw.layer = layer;
    entry->raw.text = text;
    entry->raw.from = from;
    entry->raw.is_file = is_file;
    return 0;
}

static int take_defaults(struct free_map *map)
{
    for (const struct tr_option *option = map->section->options;
         option != NULL && option->key != NULL; option++) {
        char key[KEY_MAX];
        if (option->def == NULL)
            continue;
        snprintf(key, sizeof(key), "%s", option->key);
        int rc = put(map, key, TR_LAYER_DEFAULT, option->def,
                     tr_layers_from(map->layers, "default", ""));
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* "[a, b]" to "a,b": librdkafka's lists are texts. */
static int join_list(const struct free_map *map, const struct tr_node *list, const char **out)
{
    size_t size = 1;
    for (const struct tr_node *item = list->child; item != NULL; item = item->next) {
        if (item->type != TR_NODE_SCALAR)
            return tr_node_error(item, map->layers->err, "expected a plain text");
        size += strlen(item->text) + 1;
    }
    char *text = tr_layers_alloc(map->layers, size);
    if (text == NULL)
        return map->layers->err->code;
    char *end = text;
    *end = '\0';
    for (const struct tr_node *item = list->child; item != NULL; item = item->next)
        end += snprintf(end, size - (size_t)(end - text), "%s%s", item == list->child ? "" : ",",
                        item->text);
    *out = text;
    return 0;
}

static int walk_file(struct free_map *map, const struct tr_node *parent, const char *prefix)
{
    int rc = 0;
    for (const struct tr_node *node = parent->child; node != NULL && rc == 0; node = node->next) {
        char key[KEY_MAX];
        const char *text = node->text;
        int used =
            snprintf(key, sizeof(key), "%s%s%s", prefix, *prefix != '\0' ? "." : "", node->key);
        if (used >= (int)sizeof(key))
            return tr_node_error(node, map->layers->err, "the key '%.40s…' is too long", node->key);
        if (node->type == TR_NODE_MAP) {
            rc = walk_file(map, node, key);
            continue;
        }
        if (node->null)
            continue;
        if (node->type == TR_NODE_LIST)
            rc = join_list(map, node, &text);
        if (rc == 0)
            rc = put(map, key, TR_LAYER_FILE, text, node);
    }
    return rc;
}

static bool is_variable_of(const struct free_map *map, const char *key, const char *variable)
{
    char name[TR_VARIABLE_MAX];
    tr_layers_variable(name, map->section->name, key);
    return strcmp(name, variable) == 0;
}

/* The key that a variable means: one that is there, a documented one, or dots for underscores.
 * `variable` comes without a trailing _FILE. */
static void key_of_variable(const struct free_map *map, const char *variable, char *key)
{
    for (const struct entry *entry = map->first; entry != NULL; entry = entry->next)
        if (is_variable_of(map, entry->node.key, variable)) {
            snprintf(key, KEY_MAX, "%s", entry->node.key);
            return;
        }
    for (const struct tr_option *option = map->section->options;
         option != NULL && option->key != NULL; option++)
        if (is_variable_of(map, option->key, variable)) {
            snprintf(key, KEY_MAX, "%s", option->key);
            return;
        }
    snprintf(key, KEY_MAX, "%s", variable + strlen("TAILRACE_") + strlen(map->section->name) + 1);
    for (char *at = key; *at != '\0'; at++)
        *at = (char)(*at == '_' ? '.' : tolower((unsigned char)*at));
}

static int take_environment(struct free_map *map)
{
    char variable[TR_VARIABLE_MAX];
    const char *text = NULL;
    size_t at = 0;
    int rc = 0;
    while (rc == 0 && (text = tr_layers_next_variable(map->section->name, &at, variable)) != NULL) {
        const struct tr_node *from = tr_layers_from(map->layers, "environment ", variable);
        char key[KEY_MAX + 8];
        size_t length = strlen(variable);
        bool is_file = length > 5 && strcmp(variable + length - 5, "_FILE") == 0;
        if (is_file)
            variable[length - 5] = '\0';
        key_of_variable(map, variable, key);
        if (is_file)
            memcpy(key + strlen(key), "_file", sizeof("_file"));
        rc = put(map, key, TR_LAYER_ENVIRONMENT, text, from);
    }
    return rc;
}

static bool ends_in(const char *text, const char *end)
{
    size_t length = strlen(text);
    size_t end_length = strlen(end);
    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

static int take_overrides(struct free_map *map)
{
    for (size_t i = 0; i < map->layers->override_count; i++) {
        char key[KEY_MAX];
        const char *text = NULL;
        if (!tr_layers_split_override(map->layers->overrides[i], map->section->name, key,
                                      sizeof(key), &text))
            continue;
        const char *name = tr_layers_name(map->layers, map->section->name, key);
        const struct tr_node *from = tr_layers_from(map->layers, "option --", name);
        if (from == NULL)
            return map->layers->err->code;
        if (ends_in(key, "password") || ends_in(key, "secret") || ends_in(key, "key.pem"))
            return tr_node_error(from, map->layers->err,
                                 "a secret is not taken from the command line, where others can "
                                 "read it; use %s_file or the environment",
                                 name);
        int rc = put(map, key, TR_LAYER_LINE, text, from);
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* Entries to one map of plain nodes, secrets read. */
static int build(const struct free_map *map)
{
    struct tr_node *out = tr_layers_alloc(map->layers, sizeof(*out));
    if (out == NULL)
        return map->layers->err->code;
    *out = (struct tr_node){.type = TR_NODE_MAP, .key = map->section->name};
    struct tr_node **tail = &out->child;
    for (struct entry *entry = map->first; entry != NULL; entry = entry->next) {
        entry->node.text = entry->raw.text;
        if (entry->raw.from == NULL)
            return tr_error_set(map->layers->err, TR_EBUG, "%s: no value", entry->raw.name);
        entry->node.file = entry->raw.from->file;
        entry->node.line = entry->raw.from->line;
        int rc = entry->raw.is_file ? tr_value_read_secret(&entry->raw, &entry->node.text,
                                                           map->layers->arena, map->layers->err)
                                    : 0;
        if (rc != 0)
            return rc;
        *tail = &entry->node;
        tail = &entry->node.next;
    }
    *(const struct tr_node **)map->section->target = out;
    return 0;
}

int tr_layers_load_free_map(const struct tr_layers *layers, const struct tr_section *section)
{
    struct free_map map = {.layers = layers, .section = section};
    const struct tr_node *file = NULL;
    map.tail = &map.first;
    int rc = tr_layers_file_section(layers, section, &file);
    rc = rc == 0 ? take_defaults(&map) : rc;
    rc = rc == 0 && file != NULL ? walk_file(&map, file, "") : rc;
    rc = rc == 0 ? take_environment(&map) : rc;
    rc = rc == 0 ? take_overrides(&map) : rc;
    return rc == 0 ? build(&map) : rc;
}
