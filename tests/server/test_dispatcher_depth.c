/* How many jobs wait in a queue, as its max_depth counts them: queued, scheduled, retrying and blocked. */
#include "limits_fixture.h"

#include "extras.h"

static struct queue *queue_of_tests(void)
{
    return lineup_queue(&dispatcher.lineup, "default");
}

/* What the next submit would be told: how many wait, as the dispatcher has it. Fixtures submit without a
 * place, so reserved ones are not counted here. */
static int64_t depth(void)
{
    struct admission admission;
    struct queue *queue = queue_of_tests();
    atomic_store(&queue->incoming, 0);
    enum err err = lineup_reserve(&dispatcher.lineup, queue, &admission);
    bool full = admission.max_depth != LIMIT_NOT_SET && admission.depth >= admission.max_depth;
    ck_assert_int_eq(err, full ? ERR_QUEUE_FULL : ERR_OK);
    ck_assert_int_eq(atomic_load(&queue->incoming), !full);
    atomic_store(&queue->incoming, 0);
    return admission.depth;
}

static struct id scheduled_in(int64_t ms)
{
    struct id id;
    struct job *job = new_job(PRIORITY_DEFAULT, DURABILITY_PROCESS);
    job->spec.scheduled_ms = job->spec.run_at_ms = clock_real_ms() + ms;
    job->state = JOB_SCHEDULED;
    ok(submit_job(job, &id));
    ck_assert_int_eq(state_of(id), JOB_SCHEDULED);
    return id;
}

static struct id blocked_by(struct id before)
{
    struct id id;
    char text[ID_TEXT_BYTES];
    BUF_AUTO extras = {0};
    struct job *job = new_job(PRIORITY_DEFAULT, DURABILITY_PROCESS);
    id_format(before, text);
    buf_printf(&extras, "{\"after\":[\"%s\"]}", text);
    job->spec.flags = JOB_FLAG_INPUTS;
    job->owned[3] = buf_take(&extras, &job->extras.bytes);
    job->extras.at = job->owned[3];
    ok(submit_job(job, &id));
    return id;
}

static enum err finished(enum work_kind kind, struct id id)
{
    struct asked asked = {.errand = {.id = id}};
    send_errand(&asked, kind, id);
    return answer_of(&asked);
}

START_TEST(all_that_wait_count_whatever_for)
{
    set(SETTING_SERVER, "", LIMIT_PAUSED, 1);
    struct id first = submitted_job();
    scheduled_in(3600000);
    struct id behind = blocked_by(first);
    ck_assert_int_eq(state_of(behind), JOB_BLOCKED);
    ck_assert_int_eq(depth(), 3);
    set(SETTING_QUEUE, "default", LIMIT_MAX_DEPTH, 3);
    ck_assert_int_eq(depth(), 3);
    set(SETTING_QUEUE, "default", LIMIT_MAX_DEPTH, 4);
    ck_assert_int_eq(depth(), 3);
    restart(); /* and a new front knows it */
    TURN_UNTIL(put_off_is_right());
    ck_assert_int_eq(depth(), 3);
    ok(cancel_job(first)); /* and with it the one behind it */
    TURN_UNTIL(state_of(behind) == JOB_CANCELLED);
    ck_assert_int_eq(depth(), 1);
}
END_TEST

START_TEST(a_job_counts_once_from_its_submit_to_its_start)
{
    struct id later = scheduled_in(300);
    ck_assert_int_eq(depth(), 1);
    TURN_UNTIL(state_of(later) == JOB_QUEUED);
    uint64_t ticket = start_next(0);
    ck_assert_int_eq(depth(), 0);
    struct id behind = blocked_by(later);
    ck_assert_int_eq(depth(), 1);
    succeed(0, ticket);
    TURN_UNTIL(state_of(behind) == JOB_QUEUED);
    assert_runs(behind);
    ck_assert_int_eq(depth(), 0);
    assert_nothing_left();
}
END_TEST

START_TEST(a_retried_job_counts_while_it_waits)
{
    struct id id = submitted_job();
    uint64_t ticket = start_next(0);
    ck_assert_int_eq(depth(), 0);
    finish_run(0, ticket, OUTCOME_ERROR);
    TURN_UNTIL(depth() == 1);
    TURN_UNTIL(put_off_is_right());
    assert_runs(id);
    TURN_UNTIL(depth() == 0);
    assert_nothing_left();
}
END_TEST

