#include "power_disk.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SECTOR_BYTES = 512, PAGE_BYTES = 4096, NAMES = 16, NAME_ROOM = 64, PATH_ROOM = 512 };

/* bytes of `data` at `at`; data NULL: the file was cut, or made longer, to `at`. */
struct change {
    size_t at, bytes;
    uint8_t *data;
};

struct content {
    uint8_t *data;
    size_t bytes, room;
};

/* A file as such, whatever its names. */
struct inode {
    struct inode *next;
    struct content synced;
    size_t now_bytes; /* its length with all changes */
    struct change *changes;
    size_t change_count, change_room;
};

struct entry {
    char name[NAME_ROOM];
    struct inode *inode;
};

struct folder {
    struct entry entries[NAMES];
    size_t count;
};

/* from "": made; to "": removed; else renamed. */
struct folder_change {
    char from[NAME_ROOM], to[NAME_ROOM];
    struct inode *inode;
};

static uint64_t chance;
static unsigned deafness;       /* of enum power_deaf */
static char watched[PATH_ROOM]; /* "": none */
static void (*at_point)(bool of_folder);
static struct inode *inodes;
static struct folder synced, now;
static struct folder_change *pending;
static size_t pending_count, pending_room;

static void *need(void *memory)
{
    if (memory == NULL) {
        fprintf(stderr, "power_vfs: no memory\n");
        abort();
    }
    return memory;
}

/* --- chance --- */

void power_seed(uint64_t seed)
{
    chance = seed * 0x9e3779b97f4a7c15u + 0x2545f4914f6cdd1du;
}

uint64_t disk_draw(void)
{
    uint64_t mixed = chance += 0x9e3779b97f4a7c15u; /* splitmix64 */
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
    return mixed ^ (mixed >> 31);
}

uint32_t power_below(uint32_t limit)
{
    return (uint32_t)((disk_draw() >> 32) * limit >> 32);
}

static bool percent(uint32_t of_100)
{
    return power_below(100) < of_100;
}

/* --- what is recorded --- */

void disk_point(bool of_folder)
{
    if (watched[0] != '\0' && at_point != NULL)
        at_point(of_folder);
}

/* The name within the watched folder, or NULL. */
const char *disk_name(const char *path)
{
    size_t bytes = strlen(watched);
    if (bytes == 0 || path == NULL || strncmp(path, watched, bytes) != 0 || path[bytes] != '/')
        return NULL;
    const char *name = path + bytes + 1;
    return strchr(name, '/') == NULL && strlen(name) < NAME_ROOM ? name : NULL;
}

static struct entry *find(struct folder *folder, const char *name)
{
    for (size_t i = 0; i < folder->count; i++)
        if (strcmp(folder->entries[i].name, name) == 0)
            return &folder->entries[i];
    return NULL;
}

static void folder_put(struct folder *folder, const char *name, struct inode *inode)
{
    struct entry *entry = find(folder, name);
    if (entry == NULL) {
        if (folder->count == NAMES)
            need(NULL);
        entry = &folder->entries[folder->count++];
        snprintf(entry->name, sizeof entry->name, "%s", name);
    }
    entry->inode = inode;
}

static void folder_drop(struct folder *folder, const char *name)
{
    struct entry *entry = find(folder, name);
    if (entry != NULL)
        *entry = folder->entries[--folder->count];
}

static void folder_apply(struct folder *folder, const struct folder_change *change)
{
    if (change->from[0] != '\0')
        folder_drop(folder, change->from);
    if (change->to[0] != '\0')
        folder_put(folder, change->to, change->inode);
}

static void record_folder(const char *from, const char *to, struct inode *inode)
{
    if (pending_count == pending_room) {
        pending_room = pending_room * 2 + 8;
        pending = need(realloc(pending, pending_room * sizeof *pending));
    }
    struct folder_change *change = &pending[pending_count++];
    *change = (struct folder_change){.inode = inode};
    snprintf(change->from, sizeof change->from, "%s", from);
    snprintf(change->to, sizeof change->to, "%s", to);
    folder_apply(&now, change);
}

