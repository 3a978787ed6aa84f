#include "catalogue.h"

#include "check.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static const char *const KIND_TEXTS[TASK_KIND_COUNT] = {
#define K(name, text) text,
    TASK_KINDS(K)
#undef K
};

const char *task_kind_text(enum task_kind kind)
{
    CHECK(kind < TASK_KIND_COUNT);
    return KIND_TEXTS[kind];
}

enum err catalogue_copy(const struct segment *segment, struct catalogue **catalogue)
{
    *catalogue = NULL;
    for (;;) {
        /* Acquire: pairs with the supervisor's release when it raises the epoch; the probe's writes came
         * before. */
        uint32_t epoch = atomic_load_explicit(&segment->header->catalogue_epoch, memory_order_acquire);
        if (epoch == 0)
            return ERR_NOT_FOUND;
        const struct catalogue *bank = &segment->catalogues[epoch % 2];
        uint32_t count = bank->task_count;
        size_t bytes = offsetof(struct catalogue, tasks) +
                       (size_t)(count < TASKS_MAX ? count : TASKS_MAX) * sizeof bank->tasks[0];
        struct catalogue *copy = malloc(bytes);
        if (copy == NULL)
            return ERR_NO_MEMORY;
        memcpy(copy, bank, bytes);
        /* The fence keeps the copy above the second look: this bank is rewritten only once a later epoch is
         * current, so an unchanged epoch means an undisturbed copy. */
        atomic_thread_fence(memory_order_acquire);
        if (atomic_load_explicit(&segment->header->catalogue_epoch, memory_order_relaxed) == epoch) {
            CHECK(count <= TASKS_MAX && copy->task_count == count && copy->epoch == epoch &&
                  copy->fault_count <= CATALOGUE_FAULTS_MAX);
            *catalogue = copy;
            return ERR_OK;
        }
        free(copy);
    }
}

const struct task *catalogue_find(const struct catalogue *catalogue, const char *name)
{
    uint32_t low = 0, high = catalogue->task_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = strcmp(catalogue->tasks[middle].name, name);
        if (order == 0)
            return &catalogue->tasks[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static enum err add_text(struct task *task, const char *text)
{
    size_t bytes = strlen(text) + 1;
    if (bytes > sizeof task->blob - task->blob_bytes)
        return ERR_FULL;
    memcpy(task->blob + task->blob_bytes, text, bytes);
    task->blob_bytes += (uint32_t)bytes;
    return ERR_OK;
}

enum err task_add_argv(struct task *task, const char *text)
{
    CHECK(task->env_count == 0);
    enum err err = add_text(task, text);
    if (err == ERR_OK)
        task->argv_count++;
    return err;
}

enum err task_add_env(struct task *task, const char *text)
{
    enum err err = add_text(task, text);
    if (err == ERR_OK)
        task->env_count++;
    return err;
}

static const char *point_into(const char *at, const char *end, uint32_t count, char **to)
{
    for (uint32_t i = 0; i < count; i++) {
        CHECK(at < end);
        to[i] = (char *)at; /* execve takes char *const[] for history's sake and writes nothing */
        at += strnlen(at, (size_t)(end - at)) + 1;
        CHECK(at <= end);
    }
    to[count] = NULL;
    return at;
}

void task_vectors(const struct task *task, char **argv, char **env)
{
    CHECK(task->blob_bytes <= sizeof task->blob);
    const char *end = task->blob + task->blob_bytes;
    const char *at = point_into(task->blob, end, task->argv_count, argv);
    point_into(at, end, task->env_count, env);
}
