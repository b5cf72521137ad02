/* Batches, epochs, tables that need a snapshot, and the output file. */
#include "cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "batch.h"
#include "epochs.h"
#include "needs.h"
#include "to_file.h"

static struct tr_record *add(struct tr_batch *batch, enum tr_record_kind kind, const char *key,
                             const char *value)
{
    struct tr_error err = {0};
    struct tr_record *rec = tr_batch_add(batch, &err);
    assert_non_null(rec);
    rec->kind = kind;
    rec->key_at = (uint32_t)batch->text.length;
    rec->key_length = (uint32_t)strlen(key);
    tr_buf_append(&batch->text, key, strlen(key));
    rec->value_at = (uint32_t)batch->text.length;
    rec->value_length = (uint32_t)strlen(value);
    rec->commit_at = rec->value_at + 1;
    tr_buf_append(&batch->text, value, strlen(value));
    return rec;
}

static void assert_text(struct tr_slice text, const char *expected)
{
    assert_int_equal(text.length, strlen(expected));
    assert_memory_equal(text.data, expected, text.length);
}

static void test_records_keep_their_texts(void **state)
{
    (void)state;
    struct tr_batch batch;
    char key[32], value[32];
    tr_batch_init(&batch);
    for (int i = 0; i < 5000; i++) {
        snprintf(key, sizeof(key), "k%d", i);
        snprintf(value, sizeof(value), "value %d", i);
        add(&batch, TR_RECORD_ROW, key, value);
    }
    assert_int_equal(batch.count, 5000);
    assert_text(tr_batch_key(&batch, &batch.records[0]), "k0");
    assert_text(tr_batch_value(&batch, &batch.records[4321]), "value 4321");
    tr_batch_reset(&batch);
    assert_true(tr_batch_empty(&batch));
    assert_int_equal(batch.text.length, 0);
    tr_batch_done(&batch);
}

static void test_truncate_goes_back(void **state)
{
    (void)state;
    struct tr_batch batch;
    tr_batch_init(&batch);
    add(&batch, TR_RECORD_ROW, "a", "1");
    struct tr_batch_fill fill = tr_batch_fill(&batch);
    add(&batch, TR_RECORD_ROW, "b", "2");
    add(&batch, TR_RECORD_TOMBSTONE, "c", "");
    assert_text(tr_batch_key(&batch, tr_batch_last_row(&batch, 0)), "b");
    tr_batch_truncate(&batch, fill);
    assert_int_equal(batch.count, 1);
    assert_text((struct tr_slice){batch.text.data, batch.text.length}, "a1");
    assert_null(tr_batch_last_row(&batch, 1));
    tr_batch_done(&batch);
}

static void test_tail_moves_with_its_texts(void **state)
{
    (void)state;
    struct tr_batch batch, next;
    struct tr_error err = {0};
    tr_batch_init(&batch);
    tr_batch_init(&next);
    add(&next, TR_RECORD_ROW, "first", "0");
    add(&batch, TR_RECORD_ROW, "a", "1");
    add(&batch, TR_RECORD_ROW, "bb", "22");
    add(&batch, TR_RECORD_ROW, "ccc", "333");
    assert_int_equal(tr_batch_move_tail(&batch, 1, &next, &err), 0);
    assert_int_equal(batch.count, 1);
    assert_text((struct tr_slice){batch.text.data, batch.text.length}, "a1");
    assert_int_equal(next.count, 3);
    assert_text(tr_batch_key(&next, &next.records[1]), "bb");
    assert_text(tr_batch_value(&next, &next.records[2]), "333");
    tr_batch_done(&batch);
    tr_batch_done(&next);
}

static void test_large_batches_give_memory_back(void **state)
{
    (void)state;
    struct tr_batch batch;
    tr_batch_init(&batch);
    assert_non_null(tr_buf_reserve(&batch.text, (size_t)40 << 20));
    tr_batch_reset(&batch);
    assert_true(batch.text.capacity <= (size_t)12 << 20);
    tr_batch_done(&batch);
}

/* ---- epochs -----------------------------------------------------------------------------------
 */

static struct tr_mark mark_at(uint64_t offset)
{
    struct tr_mark mark = {.place = {.file = "bin.000001", .offset = offset}};
    return mark;
}

