/*
 * names.h - the names a table gets on the server, and the ids its rows get. Pure; any thread.
 */
#ifndef TR_ES_NAMES_H
#define TR_ES_NAMES_H

#include "buf.h"
#include "options.h"
#include "sink.h"

/* Checks a table's settings: `index` a name that the server takes, `fields` a map. TR_ECONFIG with
 * file and line. */
int tr_es_check_settings(const struct tr_node *settings, const char *table,
                         struct tr_error *err) TR_MUST_CHECK;
/* Appends the alias of a table: `index:`, else <database>.<table> in lower case. TR_ECONFIG when
 * the server would refuse it. */
int tr_es_alias(struct tr_buf *out, const struct tr_sink_table *table,
                struct tr_error *err) TR_MUST_CHECK;
/* Whether `index` is a generation of `alias`: alias, ".g", digits. */
bool tr_es_is_generation(struct tr_slice index, const char *alias);
/* Appends tailrace-<pipeline>-<consumer>, in lower case. */
void tr_es_state_index(struct tr_buf *out, const char *pipeline, const char *consumer);

/*
 * Appends the _id of a Kafka key as a JSON string: the text of the only key column, or the compact
 * JSON array of all of them. NULL, or why no id can be made (a constant text); `out` is as before
 * then. `scratch` is overwritten.
 */
const char *tr_es_id(struct tr_buf *out, struct tr_slice key, struct tr_buf *scratch);

#endif
