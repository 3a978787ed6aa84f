#include "run.h"

#include "blackbox.h"
#include "clock.h"
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORKERS = 4 };

static char folder[64];
static struct blackbox box;
static struct id store_id;

static void create(void)
{
    ck_assert_int_eq(blackbox_create(folder, WORKERS, &box), ERR_OK);
}

static void setup(void)
{
    log_set_level(LOG_LEVEL_COUNT);
    strcpy(folder, "/tmp/test_blackbox.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    store_id = id_new();
    create();
    box.header->store_id = store_id;
}

static void teardown(void)
{
    char command[96];
    blackbox_close(&box);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    ck_assert_int_eq(system(command), 0);
}

/* Everything is killed, and starts again. */
static void die_and_start(void)
{
    blackbox_close(&box);
    create();
}

static bool stands(const char *file)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, file);
    return access(path, F_OK) == 0;
}

static struct blackbox_charge charges[WORKERS];

/* What the front would charge. */
static uint32_t read_charges(struct id of)
{
    struct blackbox_charge *found;
    uint32_t count = 99;
    ck_assert_int_eq(blackbox_read_old(folder, of, &found, &count), ERR_OK);
    ck_assert_uint_le(count, WORKERS);
    if (count > 0)
        memcpy(charges, found, count * sizeof *found);
    free(found);
    return count;
}

/* --- what ran when everything died --- */

START_TEST(a_first_start_has_nothing_to_charge)
{
    ck_assert_uint_eq(read_charges(store_id), 0);
    ck_assert(stands(BLACKBOX_FILE));
    ck_assert(!stands(BLACKBOX_OLD_FILE));
    for (uint32_t i = 0; i < WORKERS; i++)
        ck_assert_uint_eq(box.entries[i].running, 0);
}
END_TEST

START_TEST(what_ran_is_charged_and_what_had_ended_is_not)
{
    struct id one = id_new(), two = id_new(), three = id_new();
    blackbox_begin(&box, 0, one, 1, 1000);
    blackbox_begin(&box, 1, two, 4, 2000);
    blackbox_end(&box, 1);
    blackbox_begin(&box, 3, three, 7, 3000);
    die_and_start();
    ck_assert_uint_eq(read_charges(store_id), 2);
    ck_assert(id_equal(charges[0].id, one));
    ck_assert_uint_eq(charges[0].attempt, 1);
    ck_assert_int_eq(charges[0].worker, 0);
    ck_assert_int_eq(charges[0].started_ms, 1000);
    ck_assert(id_equal(charges[1].id, three));
    ck_assert_uint_eq(charges[1].attempt, 7);
    ck_assert_int_eq(charges[1].worker, 3);
}
END_TEST

START_TEST(a_worker_that_took_the_next_job_is_charged_for_that_one)
{
    struct id next = id_new();
    blackbox_begin(&box, 2, id_new(), 1, 1);
    blackbox_end(&box, 2);
    blackbox_begin(&box, 2, next, 2, 2);
    die_and_start();
    ck_assert_uint_eq(read_charges(store_id), 1);
    ck_assert(id_equal(charges[0].id, next));
    ck_assert_uint_eq(charges[0].attempt, 2);
}
END_TEST

START_TEST(a_charge_is_read_until_it_is_forgotten)
{
    blackbox_begin(&box, 0, id_new(), 1, 1);
    die_and_start();
    ck_assert_uint_eq(read_charges(store_id), 1);
    ck_assert_uint_eq(read_charges(store_id), 1);
    ck_assert_int_eq(blackbox_forget(folder), ERR_OK);
    ck_assert_uint_eq(read_charges(store_id), 0);
    ck_assert_int_eq(blackbox_forget(folder), ERR_OK); /* nothing there is fine */
}
END_TEST

START_TEST(another_store_is_not_charged)
{
    blackbox_begin(&box, 0, id_new(), 1, 1);
    die_and_start();
    ck_assert_uint_eq(read_charges(id_new()), 0);
    ck_assert_uint_eq(read_charges(store_id), 1);
}
END_TEST

