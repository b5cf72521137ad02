/*
 * options.h - every setting of a program in one table: parsing, defaults, errors, help, reference.
 *
 * Precedence: default, file (YAML), environment TAILRACE_<SECTION>_<KEY>, command line
 * --<section>.<key>=VALUE (or the next word; a bool needs none). Every secret key `x` has `x_file`
 * (file and environment only: secrets never come by the command line). Unknown keys of a section
 * that a program reads are errors that name the nearest known one (so are unknown variables
 * TAILRACE_<SECTION>_…); sections of other programs are left alone, but a section that is nearly
 * called like a known one is an error too. Read at start by one thread; the result is constant.
 */
#ifndef TR_OPTIONS_H
#define TR_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "error.h"

enum tr_option_type {
    TR_OPT_STRING,   /* const char *  ("" when unset) */
    TR_OPT_SECRET,   /* const char *; `<key>_file` names a file whose first line is it */
    TR_OPT_INT,      /* int64_t, within min … max */
    TR_OPT_BOOL,     /* bool: true/false/yes/no/on/off */
    TR_OPT_SIZE,     /* int64_t bytes: 64KiB, 4MiB, 1GiB, plain number */
    TR_OPT_DURATION, /* int64_t milliseconds: 500ms, 10s, 5m, 2h, 7d */
    TR_OPT_ENUM,     /* int: index into values */
    TR_OPT_LIST,     /* struct tr_string_list: a YAML list of scalars, or text split at commas */
    TR_OPT_NODE,     /* const struct tr_node *: any YAML below the key, NULL when unset;
                        environment and command line give it as YAML text */
};

struct tr_string_list {
    const char *const *items;
    size_t count;
};

struct tr_option {
    const char *key; /* within the section: "host", "tls.mode"; NULL ends the table */
    enum tr_option_type type;
    size_t offset;      /* of the field in the target struct */
    const char *def;    /* text as a user would write it; NULL = unset (zero value) */
    int64_t min, max;   /* for numbers; both 0 = no check */
    const char *values; /* for enums: "at-least-once|exactly-once" */
    bool common;        /* shown by --help; all by --help all */
    const char *help;   /* one sentence */
};

/* A key that a rule of `tables:` may have when it is a map, beside `table`. */
struct tr_rule_key {
    const char *key;   /* NULL ends the table */
    const char *value; /* what it takes: "DURATION" */
    const char *def;   /* NULL = none */
    const char *help;  /* one sentence */
};

/* A section of the file and where its values go. */
struct tr_section {
    const char *name; /* "source"; "" for the top level (`pipeline`); NULL ends the list */
    const struct tr_option *options;
    void *target;
    /*
     * The section takes any key (`kafka`, whose keys are librdkafka's). `target` is then a
     * `const struct tr_node **` that gets one flat map: scalars with dotted keys, never NULL.
     * `options` (may be NULL) documents the best known keys and gives their defaults; offset and
     * checks are not used. TAILRACE_KAFKA_SASL_PASSWORD sets the known key or the file's key that
     * maps to this name, else sasl.password. `x_file` gives any x from a file; a key that ends in
     * password, secret or key.pem is refused on the command line.
     */
    bool free_map;
    const struct tr_rule_key *rule_keys; /* of the section's `tables`; NULL = none */
    const char *help; /* a sentence above the options; of a free map: "any property of …" */
};

/* A piece of the YAML document. Scalars keep their text; all is owned by the tr_config. */
enum tr_node_type { TR_NODE_SCALAR, TR_NODE_LIST, TR_NODE_MAP };
struct tr_node {
    enum tr_node_type type;
    const char *key;  /* inside a map */
    const char *text; /* scalar */
    bool null;        /* a scalar that is `~`, `null` or nothing at all; text is "" */
    const char *file; /* or what else it came from: "environment TAILRACE_X" */
    int line;         /* in the file, from 1; 0 = not from a file */
    struct tr_node *next;
    struct tr_node *child;
};
const struct tr_node *tr_node_get(const struct tr_node *map, const char *key);
/* A scalar's text, or `def` when the key is missing. */
const char *tr_node_text(const struct tr_node *map, const char *key, const char *def);
/* TR_ECONFIG naming file, line, the unknown key and the nearest of `known` (NULL-ended). */
int tr_node_check_keys(const struct tr_node *map, const char *where, const char *const *known,
                       struct tr_error *err) TR_MUST_CHECK;

/* The same for a rule of `tables:`; `keys` NULL: it may have none but `table`. */
int tr_node_check_rule(const struct tr_node *map, const char *where, const struct tr_rule_key *keys,
                       struct tr_error *err) TR_MUST_CHECK;

/* TR_ECONFIG: "FILE:LINE: …" about that node. */
int tr_node_error(const struct tr_node *node, struct tr_error *err, const char *format, ...)
    TR_PRINTF(3, 4);

struct tr_config;

/*
 * Reads the file and applies all sources to the sections' targets. `path` NULL: ./tailrace.yaml,
 * then /etc/tailrace/tailrace.yaml; none there is an error naming both. `overrides` are the command
 * line's NAME=VALUE pairs ("source.host=db1"), applied last.
 * The strings in the targets live until tr_config_free. TR_ECONFIG, with file and line.
 */
int tr_config_load(struct tr_config **out, const char *path, const char *const *overrides,
                   size_t override_count, const struct tr_section *sections,
                   struct tr_error *err) TR_MUST_CHECK;
void tr_config_free(struct tr_config *config);
const char *tr_config_path(const struct tr_config *config);
/* The whole document, sections of other programs included. Never NULL. */
const struct tr_node *tr_config_root(const struct tr_config *config);

/* The help text's option lines (common ones or all) and the Markdown reference, from the tables. */
void tr_options_help(FILE *out, const struct tr_section *sections, bool all);
void tr_options_reference(FILE *out, const char *program, const struct tr_section *sections);
/* The option that "source.host" (or "pipeline") names, NULL when there is none; `section` (may be
 * NULL) gets its section, also for the keys of a free map, which have no tr_option. */
const struct tr_option *tr_options_find(const struct tr_section *sections, const char *name,
                                        const struct tr_section **section);
/* "30s", "5m", "1h", "7d" as milliseconds, for settings inside a TR_OPT_NODE. */
bool tr_option_duration(const char *text, int64_t *ms) TR_MUST_CHECK;
/* The programs that the build makes beside `tailrace`, without `tailrace-` and NULL-ended: each has
 * a section of its name. Made by CMake, so that nothing here names a store. */
extern const char *const tr_program_names[];

/* For "did you mean": the nearest of NULL-ended `known`, NULL when none is near. */
const char *tr_options_nearest(const char *text, const char *const *known);

#endif
