/* needs.c - see needs.h. */
#include "needs.h"

#include <stdio.h>
#include <stdlib.h>

#include "json_writer.h"

#define REASON_MAX 200

void tr_needs_init(struct tr_needs *needs)
{
    memset(needs, 0, sizeof(*needs));
    pthread_mutex_init(&needs->lock, NULL);
}

static void free_item(struct tr_needs_snapshot *item)
{
    free((void *)(uintptr_t)item->table.data);
    free((void *)(uintptr_t)item->reason.data);
}

static void free_altered(struct tr_needs_stretch *item)
{
    free((void *)(uintptr_t)item->altered.database.data);
    free((void *)(uintptr_t)item->altered.table.data);
}

void tr_needs_done(struct tr_needs *needs)
{
    for (uint32_t i = 0; i < needs->count; i++)
        free_item(&needs->items[i]);
    free(needs->items);
    for (uint32_t i = 0; i < needs->altered_count; i++)
        free_altered(&needs->altered[i]);
    free(needs->altered);
    free(needs->listed);
    pthread_mutex_destroy(&needs->lock);
}

/* Under the lock; needs->count when it isn't there. */
static uint32_t find(const struct tr_needs *needs, struct tr_slice name)
{
    uint32_t i = 0;
    while (i < needs->count && !tr_slice_equal(needs->items[i].table, name))
        i++;
    return i;
}

/* All of its bytes, also behind a NUL: a statement's text may hold some. */
static char *copy_text(struct tr_slice text)
{
    char *copy = calloc(1, text.length + 1);
    if (copy != NULL && text.data != NULL)
        memcpy(copy, text.data, text.length);
    return copy;
}

/* A statement comes in its client's character set: what isn't UTF-8 then loses its odd letters. */
static char *copy_reason(struct tr_slice text, size_t *length)
{
    *length = text.length < REASON_MAX ? text.length : REASON_MAX;
    while (*length > 0 && *length < text.length && (text.data[*length] & 0xc0) == 0x80)
        (*length)--;
    char *copy = copy_text((struct tr_slice){text.data, *length});
    if (copy == NULL || tr_json_utf8_valid(copy, *length))
        return copy;
    for (size_t i = 0; i < *length; i++)
        if ((copy[i] & 0x80) != 0)
            copy[i] = '?';
    return copy;
}

/* Under the lock. */
static int append(struct tr_needs *needs, struct tr_slice name, int64_t version,
                  struct tr_slice reason, struct tr_error *err)
{
    if (needs->count == needs->capacity) {
        uint32_t capacity = needs->capacity == 0 ? 16 : needs->capacity * 2;
        struct tr_needs_snapshot *items = realloc(needs->items, capacity * sizeof(*items));
        if (items == NULL)
            return tr_error_set(err, TR_ENOMEM, "no memory for tables that need a snapshot");
        needs->items = items;
        needs->capacity = capacity;
    }
    size_t reason_length;
    char *name_copy = copy_text(name);
    char *reason_copy = copy_reason(reason, &reason_length);
    if (name_copy == NULL || reason_copy == NULL) {
        free(name_copy);
        free(reason_copy);
        return tr_error_set(err, TR_ENOMEM, "no memory for tables that need a snapshot");
    }
    needs->items[needs->count++] = (struct tr_needs_snapshot){
        .table = {name_copy, name.length},
        .version = version,
        .reason = {reason_copy, reason_length},
    };
    return 0;
}

static void full_name(struct tr_buf *out, struct tr_slice database, struct tr_slice table)
{
    tr_buf_append_slice(out, database);
    tr_buf_append_char(out, '.');
    tr_buf_append_slice(out, table);
}

int tr_needs_add(struct tr_needs *needs, struct tr_slice database, struct tr_slice table,
                 int64_t version, struct tr_slice reason, struct tr_error *err)
{
    struct tr_buf name;
    tr_buf_init(&name, 4096);
    full_name(&name, database, table);
    int rc = tr_buf_check(&name, "a table's name", err);
    struct tr_slice text = {name.data, name.length};
    pthread_mutex_lock(&needs->lock);
    if (rc == 0 && find(needs, text) == needs->count)
        rc = append(needs, text, version, reason, err);
    pthread_mutex_unlock(&needs->lock);
    tr_buf_done(&name);
    return rc;
}

