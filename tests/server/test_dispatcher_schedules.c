/* Schedules in the dispatcher, with the real committer and store. Times pass by being written into next_ms.
 */
#include "dispatcher_fixture.h"

#include "extras.h"

static enum err compose_err;
static int composed;

/* Jobs as a submit would make them. */
static enum err compose(void *context, struct text body, struct job **job, struct buf *why)
{
    (void)context;
    composed++;
    *job = NULL;
    ck_assert_uint_eq(body.bytes, strlen("{\"task\":\"echo\"}"));
    if (compose_err != ERR_OK) {
        buf_put(why, "there is no task \"echo\"");
        return compose_err;
    }
    *job = new_job(PRIORITY_DEFAULT, DURABILITY_PROCESS);
    (*job)->spec.lane = job_lane(&(*job)->spec);
    return ERR_OK;
}

static void schedules_up(void)
{
    compose_err = ERR_OK;
    composed = 0;
    composing = (struct compose){compose, NULL};
    rig_up();
}

/* --- requests --- */

struct changed {
    struct asked asked; /* first */
    struct schedule_change change;
};

static void send_change(struct changed *changed, enum schedule_verb verb, const char *name, const char *body)
{
    struct work *work = work_new(WORK_SCHEDULE);
    *changed = (struct changed){.asked.errand = {.kind = ERRAND_SCHEDULE, .notify = on_answer},
                                .change = {.verb = verb, .body = {body, body != NULL ? strlen(body) : 0}}};
    strcpy(changed->change.name, name);
    changed->asked.errand.schedule = &changed->change;
    work->errand = &changed->asked.errand;
    dispatcher_give(&dispatcher, work);
}

static enum err change(enum schedule_verb verb, const char *name, const char *body)
{
    struct changed changed;
    send_change(&changed, verb, name, body);
    TURN_UNTIL(answered(&changed.asked));
    return changed.asked.errand.err;
}

/* The one of the tests: each day at three, so never by itself while they run (unless they run then). */
static enum err put(const char *more)
{
    char body[256];
    snprintf(body, sizeof body, "{\"cron\":\"0 3 1 1 *\",\"timezone\":\"UTC\"%s,\"job\":{\"task\":\"echo\"}}",
             more);
    return change(SCHEDULE_PUT, "nightly", body);
}

static struct schedule *nightly(void)
{
    struct schedule *schedule = schedules_find(&dispatcher.timetable.in_force, "nightly");
    ck_assert_ptr_nonnull(schedule);
    return schedule;
}

/* --- time --- */

/* Seconds, each of which is a firing: now it is due, or was so long ago. */
static void make_due(int64_t ago_ms)
{
    struct schedule *schedule = nightly();
    BUF_AUTO why = {0};
    ok(cron_parse("* * * * * *", &schedule->cron, &why));
    schedule->next_ms = (clock_real_ms() - ago_ms) / 1000 * 1000;
    dispatcher.timetable.next_ms = 0;
}

/* … and that one alone, until it is made due again. */
static void once(void)
{
    struct schedule *schedule = nightly();
    BUF_AUTO why = {0};
    int64_t second = clock_real_ms() / 1000;
    char cron[64];
    /* This second of each hour: cron fires at it, and not soon again. */
    snprintf(cron, sizeof cron, "%d %d * * * *", (int)(second % 60), (int)(second / 60 % 60));
    ok(cron_parse(cron, &schedule->cron, &why));
    schedule->last_ms = 0; /* as if a second of an earlier hour had fired: tests are quick */
    schedule->next_ms = second * 1000;
    dispatcher.timetable.next_ms = 0;
}

static int64_t handled(void)
{
    return nightly()->made + nightly()->skipped;
}

static void fire_once(void)
{
    int64_t before = handled();
    once();
    TURN_UNTIL(handled() == before + 1);
}

static int64_t row_of(const char *column)
{
    char sql[128];
    snprintf(sql, sizeof sql, "SELECT %s FROM schedules WHERE name = 'nightly'", column);
    return look(sql);
}

