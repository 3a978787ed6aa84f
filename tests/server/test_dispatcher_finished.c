/* What is asked of a finished job, in every place where it can be: run again, be forgotten. */
#include "dispatcher_fixture.h"

static void warm_up(void)
{
    rig_up();
    TURN_UNTIL(all_warm());
}

static void hold_back(bool on)
{
    atomic_store(&segment.header->draining, on ? DRAIN_WORKERS : DRAIN_NONE);
}

static void send_ask(struct asked *asked, enum work_kind kind, struct id id)
{
    struct work *work = work_new(kind);
    *asked = (struct asked){.errand = {.id = id, .notify = on_answer}};
    work->errand = &asked->errand;
    work->id = id;
    dispatcher_give(&dispatcher, work);
}

static enum err ask(enum work_kind kind, struct id id)
{
    struct asked asked;
    send_ask(&asked, kind, id);
    TURN_UNTIL(answered(&asked));
    turns(2);
    ck_assert_int_eq(atomic_load(&asked.answers), 1);
    return asked.errand.err;
}

static struct id finished_job(void)
{
    struct id id = submitted_job();
    run_all(1);
    return id;
}

START_TEST(a_finished_job_runs_again)
{
    struct id id = finished_job();
    ok(ask(WORK_RETRY, id));
    uint64_t ticket = start_next(0);
    ck_assert(id_equal(id_of_ticket(ticket), id));
    const struct slot *slot = slot_of_ticket(ticket);
    ck_assert_uint_eq(slot->spec.attempt, 1);
    ck_assert_mem_eq(segment.arena + slot->args_at, "[1,2,3]", 7);
    succeed(0, ticket);
    assert_nothing_left();
    assert_row(id, JOB_SUCCEEDED, 2, 0, 0, 0);
}
END_TEST

START_TEST(a_failed_job_has_all_its_attempts_again)
{
    struct id id = submitted_job();
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 3; i++)
            finish_run(0, start_next(0), OUTCOME_ERROR);
        TURN_UNTIL(state_of(id) == JOB_FAILED);
        assert_nothing_left();
        assert_row(id, JOB_FAILED, 3 * (uint32_t)(round + 1), 3, 0, 0);
        ok(ask(WORK_RETRY, id));
    }
    succeed(0, start_next(0));
    assert_nothing_left();
    assert_row(id, JOB_SUCCEEDED, 7, 0, 0, 0);
}
END_TEST

START_TEST(a_retried_job_goes_behind_what_waits)
{
    struct id first = finished_job();
    hold_back(true);
    struct id second = submitted_job(), third = submitted_job();
    ok(ask(WORK_RETRY, first));
    hold_back(false);
    struct id order[] = {second, third, first};
    for (int i = 0; i < 3; i++) {
        uint64_t ticket = start_next(0);
        ck_assert(id_equal(id_of_ticket(ticket), order[i]));
        succeed(0, ticket);
    }
    assert_nothing_left();
}
END_TEST

START_TEST(a_retried_job_stays_in_the_store_while_its_lane_is_cold)
{
    static struct asked asked[2 * SLOT_COUNT];
    struct id first = finished_job(), last = first;
    hold_back(true);
    for (int i = 0; i < 2 * SLOT_COUNT; i++)
        send_job(&asked[i], new_job(5, DURABILITY_PROCESS));
    TURN_UNTIL(answered(&asked[2 * SLOT_COUNT - 1]));
    ok(ask(WORK_RETRY, first));
    ck_assert_uint_eq(hot_find(&hot, first), HOT_NONE);
    ck_assert_int_eq(state_of(first), JOB_QUEUED);
    hold_back(false);
    for (int i = 0; i <= 2 * SLOT_COUNT; i++) {
        uint64_t ticket = start_next(0);
        last = id_of_ticket(ticket);
        succeed(0, ticket);
    }
    ck_assert(id_equal(last, first));
    assert_nothing_left();
}
END_TEST

