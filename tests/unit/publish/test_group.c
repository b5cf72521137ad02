/*
 * The open group, driven as the events of a binlog drive it: what is published, what is undone,
 * where `commit` stands, what happens after a broken connection.
 */
#include "cmocka_all.h"

#include <stdio.h>

#include "group.h"

static struct tr_shape shape = {
    .database = {"shop", 4},
    .table = {"orders", 6},
};

struct fixture {
    struct tr_group group;
    struct tr_batch batch, next;
    struct tr_error err;
};

static int set_up(void **state)
{
    static struct fixture fixture;
    memset(&fixture, 0, sizeof(fixture));
    tr_group_init(&fixture.group);
    tr_batch_init(&fixture.batch);
    tr_batch_init(&fixture.next);
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    tr_group_done(&fixture->group);
    tr_batch_done(&fixture->batch);
    tr_batch_done(&fixture->next);
    return 0;
}

/* An event like {"id":7} with the place of `commit` before the brace. */
static void put_row(struct fixture *fixture, struct tr_batch *batch, int64_t version, int id)
{
    struct tr_record *rec = tr_batch_add(batch, &fixture->err);
    char text[64];
    int length = snprintf(text, sizeof(text), "{\"id\":%d}", id);
    assert_non_null(rec);
    rec->key_at = rec->value_at = (uint32_t)batch->text.length;
    rec->value_length = (uint32_t)length;
    rec->commit_at = rec->value_at + (uint32_t)length - 1;
    rec->ordinal = fixture->group.rows;
    rec->version = version;
    rec->shape = &shape;
    tr_buf_append(&batch->text, text, (size_t)length);
    tr_buf_append_char(&batch->text, '\n');
}

/* Versions of rows are ten times their numbers. */
static enum tr_group_turn other_row(struct fixture *fixture, int64_t version, int id)
{
    enum tr_group_turn turn = tr_group_next_row(&fixture->group, version);
    if (turn != TR_GROUP_PASS)
        put_row(fixture, &fixture->batch, version, id);
    return turn;
}

static enum tr_group_turn row(struct fixture *fixture, int id)
{
    return other_row(fixture, (int64_t)id * 10, id);
}

static int commit_at(struct fixture *fixture, int64_t version)
{
    return tr_group_commit(&fixture->group, version, &fixture->batch, &fixture->err);
}

static void begin(struct fixture *fixture, int64_t xid)
{
    assert_int_equal(
        tr_group_begin(&fixture->group, xid, 100, false, &fixture->batch, &fixture->err), 0);
}

static void assert_output(const struct tr_batch *batch, const char *expected)
{
    char text[1024];
    snprintf(text, sizeof(text), "%.*s", (int)batch->text.length,
             batch->text.length == 0 ? "" : batch->text.data);
    assert_string_equal(text, expected);
}

/* Every record still spans exactly one event. */
static void assert_records_fit(const struct tr_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        struct tr_slice value = tr_batch_value(batch, &batch->records[i]);
        assert_int_equal(value.data[0], '{');
        assert_int_equal(value.data[value.length - 1], '}');
    }
}

static void test_commit_stands_on_the_last_row(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture, 1);
    row(fixture, 1);
    row(fixture, 2);
    assert_int_equal(commit_at(fixture, 1000), 0);
    begin(fixture, 2);
    row(fixture, 3);
    assert_int_equal(commit_at(fixture, 1000), 0);
    assert_output(&fixture->batch,
                  "{\"id\":1}\n{\"id\":2,\"commit\":true}\n{\"id\":3,\"commit\":true}\n");
    assert_records_fit(&fixture->batch);
}

static void test_empty_group_marks_nothing(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture, 1);
    row(fixture, 1);
    assert_int_equal(commit_at(fixture, 1000), 0);
    begin(fixture, 2);
    assert_int_equal(commit_at(fixture, 1000), 0);
    assert_output(&fixture->batch, "{\"id\":1,\"commit\":true}\n");
}

