/* node.c - reading the document's tree; see options.h. */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "options.h"

const struct tr_node *tr_node_get(const struct tr_node *map, const char *key)
{
    if (map == NULL || map->type != TR_NODE_MAP)
        return NULL;
    for (const struct tr_node *node = map->child; node != NULL; node = node->next)
        if (strcmp(node->key, key) == 0)
            return node;
    return NULL;
}

const char *tr_node_text(const struct tr_node *map, const char *key, const char *def)
{
    const struct tr_node *node = tr_node_get(map, key);
    return node != NULL && node->type == TR_NODE_SCALAR && !node->null ? node->text : def;
}

int tr_node_error(const struct tr_node *node, struct tr_error *err, const char *format, ...)
{
    char text[sizeof(err->text)];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    const char *file = node->file != NULL ? node->file : "configuration";
    if (node->line > 0)
        return tr_error_set(err, TR_ECONFIG, "%s:%d: %s", file, node->line, text);
    return tr_error_set(err, TR_ECONFIG, "%s: %s", file, text);
}

static bool is_known(const char *key, const char *const *known)
{
    for (; *known != NULL; known++)
        if (strcmp(key, *known) == 0)
            return true;
    return false;
}

int tr_node_check_keys(const struct tr_node *map, const char *where, const char *const *known,
                       struct tr_error *err)
{
    if (map == NULL || map->null)
        return 0;
    if (map->type != TR_NODE_MAP)
        return tr_node_error(map, err, "%s: expected settings like {key: value}", where);
    for (const struct tr_node *node = map->child; node != NULL; node = node->next) {
        if (is_known(node->key, known))
            continue;
        const char *nearest = tr_options_nearest(node->key, known);
        return tr_node_error(node, err, "%s: unknown key '%s'%s%s%s", where, node->key,
                             nearest != NULL ? "; did you mean '" : "",
                             nearest != NULL ? nearest : "", nearest != NULL ? "'?" : "");
    }
    return 0;
}

#define RULE_KEYS_MAX 16

int tr_node_check_rule(const struct tr_node *map, const char *where, const struct tr_rule_key *keys,
                       struct tr_error *err)
{
    const char *known[RULE_KEYS_MAX + 2] = {"table"};
    for (size_t i = 1; keys != NULL && keys->key != NULL; keys++, i++) {
        assert(i <= RULE_KEYS_MAX);
        known[i] = keys->key;
    }
    return tr_node_check_keys(map, where, known, err);
}
