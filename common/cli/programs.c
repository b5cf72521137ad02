/* programs.c - see programs.h. */
#include "programs.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* The folder of this program, "" when the system does not say. */
static void own_folder(char *out, size_t size)
{
    ssize_t length = readlink("/proc/self/exe", out, size - 1);
    out[length > 0 ? length : 0] = '\0';
    char *slash = strrchr(out, '/');
    out[slash != NULL ? slash - out : 0] = '\0';
}

static bool is_name(const char *name)
{
    size_t length = strlen(name);
    if (length == 0 || length > 64)
        return false;
    for (; *name != '\0'; name++)
        if (!islower((unsigned char)*name) && !isdigit((unsigned char)*name) && *name != '_')
            return false;
    return true;
}

static bool in_path(const char *program)
{
    const char *path = getenv("PATH");
    for (const char *at = path; at != NULL && *at != '\0';) {
        char full[PATH_MAX];
        const char *end = strchrnul(at, ':');
        int used = snprintf(full, sizeof(full), "%.*s/%s", (int)(end - at), at, program);
        if (used < (int)sizeof(full) && access(full, X_OK) == 0)
            return true;
        at = *end == ':' ? end + 1 : end;
    }
    return false;
}

/* The program's path beside this one; its bare name (for PATH) when it is not there. */
static void find_program(const char *name, char *out, size_t size)
{
    char folder[PATH_MAX];
    own_folder(folder, sizeof(folder));
    int used = snprintf(out, size, "%s/tailrace-%s", folder, name);
    if (folder[0] == '\0' || used >= (int)size || access(out, X_OK) != 0)
        snprintf(out, size, "tailrace-%s", name);
}

bool tr_programs_has(const char *name)
{
    char program[PATH_MAX];
    for (const char *const *ours = tr_program_names; *ours != NULL; ours++)
        if (strcmp(*ours, name) == 0)
            return true;
    if (!is_name(name))
        return false;
    find_program(name, program, sizeof(program));
    return strchr(program, '/') != NULL || in_path(program);
}

static int not_run(const char *name, int number, struct tr_error *err)
{
    if (number == ENOENT)
        return tr_error_set(err, TR_EUSAGE,
                            "tailrace-%s is neither beside this program nor in PATH; install it",
                            name);
    return tr_error_set(err, TR_EIO, "cannot run tailrace-%s: %s", name, strerror(number));
}

int tr_programs_exec(const char *name, char **argv, struct tr_error *err)
{
    char program[PATH_MAX];
    find_program(name, program, sizeof(program));
    argv[0] = program;
    execvp(program, argv);
    return not_run(name, errno, err);
}

/* The child gets the signals back that our frame blocks and ignores. */
static int spawn(const char *name, char **argv, pid_t *child)
{
    char program[PATH_MAX];
    posix_spawnattr_t attributes;
    sigset_t none;
    sigset_t ignored;
    find_program(name, program, sizeof(program));
    argv[0] = program;
    sigemptyset(&none);
    sigemptyset(&ignored);
    sigaddset(&ignored, SIGPIPE);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &ignored);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    int number = posix_spawnp(child, program, NULL, &attributes, argv, environ);
    posix_spawnattr_destroy(&attributes);
    return number;
}

/* The code that gives the exit code back. */
static int code_of_exit(int exit_code)
{
    static const int codes[] = {0,         TR_EUSAGE, TR_ECONFIG, TR_ESOURCE,
                                TR_EKAFKA, TR_ESTORE, TR_ESTATE,  TR_EDIFFERENT};
    size_t count = sizeof(codes) / sizeof(codes[0]);
    return exit_code >= 0 && (size_t)exit_code < count ? codes[exit_code] : TR_EBUG;
}

static int run_status(const char *name, const char *config_path, bool json, struct tr_error *err)
{
    char command[] = "status";
    char config[] = "--config";
    char as_json[] = "--json";
    char *path = strdup(config_path);
    char *argv[] = {NULL, command, config, path, json ? as_json : NULL, NULL};
    pid_t child = 0;
    int status = 0;
    if (path == NULL)
        return tr_error_set(err, TR_ENOMEM, "out of memory");
    fflush(stdout);
    int number = spawn(name, argv, &child);
    free(path);
    if (number != 0)
        return not_run(name, number, err);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFSIGNALED(status))
        return tr_error_set(err, TR_EBUG, "tailrace-%s status: killed by signal %d", name,
                            WTERMSIG(status));
    int exit_code = WEXITSTATUS(status);
    if (exit_code == 0)
        return 0;
    return tr_error_set(err, code_of_exit(exit_code), "tailrace-%s status: exit %d", name,
                        exit_code);
}

/* The program that a section says is part of the pipeline, NULL when there is none. Where there is
 * a source it is captured, with or without settings for that. */
static const char *program_of(const struct tr_node *root, const char *section)
{
    if (strcmp(section, "source") == 0)
        return tr_node_get(root, "capture") == NULL ? "capture" : NULL;
    return tr_programs_has(section) ? section : NULL;
}

static int no_program(const char *config_path, struct tr_error *err)
{
    char names[256] = "";
    size_t length = 0;
    for (const char *const *name = tr_program_names; *name != NULL; name++) {
        int used =
            snprintf(names + length, sizeof(names) - length, "%s%s", length > 0 ? ", " : "", *name);
        length += used > 0 ? (size_t)used : 0;
        if (length >= sizeof(names))
            break;
    }
    return tr_error_set(err, TR_ECONFIG, "%s has no section of a program: %s", config_path, names);
}

int tr_programs_status(const struct tr_node *root, const char *config_path, bool json,
                       struct tr_error *err)
{
    size_t asked = 0;
    for (const struct tr_node *node = root->child; node != NULL; node = node->next) {
        const char *name = program_of(root, node->key);
        if (name == NULL)
            continue;
        if (!json)
            printf("%s%s\n", asked > 0 ? "\n" : "", name);
        (void)run_status(name, config_path, json, err); /* err keeps the first failure */
        asked++;
    }
    return asked > 0 ? err->code : no_program(config_path, err);
}
