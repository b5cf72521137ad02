/*
 * held.c - messages that were taken and can't go to their lane yet: it has no room, or their shape
 * is not known. They wait in order, per partition; the partition is paused before it could pile up
 * more than one take of them. See run.h.
 */
#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "log.h"
#include "run.h"

#define BLOCK 256

/* ---- nodes ----------------------------------------------------------------------------------- */

/* Nodes come in blocks, whose first one only links the blocks. */
static struct tr_held *new_node(struct tr_run *run)
{
    if (run->spare == NULL) {
        struct tr_held *block = calloc(BLOCK, sizeof(*block));
        if (block == NULL)
            return NULL;
        block->next = run->spare_blocks;
        run->spare_blocks = block;
        for (size_t i = 1; i < BLOCK; i++) {
            block[i].next = run->spare;
            run->spare = &block[i];
        }
    }
    struct tr_held *node = run->spare;
    run->spare = node->next;
    return node;
}

static struct tr_held *pop(struct tr_run *run, struct tr_part *part)
{
    struct tr_held *node = part->held_first;
    part->held_first = node->next;
    if (part->held_first == NULL)
        part->held_last = NULL;
    node->next = run->spare;
    run->spare = node;
    run->held_count--;
    return node;
}

static int hold(struct tr_run *run, struct tr_part *part, struct tr_kafka_message *message,
                struct tr_error *err)
{
    struct tr_held *node = new_node(run);
    if (node == NULL) {
        tr_kafka_message_free(message);
        return tr_error_set(err, TR_ENOMEM, "no memory for a message that waits");
    }
    node->message = *message;
    node->next = NULL;
    if (part->held_last != NULL)
        part->held_last->next = node;
    else
        part->held_first = node;
    part->held_last = node;
    run->held_count++;
    return 0;
}

void tr_run_drop_held(struct tr_run *run, struct tr_part *part)
{
    while (part->held_first != NULL) {
        tr_kafka_message_free(&pop(run, part)->message);
        atomic_fetch_add(&part->released, 1);
    }
    if (part->shape_wait_us != 0)
        run->shape_waits--;
    part->shape_wait_us = 0;
}

void tr_run_free_held(struct tr_run *run)
{
    while (run->spare_blocks != NULL) {
        struct tr_held *next = run->spare_blocks->next;
        free(run->spare_blocks);
        run->spare_blocks = next;
    }
    run->spare = NULL;
}

/* ---- pausing --------------------------------------------------------------------------------- */

static int set_paused(struct tr_run *run, struct tr_part *part, bool pause, struct tr_error *err)
{
    const struct tr_kafka_partition one = {.topic = part->topic, .partition = part->partition};
    if (part->paused == pause)
        return 0;
    part->paused = pause;
    return tr_kafka_consumer_pause(run->consumer, &one, 1, pause, err);
}

int tr_run_pause_held(struct tr_run *run, struct tr_error *err)
{
    for (size_t i = 0; i < run->parts.count; i++)
        if (run->parts.all[i]->held_first != NULL &&
            set_paused(run, run->parts.all[i], true, err) < 0)
            return err->code;
    return 0;
}

/* ---- shapes ---------------------------------------------------------------------------------- */

static void end_shape_wait(struct tr_run *run, struct tr_part *part)
{
    if (part->shape_wait_us == 0)
        return;
    part->shape_wait_us = 0;
    if (--run->shape_waits == 0)
        tr_live_wait(&run->live, "");
}

/* The first time: say so and stop fetching; control is read more often while somebody waits. */
static int begin_shape_wait(struct tr_run *run, struct tr_part *part,
                            const struct tr_kafka_message *message, struct tr_error *err)
{
    char what[400], text[512];
    if (part->shape_wait_us != 0)
        return 0;
    part->shape_wait_us = tr_clock_mono_us();
    run->shape_waits++;
    run->control_due_us = 0;
    tr_route_describe(message, what, sizeof(what));
    snprintf(text, sizeof(text), "waiting for %s", what);
    tr_live_wait(&run->live, text);
    tr_log(TR_LOG_WARN, "control", "waiting for a shape", TR_STR("topic", part->topic_name),
           TR_INT("partition", part->partition), TR_INT("offset", message->offset),
           TR_STR("wanted", what), TR_END);
    return set_paused(run, part, true, err);
}

