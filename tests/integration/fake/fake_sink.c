/* fake_sink.c - see fake_sink.h. */
#include "fake_sink.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "hash.h"
#include "json_writer.h"

#define BUCKETS 65536
#define PROGRESS_MAX 1024
#define PATH_BYTES 1024
#define LOG_BUFFER (64u << 20)

struct row {
    struct row *next;
    int64_t version;
    bool removed;
    struct tr_sink_table *table; /* NULL after a restart: the log does not say */
    size_t length;
    char key[];
};

struct tr_sink {
    const struct tr_fake_settings *settings;
    char pipeline[128], consumer[128];
    bool read_only;
    FILE *log; /* NULL = memory only */
    char *log_buffer;
    pthread_mutex_t lock; /* all below */
    struct row *rows[BUCKETS];
    struct tr_fake_counts counts;
    int64_t fails, retries; /* left */
    struct {
        char topic[256];
        int32_t partition;
        int64_t next;
    } progress[PROGRESS_MAX];
    size_t progress_count;
};

/* ---- files ----------------------------------------------------------------------------------- */

static int write_file(const struct tr_sink *sink, const char *name, const char *text,
                      struct tr_error *err)
{
    char path[PATH_BYTES], temporary[PATH_BYTES + 32];
    if (*sink->settings->path == '\0')
        return 0;
    snprintf(path, sizeof(path), "%s/%s", sink->settings->path, name);
    snprintf(temporary, sizeof(temporary), "%s.%ld.tmp", path, (long)getpid());
    FILE *out = fopen(temporary, "w");
    if (out == NULL || fputs(text, out) < 0 || fclose(out) != 0 || rename(temporary, path) != 0)
        return tr_error_set_native(err, TR_ESTORE, errno, "fake: %s can't be written", path);
    return 0;
}

static bool read_file(const struct tr_sink *sink, const char *name, char *text, size_t size)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof(path), "%s/%s", sink->settings->path, name);
    FILE *in = fopen(path, "r");
    if (in == NULL)
        return false;
    size_t length = fread(text, 1, size - 1, in);
    text[length] = '\0';
    fclose(in);
    return true;
}