static void test_rollback_to_takes_rows_back(void **state)
{
    struct fixture *fixture = *state;
    struct tr_group *group = &fixture->group;
    begin(fixture, 1);
    row(fixture, 1);
    assert_int_equal(tr_group_savepoint(group, TR_SLICE("s1"), &fixture->batch, &fixture->err), 0);
    row(fixture, 2);
    assert_int_equal(tr_group_savepoint(group, TR_SLICE("s2"), &fixture->batch, &fixture->err), 0);
    row(fixture, 3);
    /* Names compare as the server compares them. */
    assert_int_equal(tr_group_rollback_to(group, TR_SLICE("S1"), &fixture->batch, &fixture->err),
                     0);
    row(fixture, 4);
    /* The savepoint itself stays. */
    assert_int_equal(tr_group_rollback_to(group, TR_SLICE("s1"), &fixture->batch, &fixture->err),
                     0);
    row(fixture, 5);
    assert_int_equal(commit_at(fixture, 1000), 0);
    assert_output(&fixture->batch, "{\"id\":1}\n{\"id\":5,\"commit\":true}\n");
    assert_records_fit(&fixture->batch);
}

static void test_later_savepoints_die_with_a_rollback(void **state)
{
    struct fixture *fixture = *state;
    struct tr_group *group = &fixture->group;
    begin(fixture, 1);
    assert_int_equal(tr_group_savepoint(group, TR_SLICE("a"), &fixture->batch, &fixture->err), 0);
    row(fixture, 1);
    assert_int_equal(tr_group_savepoint(group, TR_SLICE("b"), &fixture->batch, &fixture->err), 0);
    assert_int_equal(tr_group_rollback_to(group, TR_SLICE("a"), &fixture->batch, &fixture->err), 0);
    assert_int_equal(tr_group_rollback_to(group, TR_SLICE("b"), &fixture->batch, &fixture->err),
                     TR_ESOURCE);
    assert_non_null(strstr(fixture->err.text, "no such savepoint"));
}

static void test_savepoint_set_again_moves(void **state)
{
    struct fixture *fixture = *state;
    struct tr_group *group = &fixture->group;
    begin(fixture, 1);
    assert_int_equal(tr_group_savepoint(group, TR_SLICE("a"), &fixture->batch, &fixture->err), 0);
    row(fixture, 1);
    assert_int_equal(tr_group_savepoint(group, TR_SLICE("a"), &fixture->batch, &fixture->err), 0);
    row(fixture, 2);
    assert_int_equal(tr_group_rollback_to(group, TR_SLICE("a"), &fixture->batch, &fixture->err), 0);
    assert_int_equal(commit_at(fixture, 1000), 0);
    assert_output(&fixture->batch, "{\"id\":1,\"commit\":true}\n");
}

static void set_numbered(struct fixture *fixture, const char *prefix, int number)
{
    char name[128];
    snprintf(name, sizeof(name), "%s%d", prefix, number);
    int rc = tr_group_savepoint(&fixture->group, tr_slice_of(name), &fixture->batch, &fixture->err);
    assert_int_equal(rc, 0);
}

static int rollback_to_numbered(struct fixture *fixture, int number)
{
    char name[32];
    snprintf(name, sizeof(name), "sp_%d", number);
    return tr_group_rollback_to(&fixture->group, tr_slice_of(name), &fixture->batch, &fixture->err);
}

/* Of many the newest are known, by their names and places; the oldest are forgotten. */
static void test_many_savepoints(void **state)
{
    struct fixture *fixture = *state;
    const int many = 300000;
    begin(fixture, 1);
    row(fixture, 1);
    for (int i = 0; i < many; i++)
        set_numbered(fixture, "SP_", i);
    row(fixture, 2);
    assert_int_equal(rollback_to_numbered(fixture, 7), TR_ESOURCE);
    assert_non_null(strstr(fixture->err.text, "no such savepoint"));
    assert_non_null(strstr(fixture->err.text, "offset 100"));
    assert_non_null(strstr(fixture->err.text, "--start FILE:POS --force-start"));
    tr_error_reset(&fixture->err);
    assert_int_equal(rollback_to_numbered(fixture, many - 32768), 0);
    assert_output(&fixture->batch, "{\"id\":1}\n");
    assert_int_equal(rollback_to_numbered(fixture, many - 1), TR_ESOURCE); /* died with that */
    assert_int_equal(commit_at(fixture, 1000), 0);
    assert_output(&fixture->batch, "{\"id\":1,\"commit\":true}\n");
}

