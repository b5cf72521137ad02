/*
 * encode.h - row images to event and key JSON, into a byte buffer; the one place where values are
 * rendered. Pure, no allocation; used by the reading thread (and by snapshots).
 */
#ifndef TR_ENCODE_H
#define TR_ENCODE_H

#include "binlog.h"
#include "event.h"

/* A table prepared for encoding: all constant text made once per shape. Borrows `table`, which must
 * live longer; `shape` gives names, number, key and refinements, and its columns are the table's
 * without the hidden ones. Cells are indexed as the table's columns, hidden ones included. */
struct tr_encoder;

int tr_encoder_new(struct tr_encoder **out, const struct tr_binlog_table *table,
                   const struct tr_shape *shape, struct tr_error *err) TR_MUST_CHECK;
void tr_encoder_free(struct tr_encoder *encoder);

/* What differs from event to event. */
struct tr_encode_header {
    enum tr_event_type type;
    int64_t version;
    int64_t ts;
    int64_t xid;
    bool commit;
    struct tr_slice gtid;          /* empty = leave out */
    struct tr_slice position_file; /* empty = leave out */
    uint64_t position_offset;
    bool with_server_id, with_thread_id;
    uint32_t server_id;
    int64_t thread_id;     /* -1 = null */
    struct tr_slice query; /* empty = leave out */
};

/* Where things are in the text that was written (offsets into the buffer). */
struct tr_encoded {
    size_t start, end;
    size_t commit_at; /* where `,"commit":true` goes when it turns out to be the last row */
    uint32_t invalid; /* number of values that went out by the `invalid` rule */
};

/*
 * Appends one event. `data` are the cells of the row; `before` (may be NULL) the old row of an
 * update: `old` gets the columns whose bytes differ. The buffer's failure is checked by the caller.
 */
void tr_encode_event(struct tr_encoder *encoder, const struct tr_encode_header *header,
                     const struct tr_cell *data, const struct tr_cell *before, struct tr_buf *out,
                     struct tr_encoded *encoded);
/* Appends the key; false when the shape has none. */
bool tr_encode_key(struct tr_encoder *encoder, const struct tr_cell *data, struct tr_buf *out);
/* Whether the key columns' bytes of two images differ. */
bool tr_encode_key_changed(const struct tr_encoder *encoder, const struct tr_cell *before,
                           const struct tr_cell *after);
/* Makes `commit: true` of an event written with commit false, which must be followed by nothing
 * that can't be moved: everything behind commit_at moves by *moved bytes. */
bool tr_encode_mark_commit(struct tr_buf *out, const struct tr_encoded *encoded, size_t *moved);
/* A marker's event (for truncate and drop); names plain. */
void tr_encode_marker(const struct tr_encode_header *header, struct tr_slice database,
                      struct tr_slice table, struct tr_buf *out, struct tr_encoded *encoded);

#endif
