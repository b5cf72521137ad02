/*
 * binlog.h - binlog events as structs: bytes in, values out, no I/O, no allocation per row.
 *
 * Everything borrows from the event's bytes, valid until the next event is read. Sources of the
 * layouts: the MariaDB knowledge base's replication protocol pages, MySQL's internals manual and
 * libbinlogevents' headers; each function's comment draws its table.
 */
#ifndef TR_BINLOG_H
#define TR_BINLOG_H

#include <stdbool.h>
#include <stdint.h>

#include "arena.h"
#include "buf.h"
#include "control.h"

enum tr_binlog_type {
    TR_BINLOG_QUERY = 2,
    TR_BINLOG_STOP = 3,
    TR_BINLOG_ROTATE = 4,
    TR_BINLOG_INTVAR = 5,
    TR_BINLOG_RAND = 13,
    TR_BINLOG_USER_VAR = 14,
    TR_BINLOG_FORMAT_DESCRIPTION = 15,
    TR_BINLOG_XID = 16,
    TR_BINLOG_BEGIN_LOAD = 17,
    TR_BINLOG_EXECUTE_LOAD = 18,
    TR_BINLOG_TABLE_MAP = 19,
    TR_BINLOG_WRITE_ROWS_V1 = 23,
    TR_BINLOG_UPDATE_ROWS_V1 = 24,
    TR_BINLOG_DELETE_ROWS_V1 = 25,
    TR_BINLOG_INCIDENT = 26,
    TR_BINLOG_HEARTBEAT = 27,
    TR_BINLOG_WRITE_ROWS_V2 = 30,
    TR_BINLOG_UPDATE_ROWS_V2 = 31,
    TR_BINLOG_DELETE_ROWS_V2 = 32,
    TR_BINLOG_XA_PREPARE = 38,
    TR_BINLOG_ANNOTATE = 160,
    TR_BINLOG_CHECKPOINT = 161,
    TR_BINLOG_GTID = 162,
    TR_BINLOG_GTID_LIST = 163,
    TR_BINLOG_START_ENCRYPTION = 164,
    TR_BINLOG_QUERY_COMPRESSED = 165,
    TR_BINLOG_WRITE_ROWS_COMPRESSED_V1 = 166,
    TR_BINLOG_UPDATE_ROWS_COMPRESSED_V1 = 167,
    TR_BINLOG_DELETE_ROWS_COMPRESSED_V1 = 168,
};

/* The common header, 19 bytes, and the body between header and checksum. */
struct tr_binlog_event {
    uint32_t timestamp;
    uint8_t type;
    uint32_t server_id;
    uint32_t length;
    uint32_t log_pos;
    uint16_t flags;
    const uint8_t *body;
    size_t body_length; /* without header and checksum */
    uint32_t crc;       /* 0 when there is none */
};

/* Parses and, when `checksum`, verifies the CRC32. TR_ESOURCE for a damaged event. */
int tr_binlog_event_read(struct tr_binlog_event *event, const uint8_t *data, size_t length,
                         bool checksum, struct tr_error *err) TR_MUST_CHECK;

struct tr_binlog_format {
    bool checksum;     /* of the events that follow */
    uint32_t created;  /* of the first file that a server writes after its start; else 0 */
    uint32_t identity; /* CRC32 of what never changes of the event: tells files apart */
    uint8_t post_header[256];
};
int tr_binlog_format_read(struct tr_binlog_format *format, const struct tr_binlog_event *event,
                          struct tr_error *err) TR_MUST_CHECK;

struct tr_binlog_gtid { /* MariaDB's GTID event, which opens a group */
    uint32_t domain;
    uint32_t server_id;
    uint64_t sequence;
    bool standalone; /* DDL and the like: the group is one QUERY, no terminator */
    bool prepared_xa, completed_xa;
};
int tr_binlog_gtid_read(struct tr_binlog_gtid *gtid, const struct tr_binlog_event *event,
                        struct tr_error *err) TR_MUST_CHECK;

/* GTID_LIST: all that came before this file, a domain's newest entry last. */
struct tr_binlog_gtid_list {
    const uint8_t *at;
    uint32_t left;
};
int tr_binlog_gtid_list_open(struct tr_binlog_gtid_list *list, const struct tr_binlog_event *event,
                             struct tr_error *err) TR_MUST_CHECK;
