/* statement.c - what a statement does to rows. See binlog.h. */
#include <strings.h>

#include "alter.h"
#include "binlog.h"

struct reader {
    struct tr_statement *statement;
    struct tokens tokens;
    struct tr_slice database; /* the default one */
    struct tr_arena *arena;
    struct tr_error *err;
};

static int no_memory(struct reader *reader)
{
    return tr_error_set(reader->err, TR_ENOMEM, "no memory for a statement's names");
}

/* Copies a name without its quotes, doubled ones made single. */
static int unquote(struct reader *reader, struct tr_slice text, struct tr_slice *out)
{
    char *to = tr_arena_alloc(reader->arena, text.length + 1);
    if (to == NULL)
        return no_memory(reader);
    char quote = text.length >= 2 ? text.data[0] : '\0';
    bool quoted = quote == '`' || quote == '"' || quote == '\'';
    size_t end = quoted ? text.length - 1 : text.length, length = 0;
    for (size_t i = quoted ? 1 : 0; i < end; i++) {
        to[length++] = text.data[i];
        if (quoted && text.data[i] == quote)
            i++;
    }
    to[length] = '\0';
    *out = (struct tr_slice){to, length};
    return 0;
}

/* Makes room for one more item behind `count`; NULL when there is no memory. */
static void *grow(struct reader *reader, void *items, uint32_t count, uint32_t *room, size_t bytes)
{
    if (count < *room)
        return items;
    uint32_t more = *room == 0 ? 8 : *room * 2;
    void *grown = tr_arena_alloc(reader->arena, more * bytes);
    if (grown == NULL)
        return NULL;
    if (count > 0)
        memcpy(grown, items, count * bytes);
    *room = more;
    return grown;
}

static int add_table(struct reader *reader, struct tr_slice database, struct tr_slice table)
{
    struct tr_statement *statement = reader->statement;
    struct tr_statement_table *tables = grow(reader, statement->tables, statement->table_count,
                                             &statement->table_room, sizeof(*tables));
    if (tables == NULL)
        return no_memory(reader);
    statement->tables = tables;
    tables += statement->table_count++;
    if (unquote(reader, database, &tables->database) != 0 ||
        unquote(reader, table, &tables->table) != 0)
        return reader->err->code;
    return 0;
}

static int read_table(struct reader *reader)
{
    struct token database, table;
    tokens_read_table(&reader->tokens, &database, &table);
    bool default_one = database.kind == TOKEN_END;
    /* No name is, for instance, the star in DELETE FROM alias.* USING … */
    if (!token_is_name(&table) || !(default_one || token_is_name(&database))) {
        reader->statement->tables_unknown = true;
        return 0;
    }
    return add_table(reader, default_one ? reader->database : database.text, table.text);
}

static int read_tables(struct reader *reader)
{
    do {
        if (read_table(reader) != 0)
            return reader->err->code;
    } while (tokens_skip_sign(&reader->tokens, ','));
    return 0;
}

static int set_tables(struct reader *reader, enum tr_statement_kind kind)
{
    reader->statement->kind = kind;
    (void)tokens_skip_if_exists(&reader->tokens);
    return read_tables(reader);
}

static int set_table(struct reader *reader, enum tr_statement_kind kind)
{
    reader->statement->kind = kind;
    (void)tokens_skip_if_exists(&reader->tokens);
    return read_table(reader);
}

static int set_database(struct reader *reader)
{
    reader->statement->kind = TR_STATEMENT_DROP_DATABASE;
    (void)tokens_skip_if_exists(&reader->tokens);
    return add_table(reader, reader->tokens.now.text, TR_SLICE(""));
}

static int set_unknown_dml(struct reader *reader)
{
    reader->statement->kind = TR_STATEMENT_DML;
    reader->statement->tables_unknown = true;
    return 0;
}

/* ---- transactions
 * --------------------------------------------------------------------------------- */

