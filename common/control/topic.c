/* topic.c - the registry's records: a topic, its partitions and its incarnation. */
#include "fields.h"
#include "json_writer.h"

int tr_topic_write(const struct tr_topic *topic, struct tr_buf *key, struct tr_buf *value,
                   struct tr_error *err)
{
    tr_buf_reset(key);
    tr_buf_reset(value);
    TR_JSON_LITERAL(key, "[\"topic\",");
    tr_json_text(key, tr_slice_of(topic->name));
    tr_buf_append_char(key, ']');
    TR_JSON_LITERAL(value, "{\"format\":1,\"name\":");
    tr_json_text(value, tr_slice_of(topic->name));
    tr_json_member(value, false, "partitions");
    tr_json_int(value, topic->partitions);
    tr_json_member(value, false, "incarnation");
    tr_json_text(value, tr_slice_of(topic->incarnation));
    tr_buf_append_char(value, '}');
    int rc = tr_buf_check(key, "a topic's key", err);
    return rc < 0 ? rc : tr_buf_check(value, "a topic", err);
}

static const struct field topic_fields[] = {
    FIELD_FIXED(tr_topic, name, "name"),
    FIELD(tr_topic, partitions, "partitions", FIELD_I32),
    FIELD_FIXED(tr_topic, incarnation, "incarnation"),
    {0},
};

int control_topic_read(struct tr_topic *topic, struct tr_slice text, struct tr_arena *arena,
                       struct tr_error *err)
{
    struct tr_json_value object;
    *topic = (struct tr_topic){0};
    if (fields_open(text, &object, "topic", err) < 0)
        return err->code;
    if (fields_read(&object, topic_fields, topic, arena, "topic", err) < 0)
        return err->code;
    if (topic->partitions > 0)
        return 0;
    return tr_error_set(err, TR_ESTATE, "control record: topic %s has no partitions", topic->name);
}
