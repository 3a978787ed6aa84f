#include "torture_private.h"

#include "clock.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

enum { PROBE_MS = 2, PROBE_PATIENCE_MS = 500, STOP_LEAST_MS = 30, STOP_MOST_MS = 700, DOWN_MS = 20 };

static const unsigned BLOWS[VICTIM_COUNT][BLOW_COUNT] = {
#define S(name, worker, child, front, supervisor, group)                                                     \
    [VICTIM_WORKER][BLOW_##name] = worker, [VICTIM_CHILD][BLOW_##name] = child,                              \
    [VICTIM_FRONT][BLOW_##name] = front, [VICTIM_SUPERVISOR][BLOW_##name] = supervisor,                      \
    [VICTIM_GROUP][BLOW_##name] = group,
    TORTURE_SIGNALS(S)
#undef S
};

static const unsigned MIXES[MIX_COUNT][VICTIM_COUNT] = {
#define M(name, text, ...) [MIX_##name] = {__VA_ARGS__},
    TORTURE_MIXES(M)
#undef M
};

static const struct {
    unsigned least_ms, most_ms;
} RESTS[VICTIM_COUNT] = {
#define V(name, text, least, most) {least, most},
    TORTURE_VICTIMS(V)
#undef V
};

static const int NUMBERS[] = {
#define S(name, ...) SIG##name,
    TORTURE_SIGNALS(S)
#undef S
};

void killer_init(struct killer *killer, struct instance *instance, struct load *load)
{
    *killer = (struct killer){.instance = instance, .load = load};
    http_client_init(&killer->probe);
}

void killer_fini(struct killer *killer)
{
    for (size_t i = 0; i < killer->stopped_count; i++)
        close(killer->stopped[i].pidfd);
    http_client_fini(&killer->probe);
    samples_fini(&killer->pool.samples);
    samples_fini(&killer->front.samples);
    samples_fini(&killer->start.samples);
}

/* ------------------------------------------------------------------------------------------ the stopped */

static bool any_heavy(const struct killer *killer)
{
    for (size_t i = 0; i < killer->stopped_count; i++)
        if (killer->stopped[i].heavy)
            return true;
    return false;
}

static void keep_stopped(struct killer *killer, int pidfd, bool heavy, int64_t now)
{
    int64_t ms = dice_between(&killer->dice, STOP_LEAST_MS, STOP_MOST_MS);
    killer->stopped[killer->stopped_count].pidfd = pidfd;
    killer->stopped[killer->stopped_count].heavy = heavy;
    killer->stopped[killer->stopped_count++].until_ns = now + ms * NS_PER_MS;
    if (heavy)
        killer->pool.since_ns = killer->front.since_ns = killer->start.since_ns = 0;
}

static void let_go_on(struct killer *killer, int64_t now)
{
    for (size_t i = 0; i < killer->stopped_count;) {
        if (now < killer->stopped[i].until_ns) {
            i++;
            continue;
        }
        pidfd_send_signal(killer->stopped[i].pidfd, SIGCONT, NULL, 0); /* it may be dead by now */
        close(killer->stopped[i].pidfd);
        killer->stopped[i] = killer->stopped[--killer->stopped_count];
    }
}

/* ------------------------------------------------------------------------------------------ whom */

/* One of that role at random; 0: there is none now. */
static pid_t choose(struct killer *killer, const struct process *all, size_t count, enum role role)
{
    pid_t found[PROCESSES_MAX];
    uint32_t fits = 0;
    for (size_t i = 0; i < count; i++)
        if (all[i].role == role)
            found[fits++] = all[i].pid;
    return fits == 0 ? 0 : found[dice_below(&killer->dice, fits)];
}

struct target {
    pid_t pid, parent;
    enum role role;
};

/* The command of any worker that runs one. */
static bool find_child(struct killer *killer, const struct process *all, size_t count, struct target *target)
{
    struct target found[PROCESSES_MAX];
    struct process child[1];
    uint32_t fits = 0;
    for (size_t i = 0; i < count; i++)
        if (all[i].role == ROLE_WORKER && instance_children(all[i].pid, child, 1) > 0)
            found[fits++] = (struct target){child[0].pid, all[i].pid, ROLE_OTHER};
    if (fits > 0)
        *target = found[dice_below(&killer->dice, fits)];
    return fits > 0;
}

static bool find_target(struct killer *killer, enum torture_victim victim, struct target *target)
{
    struct process all[PROCESSES_MAX];
    pid_t supervisor = killer->instance->supervisor;
    size_t count = instance_children(supervisor, all, PROCESSES_MAX);
    *target = (struct target){.pid = supervisor, .parent = getpid(), .role = ROLE_OTHER};
    if (victim == VICTIM_SUPERVISOR || victim == VICTIM_GROUP)
        return supervisor > 0;
    *target =
        (struct target){.parent = supervisor, .role = victim == VICTIM_FRONT ? ROLE_FRONT : ROLE_WORKER};
    target->pid = choose(killer, all, count, target->role);
    return victim == VICTIM_CHILD ? find_child(killer, all, count, target) : target->pid > 0;
}

/* ------------------------------------------------------------------------------------------ the kill */

/* What is measured, and what is not any more because of this. */
static void begin_watches(struct killer *killer, enum torture_victim victim, enum torture_signal blow,
                          pid_t pid, int64_t now)
{
    bool kills = blow == BLOW_KILL || blow == BLOW_SEGV, quiet = !any_heavy(killer);
    bool up = killer->front.since_ns == 0 && killer->start.since_ns == 0;
    if (blow == BLOW_STOP || victim == VICTIM_CHILD)
        return;
    if (victim == VICTIM_WORKER) {
        bool full = instance_workers(killer->instance) >= killer->instance->options->workers;
        killer->pool.since_ns =
            blow == BLOW_KILL && quiet && up && full && killer->pool.since_ns == 0 ? now : 0;
        killer->pool.gone = pid;
        return;
    }
    killer->pool.since_ns = 0;
    killer->front.since_ns = victim == VICTIM_FRONT && blow == BLOW_KILL && quiet && up ? now : 0;
    killer->start.since_ns = victim != VICTIM_FRONT && kills && quiet && up ? now : 0;
    http_client_close(&killer->probe);
    killer->probing = false;
}

static bool strike_at(enum torture_victim victim, enum torture_signal blow, const struct target *target,
                      int *pidfd)
{
    if (victim != VICTIM_GROUP)
        return instance_signal(target->pid, target->parent, target->role, NUMBERS[blow], pidfd);
    /* The group has the number of its leader, our child that is not reaped yet. */
    return kill(-target->pid, NUMBERS[blow]) == 0;
}

/* A supervisor that has just begun would end of SIGHUP: it has not said yet that it wants to know. */
static bool is_possible(const struct killer *killer, enum torture_signal blow)
{
    return !(blow == BLOW_STOP && killer->stopped_count == STOPPED_MAX) &&
           !(blow == BLOW_HUP && killer->load->card_ns < killer->instance->started_ns);
}

static void strike(struct killer *killer, int64_t now)
{
    killer->dice = dice_of(~killer->instance->options->seed, ++killer->tries);
    enum torture_victim victim =
        (enum torture_victim)dice_share(&killer->dice, MIXES[killer->instance->options->mix], VICTIM_COUNT);
    enum torture_signal blow = (enum torture_signal)dice_share(&killer->dice, BLOWS[victim], BLOW_COUNT);
    int64_t rest = dice_between(&killer->dice, RESTS[victim].least_ms, RESTS[victim].most_ms);
    struct target target;
    int pidfd = -1;
    int64_t real_ms = clock_real_ms();
    killer->next_ns = now + rest * NS_PER_MS;
    if (!find_target(killer, victim, &target) || !is_possible(killer, blow)) {
        killer->next_ns = now + DOWN_MS * NS_PER_MS;
        return;
    }
    begin_watches(killer, victim, blow, target.pid, now);
    if (!strike_at(victim, blow, &target, blow == BLOW_STOP ? &pidfd : NULL)) {
        killer->pool.since_ns = killer->front.since_ns = killer->start.since_ns = 0; /* it has just ended */
        return;
    }
    if (blow == BLOW_STOP)
        keep_stopped(killer, pidfd, victim == VICTIM_FRONT || victim == VICTIM_SUPERVISOR, now);
    else if ((victim == VICTIM_SUPERVISOR || victim == VICTIM_GROUP) && blow != BLOW_HUP) {
        killer->instance->felled = true;
        killer->instance->felled_ns = now;
    }
    killer->kills++;
    load_note(killer->load, DIARY_KILLED, "%s %s %d %" PRId64, torture_victim_texts[victim],
              torture_blow_texts[blow], (int)target.pid, real_ms);
}

/* ------------------------------------------------------------------------------------------ recovery */

static void watch_pool(struct killer *killer, int64_t now)
{
    struct process all[PROCESSES_MAX];
    unsigned workers = 0;
    if (killer->pool.since_ns == 0)
        return;
    size_t count = instance_children(killer->instance->supervisor, all, PROCESSES_MAX);
    for (size_t i = 0; i < count; i++) {
        if (all[i].pid == killer->pool.gone)
            return;
        workers += all[i].role == ROLE_WORKER;
    }
    if (workers < killer->instance->options->workers)
        return;
    samples_add(&killer->pool.samples, now - killer->pool.since_ns);
    killer->pool.since_ns = 0;
}

static void watch_ready(struct watch *watch, int64_t now)
{
    if (watch->since_ns != 0)
        samples_add(&watch->samples, now - watch->since_ns);
    watch->since_ns = 0;
}

/* Asks /readyz, on a fresh connection each, until the answer is 200. */
static void watch_front(struct killer *killer, int64_t now)
{
    bool late = now - killer->probe_ns > PROBE_PATIENCE_MS * NS_PER_MS;
    if (killer->front.since_ns == 0 && killer->start.since_ns == 0)
        return;
    if (killer->probing) {
        enum http_turn turn = http_client_turn(&killer->probe);
        if (turn == HTTP_ANSWERED && http_client_status(&killer->probe) == 200) {
            watch_ready(&killer->front, now);
            watch_ready(&killer->start, now);
        }
        if (turn != HTTP_PENDING || late) {
            http_client_close(&killer->probe);
            killer->probing = false;
        }
    } else if (killer->instance->supervisor != 0 && now - killer->probe_ns > PROBE_MS * NS_PER_MS) {
        killer->probe_ns = now;
        killer->probing =
            http_client_send(&killer->probe, killer->instance->port, "GET", "/readyz", "", NULL);
    }
}

void killer_turn(struct killer *killer, bool may_strike, struct verdict *verdict)
{
    int64_t now = clock_mono_ns();
    if (!instance_reap(killer->instance, verdict)) {
        if (instance_start(killer->instance))
            load_note_start(killer->load);
        else
            verdict_add(verdict, FAULT_ENDED, "it could not be started");
    }
    let_go_on(killer, now);
    watch_pool(killer, now);
    watch_front(killer, now);
    if (may_strike && now >= killer->next_ns)
        strike(killer, now);
}

bool killer_is_quiet(const struct killer *killer)
{
    return killer->stopped_count == 0 && killer->front.since_ns == 0 && killer->start.since_ns == 0 &&
           killer->instance->supervisor != 0;
}
