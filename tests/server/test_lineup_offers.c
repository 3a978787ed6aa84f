/* The lineup: a place behind a gate that is offered and not used is passed on. */
#include "lineup_fixture.h"

/* Two of t may run; the first key is taken, so those woken for t find their key closed. */
START_TEST(a_woken_lane_whose_key_is_taken_passes_its_place_on)
{
    limit_task("t", LIMIT_CONCURRENCY, 2);
    resettle();
    struct lane *one = stands("q", "t", "a", 9, 1), *two = stands("q", "t", "b", 9, 1);
    ck_assert_int_eq(take_all(), 2);
    stands("q", "t", "a", 8, 1), stands("r", "t", "a", 7, 1);
    struct lane *can = stands("r", "t", "c", 6, 1);
    ck_assert_int_eq(take_all(), 0);
    give(two);
    ck_assert_ptr_eq(take(), can);
    ck_assert_ptr_null(take());
    give(one);
    ck_assert_int_eq(take_all(), 1);
}
END_TEST

START_TEST(a_woken_lane_whose_task_is_full_passes_its_key_on)
{
    limit_task("t", LIMIT_CONCURRENCY, 1);
    resettle();
    struct lane *busy = stands("q", "t", "", 9, 1), *holder = stands("q", "u", "k", 9, 1);
    ck_assert_int_eq(take_all(), 2);
    stands("q", "t", "k", 8, 1);
    struct lane *can = stands("q", "u", "k", 5, 1);
    give(busy);
    ck_assert_ptr_null(take());
    busy = stands("q", "t", "", 9, 1);
    ck_assert_ptr_eq(take(), busy);
    ck_assert_ptr_null(take());
    give(holder);
    ck_assert_ptr_eq(take(), can);
}
END_TEST

START_TEST(a_woken_lane_whose_job_is_cancelled_passes_its_place_on)
{
    limit_task("t", LIMIT_CONCURRENCY, 1);
    resettle();
    struct lane *running = stands("q", "t", "", 9, 1), *gone = stands("a", "t", "", 5, 1),
                *stays = stands("b", "t", "", 5, 1);
    ck_assert_ptr_eq(take(), running);
    ck_assert_ptr_null(take());
    give(running);
    drop_first(gone); /* before anybody asked for the next */
    ck_assert_ptr_eq(take(), stays);
}
END_TEST

START_TEST(a_woken_lane_whose_queue_is_full_passes_its_place_on)
{
    limit_task("t", LIMIT_CONCURRENCY, 1);
    limit_queue("full", LIMIT_CONCURRENCY, 1);
    resettle();
    struct lane *running = stands("other", "t", "", 9, 1);
    ck_assert_ptr_eq(take(), running);
    stands("full", "t", "", 8, 1);
    struct lane *can = stands("other", "t", "", 7, 1);
    ck_assert_ptr_null(take()); /* both wait for the task */
    struct lane *fills = stands("full", "u", "", 9, 2);
    ck_assert_ptr_eq(take(), fills);
    ck_assert_ptr_null(take());
    give(running);
    ck_assert_ptr_eq(take(), can);
}
END_TEST

START_TEST(a_woken_lane_whose_queue_fills_up_meanwhile_passes_its_place_on)
{
    limit_task("t", LIMIT_CONCURRENCY, 1);
    limit_queue("full", LIMIT_CONCURRENCY, 1);
    resettle();
    struct lane *running = stands("other", "t", "", 9, 1);
    ck_assert_ptr_eq(take(), running);
    stands("full", "t", "", 8, 1);
    struct lane *can = stands("other", "t", "", 7, 1);
    ck_assert_ptr_null(take());
    give(running); /* wakes the lane of "full" */
    stands("full", "u", "", 9, 2);
    ck_assert_str_eq(take()->task->name, "u"); /* more urgent, and "full" is full */
    ck_assert_ptr_eq(take(), can);
}
END_TEST

