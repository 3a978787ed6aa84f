#include "segment_fixture.h"

#include "catalogue.h"
#include "ring.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- the memory --- */

START_TEST(it_is_sealed_against_growing_and_shrinking)
{
    struct stat info;
    ck_assert_int_eq(fstat(segment.fd, &info), 0);
    ck_assert_uint_eq((uint64_t)info.st_size, segment.header->bytes);
    ck_assert_int_eq(ftruncate(segment.fd, info.st_size + 4096), -1);
    ck_assert_int_eq(errno, EPERM);
    ck_assert_int_eq(ftruncate(segment.fd, info.st_size - 4096), -1);
    ck_assert_int_eq(errno, EPERM);
    ck_assert_int_eq(fcntl(segment.fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
    ck_assert_int_eq(errno, EPERM);
}
END_TEST

START_TEST(a_new_one_is_empty)
{
    for (uint32_t i = 0; i < segment.shape.slot_count; i++)
        ck_assert_int_eq(slot_claim_load(&segment.slots[i]).state, SLOT_FREE);
    for (uint32_t level = 0; level < PRIORITY_COUNT; level++)
        ck_assert_uint_eq(ring_depth(segment_ring(&segment, 0, level)), 0);
    for (uint32_t i = 0; i < segment.shape.worker_count; i++)
        ck_assert_int_eq(run_phase(atomic_load(&segment.boards[i].run)), RUN_IDLE);
    int tokens = -1;
    ck_assert_int_eq(sem_getvalue(&segment.header->done, &tokens), 0);
    ck_assert_int_eq(tokens, 0);
    ck_assert_int_eq(sem_getvalue(&segment.header->work[0], &tokens), 0);
    ck_assert_int_eq(tokens, 0);
    ck_assert_int_eq(atomic_load(&segment.header->ready), 0);
    ck_assert_int_eq(atomic_load(&segment.header->catalogue_epoch), 0);
}
END_TEST

enum { AREAS = 6 };

static void list_areas(uint8_t *at[AREAS], uint64_t bytes[AREAS])
{
    const struct segment_shape *shape = &segment.shape;
    void *starts[AREAS] = {segment.boards,     segment.slots, segment.rings,
                           segment.catalogues, segment.arena, segment.trays};
    uint64_t sizes[AREAS] = {sizeof(struct board) * shape->worker_count,
                             sizeof(struct slot) * shape->slot_count,
                             sizeof(struct ring) * shape->pool_count * PRIORITY_COUNT,
                             sizeof(struct catalogue) * 2,
                             shape->arena_bytes,
                             shape->tray_bytes * shape->worker_count};
    for (int i = 0; i < AREAS; i++) {
        at[i] = starts[i];
        bytes[i] = sizes[i];
    }
}

START_TEST(no_area_overlaps_another_or_the_header)
{
    uint8_t *at[AREAS];
    uint64_t bytes[AREAS];
    struct segment_header before = *segment.header;
    list_areas(at, bytes);
    for (int i = 0; i < AREAS; i++)
        memset(at[i], i + 1, bytes[i]);
    for (int i = 0; i < AREAS; i++) {
        ck_assert_uint_eq((uintptr_t)at[i] % CACHE_LINE, 0);
        ck_assert(at[i] + bytes[i] <= (uint8_t *)segment.header + segment.header->bytes);
        for (uint64_t byte = 0; byte < bytes[i]; byte++)
            if (at[i][byte] != i + 1)
                ck_abort_msg("area %d, byte %lu", i, (unsigned long)byte);
    }
    ck_assert_mem_eq(&before, segment.header, sizeof before);
}
END_TEST

START_TEST(rings_and_trays_lie_side_by_side)
{
    for (uint32_t level = 0; level < PRIORITY_COUNT; level++)
        ck_assert_ptr_eq(segment_ring(&segment, 0, level), &segment.rings[level]);
    for (uint32_t i = 0; i < segment.shape.worker_count; i++)
        ck_assert_ptr_eq(segment_tray(&segment, i), segment.trays + i * segment.shape.tray_bytes);
}
END_TEST

START_TEST(pools_have_rings_semaphores_and_workers_of_their_own)
{
    struct segment_shape shape = small_shape();
    struct segment two;
    shape.worker_count = 5;
    shape.pool_count = 2;
    shape.pools[0] = (struct segment_pool){.first = 0, .count = 3, .name = "default"};
    shape.pools[1] = (struct segment_pool){.first = 3, .count = 2, .name = "slow"};
    ck_assert_int_eq(segment_create(&shape, &two), ERR_OK);
    for (uint32_t level = 0; level < PRIORITY_COUNT; level++) {
        ck_assert_ptr_eq(segment_ring(&two, 0, level), &two.rings[level]);
        ck_assert_ptr_eq(segment_ring(&two, 1, level), &two.rings[PRIORITY_COUNT + level]);
    }
    for (uint32_t worker = 0; worker < 5; worker++)
        ck_assert_uint_eq(segment_pool_of(&two, worker), worker < 3 ? 0 : 1);
    int tokens = -1;
    sem_hint(&two.header->work[1]);
    ck_assert_int_eq(sem_getvalue(&two.header->work[0], &tokens), 0);
    ck_assert_int_eq(tokens, 0);
    ck_assert_int_eq(sem_trywait(&two.header->work[1]), 0);
    ck_assert_str_eq(two.header->shape.pools[1].name, "slow");
    ck_assert_int_eq(segment_verify(&two), ERR_OK);
    segment_close(&two);
}
END_TEST

START_TEST(without_pools_in_the_shape_there_is_one_of_all_workers)
{
    ck_assert_uint_eq(segment.shape.pool_count, 1);
    ck_assert_uint_eq(segment.shape.pools[0].first, 0);
    ck_assert_uint_eq(segment.shape.pools[0].count, segment.shape.worker_count);
    ck_assert_str_eq(segment.shape.pools[0].name, "default");
}
END_TEST

START_TEST(pools_with_a_gap_between_them_are_refused)
{
    struct segment_shape shape = small_shape();
    struct segment two;
    shape.pool_count = 2;
    shape.pools[0] = (struct segment_pool){.first = 0, .count = 1, .name = "default"};
    shape.pools[1] = (struct segment_pool){.first = 2, .count = 2, .name = "slow"};
    (void)!segment_create(&shape, &two);
}
END_TEST

START_TEST(a_change_of_any_fixed_byte_of_the_header_is_noticed)
{
    uint8_t *header = (uint8_t *)segment.header;
    size_t end = offsetof(struct segment_header, trays_at) + sizeof segment.header->trays_at;
    ck_assert_int_eq(segment_verify(&segment), ERR_OK);
    for (size_t i = 0; i < end; i++) {
        header[i] ^= 0x40;
        ck_assert_msg(segment_verify(&segment) == ERR_CORRUPT, "byte %zu of the header", i);
        header[i] ^= 0x40;
    }
    ck_assert_int_eq(segment_verify(&segment), ERR_OK);
}
END_TEST

START_TEST(the_words_that_live_may_change)
{
    atomic_store(&segment.header->draining, DRAIN_WORKERS);
    atomic_store(&segment.header->front_beat_ns, 77);
    sem_hint(&segment.header->done);
    ck_assert_int_eq(segment_verify(&segment), ERR_OK);
}
END_TEST

START_TEST(a_child_sees_the_same_memory)
{
    pid_t pid = fork();
    if (pid == 0) {
        segment.arena[5] = 42;
        sem_hint(&segment.header->done);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    ck_assert_int_eq(segment.arena[5], 42);
    ck_assert_int_eq(sem_trywait(&segment.header->done), 0);
}
END_TEST

START_TEST(closing_twice_is_harmless)
{
    int fd = segment.fd;
    segment_close(&segment);
    ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
    ck_assert_ptr_null(segment.header);
    segment_close(&segment);
}
END_TEST

START_TEST(the_largest_shape_can_be_laid_out)
{
    struct segment_shape shape = {.slot_count = SLOTS_MAX,
                                  .worker_count = WORKERS_MAX,
                                  .arena_bytes = 1 << 20,
                                  .tray_bytes = 1 << 16,
                                  .max_result = 1024};
    struct segment large;
    ck_assert_int_eq(segment_create(&shape, &large), ERR_OK);
    ck_assert_int_eq(slot_claim_load(&large.slots[SLOTS_MAX - 1]).state, SLOT_FREE);
    segment_close(&large);
}
END_TEST

START_TEST(more_workers_than_a_claim_word_can_name_are_refused)
{
    struct segment_shape shape = small_shape();
    shape.worker_count = WORKERS_MAX + 1;
    struct segment large;
    (void)!segment_create(&shape, &large);
}
END_TEST

/* --- hints --- */

static int64_t waited_ms(int64_t timeout_ms)
{
    int64_t begun = clock_mono_ns();
    sem_hint_wait(&segment.header->done, timeout_ms);
    return (clock_mono_ns() - begun) / NS_PER_MS;
}

START_TEST(a_wait_ends_at_once_with_a_token_and_takes_it)
{
    sem_hint(&segment.header->done);
    ck_assert_int_lt(waited_ms(5000), 2000);
    ck_assert_int_eq(sem_trywait(&segment.header->done), -1);
}
END_TEST

START_TEST(a_wait_without_a_token_lasts_as_long_as_it_was_told)
{
    int64_t ms = waited_ms(60);
    ck_assert_int_ge(ms, 59);
    ck_assert_int_lt(ms, 2000);
    ck_assert_int_lt(waited_ms(0), 1000);
    ck_assert_int_lt(waited_ms(-5), 1000); /* a time that has passed already */
}
END_TEST

static void *post_later(void *argument)
{
    (void)argument;
    clock_sleep_ms(50);
    sem_hint(&segment.header->done);
    return NULL;
}

START_TEST(a_post_wakes_who_waits)
{
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, post_later, NULL), 0);
    ck_assert_int_lt(waited_ms(20000), 10000);
    pthread_join(thread, NULL);
}
END_TEST

static void on_signal(int number)
{
    (void)number;
}

static void *signal_later(void *main_thread)
{
    clock_sleep_ms(50);
    pthread_kill(*(pthread_t *)main_thread, SIGUSR1);
    return NULL;
}

START_TEST(a_signal_ends_a_wait_so_that_the_caller_looks_for_itself)
{
    struct sigaction action = {.sa_handler = on_signal};
    pthread_t thread, self = pthread_self();
    ck_assert_int_eq(sigaction(SIGUSR1, &action, NULL), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, signal_later, &self), 0);
    ck_assert_int_lt(waited_ms(20000), 10000);
    pthread_join(thread, NULL);
}
END_TEST

