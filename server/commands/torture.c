#include "torture.h"

#include "clock.h"
#include "log.h"
#include "torture_attempt.h"
#include "torture_private.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum {
    EXIT_WRONG_USE = 64,
    EXIT_AGAIN = 75,
    EXIT_FOR_GOOD = 65,
    READY_S = 20,
    IDLE_S = 10,         /* for slots, memory and processes to be given back after that */
    SETTLE_S = 90,       /* for all jobs to end once the kills have stopped */
    TURN_MS = 2,         /* so closely is looked at what recovers */
    CALM_LEAST_MS = 500, /* without kills, before and after: a twelfth of the time with them */
    CALM_MOST_MS = 10000,
    ROUND_LEAST_MS = 250, /* of the comparison with a fresh instance: half a second for each minute */
    ROUND_MOST_MS = 2000,
    FLOW_PART = 10, /* so much of a round passes before it is measured */
    CARD_S = 1,     /* for an answer that says how many jobs have ended by then */
    PAIRS_UNSAID = PAIRS_MAX + 1,
    FDS_MORE = 8,       /* descriptors more than before that are no leak */
    RSS_MORE = 32 << 20 /* bytes, likewise, beyond half as much again */
};

static const char USAGE[] =
    "usage: forkpool torture [--minutes N] [--seed S] [--jobs N] [--workers N]\n"
    "                        [--mix all|workers|front|everything] [--durability full|process]\n"
    "                        [--pairs N] [--plugin FILE] [--keep FOLDER]\n";

/* ------------------------------------------------------------------------------------------ an attempt */

/* Arguments on standard input, the nonce as the result. */
int torture_attempt_main(void)
{
    static char args[ORDER_BYTES + 2], result[ORDER_BYTES]; /* the last byte read shows that there is more */
    const char *number = getenv("FORKPOOL_ATTEMPT");
    size_t bytes = fread(args, 1, sizeof args - 1, stdin);
    args[bytes] = '\0';
    struct torture_attempt attempt = {.id = getenv("FORKPOOL_JOB_ID"),
                                      .args = args,
                                      .attempt = number != NULL ? (unsigned)strtoul(number, NULL, 10) : 0,
                                      .worker = (int)getppid()};
    int64_t work_ms = strtol(args + strcspn(args, " "), NULL, 10);
    if (work_ms >= DEAF_MS)
        signal(SIGTERM, SIG_IGN);
    enum torture_end end = torture_attempt_run(getenv(TORTURE_FOLDER), &attempt);
    if (end == TORTURE_DONE) {
        torture_result_write(&attempt, result);
        puts(result);
    }
    return end == TORTURE_DONE ? EXIT_SUCCESS : end == TORTURE_AGAIN ? EXIT_AGAIN : EXIT_FOR_GOOD;
}

/* ------------------------------------------------------------------------------------------ command line */

static int refuse(const char *flag, const char *value, const char *right)
{
    if (value == NULL)
        fprintf(stderr, "forkpool: torture: %s %s\n%s", flag, right, USAGE);
    else
        fprintf(stderr, "forkpool: torture: %s: \"%s\" is not %s\n%s", flag, value, right, USAGE);
    return EXIT_WRONG_USE;
}

static bool read_whole(const char *text, uint64_t least, uint64_t most, uint64_t *value)
{
    char *end;
    errno = 0;
    *value = strtoull(text, &end, 10);
    return errno == 0 && end != text && *end == '\0' && text[0] != '-' && *value >= least && *value <= most;
}