static void test_a_name_set_again_and_again(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture, 1);
    set_numbered(fixture, "", 0);
    row(fixture, 1);
    set_numbered(fixture, "sp_", 0);
    row(fixture, 2);
    for (int i = 0; i < 300000; i++)
        set_numbered(fixture, "a_name_that_is_as_long_as_the_server_lets_a_savepoint_be_", i % 3);
    assert_true(fixture->group.savepoints.capacity <= 32);
    row(fixture, 3);
    assert_int_equal(rollback_to_numbered(fixture, 0), 0);
    assert_int_equal(commit_at(fixture, 1000), 0);
    assert_output(&fixture->batch, "{\"id\":1,\"commit\":true}\n");
}

/* Names that fill their room before there are too many of them. */
static void test_long_names_of_savepoints(void **state)
{
    struct fixture *fixture = *state;
    char name[200];
    memset(name, 'n', sizeof(name));
    begin(fixture, 1);
    for (int i = 0; i < 100000; i++) {
        row(fixture, i + 1);
        tr_batch_truncate(&fixture->batch, (struct tr_batch_fill){1, 9});
        snprintf(name, 12, "%011d", i);
        name[11] = 'n';
        assert_int_equal(tr_group_savepoint(&fixture->group, (struct tr_slice){name, 200},
                                            &fixture->batch, &fixture->err),
                         0);
    }
    assert_int_equal(tr_group_rollback_to(&fixture->group, (struct tr_slice){name, 200},
                                          &fixture->batch, &fixture->err),
                     0);
    assert_output(&fixture->batch, "{\"id\":1}\n");
}

static void test_rollback_leaves_earlier_groups_alone(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture, 1);
    row(fixture, 1);
    assert_int_equal(commit_at(fixture, 1000), 0);
    begin(fixture, 2);
    row(fixture, 2);
    row(fixture, 3);
    assert_int_equal(
        tr_group_void(&fixture->group, &fixture->batch, "is rolled back", &fixture->err), 0);
    assert_false(fixture->group.open);
    assert_output(&fixture->batch, "{\"id\":1,\"commit\":true}\n");
}

static void test_group_inside_a_group_stops(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture, 1);
    assert_int_equal(tr_group_begin(&fixture->group, 2, 200, false, &fixture->batch, &fixture->err),
                     TR_ESOURCE);
}

/* The reader's next batch after a large group's part went out. */
static void swap_batches(struct fixture *fixture)
{
    struct tr_batch out = fixture->batch;
    fixture->batch = fixture->next;
    fixture->next = out;
}

static void go_out(struct fixture *fixture)
{
    tr_batch_reset(&fixture->next);
    assert_int_equal(
        tr_group_go_out(&fixture->group, &fixture->batch, &fixture->next, &fixture->err), 0);
    swap_batches(fixture);
}

static void test_large_group_keeps_its_last_row(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture, 1);
    row(fixture, 1);
    row(fixture, 2);
    row(fixture, 3);
    go_out(fixture);
    assert_output(&fixture->next, "{\"id\":1}\n{\"id\":2}\n");
    assert_output(&fixture->batch, "{\"id\":3}\n");
    assert_int_equal(commit_at(fixture, 1000), 0);
    assert_output(&fixture->batch, "{\"id\":3,\"commit\":true}\n");
    assert_records_fit(&fixture->batch);
}

static void test_one_huge_row_waits_for_the_next(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture, 1);
    row(fixture, 1);
    go_out(fixture);
    assert_output(&fixture->next, "");
    assert_output(&fixture->batch, "{\"id\":1}\n");
    assert_int_equal(fixture->group.out, 0);
    assert_int_equal(
        tr_group_void(&fixture->group, &fixture->batch, "is rolled back", &fixture->err), 0);
}

