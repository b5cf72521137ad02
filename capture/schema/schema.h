/*
 * schema.h - what each table looks like at this place of the log: the shape that names its rows.
 *
 * A shape's number (schema_id) is the version of the place where it was first seen. The shape of a
 * row is the known one with the greatest schema_id at or below it, when it still looks like the
 * table map; otherwise a new one is made here, after one look into the catalogue. So reading again
 * from any checkpoint finds the numbers that were given the first time. Owned by the reading
 * thread.
 */
#ifndef TR_SCHEMA_H
#define TR_SCHEMA_H

#include "control.h"
#include "encode.h"
#include "rules.h"
#include "source.h"

struct tr_schema;

/* A captured table as of now. `encoder` NULL = not captured (filtered, or no key and on_no_key:
 * skip). */
struct tr_schema_table {
    struct tr_binlog_table *table;
    const struct tr_shape *shape;
    struct tr_encoder *encoder;
    bool looked_at;   /* made anew from this table map; cleared by the caller */
    bool is_new;      /* the shape must be published before the first row; cleared by the caller */
    bool key_changed; /* since the shape before, whose rows may still be there; likewise */
    uint32_t topic_index; /* for the publisher's use */
};

struct tr_schema_config {
    const struct tr_rules *rules;
    const char *topic_template; /* "db.{database}" */
    bool skip_without_key;      /* on_no_key: skip */
};

/* What a rule of `capture.tables` may say. */
extern const struct tr_rule_key tr_schema_rule_keys[];
/* TR_ECONFIG for settings of a rule that are unknown or not supported. */
int tr_schema_check_rules(const struct tr_rules *rules, struct tr_error *err) TR_MUST_CHECK;
/* `control` and `source` may be NULL where only topics are asked for. The topics of the shapes that
 * `control` holds are taken, so that a table made later collides with them too. */
int tr_schema_new(struct tr_schema **out, const struct tr_schema_config *config,
                  struct tr_control *control, struct tr_source *source,
                  struct tr_error *err) TR_MUST_CHECK;
void tr_schema_free(struct tr_schema *schema);
/* A TABLE_MAP at `version`: finds or makes the table. The result is valid until the same table is
 * mapped with another shape. Keyed by (table id, raw bytes), so the usual case is one comparison.
 */
int tr_schema_map(struct tr_schema *schema, const struct tr_binlog_event *event, int64_t version,
                  struct tr_schema_table **out, struct tr_error *err) TR_MUST_CHECK;
/* The table of a rows event; NULL when no TABLE_MAP of this id came (TR_ESOURCE for the caller). */
struct tr_schema_table *tr_schema_by_id(struct tr_schema *schema, uint64_t table_id);
/* DDL on the table (or, with table empty, the whole database) at `version`: look again next time.
 */
void tr_schema_ddl(struct tr_schema *schema, struct tr_slice database, struct tr_slice table,
                   int64_t version);
/* The table was emptied or dropped at `version`: a DDL, behind which no old row is left. */
void tr_schema_emptied(struct tr_schema *schema, struct tr_slice database, struct tr_slice table,
                       int64_t version);
/* Whether there may be rows of this shape: it is from behind the place, as far as we have seen one,
 * where its table was emptied last, or was found again there. */
bool tr_schema_has_rows(const struct tr_schema *schema, const struct tr_shape *shape);
/* Whether its table's last row that was read since the start had this shape. */
bool tr_schema_seen(const struct tr_schema *schema, const struct tr_shape *shape);
/* A unique key of the table was dropped: asks the catalogue whether it was the one that its rows
 * are told apart by, where that is known. Else a changed key shows at the next row. */
int tr_schema_key_lost(struct tr_schema *schema, struct tr_slice database, struct tr_slice table,
                       bool *lost, struct tr_error *err) TR_MUST_CHECK;
/* Table ids mean nothing after a reconnect, ROTATE or server restart. */
void tr_schema_forget_ids(struct tr_schema *schema);
/* The topic of a captured table, by its rule or the template, valid for the schema's life;
 * TR_ECONFIG as below, and for a collision (also `.` with `_`) with another table's topic. */
int tr_schema_table_topic(struct tr_schema *schema, struct tr_slice database, struct tr_slice table,
                          const char **topic, struct tr_error *err) TR_MUST_CHECK;
/* "db.{database}" of a table into out[TR_TOPIC_NAME_MAX + 1]; TR_ECONFIG for a name that Kafka
 * doesn't allow. */
int tr_schema_topic(const char *topic_template, struct tr_slice database, struct tr_slice table,
                    char *out, struct tr_error *err) TR_MUST_CHECK;

#endif
