/* rules.c - see rules.h. */
#include "rules.h"

#include <ctype.h>
#include <regex.h>
#include <stdlib.h>
#include <strings.h>

#include "arena.h"

#define RULES_MAX 10000
#define REGEX_BYTES_MAX 4096 /* that repetitions may add; a name is up to 129 characters */
#define REGEX_GROUPS_MAX 32  /* in one another */
/* Of repeated groups inside a repeated group: what they add up to is what takes the time. */
#define REGEX_NESTED_MAX 10
#define REGEX_NESTED_BYTES_MAX 1024
#define NAME_BYTES_MAX 256 /* 64 characters of up to 4 bytes */

/* One half of "database.table". */
struct part {
    struct tr_slice text;
    bool literal; /* no wildcard: in back-ticks or without a star */
};

struct rule {
    bool exclude;
    bool is_regex;
    regex_t regex;
    struct part database;
    struct part table;
    const char *text; /* as the user wrote it */
    const struct tr_node *settings;
};

struct tr_rules {
    struct tr_arena arena;
    struct rule *rules;
    size_t count;
    bool from_all; /* a table that no rule matches is taken */
};

/* ---- matching -----------------------------------------------------------------------------------
 */

/* `*` is any bytes; the last star is tried again one byte further on. */
static bool glob_match(struct tr_slice pattern, struct tr_slice text)
{
    size_t p = 0;
    size_t t = 0;
    size_t star = SIZE_MAX;
    size_t star_text = 0;
    while (t < text.length) {
        if (p < pattern.length && pattern.data[p] == '*') {
            star = p++;
            star_text = t;
        } else if (p < pattern.length && pattern.data[p] == text.data[t]) {
            p++;
            t++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            t = ++star_text;
        } else {
            return false;
        }
    }
    while (p < pattern.length && pattern.data[p] == '*')
        p++;
    return p == pattern.length;
}

static bool part_match(const struct part *part, struct tr_slice text)
{
    return part->literal ? tr_slice_equal(part->text, text) : glob_match(part->text, text);
}

static bool regex_match(const struct rule *rule, struct tr_slice database, struct tr_slice table)
{
    char name[2 * NAME_BYTES_MAX + 2];
    if (database.length > NAME_BYTES_MAX || table.length > NAME_BYTES_MAX)
        return false;
    memcpy(name, database.data, database.length);
    name[database.length] = '.';
    memcpy(name + database.length + 1, table.data, table.length);
    name[database.length + 1 + table.length] = '\0';
    return regexec(&rule->regex, name, 0, NULL, 0) == 0;
}

static bool rule_match(const struct rule *rule, struct tr_slice database, struct tr_slice table)
{
    if (rule->is_regex)
        return regex_match(rule, database, table);
    return part_match(&rule->database, database) && part_match(&rule->table, table);
}

static bool is_system(struct tr_slice database)
{
    static const char *const names[] = {"mysql", "sys", "information_schema", "performance_schema"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strlen(names[i]) == database.length &&
            strncasecmp(names[i], database.data, database.length) == 0)
            return true;
    return false;
}

bool tr_rules_match(const struct tr_rules *rules, struct tr_slice database, struct tr_slice table,
                    const struct tr_node **settings)
{
    bool system = is_system(database);
    bool taken = rules->from_all && !system;
    if (settings != NULL)
        *settings = NULL;
    for (size_t i = 0; i < rules->count; i++) {
        const struct rule *rule = &rules->rules[i];
        if (!rule_match(rule, database, table))
            continue;
        if (system && !rule->exclude && (rule->is_regex || !rule->database.literal))
            continue;
        taken = !rule->exclude;
        if (settings != NULL && rule->settings != NULL)
            *settings = rule->settings;
    }
    return taken;
}

/* Whether a rule takes away every table of the database. */
static bool excludes_database(const struct rule *rule)
{
    return rule->exclude && !rule->is_regex && !rule->table.literal && rule->table.text.length == 1;
}

