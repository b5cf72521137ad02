/*
 * driver.c - golden_capture: a binlog file through decode and encode, compared line by line.
 *
 *     golden_capture CASE            compares with CASE/expected.jsonl; 0 = equal, 1 = not
 *     golden_capture --print CASE    prints the events
 *
 * CASE/binlog.bin is a file as a server wrote it. CASE/options has a line per option:
 *
 *     refine DATABASE.TABLE.COLUMN json|uuid|inet4|inet6
 *     key DATABASE.TABLE COLUMN,COLUMN      for a table without a primary key
 *     keys                                  a line with the record's key before each event
 *     server_id | thread_id | query         these members too
 *
 * Groups are not judged here: rows come out in the order of the log, undone ones included.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "encode.h"
#include "place.h"

#define FILE_MAX ((size_t)64 << 20)
#define TABLES_MAX 64
#define OPTIONS_MAX 64
#define COLUMNS_MAX 4096
#define FILE_NAME "bin.000002"
#define MAGIC_BYTES 4

struct option {
    char name[16], subject[192], value[192];
};

struct table {
    struct tr_binlog_table *table;
    struct tr_shape shape;
    struct tr_encoder *encoder;
};

struct driver {
    struct option options[OPTIONS_MAX];
    size_t option_count;
    struct tr_arena arena;
    struct table tables[TABLES_MAX];
    size_t table_count;
    struct tr_place place;
    bool checksum;
    struct tr_buf scratch, query_scratch, group, out;
    struct tr_encoded last; /* in `group`, when has_last */
    bool has_last;
    struct tr_encode_header header;
    char gtid[64];
    struct tr_cell before[COLUMNS_MAX], after[COLUMNS_MAX];
    struct tr_error err;
};

static struct driver driver;

/* ---- options -------------------------------------------------------------------------------- */

static bool read_options(const char *path)
{
    FILE *file = fopen(path, "r");
    char line[512];
    if (file == NULL)
        return false;
    while (fgets(line, sizeof(line), file) != NULL && driver.option_count < OPTIONS_MAX) {
        struct option *option = &driver.options[driver.option_count];
        if (line[0] != '#' &&
            sscanf(line, "%15s %191s %191s", option->name, option->subject, option->value) >= 1)
            driver.option_count++;
    }
    fclose(file);
    return true;
}

static const struct option *find_option(const char *name, const char *subject)
{
    for (size_t i = 0; i < driver.option_count; i++) {
        const struct option *option = &driver.options[i];
        if (strcmp(option->name, name) == 0 &&
            (subject == NULL || strcmp(option->subject, subject) == 0))
            return option;
    }
    return NULL;
}

static bool read_file(const char *path, struct tr_buf *out)
{
    FILE *file = fopen(path, "rb");
    char piece[4096];
    size_t got;
    if (file == NULL)
        return false;
    while ((got = fread(piece, 1, sizeof(piece), file)) > 0)
        tr_buf_append(out, piece, got);
    fclose(file);
    return !out->failed;
}

/* ---- tables --------------------------------------------------------------------------------- */

static enum tr_refine refine_of(const char *text)
{
    static const char *const names[] = {"", "json", "uuid", "inet4", "inet6"};
    for (int i = 1; i <= TR_REFINE_INET6; i++) {
        if (strcmp(text, names[i]) == 0)
            return (enum tr_refine)i;
    }
    return TR_REFINE_NONE;
}

static void add_key_column(struct tr_shape *shape, struct tr_slice name)
{
    for (uint32_t i = 0; i < shape->column_count; i++) {
        if (tr_slice_equal(shape->columns[i].name, name))
            shape->key[shape->key_count++] = i;
    }
}

static void set_key(struct table *entry, const char *name)
{
    struct tr_shape *shape = &entry->shape;
    const struct tr_binlog_table *table = entry->table;
    shape->key = tr_arena_alloc(&driver.arena, (table->column_count + 1) * sizeof(*shape->key));
    for (uint32_t i = 0; i < table->primary_key_count; i++)
        shape->key[shape->key_count++] = table->primary_key[i];
    const struct option *option = find_option("key", name);
    if (option == NULL || shape->key_count > 0)
        return;
    for (const char *at = option->value; *at != '\0';) {
        size_t length = strcspn(at, ",");
        add_key_column(shape, (struct tr_slice){at, length});
        at += length + (at[length] == ',' ? 1 : 0);
    }
}

