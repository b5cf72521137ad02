/* columns.h - what a column's wire type and metadata say. Private to decode. */
#ifndef TR_COLUMNS_H
#define TR_COLUMNS_H

#include "binlog.h"
#include "cursor.h"

/* Wire types, from MariaDB's enum_field_types. */
enum wire_type {
    WIRE_DECIMAL_OLD = 0,
    WIRE_TINY = 1,
    WIRE_SHORT = 2,
    WIRE_LONG = 3,
    WIRE_FLOAT = 4,
    WIRE_DOUBLE = 5,
    WIRE_NULL = 6,
    WIRE_TIMESTAMP = 7,
    WIRE_LONGLONG = 8,
    WIRE_INT24 = 9,
    WIRE_DATE = 10,
    WIRE_TIME = 11,
    WIRE_DATETIME = 12,
    WIRE_YEAR = 13,
    WIRE_NEWDATE = 14,
    WIRE_VARCHAR = 15,
    WIRE_BIT = 16,
    WIRE_TIMESTAMP2 = 17,
    WIRE_DATETIME2 = 18,
    WIRE_TIME2 = 19,
    WIRE_BLOB_COMPRESSED = 140,
    WIRE_VARCHAR_COMPRESSED = 141,
    WIRE_VECTOR = 242,
    WIRE_JSON = 245,
    WIRE_NEWDECIMAL = 246,
    WIRE_ENUM = 247,
    WIRE_SET = 248,
    WIRE_TINY_BLOB = 249,
    WIRE_MEDIUM_BLOB = 250,
    WIRE_LONG_BLOB = 251,
    WIRE_BLOB = 252,
    WIRE_VAR_STRING = 253,
    WIRE_STRING = 254,
    WIRE_GEOMETRY = 255,
};

#define DECIMAL_PRECISION_MAX 65
#define FRACTION_MAX 6

/* Reads the column's metadata and sets its type, lengths and shape, but for names, signedness and
 * character sets. False when the metadata makes no sense. */
bool column_read_meta(struct tr_binlog_column *column, uint8_t wire_type, struct cursor *meta);
/* Whether the optional metadata has a sign bit for it. */
bool column_is_numeric(const struct tr_binlog_column *column);
/* Whether the optional metadata has a collation for it (labels have lists of their own). */
bool column_has_collation(const struct tr_binlog_column *column);
bool column_has_labels(const struct tr_binlog_column *column);
/* Settles what depends on the character set. An unknown number leaves TR_CHARSET_OTHER. */
void column_set_collation(struct tr_binlog_column *column, uint64_t collation);

#endif
