/*
 * log.h - one line per fact: level, component, event, key=value.
 *
 * logfmt on a terminal, JSON otherwise; always on stderr. Thread-safe: a line is one write.
 * Never a row's values, never a secret.
 */
#ifndef TR_LOG_H
#define TR_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"

enum tr_log_level { TR_LOG_DEBUG, TR_LOG_INFO, TR_LOG_WARN, TR_LOG_ERROR };
enum tr_log_format { TR_LOG_AUTO, TR_LOG_LOGFMT, TR_LOG_JSON };

struct tr_log_field {
    const char *key; /* NULL ends the list */
    enum { TR_LOG_TEXT, TR_LOG_INT, TR_LOG_DOUBLE } type;
    const char *text; /* borrowed; NULL prints as "" */
    int64_t number;
    double real;
};

#define TR_STR(k, v) ((struct tr_log_field){.key = (k), .type = TR_LOG_TEXT, .text = (v)})
#define TR_INT(k, v) ((struct tr_log_field){.key = (k), .type = TR_LOG_INT, .number = (int64_t)(v)})
#define TR_REAL(k, v) ((struct tr_log_field){.key = (k), .type = TR_LOG_DOUBLE, .real = (v)})

/* tr_log(TR_LOG_INFO, "source", "connected", TR_STR("host", host), TR_INT("port", port), TR_END)
 * — the list of fields always ends with TR_END. */
#define TR_END ((struct tr_log_field){0})
#define tr_log(level, component, event, ...)                                                       \
    tr_log_write((level), (component), (event), (const struct tr_log_field[]){__VA_ARGS__})

void tr_log_init(enum tr_log_level minimum, enum tr_log_format format);
/* Whether lines are JSON, as programs that collect logs read them. */
bool tr_log_is_json(void);
void tr_log_write(enum tr_log_level level, const char *component, const char *event,
                  const struct tr_log_field *fields);
/* An error with its frames and native code, and what happens next: "retrying in 2 s" or "". */
void tr_log_error(enum tr_log_level level, const char *component, const struct tr_error *err,
                  const char *next);

#endif
