#include "slots.h"

#include "check.h"
#include "scoreboard.h"

#include <stdlib.h>
#include <string.h>

struct claim slot_claim_load(const struct slot *slot)
{
    return claim_unpack(
        atomic_load_explicit(&slot->claim, memory_order_acquire)); /* S2: acquire, pairs with S1 */
}

bool slot_move(struct slot *slot, struct claim expected, struct claim next)
{
    uint64_t word = claim_pack(expected);
    return atomic_compare_exchange_strong_explicit(&slot->claim, &word, claim_pack(next),
                                                   memory_order_acq_rel, /* S1: release, pairs with S2 */
                                                   memory_order_acquire);
}

static struct claim with_state(struct claim claim, enum slot_state state)
{
    claim.state = state;
    return claim;
}

void slot_hold(struct slot *slot)
{
    struct claim now = slot_claim_load(slot);
    CHECK(now.state == SLOT_BUILDING && slot_move(slot, now, with_state(now, SLOT_HELD)));
}

uint32_t slot_publish(struct slot *slot)
{
    struct claim now = slot_claim_load(slot);
    struct claim next = {.generation = now.generation + 1, .state = SLOT_QUEUED};
    if (next.generation == 0) /* 0 would make the ticket of slot 0 look like none */
        next.generation = 1;
    CHECK(now.state == SLOT_HELD && slot_move(slot, now, next));
    return next.generation;
}

bool slot_unpublish(struct slot *slot)
{
    struct claim now = slot_claim_load(slot);
    return now.state == SLOT_QUEUED && slot_move(slot, now, with_state(now, SLOT_HELD));
}

bool slot_claim(struct slot *slot, uint32_t generation, uint32_t worker, uint16_t incarnation)
{
    struct claim queued = {.generation = generation, .state = SLOT_QUEUED};
    struct claim running = {
        .generation = generation, .state = SLOT_RUNNING, .worker = worker, .incarnation = incarnation};
    return slot_move(slot, queued, running);
}

void slot_finish(struct slot *slot, uint32_t worker, uint16_t incarnation)
{
    struct claim now = slot_claim_load(slot);
    CHECK(now.state == SLOT_RUNNING && now.worker == worker && now.incarnation == incarnation);
    CHECK(slot_move(slot, now, with_state(now, SLOT_DONE)));
}

bool slot_owner_dead(const struct segment *segment, const struct slot *slot)
{
    struct claim claim = slot_claim_load(slot); /* rule 5: the claim word first */
    if (claim.state != SLOT_RUNNING)
        return false;
    CHECK(claim.worker < segment->shape.worker_count);
    uint32_t now = atomic_load_explicit(&segment->boards[claim.worker].incarnation,
                                        memory_order_acquire); /* S8: pairs with S9 in reap_settle */
    if ((int16_t)((uint16_t)now - claim.incarnation) <= 0)
        return false;
    /* It may have finished between the two looks, and died then. The dead change nothing any more. */
    return claim_pack(slot_claim_load(slot)) == claim_pack(claim);
}

/* An odd version: the fields are being written. A worker killed in the middle leaves it odd; the next goes
 * on. */
static uint32_t progress_open(struct slot *slot)
{
    uint32_t version = atomic_load_explicit(&slot->progress_version, memory_order_relaxed) | 1;
    atomic_store_explicit(&slot->progress_version, version, memory_order_relaxed);
    atomic_thread_fence(memory_order_release); /* S3: the odd version before the fields; pairs with S4 */
    return version;
}

void slot_begin_attempt(struct slot *slot, uint32_t worker, int64_t now_ms)
{
    uint32_t version = progress_open(slot);
    slot->attempt = attempt_blank();
    slot->attempt.worker = (int32_t)worker;
    slot->attempt.number = slot->spec.attempt + 1;
    slot->attempt.started_ms = now_ms;
    slot->result_place = RESULT_NONE;
    slot->result_bytes = 0;
    slot->wait_ns = slot->run_ns = 0;
    atomic_store_explicit(&slot->progress_version, version + 1, memory_order_release); /* S5: pairs with S6 */
}

