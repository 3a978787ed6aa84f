#include "kind.h"

#include <errno.h>
#include <sys/prctl.h>
#include <sys/resource.h>

static int set_limit(__rlimit_resource_t what, int64_t soft, int64_t hard)
{
    struct rlimit now;
    if (getrlimit(what, &now) != 0)
        return errno;
    /* Never above what the server itself was given: only root may raise a hard limit. */
    rlim_t ceiling = now.rlim_max;
    struct rlimit wanted = {.rlim_cur = (rlim_t)soft < ceiling ? (rlim_t)soft : ceiling,
                            .rlim_max = (rlim_t)hard < ceiling ? (rlim_t)hard : ceiling};
    return setrlimit(what, &wanted) == 0 ? 0 : errno;
}

int limits_apply(const struct task *task)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return errno;
    int fault = set_limit(RLIMIT_CORE, 0, 0);
    if (fault == 0 && task->limit_cpu_ms >= 0) {
        /* Whole seconds only: SIGXCPU at the limit, rounded up, SIGKILL a second later. */
        int64_t seconds = (task->limit_cpu_ms + 999) / 1000;
        fault = set_limit(RLIMIT_CPU, seconds, seconds + 1);
    }
    if (fault == 0 && task->limit_files >= 0)
        fault = set_limit(RLIMIT_NOFILE, task->limit_files, task->limit_files);
    if (fault == 0 && task->limit_memory_bytes >= 0)
        fault = set_limit(RLIMIT_AS, task->limit_memory_bytes, task->limit_memory_bytes);
    return fault;
}