static int set_name(struct reader *reader, enum tr_statement_kind kind)
{
    reader->statement->kind = kind;
    return unquote(reader, reader->tokens.now.text, &reader->statement->name);
}

/* ROLLBACK [WORK] [TO [SAVEPOINT] name] */
static int read_rollback(struct reader *reader)
{
    (void)tokens_skip(&reader->tokens, "WORK");
    if (!tokens_skip(&reader->tokens, "TO")) {
        reader->statement->kind = TR_STATEMENT_ROLLBACK;
        return 0;
    }
    (void)tokens_skip(&reader->tokens, "SAVEPOINT");
    return set_name(reader, TR_STATEMENT_ROLLBACK_TO);
}

/* BEGIN [WORK]; BEGIN NOT ATOMIC opens a block, whose statements are logged each. */
static int read_begin(struct reader *reader)
{
    if (!token_is(&reader->tokens.now, "NOT"))
        reader->statement->kind = TR_STATEMENT_BEGIN;
    return 0;
}

static int read_commit(struct reader *reader)
{
    reader->statement->kind = TR_STATEMENT_COMMIT;
    return 0;
}

static int read_start(struct reader *reader)
{
    return tokens_skip(&reader->tokens, "TRANSACTION") ? read_begin(reader) : 0;
}

static int read_savepoint(struct reader *reader)
{
    return set_name(reader, TR_STATEMENT_SAVEPOINT);
}

static int read_xa(struct reader *reader)
{
    reader->statement->kind = TR_STATEMENT_XA;
    return 0;
}

/* ---- definitions
 * ---------------------------------------------------------------------------------- */

static int read_truncate(struct reader *reader)
{
    (void)tokens_skip(&reader->tokens, "TABLE");
    return set_table(reader, TR_STATEMENT_TRUNCATE);
}

/* DROP INDEX name ON table */
static int read_drop_index(struct reader *reader)
{
    struct tokens *tokens = &reader->tokens;
    (void)tokens_skip_if_exists(tokens);
    struct tr_slice name;
    if (unquote(reader, tokens->now.text, &name) != 0)
        return reader->err->code;
    bool primary = name.length == 7 && strncasecmp(name.data, "PRIMARY", 7) == 0;
    tokens_next(tokens);
    (void)tokens_skip(tokens, "ON");
    reader->statement->key_dropped = true;
    return set_table(reader, primary ? TR_STATEMENT_ALTER_RISKY : TR_STATEMENT_ALTER_SAFE);
}

static int read_drop(struct reader *reader)
{
    struct tokens *tokens = &reader->tokens;
    reader->statement->temporary = tokens_skip(tokens, "TEMPORARY");
    if (tokens_skip(tokens, "TABLE") || tokens_skip(tokens, "TABLES"))
        return set_tables(reader, TR_STATEMENT_DROP_TABLE);
    if (tokens_skip(tokens, "SEQUENCE")) /* its one row is no data */
        return set_tables(reader, TR_STATEMENT_ALTER_SAFE);
    if (tokens_skip(tokens, "DATABASE") || tokens_skip(tokens, "SCHEMA"))
        return set_database(reader);
    return tokens_skip(tokens, "INDEX") ? read_drop_index(reader) : 0;
}

/* CREATE TABLE … SELECT, or VALUES (…), fills the table; with row logging the log has no SELECT but
 * row events. A partition has VALUES too, but LESS THAN, or IN, behind it. */
static bool has_select(struct tokens tokens)
{
    while (tokens.now.kind != TOKEN_END) {
        bool values = token_is(&tokens.now, "VALUES"), select = token_is(&tokens.now, "SELECT");
        tokens_next(&tokens);
        if (select || (values && token_is_sign(&tokens.now, '(')))
            return true;
    }
    return false;
}

/* [UNIQUE | FULLTEXT | SPATIAL] INDEX [IF NOT EXISTS] name [USING …] ON table */
static int read_create_index(struct reader *reader)
{
    struct tokens *tokens = &reader->tokens;
    while (tokens->now.kind != TOKEN_END && !tokens_skip(tokens, "ON"))
        tokens_next(tokens);
    return set_table(reader, TR_STATEMENT_ALTER_SAFE);
}

