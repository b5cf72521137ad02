/*
 * pipeline.h - the running capture: two threads and the batches between them.
 *
 *     reading thread:    source → decode → place → schema → encode → batch
 *     publishing thread: batch → Kafka or a file → acknowledgements → checkpoint
 *
 * The calling thread is the publishing one. Signals reach neither (app.h).
 */
#ifndef TR_PIPELINE_H
#define TR_PIPELINE_H

#include "settings.h"

struct tr_pipeline_orders {
    const char *start; /* --start, or NULL */
    bool force_start;
    bool stop_at_end;
    const char *output; /* --output, NULL = Kafka */
};

/* Runs until a stop is asked for, the end is reached, or something needs a person. */
int tr_pipeline_run(const struct tr_capture *config, const struct tr_pipeline_orders *orders,
                    struct tr_error *err) TR_MUST_CHECK;

/* TR_ESOURCE naming the first captured table whose rows change without row events. */
int tr_pipeline_check_cascades(const struct tr_capture *config, struct tr_source *source,
                               const struct tr_rules *rules, struct tr_error *err) TR_MUST_CHECK;

/* TR_ESOURCE with the GRANT when a table that the rules name can't be read, or one of a database
 * that they name, or all of its tables are hidden from the account. `partly`, unless it is NULL, is
 * called for each database of which the account may not read all. */
int tr_pipeline_check_select(struct tr_source *source, const struct tr_rules *rules,
                             void (*partly)(void *context, struct tr_slice database), void *context,
                             struct tr_error *err) TR_MUST_CHECK;

#endif