bool tr_rules_may_match_database(const struct tr_rules *rules, struct tr_slice database)
{
    bool system = is_system(database);
    bool may = rules->from_all && !system;
    for (size_t i = 0; i < rules->count; i++) {
        const struct rule *rule = &rules->rules[i];
        if (!rule->is_regex && !part_match(&rule->database, database))
            continue;
        if (system && (rule->is_regex || !rule->database.literal))
            continue;
        if (!rule->exclude)
            may = true;
        else if (excludes_database(rule))
            may = false;
    }
    return may;
}

static bool is_ascii(struct tr_slice text)
{
    for (size_t i = 0; i < text.length; i++)
        if (((unsigned char)text.data[i] & 0x80) != 0)
            return false;
    return true;
}

/* Of a name that can't be read it is known that it isn't ASCII. */
static bool part_may_match(const struct part *part, const struct tr_slice *text)
{
    return text != NULL ? part_match(part, *text) : !part->literal || !is_ascii(part->text);
}

static bool part_must_match(const struct part *part, const struct tr_slice *text)
{
    return text != NULL ? part_match(part, *text) : !part->literal && part->text.length == 1;
}

bool tr_rules_may_match_unreadable(const struct tr_rules *rules, const struct tr_slice *database,
                                   const struct tr_slice *table)
{
    bool system = database != NULL && is_system(*database);
    bool may = rules->from_all && !system;
    for (size_t i = 0; i < rules->count; i++) {
        const struct rule *rule = &rules->rules[i];
        if (system && (rule->is_regex || !rule->database.literal))
            continue;
        if (rule->exclude)
            may = may && (rule->is_regex || !part_must_match(&rule->database, database) ||
                          !part_must_match(&rule->table, table));
        else if (rule->is_regex ||
                 (part_may_match(&rule->database, database) && part_may_match(&rule->table, table)))
            may = true;
    }
    return may;
}

int tr_rules_each_settings(const struct tr_rules *rules,
                           int (*visit)(void *context, const char *pattern,
                                        const struct tr_node *settings, struct tr_error *err),
                           void *context, struct tr_error *err)
{
    for (size_t i = 0; i < rules->count; i++) {
        const struct rule *rule = &rules->rules[i];
        int rc = rule->settings != NULL ? visit(context, rule->text, rule->settings, err) : 0;
        if (rc != 0)
            return rc;
    }
    return 0;
}

bool tr_rules_all_have(const struct tr_rules *rules, const char *key)
{
    for (size_t i = 0; i < rules->count; i++) {
        const struct rule *rule = &rules->rules[i];
        if (!rule->exclude && (rule->settings == NULL || tr_node_get(rule->settings, key) == NULL))
            return false;
    }
    return !rules->from_all;
}

int tr_rules_each_named(const struct tr_rules *rules,
                        int (*visit)(void *context, struct tr_slice database, struct tr_slice table,
                                     struct tr_error *err),
                        void *context, struct tr_error *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < rules->count; i++) {
        const struct rule *rule = &rules->rules[i];
        struct tr_slice table = {"", 0};
        if (rule->exclude || rule->is_regex || !rule->database.literal ||
            !tr_rules_may_match_database(rules, rule->database.text))
            continue;
        if (rule->table.literal)
            table = rule->table.text;
        if (table.length == 0 || tr_rules_match(rules, rule->database.text, table, NULL))
            rc = visit(context, rule->database.text, table, err);
    }
    return rc;
}

/* ---- parsing
 * ------------------------------------------------------------------------------------- */

/* Where a pattern stands, for messages. */
struct place {
    const struct tr_node *node;
    const char *pattern;
    struct tr_error *err;
};

static int bad(const struct place *place, const char *why)
{
    return tr_node_error(place->node, place->err, "rule '%s': %s", place->pattern, why);
}