START_TEST(a_front_that_never_opened_its_store_charges_nothing)
{
    box.header->store_id = (struct id){{0}};
    blackbox_begin(&box, 0, id_new(), 1, 1);
    die_and_start();
    ck_assert_uint_eq(read_charges(store_id), 0);
}
END_TEST

START_TEST(a_drain_charges_nothing)
{
    blackbox_begin(&box, 0, id_new(), 1, 1);
    atomic_store(&box.header->draining, 1);
    die_and_start();
    ck_assert_uint_eq(read_charges(store_id), 0);
}
END_TEST

START_TEST(another_boot_charges_nothing)
{
    blackbox_begin(&box, 0, id_new(), 1, 1);
    box.header->boot_id[0] ^= 1; /* a power loss: the page of the file may be of any age */
    die_and_start();
    ck_assert_uint_eq(read_charges(store_id), 0);
}
END_TEST

START_TEST(an_entry_that_was_being_written_is_ignored)
{
    blackbox_begin(&box, 0, id_new(), 1, 1);
    blackbox_begin(&box, 1, id_new(), 1, 1);
    atomic_fetch_add(&box.entries[0].version, 1); /* killed inside blackbox_end */
    die_and_start();
    ck_assert_uint_eq(read_charges(store_id), 1);
    ck_assert_int_eq(charges[0].worker, 1);
}
END_TEST

START_TEST(the_next_worker_heals_an_entry_that_was_being_written)
{
    struct id next = id_new();
    blackbox_begin(&box, 0, id_new(), 1, 1);
    atomic_fetch_add(&box.entries[0].version, 1);
    blackbox_begin(&box, 0, next, 2, 2);
    ck_assert_uint_eq(atomic_load(&box.entries[0].version) % 2, 0);
    die_and_start();
    ck_assert_uint_eq(read_charges(store_id), 1);
    ck_assert(id_equal(charges[0].id, next));
}
END_TEST

START_TEST(an_uncharged_box_is_kept_over_a_life_that_ended_early)
{
    struct id first = id_new();
    blackbox_begin(&box, 0, first, 1, 1);
    die_and_start(); /* the first box is old now; this life dies before its front charges it */
    box.header->store_id = store_id;
    blackbox_begin(&box, 1, id_new(), 1, 1);
    die_and_start();
    ck_assert_uint_eq(read_charges(store_id), 1);
    ck_assert(id_equal(charges[0].id, first));
    ck_assert_int_eq(blackbox_forget(folder), ERR_OK);
    die_and_start();
    ck_assert_uint_eq(read_charges(store_id), 0); /* the life in between is not charged later */
}
END_TEST

START_TEST(after_a_charge_the_next_life_is_charged_for_itself)
{
    struct id second = id_new();
    blackbox_begin(&box, 0, id_new(), 1, 1);
    die_and_start();
    ck_assert_int_eq(blackbox_forget(folder), ERR_OK);
    box.header->store_id = store_id;
    blackbox_begin(&box, 0, second, 3, 1);
    die_and_start();
    ck_assert_uint_eq(read_charges(store_id), 1);
    ck_assert(id_equal(charges[0].id, second));
}
END_TEST

/* --- the file --- */

static void spoil(off_t bytes, const char *text)
{
    char path[128];
    blackbox_close(&box);
    snprintf(path, sizeof path, "%s/" BLACKBOX_FILE, folder);
    int fd = open(path, O_RDWR);
    ck_assert_int_ge(fd, 0);
    if (text != NULL)
        ck_assert_int_eq(pwrite(fd, text, strlen(text), bytes), (ssize_t)strlen(text));
    else
        ck_assert_int_eq(ftruncate(fd, bytes), 0);
    close(fd);
    create();
}

START_TEST(a_file_that_cannot_be_trusted_is_no_box)
{
    static const struct {
        off_t at;
        const char *text;
    } CASES[] = {{0, "somebody else's"}, {8, "\x09"}, {12, "\xff\xff"}, {100, NULL}, {0, NULL}, {200, NULL}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        box.header->store_id = store_id;
        blackbox_begin(&box, 0, id_new(), 1, 1);
        spoil(CASES[i].at, CASES[i].text);
        ck_assert_msg(read_charges(store_id) == 0, "case %zu", i);
        ck_assert_int_eq(blackbox_forget(folder), ERR_OK);
    }
}
END_TEST

