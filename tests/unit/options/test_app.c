/* test_app.c - the frame of every main: exit codes, messages, help, flags and signals. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "app.h"
#include "clock.h"

struct settings {
    const char *host;
    bool fast;
};

static struct settings settings;

static const struct tr_option options[] = {
    {.key = "host",
     .type = TR_OPT_STRING,
     .offset = offsetof(struct settings, host),
     .def = "here",
     .common = true,
     .help = "The server."},
    {.key = "fast",
     .type = TR_OPT_BOOL,
     .offset = offsetof(struct settings, fast),
     .help = "Whether fast."},
    {.key = NULL},
};

static const struct tr_section sections[] = {
    {.name = "source", .options = options, .target = &settings},
    {.name = NULL},
};

static const struct tr_app_flag show_flags[] = {
    {.name = "to", .meta = "PLACE", .help = "Where to."},
    {.name = "execute", .help = "Do it."},
    {.name = NULL},
};

static int show(const struct tr_app_run *run, struct tr_error *err)
{
    const char *to = tr_app_flag_value(run, "to");
    (void)err;
    printf("host=%s fast=%d to=%s execute=%d\n", settings.host, settings.fast,
           to != NULL ? to : "-", tr_app_flag_value(run, "execute") != NULL);
    return 0;
}

static int refuse(const struct tr_app_run *run, struct tr_error *err)
{
    (void)run;
    (void)tr_error_set(err, TR_ESTATE, "the store is another pipeline's");
    return tr_error_frame(err, "table a.b");
}

static int stopped(const struct tr_app_run *run, struct tr_error *err)
{
    (void)run;
    return tr_error_set(err, TR_ESTOPPED, "stopped");
}

static void woken(void *context)
{
    (void)context;
    printf("woken\n");
}

static int wait_for_stop(const struct tr_app_run *run, struct tr_error *err)
{
    (void)run;
    (void)err;
    tr_app_on_stop(woken, NULL);
    printf("%s\n", tr_app_sleep_ms(1) ? "slept" : "not slept");
    printf("waiting\n");
    fflush(stdout);
    printf("%s\n", tr_app_sleep_ms(20000) ? "slept" : "not slept");
    return 0;
}

static int hang(const struct tr_app_run *run, struct tr_error *err)
{
    (void)run;
    (void)err;
    printf("waiting\n");
    fflush(stdout);
    for (int i = 0; i < 200; i++)
        tr_clock_sleep_ms(100);
    return 0;
}

static const struct tr_app_command commands[] = {
    {.name = "show", .help = "Shows.", .flags = show_flags, .run = show},
    {.name = "fail", .help = "Fails.", .run = refuse},
    {.name = "run", .help = "Fails too, and logs.", .run = refuse},
    {.name = "stopped", .help = "Was stopped.", .run = stopped},
    {.name = "wait", .help = "Waits.", .run = wait_for_stop},
    {.name = "hang", .help = "Hangs.", .run = hang},
    {.name = NULL},
};

static const struct tr_app app = {
    .program = "tailrace-test",
    .purpose = "shows what it was given.",
    .examples = "  tailrace-test show\n",
    .commands = commands,
    .sections = sections,
};

static char folder[] = "/tmp/tr_app_XXXXXX";
static char out_text[16384];
static char err_text[16384];

static void read_text(const char *path, char *out, size_t size)
{
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t length = fread(out, 1, size - 1, file);
    out[length] = '\0';
    fclose(file);
}

/* Runs tr_app_main in a child whose output goes to files; words are separated by spaces. */
static pid_t start(const char *words)
{
    fflush(NULL);
    unlink("out");
    pid_t child = fork();
    assert_true(child >= 0);
    if (child > 0)
        return child;
    char copy[256];
    char *argv[16] = {(char *)(uintptr_t) "tailrace-test"};
    int argc = 1;
    snprintf(copy, sizeof(copy), "%s", words);
    for (char *word = strtok(copy, " "); word != NULL && argc < 15; word = strtok(NULL, " "))
        argv[argc++] = word;
    if (freopen("out", "w", stdout) == NULL || freopen("err", "w", stderr) == NULL)
        _exit(99);
    int code = tr_app_main(&app, argc, argv);
    fflush(NULL);
    _exit(code);
}

static int finish(pid_t child)
{
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    read_text("out", out_text, sizeof(out_text));
    read_text("err", err_text, sizeof(err_text));
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static int run(const char *words)
{
    return finish(start(words));
}

static void wait_for_text(const char *text)
{
    for (int i = 0; i < 1000; i++) {
        if (access("out", R_OK) == 0)
            read_text("out", out_text, sizeof(out_text));
        if (strstr(out_text, text) != NULL)
            return;
        tr_clock_sleep_ms(10);
    }
    fail_msg("'%s' never came", text);
}

static int make_folder(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL || chdir(folder) != 0)
        return -1;
    FILE *out = fopen("tailrace.yaml", "w");
    return out != NULL && fputs("source: {host: file}\n", out) >= 0 && fclose(out) == 0 ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink("tailrace.yaml");
    unlink("out");
    unlink("err");
    return chdir("/") == 0 && rmdir(folder) == 0 ? 0 : -1;
}

