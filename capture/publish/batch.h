/*
 * batch.h - the text of many records and what each of them is, on the way from the reading thread
 * to the publishing one.
 *
 * The reader fills a batch and hands it over as a whole (handover.h); one thread at a time owns it.
 * Texts are offsets, because the buffer moves as it grows. Nothing is allocated per record once
 * text and array have found their size. A record's value comes right behind its key; a tombstone
 * shares the key of the delete before it. What belongs to a group that isn't final yet lies at the
 * end of the batch, so that undoing it is a truncation.
 */
#ifndef TR_BATCH_H
#define TR_BATCH_H

#include "buf.h"
#include "control.h"
#include "mark.h"

enum tr_record_kind {
    TR_RECORD_ROW,
    TR_RECORD_TOMBSTONE,
    TR_RECORD_MARKER, /* to every partition of the table's topic */
    TR_RECORD_DDL,    /* to the topic of schema changes */
};

struct tr_record {
    enum tr_record_kind kind;
    uint32_t topic; /* number in struct tr_topics */
    uint32_t key_at, key_length;
    uint32_t value_at, value_length;
    uint32_t commit_at; /* where `commit` goes; rows only */
    uint64_t position;  /* of the rows event in the batch's file, for errors */
    uint64_t ordinal;   /* of the row in its group */
    int64_t version;
    const struct tr_shape *shape; /* NULL for DDL */
};

struct tr_batch {
    struct tr_buf text;
    struct tr_record *records;
    size_t count, capacity;
    /* Shapes to be made known before any record of the batch goes out. They stay when records are
     * undone: a shape without rows harms nobody. */
    const struct tr_shape **shapes;
    size_t shape_count, shape_capacity;
    char file[256]; /* of all positions in the batch */
    bool has_end;   /* a group ended in it; `end` is behind the last one */
    struct tr_mark end;
    struct tr_open_group open; /* the group that goes on in the next batch; ordinal 0 = none */
};

/* How full a batch is, to go back to. */
struct tr_batch_fill {
    size_t records;
    size_t text;
};

#define TR_BATCH_TEXT_MAX ((size_t)UINT32_MAX)

void tr_batch_init(struct tr_batch *batch);
void tr_batch_done(struct tr_batch *batch);
/* Empties it; gives memory back that a large row or group has taken. */
void tr_batch_reset(struct tr_batch *batch);

/* A new record at the end, all zero; NULL (TR_ENOMEM) when there is no memory. */
struct tr_record *tr_batch_add(struct tr_batch *batch, struct tr_error *err);
int tr_batch_add_shape(struct tr_batch *batch, const struct tr_shape *shape,
                       struct tr_error *err) TR_MUST_CHECK;
struct tr_batch_fill tr_batch_fill(const struct tr_batch *batch);
void tr_batch_truncate(struct tr_batch *batch, struct tr_batch_fill fill);
/* The last row from `from` on, NULL when there is none. */
struct tr_record *tr_batch_last_row(struct tr_batch *batch, size_t from);
/* Moves the records from `from` on, with their text, to the end of `to`. */
int tr_batch_move_tail(struct tr_batch *batch, size_t from, struct tr_batch *to,
                       struct tr_error *err) TR_MUST_CHECK;
/* All texts from `at` on have moved by `by` bytes. Offsets of records from `from` on follow. */
void tr_batch_shift(struct tr_batch *batch, size_t from, uint32_t at, uint32_t by);

static inline bool tr_batch_empty(const struct tr_batch *batch)
{
    return batch->count == 0 && batch->shape_count == 0;
}

static inline struct tr_slice tr_batch_key(const struct tr_batch *batch,
                                           const struct tr_record *rec)
{
    return (struct tr_slice){batch->text.data + rec->key_at, rec->key_length};
}

static inline struct tr_slice tr_batch_value(const struct tr_batch *batch,
                                             const struct tr_record *rec)
{
    return (struct tr_slice){batch->text.data + rec->value_at, rec->value_length};
}

#endif
