/*
 * owner.h - what indices say of themselves in `_meta.tailrace` of their mapping.
 */
#ifndef TR_ES_OWNER_H
#define TR_ES_OWNER_H

#include "elasticsearch.h"

/* Behind "/index" or nothing: asks for exactly what the functions below read. */
#define TR_ES_OWNER_QUERY "/_mapping?expand_wildcards=all&filter_path=*.mappings._meta.tailrace"

struct tr_es_owned {
    struct tr_slice index; /* its name; index names need no escapes in JSON */
    bool ours;             /* this pipeline's and consumer's, by name */
    bool same_id;          /* and by the pipeline's id */
};

/* Indices without such a _meta are not in the reply. */
int tr_es_owned_open(struct tr_json_cursor *cursor, const struct tr_es_client *client,
                     struct tr_error *err) TR_MUST_CHECK;
/* 1 = got one, 0 = end, TR_ESTORE. */
int tr_es_owned_next(struct tr_json_cursor *cursor, const struct tr_sink *sink,
                     struct tr_es_owned *owned, struct tr_error *err) TR_MUST_CHECK;

/* Whether the object's member is a text, and that one. */
bool tr_es_member_is(const struct tr_json_value *object, const char *name, const char *text);

#endif
