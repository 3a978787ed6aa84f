#include "catalogue.h"
#include "run.h"

#include <pthread.h>
#include <string.h>

static struct segment_header header;
static struct catalogue *banks; /* [2] */
static struct segment segment;

static void init(void)
{
    memset(&header, 0, sizeof header);
    banks = calloc(2, sizeof *banks);
    ck_assert_ptr_nonnull(banks);
    segment = (struct segment){.header = &header, .catalogues = banks};
}

static void fini(void)
{
    free(banks);
}

static void write_bank(uint32_t epoch, uint32_t count)
{
    struct catalogue *bank = &banks[epoch % 2];
    bank->epoch = epoch;
    bank->task_count = count;
    snprintf(bank->tasks_dir, sizeof bank->tasks_dir, "/tasks/%u", epoch);
    for (uint32_t i = 0; i < count; i++) {
        snprintf(bank->tasks[i].name, sizeof bank->tasks[i].name, "t%03u", i);
        snprintf(bank->tasks[i].description, sizeof bank->tasks[i].description, "%u", epoch);
    }
}

static void publish(uint32_t epoch, uint32_t count)
{
    write_bank(epoch, count);
    atomic_store_explicit(&header.catalogue_epoch, epoch, memory_order_release);
}

START_TEST(kinds_have_their_texts)
{
    ck_assert_str_eq(task_kind_text(TASK_PLUGIN), "plugin");
    ck_assert_str_eq(task_kind_text(TASK_COMMAND), "command");
}
END_TEST

START_TEST(before_the_first_epoch_there_is_no_catalogue)
{
    struct catalogue *copy;
    ck_assert_int_eq(catalogue_copy(&segment, &copy), ERR_NOT_FOUND);
    ck_assert_ptr_null(copy);
}
END_TEST

START_TEST(a_copy_is_of_the_current_epoch_and_stays_as_it_was)
{
    struct catalogue *copy;
    publish(1, 3);
    ck_assert_int_eq(catalogue_copy(&segment, &copy), ERR_OK);
    publish(2, 1);
    publish(3, 2);
    ck_assert_uint_eq(copy->epoch, 1);
    ck_assert_uint_eq(copy->task_count, 3);
    ck_assert_str_eq(copy->tasks_dir, "/tasks/1");
    ck_assert_str_eq(copy->tasks[2].description, "1");
    free(copy);
    ck_assert_int_eq(catalogue_copy(&segment, &copy), ERR_OK);
    ck_assert_uint_eq(copy->epoch, 3);
    free(copy);
}
END_TEST

START_TEST(an_empty_and_a_full_catalogue_can_be_copied)
{
    struct catalogue *copy;
    publish(1, 0);
    ck_assert_int_eq(catalogue_copy(&segment, &copy), ERR_OK);
    ck_assert_ptr_null(catalogue_find(copy, "t000"));
    free(copy);
    publish(2, TASKS_MAX);
    ck_assert_int_eq(catalogue_copy(&segment, &copy), ERR_OK);
    ck_assert_str_eq(catalogue_find(copy, "t255")->name, "t255");
    free(copy);
}
END_TEST

#ifndef __SANITIZE_THREAD__ /* the copy races by design, and is thrown away when it did */
static void *reload(void *stop)
{
    for (uint32_t epoch = 2; atomic_load((_Atomic int *)stop) == 0; epoch++)
        publish(epoch, epoch % 40);
    return NULL;
}

START_TEST(a_copy_taken_during_reloads_is_of_one_epoch)
{
    static _Atomic int stop;
    pthread_t thread;
    publish(1, 1);
    ck_assert_int_eq(pthread_create(&thread, NULL, reload, &stop), 0);
    for (int i = 0; i < 20000; i++) {
        struct catalogue *copy;
        ck_assert_int_eq(catalogue_copy(&segment, &copy), ERR_OK);
        ck_assert_uint_eq(copy->task_count, copy->epoch == 1 ? 1 : copy->epoch % 40);
        for (uint32_t task = 0; task < copy->task_count; task++)
            ck_assert_uint_eq((uint32_t)atoi(copy->tasks[task].description), copy->epoch);
        free(copy);
    }
    atomic_store(&stop, 1);
    pthread_join(thread, NULL);
}
END_TEST
#endif