static int no_memory(const struct place *place)
{
    return tr_error_set(place->err, TR_ENOMEM, "rule '%s': out of memory", place->pattern);
}

/* A name in back-ticks, a doubled one inside standing for itself. */
static int parse_quoted(struct tr_rules *rules, const struct place *place, const char **at,
                        struct part *out)
{
    char *text = tr_arena_alloc(&rules->arena, strlen(*at) + 1);
    size_t length = 0;
    if (text == NULL)
        return no_memory(place);
    const char *from = *at + 1;
    while (*from != '\0' && (*from != '`' || from[1] == '`')) {
        from += *from == '`';
        text[length++] = *from++;
    }
    if (*from != '`')
        return bad(place, "the closing back-tick is missing");
    *at = from + 1;
    *out = (struct part){.text = {text, length}, .literal = true};
    return 0;
}

static bool is_bare(char c)
{
    unsigned char byte = (unsigned char)c;
    return isalnum(byte) || byte >= 0x80 || (c != '\0' && strchr("_$-*", c) != NULL);
}

static int parse_part(struct tr_rules *rules, const struct place *place, const char **at,
                      struct part *out)
{
    if (**at == '`')
        return parse_quoted(rules, place, at, out);
    const char *start = *at;
    while (is_bare(**at))
        (*at)++;
    size_t length = (size_t)(*at - start);
    char *text = tr_arena_copy(&rules->arena, start, length);
    if (text == NULL)
        return no_memory(place);
    *out = (struct part){.text = {text, length}, .literal = strchr(text, '*') == NULL};
    return 0;
}

static int parse_name(struct tr_rules *rules, const struct place *place, const char *at,
                      struct rule *rule)
{
    int rc = parse_part(rules, place, &at, &rule->database);
    if (rc != 0)
        return rc;
    if (*at == '\0')
        return bad(place, "expected database.table, or database.* for all of its tables");
    if (*at++ != '.')
        return bad(place, "a name with other than letters, digits, _, $ and - needs back-ticks");
    rc = parse_part(rules, place, &at, &rule->table);
    if (rc != 0)
        return rc;
    if (*at != '\0')
        return bad(place, "a name with other than letters, digits, _, $ and - needs back-ticks");
    if (rule->database.text.length == 0 || rule->table.text.length == 0)
        return bad(place, "the name of the database or of the table is empty");
    return 0;
}

/* The last byte of the atom that begins there: of a bracket expression, an escape, or itself. */
static const char *end_of_atom(const char *at, const char *end)
{
    if (*at == '\\')
        return at + 1 < end ? at + 1 : at;
    if (*at != '[')
        return at;
    const char *in = at + 1 + (at[1] == '^');
    for (in += *in == ']'; in < end && *in != ']'; in++)
        if (*in == '[' && strchr(":.=", in[1]) != NULL)
            in += strcspn(in, "]"); /* what ends a class in it is not its own end */
    return in;
}

/* POSIX has no \d and \D: they become bracket expressions, and \d in one a range of it. False for a
 * \D in one. `out` holds 5 bytes for each of text. */
static bool translate_regex(const char *text, const char *end, char *out)
{
    const char *brackets = text; /* up to there, a backslash is one character of a set */
    for (const char *at = text; at < end; at++) {
        bool inside = at < brackets, escape = *at == '\\' && at + 1 < end;
        if (escape && (at[1] == 'd' || at[1] == 'D')) {
            if (inside && at[1] == 'D')
                return false;
            out = stpcpy(out, inside ? "0-9" : at[1] == 'd' ? "[0-9]" : "[^0-9]");
            at++;
            continue;
        }
        if (!inside && *at == '[')
            brackets = end_of_atom(at, end);
        *out++ = *at;
        if (escape && !inside)
            *out++ = *++at;
    }
    *out = '\0';
    return true;
}

