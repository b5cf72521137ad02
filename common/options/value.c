/* value.c - see value.h. */
#include "value.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "yaml_tree.h"

#define SECRET_BYTES_MAX 65536

struct unit {
    const char *name;
    int64_t factor;
};

static const struct unit size_units[] = {
    {"B", 1},           {"KiB", 1LL << 10}, {"MiB", 1LL << 20},
    {"GiB", 1LL << 30}, {"TiB", 1LL << 40}, {NULL, 0},
};
static const struct unit duration_units[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}, {NULL, 0},
};

/* Reads "12" or "12UNIT". False when it is neither or does not fit 64 bits. */
static bool parse_number(const char *text, const struct unit *units, bool unit_needed, int64_t *out)
{
    char *end = NULL;
    errno = 0;
    int64_t number = strtoll(text, &end, 10);
    if (end == text || errno != 0 || (*text != '-' && (*text < '0' || *text > '9')))
        return false;
    while (*end == ' ')
        end++;
    if (*end == '\0') {
        *out = number;
        return !unit_needed || number == 0;
    }
    for (; units != NULL && units->name != NULL; units++)
        if (strcmp(end, units->name) == 0)
            return !__builtin_mul_overflow(number, units->factor, out);
    return false;
}

bool tr_option_duration(const char *text, int64_t *ms)
{
    return parse_number(text, duration_units, true, ms) && *ms >= 0;
}

static int store_number(const struct tr_option *option, const struct tr_raw *raw,
                        const struct unit *units, const char *expected, int64_t *field,
                        struct tr_error *err)
{
    int64_t number = 0;
    if (!parse_number(raw->text, units, option->type == TR_OPT_DURATION, &number))
        return tr_node_error(raw->from, err, "%s: '%s' is not %s", raw->name, raw->text, expected);
    if ((option->min != 0 || option->max != 0) && (number < option->min || number > option->max))
        return tr_node_error(raw->from, err, "%s: %s is outside %" PRId64 " to %" PRId64 "%s",
                             raw->name, raw->text, option->min, option->max,
                             option->type == TR_OPT_DURATION ? " ms"
                             : option->type == TR_OPT_SIZE   ? " bytes"
                                                             : "");
    *field = number;
    return 0;
}

static int store_bool(const struct tr_raw *raw, bool *field, struct tr_error *err)
{
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcmp(raw->text, words[i]) == 0) {
            *field = i % 2 == 1;
            return 0;
        }
    return tr_node_error(raw->from, err, "%s: '%s' is neither true nor false", raw->name,
                         raw->text);
}

static int store_enum(const struct tr_option *option, const struct tr_raw *raw, int *field,
                      struct tr_error *err)
{
    size_t length = strlen(raw->text);
    const char *word = option->values;
    for (int index = 0; word != NULL; index++) {
        const char *end = strchrnul(word, '|');
        if ((size_t)(end - word) == length && memcmp(word, raw->text, length) == 0) {
            *field = index;
            return 0;
        }
        word = *end == '|' ? end + 1 : NULL;
    }
    return tr_node_error(raw->from, err, "%s: '%s' is none of %s", raw->name, raw->text,
                         option->values);
}

static int no_memory(const struct tr_raw *raw, struct tr_error *err)
{
    return tr_error_set(err, TR_ELIMIT, "%s: the configuration is too large", raw->name);
}

/* "a, b" to items, spaces around them removed; an empty text is an empty list. */
static int split_list(const struct tr_raw *raw, const char *text, struct tr_string_list *list,
                      struct tr_arena *arena, struct tr_error *err)
{
    size_t max = 1;
    for (const char *at = text; *at != '\0'; at++)
        max += *at == ',';
    const char **items = tr_arena_alloc(arena, max * sizeof(*items));
    if (items == NULL)
        return no_memory(raw, err);
    size_t count = 0;
    for (const char *at = text; at != NULL;) {
        const char *end = strchrnul(at, ',');
        const char *next = *end == ',' ? end + 1 : NULL;
        while (at < end && *at == ' ')
            at++;
        while (end > at && end[-1] == ' ')
            end--;
        if (end > at && (items[count++] = tr_arena_copy(arena, at, (size_t)(end - at))) == NULL)
            return no_memory(raw, err);
        at = next;
    }
    *list = (struct tr_string_list){items, count};
    return 0;
}