static int read_create_table(struct reader *reader, bool replace)
{
    if (reader->statement->temporary)
        return set_table(reader, TR_STATEMENT_OTHER);
    if (has_select(reader->tokens))
        return set_table(reader, TR_STATEMENT_DML);
    reader->statement->replaces = replace;
    return replace ? set_table(reader, TR_STATEMENT_ALTER_RISKY) : 0;
}

static int read_create(struct reader *reader)
{
    struct tokens *tokens = &reader->tokens;
    bool replace = tokens_skip(tokens, "OR") && tokens_skip(tokens, "REPLACE");
    reader->statement->temporary = tokens_skip(tokens, "TEMPORARY");
    if (tokens_skip(tokens, "TABLE") || tokens_skip(tokens, "SEQUENCE"))
        return read_create_table(reader, replace);
    if (replace && (tokens_skip(tokens, "DATABASE") || tokens_skip(tokens, "SCHEMA")))
        return set_database(reader);
    static const char *const indexes[] = {"INDEX", "UNIQUE", "FULLTEXT", "SPATIAL", NULL};
    if (!token_is_one_of(&tokens->now, indexes))
        return 0;
    reader->statement->key_dropped = replace;
    return read_create_index(reader);
}

static void add_column(void *context, const struct token *name, bool dropped, bool maybe_there)
{
    struct reader *reader = context;
    struct tr_statement *statement = reader->statement;
    struct tr_statement_column *columns = grow(reader, statement->columns, statement->column_count,
                                               &statement->column_room, sizeof(*columns));
    if (columns == NULL) {
        (void)no_memory(reader);
        return;
    }
    statement->columns = columns;
    columns += statement->column_count;
    if (unquote(reader, name->text, &columns->name) != 0)
        return;
    columns->dropped = dropped;
    columns->maybe_there = maybe_there;
    statement->column_count++;
}

/* A table that ALTER TABLE names besides its own; none when the token is the end. */
static int add_altered(struct reader *reader, const struct token *database,
                       const struct token *table)
{
    if (table->kind == TOKEN_END)
        return 0;
    return add_table(reader, database->kind != TOKEN_END ? database->text : reader->database,
                     table->text);
}

static int read_alter(struct reader *reader)
{
    struct tokens *tokens = &reader->tokens;
    struct tr_statement *statement = reader->statement;
    struct alter alter = {.column = add_column, .context = reader};
    (void)tokens_skip(tokens, "ONLINE");
    bool ignore = tokens_skip(tokens, "IGNORE"); /* drops rows that break a new key */
    if (!tokens_skip(tokens, "TABLE"))
        return 0;
    if (set_table(reader, TR_STATEMENT_ALTER_RISKY) != 0)
        return reader->err->code;
    alter_read(&alter, tokens);
    statement->key_dropped = alter.key_dropped;
    if (!alter.risky && !ignore && !statement->tables_unknown)
        statement->kind = TR_STATEMENT_ALTER_SAFE;
    statement->renames = alter.renamed_table.kind != TOKEN_END;
    if (add_altered(reader, &alter.renamed_database, &alter.renamed_table) != 0 ||
        add_altered(reader, &alter.other_database, &alter.other_table) != 0)
        return reader->err->code;
    return reader->err->code; /* a column may have found no memory */
}

/* RENAME TABLE a [WAIT n | NOWAIT] TO b, …: both names. */
static int read_rename(struct reader *reader)
{
    struct tokens *tokens = &reader->tokens;
    if (!tokens_skip(tokens, "TABLE") && !tokens_skip(tokens, "TABLES"))
        return 0;
    reader->statement->kind = TR_STATEMENT_ALTER_RISKY;
    reader->statement->renames = true;
    (void)tokens_skip_if_exists(tokens);
    do {
        if (read_table(reader) != 0)
            return reader->err->code;
        if (tokens_skip(tokens, "WAIT"))
            tokens_next(tokens);
        (void)tokens_skip(tokens, "NOWAIT");
        if (!tokens_skip(tokens, "TO"))
            reader->statement->tables_unknown = true;
        if (read_table(reader) != 0)
            return reader->err->code;
    } while (tokens_skip_sign(tokens, ','));
    return 0;
}

