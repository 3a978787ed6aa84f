/* The lineup's gates: concurrency, rates, pauses, who is woken, and limits that change. */
#include "lineup_fixture.h"

/* --- concurrency --- */

START_TEST(a_queue_runs_as_many_as_it_may)
{
    limit_queue("q", LIMIT_CONCURRENCY, 2);
    resettle();
    struct lane *a = stands("q", "a", "", 5, 2), *b = stands("q", "b", "", 9, 2);
    ck_assert_ptr_eq(take(), b);
    ck_assert_ptr_eq(take(), b);
    ck_assert_ptr_null(take());
    give(b);
    ck_assert_ptr_eq(take(), a); /* of another level: the gate is the queue's */
    ck_assert_ptr_null(take());
}
END_TEST

START_TEST(a_task_runs_as_many_as_it_may_in_all_queues_together)
{
    limit_task("t", LIMIT_CONCURRENCY, 2);
    resettle();
    struct lane *a = stands("a", "t", "", 5, 2);
    stands("b", "t", "", 5, 2);
    ck_assert_int_eq(take_all(), 2);
    give(a);
    ck_assert_int_eq(take_all(), 1);
}
END_TEST

START_TEST(a_key_runs_one_at_a_time_in_all_queues_and_tasks_by_default)
{
    struct lane *first = stands("q", "a", "k", 5, 1), *second = stands("r", "b", "k", 5, 1),
                *other = stands("q", "a", "other", 5, 1), *without = stands("q", "a", "", 5, 1);
    ck_assert_ptr_eq(take(), first);
    ck_assert_ptr_eq(take(), other);
    ck_assert_ptr_eq(take(), without);
    ck_assert_ptr_null(take());
    give(first);
    ck_assert_ptr_eq(take(), second);
}
END_TEST

START_TEST(a_key_that_its_queue_limits_is_another_in_another_queue)
{
    limit_queue("q", LIMIT_KEY_CONCURRENCY, 2);
    limit_queue("r", LIMIT_KEY_CONCURRENCY, 1);
    resettle();
    struct lane *q = stands("q", "a", "k", 5, 3), *r = stands("r", "a", "k", 5, 3);
    ck_assert_int_eq(take_all(), 3);
    ck_assert_uint_eq(q->key->gate.in_flight, 2);
    ck_assert_uint_eq(r->key->gate.in_flight, 1);
}
END_TEST

START_TEST(a_key_that_its_task_limits_is_one_in_all_queues_whatever_they_say)
{
    limit_queue("q", LIMIT_KEY_CONCURRENCY, 5);
    limit_task("t", LIMIT_KEY_CONCURRENCY, 2);
    resettle();
    struct lane *q = stands("q", "t", "k", 5, 3), *r = stands("r", "t", "k", 5, 3);
    struct lane *u = stands("q", "u", "k", 5, 9);
    ck_assert_ptr_eq(q->key, r->key);
    ck_assert_ptr_ne(q->key, u->key);
    ck_assert_int_eq(take_all(), 2 + 5);
}
END_TEST

START_TEST(a_lane_that_is_held_up_does_not_hold_up_others)
{
    limit_task("slow", LIMIT_CONCURRENCY, 1);
    resettle();
    struct lane *slow = stands("q", "slow", "", 5, 100), *keyed = stands("q", "fast", "k", 5, 100),
                *free_one = stands("q", "fast", "", 5, 100);
    ck_assert_ptr_eq(take(), slow);
    ck_assert_ptr_eq(take(), keyed);
    for (int i = 0; i < 100; i++)
        ck_assert_ptr_eq(take(), free_one);
    ck_assert_ptr_null(take());
}
END_TEST

START_TEST(a_queue_that_is_full_does_not_hold_up_others)
{
    limit_queue("full", LIMIT_CONCURRENCY, 1);
    resettle();
    struct lane *full = stands("full", "t", "", 5, 100), *other = stands("other", "t", "", 5, 100);
    int of_full = 0, of_other = 0;
    for (struct lane *lane; (lane = take()) != NULL;) {
        of_full += lane == full;
        of_other += lane == other;
    }
    ck_assert_int_eq(of_full, 1);
    ck_assert_int_eq(of_other, 100);
}
END_TEST

