/* The lineup: order, shares, and what comes and goes. Its gates: test_lineup_gates.c, test_lineup_offers.c.
 */
#include "lineup_fixture.h"

/* --- order --- */

START_TEST(an_empty_lineup_has_no_next)
{
    for (uint32_t pool = 0; pool < LINEUP_POOLS; pool++)
        for (uint32_t level = 0; level < PRIORITY_COUNT; level++)
            ck_assert_ptr_null(lineup_next(&lineup, pool, level, now_ns));
    ck_assert_int_eq(tick(), INT64_MAX);
}
END_TEST

START_TEST(a_lane_goes_in_the_order_of_its_jobs)
{
    struct lane *lane = stands("q", "t", "", 5, 3);
    for (int64_t seq = 1; seq <= 3; seq++) {
        ck_assert_int_eq(lane_head(next_at(5)), seq);
        ck_assert_ptr_eq(take_at(5), lane);
    }
    ck_assert_ptr_null(take_at(5));
}
END_TEST

START_TEST(lanes_of_a_queue_go_by_seq_whatever_their_task_and_key)
{
    lineup.key_concurrency = LIMIT_NOT_SET;
    struct lane *order[] = {stands("q", "a", "", 5, 1), stands("q", "b", "", 5, 1),
                            stands("q", "a", "k", 5, 1), stands("q", "c", "k", 5, 1),
                            stands("q", "b", "l", 5, 1)};
    for (int i = 0; i < 5; i++)
        ck_assert_ptr_eq(take_at(5), order[i]);
}
END_TEST

START_TEST(a_cold_head_counts_like_a_ready_one)
{
    struct lane *late = stands("q", "a", "", 5, 1), *cold = stands("q", "b", "", 5, 1);
    cold->ready_seq = 9;
    cold->cold_seq = 0; /* a row before everything */
    lineup_place(&lineup, cold);
    ck_assert_ptr_eq(next_at(5), cold);
    cold->cold_seq = NO_SEQ;
    lineup_place(&lineup, cold);
    ck_assert_ptr_eq(next_at(5), late);
}
END_TEST

START_TEST(each_level_has_its_own_line)
{
    struct lane *low = stands("q", "t", "", 0, 1), *high = stands("q", "t", "", 9, 1);
    ck_assert_ptr_eq(next_at(9), high);
    ck_assert_ptr_eq(next_at(0), low);
    for (uint32_t level = 1; level < 9; level++)
        ck_assert_ptr_null(next_at(level));
}
END_TEST

START_TEST(each_pool_has_its_own_line)
{
    lineup_queue(&lineup, "other")->pool = 3;
    struct lane *here = stands("q", "t", "", 5, 1), *there = stands("other", "t", "", 5, 1);
    ck_assert_ptr_eq(lineup_next(&lineup, 0, 5, now_ns), here);
    ck_assert_ptr_eq(lineup_next(&lineup, 3, 5, now_ns), there);
    ck_assert_ptr_null(lineup_next(&lineup, 1, 5, now_ns));
}
END_TEST

START_TEST(a_queue_that_changes_its_pool_stands_in_the_new_one_only)
{
    struct lane *lane = stands("q", "t", "", 5, 1);
    lineup_leave_pool(&lineup, lane->queue);
    lane->queue->pool = 2;
    resettle();
    ck_assert_ptr_null(lineup_next(&lineup, 0, 5, now_ns));
    ck_assert_ptr_eq(lineup_next(&lineup, 2, 5, now_ns), lane);
}
END_TEST

START_TEST(nothing_of_a_level_goes_while_its_first_lane_is_read)
{
    struct lane *lane = stands("q", "a", "", 5, 1), *other = stands("other", "b", "", 5, 1);
    lineup_loading(&lineup, &lane->queue->levels[5]);
    ck_assert_ptr_eq(take_at(5), other);
    ck_assert_ptr_null(take_at(5));
    lineup_loaded(&lineup, &lane->queue->levels[5]);
    ck_assert_ptr_eq(take_at(5), lane);
}
END_TEST

