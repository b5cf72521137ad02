/* sqlite_file.h - a SQLite sink on a file of its own, and what another reader of it sees. */
#ifndef TR_TEST_SQLITE_FILE_H
#define TR_TEST_SQLITE_FILE_H

#include "harness.h"
#include "sqlite_sink.h"
#include "store.h"

#define ID "{\"name\":\"id\",\"type\":\"int\",\"nullable\":false}"
#define NAME                                                                                       \
    "{\"name\":\"name\",\"type\":\"varchar\",\"nullable\":true,\"length\":9,\"charset\":"          \
    "\"utf8mb4\"}"
#define COUNT "{\"name\":\"count\",\"type\":\"int\",\"nullable\":true}"
#define COUNT_TEXT                                                                                 \
    "{\"name\":\"count\",\"type\":\"varchar\",\"nullable\":true,\"length\":9,\"charset\":"         \
    "\"utf8mb4\"}"
#define RAW "{\"name\":\"raw\",\"type\":\"blob\",\"nullable\":true}"

struct fixture {
    char folder[64];
    char path[128];
    struct sqlite_settings settings;
    struct harness h;
    const struct tr_shape *shape; /* of the table, once a test has one */
    struct tr_sink_table *table;
};

/* A folder and settings, nothing open yet; and the end of it. */
int sqlite_folder_setup(void **state);
int sqlite_folder_teardown(void **state);
/* With the sink open on a new file. */
int sqlite_setup(void **state);
int sqlite_teardown(void **state);
/* The first column of all rows, joined by `,`; as another reader of the file sees it. */
const char *query(struct fixture *f, const char *sql);

#define ON_A_FILE(test) cmocka_unit_test_setup_teardown(test, sqlite_setup, sqlite_teardown)

#endif
