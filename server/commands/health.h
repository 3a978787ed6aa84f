/* `forkpool health`: asks a running server whether it is ready, for container health checks and scripts.
 *
 * A short-lived process of its own, beside the server: one GET /readyz over one connection, 2 s for
 * everything. Takes --url http://ADDRESS:PORT, or else the flags of `forkpool serve` and looks where that
 * configuration listens. Returns an exit status: 0 when the answer is 200, else 1 with one line on standard
 * error. Silent when all is well. Never returns from a timeout: SIGALRM writes the line and ends the process.
 */
#ifndef FORKPOOL_HEALTH_H
#define FORKPOOL_HEALTH_H

int health_main(int argc, char *const *argv);

#endif