static int store_list(const struct tr_raw *raw, struct tr_string_list *list, struct tr_arena *arena,
                      struct tr_error *err)
{
    if (raw->text != NULL)
        return split_list(raw, raw->text, list, arena, err);
    if (raw->node == NULL || raw->node->type != TR_NODE_LIST)
        return tr_node_error(raw->from, err, "%s: expected a list", raw->name);
    size_t count = 0;
    for (const struct tr_node *item = raw->node->child; item != NULL; item = item->next)
        count++;
    const char **items = tr_arena_alloc(arena, (count + 1) * sizeof(*items));
    if (items == NULL)
        return no_memory(raw, err);
    count = 0;
    for (const struct tr_node *item = raw->node->child; item != NULL; item = item->next) {
        if (item->type != TR_NODE_SCALAR || item->null)
            return tr_node_error(item, err, "%s: the items of the list must be plain texts",
                                 raw->name);
        items[count++] = item->text;
    }
    *list = (struct tr_string_list){items, count};
    return 0;
}

static int store_node(const struct tr_raw *raw, const struct tr_node **field,
                      struct tr_arena *arena, struct tr_error *err)
{
    if (raw->node != NULL) {
        *field = raw->node;
        return 0;
    }
    if (raw->text == NULL)
        return tr_error_set(err, TR_EBUG, "%s: no value", raw->name);
    int rc = tr_yaml_parse(field, raw->text, strlen(raw->text), raw->from->file, 0, arena, err);
    return rc == 0 ? 0 : tr_error_frame(err, "%s", raw->name);
}

static int read_first_line(FILE *in, const struct tr_raw *raw, char *line, size_t size,
                           struct tr_error *err)
{
    if (fgets(line, (int)size, in) == NULL)
        return tr_node_error(raw->from, err, "%s: %s is %s", raw->name, raw->text,
                             ferror(in) ? "not readable" : "empty");
    size_t length = strcspn(line, "\r\n");
    if (line[length] == '\0' && !feof(in))
        return tr_node_error(raw->from, err, "%s: the first line of %s is too long", raw->name,
                             raw->text);
    line[length] = '\0';
    return 0;
}

int tr_value_read_secret(const struct tr_raw *raw, const char **out, struct tr_arena *arena,
                         struct tr_error *err)
{
    char *line = tr_arena_alloc(arena, SECRET_BYTES_MAX);
    if (line == NULL)
        return no_memory(raw, err);
    FILE *in = fopen(raw->text, "re");
    if (in == NULL)
        return tr_node_error(raw->from, err, "%s: cannot read %s: %s", raw->name, raw->text,
                             strerror(errno));
    int rc = read_first_line(in, raw, line, SECRET_BYTES_MAX, err);
    fclose(in);
    *out = line;
    return rc;
}

static int store_string(const struct tr_raw *raw, const char **field, struct tr_arena *arena,
                        struct tr_error *err)
{
    if (raw->is_file)
        return tr_value_read_secret(raw, field, arena, err);
    *field = raw->text;
    return 0;
}

int tr_value_store(const struct tr_option *option, const struct tr_raw *raw, void *target,
                   struct tr_arena *arena, struct tr_error *err)
{
    void *field = (char *)target + option->offset;
    if (raw->text == NULL && option->type != TR_OPT_NODE && option->type != TR_OPT_LIST)
        return tr_node_error(raw->from, err, "%s: expected one value", raw->name);
    switch (option->type) {
    case TR_OPT_STRING:
    case TR_OPT_SECRET:
        return store_string(raw, field, arena, err);
    case TR_OPT_INT:
        return store_number(option, raw, NULL, "a whole number", field, err);
    case TR_OPT_BOOL:
        return store_bool(raw, field, err);
    case TR_OPT_SIZE:
        return store_number(option, raw, size_units, "a size like 512, 64KiB, 4MiB or 1GiB", field,
                            err);
    case TR_OPT_DURATION:
        return store_number(option, raw, duration_units, "a duration like 500ms, 10s, 5m, 2h or 7d",
                            field, err);
    case TR_OPT_ENUM:
        return store_enum(option, raw, field, err);
    case TR_OPT_LIST:
        return store_list(raw, field, arena, err);
    case TR_OPT_NODE:
        return store_node(raw, field, arena, err);
    }
    return tr_error_set(err, TR_EBUG, "%s: unknown type of option", raw->name);
}
