/* Schedules in a simulated world: dispatcher, committer and store as they are, workers by hand, a clock that
 * is set, hangs, deaths of the front before and after what it has given is committed. */
#include "dispatcher_fixture.h"

enum { SCENARIOS = 150, SCHEDULES = 4, ROUNDS = 120, WORKERS = 3 };

/* --- clock and chance --- */

static int64_t mono_ns, real_ms;

int64_t __wrap_clock_mono_ns(void);
int64_t __wrap_clock_real_ms(void);

int64_t __wrap_clock_mono_ns(void)
{
    return mono_ns;
}

int64_t __wrap_clock_real_ms(void)
{
    return real_ms;
}

static void pass(int64_t ms)
{
    mono_ns += ms * NS_PER_MS;
    real_ms += ms;
}

static uint64_t chance_state;

static int64_t between(int64_t least, int64_t most)
{
    return least + (int64_t)(next_random(&chance_state) % (uint64_t)(most - least + 1));
}

static bool percent(int64_t share)
{
    return between(0, 99) < share;
}

/* --- the world --- */

struct plan {
    char name[4], cron[32];
    enum overlap overlap;
    enum catch_up catch_up;
    int64_t begun_ms;
    bool paused, ever_paused;
    int running; /* jobs of it that workers have */
};

static struct plan plans[SCHEDULES];
static struct {
    uint64_t ticket; /* 0: none */
    int64_t ends_ns;
} workers[WORKERS];
static bool pauses, refusals, clock_set;

/* {"task":"sN"} */
static enum err compose(void *context, struct text body, struct job **job, struct buf *why)
{
    (void)context;
    *job = NULL;
    if (refusals && percent(10)) {
        buf_put(why, "no");
        return ERR_UNKNOWN_TASK;
    }
    if (percent(2))
        return ERR_STARTING;
    *job = new_job(PRIORITY_DEFAULT, DURABILITY_PROCESS);
    memcpy((*job)->spec.task, body.at + strlen("{\"task\":\""), 2);
    (*job)->spec.task[2] = '\0';
    (*job)->spec.lane = job_lane(&(*job)->spec);
    return ERR_OK;
}

static struct schedule *in_force(const struct plan *plan)
{
    return schedules_find(&dispatcher.timetable.in_force, plan->name);
}

static void step(bool commit)
{
    if (commit)
        committer_step(&committer);
    dispatcher_step(&dispatcher);
}

static void ask(enum schedule_verb verb, const char *name, const char *body)
{
    struct asked asked = {.errand = {.kind = ERRAND_SCHEDULE, .notify = on_answer}};
    struct schedule_change change = {.verb = verb, .body = {body, body != NULL ? strlen(body) : 0}};
    struct work *work = work_new(WORK_SCHEDULE);
    strcpy(change.name, name);
    asked.errand.schedule = &change;
    work->errand = &asked.errand;
    dispatcher_give(&dispatcher, work);
    for (int i = 0; !answered(&asked); i++) {
        ck_assert_int_lt(i, 100);
        step(true);
    }
    ok(asked.errand.err);
}

static void begin_schedule(struct plan *plan, int number)
{
    static const char *const OVERLAP_WORDS[] = {"skip", "queue", "replace"};
    static const char *const CATCH_UP_WORDS[] = {"none", "one", "all"};
    static const int STEPS[] = {1, 2, 5, 7};
    char body[512];
    *plan = (struct plan){.overlap = (enum overlap)between(0, OVERLAP_COUNT - 1),
                          .catch_up = (enum catch_up)between(0, CATCH_UP_COUNT - 1),
                          .begun_ms = real_ms};
    snprintf(plan->name, sizeof plan->name, "s%d", number);
    snprintf(plan->cron, sizeof plan->cron, "*/%d * * * * *", STEPS[between(0, 3)]);
    snprintf(body, sizeof body,
             "{\"cron\":\"%s\",\"timezone\":\"UTC\",\"overlap\":\"%s\",\"catch_up\":\"%s\",\"job\":{\"task\":"
             "\"%s\"}}",
             plan->cron, OVERLAP_WORDS[plan->overlap], CATCH_UP_WORDS[plan->catch_up], plan->name);
    ask(SCHEDULE_PUT, plan->name, body);
}

static void begin_world(uint64_t seed)
{
    chance_state = seed * 0x9e3779b97f4a7c15u + 1;
    mono_ns = NS_PER_SEC * 1000;
    real_ms = INT64_C(1800000000000) + (int64_t)seed * 3600000 + between(0, 999);
    memset(workers, 0, sizeof workers);
    pauses = percent(30);
    refusals = percent(25);
    clock_set = percent(30);
    for (int i = 0; i < SCHEDULES; i++)
        begin_schedule(&plans[i], i);
}

/* --- workers --- */

static struct plan *plan_of(uint64_t ticket)
{
    return &plans[slot_of_ticket(ticket)->spec.task[1] - '0'];
}

static void take(uint32_t worker)
{
    uint64_t ticket = claim_next(worker);
    if (ticket == 0)
        return;
    begin_run(worker, ticket);
    workers[worker].ticket = ticket;
    workers[worker].ends_ns = mono_ns + (percent(60) ? between(1, 300) : between(300, 8000)) * NS_PER_MS;
    ck_assert_msg(++plan_of(ticket)->running == 1, "two jobs of %s run at a time", plan_of(ticket)->name);
}

