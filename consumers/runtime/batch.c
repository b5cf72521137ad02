/* batch.c - see batch.h. */
#include "batch.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_CAPACITY 512
#define ARENA_CHUNK 16384

int tr_batch_init(struct tr_batch *batch, unsigned number, size_t records_max, size_t bytes_max,
                  struct tr_error *err)
{
    if (records_max == 0 || records_max >= TR_BATCH_NONE / 4 || number > 1)
        return tr_error_set(err, TR_EBUG, "a batch of %zu records", records_max);
    *batch =
        (struct tr_batch){.number = number, .records_max = records_max, .bytes_max = bytes_max};
    tr_arena_init(&batch->arena, ARENA_CHUNK, 0);
    tr_arena_init(&batch->scratch, ARENA_CHUNK, 0);
    return 0;
}

void tr_batch_done(struct tr_batch *batch)
{
    tr_batch_reset(batch);
    free(batch->items);
    free(batch->heads);
    free(batch->slots);
    free(batch->parts);
    free(batch->records);
    free(batch->results);
    free(batch->pending);
    tr_arena_done(&batch->arena);
    tr_arena_done(&batch->scratch);
}

/* ---- slots ----------------------------------------------------------------------------------- */

/* The slot of a key: where it is, or the free one where it belongs. */
static size_t slot_of(const struct tr_batch *batch, uint64_t hash, struct tr_slice key)
{
    size_t mask = batch->slot_count - 1;
    size_t at = (size_t)(hash ^ (hash >> 32)) & mask;
    for (; batch->slots[at] != 0; at = (at + 1) & mask) {
        const struct tr_batch_item *item = &batch->items[batch->heads[batch->slots[at] - 1]];
        if (item->hash == hash && tr_slice_equal(item->record.key, key))
            break;
    }
    return at;
}

static void clear_slots(struct tr_batch *batch)
{
    /* A small batch in a large table: look its keys up again instead of wiping all of it. */
    if (batch->head_count * 16 > batch->slot_count) {
        memset(batch->slots, 0, batch->slot_count * sizeof(*batch->slots));
        return;
    }
    /* From a key's first place to the end of its run, where all that stands is to go as well. */
    size_t mask = batch->slot_count - 1;
    for (size_t i = 0; i < batch->head_count; i++) {
        uint64_t hash = batch->items[batch->heads[i]].hash;
        size_t at = (size_t)(hash ^ (hash >> 32)) & mask;
        for (; batch->slots[at] != 0; at = (at + 1) & mask)
            batch->slots[at] = 0;
    }
}

void tr_batch_reset(struct tr_batch *batch)
{
    if (batch->slot_count > 0 && batch->head_count > 0)
        clear_slots(batch);
    for (size_t i = 0; i < batch->item_count; i++)
        tr_kafka_message_free(&batch->items[i].message);
    batch->item_count = 0;
    batch->head_count = 0;
    batch->refused = 0;
    batch->part_count = 0;
    batch->bytes = 0;
    batch->marker = (struct tr_batch_marker){.table = NULL};
    tr_arena_reset(&batch->arena);
}

static bool resize(void **array, size_t count, size_t size)
{
    void *larger = realloc(*array, count * size);
    if (larger == NULL)
        return false;
    *array = larger;
    return true;
}

static bool grow_items(struct tr_batch *batch)
{
    size_t capacity = batch->item_capacity == 0 ? FIRST_CAPACITY : batch->item_capacity * 2;
    if (capacity > batch->records_max)
        capacity = batch->records_max;
    size_t slots = 2;
    while (slots < capacity * 2)
        slots *= 2;
    if (!resize((void **)&batch->items, capacity, sizeof(*batch->items)) ||
        !resize((void **)&batch->heads, capacity, sizeof(*batch->heads)) ||
        !resize((void **)&batch->records, capacity, sizeof(*batch->records)) ||
        !resize((void **)&batch->results, capacity, sizeof(*batch->results)) ||
        !resize((void **)&batch->pending, capacity, sizeof(*batch->pending)) ||
        !resize((void **)&batch->slots, slots, sizeof(*batch->slots)))
        return false;
    memset(batch->slots, 0, slots * sizeof(*batch->slots));
    batch->item_capacity = capacity;
    batch->slot_count = slots;
    for (size_t i = 0; i < batch->head_count; i++) {
        const struct tr_batch_item *item = &batch->items[batch->heads[i]];
        batch->slots[slot_of(batch, item->hash, item->record.key)] = (uint32_t)i + 1;
    }
    return true;
}

/* ---- partitions ------------------------------------------------------------------------------ */

