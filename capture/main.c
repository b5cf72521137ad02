/* main.c - tailrace-capture: reads the binlog, publishes row changes. */
#include "app.h"
#include "commands.h"
#include "kafka.h"
#include "pipeline.h"
#include "schema.h"

static struct tr_capture config;

static const struct tr_section sections[] = {
    {.name = "", .options = tr_pipeline_options, .target = &config},
    {.name = "source", .options = tr_source_options, .target = &config.source},
    {.name = "kafka",
     .options = tr_kafka_options,
     .target = &config.kafka,
     .free_map = true,
     .help = tr_kafka_options_help},
    {.name = "capture",
     .options = tr_capture_options,
     .target = &config.capture,
     .rule_keys = tr_schema_rule_keys},
    {0},
};

static int run_run(const struct tr_app_run *run, struct tr_error *err)
{
    const struct tr_pipeline_orders orders = {
        .start = tr_app_flag_value(run, "start"),
        .force_start = tr_app_flag_value(run, "force-start") != NULL,
        .stop_at_end = tr_app_flag_value(run, "stop-at-end") != NULL,
        .output = tr_app_flag_value(run, "output"),
    };
    int rc = tr_capture_check(&config, err);
    return rc != 0 ? rc : tr_pipeline_run(&config, &orders, err);
}

static int run_check(const struct tr_app_run *run, struct tr_error *err)
{
    (void)run;
    return tr_command_check(&config, err);
}

static int run_status(const struct tr_app_run *run, struct tr_error *err)
{
    return tr_command_status(&config, tr_app_flag_value(run, "json") != NULL, err);
}

static const struct tr_app_flag run_flags[] = {
    {"start", "WHERE", "at a first start: latest (default), earliest, FILE:POS or a GTID set"},
    {"force-start", NULL, "with --start, although there is a checkpoint; versions jump"},
    {"stop-at-end", NULL, "stop at what is the end of the binlog now"},
    {"output", "WHERE", "stdout or file:PATH instead of Kafka: events, one a line"},
    {0},
};

static const struct tr_app_flag status_flags[] = {
    {"json", NULL, "as one line of JSON"},
    {0},
};

static const struct tr_app_command commands[] = {
    {"run", "read the binlog and publish", run_flags, run_run},
    {"check", "validate configuration, source and Kafka; changes nothing", NULL, run_check},
    {"status", "where capture is, also while it is stopped", status_flags, run_status},
    {0},
};

static const struct tr_app app = {
    .program = "tailrace-capture",
    .purpose = "Reads a MariaDB binlog as a replica does and publishes every row change.",
    .examples = "  tailrace-capture check --config tailrace.yaml\n"
                "  tailrace-capture run --start earliest\n"
                "  tailrace-capture run --output stdout --start earliest --stop-at-end\n",
    .commands = commands,
    .sections = sections,
};

int main(int argc, char **argv)
{
    return tr_app_main(&app, argc, argv);
}