/* A repair may throw rows away. */
static int read_repair(struct reader *reader)
{
    struct tokens *tokens = &reader->tokens;
    (void)(tokens_skip(tokens, "LOCAL") || tokens_skip(tokens, "NO_WRITE_TO_BINLOG"));
    return tokens_skip(tokens, "TABLE") || tokens_skip(tokens, "TABLES")
               ? set_tables(reader, TR_STATEMENT_ALTER_RISKY)
               : 0;
}

/* ---- row changes as statements
 * -------------------------------------------------------------------- */

static void skip_modifiers(struct tokens *tokens)
{
    static const char *const modifiers[] = {"LOW_PRIORITY", "HIGH_PRIORITY", "DELAYED", "QUICK",
                                            "IGNORE",       "CONCURRENT",    NULL};
    while (token_is_one_of(&tokens->now, modifiers))
        tokens_next(tokens);
}

static int read_insert(struct reader *reader)
{
    skip_modifiers(&reader->tokens);
    (void)tokens_skip(&reader->tokens, "INTO");
    return set_table(reader, TR_STATEMENT_DML);
}

/* UPDATE of several tables may change any of them. */
static int read_update(struct reader *reader)
{
    struct tokens *tokens = &reader->tokens;
    skip_modifiers(tokens);
    if (set_table(reader, TR_STATEMENT_DML) != 0)
        return reader->err->code;
    if (tokens_skip(tokens, "PARTITION"))
        tokens_skip_group(tokens);
    (void)tokens_skip(tokens, "AS");
    if (!token_is(&tokens->now, "SET"))
        tokens_next(tokens); /* an alias */
    if (!token_is(&tokens->now, "SET"))
        reader->statement->tables_unknown = true;
    return 0;
}

/* DELETE [HISTORY] FROM table …; the forms of several tables are not told apart. */
static int read_delete(struct reader *reader)
{
    struct tokens *tokens = &reader->tokens;
    static const char *const single[] = {"WHERE", "ORDER",     "LIMIT",  "PARTITION",
                                         "FOR",   "RETURNING", "BEFORE", NULL};
    skip_modifiers(tokens);
    (void)tokens_skip(tokens, "HISTORY");
    if (!tokens_skip(tokens, "FROM"))
        return set_unknown_dml(reader);
    if (set_table(reader, TR_STATEMENT_DML) != 0)
        return reader->err->code;
    if (tokens->now.kind != TOKEN_END && !token_is_sign(&tokens->now, ';') &&
        !token_is_one_of(&tokens->now, single))
        reader->statement->tables_unknown = true;
    return 0;
}

/* LOAD DATA … INTO TABLE table */
static int read_load(struct reader *reader)
{
    struct tokens *tokens = &reader->tokens;
    while (tokens->now.kind != TOKEN_END && !tokens_skip(tokens, "INTO"))
        tokens_next(tokens);
    (void)tokens_skip(tokens, "TABLE");
    return set_table(reader, TR_STATEMENT_DML);
}

/* Whether a function of a named database is called: what it changes can't be told. */
static bool calls_qualified(struct tokens tokens)
{
    while (tokens.now.kind != TOKEN_END) {
        bool name = token_is_name(&tokens.now);
        tokens_next(&tokens);
        if (!name || !tokens_skip_sign(&tokens, '.') || !token_is_name(&tokens.now))
            continue;
        tokens_next(&tokens);
        if (token_is_sign(&tokens.now, '('))
            return true;
    }
    return false;
}

