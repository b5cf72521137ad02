/*
 * programs.h - finds and runs the other programs of tailrace. Called by the front program's main
 * thread only.
 */
#ifndef TR_PROGRAMS_H
#define TR_PROGRAMS_H

#include "error.h"
#include "options.h"

/* Whether there is a program of this name: one of the build's (tr_program_names), installed or not,
 * or any other `tailrace-<name>` that stands beside this program or in PATH. */
bool tr_programs_has(const char *name);
/* Replaces the process by `tailrace-<name>`; argv[0] is overwritten. Comes back only with an error:
 * TR_EUSAGE when there is no such program. */
int tr_programs_exec(const char *name, char **argv, struct tr_error *err);
/* Runs `status` of every program that has a section in `root`, in the file's order. The first
 * failure is the result; the others are run all the same. */
int tr_programs_status(const struct tr_node *root, const char *config_path, bool json,
                       struct tr_error *err) TR_MUST_CHECK;

#endif