static int take_flag(struct torture_options *options, const char *flag, const char *value)
{
    uint64_t number = 0;
    char *end;
    if (strcmp(flag, "--minutes") == 0) {
        options->minutes = strtod(value, &end);
        if (end == value || *end != '\0' || !(options->minutes > 0 && options->minutes <= 10000))
            return refuse(flag, value, "a number of minutes above 0, up to 10000 (0.5, say)");
    } else if (strcmp(flag, "--seed") == 0) {
        if (!read_whole(value, 0, UINT64_MAX, &options->seed))
            return refuse(flag, value, "a whole number, 0 or more");
    } else if (strcmp(flag, "--jobs") == 0) {
        if (!read_whole(value, 1, 10000000, &number))
            return refuse(flag, value, "a whole number from 1 to 10000000");
        options->jobs = (unsigned)number;
    } else if (strcmp(flag, "--workers") == 0) {
        if (!read_whole(value, 1, 64, &number))
            return refuse(flag, value, "a whole number from 1 to 64");
        options->workers = (unsigned)number;
    } else if (strcmp(flag, "--pairs") == 0) {
        if (!read_whole(value, 0, PAIRS_MAX, &number))
            return refuse(flag, value, "a whole number from 0 to 1000");
        options->pairs = (unsigned)number;
    } else if (strcmp(flag, "--mix") == 0) {
        options->mix = (enum torture_mix)torture_find(torture_mix_texts, MIX_COUNT, value);
        if (options->mix == MIX_COUNT)
            return refuse(flag, value, "all, workers, front or everything");
    } else if (strcmp(flag, "--durability") == 0) {
        if (!durability_parse(value, &options->durability) || options->durability == DURABILITY_MEMORY)
            return refuse(flag, value, "full or process");
    } else if (strcmp(flag, "--keep") == 0) {
        options->keep = value;
    } else if (strcmp(flag, "--plugin") == 0) {
        options->plugin = value;
        if (access(value, R_OK) != 0)
            return refuse(flag, value, "a file that can be read");
    } else {
        return refuse(flag, NULL, "is not understood");
    }
    return EXIT_SUCCESS;
}

/* --flag VALUE or --flag=VALUE. */
static int read_flags(int argc, char *const *argv, struct torture_options *options)
{
    int status = EXIT_SUCCESS;
    for (int i = 0; i < argc && status == EXIT_SUCCESS; i++) {
        char flag[32];
        const char *equals = strchr(argv[i], '='), *value = equals != NULL ? equals + 1 : NULL;
        snprintf(flag, sizeof flag, "%.*s", equals != NULL ? (int)(equals - argv[i]) : 31, argv[i]);
        if (value == NULL && i + 1 < argc)
            value = argv[++i];
        status = value == NULL ? refuse(flag, NULL, "is not understood, or has no value")
                               : take_flag(options, flag, value);
    }
    return status;
}

/* ------------------------------------------------------------------------------------------ the run */

struct run {
    struct torture_options options;
    struct instance instance, fresh;       /* fresh: for comparison, at the end */
    struct load load, fresh_load, *loaded; /* loaded: that of these which makes requests now */
    struct killer killer;
    struct soak soak;
    struct verdict verdict;
    struct figures figures;
    struct pairs pairs;
    int64_t flow_ns;                  /* since when is measured */
    char program[TORTURE_PATH_BYTES]; /* the plugin's real path */
    int64_t shown_ns;
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
    interrupted = number;
}

/* One line on a terminal, nothing elsewhere. */
static void show(struct run *run, const char *phase, int64_t left_ns)
{
    int64_t now = clock_mono_ns();
    if (now - run->shown_ns < 200 * NS_PER_MS || !isatty(STDERR_FILENO))
        return;
    run->shown_ns = now;
    fprintf(stderr, "\r\033[Kforkpool: torture: %s, %d s left: %u jobs, %u kills, %zu violations", phase,
            (int)(left_ns / NS_PER_SEC), run->load.acked, run->killer.kills, verdict_total(&run->verdict));
}

