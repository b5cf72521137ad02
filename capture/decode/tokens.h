/*
 * tokens.h - SQL text as tokens. Private to decode's statement reader.
 *
 * Comments are white space, but the content of executable ones (`!` or `M!` right behind the
 * opening, with or without a version) is code. Whether "x" is a string or a name is the reader's
 * guess by place.
 */
#ifndef TR_TOKENS_H
#define TR_TOKENS_H

#include <stdbool.h>

#include "buf.h"

enum token_kind {
    TOKEN_END,
    TOKEN_WORD,        /* also numbers */
    TOKEN_NAME,        /* `x` */
    TOKEN_STRING,      /* 'x' */
    TOKEN_NAME_STRING, /* "x" */
    TOKEN_SIGN,        /* any other character */
};

struct token {
    enum token_kind kind;
    struct tr_slice text; /* with its quotes */
};

struct tokens {
    const char *at;
    const char *end;
    struct token now;
    /* A backslash stands before a quote: what it means depends on the session's sql_mode. */
    bool ambiguous;
};

/* Opens the text and reads the first token. */
void tokens_open(struct tokens *tokens, struct tr_slice text);
void tokens_next(struct tokens *tokens);

/* Whether the token is this bare word (upper case given). */
bool token_is(const struct token *token, const char *word);
/* Whether it is one of a NULL-ended list. */
bool token_is_one_of(const struct token *token, const char *const *words);
bool token_is_sign(const struct token *token, char sign);
bool token_is_name(const struct token *token); /* could be an identifier */
/* The token as a bare word, without its quotes. */
struct token token_bare(const struct token *token);
/* Passes over the word, or sign, if it is next; whether it was. */
bool tokens_skip(struct tokens *tokens, const char *word);
bool tokens_skip_sign(struct tokens *tokens, char sign);
/* Passes over IF [NOT] EXISTS; whether it was there. */
bool tokens_skip_if_exists(struct tokens *tokens);
/* name | .name | database.name: reads past it. Without a database that one is TOKEN_END. */
void tokens_read_table(struct tokens *tokens, struct token *database, struct token *table);
/* Stands on `(`: passes over everything up to behind its `)`. */
void tokens_skip_group(struct tokens *tokens);

#endif
