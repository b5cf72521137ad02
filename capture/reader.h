/*
 * reader.h - the reading thread: its state, and the parts that it is written in.
 *
 *     pipeline_reader.c      connecting, resuming, reconnecting, the loop
 *     pipeline_events.c      one event: place, groups, boundaries
 *     pipeline_rows.c        rows events into records
 *     pipeline_statements.c  statements: row changes, savepoints, temporary tables
 *     pipeline_definitions.c statements: DDL, markers
 *
 * All of it belongs to the reading thread, except where said otherwise. At the end of a group the
 * batch goes on offer (`batch` is NULL then) and is fetched again when the next one begins.
 */
#ifndef TR_CAPTURE_READER_H
#define TR_CAPTURE_READER_H

#include "binlog.h"
#include "group.h"
#include "handover.h"
#include "schema.h"
#include "settings.h"
#include "status.h"
#include "topics.h"

#define TR_READER_DOMAINS_MAX TR_GTID_DOMAINS_MAX
#define TR_READER_COUNTERS 256
#define TR_READER_TEMPORARIES 256
#define TR_READER_DROPPED 256

/* The newest GTID of each domain. */
struct tr_reader_gtids {
    struct {
        uint32_t domain, server_id;
        uint64_t sequence;
    } items[TR_READER_DOMAINS_MAX];
    size_t count;
};

/* A temporary table that a session keeps in a captured database, or that it has made some. */
struct tr_reader_temporary {
    uint32_t thread;
    uint64_t name; /* hash of both parts; 0 = free */
};

struct tr_reader {
    /* Set before the thread starts, and borrowed. */
    const struct tr_capture *config;
    const struct tr_rules *rules;
    struct tr_source *source;
    struct tr_control *control;
    struct tr_schema *schema;
    struct tr_handover *handover;
    struct tr_topics *topics; /* NULL: output is a file, no keys and no control records */
    struct tr_needs *needs;   /* NULL likewise */
    struct tr_status *status;
    uint32_t server_id; /* that the position belongs to */
    bool connected;
    char stop_file[256]; /* --stop-at-end: "" = go on for ever */
    uint64_t stop_offset;

    struct tr_mark boundary; /* behind the last group that was read */
    struct tr_place place;
    struct tr_binlog_format format;
    uint32_t file_stamp, file_crc;
    struct tr_mark_event last;
    bool discarding; /* up to the boundary, which the dump could not begin at */
    bool done;       /* the end asked for is reached */

    struct tr_batch *batch; /* NULL while it is on offer */
    struct tr_group group;
    struct tr_reader_gtids gtids;
    char gtid[64];         /* of the open group */
    struct tr_arena arena; /* of one statement */
    struct tr_buf scratch; /* inflated events */
    struct tr_buf query;   /* text of the statement behind the rows, when events carry it */
    struct tr_cell *before, *after;
    uint32_t cell_capacity;
    struct {
        const struct tr_shape *shape;
        struct tr_metric *rows;
    } counters[TR_READER_COUNTERS]; /* the tables' row counters, by the shape's address */
    /* Only sessions that don't log rows have temporary tables in the log; the oldest makes room. */
    struct tr_reader_temporary temporaries[TR_READER_TEMPORARIES];
    size_t temporary_next;
    uint32_t threads_known_from; /* sessions below may have made some before we began to read */
    uint64_t
        dropped[TR_READER_DROPPED]; /* hashes of columns dropped and not added again; 0 = free */
    size_t dropped_next;
    bool recheck_cascades; /* a statement may have made one */
    int64_t rechecked_us;  /* when it was looked for, monotonic */
    int64_t looked_us;     /* when the head was asked for, monotonic */
};

int tr_reader_init(struct tr_reader *reader, struct tr_error *err) TR_MUST_CHECK;
void tr_reader_done(struct tr_reader *reader);
/* Reads until told to stop, the end is reached, or a person is needed. */
int tr_reader_run(struct tr_reader *reader, struct tr_error *err) TR_MUST_CHECK;

/* ---- pipeline_events.c --------------------------------------------------------------------------
 */

int tr_reader_event(struct tr_reader *reader, const uint8_t *data, size_t length,
                    struct tr_error *err) TR_MUST_CHECK;
/* The file has ended, with or without a ROTATE. */
int tr_reader_next_file(struct tr_reader *reader, const char *file,
                        struct tr_error *err) TR_MUST_CHECK;
/* Makes sure that there is a batch to write to. */
int tr_reader_open_batch(struct tr_reader *reader, struct tr_error *err) TR_MUST_CHECK;
/* Lets a group that is too large to be held go out, all but its last row. */
int tr_reader_go_out(struct tr_reader *reader, struct tr_error *err) TR_MUST_CHECK;
/* Asks the server for its head. */
int tr_reader_look(struct tr_reader *reader, struct tr_error *err) TR_MUST_CHECK;

/* ---- pipeline_rows.c ----------------------------------------------------------------------------
 */

int tr_reader_table_map(struct tr_reader *reader, const struct tr_binlog_event *ev,
                        struct tr_error *err) TR_MUST_CHECK;
int tr_reader_rows(struct tr_reader *reader, const struct tr_binlog_event *ev, uint64_t start,
                   struct tr_error *err) TR_MUST_CHECK;

/* ---- pipeline_statements.c ----------------------------------------------------------------------
 */

int tr_reader_statement(struct tr_reader *reader, const struct tr_binlog_event *ev, uint64_t start,
                        struct tr_error *err) TR_MUST_CHECK;
/* LOAD DATA that was logged as a statement. */
int tr_reader_load(struct tr_reader *reader, const struct tr_binlog_event *ev,
                   struct tr_error *err) TR_MUST_CHECK;

#endif
