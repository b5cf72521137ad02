/*
 * tables.h - control records → shapes → the tables that we take → their topics.
 *
 * Everything here belongs to the main thread, but for what sink.h says of struct tr_sink_table: it
 * is made once, never moves, and its floor is atomic. An entry exists for every table that was
 * ever named to us, taken or not, so that a record costs one look-up.
 */
#ifndef TR_TABLES_H
#define TR_TABLES_H

#include "control.h"
#include "rules.h"
#include "sink.h"

struct tr_table {
    struct tr_sink_table sink;                 /* database and table plain, owned */
    struct tr_slice database_json, table_json; /* quoted, owned: as events name it */
    uint64_t hash;
    bool taken;                    /* by the rules */
    bool ready;                    /* the sink knows it */
    const struct tr_shape *recent; /* of the record before */
};

struct tr_tables {
    const struct tr_sink_ops *ops;
    struct tr_sink *sink;
    const struct tr_rules *rules;
    struct tr_control *control;
    struct tr_table **slots; /* open addressing by hash; a power of two */
    size_t slot_count, count;
    size_t shapes_seen;
    const char **topics; /* of the taken tables, each once; owned by the shapes */
    size_t topic_count, topic_capacity;
    struct tr_buf text, plain;
};

int tr_tables_init(struct tr_tables *tables, const struct tr_sink_ops *ops, struct tr_sink *sink,
                   const struct tr_rules *rules, struct tr_control *control,
                   struct tr_error *err) TR_MUST_CHECK;
void tr_tables_done(struct tr_tables *tables);
/* Takes the shapes that control has and we don't: 1 when there is a new topic to read, 0, TR_E…
 * of the sink. */
int tr_tables_refresh(struct tr_tables *tables, struct tr_error *err) TR_MUST_CHECK;
/* The entry of a table, by its quoted names as an event has them; made when new. NULL: err. */
struct tr_table *tr_tables_find(struct tr_tables *tables, struct tr_slice database,
                                struct tr_slice table, struct tr_error *err);
/* The shape of exactly that id; 0 asks for the newest that is not above `version`. NULL when it is
 * not known yet. */
const struct tr_shape *tr_tables_shape(struct tr_tables *tables, struct tr_table *table,
                                       int64_t schema_id, int64_t version);
/* Raises the floors that a store carries. */
int tr_tables_floors(struct tr_tables *tables, const struct tr_sink_floor *floors, size_t count,
                     struct tr_error *err) TR_MUST_CHECK;
/* The taken tables that the sink knows, for `reset --drop`: fills at most `max`, returns all. */
size_t tr_tables_list(const struct tr_tables *tables, struct tr_sink_table **out, size_t max);

/* Never lowers it. Any thread. */
void tr_floor_raise(struct tr_sink_table *table, int64_t version);

#endif
