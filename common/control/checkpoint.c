/* checkpoint.c - the checkpoint's record; see control.h. */
#include <inttypes.h>
#include <stdlib.h>

#include "fields.h"
#include "json_writer.h"

#define TABLES_MAX 100000 /* in one list */

/* ---- writing -------------------------------------------------------------------------------- */

static void write_server(struct tr_buf *out, const struct tr_checkpoint *checkpoint)
{
    TR_JSON_LITERAL(out, ",\"server\":{\"id\":");
    tr_json_uint(out, checkpoint->server_id);
    tr_json_member(out, false, "uuid");
    tr_json_text(out, tr_slice_of(checkpoint->server_uuid));
    tr_json_member(out, false, "file_stamp");
    tr_json_uint(out, checkpoint->file_stamp);
    tr_json_member(out, false, "file_crc");
    tr_json_uint(out, checkpoint->file_crc);
    tr_json_member(out, false, "last_type");
    tr_json_uint(out, checkpoint->last_type);
    tr_json_member(out, false, "last_stamp");
    tr_json_uint(out, checkpoint->last_stamp);
    tr_json_member(out, false, "last_crc");
    tr_json_uint(out, checkpoint->last_crc);
    tr_json_member(out, false, "last_length");
    tr_json_uint(out, checkpoint->last_length);
    tr_buf_append_char(out, '}');
}

static void write_needs_snapshot(struct tr_buf *out, const struct tr_checkpoint *checkpoint)
{
    TR_JSON_LITERAL(out, ",\"needs_snapshot\":[");
    for (uint32_t i = 0; i < checkpoint->needs_snapshot_count; i++) {
        const struct tr_needs_snapshot *need = &checkpoint->needs_snapshot[i];
        if (i > 0)
            tr_buf_append_char(out, ',');
        TR_JSON_LITERAL(out, "{\"table\":");
        tr_json_text(out, need->table);
        tr_json_member(out, false, "version");
        tr_json_int(out, need->version);
        tr_json_member(out, false, "reason");
        tr_json_text(out, need->reason);
        tr_buf_append_char(out, '}');
    }
    tr_buf_append_char(out, ']');
}

/* The usual one is empty and left out. */
static void write_altered(struct tr_buf *out, const struct tr_checkpoint *checkpoint)
{
    for (uint32_t i = 0; i < checkpoint->altered_count; i++) {
        const struct tr_altered_table *altered = &checkpoint->altered[i];
        if (i == 0)
            TR_JSON_LITERAL(out, ",\"altered\":[");
        else
            tr_buf_append_char(out, ',');
        TR_JSON_LITERAL(out, "{\"database\":");
        tr_json_text(out, altered->database);
        tr_json_member(out, false, "table");
        tr_json_text(out, altered->table);
        tr_json_member(out, false, "version");
        tr_json_int(out, altered->version);
        tr_buf_append_char(out, '}');
    }
    if (checkpoint->altered_count > 0)
        tr_buf_append_char(out, ']');
}

static void write_open_group(struct tr_buf *out, const struct tr_open_group *open)
{
    if (open->ordinal == 0)
        return;
    TR_JSON_LITERAL(out, ",\"open_group\":{\"version\":");
    tr_json_int(out, open->version);
    tr_json_member(out, false, "ordinal");
    tr_json_uint(out, open->ordinal);
    tr_json_member(out, false, "row_version");
    tr_json_int(out, open->row);
    tr_buf_printf(out, ",\"key_hash\":\"%016" PRIx64 "\"}", open->key_hash);
}

