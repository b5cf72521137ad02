/* commands.h - the commands of a consumer. Main thread; 0 or a TR_E… code, with the message. */
#ifndef TR_COMMANDS_H
#define TR_COMMANDS_H

#include "session.h"

int tr_run(const struct tr_program *program, struct tr_error *err) TR_MUST_CHECK;

/* Prints a line per thing that is in order, and warnings; the first that isn't is the error. */
int tr_check(const struct tr_program *program, struct tr_error *err) TR_MUST_CHECK;

/* From the running process where http.listen is set and answers, else from Kafka, which knows only
 * whether there is one. */
int tr_status_command(const struct tr_program *program, bool json,
                      struct tr_error *err) TR_MUST_CHECK;

struct tr_reset_request {
    const char *to; /* "beginning" */
    bool drop, execute;
    const char *confirm; /* the store's name, NULL = ask */
};

int tr_reset(const struct tr_program *program, const struct tr_reset_request *request,
             struct tr_error *err) TR_MUST_CHECK;

#endif
