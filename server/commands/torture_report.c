/* The page at the end. */
#include "torture_private.h"

#include <inttypes.h>
#include <string.h>

static double to_ms(int64_t ns)
{
    return (double)ns / 1e6;
}

static double to_mib(int64_t bytes)
{
    return (double)bytes / 1048576;
}

static void put_command_line(struct buf *out, const struct torture_options *options)
{
    buf_printf(out,
               "forkpool torture --minutes %g --seed %" PRIu64
               " --workers %u --mix %s --durability %s --pairs %u",
               options->minutes, options->seed, options->workers, torture_mix_texts[options->mix],
               durability_text(options->durability), options->pairs);
    if (options->jobs > 0)
        buf_printf(out, " --jobs %u", options->jobs);
    if (options->plugin != NULL)
        buf_printf(out, " --plugin %s", options->plugin);
    buf_put(out, "\n");
}

static void put_counts(struct buf *out, const struct verdict *verdict, const struct figures *figures)
{
    buf_printf(
        out,
        "\nrequests   %zu asked, %zu acknowledged, %zu refused or returned as not unique, %zu cancels\n"
        "           %zu times no answer, %zu times repeated with the same key\n"
        "jobs       %zu in the store: %zu succeeded, %zu failed, %zu cancelled\n"
        "           %zu of durability memory; %zu of these gone when everything died, as they may be\n"
        "attempts   %zu begun, %zu records torn by a kill\n"
        "kills      %u in %.0f s; the server was started %u times\n",
        verdict->asked, verdict->acknowledged, verdict->refused, verdict->cancels, verdict->unknown,
        verdict->repeated, verdict->rows, verdict->ends[JOB_SUCCEEDED], verdict->ends[JOB_FAILED],
        verdict->ends[JOB_CANCELLED], verdict->memory, verdict->gone, verdict->starts, verdict->torn,
        figures->kills, figures->seconds, figures->lives);
}

static void put_kills(struct buf *out, const struct verdict *verdict)
{
    buf_printf(out, "\n%-12s", "");
    for (int blow = 0; blow < BLOW_COUNT; blow++)
        buf_printf(out, "%8s", torture_blow_texts[blow]);
    for (int victim = 0; victim < VICTIM_COUNT; victim++) {
        buf_printf(out, "\n%-12s", torture_victim_texts[victim]);
        for (int blow = 0; blow < BLOW_COUNT; blow++)
            buf_printf(out, "%8zu", verdict->kills[victim][blow]);
    }
    buf_put(out, "\n");
}

/* aim_ms 0: none is set. */
static void put_times(struct buf *out, const char *what, struct samples *samples, double aim_ms)
{
    if (samples->count == 0) {
        buf_printf(out, "%-26s       –\n", what);
        return;
    }
    double p99 = to_ms(samples_rank(samples, 99));
    buf_printf(out, "%-26s%8zu%9.1f%9.1f%9.1f", what, samples->count, to_ms(samples_rank(samples, 50)), p99,
               to_ms(samples_rank(samples, 100)));
    if (aim_ms > 0)
        buf_printf(out, "   p99 %.0f: %s", aim_ms, p99 <= aim_ms ? "reached" : "missed");
    buf_put(out, "\n");
}

static void put_figures(struct buf *out, struct verdict *verdict, const struct figures *figures)
{
    const struct holding *before = &figures->held_before, *after = &figures->held_after;
    buf_printf(out, "\n%-26s%8s%9s%9s%9s   aim\n", "recovery in ms", "count", "p50", "p99", "max");
    put_times(out, "job queued again", &verdict->requeued, 20);
    put_times(out, "job started again", &verdict->again, 0);
    put_times(out, "pool full again", figures->pool, 100);
    put_times(out, "front ready again", figures->front, 500);
    put_times(out, "everything ready again", figures->start, 0);
    buf_printf(out,
               "\njobs a second              %.0f with %.1f kills a second; %.0f without before, %.0f after\n"
               "descriptors                front %d → %d, supervisor %d → %d\n"
               "resident MiB               front %.1f → %.1f, supervisor %.1f → %.1f, a worker %.1f → %.1f\n",
               figures->during, figures->kills / figures->seconds, figures->before, figures->after,
               before->front_fds, after->front_fds, before->supervisor_fds, after->supervisor_fds,
               to_mib(before->front_rss), to_mib(after->front_rss), to_mib(before->supervisor_rss),
               to_mib(after->supervisor_rss), to_mib(before->worker_rss), to_mib(after->worker_rss));
}

static void put_over_time(struct buf *out, const struct verdict *verdict)
{
    static const struct {
        const char *label;
        int unit;
    } GAUGES[] = {
#define G(name, text, label, unit, ...) {label, unit},
        TORTURE_GAUGES(G)
#undef G
    };
    buf_printf(out, "\nover time: the greatest in each tenth of the kills, of %zu samples\n",
               verdict->samples);
    for (int gauge = 0; verdict->samples > 0 && gauge < GAUGE_COUNT; gauge++) {
        buf_printf(out, "%-26s", GAUGES[gauge].label);
        for (size_t tenth = 0; tenth < TENTHS; tenth++)
            buf_printf(out, "%8.*f", GAUGES[gauge].unit == 1 ? 0 : 1,
                       (double)verdict->over_time[gauge][tenth] / GAUGES[gauge].unit);
        buf_put(out, "\n");
    }
}

static void put_faults(struct buf *out, const struct verdict *verdict)
{
    buf_printf(out, "\nviolations\n");
    for (int fault = 0; fault < FAULT_COUNT; fault++) {
        size_t count = verdict->faults[fault];
        buf_printf(out, "%8zu  %s", count, torture_fault_texts[fault]);
        if (count > 0)
            buf_printf(out, ": %s", torture_fault_meanings[fault]);
        buf_put(out, "\n");
        for (size_t i = 0; i < count && i < TORTURE_KEPT; i++)
            buf_printf(out, "          - %s\n", verdict->examples[fault][i]);
    }
}

void report_write(struct buf *out, const struct torture_options *options, struct verdict *verdict,
                  const struct figures *figures)
{
    size_t total = verdict_total(verdict);
    buf_put(out, "forkpool " FORKPOOL_VERSION "\n");
    put_command_line(out, options);
    put_counts(out, verdict, figures);
    put_kills(out, verdict);
    put_figures(out, verdict, figures);
    pairs_report(out, figures->pairs);
    put_over_time(out, verdict);
    put_faults(out, verdict);
    buf_printf(out, "\n%s\n", total == 0 ? "Nothing was violated." : "PROMISES WERE VIOLATED.");
}