static void test_void_after_rows_went_out_stops(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture, 1);
    row(fixture, 1);
    row(fixture, 2);
    go_out(fixture);
    assert_int_equal(
        tr_group_void(&fixture->group, &fixture->batch, "is rolled back", &fixture->err),
        TR_ESOURCE);
    assert_non_null(strstr(fixture->err.text, "shop.orders"));
    assert_non_null(strstr(fixture->err.text, "offset 100"));
}

static void test_savepoint_behind_what_went_out(void **state)
{
    struct fixture *fixture = *state;
    struct tr_group *group = &fixture->group;
    begin(fixture, 1);
    assert_int_equal(tr_group_savepoint(group, TR_SLICE("a"), &fixture->batch, &fixture->err), 0);
    row(fixture, 1);
    row(fixture, 2);
    assert_int_equal(tr_group_savepoint(group, TR_SLICE("b"), &fixture->batch, &fixture->err), 0);
    go_out(fixture);
    row(fixture, 3);
    /* Row 2 is held and stays, row 3 goes. */
    assert_int_equal(tr_group_rollback_to(group, TR_SLICE("b"), &fixture->batch, &fixture->err), 0);
    assert_output(&fixture->batch, "{\"id\":2}\n");
    /* Row 1 is out. */
    assert_int_equal(tr_group_rollback_to(group, TR_SLICE("a"), &fixture->batch, &fixture->err),
                     TR_ESOURCE);
}

static void savepoint(struct fixture *fixture, const char *name)
{
    assert_int_equal(
        tr_group_savepoint(&fixture->group, tr_slice_of(name), &fixture->batch, &fixture->err), 0);
}

static void rollback_to(struct fixture *fixture, const char *name)
{
    assert_int_equal(
        tr_group_rollback_to(&fixture->group, tr_slice_of(name), &fixture->batch, &fixture->err),
        0);
}

/* The last row that stays gets `commit`, also when the one behind it is undone. */
static void test_large_group_keeps_the_row_before_a_savepoint(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture, 1);
    row(fixture, 1);
    row(fixture, 2);
    savepoint(fixture, "a");
    row(fixture, 3);
    go_out(fixture);
    assert_output(&fixture->next, "{\"id\":1}\n");
    savepoint(fixture, "b");
    row(fixture, 4);
    rollback_to(fixture, "b");
    assert_output(&fixture->batch, "{\"id\":2}\n{\"id\":3}\n");
    rollback_to(fixture, "a");
    assert_int_equal(commit_at(fixture, 1000), 0);
    assert_output(&fixture->batch, "{\"id\":2,\"commit\":true}\n");
    assert_records_fit(&fixture->batch);
}

/* Also through several savepoints, up to half of what is held; and undone rows don't count. */
static void test_large_group_with_a_savepoint_before_each_row(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture, 1);
    for (int id = 1; id < 9; id++) {
        char name[] = {'s', (char)('0' + id), '\0'};
        row(fixture, id);
        savepoint(fixture, name);
    }
    row(fixture, 9);
    rollback_to(fixture, "s8");
    go_out(fixture);
    assert_output(&fixture->next, "{\"id\":1}\n{\"id\":2}\n{\"id\":3}\n{\"id\":4}\n");
    rollback_to(fixture, "s5");
    assert_int_equal(commit_at(fixture, 1000), 0);
    assert_output(&fixture->batch, "{\"id\":5,\"commit\":true}\n");
}

static void test_broken_connection_drops_held_rows(void **state)
{
    struct fixture *fixture = *state;
    begin(fixture, 1);
    row(fixture, 1);
    tr_group_break(&fixture->group, &fixture->batch);
    assert_output(&fixture->batch, "");
    begin(fixture, 1);
    assert_int_equal(row(fixture, 1), TR_GROUP_PUBLISH);
    assert_int_equal(commit_at(fixture, 1000), 0);
    assert_output(&fixture->batch, "{\"id\":1,\"commit\":true}\n");
}

