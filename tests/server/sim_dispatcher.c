/* The dispatcher in a simulated world: the real dispatcher, committer and store, stepped on one thread, with
 * workers by hand and a clock that jumps to where something happens. Thousands of small scenarios, each drawn
 * from its seed: submissions, limits and their changes, pauses, cancels, patches, retries, jobs that wait for
 * others, uniqueness keys, bulk requests, schedules, deaths of workers and of the front. sim_rules.h says
 * what must hold.
 *
 *     sim_dispatcher [--scenarios N] [--first S]    seeds S to S + N − 1 (FORKPOOL_SIM_SCENARIOS, 10000)
 *     sim_dispatcher --seed S [--trace]             that one
 */
#include "sim_requests.h"

#include <sys/mman.h>
#include <sys/wait.h>

/* --- workers --- */

static uint64_t claim_of_pool(uint32_t worker)
{
    for (int level = PRIORITY_COUNT - 1; level >= 0; level--) {
        struct ring *ring = segment_ring(&segment, workers[worker].pool, (uint32_t)level);
        uint64_t head, ticket;
        while (ring_peek(ring, &head, &ticket)) {
            bool mine =
                slot_claim(slot_of_ticket(ticket), ticket_generation(ticket), worker, incarnation_of(worker));
            ring_advance(ring, head);
            if (mine)
                return ticket;
        }
    }
    return 0;
}

static void plan_run(struct sim_worker *worker)
{
    uint32_t fate = below(100);
    int64_t us = percent(50) ? between(50, 5000) : percent(80) ? between(1000, 60000) : between(1000, 300000);
    worker->ends_ns = now_ns + us * 1000;
    worker->quiet = percent(3);
    worker->retryable = fate < 84;
    worker->outcome = fate < 74   ? OUTCOME_SUCCESS
                      : fate < 88 ? OUTCOME_ERROR
                      : fate < 94 ? OUTCOME_CRASH
                                  : OUTCOME_LOST;
}

static void claim(uint32_t number)
{
    struct sim_worker *worker = &workers[number];
    uint64_t ticket = claim_of_pool(number);
    atomic_store(&board_of(number)->waiting, ticket == 0 && percent(80));
    worker->hungry = ticket == 0;
    if (ticket == 0)
        return;
    const struct slot *slot = slot_of_ticket(ticket);
    int job = job_of(slot->spec.id);
    trace("worker %u claims job %d, seq %lld, slot %u", number, job, (long long)slot->spec.seq,
          ticket_slot(ticket));
    check_start(job, slot);
    jobs[job].running = true;
    jobs[job].pristine = false;
    worker->job = job;
    worker->ticket = ticket;
    plan_run(worker);
    if (percent(98) || worker->outcome == OUTCOME_SUCCESS || worker->outcome == OUTCOME_ERROR)
        begin_run(number, ticket);
}

/* The run is over, as the job should count it. */
static void run_ended_as(struct sim_job *job, enum outcome outcome, bool retryable)
{
    job->running = false;
    job->runs++;
    job->ran = true;
    job->last = outcome;
    job->errors += outcome == OUTCOME_ERROR;
    job->crashes += outcome == OUTCOME_CRASH;
    job->lost += outcome == OUTCOME_LOST;
    job->failed = (outcome == OUTCOME_ERROR && (!retryable || job->errors >= job->max_attempts)) ||
                  (outcome == OUTCOME_CRASH && job->crashes >= MAX_CRASHES) ||
                  (outcome == OUTCOME_LOST && job->lost >= MAX_LOST);
    job->over = job->failed || outcome == OUTCOME_SUCCESS || outcome == OUTCOME_CANCELLED;
    job->not_before_ms = outcome == OUTCOME_ERROR ? clock_real_ms() + 20 : 0;
}

static void worker_dies(uint32_t number, enum death_cause cause)
{
    die(number, cause, cause == DEATH_CRASH ? SIGSEGV : SIGKILL);
    workers[number].gone = true;
    workers[number].back_ns = now_ns + between(1, 40) * NS_PER_MS;
    atomic_store(&board_of(number)->waiting, 0);
    trace("worker %u dies (%s)", number, death_cause_text(cause));
}

