/* client.log, ledger and server.log, read. */
#include "torture_private.h"

#include "clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER_MAX = 50000000, WORD_BYTES = 16, LISTED_BYTES = 64 };

struct reading {
    struct evidence *evidence;
    struct verdict *verdict;
    bool failed; /* no memory */
};

struct asked *evidence_find(struct evidence *evidence, unsigned number)
{
    if (number >= evidence->asked_count || !evidence->asked[number].known)
        return NULL;
    return &evidence->asked[number];
}

/* The place of that number, or NULL. */
static struct asked *make_asked(struct reading *reading, unsigned number)
{
    struct evidence *evidence = reading->evidence;
    if (number >= evidence->asked_count && number < NUMBER_MAX) {
        size_t count = evidence->asked_count == 0 ? 1024 : evidence->asked_count;
        while (count <= number)
            count *= 2;
        struct asked *asked = realloc(evidence->asked, count * sizeof *asked);
        reading->failed |= asked == NULL;
        if (asked == NULL)
            return NULL;
        memset(asked + evidence->asked_count, 0, (count - evidence->asked_count) * sizeof *asked);
        evidence->asked = asked;
        evidence->asked_count = count;
    }
    return number < evidence->asked_count ? &evidence->asked[number] : NULL;
}

/* Room for one more in an array that doubles; NULL without memory. */
static void *one_more(struct reading *reading, void *array, size_t *count, size_t *room, size_t bytes)
{
    void *grown = array;
    if (*count == *room) {
        size_t more = *room == 0 ? 1024 : *room * 2;
        grown = realloc(array, more * bytes);
        reading->failed |= grown == NULL;
        if (grown == NULL)
            return NULL;
        *room = more;
    }
    (*count)++;
    return grown;
}

/* --- the client's log --- */

static void read_after(struct asked *asked, const char *list)
{
    char *end;
    for (const char *at = list; *at != '\0' && *at != '-' && asked->after_count < TORTURE_AFTER_MAX;
         at = *end == ',' ? end + 1 : end)
        asked->after[asked->after_count++] = (unsigned)strtoul(at, &end, 10);
}

static void take_asked(struct reading *reading, int64_t at_ns, unsigned number, const char *rest)
{
    char kind[WORD_BYTES], expect[WORD_BYTES], after[LISTED_BYTES];
    struct asked *asked = make_asked(reading, number);
    if (asked == NULL ||
        sscanf(rest, "%15s %15s %u %u %63s", kind, expect, &asked->priority, &asked->padding, after) != 5)
        return;
    asked->known = true;
    asked->number = number;
    asked->sent_ns = at_ns;
    asked->kind = (enum torture_kind)torture_find(torture_kind_texts, KIND_COUNT, kind);
    asked->expect = (enum torture_expect)torture_find(torture_expect_texts, EXPECT_COUNT, expect);
    read_after(asked, after);
    reading->verdict->asked++;
}

static void take_acked(struct reading *reading, struct asked *asked, const char *rest)
{
    struct id id;
    char text[ID_TEXT_BYTES] = "";
    if (sscanf(rest, "%36s", text) != 1 || id_parse(text, &id) != ERR_OK) {
        verdict_add(reading->verdict, FAULT_ANSWER, "request %u: \"%s\" is no id", asked->number, text);
        return;
    }
    if (asked->acked && !id_equal(asked->id, id))
        verdict_add(reading->verdict, FAULT_DOUBLED,
                    "request %u was acknowledged with two ids, the second is %s", asked->number, text);
    reading->verdict->acknowledged += !asked->acked;
    reading->verdict->memory += !asked->acked && asked->kind == KIND_MEMORY;
    asked->acked = true;
    asked->id = id;
}

static void take_ended(struct reading *reading, struct asked *asked, const char *rest)
{
    char state[WORD_BYTES];
    if (sscanf(rest, "%15s", state) != 1 || !job_state_parse(state, &asked->told))
        return;
    asked->ended = true;
    (void)reading;
}

/* What was asked of a job that is there, and what came of it. */
static void take_change(enum torture_diary word, struct asked *asked, int64_t at_ns, unsigned number)
{
    bool done = number == 200 || number == 202;
    if (word == DIARY_CHANGE) {
        asked->may_change = true;
        asked->new_priority = number;
    } else if (word == DIARY_CHANGED) {
        asked->changed |= done;
    } else if (word == DIARY_RETRY) {
        asked->retries++;
        asked->retry_ns = at_ns;
    } else if (done) {
        asked->retried++;
        asked->retried_ns = asked->retry_ns;
    } else {
        asked->unretried++;
    }
}

