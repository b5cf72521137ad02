/* owner.c - see owner.h. */
#include "owner.h"

#include "json_scan.h"
#include "reply.h"

bool tr_es_member_is(const struct tr_json_value *object, const char *name, const char *text)
{
    struct tr_error ignored = {0};
    struct tr_json_value value;
    return tr_json_find(object, name, &value, &ignored) == 1 && value.type == TR_JSON_STRING &&
           tr_json_equal(&value, tr_slice_of(text));
}

int tr_es_owned_open(struct tr_json_cursor *cursor, const struct tr_es_client *client,
                     struct tr_error *err)
{
    struct tr_slice text = {client->reply.data, client->reply.length};
    return tr_es_understood(tr_es_object_open(cursor, text, err), "a look at the indices", err);
}

int tr_es_owned_next(struct tr_json_cursor *cursor, const struct tr_sink *sink,
                     struct tr_es_owned *owned, struct tr_error *err)
{
    static const char *const path[] = {"mappings", "_meta", "tailrace"};
    struct tr_json_value name, value;
    int rc = tr_json_next(cursor, &name, &value, err);
    if (rc != 1)
        return tr_es_understood(rc, "a look at the indices", err);
    *owned = (struct tr_es_owned){.index = {name.text.data + 1, name.text.length - 2}};
    for (size_t i = 0; i < sizeof(path) / sizeof(path[0]) && rc == 1; i++)
        rc = value.type == TR_JSON_OBJECT ? tr_json_find(&value, path[i], &value, err) : 0;
    if (rc < 0)
        return tr_es_understood(rc, "a look at the indices", err);
    if (rc == 1 && value.type == TR_JSON_OBJECT) {
        owned->ours = tr_es_member_is(&value, "pipeline", sink->context->pipeline) &&
                      tr_es_member_is(&value, "consumer", sink->context->consumer);
        owned->same_id = tr_es_member_is(&value, "pipeline_id", sink->pipeline_id);
    }
    return 1;
}
