/*
 * metrics.h - counters and gauges, printed in the Prometheus text format.
 *
 * A module declares a table of its metrics (that table is also their documentation) and keeps the
 * pointers. Adding and setting are lock-free and from any thread; registering and rendering lock.
 */
#ifndef TR_METRICS_H
#define TR_METRICS_H

#include <stdatomic.h>
#include <stdint.h>

#include "buf.h"

enum tr_metric_type { TR_METRIC_COUNTER, TR_METRIC_GAUGE };

struct tr_metric {
    _Atomic int64_t value;
};

struct tr_metrics;

int tr_metrics_new(struct tr_metrics **out, struct tr_error *err) TR_MUST_CHECK;
void tr_metrics_free(struct tr_metrics *metrics);
/* `name` like "tailrace_rows_total"; `labels` like `table="shop.a"` (values already escaped by
 * tr_metrics_label) or "". The same name and labels give the same metric. Never NULL: registration
 * stops at a limit of 10,000 series, after which a shared overflow series is returned. */
struct tr_metric *tr_metrics_register(struct tr_metrics *metrics, enum tr_metric_type type,
                                      const char *name, const char *labels, const char *help);
/* Appends name="escaped value". */
void tr_metrics_label(struct tr_buf *out, const char *name, struct tr_slice value);
void tr_metrics_render(struct tr_metrics *metrics, struct tr_buf *out);

static inline void tr_metric_add(struct tr_metric *metric, int64_t n)
{
    atomic_fetch_add_explicit(&metric->value, n, memory_order_relaxed);
}

static inline void tr_metric_set(struct tr_metric *metric, int64_t n)
{
    atomic_store_explicit(&metric->value, n, memory_order_relaxed);
}

static inline int64_t tr_metric_get(const struct tr_metric *metric)
{
    return atomic_load_explicit(&metric->value, memory_order_relaxed);
}

#endif
