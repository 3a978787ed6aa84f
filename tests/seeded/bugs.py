"""The table of seeded bugs: name (its patch is patches/NAME.diff), what is wrong, and the tests that catch it.

A test is a unit test by its file (server/reap: tests/server/test_reap.c), a program of the build with its flags, or the walk
over the crash points whose names a pattern matches.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Bug:
    name: str
    what: str
    tests: tuple


BUGS = [
    Bug("pop-before-claim", "the ring's head is moved before the claim", ("crash/step_worker --changes",)),
    Bug("no-post-per-reap", "a death wakes nobody", ("server/reap",)),
    Bug("free-before-commit", "a slot is free before its result is committed",
        ("points LANDING|LAND_|GROUP_WRITTEN", "server/dispatcher_recovery")),
    Bug("unconditional-update", "a row changes whatever its state and attempt", ("server/store",)),
    Bug("requeue-before-reap", "a death counts before the group of the task is gone", ("server/reap",)),
    Bug("incarnation-before-claim", "the incarnation is read before the claim word, and any other one is a death",
        ("shared/slots",)),
    Bug("kill-without-run-word", "a worker is killed whether or not the run word was won", ("server/stops",)),
    Bug("answer-before-commit", "a submission is answered before COMMIT", ("server/committer_faults",)),
    Bug("respawn-before-reap", "a new worker starts on a board whose death is not settled", ("server/reap",)),
    Bug("claim-looked-at-once", "the claim word is not looked at again after the incarnation", ("shared/slots",)),
    Bug("generation-kept", "a publication does not raise the generation", ("shared/slots",)),
    Bug("attempt-unchecked", "a row changes whatever its attempt", ("server/store",)),
    Bug("no-republish", "a new front leaves QUEUED slots as they are", ("crash/step_front --changes",)),
    Bug("building-kept", "a new front leaves BUILDING slots as they are", ("crash/step_front --changes",)),
    Bug("done-before-result", "DONE before the result is written", ("crash/step_worker --changes",)),
    Bug("no-scan-for-done", "only completions say what is DONE", ("server/dispatcher_deaths",)),
    Bug("ack-before-record", "a death is acknowledged before it is on record", ("server/dispatcher_deaths",)),
    Bug("crash-not-recorded", "a crash is requeued without a record of it", ("server/dispatcher_deaths",)),
    Bug("key-in-another-transaction", "an idempotency key is committed before its job", ("server/store",)),
    Bug("schedule-in-another-transaction", "a schedule's job is committed before its row", ("points STORE_SCHEDULE_MADE",)),
    Bug("freed-twice", "a slot is put on the free list twice", ("server/dispatcher",)),
    Bug("box-before-store", "the black box is forgotten before its jobs are charged", ("server/recovery_charge",)),
]
