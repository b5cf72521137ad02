/*
 * arguments.h - a command line to what tr_app_main has to do. Called once, by the main thread.
 */
#ifndef TR_ARGUMENTS_H
#define TR_ARGUMENTS_H

#include "app.h"

#define TR_OVERRIDES_MAX 128

enum tr_app_action { TR_ACTION_RUN, TR_ACTION_USAGE, TR_ACTION_HELP, TR_ACTION_VERSION };

struct tr_arguments {
    enum tr_app_action action;
    const char *topic; /* of help: "", "all", "reference" or a command's name */
    const struct tr_app_command *command;
    const char *config_path; /* NULL = the default places */
    const char *overrides[TR_OVERRIDES_MAX];
    size_t override_count;
    char *joined[TR_OVERRIDES_MAX]; /* those overrides that were put together from two words */
    size_t joined_count;
};

/* Fills out and run's flags. `sections` are the app's and log. TR_EUSAGE. */
int tr_arguments_parse(struct tr_arguments *out, struct tr_app_run *run,
                       const struct tr_section *sections, int argc, char **argv,
                       struct tr_error *err) TR_MUST_CHECK;
void tr_arguments_done(struct tr_arguments *arguments);

#endif
