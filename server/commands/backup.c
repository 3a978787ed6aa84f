#include "backup.h"

#include "config.h"
#include "store.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_USAGE = 64, EXIT_CONFIG = 78 };

static const char USAGE[] =
    "usage: forkpool backup [--store-url URL | --config FILE | flags of serve] OUTPUT\n";

static volatile sig_atomic_t stop_signal;

static void on_signal(int number)
{
    stop_signal = number;
}

static void set_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
}

static bool is_stopped(void *argument)
{
    (void)argument;
    return stop_signal != 0;
}

/* argument: the last percentage shown, -1 at the start. */
static void show_progress(void *argument, int64_t pages, int64_t of)
{
    int *shown = argument, percent = of == 0 ? 100 : (int)(pages * 100 / of);
    if (percent == *shown)
        return;
    *shown = percent;
    fprintf(stderr, percent < 100 ? "\rforkpool: copying, %d %%" : "\rforkpool: checking the copy …   ",
            percent);
}

static void clear_progress(bool shown)
{
    if (shown)
        fputs("\r\033[K", stderr);
}

/* The one word that is no flag and no flag's value; the rest into flags. */
static bool split_arguments(int argc, char *const *argv, char **flags, int *flag_count, const char **output)
{
    *flag_count = 0;
    *output = NULL;
    for (int i = 0; i < argc; i++) {
        bool flag = argv[i][0] == '-' && argv[i][1] != '\0';
        if (!flag && *output != NULL)
            return false;
        if (!flag) {
            *output = argv[i];
            continue;
        }
        flags[(*flag_count)++] = argv[i];
        if (strchr(argv[i], '=') == NULL && i + 1 < argc)
            flags[(*flag_count)++] = argv[++i];
    }
    return *output != NULL && (*output)[0] != '\0';
}

static int complain(const struct buf *message, const char *otherwise, int status)
{
    int bytes = message->failed ? 0 : (int)message->bytes;
    fprintf(stderr, "forkpool: %.*s%s\n", bytes, bytes > 0 ? message->data : "", bytes > 0 ? "" : otherwise);
    return status;
}

static int copy_store(const struct config *config, const char *output)
{
    BUF_AUTO message = {0};
    struct store_copied copied;
    int shown = -1;
    bool terminal = isatty(STDERR_FILENO) == 1;
    struct store_watch watch = {
        .progress = terminal ? show_progress : NULL, .stop = is_stopped, .argument = &shown};
    enum err err = store_backup(config->store_url, output, &watch, &copied, &message);
    clear_progress(terminal && shown >= 0);
    if (err == ERR_AGAIN)
        return complain(&message, "stopped; nothing was left behind", EXIT_FAILURE);
    if (err != ERR_OK)
        return complain(&message, err_title(err), EXIT_FAILURE);
    printf("%s: %.1f MB, %" PRId64 " jobs, checked and synced\n", output, (double)copied.bytes / 1e6,
           copied.jobs);
    return EXIT_SUCCESS;
}

int backup_main(int argc, char *const *argv)
{
    BUF_AUTO message = {0};
    struct config *config = NULL;
    const char *output;
    int flag_count;
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            fputs(USAGE, stdout);
            return EXIT_SUCCESS;
        }
    }
    char **flags = calloc((size_t)argc + 1, sizeof *flags);
    if (flags == NULL)
        return complain(&message, "out of memory", EXIT_FAILURE);
    if (!split_arguments(argc, argv, flags, &flag_count, &output)) {
        free(flags);
        fputs(USAGE, stderr);
        return EXIT_USAGE;
    }
    log_set_level(LOG_LEVEL_COUNT); /* people read the sentence */
    int status = EXIT_CONFIG;
    if (config_load(flag_count, flags, environ, &config, &message) == ERR_OK) {
        set_signals();
        status = copy_store(config, output);
    } else {
        complain(&message, "out of memory", status);
    }
    config_free(config);
    free(flags);
    return status;
}
