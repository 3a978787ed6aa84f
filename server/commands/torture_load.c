#include "torture_private.h"

#include "clock.h"
#include "json.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum {
    PATIENCE_S = 10,        /* for an answer; then it is unknown */
    PAUSE_MS = 10,          /* before a request is repeated */
    PAUSED_MOST_MS = 700,   /* how long the queue is paused, */
    RESUMED_MOST_MS = 5000, /* and is not */
    AGAIN_MS = 200,         /* before what was refused is tried again */
    LOOK_MS = 40,           /* before a job that has not ended is looked at again */
    CARD_MS = 15,
    TIDE_MS = 1500, /* how long one limit on open jobs holds */
    LOG_BYTES = TORTURE_PATH_BYTES + 32
};

static const enum torture_expect EXPECTS[] = {
#define K(name, text, share, commands, end) EXPECT_##end,
    TORTURE_KINDS(K)
#undef K
};

static const enum errand ERRANDS[KIND_COUNT] = {[KIND_CANCELLED] = ERRAND_CANCEL,
                                                [KIND_CHANGED] = ERRAND_CHANGE,
                                                [KIND_RERUN] = ERRAND_RETRY,
                                                [KIND_REVIVED] = ERRAND_RETRY,
                                                [KIND_MEMORY] = ERRAND_LOOK};

/* --------------------------------------------------------------------------------------- the client's log */

/* Each line in one write: what was asked stands there before it is sent. */
void load_note(struct load *load, enum torture_diary word, const char *format, ...)
{
    va_list list;
    fprintf(load->diary, "%s %" PRId64 " ", torture_diary_texts[word], clock_mono_ns());
    va_start(list, format);
    vfprintf(load->diary, format, list);
    va_end(list);
    fputc('\n', load->diary);
    fflush(load->diary);
}

void load_note_start(struct load *load)
{
    load_note(load, DIARY_STARTED, "%u %" PRId64, load->instance->lives, clock_real_ms());
}

static void note_asked(struct load *load, unsigned number)
{
    const struct planned *job = &load->jobs[number];
    char after[64] = "-";
    size_t bytes = 0;
    for (unsigned i = 0; i < job->after_count; i++)
        bytes +=
            (size_t)snprintf(after + bytes, sizeof after - bytes, "%s%u", i == 0 ? "" : ",", job->after[i]);
    load_note(load, DIARY_ASKED, "%u %s %s %u %u %s", number, torture_kind_texts[job->kind],
              torture_expect_texts[EXPECTS[job->kind]], job->priority, job->order.padding, after);
}

/* --------------------------------------------------------------------------------------- begin and end */

bool load_init(struct load *load, struct instance *instance)
{
    char path[LOG_BYTES];
    *load = (struct load){.instance = instance, .dice = {instance->options->seed}, .job_room = 1024};
    for (size_t i = 0; i <= LANES; i++)
        http_client_init(&load->lanes[i].client);
    load->job_count = 1;
    load->jobs = calloc(load->job_room, sizeof *load->jobs);
    snprintf(path, sizeof path, "%s/client.log", instance->folder);
    load->diary = fopen(path, "ae");
    if (load->jobs != NULL && load->diary != NULL)
        return true;
    fprintf(stderr, "forkpool: torture: %s: %s\n", path, strerror(errno));
    return false;
}

void load_fini(struct load *load)
{
    for (size_t i = 0; i <= LANES; i++)
        http_client_fini(&load->lanes[i].client);
    if (load->diary != NULL)
        fclose(load->diary);
    free(load->jobs);
}

bool load_is_done(const struct load *load)
{
    for (size_t i = 0; i < LANES; i++)
        if (load->lanes[i].errand != ERRAND_NONE)
            return false;
    return load->schedules_done == load->schedules_wanted && !load->paused && !load->pausing &&
           load->unsettled == 0 && load->due_count == 0 && load->card_ns > 0 && load->card.open == 0 &&
           load->acked_counted == load->acked;
}

/* --------------------------------------------------------------------------------------- asking */

/* How many jobs a request asks for. */
static unsigned lines_of(const struct planned *job)
{
    return job->lines > 0 ? job->lines : 1;
}

static void note_submit(struct load *load, unsigned number)
{
    struct planned *job = &load->jobs[number];
    if (job->asked) {
        load_note(load, DIARY_REPEATED, "%u", number);
        return;
    }
    job->asked = true;
    for (unsigned i = 0; i < lines_of(job); i++)
        note_asked(load, number + i);
    if (job->lines > 0)
        load_note(load, DIARY_BULK, "%u %u", number, job->lines);
}

