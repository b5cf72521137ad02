/* pipeline_reader.c - connecting, resuming, reconnecting, and the loop. See reader.h. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "app.h"
#include "log.h"
#include "pipeline.h"
#include "reader.h"
#include "start.h"

#define BACK_OFF_FIRST_MS 200
#define BACK_OFF_MAX_MS 5000
#define FILE_FIRST 4 /* a binlog file's events begin behind its four magic bytes */

int tr_reader_init(struct tr_reader *reader, struct tr_error *err)
{
    (void)err;
    tr_group_init(&reader->group);
    tr_arena_init(&reader->arena, 65536, 64 << 20);
    tr_buf_init(&reader->scratch, (size_t)2 << 30);
    tr_buf_init(&reader->query, (size_t)1 << 30);
    return 0;
}

void tr_reader_done(struct tr_reader *reader)
{
    tr_group_done(&reader->group);
    tr_arena_done(&reader->arena);
    tr_buf_done(&reader->scratch);
    tr_buf_done(&reader->query);
    free(reader->before);
    free(reader->after);
}

/* ---- taking up at the boundary ----------------------------------------------------------------
 */

/* Domains and sequences of the boundary's GTID set, so that the set goes on from there. */
static void take_gtids(struct tr_reader *reader)
{
    const char *at = reader->boundary.gtid;
    reader->gtids.count = 0;
    while (*at != '\0' && reader->gtids.count < TR_READER_DOMAINS_MAX) {
        uint32_t domain, server_id;
        uint64_t sequence;
        int used = 0;
        if (sscanf(at, "%" SCNu32 "-%" SCNu32 "-%" SCNu64 "%n", &domain, &server_id, &sequence,
                   &used) != 3)
            return;
        size_t i = reader->gtids.count++;
        reader->gtids.items[i].domain = domain;
        reader->gtids.items[i].server_id = server_id;
        reader->gtids.items[i].sequence = sequence;
        at += used;
        if (*at == ',')
            at++;
    }
}

/* Where the dump begins: at the last event before the boundary, to see that it is still the same;
 * from the file's start when the protocol's 32 bits don't reach that far. */
static uint64_t dump_offset(const struct tr_mark *boundary)
{
    uint64_t offset = boundary->place.offset;
    if (boundary->last.type != 0 && boundary->last.length < offset)
        offset -= boundary->last.length;
    return offset <= UINT32_MAX ? offset : FILE_FIRST;
}

static int begin_dump(struct tr_reader *reader, struct tr_error *err)
{
    const struct tr_mark *boundary = &reader->boundary;
    uint64_t offset = dump_offset(boundary);
    reader->place = boundary->place;
    reader->place.offset = offset;
    reader->discarding = offset != boundary->place.offset;
    reader->last = boundary->last;
    reader->format =
        (struct tr_binlog_format){.checksum = tr_source_server(reader->source)->checksum};
    take_gtids(reader);
    tr_schema_forget_ids(reader->schema);
    int rc = tr_source_dump(reader->source, boundary->place.file, offset, err);
    if (rc == 0)
        tr_log(TR_LOG_INFO, "source", "reading",
               TR_STR("server", tr_source_endpoint(reader->source)),
               TR_STR("file", boundary->place.file), TR_INT("offset", boundary->place.offset),
               TR_INT("version", tr_place_version(&boundary->place, boundary->place.offset, 0)),
               TR_END);
    return rc;
}

/* What was held of an open group is dropped: it is read again from its start. */
static void drop_open_group(struct tr_reader *reader)
{
    tr_group_break(&reader->group, reader->batch);
    if (reader->batch == NULL)
        return;
    tr_handover_offer(reader->handover, reader->batch, true);
    reader->batch = NULL;
}

