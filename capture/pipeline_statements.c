/* pipeline_statements.c - statements in the binlog: what they remove, move, or undo. See reader.h.
 */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

#include "encode.h"
#include "hash.h"
#include "json_writer.h"
#include "log.h"
#include "reader.h"

/* One statement, on its way through this file. */
struct statement_state {
    struct tr_reader *reader;
    const struct tr_binlog_event *ev;
    uint64_t start;
    int64_t version; /* of the event's end */
    struct tr_binlog_query query;
    struct tr_statement statement;
};

static bool captured(const struct tr_reader *reader, struct tr_slice database,
                     struct tr_slice table)
{
    return tr_rules_match(reader->rules, database, table, NULL);
}

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
        tr_encode_marker_key(database, table, text);
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

/* Names come in the character set of the statement's client; others than UTF-8 can't be matched. */
static int check_names(struct tr_slice database, struct tr_slice table, struct tr_error *err)
{
    if (tr_json_utf8_valid(database.data, database.length) &&
        tr_json_utf8_valid(table.data, table.length))
        return 0;
    return tr_error_set(err, TR_ESOURCE,
                        "a statement names a table in another character set than UTF-8, so which "
                        "one can't be told: go on behind it with --start FILE:POS --force-start");
}

/* TRUNCATE or DROP of one table. A table without a shape never had a row in a topic. */
static int remove_rows(struct statement_state *state, enum tr_event_type type,
                       struct tr_slice database, struct tr_slice table, struct tr_error *err)
{
    struct tr_reader *reader = state->reader;
    tr_schema_emptied(reader->schema, database, table, state->version);
    if (!captured(reader, database, table))
        return 0;
    int rc = check_names(database, table, err);
    if (rc != 0)
        return rc;
    if (reader->needs != NULL)
        tr_needs_clear(reader->needs, database, table);
    const struct tr_shape *shape =
        tr_control_shape_at(reader->control, database, table, state->version);
    if (shape == NULL && reader->topics != NULL)
        return 0;
    return add_marker(state, type, shape, database, table, err);
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

static int drop_known(struct statement_state *state, const struct tr_shape *shape,
                      struct tr_error *err)
{
    return remove_rows(state, TR_EVENT_TABLE_DROP, shape->database, shape->table, err);
}

static int mark_known(struct statement_state *state, const struct tr_shape *shape,
                      struct tr_error *err)
{
    struct tr_reader *reader = state->reader;
    if (reader->needs == NULL || !captured(reader, shape->database, shape->table))
        return 0;
    return tr_needs_add(reader->needs, shape->database, shape->table, state->version,
                        state->query.text, err);
}

/* ---- the history of statements ----------------------------------------------------------------
 */

/* The next word in upper case; false at the end of what is looked at. Comments are passed over, the
 * text of executable ones is read. */
static bool next_word(struct tr_slice *text, char *word, size_t size)
{
    const char *at = text->data, *end = text->data + text->length;
    while (at < end && !isalpha((unsigned char)*at)) {
        bool comment =
            end - at >= 3 && at[0] == '/' && at[1] == '*' && at[2] != '!' && at[2] != 'M';
        if (comment) {
            const char *close = memmem(at + 2, (size_t)(end - at - 2), "*/", 2);
            at = close == NULL ? end : close + 2;
        } else {
            at++;
        }
    }
    size_t length = 0;
    while (at < end && (isalnum((unsigned char)*at) || *at == '_')) {
        if (length + 1 < size)
            word[length++] = (char)toupper((unsigned char)*at);
        at++;
    }
    word[length] = '\0';
    *text = (struct tr_slice){at, (size_t)(end - at)};
    return length > 0;
}

static bool is_one_of(const char *word, const char *const *words)
{
    while (*words != NULL && strcmp(word, *words) != 0)
        words++;
    return *words != NULL;
}

/* CREATE, ALTER, DROP, RENAME and TRUNCATE of what holds or shows data; never of accounts, whose
 * statements carry passwords. A table may be called as they are. */
static bool is_history(struct tr_slice text)
{
    static const char *const verbs[] = {"CREATE", "ALTER", "DROP", "RENAME", "TRUNCATE", NULL};
    static const char *const modifiers[] = {"OR", "REPLACE", NULL};
    static const char *const secret[] = {"USER", "ROLE", "SERVER", NULL};
    char word[32];
    bool any = next_word(&text, word, sizeof(word));
    if (any && strcmp(word, "SET") == 0) { /* SET STATEMENT name = value FOR statement */
        while (any && strcmp(word, "FOR") != 0)
            any = next_word(&text, word, sizeof(word));
        any = any && next_word(&text, word, sizeof(word));
    }
    if (!any || !is_one_of(word, verbs))
        return false;
    bool more;
    do {
        more = next_word(&text, word, sizeof(word));
    } while (more && is_one_of(word, modifiers));
    return !more || !is_one_of(word, secret);
}

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
    if (reader->topics == NULL || state->statement.temporary || !is_history(state->query.text) ||
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

/* ---- temporary tables -------------------------------------------------------------------------
 *
 * A session in another format than ROW logs what it does to temporary tables, and TRUNCATE of one
 * reads like that of the captured table of the same name. So who made one is kept in mind. */

static struct tr_reader_temporary *find_temporary(struct tr_reader *reader, uint32_t thread,
                                                  uint64_t name)
{
    for (size_t i = 0; i < TR_READER_TEMPORARIES; i++)
        if (reader->temporaries[i].name == name && reader->temporaries[i].thread == thread)
            return &reader->temporaries[i];
    return NULL;
}

/* Never 0. */
static uint64_t hash_name(struct tr_slice database, struct tr_slice table)
{
    return (tr_hash_fnv1a(database.data, database.length) * 31 +
            tr_hash_fnv1a(table.data, table.length)) |
           1;
}

static bool is_temporary(struct statement_state *state, struct tr_slice database,
                         struct tr_slice table)
{
    return find_temporary(state->reader, state->query.thread_id, hash_name(database, table)) !=
           NULL;
}

/* After this statement the session has (or no longer has) temporary tables of these names. */
static void note_temporaries(struct statement_state *state)
{
    struct tr_reader *reader = state->reader;
    const struct tr_statement *statement = &state->statement;
    bool made = statement->temporary && statement->kind == TR_STATEMENT_OTHER;
    bool gone = statement->kind == TR_STATEMENT_DROP_TABLE ||
                statement->kind == TR_STATEMENT_ALTER_SAFE ||
                statement->kind == TR_STATEMENT_ALTER_RISKY;
    for (uint32_t i = 0; (made || gone) && i < statement->table_count; i++) {
        struct tr_slice database = statement->tables[i].database;
        struct tr_slice table = statement->tables[i].table;
        uint64_t name = hash_name(database, table);
        struct tr_reader_temporary *there = find_temporary(reader, state->query.thread_id, name);
        if (there != NULL)
            there->name = 0;
        if (!made || !captured(reader, database, table))
            continue;
        reader->temporaries[reader->temporary_next++ % TR_READER_TEMPORARIES] =
            (struct tr_reader_temporary){state->query.thread_id, name};
    }
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
                            "a statement removes the rows of tables that can't be told from it "
                            "(more than %d?): go on behind it with --start FILE:POS --force-start "
                            "and rebuild the stores",
                            TR_STATEMENT_TABLES_MAX);
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < statement->table_count; i++) {
        struct tr_slice database = statement->tables[i].database;
        struct tr_slice table = statement->tables[i].table;
        if (!is_temporary(state, database, table))
            rc = remove_rows(state, type, database, table, err);
    }
    return rc;
}

