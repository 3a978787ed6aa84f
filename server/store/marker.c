#include "marker.h"

#include "clock.h"
#include "log.h"
#include "paths.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MARKER_PATH_BYTES = PATH_BYTES + sizeof MARKER_FILE };

static void marker_path(const char *store_path, char folder[PATH_BYTES], char path[MARKER_PATH_BYTES])
{
    path_folder(store_path, folder);
    snprintf(path, MARKER_PATH_BYTES, "%s/" MARKER_FILE, folder);
}

void marker_leave(const char *store_path, const char *operation, int number)
{
    char folder[PATH_BYTES], path[MARKER_PATH_BYTES], time[CLOCK_TEXT_BYTES], text[PATH_BYTES + 512];
    const char *reason = strerrordesc_np(number);
    marker_path(store_path, folder, path);
    clock_format(clock_real_ms(), time);
    LOG(STORE_UNSYNCED, LOG_TEXT("path", store_path), LOG_TEXT("marker", path),
        LOG_TEXT("operation", operation), LOG_INT("errno", number),
        LOG_TEXT("reason", reason == NULL ? "" : reason));
    int bytes =
        snprintf(text, sizeof text,
                 "%s: the disk failed to sync %s (%s: %s, errno %d).\n"
                 "forkpool stopped at once: what the disk holds is unknown. Look after the disk first; the "
                 "next start of\nforkpool rewrites the store into a new file and removes this one.\n",
                 time, store_path, operation, reason == NULL ? "no reason given" : reason, number);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    if (fd < 0 || write(fd, text, (size_t)bytes) != bytes || fsync(fd) < 0)
        log_errno("write", path);
    if (fd >= 0)
        close(fd);
    (void)!path_sync_folder(folder);
}

bool marker_found(const char *store_path)
{
    char folder[PATH_BYTES], path[MARKER_PATH_BYTES];
    marker_path(store_path, folder, path);
    return access(path, F_OK) == 0;
}

enum err marker_remove(const char *store_path)
{
    char folder[PATH_BYTES], path[MARKER_PATH_BYTES];
    marker_path(store_path, folder, path);
    if (unlink(path) < 0 && errno != ENOENT) {
        log_errno("unlink", path);
        return ERR_SYSTEM;
    }
    return path_sync_folder(folder);
}
