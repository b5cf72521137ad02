/* arguments.c - see arguments.h. */
#include "arguments.h"

#include <stdlib.h>
#include <string.h>

#define NAMES_MAX 64

struct parser {
    struct tr_arguments *out;
    struct tr_app_run *run;
    const struct tr_section *sections;
    char **words;
    int count;
    int at;
    struct tr_error *err;
};

/* Fills known with the commands' names, behind the `count` that are there; ends it by NULL. */
static void add_commands(const struct parser *parser, const char **known, size_t count)
{
    for (const struct tr_app_command *command = parser->run->app->commands;
         command->name != NULL && count < NAMES_MAX; command++)
        known[count++] = command->name;
    known[count] = NULL;
}

static int unknown_topic(const struct parser *parser, const char *word)
{
    const char *known[NAMES_MAX + 1] = {"all", "reference"};
    add_commands(parser, known, 2);
    const char *nearest = tr_options_nearest(word, known);
    if (nearest == NULL)
        return tr_error_set(parser->err, TR_EUSAGE,
                            "no help on '%s'; there is all, reference, and every command", word);
    return tr_error_set(parser->err, TR_EUSAGE, "no help on '%s'; did you mean '%s'?", word,
                        nearest);
}

static int unknown_command(const struct parser *parser, const char *word)
{
    const char *known[NAMES_MAX + 1] = {"help"};
    add_commands(parser, known, 1);
    const char *nearest = tr_options_nearest(word, known);
    if (nearest == NULL)
        return tr_error_set(parser->err, TR_EUSAGE, "unknown command '%s'; see %s help", word,
                            parser->run->app->program);
    return tr_error_set(parser->err, TR_EUSAGE, "unknown command '%s'; did you mean '%s'?", word,
                        nearest);
}

static int unknown_option(const struct parser *parser, const char *name)
{
    const char *known[NAMES_MAX + 3];
    size_t count = 0;
    for (const struct tr_app_flag *flag = parser->out->command->flags;
         flag != NULL && flag->name != NULL && count < NAMES_MAX; flag++)
        known[count++] = flag->name;
    known[count++] = "config";
    known[count++] = "help";
    known[count] = NULL;
    const char *nearest = tr_options_nearest(name, known);
    if (nearest == NULL)
        return tr_error_set(parser->err, TR_EUSAGE, "unknown option --%s; see %s help", name,
                            parser->run->app->program);
    return tr_error_set(parser->err, TR_EUSAGE, "unknown option --%s; did you mean --%s?", name,
                        nearest);
}

static const struct tr_app_command *find_command(const struct tr_app *app, const char *name)
{
    for (const struct tr_app_command *command = app->commands; command->name != NULL; command++)
        if (strcmp(command->name, name) == 0)
            return command;
    return NULL;
}

static const struct tr_app_flag *find_flag(const struct tr_app_command *command, const char *name)
{
    for (const struct tr_app_flag *flag = command->flags; flag != NULL && flag->name != NULL;
         flag++)
        if (strcmp(flag->name, name) == 0)
            return flag;
    return NULL;
}

/* The value behind "=" or the next word. */
static int take_value(struct parser *parser, const char *name, const char *attached,
                      const char **out)
{
    if (attached == NULL && parser->at >= parser->count)
        return tr_error_set(parser->err, TR_EUSAGE, "--%s needs a value", name);
    *out = attached != NULL ? attached : parser->words[parser->at++];
    return 0;
}

static int take_flag(struct parser *parser, const struct tr_app_flag *flag, const char *attached)
{
    struct tr_app_run *run = parser->run;
    const char *value = "";
    int rc = 0;
    if (flag->meta != NULL)
        rc = take_value(parser, flag->name, attached, &value);
    else if (attached != NULL)
        rc = tr_error_set(parser->err, TR_EUSAGE, "--%s takes no value", flag->name);
    if (rc == 0 && tr_app_flag_value(run, flag->name) != NULL)
        rc = tr_error_set(parser->err, TR_EUSAGE, "--%s is given twice", flag->name);
    if (rc == 0 && run->flag_count >= sizeof(run->flags) / sizeof(run->flags[0]))
        rc = tr_error_set(parser->err, TR_EUSAGE, "too many options");
    if (rc != 0)
        return rc;
    run->flags[run->flag_count].name = flag->name;
    run->flags[run->flag_count++].value = value;
    return 0;
}

