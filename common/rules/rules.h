/*
 * rules.h - which tables a program takes: an ordered list of rules, the last match wins.
 *
 *     shop.*            * is a wildcard in either part
 *     `odd.name`.`t 1`  back-ticks for names with other characters
 *     /^shop\.log_\d+/  a POSIX extended expression over "database.table"; \d is a digit
 *     !shop.tmp_*       excludes
 *     {table: shop.product, key: "product:{id}", …}   a rule with settings
 *
 * No rules: everything but mysql, sys, information_schema, performance_schema (which are left out
 * also under rules unless a rule names the database literally). A list that starts with an
 * exclusion starts from everything. A map `tables: {shop.product: {…}}` is read as a list of maps;
 * an empty list or map is no rules. Names are compared byte by byte. Constant after parsing; any
 * thread.
 */
#ifndef TR_RULES_H
#define TR_RULES_H

#include "buf.h"
#include "options.h"

struct tr_rules;

/* `node` may be NULL (defaults). Keeps pointers into the node's tree. */
int tr_rules_parse(struct tr_rules **out, const struct tr_node *node,
                   struct tr_error *err) TR_MUST_CHECK;
void tr_rules_free(struct tr_rules *rules);
/* Whether the table is taken. `settings`, when not NULL, gets the map of the last matching rule
 * that has one (NULL when none). */
bool tr_rules_match(const struct tr_rules *rules, struct tr_slice database, struct tr_slice table,
                    const struct tr_node **settings);
/* Whether any table of the database could match (for statements without a table). */
bool tr_rules_may_match_database(const struct tr_rules *rules, struct tr_slice database);
/* Whether a table could match of whose name one part or both can't be read (NULL), because they
 * hold other letters than ASCII's in an unknown character set. */
bool tr_rules_may_match_unreadable(const struct tr_rules *rules, const struct tr_slice *database,
                                   const struct tr_slice *table);
/* Calls back with each rule's settings map, for checks of the configuration at start. A map of a
 * list (`{table: …, …}`) still has its key `table`. */
int tr_rules_each_settings(const struct tr_rules *rules,
                           int (*visit)(void *context, const char *pattern,
                                        const struct tr_node *settings, struct tr_error *err),
                           void *context, struct tr_error *err) TR_MUST_CHECK;
/* Whether every table that is taken, whatever there is, has this setting: each rule that takes
 * tables has it. */
bool tr_rules_all_have(const struct tr_rules *rules, const char *key);
/* Calls back with each table, or (`table` empty) each database, that a rule takes by its plain
 * name: what must be there to be read. Rules with wildcards in the database and expressions name
 * none. */
int tr_rules_each_named(const struct tr_rules *rules,
                        int (*visit)(void *context, struct tr_slice database, struct tr_slice table,
                                     struct tr_error *err),
                        void *context, struct tr_error *err) TR_MUST_CHECK;

#endif
