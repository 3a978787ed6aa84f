#include "torture_private.h"

#include "clock.h"
#include "store.h"
#include "witness.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE = 500, LOOK_BACK_S = 10, LATE_MS = 1000 };

struct checking {
    struct evidence evidence;
    struct verdict *verdict;
    struct store_reader *reader;
    struct ticks ticks;
    size_t *by_id; /* places of entries, from 0, by id and then in order. Owned */
};

/* --- the ledger by id --- */

static const struct evidence *sorting; /* for qsort */

static int by_id(const void *a, const void *b)
{
    size_t one = *(const size_t *)a, two = *(const size_t *)b;
    int order = memcmp(&sorting->entries[one].id, &sorting->entries[two].id, sizeof(struct id));
    return order != 0 ? order : (one > two) - (one < two);
}

static enum err sort_entries(struct checking *checking)
{
    size_t count = checking->evidence.entry_count;
    checking->by_id = malloc((count + 1) * sizeof *checking->by_id);
    if (checking->by_id == NULL)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++)
        checking->by_id[i] = i;
    sorting = &checking->evidence;
    qsort(checking->by_id, count, sizeof *checking->by_id, by_id);
    return ERR_OK;
}

/* The place in by_id of the first record of that job, or of where it would be. */
static size_t first_of(const struct checking *checking, struct id id)
{
    size_t low = 0, high = checking->evidence.entry_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (memcmp(&checking->evidence.entries[checking->by_id[middle]].id, &id, sizeof id) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static const struct entry *entry_at(const struct checking *checking, size_t place, struct id id)
{
    if (place >= checking->evidence.entry_count)
        return NULL;
    const struct entry *entry = &checking->evidence.entries[checking->by_id[place]];
    return id_equal(entry->id, id) ? entry : NULL;
}

/* --- the rows --- */

/* "NONCExxx…" with as many x as were asked for. */
static bool is_result(struct text result, const char *nonce, unsigned padding)
{
    size_t nonce_bytes = strlen(nonce), bytes = nonce_bytes + padding + 2, whole = nonce_bytes + 1;
    if (result.bytes != bytes || memcmp(result.at + 1, nonce, nonce_bytes) != 0)
        return false;
    while (whole < bytes - 1 && result.at[whole] == 'x')
        whole++;
    return whole == bytes - 1;
}

/* An attempt of it; of a job that was run again on request, one since then. */
static bool has_written(const struct checking *checking, const struct asked *asked, struct id id,
                        struct text result)
{
    const struct entry *entry;
    for (size_t place = first_of(checking, id); (entry = entry_at(checking, place, id)) != NULL; place++)
        if (strcmp(entry->what, "end") == 0 && entry->at_ns > asked->retried_ns &&
            is_result(result, entry->nonce, asked->padding))
            return true;
    return false;
}

static enum err check_result(struct checking *checking, const struct job *bare, const struct asked *asked,
                             const char *id)
{
    struct job *job;
    enum err err = store_get(checking->reader, bare->spec.id, &job);
    if (err != ERR_OK)
        return err;
    struct text result = job->result.at != NULL ? job->result : (struct text){"", 0};
    if (!has_written(checking, asked, bare->spec.id, result))
        verdict_add(checking->verdict, FAULT_NONCE, "%s: its result %.*s", id,
                    result.bytes < 64 ? (int)result.bytes : 64, result.at);
    job_free(job);
    return ERR_OK;
}

static void check_end(struct checking *checking, const struct asked *asked, enum job_state state,
                      const char *id)
{
    bool right =
        asked->expect == EXPECT_ANY || state == (asked->expect == EXPECT_FAILED ? JOB_FAILED : JOB_SUCCEEDED);
    if (!right)
        verdict_add(checking->verdict, FAULT_END, "%s, request %u, a %s one: %s", id, asked->number,
                    torture_kind_texts[asked->kind], job_state_text(state));
    else if (asked->ended && asked->told != state)
        verdict_add(checking->verdict, FAULT_END, "%s: an answer said %s, the store says %s", id,
                    job_state_text(asked->told), job_state_text(state));
}

/* By the server's own clock. A job that has begun once goes on, with further attempts too, so only a first
 * one counts. LATE_MS: a job that was handed out in time may wait so long for a worker while the front is
 * stopped. */
static void check_expiry(struct verdict *verdict, const struct job *job, const struct asked *asked,
                         const char *id)
{
    int64_t expires_ms = job->spec.expires_ms;
    bool expired = job->state == JOB_FAILED && strcmp(job->attempt.error_code, err_code(ERR_EXPIRED)) == 0;
    if ((expires_ms > 0) != (asked->kind == KIND_PERISHABLE))
        verdict_add(verdict, FAULT_EXPIRY, "%s, a %s one, expires at %lld", id,
                    torture_kind_texts[asked->kind], (long long)expires_ms);
    else if (expired && (expires_ms == 0 || job->attempt.finished_ms < expires_ms))
        verdict_add(verdict, FAULT_EXPIRY, "%s expired %lld ms before its time", id,
                    (long long)(expires_ms - job->attempt.finished_ms));
    else if (!expired && expires_ms > 0 && job->attempt.number == 1 &&
             job->attempt.started_ms > expires_ms + LATE_MS)
        verdict_add(verdict, FAULT_EXPIRY, "%s was started %lld ms after its time", id,
                    (long long)(job->attempt.started_ms - expires_ms));
}

/* By the server's clock again, and the last attempt of each job. What had begun goes on. */
static void check_pauses(struct checking *checking, const struct job *job, const char *id)
{
    const struct evidence *evidence = &checking->evidence;
    int64_t started_ms = job->attempt.started_ms;
    for (size_t i = 0; i < evidence->pause_count && strcmp(job->spec.queue, TORTURE_QUEUE) == 0; i++)
        if (started_ms > evidence->pauses[i].from_ms && started_ms < evidence->pauses[i].to_ms)
            verdict_add(checking->verdict, FAULT_PAUSE, "%s was started %lld ms after its queue was paused",
                        id, (long long)(started_ms - evidence->pauses[i].from_ms));
}

static void check_priority(struct verdict *verdict, const struct job *job, const struct asked *asked,
                           const char *id)
{
    bool old = job->spec.priority == asked->priority && !asked->changed;
    bool new = job->spec.priority == asked->new_priority && asked->may_change;
    if (!old && !new)
        verdict_add(verdict, FAULT_CHANGE, "%s has the priority %u: asked for was %u, a change to %u %s", id,
                    job->spec.priority, asked->priority, asked->new_priority,
                    asked->changed      ? "was acknowledged"
                    : asked->may_change ? "was asked for"
                                        : "was not asked for");
}

/* A job that a schedule has made. */
static enum err check_tick(struct checking *checking, const struct job *job, enum torture_schedule schedule,
                           const char *id)
{
    static const struct asked NONE = {.padding = 0};
    struct tick tick = {schedule, job->spec.scheduled_ms, 0, 0};
    for (size_t place = first_of(checking, job->spec.id); entry_at(checking, place, job->spec.id) != NULL;
         place++) {
        tick.last = checking->by_id[place] + 1;
        tick.first = tick.first == 0 ? tick.last : tick.first;
    }
    if (!ticks_add(&checking->ticks, tick))
        return ERR_NO_MEMORY;
    if (job->state == JOB_SUCCEEDED)
        return check_result(checking, job, &NONE, id);
    verdict_add(checking->verdict, job_is_terminal(job->state) ? FAULT_END : FAULT_STUCK,
                "%s of schedule %s: %s", id, torture_schedule_texts[schedule], job_state_text(job->state));
    return ERR_OK;
}

static enum err check_row(struct checking *checking, const struct job *job)
{
    struct verdict *verdict = checking->verdict;
    char id[ID_TEXT_BYTES];
    struct asked *asked = evidence_find(&checking->evidence, torture_key_number(job->spec.idempotency_key));
    id_format(job->spec.id, id);
    verdict->rows++;
    verdict->ends[job->state]++;
    enum torture_schedule schedule = torture_schedule_of(job->spec.queue);
    if (schedule != SCHEDULE_COUNT)
        return check_tick(checking, job, schedule, id);
    if (asked == NULL || asked->refused || asked->returned) {
        verdict_add(verdict, FAULT_INVENTED, "%s, with the key \"%s\"%s", id, job->spec.idempotency_key,
                    asked == NULL ? "" : ", which was refused");
        return ERR_OK;
    }
    asked->rows++;
    asked->state = job->state;
    asked->row = job->spec.id;
    check_priority(verdict, job, asked, id);
    if (!job_is_terminal(job->state)) {
        verdict_add(verdict, FAULT_STUCK, "%s, request %u, is %s", id, asked->number,
                    job_state_text(job->state));
        return ERR_OK;
    }
    check_end(checking, asked, job->state, id);
    check_expiry(verdict, job, asked, id);
    check_pauses(checking, job, id);
    return job->state == JOB_SUCCEEDED ? check_result(checking, job, asked, id) : ERR_OK;
}

static enum err check_rows(struct checking *checking)
{
    struct store_filter filter = {
        .created_after_ms = -1, .created_before_ms = -1, .before_key = INT64_MAX, .limit = PAGE};
    enum err err = ERR_OK;
    while (err == ERR_OK && filter.before_key >= 0) {
        struct job *jobs[PAGE];
        size_t count;
        int64_t next;
        err = store_list(checking->reader, &filter, jobs, &count, &next);
        for (size_t i = 0; err == ERR_OK && i < count; i++)
            err = check_row(checking, jobs[i]);
        for (size_t i = 0; i < count; i++)
            job_free(jobs[i]);
        filter.before_key = next;
    }
    return err;
}

/* --- the requests --- */

/* The first attempt on record puts a job of durability memory into the store: where a second one has begun,
 * it has to be. */
static bool is_gone_with_memory(const struct checking *checking, const struct asked *asked)
{
    const struct entry *entry;
    if (!asked->acked || asked->rows > 0 || !falls_excuse(&checking->evidence, asked))
        return false;
    for (size_t place = first_of(checking, asked->id); (entry = entry_at(checking, place, asked->id)) != NULL;
         place++)
        if (entry->attempt > 1)
            return false;
    return true;
}

static void check_record(struct checking *checking, const struct asked *asked)
{
    char id[ID_TEXT_BYTES], row[ID_TEXT_BYTES];
    id_format(asked->id, id);
    id_format(asked->row, row);
    if (asked->gone_ns != 0 && asked->rows > 0)
        verdict_add(checking->verdict, FAULT_ANSWER, "%s was said not to be there, and it is", row);
    if (is_gone_with_memory(checking, asked))
        checking->verdict->gone++;
    else if (asked->acked && asked->rows == 0)
        verdict_add(checking->verdict, FAULT_LOST, "%s, request %u", id, asked->number);
    else if (asked->rows > 1)
        verdict_add(checking->verdict, FAULT_DOUBLED, "request %u has %zu rows, %s is one of them",
                    asked->number, asked->rows, row);
    else if (asked->acked && !id_equal(asked->id, asked->row))
        verdict_add(checking->verdict, FAULT_DOUBLED, "request %u was acknowledged as %s, its row is %s",
                    asked->number, id, row);
}

/* Whatever a job wrote that this one waits for stands before its first start. One that succeeded has written
 * its end there. */
static void check_order(struct checking *checking, const struct asked *asked)
{
    for (unsigned i = 0; i < asked->after_count && asked->first > 0; i++) {
        const struct asked *before = evidence_find(&checking->evidence, asked->after[i]);
        if (before == NULL)
            continue;
        bool open = before->rows > 0 && before->state == JOB_SUCCEEDED &&
                    (before->done == 0 || before->done > asked->first);
        if (open || (before->last > asked->first && before->retries == 0)) /* it may have run again since */
            verdict_add(checking->verdict, FAULT_EARLY,
                        "request %u, while request %u, before it, had not ended", asked->number,
                        before->number);
    }
}

/* One transaction: all of its jobs or none. The last one begins behind the ends of all others, which succeed.
 */
static void check_batch(struct checking *checking, const struct asked *head)
{
    unsigned rows = 0, last = head->number + head->lines - 1;
    const struct asked *follower = evidence_find(&checking->evidence, last);
    for (unsigned number = head->number; number <= last; number++) {
        const struct asked *asked = evidence_find(&checking->evidence, number);
        if (asked == NULL || follower == NULL)
            continue;
        rows += asked->rows > 0;
        if (number < last && follower->kind == KIND_FOLLOWER && follower->first > 0 &&
            (asked->done == 0 || asked->done > follower->first))
            verdict_add(checking->verdict, FAULT_EARLY,
                        "request %u, behind a batch, while request %u of it had not ended", last, number);
    }
    if (rows != 0 && rows != head->lines)
        verdict_add(checking->verdict, FAULT_PART, "of the %u jobs from request %u on %u are in the store",
                    head->lines, head->number, rows);
}

/* A retry that was acknowledged has changed the row, and there is a start since it was sent. */
static void check_retries(struct checking *checking, const struct asked *asked)
{
    const struct entry *entry;
    bool started = false;
    char id[ID_TEXT_BYTES];
    id_format(asked->row, id);
    for (size_t place = first_of(checking, asked->row);
         asked->retried > 0 && (entry = entry_at(checking, place, asked->row)) != NULL; place++)
        started |= strcmp(entry->what, "start") == 0 && entry->at_ns > asked->retried_ns;
    if (asked->retried > asked->ran_again || (asked->retried > 0 && !started))
        verdict_add(checking->verdict, FAULT_AGAIN,
                    "%s: of %u retries that were acknowledged %u are in the store%s", id, asked->retried,
                    asked->ran_again, started ? "" : ", and it did not start again");
    else if (asked->ran_again > asked->retries - asked->unretried)
        verdict_add(checking->verdict, FAULT_CHANGED,
                    "%s: run again %u times, asked for and not refused %u times", id, asked->ran_again,
                    asked->retries - asked->unretried);
}

static void check_asked(struct checking *checking)
{
    for (size_t i = 0; i < checking->evidence.asked_count; i++) {
        const struct asked *asked = &checking->evidence.asked[i];
        if (!asked->known)
            continue;
        check_record(checking, asked);
        check_order(checking, asked);
        check_retries(checking, asked);
        if (asked->lines > 0)
            check_batch(checking, asked);
    }
}

/* --- the attempts --- */

static void check_entries(struct checking *checking)
{
    static const struct {
        const char *what;
        enum torture_fault fault;
    } SAID[] = {{"overlap", FAULT_OVERLAP}, {"clash", FAULT_CLASH}, {"garbled", FAULT_GARBLED}};
    for (size_t i = 0; i < checking->evidence.entry_count; i++) {
        const struct entry *entry = &checking->evidence.entries[i];
        char id[ID_TEXT_BYTES];
        id_format(entry->id, id);
        for (size_t j = 0; j < sizeof SAID / sizeof SAID[0]; j++)
            if (strcmp(entry->what, SAID[j].what) == 0)
                verdict_add(checking->verdict, SAID[j].fault, "%s, attempt %u in process %d", id,
                            entry->attempt, entry->pid);
    }
}

/* What was asked for of the job with that id, by the ledger: it has started. */
static struct asked *asked_of(struct checking *checking, struct id id)
{
    const struct entry *entry = entry_at(checking, first_of(checking, id), id);
    return entry == NULL ? NULL : evidence_find(&checking->evidence, entry->number);
}

/* A job that is run again on request leaves its terminal state: no more of that than was asked for. */
static void note_change(void *context, const struct witness_note *note)
{
    struct checking *checking = context;
    struct asked *asked = asked_of(checking, note->id);
    char id[ID_TEXT_BYTES];
    if (asked != NULL && asked->retries > 0 && !note->deleted && !job_is_terminal(note->after)) {
        asked->ran_again++;
        return;
    }
    id_format(note->id, id);
    verdict_add(checking->verdict, FAULT_CHANGED, "%s: %s → %s", id, job_state_text(note->before),
                note->deleted ? "deleted" : job_state_text(note->after));
}

/* --- the server's log --- */

/* The signal that a front or a worker died by, 0 if the line is about something else. */
static int death_in(const char *line)
{
    const char *signal = strstr(line, "\"signal\":");
    bool dies =
        strstr(line, "\"event\":\"front.die\"") != NULL || strstr(line, "\"event\":\"worker.die\"") != NULL;
    return dies && signal != NULL ? atoi(signal + strlen("\"signal\":")) : 0;
}

static bool is_abort(const char *line)
{
    static const char *const SIGNS[] = {"broken invariant", "ERROR: AddressSanitizer", "ERROR: LeakSanitizer",
                                        "runtime error:"};
    static const int SIGNALS[] = {SIGABRT, SIGBUS, SIGFPE, SIGILL};
    bool found = false;
    for (size_t i = 0; i < sizeof SIGNS / sizeof SIGNS[0]; i++)
        found |= strstr(line, SIGNS[i]) != NULL;
    for (size_t i = 0; i < sizeof SIGNALS / sizeof SIGNALS[0]; i++)
        found |= death_in(line) == SIGNALS[i];
    return found;
}

/* Under a sanitizer one may say so instead of dying by it. */
static bool is_segv(const char *line)
{
    return death_in(line) == SIGSEGV || strstr(line, "ERROR: AddressSanitizer: SEGV") != NULL;
}

static size_t own_segvs(const struct verdict *verdict)
{
    size_t own = 0;
    for (int victim = 0; victim < VICTIM_COUNT; victim++)
        own += victim == VICTIM_CHILD ? 0 : verdict->kills[victim][BLOW_SEGV];
    return own;
}

/* Aborts, what a sanitizer has found, and more deaths by SIGSEGV than we have sent. */
static enum err check_log(struct checking *checking, const char *folder)
{
    char path[TORTURE_PATH_BYTES + 32], *line = NULL;
    size_t room = 0, segvs = 0;
    snprintf(path, sizeof path, "%s/server.log", folder);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return ERR_SYSTEM;
    while (getline(&line, &room, file) >= 0) {
        line[strcspn(line, "\n")] = '\0';
        if (is_segv(line))
            segvs++;
        else if (is_abort(line))
            verdict_add(checking->verdict, FAULT_ENDED, "%s", line);
    }
    if (segvs > own_segvs(checking->verdict))
        verdict_add(checking->verdict, FAULT_ENDED, "%zu deaths by SIGSEGV, and only %zu were brought about",
                    segvs, own_segvs(checking->verdict));
    free(line);
    fclose(file);
    return ERR_OK;
}

/* --- how soon a job runs again --- */

static bool is_heavy(const struct blow *blow)
{
    return blow->victim == VICTIM_FRONT || blow->victim == VICTIM_SUPERVISOR || blow->victim == VICTIM_GROUP;
}

/* Rule, fixed beforehand: a death counts unless front or supervisor were struck within the second before it,
 * or after it and before the next start of its job. */
static bool is_disturbed(const struct evidence *evidence, int64_t from_ns, int64_t to_ns)
{
    for (size_t i = 0; i < evidence->blow_count; i++) {
        const struct blow *blow = &evidence->blows[i];
        if (is_heavy(blow) && blow->at_ns >= from_ns - NS_PER_SEC && blow->at_ns <= to_ns)
            return true;
    }
    return false;
}

/* The first entry that is not before that time. Records are nearly in the order of their clocks: good enough
 * to begin a search. */
static size_t entries_before(const struct evidence *evidence, int64_t at_ns)
{
    size_t low = 0, high = evidence->entry_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (evidence->entries[middle].at_ns < at_ns)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* What that process ran then: its last record before, if that is a start. */
static const struct entry *running_at(const struct evidence *evidence, const struct blow *blow)
{
    for (size_t i = entries_before(evidence, blow->at_ns); i > 0; i--) {
        const struct entry *entry = &evidence->entries[i - 1];
        if (entry->worker == blow->pid && entry->at_ns < blow->at_ns)
            return strcmp(entry->what, "start") == 0 ? entry : NULL;
        if (entry->at_ns < blow->at_ns - LOOK_BACK_S * NS_PER_SEC)
            break;
    }
    return NULL;
}

/* The server's own clock, between the death and the next start; -1: it says nothing. */
static int64_t requeued_ns(const struct evidence *evidence, const struct blow *blow, const struct entry *next)
{
    int64_t most_ms = (next->at_ns - blow->at_ns) / NS_PER_MS + 2;
    for (size_t i = 0; i < evidence->requeue_count; i++) {
        int64_t ms = evidence->requeues[i].real_ms - blow->real_ms;
        if (ms >= 0 && ms <= most_ms && id_equal(evidence->requeues[i].id, next->id))
            return ms * NS_PER_MS;
    }
    return -1;
}

static void measure_next(struct checking *checking, const struct blow *blow, const struct entry *next)
{
    const struct evidence *evidence = &checking->evidence;
    const struct asked *asked = evidence_find(&checking->evidence, next->number);
    int64_t requeued = requeued_ns(evidence, blow, next);
    if (is_disturbed(evidence, blow->at_ns, next->at_ns))
        return;
    if (requeued >= 0)
        samples_add(&checking->verdict->requeued, requeued);
    if (asked != NULL && asked->priority == PRIORITY_COUNT - 1)
        samples_add(&checking->verdict->again, next->at_ns - blow->at_ns);
}

/* Its command was struck before: then that attempt may have ended without a record, and the worker waited. */
static bool was_struck(const struct evidence *evidence, const struct entry *run, const struct blow *before)
{
    for (const struct blow *blow = evidence->blows; blow < before; blow++)
        if (blow->victim == VICTIM_CHILD && blow->pid == run->pid && blow->at_ns > run->at_ns)
            return true;
    return false;
}

static void measure_blow(struct checking *checking, const struct blow *blow)
{
    const struct entry *run = running_at(&checking->evidence, blow), *entry;
    if (run == NULL || was_struck(&checking->evidence, run, blow))
        return;
    for (size_t place = first_of(checking, run->id); (entry = entry_at(checking, place, run->id)) != NULL;
         place++)
        if (entry->at_ns > blow->at_ns && strcmp(entry->what, "start") == 0) {
            measure_next(checking, blow, entry);
            return;
        }
}

static void measure(struct checking *checking)
{
    for (size_t i = 0; i < checking->evidence.blow_count; i++) {
        const struct blow *blow = &checking->evidence.blows[i];
        if (blow->victim == VICTIM_WORKER && blow->signal == BLOW_KILL) /* others wait if it is stopped */
            measure_blow(checking, blow);
    }
}

enum err torture_check(const char *folder, struct verdict *verdict)
{
    struct checking checking = {.verdict = verdict};
    char url[TORTURE_PATH_BYTES];
    torture_store_url(folder, url);
    enum err err = evidence_read(folder, &checking.evidence, verdict);
    if (err == ERR_OK)
        err = sort_entries(&checking);
    if (err == ERR_OK)
        err = store_reader_open(url, &checking.reader);
    if (err == ERR_OK)
        err = check_rows(&checking);
    if (err == ERR_OK) {
        check_entries(&checking);
        measure(&checking);
        err = witness_read(url, note_change, &checking);
    }
    if (err == ERR_OK) {
        check_asked(&checking);
        err = ticks_check(&checking.ticks, checking.reader, verdict);
    }
    if (err == ERR_OK)
        err = check_log(&checking, folder);
    if (err == ERR_OK)
        err = soak_check(folder, verdict);
    store_reader_close(checking.reader);
    free(checking.by_id);
    ticks_fini(&checking.ticks);
    evidence_fini(&checking.evidence);
    return err;
}
