/*
 * layers.h - one section's values from file, environment and command line. Called by config.c.
 */
#ifndef TR_LAYERS_H
#define TR_LAYERS_H

#include "value.h"

struct tr_layers {
    const char *const *overrides; /* NAME=VALUE */
    size_t override_count;
    const struct tr_node *root;
    struct tr_arena *arena;
    struct tr_error *err;
};

/* A section with a table, and a section that takes any key: layers applied, target filled. */
int tr_layers_load_table(const struct tr_layers *layers,
                         const struct tr_section *section) TR_MUST_CHECK;
int tr_layers_load_free_map(const struct tr_layers *layers,
                            const struct tr_section *section) TR_MUST_CHECK;

/* "TAILRACE_SOURCE_TLS_MODE" of source, tls.mode; `out` holds TR_VARIABLE_MAX. */
#define TR_VARIABLE_MAX 256
void tr_layers_variable(char *out, const char *section, const char *key);
/* The next variable of the environment that begins with the section's prefix, from *index on:
 * its name goes to `name` (TR_VARIABLE_MAX); the value is returned, NULL at the end. */
const char *tr_layers_next_variable(const char *section, size_t *index, char *name);
/* The key of an override within the section and its value; false when it is another section's. */
bool tr_layers_split_override(const char *override, const char *section, char *key, size_t size,
                              const char **value);
/* A pseudo node for messages: "environment TAILRACE_X", "option --source.host". */
const struct tr_node *tr_layers_from(const struct tr_layers *layers, const char *kind,
                                     const char *name);
/* "source.host", or "pipeline" in section "". */
const char *tr_layers_name(const struct tr_layers *layers, const char *section, const char *key);
/* Room in the arena; sets the error when there is none. */
void *tr_layers_alloc(const struct tr_layers *layers, size_t bytes);
/* The section's map in the file; NULL when it isn't there; an error when it is no map. */
int tr_layers_file_section(const struct tr_layers *layers, const struct tr_section *section,
                           const struct tr_node **out) TR_MUST_CHECK;

#endif