static const struct tr_open_group none;

/* What is out of an open group counts when it and all before it are acknowledged; the group's end
 * clears it. */
static void test_epochs_tell_of_the_open_group(void **state)
{
    (void)state;
    static struct tr_epochs epochs;
    struct tr_mark end = mark_at(7);
    struct tr_mark first = mark_at(100), second = mark_at(300);
    const struct tr_open_group early = {110, 5, 17, 150}, later = {110, 9, 18, 190};
    tr_epochs_init(&epochs);
    struct tr_epoch *a = tr_epochs_open(&epochs, &first, &early);
    struct tr_epoch *b = tr_epochs_open(&epochs, NULL, &later);
    a->outstanding = 1;
    b->outstanding = 0;
    assert_false(tr_epochs_settle(&epochs, &end));
    assert_int_equal(end.open.ordinal, 0);
    a->outstanding = 0;
    b->outstanding = 1;
    assert_true(tr_epochs_settle(&epochs, &end));
    assert_int_equal(end.place.offset, 100);
    assert_int_equal(end.open.ordinal, 5);
    b->outstanding = 0;
    assert_true(tr_epochs_settle(&epochs, &end));
    assert_int_equal(end.place.offset, 100);
    assert_int_equal(end.open.version, 110);
    assert_int_equal(end.open.ordinal, 9);
    assert_int_equal(end.open.key_hash, 18);
    assert_int_equal(end.open.row, 190);
    (void)tr_epochs_open(&epochs, &second, &none);
    assert_true(tr_epochs_settle(&epochs, &end));
    assert_int_equal(end.open.ordinal, 0);
}

static void test_epochs_settle_in_order(void **state)
{
    (void)state;
    static struct tr_epochs epochs;
    struct tr_mark end = {0};
    struct tr_mark first = mark_at(100), third = mark_at(300);
    tr_epochs_init(&epochs);
    struct tr_epoch *a = tr_epochs_open(&epochs, &first, &none);
    a->outstanding = 2;
    struct tr_epoch *b = tr_epochs_open(&epochs, NULL, &none);
    b->outstanding = 1;
    struct tr_epoch *c = tr_epochs_open(&epochs, &third, &none);
    c->outstanding = 1;
    c->outstanding = 0; /* acknowledged first: must wait for the older ones */
    assert_false(tr_epochs_settle(&epochs, &end));
    a->outstanding = 0;
    assert_true(tr_epochs_settle(&epochs, &end));
    assert_int_equal(end.place.offset, 100);
    assert_false(tr_epochs_settle(&epochs, &end));
    b->outstanding = 0;
    assert_true(tr_epochs_settle(&epochs, &end));
    assert_int_equal(end.place.offset, 300);
    assert_int_equal(epochs.count, 0);
}

static void test_epochs_without_an_end_move_nothing(void **state)
{
    (void)state;
    static struct tr_epochs epochs;
    struct tr_mark end = mark_at(7);
    tr_epochs_init(&epochs);
    for (int round = 0; round < 3; round++) {
        while (!tr_epochs_full(&epochs))
            tr_epochs_open(&epochs, NULL, &none);
        assert_false(tr_epochs_settle(&epochs, &end));
        assert_int_equal(epochs.count, 0);
    }
    assert_int_equal(end.place.offset, 7);
}

/* ---- tables that need a snapshot ----------------------------------------------------------------
 */

static void test_needs_keep_the_first_version(void **state)
{
    (void)state;
    struct tr_needs needs;
    struct tr_error err = {0};
    struct tr_slice shop = TR_SLICE("shop"), a = TR_SLICE("a"), why = TR_SLICE("ALTER TABLE a");
    tr_needs_init(&needs);
    assert_int_equal(tr_needs_add(&needs, shop, a, 10, why, &err), 0);
    assert_int_equal(tr_needs_add(&needs, shop, a, 20, why, &err), 0);
    assert_int_equal(tr_needs_since(&needs, TR_SLICE("shop.a")), 10);
    assert_int_equal(tr_needs_since(&needs, TR_SLICE("shop.b")), 0);
    tr_needs_clear(&needs, shop, a);
    assert_int_equal(tr_needs_since(&needs, TR_SLICE("shop.a")), 0);
    tr_needs_done(&needs);
}