static void assert_kept(void)
{
    ck_assert_int_eq(row_of("made"), nightly()->made);
    ck_assert_int_eq(row_of("skipped"), nightly()->skipped);
    ck_assert_int_eq(row_of("last_ms"), nightly()->last_ms);
    ck_assert_int_eq(row_of("next_ms"), nightly()->next_ms);
}

/* --- firing --- */

START_TEST(a_time_becomes_one_job_that_says_where_it_is_from)
{
    struct json_span name;
    ok(put(""));
    fire_once();
    ck_assert_int_eq(nightly()->made, 1);
    assert_kept();
    ck_assert_int_eq(look("SELECT count(*) FROM jobs"), 1);
    JOB_AUTO job = row(nightly()->last_job);
    ck_assert_int_eq(job->spec.scheduled_ms, nightly()->last_ms);
    ck_assert(extras_find(job->extras, EXTRA_SCHEDULE, &name));
    ck_assert_mem_eq(name.at, "\"nightly\"", 9);
    run_all(1);
    ck_assert_int_eq(lineup_queue(&dispatcher.lineup, "default")->incoming, 0);
}
END_TEST

START_TEST(a_front_that_dies_before_the_commit_leaves_the_time_due)
{
    ok(put(""));
    front_dies();
    front_prepare(); /* without a committer: nothing is kept */
    once();
    turns(3);
    ck_assert(nightly()->busy);
    ck_assert_int_eq(look("SELECT count(*) FROM jobs"), 0);
    front_dies();
    front_up();
    ck_assert_int_eq(nightly()->made, 0);
    fire_once();
    ck_assert_int_eq(look("SELECT count(*) FROM jobs"), 1);
    run_all(1);
}
END_TEST

START_TEST(a_front_that_dies_after_the_commit_fires_no_second_time)
{
    ok(put(""));
    once();
    turn(); /* it is on its way */
    ck_assert(nightly()->busy);
    front_dies(); /* which commits what was given, and tells nobody */
    ck_assert_int_eq(look("SELECT count(*) FROM jobs"), 1);
    front_up();
    ck_assert_int_eq(nightly()->made, 1);
    turns(5);
    ck_assert_int_eq(look("SELECT count(*) FROM jobs"), 1);
    run_all(1);
}
END_TEST

START_TEST(times_that_passed_are_made_up_for_by_one)
{
    ok(put(""));
    make_due(20000);
    TURN_UNTIL(nightly()->made == 1);
    ck_assert_int_ge(nightly()->skipped, 19);
    assert_kept();
    ck_assert_int_ge(nightly()->last_ms, clock_real_ms() - 5000);
}
END_TEST

START_TEST(none_is_made_up_for)
{
    ok(put(",\"catch_up\":\"none\""));
    make_due(20000);
    TURN_UNTIL(nightly()->skipped >= 20);
    ck_assert_int_eq(nightly()->made, 0);
    assert_kept();
    ck_assert_int_eq(composed, 0);
}
END_TEST

START_TEST(all_are_made_up_for_and_wait_for_each_other)
{
    ok(put(",\"catch_up\":\"all\""));
    make_due(10000);
    TURN_UNTIL(nightly()->made >= 10);
    ok(change(SCHEDULE_PAUSE, "nightly", NULL));
    int64_t made = nightly()->made;
    ck_assert_int_eq(look("SELECT count(*) FROM jobs WHERE state = 7"), made - 1);
    ck_assert_int_eq(look("SELECT count(DISTINCT scheduled_ms) FROM jobs"), made);
    run_all((int)made);
}
END_TEST

/* --- overlap --- */

START_TEST(a_time_is_skipped_while_the_last_job_has_not_ended)
{
    ok(put(""));
    fire_once();
    fire_once();
    ck_assert_int_eq(nightly()->made, 1);
    ck_assert_int_eq(nightly()->skipped, 1);
    assert_kept();
    uint64_t ticket = start_next(0);
    fire_once(); /* nor while it runs */
    ck_assert_int_eq(nightly()->skipped, 2);
    succeed(0, ticket);
    TURN_UNTIL(state_of(nightly()->last_job) == JOB_SUCCEEDED);
    fire_once();
    ck_assert_int_eq(nightly()->made, 2);
    run_all(1);
}
END_TEST

