#include "heap.h"
#include "run.h"

#include <stdint.h>

enum { NODES = 500, STEPS = 20000 };

struct item {
    int64_t key;
    struct heap_node node;
};

static struct item items[NODES];
static struct heap heap;

static bool lower(const struct heap_node *a, const struct heap_node *b)
{
    return HEAP_OF(a, struct item, node)->key < HEAP_OF(b, struct item, node)->key;
}

static void empty_heap(void)
{
    heap = (struct heap){.before = lower};
    for (int i = 0; i < NODES; i++)
        items[i] = (struct item){.key = 0};
}

static void free_heap(void)
{
    heap_fini(&heap);
}

static uint32_t dice(uint32_t sides)
{
    static uint64_t state = 42;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33) % sides;
}

static int64_t first_key(void)
{
    return HEAP_OF(heap_first(&heap), struct item, node)->key;
}

/* What heap.h promises of every place, and the least of all keys by a plain look at them. */
static void assert_sound(void)
{
    int64_t least = INT64_MAX;
    size_t inside = 0;
    for (int i = 0; i < NODES; i++) {
        if (items[i].node.at == 0)
            continue;
        inside++;
        ck_assert_ptr_eq(heap.nodes[items[i].node.at], &items[i].node);
        least = items[i].key < least ? items[i].key : least;
    }
    ck_assert_uint_eq(inside, heap.count);
    ck_assert(inside == 0 ? heap_first(&heap) == NULL : first_key() == least);
    for (size_t at = 2; at <= heap.count; at++)
        ck_assert(!lower(heap.nodes[at], heap.nodes[at / 2]));
}

START_TEST(an_empty_heap_has_no_first)
{
    ck_assert_ptr_null(heap_first(&heap));
    heap_add(&heap, &items[0].node);
    heap_remove(&heap, &items[0].node);
    ck_assert_ptr_null(heap_first(&heap));
    ck_assert_uint_eq(items[0].node.at, 0);
}
END_TEST

START_TEST(what_comes_in_any_order_goes_in_rising_order)
{
    for (int i = 0; i < NODES; i++) {
        items[i].key = dice(100); /* many are equal */
        heap_add(&heap, &items[i].node);
    }
    int64_t last = -1;
    for (int i = 0; i < NODES; i++) {
        ck_assert_int_ge(first_key(), last);
        last = first_key();
        heap_remove(&heap, heap_first(&heap));
    }
    ck_assert_ptr_null(heap_first(&heap));
}
END_TEST

START_TEST(a_key_that_falls_or_rises_is_put_right_by_fix)
{
    for (int i = 0; i < 10; i++) {
        items[i].key = 10 + i;
        heap_add(&heap, &items[i].node);
    }
    items[9].key = 1;
    heap_fix(&heap, &items[9].node);
    ck_assert_ptr_eq(heap_first(&heap), &items[9].node);
    items[9].key = 100;
    heap_fix(&heap, &items[9].node);
    ck_assert_ptr_eq(heap_first(&heap), &items[0].node);
    assert_sound();
}
END_TEST

/* The last node takes the place of the removed one and may have to rise from there: into another branch. */
START_TEST(a_removal_in_one_branch_may_lift_the_last_of_another)
{
    static const int64_t KEYS[] = {1, 50, 2, 60, 70, 3, 4, 80, 90, 95, 96, 5};
    for (int i = 0; i < 12; i++) {
        items[i].key = KEYS[i];
        heap_add(&heap, &items[i].node);
    }
    heap_remove(&heap, &items[7].node); /* 80, below 60: the 5 comes there */
    assert_sound();
}
END_TEST

START_TEST(order_holds_through_random_adds_removes_and_fixes)
{
    for (int step = 0; step < STEPS; step++) {
        struct item *item = &items[dice(NODES)];
        if (item->node.at == 0) {
            item->key = dice(1000);
            heap_add(&heap, &item->node);
        } else if (dice(2) == 0) {
            heap_remove(&heap, &item->node);
            ck_assert_uint_eq(item->node.at, 0);
        } else {
            item->key = dice(1000);
            heap_fix(&heap, &item->node);
        }
        if (step % 50 == 0)
            assert_sound();
    }
    assert_sound();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("heap");
    TCase *tests = tcase_create("heap");
    tcase_add_checked_fixture(tests, empty_heap, free_heap);
    tcase_add_test(tests, an_empty_heap_has_no_first);
    tcase_add_test(tests, what_comes_in_any_order_goes_in_rising_order);
    tcase_add_test(tests, a_key_that_falls_or_rises_is_put_right_by_fix);
    tcase_add_test(tests, a_removal_in_one_branch_may_lift_the_last_of_another);
    tcase_add_test(tests, order_holds_through_random_adds_removes_and_fixes);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
