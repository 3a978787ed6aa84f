/* What the tests of shared memory have in common: a small segment, and slots led through their life by hand.
 */
#ifndef FORKPOOL_TESTS_SEGMENT_FIXTURE_H
#define FORKPOOL_TESTS_SEGMENT_FIXTURE_H

#include "run.h"

#include "check.h"
#include "clock.h"
#include "log.h"
#include "scoreboard.h"
#include "segment.h"
#include "slots.h"

#include <string.h>

#if defined(__SANITIZE_THREAD__)
#define UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#endif
#endif
#ifndef UNDER_TSAN
#define UNDER_TSAN 0
#endif

static struct segment segment;

static inline struct segment_shape small_shape(void)
{
    return (struct segment_shape){.slot_count = 16,
                                  .worker_count = 4,
                                  .arena_bytes = 1 << 16,
                                  .tray_bytes = 1 << 13,
                                  .max_result = 1 << 12};
}

static inline void open_segment(void)
{
    log_set_level(LOG_LEVEL_COUNT); /* errors are provoked here */
    struct segment_shape shape = small_shape();
    ck_assert_int_eq(segment_create(&shape, &segment), ERR_OK);
}

static inline void close_segment(void)
{
    segment_close(&segment);
}

/* Tests that end by a signal need a process of their own. */
static inline bool tests_fork(void)
{
    const char *fork = getenv("CK_FORK");
    return fork == NULL || strcmp(fork, "no") != 0;
}

static inline void slot_set(struct slot *slot, struct claim claim)
{
    atomic_store(&slot->claim, claim_pack(claim));
}

static inline void slot_set_state(struct slot *slot, enum slot_state state)
{
    struct claim claim = slot_claim_load(slot);
    claim.state = state;
    slot_set(slot, claim);
}

/* FREE → QUEUED, as the dispatcher does it; returns the generation. */
static inline uint32_t slot_offer(struct slot *slot)
{
    struct claim claim = slot_claim_load(slot);
    struct claim building = {.generation = claim.generation, .state = SLOT_BUILDING};
    CHECK(claim.state == SLOT_FREE && slot_move(slot, claim, building));
    slot_hold(slot);
    return slot_publish(slot);
}

/* DONE → FREE. */
static inline void slot_let_go(struct slot *slot)
{
    struct claim claim = slot_claim_load(slot);
    struct claim nobody = {.generation = claim.generation, .state = SLOT_FREE};
    CHECK(claim.state == SLOT_DONE && slot_move(slot, claim, nobody));
}

/* A cheap generator of its own for each thread. */
static inline uint32_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (uint32_t)(*state >> 33);
}

#endif
