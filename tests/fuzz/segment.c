/* Damaged shared memory, as a plugin that scribbles could leave it, before a new front takes over and while
 * it works: it goes on soundly or ends by dispatcher_corrupt. It never crashes, hangs, or reads elsewhere.
 *
 * A small segment with a job in each state is damaged by the input, a series of
 *
 *     what (1 byte), where (2 bytes), how many (1 byte; from 128 on: one byte, over and over), the bytes
 *
 * of which the first byte of the input says how many come before the take-over; the others come one between
 * two steps.
 */
#include "front_rig.h"

#include <setjmp.h>

enum { SLOTS = 16, WORKERS = 3, STEPS = 6, DAMAGES_MOST = 24 };

static struct segment segment;
static uint8_t *pristine; /* owned: the segment as it was made */
static struct hot hot;
static struct dispatcher dispatcher;
static struct committer committer;
static struct work *landings; /* given to the committer, not answered yet */
static jmp_buf corrupt;
static bool taking_over;

/* --- by --wrap --- */

void __real_committer_give(struct committer *to, struct work *work);
void __wrap_committer_give(struct committer *to, struct work *work);
void __wrap_committer_give(struct committer *to, struct work *work)
{
    if (work->kind != WORK_LAND) {
        __real_committer_give(to, work);
        return;
    }
    work->parked = landings;
    landings = work;
}

_Noreturn void __wrap_dispatcher_corrupt(const char *what, uint32_t slot);
_Noreturn void __wrap_dispatcher_corrupt(const char *what, uint32_t slot)
{
    if (getenv("FUZZ_SHOW") != NULL)
        fprintf(stderr, "corrupt: %s %u\n", what, slot);
    longjmp(corrupt, 1);
}

_Noreturn void __real_check_failed(const char *what, const char *file, int line);
_Noreturn void __wrap_check_failed(const char *what, const char *file, int line);
_Noreturn void __wrap_check_failed(const char *what, const char *file, int line)
{
    if (taking_over)
        __real_check_failed(what, file, line);
    if (getenv("FUZZ_SHOW") != NULL)
        fprintf(stderr, "%s:%d: %s\n", file, line, what);
    longjmp(corrupt, 1);
}

/* What is given up by that jump is lost, as it is when the process ends. */
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
    return 1;
}

/* --- the segment --- */

static void fill_slot(uint32_t number, enum durability durability)
{
    struct slot *slot = &segment.slots[number];
    struct job_spec *spec = &slot->spec;
    *spec = (struct job_spec){.id = id_new(),
                              .seq = number + 1,
                              .created_ms = 1700000000000,
                              .timeout_ms = 60000,
                              .retry = {.max_attempts = 3, .initial_ms = 20, .max_ms = 20},
                              .priority = (uint8_t)(number % PRIORITY_COUNT),
                              .durability = (uint8_t)durability,
                              .stored = durability != DURABILITY_MEMORY};
    strcpy(spec->task, number % 2 == 0 ? "echo" : "sum");
    strcpy(spec->queue, "default");
    spec->lane = job_lane(spec);
    slot->attempt = attempt_blank();
    slot->args_at = 256 * (uint64_t)number;
    slot->args_bytes = 7;
    slot->tags_bytes = number % 3 == 0 ? 5 : 0;
    memcpy(segment.arena + slot->args_at, "[1,2,3][\"a\"]", 12);
    struct claim claim = slot_claim_load(slot);
    HOLDS(slot_move(slot, claim, (struct claim){.generation = 1, .state = SLOT_BUILDING}), "a fresh slot");
}

static void run_slot(uint32_t number, uint32_t worker)
{
    struct slot *slot = &segment.slots[number];
    slot_hold(slot);
    HOLDS(slot_claim(slot, slot_publish(slot), worker, 0), "a claim");
    slot_begin_attempt(slot, worker, 1700000001000);
    board_begin(&segment.boards[worker], ticket_pack(number, slot_claim_load(slot).generation), INT64_MAX, 0);
}

