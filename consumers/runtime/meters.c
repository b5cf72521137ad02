/* meters.c - see meters.h. */
#include "meters.h"

#include <stdio.h>
#include <stdlib.h>

#include "clock.h"

#define LABEL_BYTES_MAX 1024

/* In the order of enum tr_meter. */
static const struct {
    enum tr_metric_type type;
    const char *name, *help;
} table[TR_METERS] = {
    {TR_METRIC_COUNTER, "tailrace_consumer_records_total",
     "Records by topic, partition and result: read, applied, stale, superseded, filtered, dead, "
     "released."},
    {TR_METRIC_GAUGE, "tailrace_consumer_in_flight_records", "Records taken and not settled yet."},
    {TR_METRIC_GAUGE, "tailrace_consumer_lag_records",
     "Offsets from the next one that the store needs to the partition's end; 0 while the end is "
     "not known, and where the partition is another process's."},
    {TR_METRIC_GAUGE, "tailrace_consumer_lag_seconds",
     "How long the store has been behind: since the record that it has last, or since it had all; "
     "0 as above, -1 while it is not known."},
    {TR_METRIC_GAUGE, "tailrace_consumer_next_offset",
     "The next offset that the store needs, as last known here."},
    {TR_METRIC_COUNTER, "tailrace_consumer_batches_total", "Batches that were settled."},
    {TR_METRIC_COUNTER, "tailrace_consumer_bytes_total",
     "Bytes of the batches that were settled, with what a message costs in memory."},
    {TR_METRIC_COUNTER, "tailrace_consumer_retries_total",
     "Times that a batch, a marker, a dead letter or progress had to be tried or waited "
     "for again."},
    {TR_METRIC_COUNTER, "tailrace_consumer_dead_letters_total",
     "Records that the dead letter topic has acknowledged."},
    {TR_METRIC_GAUGE, "tailrace_consumer_held_records",
     "Records that wait for room in their lane or for their shape."},
    {TR_METRIC_GAUGE, "tailrace_consumer_state", "1 for the state that the consumer is in."},
};

static struct tr_metric *reg(struct tr_meters *meters, enum tr_meter meter, const char *labels)
{
    return tr_metrics_register(meters->metrics, table[meter].type, table[meter].name, labels,
                               table[meter].help);
}

int tr_meters_init(struct tr_meters *meters, struct tr_error *err)
{
    *meters = (struct tr_meters){0};
    tr_buf_init(&meters->labels, LABEL_BYTES_MAX);
    if (tr_metrics_new(&meters->metrics, err) < 0)
        return err->code;
    for (int i = TR_METER_BATCHES; i <= TR_METER_HELD; i++)
        meters->plain[i] = reg(meters, (enum tr_meter)i, "");
    for (int i = 0; i <= TR_STATE_STOPPED; i++) {
        char label[64];
        snprintf(label, sizeof(label), "state=\"%s\"", tr_state_name((enum tr_state)i));
        meters->state[i] = reg(meters, TR_METER_STATE, label);
    }
    return 0;
}

void tr_meters_done(struct tr_meters *meters)
{
    if (meters->metrics != NULL)
        tr_metrics_free(meters->metrics);
    free(meters->parts);
    tr_buf_done(&meters->labels);
}

/* ---- partitions ------------------------------------------------------------------------------ */

static struct tr_metric *reg_part(struct tr_meters *meters, enum tr_meter meter,
                                  const struct tr_part *part, const char *result)
{
    char number[16];
    snprintf(number, sizeof(number), "%d", (int)part->partition);
    tr_buf_reset(&meters->labels);
    tr_metrics_label(&meters->labels, "topic", tr_slice_of(part->topic_name));
    tr_buf_append_char(&meters->labels, ',');
    tr_metrics_label(&meters->labels, "partition", tr_slice_of(number));
    if (result != NULL) {
        tr_buf_append_char(&meters->labels, ',');
        tr_metrics_label(&meters->labels, "result", tr_slice_of(result));
    }
    tr_buf_append_char(&meters->labels, '\0');
    return reg(meters, meter, meters->labels.failed ? "" : meters->labels.data);
}