static void make_shape(struct table *entry)
{
    struct tr_binlog_table *table = entry->table;
    struct tr_shape *shape = &entry->shape;
    char name[512];
    shape->database = table->database;
    shape->table = table->table;
    shape->schema_id = 4;
    shape->columns =
        tr_arena_alloc(&driver.arena, (table->column_count + 1) * sizeof(*shape->columns));
    for (uint32_t i = 0; i < table->column_count; i++) {
        if (table->columns[i].hidden)
            continue;
        struct tr_shape_column *column = &shape->columns[shape->column_count++];
        *column = table->columns[i].shape;
        snprintf(name, sizeof(name), "%s.%s.%s", table->database.data, table->table.data,
                 column->name.data);
        const struct option *option = find_option("refine", name);
        if (option != NULL)
            column->refine = refine_of(option->value);
    }
    snprintf(name, sizeof(name), "%s.%s", table->database.data, table->table.data);
    set_key(entry, name);
}

static struct table *find_table(uint64_t id)
{
    for (size_t i = driver.table_count; i-- > 0;) {
        if (driver.tables[i].table->id == id)
            return &driver.tables[i];
    }
    return NULL;
}

static int on_table_map(const struct tr_binlog_event *event)
{
    uint64_t id;
    struct tr_slice raw;
    if (tr_binlog_table_peek(&id, &raw, event, &driver.err) != 0)
        return driver.err.code;
    struct table *entry = find_table(id);
    if (entry != NULL && tr_slice_equal(entry->table->raw, raw))
        return 0;
    if (driver.table_count == TABLES_MAX)
        return tr_error_set(&driver.err, TR_ELIMIT, "more than %d tables", TABLES_MAX);
    entry = &driver.tables[driver.table_count];
    if (tr_binlog_table_read(&entry->table, event, &driver.arena, &driver.err) != 0)
        return driver.err.code;
    make_shape(entry);
    driver.table_count++;
    return tr_encoder_new(&entry->encoder, entry->table, &entry->shape, &driver.err);
}

/* ---- rows ----------------------------------------------------------------------------------- */

/* An event is a line of the group: a key's line in front of it, if asked for. */
static void write_event(struct table *entry, enum tr_event_type type, int64_t version,
                        const struct tr_cell *data, const struct tr_cell *before)
{
    struct tr_buf *out = &driver.group;
    if (find_option("keys", NULL) != NULL && tr_encode_key(entry->encoder, data, out))
        tr_buf_append_char(out, '\n');
    driver.header.type = type;
    driver.header.version = version;
    tr_encode_event(entry->encoder, &driver.header, data, before, out, &driver.last);
    tr_buf_append_char(out, '\n');
    driver.has_last = true;
}

static int write_update(struct table *entry, struct tr_binlog_rows *rows, uint64_t start,
                        uint64_t inside)
{
    int64_t version = tr_place_version(&driver.place, start, inside);
    int got = tr_binlog_row_next(rows, entry->table, true, driver.after, &inside, &driver.err);
    if (got < 0)
        return got;
    int64_t version_after = tr_place_version(&driver.place, start, inside);
    if (tr_encode_key_changed(entry->encoder, driver.before, driver.after)) {
        write_event(entry, TR_EVENT_DELETE, version, driver.before, NULL);
        write_event(entry, TR_EVENT_INSERT, version_after, driver.after, NULL);
    } else {
        write_event(entry, TR_EVENT_UPDATE, version_after, driver.after, driver.before);
    }
    return 0;
}

static int on_rows(const struct tr_binlog_event *event, uint64_t start)
{
    struct tr_binlog_rows rows;
    uint64_t inside;
    int got;
    if (tr_binlog_rows_open(&rows, event, &driver.scratch, &driver.err) != 0)
        return driver.err.code;
    struct table *entry = find_table(rows.table_id);
    if (entry == NULL)
        return tr_error_set(&driver.err, TR_ESOURCE, "no table map");
    if (!tr_binlog_rows_complete(&rows))
        return tr_error_set(&driver.err, TR_ESOURCE, "columns are missing");
    driver.header.ts = event->timestamp;
    driver.header.server_id = event->server_id;
    driver.header.position_offset = start;
    while ((got = tr_binlog_row_next(&rows, entry->table, false, driver.before, &inside,
                                     &driver.err)) == 1) {
        if (rows.kind == TR_ROWS_UPDATE)
            got = write_update(entry, &rows, start, inside);
        else
            write_event(entry, rows.kind == TR_ROWS_INSERT ? TR_EVENT_INSERT : TR_EVENT_DELETE,
                        tr_place_version(&driver.place, start, inside), driver.before, NULL);
        if (got < 0)
            break;
    }
    tr_place_inflate(&driver.place, rows.inflated);
    return got;
}

/* ---- the log -------------------------------------------------------------------------------- */

