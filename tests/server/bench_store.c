/* What the store alone can do: inserts and lands a second, with a checkpointer beside it as in the front.
 *
 *     bench_store [jobs] [jobs a group] [full|process] [bytes of args] [lag: groups between insert and land]
 * [folder]
 *
 * Inserts a group, lands the group of `lag` groups before (its jobs succeed with a small result), until all
 * is done; the two are timed apart. Prints rates and the longest commit. Figures of one machine are good for
 * comparing, nothing else.
 */
#include "clock.h"
#include "job.h"
#include "log.h"
#include "store.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct bench {
    size_t jobs, group, args_bytes, lag;
    enum durability level;
    char folder[256], url[300];
    struct store *store;
    struct job *all; /* as they were submitted */
    char *args;
    _Atomic bool stop;
    int pages_max;
    int64_t insert_ns, land_ns, longest_ns;
};

static void must(enum err err, const char *what)
{
    if (err == ERR_OK)
        return;
    fprintf(stderr, "bench_store: %s: %s\n", what, err_code(err));
    exit(EXIT_FAILURE);
}

static void *checkpoint_loop(void *of)
{
    struct bench *bench = of;
    struct store_checkpointer *checkpointer;
    must(store_checkpointer_open(bench->url, &checkpointer), "checkpointer");
    while (!atomic_load(&bench->stop)) {
        int pages;
        must(store_checkpoint(checkpointer, &pages), "checkpoint");
        bench->pages_max = pages > bench->pages_max ? pages : bench->pages_max;
        clock_sleep_ms(50);
    }
    store_checkpointer_close(checkpointer);
    return NULL;
}

static void fill(const struct bench *bench, struct job *job)
{
    job->spec =
        (struct job_spec){.id = id_new(),
                          .created_ms = clock_real_ms(),
                          .timeout_ms = 3600000,
                          .kill_after_ms = 5000,
                          .retry = {.max_attempts = 3, .initial_ms = 1000, .max_ms = 300000, .jitter = 20},
                          .priority = PRIORITY_DEFAULT,
                          .durability = (uint8_t)bench->level,
                          .task = "echo",
                          .queue = "default"};
    job->spec.lane = job_lane(&job->spec);
    job->attempt = attempt_blank();
    job->state = JOB_QUEUED;
    job->args = (struct text){bench->args, bench->args_bytes};
}

static void insert_group(struct bench *bench, size_t first, size_t end)
{
    int64_t begun = clock_mono_ns();
    must(store_begin(bench->store, bench->level), "begin");
    for (size_t i = first; i < end; i++) {
        struct job *job = &bench->all[i];
        struct store_submit submit = {.job = job};
        fill(bench, job);
        must(store_next_seq(bench->store, &job->spec.seq), "seq");
        must(store_submit(bench->store, &submit), "submit");
    }
    must(store_commit(bench->store), "commit");
    int64_t took = clock_mono_ns() - begun;
    bench->insert_ns += took;
    bench->longest_ns = took > bench->longest_ns ? took : bench->longest_ns;
}

static void succeed(struct job *job)
{
    static const char RESULT[] = "{\"sha256\":\"9f86d081884c7d659a2feaa0c55ad015\",\"bytes\":4}";
    int64_t now = clock_real_ms();
    job->state = JOB_SUCCEEDED;
    job->spec.attempt = 1;
    job->attempt.number = 1;
    job->attempt.outcome = OUTCOME_SUCCESS;
    job->attempt.started_ms = job->attempt.finished_ms = now;
    job->attempt.worker = 1;
    job->attempt.cpu_us = 12;
    job->attempt.max_rss_bytes = 3145728;
    job->result = (struct text){RESULT, strlen(RESULT)};
}

