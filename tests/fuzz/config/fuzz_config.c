/*
 * fuzz_config.c - any bytes as a configuration: the YAML reader gives a tree or an error that names
 * a place, and so do the rules when the tree is read as rules and each rule is asked.
 */
#include <string.h>

#include "fuzz.h"
#include "rules.h"
#include "yaml_tree.h"

#define TREE_BYTES_MAX ((size_t)16 << 20)

static size_t walk(const struct tr_node *node)
{
    size_t count = 1;
    if (node->type == TR_NODE_SCALAR) {
        CHECK(node->text != NULL && node->child == NULL);
        return count + strlen(node->text);
    }
    for (const struct tr_node *child = node->child; child != NULL; child = child->next) {
        CHECK((child->key != NULL) == (node->type == TR_NODE_MAP));
        count += walk(child);
    }
    return count;
}

static void ask_rules(const struct tr_node *node)
{
    struct tr_rules *rules = NULL;
    struct tr_error err = {0};
    int rc = tr_rules_parse(&rules, node, &err);
    CHECK(rc == err.code && (rc == 0) == (rules != NULL));
    if (rc == 0) {
        struct tr_slice database = TR_SLICE("shop");
        struct tr_slice table = TR_SLICE("log_17");
        /* A table that is taken lies in a database that may have one. */
        CHECK(!tr_rules_match(rules, database, table, NULL) ||
              tr_rules_may_match_database(rules, database));
    }
    tr_rules_free(rules);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tr_arena arena;
    struct tr_error err = {0};
    const struct tr_node *root = NULL;
    tr_arena_init(&arena, 4096, TREE_BYTES_MAX);
    int rc = tr_yaml_parse(&root, (const char *)data, size, "input", 1, &arena, &err);
    CHECK(rc == err.code);
    CHECK(rc == 0 || strncmp(err.text, "input:", 6) == 0);
    if (rc == 0) {
        CHECK(root != NULL && walk(root) > 0);
        ask_rules(root);
        if (root->type == TR_NODE_MAP)
            for (const struct tr_node *child = root->child; child != NULL; child = child->next)
                ask_rules(child);
    }
    tr_arena_done(&arena);
    return 0;
}
