#include "action.h"

#include "await.h"
#include "clock.h"
#include "codec.h"
#include "handlers.h"
#include "segment.h"
#include "tally.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    IN_FLIGHT = 256, /* errands out at a time: half a group of the committer */
    PAGE = 512,
    FOUND_MOST = WORKERS_MAX, /* what runs comes as one page */
    READS = 256,              /* of single jobs, a turn of the loop */
    FAULTS_MOST = 100,
    ROUNDS_MOST = 8
};
_Static_assert((int)FOUND_MOST >= (int)PAGE, "a page fits");
#define LEAST_NS NS_PER_SEC /* even where requests may wait less: it must come forward */
#define MOST_NS  (30 * NS_PER_SEC)

struct fault {
    struct id id;
    enum err err;
};

/* One action under way. In the request's space. */
struct action_run {
    struct action action;
    int64_t began_ms, deadline_ns;
    int64_t matched, done, asked, skipped;
    int64_t newest_key; /* of jobs that were there when it began: below this */
    bool halted;        /* no further job is touched, though some are left */
    enum err failure;   /* of the store or the server: why it was halted, if not for lack of time */

    /* Where it is in the walk; rule 4 of action.h. */
    struct store_filter at; /* with the state and the cursor of the next page */
    int state;              /* being walked; -1: the walk is at its end */
    int round;
    bool any; /* this round has found something */
    size_t next_id;

    struct id found[FOUND_MOST]; /* still to be asked for: [found_at, found_count) */
    size_t found_at, found_count;
    struct fault faults[FAULTS_MOST];
    size_t fault_count;
    struct wake again; /* to ourselves, for the next turn of the loop */
    struct parcel parcels[IN_FLIGHT];
    struct parcel *idle;
};

/* word in bodies and answers, errand */
static const struct {
    const char *word;
    enum errand_kind errand;
} WANTED[REQUEST_COUNT] = {
    [REQUEST_CANCEL] = {"cancel", ERRAND_CANCEL},
    [REQUEST_RETRY] = {"retry", ERRAND_RETRY},
    [REQUEST_FORGET] = {"delete", ERRAND_FORGET},
};

const char *action_word(enum job_request wanted)
{
    return WANTED[wanted].word;
}

static int64_t most_ns(const struct config *config)
{
    int64_t ns = config->http_max_wait_ms * NS_PER_MS;
    return ns < LEAST_NS ? LEAST_NS : ns > MOST_NS ? MOST_NS : ns;
}

enum err action_count(struct request *request, const struct action *action, int64_t *jobs)
{
    TALLY_AUTO tally = {0};
    int64_t sums[JOB_STATE_COUNT] = {0};
    const struct store_filter *stored = &action->filter.stored;
    enum err err = tally_take(request, &tally);
    if (err != ERR_OK)
        return err;
    tally_sum(&tally, stored->queue[0] != '\0' ? stored->queue : NULL, NULL, sums);
    *jobs = 0;
    for (int state = 0; state < JOB_STATE_COUNT; state++) {
        bool meant = !stored->by_state || (int)stored->state == state;
        if (meant && job_refusal((enum job_state)state, action->wanted) == NULL &&
            !(action->waiting && state == JOB_RUNNING))
            *jobs += sums[state];
    }
    return ERR_OK;
}

/* --------------------------------------------------------------------------------------------------------
 * finding */

static void note_fault(struct action_run *run, struct id id, enum err err)
{
    run->skipped++;
    if (!run->action.by_filter && run->fault_count < FAULTS_MOST)
        run->faults[run->fault_count++] = (struct fault){id, err};
}

/* What running jobs are stored as is no state of theirs: they are met as queued ones. */
static bool is_walked(const struct action_run *run, int state)
{
    const struct store_filter *stored = &run->action.filter.stored;
    return state != JOB_RUNNING && job_refusal((enum job_state)state, run->action.wanted) == NULL &&
           (!stored->by_state || (int)stored->state == state);
}

