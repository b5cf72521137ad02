/* route.c - see route.h. */
#include "route.h"

#include <inttypes.h>
#include <stdio.h>

#include "event.h"
#include "hash.h"

struct routing {
    struct tr_tables *tables;
    struct tr_batch *batch;
    struct tr_part *part;
    struct tr_kafka_message *message;
    bool control_read;
};

/* ---- small things ---------------------------------------------------------------------------- */

static int count_as(const struct routing *r, enum tr_outcome outcome, struct tr_error *err)
{
    return tr_batch_count(r->batch, r->part, r->message, outcome, err);
}

static int refuse(const struct routing *r, const struct tr_error *why, struct tr_error *err)
{
    char text[640];
    tr_error_format(why, text, sizeof(text));
    return tr_batch_refuse(r->batch, r->part, r->message, text, err);
}

/* Most records are of the same table as the one before. */
static struct tr_table *table_of(const struct routing *r, struct tr_slice database,
                                 struct tr_slice name, struct tr_error *err)
{
    struct tr_table *table = r->part->table;
    if (table != NULL && tr_slice_equal(table->table_json, name) &&
        tr_slice_equal(table->database_json, database))
        return table;
    table = tr_tables_find(r->tables, database, name, err);
    r->part->table = table;
    return table;
}

/* A fast hash for tables inside this process: eight bytes at a time. */
static uint64_t key_hash(struct tr_slice key)
{
    uint64_t hash = key.length * UINT64_C(0x9E3779B97F4A7C15), word;
    const char *at = key.data;
    size_t left = key.length;
    for (; left >= 8; at += 8, left -= 8) {
        memcpy(&word, at, 8);
        hash = (hash ^ word) * UINT64_C(0xff51afd7ed558ccd);
        hash ^= hash >> 32;
    }
    word = 0;
    memcpy(&word, at, left);
    hash = (hash ^ word) * UINT64_C(0xc4ceb9fe1a85ec53);
    return hash ^ (hash >> 29);
}

static bool below_floor(const struct tr_table *table, int64_t version)
{
    return version < atomic_load_explicit(&table->sink.floor, memory_order_relaxed);
}

/* ---- tombstones ------------------------------------------------------------------------------ */

/* Decimal text; -1 when it is none. */
static int64_t parse_version(struct tr_slice text)
{
    int64_t version = 0;
    if (text.length == 0 || text.length > 16)
        return -1;
    for (size_t i = 0; i < text.length; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return -1;
        version = version * 10 + (text.data[i] - '0');
    }
    return version < TR_VERSION_MAX ? version : -1;
}

/* By itself a guarded delete: compaction may have removed the delete that it followed. */
static int route_tombstone(const struct routing *r, struct tr_error *err)
{
    struct tr_error why = {0};
    struct tr_event_key key;
    struct tr_slice text;
    if (!tr_kafka_message_header(r->message, "tailrace-version", &text))
        return count_as(r, TR_OUT_FILTERED, err);
    int64_t version = parse_version(text);
    if (version < 0) {
        tr_error_set(&why, TR_EPOISON, "a tombstone whose header tailrace-version is no version");
        return refuse(r, &why, err);
    }
    if (tr_event_key_scan(&key, r->message->key, &why) < 0)
        return refuse(r, &why, err);
    struct tr_table *table = table_of(r, key.database, key.table, err);
    if (table == NULL)
        return err->code;
    if (!table->taken)
        return count_as(r, TR_OUT_FILTERED, err);
    uint64_t hash = key_hash(r->message->key);
    if (version == r->part->delete_version && hash == r->part->delete_hash)
        return count_as(r, TR_OUT_SUPERSEDED, err);
    if (below_floor(table, version))
        return count_as(r, TR_OUT_STALE, err);
    /* The key's columns as they were then; of before the first shape we know, the newest must do.
     */
    const struct tr_shape *shape = tr_tables_shape(r->tables, table, 0, version);
    if (shape == NULL)
        shape = atomic_load(&table->sink.newest);
    if (shape == NULL || !table->ready)
        return TR_ROUTE_SHAPE;
    const struct tr_sink_record record = {.table = &table->sink,
                                          .shape = shape,
                                          .remove = true,
                                          .version = version,
                                          .key = r->message->key};
    return tr_batch_add(r->batch, r->part, r->message, &record, hash, err);
}

