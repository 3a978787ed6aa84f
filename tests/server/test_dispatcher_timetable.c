/* Schedules that are made, changed and removed, by request and by the file. */
#include "schedules_fixture.h"

#include "clock.h"

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

START_TEST(a_definition_is_replaced_only_if_it_is_what_was_expected)
{
    static const char WEEKLY[] = "{\"cron\":\"0 3 * * 0\",\"job\":{\"task\":\"echo\"}}";
    struct changed changed;
    send_change(&changed, SCHEDULE_PUT, "nightly", WEEKLY);
    changed.change.expects = (struct text){"x", 1};
    TURN_UNTIL(answered(&changed.asked));
    ck_assert_int_eq(changed.asked.errand.err, ERR_UNKNOWN_SCHEDULE);
    ok(put(""));
    send_change(&changed, SCHEDULE_PUT, "nightly", WEEKLY);
    changed.change.expects = (struct text){"x", 1};
    TURN_UNTIL(answered(&changed.asked));
    ck_assert_int_eq(changed.asked.errand.err, ERR_CONFLICT);
    send_change(&changed, SCHEDULE_PUT, "nightly", WEEKLY);
    changed.change.expects = nightly()->text;
    TURN_UNTIL(answered(&changed.asked));
    ok(changed.asked.errand.err);
    ck_assert_str_eq(nightly()->definition.cron, "0 3 * * 0");
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

static struct complaint *complaint(enum err err)
{
    for (size_t i = 0; i < SCHEDULE_COMPLAINTS; i++)
        if (nightly()->complaints[i].err == err)
            return &nightly()->complaints[i];
    ck_abort_msg("there is no such complaint");
}

START_TEST(the_job_of_the_file_is_looked_at_once_the_catalogue_is_there)
{
    entries[0] = entry("nightly", "0 3 1 1 *");
    compose_err = ERR_STARTING;
    reread(1);
    turns(3);
    ck_assert(!nightly()->proven && nightly()->error_ms == 0);
    compose_err = ERR_UNKNOWN_TASK;
    turns(2);
    ck_assert(nightly()->proven);
    ck_assert_str_eq(nightly()->error, "there is no task \"echo\"");
    int before = composed;
    turns(5);
    ck_assert_int_eq(composed, before);
    compose_err = ERR_OK; /* mended, and reloaded */
    prove_after_reload(&dispatcher);
    turns(3);
    ck_assert_int_ne(nightly()->error_ms, 0); /* the new catalogue is not there yet */
    prove_again(&dispatcher);
    turns(2);
    ck_assert_int_eq(nightly()->error_ms, 0);
}
END_TEST

START_TEST(what_is_wrong_with_the_file_is_not_kept_as_if_a_time_had_failed)
{
    entries[0] = entry("nightly", "0 3 1 1 *");
    compose_err = ERR_UNKNOWN_TASK;
    reread(1);
    turns(3);
    ck_assert_int_ne(nightly()->error_ms, 0);
    ok(change(SCHEDULE_PAUSE, "nightly", NULL));
    ck_assert_int_eq(look("SELECT body LIKE '%\"error\"%' FROM schedules"), 0);
    ok(change(SCHEDULE_RESUME, "nightly", NULL));
    fire_once();
    ck_assert_int_eq(nightly()->skipped, 1);
    ck_assert_int_eq(look("SELECT body LIKE '%\"error\"%' FROM schedules"), 1);
}
END_TEST

START_TEST(the_same_failure_is_said_once_a_minute)
{
    ok(put(""));
    compose_err = ERR_UNKNOWN_TASK;
    for (int i = 0; i < 3; i++)
        fire_once();
    ck_assert_int_eq(complaint(ERR_UNKNOWN_TASK)->unsaid, 2);
    compose_err =
        ERR_BROKEN_TASK; /* another reason is said at once, and does not end the silence on the first */
    fire_once();
    ck_assert_int_eq(complaint(ERR_BROKEN_TASK)->unsaid, 0);
    compose_err = ERR_UNKNOWN_TASK;
    fire_once();
    ck_assert_int_eq(complaint(ERR_UNKNOWN_TASK)->unsaid, 3);
    complaint(ERR_UNKNOWN_TASK)->said_ns -= COMPLAIN_AGAIN_MS * NS_PER_MS;
    fire_once();
    ck_assert_int_eq(complaint(ERR_UNKNOWN_TASK)->unsaid, 0);
    ck_assert_int_eq(nightly()->skipped, 6);
}
END_TEST

START_TEST(a_unique_job_is_not_replaced)
{
    ok(put(",\"overlap\":\"replace\""));
    fire_once();
    struct id first = nightly()->last_job;
    compose_unique = true; /* what the task's defaults say, say, has changed */
    fire_once();
    ck_assert_int_eq(nightly()->skipped, 1);
    ck_assert_ptr_nonnull(strstr(nightly()->error, "unique"));
    ck_assert_int_eq(state_of(first), JOB_QUEUED);
    run_all(1);
}
END_TEST

START_TEST(a_page_holds_what_is_behind_a_name)
{
    static const char *const NAMES[] = {"a", "b", "c", "d"};
    for (size_t i = 0; i < 4; i++)
        ok(change(SCHEDULE_PUT, NAMES[i], "{\"cron\":\"0 3 1 1 *\",\"job\":{\"task\":\"echo\"}}"));
    static const struct {
        struct look asked;
        size_t count;
        const char *first;
        bool more;
    } CASES[] = {{{.most = 2}, 2, "a", true},
                 {{.most = 2, .name = "b"}, 2, "c", false},
                 {{.most = 4}, 4, "a", false},
                 {{.most = 0}, 4, "a", false},
                 {{.most = 2, .name = "bb"}, 2, "c", false},
                 {{.one = true, .name = "b"}, 1, "b", false},
                 {{.one = true, .name = "x"}, 0, NULL, false},
                 {{.most = 5, .name = "d"}, 0, NULL, false}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct look look = CASES[i].asked;
        ok(timetable_look(&dispatcher, &look));
        ck_assert_uint_eq(look.schedules.count, CASES[i].count);
        ck_assert(look.more == CASES[i].more);
        if (CASES[i].first != NULL)
            ck_assert_str_eq(look.schedules.first->name, CASES[i].first);
        schedules_free(&look.schedules);
    }
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
    Suite *suite = suite_create("dispatcher_timetable");
    TCase *tests = tcase_create("all");
    tcase_add_checked_fixture(tests, schedules_up, rig_down);
    tcase_add_test(tests, changes_are_kept);
    tcase_add_test(tests, a_change_waits_for_what_is_being_kept);
    tcase_add_test(tests, a_definition_is_replaced_only_if_it_is_what_was_expected);
    tcase_add_test(tests, nobody_changes_what_is_not_there);
    tcase_add_test(tests, a_trigger_makes_a_job_and_leaves_the_schedule_as_it_is);
    tcase_add_test(tests, the_file_gives_changes_and_takes);
    tcase_add_test(tests, the_file_takes_over_a_name);
    tcase_add_test(tests, the_last_of_several_files_stands);
    tcase_add_test(tests, the_job_of_the_file_is_looked_at_once_the_catalogue_is_there);
    tcase_add_test(tests, what_is_wrong_with_the_file_is_not_kept_as_if_a_time_had_failed);
    tcase_add_test(tests, the_same_failure_is_said_once_a_minute);
    tcase_add_test(tests, a_unique_job_is_not_replaced);
    tcase_add_test(tests, a_page_holds_what_is_behind_a_name);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
