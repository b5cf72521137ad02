/*
 * template.h - a table's key template: text with {database}, {table}, {pk} and {column}.
 *
 * `{{` is a literal brace. The placeholders must name all key columns and nothing else, so that two
 * rows never share a key. With several placeholders (or a {pk} of several columns, joined by `:`)
 * the values' `%` and `:` are percent-encoded, and a `:` must stand between two columns, so that no
 * value can look like a separator. NULL is `%null`. Pure.
 */
#ifndef TR_REDIS_TEMPLATE_H
#define TR_REDIS_TEMPLATE_H

#include "sink.h"

#define RD_PARTS_MAX 64
#define RD_KEY_COLUMNS_MAX 64
#define RD_PK (-1) /* all key columns */

struct rd_part {
    struct tr_slice literal;
    int column; /* index into the key columns, or RD_PK; used when is_column */
    bool is_column;
};

struct rd_template {
    char *text; /* literal parts point into it */
    struct rd_part parts[RD_PARTS_MAX];
    size_t part_count;
    uint32_t key_count;
    bool encode;
};

/* TR_ECONFIG naming table, template and what is wrong with it. */
int rd_template_parse(struct rd_template *template, const char *text, const struct tr_shape *shape,
                      struct tr_error *err) TR_MUST_CHECK;
void rd_template_done(struct rd_template *template);
/* What every key made by a template begins with, whatever the table's key is; NULL = no memory. */
char *rd_template_prefix(const char *text, const struct tr_shape *shape);
/* Appends the key of a record, from its Kafka key, whose columns must be those of its shape.
 * `from` has the place in that key of each of the template's key columns; NULL: they are in the
 * same places. TR_EPOISON when the columns are others, or not as many as the template's. */
int rd_template_key(const struct rd_template *template, const struct tr_shape *shape,
                    const uint8_t *from, struct tr_slice record_key, struct tr_buf *out,
                    struct tr_error *err) TR_MUST_CHECK;

#endif
