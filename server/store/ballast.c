#include "ballast.h"

#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NOISE_BYTES = 65536, BLOCK_BYTES = 512, BALLAST_PATH_BYTES = PATH_BYTES + sizeof BALLAST_FILE };

static void ballast_path(const char *folder, char path[BALLAST_PATH_BYTES])
{
    snprintf(path, BALLAST_PATH_BYTES, "%s/" BALLAST_FILE, folder);
}

static int64_t size_of(const char *folder)
{
    char path[BALLAST_PATH_BYTES];
    struct stat status;
    ballast_path(folder, path);
    return lstat(path, &status) == 0 && S_ISREG(status.st_mode) ? status.st_size : -1;
}

void ballast_init(struct ballast *ballast, const char *state_dir, int64_t bytes)
{
    char path[BALLAST_PATH_BYTES];
    int64_t size = size_of(state_dir);
    *ballast =
        (struct ballast){.bytes = bytes, .stands = bytes > 0 && size > 0, .released = bytes > 0 && size == 0};
    snprintf(ballast->folder, sizeof ballast->folder, "%s", state_dir);
    ballast_path(state_dir, path);
    if (bytes == 0 && size >= 0 && unlink(path) < 0)
        log_errno("unlink", path);
}

/* Filesystems that compress would keep zeros in no space at all. */
static bool write_noise(int fd, int64_t bytes)
{
    uint64_t *noise = malloc(NOISE_BYTES), state = 0x9e3779b97f4a7c15u;
    bool written = noise != NULL && lseek(fd, 0, SEEK_SET) == 0;
    for (int64_t at = 0; written && at < bytes;) {
        for (size_t i = 0; i < NOISE_BYTES / sizeof *noise; i++) { /* xorshift64 */
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            noise[i] = state;
        }
        size_t most = bytes - at < NOISE_BYTES ? (size_t)(bytes - at) : NOISE_BYTES;
        ssize_t count = write(fd, noise, most);
        written = count > 0;
        at += count;
    }
    free(noise);
    return written && fsync(fd) == 0;
}

/* fallocate, and where that is no promise, bytes. */
static bool allocate(int fd, int64_t bytes)
{
    struct stat status;
    if (ftruncate(fd, bytes) < 0)
        return false;
    if (fallocate(fd, 0, 0, bytes) < 0 && errno != EOPNOTSUPP)
        return false;
    if (fstat(fd, &status) < 0)
        return false;
    return status.st_blocks * BLOCK_BYTES >= bytes || write_noise(fd, bytes);
}

enum err ballast_make(struct ballast *ballast)
{
    char path[BALLAST_PATH_BYTES];
    int64_t size = size_of(ballast->folder), missing = ballast->bytes - (size > 0 ? size : 0);
    if (ballast->bytes == 0 || (ballast->stands && missing == 0))
        return ERR_OK;
    if (missing > 0 && path_free_bytes(ballast->folder) < missing + BALLAST_SPARE_BYTES)
        return ERR_FULL;
    ballast_path(ballast->folder, path);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (fd < 0) {
        log_errno("open", path);
        return ERR_FULL;
    }
    bool made = allocate(fd, ballast->bytes);
    if (!made) {
        log_errno("fallocate", path);
        if (ftruncate(fd, 0) < 0 || (!ballast->released && unlink(path) < 0)) /* empty would mean: given up */
            log_errno("unlink", path);
    }
    close(fd);
    ballast->stands = made;
    ballast->released = ballast->released && !made;
    return made ? ERR_OK : ERR_FULL;
}

/* Cut, not removed: an empty file says that submissions have to wait until it stands again. */
static int64_t cut(const char *folder)
{
    char path[BALLAST_PATH_BYTES];
    int64_t size = size_of(folder);
    ballast_path(folder, path);
    if (size <= 0)
        return 0;
    if (truncate(path, 0) < 0) {
        log_errno("truncate", path);
        return 0;
    }
    return size;
}

int64_t ballast_release(struct ballast *ballast)
{
    int64_t bytes = ballast->stands ? cut(ballast->folder) : 0;
    if (bytes > 0) {
        ballast->stands = false;
        ballast->released = true;
    }
    return bytes;
}

bool ballast_room(const struct ballast *ballast)
{
    return path_free_bytes(ballast->folder) >= (ballast->released ? ballast->bytes : 0) + BALLAST_SPARE_BYTES;
}

void ballast_ease(const char *state_dir)
{
    if (path_free_bytes(state_dir) < BALLAST_SPARE_BYTES)
        (void)cut(state_dir);
}
