/*
 * internal.h - what the files of this module share. Nobody else includes it.
 *
 *     schema.c  known tables, DDL, the look-up
 *     ids.c     table id → known table
 *     table.c   a table map made into a table with shape and encoder
 *     key.c     which columns are the key
 *     topic.c   a table's topic, and collisions
 */
#ifndef TR_SCHEMA_INTERNAL_H
#define TR_SCHEMA_INTERNAL_H

#include "schema.h"

#define SCHEMA_BUCKETS 1024 /* a power of two */
#define SCHEMA_TABLES_MAX 200000
#define SCHEMA_SWEEP_FIRST 4096
#define SCHEMA_KEY_MAX TR_SOURCE_KEY_MAX

/* Everything we know of one name that the rules take. Ids point to it; it goes when nothing but a
 * TRUNCATE or DROP has been seen of it for long. */
struct schema_known {
    struct schema_known *next; /* in its bucket */
    char *database, *table;    /* NUL-terminated copies */
    size_t database_length, table_length;
    bool captured; /* by the rules, and not a sequence or skipped for want of a key */
    bool by_rules;
    const struct tr_node *settings; /* of the last rule that has some */
    char *topic;                    /* NULL until it is needed */
    int64_t ddl_version;            /* the newest DDL seen, -1 = none */
    int64_t emptied_version;        /* the newest TRUNCATE or DROP seen, -1 = none */
    int64_t kept_id;       /* of the older shape that rows have had again since; -1 = none */
    bool by_unique;        /* keyed by a unique key, as the catalogue told */
    bool stale;            /* a DDL came: look again at the next table map */
    bool gone;             /* about to be freed */
    struct tr_arena arena; /* of `current` */
    struct tr_slice raw;   /* the table map's body, in `arena` */
    struct tr_schema_table current;
};

/* DDL on a whole database, for tables that we have not met yet. */
struct schema_database {
    struct schema_database *next;
    char *name;
    size_t length;
    int64_t ddl_version;
};

/* One topic and whose rows it takes. */
struct schema_topic {
    struct schema_topic *next;
    char name[TR_TOPIC_NAME_MAX + 1];
    char folded[TR_TOPIC_NAME_MAX + 1]; /* with `_` for `.` */
    bool given;  /* by a rule's `topic:`, which may put several tables together */
    char *owner; /* "`database`" or "`database`.`table`" */
};

struct schema_id {
    uint64_t id;
    struct schema_known *known; /* NULL = free slot */
    uint64_t turn;              /* when it was last mapped */
};

struct schema_ids {
    struct schema_id *slots;
    size_t capacity; /* a power of two */
    size_t count;
    uint64_t turn;
};

struct tr_schema {
    struct tr_schema_config config;
    struct tr_control *control;
    struct tr_source *source;
    struct schema_known *tables[SCHEMA_BUCKETS];
    size_t table_count;
    size_t sweep_at;             /* with so many tables, those that are gone are looked for */
    struct schema_known outside; /* stands for every table that the rules leave out */
    struct schema_database *databases;
    struct schema_topic *topics[SCHEMA_BUCKETS];
    struct schema_ids ids;
    struct schema_id *last; /* the id that was asked for last */
};

/* ids.c */
struct schema_id *schema_ids_find(const struct schema_ids *ids, uint64_t id);
int schema_ids_put(struct schema_ids *ids, uint64_t id, struct schema_known *known,
                   struct tr_error *err) TR_MUST_CHECK;
void schema_ids_clear(struct schema_ids *ids);
/* Takes out the ids of tables that are `gone`. */
int schema_ids_drop_gone(struct schema_ids *ids, struct tr_error *err) TR_MUST_CHECK;

/* table.c */
/* Makes known->current anew from the table map. */
int schema_table_build(struct tr_schema *schema, struct schema_known *known,
                       const struct tr_binlog_event *event, int64_t version,
                       struct tr_error *err) TR_MUST_CHECK;
void schema_table_drop(struct schema_known *known);
/* Whether there may be rows of this shape of the table. */
bool schema_table_has_rows(const struct schema_known *known, const struct tr_shape *shape);

/* key.c */
/* Chooses the key columns; *count 0 = there are none. `found` are those of the catalogue. */
int schema_key_choose(const struct schema_known *known, const struct tr_binlog_table *table,
                      const struct tr_source_key *found, uint32_t key[SCHEMA_KEY_MAX],
                      uint32_t *count, struct tr_error *err) TR_MUST_CHECK;

/* topic.c */
/* known->topic, made at the first call; registers it and refuses collisions. */
int schema_topic_of(struct tr_schema *schema, struct schema_known *known,
                    struct tr_error *err) TR_MUST_CHECK;
void schema_topics_free(struct tr_schema *schema);

#endif
