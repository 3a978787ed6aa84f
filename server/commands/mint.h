/* `forkpool token`: makes a token and prints it, once, with the lines that make a server take it.
 *
 * Exit status 0, 64 for wrong arguments, 1 without randomness. */
#ifndef FORKPOOL_MINT_H
#define FORKPOOL_MINT_H

/* argv holds the flags only. */
int mint_main(int argc, char *const *argv);

#endif