static int check_shape_wait(struct tr_run *run, const struct tr_part *part, struct tr_error *err)
{
    char what[400];
    int64_t limit_ms = run->session.common->shape_wait_ms;
    /* Control was read to its end after that time: it is not only out of reach. */
    if (run->control_end_us - part->shape_wait_us < limit_ms * 1000)
        return 0;
    tr_route_describe(&part->held_first->message, what, sizeof(what));
    return tr_error_set(err, TR_ESTATE,
                        "%s/%d offset %lld needs %s, which topic %s does not hold after %lld s: "
                        "was the control topic made anew?",
                        part->topic_name, (int)part->partition,
                        (long long)part->held_first->message.offset, what,
                        run->session.control_topic, (long long)(limit_ms / 1000));
}

/* ---- routing --------------------------------------------------------------------------------- */

static int route(struct tr_run *run, struct tr_part *part, struct tr_kafka_message *message,
                 bool control_read, struct tr_error *err)
{
    return tr_route(&run->session.tables, &run->lanes.lane[part->lane], part, message, control_read,
                    err);
}

/* A shape is in control before the first record that names it: one look usually ends the matter. */
static int route_again(struct tr_run *run, struct tr_part *part, struct tr_kafka_message *message,
                       struct tr_error *err)
{
    int64_t now = tr_clock_mono_us();
    if (tr_run_read_control(run, true, err) < 0)
        return err->code;
    return route(run, part, message, run->control_end_us >= now, err);
}

int tr_run_route(struct tr_run *run, struct tr_part *part, struct tr_kafka_message *message,
                 struct tr_error *err)
{
    if (part->held_first != NULL)
        return hold(run, part, message, err);
    int rc = route(run, part, message, false, err);
    if (rc == TR_ROUTE_SHAPE)
        rc = route_again(run, part, message, err);
    if (rc == TR_ROUTED || rc < 0)
        return rc;
    if (rc == TR_ROUTE_SHAPE && begin_shape_wait(run, part, message, err) < 0)
        return err->code;
    return hold(run, part, message, err);
}

/* 0 all gone, 1 waits for its lane, 2 for a shape, TR_E… */
static int retry_part(struct tr_run *run, struct tr_part *part, struct tr_error *err)
{
    while (part->held_first != NULL) {
        struct tr_kafka_message message = part->held_first->message;
        bool control_read = part->shape_wait_us != 0 && run->control_end_us >= part->shape_wait_us;
        int rc = route(run, part, &message, control_read, err);
        if (rc < 0) {
            pop(run, part);
            atomic_fetch_add(&part->released, 1);
            return rc;
        }
        if (rc == TR_ROUTE_FULL)
            return 1;
        if (rc == TR_ROUTE_SHAPE) {
            rc = begin_shape_wait(run, part, &message, err);
            return rc < 0 || (rc = check_shape_wait(run, part, err)) < 0 ? rc : 2;
        }
        end_shape_wait(run, part);
        pop(run, part);
    }
    return set_paused(run, part, false, err);
}

int tr_run_retry_held(struct tr_run *run, struct tr_error *err)
{
    int blocked = 0;
    if (run->held_count == 0)
        return 0;
    for (size_t i = 0; i < run->parts.count; i++) {
        struct tr_part *part = run->parts.all[i];
        if (part->held_first == NULL)
            continue;
        int rc = retry_part(run, part, err);
        if (rc < 0)
            return rc;
        blocked += rc == 1 && !part->paused;
    }
    return blocked;
}