/* --- fair shares --- */

struct share {
    int64_t ran_ns, jobs;
};

/* One worker takes job after job for so long; those of "a" run for a_ns, those of "b" for b_ns. */
static void work_for(int64_t total_ns, int64_t a_ns, int64_t b_ns, struct share *a, struct share *b)
{
    *a = *b = (struct share){0, 0};
    while (a->ran_ns + b->ran_ns < total_ns) {
        struct lane *lane = next_at(5);
        bool is_a = strcmp(lane->queue->name, "a") == 0;
        int64_t run_ns = is_a ? a_ns : b_ns, charged_ns = lineup_take(&lineup, lane, now_ns);
        lane->ready_seq++;
        lineup_place(&lineup, lane);
        now_ns += run_ns;
        give_after(lane, charged_ns, run_ns);
        (is_a ? a : b)->ran_ns += run_ns;
        (is_a ? a : b)->jobs++;
    }
}

static void assert_ratio(int64_t more, int64_t less, double ratio)
{
    double is = (double)more / (double)less;
    ck_assert_msg(is > ratio * 0.95 && is < ratio * 1.05, "%f instead of %f", is, ratio);
}

enum { PLENTY = 10000000 };

START_TEST(queues_of_equal_weight_share_the_time_equally)
{
    struct share a, b;
    stands("a", "t", "", 5, PLENTY);
    stands("b", "t", "", 5, PLENTY);
    work_for(100 * NS_PER_SEC, 10 * NS_PER_MS, 10 * NS_PER_MS, &a, &b);
    assert_ratio(a.ran_ns, b.ran_ns, 1);
}
END_TEST

START_TEST(a_weight_of_3_gets_three_times_the_time)
{
    struct share a, b;
    limit_queue("a", LIMIT_WEIGHT, 3);
    stands("a", "t", "", 5, PLENTY);
    stands("b", "t", "", 5, PLENTY);
    work_for(100 * NS_PER_SEC, 10 * NS_PER_MS, 10 * NS_PER_MS, &a, &b);
    assert_ratio(a.ran_ns, b.ran_ns, 3);
}
END_TEST

START_TEST(shares_are_of_time_and_not_of_jobs)
{
    struct share a, b;
    limit_queue("a", LIMIT_WEIGHT, 3);
    stands("a", "t", "", 5, PLENTY);
    stands("b", "t", "", 5, PLENTY);
    work_for(100 * NS_PER_SEC, 100 * NS_PER_MS, 5 * NS_PER_MS, &a, &b);
    assert_ratio(a.ran_ns, b.ran_ns, 3);
    assert_ratio(b.jobs, a.jobs, 100.0 / 5 / 3);
}
END_TEST

START_TEST(shares_hold_from_the_start_while_many_workers_take_before_anything_has_ended)
{
    limit_queue("a", LIMIT_WEIGHT, 3);
    struct lane *a = stands("a", "t", "", 5, PLENTY);
    stands("b", "t", "", 5, PLENTY);
    int of_a = 0;
    for (int i = 0; i < 400; i++)
        of_a += take_at(5) == a;
    assert_ratio(of_a, 400 - of_a, 3);
}
END_TEST

START_TEST(what_is_taken_back_is_not_charged)
{
    struct lane *a = stands("a", "t", "", 5, PLENTY);
    stands("b", "t", "", 5, PLENTY);
    int64_t pass = a->queue->pass;
    int64_t run_ns = a->queue->run_ns;
    ck_assert_ptr_eq(take_at(5), a);
    ck_assert_int_gt(a->queue->pass, pass);
    give_back(a);
    ck_assert_int_eq(a->queue->pass, pass);
    ck_assert_int_eq(a->queue->run_ns, run_ns);
}
END_TEST

