/* savepoints.c - see savepoints.h. */
#include "savepoints.h"

#include <inttypes.h>
#include <stdlib.h>
#include <strings.h>

#include "hash.h"

#define CAPACITY_FIRST 16

void tr_savepoints_init(struct tr_savepoints *savepoints)
{
    memset(savepoints, 0, sizeof(*savepoints));
    tr_buf_init(&savepoints->names, TR_SAVEPOINTS_NAME_BYTES_MAX);
}

void tr_savepoints_done(struct tr_savepoints *savepoints)
{
    free(savepoints->items);
    free(savepoints->buckets);
    tr_buf_done(&savepoints->names);
}

/* Names are the same in upper and lower case. */
static size_t hash_name(struct tr_slice name)
{
    char lower[256];
    size_t length = name.length < sizeof(lower) ? name.length : sizeof(lower);
    for (size_t i = 0; i < length; i++)
        lower[i] = (char)(name.data[i] >= 'A' && name.data[i] <= 'Z' ? name.data[i] + ('a' - 'A')
                                                                     : name.data[i]);
    return (size_t)tr_hash_fnv1a(lower, length);
}

static uint32_t *bucket_of(struct tr_savepoints *savepoints, size_t hash)
{
    return &savepoints->buckets[hash & (savepoints->capacity - 1)];
}

static void link_item(struct tr_savepoints *savepoints, uint32_t number)
{
    struct tr_savepoint *item = &savepoints->items[number];
    uint32_t *bucket = bucket_of(savepoints, item->hash);
    item->next = *bucket;
    *bucket = number + 1;
}

static void unlink_item(struct tr_savepoints *savepoints, const struct tr_savepoint *item)
{
    uint32_t *link = bucket_of(savepoints, item->hash);
    while (*link != 0 && &savepoints->items[*link - 1] != item)
        link = &savepoints->items[*link - 1].next;
    if (*link != 0)
        *link = item->next;
}

void tr_savepoints_reset(struct tr_savepoints *savepoints)
{
    for (uint32_t i = 0; i < savepoints->count; i++)
        *bucket_of(savepoints, savepoints->items[i].hash) = 0;
    savepoints->count = 0;
    tr_buf_reset(&savepoints->names);
}

struct tr_savepoint *tr_savepoints_find(struct tr_savepoints *savepoints, struct tr_slice name)
{
    if (savepoints->count == 0)
        return NULL;
    size_t hash = hash_name(name);
    for (uint32_t at = *bucket_of(savepoints, hash); at != 0;) {
        struct tr_savepoint *item = &savepoints->items[at - 1];
        if (item->hash == hash && item->name_length == name.length &&
            strncasecmp(savepoints->names.data + item->name_at, name.data, name.length) == 0)
            return item;
        at = item->next;
    }
    return NULL;
}

void tr_savepoints_cut(struct tr_savepoints *savepoints, const struct tr_savepoint *last)
{
    uint32_t count = (uint32_t)(last - savepoints->items) + 1;
    while (savepoints->count > count) {
        const struct tr_savepoint *item = &savepoints->items[--savepoints->count];
        if (!item->gone)
            unlink_item(savepoints, item);
        savepoints->names.length = item->name_at;
    }
}

/* Moves those from number `from` on that are not gone to the front, and their names likewise. */
static void compact(struct tr_savepoints *savepoints, uint32_t from)
{
    struct tr_buf *names = &savepoints->names;
    uint32_t count = 0;
    size_t length = 0;
    for (uint32_t i = from; i < savepoints->count; i++) {
        struct tr_savepoint item = savepoints->items[i];
        if (item.gone)
            continue;
        memmove(names->data + length, names->data + item.name_at, item.name_length);
        item.name_at = length;
        length += item.name_length;
        savepoints->items[count++] = item;
    }
    savepoints->count = count;
    names->length = length;
    memset(savepoints->buckets, 0, savepoints->capacity * sizeof(*savepoints->buckets));
    for (uint32_t i = 0; i < count; i++)
        link_item(savepoints, i);
}

static bool names_fit(const struct tr_savepoints *savepoints, size_t more)
{
    return savepoints->names.length + more <= TR_SAVEPOINTS_NAME_BYTES_MAX;
}

static int grow(struct tr_savepoints *savepoints, struct tr_error *err)
{
    uint32_t capacity = savepoints->capacity == 0 ? CAPACITY_FIRST : savepoints->capacity * 2;
    struct tr_savepoint *items = realloc(savepoints->items, capacity * sizeof(*items));
    if (items != NULL)
        savepoints->items = items;
    uint32_t *buckets =
        items == NULL ? NULL : realloc(savepoints->buckets, capacity * sizeof(*buckets));
    if (buckets == NULL)
        return tr_error_set(err, TR_ENOMEM, "no memory for %" PRIu32 " savepoints", capacity);
    savepoints->buckets = buckets;
    savepoints->capacity = capacity;
    compact(savepoints, 0);
    return 0;
}

/* Half of the room at least is free then, so that it isn't done for every one. */
static int make_room(struct tr_savepoints *savepoints, size_t name_length, struct tr_error *err)
{
    int rc = 0;
    compact(savepoints, 0);
    if (savepoints->count > savepoints->capacity / 2 && savepoints->capacity < TR_SAVEPOINTS_MAX)
        rc = grow(savepoints, err);
    else if (savepoints->count > savepoints->capacity / 2)
        compact(savepoints, savepoints->count / 2);
    while (rc == 0 && savepoints->count > 0 && !names_fit(savepoints, name_length))
        compact(savepoints, savepoints->count - savepoints->count / 2);
    return rc;
}

int tr_savepoints_set(struct tr_savepoints *savepoints, struct tr_slice name, int64_t at,
                      struct tr_batch_fill fill, struct tr_error *err)
{
    struct tr_savepoint *old = tr_savepoints_find(savepoints, name);
    if (old != NULL) {
        unlink_item(savepoints, old);
        old->gone = true;
    }
    int rc = 0;
    if (savepoints->capacity == 0)
        rc = grow(savepoints, err);
    else if (savepoints->count == savepoints->capacity || !names_fit(savepoints, name.length))
        rc = make_room(savepoints, name.length, err);
    if (rc != 0)
        return rc;
    savepoints->items[savepoints->count] = (struct tr_savepoint){
        .name_at = savepoints->names.length,
        .name_length = name.length,
        .hash = hash_name(name),
        .at = at,
        .fill = fill,
    };
    link_item(savepoints, savepoints->count++);
    tr_buf_append_slice(&savepoints->names, name);
    return tr_buf_check(&savepoints->names, "savepoint names", err);
}
