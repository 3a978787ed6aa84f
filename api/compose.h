/* Jobs that nobody sent: of a schedule, as POST /v1/jobs would make them. */
#ifndef FORKPOOL_COMPOSE_H
#define FORKPOOL_COMPOSE_H

#include "front.h"

/* As front_http.compose. */
enum err compose_job(struct front *front, struct text body, struct job **job, struct buf *why) MUST_USE;

#endif
