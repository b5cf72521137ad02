/* status.c - see status.h. */
#include "status.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "json_writer.h"

#define SECOND_US 1000000
#define BEAT_MAX_US (90 * (int64_t)SECOND_US)

int tr_status_init(struct tr_status *status, const char *pipeline, struct tr_error *err)
{
    memset(status, 0, sizeof(*status));
    pthread_mutex_init(&status->lock, NULL);
    status->pipeline = pipeline;
    status->state = "connecting";
    status->behind_bytes = -1;
    int rc = tr_metrics_new(&status->metrics, err);
    if (rc != 0)
        return rc;
    struct tr_metrics *metrics = status->metrics;
    status->rows_total =
        tr_metrics_register(metrics, TR_METRIC_COUNTER, "tailrace_capture_rows_all_total", "",
                            "Row changes read of all captured tables");
    status->batches_total =
        tr_metrics_register(metrics, TR_METRIC_COUNTER, "tailrace_capture_batches_total", "",
                            "Batches handed to Kafka or the file");
    status->bytes_total =
        tr_metrics_register(metrics, TR_METRIC_COUNTER, "tailrace_capture_bytes_total", "",
                            "Bytes of keys and events handed on");
    status->invalid_total =
        tr_metrics_register(metrics, TR_METRIC_COUNTER, "tailrace_capture_invalid_values_total", "",
                            "Values that went out as base64");
    status->reconnects_total =
        tr_metrics_register(metrics, TR_METRIC_COUNTER, "tailrace_capture_reconnects_total", "",
                            "Times the source was connected to again");
    return 0;
}

void tr_status_done(struct tr_status *status)
{
    tr_metrics_free(status->metrics);
    free(status->tables);
    pthread_mutex_destroy(&status->lock);
}

/* ---- how far behind ---------------------------------------------------------------------------
 */

struct lag {
    bool known; /* bytes */
    int64_t bytes;
    double seconds;
};

/* Under the lock. */
static struct lag lag_of(const struct tr_status *status)
{
    struct lag lag = {0};
    const struct tr_place *place = &status->mark.place;
    bool same_file = strcmp(place->file, status->head_file) == 0;
    bool way_known = status->behind_bytes >= 0 && strcmp(place->file, status->behind_file) == 0;
    lag.known = status->has_mark && status->head_file[0] != '\0' && (same_file || way_known);
    if (same_file)
        lag.bytes = (int64_t)status->head_offset - (int64_t)place->offset;
    else
        lag.bytes = status->behind_bytes + (int64_t)status->head_offset - (int64_t)place->offset;
    /* The head is asked for once a second: we may well be past it. */
    if (lag.bytes < 0)
        lag.bytes = 0;
    bool behind = !lag.known || lag.bytes > 0;
    int64_t since_us = status->mark.ts * SECOND_US;
    /* The last group is as old as the source was idle: what came since can't be older than this. */
    if (since_us < status->at_head_us)
        since_us = status->at_head_us;
    if (behind && since_us > 0)
        lag.seconds = (double)(tr_clock_wall_us() - since_us) / SECOND_US;
    if (lag.seconds < 0)
        lag.seconds = 0;
    return lag;
}

/* Under the lock. */
static void note_at_head(struct tr_status *status)
{
    struct lag lag = lag_of(status);
    if (lag.known && lag.bytes == 0)
        status->at_head_us = status->head_us;
}

/* ---- writers ----------------------------------------------------------------------------------
 */

void tr_status_state(struct tr_status *status, const char *state, const char *trouble)
{
    pthread_mutex_lock(&status->lock);
    status->state = state;
    snprintf(status->trouble, sizeof(status->trouble), "%s", trouble);
    pthread_mutex_unlock(&status->lock);
}

void tr_status_kafka(struct tr_status *status, const char *trouble)
{
    pthread_mutex_lock(&status->lock);
    snprintf(status->kafka_trouble, sizeof(status->kafka_trouble), "%s", trouble);
    pthread_mutex_unlock(&status->lock);
}

void tr_status_needs(struct tr_status *status, struct tr_needs *needs)
{
    pthread_mutex_lock(&status->lock);
    status->needs = needs;
    pthread_mutex_unlock(&status->lock);
}