START_TEST(every_task_is_found_and_nothing_else)
{
    char name[16];
    for (uint32_t count = 0; count < 10; count++) {
        write_bank(0, count);
        for (uint32_t i = 0; i < 10; i++) {
            snprintf(name, sizeof name, "t%03u", i);
            const struct task *task = catalogue_find(&banks[0], name);
            ck_assert(i < count ? task == &banks[0].tasks[i] : task == NULL);
        }
        ck_assert_ptr_null(catalogue_find(&banks[0], "a"));
        ck_assert_ptr_null(catalogue_find(&banks[0], "z"));
        ck_assert_ptr_null(catalogue_find(&banks[0], ""));
    }
}
END_TEST

START_TEST(vectors_point_at_what_was_added)
{
    struct task task = {0};
    char *argv[3], *env[3];
    ck_assert_int_eq(task_add_argv(&task, "one"), ERR_OK);
    ck_assert_int_eq(task_add_argv(&task, ""), ERR_OK);
    ck_assert_int_eq(task_add_env(&task, "A=1"), ERR_OK);
    ck_assert_int_eq(task_add_env(&task, "B="), ERR_OK);
    task_vectors(&task, argv, env);
    ck_assert_str_eq(argv[0], "one");
    ck_assert_str_eq(argv[1], "");
    ck_assert_ptr_null(argv[2]);
    ck_assert_str_eq(env[0], "A=1");
    ck_assert_str_eq(env[1], "B=");
    ck_assert_ptr_null(env[2]);
}
END_TEST

START_TEST(a_task_without_arguments_has_empty_vectors)
{
    struct task task = {0};
    char *argv[1], *env[1];
    task_vectors(&task, argv, env);
    ck_assert_ptr_null(argv[0]);
    ck_assert_ptr_null(env[0]);
}
END_TEST

START_TEST(what_does_not_fit_is_refused_and_changes_nothing)
{
    struct task task = {0};
    char text[TASK_BLOB_BYTES + 1], *argv[2], *env[1];
    memset(text, 'x', sizeof text);
    text[TASK_BLOB_BYTES] = '\0';
    ck_assert_int_eq(task_add_argv(&task, text), ERR_FULL);
    text[TASK_BLOB_BYTES - 1] = '\0';
    ck_assert_int_eq(task_add_argv(&task, text), ERR_OK);
    ck_assert_int_eq(task_add_env(&task, ""), ERR_FULL);
    task_vectors(&task, argv, env);
    ck_assert_uint_eq(strlen(argv[0]), TASK_BLOB_BYTES - 1);
    ck_assert_ptr_null(env[0]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("catalogue");
    TCase *tcase = tcase_create("catalogue");
    tcase_add_checked_fixture(tcase, init, fini);
    tcase_set_timeout(tcase, 30);
    tcase_add_test(tcase, kinds_have_their_texts);
    tcase_add_test(tcase, before_the_first_epoch_there_is_no_catalogue);
    tcase_add_test(tcase, a_copy_is_of_the_current_epoch_and_stays_as_it_was);
    tcase_add_test(tcase, an_empty_and_a_full_catalogue_can_be_copied);
#ifndef __SANITIZE_THREAD__
    tcase_add_test(tcase, a_copy_taken_during_reloads_is_of_one_epoch);
#endif
    tcase_add_test(tcase, every_task_is_found_and_nothing_else);
    tcase_add_test(tcase, vectors_point_at_what_was_added);
    tcase_add_test(tcase, a_task_without_arguments_has_empty_vectors);
    tcase_add_test(tcase, what_does_not_fit_is_refused_and_changes_nothing);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