void slot_progress_write(struct slot *slot, double value, const char *message, size_t bytes, int64_t now_ms)
{
    uint32_t version = progress_open(slot);
    slot->attempt.progress = value;
    slot->attempt.progress_ms = now_ms;
    text_copy(slot->attempt.progress_message, MESSAGE_BYTES, message, bytes);
    atomic_store_explicit(&slot->progress_version, version + 1, memory_order_release); /* S5: pairs with S6 */
}

static void copy_progress(const struct slot *slot, struct attempt *attempt)
{
    for (int tries = 0; tries < 1000; tries++) {
        uint32_t before = atomic_load_explicit(&slot->progress_version, memory_order_acquire); /* S6 */
        if (before & 1)
            continue;
        struct attempt copy = *attempt;
        bool begun =
            slot->attempt.number == attempt->number; /* else the record is still that of an earlier run */
        copy.started_ms = slot->attempt.started_ms;
        copy.progress = slot->attempt.progress;
        copy.progress_ms = slot->attempt.progress_ms;
        memcpy(copy.progress_message, slot->attempt.progress_message, MESSAGE_BYTES);
        copy.progress_message[MESSAGE_BYTES - 1] = '\0';
        atomic_thread_fence(memory_order_acquire); /* S4: the fields before the second look */
        if (atomic_load_explicit(&slot->progress_version, memory_order_relaxed) == before) {
            if (begun)
                *attempt = copy;
            return;
        }
    }
}

static enum err copy_text(struct text from, struct text *to, void **owned)
{
    char *copy = malloc(from.bytes + 1);
    if (copy == NULL)
        return ERR_NO_MEMORY;
    memcpy(copy, from.at, from.bytes);
    copy[from.bytes] = '\0';
    *owned = copy;
    *to = (struct text){copy, from.bytes};
    return ERR_OK;
}

/* The bytes of args, tags and extras into memory the job owns. */
static enum err copy_args(const struct segment *segment, const struct slot *slot, struct job *job)
{
    struct text args, tags, extras;
    enum err err = slot_args(segment, slot, &args);
    if (err == ERR_OK)
        err = slot_tags(segment, slot, &tags);
    if (err == ERR_OK)
        err = slot_extras(segment, slot, &extras);
    if (err == ERR_OK)
        err = copy_text(args, &job->args, &job->owned[0]);
    if (err == ERR_OK && tags.at != NULL)
        err = copy_text(tags, &job->tags, &job->owned[2]);
    if (err == ERR_OK && extras.at != NULL)
        err = copy_text(extras, &job->extras, &job->owned[3]);
    return err;
}

static void copy_running(const struct slot *slot, struct claim claim, struct job *job)
{
    job->state = JOB_RUNNING;
    job->attempt = attempt_blank();
    job->attempt.worker = (int32_t)claim.worker;
    job->attempt.number = slot->spec.attempt + 1;
    copy_progress(slot, &job->attempt);
}

static enum err copy_once(const struct segment *segment, const struct slot *slot, struct id id,
                          struct job **out)
{
    JOB_AUTO job = job_new();
    if (job == NULL)
        return ERR_NO_MEMORY;
    struct claim claim = slot_claim_load(slot);
    if (claim.state == SLOT_FREE || claim.state == SLOT_BUILDING)
        return ERR_NOT_FOUND;
    job->spec = slot->spec;
    if (!id_equal(job->spec.id, id))
        return ERR_NOT_FOUND;
    job->cancel_requested = atomic_load_explicit(&slot->cancel_requested, memory_order_relaxed) != 0;
    enum err err = copy_args(segment, slot, job);
    if (claim.state == SLOT_RUNNING || claim.state == SLOT_DONE)
        copy_running(slot, claim, job);
    else
        job->state = JOB_QUEUED;
    atomic_thread_fence(memory_order_acquire); /* S7: everything copied before the second look */
    uint64_t again = atomic_load_explicit(&slot->claim, memory_order_relaxed);
    if (again != claim_pack(claim))
        return ERR_AGAIN;
    if (err != ERR_OK)
        return err; /* unchanged, and still impossible */
    *out = job;
    job = NULL;
    return ERR_OK;
}

