/*
 * killpoint.h - named places where a test makes the process die as by kill -9.
 *
 * TAILRACE_KILL_AT=<point>[:N] in the environment: the Nth passing (default the first) of that
 * point ends the process with SIGKILL. Without the variable a point costs one load. Any thread.
 * Points: capture "before-produce", "after-ack"; consumers "after-apply", "before-dead-letter",
 * "after-commit".
 */
#ifndef TR_KILLPOINT_H
#define TR_KILLPOINT_H

void tr_kill_point(const char *point);

#endif
