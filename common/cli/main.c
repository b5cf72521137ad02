/*
 * main.c - the front program: `tailrace capture run` runs `tailrace-capture run`, and `tailrace
 * status` asks every program that has a section in the configuration.
 *
 * The programs are looked for beside this one, then in PATH. Those of the build are named in the
 * help and in "did you mean"; any other `tailrace-<name>` is run all the same when it is there.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app.h"
#include "programs.h"

#define PROGRAMS_MAX 32

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

static struct tr_app_command commands[PROGRAMS_MAX + 2]; /* the programs, status, and the end */

static void name_commands(void)
{
    static char helps[PROGRAMS_MAX][80];
    size_t count = 0;
    for (const char *const *name = tr_program_names; *name != NULL && count < PROGRAMS_MAX;
         name++) {
        snprintf(helps[count], sizeof(helps[count]),
                 "Runs tailrace-%s; its own help: tailrace %s help.", *name, *name);
        commands[count] =
            (struct tr_app_command){.name = *name, .help = helps[count], .run = run_program};
        count++;
    }
    commands[count] = (struct tr_app_command){
        .name = "status",
        .help = "Status of every program whose section is in the configuration.",
        .flags = status_flags,
        .run = status};
}

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
    return strcmp(word, "status") != 0 && tr_programs_has(word);
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
    name_commands();
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
