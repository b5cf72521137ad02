/* scan.c - see scan.h. */
#include "scan.h"

#include <stdio.h>

#include "json_writer.h"
#include "reply.h"

#define SCROLL_BYTES_MAX (64 << 10)
#define PATH_BYTES_MAX 1024
#define SCROLL_KEEP "5m" /* a page is deleted within that */

struct scan {
    struct tr_es_client *client;
    const struct tr_es_visitor *visitor;
    struct tr_buf scroll; /* the id of the next page, quoted */
    struct tr_buf body;
    size_t hits; /* of the last page */
};

static int malformed(const char *what, struct tr_error *err)
{
    return tr_error_set(err, TR_ESTORE, "elasticsearch: a search reply without %s", what);
}

static int read_hit(const struct tr_json_value *object, struct tr_es_hit *hit, struct tr_error *err)
{
    struct tr_json_value version;
    hit->version = 0;
    int rc = tr_json_find(object, "_id", &hit->id, err);
    if (rc == 0 || (rc == 1 && hit->id.type != TR_JSON_STRING))
        return malformed("ids", err);
    if (rc == 1)
        rc = tr_json_find(object, "_version", &version, err);
    if (rc == 1 && !tr_json_to_int(&version, &hit->version))
        return malformed("versions", err);
    if (rc >= 0)
        rc = tr_json_find(object, "_source", &hit->source, err);
    hit->has_source = rc == 1;
    return rc < 0 ? rc : 0;
}

static int take_hits(struct scan *scan, const struct tr_json_value *hits, struct tr_error *err)
{
    struct tr_json_cursor cursor;
    struct tr_json_value name, one;
    struct tr_es_hit hit;
    int rc;
    scan->hits = 0;
    tr_json_enter(&cursor, hits);
    while ((rc = tr_json_next(&cursor, &name, &one, err)) == 1) {
        rc = read_hit(&one, &hit, err);
        if (rc == 0)
            rc = scan->visitor->hit(scan->visitor->context, &hit, err);
        if (rc != 0)
            return rc;
        scan->hits++;
    }
    return rc;
}

/* A page with failed shards would be taken for all there is. */
static int check_whole(const struct tr_json_value *top, struct tr_error *err)
{
    struct tr_json_value shards, failed, timed_out;
    int64_t count = 0;
    if (tr_json_find(top, "_shards", &shards, err) == 1 &&
        tr_json_find(&shards, "failed", &failed, err) == 1 && tr_json_to_int(&failed, &count) &&
        count > 0)
        return tr_error_set(err, TR_ESTORE_RETRY,
                            "elasticsearch: %d shards did not answer a search", (int)count);
    if (tr_json_find(top, "timed_out", &timed_out, err) == 1 && timed_out.type == TR_JSON_TRUE)
        return tr_error_set(err, TR_ESTORE_RETRY, "elasticsearch: a search timed out");
    return err->code;
}

static int take_page(struct scan *scan, struct tr_error *err)
{
    struct tr_json_value top, outer, hits, scroll;
    struct tr_slice text = {scan->client->reply.data, scan->client->reply.length};
    if (tr_json_parse(text, &top, err) != 0)
        return err->code;
    if (top.type != TR_JSON_OBJECT || tr_json_find(&top, "_scroll_id", &scroll, err) != 1 ||
        tr_json_find(&top, "hits", &outer, err) != 1 || outer.type != TR_JSON_OBJECT ||
        tr_json_find(&outer, "hits", &hits, err) != 1 || hits.type != TR_JSON_ARRAY)
        return err->code != 0 ? err->code : malformed("hits", err);
    tr_buf_reset(&scan->scroll);
    tr_buf_append_slice(&scan->scroll, scroll.text);
    if (check_whole(&top, err) != 0 || tr_buf_check(&scan->scroll, "a scroll id", err) != 0)
        return err->code;
    int rc = take_hits(scan, &hits, err);
    if (rc == 0 && scan->hits > 0 && scan->visitor->page != NULL)
        rc = scan->visitor->page(scan->visitor->context, err);
    return rc;
}

static int first_page(struct scan *scan, const char *path, const char *query, struct tr_error *err)
{
    char target[PATH_BYTES_MAX];
    int length =
        snprintf(target, sizeof(target), "%s/_search?scroll=" SCROLL_KEEP "&size=%d&sort=_doc",
                 path, TR_ES_SCAN_PAGE);
    if (length >= (int)sizeof(target))
        return tr_error_set(err, TR_ELIMIT, "the path %.80s… is too long", path);
    int rc = tr_es_call(scan->client, "POST", target, tr_slice_of(query), err);
    if (rc != 0)
        return rc;
    if (scan->client->status == 404)
        return 0;
    if (scan->client->status != 200)
        return tr_es_unexpected(scan->client, "a search", err);
    return take_page(scan, err);
}

