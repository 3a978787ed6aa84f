/* As many jobs a second as a fresh instance: what disturbs a round, and what can be said of all of them. */
#include "torture_private.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <sys/times.h>

enum { LINE_BYTES = 512, PATH_BYTES = TORTURE_PATH_BYTES + 32 };

static const struct {
    const char *column, *text;
    int most; /* percent */
} DISTURBANCES[] = {
#define D(name, column, text, most) {column, text, most},
    TORTURE_DISTURBANCES(D)
#undef D
};

/* ------------------------------------------------------------------------------------------ processors */

/* Time as a guest's processor is in `user` already. Interrupts are nobody's: they serve us, too. */
bool processors_parse(const char *line, struct processors *processors)
{
    long long user, nice, system, idle, wait, irq, softirq, steal;
    if (strncmp(line, "cpu ", 4) != 0 || /* that is all; cpu0 is one */
        sscanf(line, "cpu %lld %lld %lld %lld %lld %lld %lld %lld", &user, &nice, &system, &idle, &wait, &irq,
               &softirq, &steal) != 8)
        return false;
    processors->busy = user + nice + system;
    processors->stolen = steal;
    processors->all = processors->busy + idle + wait + irq + softirq + steal;
    return true;
}

void processors_look(const struct instance *instance, struct processors *processors)
{
    char line[LINE_BYTES] = "";
    struct tms own;
    FILE *file = fopen("/proc/stat", "re");
    *processors = (struct processors){0};
    if (file == NULL || fgets(line, sizeof line, file) == NULL || !processors_parse(line, processors))
        *processors = (struct processors){0}; /* then nothing can be said */
    if (file != NULL)
        fclose(file);
    times(&own);
    processors->own = own.tms_utime + own.tms_stime + instance_ticks(instance);
    if (instance->beside != NULL)
        processors->own += instance_ticks(instance->beside);
}

/* All of it, if nobody knows. */
void round_disturb(struct round *round, const struct processors *before, const struct processors *after)
{
    int64_t all = after->all - before->all, busy = after->busy - before->busy, own = after->own - before->own;
    double share = all > 0 ? 100 / (double)all : 0;
    round->disturbances[DISTURBANCE_OTHERS] = all <= 0 ? 100 : busy > own ? (double)(busy - own) * share : 0;
    round->disturbances[DISTURBANCE_STOLEN] = (double)(after->stolen - before->stolen) * share;
}

bool pair_is_disturbed(const struct pair *pair)
{
    bool disturbed = false;
    for (int i = 0; i < DISTURBANCE_COUNT; i++)
        disturbed |= pair->tortured.disturbances[i] > DISTURBANCES[i].most ||
                     pair->fresh.disturbances[i] > DISTURBANCES[i].most;
    return disturbed;
}

/* ------------------------------------------------------------------------------------------ judging */

/* The 97.5 % points of Student's t by degrees of freedom; for more of these the last one, which is a little
 * too careful. */
static double t_point(size_t freedom)
{
    static const double POINTS[] = {12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
                                    2.201,  2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
                                    2.080,  2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042};
    enum { COUNT = sizeof POINTS / sizeof POINTS[0] };
    return POINTS[freedom < COUNT ? freedom - 1 : COUNT - 1];
}

/* A round in which nothing ended counts as one job a second: its logarithm has to be a number. */
static double log_of(const struct round *round)
{
    return log(round->jobs > 1 ? round->jobs : 1);
}

static double log_ratio(const struct pair *pair)
{
    return log_of(&pair->tortured) - log_of(&pair->fresh);
}

/* Of the logarithms, since half as many and twice as many are equally far from as many. */
static void find_interval(struct pairs *pairs)
{
    double sum = 0, squares = 0, count = (double)pairs->used;
    for (size_t i = 0; i < pairs->count; i++)
        if (!pair_is_disturbed(&pairs->at[i]))
            sum += log_ratio(&pairs->at[i]);
    double mean = sum / count;
    for (size_t i = 0; i < pairs->count; i++)
        if (!pair_is_disturbed(&pairs->at[i]))
            squares += pow(log_ratio(&pairs->at[i]) - mean, 2);
    double half = t_point(pairs->used - 1) * sqrt(squares / (count - 1) / count);
    pairs->ratio = exp(mean);
    pairs->low = exp(mean - half);
    pairs->high = exp(mean + half);
}

void pairs_judge(struct pairs *pairs, struct verdict *verdict)
{
    pairs->used = 0;
    for (size_t i = 0; i < pairs->count; i++)
        pairs->used += !pair_is_disturbed(&pairs->at[i]);
    if (pairs->used < 2)
        return;
    find_interval(pairs);
    if (pairs->used >= TORTURE_PAIRS_NEEDED && pairs->high * 100 < TORTURE_PAIRS_PERCENT)
        verdict_add(verdict, FAULT_SLOWER, "%.3f of a fresh one's throughput, with 95 %% from %.3f to %.3f",
                    pairs->ratio, pairs->low, pairs->high);
}

/* ------------------------------------------------------------------------------------------ writing */

void pairs_write(const struct pairs *pairs, const char *folder)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/pairs.csv", folder);
    FILE *file = fopen(path, "we");
    if (file == NULL) {
        fprintf(stderr, "forkpool: torture: %s: %s\n", path, strerror(errno));
        return;
    }
    fputs("pair,instance,order,jobs_per_second", file);
    for (int i = 0; i < DISTURBANCE_COUNT; i++)
        fprintf(file, ",%s", DISTURBANCES[i].column);
    fputs(",counts\n", file);
    for (size_t at = 0; at < 2 * pairs->count; at++) {
        const struct pair *pair = &pairs->at[at / 2];
        bool fresh = at % 2 != 0;
        const struct round *round = fresh ? &pair->fresh : &pair->tortured;
        fprintf(file, "%zu,%s,%d,%.1f", at / 2 + 1, fresh ? "fresh" : "tortured",
                fresh == pair->fresh_first ? 1 : 2, round->jobs);
        for (int i = 0; i < DISTURBANCE_COUNT; i++)
            fprintf(file, ",%.1f", round->disturbances[i]);
        fprintf(file, ",%d\n", !pair_is_disturbed(pair));
    }
    fclose(file);
}

void pairs_report(struct buf *out, const struct pairs *pairs)
{
    buf_printf(out, "%-27s", "throughput back");
    if (pairs->count == 0) {
        buf_put(out, "not compared with a fresh instance\n");
        return;
    }
    if (pairs->used < TORTURE_PAIRS_NEEDED)
        buf_printf(out, "nothing can be said without %d undisturbed pairs of rounds; ", TORTURE_PAIRS_NEEDED);
    else
        buf_printf(out, "%.3f of a fresh instance's, with 95 %% from %.3f to %.3f; ", pairs->ratio,
                   pairs->low, pairs->high);
    buf_printf(out, "%zu used, %zu left out\n%-27s(left out: more of the processors for", pairs->used,
               pairs->count - pairs->used, "");
    for (int i = 0; i < DISTURBANCE_COUNT; i++)
        buf_printf(out, "%s %s than %d %%", i == 0 ? "" : ", or for", DISTURBANCES[i].text,
                   DISTURBANCES[i].most);
    buf_put(out, ")\n");
}