/* Under the lock: the mark goes on to another file, and the head isn't asked for at once. */
static void change_file(struct tr_status *status, const struct tr_place *to)
{
    const struct tr_place *from = &status->mark.place;
    if (strcmp(from->file, status->head_file) == 0) {
        /* The head is no longer where it was seen: it is where we are, or behind that. */
        memcpy(status->head_file, to->file, sizeof(status->head_file));
        status->head_offset = to->offset;
    } else if (strcmp(from->file, status->behind_file) == 0 && status->behind_bytes >= 0) {
        status->behind_bytes -= (int64_t)from->offset;
        memcpy(status->behind_file, to->file, sizeof(status->behind_file));
    }
}

void tr_status_mark(struct tr_status *status, const struct tr_mark *mark)
{
    pthread_mutex_lock(&status->lock);
    if (status->has_mark && strcmp(status->mark.place.file, mark->place.file) != 0)
        change_file(status, &mark->place);
    status->mark = *mark;
    status->has_mark = true;
    note_at_head(status);
    pthread_mutex_unlock(&status->lock);
}

void tr_status_file(struct tr_status *status, char file[256])
{
    pthread_mutex_lock(&status->lock);
    memcpy(file, status->mark.place.file, sizeof(status->mark.place.file));
    pthread_mutex_unlock(&status->lock);
}

void tr_status_head(struct tr_status *status, const char *file, uint64_t offset, const char *from,
                    int64_t behind_bytes)
{
    pthread_mutex_lock(&status->lock);
    snprintf(status->behind_file, sizeof(status->behind_file), "%s", from);
    if (file != status->head_file)
        snprintf(status->head_file, sizeof(status->head_file), "%s", file);
    status->head_offset = offset;
    status->behind_bytes = behind_bytes;
    status->head_us = tr_clock_wall_us();
    note_at_head(status);
    pthread_mutex_unlock(&status->lock);
}

void tr_status_checkpoint(struct tr_status *status, int64_t wall_us)
{
    pthread_mutex_lock(&status->lock);
    status->checkpoint_wall_us = wall_us;
    pthread_mutex_unlock(&status->lock);
}

/* Under the lock. */
static struct tr_status_table *add_table(struct tr_status *status, const char *name)
{
    if (status->table_count == TR_STATUS_TABLES_MAX)
        return NULL;
    if (status->table_count == status->table_capacity) {
        uint32_t capacity = status->table_capacity == 0 ? 32 : status->table_capacity * 2;
        struct tr_status_table *tables = realloc(status->tables, capacity * sizeof(*tables));
        if (tables == NULL)
            return NULL;
        status->tables = tables;
        status->table_capacity = capacity;
    }
    struct tr_status_table *table = &status->tables[status->table_count++];
    snprintf(table->name, sizeof(table->name), "%s", name);
    struct tr_buf label;
    tr_buf_init(&label, 4096);
    tr_metrics_label(&label, "table", tr_slice_of(name));
    tr_buf_append_char(&label, '\0');
    table->rows =
        tr_metrics_register(status->metrics, TR_METRIC_COUNTER, "tailrace_capture_rows_total",
                            label.failed ? "" : label.data, "Row changes read, per table");
    tr_buf_done(&label);
    return table;
}

/* Under the lock; NULL when there are too many. */
static struct tr_status_table *get_table(struct tr_status *status, const char *name)
{
    uint32_t i = 0;
    while (i < status->table_count && strcmp(status->tables[i].name, name) != 0)
        i++;
    return i < status->table_count ? &status->tables[i] : add_table(status, name);
}

struct tr_metric *tr_status_table(struct tr_status *status, struct tr_slice database,
                                  struct tr_slice table)
{
    char name[sizeof(((struct tr_status_table *)0)->name)];
    snprintf(name, sizeof(name), "%.*s.%.*s", (int)database.length, database.data,
             (int)table.length, table.data);
    pthread_mutex_lock(&status->lock);
    struct tr_status_table *found = get_table(status, name);
    struct tr_metric *rows = found == NULL ? NULL : found->rows;
    pthread_mutex_unlock(&status->lock);
    if (rows != NULL)
        return rows;
    return tr_metrics_register(status->metrics, TR_METRIC_COUNTER, "tailrace_capture_rows_total",
                               "table=\"other\"", "Row changes read, per table");
}

