/*
 * reply.h - reading what the server says: a bulk's items, an error's type and reason.
 *
 * Bytes in, values out, no I/O. The numeric status decides first: names of types differ between
 * Elasticsearch and OpenSearch. Any thread.
 */
#ifndef TR_ES_REPLY_H
#define TR_ES_REPLY_H

#include "buf.h"
#include "json_scan.h"

/* What an item's result means for its row. */
enum tr_es_verdict {
    TR_ES_APPLIED,
    TR_ES_STALE,   /* the store has a newer one */
    TR_ES_RETRY,   /* pressure, a shard that is not there now, a full disk */
    TR_ES_POISON,  /* this row can never be taken */
    TR_ES_MISSING, /* no such index or alias */
    TR_ES_CLOSED,
    TR_ES_BLOCKED, /* a write block, a missing privilege, an alias that can't be written */
    TR_ES_UNKNOWN,
};

struct tr_es_item {
    bool remove; /* it answers a delete */
    int status;
    struct tr_slice type; /* of the error, plain; empty = no error */
    struct tr_json_value reason;
};

struct tr_es_reply {
    struct tr_json_cursor items;
};

/* What a caller makes of TR_EFORMAT and TR_ELIMIT, which are about what the server said: TR_ESTORE,
 * naming the question. Other codes stay. */
int tr_es_understood(int rc, const char *what, struct tr_error *err) TR_MUST_CHECK;
/* TR_EFORMAT when the text does not begin as an object. */
int tr_es_object_open(struct tr_json_cursor *members, struct tr_slice text,
                      struct tr_error *err) TR_MUST_CHECK;
/* TR_EFORMAT when the text is no bulk reply. */
int tr_es_reply_open(struct tr_es_reply *reply, struct tr_slice text,
                     struct tr_error *err) TR_MUST_CHECK;
/* 1 = got one, 0 = end, TR_EFORMAT. Items come in the order of the request. */
int tr_es_reply_next(struct tr_es_reply *reply, struct tr_es_item *item,
                     struct tr_error *err) TR_MUST_CHECK;
enum tr_es_verdict tr_es_classify(const struct tr_es_item *item);
/* Appends "type: reason" without what quotes the row's values. */
void tr_es_item_reason(const struct tr_es_item *item, struct tr_buf *out);
/* The type and "type: reason" of a whole request's error; for text that is no such JSON its
 * beginning. */
void tr_es_error_reason(struct tr_slice text, struct tr_buf *out);
bool tr_es_error_type_is(struct tr_slice text, const char *type);

#endif
