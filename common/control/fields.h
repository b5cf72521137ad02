/*
 * fields.h - members of a JSON object into the fields of a struct, by a table. Private to
 * common/control. Everything that does not fit is TR_ESTATE: these records are our own state.
 */
#ifndef TR_CONTROL_FIELDS_H
#define TR_CONTROL_FIELDS_H

#include <stddef.h>

#include "arena.h"
#include "control.h"
#include "json_scan.h"

#define CONTROL_TEXT_MAX (16u << 20) /* the longest text that is unescaped */

enum field_kind {
    FIELD_TEXT,   /* struct tr_slice, copied into the arena with a NUL behind it */
    FIELD_CHARS,  /* char[size], with a NUL */
    FIELD_U32,    /* uint32_t */
    FIELD_I32,    /* int32_t, not negative */
    FIELD_U64,    /* uint64_t */
    FIELD_I64,    /* int64_t */
    FIELD_BOOL,   /* bool */
    FIELD_ARRAY,  /* struct tr_json_value */
    FIELD_OBJECT, /* struct tr_json_value */
};

struct field {
    const char *name; /* NULL ends the table */
    enum field_kind kind;
    size_t offset;
    size_t size; /* FIELD_CHARS */
    bool optional;
};

#define FIELD(structure, member, name, kind)                                                       \
    {                                                                                              \
        name, kind, offsetof(struct structure, member), 0, false                                   \
    }
#define FIELD_OPTIONAL(structure, member, name, kind)                                              \
    {                                                                                              \
        name, kind, offsetof(struct structure, member), 0, true                                    \
    }
#define FIELD_FIXED(structure, member, name)                                                       \
    {                                                                                              \
        name, FIELD_CHARS, offsetof(struct structure, member),                                     \
            sizeof(((struct structure *)0)->member), false                                         \
    }

/* Fills `target` from `object`; members that the table doesn't name are passed over. `what` names
 * the record in messages. */
int fields_read(const struct tr_json_value *object, const struct field *fields, void *target,
                struct tr_arena *arena, const char *what, struct tr_error *err) TR_MUST_CHECK;
/* A whole record's value: an object with "format" of at most TR_CONTROL_FORMAT. */
int fields_open(struct tr_slice text, struct tr_json_value *object, const char *what,
                struct tr_error *err) TR_MUST_CHECK;
/* A string's content, in the arena with a NUL behind it. */
int fields_text(const struct tr_json_value *value, struct tr_arena *arena, struct tr_slice *out,
                const char *what, struct tr_error *err) TR_MUST_CHECK;
/* TR_EFORMAT, the scanner's word, becomes TR_ESTATE. Returns it. */
int fields_broken(const char *what, struct tr_error *err);

/* tr_audit_write with the time and the person given, for tests. */
int control_audit_write(int64_t time_us, const char *who, const char *program, const char *action,
                        struct tr_slice detail, struct tr_buf *key, struct tr_buf *value,
                        struct tr_error *err) TR_MUST_CHECK;
int control_checkpoint_read(struct tr_checkpoint *checkpoint, struct tr_slice text,
                            struct tr_arena *arena, struct tr_error *err) TR_MUST_CHECK;
int control_topic_read(struct tr_topic *topic, struct tr_slice text, struct tr_arena *arena,
                       struct tr_error *err) TR_MUST_CHECK;
/* A deep copy; NULL when memory is exhausted. */
struct tr_shape *control_shape_copy(const struct tr_shape *shape, struct tr_arena *arena);

#endif
