/* pipeline_events.c - one binlog event: its place, the group it belongs to, where groups end. See
 * reader.h. */
#include <inttypes.h>
#include <stdio.h>

#include "clock.h"
#include "pipeline.h"
#include "reader.h"
#include "start.h"

/* Event types that binlog.h has no use for. */
enum {
    EVENT_APPEND_BLOCK = 9,
    EVENT_DELETE_FILE = 11,
};

#define FLAG_ARTIFICIAL 0x20
#define FLAG_IGNORABLE 0x80
#define LOOK_US 1000000
#define LOOK_AGAIN_US 10000000

/* ---- batches -------------------------------------------------------------------------------- */

int tr_reader_open_batch(struct tr_reader *reader, struct tr_error *err)
{
    if (reader->batch != NULL)
        return 0;
    int rc = tr_handover_open(reader->handover, &reader->batch, err);
    if (rc != 0)
        return rc;
    if (reader->batch->count > 0 && strcmp(reader->batch->file, reader->place.file) != 0) {
        tr_handover_push(reader->handover, reader->batch);
        reader->batch = NULL;
        rc = tr_handover_open(reader->handover, &reader->batch, err);
        if (rc != 0)
            return rc;
    }
    memcpy(reader->batch->file, reader->place.file, sizeof(reader->batch->file));
    return 0;
}

int tr_reader_go_out(struct tr_reader *reader, struct tr_error *err)
{
    struct tr_batch *full = reader->batch;
    struct tr_batch *next = NULL;
    int rc = tr_handover_open(reader->handover, &next, err);
    if (rc != 0)
        return rc;
    memcpy(next->file, full->file, sizeof(next->file));
    reader->batch = next;
    rc = tr_group_go_out(&reader->group, full, next, err);
    tr_handover_push(reader->handover, full);
    return rc;
}

/* ---- GTIDs ------------------------------------------------------------------------------------
 */

static int note_gtid(struct tr_reader_gtids *gtids, uint32_t domain, uint32_t server_id,
                     uint64_t sequence, struct tr_error *err)
{
    size_t i = 0;
    while (i < gtids->count && gtids->items[i].domain != domain)
        i++;
    if (i == TR_READER_DOMAINS_MAX)
        return tr_error_set(err, TR_ESOURCE,
                            "more than %d GTID domains are not supported: forget those that are "
                            "not used any more (FLUSH BINARY LOGS DELETE_DOMAIN_ID=(…)), "
                            "and " TR_PLACE_GIVE_UP,
                            TR_READER_DOMAINS_MAX);
    if (i == gtids->count)
        gtids->count++;
    gtids->items[i].domain = domain;
    gtids->items[i].server_id = server_id;
    gtids->items[i].sequence = sequence;
    return 0;
}

static void write_gtids(const struct tr_reader_gtids *gtids, char *out, size_t size)
{
    size_t at = 0;
    out[0] = '\0';
    for (size_t i = 0; i < gtids->count && at < size; i++) {
        int n =
            snprintf(out + at, size - at, "%s%" PRIu32 "-%" PRIu32 "-%" PRIu64, i == 0 ? "" : ",",
                     gtids->items[i].domain, gtids->items[i].server_id, gtids->items[i].sequence);
        at += n > 0 ? (size_t)n : 0;
    }
}

static int on_gtid_list(struct tr_reader *reader, const struct tr_binlog_event *ev,
                        struct tr_error *err)
{
    struct tr_binlog_gtid_list list;
    struct tr_binlog_gtid gtid;
    int rc = tr_binlog_gtid_list_open(&list, ev, err);
    while (rc == 0 && tr_binlog_gtid_list_next(&list, &gtid))
        rc = note_gtid(&reader->gtids, gtid.domain, gtid.server_id, gtid.sequence, err);
    return rc;
}

/* ---- boundaries -------------------------------------------------------------------------------
 */

int tr_reader_look(struct tr_reader *reader, struct tr_error *err)
{
    char file[256], from[256], gtid[TR_GTID_SET_BYTES];
    uint64_t offset;
    reader->looked_us = tr_clock_mono_us();
    int rc = tr_source_head(reader->source, file, &offset, gtid, err);
    int64_t between = 0;
    /* What is acknowledged may lie in an earlier file than what is read. */
    tr_status_file(reader->status, from);
    if (rc == 0 && strcmp(from, file) != 0)
        rc = tr_source_bytes_between(reader->source, from, file, &between, err);
    if (rc == 0)
        tr_status_head(reader->status, file, offset, from, between);
    return rc;
}

/* Once a second, no group is open: where the server is, and whether a statement has made a cascade
 * that isn't logged. */
