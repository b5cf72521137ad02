/*
 * values.h - one rendering function per family of types; chosen once per column. Private to encode.
 *
 * A function appends the JSON of a value that is not NULL. A value that it cannot render goes out
 * as base64 of its bytes, and the function says so by false: the `invalid` rule.
 */
#ifndef TR_VALUES_H
#define TR_VALUES_H

#include "binlog.h"

typedef bool tr_value_fn(const struct tr_binlog_column *column, const struct tr_cell *cell,
                         struct tr_buf *out);

tr_value_fn *tr_value_function(const struct tr_binlog_column *column, enum tr_refine refine);

/* The fallback of all others; always false. */
tr_value_fn tr_value_raw;

/* temporal.c */
tr_value_fn tr_value_date;
tr_value_fn tr_value_time;
tr_value_fn tr_value_datetime;
tr_value_fn tr_value_timestamp;
tr_value_fn tr_value_old_time;
tr_value_fn tr_value_old_datetime;
tr_value_fn tr_value_old_timestamp;

/* text.c */
tr_value_fn tr_value_text;
tr_value_fn tr_value_binary;
tr_value_fn tr_value_refined; /* UUID, INET4, INET6: all their bytes, by the `invalid` rule */
tr_value_fn tr_value_json;
tr_value_fn tr_value_enum;
tr_value_fn tr_value_set;

#endif