/* A large group of rows 1 to 4, with 2 undone, of which 1 and 3 went out. */
static void send_half(struct fixture *fixture)
{
    struct tr_group *group = &fixture->group;
    begin(fixture, 1);
    row(fixture, 1);
    assert_int_equal(tr_group_savepoint(group, TR_SLICE("a"), &fixture->batch, &fixture->err), 0);
    row(fixture, 2);
    assert_int_equal(tr_group_rollback_to(group, TR_SLICE("a"), &fixture->batch, &fixture->err), 0);
    row(fixture, 3);
    row(fixture, 4);
    go_out(fixture);
    assert_output(&fixture->next, "{\"id\":1}\n{\"id\":3}\n");
    tr_group_break(group, &fixture->batch);
    assert_output(&fixture->batch, "");
}

/* The row in the place of number 3. */
static int compare(struct fixture *fixture, int id)
{
    struct tr_batch_fill from = tr_batch_fill(&fixture->batch);
    assert_int_equal(other_row(fixture, 30, id), TR_GROUP_COMPARE);
    return tr_group_compare(&fixture->group, &fixture->batch, from, &fixture->err);
}

static void test_rows_that_went_out_are_passed_over(void **state)
{
    struct fixture *fixture = *state;
    struct tr_group *group = &fixture->group;
    send_half(fixture);
    begin(fixture, 1);
    assert_int_equal(row(fixture, 1), TR_GROUP_PASS);
    assert_int_equal(tr_group_savepoint(group, TR_SLICE("a"), &fixture->batch, &fixture->err), 0);
    assert_int_equal(row(fixture, 2), TR_GROUP_PASS);
    assert_int_equal(tr_group_rollback_to(group, TR_SLICE("a"), &fixture->batch, &fixture->err), 0);
    assert_int_equal(compare(fixture, 3), 0);
    assert_int_equal(row(fixture, 4), TR_GROUP_PUBLISH);
    assert_int_equal(commit_at(fixture, 1000), 0);
    assert_output(&fixture->batch, "{\"id\":4,\"commit\":true}\n");
}

static void test_other_row_at_that_number_stops(void **state)
{
    struct fixture *fixture = *state;
    send_half(fixture);
    begin(fixture, 1);
    row(fixture, 1);
    row(fixture, 2);
    assert_int_equal(compare(fixture, 33), TR_ESTATE);
    assert_non_null(strstr(fixture->err.text, TR_PLACE_GIVE_UP));
}

static void test_other_group_in_its_place_stops(void **state)
{
    struct fixture *fixture = *state;
    send_half(fixture);
    assert_int_equal(tr_group_begin(&fixture->group, 9, 100, false, &fixture->batch, &fixture->err),
                     TR_ESTATE);
    assert_non_null(strstr(fixture->err.text, TR_PLACE_GIVE_UP));
}

static void test_shorter_group_in_its_place_stops(void **state)
{
    struct fixture *fixture = *state;
    send_half(fixture);
    begin(fixture, 1);
    row(fixture, 1);
    assert_int_equal(commit_at(fixture, 20), TR_ESTATE);
    assert_non_null(strstr(fixture->err.text, TR_PLACE_GIVE_UP));
}

static void test_file_end_after_half_went_out_stops(void **state)
{
    struct fixture *fixture = *state;
    send_half(fixture);
    assert_int_equal(
        tr_group_void(&fixture->group, NULL, "is cut off by the end of its file", &fixture->err),
        TR_ESOURCE);
}

#define GROUP_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

/* As after a restart: all that is known of the group is what the checkpoint had. */
static void restart(struct fixture *fixture)
{
    send_half(fixture);
    const struct tr_open_group open = tr_group_open(&fixture->group);
    assert_int_equal(open.version, 1);
    assert_int_equal(open.ordinal, 3);
    assert_int_equal(open.row, 30);
    tr_group_done(&fixture->group);
    tr_group_init(&fixture->group);
    tr_group_resume(&fixture->group, &open);
}

