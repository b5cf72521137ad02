/* test_base.c - errors, the arena, the buffer, hashes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "buf.h"
#include "clock.h"
#include "cmocka_all.h"
#include "error.h"
#include "hash.h"

void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);

static bool no_memory;

/* The linker sends the buffer's allocations here. */
void *__wrap_realloc(void *old, size_t size)
{
    return no_memory ? NULL : __real_realloc(old, size);
}

static void the_first_error_wins(void **state)
{
    (void)state;
    struct tr_error err = {0};
    char text[700];
    assert_int_equal(tr_error_set_native(&err, TR_EKAFKA, -5, "broker %s", "b1"), TR_EKAFKA);
    assert_int_equal(tr_error_set(&err, TR_EBUG, "later"), TR_EKAFKA);
    assert_int_equal(tr_error_frame(&err, "table %s", "shop.a"), TR_EKAFKA);
    assert_int_equal(tr_error_frame(&err, "pipeline shop"), TR_EKAFKA);
    assert_string_equal(tr_error_format(&err, text, sizeof(text)),
                        "broker b1 (error -5) [table shop.a; pipeline shop]");
    tr_error_reset(&err);
    assert_int_equal(tr_error_frame(&err, "nothing to frame"), 0);
    assert_int_equal(tr_error_set(&err, TR_EBUG, "later"), TR_EBUG);
    assert_string_equal(tr_error_format(&err, text, sizeof(text)), "later");
}

static void long_errors_are_cut_to_their_room(void **state)
{
    (void)state;
    struct tr_error err = {0};
    char letters[1000], small[20], text[2000];
    memset(letters, 'x', sizeof(letters) - 1);
    letters[sizeof(letters) - 1] = '\0';
    assert_int_equal(tr_error_set(&err, TR_EIO, "%s", letters), TR_EIO);
    assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
    for (int i = 0; i < TR_ERROR_FRAMES_MAX + 2; i++)
        tr_error_frame(&err, "%d%s", i, letters);
    assert_int_equal(err.frame_count, TR_ERROR_FRAMES_MAX);
    assert_int_equal(strlen(tr_error_format(&err, small, sizeof(small))), sizeof(small) - 1);
    tr_error_format(&err, text, sizeof(text));
    assert_non_null(strstr(text, "; 3xxx"));
    assert_int_equal(text[strlen(text) - 1], ']');
}

static void codes_have_names_classes_and_exits(void **state)
{
    (void)state;
    static const struct {
        int code;
        const char *name;
        enum tr_error_class cls;
        int exit_code;
    } rows[] = {
        {TR_OK, "OK", TR_CLASS_STOPPED, 0},
        {TR_EUSAGE, "EUSAGE", TR_CLASS_CONFIG, 1},
        {TR_ECONFIG, "ECONFIG", TR_CLASS_CONFIG, 2},
        {TR_ESOURCE, "ESOURCE", TR_CLASS_FATAL, 3},
        {TR_EKAFKA_RETRY, "EKAFKA_RETRY", TR_CLASS_RETRY, 4},
        {TR_EPOISON, "EPOISON", TR_CLASS_POISON, 5},
        {TR_ESTATE, "ESTATE", TR_CLASS_FATAL, 6},
        {TR_EDIFFERENT, "EDIFFERENT", TR_CLASS_FATAL, 7},
        {TR_ESTOPPED, "ESTOPPED", TR_CLASS_STOPPED, 0},
        {TR_EBUG, "EBUG", TR_CLASS_FATAL, 70},
        {-9999, "EBUG", TR_CLASS_FATAL, 70},
        {1, "EBUG", TR_CLASS_FATAL, 70},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_string_equal(tr_error_name(rows[i].code), rows[i].name);
        assert_int_equal(tr_error_class_of(rows[i].code), rows[i].cls);
        assert_int_equal(tr_error_exit_code(rows[i].code), rows[i].exit_code);
    }
    assert_string_equal(tr_error_text(TR_ESTATE), "state");
}

