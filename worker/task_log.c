#include "kind.h"

#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

void task_log_init(struct task_log *log, const char *path, int64_t max)
{
    *log = (struct task_log){.fd = -1, .max = max, .path = path};
}

static bool open_file(struct task_log *log)
{
    struct stat status;
    log->fd = open(log->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (log->fd < 0 || fstat(log->fd, &status) != 0) {
        log_errno("open", log->path);
        return false;
    }
    log->bytes = status.st_size;
    return true;
}

static bool write_all(struct task_log *log, const char *text, size_t bytes)
{
    while (bytes > 0) {
        ssize_t written = write(log->fd, text, bytes);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0) {
            log_errno("write", log->path);
            return false;
        }
        text += written;
        bytes -= (size_t)written;
        log->bytes += written;
    }
    return true;
}

static void write_cut(struct task_log *log)
{
    char line[96];
    int bytes = snprintf(line, sizeof line,
                         "\nforkpool: the log was cut here, max_log is %" PRId64 " bytes\n", log->max);
    write_all(log, line, (size_t)bytes);
}

void task_log_write(struct task_log *log, const char *text, size_t bytes)
{
    if (log->cut || bytes == 0)
        return;
    if (log->fd < 0 && !open_file(log)) {
        log->cut = true;
        return;
    }
    int64_t room = log->max - log->bytes;
    if (room < 0) { /* an earlier run filled it and said so */
        log->cut = true;
        return;
    }
    size_t fits = (uint64_t)room < bytes ? (size_t)room : bytes;
    if (!write_all(log, text, fits)) {
        log->cut = true;
    } else if (fits < bytes) {
        write_cut(log);
        log->cut = true;
    }
}

void task_log_close(struct task_log *log)
{
    if (log->fd >= 0)
        close(log->fd);
    log->fd = -1;
}
