/* elasticsearch_sink.h - the Elasticsearch (and OpenSearch) sink's table of operations. */
#ifndef TR_ELASTICSEARCH_SINK_H
#define TR_ELASTICSEARCH_SINK_H

#include "sink.h"

extern const struct tr_sink_ops tr_elasticsearch_sink_ops;

#endif
