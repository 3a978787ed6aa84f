/* Texts of the tables, dice, samples, verdict. */
#include "torture_private.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define FIRST(text, ...)           text,
#define TEXT(name, ...)            FIRST(__VA_ARGS__, 0)
#define NAME(name, ...)            #name,
#define MEANS(name, text, meaning) meaning,
const char *const torture_kind_texts[] = {TORTURE_KINDS(TEXT)};
const char *const torture_expect_texts[] = {TORTURE_EXPECTS(TEXT)};
const char *const torture_victim_texts[] = {TORTURE_VICTIMS(TEXT)};
const char *const torture_blow_texts[] = {TORTURE_SIGNALS(NAME)};
const char *const torture_mix_texts[] = {TORTURE_MIXES(TEXT)};
const char *const torture_fault_texts[] = {TORTURE_FAULTS(TEXT)};
const char *const torture_fault_meanings[] = {TORTURE_FAULTS(MEANS)};
const char *const torture_diary_texts[] = {TORTURE_DIARY(TEXT)};
const char *const torture_schedule_texts[] = {TORTURE_SCHEDULES(TEXT)};
const char *const torture_gauge_texts[] = {TORTURE_GAUGES(TEXT)};

int torture_find(const char *const *texts, int count, const char *text)
{
    int at = 0;
    while (at < count && strcmp(texts[at], text) != 0)
        at++;
    return at;
}

/* --- dice: splitmix64 --- */

static uint64_t roll(struct dice *dice)
{
    uint64_t value = dice->state += 0x9e3779b97f4a7c15u;
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
    return value ^ (value >> 31);
}

struct dice dice_of(uint64_t seed, uint64_t number)
{
    struct dice dice = {seed ^ (number * 0xd1342543de82ef95u)};
    dice.state = roll(&dice); /* so that neighbours have nothing in common */
    return dice;
}

uint32_t dice_below(struct dice *dice, uint32_t limit)
{
    return (uint32_t)((roll(dice) >> 32) * limit >> 32);
}

uint32_t dice_between(struct dice *dice, uint32_t least, uint32_t most)
{
    return least + dice_below(dice, most - least + 1);
}

int dice_share(struct dice *dice, const unsigned *shares, int count)
{
    unsigned sum = 0;
    int at = 0;
    for (int i = 0; i < count; i++)
        sum += shares[i];
    unsigned left = dice_below(dice, sum);
    while (left >= shares[at])
        left -= shares[at++];
    return at;
}

/* --- samples --- */

void samples_add(struct samples *samples, int64_t value)
{
    if (samples->count == samples->room) {
        size_t room = samples->room == 0 ? 64 : samples->room * 2;
        int64_t *at = realloc(samples->at, room * sizeof *at);
        if (at == NULL)
            return;
        samples->at = at;
        samples->room = room;
    }
    samples->at[samples->count++] = value;
}

static int by_value(const void *a, const void *b)
{
    int64_t one = *(const int64_t *)a, two = *(const int64_t *)b;
    return (one > two) - (one < two);
}

int64_t samples_rank(struct samples *samples, int percent)
{
    if (samples->count == 0)
        return 0;
    qsort(samples->at, samples->count, sizeof *samples->at, by_value);
    size_t rank = (samples->count * (size_t)percent + 99) / 100;
    return samples->at[rank == 0 ? 0 : rank - 1];
}

void samples_fini(struct samples *samples)
{
    free(samples->at);
    *samples = (struct samples){0};
}

/* --- verdict --- */

void verdict_add(struct verdict *verdict, enum torture_fault fault, const char *format, ...)
{
    size_t at = verdict->faults[fault]++;
    va_list list;
    if (at >= TORTURE_KEPT)
        return;
    va_start(list, format);
    vsnprintf(verdict->examples[fault][at], sizeof verdict->examples[fault][at], format, list);
    va_end(list);
}

size_t verdict_total(const struct verdict *verdict)
{
    size_t total = 0;
    for (int i = 0; i < FAULT_COUNT; i++)
        total += verdict->faults[i];
    return total;
}

void verdict_fini(struct verdict *verdict)
{
    samples_fini(&verdict->requeued);
    samples_fini(&verdict->again);
}

/* --- names --- */

void torture_key(unsigned number, char key[TORTURE_KEY_BYTES])
{
    snprintf(key, TORTURE_KEY_BYTES, "torture-%u", number);
}

unsigned torture_key_number(const char *key)
{
    unsigned number, line;
    int bytes = 0;
    if (sscanf(key, "torture-%u%n", &number, &bytes) != 1)
        return 0;
    if (key[bytes] == '\0')
        return number;
    key += bytes;
    return sscanf(key, "#%u%n", &line, &bytes) == 1 && key[bytes] == '\0' && line > 0 ? number + line - 1 : 0;
}

void torture_schedule_name(enum torture_schedule schedule, char name[TORTURE_KEY_BYTES])
{
    snprintf(name, TORTURE_KEY_BYTES, "torture-%s", torture_schedule_texts[schedule]);
}

enum torture_schedule torture_schedule_of(const char *queue)
{
    static const char BEGIN[] = "torture-";
    if (strncmp(queue, BEGIN, sizeof BEGIN - 1) != 0)
        return SCHEDULE_COUNT;
    return (enum torture_schedule)torture_find(torture_schedule_texts, SCHEDULE_COUNT,
                                               queue + sizeof BEGIN - 1);
}

void torture_store_url(const char *folder, char url[TORTURE_PATH_BYTES])
{
    snprintf(url, TORTURE_PATH_BYTES, "sqlite://%.*s/state/forkpool.db", TORTURE_PATH_BYTES - 64, folder);
}
