/* From the settings to the classes of rows that are kept equally long. */
#include "retention.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define RETAIN_OWN(member) offsetof(struct task_config, member)
#define RETAIN_NO_OWN      SIZE_MAX

static const struct {
    enum job_state state;
    bool results;
    size_t setting, own; /* where it lies in a struct config, and in a struct task_config */
} KINDS[RETAINED_COUNT] = {
#define R(name, state, results, setting, own) {state, results, offsetof(struct config, setting), own},
    RETAINED(R)
#undef R
};

static int64_t kept_by_all(const struct config *config, enum retained kind)
{
    return *(const int64_t *)(const void *)((const char *)config + KINDS[kind].setting);
}

/* -1: as all. */
static int64_t kept_by_task(const struct task_config *task, enum retained kind)
{
    if (KINDS[kind].own == RETAIN_NO_OWN)
        return -1;
    return *(const int64_t *)(const void *)((const char *)task + KINDS[kind].own);
}

/* Results that are kept as long as every job that has one are no class. */
static bool is_never_over(const struct config *config, enum retained kind)
{
    int64_t kept = kept_by_all(config, kind), longest = config->jobs_retain_succeeded_ms;
    bool forever = longest == 0;
    if (!KINDS[kind].results || kept == 0)
        return kept == 0;
    for (size_t i = 0; i < config->task_count; i++) {
        int64_t own = config->tasks[i].retain_succeeded_ms;
        forever = forever || own == 0;
        longest = own > longest ? own : longest;
    }
    return !forever && kept >= longest;
}

/* A task that says something else than all. */
struct own {
    const char *name;
    int64_t kept_ms;
};

static int by_name(const void *a, const void *b)
{
    const struct own *left = a, *right = b;
    return strcmp(left->name, right->name);
}

static int by_time(const void *a, const void *b)
{
    const struct own *left = a, *right = b;
    return left->kept_ms != right->kept_ms ? (left->kept_ms > right->kept_ms ? 1 : -1) : by_name(a, b);
}

/* The names of these tasks, for a class. */
static const char (*keep_names(struct retain_rules *rules, const struct own *owns, size_t count))[NAME_BYTES]
{
    char(*names)[NAME_BYTES] = &rules->names[rules->name_count];
    for (size_t i = 0; i < count; i++)
        text_copy(names[i], NAME_BYTES, owns[i].name, strlen(owns[i].name));
    rules->name_count += count;
    return (const char(*)[NAME_BYTES])names;
}

static void add_class(struct retain_rules *rules, enum retained kind, int64_t kept_ms, const struct own *owns,
                      size_t count, bool but_these)
{
    rules->classes[rules->count++] = (struct retain_class){.state = KINDS[kind].state,
                                                           .results = KINDS[kind].results,
                                                           .kept_ms = kept_ms,
                                                           .tasks = keep_names(rules, owns, count),
                                                           .task_count = count,
                                                           .but_these = but_these};
}

static void add_kind(struct retain_rules *rules, const struct config *config, enum retained kind,
                     struct own *owns)
{
    size_t count = 0, to;
    int64_t usual = kept_by_all(config, kind);
    for (size_t i = 0; i < config->task_count; i++) {
        int64_t own = kept_by_task(&config->tasks[i], kind);
        if (own >= 0 && own != usual)
            owns[count++] = (struct own){config->tasks[i].name, own};
    }
    qsort(owns, count, sizeof *owns, by_name);
    if (!is_never_over(config, kind))
        add_class(rules, kind, usual, owns, count, true);
    qsort(owns, count, sizeof *owns, by_time);
    for (size_t from = 0; from < count; from = to) {
        for (to = from + 1; to < count && owns[to].kept_ms == owns[from].kept_ms;)
            to++;
        if (owns[from].kept_ms > 0)
            add_class(rules, kind, owns[from].kept_ms, &owns[from], to - from, false);
    }
}

enum err retain_rules_new(const struct config *config, struct retain_rules **rules)
{
    size_t most = config->task_count + 1; /* of each kind: all others, and each task by itself */
    struct retain_rules *made = calloc(1, sizeof *made);
    struct own *owns = calloc(most, sizeof *owns);
    *rules = made;
    if (made != NULL && owns != NULL) {
        made->classes = calloc(RETAINED_COUNT * most, sizeof made->classes[0]);
        made->names = calloc(2 * RETAINED_COUNT * most, sizeof made->names[0]);
    }
    if (made == NULL || owns == NULL || made->classes == NULL || made->names == NULL) {
        free(owns);
        retain_rules_free(made);
        *rules = NULL;
        return ERR_NO_MEMORY;
    }
    for (int kind = 0; kind < RETAINED_COUNT; kind++)
        add_kind(made, config, (enum retained)kind, owns);
    free(owns);
    return ERR_OK;
}

void retain_rules_free(struct retain_rules *rules)
{
    if (rules == NULL)
        return;
    free(rules->classes);
    free(rules->names);
    free(rules);
}
