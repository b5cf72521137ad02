/* state_text.h - between state.c and state_write.c: whose store this is from now on. */
#ifndef TR_ES_STATE_TEXT_H
#define TR_ES_STATE_TEXT_H

#include "elasticsearch.h"

int tr_es_identify(struct tr_sink *sink, const char *pipeline_id, int generation,
                   struct tr_error *err) TR_MUST_CHECK;

#endif