static void send_submit(struct load *load, struct lane *lane)
{
    BUF_AUTO body = {0};
    const struct planned *job = &load->jobs[lane->number];
    const char *path = job->lines > 0             ? "/v1/jobs/bulk"
                       : job->kind == KIND_WAITED ? "/v1/jobs?wait=2"
                                                  : "/v1/jobs";
    char headers[96], key[TORTURE_KEY_BYTES];
    torture_key(lane->number, key);
    snprintf(headers, sizeof headers, "Idempotency-Key: %s\r\n%s", key,
             job->lines > 0 ? "Content-Type: application/x-ndjson\r\n" : "");
    plan_body(load, lane->number, &body);
    if (body.failed)
        return; /* again in the next turn */
    note_submit(load, lane->number);
    lane->sent = http_client_send(&lane->client, load->instance->port, "POST", path, headers, body.data);
}

/* Something of a job that is there. */
static void send_of_job(struct load *load, struct lane *lane)
{
    const struct planned *job = &load->jobs[lane->number];
    char path[64], body[64];
    bool change = lane->errand == ERRAND_CHANGE;
    snprintf(path, sizeof path, "/v1/jobs/%s%s", job->id,
             change                         ? ""
             : lane->errand == ERRAND_RETRY ? "/retry"
                                            : "/cancel");
    snprintf(body, sizeof body, "{\"priority\":%u,\"scheduled_at\":null}", job->new_priority);
    if (change)
        load_note(load, DIARY_CHANGE, "%u %u", lane->number, job->new_priority);
    else if (lane->errand == ERRAND_RETRY)
        load_note(load, DIARY_RETRY, "%u", lane->number);
    lane->sent = http_client_send(&lane->client, load->instance->port, change ? "PATCH" : "POST", path,
                                  change ? "" : "Content-Length: 0\r\n", change ? body : NULL);
}

static void send_look(struct load *load, struct lane *lane)
{
    char path[64];
    snprintf(path, sizeof path, "/v1/jobs/%s", load->jobs[lane->number].id);
    lane->sent = http_client_send(&lane->client, load->instance->port, "GET", path, "", NULL);
}

/* To make one, or to pause it: that keeps what it has counted. */
static void send_schedule(struct load *load, struct lane *lane)
{
    BUF_AUTO body = {0};
    char path[64], name[TORTURE_KEY_BYTES];
    bool make = load->schedules_done < SCHEDULE_COUNT;
    enum torture_schedule schedule = (enum torture_schedule)(load->schedules_done % SCHEDULE_COUNT);
    torture_schedule_name(schedule, name);
    snprintf(path, sizeof path, "/v1/schedules/%s%s", name, make ? "" : "/pause");
    plan_schedule(load, schedule, &body);
    if (!body.failed)
        lane->sent = http_client_send(&lane->client, load->instance->port, make ? "PUT" : "POST", path,
                                      make ? "" : "Content-Length: 0\r\n", make ? body.data : NULL);
}

static void send_pause(struct load *load, struct lane *lane)
{
    if (load->paused)
        load_note(load, DIARY_RESUME, "%" PRId64, clock_real_ms());
    lane->sent = http_client_send(&lane->client, load->instance->port, "POST",
                                  load->paused ? "/v1/queues/" TORTURE_QUEUE "/resume"
                                               : "/v1/queues/" TORTURE_QUEUE "/pause",
                                  "Content-Length: 0\r\n", NULL);
}

static void send_card(struct load *load, struct lane *lane)
{
    load->card_asked_ns = clock_mono_ns();
    load->acked_then = load->acked;
    lane->sent = http_client_send(&lane->client, load->instance->port, "GET", "/v1/stats", "", NULL);
}

static void pause_lane(struct lane *lane, int64_t now, int64_t ms)
{
    lane->sent = false;
    lane->not_before_ns = now + ms * NS_PER_MS;
}

static void send_errand(struct load *load, struct lane *lane, int64_t now)
{
    lane->since_ns = now;
    if (lane->errand == ERRAND_SUBMIT)
        send_submit(load, lane);
    else if (lane->errand == ERRAND_CARD)
        send_card(load, lane);
    else if (lane->errand == ERRAND_SCHEDULE)
        send_schedule(load, lane);
    else if (lane->errand == ERRAND_PAUSE)
        send_pause(load, lane);
    else if (lane->errand == ERRAND_LOOK)
        send_look(load, lane);
    else
        send_of_job(load, lane);
    if (!lane->sent)
        pause_lane(lane, now, PAUSE_MS);
}

/* --------------------------------------------------------------------------------------- what to ask */