/* ---- events ---------------------------------------------------------------------------------- */

static int route_marker(const struct routing *r, const struct tr_event *ev, struct tr_table *table,
                        struct tr_error *err)
{
    if (ev->type == TR_EVENT_BARRIER)
        return tr_error_set(err, TR_ESTATE,
                            "%s/%d offset %" PRId64 " is a barrier (the table's topic or its "
                            "partitions were changed), which this version can't pass",
                            r->part->topic_name, (int)r->part->partition, r->message->offset);
    /* Shapes are in control before the first row: without one, no row of it was ever published. */
    if (!table->ready)
        return r->control_read ? count_as(r, TR_OUT_FILTERED, err) : TR_ROUTE_SHAPE;
    if (below_floor(table, ev->version))
        return count_as(r, TR_OUT_STALE, err);
    /* At once, so that what follows in this partition is judged by it. Rows of other partitions
     * that are dropped for it are rows that the marker, which is read again after a crash, removes.
     */
    tr_floor_raise(&table->sink, ev->version);
    return tr_batch_mark(r->batch, r->part, r->message, &table->sink, ev->type, ev->version, err);
}

static int route_row(const struct routing *r, const struct tr_event *ev, struct tr_table *table,
                     struct tr_error *err)
{
    if (below_floor(table, ev->version))
        return count_as(r, TR_OUT_STALE, err);
    const struct tr_shape *shape = tr_tables_shape(r->tables, table, ev->schema_id, ev->version);
    if (shape == NULL || !table->ready)
        return TR_ROUTE_SHAPE;
    const struct tr_sink_record record = {
        .table = &table->sink,
        .shape = shape,
        .remove = ev->type == TR_EVENT_DELETE,
        .version = ev->version,
        .key = r->message->key,
        .data = ev->data,
        .invalid = ev->invalid,
    };
    uint64_t hash = key_hash(r->message->key);
    if (record.remove) {
        r->part->delete_hash = hash;
        r->part->delete_version = ev->version;
    }
    return tr_batch_add(r->batch, r->part, r->message, &record, hash, err);
}

static int route_event(const struct routing *r, struct tr_error *err)
{
    struct tr_error why;
    struct tr_event ev;
    why.code = 0; /* the rest is large, and only looked at when this is set */
    why.native = 0;
    why.frame_count = 0;
    if (tr_event_scan(&ev, r->message->value, &why) < 0)
        return refuse(r, &why, err);
    /* Of a row it is read column by column, when the store asks: `{}` is the least. */
    if (r->message->key.length < 2) {
        tr_error_set(&why, TR_EPOISON, "an event without a key");
        return refuse(r, &why, err);
    }
    struct tr_table *table = table_of(r, ev.database, ev.table, err);
    if (table == NULL)
        return err->code;
    if (!table->taken)
        return count_as(r, TR_OUT_FILTERED, err);
    if (tr_event_is_marker(ev.type))
        return route_marker(r, &ev, table, err);
    return route_row(r, &ev, table, err);
}

/* ---- from outside ---------------------------------------------------------------------------- */

int tr_route(struct tr_tables *tables, struct tr_lane *lane, struct tr_part *part,
             struct tr_kafka_message *message, bool control_read, struct tr_error *err)
{
    const struct routing r = {tables, tr_lane_batch(lane), part, message, control_read};
    if (r.batch == NULL)
        return TR_ROUTE_FULL;
    int rc = message->tombstone ? route_tombstone(&r, err) : route_event(&r, err);
    if (rc < 0)
        tr_kafka_message_free(message);
    return rc;
}

void tr_route_describe(const struct tr_kafka_message *message, char *out, size_t size)
{
    struct tr_error why = {0};
    struct tr_event ev;
    struct tr_event_key key;
    if (message->tombstone && tr_event_key_scan(&key, message->key, &why) == 0)
        snprintf(out, size, "a shape of table %.*s.%.*s", (int)key.database.length,
                 key.database.data, (int)key.table.length, key.table.data);
    else if (message->tombstone || tr_event_scan(&ev, message->value, &why) < 0)
        snprintf(out, size, "a shape");
    else
        snprintf(out, size, "schema_id %" PRId64 " of table %.*s.%.*s", ev.schema_id,
                 (int)ev.database.length, ev.database.data, (int)ev.table.length, ev.table.data);
}
