/* template.c - see template.h. */
#include "template.h"

#include <stdlib.h>
#include <string.h>

#include "json_scan.h"

static void append_encoded(struct tr_buf *out, const char *data, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (data[i] == '%')
            tr_buf_append(out, "%25", 3);
        else if (data[i] == ':')
            tr_buf_append(out, "%3A", 3);
        else
            tr_buf_append_char(out, data[i]);
    }
}

/* ---- parsing --------------------------------------------------------------------------------- */

struct parser {
    struct rd_template *to;
    const struct tr_shape *shape;
    struct tr_buf literals; /* becomes to->text; parts hold offsets into it until the end */
    size_t placeholders;
    bool named[RD_KEY_COLUMNS_MAX];
    const char *template;
    struct tr_error *err;
};

static int refuse(struct parser *parser, const char *why, struct tr_slice what)
{
    const struct tr_shape *shape = parser->shape;
    return tr_error_set(parser->err, TR_ECONFIG, "redis: key template \"%s\" of %.*s.%.*s %s%.*s",
                        parser->template, (int)shape->database.length, shape->database.data,
                        (int)shape->table.length, shape->table.data, why, (int)what.length,
                        what.data);
}

static int add_part(struct parser *parser, bool is_column, int column, size_t start)
{
    struct rd_template *to = parser->to;
    if (!is_column && parser->literals.length == start)
        return 0;
    if (to->part_count == RD_PARTS_MAX)
        return refuse(parser, "has too many parts", TR_SLICE(""));
    to->parts[to->part_count++] = (struct rd_part){
        .is_column = is_column,
        .column = column,
        .literal = {.data = NULL, .length = is_column ? start : parser->literals.length - start},
    };
    return 0;
}

static int column_index(const struct tr_shape *shape, struct tr_slice name)
{
    for (uint32_t i = 0; i < shape->key_count; i++) {
        if (tr_slice_equal(shape->columns[shape->key[i]].name, name))
            return (int)i;
    }
    return -2;
}

/* {database} and {table} are constants of the table: they join the literal text. */
static bool take_constant(struct tr_buf *literals, const struct tr_shape *shape,
                          struct tr_slice name)
{
    bool database = tr_slice_equal(name, TR_SLICE("database"));
    if (!database && !tr_slice_equal(name, TR_SLICE("table")))
        return false;
    struct tr_slice text = database ? shape->database : shape->table;
    append_encoded(literals, text.data, text.length);
    return true;
}

static int take_placeholder(struct parser *parser, struct tr_slice name, size_t *literal_start)
{
    const struct tr_shape *shape = parser->shape;
    parser->placeholders++;
    if (take_constant(&parser->literals, shape, name))
        return 0;
    int column = RD_PK;
    if (tr_slice_equal(name, TR_SLICE("pk"))) {
        for (uint32_t i = 0; i < shape->key_count; i++)
            parser->named[i] = true;
        parser->to->encode |= shape->key_count > 1;
    } else {
        column = column_index(shape, name);
        if (column < 0)
            return refuse(parser, "names what is no key column: ", name);
        parser->named[column] = true;
    }
    int code = add_part(parser, false, 0, *literal_start);
    if (code == 0)
        code = add_part(parser, true, column, 0);
    *literal_start = parser->literals.length;
    return code;
}

static int parse_text(struct parser *parser)
{
    size_t literal_start = 0;
    for (const char *at = parser->template; *at != '\0'; at++) {
        if (*at != '{') {
            tr_buf_append_char(&parser->literals, *at);
            continue;
        }
        if (at[1] == '{') {
            tr_buf_append_char(&parser->literals, *at++);
            continue;
        }
        const char *end = strchr(at, '}');
        if (end == NULL)
            return refuse(parser, "has a { without }; write {{ for the brace itself", TR_SLICE(""));
        struct tr_slice name = {at + 1, (size_t)(end - at - 1)};
        int code = take_placeholder(parser, name, &literal_start);
        if (code != 0)
            return code;
        at = end;
    }
    return add_part(parser, false, 0, literal_start);
}

/* `{a}{b}` and `{a}-{b}` would give different rows one key: 1-2, 3 and 1, 2-3. */
static int check_separators(struct parser *parser)
{
    const struct rd_template *to = parser->to;
    bool separated = true;
    for (size_t i = 0; i < to->part_count; i++) {
        const struct rd_part *part = &to->parts[i];
        if (part->is_column && !separated)
            return refuse(parser, "needs a : between two columns, as only that is never in a value",
                          TR_SLICE(""));
        if (part->is_column)
            separated = false;
        else if (memchr(part->literal.data, ':', part->literal.length) != NULL)
            separated = true;
    }
    return 0;
}

static int finish(struct parser *parser)
{
    struct rd_template *to = parser->to;
    for (uint32_t i = 0; i < parser->shape->key_count; i++) {
        if (!parser->named[i])
            return refuse(parser, "leaves out the key column ",
                          parser->shape->columns[parser->shape->key[i]].name);
    }
    to->encode |= parser->placeholders > 1;
    to->key_count = parser->shape->key_count;
    tr_buf_append_char(&parser->literals, '\0');
    int code = tr_buf_check(&parser->literals, "a key template", parser->err);
    if (code != 0)
        return code;
    to->text = parser->literals.data;
    parser->literals = (struct tr_buf){0};
    const char *at = to->text;
    for (size_t i = 0; i < to->part_count; i++) {
        to->parts[i].literal.data = at;
        if (!to->parts[i].is_column)
            at += to->parts[i].literal.length;
    }
    return check_separators(parser);
}