static int connect_again(struct tr_reader *reader, struct tr_error *err)
{
    int rc = reader->connected ? 0 : tr_source_connect(reader->source, err);
    if (rc != 0)
        return rc;
    reader->connected = true;
    rc = tr_start_same_server(reader->source, reader->server_id, &reader->boundary, err);
    if (rc == 0)
        rc = tr_reader_look(reader, err);
    return rc != 0 ? rc : begin_dump(reader, err);
}

/* ---- the loop ---------------------------------------------------------------------------------
 */

/* The file ends in the middle of an event: its server died while writing. */
static int skip_torn_end(struct tr_reader *reader, struct tr_error *err)
{
    if (reader->discarding)
        return tr_error_set(err, TR_ESTATE,
                            "%s ends before offset %" PRIu64 ", which was read before: the source "
                            "is another one, or has lost what it had logged; " TR_PLACE_GIVE_UP,
                            reader->place.file, reader->boundary.place.offset);
    char next[256];
    int rc = tr_source_file_after(reader->source, reader->place.file, next, err);
    if (rc == TR_ESTATE) {
        /* The server has not opened another file yet. */
        char text[320];
        snprintf(text, sizeof(text), "%s ends in the middle of an event", reader->place.file);
        tr_error_reset(err);
        return tr_error_set(err, TR_ESOURCE_RETRY, "%s", text);
    }
    if (rc != 0)
        return rc;
    tr_log(TR_LOG_WARN, "source", "file ends in the middle of an event; going on with the next",
           TR_STR("file", reader->place.file), TR_INT("offset", reader->place.offset),
           TR_STR("next", next), TR_END);
    rc = tr_reader_next_file(reader, next, err);
    if (rc != 0)
        rc = tr_error_frame(err, "%s:%" PRIu64, reader->place.file, reader->place.offset);
    drop_open_group(reader);
    return rc != 0 ? rc : tr_error_set(err, TR_ESOURCE_RETRY, "going on with %s", next);
}

static int read_stream(struct tr_reader *reader, struct tr_error *err)
{
    int rc = connect_again(reader, err);
    if (rc == 0)
        tr_status_state(reader->status, "running", "");
    while (rc == 0 && !reader->done) {
        const uint8_t *data = NULL;
        size_t length = 0;
        bool truncated = false;
        rc = tr_source_read(reader->source, &data, &length, &truncated, err);
        if (rc > 0)
            rc = tr_reader_event(reader, data, length, err);
        else if (truncated) {
            struct tr_error torn = {0};
            rc = skip_torn_end(reader, &torn);
            *err = torn;
        }
    }
    return rc;
}

static int64_t back_off(int attempt)
{
    int64_t wait = BACK_OFF_FIRST_MS;
    for (int i = 0; i < attempt && wait < BACK_OFF_MAX_MS; i++)
        wait *= 2;
    return wait < BACK_OFF_MAX_MS ? wait : BACK_OFF_MAX_MS;
}

static void say_reconnecting(struct tr_reader *reader, const struct tr_error *err, int64_t wait)
{
    char next[64], text[300];
    snprintf(next, sizeof(next), "connecting again in %" PRId64 " ms", wait);
    tr_log_error(TR_LOG_WARN, "source", err, next);
    tr_status_state(reader->status, "reconnecting", tr_error_format(err, text, sizeof(text)));
    tr_metric_add(reader->status->reconnects_total, 1);
}

int tr_reader_run(struct tr_reader *reader, struct tr_error *err)
{
    int attempt = 0;
    int rc;
    for (;;) {
        uint64_t offset = reader->boundary.place.offset;
        rc = read_stream(reader, err);
        drop_open_group(reader);
        if (rc == 0 || tr_error_class_of(rc) != TR_CLASS_RETRY)
            return rc;
        tr_source_disconnect(reader->source);
        reader->connected = false;
        attempt = reader->boundary.place.offset == offset ? attempt + 1 : 0;
        int64_t wait = back_off(attempt);
        say_reconnecting(reader, err, wait);
        if (!tr_app_sleep_ms(wait))
            return TR_ESTOPPED;
        tr_error_reset(err);
    }
}
