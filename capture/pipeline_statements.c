/* pipeline_statements.c - statements in the binlog: what they change, or undo. See statements.h. */
#include "hash.h"
#include "json_writer.h"
#include "statements.h"

bool tr_statements_readable(struct tr_slice name)
{
    return tr_json_utf8_valid(name.data, name.length);
}

int tr_statements_captured(const struct statement_state *state, struct tr_slice database,
                           struct tr_slice table, bool *captured, struct tr_error *err)
{
    const struct tr_rules *rules = state->reader->rules;
    const struct tr_slice *known_database = tr_statements_readable(database) ? &database : NULL;
    const struct tr_slice *known_table =
        table.length > 0 && tr_statements_readable(table) ? &table : NULL;
    *captured = false;
    if (known_database != NULL && known_table != NULL)
        *captured = tr_rules_match(rules, database, table, NULL);
    else if (known_database != NULL && table.length == 0)
        *captured = tr_rules_may_match_database(rules, database);
    else if (tr_rules_may_match_unreadable(rules, known_database, known_table))
        return tr_error_set(err, TR_ESOURCE,
                            "a statement names a table in another character set than UTF-8, so "
                            "which one can't be told: go on behind it with --start FILE:POS "
                            "--force-start");
    return 0;
}

/* ---- temporary tables -------------------------------------------------------------------------
 *
 * A session in another format than ROW logs what it does to temporary tables, and TRUNCATE of one
 * reads like that of the captured table of the same name. The event's flag says for sure when no
 * temporary table was used; where it is set, as in a procedure that used one before, it is kept in
 * mind who made which. A session that is older than our reading may have made its own before; then
 * it can't be told, unless it has made some since. (Sessions that log rows never tell, but don't
 * log TRUNCATE of a temporary table either.) RENAME TABLE alone comes without the flag, and is
 * taken as the real table's.
 */

/* In place of a name: the session has made some, which are gone or not of a captured database. */
#define SOME_NAME UINT64_C(2)

static struct tr_reader_temporary *find_temporary(struct tr_reader *reader, uint32_t thread,
                                                  uint64_t name)
{
    for (size_t i = 0; i < TR_READER_TEMPORARIES; i++)
        if (reader->temporaries[i].name == name && reader->temporaries[i].thread == thread)
            return &reader->temporaries[i];
    return NULL;
}

uint64_t tr_statements_hash(struct tr_slice database, struct tr_slice table)
{
    return (tr_hash_fnv1a(database.data, database.length) * 31 +
            tr_hash_fnv1a(table.data, table.length)) |
           1;
}

static struct tr_reader_temporary *temporary_of(struct statement_state *state,
                                                const struct tr_statement_table *table)
{
    return find_temporary(state->reader, state->query.thread_id,
                          tr_statements_hash(table->database, table->table));
}

bool tr_statements_temporary(struct statement_state *state, struct tr_slice database,
                             struct tr_slice table)
{
    const struct tr_statement_table name = {database, table};
    return state->query.used_temporary && temporary_of(state, &name) != NULL;
}

bool tr_statements_maybe_temporary(const struct statement_state *state)
{
    const struct tr_reader *reader = state->reader;
    if (!state->query.used_temporary || state->query.thread_id >= reader->threads_known_from)
        return false;
    for (size_t i = 0; i < TR_READER_TEMPORARIES; i++)
        if (reader->temporaries[i].name != 0 &&
            reader->temporaries[i].thread == state->query.thread_id)
            return false;
    return true;
}

static void note_made(struct statement_state *state, const struct tr_statement_table *table)
{
    struct tr_reader *reader = state->reader;
    uint64_t name = tr_rules_may_match_database(reader->rules, table->database)
                        ? tr_statements_hash(table->database, table->table)
                        : SOME_NAME;
    if (find_temporary(reader, state->query.thread_id, name) == NULL)
        reader->temporaries[reader->temporary_next++ % TR_READER_TEMPORARIES] =
            (struct tr_reader_temporary){state->query.thread_id, name};
}