/* ---- which tables a statement may change --------------------------------------------------------
 *
 * Where they can't all be told, each that stands in a table's place counts, and the whole database
 * of each function that is called. What else stands in front of a dot is an alias or a number.
 */

#define LEVELS_MAX 64 /* deeper ones are taken as one */

struct level {
    bool query;  /* not a function's arguments: FROM names tables */
    bool tables; /* in a list of tables: behind a comma comes another one */
};

struct search {
    struct level levels[LEVELS_MAX]; /* of parentheses */
    size_t depth;
    bool expected; /* a table comes next */
    bool key;      /* the word before was KEY */
};

static struct level *level_of(struct search *search)
{
    return &search->levels[search->depth < LEVELS_MAX ? search->depth : LEVELS_MAX - 1];
}

static void expect(struct search *search, bool table)
{
    level_of(search)->tables = search->expected = table;
}

static void pass_sign(struct search *search, struct tokens *tokens)
{
    char sign = tokens->now.text.data[0];
    tokens_next(tokens);
    if (sign == '(') {
        search->depth++;
        *level_of(search) = (struct level){.query = false, .tables = search->expected};
    } else if (sign == '{') {
        (void)tokens_skip(tokens, "OJ");
    } else {
        if (sign == ')' && search->depth > 0)
            search->depth--;
        search->expected = sign == ',' && level_of(search)->tables;
    }
}

/* Whether the word is one that begins or ends a list of tables, or stands in one. */
static bool pass_keyword(struct search *search, const struct token *word)
{
    static const char *const begins[] = {"UPDATE", "INTO", "USING", NULL};
    static const char *const ends[] = {"WHERE", "SET",    "GROUP",  "ORDER",     "HAVING",
                                       "LIMIT", "VALUES", "WINDOW", "RETURNING", NULL};
    static const char *const joins[] = {"JOIN", "STRAIGHT_JOIN", NULL};
    static const char *const modifiers[] = {"LOW_PRIORITY", "IGNORE", NULL};
    struct level *level = level_of(search);
    bool key = search->key;
    search->key = token_is(word, "KEY");
    if (token_is(word, "SELECT")) {
        expect(search, false);
        level->query = true;
    } else if (token_is_one_of(word, begins)) {
        expect(search, !key); /* ON DUPLICATE KEY UPDATE */
    } else if (token_is(word, "FROM")) {
        if (level->query)
            expect(search, true);
    } else if (token_is_one_of(word, joins)) {
        search->expected = level->tables;
    } else if (token_is_one_of(word, ends)) {
        expect(search, false);
    } else {
        return token_is_one_of(word, modifiers);
    }
    return true;
}

static bool is_number(const struct token *token)
{
    for (size_t i = 0; i < token->text.length; i++)
        if (token->text.data[i] < '0' || token->text.data[i] > '9')
            return false;
    return true;
}

static int add_once(struct reader *reader, struct tr_slice database, struct tr_slice table)
{
    struct tr_statement *statement = reader->statement;
    uint32_t last = statement->table_count;
    if (add_table(reader, database, table) != 0)
        return reader->err->code;
    const struct tr_statement_table *tables = statement->tables;
    for (uint32_t i = 0; i < last; i++) {
        if (tr_slice_equal(tables[i].database, tables[last].database) &&
            tr_slice_equal(tables[i].table, tables[last].table)) {
            statement->table_count = last;
            break;
        }
    }
    return 0;
}

/* name[.name …]. Those without a database are of the default one, which counts as a whole. */
static int add_named(struct reader *reader, struct search *search, struct tokens *tokens)
{
    struct token first = tokens->now, second = {.kind = TOKEN_END};
    tokens_next(tokens);
    while (tokens_skip_sign(tokens, '.')) {
        if (second.kind == TOKEN_END)
            second = tokens->now;
        tokens_next(tokens);
    }
    bool table = search->expected;
    search->expected = false;
    if (!token_is_name(&second) || is_number(&first))
        return 0;
    if (table)
        return add_once(reader, first.text, second.text);
    return token_is_sign(&tokens->now, '(') ? add_once(reader, first.text, TR_SLICE("")) : 0;
}