START_TEST(what_waits_or_runs_is_neither_retried_nor_forgotten)
{
    hold_back(true);
    struct id id = submitted_job();
    TURN_UNTIL(slots_in(SLOT_HELD) == 1);
    ck_assert_int_eq(ask(WORK_RETRY, id), ERR_NOT_FINISHED);
    ck_assert_int_eq(ask(WORK_FORGET, id), ERR_NOT_FINISHED);
    hold_back(false);
    TURN_UNTIL(slots_in(SLOT_QUEUED) == 1);
    ck_assert_int_eq(ask(WORK_RETRY, id), ERR_NOT_FINISHED);
    ck_assert_int_eq(ask(WORK_FORGET, id), ERR_NOT_FINISHED);
    uint64_t ticket = start_next(0);
    ck_assert_int_eq(ask(WORK_RETRY, id), ERR_NOT_FINISHED);
    ck_assert_int_eq(ask(WORK_FORGET, id), ERR_NOT_FINISHED);
    finish_run(0, ticket, OUTCOME_ERROR);
    TURN_UNTIL(state_of(id) == JOB_RETRYING);
    assert_nothing_left();
    ck_assert_int_eq(ask(WORK_FORGET, id), ERR_NOT_FINISHED);
    run_all(1);
    assert_row(id, JOB_SUCCEEDED, 2, 1, 0, 0);
}
END_TEST

START_TEST(a_job_that_nobody_knows_is_unknown)
{
    ck_assert_int_eq(ask(WORK_RETRY, id_new()), ERR_UNKNOWN_JOB);
    ck_assert_int_eq(ask(WORK_FORGET, id_new()), ERR_UNKNOWN_JOB);
}
END_TEST

/* Done by its worker, not committed yet: a list may show it as finished any moment. */
START_TEST(what_is_asked_while_the_end_is_being_committed_waits_for_it)
{
    struct asked again, gone;
    struct id one = submitted_job(), other = submitted_job();
    uint64_t first = start_next(0), second = start_next(1);
    end_run(0, first, OUTCOME_SUCCESS, "1", 1);
    end_run(1, second, OUTCOME_SUCCESS, "2", 1);
    send_ask(&again, WORK_RETRY, one);
    send_ask(&gone, WORK_FORGET, other);
    TURN_UNTIL(answered(&again) && answered(&gone));
    ok(again.errand.err);
    ok(gone.errand.err);
    ck_assert(!in_store(other));
    run_all(1);
    assert_row(one, JOB_SUCCEEDED, 2, 0, 0, 0);
}
END_TEST

START_TEST(a_crash_that_requeues_tells_those_who_waited_for_an_end)
{
    struct asked again;
    struct id id = submitted_job();
    uint64_t ticket = start_next(0);
    die(0, DEATH_CRASH, 11);
    TURN_UNTIL(dispatcher.cells[ticket_slot(ticket)].place == CELL_LANDING || deaths_acknowledged(0));
    send_ask(&again, WORK_RETRY, id);
    TURN_UNTIL(answered(&again));
    ck_assert_int_eq(again.errand.err, ERR_NOT_FINISHED);
    run_all(1);
}
END_TEST

START_TEST(a_retry_behind_a_cancel_runs_the_job_and_answers_both)
{
    struct asked cancel, again;
    hold_back(true);
    struct id id = submitted_job();
    TURN_UNTIL(slots_in(SLOT_HELD) == 1);
    send_cancel(&cancel, id);
    send_ask(&again, WORK_RETRY, id);
    TURN_UNTIL(answered(&cancel) && answered(&again));
    ok(cancel.errand.err);
    ok(again.errand.err);
    hold_back(false);
    run_all(1);
    JOB_AUTO job = row(id);
    ck_assert_int_eq(job->state, JOB_SUCCEEDED);
    ck_assert(!job->cancel_requested);
}
END_TEST

START_TEST(of_two_retries_at_once_one_is_told_that_it_is_not_finished)
{
    struct asked one, other;
    struct id id = finished_job();
    send_ask(&one, WORK_RETRY, id);
    send_ask(&other, WORK_RETRY, id);
    TURN_UNTIL(answered(&one) && answered(&other));
    ck_assert_int_eq(one.errand.err, ERR_OK);
    ck_assert_int_eq(other.errand.err, ERR_NOT_FINISHED);
    run_all(1);
    assert_row(id, JOB_SUCCEEDED, 2, 0, 0, 0);
}
END_TEST

