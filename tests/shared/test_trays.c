#include "segment_fixture.h"

#include "trays.h"

#include <signal.h>

enum { ME = 1, INCARNATION = 7, HEADER = sizeof(struct tray_record) };

static uint64_t room;
static struct board *board;

static void setup(void)
{
    open_segment();
    room = segment.shape.tray_bytes;
    board = &segment.boards[ME];
    atomic_store(&board->incarnation, INCARNATION);
}

static uint64_t room_of(uint64_t bytes)
{
    return HEADER + (bytes + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
}

/* A slot that I run, in its next generation; the ticket. */
static uint64_t run(uint32_t slot)
{
    uint32_t generation = slot_claim_load(&segment.slots[slot]).generation + 1;
    slot_set(&segment.slots[slot], (struct claim){generation, SLOT_RUNNING, ME, INCARNATION});
    return ticket_pack(slot, generation);
}

static enum err put_bytes(uint64_t ticket, char letter, size_t bytes, uint64_t *at)
{
    char result[1 << 13];
    ck_assert_uint_le(bytes, sizeof result);
    memset(result, letter, sizeof result);
    return tray_put(&segment, ME, ticket, INCARNATION, result, bytes, at);
}

/* Runs a slot to DONE with a result of so many bytes. */
static uint64_t done(uint32_t slot, size_t bytes)
{
    uint64_t at;
    ck_assert_int_eq(put_bytes(run(slot), (char)('a' + slot), bytes, &at), ERR_OK);
    slot_finish(&segment.slots[slot], ME, INCARNATION);
    return at;
}

static void assert_bytes(uint64_t at, char letter, size_t bytes)
{
    const uint8_t *tray = segment_tray(&segment, ME);
    ck_assert_uint_le(at + bytes, room);
    size_t same = 0;
    while (same < bytes && tray[at + same] == (uint8_t)letter)
        same++;
    ck_assert_uint_eq(same, bytes);
}

static void let_go(uint32_t slot)
{
    slot_let_go(&segment.slots[slot]);
}

static void reclaim(void)
{
    ck_assert_int_eq(tray_reclaim(&segment, ME), ERR_OK);
}

static struct tray_record *record(uint64_t position)
{
    return (struct tray_record *)(void *)(segment_tray(&segment, ME) + position % room);
}

/* --- putting --- */

START_TEST(a_result_lies_where_it_was_said_to_lie)
{
    uint64_t at = done(0, 100);
    assert_bytes(at, 'a', 100);
    ck_assert_uint_eq(at, HEADER);
    ck_assert_uint_eq(tray_used(&segment, ME), room_of(100));
}
END_TEST

START_TEST(records_lie_behind_one_another_and_name_their_run)
{
    uint64_t first = done(0, 65), second = done(3, 1);
    ck_assert_uint_eq(second, first - HEADER + room_of(65) + HEADER);
    assert_bytes(first, 'a', 65);
    assert_bytes(second, 'd', 1);
    const struct tray_record *found = record(room_of(65));
    ck_assert_uint_eq(found->bytes, 1);
    ck_assert_uint_eq(found->slot, 3);
    ck_assert_uint_eq(found->generation, 1);
    ck_assert_uint_eq(found->worker, ME);
    ck_assert_uint_eq(found->incarnation, INCARNATION);
}
END_TEST

START_TEST(trays_of_other_workers_are_not_touched)
{
    memset(segment_tray(&segment, ME - 1), 0x55, room);
    memset(segment_tray(&segment, ME + 1), 0x55, room);
    for (int i = 0; i < 50; i++) {
        done(0, 3000);
        let_go(0);
        reclaim();
    }
    uint64_t same = 0;
    while (same < room && segment_tray(&segment, ME - 1)[same] == 0x55 &&
           segment_tray(&segment, ME + 1)[same] == 0x55)
        same++;
    ck_assert_uint_eq(same, room);
}
END_TEST

START_TEST(a_full_tray_says_not_now_and_takes_more_once_the_oldest_is_free)
{
    uint64_t at;
    uint32_t count = 0;
    for (; put_bytes(run(count), 'x', 1024 - HEADER, &at) == ERR_OK; count++)
        slot_finish(&segment.slots[count], ME, INCARNATION);
    ck_assert_uint_eq(count, room / 1024);
    ck_assert_uint_eq(tray_used(&segment, ME), room);
    let_go(1); /* not the oldest */
    reclaim();
    ck_assert_int_eq(put_bytes(ticket_pack(count, 1), 'x', 1024 - HEADER, &at), ERR_FULL);
    let_go(0);
    reclaim();
    ck_assert_uint_eq(tray_used(&segment, ME), room - 2048); /* 0 and 1 */
    ck_assert_int_eq(put_bytes(ticket_pack(count, 1), 'x', 1024 - HEADER, &at), ERR_OK);
}
END_TEST

START_TEST(a_refusal_changes_nothing)
{
    uint64_t at = 4711, used;
    while (put_bytes(run(0), 'x', 1000, &at) == ERR_OK)
        ;
    used = tray_used(&segment, ME);
    at = 4711;
    ck_assert_int_eq(put_bytes(run(1), 'x', 1000, &at), ERR_FULL);
    ck_assert_uint_eq(tray_used(&segment, ME), used);
    ck_assert_uint_eq(at, 4711);
}
END_TEST

START_TEST(a_result_never_lies_across_the_end)
{
    done(0, 3000);
    done(1, 3000);
    let_go(0);
    reclaim();
    uint64_t at = done(2, 2500); /* not enough room behind the second: a filler, then the beginning */
    ck_assert_uint_eq(at, HEADER);
    assert_bytes(at, 'c', 2500);
    ck_assert_uint_eq(record(2 * room_of(3000))->slot, SLOT_NONE);
    let_go(1);
    let_go(2);
    reclaim(); /* past the filler */
    ck_assert_uint_eq(tray_used(&segment, ME), 0);
}
END_TEST

START_TEST(a_result_that_ends_at_the_end_needs_no_filler)
{
    uint64_t half = room / 2 - HEADER;
    done(0, half);
    uint64_t at = done(1, half);
    ck_assert_uint_eq(at, room / 2 + HEADER);
    ck_assert_uint_eq(tray_used(&segment, ME), room);
    let_go(0);
    reclaim();
    ck_assert_uint_eq(done(2, half), HEADER);
}
END_TEST

START_TEST(a_result_that_can_never_fit_is_too_large)
{
    uint64_t at;
    ck_assert_int_eq(put_bytes(run(0), 'x', room / 2 - HEADER + 1, &at), ERR_RESULT_TOO_LARGE);
    ck_assert_int_eq(put_bytes(run(0), 'x', room - HEADER, &at), ERR_RESULT_TOO_LARGE);
    ck_assert_uint_eq(tray_used(&segment, ME), 0);
    ck_assert_int_eq(put_bytes(run(0), 'x', room / 2 - HEADER, &at), ERR_OK);
}
END_TEST

START_TEST(what_is_not_too_large_fits_an_empty_tray_at_every_position)
{
    uint64_t at;
    for (int i = 0; i < 400; i++) {
        ck_assert_int_eq(put_bytes(run(0), 'x', room / 2 - HEADER, &at), ERR_OK);
        slot_finish(&segment.slots[0], ME, INCARNATION);
        let_go(0);
        reclaim();
        done(1, (size_t)i % 5 * 64);
        let_go(1);
        reclaim();
        ck_assert_uint_eq(tray_used(&segment, ME), 0);
    }
}
END_TEST

/* --- reclaiming --- */

START_TEST(what_is_done_stays_until_its_slot_is_free)
{
    done(0, 500);
    reclaim();
    ck_assert_uint_eq(tray_used(&segment, ME), room_of(500));
    let_go(0);
    reclaim();
    ck_assert_uint_eq(tray_used(&segment, ME), 0);
}
END_TEST

START_TEST(the_head_moves_in_order_up_to_the_first_that_is_wanted)
{
    for (uint32_t i = 0; i < 5; i++)
        done(i, 500);
    let_go(3);
    let_go(1);
    reclaim();
    ck_assert_uint_eq(tray_used(&segment, ME), 5 * room_of(500));
    let_go(0);
    reclaim();
    ck_assert_uint_eq(tray_used(&segment, ME), 3 * room_of(500)); /* 2 holds up 3 */
    let_go(2);
    reclaim();
    ck_assert_uint_eq(tray_used(&segment, ME), room_of(500));
}
END_TEST

START_TEST(a_live_owner_that_has_not_finished_keeps_its_record)
{
    uint64_t at;
    ck_assert_int_eq(put_bytes(run(0), 'x', 500, &at), ERR_OK);
    reclaim();
    ck_assert_uint_eq(tray_used(&segment, ME), room_of(500));
}
END_TEST

START_TEST(the_record_of_a_dead_owner_is_freed)
{
    uint64_t at;
    ck_assert_int_eq(put_bytes(run(0), 'x', 500, &at), ERR_OK);
    atomic_store(&board->incarnation, INCARNATION + 1);
    reclaim();
    ck_assert_uint_eq(tray_used(&segment, ME), 0);
}
END_TEST

START_TEST(a_done_result_outlives_its_worker)
{
    uint64_t at = done(0, 500);
    atomic_store(&board->incarnation, INCARNATION + 1);
    reclaim();
    ck_assert_uint_eq(tray_used(&segment, ME), room_of(500));
    assert_bytes(at, 'a', 500);
}
END_TEST

START_TEST(a_slot_that_has_moved_on_frees_the_record_of_the_earlier_run)
{
    done(0, 500);
    let_go(0);
    run(0); /* the next job in that slot, by the same worker */
    reclaim();
    ck_assert_uint_eq(tray_used(&segment, ME), 0);
    done(1, 500);
    slot_set(&segment.slots[1], (struct claim){1, SLOT_RUNNING, ME + 1, INCARNATION}); /* another's run */
    reclaim();
    ck_assert_uint_eq(tray_used(&segment, ME), 0);
}
END_TEST

/* --- damage --- */

START_TEST(an_impossible_record_is_corrupt)
{
    done(0, 500);
    let_go(0);
    struct tray_record good = *record(0), bad[7];
    for (int i = 0; i < 7; i++)
        bad[i] = good;
    bad[0].bytes = 500 + 64; /* beyond the tail */
    bad[1].bytes = room;
    bad[2].bytes = UINT64_MAX / 2;
    bad[3].slot = segment.shape.slot_count;
    bad[4].worker = ME + 1;
    bad[5].slot = SLOT_NONE, bad[5].bytes = 0; /* a filler of nothing */
    bad[6].slot = SLOT_NONE, bad[6].bytes = 65;
    for (int i = 0; i < 7; i++) {
        *record(0) = bad[i];
        ck_assert_msg(tray_reclaim(&segment, ME) == ERR_CORRUPT, "record %d", i);
        ck_assert_uint_eq(tray_used(&segment, ME), room_of(500));
    }
    *record(0) = good;
    reclaim();
    ck_assert_uint_eq(tray_used(&segment, ME), 0);
}
END_TEST

START_TEST(a_length_that_wraps_around_is_corrupt)
{
    done(0, 0);
    let_go(0);
    record(0)->bytes = UINT64_MAX; /* rounded up, it is 0 */
    ck_assert_int_eq(tray_reclaim(&segment, ME), ERR_CORRUPT);
}
END_TEST

START_TEST(a_tail_too_far_from_the_head_is_corrupt)
{
    atomic_store(&board->tray_tail, room + 64);
    ck_assert_int_eq(tray_reclaim(&segment, ME), ERR_CORRUPT);
    atomic_store(&board->tray_tail, 0);
    atomic_store(&board->tray_head, 64); /* a head beyond the tail */
    ck_assert_int_eq(tray_reclaim(&segment, ME), ERR_CORRUPT);
}
END_TEST

START_TEST(a_head_between_two_lines_is_corrupt)
{
    done(0, 0);
    let_go(0);
    atomic_store(&board->tray_head, 1);
    ck_assert_int_eq(tray_reclaim(&segment, ME), ERR_CORRUPT);
}
END_TEST

/* --- against a model --- */

struct kept {
    uint32_t slot;
    uint64_t at, bytes;
    char letter;
};

static void assert_all_intact(const struct kept *kept, int count)
{
    for (int i = 0; i < count; i++) {
        assert_bytes(kept[i].at, kept[i].letter, kept[i].bytes);
        bool apart = true;
        for (int k = 0; k < i; k++)
            apart = apart &&
                    (kept[i].at + kept[i].bytes <= kept[k].at || kept[k].at + kept[k].bytes <= kept[i].at);
        ck_assert(apart);
    }
}

START_TEST(at_random_no_result_is_overwritten_and_all_room_comes_back)
{
    struct kept kept[16];
    int count = 0, puts = 0;
    uint64_t random = (uint64_t)_i + 1;
    for (int step = 0; step < 20000; step++) {
        uint32_t dice = next_random(&random) % 10;
        if (dice < 5 && count < 16) {
            uint32_t slot = 0;
            while (slot_claim_load(&segment.slots[slot]).state != SLOT_FREE)
                slot++;
            struct kept new = {.slot = slot,
                               .bytes = next_random(&random) % (room / 2 - HEADER),
                               .letter = (char)next_random(&random)};
            if (put_bytes(run(slot), new.letter, new.bytes, &new.at) == ERR_OK) {
                slot_finish(&segment.slots[slot], ME, INCARNATION);
                kept[count++] = new;
                puts++;
            } else {
                slot_set_state(&segment.slots[slot], SLOT_FREE);
                ck_assert_int_gt(count, 0); /* an empty tray takes anything */
            }
        } else if (count > 0) {
            uint32_t which = dice < 8 ? 0 : next_random(&random) % (uint32_t)count;
            let_go(kept[which].slot);
            memmove(&kept[which], &kept[which + 1], sizeof kept[0] * (size_t)(--count - (int)which));
            reclaim();
        }
        if (step % 16 == 0)
            assert_all_intact(kept, count);
        ck_assert_uint_le(tray_used(&segment, ME), room);
    }
    while (count > 0)
        let_go(kept[--count].slot);
    reclaim();
    ck_assert_uint_eq(tray_used(&segment, ME), 0);
    ck_assert_int_gt(puts, 1000);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("trays");
    TCase *puts = tcase_create("putting"), *reclaims = tcase_create("reclaiming"),
          *damage = tcase_create("damage"), *model = tcase_create("model");
    tcase_add_checked_fixture(puts, setup, close_segment);
    tcase_add_test(puts, a_result_lies_where_it_was_said_to_lie);
    tcase_add_test(puts, records_lie_behind_one_another_and_name_their_run);
    tcase_add_test(puts, trays_of_other_workers_are_not_touched);
    tcase_add_test(puts, a_full_tray_says_not_now_and_takes_more_once_the_oldest_is_free);
    tcase_add_test(puts, a_refusal_changes_nothing);
    tcase_add_test(puts, a_result_never_lies_across_the_end);
    tcase_add_test(puts, a_result_that_ends_at_the_end_needs_no_filler);
    tcase_add_test(puts, a_result_that_can_never_fit_is_too_large);
    tcase_add_test(puts, what_is_not_too_large_fits_an_empty_tray_at_every_position);
    tcase_add_checked_fixture(reclaims, setup, close_segment);
    tcase_add_test(reclaims, what_is_done_stays_until_its_slot_is_free);
    tcase_add_test(reclaims, the_head_moves_in_order_up_to_the_first_that_is_wanted);
    tcase_add_test(reclaims, a_live_owner_that_has_not_finished_keeps_its_record);
    tcase_add_test(reclaims, the_record_of_a_dead_owner_is_freed);
    tcase_add_test(reclaims, a_done_result_outlives_its_worker);
    tcase_add_test(reclaims, a_slot_that_has_moved_on_frees_the_record_of_the_earlier_run);
    tcase_add_checked_fixture(damage, setup, close_segment);
    tcase_add_test(damage, an_impossible_record_is_corrupt);
    tcase_add_test(damage, a_length_that_wraps_around_is_corrupt);
    tcase_add_test(damage, a_tail_too_far_from_the_head_is_corrupt);
    tcase_add_test(damage, a_head_between_two_lines_is_corrupt);
    tcase_add_checked_fixture(model, setup, close_segment);
    tcase_set_timeout(model, 60);
    tcase_add_loop_test(model, at_random_no_result_is_overwritten_and_all_room_comes_back, 0, 3);
    suite_add_tcase(suite, puts);
    suite_add_tcase(suite, reclaims);
    suite_add_tcase(suite, damage);
    suite_add_tcase(suite, model);
    return run_suite(suite);
}