static int now_and_then(struct tr_reader *reader, struct tr_error *err)
{
    int64_t now = tr_clock_mono_us();
    int rc = now - reader->looked_us < LOOK_US ? 0 : tr_reader_look(reader, err);
    bool due = now - reader->rechecked_us >= LOOK_US;
    if (rc != 0 || !reader->recheck_cascades || !due)
        return rc;
    reader->rechecked_us = now;
    rc = tr_pipeline_check_cascades(reader->config, reader->source, reader->rules, err);
    /* Asked again when the connection broke over it. */
    reader->recheck_cascades = rc != 0;
    return rc;
}

/* A large group takes long: how far behind we are is told meanwhile. It is not given up because the
 * server has no time for the question. */
static int look_inside(struct tr_reader *reader, struct tr_error *err)
{
    struct tr_error passing = {0};
    int64_t now = tr_clock_mono_us();
    if (now - reader->looked_us < LOOK_US)
        return 0;
    int rc = tr_reader_look(reader, &passing);
    if (rc != 0 && tr_error_class_of(rc) == TR_CLASS_RETRY) {
        reader->looked_us = tr_clock_mono_us() + LOOK_AGAIN_US;
        return 0;
    }
    if (rc != 0)
        *err = passing;
    return rc;
}

static bool end_reached(const struct tr_reader *reader)
{
    return reader->stop_file[0] != '\0' &&
           tr_start_reached(&reader->place, reader->stop_file, reader->stop_offset);
}

/* No group is open: reading can go on from here, and what was read before counts. */
static int set_boundary(struct tr_reader *reader, const struct tr_binlog_event *ev,
                        struct tr_error *err)
{
    struct tr_mark *mark = &reader->boundary;
    mark->place = reader->place;
    mark->file_stamp = reader->file_stamp;
    mark->file_crc = reader->file_crc;
    mark->last = reader->last;
    mark->open = tr_group_open(&reader->group);
    if (ev->timestamp != 0 && ev->type != TR_BINLOG_FORMAT_DESCRIPTION)
        mark->ts = ev->timestamp;
    write_gtids(&reader->gtids, mark->gtid, sizeof(mark->gtid));
    int rc = tr_reader_open_batch(reader, err);
    if (rc != 0)
        return rc;
    struct tr_batch *batch = reader->batch;
    batch->has_end = true;
    batch->end = *mark;
    reader->batch = NULL;
    /* Before the batch is out of our hands nothing else of it may be looked at. */
    if (batch->text.length >= (size_t)reader->config->capture.batch_bytes)
        tr_handover_push(reader->handover, batch);
    else
        tr_handover_offer(reader->handover, batch, !tr_batch_empty(batch));
    reader->done = end_reached(reader);
    return now_and_then(reader, err);
}

int tr_reader_next_file(struct tr_reader *reader, const char *file, struct tr_error *err)
{
    if (strlen(file) >= sizeof(reader->place.file))
        return tr_error_set(err, TR_ESOURCE, "a binlog file's name of %zu bytes", strlen(file));
    int rc = tr_group_void(&reader->group, reader->batch, "is cut off by the end of its file", err);
    if (rc != 0)
        return rc;
    tr_place_next_file(&reader->place, file);
    tr_schema_forget_ids(reader->schema);
    reader->file_stamp = 0;
    reader->file_crc = 0;
    reader->last = (struct tr_mark_event){0};
    /* Where a broken connection is taken up again; a checkpoint waits for the file's first event.
     */
    reader->boundary.place = reader->place;
    reader->boundary.file_stamp = 0;
    reader->boundary.file_crc = 0;
    reader->boundary.last = reader->last;
    return 0;
}

static int on_rotate(struct tr_reader *reader, const struct tr_binlog_event *ev,
                     struct tr_error *err)
{
    struct tr_slice name;
    uint64_t position;
    char file[256];
    int rc = tr_binlog_rotate_read(&name, &position, ev, err);
    if (rc != 0)
        return rc;
    snprintf(file, sizeof(file), "%.*s", (int)name.length, name.data);
    if (strcmp(file, reader->place.file) == 0)
        return 0;
    if (reader->discarding)
        return tr_error_set(err, TR_ESTATE,
                            "%s ends before offset %" PRIu64 ", which was read before: the source "
                            "is another one, or its binlogs were reset; " TR_PLACE_GIVE_UP,
                            reader->place.file, reader->boundary.place.offset);
    return tr_reader_next_file(reader, file, err);
}

/* ---- what identifies a file -------------------------------------------------------------------
 */

static int switched(const struct tr_reader *reader, const char *what, struct tr_error *err)
{
    return tr_error_set(err, TR_ESTATE,
                        "%s at %s:%" PRIu64 " is not the one that was read before (%s): the source "
                        "was switched or its binlogs were reset; " TR_PLACE_GIVE_UP,
                        reader->boundary.place.file, reader->boundary.place.file,
                        reader->boundary.place.offset, what);
}

