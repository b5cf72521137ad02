/* statement.c - what a statement does to rows. See binlog.h. */
#include "alter.h"
#include "binlog.h"

struct reader {
    struct tr_statement *statement;
    struct tokens tokens;
    struct tr_slice database; /* the default one */
    struct tr_arena *arena;
    struct tr_error *err;
};

/* Copies a name without its quotes, doubled ones made single. */
static int unquote(struct reader *reader, struct tr_slice text, struct tr_slice *out)
{
    char *to = tr_arena_alloc(reader->arena, text.length + 1);
    if (to == NULL)
        return tr_error_set(reader->err, TR_ENOMEM, "no memory for a statement's names");
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

static int add_table(struct reader *reader, struct tr_slice database, struct tr_slice table)
{
    struct tr_statement *statement = reader->statement;
    if (statement->table_count == TR_STATEMENT_TABLES_MAX) {
        statement->tables_unknown = true;
        return 0;
    }
    uint32_t index = statement->table_count++;
    if (unquote(reader, database, &statement->tables[index].database) != 0 ||
        unquote(reader, table, &statement->tables[index].table) != 0)
        return reader->err->code;
    return 0;
}

/* name | database.name */
static int read_table(struct reader *reader)
{
    struct tokens *tokens = &reader->tokens;
    struct token first = tokens->now;
    if (!token_is_name(&first)) {
        reader->statement->tables_unknown = true;
        return 0;
    }
    tokens_next(tokens);
    if (!tokens_skip_sign(tokens, '.'))
        return add_table(reader, reader->database, first.text);
    struct token second = tokens->now;
    tokens_next(tokens);
    return add_table(reader, first.text, second.text);
}

static int read_tables(struct reader *reader)
{
    do {
        if (read_table(reader) != 0)
            return reader->err->code;
    } while (tokens_skip_sign(&reader->tokens, ','));
    return 0;
}

static void skip_if_exists(struct tokens *tokens)
{
    if (tokens_skip(tokens, "IF")) {
        (void)tokens_skip(tokens, "NOT");
        (void)tokens_skip(tokens, "EXISTS");
    }
}

static int set_tables(struct reader *reader, enum tr_statement_kind kind)
{
    reader->statement->kind = kind;
    skip_if_exists(&reader->tokens);
    return read_tables(reader);
}

static int set_table(struct reader *reader, enum tr_statement_kind kind)
{
    reader->statement->kind = kind;
    skip_if_exists(&reader->tokens);
    return read_table(reader);
}

static int set_database(struct reader *reader)
{
    reader->statement->kind = TR_STATEMENT_DROP_DATABASE;
    skip_if_exists(&reader->tokens);
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
    skip_if_exists(tokens);
    struct tr_slice name;
    if (unquote(reader, tokens->now.text, &name) != 0)
        return reader->err->code;
    bool primary = tr_slice_equal(name, TR_SLICE("PRIMARY"));
    tokens_next(tokens);
    (void)tokens_skip(tokens, "ON");
    reader->statement->key_change = true;
    return set_table(reader, primary ? TR_STATEMENT_ALTER_RISKY : TR_STATEMENT_ALTER_SAFE);
}

static int read_drop(struct reader *reader)
{
    struct tokens *tokens = &reader->tokens;
    reader->statement->temporary = tokens_skip(tokens, "TEMPORARY");
    if (tokens_skip(tokens, "TABLE") || tokens_skip(tokens, "TABLES") ||
        tokens_skip(tokens, "SEQUENCE"))
        return set_tables(reader, TR_STATEMENT_DROP_TABLE);
    if (tokens_skip(tokens, "DATABASE") || tokens_skip(tokens, "SCHEMA"))
        return set_database(reader);
    return tokens_skip(tokens, "INDEX") ? read_drop_index(reader) : 0;
}

/* CREATE TABLE … SELECT fills the table; with row logging the log has no SELECT but row events. */
static bool has_select(struct tokens tokens)
{
    for (; tokens.now.kind != TOKEN_END; tokens_next(&tokens)) {
        if (token_is(&tokens.now, "SELECT"))
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

static int read_create(struct reader *reader)
{
    struct tokens *tokens = &reader->tokens;
    bool replace = tokens_skip(tokens, "OR") && tokens_skip(tokens, "REPLACE");
    reader->statement->temporary = tokens_skip(tokens, "TEMPORARY");
    if (tokens_skip(tokens, "TABLE") || tokens_skip(tokens, "SEQUENCE")) {
        if (reader->statement->temporary)
            return set_table(reader, TR_STATEMENT_OTHER);
        if (replace)
            return set_table(reader, TR_STATEMENT_ALTER_RISKY);
        return has_select(*tokens) ? set_table(reader, TR_STATEMENT_DML) : 0;
    }
    if (replace && (tokens_skip(tokens, "DATABASE") || tokens_skip(tokens, "SCHEMA")))
        return set_database(reader);
    if (tokens_skip(tokens, "UNIQUE")) {
        reader->statement->key_change = true;
        return read_create_index(reader);
    }
    static const char *const indexes[] = {"INDEX", "FULLTEXT", "SPATIAL", NULL};
    return token_is_one_of(&tokens->now, indexes) ? read_create_index(reader) : 0;
}

static int read_alter(struct reader *reader)
{
    struct tokens *tokens = &reader->tokens;
    struct tr_statement *statement = reader->statement;
    struct alter alter;
    (void)tokens_skip(tokens, "ONLINE");
    bool ignore = tokens_skip(tokens, "IGNORE"); /* drops rows that break a new key */
    if (!tokens_skip(tokens, "TABLE"))
        return 0;
    if (set_table(reader, TR_STATEMENT_ALTER_RISKY) != 0)
        return reader->err->code;
    alter_read(&alter, tokens);
    statement->key_change = alter.key_change;
    if (!alter.risky && !ignore && !statement->tables_unknown)
        statement->kind = TR_STATEMENT_ALTER_SAFE;
    if (alter.renamed_table.kind == TOKEN_END)
        return 0;
    bool other = alter.renamed_database.kind != TOKEN_END;
    return add_table(reader, other ? alter.renamed_database.text : reader->database,
                     alter.renamed_table.text);
}

/* RENAME TABLE a [WAIT n | NOWAIT] TO b, …: both names. */
static int read_rename(struct reader *reader)
{
    struct tokens *tokens = &reader->tokens;
    if (!tokens_skip(tokens, "TABLE") && !tokens_skip(tokens, "TABLES"))
        return 0;
    reader->statement->kind = TR_STATEMENT_ALTER_RISKY;
    skip_if_exists(tokens);
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
    if (token_is(&tokens->now, "PARTITION"))
        return 0;
    (void)tokens_skip(tokens, "AS");
    if (!token_is(&tokens->now, "SET"))
        tokens_next(tokens); /* an alias */
    if (!token_is(&tokens->now, "SET"))
        reader->statement->tables_unknown = true;
    return 0;
}

/* DELETE FROM table …; the forms of several tables are not told apart. */
static int read_delete(struct reader *reader)
{
    struct tokens *tokens = &reader->tokens;
    static const char *const single[] = {"WHERE", "ORDER",     "LIMIT", "PARTITION",
                                         "FOR",   "RETURNING", NULL};
    skip_modifiers(tokens);
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

/* SET STATEMENT name = value, … FOR statement */
static void skip_set_statement(struct tokens *tokens)
{
    struct tokens ahead = *tokens;
    if (!tokens_skip(&ahead, "SET") || !tokens_skip(&ahead, "STATEMENT"))
        return;
    while (ahead.now.kind != TOKEN_END && !token_is(&ahead.now, "FOR"))
        tokens_next(&ahead);
    tokens_next(&ahead);
    *tokens = ahead;
}

int tr_statement_read(struct tr_statement *statement, struct tr_slice text,
                      struct tr_slice database, struct tr_arena *arena, struct tr_error *err)
{
    struct reader reader = {
        .statement = statement, .database = database, .arena = arena, .err = err};
    statement->kind = TR_STATEMENT_OTHER;
    statement->name = (struct tr_slice){"", 0};
    statement->temporary = statement->tables_unknown = statement->key_change = false;
    statement->table_count = 0;
    tokens_open(&reader.tokens, text);
    skip_set_statement(&reader.tokens);
    if (token_is_sign(&reader.tokens.now, '('))
        return set_unknown_dml(&reader);
    struct token first = reader.tokens.now;
    for (size_t i = 0; i < sizeof(statements) / sizeof(statements[0]); i++) {
        if (token_is(&first, statements[i].word)) {
            tokens_next(&reader.tokens);
            return statements[i].read(&reader);
        }
    }
    return 0;
}
