/* to_file.c - see to_file.h. */
#include "to_file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

int tr_to_file_open(struct tr_to_file *to, const char *output, struct tr_error *err)
{
    static const char prefix[] = "file:";
    *to = (struct tr_to_file){.fd = STDOUT_FILENO};
    if (strcmp(output, "stdout") == 0) {
        snprintf(to->name, sizeof(to->name), "stdout");
        return 0;
    }
    if (strncmp(output, prefix, sizeof(prefix) - 1) != 0 || output[sizeof(prefix) - 1] == '\0')
        return tr_error_set(err, TR_EUSAGE, "--output is stdout or file:PATH, not \"%s\"", output);
    snprintf(to->name, sizeof(to->name), "%s", output + sizeof(prefix) - 1);
    to->fd = open(to->name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (to->fd < 0)
        return tr_error_set_native(err, TR_ESTORE, errno, "output file %s: %s", to->name,
                                   strerror(errno));
    to->owned = true;
    return 0;
}

void tr_to_file_close(struct tr_to_file *to)
{
    if (to->owned)
        close(to->fd);
    to->owned = false;
}

static int write_failed(const struct tr_to_file *to, size_t left, struct tr_error *err)
{
    if (errno == EPIPE && !to->owned)
        return tr_error_set(err, TR_ESTOPPED, "stdout's reader has gone");
    return tr_error_set_native(err, TR_ESTORE, errno,
                               "output file %s: %s, %zu bytes of a batch are not written", to->name,
                               strerror(errno), left);
}

int tr_to_file_batch(struct tr_to_file *to, const struct tr_batch *batch, struct tr_error *err)
{
    const char *at = batch->text.data;
    size_t left = batch->text.length;
    while (left > 0) {
        ssize_t n = write(to->fd, at, left);
        if (n >= 0) {
            at += n;
            left -= (size_t)n;
        } else if (errno == EAGAIN) {
            /* stdout may be a pipe that somebody set to non-blocking. */
            struct pollfd wait = {.fd = to->fd, .events = POLLOUT};
            (void)poll(&wait, 1, 100);
        } else if (errno != EINTR) {
            return write_failed(to, left, err);
        }
    }
    return 0;
}