/* The limit on jobs that could run rises and falls, so that workers now wait for jobs and now jobs for
 * workers. */
static bool may_submit(struct load *load, int64_t now)
{
    unsigned workers = load->instance->options->workers;
    if (!load->pouring || (load->most > 0 && load->job_count > load->most))
        return false;
    if (load->calm)
        load->limit = workers * 16;
    else if (now >= load->limit_until_ns) {
        load->limit = dice_between(&load->dice, 1, 4) == 1
                          ? workers * 60
                          : dice_between(&load->dice, workers / 2, workers * 16);
        load->limit_until_ns = now + TIDE_MS * NS_PER_MS;
    }
    return (unsigned)load->card.ready + (load->acked - load->acked_counted) + load->unsettled < load->limit;
}

static void add_due(struct load *load, unsigned number, enum errand errand, int64_t at_ns)
{
    if (errand == ERRAND_NONE || load->due_count == DUE_MAX)
        return;
    load->due[load->due_count].number = number;
    load->due[load->due_count].errand = errand;
    load->due[load->due_count++].at_ns = at_ns;
}

/* Takes one that is due from the list; false if there is none. */
static bool take_due(struct load *load, struct lane *lane, int64_t now)
{
    for (size_t i = 0; i < load->due_count; i++) {
        if (load->due[i].at_ns > now)
            continue;
        lane->number = load->due[i].number;
        lane->errand = load->due[i].errand;
        load->due[i] = load->due[--load->due_count];
        return true;
    }
    return false;
}

/* While it kills; at its end nothing stays paused. */
static bool is_pause_due(const struct load *load, int64_t now)
{
    bool kills = load->pouring && !load->calm;
    return !load->pausing &&
           (load->paused ? !kills || now >= load->pause_due_ns : kills && now >= load->pause_due_ns);
}

static void choose_errand(struct load *load, struct lane *lane, int64_t now)
{
    if (load->schedules_done < load->schedules_wanted && !load->scheduling) {
        load->scheduling = true;
        lane->errand = ERRAND_SCHEDULE;
        return;
    }
    if (is_pause_due(load, now)) {
        load->pausing = true;
        lane->errand = ERRAND_PAUSE;
        return;
    }
    if (take_due(load, lane, now))
        return;
    if (may_submit(load, now)) {
        unsigned number = load->job_count;
        const struct planned *job = plan_next(load);
        if (job == NULL || (job->lines > 0 && !plan_batch(load, number)))
            return;
        lane->errand = ERRAND_SUBMIT;
        lane->number = number;
        load->asked += load->job_count - number;
        load->unsettled += load->job_count - number;
    }
}

/* --------------------------------------------------------------------------------------- answers */

static bool member_of(struct json_span object, const char *name, struct json_span *value)
{
    struct json_scan scan;
    if (json_scan(object.at, object.bytes, &scan, NULL) != ERR_OK || scan.type != '{')
        return false;
    for (size_t i = 0; i < scan.member_count && i < JSON_MAX_MEMBERS; i++)
        if (json_key_is(scan.members[i].key, name)) {
            *value = scan.members[i].value;
            return true;
        }
    return false;
}

static bool text_of(const struct lane *lane, const char *name, char *out, size_t room)
{
    const char *body = http_client_body(&lane->client);
    struct json_span value;
    return member_of((struct json_span){body, strlen(body)}, name, &value) && json_text(value, out, room);
}

static int64_t number_in(struct json_span document, const char *object, const char *name)
{
    struct json_span inner, value;
    int64_t number = -1;
    if (!member_of(document, object, &inner) || !member_of(inner, name, &value) || !json_int(value, &number))
        return -1;
    return number;
}

static void settle(struct load *load, struct lane *lane)
{
    lane->errand = ERRAND_NONE;
    load->unsettled -= lines_of(&load->jobs[lane->number]);
}

/* The ids in the order of the lines. */
static void take_batch(struct load *load, struct lane *lane)
{
    const char *at = strstr(http_client_body(&lane->client), "\"ids\":[");
    unsigned lines = load->jobs[lane->number].lines, i = 0;
    at = at == NULL ? "" : at + strlen("\"ids\":[");
    for (struct planned *job; i < lines && *at == '"' && strlen(at) > ID_TEXT_BYTES; i++) {
        job = &load->jobs[lane->number + i];
        text_copy(job->id, sizeof job->id, at + 1, ID_TEXT_BYTES - 1);
        job->acked = true;
        load->acked++;
        load_note(load, DIARY_ACKED, "%u %s", lane->number + i, job->id);
        at += ID_TEXT_BYTES + 1;
        at += *at == ',';
    }
    if (i < lines)
        load_note(load, DIARY_ODD, "%u %d with %u ids for %u lines", lane->number,
                  http_client_status(&lane->client), i, lines);
    settle(load, lane);
}

