/* layers.c - what tables and free maps share of reading their layers; see layers.h. */
#include "layers.h"

#include <ctype.h>
#include <string.h>
#include <unistd.h>

#define PREFIX "TAILRACE_"

void tr_layers_variable(char *out, const char *section, const char *key)
{
    int used =
        snprintf(out, TR_VARIABLE_MAX, PREFIX "%s%s%s", section, *section != '\0' ? "_" : "", key);
    for (int i = 0; i < used && i < TR_VARIABLE_MAX; i++)
        out[i] = (char)(out[i] == '.' || out[i] == '-' ? '_' : toupper((unsigned char)out[i]));
}

const char *tr_layers_next_variable(const char *section, size_t *index, char *name)
{
    char prefix[TR_VARIABLE_MAX];
    tr_layers_variable(prefix, section, "");
    size_t prefix_length = strlen(prefix);
    while (environ[*index] != NULL) {
        const char *entry = environ[(*index)++];
        const char *equals = strchr(entry, '=');
        size_t length = equals != NULL ? (size_t)(equals - entry) : 0;
        if (length <= prefix_length || length >= TR_VARIABLE_MAX ||
            memcmp(entry, prefix, prefix_length) != 0)
            continue;
        memcpy(name, entry, length);
        name[length] = '\0';
        return equals + 1;
    }
    return NULL;
}

bool tr_layers_split_override(const char *override, const char *section, char *key, size_t size,
                              const char **value)
{
    const char *equals = strchrnul(override, '=');
    size_t section_length = strlen(section);
    const char *start = override;
    if (section_length > 0) {
        if (strncmp(override, section, section_length) != 0 || override[section_length] != '.')
            return false;
        start = override + section_length + 1;
    }
    if (start >= equals || (size_t)(equals - start) >= size)
        return false;
    memcpy(key, start, (size_t)(equals - start));
    key[equals - start] = '\0';
    *value = *equals == '=' ? equals + 1 : "true";
    return section_length > 0 || strchr(key, '.') == NULL;
}

void *tr_layers_alloc(const struct tr_layers *layers, size_t bytes)
{
    void *out = tr_arena_alloc(layers->arena, bytes);
    if (out == NULL)
        (void)tr_error_set(layers->err, TR_ELIMIT, "the configuration is too large");
    return out;
}

static const char *join(const struct tr_layers *layers, const char *a, const char *between,
                        const char *b)
{
    size_t size = strlen(a) + strlen(between) + strlen(b) + 1;
    char *out = tr_layers_alloc(layers, size);
    if (out != NULL)
        snprintf(out, size, "%s%s%s", a, between, b);
    return out;
}

const struct tr_node *tr_layers_from(const struct tr_layers *layers, const char *kind,
                                     const char *name)
{
    if (name == NULL) /* could not be made; the error is set */
        return NULL;
    struct tr_node *node = tr_layers_alloc(layers, sizeof(*node));
    const char *file = join(layers, kind, "", name);
    if (node == NULL || file == NULL)
        return NULL;
    *node = (struct tr_node){.file = file};
    return node;
}

const char *tr_layers_name(const struct tr_layers *layers, const char *section, const char *key)
{
    return join(layers, section, *section != '\0' ? "." : "", key);
}

int tr_layers_file_section(const struct tr_layers *layers, const struct tr_section *section,
                           const struct tr_node **out)
{
    const struct tr_node *node =
        *section->name == '\0' ? layers->root : tr_node_get(layers->root, section->name);
    *out = NULL;
    if (node == NULL || node->null)
        return 0;
    if (node->type != TR_NODE_MAP)
        return tr_node_error(node, layers->err, "%s: expected settings like {key: value}",
                             section->name);
    *out = node;
    return 0;
}
