/* What holds of whatever codec_submission accepts or refuses. */
#ifndef FORKPOOL_TESTS_SUBMISSION_FUZZ_H
#define FORKPOOL_TESTS_SUBMISSION_FUZZ_H

#include "api/submission.h"
#include "fuzz.h"

#include "extras.h"

static inline void holds_problem(const struct problem *problem, enum err err)
{
    struct buf out = {0};
    HOLDS(problem->err == err && err != ERR_OK, "refused as %d, said %d", (int)err, (int)problem->err);
    HOLDS(problem->detail.bytes > 0, "no detail");
    problem_write(problem, "req-1", &out);
    holds_json("a problem", out.data, out.bytes);
    buf_fini(&out);
}

static inline size_t elements(struct json_span array)
{
    struct json_span element;
    size_t at = 0, count = 0;
    while (array.at != NULL && extras_element(array, &at, &element))
        count++;
    return count;
}

/* Canonical (extras.h): members of the table, in its order, without white space outside of strings. */
static inline void holds_canonical(struct text extras)
{
    struct json_scan scan;
    struct json_span found;
    size_t next = 0;
    if (extras.bytes == 0)
        return;
    holds_json("extras", extras.at, extras.bytes);
    HOLDS(json_scan(extras.at, extras.bytes, &scan, NULL) == ERR_OK && scan.type == '{' &&
              scan.member_count > 0 && scan.member_count <= EXTRA_COUNT,
          "extras are no object of members");
    HOLDS(codec_compact_bytes(scan.value) == extras.bytes, "white space: %.*s", (int)extras.bytes, extras.at);
    for (size_t i = 0; i < scan.member_count; i++) {
        while (next < EXTRA_COUNT && !json_key_is(scan.members[i].key, extra_member((enum extra)next)))
            next++;
        HOLDS(next < EXTRA_COUNT, "unknown, or out of order: %.*s", (int)extras.bytes, extras.at);
        HOLDS(extras_find(extras, (enum extra)next, &found) && found.at == scan.members[i].value.at &&
                  found.bytes == scan.members[i].value.bytes,
              "%s is not found again", extra_member((enum extra)next));
        next++;
    }
}

static inline void holds_rules(struct text extras)
{
    struct json_span span = {0};
    if (!extras_find(extras, EXTRA_RETRY, &span))
        return;
    struct retry_rules rules = retry_rules_read(span);
    HOLDS(rules.interval_count > 0 || rules.max_age_ms >= 0 || rules.on_count > 0 || rules.never_count > 0,
          "empty rules: %.*s", (int)span.bytes, span.at);
    for (size_t i = 0; i < rules.interval_count; i++)
        HOLDS(rules.intervals_ms[i] >= 0 && rules.intervals_ms[i] <= 2592000000, "an interval");
    for (size_t i = 0; i < rules.on_count; i++)
        HOLDS(rules.on[i][0] != '\0' && strlen(rules.on[i]) < ERROR_CODE_BYTES, "a code");
}

static inline void holds_together(const struct job *job, bool bulk)
{
    static struct id ids[AFTER_MAX];
    struct unique_rule rule;
    struct json_span span = {0};
    bool unique = extras_unique(job->extras, &rule);
    HOLDS(unique == ((job->spec.flags & JOB_FLAG_UNIQUE) != 0), "flag and extras differ: unique");
    HOLDS(unique == extras_find(job->extras, EXTRA_UNIQUE, &span), "unique is unreadable");
    HOLDS(!unique || (rule.key[0] != '\0' && strlen(rule.key) < KEY_BYTES && rule.period_ms >= 0 &&
                      rule.on_conflict < CONFLICT_COUNT),
          "a rule of uniqueness");
    span = (struct json_span){0};
    bool after = extras_find(job->extras, EXTRA_AFTER, &span);
    size_t count = extras_after(job->extras, ids), listed = elements(span);
    HOLDS(after == ((job->spec.flags & JOB_FLAG_INPUTS) != 0), "flag and extras differ: after");
    HOLDS(!after || (listed > 0 && listed <= AFTER_MAX), "%zu in after", listed);
    HOLDS(bulk ? count <= listed : count == listed, "of %zu in after, %zu are read", listed, count);
    HOLDS(bulk || !extras_find(job->extras, EXTRA_REF, &span), "a ref outside of a bulk request");
}

static inline bool ends(const char *text, size_t room)
{
    return memchr(text, '\0', room) != NULL;
}

static inline void holds_spec(const struct job_spec *spec)
{
    HOLDS(job_name_ok(spec->task) && job_name_ok(spec->queue), "task or queue");
    HOLDS(spec->priority < PRIORITY_COUNT && spec->durability < DURABILITY_COUNT &&
              spec->after_policy < AFTER_POLICY_COUNT && spec->retry.backoff < BACKOFF_COUNT,
          "an enumeration");
    HOLDS(spec->retry.jitter <= 100 && spec->retry.max_attempts >= 1 && spec->retry.initial_ms >= 0 &&
              spec->retry.max_ms >= 0,
          "retry");
    HOLDS(spec->timeout_ms > 0 && spec->kill_after_ms >= 0, "timeout");
    HOLDS(spec->scheduled_ms >= 0 && spec->expires_ms >= 0 && spec->run_at_ms >= 0 && spec->created_ms > 0,
          "a time");
    HOLDS(ends(spec->idempotency_key, KEY_BYTES) && ends(spec->concurrency_key, KEY_BYTES) &&
              ends(spec->traceparent, TRACEPARENT_BYTES),
          "a text has no end");
    HOLDS(job_lane(spec) >= 0, "lane");
}

static inline void holds_job(const struct job *job, bool bulk)
{
    holds_spec(&job->spec);
    holds_canonical(job->extras);
    holds_rules(job->extras);
    holds_together(job, bulk);
    if (job->args.bytes > 0)
        holds_json("args", job->args.at, job->args.bytes);
    if (job->tags.bytes > 0)
        holds_json("tags", job->tags.at, job->tags.bytes);
    for (int whole = 0; whole < 2; whole++) {
        struct buf out = {0};
        codec_job(&out, job, whole);
        holds_json("the document", out.data, out.bytes);
        buf_fini(&out);
    }
}

#endif