START_TEST(the_file_is_fully_written_and_private_to_the_group)
{
    char path[128];
    struct stat info;
    snprintf(path, sizeof path, "%s/" BLACKBOX_FILE, folder);
    ck_assert_int_eq(stat(path, &info), 0);
    ck_assert_int_ge(info.st_size, (off_t)(sizeof *box.header + WORKERS * sizeof *box.entries));
    ck_assert_int_ge(info.st_blocks * 512, info.st_size); /* no hole: a full disk cannot bring a SIGBUS */
    ck_assert_int_eq(info.st_mode & 07, 0);
}
END_TEST

START_TEST(a_folder_that_is_not_there_is_an_error)
{
    struct blackbox none;
    ck_assert_int_eq(blackbox_create("/tmp/no/such/folder", WORKERS, &none), ERR_SYSTEM);
}
END_TEST

START_TEST(closing_twice_is_harmless)
{
    blackbox_close(&box);
    blackbox_close(&box);
    create();
}
END_TEST

START_TEST(a_worker_without_an_entry_aborts)
{
    blackbox_begin(&box, WORKERS, id_new(), 1, 1);
}
END_TEST

/* --- processes left over --- */

/* A task's process in a group of its own, with that job's id in its environment; returns once it has exec'ed.
 */
static pid_t left_over(struct id id)
{
    char text[ID_TEXT_BYTES], variable[64];
    id_format(id, text);
    snprintf(variable, sizeof variable, "FORKPOOL_JOB_ID=%s", text);
    int done[2];
    ck_assert_int_eq(pipe2(done, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        setpgid(0, 0);
        execle("/bin/sleep", "sleep", "60", (char *)NULL, (char *[]){"A=1", variable, "B=2", NULL});
        _exit(1);
    }
    char byte;
    close(done[1]);
    ck_assert_int_eq(read(done[0], &byte, 1), 0); /* closed by the exec */
    close(done[0]);
    return pid;
}

static bool killed_within(pid_t pid, int64_t ms)
{
    int status = 0;
    for (int64_t until = clock_mono_ns() + ms * NS_PER_MS; clock_mono_ns() < until; clock_sleep_ms(5))
        if (waitpid(pid, &status, WNOHANG) == pid)
            return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    return false;
}

static void end(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static void begin_with_group(uint32_t worker, struct id id, pid_t group)
{
    blackbox_begin(&box, worker, id, 1, 1);
    atomic_store(&box.entries[worker].group, group);
}

START_TEST(what_a_killed_life_left_running_is_killed_and_nothing_else)
{
    struct id job = id_new(), other = id_new();
    pid_t task = left_over(job), bystander = left_over(other);
    begin_with_group(0, job, task);
    die_and_start();
    ck_assert(killed_within(task, 5000));
    ck_assert_int_eq(waitpid(bystander, NULL, WNOHANG), 0);
    end(bystander);
}
END_TEST

/* The kernel needs a moment to take so much memory back. */
START_TEST(what_is_killed_has_ended_before_the_new_life_begins)
{
    struct id job = id_new();
    char text[ID_TEXT_BYTES], variable[64], fifo[96], output[128], byte;
    id_format(job, text);
    snprintf(variable, sizeof variable, "FORKPOOL_JOB_ID=%s", text);
    snprintf(fifo, sizeof fifo, "%s/fifo", folder);
    snprintf(output, sizeof output, "of=%s", fifo);
    ck_assert_int_eq(mkfifo(fifo, 0600), 0);
    int fd = open(fifo, O_RDWR | O_CLOEXEC);
    pid_t task = fork();
    if (task == 0) {
        setpgid(0, 0);
        execle("/bin/dd", "dd", "if=/dev/zero", output, "bs=128M", "count=1", (char *)NULL,
               (char *[]){variable, NULL});
        _exit(1);
    }
    ck_assert_int_eq(read(fd, &byte, 1), 1); /* it has filled its memory, and writes */
    begin_with_group(0, job, task);
    die_and_start();
    ck_assert_int_eq(waitpid(task, NULL, WNOHANG), task);
    close(fd);
}
END_TEST

START_TEST(a_process_that_has_taken_over_the_groups_number_survives)
{
    struct id job = id_new();
    pid_t stranger = left_over(id_new()); /* the kernel has given it the number that the box names */
    begin_with_group(0, job, stranger);
    die_and_start();
    ck_assert(!killed_within(stranger, 100));
    end(stranger);
}
END_TEST

START_TEST(of_an_ended_job_nothing_is_killed)
{
    struct id job = id_new();
    pid_t task = left_over(job);
    begin_with_group(0, job, task);
    blackbox_end(&box, 0);
    die_and_start();
    ck_assert(!killed_within(task, 100));
    end(task);
}
END_TEST

START_TEST(after_another_boot_nothing_is_killed)
{
    struct id job = id_new();
    pid_t task = left_over(job);
    begin_with_group(0, job, task);
    box.header->boot_id[0] ^= 1;
    die_and_start();
    ck_assert(!killed_within(task, 100));
    end(task);
}
END_TEST

START_TEST(in_another_pid_namespace_nothing_is_killed_but_the_job_is_charged)
{
    struct id job = id_new();
    pid_t task = left_over(job);
    begin_with_group(0, job, task);
    box.header->pid_namespace ^= 1;
    die_and_start();
    ck_assert(!killed_within(task, 100));
    ck_assert_uint_eq(read_charges(store_id), 1);
    end(task);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("blackbox");
    TCase *charged = tcase_create("charges"), *file = tcase_create("file"), *left = tcase_create("left over");
    const char *fork_mode = getenv("CK_FORK");
    tcase_add_checked_fixture(charged, setup, teardown);
    tcase_add_test(charged, a_first_start_has_nothing_to_charge);
    tcase_add_test(charged, what_ran_is_charged_and_what_had_ended_is_not);
    tcase_add_test(charged, a_worker_that_took_the_next_job_is_charged_for_that_one);
    tcase_add_test(charged, a_charge_is_read_until_it_is_forgotten);
    tcase_add_test(charged, another_store_is_not_charged);
    tcase_add_test(charged, a_front_that_never_opened_its_store_charges_nothing);
    tcase_add_test(charged, a_drain_charges_nothing);
    tcase_add_test(charged, another_boot_charges_nothing);
    tcase_add_test(charged, an_entry_that_was_being_written_is_ignored);
    tcase_add_test(charged, the_next_worker_heals_an_entry_that_was_being_written);
    tcase_add_test(charged, an_uncharged_box_is_kept_over_a_life_that_ended_early);
    tcase_add_test(charged, after_a_charge_the_next_life_is_charged_for_itself);
    tcase_add_checked_fixture(file, setup, teardown);
    tcase_add_test(file, a_file_that_cannot_be_trusted_is_no_box);
    tcase_add_test(file, the_file_is_fully_written_and_private_to_the_group);
    tcase_add_test(file, a_folder_that_is_not_there_is_an_error);
    tcase_add_test(file, closing_twice_is_harmless);
    if (fork_mode == NULL || strcmp(fork_mode, "no") != 0)
        tcase_add_test_raise_signal(file, a_worker_without_an_entry_aborts, SIGABRT);
    tcase_add_checked_fixture(left, setup, teardown);
    tcase_set_timeout(left, 30);
    tcase_set_tags(left, "pidfd");
    tcase_add_test(left, what_a_killed_life_left_running_is_killed_and_nothing_else);
    tcase_add_test(left, what_is_killed_has_ended_before_the_new_life_begins);
    tcase_add_test(left, a_process_that_has_taken_over_the_groups_number_survives);
    tcase_add_test(left, of_an_ended_job_nothing_is_killed);
    tcase_add_test(left, after_another_boot_nothing_is_killed);
    tcase_add_test(left, in_another_pid_namespace_nothing_is_killed_but_the_job_is_charged);
    suite_add_tcase(suite, charged);
    suite_add_tcase(suite, file);
    suite_add_tcase(suite, left);
    return run_suite(suite);
}