START_TEST(a_retried_job_can_be_cancelled_before_it_runs)
{
    struct id id = finished_job();
    hold_back(true);
    ok(ask(WORK_RETRY, id));
    ok(cancel_job(id));
    assert_nothing_left();
    hold_back(false);
    turns(3);
    ck_assert_uint_eq(claim_next(0), 0);
    assert_row(id, JOB_CANCELLED, 1, 0, 0, 0);
    ok(ask(WORK_RETRY, id));
    run_all(1);
    assert_row(id, JOB_SUCCEEDED, 2, 0, 0, 0);
}
END_TEST

START_TEST(a_retried_job_outlives_the_front_and_everything)
{
    struct id id = finished_job(), other = finished_job();
    hold_back(true);
    ok(ask(WORK_RETRY, id));
    restart();
    ok(ask(WORK_RETRY, other));
    everything_dies();
    run_all(2);
    assert_row(id, JOB_SUCCEEDED, 2, 0, 0, 0);
    assert_row(other, JOB_SUCCEEDED, 2, 0, 0, 0);
}
END_TEST

START_TEST(a_job_of_durability_memory_runs_again_as_a_stored_one)
{
    struct id id = submitted_memory();
    run_all(1);
    ok(ask(WORK_RETRY, id));
    ck_assert_uint_eq(dispatcher.memory_count, 0);
    run_all(1);
    assert_row(id, JOB_SUCCEEDED, 2, 0, 0, 0);
}
END_TEST

START_TEST(a_forgotten_job_is_gone_and_its_id_unknown)
{
    struct id id = finished_job();
    ok(ask(WORK_FORGET, id));
    ck_assert(!in_store(id));
    ck_assert_int_eq(ask(WORK_FORGET, id), ERR_UNKNOWN_JOB);
    ck_assert_int_eq(ask(WORK_RETRY, id), ERR_UNKNOWN_JOB);
    assert_nothing_left();
}
END_TEST

START_TEST(tags_go_through_a_slot_and_come_back)
{
    static const char TAGS[] = "[\"a\",\"b\"]";
    struct job *job = new_job(5, DURABILITY_MEMORY), *hot_one = NULL;
    struct id id;
    job->tags = (struct text){TAGS, strlen(TAGS)};
    ok(submit_job(job, &id));
    ok(slot_copy(&segment, hot_find(&hot, id), id, &hot_one));
    ck_assert_uint_eq(hot_one->tags.bytes, strlen(TAGS));
    ck_assert_mem_eq(hot_one->tags.at, TAGS, strlen(TAGS));
    ck_assert_uint_eq(hot_one->args.bytes, 7);
    job_free(hot_one);
    restart(); /* which claims args and tags in the arena anew */
    run_all(1);
    JOB_AUTO stored = row(id);
    ck_assert_uint_eq(stored->tags.bytes, strlen(TAGS));
    ck_assert_int_eq(look("SELECT count(*) FROM tags"), 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("dispatcher_finished");
    TCase *tcase = tcase_create("finished");
    tcase_add_checked_fixture(tcase, warm_up, rig_down);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_finished_job_runs_again);
    tcase_add_test(tcase, a_failed_job_has_all_its_attempts_again);
    tcase_add_test(tcase, a_retried_job_goes_behind_what_waits);
    tcase_add_test(tcase, a_retried_job_stays_in_the_store_while_its_lane_is_cold);
    tcase_add_test(tcase, what_waits_or_runs_is_neither_retried_nor_forgotten);
    tcase_add_test(tcase, a_job_that_nobody_knows_is_unknown);
    tcase_add_test(tcase, what_is_asked_while_the_end_is_being_committed_waits_for_it);
    tcase_add_test(tcase, a_crash_that_requeues_tells_those_who_waited_for_an_end);
    tcase_add_test(tcase, a_retry_behind_a_cancel_runs_the_job_and_answers_both);
    tcase_add_test(tcase, of_two_retries_at_once_one_is_told_that_it_is_not_finished);
    tcase_add_test(tcase, a_retried_job_can_be_cancelled_before_it_runs);
    tcase_add_test(tcase, a_retried_job_outlives_the_front_and_everything);
    tcase_add_test(tcase, a_job_of_durability_memory_runs_again_as_a_stored_one);
    tcase_add_test(tcase, a_forgotten_job_is_gone_and_its_id_unknown);
    tcase_add_test(tcase, tags_go_through_a_slot_and_come_back);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
