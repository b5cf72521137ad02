/*
 * kind.h - which records' keys are a table's, when its key has changed. Any thread.
 *
 * The newest shape of which a record has come rules: Redis keys are made of its key columns. So a
 * replay, and a consumer that lags, go through a table's keys in the order in which they were. A
 * record's key is of the same kind when it has as many columns, each under the same name, wherever
 * it stands in the row or in the key, or renamed: in the same place of the key, while neither shape
 * has a column by the other's name; and each of a type whose values have the same text (integers of
 * every size; texts of every length and character set; decimals of one scale; times of one
 * fraction; bytes). So columns may come and go, and key columns be widened or renamed, and older
 * records, which a replay brings, still meet their rows.
 *
 * Any other key is other columns: what would be its row is never guessed. Records of it are
 * POISON, until a newer shape has that key again; so are those of an older key that the template
 * does not fit. After DROP and CREATE under another key, those are the old table's, which its
 * marker removes anyway.
 */
#ifndef TR_REDIS_KIND_H
#define TR_REDIS_KIND_H

#include "store.h"

/* A kind of key that a table has or had; constant once it is in the table's list. */
struct rd_kind {
    struct rd_kind *next;
    const struct tr_shape *shape; /* the one that the template was made for */
    struct rd_template template;
};

/* Fills from[i]: the place in `other`'s key of the column at place i of `shape`'s. */
bool rd_same_key(const struct tr_shape *shape, const struct tr_shape *other,
                 uint8_t from[RD_KEY_COLUMNS_MAX]) TR_MUST_CHECK;
/* The kind that rules now. TR_ECONFIG when the table's template does not fit its key. */
int rd_table_kind(struct tr_sink *sink, struct rd_table *table, const struct rd_kind **out,
                  struct tr_error *err) TR_MUST_CHECK;
void rd_kinds_free(struct rd_kind *kind);
/* Makes `fit` that of records of the shape. TR_EPOISON when their key is of another kind. */
int rd_fit_record(struct tr_sink *sink, struct rd_fit *fit, struct rd_table *table,
                  const struct tr_shape *shape, struct tr_error *err) TR_MUST_CHECK;

#endif
