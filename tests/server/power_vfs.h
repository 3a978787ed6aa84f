/* A disk that loses power, only for tests: an SQLite VFS, and wrappers of the few calls by which the program
 * itself touches files beside the store, which remember what was synced and what was only written since.
 *
 *     power_install();                       once; it becomes the default VFS
 *     power_watch(folder, point);            the files in it now count as synced; what follows is recorded
 *     …  point(false) is called before each write, sync and truncate; point(true) before what changes or
 * syncs a folder power_image(POWER_SOME, elsewhere);    what the disk might hold, had the power failed now
 *     power_unwatch();
 *
 * What a power loss may leave of a file: what was synced, and of the writes and truncations since any, in any
 * order, whole or torn at sectors and pages; the file as long as it was or as it had become, with anything in
 * the gaps. Of a folder: what was synced, and any of the creations, renamings and removals since. This is
 * less than ext4 or XFS promise, and what POSIX does. A write touches no byte outside of it.
 *
 * One thread. The files with which SQLite shares memory (-shm) outlive no power loss and are not recorded.
 * The program is linked with the wrapped calls that CMakeLists.txt names. All chance is power_below: equal
 * seeds, equal disks.
 */
#ifndef FORKPOOL_TESTS_POWER_VFS_H
#define FORKPOOL_TESTS_POWER_VFS_H

#include <stdbool.h>
#include <stdint.h>

enum power_keep {
    POWER_SYNCED, /* nothing but what was synced */
    POWER_SOME,
    POWER_ALL /* everything that was written: the processes died, not the machine */
};

/* Syncs that a lying disk acknowledges and does not do. */
enum power_deaf { POWER_DEAF_LOG = 1, POWER_DEAF_FILE = 2, POWER_DEAF_FOLDER = 4 };

void power_seed(uint64_t seed);
uint32_t power_below(uint32_t limit);

void power_install(void);
void power_deafen(unsigned deaf); /* of enum power_deaf */
void power_watch(const char *folder, void (*point)(bool of_folder));
void power_unwatch(void);

/* Writes the files into that folder, which is made. */
void power_image(enum power_keep keep, const char *folder);

#endif
