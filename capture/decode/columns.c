/* columns.c - see columns.h. */
#include "columns.h"

#include "collations.h"

/* | DECIMAL digits left over | bytes | : nine digits take four bytes. */
static const uint8_t decimal_bytes[10] = {0, 1, 1, 2, 2, 3, 3, 4, 4, 4};

static bool set_fixed(struct tr_binlog_column *column, enum tr_sql_type type, unsigned bytes)
{
    column->shape.type = type;
    column->fixed_bytes = (uint8_t)bytes;
    return true;
}

/* A value with `bytes` of length in front. */
static bool set_prefixed(struct tr_binlog_column *column, enum tr_sql_type type, unsigned bytes)
{
    column->shape.type = type;
    column->length_bytes = (uint8_t)bytes;
    return bytes >= 1 && bytes <= 4;
}

static bool set_fraction(struct tr_binlog_column *column, enum tr_sql_type type, unsigned bytes,
                         uint8_t fraction)
{
    column->meta = fraction;
    column->shape.fraction = fraction;
    return set_fixed(column, type, bytes + (fraction + 1u) / 2) && fraction <= FRACTION_MAX;
}

static bool set_decimal(struct tr_binlog_column *column, uint8_t precision, uint8_t scale)
{
    if (precision == 0 || precision > DECIMAL_PRECISION_MAX || scale > precision)
        return false;
    unsigned whole = precision - scale;
    column->meta = (uint16_t)(precision << 8 | scale);
    column->shape.length = precision;
    column->shape.scale = scale;
    return set_fixed(column, TR_SQL_DECIMAL,
                     whole / 9 * 4 + decimal_bytes[whole % 9] + scale / 9u * 4 +
                         decimal_bytes[scale % 9]);
}

static bool set_bit(struct tr_binlog_column *column, uint8_t bits, uint8_t bytes)
{
    column->meta = (uint16_t)(bytes * 8 + bits);
    column->shape.length = column->meta;
    return set_fixed(column, TR_SQL_BIT, bytes + (bits > 0 ? 1u : 0u)) && bits < 8 &&
           column->meta >= 1 && column->meta <= 64;
}

/*
 * STRING stands for CHAR, BINARY, ENUM and SET: | real type | length | in this order. A CHAR's
 * length beyond 255 has its high bits, inverted, in bits 4 and 5 of the type (MySQL bug 37426).
 */
static bool set_string(struct tr_binlog_column *column, uint8_t real, uint8_t length)
{
    unsigned bytes = length;
    if ((real & 0x30) != 0x30) {
        bytes |= ((real & 0x30u) ^ 0x30u) << 4;
        real |= 0x30;
    }
    column->type = real;
    column->meta = (uint16_t)bytes;
    if (real == WIRE_ENUM)
        return set_fixed(column, TR_SQL_ENUM, bytes) && (bytes == 1 || bytes == 2);
    if (real == WIRE_SET)
        return set_fixed(column, TR_SQL_SET, bytes) && bytes >= 1 && bytes <= 8;
    column->shape.length = bytes;
    return real == WIRE_STRING && set_prefixed(column, TR_SQL_CHAR, bytes > 255 ? 2 : 1);
}

static bool set_varchar(struct tr_binlog_column *column, enum tr_sql_type type, uint16_t bytes)
{
    column->meta = bytes;
    column->shape.length = bytes;
    return set_prefixed(column, type, bytes > 255 ? 2 : 1);
}

static bool set_blob(struct tr_binlog_column *column, enum tr_sql_type type, uint8_t bytes)
{
    if (bytes < 1 || bytes > 4)
        return false;
    column->meta = bytes;
    column->shape.length = (uint32_t)(((uint64_t)1 << (8 * bytes)) - 1);
    return set_prefixed(column, type, bytes);
}

/* Numbers, and dates of a fixed length without metadata. A type that is not known keeps the length
 * 0: rows of such a table cannot be walked, but it may well be one that nobody wants. */
static bool set_plain(struct tr_binlog_column *column)
{
    switch (column->type) {
    case WIRE_TINY:
        return set_fixed(column, TR_SQL_TINYINT, 1);
    case WIRE_SHORT:
        return set_fixed(column, TR_SQL_SMALLINT, 2);
    case WIRE_INT24:
        return set_fixed(column, TR_SQL_MEDIUMINT, 3);
    case WIRE_LONG:
        return set_fixed(column, TR_SQL_INT, 4);
    case WIRE_LONGLONG:
        return set_fixed(column, TR_SQL_BIGINT, 8);
    case WIRE_YEAR:
        return set_fixed(column, TR_SQL_YEAR, 1);
    case WIRE_DATE:
    case WIRE_NEWDATE:
        return set_fixed(column, TR_SQL_DATE, 3);
    case WIRE_TIME:
        return set_fixed(column, TR_SQL_TIME, 3);
    case WIRE_DATETIME:
        return set_fixed(column, TR_SQL_DATETIME, 8);
    case WIRE_TIMESTAMP:
        return set_fixed(column, TR_SQL_TIMESTAMP, 4);
    default:
        return set_fixed(column, TR_SQL_OTHER, 0);
    }
}