static void take_answer(struct reading *reading, enum torture_diary word, struct asked *asked, int64_t at_ns,
                        const char *rest)
{
    struct verdict *verdict = reading->verdict;
    switch (word) {
    case DIARY_REPEATED:
        verdict->repeated++;
        asked->sent_ns = at_ns;
        break;
    case DIARY_UNKNOWN:
        verdict->unknown++;
        break;
    case DIARY_ACKED:
        take_acked(reading, asked, rest);
        break;
    case DIARY_RETURNED:
        asked->returned = true;
        verdict->refused++;
        break;
    case DIARY_REFUSED:
        asked->refused = true;
        verdict->refused++;
        break;
    case DIARY_ODD:
        verdict_add(verdict, FAULT_ANSWER, "request %u: status %s", asked->number, rest);
        break;
    case DIARY_CANCEL:
        verdict->cancels++;
        break;
    case DIARY_ENDED:
        take_ended(reading, asked, rest);
        break;
    case DIARY_GONE:
        asked->gone_ns = at_ns;
        break;
    case DIARY_BULK:
        asked->lines = (unsigned)strtoul(rest, NULL, 10);
        break;
    case DIARY_CHANGE:
    case DIARY_CHANGED:
    case DIARY_RETRY:
    case DIARY_RETRIED:
        take_change(word, asked, at_ns, (unsigned)strtoul(rest, NULL, 10));
        break;
    case DIARY_ASKED:
    case DIARY_STARTED:
    case DIARY_KILLED:
    case DIARY_PAUSED:
    case DIARY_RESUME:
    case DIARY_COUNT:
        break;
    }
}

static void take_blow(struct reading *reading, int64_t at_ns, const char *rest)
{
    struct evidence *evidence = reading->evidence;
    char victim[WORD_BYTES], signal[WORD_BYTES];
    int pid, who, how;
    int64_t real_ms = 0;
    if (sscanf(rest, "%15s %15s %d %" SCNd64, victim, signal, &pid, &real_ms) < 3)
        return;
    who = torture_find(torture_victim_texts, VICTIM_COUNT, victim);
    how = torture_find(torture_blow_texts, BLOW_COUNT, signal);
    if (who == VICTIM_COUNT || how == BLOW_COUNT)
        return;
    struct blow *blows =
        one_more(reading, evidence->blows, &evidence->blow_count, &evidence->blow_room, sizeof *blows);
    if (blows == NULL)
        return;
    evidence->blows = blows;
    blows[evidence->blow_count - 1] =
        (struct blow){at_ns, real_ms, (enum torture_victim)who, (enum torture_signal)how, pid};
    reading->failed |= !falls_blow(evidence, &blows[evidence->blow_count - 1]);
    reading->verdict->kills[who][how]++;
}

static void take_start(struct reading *reading, int64_t at_ns, const char *rest)
{
    int64_t real_ms;
    falls_start(reading->evidence, at_ns);
    if (sscanf(rest, "%*u %" SCNd64, &real_ms) == 1)
        reading->evidence->real_zero_ns = at_ns - real_ms * NS_PER_MS;
}

static void take_pause(struct reading *reading, enum torture_diary word, int64_t real_ms)
{
    struct evidence *evidence = reading->evidence;
    struct pause *last = evidence->pause_count == 0 ? NULL : &evidence->pauses[evidence->pause_count - 1];
    if (word == DIARY_RESUME && last != NULL && last->to_ms == INT64_MAX)
        last->to_ms = real_ms; /* the first try counts */
    if (word == DIARY_RESUME)
        return;
    struct pause *pauses =
        one_more(reading, evidence->pauses, &evidence->pause_count, &evidence->pause_room, sizeof *pauses);
    if (pauses == NULL)
        return;
    evidence->pauses = pauses;
    pauses[evidence->pause_count - 1] = (struct pause){real_ms, INT64_MAX};
}

static void take_line(struct reading *reading, const char *line)
{
    char word[WORD_BYTES];
    int64_t at_ns;
    unsigned number;
    int bytes = 0;
    if (sscanf(line, "%15s %" SCNd64 " %n", word, &at_ns, &bytes) != 2)
        return;
    enum torture_diary diary = (enum torture_diary)torture_find(torture_diary_texts, DIARY_COUNT, word);
    const char *rest = line + bytes;
    if (diary == DIARY_KILLED) {
        take_blow(reading, at_ns, rest);
        return;
    }
    if (diary == DIARY_STARTED) {
        take_start(reading, at_ns, rest);
        return;
    }
    if (diary == DIARY_PAUSED || diary == DIARY_RESUME) {
        take_pause(reading, diary, strtoll(rest, NULL, 10));
        return;
    }
    if (sscanf(rest, "%u %n", &number, &bytes) != 1)
        return;
    rest += bytes;
    if (diary == DIARY_ASKED)
        take_asked(reading, at_ns, number, rest);
    else if (diary == DIARY_ODD && number == 0)
        verdict_add(reading->verdict, FAULT_ANSWER, "a request of no job: status %s", rest);
    else if (evidence_find(reading->evidence, number) != NULL)
        take_answer(reading, diary, evidence_find(reading->evidence, number), at_ns, rest);
}

