#include "title.h"

#include "job.h"
#include "log.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static char *area; /* where the kernel put argv and, right behind it, the environment */
static size_t area_bytes;
static void *copies; /* what argv and environ point to now; kept for the life of the process */

/* The end of the unbroken run of strings that starts at `end`. */
static char *run_end(char *end, char *const *strings)
{
    for (; *strings != NULL; strings++) {
        if (end == NULL || *strings == end)
            end = *strings + strlen(*strings) + 1;
    }
    return end;
}

static size_t bytes_of(char *const *strings, size_t *count)
{
    size_t bytes = 0;
    for (*count = 0; strings[*count] != NULL; (*count)++)
        bytes += strlen(strings[*count]) + 1;
    return bytes;
}

static char *copy_to(char *at, char *const *from, char **to)
{
    for (; *from != NULL; from++, to++) {
        size_t bytes = strlen(*from) + 1;
        memcpy(at, *from, bytes);
        *to = at;
        at += bytes;
    }
    return at;
}

enum err title_init(int argc, char **argv)
{
    if (argc < 1 || area != NULL)
        return ERR_OK;
    size_t arg_count, env_count;
    size_t bytes = bytes_of(argv, &arg_count) + bytes_of(environ, &env_count);
    char *end = run_end(run_end(NULL, argv), environ);

    copies = malloc((env_count + 1) * sizeof(char *) + bytes);
    if (copies == NULL) {
        log_errno("malloc", "environment");
        return ERR_NO_MEMORY;
    }
    char **env = copies, *first = argv[0];
    char *at = copy_to((char *)(env + env_count + 1), argv, argv);
    copy_to(at, environ, env);
    env[env_count] = NULL;
    environ = env;
    area = first;
    area_bytes = (size_t)(end - first);
    return ERR_OK;
}

void title_set(const char *format, ...)
{
    if (area == NULL)
        return;
    char text[256];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    /* The kernel shows the argument area and, once its last byte is no longer NUL, what follows it up to the
     * next NUL: so a title may be longer than the arguments were. */
    memset(area, 0, area_bytes);
    text_copy(area, area_bytes, text, strlen(text));
}

void title_thread(const char *name)
{
    prctl(PR_SET_NAME, name);
}

void child_begin(int parent_pid)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent_pid)
        _exit(EXIT_FAILURE); /* it died before the call above, which then came too late */

    struct sigaction action = {.sa_handler = SIG_DFL};
    for (int number = 1; number < NSIG; number++)
        sigaction(number, &action, NULL); /* refused for SIGKILL, SIGSTOP and two of libc's own */
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}
