/*
 * rig.h - the runtime without Kafka: messages made by hand go by route, lanes and the fake store.
 * The linker wraps what would ask librdkafka: headers are given by hand, dead letters kept.
 */
#ifndef TR_RIG_H
#define TR_RIG_H

#include "cmocka_all.h"
#include "fake_sink.h"
#include "route.h"

struct rig {
    struct tr_fake_settings settings;
    struct tr_sink *sink;
    struct tr_rules *rules;
    struct tr_control *control;
    struct tr_tables tables;
    struct tr_dead dead;
    struct tr_lanes lanes;
    struct tr_parts parts;
    struct tr_error err;
    int64_t offset[8]; /* next, per partition */
};

#define TOPIC "db.shop"

#define RIG_LETTERS_MAX 64
struct rig_letter {
    char headers[1024]; /* name=value; and so on */
    char value[256];
    bool tombstone;
};
extern struct rig_letter rig_letters[RIG_LETTERS_MAX];
extern _Atomic int rig_letter_count;
/* So many sends are refused, so many letters not delivered; both pass. */
extern _Atomic int rig_send_fails, rig_deliver_fails;
/* Letters are taken and get no answer before the rig is closed. */
extern atomic_bool rig_unanswered;

/* Lanes and limits as given; the store's settings are taken from rig->settings, which is zeroed
 * unless the caller filled it before. */
void rig_open(struct rig *rig, unsigned lanes, size_t records_max, size_t bytes_max);
void rig_close(struct rig *rig);
/* A partition as after an assignment. */
struct tr_part *rig_part(struct rig *rig, int32_t partition);
void rig_shape(struct rig *rig, const char *table, int64_t schema_id);

/* Hands one message on; returns what tr_route says. `header` is tailrace-version, NULL = none;
 * `value` NULL = tombstone. Texts must live until it is settled. */
int rig_route(struct rig *rig, int32_t partition, const char *key, const char *value,
              const char *header);
/* Events of table t: text is kept for the test's life. */
const char *rig_key(int number);
const char *rig_event(const char *type, int number, int64_t version, const char *text);
int rig_row(struct rig *rig, int32_t partition, const char *type, int number, int64_t version);
/* Offers, and waits until all is settled. */
void rig_settle(struct rig *rig);
int64_t rig_version(struct rig *rig, int number, bool *removed);
void rig_account(struct rig *rig, int32_t partition, struct tr_account *account);

#define assert_account(rig, partition, applied_, stale_, superseded_, filtered_, dead_)            \
    do {                                                                                           \
        struct tr_account a_;                                                                      \
        rig_account(rig, partition, &a_);                                                          \
        assert_int_equal(a_.outcomes[TR_OUT_APPLIED], applied_);                                   \
        assert_int_equal(a_.outcomes[TR_OUT_STALE], stale_);                                       \
        assert_int_equal(a_.outcomes[TR_OUT_SUPERSEDED], superseded_);                             \
        assert_int_equal(a_.outcomes[TR_OUT_FILTERED], filtered_);                                 \
        assert_int_equal(a_.outcomes[TR_OUT_DEAD], dead_);                                         \
    } while (0)

#endif