/* From the last state of the table down, so that queued comes after what becomes queued. */
static void walk_state_below(struct action_run *run, int state)
{
    for (run->state = state - 1; run->state >= 0 && !is_walked(run, run->state); run->state--)
        continue;
    run->at = run->action.filter.stored;
    run->at.limit = PAGE;
    run->at.before_key = run->newest_key;
    run->at.by_state = true;
    if (run->state >= 0)
        run->at.state = (enum job_state)run->state;
}

/* Another round finds what passed from a state to one that was walked before; rule 4 of action.h. */
static bool wants_round(const struct action_run *run)
{
    return run->any && run->action.wanted == REQUEST_CANCEL && !run->action.dry_run &&
           !run->action.filter.stored.by_state && run->round < ROUNDS_MOST;
}

static void begin_round(struct action_run *run)
{
    run->round++;
    run->any = false;
    if (run->action.filter.running)
        run->state = JOB_RUNNING; /* they come as one page */
    else
        walk_state_below(run, JOB_STATE_COUNT);
}

/* Rules 1 and 4 of action.h; and a list of queued jobs shows none that run. */
static bool is_meant(struct request *request, const struct job *job)
{
    const struct action_run *run = request->action;
    bool cancel = run->action.wanted == REQUEST_CANCEL;
    bool queued_only = run->action.waiting || run->action.filter.stored.by_state;
    if (!filter_fits(&run->action.filter, job) || id_key(job->spec.id) >= run->newest_key ||
        (run->round > 1 && job->cancel_requested))
        return false;
    if (!cancel)
        return job->attempt.finished_ms <= run->began_ms;
    return !(queued_only && job->state == JOB_QUEUED && front_is_running(request->front, job->spec.id));
}

/* Takes the jobs over. */
static void keep_found(struct request *request, struct job **jobs, size_t count)
{
    struct action_run *run = request->action;
    run->found_at = run->found_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (is_meant(request, jobs[i]))
            run->found[run->found_count++] = jobs[i]->spec.id;
        job_free(jobs[i]);
    }
    run->any = run->any || run->found_count > 0;
    if (!run->action.dry_run)
        return;
    run->matched += (int64_t)run->found_count;
    run->found_count = 0;
}

static void find_running(struct request *request)
{
    RUNNING_AUTO running = {0};
    struct action_run *run = request->action;
    run->state = -1;
    enum err err = handler_running(request->front, &running);
    if (err == ERR_OK) {
        keep_found(request, running.jobs, running.count);
        running.count = 0; /* taken over */
    } else {
        run->failure = err;
    }
}

static void find_stored(struct request *request)
{
    struct action_run *run = request->action;
    struct job *jobs[PAGE];
    size_t count;
    int64_t next_key;
    enum err err = store_list(request_reader(request), &run->at, jobs, &count, &next_key);
    if (err != ERR_OK) {
        run->failure = err;
        return;
    }
    keep_found(request, jobs, count);
    run->at.before_key = next_key;
    if (next_key < 0)
        walk_state_below(run, run->state);
}

/* A dry run by ids: some of them. */
static void look_at_some(struct request *request)
{
    struct action_run *run = request->action;
    for (int i = 0; i < READS && run->next_id < run->action.id_count; i++) {
        struct id id = run->action.ids[run->next_id];
        JOB_AUTO job = NULL;
        enum err err = front_read(request->front, request_reader(request), id, &job);
        if (err != ERR_OK && err != ERR_UNKNOWN_JOB) {
            run->failure = err;
            return;
        }
        run->next_id++;
        run->matched++;
        if (err != ERR_OK)
            note_fault(run, id, err);
        else if (job_refusal(job->state, run->action.wanted) != NULL)
            note_fault(run, id,
                       run->action.wanted == REQUEST_CANCEL ? ERR_ALREADY_FINISHED : ERR_NOT_FINISHED);
    }
}