START_TEST(of_those_that_wait_at_a_gate_the_first_in_line_goes_first)
{
    limit_task("t", LIMIT_CONCURRENCY, 1);
    resettle();
    struct lane *running = stands("q", "t", "", 9, 1), *early = stands("a", "t", "", 5, 1),
                *late = stands("b", "t", "", 5, 1), *urgent = stands("c", "t", "", 7, 1);
    struct lane *order[] = {running, urgent, early, late};
    for (int i = 0; i < 4; i++) {
        ck_assert_ptr_eq(take(), order[i]);
        ck_assert_ptr_null(take());
        give(order[i]);
    }
}
END_TEST

/* --- rates --- */

enum { INTERVAL_NS = 100000000 }; /* 10/s */

START_TEST(a_rate_lets_one_go_each_interval_to_the_nanosecond)
{
    limit_queue("q", LIMIT_RATE, rate_of(10, 1));
    resettle();
    stands("q", "t", "", 5, 10);
    ck_assert_int_eq(take_all(), 1);
    int64_t opens_ns = now_ns + INTERVAL_NS;
    ck_assert_int_eq(tick(), opens_ns);
    now_ns = opens_ns - 1;
    ck_assert_int_eq(tick(), opens_ns);
    ck_assert_int_eq(take_all(), 0);
    now_ns = opens_ns;
    ck_assert_int_eq(tick(), INT64_MAX);
    ck_assert_int_eq(take_all(), 1);
}
END_TEST

START_TEST(a_burst_goes_at_once_and_comes_back_one_by_one)
{
    limit_task("t", LIMIT_RATE, rate_of(10, 1));
    limit_task("t", LIMIT_BURST, 4);
    resettle();
    stands("q", "t", "", 5, 100);
    ck_assert_int_eq(take_all(), 4);
    for (int i = 0; i < 5; i++) {
        now_ns += INTERVAL_NS - 1;
        tick();
        ck_assert_int_eq(take_all(), 0);
        now_ns += 1;
        tick();
        ck_assert_int_eq(take_all(), 1);
    }
    now_ns += 2 * INTERVAL_NS;
    tick();
    ck_assert_int_eq(take_all(), 2);
    now_ns += 1000LL * INTERVAL_NS;
    tick();
    ck_assert_int_eq(take_all(), 4); /* and not more, however long it was quiet */
}
END_TEST

START_TEST(over_years_a_rate_is_neither_more_nor_less)
{
    limit_queue("q", LIMIT_RATE, rate_of(3, 86400));
    resettle();
    stands("q", "t", "", 5, 100000);
    int count = 0;
    for (int64_t end_ns = now_ns + 3650 * 86400LL * NS_PER_SEC, next_ns = 0; now_ns < end_ns;
         now_ns = next_ns) {
        next_ns = tick();
        count += take_all();
        next_ns = tick();
        ck_assert_int_gt(next_ns, now_ns);
    }
    ck_assert_int_eq(count, 3 * 3650);
}
END_TEST

START_TEST(each_key_has_a_rate_of_its_own)
{
    limit_queue("q", LIMIT_KEY_RATE, rate_of(10, 1));
    limit_queue("q", LIMIT_KEY_BURST, 2);
    resettle();
    stands("q", "t", "a", 5, 5), stands("q", "t", "b", 5, 5);
    ck_assert_int_eq(take_all(), 4);
    now_ns += INTERVAL_NS;
    tick();
    ck_assert_int_eq(take_all(), 2);
}
END_TEST

START_TEST(what_was_taken_back_is_refunded)
{
    limit_queue("q", LIMIT_RATE, rate_of(10, 1));
    limit_task("t", LIMIT_RATE, rate_of(10, 1));
    limit_queue("q", LIMIT_KEY_RATE, rate_of(10, 1));
    resettle();
    struct lane *lane = stands("q", "t", "k", 5, 3);
    ck_assert_ptr_eq(take(), lane);
    ck_assert_ptr_null(take());
    give_back(lane);
    ck_assert_uint_eq(lane->queue->gate.in_flight, 0);
    ck_assert_int_eq(lane->waiting, 3);
    ck_assert_ptr_eq(take(), lane);
    ck_assert_ptr_null(take());
    give(lane); /* this one ran: nothing comes back */
    ck_assert_ptr_null(take());
}
END_TEST