int rd_template_parse(struct rd_template *template, const char *text, const struct tr_shape *shape,
                      struct tr_error *err)
{
    struct parser parser = {.to = template, .shape = shape, .template = text, .err = err};
    *template = (struct rd_template){0};
    if (shape->key_count == 0 || shape->key_count > RD_KEY_COLUMNS_MAX)
        return refuse(&parser, "cannot be used: the table has no key", TR_SLICE(""));
    tr_buf_init(&parser.literals, 65536);
    int code = parse_text(&parser);
    if (code == 0)
        code = finish(&parser);
    tr_buf_done(&parser.literals);
    if (code != 0)
        rd_template_done(template);
    return code;
}

void rd_template_done(struct rd_template *template)
{
    free(template->text);
    *template = (struct rd_template){0};
}

char *rd_template_prefix(const char *text, const struct tr_shape *shape)
{
    struct tr_buf prefix;
    tr_buf_init(&prefix, 65536);
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '{' && at[1] != '{') {
            const char *end = strchr(at, '}');
            if (end == NULL ||
                !take_constant(&prefix, shape, (struct tr_slice){at + 1, (size_t)(end - at - 1)}))
                break;
            at = end;
            continue;
        }
        at += *at == '{';
        tr_buf_append_char(&prefix, *at);
    }
    char *copy =
        prefix.failed ? NULL : strndup(prefix.length > 0 ? prefix.data : "", prefix.length);
    tr_buf_done(&prefix);
    return copy;
}

/* ---- keys ------------------------------------------------------------------------------------ */

static bool is_text(enum tr_sql_type type)
{
    return type > TR_SQL_YEAR;
}

/* Encoded behind the plain text from `start` on, then moved over it. */
static void encode(struct tr_buf *out, size_t start)
{
    size_t length = out->length - start;
    if (out->failed || length == 0 ||
        (memchr(out->data + start, '%', length) == NULL &&
         memchr(out->data + start, ':', length) == NULL))
        return;
    size_t plain_end = out->length;
    for (size_t i = 0; i < length; i++) {
        char c = out->data[start + i];
        append_encoded(out, &c, 1);
    }
    if (out->failed)
        return;
    size_t encoded = out->length - plain_end;
    memmove(out->data + start, out->data + plain_end, encoded);
    out->length = start + encoded;
}

static int append_value(const struct rd_template *template, const struct tr_shape_column *column,
                        const struct tr_json_value *value, struct tr_buf *out, struct tr_error *err)
{
    size_t start = out->length;
    if (value->type == TR_JSON_NULL && !template->encode && is_text(column->type))
        return tr_error_set(err, TR_EPOISON,
                            "NULL in %.*s, the only key column, could be a text too; give the "
                            "table a `key:` with {table} in it",
                            (int)column->name.length, column->name.data);
    if (value->type == TR_JSON_NULL) {
        tr_buf_append(out, "%null", 5);
        return 0;
    }
    if (value->type == TR_JSON_STRING)
        tr_json_unescape(value, out);
    else
        tr_buf_append_slice(out, value->text);
    if (template->encode)
        encode(out, start);
    return 0;
}

static int read_values(const struct rd_template *template, const struct tr_shape *shape,
                       struct tr_slice record_key, struct tr_json_value *values,
                       struct tr_error *err)
{
    struct tr_event_key_cursor cursor;
    struct tr_json_value name;
    uint32_t count = 0;
    int got = 0;
    tr_event_key_enter(&cursor, record_key);
    while (count < RD_KEY_COLUMNS_MAX &&
           (got = tr_event_key_next(&cursor, &name, &values[count], err)) == 1) {
        if (count >= shape->key_count ||
            !tr_event_key_names(&name, shape->columns[shape->key[count]].name_json))
            return tr_error_set(err, TR_EPOISON,
                                "%.*s of the record's key is not in the key of the table's shape",
                                (int)name.text.length, name.text.data);
        count++;
    }
    if (got < 0)
        return err->code = TR_EPOISON;
    if (count != template->key_count)
        return tr_error_set(err, TR_EPOISON,
                            "the record's key has %u columns, the template needs %u", count,
                            template->key_count);
    return 0;
}

int rd_template_key(const struct rd_template *template, const struct tr_shape *shape,
                    const uint8_t *from, struct tr_slice record_key, struct tr_buf *out,
                    struct tr_error *err)
{
    struct tr_json_value values[RD_KEY_COLUMNS_MAX];
    int code = read_values(template, shape, record_key, values, err);
    for (size_t i = 0; code == 0 && i < template->part_count; i++) {
        const struct rd_part *part = &template->parts[i];
        if (!part->is_column) {
            tr_buf_append_slice(out, part->literal);
            continue;
        }
        uint32_t first = part->column == RD_PK ? 0 : (uint32_t)part->column;
        uint32_t last = part->column == RD_PK ? template->key_count - 1 : first;
        for (uint32_t j = first; code == 0 && j <= last; j++) {
            if (j > first)
                tr_buf_append_char(out, ':');
            uint32_t at = from != NULL ? from[j] : j;
            code = append_value(template, &shape->columns[shape->key[at]], &values[at], out, err);
        }
    }
    return code != 0 ? code : tr_buf_check(out, "a key", err);
}
