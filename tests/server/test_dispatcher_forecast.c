/* When a job would start, and what holds it up, as the dispatcher says it. */
#include "limits_fixture.h"

enum { RUN_S = 10 };

static void workers_up(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        atomic_store(&segment.boards[i].status, WORKER_LIVE);
}

/* As if jobs of the tests' task ran for so long. */
static void measured(int64_t seconds)
{
    lineup_task(&dispatcher.lineup, "echo")->run_ns = seconds * NS_PER_SEC;
}

/* Takes the place that it gets, if it does. */
static enum err ask_start(const char *queue, const char *key, uint8_t priority, int64_t within_ms,
                          struct why *why)
{
    JOB_AUTO job = job_in(queue, key);
    struct look look = {.kind = LOOK_START, .spec = &job->spec, .within_ms = within_ms};
    struct asked asked = {.errand = {.kind = ERRAND_LOOK, .look = &look}};
    job->spec.priority = priority;
    job->spec.lane = job_lane(&job->spec);
    send_errand(&asked, WORK_LOOK, (struct id){0});
    enum err err = answer_of(&asked);
    *why = look.why;
    return err;
}

static struct why start_of(const char *queue, const char *key, uint8_t priority)
{
    struct why why;
    atomic_store(&lineup_queue(&dispatcher.lineup, queue)->incoming, 0); /* fixtures submit without a place */
    enum err err = ask_start(queue, key, priority, 5000, &why);
    ck_assert_int_eq(err, why.estimate_seconds >= 0 && why.estimate_seconds <= 5 ? ERR_OK : ERR_TOO_LATE);
    if (err == ERR_OK)
        lineup_unreserve(lineup_queue(&dispatcher.lineup, queue));
    return why;
}

static struct why start_in(const char *queue)
{
    return start_of(queue, "", PRIORITY_DEFAULT);
}

static void assert_unknown(struct why why, enum reason slowest)
{
    ck_assert(why.estimate_seconds < 0);
    ck_assert_str_eq(reason_code(why.slowest), reason_code(slowest));
}

/* Some time may have passed since; never so much as RUN_S. */
static void assert_starts_in(struct why why, double seconds, enum reason slowest)
{
    ck_assert_str_eq(reason_code(why.slowest), reason_code(slowest));
    ck_assert_double_le(why.estimate_seconds, seconds);
    ck_assert_double_gt(why.estimate_seconds, seconds - RUN_S / 2);
}

static void assert_now(struct why why)
{
    ck_assert_double_eq(why.estimate_seconds, 0);
    ck_assert_str_eq(reason_code(why.slowest), reason_code(REASON_NEXT));
}

/* --- workers --- */

START_TEST(nothing_starts_without_a_worker)
{
    assert_unknown(start_in("default"), REASON_NO_WORKER);
    ck_assert_uint_eq(dispatcher.lineup.lane_count, 0); /* that of the look is gone again */
    workers_up(1);
    assert_now(start_of("default", "key", 5));
    ck_assert_uint_eq(dispatcher.lineup.lane_count, 0);
    ck_assert_uint_eq(dispatcher.lineup.key_count, 0);
}
END_TEST

START_TEST(with_all_workers_busy_nobody_knows_until_runs_were_measured)
{
    workers_up(2);
    uint64_t one, two;
    assert_starts(0, submitted_job(), &one);
    assert_now(start_in("default"));
    assert_starts(1, submitted_job(), &two);
    struct why why = start_in("empty");
    assert_unknown(why, REASON_BEHIND);
    ck_assert(why.running == 2 && why.before == 0);
    measured(RUN_S);
    assert_starts_in(start_in("empty"), RUN_S, REASON_BEHIND);
    slot_of_ticket(one)->run_ns = NS_PER_SEC;
    succeed(0, one);
    succeed(1, two);
    assert_nothing_left();
    ck_assert_int_lt(lineup_task(&dispatcher.lineup, "echo")->run_ns, RUN_S * NS_PER_SEC);
    assert_now(start_in("empty"));
}
END_TEST