START_TEST(a_queue_that_slept_has_no_claim_to_the_past)
{
    struct share a, b;
    stands("a", "t", "", 5, PLENTY);
    work_for(1000 * NS_PER_SEC, 10 * NS_PER_MS, 0, &a, &b);
    stands("b", "t", "", 5, PLENTY);
    work_for(10 * NS_PER_SEC, 10 * NS_PER_MS, 10 * NS_PER_MS, &a, &b);
    assert_ratio(a.ran_ns, b.ran_ns, 1);
}
END_TEST

START_TEST(a_queue_that_was_paused_has_no_claim_to_the_past)
{
    struct share a, b;
    limit_queue("b", LIMIT_PAUSED, 1);
    stands("a", "t", "", 5, PLENTY);
    stands("b", "t", "", 5, PLENTY);
    stands("b", "u", "", 5, PLENTY); /* two lanes: the queue is never without one */
    resettle();
    work_for(1000 * NS_PER_SEC, 10 * NS_PER_MS, 0, &a, &b);
    ck_assert_int_eq(b.jobs, 0);
    limit_queue("b", LIMIT_PAUSED, LIMIT_NOT_SET);
    resettle();
    work_for(10 * NS_PER_SEC, 10 * NS_PER_MS, 10 * NS_PER_MS, &a, &b);
    assert_ratio(a.ran_ns, b.ran_ns, 1);
}
END_TEST

START_TEST(a_queue_that_changes_its_pool_takes_along_no_debt)
{
    struct share a, b;
    struct lane *lane = stands("a", "t", "", 5, PLENTY);
    work_for(1000 * NS_PER_SEC, 10 * NS_PER_MS, 0, &a, &b);
    lineup_queue(&lineup, "b")->pool = 1;
    struct lane *other = stands("b", "t", "", 5, PLENTY);
    lineup_leave_pool(&lineup, lane->queue);
    lane->queue->pool = 1;
    resettle();
    int of_a = 0;
    for (int i = 0; i < 100; i++) {
        struct lane *next = lineup_next(&lineup, 1, 5, now_ns);
        ck_assert(next == lane || next == other);
        of_a += next == lane;
        give_after(next, lineup_take(&lineup, next, now_ns), 10 * NS_PER_MS);
    }
    assert_ratio(of_a, 100 - of_a, 1);
}
END_TEST

/* --- what comes and goes --- */

START_TEST(a_lane_is_found_by_its_number_while_it_has_jobs_and_forgotten_with_the_last)
{
    struct lane *lane = stands("q", "t", "", 5, 1);
    int64_t id = lane->id;
    ck_assert_ptr_eq(lineup_find(&lineup, id), lane);
    take();
    ck_assert_ptr_eq(lineup_find(&lineup, id), lane); /* in flight */
    give(lane);
    ck_assert_ptr_null(lineup_find(&lineup, id));
    ck_assert_uint_eq(lineup.lane_count, 0);
}
END_TEST

START_TEST(a_key_is_forgotten_with_the_last_of_its_lanes)
{
    struct lane *a = stands("q", "a", "k", 5, 1), *b = stands("q", "b", "k", 5, 1);
    ck_assert_uint_eq(lineup.key_count, 1);
    drop_first(a);
    ck_assert_uint_eq(lineup.key_count, 1);
    drop_first(b);
    ck_assert_uint_eq(lineup.key_count, 0);
}
END_TEST

START_TEST(waiting_jobs_are_counted_for_their_queue)
{
    struct lane *a = stands("q", "a", "", 5, 3);
    stands("q", "b", "", 5, 2);
    ck_assert_int_eq(a->queue->waiting, 5);
    ck_assert_int_eq(atomic_load(&a->queue->depth), 5);
    take();
    ck_assert_int_eq(atomic_load(&a->queue->depth), 4);
}
END_TEST

