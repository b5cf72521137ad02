/*
 * control.c - the control topic as a whole; see control.h.
 *
 * Shapes live in an arena of their own and are never changed or freed before the whole. They hang
 * in a hash table by database and table, newest first.
 */
#include <stdlib.h>

#include "fields.h"
#include "hash.h"
#include "json_writer.h"

#define BUCKETS 1024 /* a power of two */
#define CHUNK_BYTES (64u << 10)
#define SCRATCH_BYTES (4u << 10)

struct shape_entry {
    const struct tr_shape *shape;
    struct shape_entry *next; /* in its bucket, older */
};

struct tr_control {
    struct tr_arena shape_arena;
    struct shape_entry *buckets[BUCKETS];
    const struct tr_shape **shapes; /* in the order taken */
    size_t shape_count, shape_capacity;
    struct tr_topic **topics;
    size_t topic_count, topic_capacity;
    bool has_checkpoint;
    struct tr_checkpoint checkpoint;
    struct tr_arena checkpoint_arena; /* what the checkpoint points to */
    struct tr_arena scratch;          /* within one call */
};

int tr_control_new(struct tr_control **out, struct tr_error *err)
{
    struct tr_control *control = calloc(1, sizeof(*control));
    if (control == NULL)
        return tr_error_set(err, TR_ENOMEM, "no memory for the control topic");
    tr_arena_init(&control->shape_arena, CHUNK_BYTES, 0);
    tr_arena_init(&control->checkpoint_arena, SCRATCH_BYTES, 0);
    tr_arena_init(&control->scratch, SCRATCH_BYTES, 0);
    *out = control;
    return 0;
}

void tr_control_free(struct tr_control *control)
{
    if (control == NULL)
        return;
    for (size_t i = 0; i < control->topic_count; i++)
        free(control->topics[i]);
    free(control->topics);
    free(control->shapes);
    tr_arena_done(&control->shape_arena);
    tr_arena_done(&control->checkpoint_arena);
    tr_arena_done(&control->scratch);
    free(control);
}

/* Room for one more pointer in a list. */
static void *grow(void *list, size_t count, size_t *capacity, struct tr_error *err)
{
    if (count < *capacity)
        return list;
    size_t wanted = *capacity == 0 ? 64 : *capacity * 2;
    void *larger = realloc(list, wanted * sizeof(void *));
    if (larger == NULL)
        tr_error_set(err, TR_ENOMEM, "no memory for the control topic's records");
    else
        *capacity = wanted;
    return larger;
}

/* ---- shapes --------------------------------------------------------------------------------- */

static size_t bucket_of(struct tr_slice database, struct tr_slice table)
{
    uint64_t hash = tr_hash_fnv1a(database.data, database.length) * 31 +
                    tr_hash_fnv1a(table.data, table.length);
    return (size_t)(hash ^ hash >> 32) & (BUCKETS - 1);
}

static bool is_table(const struct tr_shape *shape, struct tr_slice database, struct tr_slice table)
{
    return tr_slice_equal(shape->table, table) && tr_slice_equal(shape->database, database);
}

const struct tr_shape *tr_control_shape(const struct tr_control *control, struct tr_slice database,
                                        struct tr_slice table, int64_t schema_id)
{
    const struct shape_entry *entry = control->buckets[bucket_of(database, table)];
    for (; entry != NULL; entry = entry->next)
        if (entry->shape->schema_id == schema_id && is_table(entry->shape, database, table))
            return entry->shape;
    return NULL;
}

const struct tr_shape *tr_control_shape_at(const struct tr_control *control,
                                           struct tr_slice database, struct tr_slice table,
                                           int64_t version)
{
    const struct tr_shape *best = NULL;
    const struct shape_entry *entry = control->buckets[bucket_of(database, table)];
    for (; entry != NULL; entry = entry->next)
        if (entry->shape->schema_id <= version && is_table(entry->shape, database, table) &&
            (best == NULL || entry->shape->schema_id > best->schema_id))
            best = entry->shape;
    return best;
}

static int keep_shape(struct tr_control *control, const struct tr_shape *shape,
                      struct tr_error *err)
{
    const struct tr_shape **shapes =
        grow(control->shapes, control->shape_count, &control->shape_capacity, err);
    if (shapes == NULL)
        return err->code;
    control->shapes = shapes;
    struct shape_entry *entry = tr_arena_alloc(&control->shape_arena, sizeof(*entry));
    if (entry == NULL)
        return tr_error_set(err, TR_ENOMEM, "no memory for a shape");
    struct shape_entry **bucket = &control->buckets[bucket_of(shape->database, shape->table)];
    *entry = (struct shape_entry){shape, *bucket};
    *bucket = entry;
    control->shapes[control->shape_count++] = shape;
    return 0;
}

const struct tr_shape *tr_control_add_shape(struct tr_control *control,
                                            const struct tr_shape *shape, struct tr_error *err)
{
    const struct tr_shape *known =
        tr_control_shape(control, shape->database, shape->table, shape->schema_id);
    if (known != NULL && tr_shape_equal(known, shape))
        return known;
    const struct tr_shape *copy = control_shape_copy(shape, &control->shape_arena);
    if (copy == NULL) {
        tr_error_set(err, TR_ENOMEM, "no memory for a shape");
        return NULL;
    }
    return keep_shape(control, copy, err) < 0 ? NULL : copy;
}

