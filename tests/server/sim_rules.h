/* What must hold in the simulation: at each start, at each answer, and at the end. */
#ifndef FORKPOOL_TESTS_SIM_RULES_H
#define FORKPOOL_TESTS_SIM_RULES_H

#include "sim_schedules.h"

/* A rate is metered when a job is published, and kept when jobs start. A job starts at most TAKE_BACK_MS
 * after that, unless the dispatcher comes late to take it back: its turns are at most JUMP_MS apart here. So
 * all that starts within a window of length T was published within one of T + TAKE_BACK_MS + JUMP_MS, and
 * GCRA lets through burst + rate × that. It outlives the front, which may be away
 * for AWAY_MS. A change of limits begins anew: starts are counted from there. */
#define RATE_SLACK_NS ((TAKE_BACK_MS + JUMP_MS + AWAY_MS + 1) * NS_PER_MS)

/* --- limits --- */

static inline int64_t limit_of(const struct limits *limits, enum limit limit)
{
    return limits->values[limit];
}

static inline bool limits_keys_too(const struct limits *limits)
{
    return limit_of(limits, LIMIT_KEY_CONCURRENCY) != LIMIT_NOT_SET ||
           limit_of(limits, LIMIT_KEY_RATE) != LIMIT_NOT_SET;
}

/* In whose scope its key counts: a task, a queue, or everything. */
static inline uint32_t key_scope(const struct sim_job *job)
{
    if (limits_keys_too(&task_limits[job->task]))
        return QUEUES + job->task;
    return limits_keys_too(&queue_limits[job->queue]) ? job->queue : SCOPES - 1;
}

static inline const struct limits *scope_limits(uint32_t scope)
{
    return scope < QUEUES ? &queue_limits[scope] : scope < SCOPES - 1 ? &task_limits[scope - QUEUES] : NULL;
}

static inline bool same_key(const struct sim_job *a, const struct sim_job *b)
{
    return a->key != 0 && a->key == b->key && key_scope(a) == key_scope(b);
}

/* How many run besides it, in its queue, of its task, with its key. */
static inline void check_concurrency(const struct sim_job *job)
{
    int64_t queue = 1, task = 1, key = 1;
    for (uint32_t i = 0; i < job_count; i++) {
        const struct sim_job *other = &jobs[i];
        if (!other->running || other == job)
            continue;
        queue += other->queue == job->queue;
        task += other->task == job->task;
        key += same_key(other, job);
    }
    const struct limits *scope = scope_limits(key_scope(job));
    int64_t most_queue = limit_of(&queue_limits[job->queue], LIMIT_CONCURRENCY),
            most_task = limit_of(&task_limits[job->task], LIMIT_CONCURRENCY),
            most_key = scope == NULL ? key_concurrency : limit_of(scope, LIMIT_KEY_CONCURRENCY);
    if (most_queue != LIMIT_NOT_SET && queue > most_queue)
        broken("concurrency: %d jobs of queue q%u run, %d may", (int)queue, job->queue, (int)most_queue);
    if (most_task != LIMIT_NOT_SET && task > most_task)
        broken("concurrency: %d jobs of task t%u run, %d may", (int)task, job->task, (int)most_task);
    if (job->key != 0 && most_key != LIMIT_NOT_SET && key > most_key)
        broken("concurrency: %d jobs of key k%u run in scope %u, %d may", (int)key, job->key, key_scope(job),
               (int)most_key);
}

static inline void check_rate(struct starts *starts, int64_t rate, int64_t burst, const char *what)
{
    if (starts->count == sizeof starts->at_ns / sizeof starts->at_ns[0])
        starts->count = 0;
    starts->at_ns[starts->count++] = now_ns;
    if (rate == LIMIT_NOT_SET)
        return;
    int64_t interval_ns = limit_rate_interval_ns(rate);
    if (burst == LIMIT_NOT_SET)
        burst = 1;
    for (uint32_t i = 0; i < starts->count; i++) {
        int64_t started = starts->count - i, window_ns = now_ns - starts->at_ns[i];
        if ((started - burst) * interval_ns > window_ns + RATE_SLACK_NS)
            broken("rate: %d starts of %s within %.3f ms, one each %.3f ms and a burst of %d are allowed",
                   (int)started, what, (double)window_ns / NS_PER_MS, (double)interval_ns / NS_PER_MS,
                   (int)burst);
    }
}

