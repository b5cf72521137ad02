/*
 * alter.c - see alter.h.
 *
 * What is not known to be harmless is risky: a clause is judged by its first words, and only the
 * forms named here pass. Grammar: https://mariadb.com/kb/en/alter-table/.
 */
#include "alter.h"

/* Passes over the rest of a clause, to the comma or the end. */
static void skip_clause(struct tokens *tokens)
{
    while (tokens->now.kind != TOKEN_END && !token_is_sign(&tokens->now, ',') &&
           !token_is_sign(&tokens->now, ')')) {
        if (token_is_sign(&tokens->now, '('))
            tokens_skip_group(tokens);
        else
            tokens_next(tokens);
    }
}

/*
 * A new column leaves old rows as they are only when they get NULL in it. A TIMESTAMP without an
 * explicit NULL has a default of its own on some servers, and SERIAL, KEY and PRIMARY number or key
 * the rows.
 */
static void read_definition(struct alter *alter, struct tokens *tokens, bool maybe_there)
{
    static const char *const harmful[] = {"NOT",     "AS",  "GENERATED", "ON",  "AUTO_INCREMENT",
                                          "PRIMARY", "KEY", "SERIAL",    "ROW", NULL};
    bool timestamp = false, null = false;
    alter->column(alter->context, &tokens->now, false, maybe_there);
    tokens_next(tokens);
    while (tokens->now.kind != TOKEN_END && !token_is_sign(&tokens->now, ',') &&
           !token_is_sign(&tokens->now, ')')) {
        struct token token = tokens->now;
        if (token_is_sign(&token, '(')) {
            tokens_skip_group(tokens);
            continue;
        }
        tokens_next(tokens);
        if (token_is_one_of(&token, harmful))
            alter->risky = true;
        if (token_is(&token, "DEFAULT") && !token_is(&tokens->now, "NULL"))
            alter->risky = true;
        timestamp = timestamp || token_is(&token, "TIMESTAMP");
        null = null || token_is(&token, "NULL");
        /* A column's name may be any word. */
        if (token_is(&token, "AFTER"))
            tokens_next(tokens);
    }
    if (timestamp && !null)
        alter->risky = true;
}

static void read_definitions(struct alter *alter, struct tokens *tokens)
{
    bool maybe_there = tokens_skip_if_exists(tokens);
    if (!tokens_skip_sign(tokens, '(')) {
        read_definition(alter, tokens, maybe_there);
        return;
    }
    do {
        if (token_is_one_of(&tokens->now, (const char *const[]){"PRIMARY", "CONSTRAINT", "PERIOD",
                                                                "UNIQUE", NULL}))
            alter->risky = true;
        read_definition(alter, tokens, maybe_there);
    } while (tokens_skip_sign(tokens, ','));
    skip_clause(tokens);
    (void)tokens_skip_sign(tokens, ')');
}

static void read_add(struct alter *alter, struct tokens *tokens)
{
    static const char *const indexes[] = {"INDEX",   "KEY",   "FULLTEXT", "SPATIAL",
                                          "FOREIGN", "CHECK", NULL};
    static const char *const risky[] = {"PRIMARY", "PARTITION", "PERIOD", "SYSTEM", NULL};
    if (tokens_skip(tokens, "CONSTRAINT")) {
        (void)tokens_skip_if_exists(tokens);
        static const char *const kinds[] = {"PRIMARY", "UNIQUE", "FOREIGN", "CHECK", NULL};
        if (!token_is_one_of(&tokens->now, kinds))
            tokens_next(tokens); /* its name */
    }
    if (token_is_one_of(&tokens->now, risky)) {
        alter->risky = true;
    } else if (!token_is(&tokens->now, "UNIQUE") && !token_is_one_of(&tokens->now, indexes)) {
        (void)tokens_skip(tokens, "COLUMN");
        read_definitions(alter, tokens);
        return;
    }
    skip_clause(tokens);
}

/* `PRIMARY`, with or without quotes: the name of the primary key. */
static bool is_primary(const struct token *token)
{
    struct token bare = token_bare(token);
    return token_is(&bare, "PRIMARY");
}

static void read_drop_column(struct alter *alter, struct tokens *tokens)
{
    (void)tokens_skip(tokens, "COLUMN");
    (void)tokens_skip_if_exists(tokens);
    alter->column(alter->context, &tokens->now, true, false);
}

static void read_drop(struct alter *alter, struct tokens *tokens)
{
    static const char *const risky[] = {"PRIMARY", "PARTITION", "PERIOD", "SYSTEM", NULL};
    static const char *const keys[] = {"INDEX", "KEY", "CONSTRAINT", NULL};
    if (token_is_one_of(&tokens->now, risky)) {
        alter->risky = true;
    } else if (token_is_one_of(&tokens->now, keys)) {
        tokens_next(tokens);
        (void)tokens_skip_if_exists(tokens);
        if (is_primary(&tokens->now))
            alter->risky = true;
        alter->key_dropped = true;
    } else if (!token_is(&tokens->now, "FOREIGN") && !token_is(&tokens->now, "CHECK")) {
        read_drop_column(alter, tokens);
    }
    skip_clause(tokens);
}

