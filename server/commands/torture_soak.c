/* What the server holds over time: written down while it is killed, judged afterwards. */
#include "torture_private.h"

#include "clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

enum {
    SAMPLES_WANTED = 200,
    EVERY_LEAST_MS = 50,
    EVERY_MOST_MS = 1000,
    SLOT_ARENA_MAX = 16384, /* what the arguments of one job take at most */
    JUDGED_MIN = 100,       /* fewer samples show nothing */
    FILE_BYTES = TORTURE_PATH_BYTES + 32
};

static const char NAME[] = "samples.csv";

static const struct {
    int rank;
    int64_t more, percent, most;
} ALLOWED[] = {
#define G(name, text, label, unit, rank, more, percent, most) {rank, more, percent, most},
    TORTURE_GAUGES(G)
#undef G
};

/* ------------------------------------------------------------------------------------------ sampling */

static int64_t file_bytes(const struct instance *instance, const char *suffix)
{
    char path[FILE_BYTES];
    struct stat status;
    snprintf(path, sizeof path, "%s/state/forkpool.db%s", instance->folder, suffix);
    return stat(path, &status) == 0 ? status.st_size : 0;
}

/* What is not there now, because somebody has just killed it, is -1. */
static int64_t if_any(int64_t value)
{
    return value > 0 ? value : -1;
}

static int64_t beyond(int64_t value, int64_t bound)
{
    return value > bound ? value - bound : 0;
}

/* Connections of the load that the front still has: how many it needs depends on the tide, not on time. */
static int connections(const struct load *load)
{
    int count = 0;
    for (size_t i = 0; i <= LANES; i++) {
        char byte;
        int fd = load->lanes[i].client.fd;
        ssize_t bytes = fd < 0 ? 0 : recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
        count += bytes > 0 || (fd >= 0 && bytes < 0 && errno == EAGAIN);
    }
    return count;
}

static void take_sample(const struct soak *soak, const struct load *load, int64_t values[GAUGE_COUNT])
{
    const struct report_card *card = &load->card;
    struct holding holding;
    int64_t store = file_bytes(soak->instance, ""), log = file_bytes(soak->instance, "-wal");
    instance_look(soak->instance, &holding);
    bool up = holding.front_fds > 0; /* without a front the supervisor may not be more than our fork yet */
    values[GAUGE_FRONT_FDS] = up ? if_any(holding.front_fds - connections(load)) : -1;
    values[GAUGE_SUPERVISOR_FDS] = up ? holding.supervisor_fds : -1;
    values[GAUGE_FRONT_RSS] = if_any(holding.front_rss);
    values[GAUGE_FRONT_OWN] = if_any(holding.front_own);
    values[GAUGE_SUPERVISOR_RSS] = up ? holding.supervisor_rss : -1;
    values[GAUGE_WORKER_RSS] = if_any(holding.worker_rss);
    values[GAUGE_WAL] = log;
    values[GAUGE_STORE] = store;
    values[GAUGE_ROW] = load->acked == 0 ? -1 : store / load->acked;
    values[GAUGE_OPEN] = card->open;
    values[GAUGE_SLOTS] = card->slots_used;
    values[GAUGE_SPARE] = beyond(card->slots_used, card->open);
    values[GAUGE_ARENA] = card->arena_used;
    values[GAUGE_ASTRAY] = beyond(card->arena_used, card->slots_used * SLOT_ARENA_MAX);
}

bool soak_init(struct soak *soak, const struct instance *instance)
{
    char path[FILE_BYTES];
    double every = instance->options->minutes * 60000 / SAMPLES_WANTED;
    *soak = (struct soak){.instance = instance};
    soak->every_ms = every < EVERY_LEAST_MS  ? EVERY_LEAST_MS
                     : every > EVERY_MOST_MS ? EVERY_MOST_MS
                                             : (int64_t)every;
    snprintf(path, sizeof path, "%s/%s", instance->folder, NAME);
    soak->file = fopen(path, "ae");
    if (soak->file == NULL) {
        fprintf(stderr, "forkpool: torture: %s: %s\n", path, strerror(errno));
        return false;
    }
    fputs("seconds", soak->file);
    for (int gauge = 0; gauge < GAUGE_COUNT; gauge++)
        fprintf(soak->file, ",%s", torture_gauge_texts[gauge]);
    fputs("\n", soak->file);
    return true;
}

