/* What the machine itself can do, with nothing of forkpool: the limits that figures are compared with. Prints
 * one line of JSON.
 *
 *     limits fdatasync FOLDER COUNT     appends of 4 KiB, each synced
 *     limits spawn COUNT PROGRAM        posix_spawn and wait, one after the other
 *     limits semaphore COUNT            round trips between two processes
 *     limits pipe COUNT                 a line of JSON to a warm python3 and back
 *     limits sleep WORKERS MS SECONDS   processes that sleep over and over: sleeps a second
 */
#include "histogram.h"

#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SETTLE_US = 500000 };

extern char **environ;

static void fail(const char *what)
{
    fprintf(stderr, "limits: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void *shared(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        fail("memory");
    return memory;
}

/* A child that does not outlive us. */
static pid_t fork_one(void)
{
    pid_t pid = fork();
    if (pid < 0)
        fail("fork");
    if (pid == 0)
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    return pid;
}

static void report(const struct histogram *times)
{
    printf("{\"times\":");
    histogram_print(times);
    printf("}\n");
}

static void do_fdatasync(struct histogram *times, const char *folder, long count)
{
    static const char page[4096];
    char path[512];
    snprintf(path, sizeof path, "%s/fdatasync.XXXXXX", folder);
    int fd = mkstemp(path);
    if (fd < 0)
        fail(path);
    unlink(path);
    for (long i = 0; i < count; i++) {
        int64_t began = now_ns();
        if (write(fd, page, sizeof page) != (ssize_t)sizeof page || fdatasync(fd) != 0)
            fail("fdatasync");
        histogram_add(times, now_ns() - began);
    }
    close(fd);
}

static void do_spawn(struct histogram *times, long count, char *program)
{
    char *words[] = {program, NULL};
    for (long i = 0; i < count; i++) {
        int64_t began = now_ns();
        pid_t pid;
        int status;
        errno = posix_spawn(&pid, program, NULL, NULL, words, environ);
        if (errno != 0 || waitpid(pid, &status, 0) != pid || status != 0)
            fail(program);
        histogram_add(times, now_ns() - began);
    }
}

static void do_semaphore(struct histogram *times, long count)
{
    sem_t *both = shared(2 * sizeof *both);
    if (sem_init(&both[0], 1, 0) != 0 || sem_init(&both[1], 1, 0) != 0)
        fail("semaphore");
    pid_t pid = fork_one();
    if (pid == 0) {
        for (long i = 0; i < count; i++) {
            sem_wait(&both[0]);
            sem_post(&both[1]);
        }
        _exit(0);
    }
    for (long i = 0; i < count; i++) {
        int64_t began = now_ns();
        sem_post(&both[0]);
        sem_wait(&both[1]);
        histogram_add(times, now_ns() - began);
    }
    waitpid(pid, NULL, 0);
}

static void do_pipe(struct histogram *times, long count)
{
    static const char PROGRAM[] =
        "import json, sys\nfor line in sys.stdin.buffer:\n"
        "    sys.stdout.write(json.dumps(json.loads(line)) + '\\n')\n    sys.stdout.flush()\n";
    static const char LINE[] =
        "{\"user\":123456,\"email\":\"someone@example.com\",\"template\":\"welcome\",\"tries\":3}\n";
    int to[2], from[2];
    if (pipe(to) != 0 || pipe(from) != 0)
        fail("pipe");
    pid_t pid = fork_one();
    if (pid == 0) {
        dup2(to[0], 0), dup2(from[1], 1);
        close(to[0]), close(to[1]), close(from[0]), close(from[1]);
        execl("/usr/bin/python3", "python3", "-c", PROGRAM, NULL);
        _exit(127);
    }
    close(to[0]), close(from[1]);
    for (long i = -50; i < count; i++) {
        char answer[256];
        ssize_t bytes = 0, came;
        int64_t began = now_ns();
        if (write(to[1], LINE, strlen(LINE)) < 0)
            fail("write");
        do {
            came = read(from[0], answer + bytes, sizeof answer - (size_t)bytes);
            if (came <= 0)
                fail("python3");
            bytes += came;
        } while (answer[bytes - 1] != '\n');
        if (i >= 0) /* the first ones also start Python */
            histogram_add(times, now_ns() - began);
    }
    close(to[1]);
    waitpid(pid, NULL, 0);
}

static uint64_t sum(_Atomic uint64_t *counts, long workers)
{
    uint64_t all = 0;
    for (long i = 0; i < workers; i++)
        all += counts[i];
    return all;
}

/* Counted once all of them sleep. */
static void do_sleep(long workers, double ms, double seconds)
{
    _Atomic uint64_t *counts = shared((size_t)workers * sizeof *counts);
    pid_t *pids = calloc((size_t)workers, sizeof *pids);
    struct timespec time = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms * 1e6) % 1000000000};
    if (pids == NULL)
        fail("memory");
    for (long i = 0; i < workers; i++) {
        pids[i] = fork_one();
        while (pids[i] == 0) {
            nanosleep(&time, NULL);
            counts[i]++;
        }
    }
    usleep(SETTLE_US);
    int64_t began = now_ns();
    uint64_t before = sum(counts, workers);
    usleep((useconds_t)(seconds * 1e6));
    uint64_t slept = sum(counts, workers) - before;
    printf("{\"rate\":%.3f}\n", (double)slept * 1e9 / (double)(now_ns() - began));
    for (long i = 0; i < workers; i++)
        kill(pids[i], SIGKILL);
    while (wait(NULL) > 0)
        continue;
    free(pids);
}

int main(int argc, char **argv)
{
    static struct histogram times;
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "sleep") == 0 && argc == 5) {
        do_sleep(atol(argv[2]), atof(argv[3]), atof(argv[4]));
        return 0;
    }
    if (strcmp(what, "fdatasync") == 0 && argc == 4) {
        do_fdatasync(&times, argv[2], atol(argv[3]));
    } else if (strcmp(what, "spawn") == 0 && argc == 4) {
        do_spawn(&times, atol(argv[2]), argv[3]);
    } else if (strcmp(what, "semaphore") == 0 && argc == 3) {
        do_semaphore(&times, atol(argv[2]));
    } else if (strcmp(what, "pipe") == 0 && argc == 3) {
        do_pipe(&times, atol(argv[2]));
    } else {
        fputs("usage: limits fdatasync FOLDER COUNT | spawn COUNT PROGRAM | semaphore COUNT | pipe COUNT | "
              "sleep WORKERS MS "
              "SECONDS\n",
              stderr);
        return 2;
    }
    report(&times);
    return 0;
}