size_t tr_control_shape_count(const struct tr_control *control)
{
    return control->shape_count;
}

const struct tr_shape *tr_control_shape_number(const struct tr_control *control, size_t index)
{
    return index < control->shape_count ? control->shapes[index] : NULL;
}

static int take_shape(struct tr_control *control, struct tr_slice value, struct tr_error *err)
{
    struct tr_shape *shape;
    if (tr_shape_read(&shape, value, &control->scratch, err) < 0)
        return err->code;
    return tr_control_add_shape(control, shape, err) == NULL ? err->code : 0;
}

/* ---- topics --------------------------------------------------------------------------------- */

static struct tr_topic *find_topic(const struct tr_control *control, const char *name)
{
    for (size_t i = 0; i < control->topic_count; i++)
        if (strcmp(control->topics[i]->name, name) == 0)
            return control->topics[i];
    return NULL;
}

const struct tr_topic *tr_control_topic(const struct tr_control *control, const char *name)
{
    return find_topic(control, name);
}

size_t tr_control_topic_count(const struct tr_control *control)
{
    return control->topic_count;
}

const struct tr_topic *tr_control_topic_number(const struct tr_control *control, size_t index)
{
    return index < control->topic_count ? control->topics[index] : NULL;
}

static int take_topic(struct tr_control *control, struct tr_slice value, struct tr_error *err)
{
    struct tr_topic topic;
    if (control_topic_read(&topic, value, &control->scratch, err) < 0)
        return err->code;
    struct tr_topic *known = find_topic(control, topic.name);
    if (known != NULL) {
        *known = topic;
        return 0;
    }
    struct tr_topic **topics =
        grow(control->topics, control->topic_count, &control->topic_capacity, err);
    if (topics == NULL)
        return err->code;
    control->topics = topics;
    struct tr_topic *copy = malloc(sizeof(*copy));
    if (copy == NULL)
        return tr_error_set(err, TR_ENOMEM, "no memory for a topic");
    *copy = topic;
    control->topics[control->topic_count++] = copy;
    return 0;
}

static void forget_topic(struct tr_control *control, struct tr_slice name)
{
    for (size_t i = 0; i < control->topic_count; i++)
        if (tr_slice_equal(tr_slice_of(control->topics[i]->name), name)) {
            free(control->topics[i]);
            memmove(&control->topics[i], &control->topics[i + 1],
                    (control->topic_count - i - 1) * sizeof(struct tr_topic *));
            control->topic_count--;
            return;
        }
}

/* ---- checkpoint ----------------------------------------------------------------------------- */

const struct tr_checkpoint *tr_control_checkpoint(const struct tr_control *control)
{
    return control->has_checkpoint ? &control->checkpoint : NULL;
}

static int take_checkpoint(struct tr_control *control, struct tr_slice value, struct tr_error *err)
{
    control->has_checkpoint = false;
    tr_arena_reset(&control->checkpoint_arena);
    int rc = control_checkpoint_read(&control->checkpoint, value, &control->checkpoint_arena, err);
    control->has_checkpoint = rc == 0;
    return rc;
}

/* ---- a record ------------------------------------------------------------------------------- */

/* The first two items of a key; `name` is empty when the second is missing or no text. */
static int read_key(struct tr_control *control, struct tr_slice key, struct tr_slice *kind,
                    struct tr_slice *name, struct tr_error *err)
{
    struct tr_json_value array, ignored, item;
    struct tr_json_cursor cursor;
    *name = (struct tr_slice){"", 0};
    if (tr_json_parse(key, &array, err) < 0)
        return fields_broken("key", err);
    if (array.type != TR_JSON_ARRAY)
        return tr_error_set(err, TR_ESTATE, "control record: a key that is no array");
    tr_json_enter(&cursor, &array);
    int got = tr_json_next(&cursor, &ignored, &item, err);
    if (got <= 0 || item.type != TR_JSON_STRING)
        return tr_error_set(err, TR_ESTATE, "control record: a key without a kind");
    if (fields_text(&item, &control->scratch, kind, "key", err) < 0)
        return err->code;
    got = tr_json_next(&cursor, &ignored, &item, err);
    if (got > 0 && item.type == TR_JSON_STRING)
        return fields_text(&item, &control->scratch, name, "key", err);
    return 0;
}

int tr_control_take(struct tr_control *control, struct tr_slice key, struct tr_slice value,
                    bool tombstone, struct tr_error *err)
{
    struct tr_slice kind = {0}, name = {0};
    tr_arena_reset(&control->scratch);
    if (read_key(control, key, &kind, &name, err) < 0)
        return err->code;
    bool checkpoint = tr_slice_equal(kind, TR_SLICE("checkpoint"));
    bool topic = tr_slice_equal(kind, TR_SLICE("topic"));
    if (tombstone) {
        /* Shapes stay: rows that name them may still be on their way. */
        if (checkpoint)
            control->has_checkpoint = false;
        if (topic)
            forget_topic(control, name);
        return 0;
    }
    if (checkpoint)
        return take_checkpoint(control, value, err);
    if (topic)
        return take_topic(control, value, err);
    if (tr_slice_equal(kind, TR_SLICE("shape")))
        return take_shape(control, value, err);
    return 0;
}