void tr_status_sample(struct tr_status *status)
{
    int64_t now = tr_clock_mono_us();
    int64_t rows = tr_metric_get(status->rows_total);
    pthread_mutex_lock(&status->lock);
    if (now - status->rows_at >= SECOND_US) {
        if (status->rows_at != 0)
            status->rows_per_s =
                (double)(rows - status->rows_then) * SECOND_US / (double)(now - status->rows_at);
        status->rows_at = now;
        status->rows_then = rows;
    }
    pthread_mutex_unlock(&status->lock);
}

/* ---- readers ----------------------------------------------------------------------------------
 */

static void write_position(struct tr_buf *out, const char *file, uint64_t offset)
{
    if (file[0] == '\0') {
        TR_JSON_LITERAL(out, "null");
        return;
    }
    tr_buf_printf(out, "\"%s:%" PRIu64 "\"", file, offset);
}

/* Under the lock. Marked tables are listed also before their first row. */
static void list_marked(struct tr_status *status)
{
    char name[sizeof(((struct tr_status_table *)0)->name)];
    for (uint32_t i = 0; status->needs != NULL; i++) {
        if (!tr_needs_name(status->needs, i, name, sizeof(name)))
            return;
        (void)get_table(status, name);
    }
}

/* Under the lock. */
static void write_tables(struct tr_status *status, bool live, struct tr_buf *out)
{
    list_marked(status);
    TR_JSON_LITERAL(out, ",\"tables\":[");
    for (uint32_t i = 0; i < status->table_count; i++) {
        const struct tr_status_table *table = &status->tables[i];
        if (i > 0)
            tr_buf_append_char(out, ',');
        TR_JSON_LITERAL(out, "{\"table\":");
        if (!tr_json_string(out, table->name, strlen(table->name)))
            TR_JSON_LITERAL(out, "null");
        TR_JSON_LITERAL(out, ",\"rows\":");
        if (live)
            tr_json_int(out, tr_metric_get(table->rows));
        else
            TR_JSON_LITERAL(out, "null");
        int64_t since =
            status->needs == NULL ? 0 : tr_needs_since(status->needs, tr_slice_of(table->name));
        if (since != 0)
            tr_buf_printf(out, ",\"needs_snapshot\":%" PRId64, since);
        tr_buf_append_char(out, '}');
    }
    tr_buf_append_char(out, ']');
}

/* Under the lock. */
static void write_lag(const struct tr_status *status, struct tr_buf *out)
{
    struct lag lag = lag_of(status);
    TR_JSON_LITERAL(out, ",\"head\":{\"position\":");
    write_position(out, status->head_file, status->head_offset);
    TR_JSON_LITERAL(out, "},\"lag\":{\"bytes\":");
    if (lag.known)
        tr_json_int(out, lag.bytes);
    else
        TR_JSON_LITERAL(out, "null");
    tr_buf_printf(out, ",\"seconds\":%.3f},\"checkpoint_age_s\":", lag.seconds);
    if (status->checkpoint_wall_us > 0)
        tr_buf_printf(out, "%.3f",
                      (double)(tr_clock_wall_us() - status->checkpoint_wall_us) / SECOND_US);
    else
        TR_JSON_LITERAL(out, "null");
}

/* Under the lock. Without Kafka nothing moves, whatever the source does. */
static const char *state_of(const struct tr_status *status)
{
    bool running = strcmp(status->state, "running") == 0;
    return running && status->kafka_trouble[0] != '\0' ? "waiting-for-kafka" : status->state;
}

/* Under the lock. */
static const char *trouble_of(const struct tr_status *status)
{
    return status->trouble[0] != '\0' ? status->trouble : status->kafka_trouble;
}

/* Under the lock. */
static void write_state(const struct tr_status *status, struct tr_buf *out)
{
    const char *trouble = trouble_of(status);
    TR_JSON_LITERAL(out, "{\"pipeline\":");
    tr_json_text(out, tr_slice_of(status->pipeline));
    tr_buf_printf(out, ",\"state\":\"%s\"", state_of(status));
    if (trouble[0] == '\0')
        return;
    TR_JSON_LITERAL(out, ",\"trouble\":");
    if (!tr_json_string(out, trouble, strlen(trouble)))
        TR_JSON_LITERAL(out, "null");
}

