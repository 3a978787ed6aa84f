/* What a run of `forkpool torture` chooses, counts and may signal. */
#include "run.h"

#include "torture_private.h"

#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* --- dice --- */

START_TEST(the_same_seed_gives_the_same_throws)
{
    struct dice one = {7}, same = {7}, other = {8};
    unsigned different = 0;
    for (int i = 0; i < 1000; i++) {
        uint32_t value = dice_below(&one, 1000000);
        ck_assert_uint_eq(value, dice_below(&same, 1000000));
        ck_assert_uint_lt(value, 1000000);
        different += value != dice_below(&other, 1000000);
    }
    ck_assert_uint_gt(different, 900);
}
END_TEST

START_TEST(both_ends_of_a_range_are_thrown)
{
    struct dice dice = {1};
    bool seen[3] = {false};
    for (int i = 0; i < 200; i++)
        seen[dice_between(&dice, 4, 6) - 4] = true;
    ck_assert(seen[0] && seen[1] && seen[2]);
}
END_TEST

START_TEST(shares_are_kept_and_a_share_of_nothing_is_never_thrown)
{
    static const unsigned SHARES[] = {0, 75, 0, 25, 0};
    struct dice dice = {1};
    unsigned counts[5] = {0};
    for (int i = 0; i < 10000; i++)
        counts[dice_share(&dice, SHARES, 5)]++;
    ck_assert_uint_eq(counts[0] + counts[2] + counts[4], 0);
    ck_assert_uint_gt(counts[1], 7000);
    ck_assert_uint_lt(counts[1], 8000);
}
END_TEST

/* --- counting --- */

START_TEST(ranks_of_samples_are_of_their_order)
{
    struct samples samples = {0};
    ck_assert_int_eq(samples_rank(&samples, 50), 0);
    for (int i = 0; i < 200; i++)
        samples_add(&samples, 200 - i);
    ck_assert_int_eq(samples_rank(&samples, 50), 100);
    ck_assert_int_eq(samples_rank(&samples, 99), 198);
    ck_assert_int_eq(samples_rank(&samples, 100), 200);
    samples_fini(&samples);
}
END_TEST

START_TEST(a_verdict_counts_all_and_keeps_the_first_examples)
{
    struct verdict verdict = {0};
    for (int i = 0; i < TORTURE_KEPT + 3; i++)
        verdict_add(&verdict, FAULT_STUCK, "job %d", i);
    verdict_add(&verdict, FAULT_LOST, "another");
    ck_assert_uint_eq(verdict.faults[FAULT_STUCK], TORTURE_KEPT + 3);
    ck_assert_str_eq(verdict.examples[FAULT_STUCK][TORTURE_KEPT - 1], "job 4");
    ck_assert_uint_eq(verdict_total(&verdict), TORTURE_KEPT + 4);
}
END_TEST

START_TEST(a_key_names_its_request)
{
    char key[TORTURE_KEY_BYTES];
    torture_key(4711, key);
    ck_assert_uint_eq(torture_key_number(key), 4711);
    ck_assert_uint_eq(torture_key_number("torture-12x"), 0);
    ck_assert_uint_eq(torture_key_number("other"), 0);
    ck_assert_uint_eq(torture_key_number(""), 0);
}
END_TEST

/* --- the report --- */

START_TEST(a_report_names_seed_aims_and_each_kind_of_violation)
{
    BUF_AUTO text = {0};
    struct torture_options options = {.minutes = 2, .seed = 99, .workers = 4};
    struct verdict verdict = {0};
    struct samples pool = {0}, front = {0}, start = {0};
    static const struct pairs PAIRS = {.count = 0};
    struct figures figures = {.pool = &pool, .front = &front, .start = &start, .pairs = &PAIRS};
    samples_add(&pool, 5000000);
    samples_add(&front, 900000000);
    verdict_add(&verdict, FAULT_LOST, "the one");
    report_write(&text, &options, &verdict, &figures);
    buf_add(&text, "", 1);
    ck_assert_ptr_nonnull(strstr(text.data, "--minutes 2 --seed 99 --workers 4 --mix all"));
    ck_assert_ptr_nonnull(strstr(text.data, "p99 100: reached"));
    ck_assert_ptr_nonnull(strstr(text.data, "p99 500: missed"));
    ck_assert_ptr_nonnull(strstr(text.data, "1  lost jobs: acknowledged"));
    ck_assert_ptr_nonnull(strstr(text.data, "- the one"));
    for (int fault = 0; fault < FAULT_COUNT; fault++)
        ck_assert_ptr_nonnull(strstr(text.data, torture_fault_texts[fault]));
    ck_assert_ptr_nonnull(strstr(text.data, "PROMISES WERE VIOLATED."));
    samples_fini(&pool);
    samples_fini(&front);
}
END_TEST

/* --- the plan --- */

static struct torture_options options;
static struct instance instance;