static void test_command(void **state)
{
    (void)state;
    assert_int_equal(run("show"), 0);
    assert_string_equal(out_text, "host=file fast=0 to=- execute=0\n");
    assert_int_equal(run("show --to end --execute --source.fast --source.host db2"), 0);
    assert_string_equal(out_text, "host=db2 fast=1 to=end execute=1\n");
    assert_int_equal(run("show --to=end --source.host=db3 --config ./tailrace.yaml"), 0);
    assert_string_equal(out_text, "host=db3 fast=0 to=end execute=0\n");
    assert_string_equal(err_text, "");
}

static void test_errors(void **state)
{
    (void)state;
    assert_int_equal(run("fail"), 6);
    assert_string_equal(err_text, "tailrace-test: the store is another pipeline's [table a.b]\n");
    assert_int_equal(run("stopped"), 0);
    assert_string_equal(err_text, "");
    assert_int_equal(run("show --source.prot=1"), 2);
    assert_int_equal(run("show --config nowhere"), 2);
    assert_string_equal(
        err_text,
        "tailrace-test: cannot read the configuration nowhere: No such file or directory\n");
}

static void test_the_end_of_a_run_is_in_its_log(void **state)
{
    (void)state;
    assert_int_equal(run("run"), 6);
    assert_non_null(strstr(err_text,
                           "\"level\":\"info\",\"component\":\"app\",\"event\":\"started\","
                           "\"program\":\"tailrace-test\",\"version\":\"" TR_VERSION
                           "\",\"command\":\"run\",\"config\":\"./tailrace.yaml\"}\n"));
    assert_non_null(strstr(err_text,
                           "\"level\":\"error\",\"component\":\"app\",\"event\":\"state\","
                           "\"code\":\"ESTATE\",\"error\":\"the store is another pipeline's\","
                           "\"where\":\"table a.b\",\"next\":\"exit 6\"}\n"));
    assert_non_null(
        strstr(err_text, "\ntailrace-test: the store is another pipeline's [table a.b]\n"));
    assert_int_equal(run("run --log.format logfmt"), 6);
    assert_null(strstr(err_text, "level=error"));
    assert_non_null(strstr(err_text, "event=started"));
    assert_non_null(
        strstr(err_text, "\ntailrace-test: the store is another pipeline's [table a.b]\n"));
    /* What comes before the log is set up is said to whoever starts it. */
    assert_int_equal(run("run --source.prot=1"), 2);
    assert_ptr_equal(strstr(err_text, "tailrace-test: "), err_text);
}

static void test_usage(void **state)
{
    (void)state;
    assert_int_equal(run(""), 1);
    assert_non_null(strstr(err_text, "Usage: tailrace-test COMMAND"));
    assert_int_equal(run("shwo"), 1);
    assert_string_equal(err_text, "tailrace-test: unknown command 'shwo'; did you mean 'show'?\n");
    assert_int_equal(run("show --exceute"), 1);
    assert_string_equal(err_text,
                        "tailrace-test: unknown option --exceute; did you mean --execute?\n");
    assert_int_equal(run("show --to"), 1);
    assert_string_equal(err_text, "tailrace-test: --to needs a value\n");
    assert_int_equal(run("show --execute=yes"), 1);
    assert_int_equal(run("show --execute --execute"), 1);
    assert_int_equal(run("show more"), 1);
    assert_int_equal(run("help nothing"), 1);
}

static void test_help(void **state)
{
    (void)state;
    assert_int_equal(run("help"), 0);
    assert_non_null(strstr(out_text, "source.host"));
    assert_null(strstr(out_text, "source.fast"));
    assert_int_equal(run("--help all"), 0);
    assert_non_null(strstr(out_text, "source.fast"));
    assert_non_null(strstr(out_text, "log.level"));
    assert_int_equal(run("help reference"), 0);
    assert_non_null(strstr(out_text, "| `source.host` | TEXT | `here` | The server. |"));
    assert_int_equal(run("show --help"), 0);
    assert_non_null(strstr(out_text, "--to PLACE"));
    assert_int_equal(run("--version"), 0);
    assert_string_equal(out_text, "tailrace-test " TR_VERSION "\n");
}

static void test_stop(void **state)
{
    (void)state;
    const int signals[] = {SIGTERM, SIGINT};
    for (size_t i = 0; i < 2; i++) {
        out_text[0] = '\0';
        pid_t child = start("wait");
        wait_for_text("waiting");
        kill(child, signals[i]);
        assert_int_equal(finish(child), 0);
        /* Two threads print: which one is first is open. */
        assert_ptr_equal(strstr(out_text, "slept\nwaiting\n"), out_text);
        assert_non_null(strstr(out_text, "woken\n"));
        assert_non_null(strstr(out_text, "not slept\n"));
    }
}

static void test_second_signal(void **state)
{
    (void)state;
    out_text[0] = '\0';
    pid_t child = start("hang");
    wait_for_text("waiting");
    kill(child, SIGTERM);
    tr_clock_sleep_ms(300);
    assert_int_equal(waitpid(child, NULL, WNOHANG), 0);
    kill(child, SIGTERM);
    assert_int_equal(finish(child), -SIGTERM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_command),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_usage),
        cmocka_unit_test(test_help),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_second_signal),
        cmocka_unit_test(test_the_end_of_a_run_is_in_its_log),
    };
    return cmocka_run_group_tests_name("app", tests, make_folder, remove_folder);
}
