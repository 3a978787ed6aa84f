#include "run.h"

#include "check.h"
#include "clock.h"
#include "waiters.h"

#include <pthread.h>

static struct waiters *waiters;

static void setup(void)
{
    ck_assert_ptr_nonnull(waiters = calloc(1, sizeof *waiters));
    waiters_init(waiters);
}

static void teardown(void)
{
    free(waiters);
}

static int length(const struct waiter *waiter)
{
    int count = 0;
    for (; waiter != NULL; waiter = waiter->next)
        count++;
    return count;
}

START_TEST(who_waits_for_nothing_is_not_taken)
{
    ck_assert_ptr_null(waiters_take(waiters, id_new()));
}
END_TEST

START_TEST(a_waiter_is_taken_once_by_its_own_id)
{
    struct waiter waiter = {.id = id_new()};
    waiters_add(waiters, &waiter);
    ck_assert_ptr_null(waiters_take(waiters, id_new()));
    ck_assert_ptr_eq(waiters_take(waiters, waiter.id), &waiter);
    ck_assert_ptr_null(waiter.next);
    ck_assert_ptr_null(waiters_take(waiters, waiter.id));
}
END_TEST

START_TEST(all_that_wait_for_an_id_are_taken_and_no_other_of_their_bucket)
{
    struct waiter mine[10], others[10];
    struct id id = id_join(1, 99), other = id_join(2, 99);
    for (int i = 0; i < 10; i++) {
        mine[i] = (struct waiter){.id = id};
        others[i] = (struct waiter){.id = other};
        waiters_add(waiters, &mine[i]);
        waiters_add(waiters, &others[i]);
    }
    struct waiter *taken = waiters_take(waiters, id);
    ck_assert_int_eq(length(taken), 10);
    for (; taken != NULL; taken = taken->next)
        ck_assert(id_equal(taken->id, id));
    ck_assert_int_eq(length(waiters_take(waiters, other)), 10);
}
END_TEST

START_TEST(a_waiter_that_was_taken_back_is_not_notified)
{
    struct waiter waiter[3];
    struct id id = id_new();
    for (int i = 0; i < 3; i++) {
        waiter[i] = (struct waiter){.id = id};
        waiters_add(waiters, &waiter[i]);
    }
    ck_assert(waiters_remove(waiters, &waiter[1]));
    ck_assert(!waiters_remove(waiters, &waiter[1]));
    ck_assert_int_eq(length(waiters_take(waiters, id)), 2);
    ck_assert(!waiters_remove(waiters, &waiter[0])); /* taken: its notification comes */
    ck_assert_int_eq(atomic_load(&waiters->count), 0);
}
END_TEST

/* --- threads: register first, then look --- */

enum { WAITERS = 3, ROUNDS = 20000 };

static struct {
    struct id ids[ROUNDS];
    _Atomic bool ended[ROUNDS]; /* what a look at the store sees */
    _Atomic int next;           /* rounds that the HTTP side has reached */
} play;

struct request {
    struct waiter waiter; /* first */
    _Atomic int notified;
};

static void on_end(struct waiter *waiter, struct job *job)
{
    CHECK(job == NULL);
    atomic_fetch_add(&((struct request *)(void *)waiter)->notified, 1);
}

static void wait_for(struct request *request)
{
    int64_t until = clock_mono_ns() + 20 * NS_PER_SEC;
    while (atomic_load(&request->notified) == 0) {
        CHECK(clock_mono_ns() < until); /* a lost wake-up */
        sched_yield();
    }
}

static void *ask(void *argument)
{
    uint32_t backed_out = 0;
    (void)argument;
    for (int i = 0; i < ROUNDS; i++) {
        struct request request = {.waiter = {.id = play.ids[i], .notify = on_end}};
        atomic_fetch_add(&play.next, 1);
        waiters_add(waiters, &request.waiter);
        bool seen = atomic_load_explicit(&play.ended[i], memory_order_acquire);
        if (seen && waiters_remove(waiters, &request.waiter)) {
            CHECK(atomic_load(&request.notified) == 0);
            backed_out++;
        } else {
            wait_for(&request); /* also after a remove that came too late */
            CHECK(atomic_load(&request.notified) == 1);
        }
    }
    return (void *)(uintptr_t)backed_out;
}

/* The dispatcher: the end is visible first, then those who wait are told. */
static void end_round(int i)
{
    while (atomic_load(&play.next) < i * WAITERS - WAITERS) /* stay close to the readers */
        sched_yield();
    atomic_store_explicit(&play.ended[i], true, memory_order_release);
    for (struct waiter *waiter = waiters_take(waiters, play.ids[i]), *next; waiter != NULL; waiter = next) {
        next = waiter->next;
        waiter->notify(waiter, NULL);
    }
}

START_TEST(no_end_is_missed_by_who_registers_before_looking)
{
    pthread_t threads[WAITERS];
    for (int i = 0; i < ROUNDS; i++)
        play.ids[i] = id_new();
    for (int i = 0; i < WAITERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, ask, NULL), 0);
    for (int i = 0; i < ROUNDS; i++)
        end_round(i);
    for (int i = 0; i < WAITERS; i++)
        pthread_join(threads[i], NULL);
    ck_assert_int_eq(atomic_load(&waiters->count), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("waiters");
    TCase *plain = tcase_create("one thread"), *threads = tcase_create("threads");
    tcase_add_checked_fixture(plain, setup, teardown);
    tcase_add_test(plain, who_waits_for_nothing_is_not_taken);
    tcase_add_test(plain, a_waiter_is_taken_once_by_its_own_id);
    tcase_add_test(plain, all_that_wait_for_an_id_are_taken_and_no_other_of_their_bucket);
    tcase_add_test(plain, a_waiter_that_was_taken_back_is_not_notified);
    tcase_add_checked_fixture(threads, setup, teardown);
    tcase_set_timeout(threads, 90);
    tcase_add_test(threads, no_end_is_missed_by_who_registers_before_looking);
    suite_add_tcase(suite, plain);
    suite_add_tcase(suite, threads);
    return run_suite(suite);
}