START_TEST(what_has_run_longer_than_usual_goes_on_for_as_long)
{
    workers_up(1);
    submitted_job();
    uint64_t ticket = start_next(0);
    measured(1);
    slot_of_ticket(ticket)->attempt.started_ms -= 30000;
    ck_assert_double_ge(start_in("default").estimate_seconds, 30);
    slot_of_ticket(ticket)->attempt.started_ms += 29500;
    ck_assert_double_le(start_in("default").estimate_seconds, 29);
    succeed(0, ticket);
    assert_nothing_left();
}
END_TEST

START_TEST(what_is_more_urgent_goes_before)
{
    uint64_t ticket;
    workers_up(1);
    assert_starts(0, submitted_job(), &ticket);
    measured(RUN_S);
    set(SETTING_SERVER, "", LIMIT_PAUSED, 1);
    submitted_at(9);
    submitted_at(9);
    submitted_at(1);
    submitted_in("other", "");
    set(SETTING_SERVER, "", LIMIT_PAUSED, LIMIT_NOT_SET);
    assert_starts_in(start_of("default", "", 9), 3 * RUN_S, REASON_BEHIND);
    assert_starts_in(start_of("third", "", 5), 4 * RUN_S, REASON_BEHIND); /* and the one of `other` */
    struct why last = start_of("default", "", 0);
    assert_starts_in(last, 5 * RUN_S, REASON_BEHIND);
    ck_assert(last.before == 4 && last.position == 3);
    succeed(0, ticket);
    run_all(4);
}
END_TEST

START_TEST(of_another_queue_no_more_than_its_share_goes_before)
{
    uint64_t ticket;
    workers_up(1);
    assert_starts(0, submitted_job(), &ticket);
    measured(RUN_S);
    set(SETTING_SERVER, "", LIMIT_PAUSED, 1);
    for (int i = 0; i < 8; i++)
        submitted_in("many", "");
    set(SETTING_QUEUE, "many", LIMIT_WEIGHT, 3);
    set(SETTING_SERVER, "", LIMIT_PAUSED, LIMIT_NOT_SET);
    struct why why = start_in("few");
    ck_assert(why.before >= 3 && why.before <= 5 && why.position == 0); /* some may be out already */
    set(SETTING_QUEUE, "many", LIMIT_PAUSED, 1);
    ck_assert_int_eq(start_in("few").before, 0);
    set(SETTING_QUEUE, "many", LIMIT_PAUSED, LIMIT_NOT_SET);
    succeed(0, ticket);
    run_all(8);
}
END_TEST

START_TEST(a_pool_that_may_grow_has_a_worker_soon)
{
    struct pool_config pool = {.name = "default", .workers = 2, .min_workers = 1};
    uint64_t ticket;
    workers_up(1);
    assert_starts(0, submitted_job(), &ticket);
    measured(RUN_S);
    config.pools = &pool;
    config.pool_count = 1;
    assert_starts_in(start_in("default"), 0.2, REASON_BEHIND);
    config.pool_count = 0;
    succeed(0, ticket);
    assert_nothing_left();
}
END_TEST

START_TEST(one_worker_is_promised_once)
{
    struct why why;
    workers_up(1);
    ok(ask_start("one", "", 5, 1000, &why));
    ck_assert_int_eq(ask_start("one", "", 5, 1000, &why), ERR_TOO_LATE);
    ck_assert_int_eq(ask_start("other", "", 5, 1000, &why), ERR_TOO_LATE);
    ck_assert(why.slowest == REASON_BEHIND && why.before == 1 && why.running == 0);
    lineup_unreserve(lineup_queue(&dispatcher.lineup, "one"));
    ok(ask_start("other", "", 5, 1000, &why));
}
END_TEST