static void end(uint32_t worker, enum outcome outcome)
{
    plan_of(workers[worker].ticket)->running--;
    finish_run(worker, workers[worker].ticket, outcome);
    workers[worker].ticket = 0;
}

static void workers_move(void)
{
    for (uint32_t i = 0; i < WORKERS; i++) {
        uint64_t ticket = workers[i].ticket;
        bool asked = ticket != 0 && atomic_load(&board_of(i)->cancel) == ticket;
        if (ticket == 0 && percent(80))
            take(i);
        else if (ticket != 0 && workers[i].ends_ns <= mono_ns)
            end(i, OUTCOME_SUCCESS);
        else if (asked && percent(20))
            end(i, OUTCOME_CANCELLED);
    }
}

/* --- what happens to it --- */

static void front_death(void)
{
    if (percent(50))
        committer_step(&committer);
    front_dies();
    if (percent(50))
        pass(between(1, 20000));
    workers_move();
    front_prepare();
}

static void turn_schedule(struct plan *plan)
{
    plan->paused = !plan->paused;
    plan->ever_paused = true;
    ask(plan->paused ? SCHEDULE_PAUSE : SCHEDULE_RESUME, plan->name, NULL);
}

static void act(void)
{
    if (percent(6))
        front_death();
    if (pauses && percent(5))
        turn_schedule(&plans[between(0, SCHEDULES - 1)]);
    if (clock_set && percent(5))
        real_ms -= between(1, 30000);
    if (percent(4))
        pass(between(1000, 60000)); /* it hangs */
}

static void move_on(void)
{
    step(percent(80));
    workers_move();
    pass(percent(70) ? between(1, 200) : between(200, 1500));
}

/* --- what must hold --- */

static int64_t ask_store(const struct plan *plan, const char *what)
{
    char sql[256];
    snprintf(sql, sizeof sql, "SELECT %s FROM jobs WHERE task = '%s'", what, plan->name);
    return look(sql);
}

static int64_t firings(const struct plan *plan, const struct schedule *schedule)
{
    struct zone *zone;
    int64_t at_ms = plan->begun_ms, count = 0;
    ok(zone_open("UTC", &zone));
    while (cron_next(&schedule->cron, zone, at_ms, &at_ms) && at_ms < schedule->next_ms)
        count++;
    zone_close(zone);
    return count;
}

static void check(const struct plan *plan)
{
    const struct schedule *schedule = in_force(plan);
    ck_assert_int_eq(ask_store(plan, "count(*)"), schedule->made);
    ck_assert_int_eq(ask_store(plan, "count(DISTINCT scheduled_ms)"), schedule->made);
    ck_assert_int_eq(ask_store(plan, "max(scheduled_ms)"), schedule->last_ms);
    if (clock_set || plan->ever_paused)
        return;
    ck_assert_int_eq(schedule->made + schedule->skipped, firings(plan, schedule));
    if (plan->catch_up == CATCH_UP_ALL && plan->overlap != OVERLAP_SKIP && !refusals)
        ck_assert_int_eq(schedule->skipped, 0);
}

static bool any_busy(void)
{
    for (int i = 0; i < SCHEDULES; i++)
        if (in_force(&plans[i])->busy)
            return true;
    return false;
}

/* No more times; what there is ends. */
static void run_out(void)
{
    for (int i = 0; any_busy(); i++) { /* what is to be made up for comes one by one */
        ck_assert_int_lt(i, 5000);
        step(true);
    }
    for (int i = 0; i < SCHEDULES; i++)
        check(&plans[i]);
    for (int i = 0; i < SCHEDULES; i++)
        if (!plans[i].paused)
            ask(SCHEDULE_PAUSE, plans[i].name, NULL);
    for (int i = 0; look("SELECT count(*) FROM jobs WHERE state NOT IN (3, 5)") > 0; i++) {
        ck_assert_int_lt(i, 50000);
        for (int k = 0; k < 20; k++) {
            step(true);
            workers_move();
            pass(500);
        }
    }
    ck_assert_int_eq(look("SELECT count(*) FROM edges"), 0);
    ck_assert_int_eq(lineup_queue(&dispatcher.lineup, "default")->incoming, 0);
}

START_TEST(each_time_becomes_one_job_or_is_counted_and_none_overlap)
{
    uint64_t seed = (uint64_t)_i + 1;
    make_folder();
    config = (struct config){
        .jobs_max_crashes = 3, .jobs_max_lost = 20, .jobs_key_concurrency = 1, .state_dir = folder};
    wake_fd = eventfd(0, EFD_NONBLOCK);
    composing = (struct compose){compose, NULL};
    make_segment(SLOT_COUNT);
    front_prepare();
    begin_world(seed);
    for (int i = 0; i < ROUNDS; i++) {
        act();
        move_on();
    }
    run_out();
    rig_down();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("schedules_chaos");
    TCase *tests = tcase_create("all");
    tcase_add_loop_test(tests, each_time_becomes_one_job_or_is_counted_and_none_overlap, 0, SCENARIOS);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