static void end_of_run(uint32_t number)
{
    struct sim_worker *worker = &workers[number];
    struct slot *slot = slot_of_ticket(worker->ticket);
    struct sim_job *job = &jobs[worker->job];
    enum outcome outcome = worker->outcome;
    bool dies = outcome == OUTCOME_CRASH || outcome == OUTCOME_LOST;
    bool asked = atomic_load(&board_of(number)->cancel) == worker->ticket;
    if (asked && !dies && percent(70))
        outcome = OUTCOME_CANCELLED;
    run_ended_as(job, outcome, worker->retryable);
    if (dies) {
        worker_dies(number, outcome == OUTCOME_CRASH ? DEATH_CRASH : DEATH_LOST);
    } else {
        slot->run_ns = NS_PER_MS;
        uint64_t ticket = worker->ticket;
        end_run(number, ticket, outcome, outcome == OUTCOME_SUCCESS ? "42" : NULL,
                outcome == OUTCOME_SUCCESS ? 2 : 0);
        slot->attempt.retryable = worker->retryable; /* nobody has looked yet */
        if (worker->quiet)
            worker_dies(number, DEATH_LOST);
        else
            board_complete(board_of(number), ticket);
        trace("worker %u ends job %d: %s", number, worker->job, outcome_text(outcome));
    }
    worker->job = -1;
}

static void workers_move(void)
{
    uint32_t first = below(worker_count);
    for (uint32_t i = 0; i < worker_count; i++) {
        uint32_t number = (first + i) % worker_count;
        struct sim_worker *worker = &workers[number];
        if (worker->gone && worker->back_ns <= now_ns && !board_deaths_full(board_of(number)))
            worker->gone = false;
        if (worker->job >= 0 && worker->ends_ns <= now_ns)
            end_of_run(number);
        worker->hungry = worker->hungry && worker->job < 0 && !worker->gone;
        if (worker->job < 0 && !worker->gone && percent(85))
            claim(number);
    }
}

/* --- the front --- */

static void step(bool commit)
{
    round_number++;
    check_idleness(commit);
    if (commit) {
        committer_step(&committer);
        check_skips();
    }
    dispatcher_step(&dispatcher);
    note_fronts();
    for (uint32_t i = 0; i < job_count && commit; i++)
        if (jobs[i].expires_ms > 0 && jobs[i].expires_ms <= clock_real_ms())
            jobs[i].expired_rounds++;
}

static void front_death(void)
{
    bool committed = percent(50);
    trace("the front dies%s", committed ? ", what it had given was committed" : "");
    if (committed)
        committer_step(&committer);
    front_ends();
    memset(front_slots, 0, sizeof front_slots);
    for (uint32_t i = 0; i < request_count; i++)
        if (requests[i].open && requests[i].errand.kind != ERRAND_SET)
            request_dropped(&requests[i]);
    if (percent(30)) { /* a while without a front: workers go on */
        now_ns += between(1, AWAY_MS) * NS_PER_MS;
        workers_move();
    }
    front_begins();
    for (uint32_t i = 0; i < request_count; i++) {
        const struct setting *setting = &requests[i].setting;
        if (!requests[i].open)
            continue;
        requests[i].open = false;
        const struct limits *kept = setting->kind == SETTING_SERVER ? &dispatcher.whole
                                    : setting->kind == SETTING_QUEUE
                                        ? &lineup_queue(&dispatcher.lineup, setting->name)->set
                                        : &lineup_task(&dispatcher.lineup, setting->name)->set;
        struct setting now = *setting;
        now.to = *kept; /* all of it or nothing: what was not given is as it was */
        set_made(&now);
    }
    for (uint32_t i = 0; i < job_count; i++) {
        jobs[i].expired_rounds = 0;
        jobs[i].may_since_ns = -1;
    }
}

/* --- a scenario --- */

static void draw_job(struct sim_job *job, int64_t span_ms, bool memory, bool one_priority)
{
    *job = (struct sim_job){.queue = below(queue_count),
                            .task = below(task_count),
                            .key = percent(50) ? below(key_count + 1) : 0,
                            .priority = (uint8_t)(one_priority ? 5 : between(3, 7)),
                            .durability = memory && percent(20) ? DURABILITY_MEMORY : DURABILITY_PROCESS,
                            .sent_ns = between(0, span_ms) * NS_PER_MS,
                            .max_attempts = (uint32_t)between(1, 4),
                            .pristine = true,
                            .may_since_ns = -1,
                            .bulk = -1,
                            .schedule = -1,
                            .last = OUTCOME_NONE};
    if (percent(15))
        job->expires_ms = base_ms + job->sent_ns / NS_PER_MS + between(1, 500);
    if (percent(15) && job->durability != DURABILITY_MEMORY)
        job->not_before_ms = base_ms + job->sent_ns / NS_PER_MS + between(1, 300);
}