START_TEST(a_queue_that_takes_no_job_says_so_before_it_is_too_late)
{
    struct why why;
    set(SETTING_QUEUE, "one", LIMIT_MAX_DEPTH, 1);
    workers_up(2);
    ok(ask_start("one", "", 5, 1000, &why));
    ck_assert_int_eq(ask_start("one", "", 5, 1000, &why), ERR_QUEUE_FULL);
    set(SETTING_QUEUE, "one", LIMIT_DRAINING, 1);
    ck_assert_int_eq(ask_start("one", "", 5, 1000, &why), ERR_QUEUE_CLOSED);
    ck_assert_int_eq(atomic_load(&lineup_queue(&dispatcher.lineup, "one")->incoming), 1);
}
END_TEST

/* --- limits --- */

START_TEST(nobody_knows_when_a_pause_ends)
{
    workers_up(WORKER_COUNT);
    set(SETTING_TASK, "echo", LIMIT_PAUSED, 1);
    assert_unknown(start_in("default"), REASON_TASK_PAUSED);
    set(SETTING_QUEUE, "default", LIMIT_PAUSED, 1);
    assert_unknown(start_in("default"), REASON_QUEUE_PAUSED);
    set(SETTING_SERVER, "", LIMIT_PAUSED, 1);
    assert_unknown(start_in("default"), REASON_SERVER_PAUSED);
}
END_TEST

START_TEST(a_rate_counts_what_has_started_and_what_waits)
{
    uint64_t ticket;
    workers_up(WORKER_COUNT);
    set(SETTING_QUEUE, "slow", LIMIT_RATE, limit_rate((struct rate){.count = 1, .period_s = 60}));
    assert_now(start_in("slow"));
    assert_starts(0, submitted_in("slow", ""), &ticket);
    struct why why = start_in("slow");
    assert_starts_in(why, 60, REASON_QUEUE_RATE);
    ck_assert(why.before == 0 &&
              why.limit[REASON_QUEUE_RATE] == lineup_queue(&dispatcher.lineup, "slow")->gate.rate);
    struct id waits = submitted_in("slow", "");
    why = start_in("slow");
    assert_starts_in(why, 120, REASON_QUEUE_RATE);
    ck_assert_int_eq(why.before, 1);
    assert_starts_in(why_of(waits), 60, REASON_QUEUE_RATE);
    ck_assert(why_of(waits).holds[REASON_QUEUE_RATE]);
    assert_now(start_in("default"));
    ok(cancel_job(waits));
    succeed(0, ticket);
    assert_nothing_left();
}
END_TEST

static void assert_concurrency_holds(enum setting_kind kind, const char *name, enum reason reason)
{
    uint64_t ticket;
    workers_up(WORKER_COUNT);
    if (kind != SETTING_SERVER)
        set(kind, name, LIMIT_CONCURRENCY, 1);
    assert_now(start_of("few", "key", 5));
    assert_starts(0, submitted_in("few", "key"), &ticket);
    struct why why = start_of("few", "key", 5);
    assert_unknown(why, reason);
    ck_assert(why.running == 1 && why.before == 0 && why.limit[reason] == 1);
    measured(RUN_S);
    assert_starts_in(start_of("few", "key", 5), RUN_S, reason);
    struct id waits = submitted_in("few", "key");
    why = start_of("few", "key", 5);
    assert_starts_in(why, 2 * RUN_S, reason);
    ck_assert_int_eq(why.before, 1);
    succeed(0, ticket);
    assert_runs(waits);
    assert_nothing_left();
}

START_TEST(a_concurrency_waits_for_an_end_in_the_queue)
{
    assert_concurrency_holds(SETTING_QUEUE, "few", REASON_QUEUE_CONCURRENCY);
}
END_TEST

START_TEST(a_concurrency_waits_for_an_end_of_the_task)
{
    assert_concurrency_holds(SETTING_TASK, "echo", REASON_TASK_CONCURRENCY);
}
END_TEST

START_TEST(a_concurrency_waits_for_an_end_with_the_key)
{
    assert_concurrency_holds(SETTING_SERVER, "", REASON_KEY_CONCURRENCY);
}
END_TEST