bool disk_is_folder(const char *path)
{
    return watched[0] != '\0' && strcmp(path, watched) == 0;
}

struct inode *disk_find(const char *name)
{
    struct entry *entry = find(&now, name);
    return entry == NULL ? NULL : entry->inode;
}

static struct inode *inode_new(void)
{
    struct inode *inode = need(calloc(1, sizeof *inode));
    inode->next = inodes;
    inodes = inode;
    return inode;
}

struct inode *disk_make(const char *name)
{
    struct inode *inode = inode_new();
    record_folder("", name, inode);
    return inode;
}

void disk_rename(const char *from, const char *to)
{
    record_folder(from, to, find(&now, from)->inode);
}

void disk_remove(const char *name)
{
    record_folder(name, "", NULL);
}

void disk_record(struct inode *inode, size_t at, const void *data, size_t bytes)
{
    if (inode->change_count == inode->change_room) {
        inode->change_room = inode->change_room * 2 + 16;
        inode->changes = need(realloc(inode->changes, inode->change_room * sizeof *inode->changes));
    }
    struct change *change = &inode->changes[inode->change_count++];
    *change = (struct change){.at = at, .bytes = bytes};
    if (data != NULL) {
        change->data = need(malloc(bytes + 1));
        memcpy(change->data, data, bytes);
    }
    inode->now_bytes = data == NULL || at + bytes > inode->now_bytes ? at + bytes : inode->now_bytes;
}

/* --- contents --- */

static void put_bytes(struct content *content, size_t at, const uint8_t *data, size_t bytes)
{
    size_t end = at + bytes;
    if (end > content->room) {
        content->room = end * 2;
        content->data = need(realloc(content->data, content->room));
    }
    if (at > content->bytes)
        memset(content->data + content->bytes, 0, at - content->bytes);
    memcpy(content->data + at, data, bytes);
    content->bytes = end > content->bytes ? end : content->bytes;
}

static void set_length(struct content *content, size_t bytes)
{
    if (bytes > content->bytes)
        put_bytes(content, bytes - 1, (const uint8_t *)"", 1);
    else
        content->bytes = bytes;
}

static void apply(struct content *content, const struct change *change)
{
    if (change->data == NULL)
        set_length(content, change->at);
    else
        put_bytes(content, change->at, change->data, change->bytes);
}

/* A part of a write: cut off somewhere, or with holes. The borders are those of the disk, not of the write.
 */
static void apply_torn(struct content *content, const struct change *change)
{
    size_t unit = percent(70) ? SECTOR_BYTES : PAGE_BYTES, end = change->at + change->bytes;
    bool holes = percent(50), goes_on = true;
    for (size_t at = change->at, next; at < end && goes_on; at = next) {
        next = (at / unit + 1) * unit < end ? (at / unit + 1) * unit : end;
        bool kept = percent(50);
        goes_on = holes || kept;
        if (kept)
            put_bytes(content, at, change->data + (at - change->at), next - at);
    }
}

static void settle(struct inode *inode)
{
    for (size_t i = 0; i < inode->change_count; i++) {
        apply(&inode->synced, &inode->changes[i]);
        free(inode->changes[i].data);
    }
    inode->change_count = 0;
}

void disk_sync(struct inode *inode, enum power_deaf kind)
{
    if ((deafness & kind) == 0)
        settle(inode);
}

void disk_sync_folder(void)
{
    if ((deafness & POWER_DEAF_FOLDER) != 0)
        return;
    for (size_t i = 0; i < pending_count; i++)
        folder_apply(&synced, &pending[i]);
    pending_count = 0;
}

static void shuffle(size_t *order, size_t count)
{
    for (size_t i = count; i > 1; i--) {
        size_t other = power_below((uint32_t)i), kept = order[i - 1];
        order[i - 1] = order[other];
        order[other] = kept;
    }
}

