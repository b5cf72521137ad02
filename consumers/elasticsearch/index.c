/* index.c - see index.h. */
#include "index.h"

#include <stdio.h>
#include <stdlib.h>

#include "log.h"
#include "mapping.h"
#include "names.h"
#include "owner.h"
#include "state.h"

#define PATH_BYTES_MAX 4096
#define BODY_BYTES_MAX ((size_t)16 << 20)

static const struct tr_slice nothing = {"", 0};

static struct tr_slice reply_of(const struct tr_es_client *client)
{
    return (struct tr_slice){client->reply.data, client->reply.length};
}

/* ---- whose index -------------------------------------------------------------------------------
 */

static int foreign(const struct tr_es_table *table, const char *what, struct tr_error *err)
{
    return tr_error_set(err, TR_ESTATE,
                        "elasticsearch: %s '%s'; remove it, or give table %.*s.%.*s another name "
                        "with `index:` under elasticsearch.tables",
                        what, table->alias, (int)table->source->database.length,
                        table->source->database.data, (int)table->source->table.length,
                        table->source->table.data);
}

static int earlier(const struct tr_es_table *table, struct tr_error *err)
{
    return tr_error_set(err, TR_ESTATE,
                        "elasticsearch: index %s holds rows of an earlier pipeline with the same "
                        "name, whose versions are not comparable; `tailrace-elasticsearch reset "
                        "--to beginning --drop` removes them and fills it again",
                        table->alias);
}

static int check_owner(struct tr_sink *sink, struct tr_es_client *client,
                       const struct tr_es_table *table, const char *index, struct tr_error *err)
{
    char path[PATH_BYTES_MAX];
    struct tr_json_cursor cursor;
    struct tr_es_owned owned = {0};
    snprintf(path, sizeof(path), "/%s" TR_ES_OWNER_QUERY, index);
    int rc = tr_es_call_ok(client, "GET", path, nothing, "a look at an index", err);
    if (rc == 0)
        rc = tr_es_owned_open(&cursor, client, err);
    if (rc == 0)
        rc = tr_es_owned_next(&cursor, sink, &owned, err);
    if (rc < 0)
        return rc;
    if (!owned.ours)
        return foreign(table, "another pipeline's index stands behind the alias", err);
    if (!owned.same_id && sink->pipeline_id[0] != '\0')
        return earlier(table, err);
    return 0;
}

/* ---- the alias ---------------------------------------------------------------------------------
 */

enum place { PLACE_ALIAS, PLACE_NOTHING };

/* The only index behind the alias; its name, percent-encoded, goes to `index`. */
static int read_alias(struct tr_es_client *client, const struct tr_es_table *table,
                      struct tr_buf *index, struct tr_error *err)
{
    struct tr_json_cursor indices;
    struct tr_json_value name, value;
    int rc = tr_es_object_open(&indices, reply_of(client), err);
    if (rc != 0)
        return rc;
    rc = tr_json_next(&indices, &name, &value, err);
    if (rc != 1)
        return rc < 0 ? rc : foreign(table, "there is nothing behind the alias", err);
    struct tr_slice plain = {name.text.data + 1, name.text.length - 2};
    if (!tr_es_is_generation(plain, table->alias))
        return foreign(table, "an index that is not tailrace's stands behind the alias", err);
    tr_buf_reset(index);
    tr_http_escape(index, plain);
    tr_buf_append_char(index, '\0');
    rc = tr_json_next(&indices, &name, &value, err);
    if (rc == 1)
        return foreign(table, "several indices stand behind the alias", err);
    return rc == 0 ? tr_buf_check(index, "an index name", err) : rc;
}

/* What stands at the alias's name. PLACE_ALIAS: `index` is the index behind it. */
static int look(struct tr_es_client *client, const struct tr_es_table *table, enum place *place,
                struct tr_buf *index, struct tr_error *err)
{
    char path[PATH_BYTES_MAX];
    snprintf(path, sizeof(path), "/_alias%s", table->path);
    int rc = tr_es_call(client, "GET", path, nothing, err);
    if (rc != 0)
        return rc;
    *place = PLACE_ALIAS;
    if (client->status == 200)
        return tr_es_understood(read_alias(client, table, index, err), "a look at an alias", err);
    if (client->status != 404)
        return tr_es_unexpected(client, "a look at an alias", err);
    rc = tr_es_call(client, "HEAD", table->path, nothing, err);
    if (rc != 0)
        return rc;
    if (client->status == 200)
        return foreign(table, "an index of its own stands in the place of the alias", err);
    *place = PLACE_NOTHING;
    return 0;
}

int tr_es_index_check(struct tr_sink *sink, struct tr_es_client *client,
                      const struct tr_es_table *table, struct tr_error *err)
{
    enum place place = PLACE_NOTHING;
    struct tr_buf index;
    tr_buf_init(&index, PATH_BYTES_MAX);
    int rc = look(client, table, &place, &index, err);
    if (rc == 0 && place == PLACE_ALIAS)
        rc = check_owner(sink, client, table, index.data, err);
    tr_buf_done(&index);
    return rc;
}

