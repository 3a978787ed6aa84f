/* When all shared memory was gone, and which jobs may be gone with it. */
#include "torture_private.h"

#include "clock.h"

#include <stdlib.h>

enum { RESET_SLACK_MS = 20 }; /* of the log's clock beside the diary's */

static bool add(struct evidence *evidence, struct fall fall)
{
    if (evidence->fall_count == evidence->fall_room) {
        size_t room = evidence->fall_room == 0 ? 64 : evidence->fall_room * 2;
        struct fall *falls = realloc(evidence->falls, room * sizeof *falls);
        if (falls == NULL)
            return false;
        evidence->falls = falls;
        evidence->fall_room = room;
    }
    evidence->falls[evidence->fall_count++] = fall;
    return true;
}

/* The supervisor takes all with it. A front that crashes while the server drains is not replaced: whoever
 * would have taken over is told to end, too. */
static bool is_fall(const struct evidence *evidence, const struct blow *blow)
{
    bool kills = blow->signal == BLOW_KILL || blow->signal == BLOW_SEGV;
    switch (blow->victim) {
    case VICTIM_SUPERVISOR:
    case VICTIM_GROUP:
        return kills;
    case VICTIM_FRONT:
        return blow->signal == BLOW_SEGV && evidence->drain_ns != 0;
    case VICTIM_WORKER:
    case VICTIM_CHILD:
    case VICTIM_COUNT:
        break;
    }
    return false;
}

bool falls_blow(struct evidence *evidence, const struct blow *blow)
{
    if (blow->victim == VICTIM_SUPERVISOR && blow->signal == BLOW_TERM)
        evidence->drain_ns = blow->at_ns;
    return !is_fall(evidence, blow) || add(evidence, (struct fall){blow->at_ns, INT64_MAX});
}

void falls_start(struct evidence *evidence, int64_t at_ns)
{
    evidence->drain_ns = 0;
    for (size_t i = evidence->fall_count; i > 0 && evidence->falls[i - 1].to_ns == INT64_MAX; i--)
        evidence->falls[i - 1].to_ns = at_ns;
}

bool falls_reset(struct evidence *evidence, int64_t real_ms)
{
    int64_t at_ns = evidence->real_zero_ns + real_ms * NS_PER_MS, slack_ns = RESET_SLACK_MS * NS_PER_MS;
    return evidence->real_zero_ns == 0 || add(evidence, (struct fall){at_ns - slack_ns, at_ns + slack_ns});
}

/* What was acknowledged was there after its last sending. An answer that it has ended comes from the store.
 */
bool falls_excuse(const struct evidence *evidence, const struct asked *asked)
{
    int64_t until_ns = asked->gone_ns != 0 ? asked->gone_ns : INT64_MAX;
    if (asked->kind != KIND_MEMORY || asked->ended)
        return false;
    for (size_t i = 0; i < evidence->fall_count; i++)
        if (evidence->falls[i].from_ns <= until_ns && evidence->falls[i].to_ns >= asked->sent_ns)
            return true;
    return false;
}