START_TEST(a_rate_that_is_used_up_is_remembered_after_the_last_lane_of_its_key)
{
    limit_queue("q", LIMIT_KEY_RATE, rate_of(10, 1));
    limit_queue("q", LIMIT_KEY_BURST, 3);
    resettle();
    for (int round = 0; round < 3; round++) {
        struct lane *lane = stands("q", "t", "k", 5, 1);
        ck_assert_ptr_eq(take(), lane);
        give(lane);
        ck_assert_uint_eq(lineup.lane_count, 0);
        tick();
    }
    ck_assert_uint_eq(lineup.key_count, 1);
    struct lane *lane = stands("q", "t", "k", 5, 1);
    ck_assert_ptr_null(take());
    drop_first(lane);
    now_ns += INTERVAL_NS; /* one of three is there again */
    tick();
    ck_assert_uint_eq(lineup.key_count, 1);
    stands("q", "t", "k", 5, 2);
    ck_assert_int_eq(take_all(), 1);
}
END_TEST

START_TEST(a_key_is_forgotten_once_its_rate_does_not_matter_any_more)
{
    limit_queue("q", LIMIT_KEY_RATE, rate_of(10, 1));
    resettle();
    struct lane *lane = stands("q", "t", "k", 5, 1);
    take();
    give(lane);
    tick();
    ck_assert_uint_eq(lineup.key_count, 1);
    now_ns += INTERVAL_NS;
    ck_assert_int_eq(tick(), INT64_MAX);
    ck_assert_uint_eq(lineup.key_count, 0);
}
END_TEST

/* --- pauses --- */

START_TEST(what_is_paused_does_not_go_and_the_rest_does)
{
    limit_queue("q", LIMIT_PAUSED, 1);
    limit_task("t", LIMIT_PAUSED, 1);
    resettle();
    struct lane *by_queue = stands("q", "u", "", 5, 1), *by_task = stands("r", "t", "", 5, 1),
                *goes = stands("r", "u", "", 5, 1);
    ck_assert(lane_is_paused(&lineup, by_queue) && lane_is_paused(&lineup, by_task));
    ck_assert(!lane_is_paused(&lineup, goes));
    ck_assert_ptr_eq(take(), goes);
    ck_assert_ptr_null(take());
    now_ns += 1000 * NS_PER_SEC;
    ck_assert_int_eq(tick(), INT64_MAX); /* no time opens it */
    ck_assert_ptr_null(take());
    limit_queue("q", LIMIT_PAUSED, 0);
    limit_task("t", LIMIT_PAUSED, 0);
    resettle();
    ck_assert_int_eq(take_all(), 2);
}
END_TEST

START_TEST(when_everything_is_paused_nothing_goes)
{
    struct lane *lane = stands("q", "t", "", 5, 1);
    lineup.paused = true;
    ck_assert(lane_is_paused(&lineup, lane));
    ck_assert_ptr_null(take());
    lineup.paused = false;
    ck_assert_ptr_eq(take(), lane);
}
END_TEST

/* --- limits that change --- */

START_TEST(new_limits_count_what_is_in_flight)
{
    lineup.key_concurrency = LIMIT_NOT_SET;
    struct lane *lane = stands("q", "t", "k", 5, 10);
    for (int i = 0; i < 3; i++)
        take();
    limit_queue("q", LIMIT_CONCURRENCY, 5);
    limit_task("t", LIMIT_CONCURRENCY, 4);
    resettle();
    for (int i = 0; i < 3; i++)
        lineup_count(lane);
    ck_assert_int_eq(take_all(), 1);
    limit_task("t", LIMIT_CONCURRENCY, 2); /* below what is in flight: nothing goes before it is undercut */
    resettle();
    for (int i = 0; i < 4; i++)
        lineup_count(lane);
    for (int i = 0; i < 2; i++) {
        give(lane);
        ck_assert_int_eq(take_all(), 0);
    }
    give(lane);
    ck_assert_int_eq(take_all(), 1);
}
END_TEST

START_TEST(a_limit_that_goes_lets_everything_go_that_waited_for_it)
{
    limit_task("t", LIMIT_CONCURRENCY, 1);
    limit_queue("r", LIMIT_CONCURRENCY, 1);
    resettle();
    stands("q", "t", "", 5, 5), stands("r", "u", "", 5, 5);
    ck_assert_int_eq(take_all(), 2);
    limit_task("t", LIMIT_CONCURRENCY, LIMIT_NOT_SET);
    limit_queue("r", LIMIT_CONCURRENCY, LIMIT_NOT_SET);
    resettle();
    ck_assert_int_eq(take_all(), 8);
}
END_TEST