/* --- the ledger --- */

static void mark_entry(struct evidence *evidence, size_t place)
{
    const struct entry *entry = &evidence->entries[place - 1];
    struct asked *asked = evidence_find(evidence, entry->number);
    if (asked == NULL)
        return;
    if (asked->first == 0 && strcmp(entry->what, "start") == 0)
        asked->first = place;
    if (asked->done == 0 && strcmp(entry->what, "end") == 0)
        asked->done = place;
    asked->last = place;
}

/* Records are lines; a torn one has no full stop at its end. */
static void take_entry(struct reading *reading, const char *line)
{
    struct evidence *evidence = reading->evidence;
    struct entry entry = {.attempt = 0};
    char id[ID_TEXT_BYTES], stop[2];
    if (line[0] == '\0')
        return;
    if (sscanf(line, "%7s %36s %u %u %19s %d %d %" SCNd64 " %1s", entry.what, id, &entry.number,
               &entry.attempt, entry.nonce, &entry.pid, &entry.worker, &entry.at_ns, stop) != 9 ||
        stop[0] != '.' || id_parse(id, &entry.id) != ERR_OK) {
        reading->verdict->torn++;
        return;
    }
    struct entry *entries =
        one_more(reading, evidence->entries, &evidence->entry_count, &evidence->entry_room, sizeof *entries);
    if (entries == NULL)
        return;
    evidence->entries = entries;
    entries[evidence->entry_count - 1] = entry;
    reading->verdict->starts += strcmp(entry.what, "start") == 0;
    mark_entry(evidence, evidence->entry_count);
}

/* --- the server's log --- */

/* The text of a member that is a string without escapes. */
static bool text_in(const char *line, const char *member, char *out, size_t room)
{
    char quoted[32];
    snprintf(quoted, sizeof quoted, "\"%s\":\"", member);
    const char *from = strstr(line, quoted);
    if (from == NULL)
        return false;
    from += strlen(quoted);
    text_copy(out, room, from, strcspn(from, "\""));
    return true;
}

static void take_event(struct reading *reading, const char *line)
{
    struct evidence *evidence = reading->evidence;
    struct requeue requeue;
    char event[WORD_BYTES], time[CLOCK_TEXT_BYTES], id[ID_TEXT_BYTES];
    if (!text_in(line, "event", event, sizeof event) || !text_in(line, "time", time, sizeof time) ||
        clock_parse(time, &requeue.real_ms) != ERR_OK)
        return;
    if (strcmp(event, "server.reset") == 0)
        reading->failed |= !falls_reset(evidence, requeue.real_ms);
    if ((strcmp(event, "job.lost") != 0 && strcmp(event, "job.crash") != 0) ||
        !text_in(line, "job", id, sizeof id) || id_parse(id, &requeue.id) != ERR_OK)
        return;
    struct requeue *requeues = one_more(reading, evidence->requeues, &evidence->requeue_count,
                                        &evidence->requeue_room, sizeof *requeues);
    if (requeues == NULL)
        return;
    evidence->requeues = requeues;
    requeues[evidence->requeue_count - 1] = requeue;
}

/* --- all --- */

static enum err read_lines(struct reading *reading, const char *folder, const char *name,
                           void (*take)(struct reading *, const char *))
{
    char path[TORTURE_PATH_BYTES + WORD_BYTES], *line = NULL;
    size_t room = 0;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        fprintf(stderr, "forkpool: torture: %s: %s\n", path, strerror(errno));
        return ERR_SYSTEM;
    }
    while (!reading->failed && getline(&line, &room, file) >= 0) {
        line[strcspn(line, "\n")] = '\0';
        take(reading, line);
    }
    bool bad = ferror(file) != 0;
    free(line);
    fclose(file);
    return reading->failed ? ERR_NO_MEMORY : bad ? ERR_SYSTEM : ERR_OK;
}

enum err evidence_read(const char *folder, struct evidence *evidence, struct verdict *verdict)
{
    struct reading reading = {.evidence = evidence, .verdict = verdict};
    *evidence = (struct evidence){0};
    enum err err = read_lines(&reading, folder, "client.log", take_line);
    if (err == ERR_OK)
        err = read_lines(&reading, folder, "ledger", take_entry);
    return err == ERR_OK ? read_lines(&reading, folder, "server.log", take_event) : err;
}

void evidence_fini(struct evidence *evidence)
{
    free(evidence->asked);
    free(evidence->entries);
    free(evidence->blows);
    free(evidence->pauses);
    free(evidence->requeues);
    free(evidence->falls);
}
