/*
 * yaml_tree.h - text to a tree of nodes; the only module that includes yaml.h.
 *
 * Called by the configuration's loader, one thread. The tree lives in the arena. Anchors, aliases
 * and keys given twice are refused: each says something that a reader of the file may not see.
 */
#ifndef TR_YAML_TREE_H
#define TR_YAML_TREE_H

#include "arena.h"
#include "options.h"

/* `file` names the source in messages and must live as long as the tree; first_line 0 leaves the
 * lines out (text that came from the environment). Empty text gives an empty map. */
int tr_yaml_parse(const struct tr_node **out, const char *text, size_t length, const char *file,
                  int first_line, struct tr_arena *arena, struct tr_error *err) TR_MUST_CHECK;

#endif