static int drop_database(struct statement_state *state, struct tr_error *err)
{
    const struct tr_statement *statement = &state->statement;
    struct tr_slice database =
        statement->table_count > 0 ? statement->tables[0].database : state->query.database;
    int rc = each_known_table(state, database, drop_known, err);
    if (rc == 0)
        tr_schema_ddl(state->reader->schema, database, (struct tr_slice){"", 0}, state->version);
    return rc;
}

/* A table whose old rows may have been changed. A table without a shape had none. */
static int mark_risky(struct statement_state *state, struct tr_slice database,
                      struct tr_slice table, struct tr_error *err)
{
    struct tr_reader *reader = state->reader;
    if (!captured(reader, database, table))
        return 0;
    tr_log(TR_LOG_WARN, "schema", "a statement may have changed old rows: table needs a snapshot",
           TR_STR("position_file", reader->place.file), TR_INT("position", state->start), TR_END);
    int rc = check_names(database, table, err);
    if (rc != 0 || reader->needs == NULL)
        return rc;
    return tr_needs_add(reader->needs, database, table, state->version, state->query.text, err);
}

static int alter(struct statement_state *state, bool risky, struct tr_error *err)
{
    const struct tr_statement *statement = &state->statement;
    if (statement->temporary)
        return 0;
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < statement->table_count; i++) {
        struct tr_slice database = statement->tables[i].database;
        struct tr_slice table = statement->tables[i].table;
        tr_schema_ddl(state->reader->schema, database, table, state->version);
        if (risky)
            rc = mark_risky(state, database, table, err);
    }
    if (rc == 0 && statement->tables_unknown) {
        tr_schema_ddl(state->reader->schema, state->query.database, (struct tr_slice){"", 0},
                      state->version);
        if (risky)
            rc = each_known_table(state, state->query.database, mark_known, err);
    }
    return rc;
}