void soak_turn(struct soak *soak, const struct load *load)
{
    int64_t values[GAUGE_COUNT], now = clock_mono_ns();
    if (now < soak->next_ns || soak->instance->supervisor == 0)
        return;
    if (soak->since_ns == 0)
        soak->since_ns = now;
    soak->next_ns = now + soak->every_ms * NS_PER_MS;
    take_sample(soak, load, values);
    fprintf(soak->file, "%.3f", (double)(now - soak->since_ns) / 1e9);
    for (int gauge = 0; gauge < GAUGE_COUNT; gauge++)
        fprintf(soak->file, ",%" PRId64, values[gauge]);
    fputs("\n", soak->file);
    fflush(soak->file);
}

void soak_fini(struct soak *soak)
{
    if (soak->file != NULL)
        fclose(soak->file);
}

/* ------------------------------------------------------------------------------------------ judging */

/* By gauge; as many values in each, -1 where there was nothing to see. */
struct series {
    struct samples gauges[GAUGE_COUNT];
};

static enum err read_series(const char *folder, struct series *series)
{
    char path[FILE_BYTES], line[1024], *at;
    snprintf(path, sizeof path, "%s/%s", folder, NAME);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return ERR_SYSTEM;
    while (fgets(line, sizeof line, file) != NULL) {
        strtod(line, &at);
        for (int gauge = 0; gauge < GAUGE_COUNT && at != line; gauge++)
            samples_add(&series->gauges[gauge], *at == ',' ? strtoll(at + 1, &at, 10) : -1);
    }
    bool bad = ferror(file) != 0;
    fclose(file);
    return bad ? ERR_SYSTEM : ERR_OK;
}

/* Of those of that tenth that saw something; -1 if none did. */
static int64_t rank_of_tenth(const struct samples *samples, size_t tenth, int percent)
{
    struct samples seen = {0};
    int64_t rank = -1;
    for (size_t i = samples->count * tenth / TENTHS; i < samples->count * (tenth + 1) / TENTHS; i++)
        if (samples->at[i] >= 0)
            samples_add(&seen, samples->at[i]);
    if (seen.count > 0)
        rank = samples_rank(&seen, percent);
    samples_fini(&seen);
    return rank;
}

/* The first tenth is that of warming up. */
static void judge_growth(const struct samples *samples, int gauge, struct verdict *verdict)
{
    int rank = ALLOWED[gauge].rank;
    int64_t before = rank_of_tenth(samples, 1, rank), after = rank_of_tenth(samples, TENTHS - 1, rank);
    int64_t more = ALLOWED[gauge].more + before * ALLOWED[gauge].percent / 100;
    if (ALLOWED[gauge].more >= 0 && before >= 0 && after > before + more)
        verdict_add(verdict, FAULT_GROWN,
                    "%s: %" PRId64 " in the second tenth, %" PRId64 " in the last, %" PRId64
                    " more are allowed",
                    torture_gauge_texts[gauge], before, after, more);
}

static void judge_most(int gauge, struct verdict *verdict)
{
    int64_t most = -1;
    for (size_t tenth = 0; tenth < TENTHS; tenth++)
        if (verdict->over_time[gauge][tenth] > most)
            most = verdict->over_time[gauge][tenth];
    if (ALLOWED[gauge].most >= 0 && most > ALLOWED[gauge].most)
        verdict_add(verdict, FAULT_GROWN, "%s: %" PRId64 ", and at most %" PRId64 " are allowed",
                    torture_gauge_texts[gauge], most, ALLOWED[gauge].most);
}

enum err soak_check(const char *folder, struct verdict *verdict)
{
    static struct series series;
    enum err err = read_series(folder, &series);
    for (int gauge = 0; gauge < GAUGE_COUNT; gauge++) {
        struct samples *samples = &series.gauges[gauge];
        for (size_t tenth = 0; tenth < TENTHS; tenth++)
            verdict->over_time[gauge][tenth] = rank_of_tenth(samples, tenth, 100);
        verdict->samples = samples->count;
        if (samples->count >= JUDGED_MIN)
            judge_growth(samples, gauge, verdict);
        judge_most(gauge, verdict);
        samples_fini(samples);
    }
    return err;
}
