/* commands.h - tailrace-capture's commands, beside run (pipeline.h). Main thread. */
#ifndef TR_CAPTURE_COMMANDS_H
#define TR_CAPTURE_COMMANDS_H

#include "settings.h"

/* Looks at configuration, source and Kafka, changes nothing; prints what it finds, a line each. */
int tr_command_check(const struct tr_capture *config, struct tr_error *err) TR_MUST_CHECK;
/* Prints the state: of the running process, else what the checkpoint and the source say. */
int tr_command_status(const struct tr_capture *config, bool json,
                      struct tr_error *err) TR_MUST_CHECK;

#endif