/* After this statement the session has (or no longer has) temporary tables of these names. */
static void note_temporaries(struct statement_state *state)
{
    const struct tr_statement *statement = &state->statement;
    const struct tr_statement_table *tables = statement->tables;
    bool made = statement->temporary && statement->kind == TR_STATEMENT_OTHER;
    bool gone = statement->temporary && statement->kind == TR_STATEMENT_DROP_TABLE;
    for (uint32_t i = 0; i < statement->table_count; i++) {
        struct tr_reader_temporary *there;
        if (made) {
            note_made(state, &tables[i]);
        } else if (gone && (there = temporary_of(state, &tables[i])) != NULL) {
            there->name = SOME_NAME;
        } else if (statement->renames && i % 2 == 0 && i + 1 < statement->table_count &&
                   (there = temporary_of(state, &tables[i])) != NULL) {
            there->name = tr_statements_hash(tables[i + 1].database, tables[i + 1].table);
        }
    }
}

/* ---- row changes ------------------------------------------------------------------------------
 */

static int not_as_rows(struct tr_slice database, struct tr_slice table, struct tr_error *err)
{
    return tr_error_set(err, TR_ESOURCE,
                        "a change of %.*s%s%.*s was logged as a statement; a session has changed "
                        "binlog_format: SET GLOBAL binlog_format=ROW, and go on behind this "
                        "transaction with --start FILE:POS --force-start",
                        (int)database.length, database.data, table.length > 0 ? "." : "",
                        (int)table.length, table.data);
}

/* Where the tables can't all be told, it may be any of the databases that the text names. */
static int dml(struct statement_state *state, struct tr_error *err)
{
    const struct tr_statement *statement = &state->statement;
    const struct tr_rules *rules = state->reader->rules;
    for (uint32_t i = 0; i < statement->table_count; i++) {
        const struct tr_statement_table *table = &statement->tables[i];
        bool captured;
        if (tr_statements_temporary(state, table->database, table->table))
            continue;
        int rc = tr_statements_captured(state, table->database, table->table, &captured, err);
        if (rc == 0 && captured)
            rc = not_as_rows(table->database, table->table, err);
        if (rc != 0)
            return rc;
    }
    if (statement->tables_unknown && tr_rules_may_match_database(rules, state->query.database))
        return not_as_rows(state->query.database, (struct tr_slice){"", 0}, err);
    return 0;
}

/* ---- kinds of statements ----------------------------------------------------------------------
 */

/* What a statement does inside of a group. */
static int control_group(struct statement_state *state, struct tr_error *err)
{
    struct tr_reader *reader = state->reader;
    struct tr_group *group = &reader->group;
    int rc = 0;
    switch (state->statement.kind) {
    case TR_STATEMENT_BEGIN:
        if (group->open)
            return 0;
        reader->gtid[0] = '\0';
        rc = tr_reader_open_batch(reader, err);
        return rc != 0
                   ? rc
                   : tr_group_begin(group, state->version, state->start, false, reader->batch, err);
    case TR_STATEMENT_COMMIT:
        return group->open ? tr_group_commit(group, state->version, reader->batch, err) : 0;
    case TR_STATEMENT_ROLLBACK:
        return group->open ? tr_group_void(group, reader->batch, "is rolled back", err) : 0;
    case TR_STATEMENT_SAVEPOINT:
        if (!group->open)
            return 0;
        return tr_group_savepoint(group, state->statement.name, reader->batch, err);
    case TR_STATEMENT_ROLLBACK_TO:
        if (!group->open)
            return 0;
        return tr_group_rollback_to(group, state->statement.name, reader->batch, err);
    default:
        return tr_error_set(err, TR_EBUG, "statement of kind %d", (int)state->statement.kind);
    }
}

