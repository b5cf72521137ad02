/*
 * start.h - where reading begins, and whether the server is the one it began on.
 */
#ifndef TR_CAPTURE_START_H
#define TR_CAPTURE_START_H

#include "control.h"
#include "mark.h"
#include "source.h"

struct tr_start {
    struct tr_mark mark; /* where to go on */
    bool fresh;          /* must be written as a checkpoint before any row */
    uint32_t server_id;  /* that the position belongs to */
};

/* TR_EUSAGE when `where` is none of the forms below, NULL being one, or `force` stands without it.
 * Asks nobody. */
int tr_start_check_form(const char *where, bool force, struct tr_error *err) TR_MUST_CHECK;
/*
 * From the checkpoint (NULL = none), `where` (--start: NULL, "latest", "earliest", FILE:POS, a GTID
 * set) and `force` (--force-start). The source must be connected, and has the place: a FILE:POS
 * that it can't read from is TR_ESTATE.
 */
int tr_start_choose(struct tr_start *start, struct tr_source *source,
                    const struct tr_checkpoint *checkpoint, const char *where, bool force,
                    struct tr_error *err) TR_MUST_CHECK;
/* TR_ESTATE with the remedy when `server_id` isn't the one that the position belongs to. */
int tr_start_same_server(const struct tr_source *source, uint32_t server_id,
                         const struct tr_mark *mark, struct tr_error *err) TR_MUST_CHECK;
/* The number behind the last dot of a binlog file's name: files of one server in order. */
uint64_t tr_start_file_number(const char *file);
/* Whether place a is at or past file and offset. */
bool tr_start_reached(const struct tr_place *place, const char *file, uint64_t offset);

#endif