static int reach(const struct tr_sink *sink, struct tr_error *err)
{
    if (*sink->settings->down_file != '\0' && access(sink->settings->down_file, F_OK) == 0)
        return tr_error_set(err, TR_ESTORE_RETRY, "fake: %s is there, so the store is down",
                            sink->settings->down_file);
    return 0;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static struct row **find(struct tr_sink *sink, const char *key, size_t length)
{
    struct row **link = &sink->rows[tr_hash_fnv1a(key, length) % BUCKETS];
    while (*link != NULL && ((*link)->length != length || memcmp((*link)->key, key, length) != 0))
        link = &(*link)->next;
    return link;
}

/* False when the row has a higher version. */
static bool put(struct tr_sink *sink, const char *key, size_t length, int64_t version, bool removed,
                struct tr_sink_table *table)
{
    struct row **link = find(sink, key, length);
    if (*link != NULL && (*link)->version > version)
        return false;
    if (*link == NULL) {
        *link = calloc(1, sizeof(struct row) + length);
        if (*link == NULL)
            abort();
        (*link)->length = length;
        memcpy((*link)->key, key, length);
    }
    (*link)->version = version;
    (*link)->removed = removed;
    (*link)->table = table;
    return true;
}

/* The log's lines begin with version, removed, length of the key. */
static void read_log(struct tr_sink *sink, const char *path)
{
    char *line = NULL;
    size_t capacity = 0;
    FILE *in = fopen(path, "r");
    while (in != NULL && getline(&line, &capacity, in) > 0) {
        int64_t version;
        int removed, at = 0;
        size_t length;
        if (sscanf(line, "{\"version\":%" SCNd64 ",\"removed\":%d,\"length\":%zu,\"key\":%n",
                   &version, &removed, &length, &at) == 3 &&
            at > 0 && strlen(line) > (size_t)at + length)
            put(sink, line + at, length, version, removed == 1, NULL);
    }
    free(line);
    if (in != NULL)
        fclose(in);
}

/* ---- life ------------------------------------------------------------------------------------ */

static int open_folder(struct tr_sink *sink, struct tr_error *err)
{
    char path[PATH_BYTES];
    if (*sink->settings->path == '\0')
        return 0;
    if (sink->read_only && access(sink->settings->path, F_OK) != 0)
        return 0;
    if (mkdir(sink->settings->path, 0755) != 0 && errno != EEXIST)
        return tr_error_set_native(err, TR_ECONFIG, errno, "fake.path: %s", sink->settings->path);
    snprintf(path, sizeof(path), "%s/rows", sink->settings->path);
    read_log(sink, path);
    sink->log = sink->read_only ? NULL : fopen(path, "a");
    if (!sink->read_only && sink->log == NULL)
        return tr_error_set_native(err, TR_ESTORE, errno, "fake: %s", path);
    /* Whole batches by one write each: two processes may share the log. */
    sink->log_buffer = sink->log == NULL ? NULL : malloc(LOG_BUFFER);
    if (sink->log_buffer != NULL)
        setvbuf(sink->log, sink->log_buffer, _IOFBF, LOG_BUFFER);
    return 0;
}

static void close_sink(struct tr_sink *sink)
{
    for (size_t i = 0; i < BUCKETS; i++) {
        while (sink->rows[i] != NULL) {
            struct row *next = sink->rows[i]->next;
            free(sink->rows[i]);
            sink->rows[i] = next;
        }
    }
    if (sink->log != NULL)
        fclose(sink->log);
    free(sink->log_buffer);
    pthread_mutex_destroy(&sink->lock);
    free(sink);
}

static int open_sink(struct tr_sink **out, const struct tr_sink_context *context,
                     struct tr_error *err)
{
    struct tr_sink *sink = calloc(1, sizeof(*sink));
    if (sink == NULL)
        return tr_error_set(err, TR_ENOMEM, "no memory for a fake store");
    sink->settings = context->settings;
    sink->read_only = context->read_only;
    sink->fails = sink->settings->fail_times;
    sink->retries = sink->settings->retry_times;
    snprintf(sink->pipeline, sizeof(sink->pipeline), "%s", context->pipeline);
    snprintf(sink->consumer, sizeof(sink->consumer), "%s", context->consumer);
    pthread_mutex_init(&sink->lock, NULL);
    int rc = reach(sink, err);
    if (rc == 0)
        rc = open_folder(sink, err);
    if (rc < 0) {
        close_sink(sink);
        return rc;
    }
    *out = sink;
    return 0;
}

/* ---- state ----------------------------------------------------------------------------------- */

static char *copy(struct tr_sink_state *state, const char *text)
{
    return tr_arena_copy(state->arena, text, strlen(text));
}

static void load_marker(struct tr_sink *sink, struct tr_sink_state *state)
{
    char text[512], pipeline[128], id[64], consumer[128];
    if (!read_file(sink, "marker", text, sizeof(text)) ||
        sscanf(text, "%d %127s %63s %127s %d", &state->format, pipeline, id, consumer,
               &state->generation) != 5)
        return;
    state->marked = true;
    state->pipeline = copy(state, pipeline);
    state->pipeline_id = copy(state, id);
    state->consumer = copy(state, consumer);
}

static void load_entry(struct tr_sink *sink, struct tr_sink_state *state, const char *name)
{
    char text[256], one[256] = "", two[256] = "";
    int64_t number = 0;
    if (strstr(name, ".tmp") != NULL || !read_file(sink, name, text, sizeof(text)))
        return;
    if (strncmp(name, "progress.", 9) == 0 && state->progress_count < PROGRESS_MAX) {
        int32_t partition;
        if (sscanf(text, "%255s %" SCNd32 " %255s %" SCNd64, one, &partition, two, &number) == 4)
            state->progress[state->progress_count++] = (struct tr_sink_progress){
                copy(state, one), strcmp(two, "-") == 0 ? "" : copy(state, two), partition, number};
    } else if (strncmp(name, "floor.", 6) == 0 && state->floor_count < PROGRESS_MAX) {
        if (sscanf(text, "%255s %255s %" SCNd64, one, two, &number) == 3)
            state->floors[state->floor_count++] =
                (struct tr_sink_floor){copy(state, one), copy(state, two), number};
    }
}

static int load(struct tr_sink *sink, struct tr_sink_state *state, struct tr_error *err)
{
    if (reach(sink, err) < 0)
        return err->code;
    state->empty = true;
    state->progress = tr_arena_alloc(state->arena, PROGRESS_MAX * sizeof(*state->progress));
    state->floors = tr_arena_alloc(state->arena, PROGRESS_MAX * sizeof(*state->floors));
    DIR *folder = *sink->settings->path == '\0' ? NULL : opendir(sink->settings->path);
    if (folder == NULL)
        return 0;
    load_marker(sink, state);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
        load_entry(sink, state, entry->d_name);
    closedir(folder);
    return 0;
}

static int put_progress(struct tr_sink *sink, const struct tr_sink_progress *progress, size_t count,
                        struct tr_error *err)
{
    for (size_t i = 0; i < count; i++) {
        char name[400], text[600];
        size_t at = 0;
        while (at < sink->progress_count &&
               (sink->progress[at].partition != progress[i].partition ||
                strcmp(sink->progress[at].topic, progress[i].topic) != 0))
            at++;
        if (at == PROGRESS_MAX)
            return tr_error_set(err, TR_ELIMIT, "fake: too many partitions");
        sink->progress_count += at == sink->progress_count;
        snprintf(sink->progress[at].topic, sizeof(sink->progress[at].topic), "%s",
                 progress[i].topic);
        sink->progress[at].partition = progress[i].partition;
        sink->progress[at].next = progress[i].next;
        snprintf(name, sizeof(name), "progress.%s.%d", progress[i].topic,
                 (int)progress[i].partition);
        snprintf(text, sizeof(text), "%s %d %s %" PRId64 "\n", progress[i].topic,
                 (int)progress[i].partition,
                 *progress[i].incarnation == '\0' ? "-" : progress[i].incarnation,
                 progress[i].next);
        if (write_file(sink, name, text, err) < 0)
            return err->code;
    }
    return 0;
}

/* Of an earlier marker. */
static void remove_files(const struct tr_sink *sink, const char *prefix)
{
    DIR *folder = *sink->settings->path == '\0' ? NULL : opendir(sink->settings->path);
    if (folder == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        char path[PATH_BYTES];
        snprintf(path, sizeof(path), "%s/%s", sink->settings->path, entry->d_name);
        if (entry->d_name[0] != '.' && strncmp(entry->d_name, prefix, strlen(prefix)) == 0)
            unlink(path);
    }
    closedir(folder);
}

static int claim(struct tr_sink *sink, const struct tr_sink_state *state, struct tr_error *err)
{
    char text[512];
    remove_files(sink, "progress.");
    snprintf(text, sizeof(text), "%d %s %s %s %d\n", state->format, state->pipeline,
             state->pipeline_id, state->consumer, state->generation);
    if (put_progress(sink, state->progress, state->progress_count, err) < 0)
        return err->code;
    return write_file(sink, "marker", text, err);
}

static int drop_plan(struct tr_sink *sink, struct tr_sink_table *const *tables, size_t count,
                     struct tr_buf *lines, struct tr_error *err)
{
    (void)err;
    for (size_t i = 0; i < count; i++)
        tr_buf_printf(lines, "rows of %s.%s in %s\n", tables[i]->database.data,
                      tables[i]->table.data, sink->settings->path);
    return 0;
}

static int drop(struct tr_sink *sink, struct tr_sink_table *const *tables, size_t count,
                struct tr_error *err)
{
    (void)tables, (void)count, (void)err;
    remove_files(sink, "");
    return 0;
}

/* ---- writing --------------------------------------------------------------------------------- */

static int lane_open(struct tr_sink *sink, unsigned number, struct tr_sink_lane **out,
                     struct tr_error *err)
{
    (void)number, (void)err;
    *out = (struct tr_sink_lane *)(void *)sink;
    return 0;
}

static void log_record(const struct tr_sink *sink, const struct tr_sink_record *record)
{
    if (sink->log == NULL)
        return;
    fprintf(sink->log,
            "{\"version\":%" PRId64 ",\"removed\":%d,\"length\":%zu,\"key\":%.*s,\"row\":%.*s}\n",
            record->version, record->remove, record->key.length, (int)record->key.length,
            record->key.data, record->data.length > 0 ? (int)record->data.length : 4,
            record->data.length > 0 ? record->data.data : "null");
}

static void apply_one(struct tr_sink *sink, const struct tr_sink_record *record,
                      struct tr_sink_result *result)
{
    const char *poison = sink->settings->poison;
    *result = (struct tr_sink_result){TR_SINK_APPLIED, NULL};
    if (*poison != '\0' && record->data.length > 0 &&
        memmem(record->data.data, record->data.length, poison, strlen(poison)) != NULL) {
        *result = (struct tr_sink_result){TR_SINK_POISON, "fake: the row contains the poison"};
    } else if (sink->retries > 0) {
        sink->retries--;
        *result = (struct tr_sink_result){TR_SINK_RETRY, "fake: asked to wait"};
    } else if (!put(sink, record->key.data, record->key.length, record->version, record->remove,
                    record->table)) {
        result->status = TR_SINK_STALE;
    } else {
        log_record(sink, record);
    }
}

static int apply_all(struct tr_sink *sink, const struct tr_sink_batch *batch,
                     struct tr_sink_result *results, struct tr_error *err)
{
    if (sink->fails > 0) {
        sink->fails--;
        return tr_error_set(err, TR_ESTORE_RETRY, "fake: not reachable for now");
    }
    for (size_t i = 0; i < batch->count; i++)
        apply_one(sink, &batch->records[i], &results[i]);
    if (sink->log != NULL && fflush(sink->log) != 0)
        return tr_error_set(err, TR_ESTORE, "fake: the log can't be written");
    return put_progress(sink, batch->settled, batch->settled_count, err);
}

static int apply(struct tr_sink_lane *lane, const struct tr_sink_batch *batch,
                 struct tr_sink_result *results, struct tr_error *err)
{
    struct tr_sink *sink = (struct tr_sink *)(void *)lane;
    if (sink->settings->null) {
        for (size_t i = 0; i < batch->count; i++)
            results[i].status = TR_SINK_APPLIED;
        return 0;
    }
    if (reach(sink, err) < 0)
        return err->code;
    if (sink->settings->slow_ms > 0)
        tr_clock_sleep_ms(sink->settings->slow_ms);
    pthread_mutex_lock(&sink->lock);
    sink->counts.applies++;
    sink->counts.records += (int64_t)batch->count;
    int rc = apply_all(sink, batch, results, err);
    pthread_mutex_unlock(&sink->lock);
    return rc;
}

static void remove_below(struct tr_sink *sink, const struct tr_sink_table *table, int64_t version)
{
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct row *row = sink->rows[i]; row != NULL; row = row->next)
            if (row->table == table && row->version < version)
                row->removed = true;
}

