/*
 * event.h - the change event: its types, and the envelope as a consumer sees it.
 *
 * Writing an event is capture's business (capture/encode); reading one is here, and the beginning
 * that events and keys share. The format is described, with JSON Schemas and examples, in schemas/.
 * Pure functions; any thread.
 */
#ifndef TR_EVENT_H
#define TR_EVENT_H

#include <stdint.h>

#include "buf.h"
#include "json_scan.h"

enum tr_event_type {
    TR_EVENT_INSERT,
    TR_EVENT_UPDATE,
    TR_EVENT_DELETE,
    TR_EVENT_BOOTSTRAP_INSERT,
    TR_EVENT_TABLE_TRUNCATE,
    TR_EVENT_TABLE_DROP,
    TR_EVENT_TABLE_SWEEP,
    TR_EVENT_BARRIER,
    TR_EVENT_TYPES,
};

#define TR_VERSION_MAX ((int64_t)1 << 53)

const char *tr_event_type_name(enum tr_event_type type);
static inline bool tr_event_is_marker(enum tr_event_type type)
{
    return type >= TR_EVENT_TABLE_TRUNCATE;
}

/* Appends `{"database":…,"table":…`, as events and keys begin; without the closing brace. */
void tr_event_put_table(struct tr_buf *out, struct tr_slice database, struct tr_slice table);
/* Appends the key of a marker, which is only that. */
void tr_event_put_marker_key(struct tr_buf *out, struct tr_slice database, struct tr_slice table);

/* What the members before `data` say. Slices point into the record; names keep their JSON form
 * (quoted, escaped), so that equal names are equal bytes. */
struct tr_event {
    enum tr_event_type type;
    int64_t version;
    int64_t schema_id;        /* 0 when absent */
    int64_t ts;               /* seconds */
    struct tr_slice database; /* quoted */
    struct tr_slice table;    /* quoted */
    struct tr_slice invalid;  /* the array's text; empty when absent */
    struct tr_slice data;     /* the object's text; empty for markers */
};

/*
 * Scans a record's value, member by member, and stops behind `data`'s value (which is only
 * skipped over, not decoded). Unknown members are skipped. TR_EPOISON, with the reason, for
 * anything that is no event.
 */
int tr_event_scan(struct tr_event *ev, struct tr_slice value, struct tr_error *err) TR_MUST_CHECK;

/* A record's key: {"database":…,"table":…,"pk.<column>":…}. */
struct tr_event_key {
    struct tr_slice database; /* quoted */
    struct tr_slice table;    /* quoted */
    struct tr_slice prefix;   /* the bytes from { to behind the table's value: same for a table */
    struct tr_slice columns;  /* what follows: `,"pk.id":1` … without the closing brace */
};

int tr_event_key_scan(struct tr_event_key *key, struct tr_slice text,
                      struct tr_error *err) TR_MUST_CHECK;

/* Goes over the key columns of a key that tr_event_key_scan accepted. */
struct tr_event_key_cursor {
    struct tr_json_cursor json;
};
void tr_event_key_enter(struct tr_event_key_cursor *cursor, struct tr_slice key_text);
/* 1 = got one, 0 = end, TR_EPOISON. Skips database and table. `name` is the member's name as it
 * stands in the key: quoted, perhaps escaped, with `pk.` in front of the column's name. */
int tr_event_key_next(struct tr_event_key_cursor *cursor, struct tr_json_value *name,
                      struct tr_json_value *value, struct tr_error *err) TR_MUST_CHECK;
/* Whether such a name is this column's; `column` is quoted, as in events. */
bool tr_event_key_names(const struct tr_json_value *name, struct tr_slice column);

#endif
