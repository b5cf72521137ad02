/* table.c - the layers of a section whose keys stand in a table; see layers.h. */
#include <ctype.h>
#include <string.h>

#include "layers.h"

#define KEY_MAX 256

/* One section while it is read: raws[i] is what the latest layer said for options[i]. */
struct table {
    const struct tr_layers *layers;
    const struct tr_section *section;
    struct tr_raw *raws;
    size_t count;
};

static bool is_top(const struct table *table)
{
    return *table->section->name == '\0';
}

/* The index of a key; with *is_file for `x_file` of a secret x. */
static bool find_key(const struct table *table, const char *key, size_t *index, bool *is_file)
{
    size_t length = strlen(key);
    for (size_t i = 0; i < table->count; i++) {
        const struct tr_option *option = &table->section->options[i];
        size_t option_length = strlen(option->key);
        *index = i;
        *is_file = false;
        if (strcmp(option->key, key) == 0)
            return true;
        *is_file = option->type == TR_OPT_SECRET && length == option_length + 5 &&
                   memcmp(key, option->key, option_length) == 0 &&
                   strcmp(key + option_length, "_file") == 0;
        if (*is_file)
            return true;
    }
    return false;
}

/* Whether some option's key goes on behind "key.". */
static bool is_prefix(const struct table *table, const char *key)
{
    size_t length = strlen(key);
    for (size_t i = 0; i < table->count; i++)
        if (strncmp(table->section->options[i].key, key, length) == 0 &&
            table->section->options[i].key[length] == '.')
            return true;
    return false;
}

static int unknown_key(const struct table *table, const struct tr_node *from, const char *key)
{
    const char **known = tr_layers_alloc(table->layers, (table->count + 1) * sizeof(*known));
    if (known == NULL)
        return table->layers->err->code;
    for (size_t i = 0; i < table->count; i++)
        known[i] = table->section->options[i].key;
    known[table->count] = NULL;
    const char *nearest = tr_options_nearest(key, known);
    const char *dot = is_top(table) ? "" : ".";
    if (nearest == NULL)
        return tr_node_error(from, table->layers->err, "%s%s%s: unknown key; see help",
                             table->section->name, dot, key);
    return tr_node_error(from, table->layers->err, "%s%s%s: unknown key; did you mean %s%s%s?",
                         table->section->name, dot, key, table->section->name, dot, nearest);
}

/* Takes what a layer says. Within file or environment an option is said once (a text and a file of
 * one secret, or "a.b" beside "a: {b}"); on the command line the last one holds. */
static int put(struct table *table, size_t index, const struct tr_raw *raw)
{
    struct tr_raw *held = &table->raws[index];
    if (raw->name == NULL || raw->from == NULL)
        return table->layers->err->code;
    if (held->layer == raw->layer && raw->layer != TR_LAYER_LINE)
        return tr_node_error(raw->from, table->layers->err, "%s is given twice%s", raw->name,
                             held->is_file != raw->is_file ? ", as a text and as a file" : "");
    *held = *raw;
    return 0;
}

static int take_defaults(struct table *table)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct tr_option *option = &table->section->options[i];
        if (option->def == NULL)
            continue;
        struct tr_raw raw = {
            .layer = TR_LAYER_DEFAULT,
            .name = tr_layers_name(table->layers, table->section->name, option->key),
            .text = option->def,
            .from = tr_layers_from(table->layers, "default", ""),
        };
        int rc = put(table, i, &raw);
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* ---- file ------------------------------------------------------------------------------------ */

static int take_file_node(struct table *table, size_t index, const char *key, bool is_file,
                          const struct tr_node *node)
{
    struct tr_raw raw = {
        .layer = TR_LAYER_FILE,
        .name = tr_layers_name(table->layers, table->section->name, key),
        .text = node->type == TR_NODE_SCALAR ? node->text : NULL,
        .node = node,
        .from = node,
        .is_file = is_file,
    };
    return node->null ? 0 : put(table, index, &raw);
}

static int walk_file(struct table *table, const struct tr_node *map, const char *prefix)
{
    int rc = 0;
    for (const struct tr_node *node = map->child; node != NULL && rc == 0; node = node->next) {
        char key[KEY_MAX];
        size_t index = 0;
        bool is_file = false;
        int used =
            snprintf(key, sizeof(key), "%s%s%s", prefix, *prefix != '\0' ? "." : "", node->key);
        if (used >= (int)sizeof(key))
            rc = tr_node_error(node, table->layers->err, "the key '%.40s…' is too long", node->key);
        else if (find_key(table, key, &index, &is_file))
            rc = take_file_node(table, index, key, is_file, node);
        else if (is_prefix(table, key) && node->type == TR_NODE_MAP)
            rc = walk_file(table, node, key);
        else if (!is_top(table) && !(is_prefix(table, key) && node->null))
            rc = unknown_key(table, node, key);
    }
    return rc;
}

static int take_file(struct table *table)
{
    const struct tr_node *map = NULL;
    int rc = tr_layers_file_section(table->layers, table->section, &map);
    return rc != 0 || map == NULL ? rc : walk_file(table, map, "");
}

/* ---- environment ------------------------------------------------------------------------------
 */

