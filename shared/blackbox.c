#include "blackbox.h"

#include "check.h"
#include "crash_point.h"
#include "log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLACKBOX_MAGIC 0x786f626b636c6266ULL
enum { BLACKBOX_VERSION = 1, END_MS = 5000 };

_Static_assert(sizeof(struct blackbox_header) == 128, "the file's layout");
_Static_assert(sizeof(struct blackbox_entry) == 64, "one cache line per worker");

static uint64_t box_bytes(uint32_t worker_count)
{
    return sizeof(struct blackbox_header) + sizeof(struct blackbox_entry) * (uint64_t)worker_count;
}

static void box_path(const char *state_dir, const char *file, char path[PATH_MAX])
{
    snprintf(path, PATH_MAX, "%s/%s", state_dir, file);
}

static void read_boot_id(char boot_id[40])
{
    memset(boot_id, 0, 40);
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, boot_id, 36) < 0)
        boot_id[0] =
            '\0'; /* no /proc: every box then counts as one of another boot only if that one had it */
    if (fd >= 0)
        close(fd);
}

static uint64_t pid_namespace(void)
{
    struct stat info;
    return stat("/proc/self/ns/pid", &info) == 0 ? (uint64_t)info.st_ino : 0;
}

static void point_into(struct blackbox *box, void *mapped, uint32_t worker_count)
{
    box->header = mapped;
    box->entries = (struct blackbox_entry *)(void *)((uint8_t *)mapped + sizeof(struct blackbox_header));
    box->worker_count = worker_count;
    box->mapped_bytes = box_bytes(worker_count);
}

/* Maps an existing box read-only. ERR_NOT_FOUND if there is none, or none that can be trusted. */
static enum err box_open(const char *path, struct blackbox *box)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return ERR_NOT_FOUND;
    struct blackbox_header header;
    struct stat info;
    bool sound = read(fd, &header, sizeof header) == (ssize_t)sizeof header && fstat(fd, &info) == 0 &&
                 header.magic == BLACKBOX_MAGIC && header.version == BLACKBOX_VERSION &&
                 header.worker_count <= 0xfff && (uint64_t)info.st_size >= box_bytes(header.worker_count);
    void *mapped =
        sound ? mmap(NULL, box_bytes(header.worker_count), PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
    close(fd);
    if (mapped == MAP_FAILED)
        return ERR_NOT_FOUND;
    point_into(box, mapped, header.worker_count);
    return ERR_OK;
}

/* A settled copy of an entry. An odd version: killed while it was written; then the job had not begun, or had
 * ended. */
static bool entry_read(const struct blackbox_entry *entry, struct blackbox_entry *copy)
{
    uint32_t version = atomic_load_explicit(&entry->version, memory_order_acquire);
    if (version & 1)
        return false;
    memcpy(copy, entry, sizeof *copy);
    return copy->running == 1;
}

/* True if the process carries the job's id in its environment: then it is that job's, whatever its pid once
 * was. */
static bool process_is_of_job(const char *pid, const char *needle)
{
    char path[64], environment[65536];
    snprintf(path, sizeof path, "/proc/%.16s/environ", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t bytes = read(fd, environment, sizeof environment - 1);
    close(fd);
    if (bytes <= 0)
        return false;
    environment[bytes] = '\0';
    size_t length = strlen(needle);
    for (const char *at = environment; at < environment + bytes; at += strlen(at) + 1)
        if (strncmp(at, needle, length) == 0 && at[length] == '\0')
            return true;
    return false;
}

/* Looked at after the descriptor was had, so it is this process that is killed, and no later one of its
 * number. What was killed may take a while to end, and until then its job must not run again. */
static void kill_process(const char *pid_text, const char *needle, struct id id)
{
    pid_t pid = (pid_t)strtol(pid_text, NULL, 10);
    int fd = pidfd_open(pid, 0);
    if (fd < 0)
        return;
    if (process_is_of_job(pid_text, needle) && pidfd_send_signal(fd, SIGKILL, NULL, 0) == 0) {
        LOG(BOX_KILL, LOG_INT("left_pid", pid), LOG_ID(id));
        (void)poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, END_MS);
    }
    close(fd);
}

static void kill_job(struct id id)
{
    char text[ID_TEXT_BYTES], needle[64];
    id_format(id, text);
    snprintf(needle, sizeof needle, "FORKPOOL_JOB_ID=%s", text);
    DIR *proc = opendir("/proc");
    if (proc == NULL)
        return;
    const struct dirent *entry;
    while ((entry = readdir(proc)) != NULL) {
        if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' && process_is_of_job(entry->d_name, needle))
            kill_process(entry->d_name, needle, id);
    }
    closedir(proc);
}

static void kill_leftovers(const struct blackbox *box)
{
    char boot_id[40];
    read_boot_id(boot_id);
    if (memcmp(boot_id, box->header->boot_id, sizeof boot_id) != 0 ||
        box->header->pid_namespace != pid_namespace())
        return; /* those processes cannot be alive, or not be seen */
    for (uint32_t i = 0; i < box->worker_count; i++) {
        struct blackbox_entry entry;
        if (entry_read(&box->entries[i], &entry) && entry.group > 0)
            kill_job(entry.id);
    }
}

