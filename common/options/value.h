/*
 * value.h - the text of one option to its C value. Called by the configuration's loader.
 */
#ifndef TR_VALUE_H
#define TR_VALUE_H

#include "arena.h"
#include "options.h"

/* Later layers win. */
enum tr_layer {
    TR_LAYER_NONE,
    TR_LAYER_DEFAULT,
    TR_LAYER_FILE,
    TR_LAYER_ENVIRONMENT,
    TR_LAYER_LINE
};

/* What a layer said for one option. */
struct tr_raw {
    enum tr_layer layer;
    const char *name;           /* "source.port" */
    const char *text;           /* NULL when it came as a node */
    const struct tr_node *node; /* from the file, else NULL */
    const struct tr_node *from; /* for messages: file and line, or the variable */
    bool is_file;               /* text is the path of a file that holds the secret */
};

/* Stores the value into the option's field of `target`. Strings live in the arena (or in `raw`). */
int tr_value_store(const struct tr_option *option, const struct tr_raw *raw, void *target,
                   struct tr_arena *arena, struct tr_error *err) TR_MUST_CHECK;
/* The first line of the file that a `…_file` key names. */
int tr_value_read_secret(const struct tr_raw *raw, const char **out, struct tr_arena *arena,
                         struct tr_error *err) TR_MUST_CHECK;

#endif
