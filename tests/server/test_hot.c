#include "run.h"

#include "check.h"
#include "hot.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

enum { SLOTS = 200 };

static struct hot hot;

static void setup(void)
{
    ck_assert_int_eq(hot_init(&hot, SLOTS), ERR_OK);
}

static void teardown(void)
{
    hot_fini(&hot);
}

/* Ids with the same random bits fall into the same bucket. */
static struct id colliding(int64_t key)
{
    return id_join(key, 12345);
}

START_TEST(an_empty_index_finds_nothing)
{
    ck_assert_uint_eq(hot_find(&hot, id_new()), HOT_NONE);
}
END_TEST

START_TEST(what_was_added_is_found_until_it_is_removed)
{
    struct id ids[SLOTS];
    for (uint32_t i = 0; i < SLOTS; i++)
        hot_add(&hot, ids[i] = id_new(), i);
    for (uint32_t i = 0; i < SLOTS; i++)
        ck_assert_uint_eq(hot_find(&hot, ids[i]), i);
    ck_assert_uint_eq(hot_find(&hot, id_new()), HOT_NONE);
    for (uint32_t i = 0; i < SLOTS; i++) {
        hot_remove(&hot, i);
        ck_assert_uint_eq(hot_find(&hot, ids[i]), HOT_NONE);
        if (i + 1 < SLOTS)
            ck_assert_uint_eq(hot_find(&hot, ids[i + 1]), i + 1);
    }
}
END_TEST

START_TEST(slot_0_can_be_found)
{
    struct id id = id_new();
    hot_add(&hot, id, 0);
    ck_assert_uint_eq(hot_find(&hot, id), 0);
}
END_TEST

START_TEST(ids_of_one_bucket_do_not_hide_one_another_in_whatever_order_they_go)
{
    static const uint32_t ORDERS[][3] = {{0, 1, 2}, {2, 1, 0}, {1, 0, 2}, {1, 2, 0}, {0, 2, 1}, {2, 0, 1}};
    for (int o = 0; o < 6; o++) {
        for (uint32_t i = 0; i < 3; i++)
            hot_add(&hot, colliding(i + 1), i);
        for (uint32_t i = 0; i < 3; i++) {
            hot_remove(&hot, ORDERS[o][i]);
            for (uint32_t k = 0; k < 3; k++)
                ck_assert_uint_eq(hot_find(&hot, colliding(ORDERS[o][k] + 1)),
                                  k <= i ? HOT_NONE : ORDERS[o][k]);
        }
    }
}
END_TEST

START_TEST(a_slot_can_hold_one_job_after_the_other)
{
    struct id before = id_new();
    hot_add(&hot, before, 7);
    for (int i = 0; i < 1000; i++) {
        struct id next = id_new();
        hot_remove(&hot, 7);
        hot_add(&hot, next, 7);
        ck_assert_uint_eq(hot_find(&hot, before), HOT_NONE);
        ck_assert_uint_eq(hot_find(&hot, next), 7);
        before = next;
    }
}
END_TEST

START_TEST(removing_what_is_not_there_aborts)
{
    hot_add(&hot, id_new(), 1);
    hot_remove(&hot, 1);
    hot_remove(&hot, 1);
}
END_TEST

START_TEST(the_smallest_index_works)
{
    struct hot small;
    struct id id = id_new();
    ck_assert_int_eq(hot_init(&small, 1), ERR_OK);
    hot_add(&small, id, 0);
    ck_assert_uint_eq(hot_find(&small, id), 0);
    hot_remove(&small, 0);
    ck_assert_uint_eq(hot_find(&small, id), HOT_NONE);
    hot_fini(&small);
}
END_TEST

/* --- readers beside the dispatcher --- */

enum { READERS = 3, CHANGES = 100000, STAYING = 8 };

static struct id staying[STAYING];
static _Atomic bool over;

/* Those that stay must be found at any time, in the bucket where the others come and go. */
static void *read_all_along(void *argument)
{
    (void)argument;
    for (uint32_t i = 0; !atomic_load(&over); i++) {
        CHECK(hot_find(&hot, staying[i % STAYING]) == i % STAYING);
        uint32_t passing = hot_find(&hot, colliding(1000 + i % 64));
        CHECK(passing == HOT_NONE || (passing >= STAYING && passing < SLOTS));
    }
    return NULL;
}

START_TEST(readers_find_what_stays_while_others_come_and_go)
{
    pthread_t threads[READERS];
    bool there[64] = {false};
    for (uint32_t i = 0; i < STAYING; i++)
        hot_add(&hot, staying[i] = colliding(i + 1), i);
    for (int i = 0; i < READERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, read_all_along, NULL), 0);
    for (uint32_t i = 0; i < CHANGES; i++) {
        uint32_t which = i * 37 % 64;
        if (there[which])
            hot_remove(&hot, STAYING + which);
        else
            hot_add(&hot, colliding(1000 + which), STAYING + which);
        there[which] = !there[which];
    }
    atomic_store(&over, true);
    for (int i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("hot");
    TCase *plain = tcase_create("one thread"), *threads = tcase_create("threads");
    const char *fork_mode = getenv("CK_FORK");
    tcase_add_checked_fixture(plain, setup, teardown);
    tcase_add_test(plain, an_empty_index_finds_nothing);
    tcase_add_test(plain, what_was_added_is_found_until_it_is_removed);
    tcase_add_test(plain, slot_0_can_be_found);
    tcase_add_test(plain, ids_of_one_bucket_do_not_hide_one_another_in_whatever_order_they_go);
    tcase_add_test(plain, a_slot_can_hold_one_job_after_the_other);
    tcase_add_test(plain, the_smallest_index_works);
    if (fork_mode == NULL || strcmp(fork_mode, "no") != 0)
        tcase_add_test_raise_signal(plain, removing_what_is_not_there_aborts, SIGABRT);
    tcase_add_checked_fixture(threads, setup, teardown);
    tcase_set_timeout(threads, 60);
    tcase_add_test(threads, readers_find_what_stays_while_others_come_and_go);
    suite_add_tcase(suite, plain);
    suite_add_tcase(suite, threads);
    return run_suite(suite);
}