static void begin_load(struct load *load, uint64_t seed)
{
    options = (struct torture_options){.seed = seed, .workers = 4, .durability = DURABILITY_PROCESS};
    instance = (struct instance){.options = &options};
    strcpy(instance.folder, "/tmp/test_torture.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(instance.folder));
    ck_assert(load_init(load, &instance));
}

static void end_load(struct load *load)
{
    load_fini(load);
    instance_remove(&instance);
    ck_assert_int_ne(access(instance.folder, F_OK), 0);
}

START_TEST(the_same_seed_asks_for_the_same_jobs)
{
    struct load one, same;
    begin_load(&one, 5);
    ck_assert(load_init(&same, &instance));
    for (unsigned i = 1; i <= 500; i++) {
        BUF_AUTO body = {0};
        BUF_AUTO again = {0};
        ck_assert_ptr_nonnull(plan_next(&one));
        ck_assert_ptr_nonnull(plan_next(&same));
        plan_body(&one, i, &body);
        plan_body(&same, i, &again);
        ck_assert_str_eq(body.data, again.data);
    }
    load_fini(&one);
    end_load(&same);
}
END_TEST

START_TEST(all_kinds_of_jobs_are_asked_for_and_without_kills_only_quick_ones)
{
    struct load load;
    unsigned counts[KIND_COUNT] = {0};
    begin_load(&load, 6);
    for (int i = 0; i < 10000; i++) {
        const struct planned *job = plan_next(&load);
        counts[job->kind]++;
        if (job->lines > 0) {
            ck_assert(plan_batch(&load, load.job_count - 1));
            counts[load.jobs[load.job_count - 1].kind]++;
        }
    }
    for (int kind = 0; kind < KIND_COUNT; kind++)
        ck_assert_msg(counts[kind] > 20, "%s: %u", torture_kind_texts[kind], counts[kind]);
    load.calm = true;
    for (int i = 0; i < 300; i++)
        ck_assert_int_eq(plan_next(&load)->kind, KIND_QUICK);
    end_load(&load);
}
END_TEST

START_TEST(jobs_wait_only_for_acknowledged_ones_that_are_stored)
{
    struct load load;
    unsigned edges = 0;
    begin_load(&load, 7);
    for (unsigned i = 1; i <= 2000; i++) {
        const struct planned *job = plan_next(&load);
        for (unsigned j = 0; j < job->after_count; j++, edges++) {
            ck_assert_uint_eq(job->after[j] % 2, 0);
            ck_assert_int_ne(load.jobs[job->after[j]].kind, KIND_MEMORY);
            ck_assert_uint_lt(job->after[j], i);
            for (unsigned k = 0; k < j; k++)
                ck_assert_uint_ne(job->after[j], job->after[k]);
        }
        load.jobs[i].acked = i % 2 == 0;
    }
    ck_assert_uint_gt(edges, 50);
    end_load(&load);
}
END_TEST

START_TEST(the_jobs_of_a_bulk_request_are_known_by_their_lines)
{
    char key[TORTURE_KEY_BYTES];
    torture_key(40, key);
    ck_assert_str_eq(key, "torture-40");
    ck_assert_uint_eq(torture_key_number(key), 40);
    ck_assert_uint_eq(torture_key_number("torture-40#1"), 40);
    ck_assert_uint_eq(torture_key_number("torture-40#3"), 42);
    ck_assert_uint_eq(torture_key_number("torture-40#0"), 0);
    ck_assert_uint_eq(torture_key_number("torture-40x"), 0);
    ck_assert_uint_eq(torture_key_number("mine"), 0);
}
END_TEST

/* --- who may be signalled --- */

static pid_t fork_sleeper(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            pause();
    }
    return pid;
}

START_TEST(only_a_child_of_that_parent_and_role_is_signalled)
{
    pid_t pid = fork_sleeper();
    struct process children[4];
    int pidfd = -1;
    ck_assert_uint_eq(instance_children(getpid(), children, 4), 1);
    ck_assert_int_eq(children[0].pid, pid);
    ck_assert_int_eq(children[0].role, ROLE_OTHER);
    ck_assert(!instance_signal(pid, getppid(), ROLE_OTHER, SIGKILL, NULL));
    ck_assert(!instance_signal(pid, getpid(), ROLE_WORKER, SIGKILL, NULL));
    ck_assert_int_eq(waitpid(pid, NULL, WNOHANG), 0);
    ck_assert(instance_signal(pid, getpid(), ROLE_OTHER, SIGKILL, &pidfd));
    close(pidfd);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    ck_assert(!instance_signal(pid, getpid(), ROLE_OTHER, SIGKILL, NULL));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("torture_tools");
    TCase *tests = tcase_create("tools"), *signals = tcase_create("signals");
    tcase_add_test(tests, the_same_seed_gives_the_same_throws);
    tcase_add_test(tests, both_ends_of_a_range_are_thrown);
    tcase_add_test(tests, shares_are_kept_and_a_share_of_nothing_is_never_thrown);
    tcase_add_test(tests, ranks_of_samples_are_of_their_order);
    tcase_add_test(tests, a_verdict_counts_all_and_keeps_the_first_examples);
    tcase_add_test(tests, a_key_names_its_request);
    tcase_add_test(tests, a_report_names_seed_aims_and_each_kind_of_violation);
    tcase_add_test(tests, the_same_seed_asks_for_the_same_jobs);
    tcase_add_test(tests, all_kinds_of_jobs_are_asked_for_and_without_kills_only_quick_ones);
    tcase_add_test(tests, the_jobs_of_a_bulk_request_are_known_by_their_lines);
    tcase_add_test(tests, jobs_wait_only_for_acknowledged_ones_that_are_stored);
    tcase_set_tags(signals, "pidfd");
    tcase_add_test(signals, only_a_child_of_that_parent_and_role_is_signalled);
    suite_add_tcase(suite, tests);
    suite_add_tcase(suite, signals);
    return run_suite(suite);
}