START_TEST(a_job_that_is_put_off_or_back_counts_as_before)
{
    set(SETTING_SERVER, "", LIMIT_PAUSED, 1);
    struct id id = submitted_job(), other = scheduled_in(3600000);
    struct store_patch put_off = {.has_run_at = true, .run_at_ms = clock_real_ms() + 3600000},
                       back = {.has_run_at = true};
    ok(patch_job(id, put_off));
    ck_assert_int_eq(atomic_load(&queue_of_tests()->put_off), 2);
    ck_assert_int_eq(depth(), 2);
    ok(patch_job(other, back));
    ok(patch_job(id, back));
    ck_assert_int_eq(atomic_load(&queue_of_tests()->put_off), 0);
    ck_assert_int_eq(depth(), 2);
    ok(patch_job(id, put_off));
    ok(cancel_job(id));
    ck_assert_int_eq(depth(), 1);
    ck_assert(put_off_is_right());
}
END_TEST

START_TEST(a_job_that_is_run_again_counts_be_it_queued_or_blocked)
{
    struct id first = submitted_job(), behind = blocked_by(first);
    ok(cancel_job(first));
    TURN_UNTIL(state_of(behind) == JOB_CANCELLED);
    ck_assert_int_eq(depth(), 0);
    set(SETTING_SERVER, "", LIMIT_PAUSED, 1);
    ok(finished(WORK_RETRY, first));
    ok(finished(WORK_RETRY, behind));
    ck_assert_int_eq(state_of(behind), JOB_BLOCKED);
    ck_assert_int_eq(depth(), 2);
    ck_assert(put_off_is_right());
    set(SETTING_SERVER, "", LIMIT_PAUSED, LIMIT_NOT_SET);
    run_all(2);
    ck_assert_int_eq(depth(), 0);
}
END_TEST

START_TEST(an_expired_job_counts_no_more)
{
    struct id id;
    struct job *job = new_job(PRIORITY_DEFAULT, DURABILITY_PROCESS);
    job->spec.scheduled_ms = job->spec.run_at_ms = clock_real_ms() + 3600000;
    job->state = JOB_SCHEDULED;
    job->spec.expires_ms = clock_real_ms() + 2000;
    ok(submit_job(job, &id));
    ck_assert_int_eq(depth(), 1);
    TURN_UNTIL(expired(id));
    TURN_UNTIL(depth() == 0);
    assert_nothing_left();
}
END_TEST

START_TEST(who_drains_or_pauses_is_named)
{
    struct admission admission;
    struct lineup *lineup = &dispatcher.lineup;
    set(SETTING_QUEUE, "default", LIMIT_DRAINING, 1);
    ck_assert_int_eq(lineup_reserve(lineup, queue_of_tests(), &admission), ERR_QUEUE_CLOSED);
    ck_assert(admission.queue_closed && !admission.all_closed && !admission.queue_paused);
    set(SETTING_QUEUE, "default", LIMIT_DRAINING, LIMIT_NOT_SET);
    set(SETTING_SERVER, "", LIMIT_DRAINING, 1);
    set(SETTING_SERVER, "", LIMIT_PAUSED, 1);
    ck_assert_int_eq(lineup_reserve(lineup, queue_of_tests(), &admission), ERR_QUEUE_CLOSED);
    ck_assert(admission.all_closed && admission.all_paused && !admission.queue_closed);
    ck_assert_int_eq(atomic_load(&queue_of_tests()->incoming), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("dispatcher: depth");
    TCase *tests = tcase_create("max_depth");
    tcase_add_checked_fixture(tests, rig_up, rig_down);
    tcase_set_timeout(tests, 60);
    suite_add_tcase(suite, tests);
    tcase_add_test(tests, all_that_wait_count_whatever_for);
    tcase_add_test(tests, a_job_counts_once_from_its_submit_to_its_start);
    tcase_add_test(tests, a_retried_job_counts_while_it_waits);
    tcase_add_test(tests, a_job_that_is_put_off_or_back_counts_as_before);
    tcase_add_test(tests, a_job_that_is_run_again_counts_be_it_queued_or_blocked);
    tcase_add_test(tests, an_expired_job_counts_no_more);
    tcase_add_test(tests, who_drains_or_pauses_is_named);
    return run_suite(suite);
}