/* The option that a variable sets; with *is_file for TAILRACE_…_FILE of a secret. */
static bool find_variable(const struct table *table, const char *variable, size_t *index,
                          bool *is_file)
{
    char name[TR_VARIABLE_MAX];
    for (size_t i = 0; i < table->count; i++) {
        const struct tr_option *option = &table->section->options[i];
        tr_layers_variable(name, table->section->name, option->key);
        size_t length = strlen(name);
        *index = i;
        *is_file = false;
        if (strcmp(name, variable) == 0)
            return true;
        *is_file = option->type == TR_OPT_SECRET && strncmp(variable, name, length) == 0 &&
                   strcmp(variable + length, "_FILE") == 0;
        if (*is_file)
            return true;
    }
    return false;
}

static int unknown_variable(const struct table *table, const char *variable)
{
    char key[TR_VARIABLE_MAX];
    size_t skip = strlen("TAILRACE_") + strlen(table->section->name) + 1;
    size_t length = strlen(variable + skip);
    for (size_t i = 0; i <= length; i++) {
        key[i] = (char)tolower((unsigned char)variable[skip + i]);
    }
    const struct tr_node *from = tr_layers_from(table->layers, "environment ", variable);
    return from == NULL ? table->layers->err->code : unknown_key(table, from, key);
}

static int take_environment(struct table *table)
{
    char variable[TR_VARIABLE_MAX];
    const char *text = NULL;
    size_t at = 0;
    int rc = 0;
    while (rc == 0 &&
           (text = tr_layers_next_variable(table->section->name, &at, variable)) != NULL) {
        struct tr_raw raw = {.layer = TR_LAYER_ENVIRONMENT, .text = text};
        size_t index = 0;
        if (find_variable(table, variable, &index, &raw.is_file)) {
            raw.name = tr_layers_name(table->layers, table->section->name,
                                      table->section->options[index].key);
            raw.from = tr_layers_from(table->layers, "environment ", variable);
            rc = put(table, index, &raw);
        } else if (!is_top(table)) {
            rc = unknown_variable(table, variable);
        }
    }
    return rc;
}

/* ---- command line ------------------------------------------------------------------------------
 */

/* Whether a text holds scheme://user:password@host, perhaps as one of several URLs. A password may
 * hold any character, so all up to the last @ of a URL counts. */
static bool has_url_password(const char *text)
{
    const char *url = strstr(text, "://");
    while (url != NULL) {
        url += 3;
        const char *next = strstr(url, "://");
        size_t length = next != NULL ? (size_t)(next - url) : strlen(url);
        const char *at = memrchr(url, '@', length);
        if (at != NULL && memchr(url, ':', (size_t)(at - url)) != NULL)
            return true;
        url = next;
    }
    return false;
}

static int refuse_url(const struct table *table, const struct tr_raw *raw)
{
    const struct tr_option *option = table->section->options;
    while (option->key != NULL && option->type != TR_OPT_SECRET)
        option++;
    const char *name = option->key != NULL
                           ? tr_layers_name(table->layers, table->section->name, option->key)
                           : NULL;
    return tr_node_error(raw->from, table->layers->err,
                         "a URL with a password is not taken from the command line, where others "
                         "can read it; use %s%s",
                         name != NULL ? name : "the file", name != NULL ? "_file" : "");
}

static int take_override(struct table *table, const char *key, const char *text)
{
    struct tr_raw raw = {.layer = TR_LAYER_LINE, .text = text};
    size_t index = 0;
    raw.name = tr_layers_name(table->layers, table->section->name, key);
    raw.from = tr_layers_from(table->layers, "option --", raw.name);
    if (raw.from == NULL)
        return table->layers->err->code;
    if (!find_key(table, key, &index, &raw.is_file))
        return unknown_key(table, raw.from, key);
    if (table->section->options[index].type == TR_OPT_SECRET && !raw.is_file)
        return tr_node_error(raw.from, table->layers->err,
                             "a secret is not taken from the command line, where others can read "
                             "it; use %s_file or the environment",
                             raw.name);
    if (has_url_password(text))
        return refuse_url(table, &raw);
    return put(table, index, &raw);
}

static int take_overrides(struct table *table)
{
    for (size_t i = 0; i < table->layers->override_count; i++) {
        char key[KEY_MAX];
        const char *text = NULL;
        if (!tr_layers_split_override(table->layers->overrides[i], table->section->name, key,
                                      sizeof(key), &text))
            continue;
        int rc = take_override(table, key, text);
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* ---- all of it
 * ----------------------------------------------------------------------------------- */

static int store_all(const struct table *table)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct tr_option *option = &table->section->options[i];
        const struct tr_raw *raw = &table->raws[i];
        int rc = 0;
        if (raw->layer != TR_LAYER_NONE)
            rc = tr_value_store(option, raw, table->section->target, table->layers->arena,
                                table->layers->err);
        else if (option->type == TR_OPT_STRING || option->type == TR_OPT_SECRET)
            *(const char **)((char *)table->section->target + option->offset) = "";
        if (rc != 0)
            return rc;
    }
    return 0;
}

int tr_layers_load_table(const struct tr_layers *layers, const struct tr_section *section)
{
    struct table table = {.layers = layers, .section = section};
    while (section->options[table.count].key != NULL)
        table.count++;
    table.raws = tr_layers_alloc(layers, (table.count + 1) * sizeof(*table.raws));
    if (table.raws == NULL)
        return layers->err->code;
    memset(table.raws, 0, (table.count + 1) * sizeof(*table.raws));
    int rc = take_defaults(&table);
    rc = rc == 0 ? take_file(&table) : rc;
    rc = rc == 0 ? take_environment(&table) : rc;
    rc = rc == 0 ? take_overrides(&table) : rc;
    return rc == 0 ? store_all(&table) : rc;
}