/* Whatever happens in whatever order: no lane whose gates are all open is left standing when lineup_next says
 * that there is none, and no gate has more in flight than it may. */
START_TEST(no_open_lane_is_ever_forgotten)
{
    enum { FLIGHT = 64, STEPS = 20000 };
    static const char *const QUEUES[] = {"q0", "q1", "q2"}, *const TASKS[] = {"t0", "t1"},
                             *const KEYS[] = {"", "a", "b", "c"};
    struct lane *flying[FLIGHT];
    int count = 0;
    uint64_t random = 7;
    limit_queue("q0", LIMIT_CONCURRENCY, 2);
    limit_queue("q1", LIMIT_RATE, rate_of(1000, 1));
    limit_task("t0", LIMIT_CONCURRENCY, 3);
    limit_task("t1", LIMIT_RATE, rate_of(500, 1));
    limit_task("t1", LIMIT_BURST, 3);
    resettle();
    for (int step = 0; step < STEPS; step++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        uint32_t dice = (uint32_t)(random >> 33);
        struct job_spec spec = spec_of(QUEUES[dice / 8 % 3], TASKS[dice / 32 % 2], KEYS[dice / 64 % 4],
                                       (uint8_t)(dice / 256 % 3));
        struct lane *lane = lineup_find(&lineup, spec.lane);
        now_ns += dice % 1000000;
        tick();
        if (dice % 8 < 3 && (lane == NULL || lane->ready_seq == NO_SEQ))
            stands(spec.queue, spec.task, spec.concurrency_key, spec.priority, 1 + dice / 1024 % 3);
        else if (dice % 8 == 3 && lane != NULL && lane->ready_seq != NO_SEQ)
            drop_first(lane);
        else if (dice % 8 < 6 && count > 0) {
            uint32_t which = dice / 8 % (uint32_t)count;
            struct lane *ended = flying[which];
            flying[which] = flying[--count];
            give(ended);
        }
        if (dice / 4096 % 3 == 0)
            continue; /* several things happen between two looks */
        for (struct lane *next; count < FLIGHT && (next = take()) != NULL;)
            flying[count++] = next;
        ck_assert_int_lt(count, FLIGHT);
        for (size_t i = 0; i < lineup.bucket_count; i++) {
            for (lane = lineup.lanes[i]; lane != NULL; lane = lane->next) {
                bool open = gate_is_open(&lane->queue->gate, now_ns) &&
                            gate_is_open(&lane->task->gate, now_ns) &&
                            (lane->key == NULL || gate_is_open(&lane->key->gate, now_ns));
                ck_assert_msg(lane->ready_seq == NO_SEQ || !open, "step %d: %s %s %s", step,
                              lane->queue->name, lane->task->name, lane->concurrency_key);
                ck_assert(lane->key == NULL || lane->key->gate.in_flight <= 1);
            }
        }
        ck_assert_uint_le(lineup_queue(&lineup, "q0")->gate.in_flight, 2);
        ck_assert_uint_le(lineup_task(&lineup, "t0")->gate.in_flight, 3);
    }
    while (count > 0)
        give(flying[--count]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("lineup offers");
    TCase *tests = tcase_create("offers");
    tcase_add_checked_fixture(tests, lineup_up, lineup_down);
    tcase_add_test(tests, a_woken_lane_whose_key_is_taken_passes_its_place_on);
    tcase_add_test(tests, a_woken_lane_whose_task_is_full_passes_its_key_on);
    tcase_add_test(tests, a_woken_lane_whose_job_is_cancelled_passes_its_place_on);
    tcase_add_test(tests, a_woken_lane_whose_queue_is_full_passes_its_place_on);
    tcase_add_test(tests, a_woken_lane_whose_queue_fills_up_meanwhile_passes_its_place_on);
    tcase_add_test(tests, no_open_lane_is_ever_forgotten);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
