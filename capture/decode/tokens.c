/* tokens.c - see tokens.h. */
#include "tokens.h"

#include <ctype.h>
#include <strings.h>

static bool is_word_char(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '$' || ((unsigned char)c & 0x80) != 0;
}

static bool starts(const struct tokens *tokens, const char *text)
{
    size_t length = strlen(text);
    return (size_t)(tokens->end - tokens->at) >= length && memcmp(tokens->at, text, length) == 0;
}

static void skip_line(struct tokens *tokens)
{
    const char *end = memchr(tokens->at, '\n', (size_t)(tokens->end - tokens->at));
    tokens->at = end == NULL ? tokens->end : end + 1;
}

/* An ordinary comment goes as a whole; of an executable one only its opening and version. */
static void skip_comment(struct tokens *tokens)
{
    tokens->at += 2;
    if (starts(tokens, "M!"))
        tokens->at++;
    if (starts(tokens, "!")) {
        tokens->at++;
        while (tokens->at < tokens->end && isdigit((unsigned char)*tokens->at))
            tokens->at++;
        return;
    }
    const char *end = memmem(tokens->at, (size_t)(tokens->end - tokens->at), "*/", 2);
    tokens->at = end == NULL ? tokens->end : end + 2;
}

/* `--` opens a comment only with white space behind it. */
static bool at_dashes(const struct tokens *tokens)
{
    return starts(tokens, "--") &&
           (tokens->end - tokens->at == 2 || isspace((unsigned char)tokens->at[2]) ||
            iscntrl((unsigned char)tokens->at[2]));
}

/* A closing that opens nothing ends an executable comment. */
static void skip_space(struct tokens *tokens)
{
    while (tokens->at < tokens->end) {
        if (isspace((unsigned char)*tokens->at) || *tokens->at == '\0')
            tokens->at++;
        else if (*tokens->at == '#' || at_dashes(tokens))
            skip_line(tokens);
        else if (starts(tokens, "/*"))
            skip_comment(tokens);
        else if (starts(tokens, "*/"))
            tokens->at += 2;
        else
            return;
    }
}

/* From quote to quote; a doubled one belongs to the text. */
static void take_quoted(struct tokens *tokens, char quote)
{
    const char *at = tokens->at + 1;
    while (at < tokens->end) {
        if (*at == '\\' && quote != '`' && at + 1 < tokens->end) {
            if (at[1] == quote)
                tokens->ambiguous = true;
            at += 2;
        } else if (*at != quote) {
            at++;
        } else if (at + 1 < tokens->end && at[1] == quote) {
            at += 2;
        } else {
            at++;
            break;
        }
    }
    tokens->now.text.length = (size_t)(at - tokens->at);
    tokens->at = at;
}

static enum token_kind quoted_kind(char quote)
{
    if (quote == '`')
        return TOKEN_NAME;
    return quote == '"' ? TOKEN_NAME_STRING : TOKEN_STRING;
}

void tokens_next(struct tokens *tokens)
{
    skip_space(tokens);
    tokens->now = (struct token){TOKEN_END, {tokens->at, 0}};
    if (tokens->at == tokens->end)
        return;
    char c = *tokens->at;
    if (c == '`' || c == '"' || c == '\'') {
        tokens->now.kind = quoted_kind(c);
        take_quoted(tokens, c);
        return;
    }
    const char *at = tokens->at;
    while (at < tokens->end && is_word_char(*at))
        at++;
    tokens->now.kind = at > tokens->at ? TOKEN_WORD : TOKEN_SIGN;
    if (at == tokens->at)
        at++;
    tokens->now.text.length = (size_t)(at - tokens->at);
    tokens->at = at;
}

void tokens_open(struct tokens *tokens, struct tr_slice text)
{
    *tokens = (struct tokens){.at = text.data, .end = text.data + text.length};
    tokens_next(tokens);
}

bool token_is(const struct token *token, const char *word)
{
    size_t length = strlen(word);
    return token->kind == TOKEN_WORD && token->text.length == length &&
           strncasecmp(token->text.data, word, length) == 0;
}

bool token_is_one_of(const struct token *token, const char *const *words)
{
    for (; *words != NULL; words++) {
        if (token_is(token, *words))
            return true;
    }
    return false;
}

bool token_is_sign(const struct token *token, char sign)
{
    return token->kind == TOKEN_SIGN && token->text.data[0] == sign;
}

bool token_is_name(const struct token *token)
{
    return token->kind == TOKEN_WORD || token->kind == TOKEN_NAME ||
           token->kind == TOKEN_NAME_STRING;
}

struct token token_bare(const struct token *token)
{
    struct token bare = *token;
    bool quoted = bare.kind != TOKEN_WORD && bare.kind != TOKEN_SIGN && bare.text.length > 2;
    if (quoted) {
        bare.kind = TOKEN_WORD;
        bare.text.data++;
        bare.text.length -= 2;
    }
    return bare;
}

bool tokens_skip(struct tokens *tokens, const char *word)
{
    if (!token_is(&tokens->now, word))
        return false;
    tokens_next(tokens);
    return true;
}

bool tokens_skip_sign(struct tokens *tokens, char sign)
{
    if (!token_is_sign(&tokens->now, sign))
        return false;
    tokens_next(tokens);
    return true;
}

bool tokens_skip_if_exists(struct tokens *tokens)
{
    if (!tokens_skip(tokens, "IF"))
        return false;
    (void)tokens_skip(tokens, "NOT");
    (void)tokens_skip(tokens, "EXISTS");
    return true;
}

void tokens_read_table(struct tokens *tokens, struct token *database, struct token *table)
{
    (void)tokens_skip_sign(tokens, '.');
    *database = (struct token){.kind = TOKEN_END};
    *table = tokens->now;
    tokens_next(tokens);
    if (tokens_skip_sign(tokens, '.')) {
        *database = *table;
        *table = tokens->now;
        tokens_next(tokens);
    }
}

void tokens_skip_group(struct tokens *tokens)
{
    unsigned depth = 0;
    do {
        if (token_is_sign(&tokens->now, '('))
            depth++;
        else if (token_is_sign(&tokens->now, ')'))
            depth--;
        tokens_next(tokens);
    } while (depth > 0 && tokens->now.kind != TOKEN_END);
}
