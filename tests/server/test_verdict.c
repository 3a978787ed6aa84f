#include "run.h"

#include "verdict.h"

#include <signal.h>
#include <string.h>

enum { NOW_MS = 1000000, MAX_ATTEMPTS = 3, MAX_CRASHES = 4, MAX_LOST = 5 };

static const struct verdict_limits LIMITS = {.max_crashes = MAX_CRASHES, .max_lost = MAX_LOST};

/* The table at the head of verdict.h, a second time. counted: which counter the outcome raises. */
enum counted { NOTHING, ERRORS, CRASHES, LOST };

static const struct {
    enum outcome outcome;
    bool retryable;
    enum counted counted;
    enum job_state state, exhausted;
    bool recorded;
} TABLE[] = {
    {OUTCOME_SUCCESS, false, NOTHING, JOB_SUCCEEDED, JOB_SUCCEEDED, true},
    {OUTCOME_ERROR, true, ERRORS, JOB_RETRYING, JOB_FAILED, true},
    {OUTCOME_ERROR, false, ERRORS, JOB_FAILED, JOB_FAILED, true},
    {OUTCOME_TIMEOUT, true, ERRORS, JOB_RETRYING, JOB_FAILED, true},
    {OUTCOME_CANCELLED, false, NOTHING, JOB_CANCELLED, JOB_CANCELLED, true},
    {OUTCOME_CRASH, true, CRASHES, JOB_QUEUED, JOB_FAILED, true},
    {OUTCOME_LOST, true, LOST, JOB_QUEUED, JOB_FAILED, true},
    {OUTCOME_RETURNED, true, NOTHING, JOB_QUEUED, JOB_QUEUED, false},
};
enum { ROWS = sizeof TABLE / sizeof TABLE[0] };

static struct job make(int row)
{
    struct job job = {.state = JOB_RUNNING};
    job.spec.retry =
        (struct retry){.max_attempts = MAX_ATTEMPTS, .initial_ms = 700, .max_ms = 60000, .jitter = 0};
    job.spec.attempt = 40;
    job.spec.seq = 77;
    job.attempt.outcome = (uint8_t)TABLE[row].outcome;
    job.attempt.retryable = TABLE[row].retryable;
    return job;
}

/* One before the end of that counter; the others at their ends, which must not matter. */
static struct job at_its_last(int row)
{
    struct job job = make(row);
    job.spec.errors = TABLE[row].counted == ERRORS ? MAX_ATTEMPTS - 1 : MAX_ATTEMPTS;
    job.spec.crashes = TABLE[row].counted == CRASHES ? MAX_CRASHES - 1 : MAX_CRASHES;
    job.spec.lost = TABLE[row].counted == LOST ? MAX_LOST - 1 : MAX_LOST;
    return job;
}

START_TEST(a_job_becomes_what_the_table_says)
{
    struct job job = make(_i);
    verdict_apply(&job, &LIMITS, NOW_MS, 0);
    ck_assert_int_eq(job.state, TABLE[_i].state);
    ck_assert_uint_eq(job.spec.attempt, TABLE[_i].recorded ? 41 : 40);
    ck_assert_uint_eq(job.spec.errors, TABLE[_i].counted == ERRORS);
    ck_assert_uint_eq(job.spec.crashes, TABLE[_i].counted == CRASHES);
    ck_assert_uint_eq(job.spec.lost, TABLE[_i].counted == LOST);
    ck_assert_int_eq(job.spec.run_at_ms, job.state == JOB_RETRYING ? NOW_MS + 700 : 0);
    ck_assert_int_eq(job.spec.seq, 77);
}
END_TEST

START_TEST(the_last_of_its_counter_ends_a_job)
{
    struct job job = at_its_last(_i);
    verdict_apply(&job, &LIMITS, NOW_MS, 0);
    ck_assert_int_eq(job.state, TABLE[_i].exhausted);
    ck_assert_int_eq(job.spec.run_at_ms, 0);
}
END_TEST

START_TEST(one_before_the_last_of_its_counter_does_not)
{
    struct job job = at_its_last(_i);
    job.spec.errors -= TABLE[_i].counted == ERRORS;
    job.spec.crashes -= TABLE[_i].counted == CRASHES;
    job.spec.lost -= TABLE[_i].counted == LOST;
    verdict_apply(&job, &LIMITS, NOW_MS, 0);
    ck_assert_int_eq(job.state, TABLE[_i].state);
}
END_TEST