/* True if the answer says that the job has ended. */
static bool take_state(struct load *load, struct lane *lane)
{
    char state[16] = "";
    enum job_state told;
    if (!text_of(lane, "state", state, sizeof state) || !job_state_parse(state, &told) ||
        !job_is_terminal(told))
        return false;
    load_note(load, DIARY_ENDED, "%u %s", lane->number, state);
    return true;
}

static void take_document(struct load *load, struct lane *lane, int64_t now)
{
    struct planned *job = &load->jobs[lane->number];
    char id[ID_TEXT_BYTES] = "-", unique[8] = "";
    bool returned = http_client_header(&lane->client, "unique-returned", unique, sizeof unique);
    (void)text_of(lane, "id", id, sizeof id);
    load_note(load, returned ? DIARY_RETURNED : DIARY_ACKED, "%u %s", lane->number, id);
    if (!returned) {
        memcpy(job->id, id, sizeof id);
        job->acked = true;
        load->acked++;
        (void)take_state(load, lane);
    }
    if (job->acked)
        add_due(load, lane->number, ERRANDS[job->kind], now + job->errand_ms * NS_PER_MS);
    settle(load, lane);
}

/* 503 and 429: not now. 409: its uniqueness key is held, or a worker runs the one to be replaced. */
static void take_submit(struct load *load, struct lane *lane, int64_t now)
{
    int status = http_client_status(&lane->client);
    char code[40] = "?";
    if (status == 202 && load->jobs[lane->number].lines > 0) {
        take_batch(load, lane);
        return;
    }
    if (status == 200 || status == 202) {
        take_document(load, lane, now);
        return;
    }
    if (status == 503 || status == 429) {
        pause_lane(lane, now, PAUSE_MS);
        return;
    }
    (void)text_of(lane, "code", code, sizeof code);
    if (status == 409 && load->jobs[lane->number].order.unique > 0)
        load_note(load, DIARY_REFUSED, "%u", lane->number);
    else
        load_note(load, DIARY_ODD, "%u %d %s", lane->number, status, code);
    settle(load, lane);
}

/* 409: it cannot be done with a job as it is: to run again one that has not ended, say, which is tried later.
 */
static void take_of_job(struct load *load, struct lane *lane, int64_t now)
{
    static const enum torture_diary WORDS[] = {
        [ERRAND_CANCEL] = DIARY_CANCEL, [ERRAND_CHANGE] = DIARY_CHANGED, [ERRAND_RETRY] = DIARY_RETRIED};
    int status = http_client_status(&lane->client);
    bool now_not = status == 503 || status == 429;
    if (now_not && lane->errand == ERRAND_CANCEL) {
        pause_lane(lane, now, PAUSE_MS);
        return;
    }
    load_note(load,
              status == 200 || status == 202 || status == 409 || now_not ? WORDS[lane->errand] : DIARY_ODD,
              "%u %d", lane->number, status);
    if (now_not || (lane->errand == ERRAND_RETRY && status == 409))
        add_due(load, lane->number, lane->errand, now + AGAIN_MS * NS_PER_MS);
    lane->errand = ERRAND_NONE;
}

/* Again until it has ended, or is not there any more: then the checker knows how long memory alone had it. */
static void take_look(struct load *load, struct lane *lane, int64_t now)
{
    int status = http_client_status(&lane->client);
    bool now_not = status == 503 || status == 429;
    if (status == 404)
        load_note(load, DIARY_GONE, "%u", lane->number);
    else if (status != 200 && !now_not)
        load_note(load, DIARY_ODD, "%u %d to a look", lane->number, status);
    if (now_not || (status == 200 && !take_state(load, lane)))
        add_due(load, lane->number, ERRAND_LOOK, now + LOOK_MS * NS_PER_MS);
    lane->errand = ERRAND_NONE;
}

static void take_card(struct load *load, struct lane *lane)
{
    const char *body = http_client_body(&lane->client);
    struct json_span document = {body, strlen(body)};
    struct report_card card = {.open = 0};
    int status = http_client_status(&lane->client);
    lane->errand = ERRAND_NONE;
    if (status != 200 && status != 503)
        load_note(load, DIARY_ODD, "0 %d", status); /* 0: no request of a job */
    if (status != 200)
        return;
    for (int state = 0; state < JOB_STATE_COUNT; state++) {
        card.jobs[state] = number_in(document, "jobs", job_state_text((enum job_state)state));
        card.open += job_is_terminal((enum job_state)state) ? 0 : card.jobs[state];
    }
    card.ready = card.jobs[JOB_QUEUED] + card.jobs[JOB_RUNNING];
    card.slots_used = number_in(document, "slots", "used");
    card.arena_used = number_in(document, "arena", "used");
    card.workers = number_in(document, "workers", "total");
    load->card = card;
    load->card_ns = load->card_asked_ns;
    load->acked_counted = load->acked_then;
}