/* How often the C library writes out what stands before this repetition. */
static long written_out(const char *at, bool group)
{
    if (*at != '{')
        return *at == '+' && group ? 2 : 1;
    char *end = NULL;
    long from = strtol(at + 1, &end, 10);
    long to = *end == ',' ? strtol(end + 1, NULL, 10) : from;
    return from > to ? from : to;
}

/* What is inside a group so far, all as written out. */
struct regex_group {
    long bytes;
    long repeated; /* groups in it that are repeated */
};

struct regex_scan {
    struct regex_group groups[REGEX_GROUPS_MAX]; /* open ones, the whole expression first */
    struct regex_group unit;                     /* what a repetition would repeat */
    int open;
    enum { REGEX_ATOM, REGEX_GROUP, REGEX_REPETITION } before;
    long added; /* bytes beyond those of the text */
};

static const char *repeat(struct regex_scan *scan, const char *at)
{
    bool group = scan->before == REGEX_GROUP;
    struct regex_group *unit = &scan->unit, *around = &scan->groups[scan->open];
    long times = written_out(at, group);
    if (scan->before == REGEX_REPETITION)
        return "a repetition of a repetition needs parentheses";
    if (times > REGEX_BYTES_MAX)
        return "its repetitions make it too large";
    times = times > 1 ? times : 1;
    if (unit->repeated > 0 &&
        (unit->repeated * times > REGEX_NESTED_MAX || unit->bytes * times > REGEX_NESTED_BYTES_MAX))
        return "it repeats too many groups inside a repeated group";
    long repeated = unit->repeated * (times - 1) + (group ? times : 0);
    around->repeated += repeated;
    around->bytes += unit->bytes * (times - 1);
    scan->added += unit->bytes * (times - 1);
    unit->repeated += repeated;
    scan->before = REGEX_REPETITION;
    return scan->added > REGEX_BYTES_MAX ? "its repetitions make it too large" : NULL;
}

/* A parenthesis, or any other atom. */
static const char *take_atom(struct regex_scan *scan, const char *at, const char *last)
{
    scan->unit = (struct regex_group){.bytes = last - at + 1};
    scan->before = REGEX_ATOM;
    if (*at == '(') {
        if (scan->open + 1 == REGEX_GROUPS_MAX)
            return "its groups are too deep";
        scan->groups[++scan->open] = (struct regex_group){.bytes = 0};
        return NULL;
    }
    if (*at == ')' && scan->open > 0) {
        scan->unit = scan->groups[scan->open--];
        scan->before = REGEX_GROUP;
    }
    scan->groups[scan->open].bytes += scan->unit.bytes;
    scan->groups[scan->open].repeated += scan->unit.repeated;
    return NULL;
}

/*
 * The C library takes time and memory without bound for expressions that nobody needs: it writes
 * out what is repeated, and goes over it anew for each repetition around it. NULL = it may have it.
 */
static const char *regex_fault(const char *at, const char *end)
{
    struct regex_scan scan = {.open = 0};
    const char *fault = NULL;
    for (; fault == NULL && at < end; at++) {
        if (strchr("*+?{", *at) == NULL) {
            const char *last = end_of_atom(at, end);
            fault = take_atom(&scan, at, last);
            at = last;
            continue;
        }
        fault = repeat(&scan, at);
        if (*at == '{')
            at += strcspn(at, "}");
    }
    return fault;
}

static int parse_regex(struct tr_rules *rules, const struct place *place, const char *at,
                       struct rule *rule)
{
    char why[128];
    size_t length = strlen(at);
    if (length < 3 || at[length - 1] != '/')
        return bad(place, "an expression is written /…/");
    char *text = tr_arena_alloc(&rules->arena, length * 5 + 1);
    if (text == NULL)
        return no_memory(place);
    if (!translate_regex(at + 1, at + length - 1, text))
        return bad(place, "\\D can't stand in brackets; write what it may be");
    const char *fault = regex_fault(text, text + strlen(text));
    if (fault != NULL)
        return bad(place, fault);
    int rc = regcomp(&rule->regex, text, REG_EXTENDED | REG_NOSUB);
    rule->is_regex = rc == 0;
    if (rc == 0)
        return 0;
    regerror(rc, &rule->regex, why, sizeof(why));
    return bad(place, why);
}