void tr_needs_clear(struct tr_needs *needs, struct tr_slice database, struct tr_slice table)
{
    struct tr_buf name;
    tr_buf_init(&name, 4096);
    full_name(&name, database, table);
    pthread_mutex_lock(&needs->lock);
    uint32_t at = find(needs, (struct tr_slice){name.data, name.length});
    if (at < needs->count) {
        free_item(&needs->items[at]);
        needs->count--;
        memmove(&needs->items[at], &needs->items[at + 1],
                (needs->count - at) * sizeof(needs->items[0]));
    }
    pthread_mutex_unlock(&needs->lock);
    tr_buf_done(&name);
}

/* ---- tables that were altered -----------------------------------------------------------------
 */

/* Under the lock; the one that waits for the table's next row, NULL when there is none. */
static struct tr_needs_stretch *find_waiting(struct tr_needs *needs, struct tr_slice database,
                                             struct tr_slice table)
{
    for (uint32_t i = 0; i < needs->altered_count; i++) {
        struct tr_needs_stretch *item = &needs->altered[i];
        if (item->looked == 0 && tr_slice_equal(item->altered.table, table) &&
            tr_slice_equal(item->altered.database, database))
            return item;
    }
    return NULL;
}

static int append_altered(struct tr_needs *needs, const struct tr_altered_table *altered,
                          struct tr_error *err)
{
    if (needs->altered_count == needs->altered_capacity) {
        uint32_t capacity = needs->altered_capacity == 0 ? 16 : needs->altered_capacity * 2;
        struct tr_needs_stretch *items = realloc(needs->altered, capacity * sizeof(*items));
        if (items == NULL)
            return tr_error_set(err, TR_ENOMEM, "no memory for tables that were altered");
        needs->altered = items;
        struct tr_altered_table *listed = realloc(needs->listed, capacity * sizeof(*listed));
        if (listed == NULL)
            return tr_error_set(err, TR_ENOMEM, "no memory for tables that were altered");
        needs->listed = listed;
        needs->altered_capacity = capacity;
    }
    struct tr_needs_stretch item = {.altered = *altered};
    item.altered.database.data = copy_text(altered->database);
    item.altered.table.data = copy_text(altered->table);
    if (item.altered.database.data == NULL || item.altered.table.data == NULL) {
        free_altered(&item);
        return tr_error_set(err, TR_ENOMEM, "no memory for tables that were altered");
    }
    needs->altered[needs->altered_count++] = item;
    return 0;
}

/* Waiting ones of a table, or of a whole database; the oldest. */
static uint32_t count_waiting(struct tr_needs *needs, bool databases,
                              struct tr_needs_stretch **oldest)
{
    uint32_t waiting = 0;
    for (uint32_t i = needs->altered_count; i > 0; i--) {
        struct tr_needs_stretch *item = &needs->altered[i - 1];
        const struct tr_altered_table *altered = &item->altered;
        if (item->looked != 0 || altered->database.length == 0 ||
            (altered->table.length == 0) != databases)
            continue;
        *oldest = item;
        waiting++;
    }
    return waiting;
}

/* Names that come and go, a table a job, must not add up: of the oldest it is remembered that no
 * shape from before may be trusted in their whole database, and of the oldest of many databases
 * that none may at all. */
static void take_together(struct tr_needs *needs, bool databases)
{
    static const struct tr_slice all = {"", 0};
    struct tr_needs_stretch *oldest = NULL;
    if (count_waiting(needs, databases, &oldest) <= TR_NEEDS_ALTERED_MAX)
        return;
    struct tr_altered_table *altered = &oldest->altered;
    struct tr_needs_stretch *before = find_waiting(needs, databases ? all : altered->database, all);
    if (before != NULL)
        before->looked = altered->version;
    if (databases)
        altered->database.length = 0;
    altered->table.length = 0;
}

