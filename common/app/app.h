/*
 * app.h - what every program's main() does: a tree of commands as data, options, log, signals,
 * exit code. Also the shutdown flag that all loops look at.
 *
 * The main thread blocks SIGINT and SIGTERM before any thread is made (so every thread has them
 * blocked) and a small thread of this module takes them by signalfd: the first asks to stop, the
 * second ends the process at once. SIGPIPE is ignored.
 */
#ifndef TR_APP_H
#define TR_APP_H

#include "error.h"
#include "options.h"

struct tr_app_command;

/* A flag of a command itself, beside the configuration: `--execute`, `--to beginning`, `--json`. */
struct tr_app_flag {
    const char *name; /* without dashes; NULL ends the list */
    const char *meta; /* "PATH" when it takes a value, else NULL */
    const char *help;
};

struct tr_app {
    const char *program;  /* "tailrace-redis" */
    const char *purpose;  /* one sentence */
    const char *examples; /* three lines to paste */
    const struct tr_app_command *commands;
    const struct tr_section *sections; /* all that `--help all` prints and the file may set */
    void *context;                     /* the program's own */
};

struct tr_app_run {
    const struct tr_app *app;
    const struct tr_config *config;
    size_t flag_count;
    struct {
        const char *name, *value;
    } flags[16];
};

struct tr_app_command {
    const char *name; /* NULL ends the list */
    const char *help;
    const struct tr_app_flag *flags; /* may be NULL */
    /* 0 or a TR_E… code; the message is in err. TR_EDIFFERENT and so on become the exit code. */
    int (*run)(const struct tr_app_run *run, struct tr_error *err);
};

/*
 * Parses `PROGRAM COMMAND [--config FILE] [--flag [VALUE]] [--section.key=VALUE]…`, loads the
 * configuration, runs the command, prints its error as one clear line on stderr (`run` with a JSON
 * log also as its last record), returns the exit code. Implements `help`, `--help`, `--help all`,
 * `help reference` (Markdown), `--version` itself. No command: usage on stderr, exit 1. Also sets
 * log.level, log.format (section "log").
 */
int tr_app_main(const struct tr_app *app, int argc, char **argv);
/* A line of `check` on stdout: "warning: …"; counts it. */
void tr_app_warn(unsigned *warnings, const char *format, ...) TR_PRINTF(2, 3);
/* NULL when the flag was not given; "" when it was given and takes no value. */
const char *tr_app_flag_value(const struct tr_app_run *run, const char *name);

/* Set by signal or by tr_app_stop; any thread. */
bool tr_app_stopping(void);
void tr_app_stop(void);
/* An eventfd that turns readable when stopping, for poll(). */
int tr_app_stop_fd(void);
/* Called (from the signal thread) when the stop begins, to wake a blocking read; one of them. */
void tr_app_on_stop(void (*wake)(void *context), void *context);
/* Sleeps, but not past a stop. False when stopping. */
bool tr_app_sleep_ms(int64_t ms);

#endif