/* Whether there is nothing left to be found, also not later. */
static bool is_exhausted(const struct action_run *run)
{
    return run->action.by_filter ? run->state < 0 : run->next_id == run->action.id_count;
}

/* One page, or one portion. */
static void find_some(struct request *request)
{
    struct action_run *run = request->action;
    if (run->action.by_filter && run->action.filter.running)
        find_running(request);
    else if (run->action.by_filter)
        find_stored(request);
    else if (run->action.dry_run)
        look_at_some(request);
}

/* ---------------------------------------------------------------------------------------------------------
 * asking */

static bool next_found(struct action_run *run, struct id *id)
{
    if (run->found_at < run->found_count) {
        *id = run->found[run->found_at++];
        return true;
    }
    if (run->action.by_filter || run->action.dry_run || run->next_id == run->action.id_count)
        return false;
    *id = run->action.ids[run->next_id++];
    return true;
}

/* Its queue takes no new jobs, and it has ended. */
static bool is_shut_out(struct request *request, struct id id)
{
    JOB_AUTO job = NULL;
    struct admission admission;
    return front_read(request->front, request_reader(request), id, &job) == ERR_OK &&
           job_is_terminal(job->state) &&
           front_may_retry(request->front, job->spec.queue, &admission) != ERR_OK;
}

static void send_some(struct request *request)
{
    struct action_run *run = request->action;
    bool drains = run->action.wanted == REQUEST_RETRY && front_any_drain(request->front);
    struct id id;
    int reads = 0;
    while (run->idle != NULL && (reads < READS || run->action.by_filter) && next_found(run, &id)) {
        run->matched++;
        reads += drains;
        if (drains && is_shut_out(request, id)) {
            note_fault(run, id, ERR_QUEUE_CLOSED);
            continue;
        }
        struct parcel *parcel = run->idle;
        run->idle = parcel->next;
        bool waiting = run->action.waiting || (run->action.by_filter && run->action.filter.stored.by_state &&
                                               run->action.filter.stored.state == JOB_QUEUED);
        await_parcel(request, parcel, WANTED[run->action.wanted].errand, id, waiting);
    }
}

static void take_back(struct request *request, struct parcel *parcel)
{
    struct action_run *run = request->action;
    enum err err = parcel->errand.err;
    request->lent--;
    parcel->next = run->idle;
    run->idle = parcel;
    if (err == ERR_OK) {
        run->done++;
    } else if (err == ERR_AGAIN) {
        run->asked++;
    } else if (err == ERR_ALREADY_FINISHED || err == ERR_NOT_FINISHED || err == ERR_NOT_NOW ||
               err == ERR_UNKNOWN_JOB || err == ERR_DUPLICATE_JOB) {
        note_fault(run, parcel->errand.id, err);
    } else { /* it was not touched: the client repeats the request, once the reason is gone */
        run->failure = err;
        run->matched--;
    }
}

/* ---------------------------------------------------------------------------------------------------------
 * answering */

/* What a single request for that job would have been answered with. */
static void put_fault(struct request *request, struct buf *out, const struct fault *fault)
{
    PROBLEM_AUTO problem = {0};
    char text[ID_TEXT_BYTES];
    id_format(fault->id, text);
    if (fault->err == ERR_UNKNOWN_JOB || await_read(request, fault->id) != ERR_OK)
        problem_set(&problem, ERR_UNKNOWN_JOB, "there is no job %s", text);
    else if (fault->err == ERR_DUPLICATE_JOB)
        problem_set(&problem, fault->err, "%s", err_title(fault->err));
    else if (fault->err == ERR_QUEUE_CLOSED)
        problem_set(&problem, fault->err,
                    "the queue %s takes no new jobs: it, or everything, is being drained",
                    request->job->spec.queue);
    else
        codec_refusal(&problem, fault->err, request->job, request->action->action.wanted);
    buf_printf(out, "{\"id\":\"%s\",\"code\":\"%s\",\"detail\":", text, err_code(problem.err));
    buf_put_json(out, problem.detail.data, problem.detail.bytes);
    PUT(out, "}");
}

