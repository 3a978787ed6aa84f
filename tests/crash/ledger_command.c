/* note: the command of the walk over all crash points. */
#include "args.h"
#include "ledger.h"

#include <sys/stat.h>

static char args[65536];

int main(void)
{
    size_t bytes = fread(args, 1, sizeof args - 1, stdin);
    const char *attempt = getenv("FORKPOOL_ATTEMPT");
    struct ledger ledger = {.id = getenv("FORKPOOL_JOB_ID")};
    struct stat inputs = {0};
    double ms = 0, pad = 0;
    if (attempt == NULL || ledger.id == NULL ||
        (getenv("FORKPOOL_JOB_INPUTS") != NULL && fstat(4, &inputs) != 0))
        return 65;
    ledger.attempt = (unsigned)strtoul(attempt, NULL, 10);
    (void)args_number(args, bytes, "ms", &ms);
    (void)args_number(args, bytes, "bytes", &pad);
    ledger_begin(&ledger);
    ledger_sleep_ms(ms);
    char *result = ledger_end(&ledger, (size_t)inputs.st_size, (size_t)pad);
    puts(result);
    free(result);
    return 0;
}
