/*
 * statements.h - what the files about statements in the binlog share. Nobody else includes it.
 *
 *     pipeline_statements.c   reading one; transactions, row changes, temporary tables
 *     pipeline_definitions.c  DDL: markers, marks, the history
 */
#ifndef TR_CAPTURE_STATEMENTS_H
#define TR_CAPTURE_STATEMENTS_H

#include "reader.h"

/* One statement, on its way through these files. */
struct statement_state {
    struct tr_reader *reader;
    const struct tr_binlog_event *ev;
    uint64_t start;
    int64_t version; /* of the event's end */
    struct tr_binlog_query query;
    struct tr_statement statement;
};

/* ---- pipeline_statements.c ----------------------------------------------------------------------
 */

/* Whether the table, or with no name of one any of the database, is captured. Names come in the
 * character set of the statement's client: TR_ESOURCE for one that isn't UTF-8 and may be that of
 * a captured table. */
int tr_statements_captured(const struct statement_state *state, struct tr_slice database,
                           struct tr_slice table, bool *captured,
                           struct tr_error *err) TR_MUST_CHECK;
bool tr_statements_readable(struct tr_slice name);
/* Of a table's name; never 0. */
uint64_t tr_statements_hash(struct tr_slice database, struct tr_slice table);
/* Whether what the statement calls by this name is the session's temporary table. */
bool tr_statements_temporary(struct statement_state *state, struct tr_slice database,
                             struct tr_slice table);
/* Whether the statement may be about a temporary table that we don't know: the session uses some,
 * is older than our reading, and has made none since. */
bool tr_statements_maybe_temporary(const struct statement_state *state);

/* ---- pipeline_definitions.c ---------------------------------------------------------------------
 */

/* A statement that is neither a row change nor about the transaction. */
int tr_statements_define(struct statement_state *state, struct tr_error *err) TR_MUST_CHECK;

#endif
