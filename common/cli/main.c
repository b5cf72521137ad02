/*
 * main.c - the front program: `tailrace capture run` runs `tailrace-capture run`, and `tailrace
 * status` asks every program that has a section in the configuration.
 *
 * The programs are looked for beside this one, then in PATH; a program that is not in the table
 * below is run all the same when it is there.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app.h"
#include "programs.h"

static int status(const struct tr_app_run *run, struct tr_error *err)
{
    return tr_programs_status(tr_config_root(run->config), tr_config_path(run->config),
                              tr_app_flag_value(run, "json") != NULL, err);
}

/* The names of programs are commands too, for help and for the nearest name; main runs them. */
static int run_program(const struct tr_app_run *run, struct tr_error *err)
{
    (void)run;
    return tr_error_set(err, TR_EBUG, "a program's name is handled before");
}

static const struct tr_app_flag status_flags[] = {
    {.name = "json", .help = "One JSON object for each program, one a line."},
    {.name = NULL},
};

static const struct tr_app_command commands[] = {
    {.name = "capture", .help = "Reads the source's binlog into Kafka.", .run = run_program},
    {.name = "elasticsearch", .help = "Keeps Elasticsearch equal.", .run = run_program},
    {.name = "redis", .help = "Keeps Redis equal.", .run = run_program},
    {.name = "sqlite", .help = "Keeps a SQLite file equal.", .run = run_program},
    {.name = "status",
     .help = "Status of every program whose section is in the configuration.",
     .flags = status_flags,
     .run = status},
    {.name = NULL},
};

static const struct tr_section sections[] = {{.name = NULL}};

static const struct tr_app app = {
    .program = "tailrace",
    .purpose = "runs the programs of a pipeline by name; each has its own `help`.",
    .examples = "  tailrace capture check\n"
                "  tailrace redis run --config /etc/tailrace/tailrace.yaml\n"
                "  tailrace status --json\n",
    .commands = commands,
    .sections = sections,
};

static bool is_program(const char *word)
{
    for (const struct tr_app_command *command = commands; command->name != NULL; command++)
        if (strcmp(command->name, word) == 0)
            return command->run == run_program;
    return tr_programs_exists(word);
}

/* Replaces this process; comes back only with an error. */
static int exec_program(const char *name, char **argv)
{
    struct tr_error err = {0};
    int rc = tr_programs_exec(name, argv, &err);
    fprintf(stderr, "tailrace: %s\n", err.text);
    return tr_error_exit_code(rc);
}

int main(int argc, char **argv)
{
    bool is_help = argc > 2 && strcmp(argv[1], "help") == 0;
    /* `help redis` is `redis help`. */
    if (is_help && is_program(argv[2])) {
        const char *name = argv[2];
        argv[2] = argv[1];
        return exec_program(name, argv + 1);
    }
    if (argc > 1 && is_program(argv[1]))
        return exec_program(argv[1], argv + 1);
    return tr_app_main(&app, argc, argv);
}