/* Moves the box of the earlier life out of the way. */
static void retire_old(const char *path, const char *old_path)
{
    struct blackbox box;
    if (box_open(path, &box) == ERR_OK) {
        kill_leftovers(&box);
        munmap(box.header, box.mapped_bytes);
    }
    if (access(old_path, F_OK) == 0) /* not charged yet: the life in between published nothing */
        unlink(path);
    else if (rename(path, old_path) < 0 && errno != ENOENT)
        log_errno("rename", path);
}

static enum err write_box(int fd, uint32_t worker_count)
{
    struct blackbox_header header = {
        .magic = BLACKBOX_MAGIC, .version = BLACKBOX_VERSION, .worker_count = worker_count};
    read_boot_id(header.boot_id);
    header.pid_namespace = pid_namespace();
    /* Fully written, so that a store to the mapping never needs a block of a full disk. */
    int number = posix_fallocate(fd, 0, (off_t)box_bytes(worker_count));
    if (number != 0)
        errno = number;
    if (number != 0 || write(fd, &header, sizeof header) != (ssize_t)sizeof header || fsync(fd) < 0)
        return ERR_SYSTEM;
    return ERR_OK;
}

enum err blackbox_create(const char *state_dir, uint32_t worker_count, struct blackbox *box)
{
    char path[PATH_MAX], old_path[PATH_MAX];
    box_path(state_dir, BLACKBOX_FILE, path);
    box_path(state_dir, BLACKBOX_OLD_FILE, old_path);
    retire_old(path, old_path);
    CRASH_POINT(BOX_RETIRED);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    if (fd < 0 || write_box(fd, worker_count) != ERR_OK) {
        log_errno("write", path);
        if (fd >= 0)
            close(fd);
        return ERR_SYSTEM;
    }
    void *mapped = mmap(NULL, box_bytes(worker_count), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (mapped == MAP_FAILED) {
        log_errno("mmap", path);
        return ERR_SYSTEM;
    }
    point_into(box, mapped, worker_count);
    CRASH_POINT(BOX_MADE);
    return ERR_OK;
}

void blackbox_close(struct blackbox *box)
{
    if (box->header != NULL)
        munmap(box->header, box->mapped_bytes);
    *box = (struct blackbox){0};
}

/* Odd while writing; a worker killed in between leaves it odd, its next incarnation goes on from there. */
static uint32_t entry_open(struct blackbox_entry *entry)
{
    uint32_t version = atomic_load_explicit(&entry->version, memory_order_relaxed) | 1;
    atomic_store_explicit(&entry->version, version, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    return version;
}

void blackbox_begin(struct blackbox *box, uint32_t worker, struct id id, uint32_t attempt, int64_t started_ms)
{
    CHECK(worker < box->worker_count);
    struct blackbox_entry *entry = &box->entries[worker];
    uint32_t version = entry_open(entry);
    entry->running = 1;
    entry->id = id;
    entry->attempt = attempt;
    entry->started_ms = started_ms;
    atomic_store_explicit(&entry->group, 0, memory_order_relaxed);
    atomic_store_explicit(&entry->version, version + 1, memory_order_release);
}

void blackbox_end(struct blackbox *box, uint32_t worker)
{
    CHECK(worker < box->worker_count);
    struct blackbox_entry *entry = &box->entries[worker];
    uint32_t version = entry_open(entry);
    entry->running = 0;
    atomic_store_explicit(&entry->version, version + 1, memory_order_release);
}

enum err blackbox_read_old(const char *state_dir, struct id store_id, struct blackbox_charge **charges,
                           uint32_t *count)
{
    char path[PATH_MAX], boot_id[40];
    box_path(state_dir, BLACKBOX_OLD_FILE, path);
    read_boot_id(boot_id);
    struct blackbox box;
    *charges = NULL;
    *count = 0;
    if (box_open(path, &box) != ERR_OK)
        return ERR_OK;
    bool ours = id_equal(box.header->store_id, store_id) &&
                memcmp(boot_id, box.header->boot_id, sizeof boot_id) == 0 && box.header->draining == 0;
    enum err err = ERR_OK;
    if (ours && (*charges = calloc(box.worker_count, sizeof **charges)) == NULL)
        err = ERR_NO_MEMORY;
    for (uint32_t i = 0; ours && err == ERR_OK && i < box.worker_count; i++) {
        struct blackbox_entry entry;
        if (entry_read(&box.entries[i], &entry))
            (*charges)[(*count)++] = (struct blackbox_charge){.id = entry.id,
                                                              .attempt = entry.attempt,
                                                              .worker = (int32_t)i,
                                                              .started_ms = entry.started_ms};
    }
    munmap(box.header, box.mapped_bytes);
    return err;
}

enum err blackbox_forget(const char *state_dir)
{
    char path[PATH_MAX];
    box_path(state_dir, BLACKBOX_OLD_FILE, path);
    if (unlink(path) < 0 && errno != ENOENT) {
        log_errno("unlink", path);
        return ERR_SYSTEM;
    }
    return ERR_OK;
}
