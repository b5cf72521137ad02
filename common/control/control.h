/*
 * control.h - the records of the topic `tailrace.<pipeline>.control`, written and read.
 *
 * Keys are JSON arrays; every value has "format":1 and a higher one is refused (TR_ESTATE). Shapes
 * are kept for ever: they are owned by the tr_control that read them and constant from then on, so
 * pointers to them may be handed to other threads; everything else of a tr_control belongs to the
 * thread that reads it. Formats with examples: schemas/.
 */
#ifndef TR_CONTROL_H
#define TR_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "arena.h"
#include "buf.h"

#define TR_CONTROL_FORMAT 1
/* A MariaDB GTID set of 64 domains ("4294967295-4294967295-18446744073709551615," each), and NUL.
 */
#define TR_GTID_DOMAINS_MAX 64
#define TR_GTID_SET_BYTES (TR_GTID_DOMAINS_MAX * 43 + 1)

/* ---- names ---------------------------------------------------------------------------------- */

#define TR_TOPIC_NAME_MAX 249
/* "tailrace.<pipeline>.control" and so on; `out` holds TR_TOPIC_NAME_MAX + 1. TR_ECONFIG when the
 * pipeline's or consumer's name is no topic name ([a-zA-Z0-9._-]+). */
int tr_topic_control(char *out, const char *pipeline, struct tr_error *err) TR_MUST_CHECK;
int tr_topic_schema_changes(char *out, const char *pipeline, struct tr_error *err) TR_MUST_CHECK;
int tr_topic_dead(char *out, const char *pipeline, const char *consumer,
                  struct tr_error *err) TR_MUST_CHECK;
int tr_group_name(char *out, const char *pipeline, const char *consumer,
                  struct tr_error *err) TR_MUST_CHECK;

/* ---- shapes --------------------------------------------------------------------------------- */

/* What a column's values are, beyond its SQL type: told by the server's catalogue only. */
enum tr_refine { TR_REFINE_NONE, TR_REFINE_JSON, TR_REFINE_UUID, TR_REFINE_INET4, TR_REFINE_INET6 };

/* The SQL type. In JSON by its lower-case name ("bigint", "datetime"). */
/* clang-format off */
#define TR_SQL_TYPES(X)                                                                   \
    X(TINYINT, "tinyint") X(SMALLINT, "smallint") X(MEDIUMINT, "mediumint")               \
    X(INT, "int") X(BIGINT, "bigint") X(DECIMAL, "decimal") X(FLOAT, "float")             \
    X(DOUBLE, "double") X(BIT, "bit") X(YEAR, "year") X(DATE, "date") X(TIME, "time")     \
    X(DATETIME, "datetime") X(TIMESTAMP, "timestamp") X(CHAR, "char")                     \
    X(VARCHAR, "varchar") X(TEXT, "text") X(BINARY, "binary") X(VARBINARY, "varbinary")   \
    X(BLOB, "blob") X(ENUM, "enum") X(SET, "set") X(OTHER, "other")
/* clang-format on */
enum tr_sql_type {
#define TR_SQL_TYPE_ENUM(name, text) TR_SQL_##name,
    TR_SQL_TYPES(TR_SQL_TYPE_ENUM)
#undef TR_SQL_TYPE_ENUM
};

struct tr_shape_column {
    struct tr_slice name;      /* plain UTF-8 */
    struct tr_slice name_json; /* quoted and escaped, as in events */
    enum tr_sql_type type;
    bool is_unsigned;
    bool nullable;
    bool key; /* one of the key columns */
    enum tr_refine refine;
    uint32_t length;         /* characters or bytes; precision of DECIMAL; bits of BIT */
    uint32_t scale;          /* DECIMAL */
    uint32_t fraction;       /* digits of TIME, DATETIME, TIMESTAMP */
    struct tr_slice charset; /* "utf8mb4", "binary", …; empty when not text */
};

struct tr_shape {
    struct tr_slice database; /* plain UTF-8 */
    struct tr_slice table;
    struct tr_slice database_json; /* quoted, escaped */
    struct tr_slice table_json;
    int64_t schema_id;
    const char *topic; /* NUL-terminated */
    struct tr_shape_column *columns;
    uint32_t column_count;
    uint32_t *key;      /* indexes into columns, in key order */
    uint32_t key_count; /* 0 = the table has no key */
};

const char *tr_sql_type_name(enum tr_sql_type type);
/* Writes key and value of a shape's record (both reset first). Fills nothing else. */
int tr_shape_write(const struct tr_shape *shape, struct tr_buf *key, struct tr_buf *value,
                   struct tr_error *err) TR_MUST_CHECK;
/* Reads a shape's value into `arena`. */
int tr_shape_read(struct tr_shape **out, struct tr_slice value, struct tr_arena *arena,
                  struct tr_error *err) TR_MUST_CHECK;
/* NULL when it has no column of that name. */
const struct tr_shape_column *tr_shape_find_column(const struct tr_shape *shape,
                                                   struct tr_slice name);
