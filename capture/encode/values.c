/* values.c - numbers, and the choice of a column's function. See values.h. */
#include "values.h"

#include <string.h>

#include "bytes.h"
#include "json_writer.h"

#define YEAR_BASE 1900u
#define GROUP_DIGITS 9 /* of DECIMAL: nine digits in four bytes */
#define DECIMAL_BYTES_MAX 32
#define DECIMAL_TEXT_MAX 96 /* sign, 65 digits rounded up to groups, point */

bool tr_value_raw(const struct tr_binlog_column *column, const struct tr_cell *cell,
                  struct tr_buf *out)
{
    (void)column;
    tr_json_base64(out, cell->data, cell->length);
    return false;
}

static bool value_unsigned(const struct tr_binlog_column *column, const struct tr_cell *cell,
                           struct tr_buf *out)
{
    (void)column;
    tr_json_uint(out, bytes_le(cell->data, cell->length));
    return true;
}

static bool value_signed(const struct tr_binlog_column *column, const struct tr_cell *cell,
                         struct tr_buf *out)
{
    (void)column;
    unsigned spare = 64 - 8 * cell->length;
    uint64_t value = bytes_le(cell->data, cell->length);
    tr_json_int(out, (int64_t)(value << spare) >> spare);
    return true;
}

static bool value_int(const struct tr_binlog_column *column, const struct tr_cell *cell,
                      struct tr_buf *out)
{
    (void)column;
    tr_json_int(out, (int32_t)(uint32_t)bytes_le(cell->data, 4));
    return true;
}

static bool value_float(const struct tr_binlog_column *column, const struct tr_cell *cell,
                        struct tr_buf *out)
{
    float value;
    uint32_t bits = (uint32_t)bytes_le(cell->data, sizeof(bits));
    memcpy(&value, &bits, sizeof(value));
    return tr_json_float(out, value) || tr_value_raw(column, cell, out);
}

static bool value_double(const struct tr_binlog_column *column, const struct tr_cell *cell,
                         struct tr_buf *out)
{
    double value;
    uint64_t bits = bytes_le(cell->data, sizeof(bits));
    memcpy(&value, &bits, sizeof(value));
    return tr_json_double(out, value) || tr_value_raw(column, cell, out);
}

static bool value_bit(const struct tr_binlog_column *column, const struct tr_cell *cell,
                      struct tr_buf *out)
{
    (void)column;
    tr_json_uint(out, bytes_be(cell->data, cell->length));
    return true;
}

static bool value_year(const struct tr_binlog_column *column, const struct tr_cell *cell,
                       struct tr_buf *out)
{
    (void)column;
    tr_json_uint(out, cell->data[0] == 0 ? 0 : YEAR_BASE + cell->data[0]);
    return true;
}

/* Writes a group with all its `digits`; false when the bytes hold more. */
static bool put_group(char *to, const uint8_t *at, unsigned bytes, unsigned digits)
{
    uint64_t value = bytes_be(at, bytes);
    for (unsigned i = digits; i-- > 0; value /= 10)
        to[i] = (char)('0' + value % 10);
    return value == 0;
}

/* Writes `digits` digits, whose incomplete group is at the front or at the back. */
static bool put_digits(char *to, const uint8_t *at, unsigned digits, bool odd_first)
{
    static const uint8_t odd_bytes[GROUP_DIGITS] = {0, 1, 1, 2, 2, 3, 3, 4, 4};
    unsigned odd = digits % GROUP_DIGITS;
    bool good = true;
    if (odd > 0 && odd_first) {
        good = put_group(to, at, odd_bytes[odd], odd);
        to += odd;
        at += odd_bytes[odd];
    }
    for (unsigned i = 0; i < digits / GROUP_DIGITS; i++) {
        good = put_group(to, at, 4, GROUP_DIGITS) && good;
        to += GROUP_DIGITS;
        at += 4;
    }
    if (odd > 0 && !odd_first)
        good = put_group(to, at, odd_bytes[odd], odd) && good;
    return good;
}

/*
 * Big-endian groups of nine decimal digits, the whole part's incomplete group first, the
 * fraction's last. The highest bit is the sign, inverted; a negative number has all bits inverted
 * (MariaDB's strings/decimal.c, decimal2bin).
 */