static void finish_slot(uint32_t number, uint32_t worker, size_t bytes)
{
    static char result[2048];
    struct slot *slot = &segment.slots[number];
    uint64_t ticket = ticket_pack(number, slot_claim_load(slot).generation);
    HOLDS(board_finish(&segment.boards[worker]) == STOP_NONE, "a stop");
    memset(result, '1', sizeof result);
    slot->attempt.outcome = OUTCOME_SUCCESS;
    slot->attempt.finished_ms = 1700000002000;
    slot->result_place = bytes <= SLOT_INLINE_BYTES ? RESULT_INLINE : RESULT_TRAY;
    slot->result_worker = worker;
    if (slot->result_place == RESULT_TRAY)
        rig_ok(tray_put(&segment, worker, ticket, 0, result, bytes, &slot->result_at), "a tray");
    else
        memcpy(slot->inline_result, result, bytes);
    slot->result_bytes = bytes;
    slot->result_sum = bytes_sum(result, bytes);
    slot_finish(slot, worker, 0);
    board_idle(&segment.boards[worker]);
    board_complete(&segment.boards[worker], ticket);
}

/* A job in each state, and a worker that died over one. */
static void populate(void)
{
    for (uint32_t i = 0; i < 12; i++)
        fill_slot(i, i % 4 == 3 ? DURABILITY_MEMORY : DURABILITY_PROCESS);
    for (uint32_t i = 1; i <= 4; i++)
        slot_hold(&segment.slots[i]); /* 0 stays BUILDING */
    (void)slot_publish(&segment.slots[3]);
    (void)slot_publish(&segment.slots[4]);
    run_slot(5, 0);
    finish_slot(5, 0, 2);
    run_slot(6, 0);
    finish_slot(6, 0, 1500);
    run_slot(7, 0);
    finish_slot(7, 0, 1200);
    run_slot(8, 0);
    run_slot(9, 1);
    atomic_store(&segment.slots[8].cancel_requested, 1);
    struct death death = {.died_ms = 1700000003000, .exit_code = -1, .signal = 11, .cause = DEATH_CRASH};
    HOLDS(board_add_death(&segment.boards[1], &death), "a death");
    atomic_fetch_add(&segment.boards[1].incarnation, 1);
    atomic_store(&segment.header->slots_touched, SLOTS);
    atomic_store(&segment.boards[2].waiting, 1);
}

static void make_segment(void)
{
    struct segment_shape shape = {.slot_count = SLOTS,
                                  .worker_count = WORKERS,
                                  .arena_bytes = 1 << 13,
                                  .tray_bytes = 1 << 12,
                                  .max_result = 1 << 11};
    rig_ok(segment_create(&shape, &segment), "a segment");
    atomic_store(&segment.header->catalogue_epoch, 1);
    populate();
    pristine = malloc(segment.header->bytes);
    HOLDS(pristine != NULL, "memory");
    memcpy(pristine, segment.header, segment.header->bytes);
}

/* --- damage --- */

struct part {
    uint8_t *at;
    size_t bytes;
};

enum { PARTS = 7 };

/* All but the catalogue, which the front only copies, and the semaphores, over which glibc aborts by itself.
 */
static void list_parts(struct part parts[PARTS])
{
    parts[0] = (struct part){(uint8_t *)segment.slots, SLOTS * sizeof segment.slots[0]};
    parts[1] = (struct part){(uint8_t *)segment.boards, WORKERS * sizeof segment.boards[0]};
    parts[2] = (struct part){(uint8_t *)segment.header, offsetof(struct segment_header, work)};
    parts[3] = (struct part){(uint8_t *)segment.rings, PRIORITY_COUNT * sizeof segment.rings[0]};
    parts[4] = (struct part){segment.arena, segment.shape.arena_bytes};
    parts[5] = (struct part){segment.trays, WORKERS * segment.shape.tray_bytes};
    parts[6] = (struct part){(uint8_t *)&segment.header->draining,
                             sizeof *segment.header - offsetof(struct segment_header, draining)};
}

