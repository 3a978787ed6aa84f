/* The disk behind power_vfs.c: what of a folder is synced, and what was changed since. Nobody else includes
 * this. */
#ifndef FORKPOOL_TESTS_POWER_DISK_H
#define FORKPOOL_TESTS_POWER_DISK_H

#include "power_vfs.h"

#include <stddef.h>

struct inode; /* a file as such, whatever its names */

/* The next change is about to be made: to a file, or to the folder. */
void disk_point(bool of_folder);

/* The name within the watched folder; NULL: it is not in there, or nothing is watched. */
const char *disk_name(const char *path);
bool disk_is_folder(const char *path);

struct inode *disk_find(const char *name); /* NULL: there is none */
struct inode *disk_make(const char *name);
void disk_rename(const char *from, const char *to);
void disk_remove(const char *name);

/* data NULL: the file gets `at` bytes long. */
void disk_record(struct inode *inode, size_t at, const void *data, size_t bytes);

/* Unless it is deaf to that. */
void disk_sync(struct inode *inode, enum power_deaf kind);
void disk_sync_folder(void);

uint64_t disk_draw(void);

#endif