/* Turns for that long, or until `over` (NULL: never). True if it was over. */
static bool turn_until(struct run *run, const char *phase, double seconds, bool strike,
                       bool (*over)(struct run *))
{
    int64_t end_ns = clock_mono_ns() + (int64_t)(seconds * 1e9), now;
    while ((now = clock_mono_ns()) < end_ns) {
        if (over != NULL && over(run))
            return true;
        load_turn(run->loaded, TURN_MS);
        killer_turn(&run->killer, strike, &run->verdict);
        if (strike)
            soak_turn(&run->soak, &run->load);
        show(run, phase, end_ns - now);
    }
    return false;
}

static bool is_up(struct run *run)
{
    return run->loaded->card_ns > 0 && run->loaded->card.workers >= run->options.workers;
}

static bool has_settled(struct run *run)
{
    return killer_is_quiet(&run->killer) && load_is_done(run->loaded);
}

static bool storm_is_over(struct run *run)
{
    bool all = run->load.most > 0 && run->load.job_count > run->load.most;
    if (all)
        run->load.schedules_wanted = 2 * SCHEDULE_COUNT;
    return interrupted != 0 || (all && load_is_done(&run->load));
}

static bool was_interrupted(struct run *run)
{
    (void)run;
    return interrupted != 0;
}

static bool is_idle(struct run *run)
{
    const struct report_card *card = &run->load.card;
    return has_settled(run) && card->slots_used == 0 && card->arena_used == 0 &&
           instance_workers(&run->instance) == run->options.workers && instance_strays(&run->instance) == 0;
}

/* No new jobs, no kills; what is there ends. */
static void settle(struct run *run)
{
    run->loaded->pouring = false;
    if (!turn_until(run, "settling", SETTLE_S, false, has_settled))
        verdict_add(&run->verdict, FAULT_STUCK, "%" PRId64 " jobs have not ended %d s after the last kill",
                    run->loaded->card.open, SETTLE_S);
}

static bool has_new_card(struct run *run)
{
    return interrupted != 0 || run->loaded->card_ns >= run->flow_ns;
}

/* Jobs a second that end, without kills, once they flow. */
static struct round measure_calm(struct run *run, double seconds)
{
    struct load *load = run->loaded;
    struct round round = {.jobs = 0};
    struct processors before, after;
    load->calm = load->pouring = true;
    turn_until(run, "without kills", seconds / FLOW_PART, false, was_interrupted);
    run->flow_ns = clock_mono_ns();
    turn_until(run, "without kills", CARD_S, false, has_new_card);
    processors_look(&run->instance, &before);
    int64_t from = load->card.jobs[JOB_SUCCEEDED], from_ns = load->card_ns;
    turn_until(run, "without kills", seconds, false, was_interrupted);
    int64_t to = load->card.jobs[JOB_SUCCEEDED], to_ns = load->card_ns;
    processors_look(&run->instance, &after);
    round_disturb(&round, &before, &after);
    settle(run);
    load->calm = false;
    if (to_ns > from_ns)
        round.jobs = (double)(to - from) * 1e9 / (double)(to_ns - from_ns);
    return round;
}

static void storm(struct run *run)
{
    int64_t from_ns = clock_mono_ns();
    unsigned acked = run->load.acked;
    run->load.pouring = true;
    run->load.schedules_wanted = SCHEDULE_COUNT;
    run->load.most = run->options.jobs == 0 ? 0 : run->load.job_count - 1 + run->options.jobs;
    turn_until(run, "killing", run->options.minutes * 60, true, storm_is_over);
    run->figures.seconds = (double)(clock_mono_ns() - from_ns) / 1e9;
    run->figures.during = (run->load.acked - acked) / run->figures.seconds;
    run->figures.kills = run->killer.kills;
    run->load.most = 0;
    run->load.schedules_wanted = 2 * SCHEDULE_COUNT;
    settle(run);
}

/* ------------------------------------------------------------------------------------------ afterwards */

static void check_grown(struct verdict *verdict, const char *what, int64_t before, int64_t after)
{
    if (after > before + before / 2 + RSS_MORE)
        verdict_add(verdict, FAULT_LEFT, "%s has grown from %" PRId64 " to %" PRId64 " bytes", what, before,
                    after);
}