static inline void check_rates(const struct sim_job *job)
{
    const struct limits *queue = &queue_limits[job->queue], *task = &task_limits[job->task];
    uint32_t scope = key_scope(job);
    const struct limits *key = scope_limits(scope);
    check_rate(&queue_starts[job->queue], limit_of(queue, LIMIT_RATE), limit_of(queue, LIMIT_BURST),
               name_of('q', job->queue));
    check_rate(&task_starts[job->task], limit_of(task, LIMIT_RATE), limit_of(task, LIMIT_BURST),
               name_of('t', job->task));
    if (job->key != 0 && key != NULL)
        check_rate(&key_starts[scope][job->key], limit_of(key, LIMIT_KEY_RATE),
                   limit_of(key, LIMIT_KEY_BURST), name_of('k', job->key));
}

static inline void forget_starts(void)
{
    for (int i = 0; i < QUEUES; i++)
        queue_starts[i].count = 0;
    for (int i = 0; i < TASKS; i++)
        task_starts[i].count = 0;
    for (int i = 0; i < SCOPES; i++)
        for (int key = 0; key <= KEYS; key++)
            key_starts[i][key].count = 0;
}

/* --- order --- */

/* After each step of the dispatcher: whose job stands at the front of its lane, in a slot, and is held up by
 * nothing (no limit, no pause, no load before it) but by what is more urgent. */
static inline void note_fronts(void)
{
    for (uint32_t i = 0; i < segment.shape.slot_count; i++) {
        const struct cell *cell = &dispatcher.cells[i];
        const struct lane *lane = cell->lane;
        bool front = cell->place == CELL_READY && lane->ready.first == i && lane->cold_seq > cell->seq &&
                     !lane->queue->levels[lane->level].loading && !lane_is_limited(lane) &&
                     !lane_is_paused(&dispatcher.lineup, lane);
        struct front_slot *at = &front_slots[i];
        if (!front)
            at->since_round = 0;
        else if (at->since_round == 0 || at->seq != cell->seq)
            *at = (struct front_slot){cell->seq, now_ns, round_number};
    }
}

/* Nothing that stood so through a whole step of the dispatcher may be passed: by a lower priority of the same
 * pool; within a queue and priority by a later job that was published since. */
static inline void check_urgency(const struct sim_job *job, const struct slot *slot)
{
    const struct cell *mine = &dispatcher.cells[slot - segment.slots];
    for (uint32_t i = 0; i < segment.shape.slot_count; i++) {
        const struct front_slot *front = &front_slots[i];
        const struct cell *cell = &dispatcher.cells[i];
        if (front->since_round == 0 || front->since_round == round_number)
            continue;
        const struct sim_job *other = &jobs[job_of(segment.slots[i].spec.id)];
        if (queue_pool[other->queue] != queue_pool[job->queue])
            continue;
        if (cell->level > job->priority)
            broken("urgency: a job of priority %u starts before one of %u that may run since %.3f ms",
                   job->priority, cell->level, (double)front->since_ns / NS_PER_MS);
        bool since = mine->published_ns - NS_PER_SEC > front->since_ns;
        if (cell->level == job->priority && other->queue == job->queue && cell->seq < slot->spec.seq && since)
            broken("order: of queue q%u seq %lld starts before %lld, which may run", job->queue,
                   (long long)slot->spec.seq, (long long)cell->seq);
    }
}

static inline void check_lane_order(const struct sim_job *job, int64_t seq)
{
    if (!job->pristine)
        return;
    uint32_t i = 0;
    while (last_of_lane[i].used &&
           (last_of_lane[i].queue != job->queue || last_of_lane[i].task != job->task ||
            last_of_lane[i].key != job->key || last_of_lane[i].priority != job->priority))
        i++;
    if (last_of_lane[i].used && last_of_lane[i].seq > seq)
        broken("order: in the lane q%u t%u k%u priority %u seq %lld starts after %lld", job->queue, job->task,
               job->key, job->priority, (long long)seq, (long long)last_of_lane[i].seq);
    last_of_lane[i].used = true;
    last_of_lane[i].queue = job->queue;
    last_of_lane[i].task = job->task;
    last_of_lane[i].key = job->key;
    last_of_lane[i].priority = job->priority;
    last_of_lane[i].seq = seq;
}

/* --- idle workers --- */

static inline bool has_rate(const struct limits *limits, enum limit limit)
{
    return limits != NULL && limit_of(limits, limit) != LIMIT_NOT_SET;
}

static inline bool has_place(const struct limits *limits, enum limit limit, int64_t taken)
{
    return limit_of(limits, limit) == LIMIT_NOT_SET || taken < limit_of(limits, limit);
}