START_TEST(a_job_waits_for_the_last_one)
{
    ok(put(",\"overlap\":\"queue\""));
    fire_once();
    struct id first = nightly()->last_job;
    fire_once();
    struct id second = nightly()->last_job;
    ck_assert(!id_equal(first, second));
    ck_assert_int_eq(state_of(second), JOB_BLOCKED);
    uint64_t ticket = start_next(0);
    ck_assert(id_equal(id_of_ticket(ticket), first));
    ck_assert_uint_eq(claim_next(1), 0);
    finish_run(0, ticket, OUTCOME_SUCCESS);
    ticket = start_next(0);
    ck_assert(id_equal(id_of_ticket(ticket), second));
    succeed(0, ticket);
    assert_nothing_left();
}
END_TEST

START_TEST(a_job_that_waits_is_replaced)
{
    ok(put(",\"overlap\":\"replace\""));
    fire_once();
    struct id first = nightly()->last_job;
    fire_once();
    TURN_UNTIL(state_of(first) == JOB_CANCELLED);
    uint64_t ticket = start_next(0);
    ck_assert(id_equal(id_of_ticket(ticket), nightly()->last_job));
    succeed(0, ticket);
    assert_nothing_left();
}
END_TEST

START_TEST(a_job_that_runs_is_asked_to_stop_and_all_later_ones_wait_for_it)
{
    ok(put(",\"overlap\":\"replace\""));
    fire_once();
    uint64_t ticket = start_next(0);
    fire_once();
    struct id second = nightly()->last_job;
    ck_assert_uint_eq(atomic_load(&board_of(0)->cancel), ticket);
    ck_assert_int_eq(state_of(second), JOB_BLOCKED);
    fire_once(); /* the second one never ran, but the first one still does */
    struct id third = nightly()->last_job;
    TURN_UNTIL(state_of(second) == JOB_CANCELLED);
    turns(5);
    ck_assert_int_eq(state_of(third), JOB_BLOCKED);
    ck_assert_uint_eq(claim_next(1), 0);
    restart(); /* that is kept, too */
    fire_once();
    TURN_UNTIL(state_of(third) == JOB_CANCELLED);
    turns(5);
    ck_assert_uint_eq(claim_next(1), 0);
    finish_run(0, ticket, OUTCOME_CANCELLED);
    ticket = start_next(0);
    ck_assert(id_equal(id_of_ticket(ticket), nightly()->last_job));
    succeed(0, ticket);
    assert_nothing_left();
    ck_assert_int_eq(nightly()->made, 4);
}
END_TEST

START_TEST(a_blocked_job_ends_with_the_commit_of_the_one_that_replaces_it)
{
    ok(put(",\"overlap\":\"replace\""));
    fire_once();
    uint64_t ticket = start_next(0);
    fire_once();
    struct id second = nightly()->last_job;
    dispatcher.loads_running++; /* cancels have to wait */
    fire_once();
    ck_assert_ptr_nonnull(dispatcher.deferred);
    ck_assert_int_eq(state_of(second), JOB_CANCELLED);
    dispatcher.loads_running--;
    cancel_undefer(&dispatcher);
    TURN_UNTIL(dispatcher.deferred == NULL);
    finish_run(0, ticket, OUTCOME_CANCELLED);
    run_all(1);
}
END_TEST

/* --- refusals --- */

START_TEST(what_cannot_be_submitted_is_skipped_and_says_why)
{
    ok(put(""));
    compose_err = ERR_UNKNOWN_TASK;
    fire_once();
    ck_assert_int_eq(nightly()->made, 0);
    ck_assert_int_eq(nightly()->skipped, 1);
    ck_assert_str_eq(nightly()->error, "there is no task \"echo\"");
    assert_kept();
    restart();
    ck_assert_str_eq(nightly()->error, "there is no task \"echo\"");
}
END_TEST

