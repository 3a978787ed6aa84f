/* The title lies in the memory that the kernel gave argv, so it is tried out in a new process: this program,
 * started with the name of a scenario, prints what it sees. */
#include "run.h"
#include "title.h"

#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void print_cmdline(void)
{
    char text[4096];
    FILE *file = fopen("/proc/self/cmdline", "re");
    size_t bytes = file != NULL ? fread(text, 1, sizeof text - 1, file) : 0;
    while (bytes > 0 && text[bytes - 1] == '\0')
        bytes--;
    text[bytes] = '\0';
    printf("%s\n", text);
    if (file != NULL)
        fclose(file);
}

static int scenario(int argc, char **argv)
{
    if (strcmp(argv[1], "untouched") != 0 && title_init(argc, argv) != ERR_OK)
        return EXIT_FAILURE;
    if (strcmp(argv[1], "long") == 0)
        title_set("forkpool: %0100d", 7);
    else
        title_set("forkpool: %s/%d", "worker", 0);
    if (strcmp(argv[1], "again") == 0)
        title_set("x");
    print_cmdline();
    printf("%s %s %d %s\n", argv[1], argv[2], argv[3] == NULL, getenv("FORKPOOL_TEST"));
    setenv("FORKPOOL_TEST", "changed", 1);
    printf("%s\n", getenv("FORKPOOL_TEST"));
    return EXIT_SUCCESS;
}

static void expect_output(const char *name, const char *expected)
{
    char self[512], text[1024];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    ck_assert_int_gt((int)length, 0);
    self[length] = '\0';
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        setenv("FORKPOOL_TEST", "kept", 1);
        execl(self, "x", name, "second", (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    size_t bytes = 0;
    ssize_t part;
    while ((part = read(ends[0], text + bytes, sizeof text - 1 - bytes)) > 0)
        bytes += (size_t)part;
    text[bytes] = '\0';
    close(ends[0]);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    ck_assert_str_eq(text, expected);
}

START_TEST(a_title_replaces_the_command_line_and_argv_and_environment_stay)
{
    expect_output("once", "forkpool: worker/0\nonce second 1 kept\nchanged\n");
}
END_TEST

START_TEST(a_title_may_be_longer_than_the_arguments_were)
{
    char expected[256];
    snprintf(expected, sizeof expected, "forkpool: %0100d\nlong second 1 kept\nchanged\n", 7);
    expect_output("long", expected);
}
END_TEST

START_TEST(a_shorter_title_leaves_nothing_of_a_longer_one)
{
    expect_output("again", "x\nagain second 1 kept\nchanged\n");
}
END_TEST

START_TEST(without_init_a_title_changes_nothing)
{
    expect_output("untouched", "x\nuntouched second 1 kept\nchanged\n");
}
END_TEST

static void handler(int number)
{
    (void)number;
}

START_TEST(a_child_begins_with_default_signals_and_none_blocked)
{
    sigset_t all, now;
    signal(SIGTERM, handler);
    signal(SIGPIPE, SIG_IGN);
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    int parent = (int)getpid(), status;
    pid_t pid = fork();
    if (pid == 0) {
        struct sigaction term, broken_pipe;
        int death = 0;
        child_begin(parent);
        sigaction(SIGTERM, NULL, &term);
        sigaction(SIGPIPE, NULL, &broken_pipe);
        sigprocmask(SIG_BLOCK, NULL, &now);
        prctl(PR_GET_PDEATHSIG, &death);
        bool fine = term.sa_handler == SIG_DFL && broken_pipe.sa_handler == SIG_DFL && death == SIGKILL;
        for (int number = 1; number < NSIG; number++)
            fine &= sigismember(&now, number) != 1;
        _exit(fine ? 0 : 1);
    }
    sigprocmask(SIG_UNBLOCK, &all, NULL);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(a_child_whose_parent_is_gone_ends)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        child_begin(1 << 30); /* nobody's parent */
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_FAILURE);
}
END_TEST

START_TEST(a_child_dies_with_its_parent)
{
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    pid_t parent = fork();
    if (parent == 0) {
        int self = (int)getpid();
        if (fork() == 0) {
            child_begin(self);
            if (write(ends[1], "x", 1) != 1)
                _exit(1);
            for (;;)
                pause();
        }
        close(ends[1]);
        for (;;)
            pause();
    }
    close(ends[1]);
    char byte;
    ck_assert_int_eq((int)read(ends[0], &byte, 1), 1); /* the child has begun */
    kill(parent, SIGKILL);
    ck_assert_int_eq(waitpid(parent, NULL, 0), parent);
    ck_assert_int_eq((int)read(ends[0], &byte, 1), 0); /* and has closed its end */
    close(ends[0]);
}
END_TEST

int main(int argc, char **argv)
{
    if (argc > 1)
        return scenario(argc, argv);
    Suite *suite = suite_create("title");
    TCase *tcase = tcase_create("title");
    tcase_add_test(tcase, a_title_replaces_the_command_line_and_argv_and_environment_stay);
    tcase_add_test(tcase, a_title_may_be_longer_than_the_arguments_were);
    tcase_add_test(tcase, a_shorter_title_leaves_nothing_of_a_longer_one);
    tcase_add_test(tcase, without_init_a_title_changes_nothing);
    tcase_add_test(tcase, a_child_begins_with_default_signals_and_none_blocked);
    tcase_add_test(tcase, a_child_whose_parent_is_gone_ends);
    tcase_add_test(tcase, a_child_dies_with_its_parent);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
