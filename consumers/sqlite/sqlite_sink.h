/* sqlite_sink.h - the SQLite read model as a sink; used by the program's main and by tests. */
#ifndef TR_SQLITE_SINK_H
#define TR_SQLITE_SINK_H

#include "sink.h"

extern const struct tr_sink_ops tr_sqlite_sink_ops;

#endif
