/* template.c - see template.h. */
#include "template.h"

#include <stdlib.h>
#include <string.h>

#include "json_scan.h"

#define KEY_COLUMNS_MAX 64

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
    bool named[KEY_COLUMNS_MAX];
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
static int take_placeholder(struct parser *parser, struct tr_slice name, size_t *literal_start)
{
    const struct tr_shape *shape = parser->shape;
    parser->placeholders++;
    if (tr_slice_equal(name, TR_SLICE("database")) || tr_slice_equal(name, TR_SLICE("table"))) {
        struct tr_slice text = name.data[0] == 'd' ? shape->database : shape->table;
        append_encoded(&parser->literals, text.data, text.length);
        return 0;
    }
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
    bool begins = to->part_count > 0 && !to->parts[0].is_column;
    to->prefix = strndup(to->text, begins ? to->parts[0].literal.length : 0);
    return to->prefix != NULL ? 0 : tr_error_set(parser->err, TR_ENOMEM, "redis: no memory");
}

int rd_template_parse(struct rd_template *template, const char *text, const struct tr_shape *shape,
                      struct tr_error *err)
{
    struct parser parser = {.to = template, .shape = shape, .template = text, .err = err};
    *template = (struct rd_template){0};
    if (shape->key_count == 0 || shape->key_count > KEY_COLUMNS_MAX)
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
    free(template->prefix);
    *template = (struct rd_template){0};
}

/* ---- keys ------------------------------------------------------------------------------------ */

static void append_value(const struct rd_template *template, const struct tr_json_value *value,
                         struct tr_buf *out)
{
    size_t start = out->length;
    if (value->type == TR_JSON_STRING)
        tr_json_unescape(value, out);
    else
        tr_buf_append_slice(out, value->text);
    if (!template->encode || out->failed)
        return;
    size_t length = out->length - start;
    if (memchr(out->data + start, '%', length) == NULL &&
        memchr(out->data + start, ':', length) == NULL)
        return;
    /* Encoded behind the plain text, then moved over it. */
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

int rd_template_key(const struct rd_template *template, struct tr_slice record_key,
                    struct tr_buf *out, struct tr_error *err)
{
    struct tr_json_value values[KEY_COLUMNS_MAX], name;
    struct tr_event_key_cursor cursor;
    uint32_t count = 0;
    int got;
    tr_event_key_enter(&cursor, record_key);
    while ((got = tr_event_key_next(&cursor, &name, &values[count], err)) == 1) {
        if (++count == KEY_COLUMNS_MAX)
            break;
    }
    if (got < 0)
        return err->code = TR_EPOISON;
    if (count != template->key_count)
        return tr_error_set(err, TR_EPOISON,
                            "the record's key has %u columns, the template needs %u", count,
                            template->key_count);
    for (size_t i = 0; i < template->part_count; i++) {
        const struct rd_part *part = &template->parts[i];
        if (!part->is_column) {
            tr_buf_append_slice(out, part->literal);
        } else if (part->column != RD_PK) {
            append_value(template, &values[part->column], out);
        } else {
            for (uint32_t j = 0; j < count; j++) {
                if (j > 0)
                    tr_buf_append_char(out, ':');
                append_value(template, &values[j], out);
            }
        }
    }
    return tr_buf_check(out, "a key", err);
}
