/*
 * error.h - result codes and the caller-owned error.
 *
 * Every function that can fail returns 0 or one of the negative codes below, and fills a
 * struct tr_error that the caller owns. The first error wins: setting an error that is already set
 * keeps the old one, so clean-up paths can't hide the cause. Frames add context on the way up
 * ("table shop.orders"). Libraries return errors; only main loops log them.
 */
#ifndef TR_ERROR_H
#define TR_ERROR_H

#include <stdbool.h>
#include <stddef.h>

#define TR_MUST_CHECK __attribute__((warn_unused_result))
#define TR_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/* What the caller does about an error. */
enum tr_error_class {
    TR_CLASS_RETRY,   /* will pass: wait and try again, visibly */
    TR_CLASS_POISON,  /* this record can never be taken: dead letter */
    TR_CLASS_CONFIG,  /* a person must change the configuration */
    TR_CLASS_FATAL,   /* stop the process and say why */
    TR_CLASS_STOPPED, /* we were asked to stop */
};

/*        name           class    exit  text */
#define TR_ERRORS(X)                                                                               \
    X(EUSAGE, CONFIG, 1, "usage")                                                                  \
    X(ECONFIG, CONFIG, 2, "configuration")                                                         \
    X(ESOURCE, FATAL, 3, "source")                                                                 \
    X(ESOURCE_RETRY, RETRY, 3, "source not reachable")                                             \
    X(EKAFKA, FATAL, 4, "kafka")                                                                   \
    X(EKAFKA_RETRY, RETRY, 4, "kafka not reachable")                                               \
    X(ESTORE, FATAL, 5, "store")                                                                   \
    X(ESTORE_RETRY, RETRY, 5, "store not reachable")                                               \
    X(EPOISON, POISON, 5, "record refused by the store")                                           \
    X(ESTATE, FATAL, 6, "state")                                                                   \
    X(EDIFFERENT, FATAL, 7, "different")                                                           \
    X(ESTOPPED, STOPPED, 0, "stopped")                                                             \
    X(EFORMAT, FATAL, 70, "malformed input")                                                       \
    X(ELIMIT, FATAL, 70, "limit exceeded")                                                         \
    X(ENOMEM, FATAL, 70, "out of memory")                                                          \
    X(EIO, FATAL, 70, "input/output")                                                              \
    X(EBUG, FATAL, 70, "internal error")

enum tr_error_number {
    TR_ERROR_FIRST_ = 0,
#define TR_ERROR_NUMBER(name, cls, exit, text) TR_NUMBER_##name,
    TR_ERRORS(TR_ERROR_NUMBER)
#undef TR_ERROR_NUMBER
};

enum tr_error_code {
    TR_OK = 0,
#define TR_ERROR_CODE(name, cls, exit, text) TR_##name = -(int)TR_NUMBER_##name,
    TR_ERRORS(TR_ERROR_CODE)
#undef TR_ERROR_CODE
};

#define TR_ERROR_FRAMES_MAX 4

struct tr_error {
    int code;   /* 0 = not set */
    int native; /* the library's own code, 0 = none */
    unsigned frame_count;
    char text[512];
    char frames[TR_ERROR_FRAMES_MAX][128];
};

void tr_error_reset(struct tr_error *err);
/* Both set err (first error wins) and return the code of err, so that `return tr_error_set(…)`. */
int tr_error_set(struct tr_error *err, int code, const char *format, ...) TR_PRINTF(3, 4);
int tr_error_set_native(struct tr_error *err, int code, int native, const char *format, ...)
    TR_PRINTF(4, 5);
/* Adds context; silently leaves it out when all frames are taken. Returns err->code. */
int tr_error_frame(struct tr_error *err, const char *format, ...) TR_PRINTF(2, 3);
/* "text (error N) [frame; frame]", N the native code. Returns out. */
const char *tr_error_format(const struct tr_error *err, char *out, size_t size);

#ifdef __clang_analyzer__
/* What the analyzer can't see from here: a set error has a code, and the call returns it. */
#define tr_error_set(err, number, ...)                                                             \
    ((void)tr_error_set((err), (number), __VA_ARGS__), (err)->code = (number))
#define tr_error_set_native(err, number, ...)                                                      \
    ((void)tr_error_set_native((err), (number), __VA_ARGS__), (err)->code = (number))
#endif

const char *tr_error_name(int code); /* "ESTATE" */
const char *tr_error_text(int code); /* "state" */
enum tr_error_class tr_error_class_of(int code);
int tr_error_exit_code(int code); /* 0, 1–7 or 70 */

#endif