static inline bool other_queue_is_limited(uint32_t queue)
{
    for (uint32_t i = 0; i < queue_count; i++)
        if (i != queue &&
            (has_rate(&queue_limits[i], LIMIT_RATE) || has_rate(&queue_limits[i], LIMIT_CONCURRENCY)))
            return true;
    return false;
}

/* It waits, and no limit, pause or time holds it up. Of rates only their absence is believed. */
static inline bool may_run(const struct sim_job *job)
{
    const struct limits *queue = &queue_limits[job->queue], *task = &task_limits[job->task],
                        *scope = scope_limits(key_scope(job));
    int64_t in_queue = 0, of_task = 0, with_key = 0;
    if (!job->accepted || job->running || job->over || job->stop_asked || whole_paused ||
        job->after_count > 0 || job->unique > 0 || job->schedule >= 0 || limit_of(queue, LIMIT_PAUSED) == 1 ||
        limit_of(task, LIMIT_PAUSED) == 1 || clock_real_ms() < job->not_before_ms || job->cancel_asked ||
        job->expires_ms > 0 || has_rate(queue, LIMIT_RATE) || has_rate(task, LIMIT_RATE) ||
        (job->key > 0 && has_rate(scope, LIMIT_KEY_RATE)))
        return false;
    /* What is published to a pool whose workers are busy holds a place of its task and key, and so does a
     * lane that was offered it and stands in a queue whose own limit holds it up (seed 17554): not judged. */
    bool shared = job->key > 0 || limit_of(task, LIMIT_CONCURRENCY) != LIMIT_NOT_SET;
    if (shared && (pool_count > 1 || other_queue_is_limited(job->queue)))
        return false;
    for (uint32_t i = 0; i < job_count; i++) {
        in_queue += jobs[i].running && jobs[i].queue == job->queue;
        of_task += jobs[i].running && jobs[i].task == job->task;
        with_key += jobs[i].running && same_key(&jobs[i], job);
    }
    return has_place(queue, LIMIT_CONCURRENCY, in_queue) && has_place(task, LIMIT_CONCURRENCY, of_task) &&
           (job->key == 0 ||
            (scope == NULL ? with_key < key_concurrency : has_place(scope, LIMIT_KEY_CONCURRENCY, with_key)));
}

/* No job that may run waits for long while a worker of its pool finds nothing. */
static inline void check_idleness(bool commit)
{
    bool hungry[POOLS] = {false};
    for (uint32_t i = 0; i < worker_count; i++)
        hungry[workers[i].pool] |= workers[i].hungry;
    for (uint32_t i = 0; i < job_count; i++) {
        struct sim_job *job = &jobs[i];
        if (!hungry[queue_pool[job->queue]] || !may_run(job)) {
            job->may_since_ns = -1;
            continue;
        }
        if (job->may_since_ns < 0) {
            job->may_since_ns = now_ns;
            job->may_rounds = 0;
        }
        job->may_rounds += commit;
        /* With so few slots each row that comes in sends another one back: it takes its time (seed 16610). */
        uint32_t patience = segment.shape.slot_count < 24 ? 4 : 1;
        if (job->may_rounds > patience * IDLE_ROUNDS &&
            now_ns - job->may_since_ns > patience * IDLE_MS * NS_PER_MS)
            broken("idle: job %u may run since %.3f ms, and a worker of its pool has nothing to do", i,
                   (double)job->may_since_ns / NS_PER_MS);
    }
}

/* --- a start --- */

static inline void check_start(int number, const struct slot *slot)
{
    struct sim_job *job = &jobs[number];
    if (job->running)
        broken("job %d runs twice", number);
    if (!came_into_being(job))
        broken("job %d starts and was not accepted", number);
    if (job->over)
        broken("job %d starts after its end (%s)", number, job->cancel_asked ? "cancelled" : "finished");
    if (job->stop_asked)
        broken("job %d starts again after it was asked to stop", number);
    if (whole_paused || limit_of(&queue_limits[job->queue], LIMIT_PAUSED) == 1 ||
        limit_of(&task_limits[job->task], LIMIT_PAUSED) == 1)
        broken("pause: job %d starts while %s is paused", number,
               whole_paused                                             ? "everything"
               : limit_of(&queue_limits[job->queue], LIMIT_PAUSED) == 1 ? "its queue"
                                                                        : "its task");
    if (slot->spec.priority != job->priority)
        broken("job %d has priority %u, and should have %u", number, slot->spec.priority, job->priority);
    if (slot->spec.attempt != job->runs)
        broken("job %d counts %u attempts, and had %u", number, slot->spec.attempt, job->runs);
    if (clock_real_ms() < job->not_before_ms)
        broken("job %d starts %d ms before its time", number, (int)(job->not_before_ms - clock_real_ms()));
    /* One round finds it expired, one ends it; an answer of the store that was on its way makes one more. */
    if (job->runs == 0 && job->expired_rounds > 3)
        broken("expiry: job %d starts %d ms after it expired", number,
               (int)(clock_real_ms() - job->expires_ms));
    check_graph_start(number);
    check_schedule_start(number);
    check_concurrency(job);
    check_rates(job);
    check_lane_order(job, slot->spec.seq);
    check_urgency(job, slot);
}