static void draw_world(void)
{
    chance_state = seed * 0x9e3779b97f4a7c15u + 1;
    below(1);
    now_ns = 0;
    base_ms = INT64_C(1800000000000) + (int64_t)seed * 3600000;
    round_number = 0;
    request_count = 0;
    whole_paused = false;
    key_concurrency = between(1, 2);
    worker_count = (uint32_t)between(2, WORKER_COUNT);
    pool_count = percent(60) ? 1 : (uint32_t)between(1, worker_count < POOLS ? worker_count : POOLS);
    queue_count = (uint32_t)between(1, QUEUES);
    task_count = (uint32_t)between(1, TASKS);
    key_count = below(KEYS + 1);
    job_count = (uint32_t)(percent(60) ? between(5, 25) : between(20, JOBS));
    for (uint32_t i = 0; i < QUEUES; i++) {
        queue_limits[i] = limits_none();
        queue_pool[i] = below(pool_count);
    }
    for (uint32_t i = 0; i < TASKS; i++)
        task_limits[i] = limits_none();
    int64_t span_ms = percent(30) ? 0 : between(1, 1500);
    bool memory = percent(40), one_priority = percent(25);
    for (uint32_t i = 0; i < job_count; i++)
        draw_job(&jobs[i], span_ms, memory, one_priority);
    draw_graph();
    draw_schedules();
    memset(last_of_lane, 0, sizeof last_of_lane);
    memset(front_slots, 0, sizeof front_slots);
    memset(meter_entries, 0, sizeof meter_entries);
    forget_starts();
}

static void clear_store(void)
{
    char *message = NULL;
    static uint32_t cleared;
    if (sqlite3_exec(
            store->reader.connection.db,
            "BEGIN; DELETE FROM jobs; DELETE FROM attempts; DELETE FROM settings; DELETE FROM counts;"
            "DELETE FROM edges; DELETE FROM releases; DELETE FROM uniques; DELETE FROM batches;"
            "DELETE FROM schedules;"
            "COMMIT",
            NULL, NULL, &message) != SQLITE_OK)
        broken("the store cannot be emptied: %s", message);
    if (cleared++ % 20 == 0)
        ok(store_settle(store));
}

static int some_job(void)
{
    int job = (int)below(job_count);
    return jobs[job].accepted ? job : -1;
}

/* Something of what clients and fate do to a server. */
static void act(bool fronts_die)
{
    uint32_t what = below(100);
    int job = some_job();
    if (what < 22 && job >= 0)
        ask_cancel(job);
    else if (what < 37 && job >= 0 && jobs[job].durability != DURABILITY_MEMORY)
        ask_patch(job);
    else if (what < 50 && job >= 0 && jobs[job].over)
        ask_retry(job);
    else if (what < 56)
        ask_paused(SETTING_QUEUE, below(queue_count), percent(50));
    else if (what < 62)
        ask_paused(SETTING_TASK, below(task_count), percent(50));
    else if (what < 68)
        ask_paused(SETTING_SERVER, 0, percent(40));
    else if (what < 78)
        ask_limits(SETTING_QUEUE, below(queue_count), 30);
    else if (what < 86)
        ask_limits(SETTING_TASK, below(task_count), 30);
    else if (what < 94 && fronts_die)
        front_death();
}

static void resume_all(void)
{
    trace("everything is resumed");
    ask_paused(SETTING_SERVER, 0, false);
    for (uint32_t i = 0; i < queue_count; i++)
        ask_paused(SETTING_QUEUE, i, false);
    for (uint32_t i = 0; i < task_count; i++)
        ask_paused(SETTING_TASK, i, false);
}

static bool may_be_sent(uint32_t job)
{
    return job < job_count && !jobs[job].sent && jobs[job].sent_ns <= now_ns;
}

static bool fits_bulk(uint32_t job)
{
    return may_be_sent(job) && jobs[job].durability != DURABILITY_MEMORY;
}

