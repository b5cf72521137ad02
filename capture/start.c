/* start.c - see start.h. */
#include "start.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

#define FILE_FIRST 4
/* At least 2^40 above every version that was acknowledged, which may be some past the checkpoint.
 */
#define JUMP ((int64_t)1 << 41)

uint64_t tr_start_file_number(const char *file)
{
    const char *dot = strrchr(file, '.');
    return dot == NULL ? 0 : strtoull(dot + 1, NULL, 10);
}

bool tr_start_reached(const struct tr_place *place, const char *file, uint64_t offset)
{
    if (strcmp(place->file, file) == 0)
        return place->offset >= offset;
    return tr_start_file_number(place->file) > tr_start_file_number(file);
}

static int take_checkpoint(struct tr_start *start, const struct tr_checkpoint *checkpoint)
{
    struct tr_mark *mark = &start->mark;
    memcpy(mark->place.file, checkpoint->file, sizeof(mark->place.file));
    mark->place.offset = checkpoint->offset;
    mark->place.base = checkpoint->base;
    mark->file_stamp = checkpoint->file_stamp;
    mark->file_crc = checkpoint->file_crc;
    mark->last = (struct tr_mark_event){
        .type = checkpoint->last_type,
        .stamp = checkpoint->last_stamp,
        .crc = checkpoint->last_crc,
        .length = checkpoint->last_length,
    };
    /* Without its length the last event can't be asked for. */
    if (mark->last.length == 0)
        mark->last.type = 0;
    mark->ts = checkpoint->ts;
    mark->open = checkpoint->open;
    memcpy(mark->gtid, checkpoint->gtid, sizeof(mark->gtid));
    start->server_id = checkpoint->server_id;
    start->fresh = false;
    return 0;
}

static bool is_gtid_set(const char *where)
{
    int groups = 0;
    for (const char *at = where;; groups++) {
        for (int part = 0; part < 3; part++) {
            if (!isdigit((unsigned char)*at))
                return false;
            while (isdigit((unsigned char)*at))
                at++;
            if (part < 2 && *at++ != '-')
                return false;
        }
        if (*at == '\0')
            return true;
        if (*at++ != ',')
            return false;
    }
}

static int parse_position(struct tr_place *place, const char *where, struct tr_error *err)
{
    const char *colon = strrchr(where, ':');
    char *end = NULL;
    uint64_t offset = colon == NULL ? 0 : strtoull(colon + 1, &end, 10);
    size_t length = colon == NULL ? 0 : (size_t)(colon - where);
    if (colon == NULL || length == 0 || length >= sizeof(place->file) ||
        !isdigit((unsigned char)colon[1]) || *end != '\0')
        return tr_error_set(err, TR_EUSAGE,
                            "--start is latest, earliest, FILE:POS or a GTID set, not \"%s\"",
                            where);
    memcpy(place->file, where, length);
    place->file[length] = '\0';
    place->offset = offset < FILE_FIRST ? FILE_FIRST : offset;
    return 0;
}

int tr_start_check_form(const char *where, bool force, struct tr_error *err)
{
    struct tr_place place;
    if (where == NULL && force)
        return tr_error_set(err, TR_EUSAGE,
                            "--force-start needs --start WHERE: without it capture goes on from "
                            "the checkpoint");
    if (where == NULL || strcmp(where, "latest") == 0 || strcmp(where, "earliest") == 0)
        return 0;
    if (!is_gtid_set(where))
        return parse_position(&place, where, err);
    if (strlen(where) < TR_GTID_SET_BYTES)
        return 0;
    return tr_error_set(err, TR_EUSAGE, "--start: a GTID set of %zu bytes; %d are the most",
                        strlen(where), TR_GTID_SET_BYTES - 1);
}

static int find_place(struct tr_start *start, struct tr_source *source, const char *where,
                      struct tr_error *err)
{
    struct tr_mark *mark = &start->mark;
    struct tr_place *place = &mark->place;
    if (strcmp(where, "latest") == 0) {
        tr_log(TR_LOG_INFO, "start",
               "starting at the present end: rows from before are not captured",
               TR_STR("hint", "--start earliest takes all that the binlogs hold"), TR_END);
        return tr_source_head(source, place->file, &place->offset, mark->gtid, err);
    }
    if (strcmp(where, "earliest") == 0) {
        place->offset = FILE_FIRST;
        return tr_source_oldest(source, place->file, err);
    }
    if (is_gtid_set(where)) {
        snprintf(mark->gtid, sizeof(mark->gtid), "%s", where);
        return tr_source_find_gtid(source, where, place->file, &place->offset, err);
    }
    int rc = parse_position(place, where, err);
    return rc != 0 ? rc : tr_source_check_place(source, place->file, place->offset, err);
}

int tr_start_choose(struct tr_start *start, struct tr_source *source,
                    const struct tr_checkpoint *checkpoint, const char *where, bool force,
                    struct tr_error *err)
{
    memset(start, 0, sizeof(*start));
    if (checkpoint != NULL && where == NULL)
        return take_checkpoint(start, checkpoint);
    if (checkpoint != NULL && !force)
        return tr_error_set(err, TR_ESTATE,
                            "--start %s, but there is a checkpoint at %s:%" PRIu64
                            ": leave --start "
                            "out to go on from there, or add --force-start to give it up (versions "
                            "then jump, and what lies between is not captured)",
                            where, checkpoint->file, checkpoint->offset);
    int rc = find_place(start, source, where == NULL ? "latest" : where, err);
    if (rc != 0)
        return rc;
    start->fresh = true;
    start->server_id = tr_source_server(source)->server_id;
    if (checkpoint != NULL)
        start->mark.place.base = checkpoint->version + JUMP - (int64_t)start->mark.place.offset;
    return 0;
}

int tr_start_same_server(const struct tr_source *source, uint32_t server_id,
                         const struct tr_mark *mark, struct tr_error *err)
{
    uint32_t now = tr_source_server(source)->server_id;
    if (now == server_id)
        return 0;
    return tr_error_set(
        err, TR_ESTATE,
        "%s is server %u, and %s:%" PRIu64 " is a position of server %u: the source "
        "was switched; connect to that server, or " TR_PLACE_GIVE_UP,
        tr_source_endpoint(source), now, mark->place.file, mark->place.offset, server_id);
}