static void restore(void)
{
    struct part parts[PARTS];
    list_parts(parts);
    for (size_t i = 0; i < PARTS; i++)
        memcpy(parts[i].at, pristine + (parts[i].at - (uint8_t *)segment.header), parts[i].bytes);
}

/* A word of one slot or board, by number, or any bytes of a part. */
static void damage(struct input *input)
{
    struct part parts[PARTS];
    uint8_t what = input_byte(input);
    size_t where = (size_t)input_byte(input) << 8 | input_byte(input);
    uint8_t length = input_byte(input);
    struct input bytes = input_take(input, length & 128 ? 1 : length % 32);
    size_t count = length & 128 ? 8 * (size_t)(length % 32) : bytes.bytes;
    list_parts(parts);
    struct part part = parts[what % PARTS];
    if (what & 128) { /* the claim word's state alone */
        struct slot *slot = &segment.slots[where % SLOTS];
        struct claim claim = slot_claim_load(slot);
        claim.state = (enum slot_state)(what % 16);
        atomic_store(&slot->claim, claim_pack(claim));
    }
    if (part.bytes > 65536)
        where *= part.bytes / 65536 + 1;
    for (size_t i = 0; i < count && bytes.bytes > 0; i++)
        part.at[(where + i) % part.bytes] = bytes.data[i % bytes.bytes];
}

/* --- a front's life --- */

static void answer_landings(uint8_t how)
{
    while (landings != NULL) {
        struct work *work = landings;
        landings = work->parked;
        work->parked = NULL;
        work->err = ERR_OK;
        work->op.land.landed = how % 4 != 0;
        dispatcher_give(&dispatcher, work);
    }
}

/* What HTTP threads look at. */
static void look(void)
{
    for (uint32_t i = 0; i < SLOTS; i++) {
        struct job *job = NULL;
        if (slot_copy(&segment, i, segment.slots[i].spec.id, &job) == ERR_OK)
            job_free(job);
    }
}

static void live(struct input *input)
{
    uint8_t before = input_byte(input) % DAMAGES_MOST, how = input_byte(input);
    for (int i = 0; i < before && input->bytes > 0; i++)
        damage(input);
    taking_over = true;
    rig_ok(recovery_take_over(&dispatcher), "recovery");
    taking_over = false;
    for (int i = 0; i < STEPS; i++) {
        dispatcher_step(&dispatcher);
        committer_step(&committer);
        answer_landings((uint8_t)(how >> i));
        look();
        if (input->bytes > 0)
            damage(input);
    }
}

static void free_inbox(struct inbox *inbox)
{
    for (struct inbox_node *node = inbox_take(inbox), *next; node != NULL; node = next) {
        next = node->next;
        work_free((struct work *)(void *)node);
    }
}

static void end_front(void)
{
    free_inbox(&committer.inbox);
    free_inbox(&dispatcher.inbox);
    for (struct work *next; landings != NULL; landings = next) {
        next = landings->parked;
        landings->parked = NULL;
        work_free(landings);
    }
    dispatcher_fini(&dispatcher);
    hot_fini(&hot);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static char *const FLAGS[] = {NULL};
    struct input input = {data, bytes};
    if (pristine == NULL) {
        rig_prepare(FLAGS);
        rig_up();
        make_segment();
    }
    restore();
    rig_ok(hot_init(&hot, SLOTS), "hot");
    committer_init(&committer, rig.front.store, rig.front.metrics, dispatcher_give, &dispatcher);
    struct dispatcher_setup setup = {rig.config,
                                     &segment,
                                     &hot,
                                     &rig.front.waiters,
                                     rig.front.metrics,
                                     &committer,
                                     rig.setup.supervisor_wake_fd,
                                     {0},
                                     NULL};
    rig_ok(dispatcher_init(&dispatcher, &setup), "a dispatcher");
    if (setjmp(corrupt) == 0)
        live(&input);
    end_front();
    return 0;
}