/* Fills domain, server id and sequence; false at the end. */
bool tr_binlog_gtid_list_next(struct tr_binlog_gtid_list *list, struct tr_binlog_gtid *gtid);

struct tr_binlog_query {
    uint32_t thread_id;
    /* The session has used temporary tables: set for every statement on one, but also for DROP
     * TABLE always, and for what follows one in a stored procedure. */
    bool used_temporary;
    struct tr_slice database; /* the default one */
    struct tr_slice text;
};
/* Also for compressed queries; `scratch` receives the inflated text. *inflated is by how many
 * bytes the event would be larger uncompressed. */
int tr_binlog_query_read(struct tr_binlog_query *query, const struct tr_binlog_event *event,
                         struct tr_buf *scratch, int64_t *inflated,
                         struct tr_error *err) TR_MUST_CHECK;
/* EXECUTE_LOAD: a LOAD DATA that was logged as a statement. */
int tr_binlog_load_read(struct tr_binlog_query *query, const struct tr_binlog_event *event,
                        struct tr_error *err) TR_MUST_CHECK;

/* ROTATE: the next file's name. */
int tr_binlog_rotate_read(struct tr_slice *file, uint64_t *position,
                          const struct tr_binlog_event *event, struct tr_error *err) TR_MUST_CHECK;

/* A column as a table map tells it: enough to walk and to render a row image. */
struct tr_binlog_column {
    struct tr_shape_column shape; /* name, SQL type, …; refine is filled in later */
    uint8_t type;                 /* the wire type, with STRING resolved to ENUM/SET/STRING */
    uint16_t meta;                /* as the type needs it */
    uint8_t fixed_bytes;          /* a value's bytes, where they are always the same; else 0 */
    uint8_t length_bytes;    /* of the length in front of strings, blobs; both 0: unknown type */
    uint8_t encoding;        /* enum tr_charset */
    bool hidden;             /* MariaDB's DB_ROW_HASH_n */
    struct tr_slice *labels; /* ENUM, SET: in UTF-8 unless encoding is OTHER */
    struct tr_slice *labels_json; /* the same, quoted; not to be used with OTHER */
    uint32_t label_count;
};

enum tr_charset {
    TR_CHARSET_BINARY,
    TR_CHARSET_ASCII,
    TR_CHARSET_LATIN1, /* cp1252 with the five undefined bytes as C1 controls */
    TR_CHARSET_UTF8,   /* utf8mb3 and utf8mb4 */
    TR_CHARSET_OTHER,  /* rendered by the `invalid` rule */
};

struct tr_binlog_table {
    uint64_t id; /* the table id in rows events */
    struct tr_slice database;
    struct tr_slice table;
    struct tr_binlog_column *columns; /* hidden ones included */
    uint32_t column_count;
    uint32_t *primary_key; /* indexes, in key order; from the metadata */
    uint32_t primary_key_count;
    bool full_metadata;  /* names, signedness, charsets were there (binlog_row_metadata=FULL) */
    struct tr_slice raw; /* the body behind the table id: equal bytes = equal table */
};

/* Parses a TABLE_MAP into `arena` (strings are copied: the result outlives the event). */
int tr_binlog_table_read(struct tr_binlog_table **out, const struct tr_binlog_event *event,
                         struct tr_arena *arena, struct tr_error *err) TR_MUST_CHECK;
/* Only the table id and the raw body, to find a table that was parsed before. */
int tr_binlog_table_peek(uint64_t *id, struct tr_slice *raw, const struct tr_binlog_event *event,
                         struct tr_error *err) TR_MUST_CHECK;

/* ---- rows events ---------------------------------------------------------------------------- */

enum tr_rows_kind { TR_ROWS_INSERT, TR_ROWS_UPDATE, TR_ROWS_DELETE };

struct tr_binlog_rows {
    enum tr_rows_kind kind;
    uint64_t table_id;
    uint32_t column_count;
    const uint8_t *present;       /* bitmap: columns in the (before) image */
    const uint8_t *present_after; /* UPDATE only */
    const uint8_t *at, *end;      /* the images not read yet */
    const uint8_t *event_start;   /* of the (inflated) event, for offsets inside it */
    int64_t inflated;             /* as for queries */
};

