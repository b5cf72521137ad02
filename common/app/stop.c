/* stop.c - the shutdown flag and the thread that takes SIGINT and SIGTERM; see app.h. */
#include "stop.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "app.h"
#include "clock.h"

static pthread_once_t stop_once = PTHREAD_ONCE_INIT;
static int stop_fd = -1;
static atomic_bool stopping;

/* Guards wake and its context, and that wake is called once. */
static pthread_mutex_t wake_lock = PTHREAD_MUTEX_INITIALIZER;
static void (*wake_call)(void *context);
static void *wake_context;

static void make_stop_fd(void)
{
    stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (stop_fd < 0)
        abort(); /* no descriptor at the start of the process: nothing would work */
}

int tr_app_stop_fd(void)
{
    pthread_once(&stop_once, make_stop_fd);
    return stop_fd;
}

bool tr_app_stopping(void)
{
    return atomic_load_explicit(&stopping, memory_order_relaxed);
}

void tr_app_stop(void)
{
    uint64_t one = 1;
    if (atomic_exchange(&stopping, true))
        return;
    if (write(tr_app_stop_fd(), &one, sizeof(one)) != (ssize_t)sizeof(one))
        abort(); /* a first write to an eventfd can't fail */
    pthread_mutex_lock(&wake_lock);
    if (wake_call != NULL)
        wake_call(wake_context);
    pthread_mutex_unlock(&wake_lock);
}

void tr_app_on_stop(void (*wake)(void *context), void *context)
{
    pthread_mutex_lock(&wake_lock);
    wake_call = wake;
    wake_context = context;
    /* A stop that began before would be missed. */
    if (wake != NULL && tr_app_stopping())
        wake(context);
    pthread_mutex_unlock(&wake_lock);
}

bool tr_app_sleep_ms(int64_t ms)
{
    int64_t end = tr_clock_mono_us() + ms * 1000;
    struct pollfd stop = {.fd = tr_app_stop_fd(), .events = POLLIN};
    while (!tr_app_stopping()) {
        int64_t left = (end - tr_clock_mono_us() + 999) / 1000;
        if (left <= 0)
            return true;
        (void)poll(&stop, 1, left > 60000 ? 60000 : (int)left);
    }
    return false;
}

/* ---- signals ----------------------------------------------------------------------------------
 */

static pthread_t signal_thread;
static int signal_fd = -1;
static int quit_fd = -1;

/* Ends the process as the signal would have done without us. */
static void die_of(int number)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    signal(number, SIG_DFL);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    raise(number);
}

static void *take_signals(void *unused)
{
    struct pollfd fds[2] = {{.fd = signal_fd, .events = POLLIN}, {.fd = quit_fd, .events = POLLIN}};
    (void)unused;
    for (;;) {
        struct signalfd_siginfo info;
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            abort();
        if (fds[1].revents != 0)
            return NULL;
        if (read(signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
            continue;
        if (tr_app_stopping())
            die_of((int)info.ssi_signo);
        tr_app_stop();
    }
}

int tr_stop_start_signals(struct tr_error *err)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    signal(SIGPIPE, SIG_IGN);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    (void)tr_app_stop_fd();
    signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    quit_fd = eventfd(0, EFD_CLOEXEC);
    if (signal_fd < 0 || quit_fd < 0 ||
        pthread_create(&signal_thread, NULL, take_signals, NULL) != 0)
        return tr_error_set_native(err, TR_EIO, errno, "cannot start the thread for signals");
    return 0;
}

void tr_stop_end_signals(void)
{
    uint64_t one = 1;
    if (write(quit_fd, &one, sizeof(one)) == (ssize_t)sizeof(one))
        pthread_join(signal_thread, NULL);
    close(signal_fd);
    close(quit_fd);
}