int tr_checkpoint_write(const struct tr_checkpoint *checkpoint, struct tr_buf *key,
                        struct tr_buf *value, struct tr_error *err)
{
    tr_buf_reset(key);
    tr_buf_reset(value);
    TR_JSON_LITERAL(key, "[\"checkpoint\"]");
    TR_JSON_LITERAL(value, "{\"format\":1,\"pipeline_id\":");
    tr_json_text(value, tr_slice_of(checkpoint->pipeline_id));
    write_server(value, checkpoint);
    tr_json_member(value, false, "file");
    tr_json_text(value, tr_slice_of(checkpoint->file));
    tr_json_member(value, false, "offset");
    tr_json_uint(value, checkpoint->offset);
    tr_json_member(value, false, "base");
    tr_json_int(value, checkpoint->base);
    tr_json_member(value, false, "version");
    tr_json_int(value, checkpoint->version);
    tr_json_member(value, false, "gtid");
    tr_json_text(value, tr_slice_of(checkpoint->gtid));
    tr_json_member(value, false, "ts");
    tr_json_int(value, checkpoint->ts);
    write_open_group(value, &checkpoint->open);
    write_needs_snapshot(value, checkpoint);
    write_altered(value, checkpoint);
    tr_buf_append_char(value, '}');
    int rc = tr_buf_check(key, "the checkpoint's key", err);
    return rc < 0 ? rc : tr_buf_check(value, "the checkpoint", err);
}

/* ---- reading -------------------------------------------------------------------------------- */

struct checkpoint_words {
    struct tr_checkpoint checkpoint;
    struct tr_json_value server, open_group, needs_snapshot, altered;
};

static const struct field checkpoint_fields[] = {
    FIELD_FIXED(checkpoint_words, checkpoint.pipeline_id, "pipeline_id"),
    FIELD(checkpoint_words, server, "server", FIELD_OBJECT),
    FIELD_FIXED(checkpoint_words, checkpoint.file, "file"),
    FIELD(checkpoint_words, checkpoint.offset, "offset", FIELD_U64),
    FIELD(checkpoint_words, checkpoint.base, "base", FIELD_I64),
    FIELD(checkpoint_words, checkpoint.version, "version", FIELD_I64),
    FIELD_FIXED(checkpoint_words, checkpoint.gtid, "gtid"),
    FIELD(checkpoint_words, checkpoint.ts, "ts", FIELD_I64),
    FIELD_OPTIONAL(checkpoint_words, open_group, "open_group", FIELD_OBJECT),
    FIELD(checkpoint_words, needs_snapshot, "needs_snapshot", FIELD_ARRAY),
    FIELD_OPTIONAL(checkpoint_words, altered, "altered", FIELD_ARRAY),
    {0},
};

static const struct field server_fields[] = {
    FIELD(tr_checkpoint, server_id, "id", FIELD_U32),
    FIELD_FIXED(tr_checkpoint, server_uuid, "uuid"),
    FIELD(tr_checkpoint, file_stamp, "file_stamp", FIELD_U32),
    FIELD(tr_checkpoint, file_crc, "file_crc", FIELD_U32),
    FIELD(tr_checkpoint, last_type, "last_type", FIELD_U32),
    FIELD(tr_checkpoint, last_stamp, "last_stamp", FIELD_U32),
    FIELD(tr_checkpoint, last_crc, "last_crc", FIELD_U32),
    FIELD(tr_checkpoint, last_length, "last_length", FIELD_U32),
    {0},
};

static const struct field need_fields[] = {
    FIELD(tr_needs_snapshot, table, "table", FIELD_TEXT),
    FIELD(tr_needs_snapshot, version, "version", FIELD_I64),
    FIELD(tr_needs_snapshot, reason, "reason", FIELD_TEXT),
    {0},
};

static const struct field altered_fields[] = {
    FIELD(tr_altered_table, database, "database", FIELD_TEXT),
    FIELD(tr_altered_table, table, "table", FIELD_TEXT),
    FIELD(tr_altered_table, version, "version", FIELD_I64),
    {0},
};

struct open_words {
    int64_t version;
    uint64_t ordinal;
    int64_t row_version;
    char key_hash[17];
};

static const struct field open_fields[] = {
    FIELD(open_words, version, "version", FIELD_I64),
    FIELD(open_words, ordinal, "ordinal", FIELD_U64),
    FIELD_OPTIONAL(open_words, row_version, "row_version", FIELD_I64),
    FIELD_FIXED(open_words, key_hash, "key_hash"),
    {0},
};

