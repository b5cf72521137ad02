/* pipeline_definitions.c - statements that define: markers, marks, the history. See statements.h.
 */
#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

#include "encode.h"
#include "hash.h"
#include "json_writer.h"
#include "log.h"
#include "statements.h"

/* ---- markers ----------------------------------------------------------------------------------
 */

static struct tr_encode_header marker_header(const struct statement_state *state,
                                             enum tr_event_type type)
{
    const struct tr_reader *reader = state->reader;
    const struct tr_capture_settings *settings = &reader->config->capture;
    struct tr_encode_header header = {
        .type = type,
        .version = state->version,
        .ts = state->ev->timestamp,
        .xid = reader->group.xid,
        .with_server_id = settings->event_server_id,
        .with_thread_id = settings->event_thread_id,
        .server_id = state->ev->server_id,
        .thread_id = state->query.thread_id,
    };
    if (settings->event_gtid)
        header.gtid = tr_slice_of(reader->gtid);
    if (settings->event_position) {
        header.position_file = tr_slice_of(reader->place.file);
        header.position_offset = state->start;
    }
    if (settings->event_query)
        header.query = state->query.text;
    return header;
}

static int add_marker(struct statement_state *state, enum tr_event_type type,
                      const struct tr_shape *shape, struct tr_slice database, struct tr_slice table,
                      struct tr_error *err)
{
    struct tr_reader *reader = state->reader;
    uint32_t topic = 0;
    int rc = 0;
    if (reader->topics != NULL)
        rc = tr_topics_number(reader->topics, shape->topic, &topic, err);
    if (rc != 0)
        return rc;
    struct tr_record *rec = tr_batch_add(reader->batch, err);
    if (rec == NULL)
        return err->code;
    struct tr_buf *text = &reader->batch->text;
    size_t key_at = text->length;
    if (reader->topics != NULL)
        tr_event_put_marker_key(text, database, table);
    size_t value_at = text->length;
    struct tr_encode_header header = marker_header(state, type);
    struct tr_encoded encoded = {0};
    tr_encode_marker(&header, database, table, text, &encoded);
    *rec = (struct tr_record){
        .kind = TR_RECORD_MARKER,
        .topic = topic,
        .key_at = (uint32_t)key_at,
        .key_length = (uint32_t)(value_at - key_at),
        .value_at = (uint32_t)encoded.start,
        .value_length = (uint32_t)(encoded.end - encoded.start),
        .commit_at = (uint32_t)encoded.end,
        .position = state->start,
        .version = state->version,
        .shape = shape,
    };
    if (reader->topics == NULL)
        tr_buf_append_char(text, '\n');
    return tr_buf_check(text, "a batch", err);
}

/* ---- tables to be looked at again -------------------------------------------------------------
 */

/* Also after a restart, where the log may show no difference: a LONGTEXT that has become JSON. */
static int note_altered(struct statement_state *state, struct tr_slice database,
                        struct tr_slice table, struct tr_error *err)
{
    const struct tr_reader *reader = state->reader;
    tr_schema_ddl(reader->schema, database, table, state->version);
    if (reader->needs == NULL ||
        tr_control_shape_at(reader->control, database, table, state->version) == NULL)
        return 0;
    return tr_needs_altered(reader->needs, database, table, state->version, err);
}