static int mark(struct tr_sink_lane *lane, struct tr_sink_table *table, enum tr_event_type type,
                int64_t version, struct tr_error *err)
{
    struct tr_sink *sink = (struct tr_sink *)(void *)lane;
    char name[600], text[700];
    if (reach(sink, err) < 0)
        return err->code;
    snprintf(name, sizeof(name), "floor.%s.%s", table->database.data, table->table.data);
    snprintf(text, sizeof(text), "%s %s %" PRId64 "\n", table->database.data, table->table.data,
             version);
    pthread_mutex_lock(&sink->lock);
    sink->counts.marks++;
    remove_below(sink, table, version);
    int rc = write_file(sink, name, text, err);
    if (rc == 0 && sink->log != NULL) {
        fprintf(sink->log,
                "{\"marker\":\"%s\",\"database\":\"%s\",\"table\":\"%s\",\"version\":%" PRId64
                "}\n",
                tr_event_type_name(type), table->database.data, table->table.data, version);
        fflush(sink->log);
    }
    pthread_mutex_unlock(&sink->lock);
    return rc;
}

static int progress(struct tr_sink_lane *lane, const struct tr_sink_progress *done, size_t count,
                    struct tr_error *err)
{
    struct tr_sink *sink = (struct tr_sink *)(void *)lane;
    if (reach(sink, err) < 0)
        return err->code;
    pthread_mutex_lock(&sink->lock);
    sink->counts.progress_calls++;
    int rc = put_progress(sink, done, count, err);
    pthread_mutex_unlock(&sink->lock);
    return rc;
}