START_TEST(keys_change_their_scope_with_the_limits)
{
    struct lane *q = stands("q", "t", "k", 5, 2), *r = stands("r", "t", "k", 5, 2);
    ck_assert_int_eq(take_all(), 1);
    limit_queue("q", LIMIT_KEY_CONCURRENCY, 1);
    limit_queue("r", LIMIT_KEY_CONCURRENCY, 1);
    resettle();
    lineup_count(q);
    ck_assert_uint_eq(lineup.key_count, 2);
    ck_assert_ptr_eq(take(), r);
    ck_assert_ptr_null(take());
    limit_queue("q", LIMIT_KEY_CONCURRENCY, LIMIT_NOT_SET);
    limit_queue("r", LIMIT_KEY_CONCURRENCY, LIMIT_NOT_SET);
    resettle();
    lineup_count(q), lineup_count(r);
    ck_assert_uint_eq(lineup.key_count, 1);
    give(r);
    ck_assert_ptr_null(take()); /* the other one runs still */
    give(q);
    ck_assert_int_eq(take_all(), 1);
}
END_TEST

START_TEST(a_faster_rate_is_in_force_at_once)
{
    limit_queue("q", LIMIT_RATE, rate_of(1, 86400));
    resettle();
    struct lane *lane = stands("q", "t", "", 5, 100);
    ck_assert_int_eq(take_all(), 1);
    limit_queue("q", LIMIT_RATE, rate_of(10, 1));
    resettle();
    lineup_count(lane);
    now_ns += INTERVAL_NS;
    tick();
    ck_assert_int_ge(take_all(), 1);
}
END_TEST

START_TEST(other_limits_that_change_leave_a_rate_as_it_stands)
{
    limit_queue("q", LIMIT_RATE, rate_of(10, 1));
    resettle();
    struct lane *lane = stands("q", "t", "", 5, 100);
    ck_assert_int_eq(take_all(), 1);
    limit_queue("q", LIMIT_WEIGHT, 7);
    resettle();
    lineup_count(lane);
    ck_assert_int_eq(take_all(), 0);
    ck_assert_int_eq(tick(), now_ns + INTERVAL_NS);
}
END_TEST

START_TEST(a_key_that_is_remembered_for_its_rate_takes_new_limits)
{
    limit_queue("q", LIMIT_KEY_RATE, rate_of(1, 86400));
    resettle();
    give((stands("q", "t", "k", 5, 1), take()));
    ck_assert_uint_eq(lineup.key_count, 1);
    limit_queue("q", LIMIT_KEY_RATE, LIMIT_NOT_SET);
    limit_queue("q", LIMIT_KEY_CONCURRENCY, 2);
    resettle();
    stands("q", "t", "k", 5, 5);
    ck_assert_int_eq(take_all(), 2);
}
END_TEST

/* --- why --- */

START_TEST(a_lane_knows_which_of_its_gates_are_closed)
{
    limit_queue("q", LIMIT_CONCURRENCY, 1);
    limit_task("t", LIMIT_RATE, rate_of(10, 1));
    resettle();
    struct lane *lane = stands("q", "t", "k", 5, 3);
    struct why before = {0}, out = {0}, why = {0};
    const struct out none = {{0}}, one = {{1, 1, 1}};
    lineup_why(&lineup, lane, &none, now_ns, &before);
    for (int i = 0; i < REASON_COUNT; i++)
        ck_assert(!before.holds[i]);
    take();
    lineup_why(&lineup, lane, &one, now_ns, &out); /* none has begun: it will hold up, and does not yet */
    for (int i = 0; i < REASON_COUNT; i++)
        ck_assert(!out.holds[i]);
    lineup_why(&lineup, lane, &none, now_ns, &why);
    for (int i = 0; i < REASON_COUNT; i++)
        ck_assert_int_eq(why.holds[i], i == REASON_QUEUE_CONCURRENCY || i == REASON_TASK_RATE ||
                                           i == REASON_KEY_CONCURRENCY);
    ck_assert_int_eq(why.limit[REASON_QUEUE_CONCURRENCY], 1);
    ck_assert_int_eq(why.limit[REASON_TASK_RATE], rate_of(10, 1));
}
END_TEST

