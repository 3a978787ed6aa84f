"""What tests/crash/peers/run counts, on small ledgers made by hand. The comparison itself is run by hand: it takes minutes."""

import sys

from server import ROOT

sys.path.append(str(ROOT / "tests" / "crash" / "peers"))

import count  # noqa: E402
import report  # noqa: E402
from count import Kill  # noqa: E402
from torment import Outcome  # noqa: E402

S = count.NS


def ledger(*runs):
    """(job, pid, start, end or None[, attempt]) in seconds → attempts."""
    lines = []
    for at, (job, pid, start, end, *number) in enumerate(runs):
        middle = f"{job} {number[0] if number else 1} nonce{at} {pid}"
        lines.append(f"start {middle} {int(start * S)}\n")
        if end is not None:
            lines.append(f"end {middle} {int(end * S)}\n")
    return count.read_ledger(lines)


def requests(*lines):
    """("ask", job, seconds) … → Requests; an ack has the job's number as its id."""
    return count.read_requests(f"{int(at * S)} {what} {job} {job if what == 'ack' else ''}\n" for what, job, at in lines)


def acknowledged(**jobs):
    """j7=0.5: job 7 was asked for and acknowledged at 0.5 s."""
    return requests(*((what, int(job[1:]), at) for job, at in jobs.items() for what in ("ask", "ack")))


def tally(asked, attempts, kills=(), records=None):
    return count.tally(asked, attempts, list(kills), records)


def test_a_line_that_a_death_cut_short_counts_as_not_written():
    attempts = count.read_ledger(["start 1 1 a 100 5\n", "end 1 1 a 100 9\n", "start 2 1 b 100 10\n", "end 2 1 b 10"])
    assert [(one.job, one.start, one.end, one.broken) for one in attempts] == [(1, 5, 9, False), (2, 10, 0, True)]


def test_lost_is_what_was_acknowledged_and_never_ended():
    asked = requests(("ask", 1, 0), ("ack", 1, 0), ("ask", 2, 0), ("ack", 2, 0), ("ask", 3, 0), ("unanswered", 3, 1))
    found = tally(asked, ledger((1, 100, 1, 2), (2, 100, 3, None)))
    assert (found.asked, found.acknowledged, found.unanswered, found.broken) == (3, 2, 1, 1)
    assert found.lost == [2], "1 ended, 3 was never acknowledged"


def test_done_twice_is_two_ends_and_may_come_from_a_repeated_request():
    asked = acknowledged(j1=0, j2=0.2, j3=0)
    asked.unanswered.add(2)
    attempts = ledger((1, 100, 1, 2), (2, 100, 3, 4), (1, 200, 5, 6), (2, 200, 7, 8), (3, 100, 9, None), (3, 100, 10, 11))
    found = tally(asked, attempts)
    assert (found.doubled, found.doubled_by_request) == ([1, 2], 1), "3 was broken off once, and ended once"
    found = tally(asked, ledger((2, 100, 3, 4), (2, 200, 7, 8, 2)))
    assert (found.doubled, found.doubled_by_request) == ([2], 0), "the same job, once more"


def test_a_record_counts_by_the_system():
    asked = acknowledged(j1=0)
    assert tally(asked, ledger((1, 100, 1, 2))).doubled_records == -1, "there is no record"
    assert tally(asked, ledger((1, 100, 1, 2)), records={1: 2, 2: 1}).doubled_records == 1


def test_attempts_overlap_only_where_both_surely_ran():
    assert count.overlapping(ledger((1, 100, 1, 4), (1, 200, 3, 5))) == {1}
    assert count.overlapping(ledger((1, 100, 1, 3), (1, 200, 3.1, 5))) == set()
    broken = ledger((1, 100, 1, None), (1, 200, 3, 5))
    count.close_broken(broken, {})
    assert count.overlapping(broken) == set(), "when the first one stopped is not known"
    count.close_broken(broken, {100: [4 * S]})
    assert count.overlapping(broken) == {1}, "its process was found dead later than the second began"
    count.close_broken(broken, {100: [2 * S]})
    assert count.overlapping(broken) == set()


