/* The dispatcher when there is more than the slots hold: cold jobs, windows, urgency, a full arena. */
#include "dispatcher_fixture.h"

enum { MANY = 3 * SLOT_COUNT };

static struct asked many[4 * SLOT_COUNT];

/* Sends so many at once, before the dispatcher takes a turn. */
static void send_many(struct id *ids, int count, uint8_t priority)
{
    for (int i = 0; i < count; i++)
        ids[i] = send_job(&many[i], new_job(priority, DURABILITY_PROCESS));
}

static int place_of(struct id id, const struct id *ids, int count)
{
    for (int i = 0; i < count; i++)
        if (id_equal(ids[i], id))
            return i;
    return -1;
}

static void assert_next(struct id id)
{
    uint64_t ticket = start_next(0);
    ck_assert(id_equal(id_of_ticket(ticket), id));
    succeed(0, ticket);
}

/* --- first in, first out --- */

START_TEST(three_times_as_many_jobs_as_slots_go_in_the_order_in_which_they_came)
{
    struct id ids[MANY];
    send_many(ids, MANY, 5);
    TURN_UNTIL(slots_in(SLOT_FREE) <= SLOT_COUNT / 2);
    ck_assert_uint_ge(slots_in(SLOT_FREE),
                      SLOT_COUNT / 2); /* the other half is for jobs of durability memory */
    for (int i = 0; i < MANY; i++)
        assert_next(ids[i]);
    assert_nothing_left();
    ck_assert_int_eq(look("SELECT count(*) FROM jobs WHERE state = 3 AND attempt = 1"), MANY);
}
END_TEST

START_TEST(new_jobs_stay_behind_cold_ones_even_when_there_is_room)
{
    struct id ids[MANY + 20];
    send_many(ids, MANY, 5);
    TURN_UNTIL(answered(&many[MANY - 1]));
    for (int i = 0; i < MANY + 20; i++) {
        if (i % 9 == 0 && i / 9 < 20)
            ids[MANY + i / 9] = submitted_job();
        assert_next(ids[i]);
    }
    assert_nothing_left();
}
END_TEST

START_TEST(a_lane_is_warm_again_when_its_backlog_is_gone)
{
    struct id ids[MANY];
    send_many(ids, MANY, 5);
    run_all(MANY);
    TURN_UNTIL(all_warm());
    int loads = atomic_load(&loads_seen);
    run_all((submitted_job(), 1)); /* hot at once */
    ck_assert_int_eq(atomic_load(&loads_seen), loads);
}
END_TEST

START_TEST(each_priority_keeps_its_own_order_whatever_the_mixture)
{
    struct id ids[MANY];
    uint8_t priority[MANY];
    int64_t last[PRIORITY_COUNT] = {0};
    uint64_t random = 9;
    for (int i = 0; i < MANY; i++) {
        priority[i] = (uint8_t)(next_random(&random) % PRIORITY_COUNT);
        ids[i] = send_job(&many[i], new_job(priority[i], DURABILITY_PROCESS));
    }
    for (int i = 0; i < MANY; i++) {
        uint64_t ticket = start_next(0);
        const struct job_spec *spec = &slot_of_ticket(ticket)->spec;
        ck_assert_int_ge(place_of(spec->id, ids, MANY), 0);
        ck_assert_int_gt(spec->seq, last[spec->priority]);
        last[spec->priority] = spec->seq;
        succeed(0, ticket);
    }
    assert_nothing_left();
}
END_TEST

START_TEST(retries_that_come_due_with_a_cold_lane_go_behind_it)
{
    struct id ids[MANY];
    struct id failing = submitted_job();
    uint64_t ticket = start_next(0);
    send_many(ids, MANY, 5);
    TURN_UNTIL(answered(&many[MANY - 1]));
    finish_run(0, ticket, OUTCOME_ERROR);
    TURN_UNTIL(look("SELECT errors = 1 AND state = 0 FROM jobs ORDER BY id_key LIMIT 1") ==
               1); /* due again */
    for (int i = 0; i < MANY; i++)
        assert_next(ids[i]);
    assert_next(failing);
    assert_nothing_left();
}
END_TEST

START_TEST(a_backlog_survives_everything_and_keeps_its_order)
{
    struct id ids[MANY];
    send_many(ids, MANY, 5);
    TURN_UNTIL(answered(&many[MANY - 1]));
    everything_dies();
    for (int i = 0; i < MANY / 2; i++)
        assert_next(ids[i]);
    TURN_UNTIL(slots_in(SLOT_RUNNING) + slots_in(SLOT_DONE) == 0);
    restart();
    for (int i = MANY / 2; i < MANY; i++)
        assert_next(ids[i]);
    assert_nothing_left();
}
END_TEST

