/* kind.c - which records' keys are the table's, and the template that makes Redis keys of them; the
 * rule is in kind.h. */
#include "kind.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- two keys -------------------------------------------------------------------------------- */

enum family {
    FAMILY_INTEGER,
    FAMILY_DECIMAL,
    FAMILY_TEXT,
    FAMILY_BYTES,
    FAMILY_TYPE, /* and those behind it: this type only */
};

static enum family family_of(const struct tr_shape_column *column)
{
    bool binary = tr_slice_equal(column->charset, TR_SLICE("binary"));
    switch (column->type) {
    case TR_SQL_TINYINT:
    case TR_SQL_SMALLINT:
    case TR_SQL_MEDIUMINT:
    case TR_SQL_INT:
    case TR_SQL_BIGINT:
    case TR_SQL_BIT:
    case TR_SQL_YEAR:
        return FAMILY_INTEGER;
    case TR_SQL_DECIMAL:
        return FAMILY_DECIMAL;
    case TR_SQL_CHAR:
    case TR_SQL_VARCHAR:
    case TR_SQL_TEXT:
    case TR_SQL_ENUM:
        return binary ? FAMILY_BYTES : FAMILY_TEXT;
    case TR_SQL_VARBINARY:
    case TR_SQL_BLOB:
        return FAMILY_BYTES;
    default:
        return FAMILY_TYPE + column->type;
    }
}

/* Whether a value keeps its text from one to the other: a DECIMAL(9,2) is 1.50, a DECIMAL(9,4)
 * 1.5000; a BINARY is padded to its length. */
static bool renders_alike(const struct tr_shape_column *a, const struct tr_shape_column *b)
{
    if (a->refine != TR_REFINE_NONE || b->refine != TR_REFINE_NONE)
        return a->refine == b->refine;
    return family_of(a) == family_of(b) && a->scale == b->scale && a->fraction == b->fraction &&
           (a->type != TR_SQL_BINARY || a->length == b->length);
}

static const struct tr_shape_column *key_column(const struct tr_shape *shape, uint32_t place)
{
    return &shape->columns[shape->key[place]];
}

/* The place in `other`'s key of the column that stands at `place` in that of `shape`; -1 = none. */
static int place_in(const struct tr_shape *other, const struct tr_shape *shape, uint32_t place)
{
    struct tr_slice name = key_column(shape, place)->name;
    for (uint32_t i = 0; i < other->key_count; i++) {
        if (tr_slice_equal(key_column(other, i)->name, name))
            return (int)i;
    }
    bool renamed = tr_shape_find_column(other, name) == NULL &&
                   tr_shape_find_column(shape, key_column(other, place)->name) == NULL;
    return renamed ? (int)place : -1;
}

bool rd_same_key(const struct tr_shape *shape, const struct tr_shape *other,
                 uint8_t from[RD_KEY_COLUMNS_MAX])
{
    if (shape->key_count != other->key_count || shape->key_count > RD_KEY_COLUMNS_MAX)
        return false;
    for (uint32_t i = 0; i < shape->key_count; i++) {
        int place = place_in(other, shape, i);
        if (place < 0 || !renders_alike(key_column(shape, i), key_column(other, (uint32_t)place)))
            return false;
        from[i] = (uint8_t)place;
    }
    return true;
}

/* ---- a table's kinds of key ------------------------------------------------------------------ */

void rd_kinds_free(struct rd_kind *kind)
{
    while (kind != NULL) {
        struct rd_kind *next = kind->next;
        rd_template_done(&kind->template);
        free(kind);
        kind = next;
    }
}

/* Before a record has come (a sweep, `check`), the newest shape that is known. */
static const struct tr_shape *ruling_shape(const struct rd_table *table)
{
    const struct tr_shape *ruling = atomic_load(&table->ruling);
    if (ruling == NULL)
        ruling = atomic_load(&table->source->newest);
    return ruling != NULL && ruling->key_count > 0 ? ruling : table->first;
}

static void let_rule(struct rd_table *table, const struct tr_shape *shape)
{
    const struct tr_shape *old = atomic_load(&table->ruling);
    while ((old == NULL || old->schema_id < shape->schema_id) &&
           !atomic_compare_exchange_weak(&table->ruling, &old, shape))
        continue;
}

static int add_kind(struct rd_table *table, const struct tr_shape *shape, struct rd_kind **out,
                    struct tr_error *err)
{
    struct rd_kind *kind = calloc(1, sizeof(*kind));
    if (kind == NULL)
        return tr_error_set(err, TR_ENOMEM, "redis: no memory");
    kind->shape = shape;
    if (rd_template_parse(&kind->template, table->key, shape, err) != 0) {
        free(kind);
        return err->code;
    }
    kind->next = table->kinds;
    table->kinds = kind;
    *out = kind;
    return 0;
}

int rd_table_kind(struct tr_sink *sink, struct rd_table *table, const struct rd_kind **out,
                  struct tr_error *err)
{
    const struct tr_shape *ruling = ruling_shape(table);
    uint8_t ignored[RD_KEY_COLUMNS_MAX];
    int code = 0;
    pthread_mutex_lock(&sink->lock);
    struct rd_kind *kind = table->kinds;
    while (kind != NULL && !rd_same_key(kind->shape, ruling, ignored))
        kind = kind->next;
    if (kind == NULL)
        code = add_kind(table, ruling, &kind, err);
    pthread_mutex_unlock(&sink->lock);
    *out = kind;
    return code;
}

int rd_fit_record(struct tr_sink *sink, struct rd_fit *fit, struct rd_table *table,
                  const struct tr_shape *shape, struct tr_error *err)
{
    if (fit->table == table && fit->shape == shape &&
        fit->ruling == atomic_load_explicit(&table->ruling, memory_order_relaxed))
        return 0;
    let_rule(table, shape);
    const struct tr_shape *ruling = atomic_load(&table->ruling);
    fit->table = NULL;
    const struct tr_shape *newest = atomic_load(&table->source->newest);
    int code = rd_table_kind(sink, table, &fit->kind, err);
    /* The template is written for the key that the table has now. */
    if (code == TR_ECONFIG && newest != NULL && newest->schema_id > ruling->schema_id)
        return err->code = TR_EPOISON;
    if (code != 0)
        return code;
    if (!rd_same_key(fit->kind->shape, shape, fit->from))
        return tr_error_set(err, TR_EPOISON,
                            "the table's key has changed: shape %" PRId64
                            " has another than %" PRId64 ", of which Redis keys are made",
                            shape->schema_id, fit->kind->shape->schema_id);
    fit->table = table;
    fit->shape = shape;
    fit->ruling = ruling;
    return 0;
}
