/*
 * index.h - the indices behind the aliases: made, extended, listed, removed.
 *
 * An index is ours if its name is <alias>.g<number> and its mapping's _meta names our pipeline and
 * consumer. Anything else that stands in the way is left alone, and named.
 */
#ifndef TR_ES_INDEX_H
#define TR_ES_INDEX_H

#include "elasticsearch.h"

/*
 * Makes sure that the table's alias is there and its index has the columns of the table's newest
 * shape, mapped as that says, and those of the given one that it has no longer. TR_ESTATE
 * for an index that vanished or belongs to another pipeline; TR_ESTORE for what the server refuses.
 * Called by lanes; the first call for a shape talks to the server, under the sink's `making`.
 */
int tr_es_index_prepare(struct tr_sink *sink, struct tr_es_client *client,
                        struct tr_es_table *table, const struct tr_shape *shape,
                        struct tr_error *err) TR_MUST_CHECK;
/* Only looks: whether what is in the alias's place could be written to. For check. */
int tr_es_index_check(struct tr_sink *sink, struct tr_es_client *client,
                      const struct tr_es_table *table, struct tr_error *err) TR_MUST_CHECK;
/* Appends a line per index of the table that drop would remove. */
int tr_es_index_plan(struct tr_sink *sink, struct tr_es_client *client,
                     const struct tr_es_table *table, struct tr_buf *lines,
                     struct tr_error *err) TR_MUST_CHECK;
/* Removes every generation of the table, and with it the alias. */
int tr_es_index_drop(struct tr_sink *sink, struct tr_es_client *client,
                     const struct tr_es_table *table, struct tr_error *err) TR_MUST_CHECK;

#endif