static bool value_decimal(const struct tr_binlog_column *column, const struct tr_cell *cell,
                          struct tr_buf *out)
{
    uint8_t bytes[DECIMAL_BYTES_MAX] = {0};
    char text[DECIMAL_TEXT_MAX] = {0};
    unsigned precision = column->meta >> 8, scale = column->meta & 0xffu;
    unsigned whole = precision - scale;
    unsigned whole_bytes = whole / GROUP_DIGITS * 4 + (whole % GROUP_DIGITS + 1) / 2;
    bool negative = (cell->data[0] & 0x80) == 0;
    for (uint32_t i = 0; i < cell->length; i++)
        bytes[i] = negative ? (uint8_t)~cell->data[i] : cell->data[i];
    bytes[0] ^= 0x80;
    if (!put_digits(text, bytes, whole, true) ||
        !put_digits(text + whole, bytes + whole_bytes, scale, false))
        return tr_value_raw(column, cell, out);
    unsigned first = 0;
    while (first + 1 < whole && text[first] == '0')
        first++;
    if (negative)
        tr_buf_append_char(out, '-');
    if (whole == 0)
        tr_buf_append_char(out, '0');
    tr_buf_append(out, text + first, whole - first);
    if (scale > 0) {
        tr_buf_append_char(out, '.');
        tr_buf_append(out, text + whole, scale);
    }
    return true;
}

static tr_value_fn *integer_function(const struct tr_binlog_column *column)
{
    if (column->shape.is_unsigned)
        return value_unsigned;
    return column->shape.type == TR_SQL_INT ? value_int : value_signed;
}

/* Temporal types come in the old layout, without metadata, and in that of MySQL 5.6. */
static tr_value_fn *temporal_function(const struct tr_binlog_column *column)
{
    enum { OLD_TIMESTAMP = 7, OLD_TIME = 11, OLD_DATETIME = 12 };
    switch (column->type) {
    case OLD_TIMESTAMP:
        return tr_value_old_timestamp;
    case OLD_TIME:
        return tr_value_old_time;
    case OLD_DATETIME:
        return tr_value_old_datetime;
    default:
        break;
    }
    if (column->shape.type == TR_SQL_TIME)
        return tr_value_time;
    return column->shape.type == TR_SQL_DATETIME ? tr_value_datetime : tr_value_timestamp;
}

static tr_value_fn *text_function(const struct tr_binlog_column *column, enum tr_refine refine)
{
    if (column->encoding == TR_CHARSET_OTHER)
        return tr_value_raw;
    return refine == TR_REFINE_JSON ? tr_value_json : tr_value_text;
}

tr_value_fn *tr_value_function(const struct tr_binlog_column *column, enum tr_refine refine)
{
    switch (column->shape.type) {
    case TR_SQL_TINYINT:
    case TR_SQL_SMALLINT:
    case TR_SQL_MEDIUMINT:
    case TR_SQL_INT:
    case TR_SQL_BIGINT:
        return integer_function(column);
    case TR_SQL_DECIMAL:
        return value_decimal;
    case TR_SQL_FLOAT:
        return value_float;
    case TR_SQL_DOUBLE:
        return value_double;
    case TR_SQL_BIT:
        return value_bit;
    case TR_SQL_YEAR:
        return value_year;
    case TR_SQL_DATE:
        return tr_value_date;
    case TR_SQL_TIME:
    case TR_SQL_DATETIME:
    case TR_SQL_TIMESTAMP:
        return temporal_function(column);
    case TR_SQL_CHAR:
    case TR_SQL_VARCHAR:
    case TR_SQL_TEXT:
        return text_function(column, refine);
    case TR_SQL_BINARY:
        return refine == TR_REFINE_NONE ? tr_value_binary : tr_value_refined;
    case TR_SQL_VARBINARY:
    case TR_SQL_BLOB:
        return tr_value_binary;
    case TR_SQL_ENUM:
        return tr_value_enum;
    case TR_SQL_SET:
        return tr_value_set;
    case TR_SQL_OTHER:
        break;
    }
    return tr_value_raw;
}
