/* Batches between two threads. */
#include "cmocka_all.h"

#include <pthread.h>
#include <stdio.h>

#include "handover.h"

static void write_number(struct tr_batch *batch, uint64_t number)
{
    tr_buf_append(&batch->text, &number, sizeof(number));
}

static void test_offered_batch_comes_back_unless_taken(void **state)
{
    (void)state;
    struct tr_handover *handover;
    struct tr_error err = {0};
    struct tr_batch *batch, *again;
    assert_int_equal(tr_handover_new(&handover, 2, &err), 0);
    assert_int_equal(tr_handover_open(handover, &batch, &err), 0);
    write_number(batch, 1);
    tr_handover_offer(handover, batch, true);
    assert_int_equal(tr_handover_open(handover, &again, &err), 0);
    assert_ptr_equal(again, batch);
    tr_handover_offer(handover, batch, true);
    assert_ptr_equal(tr_handover_take(handover, 0), batch);
    assert_null(tr_handover_take(handover, 0));
    assert_int_equal(tr_handover_open(handover, &again, &err), 0);
    assert_ptr_not_equal(again, batch);
    tr_handover_return(handover, batch);
    tr_handover_free(handover);
}

static void test_full_ones_come_before_the_offered(void **state)
{
    (void)state;
    struct tr_handover *handover;
    struct tr_error err = {0};
    struct tr_batch *first, *second;
    assert_int_equal(tr_handover_new(&handover, 3, &err), 0);
    assert_int_equal(tr_handover_open(handover, &first, &err), 0);
    tr_handover_push(handover, first);
    assert_int_equal(tr_handover_open(handover, &second, &err), 0);
    tr_handover_offer(handover, second, true);
    tr_handover_close(handover);
    assert_false(tr_handover_finished(handover));
    assert_ptr_equal(tr_handover_take(handover, 0), first);
    assert_ptr_equal(tr_handover_take(handover, 0), second);
    assert_true(tr_handover_finished(handover));
    tr_handover_free(handover);
}

static void test_stop_ends_a_waiting_reader(void **state)
{
    (void)state;
    struct tr_handover *handover;
    struct tr_error err = {0};
    struct tr_batch *batch;
    assert_int_equal(tr_handover_new(&handover, 1, &err), 0);
    assert_int_equal(tr_handover_open(handover, &batch, &err), 0);
    tr_handover_stop(handover);
    assert_int_equal(tr_handover_open(handover, &batch, &err), TR_ESTOPPED);
    tr_handover_free(handover);
}

#define NUMBERS 200000

static void *read_numbers(void *context)
{
    struct tr_handover *handover = context;
    struct tr_error err = {0};
    for (uint64_t number = 0; number < NUMBERS; number++) {
        struct tr_batch *batch;
        if (tr_handover_open(handover, &batch, &err) != 0)
            return NULL;
        write_number(batch, number);
        if (batch->text.length >= 4096)
            tr_handover_push(handover, batch);
        else
            tr_handover_offer(handover, batch, true);
    }
    tr_handover_close(handover);
    return NULL;
}

static void test_nothing_is_lost_or_reordered(void **state)
{
    (void)state;
    struct tr_handover *handover;
    struct tr_error err = {0};
    pthread_t thread;
    uint64_t expected = 0;
    assert_int_equal(tr_handover_new(&handover, 4, &err), 0);
    assert_int_equal(pthread_create(&thread, NULL, read_numbers, handover), 0);
    while (!tr_handover_finished(handover)) {
        struct tr_batch *batch = tr_handover_take(handover, 100);
        if (batch == NULL)
            continue;
        for (size_t at = 0; at < batch->text.length; at += sizeof(uint64_t)) {
            uint64_t number;
            memcpy(&number, batch->text.data + at, sizeof(number));
            assert_int_equal(number, expected);
            expected++;
        }
        tr_handover_return(handover, batch);
    }
    pthread_join(thread, NULL);
    assert_int_equal(expected, NUMBERS);
    tr_handover_free(handover);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_offered_batch_comes_back_unless_taken),
        cmocka_unit_test(test_full_ones_come_before_the_offered),
        cmocka_unit_test(test_stop_ends_a_waiting_reader),
        cmocka_unit_test(test_nothing_is_lost_or_reordered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