static void check_left(struct run *run)
{
    struct verdict *verdict = &run->verdict;
    const struct holding *before = &run->figures.held_before, *after = &run->figures.held_after;
    const struct report_card *card = &run->load.card;
    unsigned workers = instance_workers(&run->instance);
    size_t strays = instance_strays(&run->instance);
    if (card->slots_used != 0 || card->arena_used != 0)
        verdict_add(verdict, FAULT_LEFT, "%" PRId64 " slots and %" PRId64 " bytes of the arena are in use",
                    card->slots_used, card->arena_used);
    if (workers != run->options.workers)
        verdict_add(verdict, FAULT_LEFT, "there are %u workers of %u", workers, run->options.workers);
    if (strays > 0)
        verdict_add(verdict, FAULT_LEFT, "%zu processes that are no supervisor, front or worker", strays);
    if (after->front_fds > before->front_fds + FDS_MORE ||
        after->supervisor_fds > before->supervisor_fds + FDS_MORE)
        verdict_add(verdict, FAULT_LEFT, "descriptors: front %d → %d, supervisor %d → %d", before->front_fds,
                    after->front_fds, before->supervisor_fds, after->supervisor_fds);
    check_grown(verdict, "the front", before->front_rss, after->front_rss);
    check_grown(verdict, "the supervisor", before->supervisor_rss, after->supervisor_rss);
    check_grown(verdict, "a worker", before->worker_rss, after->worker_rss);
}

static double seconds_within(double ms, double least_ms, double most_ms)
{
    return (ms < least_ms ? least_ms : ms > most_ms ? most_ms : ms) / 1000;
}

/* ------------------------------------------------------------------------------------------ a fresh one */

/* Never both under load at a time; who is first alternates. */
static struct pair measure_pair(struct run *run, bool fresh_first, double seconds)
{
    struct pair pair = {.fresh_first = fresh_first};
    for (int i = 0; i < 2; i++) {
        bool fresh = (i == 0) == fresh_first;
        run->loaded = fresh ? &run->fresh_load : &run->load;
        *(fresh ? &pair.fresh : &pair.tortured) = measure_calm(run, seconds);
    }
    run->loaded = &run->load;
    return pair;
}

static bool begin_fresh(struct run *run)
{
    if (!load_init(&run->fresh_load, &run->fresh) || !instance_start(&run->fresh))
        return false;
    run->loaded = &run->fresh_load;
    bool up = turn_until(run, "starting a fresh one", READY_S, false, is_up);
    run->loaded = &run->load;
    return up;
}

/* A first pair is not counted: the fresh one has to become warm. */
static void measure_pairs(struct run *run)
{
    double seconds = seconds_within(run->options.minutes * 500, ROUND_LEAST_MS, ROUND_MOST_MS);
    struct pairs *pairs = &run->pairs;
    measure_pair(run, false, seconds);
    while (pairs->count < run->options.pairs && run->fresh.supervisor != 0 && interrupted == 0) {
        pairs->at[pairs->count] = measure_pair(run, pairs->count % 2 != 0, seconds);
        pairs->count += interrupted == 0;
    }
}

static void compare_with_fresh(struct run *run)
{
    if (run->options.pairs == 0 || interrupted != 0)
        return;
    if (instance_prepare_beside(&run->fresh, &run->instance)) {
        if (begin_fresh(run))
            measure_pairs(run);
        else
            verdict_add(&run->verdict, FAULT_ENDED, "a fresh instance did not start within %d s", READY_S);
        instance_stop(&run->fresh, &run->verdict);
        load_fini(&run->fresh_load);
        pairs_judge(&run->pairs, &run->verdict);
        pairs_write(&run->pairs, run->instance.folder);
    } else {
        verdict_add(&run->verdict, FAULT_ENDED, "a fresh instance could not be prepared");
    }
    run->instance.beside = NULL;
}

