/*
 * mapping.h - from a table's shape to an index's mapping, as JSON text. Pure; any thread.
 */
#ifndef TR_ES_MAPPING_H
#define TR_ES_MAPPING_H

#include "control.h"
#include "options.h"

/* What an index says of itself, so that nobody else's is written to. */
struct tr_es_owner {
    const char *pipeline;
    const char *pipeline_id;
    const char *consumer;
};

/* TR_ECONFIG when a column's name can't be a field's name. */
int tr_es_mapping_check(const struct tr_shape *shape, struct tr_error *err) TR_MUST_CHECK;
/* Appends the field's mapping, {"type":…}: the override under `fields`, else by the type. */
void tr_es_mapping_field(struct tr_buf *out, const struct tr_shape_column *column,
                         const struct tr_node *fields);
/* Appends {"properties":{…}} with the columns from `first` up to but not including `end`. */
void tr_es_mapping_properties(struct tr_buf *out, const struct tr_shape *shape,
                              const struct tr_node *fields, uint32_t first, uint32_t end);
/* Appends the body that creates an index together with its alias. */
void tr_es_mapping_index(struct tr_buf *out, const char *alias, const struct tr_es_owner *owner,
                         const struct tr_shape *shape, const struct tr_node *fields);

#endif
