/* encoder.h - a table prepared for encoding. Private to encode. */
#ifndef TR_ENCODER_H
#define TR_ENCODER_H

#include "encode.h"
#include "values.h"

struct encode_column {
    const struct tr_binlog_column *column;
    tr_value_fn *value;
    struct tr_slice member; /* `,"name":` */
    uint32_t cell;          /* its index in the row image */
    bool invalid;           /* in the event that is being written */
};

struct encode_key_column {
    const struct encode_column *column;
    struct tr_slice member; /* `,"pk.name":` */
};

struct tr_encoder {
    struct tr_arena arena;         /* of all that follows */
    struct encode_column *columns; /* without hidden ones */
    uint32_t column_count;
    struct encode_key_column *key;
    uint32_t key_count;
    struct tr_slice heads[TR_EVENT_TYPES]; /* up to `"version":` */
    struct tr_slice schema;                /* `,"schema_id":N,"ts":` */
    struct tr_slice key_head;              /* `{"database":…,"table":…` */
};

#endif
