/* stop.h - app.c's side of the shutdown: the thread for signals. Both by the main thread. */
#ifndef TR_STOP_H
#define TR_STOP_H

#include "error.h"

/* Blocks SIGINT and SIGTERM in the caller and all threads made later, and takes them. */
int tr_stop_start_signals(struct tr_error *err) TR_MUST_CHECK;
void tr_stop_end_signals(void);

#endif