static void an_arena_gives_aligned_memory_and_keeps_it(void **state)
{
    (void)state;
    struct tr_arena arena;
    tr_arena_init(&arena, 1000, 0);
    char *previous = NULL;
    for (size_t i = 1; i < 300; i++) {
        char *at = tr_arena_alloc(&arena, i);
        assert_non_null(at);
        assert_int_equal((uintptr_t)at % _Alignof(max_align_t), 0);
        memset(at, (int)i & 0x7f, i);
        if (previous != NULL)
            assert_int_equal(previous[i - 2], (int)(i - 1) & 0x7f);
        previous = at;
    }
    assert_string_equal(tr_arena_copy(&arena, "hello world", 5), "hello");
    assert_string_equal(tr_arena_copy(&arena, NULL, 0), "");
    char *large = tr_arena_alloc(&arena, 100000);
    assert_non_null(large);
    memset(large, 1, 100000);
    assert_null(tr_arena_alloc(&arena, SIZE_MAX - 3));
    tr_arena_done(&arena);
    assert_int_equal(arena.total_bytes, 0);
}

static void an_arena_has_a_limit(void **state)
{
    (void)state;
    struct tr_arena arena;
    tr_arena_init(&arena, 1024, 4096);
    for (int i = 0; i < 4; i++)
        assert_non_null(tr_arena_alloc(&arena, 1024));
    assert_null(tr_arena_alloc(&arena, 1));
    assert_int_equal(arena.total_bytes, 4096);
    tr_arena_reset(&arena);
    assert_non_null(tr_arena_alloc(&arena, 1));
    assert_int_equal(arena.total_bytes, 4096);
    tr_arena_done(&arena);
    tr_arena_init(&arena, 1024, 4096);
    assert_null(tr_arena_alloc(&arena, 5000));
    tr_arena_done(&arena);
}

/* Batches of changing shape must not add up: what a reset gives back can be had again. */
static void a_reset_arena_takes_another_shape(void **state)
{
    (void)state;
    struct tr_arena arena;
    tr_arena_init(&arena, 1024, 8192);
    uint64_t seed = 1;
    for (int batch = 0; batch < 2000; batch++) {
        size_t total = 0;
        for (;;) {
            seed = seed * 6364136223846793005U + 1442695040888963407U;
            size_t bytes = (seed >> 33) % 16 == 0 ? 2000 + (seed >> 40) % 1000 : (seed >> 40) % 500;
            if (total + bytes > 3000)
                break;
            total += bytes;
            char *at = tr_arena_alloc(&arena, bytes);
            if (at != NULL)
                memset(at, 'x', bytes);
            else
                fail_msg("batch %d: %zu bytes are refused at %zu", batch, bytes, total);
        }
        assert_true(arena.total_bytes <= 8192);
        tr_arena_reset(&arena);
    }
    tr_arena_done(&arena);
}

static void steady_batches_take_nothing_more(void **state)
{
    (void)state;
    struct tr_arena arena;
    size_t held = 0;
    tr_arena_init(&arena, 1024, 0);
    for (int batch = 0; batch < 10; batch++) {
        for (int i = 0; i < 20; i++)
            assert_non_null(tr_arena_alloc(&arena, i == 7 ? 5000 : 300));
        if (batch == 0)
            held = arena.total_bytes;
        assert_int_equal(arena.total_bytes, held);
        tr_arena_reset(&arena);
    }
    tr_arena_done(&arena);
}

static void a_buffer_grows_to_its_limit(void **state)
{
    (void)state;
    struct tr_error err = {0};
    struct tr_buf buf;
    tr_buf_init(&buf, 1000);
    for (int i = 0; i < 100; i++)
        tr_buf_append(&buf, "0123456789", 10);
    assert_false(buf.failed);
    assert_int_equal(tr_buf_check(&buf, "it", &err), 0);
    assert_memory_equal(buf.data + 990, "0123456789", 10);
    tr_buf_append_char(&buf, 'x');
    assert_true(buf.failed);
    assert_int_equal(buf.length, 1000);
    assert_int_equal(tr_buf_check(&buf, "the event", &err), TR_ELIMIT);
    assert_string_equal(err.text, "the event does not fit into 1000 bytes");
    tr_buf_reset(&buf);
    tr_buf_append(&buf, "again", 5);
    assert_false(buf.failed);
    tr_buf_done(&buf);
}

static void a_buffer_without_memory_says_so(void **state)
{
    (void)state;
    struct tr_error err = {0};
    struct tr_buf buf;
    tr_buf_init(&buf, 100000);
    tr_buf_append(&buf, "0123456789", 10);
    no_memory = true;
    for (int i = 0; i < 100; i++)
        tr_buf_append(&buf, "0123456789", 10);
    no_memory = false;
    assert_int_equal(tr_buf_check(&buf, "the event", &err), TR_ENOMEM);
    assert_string_equal(err.text, "no memory for the event: it has 250 bytes so far");
    tr_buf_reset(&buf);
    tr_error_reset(&err);
    for (int i = 0; i < 100; i++)
        tr_buf_append(&buf, "0123456789", 10);
    assert_int_equal(tr_buf_check(&buf, "the event", &err), 0);
    tr_buf_done(&buf);
}

