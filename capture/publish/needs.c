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

void tr_needs_done(struct tr_needs *needs)
{
    for (uint32_t i = 0; i < needs->count; i++)
        free_item(&needs->items[i]);
    free(needs->items);
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
    char *copy = malloc(text.length + 1);
    if (copy == NULL)
        return NULL;
    if (text.length > 0)
        memcpy(copy, text.data, text.length);
    copy[text.length] = '\0';
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
    pthread_mutex_unlock(&needs->lock);
    return rc;
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
    int rc = tr_checkpoint_write(checkpoint, key, value, err);
    pthread_mutex_unlock(&needs->lock);
    return rc;
}
