/* `forkpool torture`: proves on this machine that nothing is lost.
 *
 * Starts a scratch instance of this executable in a fresh folder on a free loopback port, loads it with jobs,
 * kills its processes at random, and checks afterwards what clients, jobs and store have recorded
 * (docs/reliability.md). Signals its own descendants alone, each verified by parent and title. Prints a
 * report; returns 0 if nothing was violated, 1 if something was or the run could not be made, 64 for a wrong
 * use.
 *
 * `forkpool torture-attempt` is the task of these jobs, run by the scratch instance.
 */
#ifndef FORKPOOL_TORTURE_H
#define FORKPOOL_TORTURE_H

int torture_main(int argc, char *const *argv);
int torture_attempt_main(void);

#endif
