/* crash: takes its worker down, to see that nothing else happens.
 *
 *     {"signal": "SEGV", "until_attempt": 2}
 *
 * signal: SEGV (a real one, by a wild pointer), ABRT, KILL or "exit"; from attempt until_attempt on it
 * succeeds.
 */
#include "forkpool.h"

#include "args.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Without the sanitizer's check, which would only report it. */
__attribute__((no_sanitize("undefined"))) static void write_nowhere(void)
{
    static int *volatile nowhere; /* volatile: the compiler must not see that it is NULL */
    *nowhere = 1;
}

static int run(struct fp_job *job)
{
    char how[16] = "SEGV";
    double until = 0;
    if (args_number(job->args, job->args_bytes, "until_attempt", &until) == ARGS_WRONG)
        return fp_fail(job, "invalid_arguments", "until_attempt must be a number");
    if (until > 0 && job->attempt >= until) {
        char result[64];
        int bytes = snprintf(result, sizeof result, "{\"attempt\":%u}", (unsigned)job->attempt);
        return fp_result(job, result, (size_t)bytes);
    }
    enum args_found found = args_string(job->args, job->args_bytes, "signal", how, sizeof how);
    fp_log(job, "about to crash", 14);
    if (found != ARGS_WRONG && strcmp(how, "SEGV") == 0)
        write_nowhere();
    else if (strcmp(how, "ABRT") == 0)
        abort();
    else if (strcmp(how, "KILL") == 0)
        kill(getpid(), SIGKILL);
    else if (strcmp(how, "exit") == 0)
        _exit(3);
    return fp_fail(job, "invalid_arguments", "signal must be SEGV, ABRT, KILL or exit");
}

FP_PLUGIN(
    {.name = "crash",
     .description =
         "crashes its worker: {\"signal\": \"SEGV\" | \"ABRT\" | \"KILL\" | \"exit\", \"until_attempt\": 2}",
     .run = run});
