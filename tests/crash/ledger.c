/* ledger: the plugin of the walk over all crash points. */
#include "forkpool.h"

#include "args.h"
#include "ledger.h"

#include <signal.h>

static double number(const struct fp_job *job, const char *name)
{
    double value = 0;
    (void)args_number(job->args, job->args_bytes, name, &value);
    return value;
}

static int run(struct fp_job *job)
{
    struct ledger ledger = {.id = job->id, .attempt = job->attempt};
    size_t inputs;
    (void)fp_inputs(job, &inputs);
    ledger_begin(&ledger);
    double ms = number(job, "once") > 0 && ledger.again ? 0 : number(job, "ms");
    int gate = (int)number(job, "gate");
    for (double slept = 0; slept < ms && !ledger_gate_open(gate); slept += 5) {
        if (fp_cancelled(job) && number(job, "deaf") == 0) {
            close(ledger.lock);
            return fp_error(job, "stopped", "asked to stop");
        }
        ledger_sleep_ms(5);
    }
    if (job->attempt <= number(job, "crash"))
        raise(SIGSEGV);
    if (job->attempt <= number(job, "fail")) {
        close(ledger.lock);
        return fp_error(job, "refused", "this attempt fails");
    }
    char *result = ledger_end(&ledger, inputs, (size_t)number(job, "bytes"));
    int answer = fp_result(job, result, strlen(result));
    free(result);
    return answer;
}

FP_PLUGIN({.name = "ledger", .description = "writes into the ledger of the walk", .run = run});