static bool grow_parts(struct tr_batch *batch)
{
    size_t capacity = batch->part_capacity == 0 ? 16 : batch->part_capacity * 2;
    if (!resize((void **)&batch->parts, capacity, sizeof(*batch->parts)))
        return false;
    batch->part_capacity = capacity;
    return true;
}

/* Notes the message with its partition; TR_BATCH_NONE when memory is out. */
static uint32_t note_message(struct tr_batch *batch, struct tr_part *part,
                             const struct tr_kafka_message *message)
{
    uint32_t at = part->batch_slot[batch->number];
    if (at >= batch->part_count || batch->parts[at].part != part) {
        if (batch->part_count == batch->part_capacity && !grow_parts(batch))
            return TR_BATCH_NONE;
        at = (uint32_t)batch->part_count++;
        part->batch_slot[batch->number] = at;
        batch->parts[at] = (struct tr_batch_part){
            .part = part, .epoch = atomic_load_explicit(&part->epoch, memory_order_relaxed)};
    }
    struct tr_batch_part *slot = &batch->parts[at];
    slot->messages++;
    slot->next = message->offset + 1;
    slot->last_ms = message->timestamp_ms;
    return at;
}

static int out_of_memory(struct tr_kafka_message *message, struct tr_error *err)
{
    tr_kafka_message_free(message);
    return tr_error_set(err, TR_ENOMEM, "no memory for a batch");
}

/* ---- adding ---------------------------------------------------------------------------------- */

static struct tr_batch_item *new_item(struct tr_batch *batch, struct tr_part *part,
                                      struct tr_kafka_message *message)
{
    if (batch->item_count == batch->item_capacity && !grow_items(batch))
        return NULL;
    uint32_t at = note_message(batch, part, message);
    if (at == TR_BATCH_NONE)
        return NULL;
    struct tr_batch_item *item = &batch->items[batch->item_count++];
    item->message = *message;
    item->part = at;
    item->older = TR_BATCH_NONE;
    item->reason = NULL;
    batch->bytes += message->key.length + message->value.length + TR_MESSAGE_OVERHEAD;
    return item;
}

/* Puts the item into its key's chain: descending versions, of equal ones the later first. */
static void chain_in(struct tr_batch *batch, uint32_t *link, uint32_t at)
{
    int64_t version = batch->items[at].record.version;
    while (*link != TR_BATCH_NONE && batch->items[*link].record.version > version)
        link = &batch->items[*link].older;
    batch->items[at].older = *link;
    *link = at;
}

int tr_batch_add(struct tr_batch *batch, struct tr_part *part, struct tr_kafka_message *message,
                 const struct tr_sink_record *record, uint64_t hash, struct tr_error *err)
{
    struct tr_batch_item *item = new_item(batch, part, message);
    if (item == NULL)
        return out_of_memory(message, err);
    item->record = *record;
    item->hash = hash;
    uint32_t at = (uint32_t)(item - batch->items);
    size_t slot = slot_of(batch, hash, record->key);
    if (batch->slots[slot] != 0) {
        chain_in(batch, &batch->heads[batch->slots[slot] - 1], at);
        return 0;
    }
    batch->heads[batch->head_count++] = at;
    batch->slots[slot] = (uint32_t)batch->head_count;
    return 0;
}

int tr_batch_count(struct tr_batch *batch, struct tr_part *part, struct tr_kafka_message *message,
                   enum tr_outcome outcome, struct tr_error *err)
{
    uint32_t at = note_message(batch, part, message);
    if (at == TR_BATCH_NONE)
        return out_of_memory(message, err);
    batch->parts[at].outcomes[outcome]++;
    tr_kafka_message_free(message);
    return 0;
}

int tr_batch_refuse(struct tr_batch *batch, struct tr_part *part, struct tr_kafka_message *message,
                    const char *reason, struct tr_error *err)
{
    struct tr_batch_item *item = new_item(batch, part, message);
    if (item == NULL)
        return out_of_memory(message, err);
    item->record = (struct tr_sink_record){.table = NULL};
    item->hash = 0;
    item->reason = tr_arena_copy(&batch->arena, reason, strlen(reason));
    if (item->reason == NULL)
        item->reason = "not an event";
    batch->refused++;
    return 0;
}

int tr_batch_mark(struct tr_batch *batch, struct tr_part *part, struct tr_kafka_message *message,
                  struct tr_sink_table *table, enum tr_event_type type, int64_t version,
                  struct tr_error *err)
{
    uint32_t at = note_message(batch, part, message);
    if (at == TR_BATCH_NONE)
        return out_of_memory(message, err);
    batch->marker = (struct tr_batch_marker){table, type, version, at};
    tr_kafka_message_free(message);
    return 0;
}