START_TEST(a_cancel_takes_the_place_of_another_attempt_and_of_nothing_else)
{
    for (int exhausted = 0; exhausted < 2; exhausted++) {
        struct job job = exhausted ? at_its_last(_i) : make(_i);
        enum job_state otherwise = exhausted ? TABLE[_i].exhausted : TABLE[_i].state;
        job.cancel_requested = true;
        verdict_apply(&job, &LIMITS, NOW_MS, 0);
        ck_assert_int_eq(job.state, job_is_terminal(otherwise) ? otherwise : JOB_CANCELLED);
        ck_assert_int_eq(job.spec.run_at_ms, 0);
        ck_assert_uint_eq(job.spec.attempt,
                          TABLE[_i].recorded ? 41 : 40); /* the run is on record all the same */
    }
}
END_TEST

START_TEST(each_move_is_a_legal_one)
{
    struct job job = make(_i);
    verdict_apply(&job, &LIMITS, NOW_MS, 0);
    ck_assert(job_may_move(JOB_RUNNING, job.state));
}
END_TEST

START_TEST(an_attempt_without_an_outcome_aborts)
{
    struct job job = make(0);
    job.attempt.outcome = _i == 0 ? OUTCOME_NONE : OUTCOME_COUNT;
    verdict_apply(&job, &LIMITS, NOW_MS, 0);
}
END_TEST

START_TEST(a_single_attempt_is_never_retried)
{
    struct job job = make(1);
    job.spec.retry.max_attempts = 1;
    verdict_apply(&job, &LIMITS, NOW_MS, 0);
    ck_assert_int_eq(job.state, JOB_FAILED);
}
END_TEST

START_TEST(crashes_and_losses_do_not_use_up_attempts)
{
    struct job job = make(1);
    job.spec.crashes = MAX_CRASHES - 1;
    job.spec.lost = MAX_LOST - 1;
    verdict_apply(&job, &LIMITS, NOW_MS, 0);
    ck_assert_int_eq(job.state, JOB_RETRYING);
    ck_assert_uint_eq(job.spec.errors, 1);
}
END_TEST

/* --- the wait --- */

static int64_t wait_of(enum backoff backoff, int64_t initial, int64_t max, uint32_t errors)
{
    struct retry retry = {.backoff = backoff, .initial_ms = initial, .max_ms = max};
    return verdict_backoff_ms(&retry, errors, 0);
}

START_TEST(an_exponential_wait_doubles_up_to_its_maximum)
{
    static const int64_t WAITS[] = {100, 200, 400, 800, 1000, 1000};
    for (uint32_t errors = 1; errors <= 6; errors++)
        ck_assert_int_eq(wait_of(BACKOFF_EXPONENTIAL, 100, 1000, errors), WAITS[errors - 1]);
}
END_TEST

START_TEST(a_linear_wait_grows_by_the_first_up_to_its_maximum)
{
    static const int64_t WAITS[] = {100, 200, 300, 350, 350};
    for (uint32_t errors = 1; errors <= 5; errors++)
        ck_assert_int_eq(wait_of(BACKOFF_LINEAR, 100, 350, errors), WAITS[errors - 1]);
}
END_TEST

START_TEST(a_fixed_wait_stays_the_same)
{
    for (uint32_t errors = 1; errors <= 50; errors++)
        ck_assert_int_eq(wait_of(BACKOFF_FIXED, 100, 1000, errors), 100);
}
END_TEST

START_TEST(no_wait_is_above_the_maximum_or_below_0_whatever_the_numbers)
{
    static const int64_t TIMES[] = {0, 1, 86400000, 2592000000, INT64_MAX / 4};
    static const uint32_t ERRORS_SEEN[] = {1, 2, 63, 64, 65, 1000, 100000};
    for (int backoff = 0; backoff < BACKOFF_COUNT; backoff++)
        for (int initial = 0; initial < 5; initial++)
            for (int max = 0; max < 5; max++)
                for (int errors = 0; errors < 7; errors++) {
                    int64_t wait =
                        wait_of((enum backoff)backoff, TIMES[initial], TIMES[max], ERRORS_SEEN[errors]);
                    ck_assert_int_ge(wait, 0);
                    ck_assert_int_le(wait, TIMES[max]);
                }
}
END_TEST

