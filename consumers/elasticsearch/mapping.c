/* mapping.c - see mapping.h. */
#include "mapping.h"

#include <stdlib.h>

#include "json_writer.h"

#define FIELDS_LIMIT_DEFAULT 1000 /* index.mapping.total_fields.limit */
#define BIT_LONG_MAX 63           /* bits that a signed 64-bit number holds */

/* Names that the server keeps for itself; a document with one is refused. */
static const char *const reserved[] = {
    "_id",
    "_index",
    "_source",
    "_routing",

    "_version",
    "_seq_no",
    "_primary_term",
    "_ignored",
    "_field_names",
    "_tier",
    "_nested_path",
    "_doc_count",
    "_data_stream_timestamp",
    "_ignored_source",
};

static const char *name_fault(struct tr_slice name)
{
    for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++)
        if (tr_slice_equal(name, tr_slice_of(reserved[i])))
            return "is a name that Elasticsearch keeps for itself";
    size_t blank = 0;
    while (blank < name.length && name.data[blank] == ' ')
        blank++;
    if (blank == name.length)
        return "is blank";
    if (name.data[0] == '.' || name.data[name.length - 1] == '.' ||
        memmem(name.data, name.length, "..", 2) != NULL)
        return "has an empty part between dots";
    return NULL;
}

int tr_es_mapping_check(const struct tr_shape *shape, struct tr_error *err)
{
    for (uint32_t i = 0; i < shape->column_count; i++) {
        struct tr_slice name = shape->columns[i].name;
        const char *fault = name_fault(name);
        if (fault == NULL)
            continue;
        return tr_error_set(err, TR_ECONFIG,
                            "column `%.*s` of table %.*s.%.*s can't be a field: its name %s; "
                            "rename it or leave the table out with \"!%.*s.%.*s\" under "
                            "elasticsearch.tables",
                            (int)name.length, name.data, (int)shape->database.length,
                            shape->database.data, (int)shape->table.length, shape->table.data,
                            fault, (int)shape->database.length, shape->database.data,
                            (int)shape->table.length, shape->table.data);
    }
    return 0;
}

static bool is_json_word(const char *text)
{
    return strcmp(text, "true") == 0 || strcmp(text, "false") == 0;
}

static bool is_integer(const char *text)
{
    char *end;
    if (*text == '\0' || strlen(text) > 18 || (*text == '0' && text[1] != '\0'))
        return false;
    (void)strtoll(text, &end, 10);
    return *end == '\0' && strchr(" +", *text) == NULL;
}

static void put_node(struct tr_buf *out, const struct tr_node *node)
{
    if (node->type == TR_NODE_SCALAR) {
        if (node->null)
            TR_JSON_LITERAL(out, "null");
        else if (is_json_word(node->text) || is_integer(node->text))
            tr_buf_append_slice(out, tr_slice_of(node->text));
        else
            tr_json_text(out, tr_slice_of(node->text));
        return;
    }
    bool map = node->type == TR_NODE_MAP;
    tr_buf_append_char(out, map ? '{' : '[');
    for (const struct tr_node *child = node->child; child != NULL; child = child->next) {
        if (child != node->child)
            tr_buf_append_char(out, ',');
        if (map) {
            tr_json_text(out, tr_slice_of(child->key));
            tr_buf_append_char(out, ':');
        }
        put_node(out, child);
    }
    tr_buf_append_char(out, map ? '}' : ']');
}

static void put_override(struct tr_buf *out, const struct tr_node *node)
{
    if (node->type != TR_NODE_SCALAR) {
        put_node(out, node);
        return;
    }
    TR_JSON_LITERAL(out, "{\"type\":");
    tr_json_text(out, tr_slice_of(node->text));
    tr_buf_append_char(out, '}');
}

static void put_type(struct tr_buf *out, const char *type)
{
    tr_buf_printf(out, "{\"type\":\"%s\"}", type);
}

/* Zero dates are malformed for the server: kept in the row, only not searchable. */
static void put_date(struct tr_buf *out, bool time, uint32_t fraction)
{
    static const char digits[] = "SSSSSSSSS";
    tr_buf_printf(out, "{\"type\":\"date\",\"format\":\"uuuu-MM-dd%s%s%.*s\"",
                  time ? " HH:mm:ss" : "", fraction > 0 ? "." : "",
                  (int)(fraction < 9 ? fraction : 9), digits);
    TR_JSON_LITERAL(out, ",\"ignore_malformed\":true}");
}

static void put_characters(struct tr_buf *out, const struct tr_shape_column *column)
{
    if (column->key)
        put_type(out, "keyword");
    else if (tr_slice_equal(column->charset, TR_SLICE("binary")))
        put_type(out, "binary");
    else
        TR_JSON_LITERAL(out, "{\"type\":\"text\",\"fields\":{\"keyword\":{\"type\":\"keyword\","
                             "\"ignore_above\":256}}}");
}