static int on_format(struct tr_reader *reader, const struct tr_binlog_event *ev,
                     struct tr_error *err)
{
    int rc = tr_binlog_format_read(&reader->format, ev, err);
    if (rc != 0)
        return rc;
    reader->file_stamp = ev->timestamp;
    reader->file_crc = reader->format.identity;
    /* The server has started here: sessions and their temporary tables are gone. */
    if (reader->format.created != 0) {
        memset(reader->temporaries, 0, sizeof(reader->temporaries));
        reader->threads_known_from = 0;
    }
    const struct tr_mark *boundary = &reader->boundary;
    bool same_file = strcmp(boundary->place.file, reader->place.file) == 0;
    if (same_file && boundary->file_stamp != 0 &&
        (boundary->file_stamp != reader->file_stamp || boundary->file_crc != reader->file_crc))
        return switched(reader, "another format description", err);
    reader->done = !reader->discarding && end_reached(reader);
    return 0;
}

/* ---- resuming ---------------------------------------------------------------------------------
 */

/* Passes over what lies before the boundary; at it, compares the last event with the one that was
 * read before. */
static int discard(struct tr_reader *reader, const struct tr_binlog_event *ev, struct tr_error *err)
{
    const struct tr_mark *boundary = &reader->boundary;
    if (reader->place.offset < boundary->place.offset)
        return 0;
    if (reader->place.offset > boundary->place.offset)
        return switched(reader, "no event ends there", err);
    const struct tr_mark_event *last = &boundary->last;
    if (last->type != 0 &&
        (last->type != ev->type || last->stamp != ev->timestamp || last->crc != ev->crc))
        return switched(reader, "the last event differs", err);
    reader->place = boundary->place;
    reader->last = boundary->last;
    reader->discarding = false;
    reader->done = end_reached(reader);
    return 0;
}

/* ---- groups -----------------------------------------------------------------------------------
 */

static int xa_stop(struct tr_error *err)
{
    return tr_error_set(err, TR_ESOURCE,
                        "an XA transaction: XA is not supported; commit such changes without XA, "
                        "and go on behind it with --start FILE:POS --force-start");
}

static int on_gtid(struct tr_reader *reader, const struct tr_binlog_event *ev, uint64_t start,
                   struct tr_error *err)
{
    struct tr_binlog_gtid gtid;
    int rc = tr_binlog_gtid_read(&gtid, ev, err);
    if (rc != 0)
        return rc;
    if (gtid.prepared_xa || gtid.completed_xa)
        return xa_stop(err);
    rc = note_gtid(&reader->gtids, gtid.domain, gtid.server_id, gtid.sequence, err);
    if (rc != 0)
        return rc;
    snprintf(reader->gtid, sizeof(reader->gtid), "%" PRIu32 "-%" PRIu32 "-%" PRIu64, gtid.domain,
             gtid.server_id, gtid.sequence);
    tr_buf_reset(&reader->query);
    rc = tr_reader_open_batch(reader, err);
    if (rc != 0)
        return rc;
    int64_t xid = tr_place_version(&reader->place, reader->place.offset, 0);
    return tr_group_begin(&reader->group, xid, start, gtid.standalone, reader->batch, err);
}

static int on_xid(struct tr_reader *reader, struct tr_error *err)
{
    int64_t version = tr_place_version(&reader->place, reader->place.offset, 0);
    return reader->group.open ? tr_group_commit(&reader->group, version, reader->batch, err) : 0;
}

static int on_annotate(struct tr_reader *reader, const struct tr_binlog_event *ev,
                       struct tr_error *err)
{
    tr_buf_reset(&reader->query);
    if (!reader->config->capture.event_query)
        return 0;
    tr_buf_append(&reader->query, ev->body, ev->body_length);
    return tr_buf_check(&reader->query, "a statement's text", err);
}

static int unknown_event(const struct tr_binlog_event *ev, struct tr_error *err)
{
    if ((ev->flags & FLAG_IGNORABLE) != 0)
        return 0;
    return tr_error_set(err, TR_ESOURCE,
                        "an event of type %u, which this version doesn't know: it may hold "
                        "changes, so it is not passed over; use a version that knows it, or go on "
                        "behind it with --start FILE:POS --force-start and rebuild the stores",
                        ev->type);
}

