/* index_drop.c - see index.h. Listing and removing what `reset --drop` removes. */
#include <inttypes.h>
#include <stdio.h>

#include "index.h"
#include "names.h"
#include "owner.h"

#define PATH_BYTES_MAX 4096
#define NAMES_BYTES_MAX ((size_t)1 << 20)

static const struct tr_slice nothing = {"", 0};

/* The table's indices that are ours: names, each with a NUL behind it. Somebody else's index is not
 * removed, whatever its name. */
static int list(struct tr_sink *sink, struct tr_es_client *client, const struct tr_es_table *table,
                struct tr_buf *names, struct tr_error *err)
{
    char path[PATH_BYTES_MAX];
    struct tr_json_cursor cursor;
    struct tr_es_owned owned;
    snprintf(path, sizeof(path), "%s.g*" TR_ES_OWNER_QUERY, table->path);
    int rc = tr_es_call_ok(client, "GET", path, nothing, "a look at the indices", err);
    if (rc == 0)
        rc = tr_es_owned_open(&cursor, client, err);
    if (rc != 0)
        return rc;
    while ((rc = tr_es_owned_next(&cursor, sink, &owned, err)) == 1) {
        if (!owned.ours || !tr_es_is_generation(owned.index, table->alias))
            continue;
        tr_buf_append_slice(names, owned.index);
        tr_buf_append_char(names, '\0');
    }
    return rc < 0 ? rc : tr_buf_check(names, "the list of indices", err);
}

static int index_path(char *path, const char *name, const char *suffix, struct tr_error *err)
{
    struct tr_buf escaped;
    tr_buf_init(&escaped, PATH_BYTES_MAX / 2);
    tr_http_escape(&escaped, tr_slice_of(name));
    int rc = tr_buf_check(&escaped, "an index name", err);
    if (rc == 0)
        snprintf(path, PATH_BYTES_MAX, "/%.*s%s", (int)escaped.length, escaped.data, suffix);
    tr_buf_done(&escaped);
    return rc;
}

/* -1 when the server does not say, as for a closed index. */
static int64_t count_documents(struct tr_es_client *client, const char *name)
{
    char path[PATH_BYTES_MAX];
    struct tr_error ignored = {0};
    struct tr_json_value top, count;
    int64_t result = -1;
    if (index_path(path, name, "/_count", &ignored) != 0 ||
        tr_es_call_ok(client, "GET", path, nothing, "a count", &ignored) != 0)
        return -1;
    struct tr_slice text = {client->reply.data, client->reply.length};
    if (tr_json_parse(text, &top, &ignored) == 0 && top.type == TR_JSON_OBJECT &&
        tr_json_find(&top, "count", &count, &ignored) == 1 && !tr_json_to_int(&count, &result))
        result = -1;
    return result;
}

int tr_es_index_plan(struct tr_sink *sink, struct tr_es_client *client,
                     const struct tr_es_table *table, struct tr_buf *lines, struct tr_error *err)
{
    struct tr_buf names;
    tr_buf_init(&names, NAMES_BYTES_MAX);
    int rc = list(sink, client, table, &names, err);
    for (size_t at = 0; rc == 0 && at < names.length; at += strlen(names.data + at) + 1) {
        int64_t count = count_documents(client, names.data + at);
        tr_buf_printf(lines, "index %s of alias %s", names.data + at, table->alias);
        if (count >= 0)
            tr_buf_printf(lines, ": %" PRId64 " documents", count);
        tr_buf_append_char(lines, '\n');
    }
    tr_buf_done(&names);
    return rc;
}

int tr_es_index_drop(struct tr_sink *sink, struct tr_es_client *client,
                     const struct tr_es_table *table, struct tr_error *err)
{
    char path[PATH_BYTES_MAX];
    struct tr_buf names;
    tr_buf_init(&names, NAMES_BYTES_MAX);
    int rc = list(sink, client, table, &names, err);
    for (size_t at = 0; rc == 0 && at < names.length; at += strlen(names.data + at) + 1) {
        rc = index_path(path, names.data + at, "", err);
        if (rc == 0)
            rc = tr_es_call(client, "DELETE", path, nothing, err);
        if (rc == 0 && client->status != 200 && client->status != 404)
            rc = tr_es_unexpected(client, "the removal of an index", err);
    }
    tr_buf_done(&names);
    return rc;
}
