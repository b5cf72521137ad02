/*
 * temporal.c - dates and times. See values.h.
 *
 * Layouts: MariaDB's sql/compat56.cc (those of MySQL 5.6) and sql/field.cc (the old ones). Parts
 * are written as stored, so that zero and partly-zero dates stay what they are.
 */
#include <string.h>

#include "bytes.h"
#include "values.h"

#define TEXT_MAX 40
#define SECONDS_PER_DAY 86400u

struct parts {
    unsigned year, month, day;
    unsigned hour, minute, second;
};

static char *put_2(char *to, unsigned value)
{
    to[0] = (char)('0' + value / 10 % 10);
    to[1] = (char)('0' + value % 10);
    return to + 2;
}

static char *put_date(char *to, const struct parts *parts)
{
    to = put_2(to, parts->year / 100);
    to = put_2(to, parts->year % 100);
    *to++ = '-';
    to = put_2(to, parts->month);
    *to++ = '-';
    return put_2(to, parts->day);
}

static char *put_time(char *to, const struct parts *parts)
{
    if (parts->hour >= 100)
        *to++ = (char)('0' + parts->hour / 100 % 10);
    to = put_2(to, parts->hour);
    *to++ = ':';
    to = put_2(to, parts->minute);
    *to++ = ':';
    return put_2(to, parts->second);
}

/* `stored` is in units of the last digit of an even number of digits: 5 for .05 and for .5 is 50.
 */
static char *put_fraction(char *to, uint64_t stored, unsigned digits)
{
    if (digits == 0)
        return to;
    if (digits % 2 != 0)
        stored /= 10;
    *to = '.';
    for (unsigned i = digits; i > 0; i--, stored /= 10)
        to[i] = (char)('0' + stored % 10);
    return to + 1 + digits;
}

static unsigned fraction_bytes(const struct tr_binlog_column *column)
{
    unsigned bytes = (column->meta + 1u) / 2;
    return bytes <= 3 ? bytes : 3; /* the decoder lets no more through */
}

/* Seconds since 1970 as a date and time (the Gregorian calendar, counted from a year's March). */
static void from_unix(struct parts *parts, uint64_t seconds)
{
    uint64_t rest = seconds % SECONDS_PER_DAY;
    uint64_t days = seconds / SECONDS_PER_DAY + 719468; /* since 0000-03-01 */
    uint64_t era = days / 146097, day_of_era = days % 146097;
    uint64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    uint64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    uint64_t month = (5 * day_of_year + 2) / 153; /* 0 = March */
    parts->day = (unsigned)(day_of_year - (153 * month + 2) / 5 + 1);
    parts->month = (unsigned)(month < 10 ? month + 3 : month - 9);
    parts->year = (unsigned)(year_of_era + era * 400 + (parts->month <= 2 ? 1 : 0));
    parts->hour = (unsigned)(rest / 3600);
    parts->minute = (unsigned)(rest / 60 % 60);
    parts->second = (unsigned)(rest % 60);
}

static bool put_datetime(const struct tr_binlog_column *column, const struct tr_cell *cell,
                         const struct parts *parts, uint64_t fraction, struct tr_buf *out)
{
    char *start = tr_buf_reserve(out, TEXT_MAX);
    if (parts->year > 9999 || parts->month > 99 || parts->day > 99 || parts->hour > 99)
        return tr_value_raw(column, cell, out);
    if (start == NULL)
        return true; /* the buffer says so */
    char *to = start;
    *to++ = '"';
    to = put_date(to, parts);
    *to++ = ' ';
    to = put_time(to, parts);
    to = put_fraction(to, fraction, column->meta);
    *to++ = '"';
    out->length += (size_t)(to - start);
    return true;
}

/* | 3 bytes, little-endian: 15 bits year, 4 month, 5 day | */
bool tr_value_date(const struct tr_binlog_column *column, const struct tr_cell *cell,
                   struct tr_buf *out)
{
    unsigned value = (unsigned)bytes_le(cell->data, 3);
    struct parts parts = {.year = value >> 9, .month = value >> 5 & 15, .day = value & 31};
    char *start = tr_buf_reserve(out, TEXT_MAX);
    if (parts.year > 9999)
        return tr_value_raw(column, cell, out);
    if (start == NULL)
        return true;
    char *to = start;
    *to++ = '"';
    to = put_date(to, &parts);
    *to++ = '"';
    out->length += (size_t)(to - start);
    return true;
}

/*
 * | 5 bytes, big-endian: 1 bit sign, 17 bits year * 13 + month, 5 day, 5 hour, 6 minute, 6 second |
 * | fraction: 0–3 bytes |
 */
