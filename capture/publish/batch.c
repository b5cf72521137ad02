/* batch.c - see batch.h. */
#include "batch.h"

#include <stdlib.h>

#define RECORDS_FIRST 1024
#define RECORDS_MAX ((size_t)1 << 26)
/* A batch that grew beyond these by a large row or group gives its memory back. */
#define TEXT_KEEP ((size_t)12 << 20)
#define RECORDS_KEEP ((size_t)1 << 17)

void tr_batch_init(struct tr_batch *batch)
{
    memset(batch, 0, sizeof(*batch));
    tr_buf_init(&batch->text, TR_BATCH_TEXT_MAX);
}

void tr_batch_done(struct tr_batch *batch)
{
    tr_buf_done(&batch->text);
    free(batch->records);
    free(batch->shapes);
}

void tr_batch_reset(struct tr_batch *batch)
{
    if (batch->text.capacity > TEXT_KEEP) {
        tr_buf_done(&batch->text);
        tr_buf_init(&batch->text, TR_BATCH_TEXT_MAX);
    }
    if (batch->capacity > RECORDS_KEEP) {
        free(batch->records);
        batch->records = NULL;
        batch->capacity = 0;
    }
    tr_buf_reset(&batch->text);
    batch->count = 0;
    batch->shape_count = 0;
    batch->file[0] = '\0';
    batch->open = (struct tr_open_group){0};
    batch->has_end = false;
}

static bool grow_records(struct tr_batch *batch)
{
    size_t capacity = batch->capacity == 0 ? RECORDS_FIRST : batch->capacity * 2;
    if (capacity > RECORDS_MAX)
        return false;
    struct tr_record *records = realloc(batch->records, capacity * sizeof(*records));
    if (records == NULL)
        return false;
    batch->records = records;
    batch->capacity = capacity;
    return true;
}

struct tr_record *tr_batch_add(struct tr_batch *batch, struct tr_error *err)
{
    if (batch->count == batch->capacity && !grow_records(batch)) {
        tr_error_set(err, TR_ENOMEM, "no memory for %zu records in a batch", batch->count + 1);
        return NULL;
    }
    struct tr_record *rec = &batch->records[batch->count++];
    memset(rec, 0, sizeof(*rec));
    return rec;
}

int tr_batch_add_shape(struct tr_batch *batch, const struct tr_shape *shape, struct tr_error *err)
{
    if (batch->shape_count == batch->shape_capacity) {
        size_t capacity = batch->shape_capacity == 0 ? 16 : batch->shape_capacity * 2;
        const struct tr_shape **shapes = realloc(batch->shapes, capacity * sizeof(*shapes));
        if (shapes == NULL)
            return tr_error_set(err, TR_ENOMEM, "no memory for shapes");
        batch->shapes = shapes;
        batch->shape_capacity = capacity;
    }
    batch->shapes[batch->shape_count++] = shape;
    return 0;
}

struct tr_batch_fill tr_batch_fill(const struct tr_batch *batch)
{
    return (struct tr_batch_fill){batch->count, batch->text.length};
}

void tr_batch_truncate(struct tr_batch *batch, struct tr_batch_fill fill)
{
    batch->count = fill.records;
    batch->text.length = fill.text;
}

struct tr_record *tr_batch_last_row(struct tr_batch *batch, size_t from)
{
    for (size_t i = batch->count; i > from; i--)
        if (batch->records[i - 1].kind == TR_RECORD_ROW)
            return &batch->records[i - 1];
    return NULL;
}

int tr_batch_move_tail(struct tr_batch *batch, size_t from, struct tr_batch *to,
                       struct tr_error *err)
{
    if (from >= batch->count)
        return 0;
    size_t start = batch->records[from].key_at;
    uint32_t target = (uint32_t)to->text.length;
    tr_buf_append(&to->text, batch->text.data + start, batch->text.length - start);
    int rc = tr_buf_check(&to->text, "a batch", err);
    for (size_t i = from; rc == 0 && i < batch->count; i++) {
        struct tr_record *rec = tr_batch_add(to, err);
        if (rec == NULL)
            return err->code;
        *rec = batch->records[i];
        rec->key_at = rec->key_at - (uint32_t)start + target;
        rec->value_at = rec->value_at - (uint32_t)start + target;
        rec->commit_at = rec->commit_at - (uint32_t)start + target;
    }
    if (rc == 0)
        tr_batch_truncate(batch, (struct tr_batch_fill){from, start});
    return rc;
}

void tr_batch_shift(struct tr_batch *batch, size_t from, uint32_t at, uint32_t by)
{
    for (size_t i = from; i < batch->count; i++) {
        struct tr_record *rec = &batch->records[i];
        if (rec->key_at >= at)
            rec->key_at += by;
        if (rec->value_at >= at)
            rec->value_at += by;
        if (rec->commit_at >= at)
            rec->commit_at += by;
    }
}
