/* A doorbell wakes the thread of the front that waits behind it.
 *
 * A thread that hands out many things, one after the other, holds its rings back until all are handed out:
 * whoever waits is woken once, and finds all of it. Between hold and release it may not block.
 *
 *     doorbells_hold();
 *     … doorbell_ring(&loop->bell), as often as wanted …
 *     doorbells_release();
 */
#ifndef FORKPOOL_DOORBELL_H
#define FORKPOOL_DOORBELL_H

struct doorbell {
    void (*wake)(struct doorbell *bell); /* from any thread */
};

void doorbell_ring(struct doorbell *bell);
void doorbells_hold(void);  /* of the thread that calls; not nested */
void doorbells_flush(void); /* before something that may take long: rings what is held back so far */
void doorbells_release(void);

#endif
