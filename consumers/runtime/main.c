/* main.c - the program around a sink: options, commands, exit code. See runtime.h. */
#include <stdio.h>
#include <stdlib.h>

#include "app.h"
#include "commands.h"
#include "kafka.h"

static const struct tr_option top_options[] = {
    {.key = "pipeline",
     .type = TR_OPT_STRING,
     .offset = offsetof(struct tr_program, pipeline),
     .common = true,
     .help = "The pipeline's name: prefix of its topics and groups."},
    {.key = NULL},
};

static int run_run(const struct tr_app_run *run, struct tr_error *err)
{
    return tr_run(run->app->context, err);
}

static int run_check(const struct tr_app_run *run, struct tr_error *err)
{
    return tr_check(run->app->context, err);
}

static int run_status(const struct tr_app_run *run, struct tr_error *err)
{
    return tr_status_command(run->app->context, tr_app_flag_value(run, "json") != NULL, err);
}

static int run_reset(const struct tr_app_run *run, struct tr_error *err)
{
    const struct tr_reset_request request = {
        .to = tr_app_flag_value(run, "to"),
        .drop = tr_app_flag_value(run, "drop") != NULL,
        .execute = tr_app_flag_value(run, "execute") != NULL,
        .confirm = tr_app_flag_value(run, "confirm"),
    };
    return tr_reset(run->app->context, &request, err);
}

static const struct tr_app_flag status_flags[] = {
    {"json", NULL, "Print JSON."},
    {NULL, NULL, NULL},
};

static const struct tr_app_flag reset_flags[] = {
    {"to", "beginning", "Where to start again."},
    {"drop", NULL, "Also remove what the store holds."},
    {"confirm", "NAME", "The store's name, instead of asking for it (with --drop)."},
    {"execute", NULL, "Do it; without this the plan is only printed."},
    {NULL, NULL, NULL},
};

static const struct tr_app_command commands[] = {
    {"run", "Keep the store equal to the source, until stopped.", NULL, run_run},
    {"check", "Validate the configuration and the servers behind it.", NULL, run_check},
    {"status", "Where the consumer stands; also while it is stopped.", status_flags, run_status},
    {"reset", "Read again from the beginning: shows a plan.", reset_flags, run_reset},
    {NULL, NULL, NULL, NULL},
};

int tr_runtime_main(const struct tr_sink_ops *ops, int argc, char **argv)
{
    char name[64], examples[256], defaults[128];
    struct tr_program program = {.ops = ops, .settings = calloc(1, ops->settings_size)};
    if (program.settings == NULL)
        return tr_error_exit_code(TR_ENOMEM);
    const struct tr_section sections[] = {
        {.name = "", .options = top_options, .target = &program},
        {.name = "kafka",
         .options = tr_kafka_options,
         .target = &program.kafka,
         .free_map = true,
         .help = tr_kafka_options_help},
        {.name = ops->name,
         .options = ops->options,
         .target = program.settings,
         .rule_keys = ops->rule_keys,
         .help = defaults},
        {.name = NULL},
    };
    snprintf(defaults, sizeof(defaults),
             "What suits the store: lanes %u, batch_records_max %zu, batch_bytes_max %zu MiB.",
             ops->lanes, ops->batch_records_max, ops->batch_bytes_max >> 20);
    snprintf(name, sizeof(name), "tailrace-%s", ops->name);
    snprintf(examples, sizeof(examples),
             "  %s check\n  %s run --config tailrace.yaml\n  %s reset --to beginning\n", name, name,
             name);
    const struct tr_app app = {
        .program = name,
        .purpose = ops->purpose,
        .examples = examples,
        .commands = commands,
        .sections = sections,
        .context = &program,
    };
    int code = tr_app_main(&app, argc, argv);
    free(program.settings);
    return code;
}
