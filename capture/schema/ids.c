/*
 * Table id → known table: open addressing, cleared at every new file.
 *
 * A server that opens tables again and again gives out ever new ids inside one file. At a million
 * the old ones go; those of the statement at hand are among the newest and stay.
 */
#include <stdlib.h>

#include "internal.h"

#define FIRST_CAPACITY 1024
#define IDS_MAX ((size_t)1 << 20)
#define KEEP_NEWEST 8192

static size_t slot_of(const struct schema_ids *ids, uint64_t id)
{
    return (size_t)(id * 0x9E3779B97F4A7C15ULL >> 20) & (ids->capacity - 1);
}

struct schema_id *schema_ids_find(const struct schema_ids *ids, uint64_t id)
{
    if (ids->capacity == 0)
        return NULL;
    size_t at = slot_of(ids, id);
    while (ids->slots[at].known != NULL) {
        if (ids->slots[at].id == id)
            return &ids->slots[at];
        at = (at + 1) & (ids->capacity - 1);
    }
    return NULL;
}

static void insert(struct schema_ids *ids, struct schema_id entry)
{
    size_t at = slot_of(ids, entry.id);
    while (ids->slots[at].known != NULL)
        at = (at + 1) & (ids->capacity - 1);
    ids->slots[at] = entry;
    ids->count++;
}

static int rebuild(struct schema_ids *ids, size_t capacity, uint64_t oldest, struct tr_error *err)
{
    struct schema_id *old = ids->slots;
    size_t old_capacity = ids->capacity;
    struct schema_id *slots = calloc(capacity, sizeof *slots);
    if (slots == NULL)
        return tr_error_set(err, TR_ENOMEM, "no memory for table ids");
    ids->slots = slots;
    ids->capacity = capacity;
    ids->count = 0;
    for (size_t i = 0; i < old_capacity; i++)
        if (old[i].known != NULL && old[i].turn >= oldest && !old[i].known->gone)
            insert(ids, old[i]);
    free(old);
    return 0;
}

int schema_ids_put(struct schema_ids *ids, uint64_t id, struct schema_known *known,
                   struct tr_error *err)
{
    int rc = 0;
    struct schema_id *there = schema_ids_find(ids, id);
    ids->turn++;
    if (there != NULL) {
        there->known = known;
        there->turn = ids->turn;
        return 0;
    }
    if (ids->capacity == 0)
        rc = rebuild(ids, FIRST_CAPACITY, 0, err);
    else if (ids->count >= IDS_MAX)
        rc = rebuild(ids, FIRST_CAPACITY * 32,
                     ids->turn > KEEP_NEWEST ? ids->turn - KEEP_NEWEST : 0, err);
    else if (ids->count * 2 >= ids->capacity)
        rc = rebuild(ids, ids->capacity * 2, 0, err);
    if (rc != 0)
        return rc;
    insert(ids, (struct schema_id){id, known, ids->turn});
    return 0;
}

void schema_ids_clear(struct schema_ids *ids)
{
    free(ids->slots);
    *ids = (struct schema_ids){0};
}

int schema_ids_drop_gone(struct schema_ids *ids, struct tr_error *err)
{
    return ids->capacity == 0 ? 0 : rebuild(ids, ids->capacity, 0, err);
}