/* Absent in checkpoints between transactions, and in those of earlier versions. */
static int read_open_group(struct tr_checkpoint *checkpoint, const struct tr_json_value *object,
                           struct tr_arena *arena, struct tr_error *err)
{
    struct open_words words = {0};
    char *end = NULL;
    if (object->text.length == 0)
        return 0;
    if (fields_read(object, open_fields, &words, arena, "checkpoint", err) < 0)
        return err->code;
    checkpoint->open.version = words.version;
    checkpoint->open.ordinal = words.ordinal;
    checkpoint->open.row = words.row_version; /* 0 in earlier ones: all rows are sent again */
    checkpoint->open.key_hash = strtoull(words.key_hash, &end, 16);
    if (strlen(words.key_hash) != 16 || *end != '\0')
        return tr_error_set(err, TR_ESTATE, "control record: checkpoint: key_hash is no hash");
    return 0;
}

static int count_items(const struct tr_json_value *array, uint32_t *count, struct tr_error *err)
{
    struct tr_json_cursor cursor;
    struct tr_json_value ignored, item;
    int got;
    *count = 0;
    tr_json_enter(&cursor, array);
    while ((got = tr_json_next(&cursor, &ignored, &item, err)) > 0)
        (*count)++;
    if (got < 0)
        return fields_broken("checkpoint", err);
    if (*count > TABLES_MAX)
        return tr_error_set(err, TR_ESTATE, "control record: checkpoint names %u tables", *count);
    return 0;
}

/* A list of objects into *items, `bytes` each; none where it is absent. */
static int read_list(const struct tr_json_value *array, const struct field *fields, size_t bytes,
                     void **items, uint32_t *count, struct tr_arena *arena, struct tr_error *err)
{
    struct tr_json_cursor cursor;
    struct tr_json_value ignored, item;
    *count = 0;
    if (array->text.length == 0)
        return 0;
    if (count_items(array, count, err) < 0)
        return err->code;
    char *at = *items = tr_arena_alloc(arena, (*count + 1) * bytes);
    if (at == NULL)
        return tr_error_set(err, TR_ENOMEM, "no memory for the checkpoint");
    tr_json_enter(&cursor, array);
    for (uint32_t i = 0; i < *count; i++, at += bytes) {
        int got = tr_json_next(&cursor, &ignored, &item, err);
        if (got < 0 || item.type != TR_JSON_OBJECT)
            return tr_error_set(err, TR_ESTATE, "control record: checkpoint: broken list");
        if (fields_read(&item, fields, at, arena, "checkpoint", err) < 0)
            return err->code;
    }
    return 0;
}

static int read_lists(struct tr_checkpoint *checkpoint, const struct checkpoint_words *words,
                      struct tr_arena *arena, struct tr_error *err)
{
    void *needs = NULL, *altered = NULL;
    int rc = read_list(&words->needs_snapshot, need_fields, sizeof(struct tr_needs_snapshot),
                       &needs, &checkpoint->needs_snapshot_count, arena, err);
    if (rc == 0)
        rc = read_list(&words->altered, altered_fields, sizeof(struct tr_altered_table), &altered,
                       &checkpoint->altered_count, arena, err);
    checkpoint->needs_snapshot = needs;
    checkpoint->altered = altered;
    return rc;
}

int control_checkpoint_read(struct tr_checkpoint *checkpoint, struct tr_slice text,
                            struct tr_arena *arena, struct tr_error *err)
{
    struct tr_json_value object;
    struct checkpoint_words words = {0};
    if (fields_open(text, &object, "checkpoint", err) < 0)
        return err->code;
    if (fields_read(&object, checkpoint_fields, &words, arena, "checkpoint", err) < 0)
        return err->code;
    *checkpoint = words.checkpoint;
    if (fields_read(&words.server, server_fields, checkpoint, arena, "checkpoint", err) < 0)
        return err->code;
    if (read_open_group(checkpoint, &words.open_group, arena, err) < 0)
        return err->code;
    return read_lists(checkpoint, &words, arena, err);
}
