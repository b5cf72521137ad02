/* app.c - the frame of every main(); see app.h. */
#include "app.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "arguments.h"
#include "log.h"
#include "stop.h"

#define SECTIONS_MAX 32

struct log_settings {
    int level;
    int format;
};

static struct log_settings log_settings;
/* `run` logs, and from here on: its end is told there too. */
static bool running;

static const struct tr_option log_options[] = {
    {.key = "level",
     .type = TR_OPT_ENUM,
     .offset = offsetof(struct log_settings, level),
     .def = "info",
     .values = "debug|info|warn|error",
     .common = true,
     .help = "The least level that is written."},
    {.key = "format",
     .type = TR_OPT_ENUM,
     .offset = offsetof(struct log_settings, format),
     .def = "auto",
     .values = "auto|logfmt|json",
     .help = "Auto is logfmt on a terminal and JSON otherwise."},
    {.key = NULL},
};

void tr_app_warn(unsigned *warnings, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("warning: ", stdout);
    vprintf(format, args);
    fputc('\n', stdout);
    va_end(args);
    (*warnings)++;
}

const char *tr_app_flag_value(const struct tr_app_run *run, const char *name)
{
    for (size_t i = 0; i < run->flag_count; i++)
        if (strcmp(run->flags[i].name, name) == 0)
            return run->flags[i].value;
    return NULL;
}

/* The app's sections and the one that every program has. */
static int collect_sections(const struct tr_app *app, struct tr_section *out, struct tr_error *err)
{
    size_t count = 0;
    for (const struct tr_section *section = app->sections; section != NULL && section->name != NULL;
         section++) {
        if (count >= SECTIONS_MAX)
            return tr_error_set(err, TR_EBUG, "%s has too many sections", app->program);
        out[count++] = *section;
    }
    out[count++] =
        (struct tr_section){.name = "log", .options = log_options, .target = &log_settings};
    out[count] = (struct tr_section){.name = NULL};
    return 0;
}

/* ---- help ---------------------------------------------------------------------------------------
 */

static void print_flags(FILE *out, const struct tr_app_command *command, const char *indent)
{
    for (const struct tr_app_flag *flag = command->flags; flag != NULL && flag->name != NULL;
         flag++) {
        char name[96];
        snprintf(name, sizeof(name), "--%s%s%s", flag->name, flag->meta != NULL ? " " : "",
                 flag->meta != NULL ? flag->meta : "");
        fprintf(out, "%s%-28s %s\n", indent, name, flag->help);
    }
}

static void print_help(FILE *out, const struct tr_app *app, const struct tr_section *sections,
                       bool all)
{
    fprintf(out,
            "%s: %s\n\nUsage: %s COMMAND [--config FILE] [--SECTION.KEY=VALUE]…\n\nCommands:\n",
            app->program, app->purpose, app->program);
    for (const struct tr_app_command *command = app->commands; command->name != NULL; command++) {
        fprintf(out, "  %-30s %s\n", command->name, command->help);
        print_flags(out, command, "    ");
    }
    fprintf(out, "  %-30s %s\n", "help [all|reference|COMMAND]",
            "This; every option; a Markdown page; one command.");
    fprintf(out, "\n%s (file, TAILRACE_SECTION_KEY or --SECTION.KEY=VALUE):\n",
            all ? "Options" : "Common options");
    tr_options_help(out, sections, all);
    fprintf(out,
            "\nThe file is ./tailrace.yaml or /etc/tailrace/tailrace.yaml unless --config says "
            "otherwise.\nSecrets are not taken from the command line: NAME_file names a file that "
            "holds one.\n\nExamples:\n%s",
            app->examples);
    size_t length = strlen(app->examples);
    if (length == 0 || app->examples[length - 1] != '\n')
        fputc('\n', out);
}

static void print_reference(FILE *out, const struct tr_app *app, const struct tr_section *sections)
{
    fprintf(out,
            "# %s\n\n%s\n\n## Commands\n\n`%s COMMAND [--config FILE] [--SECTION.KEY=VALUE]…`\n\n",
            app->program, app->purpose, app->program);
    for (const struct tr_app_command *command = app->commands; command->name != NULL; command++) {
        fprintf(out, "- `%s`: %s\n", command->name, command->help);
        for (const struct tr_app_flag *flag = command->flags; flag != NULL && flag->name != NULL;
             flag++)
            fprintf(out, "  - `--%s%s%s`: %s\n", flag->name, flag->meta != NULL ? " " : "",
                    flag->meta != NULL ? flag->meta : "", flag->help);
    }
    fprintf(
        out,
        "- `help [all|reference|COMMAND]`: help; every option; this page; one command.\n"
        "\n## Exit codes\n\n"
        "0 done or asked to stop, 1 usage, 2 configuration, 3 source, 4 Kafka, 5 store, 6 state,\n"
        "7 different, 70 a fault in the program.\n\n");
    tr_options_reference(out, app->program, sections);
}