START_TEST(draining_takes_every_token_and_only_those)
{
    for (int i = 0; i < 1000; i++)
        sem_hint(&segment.header->done);
    sem_hint(&segment.header->work[0]);
    sem_hint_drain(&segment.header->done);
    ck_assert_int_eq(sem_trywait(&segment.header->done), -1);
    ck_assert_int_eq(sem_trywait(&segment.header->work[0]), 0);
    sem_hint_drain(&segment.header->done);
}
END_TEST

START_TEST(a_full_semaphore_is_as_good_as_a_post)
{
    sem_t full;
    ck_assert_int_eq(sem_init(&full, 1, SEM_VALUE_MAX), 0);
    sem_hint(&full);
    int tokens;
    ck_assert_int_eq(sem_getvalue(&full, &tokens), 0);
    ck_assert_int_eq(tokens, SEM_VALUE_MAX);
    sem_destroy(&full);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("segment");
    TCase *memory = tcase_create("memory"), *hints = tcase_create("hints");
    tcase_add_checked_fixture(memory, open_segment, close_segment);
    tcase_add_test(memory, it_is_sealed_against_growing_and_shrinking);
    tcase_add_test(memory, a_new_one_is_empty);
    tcase_add_test(memory, no_area_overlaps_another_or_the_header);
    tcase_add_test(memory, rings_and_trays_lie_side_by_side);
    tcase_add_test(memory, pools_have_rings_semaphores_and_workers_of_their_own);
    tcase_add_test(memory, without_pools_in_the_shape_there_is_one_of_all_workers);
    tcase_add_test(memory, a_change_of_any_fixed_byte_of_the_header_is_noticed);
    tcase_add_test(memory, the_words_that_live_may_change);
    tcase_add_test(memory, a_child_sees_the_same_memory);
    tcase_add_test(memory, closing_twice_is_harmless);
    tcase_add_test(memory, the_largest_shape_can_be_laid_out);
    if (tests_fork()) {
        tcase_add_test_raise_signal(memory, pools_with_a_gap_between_them_are_refused, SIGABRT);
        tcase_add_test_raise_signal(memory, more_workers_than_a_claim_word_can_name_are_refused, SIGABRT);
    }
    tcase_add_checked_fixture(hints, open_segment, close_segment);
    tcase_set_timeout(hints, 30);
    tcase_add_test(hints, a_wait_ends_at_once_with_a_token_and_takes_it);
    tcase_add_test(hints, a_wait_without_a_token_lasts_as_long_as_it_was_told);
    tcase_add_test(hints, a_post_wakes_who_waits);
    tcase_add_test(hints, a_signal_ends_a_wait_so_that_the_caller_looks_for_itself);
    tcase_add_test(hints, draining_takes_every_token_and_only_those);
    tcase_add_test(hints, a_full_semaphore_is_as_good_as_a_post);
    suite_add_tcase(suite, memory);
    suite_add_tcase(suite, hints);
    return run_suite(suite);
}
