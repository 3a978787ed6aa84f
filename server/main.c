/* forkpool: the executable. Parses the command line, takes hold of the state folder and the socket, and hands
 * the processes' main functions to the supervisor: the one place that knows every folder. */
#include "backup.h"
#include "config.h"
#include "front.h"
#include "health.h"
#include "http.h"
#include "listen.h"
#include "log.h"
#include "mint.h"
#include "nearest.h"
#include "probe.h"
#include "routes.h"
#include "supervisor.h"
#include "title.h"
#include "torture.h"
#include "worker.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { EXIT_USAGE = 64, EXIT_CONFIG = 78 };

static int print_buf(struct buf *text, FILE *to)
{
    fwrite(text->data, 1, text->bytes, to);
    return text->failed ? 1 : 0;
}

static int fail(struct buf *message)
{
    fputs("forkpool: ", stderr);
    print_buf(message, stderr);
    fputs("\n", stderr);
    return EXIT_CONFIG;
}

/* As many descriptors as allowed, for connections. */
static void raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* Descriptors 0 to 2 exist, so that no socket of ours ever becomes a task's standard error. */
static void fill_standard_descriptors(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd > STDERR_FILENO)
        close(fd);
}

static int serve(int argc, char **argv)
{
    static const struct supervisor_mains MAINS = {
        .front = front_main, .worker = worker_main, .probe = probe_main, .http = &http_service};
    struct config *config = NULL;
    BUF_AUTO message = {0};
    int listen_fd;
    if (config_load(argc, argv, environ, &config, &message) != ERR_OK)
        return fail(&message);
    if (config_hide_token() != ERR_OK) {
        fputs("forkpool: out of memory\n", stderr);
        return EXIT_FAILURE;
    }
    log_init("supervisor", (enum log_level)config->log_level, (enum log_format)config->log_format);
    raise_descriptors();
    if (listen_lock_state(config, &message) != ERR_OK ||
        listen_open(config, &listen_fd, &message) != ERR_OK) {
        config_free(config);
        return fail(&message);
    }
    return supervisor_run(config, listen_fd, argc, argv, &MAINS);
}

static int help(void)
{
    BUF_AUTO text = {0};
    buf_put(
        &text,
        "forkpool " FORKPOOL_VERSION ": a job server in one binary\n\n"
        "usage: forkpool serve [--config FILE] [flags]   run the server\n"
        "       forkpool health [--url URL | flags]      exit 0 if the server is ready, else 1\n"
        "       forkpool backup [flags] OUTPUT           copy the store, while it is in use or not\n"
        "       forkpool token [--name NAME] [--scopes read,submit]\n"
        "                                                make a token for clients\n"
        "       forkpool torture [--minutes N] [--seed S] [--jobs N] [--workers N] [--mix NAME]\n"
        "                        [--durability full|process] [--pairs N] [--plugin FILE]\n"
        "                        [--keep FOLDER]\n"
        "                                                kill a scratch server at random, under load, and\n"
        "                                                check that nothing is lost\n"
        "       forkpool version                         print the version\n"
        "       forkpool routes                          print the HTTP routes\n"
        "       forkpool reference                       print the configuration as Markdown\n"
        "       forkpool help                            print this\n\n");
    config_help(&text);
    return print_buf(&text, stdout);
}

static int print_with(void (*write_text)(struct buf *))
{
    BUF_AUTO text = {0};
    write_text(&text);
    return print_buf(&text, stdout);
}

static int refuse(const char *command)
{
    static const char *const COMMANDS[] = {"serve",   "health", "backup",    "token", "torture",
                                           "version", "routes", "reference", "help"};
    const char *near = nearest_name(command, COMMANDS, sizeof COMMANDS / sizeof COMMANDS[0]);
    if (command[0] == '\0')
        fputs("forkpool: a command is missing; try: forkpool serve, or forkpool help\n", stderr);
    else if (near != NULL)
        fprintf(stderr, "forkpool: \"%s\" is not a command; did you mean %s? forkpool help has all\n",
                command, near);
    else
        fprintf(stderr, "forkpool: \"%s\" is not a command; try: forkpool serve, or forkpool help\n",
                command);
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    fill_standard_descriptors();
    if (title_init(argc, argv) != ERR_OK) {
        fputs("forkpool: out of memory\n", stderr);
        return 1;
    }
    const char *command = argc > 1 ? argv[1] : "";
    if (strcmp(command, "serve") == 0) {
        for (int i = 2; i < argc; i++)
            if (strcmp(argv[i], "--help") == 0)
                return help();
        return serve(argc - 2, argv + 2);
    }
    if (strcmp(command, "health") == 0)
        return health_main(argc - 2, argv + 2);
    if (strcmp(command, "token") == 0)
        return mint_main(argc - 2, argv + 2);
    if (strcmp(command, "backup") == 0)
        return backup_main(argc - 2, argv + 2);
    if (strcmp(command, "torture") == 0)
        return torture_main(argc - 2, argv + 2);
    if (strcmp(command, "torture-attempt") == 0)
        return torture_attempt_main();
    if (strcmp(command, "version") == 0 || strcmp(command, "--version") == 0) {
        puts("forkpool " FORKPOOL_VERSION);
        return 0;
    }
    if (strcmp(command, "routes") == 0)
        return print_with(routes_print);
    if (strcmp(command, "reference") == 0)
        return print_with(config_reference);
    if (strcmp(command, "help") == 0 || strcmp(command, "--help") == 0 || strcmp(command, "-h") == 0)
        return help();
    return refuse(command);
}
