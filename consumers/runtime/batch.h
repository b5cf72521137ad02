/*
 * batch.h - what a lane applies at once: messages of its partitions, coalesced per key.
 *
 * The main thread fills a batch, hands it to its lane, and gets it back settled and empty; so it is
 * never touched by two threads. Messages stay as Kafka gave them (nothing is copied) until the
 * batch is settled. Of the changes of one key the highest version is applied, of equal versions the
 * later one; the others hang behind it in a chain, newest first, so that when the store refuses the
 * newest for good the next one takes its place. Arrays grow up to the limits and are kept: in
 * steady state nothing is allocated.
 *
 * A marker closes a batch: it is applied after the records, and nothing is added behind it.
 */
#ifndef TR_BATCH_H
#define TR_BATCH_H

#include "part.h"
#include "sink.h"

#define TR_BATCH_NONE UINT32_MAX
/* What a message costs beside its bytes: librdkafka's structures and ours. */
#define TR_MESSAGE_OVERHEAD 512

struct tr_batch_item {
    struct tr_kafka_message message;
    struct tr_sink_record record; /* table NULL: refused before the store saw it, see `reason` */
    uint64_t hash;
    uint32_t part;      /* index into the batch's parts */
    uint32_t older;     /* of the same key, superseded; TR_BATCH_NONE ends the chain */
    const char *reason; /* of what is no event, in the batch's arena */
};

/* What the batch means for one partition, published when it is settled. */
struct tr_batch_part {
    struct tr_part *part;
    uint32_t epoch;
    int64_t next;    /* behind the last message */
    int64_t last_ms; /* its time stamp */
    int64_t messages;
    int64_t outcomes[TR_OUTCOMES];
    int64_t head_applied, head_stale; /* of those that were read at the head */
};

struct tr_batch_marker {
    struct tr_sink_table *table; /* NULL = no marker */
    enum tr_event_type type;
    int64_t version;
    uint32_t part;
};

struct tr_batch {
    unsigned number; /* 0 or 1 within its lane */
    size_t records_max, bytes_max;
    struct tr_batch_item *items;
    size_t item_count, item_capacity;
    uint32_t *heads; /* the newest item of each key, in order of arrival */
    size_t head_count;
    uint32_t *slots; /* hash → index into heads + 1 */
    size_t slot_count;
    size_t refused; /* items with a reason */
    struct tr_batch_part *parts;
    size_t part_count, part_capacity;
    struct tr_batch_marker marker;
    size_t bytes;
    struct tr_arena arena; /* reasons */
    /* The lane's: what the sink is called with. */
    struct tr_sink_record *records;
    struct tr_sink_result *results;
    uint32_t *pending; /* items behind records */
    struct tr_arena scratch;
};

int tr_batch_init(struct tr_batch *batch, unsigned number, size_t records_max, size_t bytes_max,
                  struct tr_error *err) TR_MUST_CHECK;
void tr_batch_done(struct tr_batch *batch);
/* Frees the messages and forgets everything; keeps the memory. */
void tr_batch_reset(struct tr_batch *batch);

static inline bool tr_batch_empty(const struct tr_batch *batch)
{
    return batch->part_count == 0;
}

static inline bool tr_batch_full(const struct tr_batch *batch)
{
    return batch->item_count >= batch->records_max || batch->bytes >= batch->bytes_max ||
           batch->marker.table != NULL;
}

/* The following take the message over (also at TR_ENOMEM), which must come in order of its
 * partition, into a batch that is not full. */
int tr_batch_add(struct tr_batch *batch, struct tr_part *part, struct tr_kafka_message *message,
                 const struct tr_sink_record *record, uint64_t hash,
                 struct tr_error *err) TR_MUST_CHECK;
/* Of what never reaches the store: it is only counted, and the offset moves with the batch. */
int tr_batch_count(struct tr_batch *batch, struct tr_part *part, struct tr_kafka_message *message,
                   enum tr_outcome outcome, struct tr_error *err) TR_MUST_CHECK;
/* No event: a dead letter. */
int tr_batch_refuse(struct tr_batch *batch, struct tr_part *part, struct tr_kafka_message *message,
                    const char *reason, struct tr_error *err) TR_MUST_CHECK;
int tr_batch_mark(struct tr_batch *batch, struct tr_part *part, struct tr_kafka_message *message,
                  struct tr_sink_table *table, enum tr_event_type type, int64_t version,
                  struct tr_error *err) TR_MUST_CHECK;

/* How many changes hang behind the item. */
static inline int64_t tr_batch_chain(const struct tr_batch *batch, uint32_t item)
{
    int64_t count = 0;
    while ((item = batch->items[item].older) != TR_BATCH_NONE)
        count++;
    return count;
}

#endif