/* --- urgency --- */

START_TEST(an_urgent_job_overtakes_a_backlog_that_fills_every_slot)
{
    struct id ids[MANY];
    send_many(ids, MANY, 2);
    TURN_UNTIL(slots_in(SLOT_FREE) <= SLOT_COUNT / 2);
    turns(20);
    atomic_store(&segment.header->draining,
                 DRAIN_WORKERS); /* the next ones stay in their slots, unpublished */
    struct id urgent = submitted_at(9);
    turns(20);
    atomic_store(&segment.header->draining, DRAIN_NONE);
    turns(2);
    int before = 0;
    for (;; before++) {
        uint64_t ticket = start_next(0);
        bool found = id_equal(id_of_ticket(ticket), urgent);
        succeed(0, ticket);
        if (found)
            break;
    }
    ck_assert_int_le(before, 1);
    run_all(MANY - before);
    ck_assert_int_eq(look("SELECT count(*) FROM jobs WHERE state = 3 AND attempt = 1"), MANY + 1);
}
END_TEST

START_TEST(what_was_sent_back_for_an_urgent_job_keeps_its_place)
{
    struct id ids[MANY], urgent[10];
    atomic_store(&segment.header->draining, DRAIN_WORKERS); /* nothing is published: all can be sent back */
    send_many(ids, MANY, 2);
    TURN_UNTIL(slots_in(SLOT_HELD) == SLOT_COUNT / 2);
    for (int i = 0; i < 10; i++)
        urgent[i] = submitted_at(7);
    turns(30);
    atomic_store(&segment.header->draining, DRAIN_NONE);
    for (int i = 0; i < 10; i++)
        assert_next(urgent[i]);
    for (int i = 0; i < MANY; i++)
        assert_next(ids[i]);
    assert_nothing_left();
}
END_TEST

/* --- the window and the rings --- */

static void big_up(void)
{
    rig_up_with(4096);
    TURN_UNTIL(all_warm());
}

START_TEST(only_a_window_is_published)
{
    enum { JOBS = 900 };
    static struct asked asked[JOBS];
    for (int i = 0; i < JOBS; i++)
        send_job(&asked[i], new_job(1, DURABILITY_PROCESS));
    TURN_UNTIL(slots_in(SLOT_FREE) == 4096 - JOBS);
    turns(3);
    ck_assert_uint_eq(slots_in(SLOT_QUEUED), 1); /* nobody waits, nothing has ended: one ahead */
    for (uint32_t i = 0; i < WORKER_COUNT; i++)
        atomic_store(&board_of(i)->waiting, 1);
    TURN_UNTIL(slots_in(SLOT_QUEUED) == 1 + WORKER_COUNT);
    struct id urgent = submitted_at(9); /* what is out below it does not count */
    TURN_UNTIL(slots_in(SLOT_QUEUED) == 2 + WORKER_COUNT);
    assert_next(urgent);
    run_all(JOBS);
}
END_TEST

static uint32_t said_backlog(void)
{
    return atomic_load(&segment.header->backlog[0]);
}

/* Or a worker that begins to wait after the dispatcher has looked would sleep beside a job. */
START_TEST(what_the_window_keeps_back_is_said_until_nothing_is)
{
    workers_wait(0);
    submitted_job();
    TURN_UNTIL(slots_in(SLOT_QUEUED) == 1);
    ck_assert_uint_eq(said_backlog(), 0);
    submitted_job();
    TURN_UNTIL(slots_in(SLOT_HELD) == 1);
    turn();
    ck_assert_uint_eq(slots_in(SLOT_HELD), 1);
    ck_assert_uint_eq(said_backlog(), 1);
    workers_wait(1);
    turn();
    ck_assert_uint_eq(slots_in(SLOT_HELD), 0);
    ck_assert_uint_eq(said_backlog(), 0);
    workers_wait(0);
    for (int i = 0; i < 2; i++)
        succeed(0, start_next(0));
    assert_nothing_left();
}
END_TEST