static int carry_out(struct statement_state *state, struct tr_error *err)
{
    switch (state->statement.kind) {
    case TR_STATEMENT_BEGIN:
    case TR_STATEMENT_COMMIT:
    case TR_STATEMENT_ROLLBACK:
    case TR_STATEMENT_SAVEPOINT:
    case TR_STATEMENT_ROLLBACK_TO:
        return control_group(state, err);
    case TR_STATEMENT_XA:
        return tr_error_set(err, TR_ESOURCE,
                            "an XA statement: XA is not supported; commit such changes without XA, "
                            "and go on behind it with --start FILE:POS --force-start");
    case TR_STATEMENT_DML:
        return dml(state, err);
    default:
        break;
    }
    int rc = tr_reader_open_batch(state->reader, err);
    return rc != 0 ? rc : tr_statements_define(state, err);
}

/* With lower_case_table_names=1 the server knows tables by their names in lower case, whatever the
 * statement says. Its rule for other letters than ASCII's isn't copied. */
static void lower_names(struct tr_statement *statement)
{
    for (uint32_t i = 0; i < statement->table_count; i++) {
        struct tr_slice *names[] = {&statement->tables[i].database, &statement->tables[i].table};
        for (size_t n = 0; n < 2; n++)
            for (size_t at = 0; at < names[n]->length; at++) {
                char *c = (char *)(uintptr_t)names[n]->data + at; /* in our arena */
                *c = *c >= 'A' && *c <= 'Z' ? (char)(*c + ('a' - 'A')) : *c;
            }
    }
}

/* DROP DATABASE, and CREATE OR REPLACE, are logged with that database as the default one: by its
 * name in UTF-8, whatever the client's character set is. */
static int take_database(struct statement_state *state, struct tr_error *err)
{
    struct tr_statement *statement = &state->statement;
    struct tr_slice name = state->query.database;
    if (statement->kind != TR_STATEMENT_DROP_DATABASE || name.length == 0)
        return 0;
    char *copy = tr_arena_copy(&state->reader->arena, name.data, name.length);
    if (copy == NULL)
        return tr_error_set(err, TR_ENOMEM, "no memory for a statement's names");
    statement->tables[0].database = (struct tr_slice){copy, name.length};
    return 0;
}

static int read_text(struct statement_state *state, struct tr_error *err)
{
    struct tr_reader *reader = state->reader;
    tr_arena_reset(&reader->arena);
    int rc = tr_statement_read(&state->statement, state->query.text, state->query.database,
                               &reader->arena, err);
    if (rc == 0)
        rc = take_database(state, err);
    if (rc == 0 && tr_source_server(reader->source)->lower_case_table_names == 1)
        lower_names(&state->statement);
    return rc;
}

int tr_reader_statement(struct tr_reader *reader, const struct tr_binlog_event *ev, uint64_t start,
                        struct tr_error *err)
{
    struct statement_state state = {
        .reader = reader,
        .ev = ev,
        .start = start,
        .version = tr_place_version(&reader->place, reader->place.offset, 0),
    };
    int64_t inflated = 0;
    int rc = tr_binlog_query_read(&state.query, ev, &reader->scratch, &inflated, err);
    if (rc != 0)
        return rc;
    tr_place_inflate(&reader->place, inflated);
    state.version += inflated;
    rc = read_text(&state, err);
    if (rc == 0)
        rc = carry_out(&state, err);
    if (rc == 0)
        note_temporaries(&state);
    if (rc == 0 && reader->group.open && reader->group.standalone)
        rc = tr_group_commit(&reader->group, state.version, reader->batch, err);
    return rc;
}

int tr_reader_load(struct tr_reader *reader, const struct tr_binlog_event *ev, struct tr_error *err)
{
    struct statement_state state = {.reader = reader, .ev = ev};
    int rc = tr_binlog_load_read(&state.query, ev, err);
    if (rc == 0)
        rc = read_text(&state, err);
    return rc != 0 ? rc : dml(&state, err);
}
