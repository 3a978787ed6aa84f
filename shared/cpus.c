#include "cpus.h"

static const char *read_cpu(const char *text, unsigned *cpu)
{
    const char *at = text;
    for (*cpu = 0; *at >= '0' && *at <= '9' && *cpu < CPU_SETSIZE; at++)
        *cpu = *cpu * 10 + (unsigned)(*at - '0');
    return at == text || *cpu >= CPU_SETSIZE ? NULL : at;
}

enum err cpus_parse(const char *text, cpu_set_t *cpus)
{
    CPU_ZERO(cpus);
    for (;;) {
        unsigned first, last;
        text = read_cpu(text, &first);
        last = first;
        if (text != NULL && *text == '-')
            text = read_cpu(text + 1, &last);
        if (text == NULL || last < first)
            return ERR_CONFIG;
        for (unsigned cpu = first; cpu <= last; cpu++)
            CPU_SET(cpu, cpus);
        if (*text == '\0')
            return ERR_OK;
        if (*text++ != ',')
            return ERR_CONFIG;
    }
}