int tr_needs_altered(struct tr_needs *needs, struct tr_slice database, struct tr_slice table,
                     int64_t version, struct tr_error *err)
{
    const struct tr_altered_table altered = {database, table, version};
    int rc = 0;
    pthread_mutex_lock(&needs->lock);
    if (find_waiting(needs, database, table) == NULL) {
        rc = append_altered(needs, &altered, err);
        take_together(needs, false);
        take_together(needs, true);
    }
    pthread_mutex_unlock(&needs->lock);
    return rc;
}

void tr_needs_looked(struct tr_needs *needs, struct tr_slice database, struct tr_slice table,
                     int64_t version)
{
    pthread_mutex_lock(&needs->lock);
    struct tr_needs_stretch *item = find_waiting(needs, database, table);
    if (item != NULL)
        item->looked = version;
    pthread_mutex_unlock(&needs->lock);
}

/* Those whose stretch the checkpoint's position lies in; what lies before it is forgotten. */
static void list_altered(struct tr_needs *needs, struct tr_checkpoint *checkpoint)
{
    uint32_t kept = 0, listed = 0;
    for (uint32_t i = 0; i < needs->altered_count; i++) {
        struct tr_needs_stretch *item = &needs->altered[i];
        if (item->looked != 0 && item->looked <= checkpoint->version) {
            free_altered(item);
            continue;
        }
        if (item->altered.version <= checkpoint->version)
            needs->listed[listed++] = item->altered;
        needs->altered[kept++] = *item;
    }
    needs->altered_count = kept;
    checkpoint->altered = needs->listed;
    checkpoint->altered_count = listed;
}

/* ---- the checkpoint ---------------------------------------------------------------------------
 */

int tr_needs_load(struct tr_needs *needs, const struct tr_checkpoint *checkpoint,
                  struct tr_error *err)
{
    int rc = 0;
    pthread_mutex_lock(&needs->lock);
    for (uint32_t i = 0; rc == 0 && i < checkpoint->needs_snapshot_count; i++) {
        const struct tr_needs_snapshot *item = &checkpoint->needs_snapshot[i];
        if (find(needs, item->table) == needs->count)
            rc = append(needs, item->table, item->version, item->reason, err);
    }
    for (uint32_t i = 0; rc == 0 && i < checkpoint->altered_count; i++)
        rc = append_altered(needs, &checkpoint->altered[i], err);
    pthread_mutex_unlock(&needs->lock);
    return rc;
}

uint32_t tr_needs_count(struct tr_needs *needs)
{
    pthread_mutex_lock(&needs->lock);
    uint32_t count = needs->count;
    pthread_mutex_unlock(&needs->lock);
    return count;
}

bool tr_needs_name(struct tr_needs *needs, uint32_t number, char *name, size_t size)
{
    pthread_mutex_lock(&needs->lock);
    bool there = number < needs->count;
    if (there)
        snprintf(name, size, "%.*s", (int)needs->items[number].table.length,
                 needs->items[number].table.data);
    pthread_mutex_unlock(&needs->lock);
    return there;
}

int64_t tr_needs_since(struct tr_needs *needs, struct tr_slice name)
{
    pthread_mutex_lock(&needs->lock);
    uint32_t at = find(needs, name);
    int64_t version = at < needs->count ? needs->items[at].version : 0;
    pthread_mutex_unlock(&needs->lock);
    return version;
}

int tr_needs_write_checkpoint(struct tr_needs *needs, struct tr_checkpoint *checkpoint,
                              struct tr_buf *key, struct tr_buf *value, struct tr_error *err)
{
    pthread_mutex_lock(&needs->lock);
    checkpoint->needs_snapshot = needs->items;
    checkpoint->needs_snapshot_count = needs->count;
    list_altered(needs, checkpoint);
    int rc = tr_checkpoint_write(checkpoint, key, value, err);
    pthread_mutex_unlock(&needs->lock);
    return rc;
}