static int end_group(void)
{
    size_t moved;
    if (driver.has_last && !tr_encode_mark_commit(&driver.group, &driver.last, &moved))
        return tr_error_set(&driver.err, TR_ELIMIT, "group");
    tr_buf_append(&driver.out, driver.group.data, driver.group.length);
    tr_buf_reset(&driver.group);
    driver.has_last = false;
    return 0;
}

static int on_gtid(const struct tr_binlog_event *event, uint64_t start)
{
    struct tr_binlog_gtid gtid;
    if (tr_binlog_gtid_read(&gtid, event, &driver.err) != 0)
        return driver.err.code;
    snprintf(driver.gtid, sizeof(driver.gtid), "%u-%u-%" PRIu64, gtid.domain, gtid.server_id,
             gtid.sequence);
    driver.header.gtid = tr_slice_of(driver.gtid);
    driver.header.xid = tr_place_version(&driver.place, start, 0);
    driver.header.query = (struct tr_slice){0};
    return 0;
}

static int write_markers(const struct tr_binlog_event *event, const struct tr_statement *statement,
                         enum tr_event_type type, uint64_t start)
{
    driver.header.type = type;
    driver.header.version = tr_place_version(&driver.place, start, event->length);
    driver.header.ts = event->timestamp;
    driver.header.position_offset = start;
    for (uint32_t i = 0; i < statement->table_count; i++) {
        struct tr_encoded encoded;
        if (find_option("keys", NULL) != NULL) {
            tr_event_put_marker_key(&driver.group, statement->tables[i].database,
                                    statement->tables[i].table);
            tr_buf_append_char(&driver.group, '\n');
        }
        tr_encode_marker(&driver.header, statement->tables[i].database, statement->tables[i].table,
                         &driver.group, &encoded);
        tr_buf_append_char(&driver.group, '\n');
    }
    return end_group();
}

static int on_query(const struct tr_binlog_event *event, uint64_t start)
{
    struct tr_binlog_query query;
    struct tr_statement statement;
    int64_t inflated;
    if (tr_binlog_query_read(&query, event, &driver.query_scratch, &inflated, &driver.err) != 0 ||
        tr_statement_read(&statement, query.text, query.database, &driver.arena, &driver.err) != 0)
        return driver.err.code;
    tr_place_inflate(&driver.place, inflated);
    driver.header.thread_id = query.thread_id;
    switch (statement.kind) {
    case TR_STATEMENT_COMMIT:
        return end_group();
    case TR_STATEMENT_TRUNCATE:
        return write_markers(event, &statement, TR_EVENT_TABLE_TRUNCATE, start);
    case TR_STATEMENT_DROP_TABLE:
        return write_markers(event, &statement, TR_EVENT_TABLE_DROP, start);
    default:
        return 0;
    }
}

static int on_format(const struct tr_binlog_event *event)
{
    struct tr_binlog_format format;
    if (tr_binlog_format_read(&format, event, &driver.err) != 0)
        return driver.err.code;
    driver.checksum = format.checksum;
    return 0;
}

static int on_event(const struct tr_binlog_event *event, uint64_t start)
{
    switch (event->type) {
    case TR_BINLOG_FORMAT_DESCRIPTION:
        return on_format(event);
    case TR_BINLOG_GTID:
        return on_gtid(event, start);
    case TR_BINLOG_ANNOTATE:
        if (find_option("query", NULL) != NULL)
            driver.header.query = (struct tr_slice){(const char *)event->body, event->body_length};
        return 0;
    case TR_BINLOG_QUERY:
    case TR_BINLOG_QUERY_COMPRESSED:
        return on_query(event, start);
    case TR_BINLOG_TABLE_MAP:
        return on_table_map(event);
    case TR_BINLOG_XID:
        return end_group();
    case TR_BINLOG_WRITE_ROWS_V1:
    case TR_BINLOG_UPDATE_ROWS_V1:
    case TR_BINLOG_DELETE_ROWS_V1:
    case TR_BINLOG_WRITE_ROWS_COMPRESSED_V1:
    case TR_BINLOG_UPDATE_ROWS_COMPRESSED_V1:
    case TR_BINLOG_DELETE_ROWS_COMPRESSED_V1:
        return on_rows(event, start);
    default:
        return 0;
    }
}

/* The length of the event at `at`, at most what is left of the file. */
static size_t length_at(const uint8_t *at, size_t left)
{
    uint32_t length;
    if (left < 19)
        return left;
    memcpy(&length, at + 9, sizeof(length));
    return length < 19 || length > left ? left : length;
}