static int next_page(struct scan *scan, struct tr_error *err)
{
    tr_buf_reset(&scan->body);
    TR_JSON_LITERAL(&scan->body, "{\"scroll\":\"" SCROLL_KEEP "\",\"scroll_id\":");
    tr_buf_append(&scan->body, scan->scroll.data, scan->scroll.length);
    tr_buf_append_char(&scan->body, '}');
    struct tr_slice body = {scan->body.data, scan->body.length};
    int rc = tr_es_call(scan->client, "POST", "/_search/scroll", body, err);
    if (rc != 0)
        return rc;
    if (scan->client->status == 404) /* the node that held it is gone, or we were too slow */
        return tr_error_set(err, TR_ESTORE_RETRY, "elasticsearch lost a scan that was under way");
    if (scan->client->status != 200)
        return tr_es_unexpected(scan->client, "a search", err);
    return take_page(scan, err);
}

/* It would go away by itself; an error here changes nothing. */
static void end_scroll(struct scan *scan)
{
    struct tr_error ignored = {0};
    if (scan->scroll.length == 0)
        return;
    tr_buf_reset(&scan->body);
    TR_JSON_LITERAL(&scan->body, "{\"scroll_id\":");
    tr_buf_append(&scan->body, scan->scroll.data, scan->scroll.length);
    tr_buf_append_char(&scan->body, '}');
    struct tr_slice body = {scan->body.data, scan->body.length};
    int rc = tr_es_call(scan->client, "DELETE", "/_search/scroll", body, &ignored);
    (void)rc;
}

int tr_es_scan(struct tr_es_client *client, const char *path, const char *query,
               const struct tr_es_visitor *visitor, struct tr_error *err)
{
    struct scan scan = {.client = client, .visitor = visitor};
    tr_buf_init(&scan.scroll, SCROLL_BYTES_MAX);
    tr_buf_init(&scan.body, SCROLL_BYTES_MAX + PATH_BYTES_MAX);
    int rc = first_page(&scan, path, query, err);
    while (rc == 0 && scan.hits > 0)
        rc = next_page(&scan, err);
    end_scroll(&scan);
    tr_buf_done(&scan.scroll);
    tr_buf_done(&scan.body);
    return tr_es_understood(rc, "a search", err);
}

int tr_es_refresh(struct tr_es_client *client, const char *path, struct tr_error *err)
{
    char target[PATH_BYTES_MAX];
    snprintf(target, sizeof(target), "%s/_refresh", path);
    int rc = tr_es_call(client, "POST", target, (struct tr_slice){"", 0}, err);
    if (rc != 0 || client->status == 200 || client->status == 404)
        return rc;
    return tr_es_unexpected(client, "a refresh", err);
}

static int check_item(const struct tr_es_item *item, const char *what, struct tr_error *err)
{
    enum tr_es_verdict verdict = tr_es_classify(item);
    if (verdict == TR_ES_APPLIED || verdict == TR_ES_STALE || (item->remove && item->status == 404))
        return 0;
    struct tr_buf reason;
    tr_buf_init(&reason, TR_ES_REPLY_BYTES_MAX);
    tr_es_item_reason(item, &reason);
    tr_error_set(err, verdict == TR_ES_RETRY ? TR_ESTORE_RETRY : TR_ESTORE,
                 "elasticsearch answers %d to %s: %.*s", item->status, what, (int)reason.length,
                 reason.length > 0 ? reason.data : "");
    tr_buf_done(&reason);
    return err->code;
}

int tr_es_bulk_all(struct tr_es_client *client, struct tr_slice body, const char *what,
                   struct tr_error *err)
{
    struct tr_es_reply reply;
    struct tr_es_item item;
    if (body.length == 0)
        return 0;
    int rc = tr_es_call_ok(client, "POST", TR_ES_BULK_PATH, body, what, err);
    if (rc != 0)
        return rc;
    rc = tr_es_reply_open(&reply, (struct tr_slice){client->reply.data, client->reply.length}, err);
    while (rc == 0 && (rc = tr_es_reply_next(&reply, &item, err)) == 1)
        rc = check_item(&item, what, err);
    return tr_es_understood(rc, what, err);
}