/* Only the table's id: enough for a table that isn't captured. */
int tr_binlog_rows_table(uint64_t *id, const struct tr_binlog_event *event,
                         struct tr_error *err) TR_MUST_CHECK;
/* Opens a rows event (v1, v2, MariaDB compressed); `scratch` receives inflated images, and then
 * offsets count as if the whole event had come uncompressed. */
int tr_binlog_rows_open(struct tr_binlog_rows *rows, const struct tr_binlog_event *event,
                        struct tr_buf *scratch, struct tr_error *err) TR_MUST_CHECK;

/* A column's value inside a row image: the wire bytes. data NULL = SQL NULL or not present. */
struct tr_cell {
    const uint8_t *data;
    uint32_t length; /* of the value itself: length prefixes are taken off */
};

/* Whether two values of one column are the same bytes, or both NULL. */
static inline bool tr_cell_equal(const struct tr_cell *a, const struct tr_cell *b)
{
    if (a->data == NULL || b->data == NULL)
        return a->data == b->data;
    return a->length == b->length && memcmp(a->data, b->data, a->length) == 0;
}

/*
 * Walks one row image: fills cells[table->column_count] and *end_inside, the offset of the image's
 * end inside the (inflated) event. 1 = got one, 0 = no more, TR_ESOURCE with table and column.
 * `after` selects the bitmap of an UPDATE's second image.
 */
int tr_binlog_row_next(struct tr_binlog_rows *rows, const struct tr_binlog_table *table, bool after,
                       struct tr_cell *cells, uint64_t *end_inside,
                       struct tr_error *err) TR_MUST_CHECK;
/* Whether the bitmap(s) name every column. */
bool tr_binlog_rows_complete(const struct tr_binlog_rows *rows);

/* ---- statements ----------------------------------------------------------------------------- */

enum tr_statement_kind {
    TR_STATEMENT_OTHER, /* harmless for rows: CREATE TABLE, VIEW, GRANT, comments … */
    TR_STATEMENT_BEGIN,
    TR_STATEMENT_COMMIT,
    TR_STATEMENT_ROLLBACK,
    TR_STATEMENT_SAVEPOINT,   /* name */
    TR_STATEMENT_ROLLBACK_TO, /* name */
    TR_STATEMENT_XA,
    TR_STATEMENT_TRUNCATE,      /* tables */
    TR_STATEMENT_DROP_TABLE,    /* tables */
    TR_STATEMENT_DROP_DATABASE, /* tables[0].database */
    TR_STATEMENT_ALTER_SAFE,    /* tables: shape may change, old rows don't */
    TR_STATEMENT_ALTER_RISKY,   /* tables: may have changed old rows: needs_snapshot */
    TR_STATEMENT_DML,           /* tables: a row change that came as a statement */
};

struct tr_statement_table {
    struct tr_slice database, table; /* unquoted; the default database filled in */
};

/* A column that an ALTER TABLE adds or drops. */
struct tr_statement_column {
    struct tr_slice name; /* unquoted */
    bool dropped;
    bool maybe_there; /* ADD … IF NOT EXISTS */
};

/* Lists and names lie in the arena, NUL behind each name. */
struct tr_statement {
    enum tr_statement_kind kind;
    struct tr_slice name; /* of a savepoint, unquoted */
    bool temporary;       /* DROP/CREATE TEMPORARY */
    /* Defines what holds or shows data, and carries no password: may be told in the history. */
    bool history;
    bool replaces;    /* CREATE OR REPLACE of a table */
    bool renames;     /* tables come in pairs: the old name, the new one */
    bool key_dropped; /* ALTER_SAFE, but a key other than the primary one may be gone */
    /* Not all tables could be told: treat as any table of the default database, and of those that
     * `tables` name. */
    bool tables_unknown;
    struct tr_statement_table *tables;
    uint32_t table_count, table_room;
    struct tr_statement_column *columns;
    uint32_t column_count, column_room;
};

/* A tokenizer, no parser: recognises the few statements that remove, move or rewrite rows.
 * Comments, executable comments (! and M!), back-ticks and ANSI quotes are understood. */
int tr_statement_read(struct tr_statement *statement, struct tr_slice text,
                      struct tr_slice database, struct tr_arena *arena,
                      struct tr_error *err) TR_MUST_CHECK;

#endif