/* ---- the table ------------------------------------------------------------------------------- */

static const struct tr_option options[] = {
    TR_RUNTIME_OPTIONS(struct tr_fake_settings, common),
    {.key = "path",
     .type = TR_OPT_STRING,
     .offset = offsetof(struct tr_fake_settings, path),
     .help = "Folder that is the store; memory only if unset."},
    {.key = "fail_times",
     .type = TR_OPT_INT,
     .offset = offsetof(struct tr_fake_settings, fail_times),
     .help = "So many calls find no store."},
    {.key = "retry_times",
     .type = TR_OPT_INT,
     .offset = offsetof(struct tr_fake_settings, retry_times),
     .help = "So many records are asked to wait."},
    {.key = "poison",
     .type = TR_OPT_STRING,
     .offset = offsetof(struct tr_fake_settings, poison),
     .help = "Rows that contain this text are refused."},
    {.key = "slow_ms",
     .type = TR_OPT_INT,
     .offset = offsetof(struct tr_fake_settings, slow_ms),
     .help = "Every call takes that long."},
    {.key = "down_file",
     .type = TR_OPT_STRING,
     .offset = offsetof(struct tr_fake_settings, down_file),
     .help = "While this file exists the store can't be reached."},
    {.key = "null",
     .type = TR_OPT_BOOL,
     .offset = offsetof(struct tr_fake_settings, null),
     .help = "Take everything, keep nothing."},
    {.key = NULL},
};