def test_a_process_that_begins_something_else_has_stopped_what_it_did():
    attempts = ledger((1, 100, 1, None), (2, 100, 2, 3), (1, 200, 4, 5))
    count.close_broken(attempts, {100: [9 * S]})
    assert attempts[0].until == 2 * S and count.overlapping(attempts) == set()


def test_a_job_behind_others_is_not_held_up_and_one_that_is_overtaken_is():
    line = [(job, 100, job, job + 1) for job in range(1, 20)]
    asked = acknowledged(**{f"j{job}": 0 for job in range(1, 20)})
    assert tally(asked, ledger(*line)).held == {}, "job 19 waits 19 s, but for its turn"
    asked = acknowledged(**{f"j{job}": 0 for job in range(1, 11)}, j30=8)
    overtaken = ledger(*line[:9], (30, 100, 10, 20), (10, 100, 20, 21))
    assert list(tally(asked, overtaken).held) == [10], "30 came 8 s later, and was begun 10 s earlier"


def test_a_job_that_waits_while_nothing_runs_is_held_up_unless_the_server_is_down():
    asked = acknowledged(j1=0, j2=0)
    attempts = ledger((1, 100, 0.1, 1), (2, 100, 31, 32))
    assert tally(asked, attempts).held == {2: 31.0}
    assert tally(asked, attempts, [Kill("server", 1 * S, (), 2 * S, 30 * S)]).held == {}


def test_a_broken_attempt_waits_from_its_death_on():
    attempts = ledger((1, 100, 0, None), (1, 200, 40, 41))
    count.close_broken(attempts, {100: [5 * S]})
    assert tally(acknowledged(j1=0), attempts).held == {1: 35.0}


def test_recovery_is_told_by_a_job_begun_after_the_new_start():
    kills = [Kill("server", 10 * S, (), int(10.1 * S), int(10.2 * S)), Kill("front", 20 * S, (), 0, int(20.5 * S)),
             Kill("server", 30 * S, (), int(30.1 * S), int(30.4 * S)), Kill("server", 31 * S, (), int(31.1 * S), int(31.3 * S)),
             Kill("backend", 40 * S)]
    attempts = ledger((1, 100, 9, 10.5), (2, 100, 10.3, 10.7), (3, 100, 20.1, 20.9), (4, 100, 31.5, 32))
    assert count.answered_after(kills, "server") == [200, 300, 400]
    assert count.done_after(kills, "server", attempts) == [700, 1000], "nothing was done between the last two kills"
    assert count.done_after(kills, "front", attempts) == [900]
    assert count.answered_after(kills, "backend") == []
    assert count.middle_and_worst([3, 1, 2]) == (2, 3) and count.middle_and_worst([]) is None


def test_a_job_whose_worker_died_runs_again_or_does_not():
    attempts = ledger((1, 100, 1, None), (2, 200, 1, None), (1, 300, 2.5, 3))
    assert count.again_after({1: 2 * S, 2: 2 * S}, attempts) == [500, None]


def outcome(name, found, **more):
    return Outcome(name, f"{name} 1.0", found, [Kill("server", S, (), 2 * S, 3 * S)], [], 0, 0, **{"left": 0, **more})


def test_the_report_shows_each_and_blames_what_forkpool_promises():
    asked = acknowledged(j1=0, j2=0, j3=0)
    good = outcome("forkpool-full", tally(asked, ledger((1, 1, 1, 2), (2, 1, 2, 3), (3, 1, 4, 5)), records={1: 1}), struck=[2.5])
    bad = outcome("forkpool-full", tally(asked, ledger((1, 1, 1, 5), (1, 2, 4, 6), (3, 1, 30, 31)), records={1: 2}), left=1,
                  struck=[2.5, None])
    assert report.violations(good) == []
    assert report.violations(bad) == [f"forkpool-full: 1 {what}" for what in (
        "lost", "on record twice", "overlapping", "held up", "left", "not run again")]
    text = report.text([good, bad])
    assert "| forkpool-full | 1 server | 3 | 0 | 0 | 0 |" in text and "| 1 (30 s) |" in text
    assert "| 2,000 / 2,000 |" in text and "2 ms, > 90 s" in text