static int parse_pattern(struct tr_rules *rules, const struct place *place, struct rule *rule)
{
    const char *at = place->pattern;
    rule->text = place->pattern;
    rule->exclude = *at == '!';
    at += rule->exclude;
    if (rule->exclude && rule->settings != NULL)
        return bad(place, "an exclusion takes no settings");
    return *at == '/' ? parse_regex(rules, place, at, rule) : parse_name(rules, place, at, rule);
}

/* An item of a list: a pattern, or a map with `table:`. */
static int parse_item(struct tr_rules *rules, const struct tr_node *item, struct rule *rule,
                      struct tr_error *err)
{
    struct place place = {.node = item, .pattern = item->text, .err = err};
    if (item->type == TR_NODE_MAP) {
        place.pattern = tr_node_text(item, "table", NULL);
        rule->settings = item;
    }
    if (place.pattern == NULL || *place.pattern == '\0')
        return tr_node_error(item, err,
                             "a rule is a pattern like \"shop.*\" or a map with the key 'table'");
    return parse_pattern(rules, &place, rule);
}

/* An entry of a map: the pattern is the key. */
static int parse_entry(struct tr_rules *rules, const struct tr_node *entry, struct rule *rule,
                       struct tr_error *err)
{
    struct place place = {.node = entry, .pattern = entry->key, .err = err};
    if (entry->type == TR_NODE_MAP)
        rule->settings = entry;
    else if (!entry->null)
        return bad(&place, "expected settings like {key: value}, or nothing");
    return parse_pattern(rules, &place, rule);
}

static int alloc_rules(struct tr_rules *rules, const struct tr_node *node, struct tr_error *err)
{
    size_t count = 0;
    for (const struct tr_node *item = node->child; item != NULL; item = item->next)
        count++;
    if (count > RULES_MAX)
        return tr_node_error(node, err, "more than %d rules", RULES_MAX);
    rules->rules = calloc(count + 1, sizeof(*rules->rules));
    return rules->rules != NULL ? 0 : tr_error_set(err, TR_ENOMEM, "out of memory");
}

static int parse_node(struct tr_rules *rules, const struct tr_node *node, struct tr_error *err)
{
    int rc = alloc_rules(rules, node, err);
    if (rc != 0)
        return rc;
    if (node->type == TR_NODE_SCALAR)
        return parse_item(rules, node, &rules->rules[rules->count++], err);
    for (const struct tr_node *item = node->child; item != NULL && rc == 0; item = item->next) {
        struct rule *rule = &rules->rules[rules->count++];
        rc = node->type == TR_NODE_MAP ? parse_entry(rules, item, rule, err)
                                       : parse_item(rules, item, rule, err);
    }
    return rc;
}

int tr_rules_parse(struct tr_rules **out, const struct tr_node *node, struct tr_error *err)
{
    *out = NULL;
    struct tr_rules *rules = calloc(1, sizeof(*rules));
    if (rules == NULL)
        return tr_error_set(err, TR_ENOMEM, "out of memory");
    tr_arena_init(&rules->arena, 4096, 0);
    int rc = node == NULL || node->null ? 0 : parse_node(rules, node, err);
    if (rc != 0) {
        tr_rules_free(rules);
        return rc;
    }
    rules->from_all = rules->count == 0 || rules->rules[0].exclude;
    *out = rules;
    return 0;
}

void tr_rules_free(struct tr_rules *rules)
{
    if (rules == NULL)
        return;
    for (size_t i = 0; i < rules->count; i++)
        if (rules->rules[i].is_regex)
            regfree(&rules->rules[i].regex);
    free(rules->rules);
    tr_arena_done(&rules->arena);
    free(rules);
}