/* No more times; so far, each is accounted for. */
static void end_schedules(void)
{
    for (uint32_t i = 0; i < schedule_count; i++) {
        for (int turns = 0; schedule_in_force(i) != NULL && schedule_in_force(i)->busy; turns++) {
            if (turns > 1000)
                broken("schedule s%u is busy for ever", i);
            step(true);
        }
        check_schedule(i);
        ask_schedule(i, SCHEDULE_DROP);
    }
}

static void submit_due(void)
{
    for (uint32_t i = 0; i < job_count; i++) {
        uint32_t count = 0, wanted = bulks_likely && percent(50) ? (uint32_t)between(1, BULK) : 0;
        while (count < wanted && fits_bulk(i + count))
            count++;
        if (count > 0)
            ask_bulk((int)i, count);
        else if (may_be_sent(i))
            ask_submit((int)i);
    }
}

/* To the next moment at which something happens out there, or a little on, at most JUMP_MS. */
static void let_time_pass(int64_t next_act_ns)
{
    int64_t next = now_ns + (percent(10) ? between(1, 900) * 1000 : between(1, JUMP_MS) * NS_PER_MS);
    for (uint32_t i = 0; i < job_count; i++)
        if (!jobs[i].sent && jobs[i].sent_ns < next)
            next = jobs[i].sent_ns;
    for (uint32_t i = 0; i < worker_count; i++) {
        if (workers[i].job >= 0 && workers[i].ends_ns < next)
            next = workers[i].ends_ns;
    }
    if (next_act_ns < next)
        next = next_act_ns;
    if (next > now_ns)
        now_ns = next;
}

static bool all_sent(void)
{
    for (uint32_t i = 0; i < job_count; i++)
        if (!jobs[i].sent)
            return false;
    return true;
}

static bool any_unended(void)
{
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v2(store->reader.connection.db, "SELECT 1 FROM jobs WHERE state NOT IN (3, 4, 5)", -1,
                           &statement, NULL) != SQLITE_OK)
        broken("the store cannot be read");
    bool any = sqlite3_step(statement) == SQLITE_ROW;
    sqlite3_finalize(statement);
    return any;
}

static bool all_ended(void)
{
    return all_sent() && !any_open() && all_free() && dispatcher.lineup.lane_count == 0 &&
           dispatcher.lineup.key_count == 0 && dispatcher_settled(&dispatcher) && !any_unended() &&
           !atomic_load(&committer.releases) && !dispatcher.release_running;
}

static void say_what_is_left(void)
{
    for (uint32_t i = 0; i < job_count; i++) {
        JOB_AUTO row = NULL;
        if (store_get(store_own_reader(store), jobs[i].id, &row) == ERR_OK && !job_is_terminal(row->state))
            fprintf(stderr, "job %u is %s, seq %lld, priority %u\n", i, job_state_text(row->state),
                    (long long)row->spec.seq, row->spec.priority);
    }
    for (size_t i = 0; i < dispatcher.lineup.bucket_count; i++)
        for (const struct lane *lane = dispatcher.lineup.lanes[i]; lane != NULL; lane = lane->next) {
            const struct gate *task = &lane->task->gate;
            fprintf(
                stderr,
                "lane %s %s %s priority %u: ready from %lld, cold from %lld, %lld wait, %s; task gate: %u in "
                "flight, %zu waiters, timer %s\n",
                lane->queue->name, lane->task->name, lane->concurrency_key, lane->level,
                (long long)lane->ready_seq, (long long)lane->cold_seq, (long long)lane->waiting,
                lane->heap == NULL                                            ? "in no line"
                : lane->heap == &task->waiters                                ? "at its task's gate"
                : lane->key != NULL && lane->heap == &lane->key->gate.waiters ? "at its key's gate"
                : lane->queue->parked                                         ? "in a parked queue"
                                                                              : "in line",
                task->in_flight, task->waiters.count, task->timer.at > 0 ? "set" : "not set");
        }
    fprintf(stderr, "%u slots free, %zu lanes, %zu keys, open requests: %d\n", dispatcher.free_count,
            dispatcher.lineup.lane_count, dispatcher.lineup.key_count, any_open());
}

