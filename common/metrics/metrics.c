/*
 * metrics.c - see metrics.h.
 *
 * Series hang in a hash table, to be found again, and in their family (one name), to be printed
 * together as the format demands. Nothing is ever removed before the registry itself, so that the
 * pointers given out stay good.
 */
#include "metrics.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"

#define SERIES_MAX 10000
#define BUCKET_COUNT 4096

struct series {
    struct tr_metric metric;
    const struct family *family;
    struct series *next_in_bucket;
    struct series *next_in_family;
    char labels[];
};

struct family {
    enum tr_metric_type type;
    const char *name; /* both within text */
    const char *help;
    struct series *first;
    struct series *last;
    struct family *next;
    char text[];
};

struct tr_metrics {
    pthread_mutex_t lock; /* guards all but the metrics' values */
    struct tr_metric overflow;
    bool overflowed;
    size_t series_count;
    struct family *first;
    struct family *last;
    struct series *buckets[BUCKET_COUNT];
};

int tr_metrics_new(struct tr_metrics **out, struct tr_error *err)
{
    struct tr_metrics *metrics = calloc(1, sizeof(*metrics));
    if (metrics == NULL)
        return tr_error_set(err, TR_ENOMEM, "no memory for the metrics");
    pthread_mutex_init(&metrics->lock, NULL);
    *out = metrics;
    return 0;
}

void tr_metrics_free(struct tr_metrics *metrics)
{
    if (metrics == NULL)
        return;
    for (struct family *family = metrics->first; family != NULL;) {
        struct family *next_family = family->next;
        for (struct series *series = family->first; series != NULL;) {
            struct series *next = series->next_in_family;
            free(series);
            series = next;
        }
        free(family);
        family = next_family;
    }
    pthread_mutex_destroy(&metrics->lock);
    free(metrics);
}

static struct family *family_find(struct tr_metrics *metrics, const char *name)
{
    struct family *family = metrics->first;
    while (family != NULL && strcmp(family->name, name) != 0)
        family = family->next;
    return family;
}

static struct family *family_new(struct tr_metrics *metrics, enum tr_metric_type type,
                                 const char *name, const char *help)
{
    size_t name_bytes = strlen(name) + 1;
    size_t help_bytes = strlen(help) + 1;
    struct family *family = malloc(sizeof(*family) + name_bytes + help_bytes);
    if (family == NULL)
        return NULL;
    *family = (struct family){.type = type};
    family->name = memcpy(family->text, name, name_bytes);
    family->help = memcpy(family->text + name_bytes, help, help_bytes);
    if (metrics->last != NULL)
        metrics->last->next = family;
    else
        metrics->first = family;
    metrics->last = family;
    return family;
}

static struct series **bucket_of(struct tr_metrics *metrics, const char *name, const char *labels)
{
    uint64_t hash = tr_hash_fnv1a(name, strlen(name)) * 31 + tr_hash_fnv1a(labels, strlen(labels));
    return &metrics->buckets[hash % BUCKET_COUNT];
}

static struct series *series_find(struct series *series, const char *name, const char *labels)
{
    while (series != NULL &&
           (strcmp(series->family->name, name) != 0 || strcmp(series->labels, labels) != 0))
        series = series->next_in_bucket;
    return series;
}

static struct series *series_new(struct family *family, struct series **bucket, const char *labels)
{
    size_t label_bytes = strlen(labels) + 1;
    struct series *series = malloc(sizeof(*series) + label_bytes);
    if (series == NULL)
        return NULL;
    atomic_init(&series->metric.value, 0);
    series->family = family;
    memcpy(series->labels, labels, label_bytes);
    series->next_in_bucket = *bucket;
    *bucket = series;
    series->next_in_family = NULL;
    if (family->last != NULL)
        family->last->next_in_family = series;
    else
        family->first = series;
    family->last = series;
    return series;
}

/* NULL at the limit and when memory is out. Under the lock. */
static struct series *series_get(struct tr_metrics *metrics, enum tr_metric_type type,
                                 const char *name, const char *labels, const char *help)
{
    struct series **bucket = bucket_of(metrics, name, labels);
    struct series *series = series_find(*bucket, name, labels);
    if (series != NULL || metrics->series_count == SERIES_MAX)
        return series;
    struct family *family = family_find(metrics, name);
    if (family == NULL)
        family = family_new(metrics, type, name, help);
    if (family != NULL)
        series = series_new(family, bucket, labels);
    if (series != NULL)
        metrics->series_count++;
    return series;
}

struct tr_metric *tr_metrics_register(struct tr_metrics *metrics, enum tr_metric_type type,
                                      const char *name, const char *labels, const char *help)
{
    pthread_mutex_lock(&metrics->lock);
    struct series *series = series_get(metrics, type, name, labels, help);
    metrics->overflowed |= series == NULL;
    pthread_mutex_unlock(&metrics->lock);
    return series != NULL ? &series->metric : &metrics->overflow;
}

/* With backslash, line feed and, in labels, the quote escaped. */
static void put_escaped(struct tr_buf *out, struct tr_slice text, bool quote)
{
    for (size_t i = 0; i < text.length; i++) {
        char c = text.data[i];
        if (c == '\\' || c == '\n' || (quote && c == '"'))
            tr_buf_append_char(out, '\\');
        if (c == '\n')
            c = 'n';
        tr_buf_append_char(out, c);
    }
}

void tr_metrics_label(struct tr_buf *out, const char *name, struct tr_slice value)
{
    tr_buf_append(out, name, strlen(name));
    tr_buf_append(out, "=\"", 2);
    put_escaped(out, value, true);
    tr_buf_append_char(out, '"');
}

static void put_family(struct tr_buf *out, const char *name, const char *help,
                       enum tr_metric_type type)
{
    tr_buf_printf(out, "# HELP %s ", name);
    put_escaped(out, tr_slice_of(help), false);
    tr_buf_printf(out, "\n# TYPE %s %s\n", name, type == TR_METRIC_COUNTER ? "counter" : "gauge");
}

static void put_series(struct tr_buf *out, const char *name, const char *labels,
                       const struct tr_metric *metric)
{
    const char *open = labels[0] != '\0' ? "{" : "";
    const char *close = labels[0] != '\0' ? "}" : "";
    tr_buf_printf(out, "%s%s%s%s %lld\n", name, open, labels, close,
                  (long long)tr_metric_get(metric));
}

void tr_metrics_render(struct tr_metrics *metrics, struct tr_buf *out)
{
    static const char overflow_name[] = "tailrace_metrics_overflow";
    pthread_mutex_lock(&metrics->lock);
    for (const struct family *family = metrics->first; family != NULL; family = family->next) {
        put_family(out, family->name, family->help, family->type);
        for (const struct series *it = family->first; it != NULL; it = it->next_in_family)
            put_series(out, family->name, it->labels, &it->metric);
    }
    if (metrics->overflowed) {
        put_family(out, overflow_name, "Sum of what found no series of its own.", TR_METRIC_GAUGE);
        put_series(out, overflow_name, "", &metrics->overflow);
    }
    pthread_mutex_unlock(&metrics->lock);
}
