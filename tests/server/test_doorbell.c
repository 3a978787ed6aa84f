#include "run.h"

#include "doorbell.h"

#include <pthread.h>

enum { BELLS = 40 };

static struct doorbell bells[BELLS];
static int woken[BELLS];

static void wake(struct doorbell *bell)
{
    woken[bell - bells]++;
}

static void setup(void)
{
    for (int i = 0; i < BELLS; i++) {
        bells[i].wake = wake;
        woken[i] = 0;
    }
}

START_TEST(a_bell_wakes_at_once)
{
    doorbell_ring(&bells[0]);
    doorbell_ring(&bells[0]);
    ck_assert_int_eq(woken[0], 2);
}
END_TEST

START_TEST(a_bell_that_is_held_back_wakes_once_at_the_release)
{
    doorbells_hold();
    doorbell_ring(&bells[0]);
    doorbell_ring(&bells[1]);
    doorbell_ring(&bells[0]);
    ck_assert_int_eq(woken[0] + woken[1], 0);
    doorbells_release();
    ck_assert_int_eq(woken[0], 1);
    ck_assert_int_eq(woken[1], 1);
    doorbell_ring(&bells[0]); /* nothing is held back any more, … */
    ck_assert_int_eq(woken[0], 2);
    doorbells_hold();
    doorbells_release(); /* … and nothing is left to ring */
    ck_assert_int_eq(woken[0], 2);
    ck_assert_int_eq(woken[1], 1);
}
END_TEST

START_TEST(a_flush_wakes_at_once_and_goes_on_holding_back)
{
    doorbells_hold();
    doorbell_ring(&bells[0]);
    doorbells_flush();
    ck_assert_int_eq(woken[0], 1);
    doorbell_ring(&bells[0]);
    ck_assert_int_eq(woken[0], 1);
    doorbells_release();
    ck_assert_int_eq(woken[0], 2);
}
END_TEST

START_TEST(none_is_lost_however_many_there_are)
{
    doorbells_hold();
    for (int i = 0; i < BELLS; i++)
        doorbell_ring(&bells[i]);
    doorbells_release();
    for (int i = 0; i < BELLS; i++)
        ck_assert_int_eq(woken[i], 1);
}
END_TEST

static void *ring_from_elsewhere(void *bell)
{
    doorbell_ring(bell);
    return NULL;
}

START_TEST(what_one_thread_holds_back_another_does_not)
{
    pthread_t thread;
    doorbells_hold();
    doorbell_ring(&bells[0]);
    ck_assert_int_eq(pthread_create(&thread, NULL, ring_from_elsewhere, &bells[1]), 0);
    pthread_join(thread, NULL);
    ck_assert_int_eq(woken[0], 0);
    ck_assert_int_eq(woken[1], 1);
    doorbells_release();
    ck_assert_int_eq(woken[0], 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("doorbell");
    TCase *tests = tcase_create("doorbell");
    suite_add_tcase(suite, tests);
    tcase_add_checked_fixture(tests, setup, NULL);
    tcase_add_test(tests, a_bell_wakes_at_once);
    tcase_add_test(tests, a_bell_that_is_held_back_wakes_once_at_the_release);
    tcase_add_test(tests, a_flush_wakes_at_once_and_goes_on_holding_back);
    tcase_add_test(tests, none_is_lost_however_many_there_are);
    tcase_add_test(tests, what_one_thread_holds_back_another_does_not);
    return run_suite(suite);
}