START_TEST(before_the_catalogue_is_there_times_wait)
{
    ok(put(""));
    compose_err = ERR_STARTING;
    once();
    TURN_UNTIL(composed > 0);
    ck_assert_int_eq(handled(), 0);
    compose_err = ERR_OK;
    nightly()->again_ms = 0;
    dispatcher.timetable.next_ms = 0;
    TURN_UNTIL(nightly()->made == 1);
    run_all(1);
}
END_TEST

START_TEST(a_drain_skips_and_a_pause_does_not)
{
    ok(put(",\"overlap\":\"queue\""));
    dispatcher.whole.values[LIMIT_PAUSED] = 1;
    change_join(&dispatcher);
    fire_once();
    ck_assert_int_eq(nightly()->made, 1);
    dispatcher.whole.values[LIMIT_PAUSED] = 0;
    dispatcher.whole.values[LIMIT_DRAINING] = 1;
    change_join(&dispatcher);
    fire_once();
    ck_assert_int_eq(nightly()->skipped, 1);
    ck_assert_ptr_nonnull(strstr(nightly()->error, "drained"));
    ck_assert_int_eq(change(SCHEDULE_TRIGGER, "nightly", NULL), ERR_QUEUE_CLOSED);
    ck_assert_int_eq(lineup_queue(&dispatcher.lineup, "default")->incoming, 0);
}
END_TEST

START_TEST(a_full_queue_skips)
{
    ok(put(",\"overlap\":\"queue\""));
    struct queue *queue = lineup_queue(&dispatcher.lineup, "default");
    queue->set.values[LIMIT_MAX_DEPTH] = 1;
    queue->set.values[LIMIT_PAUSED] = 1;
    change_join(&dispatcher);
    change_settle(&dispatcher);
    fire_once();
    fire_once();
    ck_assert_int_eq(nightly()->made, 1);
    ck_assert_int_eq(nightly()->skipped, 1);
    ck_assert_ptr_nonnull(strstr(nightly()->error, "max_depth"));
}
END_TEST

START_TEST(what_a_full_store_refuses_is_tried_again)
{
    ok(put(",\"catch_up\":\"none\""));
    atomic_store(&committer.full, true);
    committer.look_ns = INT64_MAX; /* it stays so */
    once();
    TURN_UNTIL(nightly()->refused);
    ck_assert_int_eq(handled(), 0);
    ck_assert_int_ne(nightly()->error_ms, 0);
    atomic_store(&committer.full, false);
    TURN_UNTIL(nightly()->made == 1);
    run_all(1);
}
END_TEST

START_TEST(while_the_server_ends_nothing_fires)
{
    ok(put(""));
    atomic_store(&segment.header->draining, DRAIN_WORKERS);
    once();
    turns(5);
    ck_assert_int_eq(composed, 0);
    ck_assert_int_eq(handled(), 0);
}
END_TEST

/* --- changes --- */

START_TEST(changes_are_kept)
{
    ok(put(""));
    ok(change(SCHEDULE_PAUSE, "nightly", NULL));
    once();
    turns(5);
    ck_assert_int_eq(handled(), 0);
    restart();
    ck_assert(schedule_paused(nightly()));
    ok(change(SCHEDULE_RESUME, "nightly", NULL));
    ck_assert_int_gt(nightly()->next_ms, clock_real_ms());
    ck_assert_int_eq(handled(), 0);
    restart();
    ck_assert(!schedule_paused(nightly()));
    ok(change(SCHEDULE_DROP, "nightly", NULL));
    ck_assert_int_eq(look("SELECT count(*) FROM schedules"), 0);
    ck_assert_uint_eq(dispatcher.timetable.in_force.count, 0);
}
END_TEST

