/*
 * scan.h - walking over all documents of an index (a scroll, which both makers' servers have), and
 * sending small bulks of our own.
 */
#ifndef TR_ES_SCAN_H
#define TR_ES_SCAN_H

#include "client.h"
#include "json_scan.h"

#define TR_ES_SCAN_PAGE 2000

struct tr_es_hit {
    struct tr_json_value id; /* a string */
    int64_t version;         /* 0 when not asked for */
    struct tr_json_value source;
    bool has_source;
};

struct tr_es_visitor {
    void *context;
    /* Called per document; slices are valid during the call. 0 or an error, which ends the scan. */
    int (*hit)(void *context, const struct tr_es_hit *hit, struct tr_error *err);
    /* Behind each page, when the client is free for other requests; may be NULL. */
    int (*page)(void *context, struct tr_error *err);
};

/* `path` is "/index", `query` a search body without size and sort, like {"_source":false}. Sees
 * what was refreshed before the call. A missing index has no documents. */
int tr_es_scan(struct tr_es_client *client, const char *path, const char *query,
               const struct tr_es_visitor *visitor, struct tr_error *err) TR_MUST_CHECK;
int tr_es_refresh(struct tr_es_client *client, const char *path,
                  struct tr_error *err) TR_MUST_CHECK;

/* The query string of every bulk: replies of 25 bytes an item, nothing written past an alias. */
#define TR_ES_BULK_PATH                                                                            \
    "/_bulk?require_alias=true&filter_path=took,errors,items.*.status,items.*.error.type,"         \
    "items.*.error.reason"

/* Sends lines that must all be taken (or be stale, or already gone). TR_ESTORE_RETRY when some
 * should be sent again, TR_ESTORE when one is refused; `what` names them. */
int tr_es_bulk_all(struct tr_es_client *client, struct tr_slice body, const char *what,
                   struct tr_error *err) TR_MUST_CHECK;

#endif
