#include "clock.h"
#include "ids.h"
#include "run.h"

#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { IDS = 100000, THREADS = 4, IDS_A_THREAD = 25000 };

START_TEST(ids_of_one_thread_grow_strictly)
{
    struct id last = id_new();
    for (int i = 0; i < IDS; i++) {
        struct id id = id_new();
        ck_assert_int_gt(id_key(id), id_key(last));
        ck_assert_int_gt(memcmp(id.bytes, last.bytes, sizeof id.bytes), 0);
        last = id;
    }
}
END_TEST

static void *make_ids(void *keys)
{
    for (int i = 0; i < IDS_A_THREAD; i++)
        ((int64_t *)keys)[i] = id_key(id_new());
    return NULL;
}

static int compare_keys(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

START_TEST(ids_of_several_threads_grow_in_each_and_never_repeat)
{
    static int64_t keys[THREADS][IDS_A_THREAD];
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, make_ids, keys[i]), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < THREADS; i++) {
        for (int j = 1; j < IDS_A_THREAD; j++)
            ck_assert_int_gt(keys[i][j], keys[i][j - 1]);
    }
    int64_t *all = &keys[0][0];
    qsort(all, (size_t)THREADS * IDS_A_THREAD, sizeof *all, compare_keys);
    for (int i = 1; i < THREADS * IDS_A_THREAD; i++)
        ck_assert_int_ne(all[i], all[i - 1]);
}
END_TEST

START_TEST(an_id_is_a_uuid_of_version_7_with_the_time_in_front)
{
    int64_t before = clock_real_ms();
    struct id id = id_new();
    ck_assert_int_eq(id.bytes[6] >> 4, 7);
    ck_assert_int_eq(id.bytes[8] >> 6, 2);
    ck_assert_int_ge(id_key(id) >> 12, before);
    ck_assert_int_le(id_key(id) >> 12, clock_real_ms() + 100); /* a borrowed millisecond or two */
}
END_TEST

START_TEST(random_bits_do_not_repeat_and_all_of_them_move)
{
    static int64_t random[IDS];
    int64_t zeros = 0, ones = 0;
    for (int i = 0; i < IDS; i++) {
        random[i] = id_random(id_new());
        ck_assert_int_ge(random[i], 0);
        ones |= random[i];
        zeros |= ~random[i];
    }
    ck_assert_int_eq(ones, (INT64_C(1) << 62) - 1);
    ck_assert_int_eq(zeros, -1);
    qsort(random, IDS, sizeof random[0], compare_keys);
    for (int i = 1; i < IDS; i++)
        ck_assert_int_ne(random[i], random[i - 1]);
}
END_TEST

START_TEST(key_and_random_bits_join_to_the_same_id)
{
    for (int i = 0; i < 1000; i++) {
        struct id id = id_new();
        ck_assert(id_equal(id, id_join(id_key(id), id_random(id))));
    }
    const int64_t most_key = (INT64_C(1) << 60) - 1, most_random = (INT64_C(1) << 62) - 1;
    struct id most = id_join(most_key, most_random);
    ck_assert_int_eq(id_key(most), most_key);
    ck_assert_int_eq(id_random(most), most_random);
    char text[ID_TEXT_BYTES];
    id_format(most, text);
    ck_assert_str_eq(text, "ffffffff-ffff-7fff-bfff-ffffffffffff");
    id_format(id_join(0, 0), text);
    ck_assert_str_eq(text, "00000000-0000-7000-8000-000000000000");
    id_format(id_join(0x123456789abcdef, 0x23456789abcdef01), text);
    ck_assert_str_eq(text, "12345678-9abc-7def-a345-6789abcdef01");
}
END_TEST

START_TEST(a_raise_lifts_every_later_id)
{
    int64_t high = id_key(id_new()) + (INT64_C(1) << 40);
    id_raise(high);
    ck_assert_int_eq(id_key(id_new()), high + 1);
    id_raise(high - 1000); /* lower than what was: without effect */
    ck_assert_int_eq(id_key(id_new()), high + 2);
    id_raise(high + 2);
    ck_assert_int_eq(id_key(id_new()), high + 3);
}
END_TEST

START_TEST(a_full_counter_borrows_from_the_next_millisecond)
{
    int64_t ahead = (clock_real_ms() + 60000) << 12 | 0xfff;
    id_raise(ahead);
    ck_assert_int_eq(id_key(id_new()), ahead + 1);
    ck_assert_int_eq((ahead + 1) & 0xfff, 0);
}
END_TEST

START_TEST(a_child_after_fork_does_not_repeat_its_parents_random_bits)
{
    int64_t mine[8], its[8];
    id_new(); /* so that there is a batch to inherit */
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    for (int i = 0; i < 8; i++)
        mine[i] = id_random(id_new());
    if (child == 0)
        _exit(write(ends[1], mine, sizeof mine) == (ssize_t)sizeof mine ? 0 : 1);
    ck_assert_int_eq(read(ends[0], its, sizeof its), (ssize_t)sizeof its);
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    for (int i = 0; i < 8; i++) {
        for (int j = 0; j < 8; j++)
            ck_assert_int_ne(mine[i], its[j]);
    }
    close(ends[0]);
    close(ends[1]);
}
END_TEST