/* --- published, and not begun --- */

static bool is_out(struct id id)
{
    uint32_t slot = hot_find(&hot, id);
    return slot != HOT_NONE && slot_claim_load(&segment.slots[slot]).state == SLOT_QUEUED;
}

/* Both looks come while the first job lies out: it is taken back only after TAKE_BACK_MS, and comes again. */
static void assert_no_limit_by_itself(const char *key)
{
    bool seen = false;
    workers_up(1);
    struct id first = submitted_in("cc", key), second = submitted_in("cc", key);
    for (int i = 0; i < 50 && !seen; i++) {
        TURN_UNTIL(is_out(first));
        struct why one = why_of(first), two = why_of(second);
        ck_assert_int_eq(one.position, 0);
        ck_assert_int_eq(two.position, 1);
        for (int reason = 0; reason < REASON_COUNT; reason++) {
            ck_assert_int_eq(one.holds[reason], reason == REASON_NEXT);
            ck_assert_int_eq(two.holds[reason], reason == REASON_BEHIND);
        }
        seen = is_out(first);
    }
    ck_assert(seen);
    assert_now(why_of(first));
    ok(cancel_job(second));
    assert_runs(first);
    assert_nothing_left();
}

START_TEST(a_published_job_does_not_fill_its_queue)
{
    set(SETTING_QUEUE, "cc", LIMIT_CONCURRENCY, 1);
    assert_no_limit_by_itself("");
}
END_TEST

START_TEST(a_published_job_does_not_fill_its_task)
{
    set(SETTING_TASK, "echo", LIMIT_CONCURRENCY, 1);
    assert_no_limit_by_itself("");
}
END_TEST

START_TEST(a_published_job_does_not_fill_its_key)
{
    assert_no_limit_by_itself("key");
}
END_TEST

START_TEST(a_published_job_has_not_used_up_its_rate)
{
    set(SETTING_QUEUE, "cc", LIMIT_RATE, limit_rate((struct rate){.count = 1, .period_s = 60}));
    assert_no_limit_by_itself("");
}
END_TEST

static TCase *group(Suite *suite, const char *name)
{
    TCase *tests = tcase_create(name);
    tcase_add_checked_fixture(tests, rig_up, rig_down);
    tcase_set_timeout(tests, 60);
    suite_add_tcase(suite, tests);
    return tests;
}

int main(void)
{
    Suite *suite = suite_create("dispatcher: forecast");
    TCase *workers = group(suite, "workers"), *limits = group(suite, "limits"), *out = group(suite, "out");
    tcase_add_test(workers, nothing_starts_without_a_worker);
    tcase_add_test(workers, with_all_workers_busy_nobody_knows_until_runs_were_measured);
    tcase_add_test(workers, what_has_run_longer_than_usual_goes_on_for_as_long);
    tcase_add_test(workers, what_is_more_urgent_goes_before);
    tcase_add_test(workers, of_another_queue_no_more_than_its_share_goes_before);
    tcase_add_test(workers, a_pool_that_may_grow_has_a_worker_soon);
    tcase_add_test(workers, one_worker_is_promised_once);
    tcase_add_test(workers, a_queue_that_takes_no_job_says_so_before_it_is_too_late);
    tcase_add_test(limits, nobody_knows_when_a_pause_ends);
    tcase_add_test(limits, a_rate_counts_what_has_started_and_what_waits);
    tcase_add_test(limits, a_concurrency_waits_for_an_end_in_the_queue);
    tcase_add_test(limits, a_concurrency_waits_for_an_end_of_the_task);
    tcase_add_test(limits, a_concurrency_waits_for_an_end_with_the_key);
    tcase_add_test(out, a_published_job_does_not_fill_its_queue);
    tcase_add_test(out, a_published_job_does_not_fill_its_task);
    tcase_add_test(out, a_published_job_does_not_fill_its_key);
    tcase_add_test(out, a_published_job_has_not_used_up_its_rate);
    return run_suite(suite);
}
