#include "run.h"

#include "check.h"
#include "inbox.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>

static struct inbox inbox;

struct item {
    struct inbox_node node;
    uint32_t producer, number;
    uint64_t payload; /* plain: ordered by push and take */
};

static struct item *item_of(struct inbox_node *node)
{
    return (struct item *)(void *)node;
}

static void empty(void)
{
    atomic_store(&inbox.top, NULL);
}

START_TEST(an_empty_inbox_gives_nothing)
{
    ck_assert_ptr_null(inbox_take(&inbox));
}
END_TEST

START_TEST(what_was_pushed_comes_out_oldest_first_and_all_at_once)
{
    struct item items[5];
    for (int i = 0; i < 5; i++)
        inbox_push(&inbox, &items[i].node);
    struct inbox_node *node = inbox_take(&inbox);
    for (int i = 0; i < 5; i++, node = node->next)
        ck_assert_ptr_eq(node, &items[i].node);
    ck_assert_ptr_null(node);
    ck_assert_ptr_null(inbox_take(&inbox));
}
END_TEST

START_TEST(only_the_push_onto_an_empty_inbox_asks_to_wake)
{
    struct item items[3];
    ck_assert(inbox_push(&inbox, &items[0].node));
    ck_assert(!inbox_push(&inbox, &items[1].node));
    ck_assert(!inbox_push(&inbox, &items[2].node));
    inbox_take(&inbox);
    ck_assert(inbox_push(&inbox, &items[0].node));
}
END_TEST

START_TEST(an_item_may_be_pushed_again_while_the_rest_of_its_list_is_walked)
{
    struct item items[3];
    for (int i = 0; i < 3; i++)
        inbox_push(&inbox, &items[i].node);
    for (struct inbox_node *node = inbox_take(&inbox), *next; node != NULL; node = next) {
        next = node->next;
        inbox_push(&inbox, node);
    }
    struct inbox_node *node = inbox_take(&inbox);
    for (int i = 0; i < 3; i++, node = node->next)
        ck_assert_ptr_eq(node, &items[i].node);
}
END_TEST

enum { PRODUCERS = 4, ITEMS = 100000 };

static sem_t wake;

static void *produce(void *argument)
{
    struct item *items = argument;
    for (uint32_t i = 0; i < ITEMS; i++) {
        items[i].payload = i * 7ULL;
        if (inbox_push(&inbox, &items[i].node))
            CHECK(sem_post(&wake) == 0);
    }
    return NULL;
}

START_TEST(each_producers_items_arrive_once_and_in_order_and_a_sleeping_taker_is_woken)
{
    static struct item items[PRODUCERS][ITEMS];
    uint32_t seen[PRODUCERS] = {0}, total = 0;
    pthread_t threads[PRODUCERS];
    ck_assert_int_eq(sem_init(&wake, 0, 0), 0);
    for (uint32_t p = 0; p < PRODUCERS; p++) {
        for (uint32_t i = 0; i < ITEMS; i++)
            items[p][i] = (struct item){.producer = p, .number = i};
        ck_assert_int_eq(pthread_create(&threads[p], NULL, produce, items[p]), 0);
    }
    while (total < PRODUCERS * ITEMS) {
        while (sem_wait(&wake) != 0) /* for ever, if a wake-up is lost */
            ;
        for (struct inbox_node *node = inbox_take(&inbox); node != NULL; node = node->next) {
            const struct item *item = item_of(node);
            CHECK(item->number == seen[item->producer]++ && item->payload == item->number * 7ULL);
            total++;
        }
    }
    for (int p = 0; p < PRODUCERS; p++)
        pthread_join(threads[p], NULL);
    ck_assert_ptr_null(inbox_take(&inbox));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("inbox");
    TCase *plain = tcase_create("one thread"), *threads = tcase_create("threads");
    tcase_add_checked_fixture(plain, empty, NULL);
    tcase_add_test(plain, an_empty_inbox_gives_nothing);
    tcase_add_test(plain, what_was_pushed_comes_out_oldest_first_and_all_at_once);
    tcase_add_test(plain, only_the_push_onto_an_empty_inbox_asks_to_wake);
    tcase_add_test(plain, an_item_may_be_pushed_again_while_the_rest_of_its_list_is_walked);
    tcase_add_checked_fixture(threads, empty, NULL);
    tcase_set_timeout(threads, 60);
    tcase_add_test(threads, each_producers_items_arrive_once_and_in_order_and_a_sleeping_taker_is_woken);
    suite_add_tcase(suite, plain);
    suite_add_tcase(suite, threads);
    return run_suite(suite);
}
