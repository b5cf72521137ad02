/*
 * to_file.h - batches into a file or to stdout: the events, one a line. Publishing thread only.
 *
 * The batch's text is the output, byte for byte; it is written with as many calls as the system
 * takes for it. Nothing is buffered behind write(), so the end of a batch is on its way at once.
 */
#ifndef TR_TO_FILE_H
#define TR_TO_FILE_H

#include "batch.h"

struct tr_to_file {
    int fd;
    bool owned;
    char name[4096];
};

/* `output` is "stdout" or "file:PATH" (appended to). */
int tr_to_file_open(struct tr_to_file *to, const char *output, struct tr_error *err) TR_MUST_CHECK;
void tr_to_file_close(struct tr_to_file *to);
/* TR_ESTORE naming the file (a full disk, say); TR_ESTOPPED when stdout's reader has gone. */
int tr_to_file_batch(struct tr_to_file *to, const struct tr_batch *batch,
                     struct tr_error *err) TR_MUST_CHECK;

#endif
