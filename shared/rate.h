/* A rate: at most so many in so much time. Plain values, no ownership; callable from anywhere.
 *
 * As text N/s, N/m, N/h and N/d, or N/Ps for any period of P seconds: "10/s", "30/m", "3/10s".
 */
#ifndef FORKPOOL_RATE_H
#define FORKPOOL_RATE_H

#include "buf.h"
#include "err.h"

#include <stdint.h>

enum { RATE_COUNT_MAX = 1000000, RATE_PERIOD_MAX_S = 30 * 86400 };

struct rate {
    uint32_t count, period_s; /* count 0: no rate is set */
};

/* ERR_CONFIG unless the text is a rate of at least 1; `rate` is then as before. */
enum err rate_parse(const char *text, struct rate *rate) MUST_USE;
/* The shortest text that rate_parse reads as the same; nothing without a rate. */
void rate_put(struct buf *out, struct rate rate);
/* From one to the next when they come evenly, never 0; of a rate that is set. */
int64_t rate_interval_ns(struct rate rate);

#endif