START_TEST(no_first_wait_is_no_wait_ever)
{
    for (int backoff = 0; backoff < BACKOFF_COUNT; backoff++)
        for (uint32_t errors = 1; errors < 100; errors += 7)
            ck_assert_int_eq(wait_of((enum backoff)backoff, 0, 1000, errors), 0);
}
END_TEST

START_TEST(jitter_takes_off_at_most_its_share_and_uses_all_of_it)
{
    struct retry retry = {.backoff = BACKOFF_FIXED, .initial_ms = 1000, .max_ms = 1000};
    for (retry.jitter = 0; retry.jitter <= 100; retry.jitter += 20) {
        int64_t least = 1000, most = 0, share = 10 * (int64_t)retry.jitter;
        for (uint64_t random = 0; random < 5000; random++) {
            int64_t wait = verdict_backoff_ms(&retry, 1, random * 0x9e3779b97f4a7c15ULL);
            least = wait < least ? wait : least;
            most = wait > most ? wait : most;
        }
        ck_assert_int_ge(least, 1000 - share);
        ck_assert_int_le(least, 1000 - share + 20);
        ck_assert_int_le(most, 1000);
        ck_assert_int_ge(most, 980);
    }
}
END_TEST

START_TEST(jitter_keeps_its_bounds_for_every_random_number)
{
    static const uint64_t RANDOM[] = {0, 1, UINT64_MAX, UINT64_MAX / 2, 1ULL << 63};
    static const int64_t TIMES[] = {1, 3, 99, 101, 2592000000, INT64_MAX / 2};
    for (int r = 0; r < 5; r++)
        for (int t = 0; t < 6; t++)
            for (uint32_t jitter = 0; jitter <= 100; jitter += 50) {
                struct retry retry = {
                    .backoff = BACKOFF_FIXED, .initial_ms = TIMES[t], .max_ms = TIMES[t], .jitter = jitter};
                int64_t wait = verdict_backoff_ms(&retry, 1, RANDOM[r]);
                ck_assert_int_ge(wait, jitter == 0 ? TIMES[t] : 0);
                ck_assert_int_le(wait, TIMES[t]);
            }
}
END_TEST

START_TEST(a_retry_waits_from_now)
{
    struct job job = make(1);
    job.spec.retry.backoff = BACKOFF_EXPONENTIAL;
    job.spec.retry.max_attempts = 10;
    for (uint32_t errors = 1; errors < 6; errors++) {
        verdict_apply(&job, &LIMITS, NOW_MS * errors, 0);
        ck_assert_int_eq(job.spec.run_at_ms, NOW_MS * (int64_t)errors + (700LL << (errors - 1)));
    }
}
END_TEST

/* --- the rules of retrying beyond the backoff --- */

static struct job ruled(const char *extras, enum outcome outcome, const char *code)
{
    struct job job = make(1);
    job.attempt.outcome = (uint8_t)outcome;
    job.spec.retry.max_attempts = 100;
    job.spec.created_ms = NOW_MS;
    strcpy(job.attempt.error_code, code);
    job.extras = (struct text){extras, strlen(extras)};
    return job;
}

static enum job_state after(const char *extras, enum outcome outcome, const char *code)
{
    struct job job = ruled(extras, outcome, code);
    verdict_apply(&job, &LIMITS, NOW_MS, 0);
    ck_assert_int_eq(job.spec.run_at_ms > 0, job.state == JOB_RETRYING);
    ck_assert_uint_eq(job.spec.errors, 1); /* counted, whether it may run again or not */
    return job.state;
}

START_TEST(intervals_go_before_the_backoff_and_the_last_one_repeats)
{
    static const int64_t WAITS[] = {1000, 500, 7000, 7000, 7000};
    struct job job = ruled("{\"retry\":{\"intervals\":[1,0.5,7]}}", OUTCOME_ERROR, "busy");
    for (int i = 0; i < 5; i++) {
        verdict_apply(&job, &LIMITS, NOW_MS, 0);
        ck_assert_int_eq(job.state, JOB_RETRYING);
        ck_assert_int_eq(job.spec.run_at_ms, NOW_MS + WAITS[i]);
    }
}
END_TEST