bool column_read_meta(struct tr_binlog_column *column, uint8_t wire_type, struct cursor *meta)
{
    uint8_t first, second;
    column->type = wire_type;
    column->encoding = TR_CHARSET_OTHER;
    switch (wire_type) {
    case WIRE_FLOAT:
        return set_fixed(column, TR_SQL_FLOAT, 4) && cursor_u8(meta) == 4;
    case WIRE_DOUBLE:
        return set_fixed(column, TR_SQL_DOUBLE, 8) && cursor_u8(meta) == 8;
    case WIRE_TIMESTAMP2:
        return set_fraction(column, TR_SQL_TIMESTAMP, 4, cursor_u8(meta));
    case WIRE_DATETIME2:
        return set_fraction(column, TR_SQL_DATETIME, 5, cursor_u8(meta));
    case WIRE_TIME2:
        return set_fraction(column, TR_SQL_TIME, 3, cursor_u8(meta));
    case WIRE_NEWDECIMAL:
        first = cursor_u8(meta);
        return set_decimal(column, first, cursor_u8(meta));
    case WIRE_BIT:
        first = cursor_u8(meta);
        return set_bit(column, first, cursor_u8(meta));
    case WIRE_VARCHAR:
    case WIRE_VAR_STRING:
        return set_varchar(column, TR_SQL_VARCHAR, cursor_u16(meta));
    case WIRE_VARCHAR_COMPRESSED:
        return set_varchar(column, TR_SQL_OTHER, cursor_u16(meta));
    case WIRE_STRING:
    case WIRE_ENUM:
    case WIRE_SET:
        first = cursor_u8(meta);
        second = cursor_u8(meta);
        return set_string(column, first, second);
    case WIRE_TINY_BLOB:
    case WIRE_MEDIUM_BLOB:
    case WIRE_LONG_BLOB:
    case WIRE_BLOB:
        return set_blob(column, TR_SQL_TEXT, cursor_u8(meta));
    case WIRE_BLOB_COMPRESSED:
    case WIRE_GEOMETRY:
    case WIRE_JSON:
    case WIRE_VECTOR:
        return set_blob(column, TR_SQL_OTHER, cursor_u8(meta));
    default:
        return set_plain(column);
    }
}

bool column_is_numeric(const struct tr_binlog_column *column)
{
    switch (column->type) {
    case WIRE_DECIMAL_OLD:
    case WIRE_TINY:
    case WIRE_SHORT:
    case WIRE_INT24:
    case WIRE_LONG:
    case WIRE_LONGLONG:
    case WIRE_FLOAT:
    case WIRE_DOUBLE:
    case WIRE_NEWDECIMAL:
    case WIRE_YEAR:
        return true;
    default:
        return false;
    }
}

bool column_has_labels(const struct tr_binlog_column *column)
{
    return column->type == WIRE_ENUM || column->type == WIRE_SET;
}

/* All that have a length in front, BINARY, geometry and MariaDB's UUID and INET included. */
bool column_has_collation(const struct tr_binlog_column *column)
{
    return column->length_bytes != 0 && column->type != WIRE_JSON && column->type != WIRE_VECTOR;
}

static enum tr_sql_type binary_type(enum tr_sql_type type)
{
    switch (type) {
    case TR_SQL_CHAR:
        return TR_SQL_BINARY;
    case TR_SQL_VARCHAR:
        return TR_SQL_VARBINARY;
    case TR_SQL_TEXT:
        return TR_SQL_BLOB;
    default:
        return type;
    }
}

void column_set_collation(struct tr_binlog_column *column, uint64_t collation)
{
    const struct tr_charset_info *charset = tr_collation_charset(collation);
    struct tr_shape_column *shape = &column->shape;
    if (charset == NULL)
        return;
    column->encoding = charset->encoding;
    if (shape->type != TR_SQL_OTHER)
        shape->charset = tr_slice_of(charset->name);
    if (charset->encoding == TR_CHARSET_BINARY)
        shape->type = binary_type(shape->type);
    if (shape->type == TR_SQL_CHAR || shape->type == TR_SQL_VARCHAR)
        shape->length /= charset->max_bytes;
}