static int not_as_rows(struct tr_slice database, struct tr_slice table, struct tr_error *err)
{
    return tr_error_set(err, TR_ESOURCE,
                        "a change of %.*s%s%.*s was logged as a statement; a session has changed "
                        "binlog_format: SET GLOBAL binlog_format=ROW, and go on behind this "
                        "transaction with --start FILE:POS --force-start",
                        (int)database.length, database.data, table.length > 0 ? "." : "",
                        (int)table.length, table.data);
}

static int dml(struct statement_state *state, struct tr_error *err)
{
    const struct tr_statement *statement = &state->statement;
    if (statement->temporary)
        return 0;
    for (uint32_t i = 0; i < statement->table_count; i++)
        if (captured(state->reader, statement->tables[i].database, statement->tables[i].table) &&
            !is_temporary(state, statement->tables[i].database, statement->tables[i].table))
            return not_as_rows(statement->tables[i].database, statement->tables[i].table, err);
    if (statement->tables_unknown &&
        tr_rules_may_match_database(state->reader->rules, state->query.database))
        return not_as_rows(state->query.database, (struct tr_slice){"", 0}, err);
    return 0;
}

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
        return group->open ? tr_group_commit(group, reader->batch, err) : 0;
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

static int definition(struct statement_state *state, struct tr_error *err)
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
        return alter(state, false, err);
    case TR_STATEMENT_ALTER_RISKY:
        return alter(state, true, err);
    default:
        return 0;
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
    return rc != 0 ? rc : definition(state, err);
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
    tr_arena_reset(&reader->arena);
    rc = tr_statement_read(&state.statement, state.query.text, state.query.database, &reader->arena,
                           err);
    if (rc == 0 && tr_source_server(reader->source)->lower_case_table_names == 1)
        lower_names(&state.statement);
    if (rc == 0)
        rc = carry_out(&state, err);
    if (rc == 0)
        note_temporaries(&state);
    if (rc == 0 && reader->group.open && reader->group.standalone)
        rc = tr_group_commit(&reader->group, reader->batch, err);
    return rc;
}

/* | u32 thread | u32 seconds | u8 database length | u16 error | u16 status length | u32 file id |
 * | u32, u32 file name's place | u8 duplicates | status variables | database | NUL | text | */
int tr_reader_load(struct tr_reader *reader, const struct tr_binlog_event *ev, struct tr_error *err)
{
    enum { FIXED = 13 + 13 };
    struct tr_slice database = {"", 0};
    if (ev->body_length > FIXED) {
        size_t status = (size_t)ev->body[11] | (size_t)ev->body[12] << 8;
        size_t length = ev->body[8];
        if (FIXED + status + length <= ev->body_length)
            database = (struct tr_slice){(const char *)ev->body + FIXED + status, length};
    }
    if (database.length > 0 && !tr_rules_may_match_database(reader->rules, database))
        return 0;
    return not_as_rows(database, (struct tr_slice){"", 0}, err);
}
