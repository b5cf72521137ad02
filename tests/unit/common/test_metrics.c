/* test_metrics.c - what a Prometheus server reads. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "cmocka_all.h"
#include "metrics.h"

static struct tr_metrics *metrics;
static struct tr_buf out;

static int begin(void **state)
{
    struct tr_error err = {0};
    (void)state;
    tr_buf_init(&out, 1 << 24);
    return tr_metrics_new(&metrics, &err);
}

static int end(void **state)
{
    (void)state;
    tr_metrics_free(metrics);
    tr_buf_done(&out);
    return 0;
}

static const char *rendered(void)
{
    tr_buf_reset(&out);
    tr_metrics_render(metrics, &out);
    tr_buf_append_char(&out, '\0');
    assert_false(out.failed);
    return out.data;
}

static void families_are_printed_together(void **state)
{
    (void)state;
    struct tr_metric *a = tr_metrics_register(metrics, TR_METRIC_COUNTER, "tailrace_rows_total",
                                              "table=\"a\"", "Rows.");
    struct tr_metric *lag =
        tr_metrics_register(metrics, TR_METRIC_GAUGE, "tailrace_lag", "", "Two\nlines \\ \"q\".");
    struct tr_metric *b = tr_metrics_register(metrics, TR_METRIC_COUNTER, "tailrace_rows_total",
                                              "table=\"b\"", "Rows.");
    tr_metric_add(a, 2);
    tr_metric_add(a, 3);
    tr_metric_set(lag, -7);
    tr_metric_add(b, 1);
    assert_int_equal(tr_metric_get(a), 5);
    assert_string_equal(rendered(), "# HELP tailrace_rows_total Rows.\n"
                                    "# TYPE tailrace_rows_total counter\n"
                                    "tailrace_rows_total{table=\"a\"} 5\n"
                                    "tailrace_rows_total{table=\"b\"} 1\n"
                                    "# HELP tailrace_lag Two\\nlines \\\\ \"q\".\n"
                                    "# TYPE tailrace_lag gauge\n"
                                    "tailrace_lag -7\n");
}

static void the_same_name_and_labels_are_the_same_metric(void **state)
{
    (void)state;
    struct tr_metric *a = tr_metrics_register(metrics, TR_METRIC_GAUGE, "x", "l=\"1\"", "");
    assert_ptr_equal(tr_metrics_register(metrics, TR_METRIC_GAUGE, "x", "l=\"1\"", ""), a);
    assert_ptr_not_equal(tr_metrics_register(metrics, TR_METRIC_GAUGE, "x", "l=\"2\"", ""), a);
    assert_ptr_not_equal(tr_metrics_register(metrics, TR_METRIC_GAUGE, "y", "l=\"1\"", ""), a);
}

static void label_values_are_escaped(void **state)
{
    (void)state;
    tr_metrics_label(&out, "table", TR_SLICE("a\"b\\c\nd"));
    tr_buf_append_char(&out, '\0');
    assert_string_equal(out.data, "table=\"a\\\"b\\\\c\\nd\"");
}

static void series_have_a_limit(void **state)
{
    (void)state;
    char labels[32];
    struct tr_metric *last = NULL;
    for (int i = 0; i < 10000; i++) {
        snprintf(labels, sizeof(labels), "i=\"%d\"", i);
        last = tr_metrics_register(metrics, TR_METRIC_COUNTER, "x", labels, "X.");
    }
    assert_null(strstr(rendered(), "overflow"));
    struct tr_metric *more = tr_metrics_register(metrics, TR_METRIC_COUNTER, "x", "more", "X.");
    assert_non_null(more);
    assert_ptr_not_equal(more, last);
    assert_ptr_equal(tr_metrics_register(metrics, TR_METRIC_COUNTER, "y", "", "Y."), more);
    assert_ptr_equal(tr_metrics_register(metrics, TR_METRIC_COUNTER, "x", labels, "X."), last);
    tr_metric_add(more, 4);
    assert_non_null(strstr(rendered(), "\ntailrace_metrics_overflow 4\n"));
}

static void *count_up(void *argument)
{
    (void)argument;
    struct tr_metric *metric = tr_metrics_register(metrics, TR_METRIC_COUNTER, "n", "", "N.");
    for (int i = 0; i < 10000; i++)
        tr_metric_add(metric, 1);
    return NULL;
}

static void threads_count_without_loss(void **state)
{
    (void)state;
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, NULL), 0);
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_non_null(strstr(rendered(), "\nn 40000\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(families_are_printed_together, begin, end),
        cmocka_unit_test_setup_teardown(the_same_name_and_labels_are_the_same_metric, begin, end),
        cmocka_unit_test_setup_teardown(label_values_are_escaped, begin, end),
        cmocka_unit_test_setup_teardown(series_have_a_limit, begin, end),
        cmocka_unit_test_setup_teardown(threads_count_without_loss, begin, end),
    };
    return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