static void print_command_help(FILE *out, const struct tr_app *app, const char *name)
{
    for (const struct tr_app_command *command = app->commands; command->name != NULL; command++) {
        if (strcmp(command->name, name) != 0)
            continue;
        fprintf(out, "%s %s: %s\n", app->program, command->name, command->help);
        print_flags(out, command, "  ");
        fprintf(out, "  %-28s %s\n", "--config FILE", "The configuration.");
        fprintf(out, "  %-28s %s\n", "--SECTION.KEY=VALUE", "Overrides it; see help all.");
    }
}

static void help(const struct tr_app *app, const struct tr_section *sections, const char *topic)
{
    if (*topic == '\0' || strcmp(topic, "all") == 0)
        print_help(stdout, app, sections, *topic != '\0');
    else if (strcmp(topic, "reference") == 0)
        print_reference(stdout, app, sections);
    else
        print_command_help(stdout, app, topic);
}

/* ---- running a command
 * --------------------------------------------------------------------------- */

static int run_command(const struct tr_arguments *arguments, struct tr_app_run *run,
                       const struct tr_section *sections, struct tr_error *err)
{
    struct tr_config *config = NULL;
    int rc = tr_config_load(&config, arguments->config_path, arguments->overrides,
                            arguments->override_count, sections, err);
    if (rc != 0)
        return rc;
    tr_log_init((enum tr_log_level)log_settings.level, (enum tr_log_format)log_settings.format);
    running = strcmp(arguments->command->name, "run") == 0;
    if (running)
        tr_log(TR_LOG_INFO, "app", "started", TR_STR("program", run->app->program),
               TR_STR("version", TR_VERSION), TR_STR("command", arguments->command->name),
               TR_STR("config", tr_config_path(config)), TR_END);
    rc = tr_stop_start_signals(err);
    if (rc == 0) {
        run->config = config;
        rc = arguments->command->run(run, err);
        tr_stop_end_signals();
    }
    tr_config_free(config);
    return rc;
}

static int act(const struct tr_arguments *arguments, struct tr_app_run *run,
               const struct tr_section *sections, struct tr_error *err)
{
    switch (arguments->action) {
    case TR_ACTION_HELP:
        help(run->app, sections, arguments->topic);
        return 0;
    case TR_ACTION_USAGE:
        print_help(stderr, run->app, sections, false);
        return tr_error_set(err, TR_EUSAGE, "no command");
    case TR_ACTION_VERSION:
        printf("%s %s\n", run->app->program, TR_VERSION);
        return 0;
    case TR_ACTION_RUN:
        break;
    }
    return run_command(arguments, run, sections, err);
}

/* A line for people; before it a log record, where programs read what is written. */
static void say_error(const struct tr_app *app, const struct tr_error *err, int exit_code)
{
    char text[1200], next[32];
    snprintf(next, sizeof(next), "exit %d", exit_code);
    if (running && tr_log_is_json())
        tr_log_error(TR_LOG_ERROR, "app", err, next);
    fprintf(stderr, "%s: %s\n", app->program, tr_error_format(err, text, sizeof(text)));
}

/* The error's line, and the exit code. */
static int finish(const struct tr_app *app, int rc, struct tr_error *err)
{
    if (fflush(stdout) != 0 && rc == 0)
        rc = tr_error_set_native(err, TR_EIO, errno, "cannot write to standard output");
    if (rc == 0 || rc == TR_ESTOPPED)
        return 0;
    if (err->code == 0)
        (void)tr_error_set(err, rc, "%s", tr_error_text(rc));
    say_error(app, err, tr_error_exit_code(rc));
    return tr_error_exit_code(rc);
}

int tr_app_main(const struct tr_app *app, int argc, char **argv)
{
    struct tr_error err = {0};
    struct tr_app_run run = {.app = app};
    struct tr_arguments arguments = {.action = TR_ACTION_RUN};
    struct tr_section sections[SECTIONS_MAX + 2];
    int rc = collect_sections(app, sections, &err);
    if (rc == 0)
        rc = tr_arguments_parse(&arguments, &run, sections, argc, argv, &err);
    if (rc == 0)
        rc = act(&arguments, &run, sections, &err);
    rc = finish(app, rc, &err);
    tr_arguments_done(&arguments);
    return rc;
}
