#include "job.h"

#include "check.h"
#include "clock.h"
#include "err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *text;
    bool terminal;
} STATES[JOB_STATE_COUNT] = {
#define S(name, text, terminal, number) [JOB_##name] = {text, terminal},
    JOB_STATES(S)
#undef S
};

static const char *const DURABILITY_TEXTS[DURABILITY_COUNT] = {
#define D(name, text) text,
    DURABILITIES(D)
#undef D
};

static const char *const BACKOFF_TEXTS[BACKOFF_COUNT] = {
#define B(name, text) text,
    BACKOFFS(B)
#undef B
};

static const char *const OUTCOME_TEXTS[OUTCOME_COUNT] = {
#define O(name, text) text,
    OUTCOMES(O)
#undef O
};

static const bool MOVES[JOB_STATE_COUNT][JOB_STATE_COUNT] = {
#define MOVE(from, to, why) [JOB_##from][JOB_##to] = true,
    JOB_MOVES(MOVE)
#undef MOVE
};

static const char *const AFTER_POLICY_TEXTS[AFTER_POLICY_COUNT] = {
#define A(name, text) text,
    AFTER_POLICIES(A)
#undef A
};

static const char *const PARTICIPLES[REQUEST_COUNT] = {
#define R(name, participle) participle,
    JOB_REQUESTS(R)
#undef R
};

static const struct {
    bool takes;
    const char *hint;
} TAKES[JOB_STATE_COUNT][REQUEST_COUNT] = {
#define T(state, request, takes, hint) [JOB_##state][REQUEST_##request] = {takes, hint},
    JOB_TAKES(T)
#undef T
};

static bool find_text(const char *const *texts, int count, const char *text, int *found)
{
    for (int i = 0; i < count; i++) {
        if (strcmp(texts[i], text) == 0) {
            *found = i;
            return true;
        }
    }
    return false;
}

const char *job_state_text(enum job_state state)
{
    CHECK(state < JOB_STATE_COUNT);
    return STATES[state].text;
}

bool job_state_parse(const char *text, enum job_state *state)
{
    for (int i = 0; i < JOB_STATE_COUNT; i++) {
        if (strcmp(STATES[i].text, text) == 0) {
            *state = (enum job_state)i;
            return true;
        }
    }
    return false;
}

bool job_is_terminal(enum job_state state)
{
    CHECK(state < JOB_STATE_COUNT);
    return STATES[state].terminal;
}

bool job_may_move(enum job_state from, enum job_state to)
{
    CHECK(from < JOB_STATE_COUNT && to < JOB_STATE_COUNT);
    return MOVES[from][to];
}

const char *job_refusal(enum job_state state, enum job_request request)
{
    CHECK(state < JOB_STATE_COUNT && request < REQUEST_COUNT);
    return TAKES[state][request].takes ? NULL : TAKES[state][request].hint;
}

const char *job_request_participle(enum job_request request)
{
    CHECK(request < REQUEST_COUNT);
    return PARTICIPLES[request];
}

const char *after_policy_text(enum after_policy policy)
{
    CHECK(policy < AFTER_POLICY_COUNT);
    return AFTER_POLICY_TEXTS[policy];
}

bool after_policy_parse(const char *text, enum after_policy *policy)
{
    int found;
    if (!find_text(AFTER_POLICY_TEXTS, AFTER_POLICY_COUNT, text, &found))
        return false;
    *policy = (enum after_policy)found;
    return true;
}

const char *durability_text(enum durability durability)
{
    CHECK(durability < DURABILITY_COUNT);
    return DURABILITY_TEXTS[durability];
}

bool durability_parse(const char *text, enum durability *durability)
{
    int found;
    if (!find_text(DURABILITY_TEXTS, DURABILITY_COUNT, text, &found))
        return false;
    *durability = (enum durability)found;
    return true;
}

const char *backoff_text(enum backoff backoff)
{
    CHECK(backoff < BACKOFF_COUNT);
    return BACKOFF_TEXTS[backoff];
}

bool backoff_parse(const char *text, enum backoff *backoff)
{
    int found;
    if (!find_text(BACKOFF_TEXTS, BACKOFF_COUNT, text, &found))
        return false;
    *backoff = (enum backoff)found;
    return true;
}

const char *outcome_text(enum outcome outcome)
{
    CHECK(outcome < OUTCOME_COUNT);
    return OUTCOME_TEXTS[outcome];
}

bool job_name_ok(const char *name)
{
    static const char ALLOWED[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    size_t bytes = strlen(name);
    return bytes > 0 && bytes < NAME_BYTES && strspn(name, ALLOWED) == bytes && name[0] != '.';
}

enum { LANE_BYTES = 1 + 2 * NAME_BYTES + KEY_BYTES };

int64_t job_lane(const struct job_spec *spec)
{
    static _Thread_local struct {
        char text[LANE_BYTES];
        size_t bytes;
        int64_t lane;
    } last; /* jobs of one kind come in crowds, and a digest is dear */
    char text[LANE_BYTES];
    size_t bytes = 0;
    text[bytes++] = (char)('0' + spec->priority);
    for (const char *from = spec->queue; *from != '\0'; from++)
        text[bytes++] = *from;
    text[bytes++] = '/';
    for (const char *from = spec->task; *from != '\0'; from++)
        text[bytes++] = *from;
    text[bytes++] = '/'; /* neither in names nor a first half of another name: the key is what is left */
    for (const char *from = spec->concurrency_key; *from != '\0'; from++)
        text[bytes++] = *from;
    if (bytes == last.bytes && memcmp(text, last.text, bytes) == 0)
        return last.lane;
    struct id print = id_fingerprint(text, bytes);
    memcpy(&last.lane, print.bytes, sizeof last.lane);
    memcpy(last.text, text, bytes);
    last.bytes = bytes;
    return last.lane &= INT64_MAX;
}

struct attempt attempt_blank(void)
{
    return (struct attempt){
        .cpu_us = -1, .max_rss_bytes = -1, .progress = -1, .worker = -1, .exit_code = -1, .signal = -1};
}

void attempt_expire(struct attempt *attempt, int64_t expires_ms)
{
    char time[CLOCK_TEXT_BYTES];
    clock_format(expires_ms, time);
    snprintf(attempt->error_code, sizeof attempt->error_code, "%s", err_code(ERR_EXPIRED));
    snprintf(attempt->error_message, sizeof attempt->error_message, "The job was not started by %s", time);
}

void text_copy(char *to, size_t room, const char *from, size_t bytes)
{
    if (bytes >= room) {
        bytes = room - 1;
        while (bytes > 0 &&
               ((unsigned char)from[bytes] & 0xc0) == 0x80) /* step back to a character's start */
            bytes--;
    }
    if (bytes > 0)
        memcpy(to, from, bytes);
    to[bytes] = '\0';
}

struct job *job_new(void)
{
    struct job *job = calloc(1, sizeof *job);
    if (job != NULL) {
        job->attempt = attempt_blank();
        atomic_init(&job->references, 1);
    }
    return job;
}

struct job *job_share(struct job *job)
{
    atomic_fetch_add_explicit(&job->references, 1, memory_order_relaxed);
    return job;
}

void job_free(struct job *job)
{
    if (job == NULL || atomic_fetch_sub_explicit(&job->references, 1, memory_order_acq_rel) > 1)
        return;
    for (int i = 0; i < JOB_TEXTS; i++)
        free(job->owned[i]);
    free(job);
}