static void add_part(struct tr_meters *meters, const struct tr_part *part)
{
    void *larger = realloc(meters->parts, (meters->part_count + 1) * sizeof(*meters->parts));
    if (larger == NULL)
        return;
    meters->parts = larger;
    struct tr_metric **row = meters->parts[meters->part_count++];
    for (int i = 0; i < TR_OUTCOMES; i++)
        row[i] = reg_part(meters, TR_METER_RECORDS, part, tr_outcome_name((enum tr_outcome)i));
    row[TR_OUTCOMES] = reg_part(meters, TR_METER_RECORDS, part, "read");
    row[TR_OUTCOMES + 1] = reg_part(meters, TR_METER_RECORDS, part, "released");
    row[TR_OUTCOMES + 2] = reg_part(meters, TR_METER_IN_FLIGHT, part, NULL);
    row[TR_OUTCOMES + 3] = reg_part(meters, TR_METER_LAG, part, NULL);
    row[TR_OUTCOMES + 4] = reg_part(meters, TR_METER_LAG_SECONDS, part, NULL);
    row[TR_OUTCOMES + 5] = reg_part(meters, TR_METER_NEXT, part, NULL);
}

static void update_part(struct tr_metric **row, const struct tr_part *part, int64_t now_ms)
{
    struct tr_account account;
    tr_part_account(part, &account);
    bool assigned = atomic_load(&part->assigned);
    for (int i = 0; i < TR_OUTCOMES; i++)
        tr_metric_set(row[i], account.outcomes[i]);
    tr_metric_set(row[TR_OUTCOMES], account.read);
    tr_metric_set(row[TR_OUTCOMES + 1], account.released);
    tr_metric_set(row[TR_OUTCOMES + 2], account.in_flight);
    /* Another process may have it now: then it is that one's lag. */
    tr_metric_set(row[TR_OUTCOMES + 3], assigned ? tr_part_lag(part) : 0);
    tr_metric_set(row[TR_OUTCOMES + 4], assigned ? tr_part_lag_seconds(part, now_ms) : 0);
    tr_metric_set(row[TR_OUTCOMES + 5], tr_part_next(part));
}

void tr_meters_update(struct tr_meters *meters, const struct tr_parts *parts,
                      const struct tr_lanes *lanes, size_t held, enum tr_state state)
{
    int64_t now_ms = tr_clock_wall_us() / 1000;
    while (meters->part_count < parts->count) {
        size_t before = meters->part_count;
        add_part(meters, parts->all[before]);
        if (meters->part_count == before)
            break;
    }
    for (size_t i = 0; i < meters->part_count; i++)
        update_part(meters->parts[i], parts->all[i], now_ms);
    tr_metric_set(meters->plain[TR_METER_BATCHES], atomic_load(&lanes->batches));
    tr_metric_set(meters->plain[TR_METER_BYTES], atomic_load(&lanes->bytes));
    tr_metric_set(meters->plain[TR_METER_RETRIES], atomic_load(&lanes->retries));
    tr_metric_set(meters->plain[TR_METER_LETTERS], atomic_load(&lanes->letters));
    tr_metric_set(meters->plain[TR_METER_HELD], (int64_t)held);
    tr_meters_state(meters, state);
}

void tr_meters_state(struct tr_meters *meters, enum tr_state state)
{
    for (int i = 0; i <= TR_STATE_STOPPED; i++)
        tr_metric_set(meters->state[i], i == (int)state);
}

int tr_meters_http(void *context, struct tr_buf *out)
{
    struct tr_meters *meters = context;
    tr_metrics_render(meters->metrics, out);
    return 200;
}