START_TEST(intervals_are_not_cut_by_the_maximum_of_the_backoff_and_take_jitter)
{
    struct job job = ruled("{\"retry\":{\"intervals\":[600]}}", OUTCOME_ERROR, "busy");
    job.spec.retry.max_ms = 10;
    verdict_apply(&job, &LIMITS, NOW_MS, 12345);
    ck_assert_int_eq(job.spec.run_at_ms, NOW_MS + 600000);
    job.spec.retry.jitter = 10;
    int64_t least = INT64_MAX;
    for (uint64_t random = 0; random < 1000; random++) {
        job.spec.errors = 0;
        verdict_apply(&job, &LIMITS, NOW_MS, random * 0x9e3779b97f4a7c15ULL);
        ck_assert_int_le(job.spec.run_at_ms, NOW_MS + 600000);
        ck_assert_int_ge(job.spec.run_at_ms, NOW_MS + 540000);
        least = job.spec.run_at_ms < least ? job.spec.run_at_ms : least;
    }
    ck_assert_int_lt(least, NOW_MS + 545000);
}
END_TEST

START_TEST(intervals_do_not_raise_the_number_of_attempts)
{
    struct job job = ruled("{\"retry\":{\"intervals\":[1,1,1,1,1,1]}}", OUTCOME_ERROR, "busy");
    job.spec.retry.max_attempts = 2;
    verdict_apply(&job, &LIMITS, NOW_MS, 0);
    ck_assert_int_eq(job.state, JOB_RETRYING);
    verdict_apply(&job, &LIMITS, NOW_MS, 0);
    ck_assert_int_eq(job.state, JOB_FAILED);
}
END_TEST

/* The first wait is 700 ms; the age counts from created_ms to the beginning of the next attempt. */
START_TEST(no_attempt_begins_beyond_max_age)
{
    ck_assert_int_eq(after("{\"retry\":{\"max_age\":0.7}}", OUTCOME_ERROR, "busy"), JOB_RETRYING);
    ck_assert_int_eq(after("{\"retry\":{\"max_age\":0.699}}", OUTCOME_ERROR, "busy"), JOB_FAILED);
    ck_assert_int_eq(after("{\"retry\":{\"max_age\":0}}", OUTCOME_TIMEOUT, "timeout"), JOB_FAILED);
    ck_assert_int_eq(after("{\"retry\":{\"max_age\":5,\"intervals\":[5]}}", OUTCOME_ERROR, "busy"),
                     JOB_RETRYING);
    ck_assert_int_eq(after("{\"retry\":{\"max_age\":4,\"intervals\":[5]}}", OUTCOME_ERROR, "busy"),
                     JOB_FAILED);
}
END_TEST

START_TEST(max_age_counts_from_the_creation_and_not_from_this_attempt)
{
    struct job job = ruled("{\"retry\":{\"max_age\":60}}", OUTCOME_ERROR, "busy");
    verdict_apply(&job, &LIMITS, NOW_MS + 59300, 0);
    ck_assert_int_eq(job.state, JOB_RETRYING);
    job.spec.errors = 0;
    verdict_apply(&job, &LIMITS, NOW_MS + 59301, 0);
    ck_assert_int_eq(job.state, JOB_FAILED);
}
END_TEST

START_TEST(only_the_codes_in_on_are_retried)
{
    static const char ON[] = "{\"retry\":{\"on\":[\"busy\",\"timeout\"]}}";
    ck_assert_int_eq(after(ON, OUTCOME_ERROR, "busy"), JOB_RETRYING);
    ck_assert_int_eq(after(ON, OUTCOME_TIMEOUT, "timeout"), JOB_RETRYING);
    ck_assert_int_eq(after(ON, OUTCOME_ERROR, "bus"), JOB_FAILED);
    ck_assert_int_eq(after(ON, OUTCOME_ERROR, "busy2"), JOB_FAILED);
    ck_assert_int_eq(after(ON, OUTCOME_ERROR, ""), JOB_FAILED);
}
END_TEST

START_TEST(the_codes_in_never_are_not_retried_even_if_on_has_them)
{
    static const char NEVER[] = "{\"retry\":{\"never\":[\"bad_input\",\"timeout\"]}}";
    static const char BOTH[] = "{\"retry\":{\"on\":[\"a\",\"b\"],\"never\":[\"b\"]}}";
    ck_assert_int_eq(after(NEVER, OUTCOME_ERROR, "bad_input"), JOB_FAILED);
    ck_assert_int_eq(after(NEVER, OUTCOME_TIMEOUT, "timeout"), JOB_FAILED);
    ck_assert_int_eq(after(NEVER, OUTCOME_ERROR, "busy"), JOB_RETRYING);
    ck_assert_int_eq(after(BOTH, OUTCOME_ERROR, "a"), JOB_RETRYING);
    ck_assert_int_eq(after(BOTH, OUTCOME_ERROR, "b"), JOB_FAILED);
}
END_TEST