START_TEST(starts_are_measured_by_the_second)
{
    struct lane *lane = stands("q", "t", "", 5, 1000);
    lineup_measure(&lineup, now_ns);
    for (int i = 0; i < 50; i++)
        take();
    now_ns += NS_PER_SEC / 2;
    lineup_measure(&lineup, now_ns); /* too early to look */
    ck_assert(lane->queue->starts_per_s <= 0);
    now_ns += NS_PER_SEC / 2;
    lineup_measure(&lineup, now_ns);
    ck_assert(lane->queue->starts_per_s > 49.9 && lane->queue->starts_per_s < 50.1);
    ck_assert_int_eq(atomic_load(&lane->queue->starts_milli), 50000);
}
END_TEST

/* Quadratic work of any kind would not come to an end here within the time of a test. */
START_TEST(a_hundred_thousand_lanes_come_and_go)
{
    enum { LANES = 100000 };
    static struct lane *lanes[LANES];
    char key[32];
    limit_task("t", LIMIT_CONCURRENCY, 10);
    resettle();
    for (int i = 0; i < LANES; i++) {
        snprintf(key, sizeof key, "key-%d", i);
        lanes[i] = stands("q", "t", key, 5, 1);
    }
    ck_assert_uint_eq(lineup.lane_count, LANES);
    ck_assert_uint_eq(lineup.key_count, LANES);
    for (int i = 0, out = 0; out < LANES; out++) {
        for (struct lane *lane; (lane = take_at(5)) != NULL; i++)
            ck_assert_ptr_eq(lane, lanes[i]);
        ck_assert_int_eq(i - out, LANES - out < 10 ? LANES - out : 10);
        give(lanes[out]);
    }
    ck_assert_uint_eq(lineup.lane_count, 0);
    ck_assert_uint_eq(lineup.key_count, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("lineup");
    TCase *order = tcase_create("order"), *shares = tcase_create("shares"), *life = tcase_create("life");
    tcase_add_checked_fixture(order, lineup_up, lineup_down);
    tcase_add_test(order, an_empty_lineup_has_no_next);
    tcase_add_test(order, a_lane_goes_in_the_order_of_its_jobs);
    tcase_add_test(order, lanes_of_a_queue_go_by_seq_whatever_their_task_and_key);
    tcase_add_test(order, a_cold_head_counts_like_a_ready_one);
    tcase_add_test(order, each_level_has_its_own_line);
    tcase_add_test(order, each_pool_has_its_own_line);
    tcase_add_test(order, a_queue_that_changes_its_pool_stands_in_the_new_one_only);
    tcase_add_test(order, nothing_of_a_level_goes_while_its_first_lane_is_read);
    tcase_add_checked_fixture(shares, lineup_up, lineup_down);
    tcase_add_test(shares, queues_of_equal_weight_share_the_time_equally);
    tcase_add_test(shares, a_weight_of_3_gets_three_times_the_time);
    tcase_add_test(shares, shares_are_of_time_and_not_of_jobs);
    tcase_add_test(shares, shares_hold_from_the_start_while_many_workers_take_before_anything_has_ended);
    tcase_add_test(shares, what_is_taken_back_is_not_charged);
    tcase_add_test(shares, a_queue_that_slept_has_no_claim_to_the_past);
    tcase_add_test(shares, a_queue_that_was_paused_has_no_claim_to_the_past);
    tcase_add_test(shares, a_queue_that_changes_its_pool_takes_along_no_debt);
    tcase_add_checked_fixture(life, lineup_up, lineup_down);
    tcase_add_test(life, a_lane_is_found_by_its_number_while_it_has_jobs_and_forgotten_with_the_last);
    tcase_add_test(life, a_key_is_forgotten_with_the_last_of_its_lanes);
    tcase_add_test(life, waiting_jobs_are_counted_for_their_queue);
    tcase_add_test(life, starts_are_measured_by_the_second);
    tcase_add_test(life, a_hundred_thousand_lanes_come_and_go);
    suite_add_tcase(suite, order);
    suite_add_tcase(suite, shares);
    suite_add_tcase(suite, life);
    return run_suite(suite);
}