static void test_restart_passes_over_what_is_out(void **state)
{
    struct fixture *fixture = *state;
    restart(fixture);
    begin(fixture, 1);
    assert_int_equal(row(fixture, 1), TR_GROUP_PASS);
    assert_int_equal(row(fixture, 2), TR_GROUP_PASS);
    assert_int_equal(compare(fixture, 3), 0);
    assert_int_equal(row(fixture, 4), TR_GROUP_PUBLISH);
    assert_int_equal(commit_at(fixture, 1000), 0);
    assert_output(&fixture->batch, "{\"id\":4,\"commit\":true}\n");
    assert_int_equal(tr_group_open(&fixture->group).ordinal, 0);
}

/* The last row that is out may be none that is captured now, and others may be so now. */
static void test_restart_with_other_tables_captured(void **state)
{
    struct fixture *fixture = *state;
    restart(fixture);
    begin(fixture, 1);
    for (int version = 11; version < 15; version++)
        assert_int_equal(other_row(fixture, version, 100 + version), TR_GROUP_PASS);
    assert_int_equal(
        tr_group_savepoint(&fixture->group, TR_SLICE("b"), &fixture->batch, &fixture->err), 0);
    assert_int_equal(other_row(fixture, 29, 129), TR_GROUP_PASS);
    assert_int_equal(
        tr_group_rollback_to(&fixture->group, TR_SLICE("b"), &fixture->batch, &fixture->err), 0);
    assert_int_equal(row(fixture, 4), TR_GROUP_PUBLISH);
    assert_int_equal(commit_at(fixture, 1000), 0);
    assert_output(&fixture->batch, "{\"id\":4,\"commit\":true}\n");
    tr_batch_reset(&fixture->batch);
    restart(fixture);
    begin(fixture, 1);
    row(fixture, 1);
    assert_int_equal(commit_at(fixture, 1000), 0); /* fewer rows than were published */
}

static void test_restart_finds_another_row(void **state)
{
    struct fixture *fixture = *state;
    restart(fixture);
    begin(fixture, 1);
    row(fixture, 1);
    row(fixture, 2);
    assert_int_equal(compare(fixture, 33), TR_ESTATE);
}

static void test_group_that_proves_void_after_a_restart_stops(void **state)
{
    struct fixture *fixture = *state;
    restart(fixture);
    begin(fixture, 1);
    row(fixture, 1);
    tr_group_pass(&fixture->group, &shape);
    assert_int_equal(
        tr_group_void(&fixture->group, &fixture->batch, "is rolled back", &fixture->err),
        TR_ESOURCE);
    assert_non_null(strstr(fixture->err.text, "shop.orders"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        GROUP_TEST(test_commit_stands_on_the_last_row),
        GROUP_TEST(test_empty_group_marks_nothing),
        GROUP_TEST(test_rollback_to_takes_rows_back),
        GROUP_TEST(test_later_savepoints_die_with_a_rollback),
        GROUP_TEST(test_savepoint_set_again_moves),
        GROUP_TEST(test_many_savepoints),
        GROUP_TEST(test_a_name_set_again_and_again),
        GROUP_TEST(test_long_names_of_savepoints),
        GROUP_TEST(test_rollback_leaves_earlier_groups_alone),
        GROUP_TEST(test_group_inside_a_group_stops),
        GROUP_TEST(test_large_group_keeps_its_last_row),
        GROUP_TEST(test_one_huge_row_waits_for_the_next),
        GROUP_TEST(test_void_after_rows_went_out_stops),
        GROUP_TEST(test_savepoint_behind_what_went_out),
        GROUP_TEST(test_large_group_keeps_the_row_before_a_savepoint),
        GROUP_TEST(test_large_group_with_a_savepoint_before_each_row),
        GROUP_TEST(test_broken_connection_drops_held_rows),
        GROUP_TEST(test_rows_that_went_out_are_passed_over),
        GROUP_TEST(test_other_row_at_that_number_stops),
        GROUP_TEST(test_other_group_in_its_place_stops),
        GROUP_TEST(test_shorter_group_in_its_place_stops),
        GROUP_TEST(test_file_end_after_half_went_out_stops),
        GROUP_TEST(test_restart_passes_over_what_is_out),
        GROUP_TEST(test_restart_with_other_tables_captured),
        GROUP_TEST(test_restart_finds_another_row),
        GROUP_TEST(test_group_that_proves_void_after_a_restart_stops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
