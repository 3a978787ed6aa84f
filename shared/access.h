/* Who may use the HTTP side: the access mode and the tokens in force.
 *
 * A mapping of its own, which only supervisor and front share: the supervisor publishes what the
 * configuration says, at the start and on SIGHUP; each HTTP loop of the front keeps a copy and refreshes it
 * before it looks at a request, so that a reload counts from the next request on and cannot fail half-way.
 * Not in the segment, which workers, and so plugins, can write: they unmap this one.
 *
 *  1. Written by the supervisor alone, into the bank that is not current.
 *  2. A bank is rewritten only after the other one has become current.
 */
#ifndef FORKPOOL_ACCESS_H
#define FORKPOOL_ACCESS_H

#include "config.h"

struct access;

struct access_rules {
    uint32_t epoch; /* of this copy; 0: none yet */
    uint32_t mode;  /* enum auth_mode */
    uint32_t token_count;
    struct token tokens[TOKENS_MAX];
};

/* ERR_SYSTEM, logged. */
enum err access_open(struct access **access) MUST_USE;
/* Unmaps it here; NULL is fine. */
void access_close(struct access *access);

/* Supervisor. */
void access_publish(struct access *access, const struct config *config);

/* Front, any thread, each with rules of its own, zeroed at first. */
void access_refresh(const struct access *access, struct access_rules *rules);

#endif