/* Same content, schema_id aside. */
bool tr_shape_equal(const struct tr_shape *a, const struct tr_shape *b);

/* ---- topics --------------------------------------------------------------------------------- */

struct tr_topic {
    char name[TR_TOPIC_NAME_MAX + 1];
    int32_t partitions;
    char incarnation[17]; /* 16 hex digits, random */
};

int tr_topic_write(const struct tr_topic *topic, struct tr_buf *key, struct tr_buf *value,
                   struct tr_error *err) TR_MUST_CHECK;

/* ---- checkpoint ----------------------------------------------------------------------------- */

struct tr_needs_snapshot {
    struct tr_slice table;  /* "database.table", plain */
    int64_t version;        /* since */
    struct tr_slice reason; /* "ALTER TABLE … MODIFY" */
};

/* A table that a statement has changed since its last row: a shape from before isn't trusted. */
struct tr_altered_table {
    struct tr_slice database;
    struct tr_slice table; /* empty: every table of the database */
    int64_t version;       /* of the statement */
};

/* A transaction of which rows were published before its end, because it was too large to be held.
 * It begins at the checkpoint's place. */
struct tr_open_group {
    int64_t version;   /* of its opening event */
    uint64_t ordinal;  /* of the last row published, among the captured ones; 0 = there is none */
    uint64_t key_hash; /* FNV-1a of that row's key */
    int64_t row;       /* that row's version, which doesn't depend on what is captured */
};

struct tr_checkpoint {
    char pipeline_id[17]; /* 16 hex digits, random, made with the first checkpoint */
    /* The server that the position belongs to (the fingerprint). */
    uint32_t server_id;
    char server_uuid[40]; /* MySQL; "" on MariaDB */
    uint32_t file_stamp;  /* timestamp of the file's format description event */
    uint32_t file_crc;    /* its CRC32 */
    uint32_t last_type;   /* the last event before the position: type, timestamp, CRC32 */
    uint32_t last_stamp;
    uint32_t last_crc;
    uint32_t last_length; /* its length, so that a resume can read it again; 0 = there is none */
    char file[256];
    uint64_t offset; /* 64-bit place in the file as it is on disk */
    int64_t base;    /* versions: base at this offset, inflation of the file so far included */
    int64_t version; /* of the group end: base + offset */
    char gtid[TR_GTID_SET_BYTES]; /* of all that was read */
    int64_t ts;                   /* seconds, of the last group */
    struct tr_open_group open;
    struct tr_needs_snapshot *needs_snapshot;
    uint32_t needs_snapshot_count;
    struct tr_altered_table *altered;
    uint32_t altered_count;
};

int tr_checkpoint_write(const struct tr_checkpoint *checkpoint, struct tr_buf *key,
                        struct tr_buf *value, struct tr_error *err) TR_MUST_CHECK;

/* ---- audit ---------------------------------------------------------------------------------- */

/* ["audit",time,program]: {"format":1,"action":…,"who":user@host,"detail":{…}}; `detail` is JSON
 * text. */
int tr_audit_write(const char *program, const char *action, struct tr_slice detail,
                   struct tr_buf *key, struct tr_buf *value, struct tr_error *err) TR_MUST_CHECK;

/* ---- the topic as a whole ------------------------------------------------------------------- */

struct tr_control; /* everything that was read, latest first */

int tr_control_new(struct tr_control **out, struct tr_error *err) TR_MUST_CHECK;
void tr_control_free(struct tr_control *control);
/* Takes one record. Unknown kinds of keys are passed over; a higher format is TR_ESTATE, broken
 * text TR_ESTATE too. */
int tr_control_take(struct tr_control *control, struct tr_slice key, struct tr_slice value,
                    bool tombstone, struct tr_error *err) TR_MUST_CHECK;
/* NULL when there is none yet. Valid until the next checkpoint is taken. */
const struct tr_checkpoint *tr_control_checkpoint(const struct tr_control *control);
const struct tr_topic *tr_control_topic(const struct tr_control *control, const char *name);
/* The shape with exactly that id; names plain. */
const struct tr_shape *tr_control_shape(const struct tr_control *control, struct tr_slice database,
                                        struct tr_slice table, int64_t schema_id);
/* The shape with the greatest schema_id <= version; NULL when none. */
const struct tr_shape *tr_control_shape_at(const struct tr_control *control,
                                           struct tr_slice database, struct tr_slice table,
                                           int64_t version);
/* Every shape, in the order taken. */
size_t tr_control_shape_count(const struct tr_control *control);
const struct tr_shape *tr_control_shape_number(const struct tr_control *control, size_t index);
size_t tr_control_topic_count(const struct tr_control *control);
const struct tr_topic *tr_control_topic_number(const struct tr_control *control, size_t index);
/* Adds a shape that we made ourselves (capture): copies it, returns the owned copy. */
const struct tr_shape *tr_control_add_shape(struct tr_control *control,
                                            const struct tr_shape *shape, struct tr_error *err);

#endif