/* ALTER [COLUMN] c SET DEFAULT … | DROP DEFAULT, ALTER INDEX i …: later rows only. */
static void read_inner_alter(struct alter *alter, struct tokens *tokens)
{
    if (!tokens_skip(tokens, "INDEX") && !tokens_skip(tokens, "KEY")) {
        (void)tokens_skip(tokens, "COLUMN");
        (void)tokens_skip_if_exists(tokens);
        tokens_next(tokens);
        bool known = tokens_skip(tokens, "SET") || tokens_skip(tokens, "DROP");
        if (!known || !token_is(&tokens->now, "DEFAULT"))
            alter->risky = true;
    }
    skip_clause(tokens);
}

static void read_rename(struct alter *alter, struct tokens *tokens)
{
    if (token_is(&tokens->now, "INDEX") || token_is(&tokens->now, "KEY")) {
        skip_clause(tokens);
        return;
    }
    alter->risky = true;
    if (token_is(&tokens->now, "COLUMN")) {
        skip_clause(tokens);
        return;
    }
    if (!tokens_skip(tokens, "TO"))
        (void)tokens_skip(tokens, "AS");
    (void)tokens_skip_sign(tokens, '=');
    tokens_read_table(tokens, &alter->renamed_database, &alter->renamed_table);
    skip_clause(tokens);
}

/* EXCHANGE PARTITION p WITH TABLE u | CONVERT TABLE u TO … | CONVERT PARTITION p TO TABLE u;
 * CONVERT TO CHARACTER SET has no table. */
static void read_other_table(struct alter *alter, struct tokens *tokens)
{
    alter->risky = true;
    while (tokens->now.kind != TOKEN_END && !token_is_sign(&tokens->now, ',')) {
        if (tokens_skip(tokens, "TABLE")) {
            tokens_read_table(tokens, &alter->other_database, &alter->other_table);
            break;
        }
        tokens_next(tokens);
    }
    skip_clause(tokens);
}

/* Table options, one behind the other, with or without `=`. */
static void read_options(struct alter *alter, struct tokens *tokens)
{
    static const char *const options[] = {"ALGORITHM",
                                          "LOCK",
                                          "COMMENT",
                                          "AUTO_INCREMENT",
                                          "AVG_ROW_LENGTH",
                                          "CHARSET",
                                          "COLLATE",
                                          "CHECKSUM",
                                          "TABLE_CHECKSUM",
                                          "DELAY_KEY_WRITE",
                                          "KEY_BLOCK_SIZE",
                                          "MAX_ROWS",
                                          "MIN_ROWS",
                                          "PACK_KEYS",
                                          "PAGE_CHECKSUM",
                                          "ROW_FORMAT",
                                          "STATS_AUTO_RECALC",
                                          "STATS_PERSISTENT",
                                          "STATS_SAMPLE_PAGES",
                                          "TRANSACTIONAL",
                                          "PAGE_COMPRESSED",
                                          "PAGE_COMPRESSION_LEVEL",
                                          NULL};
    static const char *const engines[] = {"INNODB", "ARIA", "MYISAM", "ROCKSDB", NULL};
    while (tokens->now.kind != TOKEN_END && !token_is_sign(&tokens->now, ',')) {
        struct token token = tokens->now;
        tokens_next(tokens);
        if (token_is(&token, "DEFAULT") || token_is(&token, "FORCE"))
            continue;
        bool engine = token_is(&token, "ENGINE");
        bool set = token_is(&token, "CHARACTER") && tokens_skip(tokens, "SET");
        if (!engine && !set && !token_is_one_of(&token, options)) {
            alter->risky = true;
            skip_clause(tokens);
            return;
        }
        (void)tokens_skip_sign(tokens, '=');
        if (engine && !token_is_one_of(&tokens->now, engines))
            alter->risky = true;
        tokens_next(tokens);
    }
}

static void read_clause(struct alter *alter, struct tokens *tokens)
{
    if (tokens_skip(tokens, "ADD"))
        read_add(alter, tokens);
    else if (tokens_skip(tokens, "DROP"))
        read_drop(alter, tokens);
    else if (tokens_skip(tokens, "ALTER"))
        read_inner_alter(alter, tokens);
    else if (tokens_skip(tokens, "RENAME"))
        read_rename(alter, tokens);
    else if ((tokens_skip(tokens, "ENABLE") || tokens_skip(tokens, "DISABLE")) &&
             tokens_skip(tokens, "KEYS"))
        skip_clause(tokens);
    else if (tokens_skip(tokens, "EXCHANGE") || tokens_skip(tokens, "CONVERT"))
        read_other_table(alter, tokens);
    else
        read_options(alter, tokens);
}

/* Partitions may be changed by words at the statement's end, without a comma in front. */
static bool speaks_of_partitions(struct tokens tokens)
{
    for (; tokens.now.kind != TOKEN_END; tokens_next(&tokens)) {
        if (token_is(&tokens.now, "PARTITION") || token_is(&tokens.now, "PARTITIONING"))
            return true;
    }
    return false;
}

void alter_read(struct alter *alter, struct tokens *tokens)
{
    *alter = (struct alter){
        .risky = speaks_of_partitions(*tokens), .column = alter->column, .context = alter->context};
    if (tokens_skip(tokens, "WAIT"))
        tokens_next(tokens);
    (void)tokens_skip(tokens, "NOWAIT");
    while (tokens->now.kind != TOKEN_END && !token_is_sign(&tokens->now, ';')) {
        const char *before = tokens->now.text.data;
        read_clause(alter, tokens);
        (void)tokens_skip_sign(tokens, ',');
        if (tokens->now.text.data == before) { /* a sign that no clause begins with */
            alter->risky = true;
            tokens_next(tokens);
        }
    }
    if (tokens->ambiguous)
        alter->risky = true;
}
