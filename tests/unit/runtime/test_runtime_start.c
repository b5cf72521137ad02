/* test_runtime_start.c - markers, start positions, the plan's arithmetic, the verdict on stale. */
#include "cmocka_all.h"
#include "plan.h"
#include "start.h"
#include "status.h"

#define NONE TR_KAFKA_OFFSET_NONE
#define BEGINNING TR_KAFKA_OFFSET_BEGINNING

static const struct tr_start_who who = {"shop", "0123456789abcdef", "redis"};

static struct tr_sink_state ours(void)
{
    return (struct tr_sink_state){.marked = true,
                                  .format = TR_SINK_FORMAT,
                                  .pipeline = "shop",
                                  .pipeline_id = "0123456789abcdef",
                                  .consumer = "redis"};
}

static void start_offsets(void **state)
{
    (void)state;
    static const struct {
        int64_t progress, group;
        bool stateless;
        int64_t start;
    } cases[] = {
        {NONE, NONE, false, BEGINNING}, /* a true first start */
        {500, NONE, false, 500},        /* the store alone knows */
        {NONE, 500, false, BEGINNING},  /* set back to before its first batch, or a new topic */
        {500, 700, false, 500},         /* the store lost writes: it catches up */
        {700, 500, false, 500},         /* a commit that did not come through */
        {0, 500, false, 0},             /* after a reset */
        {500, 0, false, 0},
        {NONE, 500, true, 500},
        {NONE, NONE, true, BEGINNING},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        assert_int_equal(tr_start_offset(cases[i].progress, cases[i].group, cases[i].stateless),
                         cases[i].start);
}

static void progress_by_incarnation(void **state)
{
    (void)state;
    struct tr_sink_progress list[] = {
        {"db.shop", "old", 0, 900}, {"db.shop", "new", 0, 40}, {"db.shop", "old", 1, 800}};
    const struct tr_sink_state has = {.progress = list, .progress_count = 3};
    assert_int_equal(tr_start_progress(&has, "db.shop", "new", 0), 40);
    assert_int_equal(tr_start_progress(&has, "db.shop", "new", 1), NONE); /* made anew */
    assert_int_equal(tr_start_progress(&has, "db.shop", "new", 2), NONE);
    assert_int_equal(tr_start_progress(&has, "db.crm", "old", 0), NONE);
}

static void markers(void **state)
{
    (void)state;
    struct tr_error err = {0};
    struct tr_sink_state none = {.marked = false};
    struct tr_sink_state mine = ours();
    assert_int_equal(tr_start_marker(&mine, &who, false, &err), 0);
    assert_int_equal(tr_start_marker(&mine, &who, true, &err), 0);
    assert_int_equal(tr_start_marker(&none, &who, false, &err), 1);
    assert_int_equal(tr_start_marker(&none, &who, true, &err), TR_ESTATE);
    assert_non_null(strstr(err.text, "reset --to beginning"));
}

static void foreign_markers(void **state)
{
    (void)state;
    struct tr_error err = {0};
    struct tr_sink_state foreign = ours();
    foreign.pipeline = "crm";
    assert_int_equal(tr_start_marker(&foreign, &who, false, &err), TR_ESTATE);
    assert_non_null(strstr(err.text, "pipeline crm"));
    tr_error_reset(&err);
    foreign = ours();
    foreign.pipeline_id = "ffffffffffffffff"; /* the same name, begun anew */
    assert_int_equal(tr_start_marker(&foreign, &who, true, &err), TR_ESTATE);
    tr_error_reset(&err);
    foreign = ours();
    foreign.consumer = "cache";
    assert_int_equal(tr_start_marker(&foreign, &who, true, &err), TR_ESTATE);
    assert_non_null(strstr(err.text, "consumer cache"));
    tr_error_reset(&err);
    foreign = ours();
    foreign.format = TR_SINK_FORMAT + 1;
    assert_int_equal(tr_start_marker(&foreign, &who, true, &err), TR_ESTATE);
    assert_non_null(strstr(err.text, "newer"));
}

#define BLANKS_33 "                                 "

/* Per partition where the store and the group stand, and that the topic's beginning is what is new:
 * all that a person sees before `reset --execute`. */
static const char plan_text[] =
    "topic   " BLANKS_33 "partition        store        group          new          end"
    "    to replay\n"
    "db.shop " BLANKS_33 "        0            -           90            0          100"
    "          100\n"
    "db.shop " BLANKS_33 "        1           20            -            0           50"
    "           50\n"
    "db.crm  " BLANKS_33 "        0           65           70           30           72"
    "           42\n"
    "192 records to replay in 3 partitions\n"
    "NOTE: topic db.crm no longer starts at offset 0 and holds no snapshot: rows that did not "
    "change since will be missing from the store\n";

static void plan_arithmetic(void **state)
{
    (void)state;
    const char *topics[] = {"db.shop", "db.crm"};
    struct tr_plan_part parts[] = {
        {0, 0, 0, 100, 90, NONE}, {0, 1, 0, 50, NONE, 20}, {1, 0, 30, 72, 70, 65}};
    const struct tr_plan plan = {
        .topics = topics, .topic_count = 2, .parts = parts, .part_count = 3};
    struct tr_buf out;
    assert_int_equal(tr_plan_replay(&plan), 192);
    assert_false(tr_plan_cut(&plan, 0));
    assert_true(tr_plan_cut(&plan, 1));
    assert_true(tr_plan_group_has_offsets(&plan));
    tr_buf_init(&out, 1 << 20);
    tr_plan_print(&plan, &out);
    tr_buf_append_char(&out, '\0');
    assert_string_equal(out.data, plan_text);
    tr_buf_done(&out);
}

static void stale_at_the_head(void **state)
{
    (void)state;
    assert_int_equal(tr_live_judge(0, 0), -1);
    assert_int_equal(tr_live_judge(0, 999), -1);
    assert_int_equal(tr_live_judge(0, 1000), 1);
    assert_int_equal(tr_live_judge(50, 950), 1);
    assert_int_equal(tr_live_judge(51, 949), 0);
    assert_int_equal(tr_live_judge(1000, 0), 0);
}

static void next_passes_commit_markers_only_when_idle(void **state)
{
    (void)state;
    struct tr_parts parts;
    tr_parts_init(&parts);
    struct tr_part *part = tr_parts_get(&parts, 3, 2, "db.shop");
    assert_non_null(part);
    assert_ptr_equal(tr_parts_find(&parts, 3, 2), part);
    assert_null(tr_parts_find(&parts, 3, 1));
    assert_null(tr_parts_find(&parts, 0, 0));
    atomic_store(&part->settled, 10);
    atomic_store(&part->position, 15);
    atomic_store(&part->end, 20);
    assert_int_equal(tr_part_next(part), 15);
    assert_int_equal(tr_part_lag(part), 5);
    tr_count(&part->read, 3);
    assert_int_equal(tr_part_next(part), 10);
    tr_count(&part->done, 3);
    tr_count(&part->outcomes[TR_OUT_STALE], 2);
    struct tr_error err = {0};
    assert_int_equal(tr_part_check(part, &err), TR_EBUG); /* one has no outcome */
    assert_non_null(strstr(err.text, "db.shop/2"));
    tr_count(&part->outcomes[TR_OUT_APPLIED], 1);
    tr_error_reset(&err);
    assert_int_equal(tr_part_check(part, &err), 0);
    tr_parts_done(&parts);
}

static void lag_in_seconds(void **state)
{
    (void)state;
    struct tr_parts parts;
    tr_parts_init(&parts);
    struct tr_part *part = tr_parts_get(&parts, 0, 0, "db.shop");
    assert_non_null(part);
    atomic_store(&part->settled, 10);
    atomic_store(&part->end, 10);
    assert_int_equal(tr_part_lag_seconds(part, 900000), 0);
    atomic_store(&part->end, 12);
    assert_int_equal(tr_part_lag_seconds(part, 900000), -1);
    atomic_store(&part->settled_ms, 100000);
    assert_int_equal(tr_part_lag_seconds(part, 900000), 800);
    /* Idle for long, and then one record a second ago. */
    atomic_store(&part->caught_up_ms, 899000);
    assert_int_equal(tr_part_lag_seconds(part, 900000), 1);
    tr_parts_done(&parts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(start_offsets),
        cmocka_unit_test(progress_by_incarnation),
        cmocka_unit_test(markers),
        cmocka_unit_test(foreign_markers),
        cmocka_unit_test(plan_arithmetic),
        cmocka_unit_test(stale_at_the_head),
        cmocka_unit_test(lag_in_seconds),
        cmocka_unit_test(next_passes_commit_markers_only_when_idle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