/* Takes any JSON, keeps it in the row, and looks at none of it. */
static void put_opaque(struct tr_buf *out)
{
    TR_JSON_LITERAL(out, "{\"type\":\"object\",\"enabled\":false}");
}

static void put_by_type(struct tr_buf *out, const struct tr_shape_column *column)
{
    switch (column->type) {
    case TR_SQL_TINYINT:
    case TR_SQL_SMALLINT:
    case TR_SQL_MEDIUMINT:
    case TR_SQL_INT:
    case TR_SQL_YEAR:
        put_type(out, "long");
        return;
    case TR_SQL_BIGINT:
        put_type(out, column->is_unsigned ? "keyword" : "long");
        return;
    case TR_SQL_BIT:
        put_type(out, column->length > BIT_LONG_MAX ? "keyword" : "long");
        return;
    case TR_SQL_FLOAT:
    case TR_SQL_DOUBLE:
        put_type(out, "double");
        return;
    case TR_SQL_DECIMAL:
    case TR_SQL_TIME:
    case TR_SQL_ENUM:
    case TR_SQL_SET:
        put_type(out, "keyword");
        return;
    case TR_SQL_DATE:
        put_date(out, false, 0);
        return;
    case TR_SQL_DATETIME:
    case TR_SQL_TIMESTAMP:
        put_date(out, true, column->fraction);
        return;
    case TR_SQL_CHAR:
    case TR_SQL_VARCHAR:
    case TR_SQL_TEXT:
        put_characters(out, column);
        return;
    case TR_SQL_BINARY:
    case TR_SQL_VARBINARY:
    case TR_SQL_BLOB:
        put_type(out, column->key ? "keyword" : "binary");
        return;
    case TR_SQL_OTHER:
        break;
    }
    put_opaque(out);
}

static const struct tr_node *override_of(const struct tr_node *fields, struct tr_slice name)
{
    for (const struct tr_node *node = fields != NULL ? fields->child : NULL; node != NULL;
         node = node->next)
        if (tr_slice_equal(tr_slice_of(node->key), name))
            return node;
    return NULL;
}

void tr_es_mapping_field(struct tr_buf *out, const struct tr_shape_column *column,
                         const struct tr_node *fields)
{
    const struct tr_node *override = override_of(fields, column->name);
    if (override != NULL)
        put_override(out, override);
    else if (column->refine == TR_REFINE_JSON)
        put_opaque(out);
    else if (column->refine != TR_REFINE_NONE)
        put_type(out, "keyword");
    else
        put_by_type(out, column);
}

static void put_columns(struct tr_buf *out, const struct tr_shape *shape,
                        const struct tr_node *fields, uint32_t first, uint32_t end)
{
    TR_JSON_LITERAL(out, "\"properties\":{");
    for (uint32_t i = first; i < end; i++) {
        if (i > first)
            tr_buf_append_char(out, ',');
        tr_buf_append_slice(out, shape->columns[i].name_json);
        tr_buf_append_char(out, ':');
        tr_es_mapping_field(out, &shape->columns[i], fields);
    }
    tr_buf_append_char(out, '}');
}

void tr_es_mapping_properties(struct tr_buf *out, const struct tr_shape *shape,
                              const struct tr_node *fields, uint32_t first, uint32_t end)
{
    tr_buf_append_char(out, '{');
    put_columns(out, shape, fields, first, end);
    tr_buf_append_char(out, '}');
}

static void put_owner(struct tr_buf *out, const struct tr_es_owner *owner)
{
    TR_JSON_LITERAL(out, "\"_meta\":{\"tailrace\":{\"pipeline\":");
    tr_json_text(out, tr_slice_of(owner->pipeline));
    TR_JSON_LITERAL(out, ",\"pipeline_id\":");
    tr_json_text(out, tr_slice_of(owner->pipeline_id));
    TR_JSON_LITERAL(out, ",\"consumer\":");
    tr_json_text(out, tr_slice_of(owner->consumer));
    TR_JSON_LITERAL(out, "}}");
}

void tr_es_mapping_index(struct tr_buf *out, const char *alias, const struct tr_es_owner *owner,
                         const struct tr_shape *shape, const struct tr_node *fields)
{
    /* A text column is two fields; half as many again leaves room for columns to come. */
    uint32_t limit = shape->column_count * 3;
    TR_JSON_LITERAL(out, "{\"aliases\":{");
    tr_json_text(out, tr_slice_of(alias));
    TR_JSON_LITERAL(out, ":{}},\"settings\":{\"index\":{\"number_of_shards\":1,"
                         "\"number_of_replicas\":0,\"gc_deletes\":\"1d\"");
    if (limit > FIELDS_LIMIT_DEFAULT)
        tr_buf_printf(out, ",\"mapping\":{\"total_fields\":{\"limit\":%u}}", limit);
    TR_JSON_LITERAL(out, "}},\"mappings\":{\"dynamic\":\"strict\",");
    put_owner(out, owner);
    tr_buf_append_char(out, ',');
    put_columns(out, shape, fields, 0, shape->column_count);
    TR_JSON_LITERAL(out, "}}");
}