static void land_group(struct bench *bench, size_t first, size_t end)
{
    int64_t begun = clock_mono_ns();
    must(store_begin(bench->store, bench->level), "begin");
    for (size_t i = first; i < end; i++) {
        struct store_land land = {.job = &bench->all[i], .keep_attempt = true};
        succeed(&bench->all[i]);
        must(store_land(bench->store, &land), "land");
        if (!land.landed)
            must(ERR_CORRUPT, "land");
    }
    must(store_commit(bench->store), "commit");
    int64_t took = clock_mono_ns() - begun;
    bench->land_ns += took;
    bench->longest_ns = took > bench->longest_ns ? took : bench->longest_ns;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void run(struct bench *bench)
{
    size_t behind = bench->lag * bench->group;
    for (size_t first = 0; first < bench->jobs + behind; first += bench->group) {
        if (first < bench->jobs)
            insert_group(bench, first, least(first + bench->group, bench->jobs));
        if (first >= behind)
            land_group(bench, first - behind, least(first - behind + bench->group, bench->jobs));
    }
}

static void report(const struct bench *bench)
{
    printf("%-7s %7zu jobs  %5zu a group  lag %5zu  %8.0f inserts/s  %8.0f lands/s  longest %6.1f ms  log "
           "%6d pages\n",
           durability_text(bench->level), bench->jobs, bench->group, bench->lag,
           (double)bench->jobs * 1e9 / (double)bench->insert_ns,
           (double)bench->jobs * 1e9 / (double)bench->land_ns, (double)bench->longest_ns / 1e6,
           bench->pages_max);
}

static void remove_files(const struct bench *bench)
{
    static const char *const NAMES[] = {"bench.db", "bench.db-wal", "bench.db-shm"};
    char path[300];
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        snprintf(path, sizeof path, "%s/%s", bench->folder, NAMES[i]);
        unlink(path);
    }
    rmdir(bench->folder);
}

static void parse(struct bench *bench, int argc, char **argv)
{
    const char *level = argc > 3 ? argv[3] : "full", *folder = argc > 6 ? argv[6] : "/tmp";
    bench->jobs = argc > 1 ? strtoul(argv[1], NULL, 10) : 100000;
    bench->group = argc > 2 ? strtoul(argv[2], NULL, 10) : 256;
    bench->args_bytes = argc > 4 ? strtoul(argv[4], NULL, 10) : 100;
    bench->lag = argc > 5 ? strtoul(argv[5], NULL, 10) : 4;
    if (bench->jobs == 0 || bench->group == 0 || !durability_parse(level, &bench->level)) {
        fprintf(stderr,
                "usage: bench_store [jobs] [jobs a group] [full|process] [bytes of args] [lag] [folder]\n");
        exit(EXIT_FAILURE);
    }
    snprintf(bench->folder, sizeof bench->folder, "%s/bench_store.XXXXXX", folder);
    if (mkdtemp(bench->folder) == NULL)
        must(ERR_SYSTEM, "folder");
    snprintf(bench->url, sizeof bench->url, "sqlite://%s/bench.db", bench->folder);
}

int main(int argc, char **argv)
{
    struct bench bench = {0};
    struct buf message = {0};
    pthread_t thread;
    log_set_level(LOG_WARN);
    parse(&bench, argc, argv);
    bench.all = calloc(bench.jobs, sizeof *bench.all);
    bench.args = malloc(bench.args_bytes + 1);
    if (bench.all == NULL || bench.args == NULL)
        must(ERR_NO_MEMORY, "jobs");
    memset(bench.args, 'x', bench.args_bytes);
    must(store_open(bench.url, &bench.store, &message), "open");
    if (pthread_create(&thread, NULL, checkpoint_loop, &bench) != 0)
        must(ERR_SYSTEM, "thread");
    run(&bench);
    atomic_store(&bench.stop, true);
    pthread_join(thread, NULL);
    report(&bench);
    store_close(bench.store);
    remove_files(&bench);
    free(bench.all);
    free(bench.args);
    buf_fini(&message);
    return EXIT_SUCCESS;
}