/* ---- columns -----------------------------------------------------------------------------------
 */

static int put_mapping(struct tr_es_client *client, const struct tr_es_table *table,
                       const struct tr_shape *shape, uint32_t first, uint32_t end,
                       struct tr_error *err)
{
    char path[PATH_BYTES_MAX];
    struct tr_buf body;
    tr_buf_init(&body, BODY_BYTES_MAX);
    tr_es_mapping_properties(&body, shape, table->fields, first, end);
    snprintf(path, sizeof(path), "%s/_mapping", table->path);
    int rc = tr_buf_check(&body, "a mapping", err);
    if (rc == 0)
        rc = tr_es_call(client, "PUT", path, (struct tr_slice){body.data, body.length}, err);
    if (rc == 0 && client->status != 200 && client->status != 400)
        rc = tr_es_unexpected(client, "a change of the mapping", err);
    tr_buf_done(&body);
    return rc;
}

/* Whether the index has a field for the column, whatever its type. */
static int has_field(struct tr_es_client *client, const struct tr_es_table *table,
                     const struct tr_shape_column *column, bool *has, struct tr_error *err)
{
    static const char query[] = "?filter_path=*.mappings.*.full_name";
    struct tr_buf path;
    tr_buf_init(&path, PATH_BYTES_MAX);
    tr_buf_printf(&path, "%s/_mapping/field/", table->path);
    tr_http_escape(&path, column->name);
    tr_buf_append(&path, query, sizeof(query));
    int rc = tr_buf_check(&path, "a column's name", err);
    if (rc == 0)
        rc = tr_es_call_ok(client, "GET", path.data, nothing, "a look at a field", err);
    *has = rc == 0 && client->reply.length > strlen("{}");
    tr_buf_done(&path);
    return rc;
}

/* The server refused this column. One that is there already stays as it is: values that do not fit
 * are refused one by one. One that is missing would have every row refused. */
static int settle_column(struct tr_es_client *client, const struct tr_es_table *table,
                         const struct tr_shape *shape, const struct tr_shape_column *column,
                         struct tr_error *err)
{
    bool has = false;
    struct tr_error refusal = {0};
    tr_es_unexpected(client, "the field of a column", &refusal);
    int rc = has_field(client, table, column, &has, err);
    if (rc != 0)
        return rc;
    if (!has)
        return tr_error_set(err, TR_ESTORE,
                            "column `%.*s` of table %.*s.%.*s can't be added to index %s: %s; give "
                            "it another mapping under `fields:`, or raise the index's limit",
                            (int)column->name.length, column->name.data,
                            (int)shape->database.length, shape->database.data,
                            (int)shape->table.length, shape->table.data, table->alias,
                            refusal.text);
    char name[128];
    snprintf(name, sizeof(name), "%.*s", (int)column->name.length, column->name.data);
    tr_log(TR_LOG_WARN, "elasticsearch", "the field keeps its old mapping",
           TR_STR("index", table->alias), TR_STR("column", name), TR_STR("reason", refusal.text),
           TR_STR("next", "values that do not fit go to dead letters; a reset with --drop makes "
                          "the index anew"),
           TR_END);
    return 0;
}

static int extend_by(struct tr_es_client *client, const struct tr_es_table *table,
                     const struct tr_shape *shape, uint32_t column, struct tr_error *err)
{
    int rc = put_mapping(client, table, shape, column, column + 1, err);
    if (rc == 0 && client->status == 400)
        rc = settle_column(client, table, shape, &shape->columns[column], err);
    return rc;
}

static int extend(struct tr_es_client *client, const struct tr_es_table *table,
                  const struct tr_shape *shape, struct tr_error *err)
{
    int rc = put_mapping(client, table, shape, 0, shape->column_count, err);
    if (rc != 0 || client->status == 200)
        return rc;
    for (uint32_t i = 0; i < shape->column_count && rc == 0; i++)
        rc = extend_by(client, table, shape, i, err);
    return rc;
}

/* A replay's older records have columns that the newest shape has no longer. Those that it has are
 * mapped as it says: by an older type, values of today could be refused for ever. */
static int add_dropped(struct tr_es_client *client, const struct tr_es_table *table,
                       const struct tr_shape *shape, const struct tr_shape *newest,
                       struct tr_error *err)
{
    int rc = 0;
    for (uint32_t i = 0; i < shape->column_count && rc == 0; i++)
        if (tr_shape_find_column(newest, shape->columns[i].name) == NULL)
            rc = extend_by(client, table, shape, i, err);
    return rc;
}

/* ---- making ------------------------------------------------------------------------------------
 */

