/* alter.h - whether the clauses of an ALTER TABLE can have changed old rows. Private to decode. */
#ifndef TR_ALTER_H
#define TR_ALTER_H

#include "tokens.h"

struct alter {
    bool risky;       /* some clause is not proven harmless */
    bool key_dropped; /* harmless, but a key that is not the primary one may be gone */
    struct token renamed_database, renamed_table; /* RENAME TO; TOKEN_END when there is none */
    /* The table that gave its rows to a partition, or got those of one; likewise. */
    struct token other_database, other_table;
    /* Called for each column that is added or dropped. */
    void (*column)(void *context, const struct token *name, bool dropped, bool maybe_there);
    void *context;
};

/* Stands behind the table's name; reads to the end of the statement. `column` and `context` are
 * given, the rest is filled in. */
void alter_read(struct alter *alter, struct tokens *tokens);

#endif