START_TEST(a_rate_says_when_a_job_behind_others_may_start)
{
    limit_queue("q", LIMIT_RATE, rate_of(1, 60));
    limit_queue("q", LIMIT_BURST, 2);
    resettle();
    struct lane *lane = stands("q", "t", "", 5, 3);
    const struct gate *gate = &lane->queue->gate;
    const int64_t minute_ns = 60 * NS_PER_SEC;
    ck_assert_int_eq(lineup_rate_ns(gate, 0, 1, now_ns), 0);
    ck_assert_int_eq(lineup_rate_ns(gate, 0, 2, now_ns), minute_ns);
    take(); /* handed out: it is among those before */
    ck_assert_int_eq(lineup_rate_ns(gate, 1, 1, now_ns), 0);
    ck_assert_int_eq(lineup_rate_ns(gate, 1, 2, now_ns), minute_ns);
    now_ns += 10 * NS_PER_SEC; /* it has started */
    ck_assert_int_eq(lineup_rate_ns(gate, 0, 0, now_ns), 0);
    ck_assert_int_eq(lineup_rate_ns(gate, 0, 1, now_ns), minute_ns - 10 * NS_PER_SEC);
    ck_assert_int_gt(lineup_rate_ns(gate, 0, INT64_MAX, now_ns), INT64_MAX / 4);
}
END_TEST

START_TEST(a_lane_is_limited_if_any_of_its_gates_is)
{
    limit_queue("q", LIMIT_CONCURRENCY, 1);
    limit_queue("r", LIMIT_RATE, rate_of(1, 1));
    limit_task("t", LIMIT_CONCURRENCY, 1);
    limit_task("u", LIMIT_RATE, rate_of(1, 1));
    resettle();
    ck_assert(!lane_is_limited(stands("o", "o", "", 5, 1)));
    ck_assert(lane_is_limited(stands("q", "o", "", 5, 1)));
    ck_assert(lane_is_limited(stands("r", "o", "", 5, 1)));
    ck_assert(lane_is_limited(stands("o", "t", "", 5, 1)));
    ck_assert(lane_is_limited(stands("o", "u", "", 5, 1)));
    ck_assert(lane_is_limited(stands("o", "o", "k", 5, 1)));
}
END_TEST

static TCase *group(Suite *suite, const char *name)
{
    TCase *tests = tcase_create(name);
    tcase_add_checked_fixture(tests, lineup_up, lineup_down);
    suite_add_tcase(suite, tests);
    return tests;
}

int main(void)
{
    Suite *suite = suite_create("lineup gates");
    TCase *counts = group(suite, "concurrency"), *rates = group(suite, "rates"),
          *pauses = group(suite, "pauses"), *changes = group(suite, "changes"), *why = group(suite, "why");
    tcase_add_test(counts, a_queue_runs_as_many_as_it_may);
    tcase_add_test(counts, a_task_runs_as_many_as_it_may_in_all_queues_together);
    tcase_add_test(counts, a_key_runs_one_at_a_time_in_all_queues_and_tasks_by_default);
    tcase_add_test(counts, a_key_that_its_queue_limits_is_another_in_another_queue);
    tcase_add_test(counts, a_key_that_its_task_limits_is_one_in_all_queues_whatever_they_say);
    tcase_add_test(counts, a_lane_that_is_held_up_does_not_hold_up_others);
    tcase_add_test(counts, a_queue_that_is_full_does_not_hold_up_others);
    tcase_add_test(counts, of_those_that_wait_at_a_gate_the_first_in_line_goes_first);
    tcase_add_test(rates, a_rate_lets_one_go_each_interval_to_the_nanosecond);
    tcase_add_test(rates, a_burst_goes_at_once_and_comes_back_one_by_one);
    tcase_add_test(rates, over_years_a_rate_is_neither_more_nor_less);
    tcase_add_test(rates, each_key_has_a_rate_of_its_own);
    tcase_add_test(rates, what_was_taken_back_is_refunded);
    tcase_add_test(rates, a_rate_that_is_used_up_is_remembered_after_the_last_lane_of_its_key);
    tcase_add_test(rates, a_key_is_forgotten_once_its_rate_does_not_matter_any_more);
    tcase_add_test(pauses, what_is_paused_does_not_go_and_the_rest_does);
    tcase_add_test(pauses, when_everything_is_paused_nothing_goes);
    tcase_add_test(changes, new_limits_count_what_is_in_flight);
    tcase_add_test(changes, a_limit_that_goes_lets_everything_go_that_waited_for_it);
    tcase_add_test(changes, keys_change_their_scope_with_the_limits);
    tcase_add_test(changes, a_faster_rate_is_in_force_at_once);
    tcase_add_test(changes, other_limits_that_change_leave_a_rate_as_it_stands);
    tcase_add_test(changes, a_key_that_is_remembered_for_its_rate_takes_new_limits);
    tcase_add_test(why, a_lane_knows_which_of_its_gates_are_closed);
    tcase_add_test(why, a_rate_says_when_a_job_behind_others_may_start);
    tcase_add_test(why, a_lane_is_limited_if_any_of_its_gates_is);
    return run_suite(suite);
}