/* What was between the old and the new end and was never written: nothing, or what somebody deleted once. */
static void fill_gap(struct content *content, size_t bytes)
{
    size_t from = content->bytes;
    set_length(content, bytes);
    for (size_t at = from; at < bytes; at++)
        content->data[at] = (uint8_t)disk_draw();
}

static void lose_some(struct content *content, const struct inode *inode)
{
    static const uint32_t CHANCES[] = {5, 30, 60, 90, 99};
    uint32_t kept = CHANCES[power_below(5)], torn = percent(50) ? 0 : 30;
    size_t *order = need(calloc(inode->change_count + 1, sizeof *order));
    for (size_t i = 0; i < inode->change_count; i++)
        order[i] = i;
    if (percent(50))
        shuffle(order, inode->change_count);
    if (percent(20) && inode->now_bytes > content->bytes)
        fill_gap(content, inode->now_bytes);
    for (size_t i = 0; i < inode->change_count; i++) {
        const struct change *change = &inode->changes[order[i]];
        if (!percent(kept))
            continue;
        if (change->data != NULL && percent(torn))
            apply_torn(content, change);
        else
            apply(content, change);
    }
    if (percent(20) && inode->now_bytes < content->bytes)
        set_length(content, inode->now_bytes);
    free(order);
}

static void write_file(const char *folder, const char *name, const struct content *content)
{
    char path[PATH_ROOM + NAME_ROOM];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = need(fopen(path, "wb"));
    size_t written = content->bytes == 0 ? 0 : fwrite(content->data, 1, content->bytes, file);
    if (written != content->bytes || fclose(file) != 0)
        need(NULL);
}

static void image_file(enum power_keep keep, const char *folder, const struct entry *entry)
{
    const struct inode *inode = entry->inode;
    struct content content = {0};
    set_length(&content, 0);
    if (inode->synced.bytes > 0)
        put_bytes(&content, 0, inode->synced.data, inode->synced.bytes);
    if (keep == POWER_SOME)
        lose_some(&content, inode);
    for (size_t i = 0; keep == POWER_ALL && i < inode->change_count; i++)
        apply(&content, &inode->changes[i]);
    write_file(folder, entry->name, &content);
    free(content.data);
}

void power_image(enum power_keep keep, const char *folder)
{
    struct folder left = keep == POWER_ALL ? now : synced;
    uint32_t kept = percent(50) ? 50 : 90;
    if (mkdir(folder, 0755) != 0)
        need(NULL);
    for (size_t i = 0; keep == POWER_SOME && i < pending_count; i++)
        if (percent(kept))
            folder_apply(&left, &pending[i]);
    for (size_t i = 0; i < left.count; i++)
        image_file(keep, folder, &left.entries[i]);
}

void power_deafen(unsigned deaf)
{
    deafness = deaf;
}

static void forget_all(void)
{
    while (inodes != NULL) {
        struct inode *inode = inodes;
        inodes = inode->next;
        settle(inode);
        free(inode->changes);
        free(inode->synced.data);
        free(inode);
    }
    synced = now = (struct folder){0};
    pending_count = 0;
}

static void read_file(const char *folder, const char *name)
{
    char path[PATH_ROOM + 256];
    uint8_t piece[PAGE_BYTES];
    struct inode *inode = inode_new();
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = need(fopen(path, "rb"));
    for (size_t bytes; (bytes = fread(piece, 1, sizeof piece, file)) > 0;)
        put_bytes(&inode->synced, inode->synced.bytes, piece, bytes);
    fclose(file);
    inode->now_bytes = inode->synced.bytes;
    folder_put(&synced, name, inode);
}

void power_watch(const char *folder, void (*point_fn)(bool of_folder))
{
    forget_all();
    DIR *entries = need(opendir(folder));
    for (const struct dirent *entry; (entry = readdir(entries)) != NULL;)
        if (entry->d_name[0] != '.')
            read_file(folder, entry->d_name);
    closedir(entries);
    now = synced;
    snprintf(watched, sizeof watched, "%s", folder);
    at_point = point_fn;
}

void power_unwatch(void)
{
    watched[0] = '\0';
    at_point = NULL;
}