static enum answer answer_failure(struct request *request)
{
    const struct action_run *run = request->action;
    PROBLEM_AUTO problem = {0};
    problem_set(&problem, run->failure,
                "%s; %" PRId64 " jobs were %s before that, and the same request goes on with the others",
                err_title(run->failure), run->done, job_request_participle(run->action.wanted));
    return problem_reply(request, &problem);
}

static enum answer answer(struct request *request)
{
    const struct action_run *run = request->action;
    if (run->failure != ERR_OK)
        return answer_failure(request);
    struct buf *out = reply_json(request, 200);
    buf_printf(out, "{\"action\":\"%s\",\"dry_run\":%s", action_word(run->action.wanted),
               run->action.dry_run ? "true" : "false");
    buf_printf(out, ",\"matched\":%" PRId64 ",\"done\":%" PRId64, run->matched, run->done);
    if (run->action.wanted == REQUEST_CANCEL)
        buf_printf(out, ",\"asked\":%" PRId64, run->asked);
    buf_printf(out, ",\"skipped\":%" PRId64 ",\"more\":%s", run->skipped, run->halted ? "true" : "false");
    if (!run->action.by_filter) {
        PUT(out, ",\"errors\":[");
        for (size_t i = 0; i < run->fault_count; i++) {
            buf_put(out, i > 0 ? ",\n" : "");
            put_fault(request, out, &run->faults[i]);
        }
        PUT(out, "]");
    }
    PUT(out, "}\n");
    return ANSWERED;
}

/* ---------------------------------------------------------------------------------------------------------
 * going on */

/* So that others get their turn of the loop in between. */
static void come_again(struct request *request)
{
    struct action_run *run = request->action;
    if (run->again.open)
        return;
    run->again = (struct wake){.request = request, .open = true};
    request->lent++;
    http_wake(&run->again);
}

static bool is_left(const struct action_run *run)
{
    return run->found_at < run->found_count || !is_exhausted(run) || wants_round(run);
}

/* Afterwards something is lent, or all is done. */
static void advance(struct request *request)
{
    struct action_run *run = request->action;
    send_some(request);
    if (run->idle == NULL)
        return; /* the next one that comes back goes on */
    if (is_exhausted(run) && request->lent == 0 && wants_round(run))
        begin_round(run);
    if (is_exhausted(run))
        return;
    if (!run->again.open)
        find_some(request);
    come_again(request);
}

static bool is_over(const struct request *request)
{
    const struct action_run *run = request->action;
    return request->stopping || run->failure != ERR_OK || clock_mono_ns() >= run->deadline_ns;
}

static enum answer step(struct request *request)
{
    struct action_run *run = request->action;
    if (request->woken == &run->again)
        request->lent--;
    else if (request->woken != NULL)
        take_back(request, await_parcel_of(request->woken));
    if (!run->halted && is_over(request))
        run->halted = is_left(run);
    if (!run->halted)
        advance(request);
    return request->lent > 0 ? SUSPENDED : answer(request);
}

enum answer action_run(struct request *request, const struct action *action)
{
    struct action_run *run = request_new(request, sizeof *run);
    if (run == NULL)
        return problem_plain(request, ERR_NO_MEMORY);
    request->action = run;
    request->then = step;
    run->action = *action;
    run->began_ms = clock_real_ms();
    run->deadline_ns = clock_mono_ns() + most_ns(front_config(request->front));
    run->newest_key = id_key(id_new());
    for (size_t i = 0; i < IN_FLIGHT; i++) {
        run->parcels[i].next = run->idle;
        run->idle = &run->parcels[i];
    }
    begin_round(run);
    advance(request);
    return request->lent > 0 ? SUSPENDED : answer(request);
}