static int dispatch(struct tr_reader *reader, const struct tr_binlog_event *ev, uint64_t start,
                    struct tr_error *err)
{
    switch (ev->type) {
    case TR_BINLOG_GTID:
        return on_gtid(reader, ev, start, err);
    case TR_BINLOG_TABLE_MAP:
        return reader->group.open ? tr_reader_table_map(reader, ev, err) : 0;
    case TR_BINLOG_WRITE_ROWS_V1:
    case TR_BINLOG_UPDATE_ROWS_V1:
    case TR_BINLOG_DELETE_ROWS_V1:
    case TR_BINLOG_WRITE_ROWS_V2:
    case TR_BINLOG_UPDATE_ROWS_V2:
    case TR_BINLOG_DELETE_ROWS_V2:
    case TR_BINLOG_WRITE_ROWS_COMPRESSED_V1:
    case TR_BINLOG_UPDATE_ROWS_COMPRESSED_V1:
    case TR_BINLOG_DELETE_ROWS_COMPRESSED_V1:
        return tr_reader_rows(reader, ev, start, err);
    case TR_BINLOG_XID:
        return on_xid(reader, err);
    case TR_BINLOG_QUERY:
    case TR_BINLOG_QUERY_COMPRESSED:
        return tr_reader_statement(reader, ev, start, err);
    case TR_BINLOG_ANNOTATE:
        return on_annotate(reader, ev, err);
    case TR_BINLOG_GTID_LIST:
        return on_gtid_list(reader, ev, err);
    case TR_BINLOG_XA_PREPARE:
        return xa_stop(err);
    case TR_BINLOG_INCIDENT:
        return tr_error_set(
            err, TR_ESOURCE,
            "an INCIDENT event: the server has lost changes that belong here; take "
            "up behind it with --start FILE:POS --force-start and rebuild the stores");
    case TR_BINLOG_EXECUTE_LOAD:
        return tr_reader_load(reader, ev, err);
    case TR_BINLOG_FORMAT_DESCRIPTION:
    case TR_BINLOG_ROTATE: /* its place counts; the next file is begun behind it */
    case TR_BINLOG_STOP:
    case TR_BINLOG_CHECKPOINT:
    case TR_BINLOG_START_ENCRYPTION:
    /* Parts of a statement: what counts is the statement that follows. */
    case TR_BINLOG_INTVAR:
    case TR_BINLOG_RAND:
    case TR_BINLOG_USER_VAR:
    case TR_BINLOG_BEGIN_LOAD:
    case EVENT_APPEND_BLOCK:
    case EVENT_DELETE_FILE:
        return 0;
    default:
        return unknown_event(ev, err);
    }
}

/* ---- the event --------------------------------------------------------------------------------
 */

/* Heartbeats are sent only when there is nothing else to send: we are at the head. */
static int on_heartbeat(struct tr_reader *reader, struct tr_error *err)
{
    const struct tr_place *place = &reader->place;
    char from[256];
    tr_status_file(reader->status, from);
    bool same_file = strcmp(from, place->file) == 0;
    if (same_file)
        tr_status_head(reader->status, place->file, place->offset, from, 0);
    reader->done = end_reached(reader);
    return same_file && !reader->recheck_cascades ? 0 : now_and_then(reader, err);
}

static int counted_event(struct tr_reader *reader, const struct tr_binlog_event *ev, uint64_t start,
                         struct tr_error *err)
{
    reader->last = (struct tr_mark_event){ev->type, ev->timestamp, ev->crc, ev->length};
    if (ev->type == TR_BINLOG_FORMAT_DESCRIPTION)
        reader->last = (struct tr_mark_event){0};
    if (reader->discarding)
        return discard(reader, ev, err);
    int rc = dispatch(reader, ev, start, err);
    if (rc != 0)
        return rc;
    return reader->group.open ? look_inside(reader, err) : set_boundary(reader, ev, err);
}

int tr_reader_event(struct tr_reader *reader, const uint8_t *data, size_t length,
                    struct tr_error *err)
{
    struct tr_binlog_event ev;
    int rc = tr_binlog_event_read(&ev, data, length, reader->format.checksum, err);
    if (rc == 0 && ev.type == TR_BINLOG_HEARTBEAT)
        return on_heartbeat(reader, err);
    if (rc == 0 && ev.type == TR_BINLOG_FORMAT_DESCRIPTION)
        rc = on_format(reader, &ev, err);
    const struct tr_place_event place_event = {
        .type = ev.type,
        .timestamp = ev.timestamp,
        .length = ev.length,
        .log_pos = ev.log_pos,
        .flags = ev.flags,
    };
    bool counted = false;
    uint64_t start = reader->place.offset;
    if (rc == 0)
        rc = tr_place_advance(&reader->place, &place_event, &counted, &start, err);
    if (rc == 0 && counted)
        rc = counted_event(reader, &ev, start, err);
    /* A real ROTATE takes room in its own file first; a fake one takes none. */
    if (rc == 0 && ev.type == TR_BINLOG_ROTATE)
        rc = on_rotate(reader, &ev, err);
    /* What is too large for our limits came from there, and is no bug of ours. */
    if (rc == TR_ELIMIT)
        rc = err->code = TR_ESOURCE;
    if (rc != 0 && rc != TR_ESTOPPED)
        tr_error_frame(err, "%s:%" PRIu64, reader->place.file, start);
    return rc;
}