START_TEST(a_task_that_says_never_again_is_believed_whatever_on_says)
{
    struct job job = ruled("{\"retry\":{\"on\":[\"busy\"]}}", OUTCOME_ERROR, "busy");
    job.attempt.retryable = 0;
    verdict_apply(&job, &LIMITS, NOW_MS, 0);
    ck_assert_int_eq(job.state, JOB_FAILED);
}
END_TEST

START_TEST(crashes_losses_and_returns_know_no_rules_of_retrying)
{
    static const enum outcome OUTCOMES[] = {OUTCOME_CRASH, OUTCOME_LOST, OUTCOME_RETURNED};
    for (int i = 0; i < 3; i++) {
        struct job job = ruled("{\"retry\":{\"max_age\":0,\"on\":[\"busy\"],\"never\":[\"crash\"]}}",
                               OUTCOMES[i], "crash");
        verdict_apply(&job, &LIMITS, NOW_MS + 100000, 0);
        ck_assert_int_eq(job.state, JOB_QUEUED);
        ck_assert_uint_eq(job.spec.errors, 0);
    }
}
END_TEST

START_TEST(rules_within_meta_are_not_rules)
{
    ck_assert_int_eq(after("{\"meta\":{\"retry\":{\"max_age\":0}}}", OUTCOME_ERROR, "busy"), JOB_RETRYING);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("verdict");
    TCase *table = tcase_create("table"), *waits = tcase_create("waits"), *rules = tcase_create("rules");
    const char *fork_mode = getenv("CK_FORK");
    tcase_add_loop_test(table, a_job_becomes_what_the_table_says, 0, ROWS);
    tcase_add_loop_test(table, the_last_of_its_counter_ends_a_job, 0, ROWS);
    tcase_add_loop_test(table, one_before_the_last_of_its_counter_does_not, 0, ROWS);
    tcase_add_loop_test(table, a_cancel_takes_the_place_of_another_attempt_and_of_nothing_else, 0, ROWS);
    tcase_add_loop_test(table, each_move_is_a_legal_one, 0, ROWS);
    tcase_add_test(table, a_single_attempt_is_never_retried);
    tcase_add_test(table, crashes_and_losses_do_not_use_up_attempts);
    if (fork_mode == NULL || strcmp(fork_mode, "no") != 0)
        tcase_add_loop_test_raise_signal(table, an_attempt_without_an_outcome_aborts, SIGABRT, 0, 2);
    tcase_add_test(waits, an_exponential_wait_doubles_up_to_its_maximum);
    tcase_add_test(waits, a_linear_wait_grows_by_the_first_up_to_its_maximum);
    tcase_add_test(waits, a_fixed_wait_stays_the_same);
    tcase_add_test(waits, no_wait_is_above_the_maximum_or_below_0_whatever_the_numbers);
    tcase_add_test(waits, no_first_wait_is_no_wait_ever);
    tcase_add_test(waits, jitter_takes_off_at_most_its_share_and_uses_all_of_it);
    tcase_add_test(waits, jitter_keeps_its_bounds_for_every_random_number);
    tcase_add_test(waits, a_retry_waits_from_now);
    suite_add_tcase(suite, table);
    tcase_add_test(rules, intervals_go_before_the_backoff_and_the_last_one_repeats);
    tcase_add_test(rules, intervals_are_not_cut_by_the_maximum_of_the_backoff_and_take_jitter);
    tcase_add_test(rules, intervals_do_not_raise_the_number_of_attempts);
    tcase_add_test(rules, no_attempt_begins_beyond_max_age);
    tcase_add_test(rules, max_age_counts_from_the_creation_and_not_from_this_attempt);
    tcase_add_test(rules, only_the_codes_in_on_are_retried);
    tcase_add_test(rules, the_codes_in_never_are_not_retried_even_if_on_has_them);
    tcase_add_test(rules, a_task_that_says_never_again_is_believed_whatever_on_says);
    tcase_add_test(rules, crashes_losses_and_returns_know_no_rules_of_retrying);
    tcase_add_test(rules, rules_within_meta_are_not_rules);
    suite_add_tcase(suite, waits);
    suite_add_tcase(suite, rules);
    return run_suite(suite);
}
