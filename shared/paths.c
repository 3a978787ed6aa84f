#include "paths.h"

#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum err log_path(const char *state_dir, struct id id, unsigned attempt, char path[PATH_BYTES])
{
    char text[ID_TEXT_BYTES];
    id_format(id, text);
    const char *last_two = text + strlen(text) - 2;
    int bytes = snprintf(path, PATH_BYTES, "%s/logs/%s/%s.%u.log", state_dir, last_two, text, attempt);
    return bytes > 0 && bytes < PATH_BYTES ? ERR_OK : ERR_FULL;
}

static enum err make_dir(const char *path)
{
    if (mkdir(path, 0750) == 0 || errno == EEXIST)
        return ERR_OK;
    log_errno("mkdir", path);
    return ERR_SYSTEM;
}

enum err log_dirs_create(const char *state_dir)
{
    char path[PATH_BYTES];
    int bytes = snprintf(path, sizeof path, "%s/logs", state_dir);
    if (bytes < 0 || bytes >= PATH_BYTES - 3) {
        errno = ENAMETOOLONG;
        log_errno("mkdir", state_dir);
        return ERR_SYSTEM;
    }
    enum err err = make_dir(path);
    for (unsigned i = 0; err == ERR_OK && i < 256; i++) {
        snprintf(path + bytes, sizeof path - (size_t)bytes, "/%02x", i);
        err = make_dir(path);
    }
    return err;
}

void path_folder(const char *path, char folder[PATH_BYTES])
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        snprintf(folder, PATH_BYTES, ".");
    else
        snprintf(folder, PATH_BYTES, "%.*s", slash == path ? 1 : (int)(slash - path), path);
}

int64_t path_free_bytes(const char *folder)
{
    struct statvfs status;
    if (statvfs(folder, &status) != 0 || status.f_blocks == 0)
        return INT64_MAX;
    return (int64_t)status.f_bavail * (int64_t)status.f_frsize;
}

enum err path_sync_folder(const char *folder)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum err err = fd >= 0 && fsync(fd) == 0 ? ERR_OK : ERR_SYSTEM;
    if (err != ERR_OK)
        log_errno("fsync", folder);
    if (fd >= 0)
        close(fd);
    return err;
}