enum err slot_copy(const struct segment *segment, uint32_t number, struct id id, struct job **job)
{
    CHECK(number < segment->shape.slot_count);
    enum err err;
    do
        err = copy_once(segment, &segment->slots[number], id, job);
    while (err == ERR_AGAIN);
    return err;
}

enum err slot_args(const struct segment *segment, const struct slot *slot, struct text *args)
{
    uint64_t at = slot->args_at, bytes = slot->args_bytes;
    if (at > segment->shape.arena_bytes || bytes > segment->shape.arena_bytes - at)
        return ERR_CORRUPT;
    *args = (struct text){(const char *)segment->arena + at, bytes};
    return ERR_OK;
}

/* A text behind the arguments; absent if it has no bytes. */
static enum err text_behind(const struct segment *segment, const struct slot *slot, uint64_t before,
                            uint64_t bytes, struct text *text)
{
    uint64_t at = slot->args_at + slot->args_bytes + before;
    *text = (struct text){NULL, 0};
    if (bytes == 0)
        return ERR_OK;
    if (at < slot->args_at || at > segment->shape.arena_bytes || bytes > segment->shape.arena_bytes - at)
        return ERR_CORRUPT;
    *text = (struct text){(const char *)segment->arena + at, bytes};
    return ERR_OK;
}

enum err slot_tags(const struct segment *segment, const struct slot *slot, struct text *tags)
{
    return text_behind(segment, slot, 0, slot->tags_bytes, tags);
}

enum err slot_extras(const struct segment *segment, const struct slot *slot, struct text *extras)
{
    return text_behind(segment, slot, slot->tags_bytes, slot->extras_bytes, extras);
}

enum err slot_inputs(const struct segment *segment, const struct slot *slot, struct text *inputs)
{
    return text_behind(segment, slot, (uint64_t)slot->tags_bytes + slot->extras_bytes, slot->inputs_bytes,
                       inputs);
}

size_t slot_arena_bytes(const struct slot *slot)
{
    return (size_t)slot->args_bytes + slot->tags_bytes + slot->extras_bytes + slot->inputs_bytes;
}

enum err slot_result(const struct segment *segment, const struct slot *slot, struct text *result)
{
    uint64_t at = slot->result_at, bytes = slot->result_bytes;
    *result = (struct text){NULL, 0};
    switch (slot->result_place) {
    case RESULT_NONE:
        return ERR_OK;
    case RESULT_INLINE:
        if (bytes > SLOT_INLINE_BYTES)
            return ERR_CORRUPT;
        *result = (struct text){slot->inline_result, bytes};
        break;
    case RESULT_TRAY:
        if (slot->result_worker >= segment->shape.worker_count || at > segment->shape.tray_bytes ||
            bytes > segment->shape.tray_bytes - at)
            return ERR_CORRUPT;
        *result = (struct text){(const char *)segment_tray(segment, slot->result_worker) + at, bytes};
        break;
    default:
        return ERR_CORRUPT;
    }
    return bytes_sum(result->at, result->bytes) == slot->result_sum ? ERR_OK : ERR_CORRUPT;
}

uint64_t bytes_sum(const void *data, size_t bytes)
{
    const uint8_t *at = data;
    uint64_t sum = 0x9e3779b97f4a7c15ULL ^ bytes;
    for (; bytes >= 8; bytes -= 8, at += 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        sum = (sum ^ word) * 0xff51afd7ed558ccdULL;
        sum ^= sum >> 32;
    }
    uint64_t rest = 0;
    memcpy(&rest, at, bytes);
    sum = (sum ^ rest) * 0xc4ceb9fe1a85ec53ULL;
    return sum ^ sum >> 29;
}