/* False in *made when another process was quicker. */
static int make(struct tr_sink *sink, struct tr_es_client *client, const struct tr_es_table *table,
                const struct tr_shape *shape, bool *made, struct tr_error *err)
{
    char path[PATH_BYTES_MAX];
    struct tr_buf body;
    const struct tr_es_owner owner = {sink->context->pipeline, sink->pipeline_id,
                                      sink->context->consumer};
    tr_buf_init(&body, BODY_BYTES_MAX);
    tr_es_mapping_index(&body, table->alias, &owner, shape, table->fields);
    snprintf(path, sizeof(path), "%s.g%d", table->path, sink->generation);
    int rc = tr_buf_check(&body, "a mapping", err);
    if (rc == 0)
        rc = tr_es_call(client, "PUT", path, (struct tr_slice){body.data, body.length}, err);
    tr_buf_done(&body);
    if (rc != 0)
        return rc;
    *made = client->status == 200;
    if (*made || tr_es_error_is(client, "resource_already_exists_exception"))
        return 0;
    tr_es_unexpected(client, "the making of an index", err);
    return tr_error_frame(err, "index %s: see `index:` and `fields:`", table->alias);
}

static int vanished(const struct tr_es_table *table, struct tr_error *err)
{
    return tr_error_set(err, TR_ESTATE,
                        "elasticsearch: index %s is gone, and the rows it held with it; "
                        "`tailrace-elasticsearch reset --to beginning` fills it again",
                        table->alias);
}

/* Nothing is there. What once was there must not come back empty as if nothing had happened. */
static int make_first(struct tr_sink *sink, struct tr_es_client *client,
                      const struct tr_es_table *table, const struct tr_shape *shape, bool *made,
                      struct tr_error *err)
{
    bool had = false;
    int rc = tr_es_state_has_table(sink, client, table->source, &had, err);
    if (rc != 0)
        return rc;
    if (had)
        return vanished(table, err);
    return make(sink, client, table, shape, made, err);
}

/* The index is there, and as the newest shape has it or had it. */
static int prepare_there(struct tr_sink *sink, struct tr_es_client *client,
                         const struct tr_es_table *table, const struct tr_shape *newest,
                         struct tr_buf *index, struct tr_error *err)
{
    int rc = check_owner(sink, client, table, index->data, err);
    return rc == 0 ? extend(client, table, newest, err) : rc;
}

static int prepare(struct tr_sink *sink, struct tr_es_client *client,
                   const struct tr_es_table *table, const struct tr_shape *newest,
                   struct tr_error *err)
{
    enum place place = PLACE_NOTHING;
    struct tr_buf index;
    bool made = false;
    tr_buf_init(&index, PATH_BYTES_MAX);
    int rc = look(client, table, &place, &index, err);
    if (rc == 0 && place == PLACE_NOTHING) {
        rc = make_first(sink, client, table, newest, &made, err);
        if (rc == 0 && !made)
            rc = look(client, table, &place, &index, err);
    }
    if (rc == 0 && !made && place == PLACE_NOTHING)
        rc = foreign(table, "an index stands without the alias", err);
    else if (rc == 0 && !made)
        rc = prepare_there(sink, client, table, newest, &index, err);
    if (rc == 0 && table->ready_count == 0)
        rc = tr_es_state_put_table(sink, client, table, made, err);
    tr_buf_done(&index);
    return rc;
}

static bool is_ready(const struct tr_es_table *table, const struct tr_shape *shape)
{
    for (size_t i = table->ready_count; i > 0; i--)
        if (table->ready[i - 1] == shape)
            return true;
    return false;
}

static int remember(struct tr_es_table *table, const struct tr_shape *shape, struct tr_error *err)
{
    if (table->ready_count == table->ready_capacity) {
        size_t capacity = table->ready_capacity == 0 ? 4 : table->ready_capacity * 2;
        const struct tr_shape **ready = realloc(table->ready, capacity * sizeof(void *));
        if (ready == NULL)
            return tr_error_set(err, TR_ENOMEM, "no memory for a table's shapes");
        table->ready = ready;
        table->ready_capacity = capacity;
    }
    table->ready[table->ready_count++] = shape;
    return 0;
}

int tr_es_index_prepare(struct tr_sink *sink, struct tr_es_client *client,
                        struct tr_es_table *table, const struct tr_shape *shape,
                        struct tr_error *err)
{
    const struct tr_shape *newest = atomic_load(&table->source->newest);
    if (newest == NULL || newest->schema_id < shape->schema_id)
        newest = shape;
    int rc = 0;
    /* Held through the requests: another lane that needs this shape would only make the same. */
    pthread_mutex_lock(&sink->making);
    if (!is_ready(table, shape)) {
        rc = is_ready(table, newest) ? 0 : prepare(sink, client, table, newest, err);
        if (rc == 0 && !is_ready(table, newest))
            rc = remember(table, newest, err);
        if (rc == 0 && shape != newest)
            rc = add_dropped(client, table, shape, newest, err);
        if (rc == 0 && shape != newest)
            rc = remember(table, shape, err);
    }
    pthread_mutex_unlock(&sink->making);
    return rc;
}