static void take_schedule(struct load *load, struct lane *lane, int64_t now)
{
    int status = http_client_status(&lane->client);
    if (status != 200 && status != 201) {
        if (status != 503 && status != 429)
            load_note(load, DIARY_ODD, "0 %d to a schedule", status);
        pause_lane(lane, now, PAUSE_MS);
        return;
    }
    load->schedules_done++;
    load->scheduling = false;
    lane->errand = ERRAND_NONE;
}

static void take_pause(struct load *load, struct lane *lane, int64_t now)
{
    int status = http_client_status(&lane->client);
    if (status != 200) {
        if (status != 503 && status != 429)
            load_note(load, DIARY_ODD, "0 %d to a pause or resume", status);
        pause_lane(lane, now, PAUSE_MS);
        return;
    }
    load->paused = !load->paused;
    load->pausing = false;
    load->pause_due_ns =
        now + dice_between(&load->dice, 1, load->paused ? PAUSED_MOST_MS : RESUMED_MOST_MS) * NS_PER_MS;
    if (load->paused)
        load_note(load, DIARY_PAUSED, "%" PRId64, clock_real_ms());
    lane->errand = ERRAND_NONE;
}

static void take_answer(struct load *load, struct lane *lane, int64_t now)
{
    lane->sent = false;
    if (lane->errand == ERRAND_SUBMIT)
        take_submit(load, lane, now);
    else if (lane->errand == ERRAND_CARD)
        take_card(load, lane);
    else if (lane->errand == ERRAND_SCHEDULE)
        take_schedule(load, lane, now);
    else if (lane->errand == ERRAND_PAUSE)
        take_pause(load, lane, now);
    else if (lane->errand == ERRAND_LOOK)
        take_look(load, lane, now);
    else
        take_of_job(load, lane, now);
}

/* No answer: a submission and a cancel are asked again, with the same key. */
static void lose_answer(struct load *load, struct lane *lane, int64_t now)
{
    http_client_close(&lane->client);
    if (lane->errand == ERRAND_SUBMIT)
        load_note(load, DIARY_UNKNOWN, "%u", lane->number);
    if (lane->errand == ERRAND_CARD)
        lane->errand = ERRAND_NONE;
    pause_lane(lane, now, PAUSE_MS);
}

/* --------------------------------------------------------------------------------------- a turn */

static void hear_lane(struct load *load, struct lane *lane, int64_t now)
{
    enum http_turn turn = http_client_turn(&lane->client);
    if (turn == HTTP_ANSWERED)
        take_answer(load, lane, now);
    else if (turn == HTTP_BROKEN || now - lane->since_ns > PATIENCE_S * NS_PER_SEC)
        lose_answer(load, lane, now);
}

static void lane_turn(struct load *load, struct lane *lane, int64_t now)
{
    if (lane->sent && (lane->ready || now - lane->since_ns > PATIENCE_S * NS_PER_SEC))
        hear_lane(load, lane, now);
    if (lane->sent || now < lane->not_before_ns)
        return;
    if (lane->errand == ERRAND_NONE && lane != &load->lanes[LANES])
        choose_errand(load, lane, now);
    if (lane->errand == ERRAND_NONE && lane == &load->lanes[LANES] && now >= load->card_due_ns) {
        lane->errand = ERRAND_CARD;
        load->card_due_ns = now + CARD_MS * NS_PER_MS;
    }
    if (lane->errand != ERRAND_NONE)
        send_errand(load, lane, now);
    if (lane->sent)
        hear_lane(load, lane, now);
}

void load_turn(struct load *load, int timeout_ms)
{
    struct pollfd polled[LANES + 1];
    for (size_t i = 0; i <= LANES; i++) {
        lane_turn(load, &load->lanes[i], clock_mono_ns());
        const struct lane *lane = &load->lanes[i];
        polled[i] = (struct pollfd){.fd = lane->sent ? lane->client.fd : -1,
                                    .events = lane->sent ? http_client_events(&lane->client) : (short)0};
    }
    (void)poll(polled, LANES + 1, timeout_ms);
    for (size_t i = 0; i <= LANES; i++)
        load->lanes[i].ready = polled[i].revents != 0;
}