START_TEST(a_change_waits_for_what_is_being_kept)
{
    struct changed changed[3];
    ok(put(""));
    once();
    turn();
    ck_assert(nightly()->busy);
    send_change(&changed[0], SCHEDULE_PAUSE, "nightly", NULL);
    send_change(&changed[1], SCHEDULE_DROP, "nightly", NULL);
    send_change(&changed[2], SCHEDULE_PAUSE, "nightly", NULL);
    TURN_UNTIL(answered(&changed[2].asked));
    ok(changed[0].asked.errand.err);
    ok(changed[1].asked.errand.err);
    ck_assert_int_eq(changed[2].asked.errand.err, ERR_UNKNOWN_SCHEDULE);
    ck_assert_int_eq(look("SELECT count(*) FROM jobs"), 1);
    ck_assert_int_eq(look("SELECT count(*) FROM schedules"), 0);
    run_all(1);
}
END_TEST

START_TEST(nobody_changes_what_is_not_there)
{
    ck_assert_int_eq(change(SCHEDULE_DROP, "nobody", NULL), ERR_UNKNOWN_SCHEDULE);
    ck_assert_int_eq(change(SCHEDULE_PAUSE, "nobody", NULL), ERR_UNKNOWN_SCHEDULE);
    ck_assert_int_eq(change(SCHEDULE_RESUME, "nobody", NULL), ERR_UNKNOWN_SCHEDULE);
    ck_assert_int_eq(change(SCHEDULE_TRIGGER, "nobody", NULL), ERR_UNKNOWN_SCHEDULE);
}
END_TEST

START_TEST(a_trigger_makes_a_job_and_leaves_the_schedule_as_it_is)
{
    struct changed changed;
    struct json_span name;
    ok(put(",\"paused\":true"));
    int64_t next_ms = nightly()->next_ms;
    send_change(&changed, SCHEDULE_TRIGGER, "nightly", NULL);
    TURN_UNTIL(answered(&changed.asked));
    ok(changed.asked.errand.err);
    JOB_AUTO job = row(changed.change.job);
    ck_assert(extras_find(job->extras, EXTRA_SCHEDULE, &name));
    ck_assert_int_eq(job->spec.scheduled_ms, 0);
    ck_assert_int_eq(nightly()->next_ms, next_ms);
    ck_assert_int_eq(handled(), 0);
    compose_err = ERR_UNKNOWN_TASK;
    send_change(&changed, SCHEDULE_TRIGGER, "nightly", NULL);
    TURN_UNTIL(answered(&changed.asked));
    ck_assert_int_eq(changed.asked.errand.err, ERR_UNKNOWN_TASK);
    ck_assert_str_eq(changed.change.why, "there is no task \"echo\"");
    run_all(1);
    ck_assert_int_eq(lineup_queue(&dispatcher.lineup, "default")->incoming, 0);
}
END_TEST

/* --- of the file --- */

static struct schedule_config entries[2];

/* The file is read again, with so many of the entries. */
static void reread(size_t count)
{
    struct config fresh = config;
    fresh.schedules = entries;
    fresh.schedule_count = count;
    configure(&dispatcher, &fresh);
    TURN_UNTIL(!dispatcher.timetable.unsettled && !dispatcher.timetable.changing);
}

static struct schedule_config entry(const char *name, const char *cron)
{
    struct schedule_config made = {.timezone = "UTC", .catch_up = CATCH_UP_ONE, .job = "{\"task\":\"echo\"}"};
    strcpy(made.name, name);
    made.cron = (char *)(uintptr_t)cron;
    return made;
}