static void a_failed_buffer_takes_nothing_more(void **state)
{
    (void)state;
    struct tr_buf buf;
    char letters[200] = {0};
    tr_buf_init(&buf, 100);
    tr_buf_append(&buf, "abc", 3);
    tr_buf_append(&buf, letters, sizeof(letters));
    assert_true(buf.failed);
    tr_buf_append(&buf, "def", 3);
    tr_buf_append_char(&buf, 'g');
    tr_buf_printf(&buf, "%d", 5);
    assert_int_equal(buf.length, 3);
    tr_buf_reset(&buf);
    tr_buf_append(&buf, letters, 100);
    assert_false(buf.failed);
    tr_buf_append(&buf, letters, 1);
    assert_true(buf.failed);
    tr_buf_reset(&buf);
    assert_null(tr_buf_reserve(&buf, SIZE_MAX));
    assert_true(buf.failed);
    tr_buf_done(&buf);
}

static void a_buffer_prints(void **state)
{
    (void)state;
    struct tr_buf buf;
    tr_buf_init(&buf, 10000);
    for (int i = 0; i < 1000; i++)
        tr_buf_printf(&buf, "%d,", i % 10);
    assert_int_equal(buf.length, 2000);
    assert_memory_equal(buf.data, "0,1,2,3,4,", 10);
    tr_buf_append(&buf, NULL, 0);
    assert_int_equal(buf.length, 2000);
    tr_buf_done(&buf);
    tr_buf_init(&buf, 10);
    tr_buf_append(&buf, NULL, 0);
    assert_false(buf.failed);
    tr_buf_done(&buf);
    assert_true(tr_slice_equal((struct tr_slice){0}, TR_SLICE("")));
    assert_false(tr_slice_equal(TR_SLICE("a"), TR_SLICE("b")));
    assert_false(tr_slice_equal(TR_SLICE("a"), TR_SLICE("ab")));
}

/* The values of Kafka's own test of Utils.murmur2. */
static void murmur2_is_that_of_the_java_client(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        int32_t hash;
    } rows[] = {
        {"21", -973932308},
        {"foobar", -790332482},
        {"a-little-bit-long-string", -985981536},
        {"a-little-bit-longer-string", -1486304829},
        {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
        {"abc", 479470107},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t length = strlen(rows[i].key);
        assert_int_equal((int32_t)tr_hash_murmur2(rows[i].key, length), rows[i].hash);
        assert_int_equal(tr_hash_partition(rows[i].key, length, 7),
                         (rows[i].hash & 0x7fffffff) % 7);
        assert_int_equal(tr_hash_partition(rows[i].key, length, 1), 0);
    }
}

static void fnv1a_has_its_published_values(void **state)
{
    (void)state;
    assert_true(tr_hash_fnv1a("", 0) == 0xcbf29ce484222325U);
    assert_true(tr_hash_fnv1a("a", 1) == 0xaf63dc4c8601ec8cU);
    assert_true(tr_hash_fnv1a("foobar", 6) == 0x85944171f73967e8U);
}

static void clocks_advance(void **state)
{
    (void)state;
    int64_t before = tr_clock_mono_us();
    tr_clock_sleep_ms(5);
    assert_true(tr_clock_mono_us() - before >= 5000);
    assert_true(tr_clock_wall_us() > 1600000000LL * 1000000);
    assert_true(tr_clock_random() != tr_clock_random());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_error_wins),
        cmocka_unit_test(long_errors_are_cut_to_their_room),
        cmocka_unit_test(codes_have_names_classes_and_exits),
        cmocka_unit_test(an_arena_gives_aligned_memory_and_keeps_it),
        cmocka_unit_test(an_arena_has_a_limit),
        cmocka_unit_test(a_reset_arena_takes_another_shape),
        cmocka_unit_test(steady_batches_take_nothing_more),
        cmocka_unit_test(a_buffer_grows_to_its_limit),
        cmocka_unit_test(a_buffer_without_memory_says_so),
        cmocka_unit_test(a_failed_buffer_takes_nothing_more),
        cmocka_unit_test(a_buffer_prints),
        cmocka_unit_test(murmur2_is_that_of_the_java_client),
        cmocka_unit_test(fnv1a_has_its_published_values),
        cmocka_unit_test(clocks_advance),
    };
    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