/* Calls back with the newest shape of each known table of the database. */
static int each_known_table(struct statement_state *state, struct tr_slice database,
                            int (*visit)(struct statement_state *state,
                                         const struct tr_shape *shape, struct tr_error *err),
                            struct tr_error *err)
{
    const struct tr_control *control = state->reader->control;
    size_t count = tr_control_shape_count(control);
    for (size_t i = 0; i < count; i++) {
        const struct tr_shape *shape = tr_control_shape_number(control, i);
        if (!tr_slice_equal(shape->database, database) || shape->schema_id > state->version)
            continue;
        const struct tr_shape *newest =
            tr_control_shape_at(control, shape->database, shape->table, state->version);
        int rc = newest == shape ? visit(state, shape, err) : 0;
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int note_known(struct statement_state *state, const struct tr_shape *shape,
                      struct tr_error *err)
{
    if (!tr_rules_match(state->reader->rules, shape->database, shape->table, NULL))
        return 0;
    return note_altered(state, shape->database, shape->table, err);
}

static int note_database(struct statement_state *state, struct tr_slice database,
                         struct tr_error *err)
{
    tr_schema_ddl(state->reader->schema, database, (struct tr_slice){"", 0}, state->version);
    return each_known_table(state, database, note_known, err);
}

/* TRUNCATE or DROP of one table. A table without a shape never had a row in a topic. */
static int remove_rows(struct statement_state *state, enum tr_event_type type,
                       struct tr_slice database, struct tr_slice table, struct tr_error *err)
{
    struct tr_reader *reader = state->reader;
    bool captured;
    int rc = tr_statements_captured(state, database, table, &captured, err);
    if (rc != 0 || !captured)
        return rc;
    rc = note_altered(state, database, table, err);
    if (rc != 0)
        return rc;
    tr_schema_emptied(reader->schema, database, table, state->version);
    if (reader->needs != NULL)
        tr_needs_clear(reader->needs, database, table);
    const struct tr_shape *shape =
        tr_control_shape_at(reader->control, database, table, state->version);
    if (shape == NULL && reader->topics != NULL)
        return 0;
    return add_marker(state, type, shape, database, table, err);
}

static int drop_known(struct statement_state *state, const struct tr_shape *shape,
                      struct tr_error *err)
{
    return remove_rows(state, TR_EVENT_TABLE_DROP, shape->database, shape->table, err);
}

/* ---- tables whose old rows may have been changed ----------------------------------------------
 */

static int mark(struct statement_state *state, struct tr_slice database, struct tr_slice table,
                struct tr_error *err)
{
    struct tr_reader *reader = state->reader;
    bool captured;
    int rc = tr_statements_captured(state, database, table, &captured, err);
    if (rc != 0 || !captured)
        return rc;
    char name[1024];
    snprintf(name, sizeof(name), "%.*s.%.*s", (int)database.length, database.data,
             (int)table.length, table.data);
    tr_log(TR_LOG_WARN, "schema", "a statement may have changed old rows: table needs a snapshot",
           TR_STR("table", name), TR_STR("position_file", reader->place.file),
           TR_INT("position", state->start), TR_END);
    if (reader->needs == NULL)
        return 0;
    /* The reason goes to the control topic. */
    struct tr_slice reason = state->statement.history
                                 ? state->query.text
                                 : TR_SLICE("a statement whose text may hold a password");
    return tr_needs_add(reader->needs, database, table, state->version, reason, err);
}

static int mark_known(struct statement_state *state, const struct tr_shape *shape,
                      struct tr_error *err)
{
    return mark(state, shape->database, shape->table, err);
}

/* Names of columns are the same in upper and lower case; other letters than ASCII's are taken as
 * they are. */
static const struct tr_shape_column *find_column(const struct tr_shape *shape, struct tr_slice name)
{
    for (uint32_t i = 0; i < shape->column_count; i++)
        if (shape->columns[i].name.length == name.length &&
            strncasecmp(shape->columns[i].name.data, name.data, name.length) == 0)
            return &shape->columns[i];
    return NULL;
}

static bool some_shape_had(const struct statement_state *state, const struct tr_shape *newest,
                           struct tr_slice name)
{
    const struct tr_control *control = state->reader->control;
    size_t count = tr_control_shape_count(control);
    for (size_t i = 0; i < count; i++) {
        const struct tr_shape *shape = tr_control_shape_number(control, i);
        if (shape->schema_id <= state->version && tr_slice_equal(shape->table, newest->table) &&
            tr_slice_equal(shape->database, newest->database) && find_column(shape, name) != NULL &&
            tr_schema_has_rows(state->reader->schema, shape))
            return true;
    }
    return false;
}

/* Never 0. */
static uint64_t hash_column(const struct tr_shape *shape, struct tr_slice name)
{
    char lower[256];
    size_t length = name.length < sizeof(lower) ? name.length : sizeof(lower);
    for (size_t i = 0; i < length; i++)
        lower[i] = (char)(name.data[i] >= 'A' && name.data[i] <= 'Z' ? name.data[i] + ('a' - 'A')
                                                                     : name.data[i]);
    return (tr_statements_hash(shape->database, shape->table) * 31 + tr_hash_fnv1a(lower, length)) |
           1;
}

static uint64_t *find_dropped(struct tr_reader *reader, uint64_t hash)
{
    for (size_t i = 0; i < TR_READER_DROPPED; i++)
        if (reader->dropped[i] == hash)
            return &reader->dropped[i];
    return NULL;
}

/* In old rows a dropped column's value stays behind in the stores, and would be seen again in a new
 * column of its name. ADD … IF NOT EXISTS of one that is there does nothing: the newest shape tells
 * what is there, when a row of it was read in this run, but for a column dropped since that row,
 * which is kept in mind. */
static bool brings_back(struct statement_state *state, const struct tr_shape *newest,
                        const struct tr_statement_column *column)
{
    uint64_t *dropped = find_dropped(state->reader, hash_column(newest, column->name));
    if (column->maybe_there && dropped == NULL && find_column(newest, column->name) != NULL &&
        tr_schema_seen(state->reader->schema, newest))
        return false;
    if (dropped != NULL)
        *dropped = 0;
    return some_shape_had(state, newest, column->name);
}

static void note_dropped(struct tr_reader *reader, uint64_t hash)
{
    if (find_dropped(reader, hash) == NULL)
        reader->dropped[reader->dropped_next++ % TR_READER_DROPPED] = hash;
}

/* Whether what an ALTER TABLE, harmless by its text, does to columns isn't, in view of the table's
 * shapes. */
static bool columns_are_risky(struct statement_state *state, const struct tr_shape *newest)
{
    const struct tr_statement *statement = &state->statement;
    bool risky = false;
    for (uint32_t i = 0; i < statement->column_count; i++) {
        if (!statement->columns[i].dropped)
            continue;
        const struct tr_shape_column *column = find_column(newest, statement->columns[i].name);
        risky = risky || (column != NULL && column->key);
        note_dropped(state->reader, hash_column(newest, statement->columns[i].name));
    }
    for (uint32_t i = 0; i < statement->column_count; i++)
        if (!statement->columns[i].dropped && brings_back(state, newest, &statement->columns[i]))
            risky = true;
    return risky;
}

/* A table without a shape, or emptied and without a row since, has no rows in topics: what CREATE
 * OR REPLACE throws away of it, and what happens to its columns and keys, doesn't matter. */
static int is_risky(struct statement_state *state, struct tr_slice database, struct tr_slice table,
                    bool *risky, struct tr_error *err)
{
    const struct tr_statement *statement = &state->statement;
    struct tr_reader *reader = state->reader;
    const struct tr_shape *newest =
        tr_control_shape_at(reader->control, database, table, state->version);
    if (newest != NULL && !tr_schema_has_rows(reader->schema, newest))
        newest = NULL;
    bool by_text = statement->kind == TR_STATEMENT_ALTER_RISKY;
    *risky = by_text && !(statement->replaces && newest == NULL);
    if (newest == NULL)
        return 0;
    if (columns_are_risky(state, newest))
        *risky = true;
    if (*risky || !statement->key_dropped)
        return 0;
    return tr_schema_key_lost(reader->schema, database, table, risky, err);
}

/* Nothing follows from the statement but that the table is looked at again: which one it is needn't
 * be told. */
static bool may_be_any(const struct tr_statement *statement, struct tr_slice database,
                       struct tr_slice table)
{
    return statement->kind == TR_STATEMENT_ALTER_SAFE && statement->column_count == 0 &&
           !statement->key_dropped && tr_statements_readable(database) &&
           !tr_statements_readable(table);
}

static int alter_table(struct statement_state *state, struct tr_slice database,
                       struct tr_slice table, struct tr_error *err)
{
    bool captured, risky = false;
    if (may_be_any(&state->statement, database, table))
        return note_database(state, database, err);
    int rc = tr_statements_captured(state, database, table, &captured, err);
    if (rc != 0 || !captured)
        return rc;
    rc = note_altered(state, database, table, err);
    if (rc == 0)
        rc = is_risky(state, database, table, &risky, err);
    return rc == 0 && risky ? mark(state, database, table, err) : rc;
}

static int alter(struct statement_state *state, struct tr_error *err)
{
    const struct tr_statement *statement = &state->statement;
    if (statement->temporary)
        return 0;
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < statement->table_count; i++) {
        struct tr_slice database = statement->tables[i].database;
        struct tr_slice table = statement->tables[i].table;
        if (tr_statements_temporary(state, database, table))
            i += statement->renames ? 1 : 0;
        else
            rc = alter_table(state, database, table, err);
    }
    if (rc == 0 && statement->tables_unknown) {
        rc = note_database(state, state->query.database, err);
        if (rc == 0 && statement->kind == TR_STATEMENT_ALTER_RISKY)
            rc = each_known_table(state, state->query.database, mark_known, err);
    }
    return rc;
}

/* ---- the history of statements ----------------------------------------------------------------
 */

static bool touches_captured(const struct statement_state *state)
{
    const struct tr_statement *statement = &state->statement;
    for (uint32_t i = 0; i < statement->table_count; i++)
        if (tr_rules_may_match_database(state->reader->rules, statement->tables[i].database))
            return true;
    /* Of harmless statements the tables aren't told: they may be ours. */
    return statement->table_count == 0;
}

static void write_history(const struct statement_state *state, struct tr_buf *out)
{
    const struct tr_reader *reader = state->reader;
    struct tr_slice text = state->query.text, database = state->query.database;
    TR_JSON_LITERAL(out, "{\"format\":1,\"database\":");
    if (!tr_json_string(out, database.data, database.length))
        TR_JSON_LITERAL(out, "null");
    TR_JSON_LITERAL(out, ",\"version\":");
    tr_json_int(out, state->version);
    TR_JSON_LITERAL(out, ",\"gtid\":");
    tr_json_text(out, tr_slice_of(reader->gtid));
    tr_buf_printf(out, ",\"position\":\"%s:%" PRIu64 "\",\"ts\":%" PRIu32 ",\"query\":",
                  reader->place.file, state->start, state->ev->timestamp);
    if (!tr_json_string(out, text.data, text.length)) {
        tr_json_base64(out, text.data, text.length);
        TR_JSON_LITERAL(out, ",\"invalid\":[\"query\"]");
    }
    tr_buf_append_char(out, '}');
}

static int add_history(struct statement_state *state, struct tr_error *err)
{
    struct tr_reader *reader = state->reader;
    if (reader->topics == NULL || state->statement.temporary || !state->statement.history ||
        !touches_captured(state))
        return 0;
    struct tr_record *rec = tr_batch_add(reader->batch, err);
    if (rec == NULL)
        return err->code;
    struct tr_buf *text = &reader->batch->text;
    size_t at = text->length;
    write_history(state, text);
    *rec = (struct tr_record){
        .kind = TR_RECORD_DDL,
        .key_at = (uint32_t)at,
        .value_at = (uint32_t)at,
        .value_length = (uint32_t)(text->length - at),
        .commit_at = (uint32_t)text->length,
        .position = state->start,
        .version = state->version,
    };
    return tr_buf_check(text, "a batch", err);
}

/* ---- kinds of statements ----------------------------------------------------------------------
 */

static int remove_tables(struct statement_state *state, enum tr_event_type type,
                         struct tr_error *err)
{
    const struct tr_statement *statement = &state->statement;
    if (statement->temporary)
        return 0;
    if (statement->tables_unknown)
        return tr_error_set(err, TR_ESOURCE,
                            "a statement removes the rows of tables that can't be told from it: "
                            "go on behind it with --start FILE:POS --force-start and rebuild the "
                            "stores");
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < statement->table_count; i++) {
        struct tr_slice database = statement->tables[i].database;
        struct tr_slice table = statement->tables[i].table;
        /* The server tells of a temporary table's DROP with that word, whatever the session said.
         */
        bool drop = type == TR_EVENT_TABLE_DROP;
        if (!drop && tr_statements_maybe_temporary(state))
            rc = mark(state, database, table, err);
        else if (drop || !tr_statements_temporary(state, database, table))
            rc = remove_rows(state, type, database, table, err);
    }
    return rc;
}

static int drop_database(struct statement_state *state, struct tr_error *err)
{
    struct tr_slice database = state->statement.tables[0].database;
    bool captured;
    int rc = tr_statements_captured(state, database, (struct tr_slice){"", 0}, &captured, err);
    if (rc != 0 || !captured)
        return rc;
    rc = each_known_table(state, database, drop_known, err);
    return rc != 0 ? rc : note_database(state, database, err);
}

int tr_statements_define(struct statement_state *state, struct tr_error *err)
{
    state->reader->recheck_cascades = true;
    int rc = add_history(state, err);
    if (rc != 0)
        return rc;
    switch (state->statement.kind) {
    case TR_STATEMENT_TRUNCATE:
        return remove_tables(state, TR_EVENT_TABLE_TRUNCATE, err);
    case TR_STATEMENT_DROP_TABLE:
        return remove_tables(state, TR_EVENT_TABLE_DROP, err);
    case TR_STATEMENT_DROP_DATABASE:
        return drop_database(state, err);
    case TR_STATEMENT_ALTER_SAFE:
    case TR_STATEMENT_ALTER_RISKY:
        return alter(state, err);
    default:
        return 0;
    }
}
