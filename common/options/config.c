/* config.c - finds and reads the file, and has every section read its layers; see options.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "layers.h"
#include "yaml_tree.h"

#define FILE_BYTES_MAX (1 << 20)
#define ARENA_BYTES_MAX (64 << 20)
#define TOP_KEYS_MAX 128

struct tr_config {
    struct tr_arena arena;
    const char *path;
    const struct tr_node *root;
};

static const char *const default_paths[] = {"./tailrace.yaml", "/etc/tailrace/tailrace.yaml"};

static int open_file(const char **path, FILE **file, struct tr_error *err)
{
    if (*path != NULL) {
        *file = fopen(*path, "re");
        return *file != NULL ? 0
                             : tr_error_set(err, TR_ECONFIG, "cannot read the configuration %s: %s",
                                            *path, strerror(errno));
    }
    for (size_t i = 0; i < sizeof(default_paths) / sizeof(default_paths[0]); i++) {
        *path = default_paths[i];
        *file = fopen(*path, "re");
        if (*file != NULL)
            return 0;
        if (errno != ENOENT)
            return tr_error_set(err, TR_ECONFIG, "cannot read the configuration %s: %s", *path,
                                strerror(errno));
    }
    return tr_error_set(err, TR_ECONFIG,
                        "no configuration: neither %s nor %s exists; name one with --config FILE",
                        default_paths[0], default_paths[1]);
}

static int read_text(struct tr_config *config, FILE *file, struct tr_error *err)
{
    char *text = malloc(FILE_BYTES_MAX + 1);
    if (text == NULL)
        return tr_error_set(err, TR_ENOMEM, "out of memory");
    size_t length = fread(text, 1, FILE_BYTES_MAX + 1, file);
    int rc = 0;
    if (ferror(file))
        rc = tr_error_set(err, TR_ECONFIG, "cannot read the configuration %s", config->path);
    else if (length > FILE_BYTES_MAX)
        rc = tr_error_set(err, TR_ECONFIG, "the configuration %s is larger than 1 MiB",
                          config->path);
    else
        rc = tr_yaml_parse(&config->root, text, length, config->path, 1, &config->arena, err);
    free(text);
    return rc;
}

static int read_file(struct tr_config *config, const char *path, struct tr_error *err)
{
    static const struct tr_node empty = {.type = TR_NODE_MAP};
    FILE *file = NULL;
    int rc = open_file(&path, &file, err);
    if (rc != 0)
        return rc;
    config->path = tr_arena_copy(&config->arena, path, strlen(path));
    rc = config->path != NULL ? read_text(config, file, err)
                              : tr_error_set(err, TR_ENOMEM, "out of memory");
    fclose(file);
    if (rc != 0)
        return rc;
    if (config->root->null)
        config->root = &empty;
    return config->root->type == TR_NODE_MAP
               ? 0
               : tr_node_error(config->root, err, "expected sections like 'source:'");
}

static bool has_name(const char *const *names, const char *name)
{
    while (*names != NULL && strcmp(*names, name) != 0)
        names++;
    return *names != NULL;
}

/* What may stand at the top of the file: our sections, and the keys of the section "". */
static void list_top_keys(const struct tr_section *sections, const char **known)
{
    size_t count = 0;
    for (; sections->name != NULL && count < TOP_KEYS_MAX; sections++) {
        if (*sections->name != '\0')
            known[count++] = sections->name;
        for (const struct tr_option *option = sections->options;
             *sections->name == '\0' && option->key != NULL && count < TOP_KEYS_MAX; option++)
            known[count++] = option->key;
    }
    known[count] = NULL;
}

/* Sections of other programs are left alone, but a slip of one of ours or of theirs is not. */
static int check_top_keys(const struct tr_config *config, const struct tr_section *sections,
                          struct tr_error *err)
{
    const char *known[TOP_KEYS_MAX + 1];
    list_top_keys(sections, known);
    for (const struct tr_node *node = config->root->child; node != NULL; node = node->next) {
        if (has_name(known, node->key) || has_name(tr_program_names, node->key))
            continue;
        const char *nearest = tr_options_nearest(node->key, known);
        if (nearest == NULL)
            nearest = tr_options_nearest(node->key, tr_program_names);
        if (nearest != NULL)
            return tr_node_error(node, err, "unknown section '%s'; did you mean '%s'?", node->key,
                                 nearest);
    }
    return 0;
}

/* The value stays out of the message. */
static int unknown_override(const char *override, const struct tr_section *sections,
                            struct tr_error *err)
{
    const char *known[TOP_KEYS_MAX + 1];
    char section[64];
    int length = (int)strcspn(override, "=");
    size_t section_length = strcspn(override, ".=");
    const char *rest = override + section_length;
    list_top_keys(sections, known);
    snprintf(section, sizeof(section), "%.*s", (int)section_length, override);
    const char *nearest = tr_options_nearest(section, known);
    if (nearest == NULL || strcmp(nearest, section) == 0)
        return tr_error_set(err, TR_EUSAGE, "unknown option --%.*s; see help", length, override);
    return tr_error_set(err, TR_EUSAGE, "unknown option --%.*s; did you mean --%s%.*s?", length,
                        override, nearest, length - (int)section_length, rest);
}

static int check_overrides(const char *const *overrides, size_t count,
                           const struct tr_section *sections, struct tr_error *err)
{
    for (size_t i = 0; i < count; i++) {
        char key[256];
        const char *value = NULL;
        const struct tr_section *section = sections;
        while (section->name != NULL &&
               !tr_layers_split_override(overrides[i], section->name, key, sizeof(key), &value))
            section++;
        if (section->name == NULL)
            return unknown_override(overrides[i], sections, err);
    }
    return 0;
}

static int load_sections(struct tr_config *config, const char *const *overrides,
                         size_t override_count, const struct tr_section *sections,
                         struct tr_error *err)
{
    struct tr_layers layers = {
        .overrides = overrides,
        .override_count = override_count,
        .root = config->root,
        .arena = &config->arena,
        .err = err,
    };
    for (; sections->name != NULL; sections++) {
        int rc = sections->free_map ? tr_layers_load_free_map(&layers, sections)
                                    : tr_layers_load_table(&layers, sections);
        if (rc != 0)
            return rc;
    }
    return 0;
}

int tr_config_load(struct tr_config **out, const char *path, const char *const *overrides,
                   size_t override_count, const struct tr_section *sections, struct tr_error *err)
{
    *out = NULL;
    struct tr_config *config = calloc(1, sizeof(*config));
    if (config == NULL)
        return tr_error_set(err, TR_ENOMEM, "out of memory");
    tr_arena_init(&config->arena, 64 << 10, ARENA_BYTES_MAX);
    int rc = read_file(config, path, err);
    rc = rc == 0 ? check_top_keys(config, sections, err) : rc;
    rc = rc == 0 ? check_overrides(overrides, override_count, sections, err) : rc;
    rc = rc == 0 ? load_sections(config, overrides, override_count, sections, err) : rc;
    if (rc != 0) {
        tr_config_free(config);
        return rc;
    }
    *out = config;
    return 0;
}

void tr_config_free(struct tr_config *config)
{
    if (config == NULL)
        return;
    tr_arena_done(&config->arena);
    free(config);
}

const char *tr_config_path(const struct tr_config *config)
{
    return config->path;
}

const struct tr_node *tr_config_root(const struct tr_config *config)
{
    return config->root;
}