bool tr_value_datetime(const struct tr_binlog_column *column, const struct tr_cell *cell,
                       struct tr_buf *out)
{
    uint64_t value = bytes_be(cell->data, 5);
    if (value >> 39 != 1)
        return tr_value_raw(column, cell, out);
    unsigned year_month = (unsigned)(value >> 22 & 0x1ffff);
    struct parts parts = {
        .year = year_month / 13,
        .month = year_month % 13,
        .day = (unsigned)(value >> 17 & 31),
        .hour = (unsigned)(value >> 12 & 31),
        .minute = (unsigned)(value >> 6 & 63),
        .second = (unsigned)(value & 63),
    };
    return put_datetime(column, cell, &parts, bytes_be(cell->data + 5, fraction_bytes(column)),
                        out);
}

/* | 4 bytes, big-endian: seconds since 1970 in UTC | fraction | ; all zero is the zero date. */
bool tr_value_timestamp(const struct tr_binlog_column *column, const struct tr_cell *cell,
                        struct tr_buf *out)
{
    struct parts parts = {0};
    uint64_t seconds = bytes_be(cell->data, 4);
    uint64_t fraction = bytes_be(cell->data + 4, fraction_bytes(column));
    if (seconds != 0 || fraction != 0)
        from_unix(&parts, seconds);
    return put_datetime(column, cell, &parts, fraction, out);
}

/*
 * | 3 bytes: 1 bit sign, 1 unused, 10 bits hour, 6 minute, 6 second | fraction | : big-endian as
 * one number, to which half of its range is added, so that negative times sort first.
 */
bool tr_value_time(const struct tr_binlog_column *column, const struct tr_cell *cell,
                   struct tr_buf *out)
{
    unsigned bytes = fraction_bytes(column);
    int64_t value = (int64_t)bytes_be(cell->data, 3 + bytes) - ((int64_t)0x800000 << (8 * bytes));
    uint64_t size = value < 0 ? (uint64_t)-value : (uint64_t)value;
    uint64_t whole = size >> (8 * bytes);
    struct parts parts = {
        .hour = (unsigned)(whole >> 12),
        .minute = (unsigned)(whole >> 6 & 63),
        .second = (unsigned)(whole & 63),
    };
    char *start = tr_buf_reserve(out, TEXT_MAX);
    if (parts.hour > 999)
        return tr_value_raw(column, cell, out);
    if (start == NULL)
        return true;
    char *to = start;
    *to++ = '"';
    if (value < 0)
        *to++ = '-';
    to = put_time(to, &parts);
    to = put_fraction(to, size & (((uint64_t)1 << (8 * bytes)) - 1), column->meta);
    *to++ = '"';
    out->length += (size_t)(to - start);
    return true;
}

/* | 3 bytes, little-endian, signed: hhmmss as a decimal number | */
bool tr_value_old_time(const struct tr_binlog_column *column, const struct tr_cell *cell,
                       struct tr_buf *out)
{
    uint32_t raw = (uint32_t)bytes_le(cell->data, 3);
    bool negative = (raw & 0x800000) != 0;
    uint32_t value = negative ? 0x1000000 - raw : raw;
    struct parts parts = {
        .hour = value / 10000, .minute = value / 100 % 100, .second = value % 100};
    char *start = tr_buf_reserve(out, TEXT_MAX);
    if (parts.hour > 999)
        return tr_value_raw(column, cell, out);
    if (start == NULL)
        return true;
    char *to = start;
    *to++ = '"';
    if (negative)
        *to++ = '-';
    to = put_time(to, &parts);
    *to++ = '"';
    out->length += (size_t)(to - start);
    return true;
}

/* | 8 bytes, little-endian: yyyymmddhhmmss as a decimal number | */
bool tr_value_old_datetime(const struct tr_binlog_column *column, const struct tr_cell *cell,
                           struct tr_buf *out)
{
    uint64_t value = bytes_le(cell->data, 8);
    uint64_t date = value / 1000000;
    unsigned time = (unsigned)(value % 1000000);
    if (date > 99999999)
        return tr_value_raw(column, cell, out);
    struct parts parts = {
        .year = (unsigned)(date / 10000),
        .month = (unsigned)(date / 100 % 100),
        .day = (unsigned)(date % 100),
        .hour = time / 10000,
        .minute = time / 100 % 100,
        .second = time % 100,
    };
    return put_datetime(column, cell, &parts, 0, out);
}

/* | 4 bytes, little-endian: seconds since 1970 in UTC | */
bool tr_value_old_timestamp(const struct tr_binlog_column *column, const struct tr_cell *cell,
                            struct tr_buf *out)
{
    struct parts parts = {0};
    uint64_t seconds = bytes_le(cell->data, 4);
    if (seconds != 0)
        from_unix(&parts, seconds);
    return put_datetime(column, cell, &parts, 0, out);
}