static int add_possible(struct reader *reader, struct tokens tokens)
{
    struct search search = {.levels = {{.query = true}}};
    int rc = 0;
    while (rc == 0 && tokens.now.kind != TOKEN_END) {
        if (tokens.now.kind == TOKEN_SIGN) {
            pass_sign(&search, &tokens);
        } else if (pass_keyword(&search, &tokens.now)) {
            tokens_next(&tokens);
        } else if (token_is_name(&tokens.now)) {
            rc = add_named(reader, &search, &tokens);
        } else {
            search.expected = false;
            tokens_next(&tokens);
        }
    }
    return rc;
}

static const struct {
    const char *word;
    int (*read)(struct reader *reader);
} statements[] = {
    {"BEGIN", read_begin},       {"START", read_start},         {"COMMIT", read_commit},
    {"ROLLBACK", read_rollback}, {"SAVEPOINT", read_savepoint}, {"XA", read_xa},
    {"TRUNCATE", read_truncate}, {"DROP", read_drop},           {"CREATE", read_create},
    {"ALTER", read_alter},       {"RENAME", read_rename},       {"REPAIR", read_repair},
    {"INSERT", read_insert},     {"REPLACE", read_insert},      {"UPDATE", read_update},
    {"DELETE", read_delete},     {"LOAD", read_load},           {"WITH", set_unknown_dml},
    {"SELECT", set_unknown_dml}, {"DO", set_unknown_dml},       {"CALL", set_unknown_dml},
    {"VALUES", set_unknown_dml},
};

/* ---- the history of statements ----------------------------------------------------------------
 */

/* DEFINER = name[@host] | CURRENT_USER[()] */
static void skip_definer(struct tokens *tokens)
{
    (void)tokens_skip_sign(tokens, '=');
    tokens_next(tokens);
    if (tokens_skip_sign(tokens, '@'))
        tokens_next(tokens);
    else if (token_is_sign(&tokens->now, '('))
        tokens_skip_group(tokens);
}

/* What may stand between CREATE, ALTER, … and the kind of object. */
static void skip_object_modifiers(struct tokens *tokens)
{
    static const char *const plain[] = {"OR",     "REPLACE",  "TEMPORARY", "ONLINE", "IGNORE",
                                        "UNIQUE", "FULLTEXT", "SPATIAL",   NULL};
    for (;;) {
        if (token_is_one_of(&tokens->now, plain)) {
            tokens_next(tokens);
        } else if (tokens_skip(tokens, "DEFINER")) {
            skip_definer(tokens);
        } else if (tokens_skip(tokens, "ALGORITHM")) {
            (void)tokens_skip_sign(tokens, '=');
            tokens_next(tokens);
        } else if (tokens_skip(tokens, "SQL")) {
            (void)tokens_skip(tokens, "SECURITY");
            tokens_next(tokens);
        } else {
            return;
        }
    }
}

static bool is_text(const struct token *token)
{
    return token->kind == TOKEN_STRING || token->kind == TOKEN_NAME_STRING;
}

static bool speaks_of_password(const struct token *text)
{
    static const char word[] = "password";
    for (size_t i = 0; i + sizeof(word) - 1 <= text->text.length; i++)
        if (strncasecmp(text->text.data + i, word, sizeof(word) - 1) == 0)
            return true;
    return false;
}

/* Tables that lie on another server tell how to log in there: in options of their own, or, as
 * Spider's, in comments. */
