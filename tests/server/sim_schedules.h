/* Schedules of the simulation: what is drawn, the jobs that they make, and what must hold. A job of a
 * schedule is known from when it is composed; whether it has come into being, its row tells. */
#ifndef FORKPOOL_TESTS_SIM_SCHEDULES_H
#define FORKPOOL_TESTS_SIM_SCHEDULES_H

#include "sim_graph.h"

static inline struct sim_schedule *schedule_of_job(const struct sim_job *job)
{
    return job->schedule >= 0 ? &schedules[job->schedule] : NULL;
}

static inline void draw_schedules(void)
{
    static const int STEPS[] = {1, 1, 2, 3};
    schedule_count = percent(30) ? 1 + below(SCHEDULES) : 0;
    for (uint32_t i = 0; i < schedule_count; i++)
        schedules[i] = (struct sim_schedule){.step_s = STEPS[below(4)],
                                             .overlap = (enum overlap)below(OVERLAP_COUNT),
                                             .catch_up = (enum catch_up)below(CATCH_UP_COUNT),
                                             .queue = below(queue_count),
                                             .task = below(task_count)};
}

/* What front_http.compose is to a real front. The body is {"task":"tN","queue":"qN","meta":NUMBER}. */
static inline enum err sim_compose(void *context, struct text body, struct job **made, struct buf *why)
{
    int number;
    char line[256]; /* the body does not end with a NUL */
    (void)context;
    *made = NULL;
    text_copy(line, sizeof line, body.at, body.bytes);
    if (sscanf(strstr(line, "\"meta\":") + 7, "%d", &number) != 1 || job_count == JOBS + FIRED) {
        buf_put(why, "the simulation has no room");
        return ERR_UNKNOWN_TASK;
    }
    struct sim_schedule *schedule = &schedules[number];
    struct sim_job *sim = &jobs[job_count++];
    *sim = (struct sim_job){.queue = schedule->queue,
                            .task = schedule->task,
                            .priority = PRIORITY_DEFAULT,
                            .durability = DURABILITY_PROCESS,
                            .max_attempts = 2,
                            .sent = true,
                            .may_since_ns = -1,
                            .bulk = -1,
                            .schedule = number,
                            .last = OUTCOME_NONE};
    struct job *job = new_job(sim->priority, DURABILITY_PROCESS);
    snprintf(job->spec.queue, NAME_BYTES, "q%u", sim->queue);
    snprintf(job->spec.task, NAME_BYTES, "t%u", sim->task);
    job->spec.retry.max_attempts = sim->max_attempts;
    job->spec.retry.backoff = BACKOFF_FIXED;
    job->spec.timeout_ms = 1000000;
    job->spec.lane = job_lane(&job->spec);
    sim->id = job->spec.id;
    trace("schedule s%d composes job %u", number, job_count - 1);
    *made = job;
    return ERR_OK;
}

/* Of jobs of schedules: whether it was made. */
static inline bool came_into_being(struct sim_job *job)
{
    struct job *row = NULL;
    if (job->schedule < 0 || job->accepted)
        return job->accepted;
    job->accepted = store_get(store_own_reader(store), job->id, &row) == ERR_OK;
    job_free(row);
    return job->accepted;
}

/* One at a time, whatever the overlap policy. */
static inline void check_schedule_start(int number)
{
    const struct sim_job *job = &jobs[number];
    for (uint32_t i = 0; i < job_count && job->schedule >= 0; i++)
        if ((int)i != number && jobs[i].running && jobs[i].schedule == job->schedule && !jobs[i].retried &&
            !job->retried)
            broken("job %d starts while job %u runs, which is of the same schedule", number, i);
}

/* Of a schedule that skips, at most one job has not ended. */
static inline void check_skips(void)
{
    for (uint32_t number = 0; number < schedule_count; number++) {
        uint32_t open = 0;
        for (uint32_t i = 0; i < job_count && schedules[number].overlap == OVERLAP_SKIP; i++) {
            if (jobs[i].schedule != (int)number || jobs[i].retried || jobs[i].over ||
                !came_into_being(&jobs[i])) /* over, and yet open: it is being run again */
                continue;
            JOB_AUTO row = row_of((int)i);
            open += !job_is_terminal(row->state);
        }
        if (open > 1)
            broken("%u jobs of schedule s%u have not ended, which skips times then", open, number);
    }
}

/* It gave way to the next one of its schedule. */
static inline bool ended_by_its_schedule(int number, const struct job *row)
{
    const struct sim_schedule *schedule = schedule_of_job(&jobs[number]);
    return schedule != NULL && schedule->overlap == OVERLAP_REPLACE && row->state == JOB_CANCELLED;
}

static inline const struct schedule *schedule_in_force(uint32_t number)
{
    return schedules_find(&dispatcher.timetable.in_force, name_of('s', number));
}

static inline void note_first(uint32_t number)
{
    const struct schedule *schedule = schedule_in_force(number);
    if (schedules[number].first_ms == 0 && schedule != NULL && schedule->last_ms == 0 &&
        schedule->skipped == 0)
        schedules[number].first_ms = schedule->next_ms;
}

/* Each time became one job or was counted as skipped, and no two jobs are for the same time. */
static inline void check_schedule(uint32_t number)
{
    const struct schedule *schedule = schedule_in_force(number);
    const struct sim_schedule *sim = &schedules[number];
    if (schedule == NULL || sim->first_ms == 0)
        return;
    int64_t times = (schedule->next_ms - sim->first_ms) / (sim->step_s * INT64_C(1000)), made = 0;
    for (uint32_t i = 0; i < job_count; i++) {
        if (jobs[i].schedule != (int)number || !came_into_being(&jobs[i]))
            continue;
        made++;
        JOB_AUTO row = row_of((int)i);
        for (uint32_t k = 0; k < i; k++) {
            if (jobs[k].schedule != (int)number || !jobs[k].accepted)
                continue;
            JOB_AUTO other = row_of((int)k);
            if (other->spec.scheduled_ms == row->spec.scheduled_ms && row->spec.scheduled_ms != 0 &&
                !jobs[i].patched && !jobs[k].patched)
                broken("schedule s%u made jobs %u and %u for one time", number, k, i);
        }
    }
    if (schedule->made != made || schedule->made + schedule->skipped != times)
        broken("schedule s%u: of %lld times %lld became jobs and %lld were skipped; it made %lld jobs",
               number, (long long)times, (long long)schedule->made, (long long)schedule->skipped,
               (long long)made);
}

#endif
