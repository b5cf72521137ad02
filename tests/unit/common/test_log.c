/* test_log.c - the lines on standard error, as a person or a log collector gets them. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmocka_all.h"
#include "json_scan.h"
#include "log.h"

#define TEXT_BYTES_MAX (1 << 20)

static int saved_stderr;
static FILE *file;
static char text[TEXT_BYTES_MAX];

/* From here on, lines go to a file. */
static void catch_begin(void)
{
    file = tmpfile();
    assert_non_null(file);
    saved_stderr = dup(STDERR_FILENO);
    assert_true(dup2(fileno(file), STDERR_FILENO) >= 0);
}

/* What was written since; standard error is itself again. */
static const char *catch_end(void)
{
    assert_true(dup2(saved_stderr, STDERR_FILENO) >= 0);
    close(saved_stderr);
    rewind(file);
    size_t length = fread(text, 1, sizeof(text) - 1, file);
    text[length] = '\0';
    fclose(file);
    return text;
}

/* A line without the time at its beginning: `prefix`, then 24 characters and what ends them. */
static const char *behind_time(const char *line, const char *prefix)
{
    size_t length = strlen(prefix);
    if (strncmp(line, prefix, length) != 0)
        fail_msg("no %s in: %s", prefix, line);
    const char *time = line + length;
    assert_true(strlen(time) > 24);
    assert_int_equal(time[4], '-');
    assert_int_equal(time[10], 'T');
    assert_int_equal(time[19], '.');
    assert_int_equal(time[23], 'Z');
    return time + 24;
}

static void logfmt_quotes_only_what_needs_it(void **state)
{
    (void)state;
    catch_begin();
    tr_log_init(TR_LOG_INFO, TR_LOG_LOGFMT);
    tr_log(TR_LOG_INFO, "source", "connected", TR_STR("host", "db1:3306"), TR_INT("port", -3306),
           TR_REAL("rate", 1.5), TR_STR("why", "two \"words\"\n"), TR_STR("none", NULL),
           TR_STR("eq", "a=b"), TR_END);
    assert_string_equal(behind_time(catch_end(), "ts="),
                        " level=info component=source event=connected host=db1:3306 port=-3306 "
                        "rate=1.5 why=\"two \\\"words\\\"\\n\" none=\"\" eq=\"a=b\"\n");
}

static void json_is_json(void **state)
{
    (void)state;
    catch_begin();
    tr_log_init(TR_LOG_INFO, TR_LOG_JSON);
    tr_log(TR_LOG_WARN, "sink", "slow", TR_STR("table", "shop.\xc3\xbc"), TR_STR("bad", "x\xff"),
           TR_INT("rows", 7), TR_REAL("none", 0.0 / (double)(saved_stderr * 0)), TR_END);
    const char *line = catch_end();
    assert_string_equal(behind_time(line, "{\"ts\":\""),
                        "\",\"level\":\"warn\",\"component\":\"sink\",\"event\":\"slow\","
                        "\"table\":\"shop.\xc3\xbc\",\"bad\":\"x?\",\"rows\":7,\"none\":null}\n");
}

static void a_file_gets_json_and_low_levels_nothing(void **state)
{
    (void)state;
    catch_begin();
    tr_log_init(TR_LOG_WARN, TR_LOG_AUTO);
    tr_log(TR_LOG_INFO, "a", "unseen", TR_END);
    tr_log(TR_LOG_ERROR, "a", "seen", TR_END);
    const char *line = catch_end();
    assert_null(strstr(line, "unseen"));
    assert_string_equal(behind_time(line, "{\"ts\":\""),
                        "\",\"level\":\"error\",\"component\":\"a\",\"event\":\"seen\"}\n");
}

static void an_error_shows_its_frames_and_what_is_next(void **state)
{
    (void)state;
    struct tr_error err = {0};
    assert_int_equal(tr_error_set_native(&err, TR_ESTORE_RETRY, 7, "can't connect"),
                     TR_ESTORE_RETRY);
    tr_error_frame(&err, "table %s", "shop.a");
    tr_error_frame(&err, "pipeline shop");
    catch_begin();
    tr_log_init(TR_LOG_INFO, TR_LOG_LOGFMT);
    tr_log_error(TR_LOG_WARN, "sink", &err, "retrying in 2 s");
    tr_log_error(TR_LOG_WARN, "sink", &err, "");
    const char *line = behind_time(catch_end(), "ts=");
    const char *expected = " level=warn component=sink event=\"store not reachable\" "
                           "code=ESTORE_RETRY error=\"can't connect\" native=7 "
                           "where=\"table shop.a\" where2=\"pipeline shop\"";
    assert_int_equal(strncmp(line, expected, strlen(expected)), 0);
    assert_int_equal(strncmp(line + strlen(expected), " next=\"retrying in 2 s\"\n", 24), 0);
    assert_non_null(strstr(line, "where2=\"pipeline shop\"\n"));
}

static void long_values_and_lines_are_cut(void **state)
{
    (void)state;
    static char letters[3000];
    struct tr_log_field fields[40];
    memset(letters, 'x', sizeof(letters) - 1);
    for (size_t i = 0; i < 39; i++)
        fields[i] = TR_STR("key", letters);
    fields[39] = TR_END;
    catch_begin();
    tr_log_init(TR_LOG_INFO, TR_LOG_JSON);
    tr_log_write(TR_LOG_INFO, "a", "b", fields);
    const char *line = catch_end();
    struct tr_json_value value;
    struct tr_error err = {0};
    assert_int_equal(tr_json_parse(tr_slice_of(line), &value, &err), 0);
    assert_true(strlen(line) > 8000 && strlen(line) < 17000);
    assert_non_null(strstr(line, "xxx...\""));
}

static void *write_lines(void *argument)
{
    (void)argument;
    for (int i = 0; i < 200; i++)
        tr_log(TR_LOG_INFO, "thread", "line", TR_INT("i", i), TR_STR("text", "some text"), TR_END);
    return NULL;
}

static void lines_of_threads_stay_whole(void **state)
{
    (void)state;
    pthread_t threads[4];
    catch_begin();
    tr_log_init(TR_LOG_INFO, TR_LOG_LOGFMT);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_lines, NULL), 0);
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    catch_end();
    int lines = 0;
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n"), lines++) {
        const char *rest = behind_time(line, "ts=");
        assert_non_null(strstr(rest, " level=info component=thread event=line i="));
        assert_string_equal(line + strlen(line) - 17, " text=\"some text\"");
    }
    assert_int_equal(lines, 800);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logfmt_quotes_only_what_needs_it),
        cmocka_unit_test(json_is_json),
        cmocka_unit_test(a_file_gets_json_and_low_levels_nothing),
        cmocka_unit_test(an_error_shows_its_frames_and_what_is_next),
        cmocka_unit_test(long_values_and_lines_are_cut),
        cmocka_unit_test(lines_of_threads_stay_whole),
    };
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