static bool tells_a_login(struct tokens tokens)
{
    static const char *const options[] = {"CONNECTION", "OPTION_LIST", NULL};
    static const char *const engines[] = {"FEDERATED", "CONNECT", "SPIDER", NULL};
    while (tokens.now.kind != TOKEN_END) {
        bool option = token_is_one_of(&tokens.now, options);
        bool engine = token_is(&tokens.now, "ENGINE");
        if (is_text(&tokens.now) && speaks_of_password(&tokens.now))
            return true;
        tokens_next(&tokens);
        if (!option && !engine)
            continue;
        (void)tokens_skip_sign(&tokens, '=');
        struct token name = token_bare(&tokens.now);
        if ((option && is_text(&tokens.now)) || (engine && token_is_one_of(&name, engines)))
            return true;
    }
    return false;
}

/* CREATE, ALTER, DROP, RENAME and TRUNCATE of what holds or shows data; never of accounts, nor of
 * what has a body that may speak of them: those carry passwords. */
static bool is_history(struct tokens tokens)
{
    static const char *const verbs[] = {"CREATE", "ALTER", "DROP", "RENAME", NULL};
    static const char *const objects[] = {"TABLE", "TABLES",   "DATABASE", "SCHEMA",
                                          "INDEX", "SEQUENCE", "VIEW",     NULL};
    if (token_is(&tokens.now, "TRUNCATE"))
        return true;
    if (!token_is_one_of(&tokens.now, verbs))
        return false;
    tokens_next(&tokens);
    skip_object_modifiers(&tokens);
    return token_is_one_of(&tokens.now, objects) && !tells_a_login(tokens);
}

/* SET STATEMENT name = value, … FOR statement */
static void skip_set_statement(struct tokens *tokens)
{
    struct tokens ahead = *tokens;
    if (!tokens_skip(&ahead, "SET") || !tokens_skip(&ahead, "STATEMENT"))
        return;
    while (ahead.now.kind != TOKEN_END && !token_is(&ahead.now, "FOR")) {
        if (token_is_sign(&ahead.now, '('))
            tokens_skip_group(&ahead);
        else
            tokens_next(&ahead);
    }
    tokens_next(&ahead);
    *tokens = ahead;
}

/* ANALYZE [FORMAT = format] statement carries the statement out, and is logged with these words in
 * front. ANALYZE [LOCAL | NO_WRITE_TO_BINLOG] TABLE changes no rows, and stays as it is. */
static void skip_analyze(struct tokens *tokens)
{
    static const char *const others[] = {"LOCAL", "NO_WRITE_TO_BINLOG", "TABLE", "TABLES", NULL};
    struct tokens ahead = *tokens;
    if (!tokens_skip(&ahead, "ANALYZE") || token_is_one_of(&ahead.now, others))
        return;
    if (tokens_skip(&ahead, "FORMAT")) {
        (void)tokens_skip_sign(&ahead, '=');
        tokens_next(&ahead);
    }
    *tokens = ahead;
}

static int read_statement(struct reader *reader)
{
    if (token_is_sign(&reader->tokens.now, '('))
        return set_unknown_dml(reader);
    struct token first = reader->tokens.now;
    for (size_t i = 0; i < sizeof(statements) / sizeof(statements[0]); i++) {
        if (token_is(&first, statements[i].word)) {
            tokens_next(&reader->tokens);
            return statements[i].read(reader);
        }
    }
    return 0;
}

int tr_statement_read(struct tr_statement *statement, struct tr_slice text,
                      struct tr_slice database, struct tr_arena *arena, struct tr_error *err)
{
    struct reader reader = {
        .statement = statement, .database = database, .arena = arena, .err = err};
    *statement = (struct tr_statement){.kind = TR_STATEMENT_OTHER, .name = TR_SLICE("")};
    tokens_open(&reader.tokens, text);
    skip_set_statement(&reader.tokens);
    skip_analyze(&reader.tokens);
    struct tokens begin = reader.tokens;
    statement->history = is_history(begin);
    int rc = read_statement(&reader);
    if (rc != 0 || statement->kind != TR_STATEMENT_DML)
        return rc;
    if (calls_qualified(reader.tokens))
        statement->tables_unknown = true;
    return statement->tables_unknown ? add_possible(&reader, begin) : 0;
}