static void test_needs_keep_a_reason_with_a_nul(void **state)
{
    (void)state;
    struct tr_needs needs;
    struct tr_error err = {0};
    struct tr_slice reason = TR_SLICE("ALTER TABLE a COMMENT '\0\xe4', MODIFY b INT");
    struct tr_needs_snapshot item = {TR_SLICE("shop.\0b"), 20, TR_SLICE("why\0not")};
    struct tr_checkpoint checkpoint = {.needs_snapshot = &item, .needs_snapshot_count = 1};
    tr_needs_init(&needs);
    assert_int_equal(tr_needs_add(&needs, TR_SLICE("shop"), TR_SLICE("a"), 10, reason, &err), 0);
    assert_int_equal(tr_needs_load(&needs, &checkpoint, &err), 0);
    assert_int_equal(needs.count, 2);
    assert_true(tr_slice_equal(needs.items[0].reason,
                               TR_SLICE("ALTER TABLE a COMMENT '\0?', MODIFY b INT")));
    assert_true(tr_slice_equal(needs.items[1].table, item.table));
    assert_true(tr_slice_equal(needs.items[1].reason, item.reason));
    tr_needs_done(&needs);
}

/* Whether a checkpoint at that version names the table as altered since then. */
static bool names_altered(struct tr_needs *needs, int64_t version, const char *table, int64_t since)
{
    struct tr_checkpoint checkpoint = {.version = version};
    struct tr_buf key, value;
    struct tr_error err = {0};
    char wanted[128];
    tr_buf_init(&key, 1 << 20);
    tr_buf_init(&value, 1 << 20);
    assert_int_equal(tr_needs_write_checkpoint(needs, &checkpoint, &key, &value, &err), 0);
    tr_buf_append_char(&value, '\0');
    int length =
        snprintf(wanted, sizeof(wanted), "{\"database\":\"shop\",\"table\":\"%s\",\"version\":%d}",
                 table, (int)since);
    assert_true(length > 0 && (size_t)length < sizeof(wanted));
    bool found = strstr(value.data, wanted) != NULL;
    tr_buf_done(&key);
    tr_buf_done(&value);
    return found;
}

static void alter(struct tr_needs *needs, const char *table, int64_t version)
{
    struct tr_error err = {0};
    assert_int_equal(tr_needs_altered(needs, TR_SLICE("shop"), tr_slice_of(table), version, &err),
                     0);
}

/* Named exactly by checkpoints between the statement and the table's next row, whenever they are
 * written. */
static void test_altered_until_the_next_row(void **state)
{
    (void)state;
    struct tr_needs needs;
    struct tr_slice shop = TR_SLICE("shop"), a = TR_SLICE("a");
    tr_needs_init(&needs);
    alter(&needs, "a", 10);
    alter(&needs, "a", 15);
    tr_needs_looked(&needs, shop, a, 20);
    tr_needs_looked(&needs, shop, a, 25);
    alter(&needs, "a", 30);
    assert_false(names_altered(&needs, 9, "a", 10));
    assert_true(names_altered(&needs, 10, "a", 10));
    assert_true(names_altered(&needs, 19, "a", 10));
    assert_false(names_altered(&needs, 19, "a", 30));
    assert_false(names_altered(&needs, 20, "a", 10));
    assert_int_equal(needs.altered_count, 1);
    assert_true(names_altered(&needs, 30, "a", 30));
    struct tr_altered_table stored = {shop, TR_SLICE("b"), 31};
    struct tr_checkpoint checkpoint = {.altered = &stored, .altered_count = 1};
    struct tr_error err = {0};
    assert_int_equal(tr_needs_load(&needs, &checkpoint, &err), 0);
    assert_true(names_altered(&needs, 40, "b", 31));
    tr_needs_looked(&needs, shop, TR_SLICE("b"), 41);
    assert_false(names_altered(&needs, 41, "b", 31));
    tr_needs_done(&needs);
}