static bool run_phases(struct run *run)
{
    double calm = seconds_within(run->options.minutes * 60000 / 12, CALM_LEAST_MS, CALM_MOST_MS);
    if (!instance_start(&run->instance))
        return false;
    if (!turn_until(run, "starting", READY_S, false, is_up)) {
        fprintf(stderr, "forkpool: torture: the instance did not start within %d s\n", READY_S);
        return false;
    }
    load_note_start(&run->load);
    run->figures.before = measure_calm(run, calm).jobs;
    instance_look(&run->instance, &run->figures.held_before);
    storm(run);
    run->figures.after = measure_calm(run, calm).jobs;
    turn_until(run, "looking", IDLE_S, false, is_idle);
    instance_look(&run->instance, &run->figures.held_after);
    check_left(run);
    compare_with_fresh(run);
    instance_stop(&run->instance, &run->verdict);
    run->figures.lives = run->instance.lives;
    return true;
}

static bool write_report(struct run *run)
{
    BUF_AUTO text = {0};
    char path[TORTURE_PATH_BYTES + 32];
    run->figures.pool = &run->killer.pool.samples;
    run->figures.front = &run->killer.front.samples;
    run->figures.start = &run->killer.start.samples;
    run->figures.pairs = &run->pairs;
    report_write(&text, &run->options, &run->verdict, &run->figures);
    if (isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
    if (text.failed || fwrite(text.data, 1, text.bytes, stdout) != text.bytes)
        return false;
    snprintf(path, sizeof path, "%s/report.txt", run->instance.folder);
    FILE *file = fopen(path, "we");
    if (file != NULL) {
        fwrite(text.data, 1, text.bytes, file);
        fclose(file);
    }
    return true;
}

static int run_all(struct run *run)
{
    if (!run_phases(run)) {
        instance_fell(&run->instance);
        return EXIT_FAILURE;
    }
    enum err err = torture_check(run->instance.folder, &run->verdict);
    if (err != ERR_OK) {
        fprintf(stderr, "forkpool: torture: the evidence cannot be read: %s\n", err_title(err));
        return EXIT_FAILURE;
    }
    return write_report(run) && verdict_total(&run->verdict) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static void set_interrupts(void)
{
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

int torture_main(int argc, char *const *argv)
{
    static struct run run;
    run.options = (struct torture_options){
        .minutes = 1, .workers = 8, .pairs = PAIRS_UNSAID, .durability = DURABILITY_PROCESS};
    run.loaded = &run.load;
    if (getrandom(&run.options.seed, sizeof run.options.seed, 0) < 0)
        run.options.seed = (uint64_t)clock_mono_ns();
    run.options.seed %= 1000000000; /* so that it can be typed */
    int status = read_flags(argc, argv, &run.options);
    if (status != EXIT_SUCCESS)
        return status;
    if (run.options.pairs == PAIRS_UNSAID)
        run.options.pairs = run.options.minutes >= TORTURE_PAIRS_FROM_MINUTES ? TORTURE_PAIRS_USUAL : 0;
    if (run.options.plugin != NULL && realpath(run.options.plugin, run.program) != NULL)
        run.options.plugin = run.program;
    log_set_level(LOG_ERROR); /* the store is opened here, too */
    set_interrupts();
    status = EXIT_FAILURE;
    if (instance_prepare(&run.instance, &run.options) && soak_init(&run.soak, &run.instance) &&
        load_init(&run.load, &run.instance)) {
        killer_init(&run.killer, &run.instance, &run.load);
        status = run_all(&run);
        killer_fini(&run.killer);
    }
    load_fini(&run.load);
    soak_fini(&run.soak);
    verdict_fini(&run.verdict);
    if (status == EXIT_SUCCESS && run.options.keep == NULL)
        instance_remove(&run.instance);
    else if (run.instance.folder[0] != '\0')
        printf("Evidence kept in %s\n", run.instance.folder);
    return status;
}