void tr_status_write(struct tr_status *status, bool live, struct tr_buf *out)
{
    pthread_mutex_lock(&status->lock);
    const struct tr_mark *mark = &status->mark;
    write_state(status, out);
    TR_JSON_LITERAL(out, ",\"position\":");
    write_position(out, mark->place.file, mark->place.offset);
    TR_JSON_LITERAL(out, ",\"gtid\":");
    if (status->has_mark)
        tr_json_text(out, tr_slice_of(mark->gtid));
    else
        TR_JSON_LITERAL(out, "null");
    TR_JSON_LITERAL(out, ",\"version\":");
    if (status->has_mark)
        tr_json_int(out, tr_place_version(&mark->place, mark->place.offset, 0));
    else
        TR_JSON_LITERAL(out, "null");
    write_lag(status, out);
    if (live)
        tr_buf_printf(out, ",\"rows_per_s\":%.1f", status->rows_per_s);
    else
        TR_JSON_LITERAL(out, ",\"rows_per_s\":null");
    write_tables(status, live, out);
    tr_buf_append_char(out, '}');
    pthread_mutex_unlock(&status->lock);
}

void tr_status_beat(struct tr_status *status)
{
    atomic_store(&status->beat_us, tr_clock_mono_us());
}

bool tr_status_alive(struct tr_status *status)
{
    int64_t beat = atomic_load(&status->beat_us);
    return beat == 0 || tr_clock_mono_us() - beat < BEAT_MAX_US;
}

bool tr_status_ready(struct tr_status *status, struct tr_buf *out)
{
    pthread_mutex_lock(&status->lock);
    const char *state = state_of(status);
    const char *trouble = trouble_of(status);
    bool ready = strcmp(state, "running") == 0;
    if (ready)
        tr_buf_printf(out, "ok\n");
    else
        tr_buf_printf(out, "%s%s%s\n", state, trouble[0] == '\0' ? "" : ": ", trouble);
    pthread_mutex_unlock(&status->lock);
    return ready;
}

static void set_gauge(struct tr_status *status, const char *name, const char *help, int64_t value)
{
    tr_metric_set(tr_metrics_register(status->metrics, TR_METRIC_GAUGE, name, "", help), value);
}

/* Under the lock. */
static void set_positions(struct tr_status *status)
{
    const struct tr_place *place = &status->mark.place;
    struct lag lag = lag_of(status);
    int64_t age_s = -1;
    if (status->checkpoint_wall_us > 0)
        age_s = (tr_clock_wall_us() - status->checkpoint_wall_us) / SECOND_US;
    set_gauge(status, "tailrace_capture_lag_bytes",
              "Binlog bytes between what is acknowledged and the head; -1 unknown",
              lag.known ? lag.bytes : -1);
    set_gauge(status, "tailrace_capture_lag_seconds",
              "Time since the last acknowledged group was logged, or since the head was last "
              "reached; 0 at the head",
              (int64_t)lag.seconds);
    set_gauge(status, "tailrace_capture_version", "Version up to which all is acknowledged",
              tr_place_version(place, place->offset, 0));
    set_gauge(status, "tailrace_capture_checkpoint_age_seconds",
              "Time since the last acknowledged checkpoint; it is written when something has "
              "changed; -1 without one",
              age_s);
}

void tr_status_gauges(struct tr_status *status)
{
    pthread_mutex_lock(&status->lock);
    set_positions(status);
    set_gauge(status, "tailrace_capture_running",
              "1 while changes pass: the binlog is read, and Kafka takes what is read",
              strcmp(state_of(status), "running") == 0);
    set_gauge(status, "tailrace_capture_kafka_trouble", "1 while something keeps Kafka away",
              status->kafka_trouble[0] != '\0');
    set_gauge(status, "tailrace_capture_needs_snapshot_tables",
              "Tables whose old rows may have changed without row events",
              status->needs == NULL ? 0 : tr_needs_count(status->needs));
    pthread_mutex_unlock(&status->lock);
}
