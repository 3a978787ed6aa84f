/* `forkpool backup`: copies the store into one file, while a server uses it or not.
 *
 * A short-lived process of its own, beside the server, which it neither asks nor holds up. Takes OUTPUT, and
 * the flags of `forkpool serve` for where the store is. Shows its progress on a terminal. Returns an exit
 * status: 0 once the copy is there, checked and synced, with one line on standard output; 64 (wrong usage),
 * 78 (wrong configuration) or 1, with one line on standard error and nothing left behind. SIGINT and SIGTERM
 * stop it.
 */
#ifndef FORKPOOL_BACKUP_H
#define FORKPOOL_BACKUP_H

int backup_main(int argc, char *const *argv);

#endif