static int walk(const struct tr_buf *file)
{
    const uint8_t *at = (const uint8_t *)file->data + MAGIC_BYTES;
    const uint8_t *end = (const uint8_t *)file->data + file->length;
    if (file->length < MAGIC_BYTES || memcmp(file->data,
                                             "\xfe"
                                             "bin",
                                             MAGIC_BYTES) != 0)
        return tr_error_set(&driver.err, TR_ESOURCE, "no binlog file");
    while (at < end) {
        struct tr_binlog_event event;
        uint64_t start;
        bool counted;
        size_t length = length_at(at, (size_t)(end - at));
        if (tr_binlog_event_read(&event, at, length, driver.checksum, &driver.err) != 0)
            return driver.err.code;
        struct tr_place_event head = {event.type, event.timestamp, event.length, event.log_pos,
                                      event.flags};
        if (tr_place_advance(&driver.place, &head, &counted, &start, &driver.err) != 0 ||
            on_event(&event, start) != 0)
            return driver.err.code;
        if (counted && start != (uint64_t)(at - (const uint8_t *)file->data))
            return tr_error_set(&driver.err, TR_EBUG, "place %" PRIu64 " is wrong", start);
        at += length;
    }
    return tr_buf_check(&driver.out, "the events", &driver.err);
}

static int compare(const char *path)
{
    struct tr_buf expected;
    tr_buf_init(&expected, FILE_MAX);
    if (!read_file(path, &expected)) {
        fprintf(stderr, "%s cannot be read\n", path);
        return 1;
    }
    size_t at = 0, line = 1, begin = 0;
    while (at < expected.length && at < driver.out.length &&
           expected.data[at] == driver.out.data[at]) {
        if (expected.data[at++] == '\n') {
            line++;
            begin = at;
        }
    }
    bool equal = at == expected.length && at == driver.out.length;
    if (!equal) {
        tr_buf_append_char(&expected, '\n');
        tr_buf_append_char(&driver.out, '\n');
        const char *want = expected.data + begin, *got = driver.out.data + begin;
        fprintf(stderr, "line %zu differs at column %zu\nexpected: %.*s\ngot:      %.*s\n", line,
                at - begin + 1, (int)strcspn(want, "\n"), want, (int)strcspn(got, "\n"), got);
    }
    tr_buf_done(&expected);
    return equal ? 0 : 1;
}

static void prepare(void)
{
    tr_arena_init(&driver.arena, (size_t)64 << 10, 0);
    tr_buf_init(&driver.scratch, FILE_MAX);
    tr_buf_init(&driver.query_scratch, FILE_MAX);
    tr_buf_init(&driver.group, FILE_MAX);
    tr_buf_init(&driver.out, FILE_MAX);
    driver.place = (struct tr_place){.file = FILE_NAME, .offset = MAGIC_BYTES};
    driver.header.position_file = TR_SLICE(FILE_NAME);
    driver.header.with_server_id = find_option("server_id", NULL) != NULL;
    driver.header.with_thread_id = find_option("thread_id", NULL) != NULL;
    driver.header.thread_id = -1;
}

static void clean_up(struct tr_buf *file)
{
    for (size_t i = 0; i < driver.table_count; i++)
        tr_encoder_free(driver.tables[i].encoder);
    tr_arena_done(&driver.arena);
    tr_buf_done(&driver.scratch);
    tr_buf_done(&driver.query_scratch);
    tr_buf_done(&driver.group);
    tr_buf_done(&driver.out);
    tr_buf_done(file);
}

int main(int argc, char **argv)
{
    bool print = argc == 3 && strcmp(argv[1], "--print") == 0;
    const char *folder = argv[argc - 1];
    char path[4096];
    struct tr_buf file;
    if (argc != 2 && !print) {
        fprintf(stderr, "usage: golden_capture [--print] CASE\n");
        return 1;
    }
    snprintf(path, sizeof(path), "%s/options", folder);
    (void)!read_options(path); /* most cases need none */
    prepare();
    tr_buf_init(&file, FILE_MAX);
    snprintf(path, sizeof(path), "%s/binlog.bin", folder);
    int rc = 1;
    if (!read_file(path, &file)) {
        fprintf(stderr, "%s cannot be read\n", path);
    } else if (walk(&file) != 0) {
        fprintf(stderr, "%s\n", tr_error_format(&driver.err, path, sizeof(path)));
    } else if (print) {
        rc = fwrite(driver.out.data, 1, driver.out.length, stdout) == driver.out.length ? 0 : 1;
    } else {
        snprintf(path, sizeof(path), "%s/expected.jsonl", folder);
        rc = compare(path);
    }
    clean_up(&file);
    return rc;
}
