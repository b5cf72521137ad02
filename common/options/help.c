/* help.c - the option lines of --help and the reference page, from the tables. */
#include <string.h>

#include "options.h"

static const char *meta_of(const struct tr_option *option)
{
    switch (option->type) {
    case TR_OPT_STRING:
    case TR_OPT_SECRET:
        return "TEXT";
    case TR_OPT_INT:
        return "NUMBER";
    case TR_OPT_BOOL:
        return "true|false";
    case TR_OPT_SIZE:
        return "SIZE";
    case TR_OPT_DURATION:
        return "DURATION";
    case TR_OPT_ENUM:
        return option->values;
    case TR_OPT_LIST:
        return "LIST";
    case TR_OPT_NODE:
        return "YAML";
    }
    return "";
}

static void help_line(FILE *out, const char *name, const char *help, const char *def)
{
    fprintf(out, "  %-30s %s", name, help);
    if (def != NULL && *def != '\0')
        fprintf(out, " [%s]", def);
    fputc('\n', out);
}

static void section_help(FILE *out, const struct tr_section *section, bool all)
{
    char name[128];
    const char *dot = *section->name != '\0' ? "." : "";
    if (section->free_map) {
        snprintf(name, sizeof(name), "%s.*", section->name);
        help_line(out, name, section->help != NULL ? section->help : "any key", NULL);
    }
    for (const struct tr_option *option = section->options; option != NULL && option->key != NULL;
         option++) {
        if (!all && !option->common)
            continue;
        const char *file = option->type == TR_OPT_SECRET ? "[_file]" : "";
        snprintf(name, sizeof(name), "%s%s%s%s", section->name, dot, option->key, file);
        help_line(out, name, option->help, option->def);
    }
    for (const struct tr_rule_key *key = section->rule_keys; all && key != NULL && key->key != NULL;
         key++) {
        snprintf(name, sizeof(name), "%s.tables: {%s}", section->name, key->key);
        help_line(out, name, key->help, key->def);
    }
}

void tr_options_help(FILE *out, const struct tr_section *sections, bool all)
{
    for (; sections->name != NULL; sections++)
        section_help(out, sections, all);
}

/* A table's cell: the vertical bar would end it. */
static void put_cell(FILE *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '|')
            fputc('\\', out);
        fputc(*text, out);
    }
}

static void reference_default(FILE *out, const char *def)
{
    fputs(" | ", out);
    if (def != NULL && *def != '\0')
        fprintf(out, "`%s`", def);
    fputs(" | ", out);
}

static void reference_rule_keys(FILE *out, const struct tr_rule_key *key)
{
    fputs("\nA rule of `tables` that is a map, `{table: \"shop.*\", …}`, may have:\n\n"
          "| key | value | default | meaning |\n| --- | --- | --- | --- |\n",
          out);
    for (; key->key != NULL; key++) {
        fprintf(out, "| `%s` | ", key->key);
        put_cell(out, key->value);
        reference_default(out, key->def);
        put_cell(out, key->help);
        fputs(" |\n", out);
    }
}

static void reference_row(FILE *out, const char *section, const struct tr_option *option)
{
    fprintf(out, "| `%s%s%s` | ", section, *section != '\0' ? "." : "", option->key);
    put_cell(out, meta_of(option));
    reference_default(out, option->def);
    put_cell(out, option->help);
    if (option->type == TR_OPT_SECRET)
        fprintf(out, " Secret: no option takes it; `%s_file` names a file that holds it.",
                option->key);
    fputs(" |\n", out);
}

static void reference_section(FILE *out, const struct tr_section *section)
{
    fprintf(out, "\n### %s\n\n", *section->name != '\0' ? section->name : "Top level");
    if (section->free_map)
        fprintf(out, "Takes %s.\n\n", section->help != NULL ? section->help : "any key");
    else if (section->help != NULL)
        fprintf(out, "%s\n\n", section->help);
    if (section->options == NULL || section->options->key == NULL)
        return;
    fputs("| option | value | default | meaning |\n| --- | --- | --- | --- |\n", out);
    for (const struct tr_option *option = section->options; option->key != NULL; option++)
        reference_row(out, section->name, option);
    if (section->rule_keys != NULL)
        reference_rule_keys(out, section->rule_keys);
}

void tr_options_reference(FILE *out, const char *program, const struct tr_section *sections)
{
    fprintf(out,
            "## Options\n\nEach is a key of `tailrace.yaml`, a variable of the environment "
            "(`TAILRACE_` and the\nname in capitals, dots as underscores), and an option of "
            "`%s` (`--name=VALUE`).\nLater ones win.\n",
            program);
    for (; sections->name != NULL; sections++)
        reference_section(out, sections);
}

const struct tr_option *tr_options_find(const struct tr_section *sections, const char *name,
                                        const struct tr_section **section)
{
    for (; sections->name != NULL; sections++) {
        size_t length = strlen(sections->name);
        const char *key = name;
        if (length > 0) {
            if (strncmp(name, sections->name, length) != 0 || name[length] != '.')
                continue;
            key = name + length + 1;
        }
        if (sections->free_map && section != NULL)
            *section = sections;
        for (const struct tr_option *option = sections->options;
             option != NULL && option->key != NULL; option++)
            if (strcmp(option->key, key) == 0) {
                if (section != NULL)
                    *section = sections;
                return option;
            }
    }
    return NULL;
}