START_TEST(text_reads_back_as_the_same_id)
{
    for (int i = 0; i < 1000; i++) {
        struct id id = id_new(), read;
        char text[ID_TEXT_BYTES];
        id_format(id, text);
        ck_assert_uint_eq(strlen(text), 36);
        ck_assert_uint_eq(strspn(text, "0123456789abcdef-"), 36);
        ck_assert_int_eq(id_parse(text, &read), ERR_OK);
        ck_assert(id_equal(id, read));
    }
}
END_TEST

START_TEST(upper_case_is_read_and_written_lower)
{
    struct id id;
    char text[ID_TEXT_BYTES];
    ck_assert_int_eq(id_parse("019ABCDE-F012-7ABC-9DEF-0123456789AB", &id), ERR_OK);
    id_format(id, text);
    ck_assert_str_eq(text, "019abcde-f012-7abc-9def-0123456789ab");
}
END_TEST

static const char *const JUNK[] = {
    "",
    "pending",
    "019abcde-f012-7abc-9def-0123456789a",
    "019abcde-f012-7abc-9def-0123456789abc",
    "{019abcde-f012-7abc-9def-0123456789ab}",
    "019abcdef0127abc9def0123456789ab",
    "019abcde0f012-7abc-9def-0123456789ab",
    "019abcde-f012-7abc-9def_0123456789ab",
    "019abcde-f012-7abc-9def-0123456789ag",
    "019abcde-f012-7abc-9def-0123456789a ",
    " 19abcde-f012-7abc-9def-0123456789ab",
    "019abcde-f012-7abc-9def-0123456789a\n",
    "-19abcde-f012-7abc-9def-0123456789ab",
    "019abcde-f012-4abc-9def-0123456789ab", /* version 4: would have the key of the id it differs from by this
                                             */
    "019abcde-f012-7abc-ddef-0123456789ab", /* another variant: the same */
    "00000000-0000-0000-0000-000000000000",
};

START_TEST(junk_is_an_unknown_job)
{
    struct id id = {{1, 2, 3}}, before = id;
    ck_assert_msg(id_parse(JUNK[_i], &id) == ERR_UNKNOWN_JOB, "%s", JUNK[_i]);
    ck_assert(id_equal(id, before));
}
END_TEST

START_TEST(equal_bytes_have_equal_fingerprints_of_version_5)
{
    struct id a = id_fingerprint("{\"task\":\"echo\"}", 15), b = id_fingerprint("{\"task\":\"echo\"} ", 15);
    ck_assert(id_equal(a, b));
    ck_assert_int_eq(a.bytes[6] >> 4, 5);
    ck_assert_int_eq(a.bytes[8] >> 6, 2);
    ck_assert(!id_equal(a, id_fingerprint("{\"task\":\"echo\"} ", 16)));
    ck_assert(!id_equal(a, id_fingerprint("{\"task\":\"ecHo\"}", 15)));
    ck_assert(id_equal(id_fingerprint("", 0), id_fingerprint(NULL, 0)));
}
END_TEST

START_TEST(fingerprints_are_stored_and_so_never_change)
{
    char text[ID_TEXT_BYTES];
    id_format(id_fingerprint("forkpool", 8), text);
    ck_assert_str_eq(text, "02be4706-5be6-5ea5-ab06-9e9448d44f0e");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ids");
    TCase *tests = tcase_create("ids");
    suite_add_tcase(suite, tests);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, an_id_is_a_uuid_of_version_7_with_the_time_in_front);
    tcase_add_test(tests, ids_of_one_thread_grow_strictly);
    tcase_add_test(tests, ids_of_several_threads_grow_in_each_and_never_repeat);
    tcase_add_test(tests, random_bits_do_not_repeat_and_all_of_them_move);
    tcase_add_test(tests, key_and_random_bits_join_to_the_same_id);
    tcase_add_test(tests, a_child_after_fork_does_not_repeat_its_parents_random_bits);
    tcase_add_test(tests, text_reads_back_as_the_same_id);
    tcase_add_test(tests, upper_case_is_read_and_written_lower);
    tcase_add_loop_test(tests, junk_is_an_unknown_job, 0, sizeof JUNK / sizeof JUNK[0]);
    tcase_add_test(tests, equal_bytes_have_equal_fingerprints_of_version_5);
    tcase_add_test(tests, fingerprints_are_stored_and_so_never_change);
    tcase_add_test(tests, a_full_counter_borrows_from_the_next_millisecond);
    tcase_add_test(tests, a_raise_lifts_every_later_id); /* last: under CK_FORK=no it lifts what follows */
    return run_suite(suite);
}
