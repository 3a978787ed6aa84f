#include "doorbell.h"

#include "check.h"

#include <stdbool.h>
#include <stddef.h>

enum { HELD_MOST = 32 };

static _Thread_local struct {
    bool holding;
    size_t count;
    struct doorbell *bells[HELD_MOST];
} held;

void doorbell_ring(struct doorbell *bell)
{
    if (!held.holding || held.count == HELD_MOST) {
        bell->wake(bell);
        return;
    }
    for (size_t i = 0; i < held.count; i++)
        if (held.bells[i] == bell)
            return;
    held.bells[held.count++] = bell;
}

void doorbells_hold(void)
{
    CHECK(!held.holding);
    held.holding = true;
}

void doorbells_flush(void)
{
    for (size_t i = 0; i < held.count; i++)
        held.bells[i]->wake(held.bells[i]);
    held.count = 0;
}

void doorbells_release(void)
{
    held.holding = false;
    doorbells_flush();
}