/* --section.key=VALUE as it stands; "--section.key VALUE" put together. A bool needs no value. */
static int take_override(struct parser *parser, const char *name, const char *attached)
{
    struct tr_arguments *out = parser->out;
    const struct tr_option *option = tr_options_find(parser->sections, name, NULL);
    const char *value = "true";
    bool needs_value = option == NULL || option->type != TR_OPT_BOOL;
    int rc = needs_value || attached != NULL ? take_value(parser, name, attached, &value) : 0;
    if (rc == 0 && out->override_count >= TR_OVERRIDES_MAX)
        rc = tr_error_set(parser->err, TR_EUSAGE, "too many options");
    if (rc != 0)
        return rc;
    char *joined = NULL;
    if (asprintf(&joined, "%s=%s", name, value) < 0)
        return tr_error_set(parser->err, TR_ENOMEM, "out of memory");
    out->joined[out->joined_count++] = joined;
    out->overrides[out->override_count++] = joined;
    return 0;
}

/* One word that begins with two dashes. */
static int take_option(struct parser *parser, const char *word)
{
    char name[128];
    const char *equals = strchrnul(word, '=');
    const char *attached = *equals == '=' ? equals + 1 : NULL;
    size_t length = (size_t)(equals - word) - 2;
    if (length >= sizeof(name))
        return tr_error_set(parser->err, TR_EUSAGE, "unknown option %.60s…", word);
    memcpy(name, word + 2, length);
    name[length] = '\0';
    if (strcmp(name, "config") == 0)
        return take_value(parser, name, attached, &parser->out->config_path);
    if (strcmp(name, "help") == 0) {
        parser->out->action = TR_ACTION_HELP;
        parser->out->topic = parser->out->command->name;
        return 0;
    }
    const struct tr_app_flag *flag = find_flag(parser->out->command, name);
    if (flag != NULL)
        return take_flag(parser, flag, attached);
    if (strchr(name, '.') != NULL || tr_options_find(parser->sections, name, NULL) != NULL)
        return take_override(parser, name, attached);
    return unknown_option(parser, name);
}

static int take_topic(struct parser *parser)
{
    static const char *const topics[] = {"all", "reference"};
    const char *topic = parser->at < parser->count ? parser->words[parser->at++] : "";
    parser->out->action = TR_ACTION_HELP;
    parser->out->topic = topic;
    if (*topic == '\0' || strcmp(topic, topics[0]) == 0 || strcmp(topic, topics[1]) == 0 ||
        find_command(parser->run->app, topic) != NULL)
        return 0;
    return unknown_topic(parser, topic);
}

static int take_command(struct parser *parser)
{
    if (parser->at >= parser->count) {
        parser->out->action = TR_ACTION_USAGE;
        return 0;
    }
    const char *word = parser->words[parser->at++];
    if (strcmp(word, "help") == 0 || strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
        return take_topic(parser);
    if (strcmp(word, "--version") == 0) {
        parser->out->action = TR_ACTION_VERSION;
        return 0;
    }
    parser->out->command = find_command(parser->run->app, word);
    return parser->out->command != NULL ? 0 : unknown_command(parser, word);
}

int tr_arguments_parse(struct tr_arguments *out, struct tr_app_run *run,
                       const struct tr_section *sections, int argc, char **argv,
                       struct tr_error *err)
{
    *out = (struct tr_arguments){.action = TR_ACTION_RUN};
    struct parser parser = {.out = out,
                            .run = run,
                            .sections = sections,
                            .words = argv,
                            .count = argc,
                            .at = 1,
                            .err = err};
    int rc = take_command(&parser);
    while (rc == 0 && out->action == TR_ACTION_RUN && parser.at < argc) {
        const char *word = argv[parser.at++];
        if (strncmp(word, "--", 2) != 0 || word[2] == '\0')
            rc = tr_error_set(err, TR_EUSAGE, "unexpected '%s'; see %s help", word,
                              run->app->program);
        else
            rc = take_option(&parser, word);
    }
    return rc;
}

void tr_arguments_done(struct tr_arguments *arguments)
{
    for (size_t i = 0; i < arguments->joined_count; i++)
        free(arguments->joined[i]);
    arguments->joined_count = 0;
}