const struct tr_sink_ops tr_fake_sink_ops = {
    .name = "fake",
    .purpose = "a store that fails on demand, for tests",
    .options = options,
    .settings_size = sizeof(struct tr_fake_settings),
    .settings_common_offset = offsetof(struct tr_fake_settings, common),
    .lanes = 2,
    .batch_records_max = 10000,
    .batch_bytes_max = 8 << 20,
    .open = open_sink,
    .close = close_sink,
    .load = load,
    .claim = claim,
    .drop_plan = drop_plan,
    .drop = drop,
    .lane_open = lane_open,
    .apply = apply,
    .mark = mark,
    .progress = progress,
};

/* ---- for unit tests -------------------------------------------------------------------------- */

void tr_fake_counts(struct tr_sink *sink, struct tr_fake_counts *counts)
{
    pthread_mutex_lock(&sink->lock);
    *counts = sink->counts;
    pthread_mutex_unlock(&sink->lock);
}

int64_t tr_fake_version(struct tr_sink *sink, const char *key, bool *removed)
{
    pthread_mutex_lock(&sink->lock);
    struct row *row = *find(sink, key, strlen(key));
    int64_t version = row == NULL ? -1 : row->version;
    *removed = row != NULL && row->removed;
    pthread_mutex_unlock(&sink->lock);
    return version;
}

int64_t tr_fake_progress(struct tr_sink *sink, const char *topic, int32_t partition)
{
    int64_t next = -1;
    pthread_mutex_lock(&sink->lock);
    for (size_t i = 0; i < sink->progress_count; i++)
        if (sink->progress[i].partition == partition && strcmp(sink->progress[i].topic, topic) == 0)
            next = sink->progress[i].next;
    pthread_mutex_unlock(&sink->lock);
    return next;
}