START_TEST(a_ring_full_of_cancelled_tickets_is_rebuilt_in_order)
{
    struct id first = submitted_at(4), second = submitted_at(4);
    for (int i = 0; i < RING_CELLS + 100; i++) {
        struct id id = submitted_at(4);
        struct asked asked;
        TURN_UNTIL(hot_find(&hot, id) != HOT_NONE);
        send_cancel(&asked, id);
        TURN_UNTIL(answered(&asked));
        ck_assert_int_eq(asked.errand.err, ERR_OK);
    }
    struct id third = submitted_at(4);
    assert_next(first);
    assert_next(second);
    assert_next(third);
    assert_nothing_left();
}
END_TEST

/* --- the arena --- */

static char large[300 * 1024];

static void large_up(void)
{
    memset(large, '1', sizeof large);
    rig_up();
}

static struct job *large_job(size_t bytes)
{
    struct job *job = new_job(5, DURABILITY_PROCESS);
    job->args = (struct text){large, bytes};
    return job;
}

START_TEST(arguments_that_do_not_fit_wait_in_the_store_without_a_spin)
{
    struct id ids[20];
    for (int i = 0; i < 20; i++) /* 512 KiB each, of 1 MiB */
        ids[i] = send_job(&many[i], large_job(sizeof large));
    TURN_UNTIL(answered(&many[19]));
    TURN_UNTIL(slots_in(SLOT_FREE) == SLOT_COUNT - 2);
    turns(50);
    int loads = atomic_load(&loads_seen);
    for (int64_t until = clock_mono_ns() + NS_PER_SEC; clock_mono_ns() < until;)
        dispatcher_turn(&dispatcher);
    ck_assert_int_le(atomic_load(&loads_seen) - loads, 40);
    for (int i = 0; i < 20; i++)
        assert_next(ids[i]);
    assert_nothing_left();
}
END_TEST

START_TEST(large_and_small_arguments_keep_their_order)
{
    struct id ids[60];
    for (int i = 0; i < 60; i++)
        ids[i] =
            send_job(&many[i], i % 3 == 0 ? large_job(sizeof large / (size_t)(1 + i % 4)) : large_job(2));
    for (int i = 0; i < 60; i++) {
        uint64_t ticket = start_next(0);
        struct text args;
        ck_assert(id_equal(id_of_ticket(ticket), ids[i]));
        ok(slot_args(&segment, slot_of_ticket(ticket), &args));
        ck_assert(args.bytes == 2 || args.bytes == sizeof large / (size_t)(1 + i % 4));
        ck_assert_mem_eq(args.at, large, args.bytes);
        succeed(0, ticket);
    }
    assert_nothing_left();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("dispatcher: order");
    TCase *fifo = tcase_create("first in, first out"), *urgent = tcase_create("urgency"),
          *windows = tcase_create("windows"), *arena = tcase_create("arena");
    tcase_add_checked_fixture(fifo, rig_up, rig_down);
    tcase_set_timeout(fifo, 60);
    tcase_add_test(fifo, three_times_as_many_jobs_as_slots_go_in_the_order_in_which_they_came);
    tcase_add_test(fifo, new_jobs_stay_behind_cold_ones_even_when_there_is_room);
    tcase_add_test(fifo, a_lane_is_warm_again_when_its_backlog_is_gone);
    tcase_add_test(fifo, each_priority_keeps_its_own_order_whatever_the_mixture);
    tcase_add_test(fifo, retries_that_come_due_with_a_cold_lane_go_behind_it);
    tcase_add_test(fifo, a_backlog_survives_everything_and_keeps_its_order);
    tcase_add_checked_fixture(urgent, rig_up, rig_down);
    tcase_set_timeout(urgent, 60);
    tcase_add_test(urgent, an_urgent_job_overtakes_a_backlog_that_fills_every_slot);
    tcase_add_test(urgent, what_was_sent_back_for_an_urgent_job_keeps_its_place);
    tcase_add_checked_fixture(windows, big_up, rig_down);
    tcase_set_timeout(windows, 60);
    tcase_add_test(windows, only_a_window_is_published);
    tcase_add_test(windows, what_the_window_keeps_back_is_said_until_nothing_is);
    tcase_add_test(windows, a_ring_full_of_cancelled_tickets_is_rebuilt_in_order);
    tcase_add_checked_fixture(arena, large_up, rig_down);
    tcase_set_timeout(arena, 60);
    tcase_add_test(arena, arguments_that_do_not_fit_wait_in_the_store_without_a_spin);
    tcase_add_test(arena, large_and_small_arguments_keep_their_order);
    suite_add_tcase(suite, fifo);
    suite_add_tcase(suite, urgent);
    suite_add_tcase(suite, windows);
    suite_add_tcase(suite, arena);
    return run_suite(suite);
}
