/* redis_sink.h - the Redis cache as a sink; used by the program's main and by tests. */
#ifndef TR_REDIS_SINK_H
#define TR_REDIS_SINK_H

#include "sink.h"

extern const struct tr_sink_ops tr_redis_sink_ops;

#endif