/* Of too many the oldest are named by their database, with the newest of their versions. */
static void test_altered_tables_that_come_and_go(void **state)
{
    (void)state;
    struct tr_needs needs;
    char name[32];
    tr_needs_init(&needs);
    for (int i = 1; i <= TR_NEEDS_ALTERED_MAX + 3; i++) {
        snprintf(name, sizeof(name), "job_%d", i);
        alter(&needs, name, i);
    }
    assert_true(names_altered(&needs, 1, "", 1));
    assert_true(names_altered(&needs, 2, "", 2));
    assert_true(names_altered(&needs, 1000, "", 3));
    assert_false(names_altered(&needs, 1000, "", 2));
    assert_false(names_altered(&needs, 1000, "job_3", 3));
    assert_true(names_altered(&needs, 1000, "job_4", 4));
    assert_int_equal(needs.altered_count, TR_NEEDS_ALTERED_MAX + 1);
    tr_needs_done(&needs);
}

/* Of too many databases the oldest are named as all there are. */
static void test_altered_databases_that_come_and_go(void **state)
{
    (void)state;
    struct tr_needs needs;
    struct tr_error err = {0};
    char name[32];
    const struct tr_slice all = {"", 0};
    tr_needs_init(&needs);
    for (int i = 1; i <= TR_NEEDS_ALTERED_MAX + 3; i++) {
        snprintf(name, sizeof(name), "run_%d", i);
        assert_int_equal(tr_needs_altered(&needs, tr_slice_of(name), all, i, &err), 0);
    }
    assert_int_equal(needs.altered_count, TR_NEEDS_ALTERED_MAX + 3);
    assert_false(names_altered(&needs, 1000, "x", 1)); /* which forgets what is over */
    assert_int_equal(needs.altered_count, TR_NEEDS_ALTERED_MAX + 1);
    assert_int_equal(needs.altered[0].altered.database.length, 0);
    assert_int_equal(needs.altered[0].altered.version, 3);
    tr_needs_done(&needs);
}

/* ---- the output file ----------------------------------------------------------------------------
 */

static void test_file_is_appended_to(void **state)
{
    (void)state;
    char path[] = "/tmp/tailrace-test-XXXXXX", output[64], text[64] = "";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "old\n", 4), 4);
    struct tr_to_file file;
    struct tr_batch batch;
    struct tr_error err = {0};
    tr_batch_init(&batch);
    tr_buf_append(&batch.text, "new\n", 4);
    snprintf(output, sizeof(output), "file:%s", path);
    assert_int_equal(tr_to_file_open(&file, output, &err), 0);
    assert_int_equal(tr_to_file_batch(&file, &batch, &err), 0);
    tr_to_file_close(&file);
    assert_int_equal(pread(fd, text, sizeof(text) - 1, 0), 8);
    assert_string_equal(text, "old\nnew\n");
    close(fd);
    unlink(path);
    tr_batch_done(&batch);
}

static void test_full_disk_names_the_file(void **state)
{
    (void)state;
    struct tr_to_file file;
    struct tr_batch batch;
    struct tr_error err = {0};
    tr_batch_init(&batch);
    tr_buf_append(&batch.text, "row\n", 4);
    assert_int_equal(tr_to_file_open(&file, "file:/dev/full", &err), 0);
    assert_int_equal(tr_to_file_batch(&file, &batch, &err), TR_ESTORE);
    assert_non_null(strstr(err.text, "/dev/full"));
    assert_non_null(strstr(err.text, "No space left"));
    tr_to_file_close(&file);
    tr_error_reset(&err);
    assert_int_equal(tr_to_file_open(&file, "somewhere", &err), TR_EUSAGE);
    tr_batch_done(&batch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records_keep_their_texts),
        cmocka_unit_test(test_truncate_goes_back),
        cmocka_unit_test(test_tail_moves_with_its_texts),
        cmocka_unit_test(test_large_batches_give_memory_back),
        cmocka_unit_test(test_epochs_tell_of_the_open_group),
        cmocka_unit_test(test_epochs_settle_in_order),
        cmocka_unit_test(test_epochs_without_an_end_move_nothing),
        cmocka_unit_test(test_needs_keep_the_first_version),
        cmocka_unit_test(test_needs_keep_a_reason_with_a_nul),
        cmocka_unit_test(test_altered_until_the_next_row),
        cmocka_unit_test(test_altered_tables_that_come_and_go),
        cmocka_unit_test(test_altered_databases_that_come_and_go),
        cmocka_unit_test(test_file_is_appended_to),
        cmocka_unit_test(test_full_disk_names_the_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
