/* alter.h - whether the clauses of an ALTER TABLE can have changed old rows. Private to decode. */
#ifndef TR_ALTER_H
#define TR_ALTER_H

#include "tokens.h"

struct alter {
    bool risky;      /* some clause is not proven harmless */
    bool key_change; /* harmless, but a key that is not the primary one may have come or gone */
    struct token renamed_database, renamed_table; /* RENAME TO; TOKEN_END when there is none */
};

/* Stands behind the table's name; reads to the end of the statement. */
void alter_read(struct alter *alter, struct tokens *tokens);

#endif