/* --- the end --- */

static inline void check_row(int number)
{
    struct sim_job *job = &jobs[number];
    struct job *found = NULL;
    (void)came_into_being(job);
    enum err err = store_get(store_own_reader(store), job->id, &found);
    if (!job->accepted) {
        if (err == ERR_OK)
            broken("job %d was never accepted, and has a row", number);
        return;
    }
    if (err != ERR_OK)
        broken("job %d has no row: %s", number, err_code(err));
    const struct job_spec *spec = &found->spec;
    if (!job_is_terminal(found->state))
        broken("job %d ends as %s", number, job_state_text(found->state));
    if (spec->attempt != job->runs || spec->errors != job->errors || spec->crashes != job->crashes ||
        spec->lost != job->lost)
        broken("job %d counts %u attempts, %u errors, %u crashes, %u lost; had %u, %u, %u, %u", number,
               spec->attempt, spec->errors, spec->crashes, spec->lost, job->runs, job->errors, job->crashes,
               job->lost);
    bool expired = job->runs == 0 && job->expires_ms > 0 && !job->retried && found->state == JOB_FAILED &&
                   strcmp(found->attempt.error_code, err_code(ERR_EXPIRED)) == 0;
    bool cancelled = found->state == JOB_CANCELLED && job->cancel_asked;
    enum job_state right = !job->ran                        ? JOB_STATE_COUNT
                           : job->last == OUTCOME_SUCCESS   ? JOB_SUCCEEDED
                           : job->last == OUTCOME_CANCELLED ? JOB_CANCELLED
                           : job->failed                    ? JOB_FAILED
                                                            : JOB_STATE_COUNT;
    if (right != JOB_STATE_COUNT ? found->state != right
                                 : !expired && !cancelled && !ended_by_others(number, found) &&
                                       !ended_by_its_schedule(number, found))
        broken("job %d ends as %s (%s) after %u runs, the last %s%s%s", number, job_state_text(found->state),
               found->attempt.error_code, job->runs, outcome_text(job->last),
               job->cancel_asked ? ", cancelled" : "", job->expires_ms > 0 ? ", expires" : "");
    job_free(found);
}

static inline void check_nothing_left(void)
{
    const struct dispatcher *d = &dispatcher;
    if (d->free_count != segment.shape.slot_count || d->hot_count != 0 || d->memory_count != 0)
        broken("slots: %u free of %u, %u hot, %u memory at the end", d->free_count, segment.shape.slot_count,
               d->hot_count, d->memory_count);
    if (d->live.count != 0 || d->exposed.count != 0 || d->landing_count != 0)
        broken("lists: %u live, %u exposed, %u landing at the end", d->live.count, d->exposed.count,
               d->landing_count);
    if (d->arena.used != 0)
        broken("arena: %llu bytes used at the end", (unsigned long long)d->arena.used);
    for (struct queue *queue = lineup_first_queue(&dispatcher.lineup); queue;
         queue = lineup_next_queue(queue)) {
        if (queue->waiting != 0)
            broken("counts: %lld wait in queue %s at the end", (long long)queue->waiting, queue->name);
        int64_t put_off = atomic_load(&queue->put_off);
        if (put_off != 0)
            broken("counts: %lld are put off in queue %s at the end", (long long)put_off, queue->name);
        if (queue->gate.in_flight != 0)
            broken("counts: %u in flight in queue %s at the end", queue->gate.in_flight, queue->name);
    }
    for (const struct task_line *task = d->lineup.tasks; task != NULL; task = task->next)
        if (task->gate.in_flight != 0)
            broken("counts: %u in flight of task %s at the end", task->gate.in_flight, task->name);
    for (uint32_t i = 0; i < job_count; i++)
        check_row((int)i);
    check_graph_end();
}

#endif