static void run_until_ended(void)
{
    int64_t until_ns = now_ns + BOUND_MS * NS_PER_MS;
    for (uint32_t i = 0; !all_ended(); i++) {
        if (now_ns > until_ns) {
            say_what_is_left();
            broken("starved: not all has ended %d s after everything was resumed", BOUND_MS / 1000);
        }
        submit_due();
        step(percent(85));
        workers_move();
        let_time_pass(INT64_MAX);
    }
}

static void run_scenario(uint64_t number)
{
    seed = number;
    draw_world();
    clear_store();
    make_config();
    make_world_segment((uint32_t)(percent(50) ? 16 : between(16, SLOTS)));
    front_begins();
    for (uint32_t i = 0; i < queue_count; i++)
        ask_limits(SETTING_QUEUE, i, 25);
    for (uint32_t i = 0; i < task_count; i++)
        ask_limits(SETTING_TASK, i, 25);
    for (uint32_t i = 0; i < schedule_count; i++)
        ask_schedule(i, SCHEDULE_PUT);
    uint32_t acts = below(40);
    bool fronts_die = percent(50);
    int64_t act_ns = 0, until_ns = schedule_count > 0 ? between(2000, 9000) * NS_PER_MS : 0;
    while (acts > 0 || now_ns < until_ns) {
        submit_due();
        step(percent(75));
        workers_move();
        if (act_ns <= now_ns && acts > 0) {
            act(fronts_die);
            acts--;
            act_ns = now_ns + between(0, percent(50) ? 10 : until_ns > 0 ? 400 : 100) * NS_PER_MS;
        }
        let_time_pass(acts > 0 ? act_ns : INT64_MAX);
    }
    end_schedules();
    resume_all();
    run_until_ended();
    check_nothing_left();
    if (number % 50 == 0)
        counts_are_right();
    front_ends();
    segment_close(&segment);
}

/* --- all of them --- */

static void begin_world(void)
{
    log_set_level(LOG_LEVEL_COUNT);
    composing = (struct compose){sim_compose, NULL};
    bool shared = access("/dev/shm", W_OK) == 0;
    snprintf(folder, sizeof folder, "%s/sim_dispatcher.XXXXXX", shared ? "/dev/shm" : "/tmp");
    if (mkdtemp(folder) == NULL)
        broken("no folder");
    snprintf(url, sizeof url, "sqlite://%s/jobs.db", folder);
    base_ms = INT64_C(1800000000000);
    open_store();
    wake_fd = eventfd(0, EFD_NONBLOCK);
    waiters = calloc(1, sizeof *waiters);
    metrics = calloc(1, sizeof *metrics);
    waiters_init(waiters);
}

static void end_world(void)
{
    close_store();
    close(wake_fd);
    free(waiters);
    free(metrics);
}

static void say_replay(uint64_t number)
{
    fprintf(stderr, "replay: build/tests/sim_dispatcher --seed %llu --trace\n", (unsigned long long)number);
}

/* In a child, so that whatever ends it, its seed is known. */
static int run_all_of(uint64_t first, uint64_t count)
{
    uint64_t *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    begin_world();
    close_store();
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        open_store();
        for (*at = first; *at < first + count; ++*at)
            run_scenario(*at);
        end_world();
        exit(0);
    }
    int status = -1;
    waitpid(child, &status, 0);
    free(waiters);
    free(metrics);
    remove_folder();
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        printf("%llu scenarios\n", (unsigned long long)count);
        return 0;
    }
    if (WIFSIGNALED(status))
        fprintf(stderr, "seed %llu: signal %d\n", (unsigned long long)*at, WTERMSIG(status));
    else if (WEXITSTATUS(status) == FRONT_EXIT_CORRUPT)
        fprintf(stderr, "seed %llu: the front found shared memory impossible\n", (unsigned long long)*at);
    say_replay(*at);
    return 1;
}

int main(int argc, char **argv)
{
    const char *given = getenv("FORKPOOL_SIM_SCENARIOS");
    uint64_t first = 1, count = given != NULL ? strtoull(given, NULL, 10) : 10000, one = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--trace") == 0)
            tracing = true;
        else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
            one = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--scenarios") == 0 && i + 1 < argc)
            count = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--first") == 0 && i + 1 < argc)
            first = strtoull(argv[++i], NULL, 10);
    }
    if (one > 0) {
        first = one;
        count = 1;
    }
    return run_all_of(first, count);
}