START_TEST(the_file_gives_changes_and_takes)
{
    entries[0] = entry("nightly", "0 3 1 1 *");
    entries[1] = entry("weekly", "0 3 * * 0");
    reread(2);
    ck_assert_uint_eq(dispatcher.timetable.in_force.count, 2);
    ck_assert(nightly()->from_file);
    ck_assert_int_eq(put(""), ERR_CONFLICT);
    ck_assert_int_eq(change(SCHEDULE_DROP, "nightly", NULL), ERR_CONFLICT);
    fire_once();
    ok(change(SCHEDULE_PAUSE, "nightly", NULL));
    int64_t next_ms = nightly()->next_ms;
    reread(2); /* nothing new: nothing happens */
    ck_assert_int_eq(nightly()->next_ms, next_ms);
    entries[0] = entry("nightly", "0 4 1 1 *");
    reread(2);
    ck_assert_str_eq(nightly()->definition.cron, "0 4 1 1 *");
    ck_assert_int_eq(nightly()->made, 1);
    ck_assert(schedule_paused(nightly())); /* by request */
    reread(1);
    ck_assert_ptr_null(schedules_find(&dispatcher.timetable.in_force, "weekly"));
    reread(0);
    ck_assert_int_eq(look("SELECT count(*) FROM schedules"), 0);
    ok(put("")); /* the name is free */
    run_all(1);
}
END_TEST

START_TEST(the_file_takes_over_a_name)
{
    ok(put(""));
    fire_once();
    entries[0] = entry("nightly", "0 3 1 1 *");
    reread(1);
    ck_assert(nightly()->from_file);
    ck_assert_int_eq(nightly()->made, 1);
    ck_assert_int_eq(change(SCHEDULE_DROP, "nightly", NULL), ERR_CONFLICT);
    run_all(1);
}
END_TEST

START_TEST(the_last_of_several_files_stands)
{
    struct config fresh = config;
    fresh.schedules = entries;
    fresh.schedule_count = 1;
    for (int i = 0; i < 4; i++) {
        entries[0] = entry("nightly", i % 2 == 0 ? "0 3 1 1 *" : "0 4 1 1 *");
        configure(&dispatcher, &fresh);
        turn();
    }
    TURN_UNTIL(!dispatcher.timetable.unsettled && !dispatcher.timetable.changing);
    ck_assert_str_eq(nightly()->definition.cron, "0 4 1 1 *");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("dispatcher_schedules");
    TCase *tests = tcase_create("all");
    tcase_add_checked_fixture(tests, schedules_up, rig_down);
    tcase_add_test(tests, a_time_becomes_one_job_that_says_where_it_is_from);
    tcase_add_test(tests, times_that_passed_are_made_up_for_by_one);
    tcase_add_test(tests, none_is_made_up_for);
    tcase_add_test(tests, all_are_made_up_for_and_wait_for_each_other);
    tcase_add_test(tests, a_time_is_skipped_while_the_last_job_has_not_ended);
    tcase_add_test(tests, a_job_waits_for_the_last_one);
    tcase_add_test(tests, a_job_that_waits_is_replaced);
    tcase_add_test(tests, a_job_that_runs_is_asked_to_stop_and_all_later_ones_wait_for_it);
    tcase_add_test(tests, a_blocked_job_ends_with_the_commit_of_the_one_that_replaces_it);
    tcase_add_test(tests, what_cannot_be_submitted_is_skipped_and_says_why);
    tcase_add_test(tests, before_the_catalogue_is_there_times_wait);
    tcase_add_test(tests, a_drain_skips_and_a_pause_does_not);
    tcase_add_test(tests, a_full_queue_skips);
    tcase_add_test(tests, what_a_full_store_refuses_is_tried_again);
    tcase_add_test(tests, while_the_server_ends_nothing_fires);
    tcase_add_test(tests, changes_are_kept);
    tcase_add_test(tests, a_change_waits_for_what_is_being_kept);
    tcase_add_test(tests, nobody_changes_what_is_not_there);
    tcase_add_test(tests, a_trigger_makes_a_job_and_leaves_the_schedule_as_it_is);
    tcase_add_test(tests, the_file_gives_changes_and_takes);
    tcase_add_test(tests, the_file_takes_over_a_name);
    tcase_add_test(tests, the_last_of_several_files_stands);
    tcase_add_test(tests, a_front_that_dies_before_the_commit_leaves_the_time_due);
    tcase_add_test(tests, a_front_that_dies_after_the_commit_fires_no_second_time);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
