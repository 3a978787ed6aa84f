"""What the files of one torture say: the ledger, the log of the clients, and the kills. Nothing in here talks to a server.

The ledger, a line for each start and each end of an attempt, appended by whoever runs it:

    start|end JOB ATTEMPT NONCE PID NANOSECONDS

The log of the clients; `unanswered` is a request whose connection broke, `refused` one that surely was not taken:

    NANOSECONDS ask|unanswered|refused|ack JOB [ID]

Times are of the machine's monotonic clock, which all programs share.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

NS = 1_000_000_000
HELD_S = 10  # a job that waits for so long, and not for others, waits for a lock
IDLE_S = 2


@dataclass
class Attempt:
    job: int
    number: int
    nonce: str
    pid: int
    start: int
    end: int = 0     # 0: broken off
    until: int = 0   # when it stopped to run, by its end or by the death of its process; 0: nobody knows

    @property
    def broken(self):
        return self.end == 0


@dataclass
class Requests:
    asked: set = field(default_factory=set)
    unanswered: set = field(default_factory=set)
    refused: set = field(default_factory=set)
    acknowledged: dict = field(default_factory=dict)  # job → when, for the first time
    ids: dict = field(default_factory=lambda: defaultdict(set))


@dataclass
class Kill:
    victim: str
    at: int            # when the signal was sent
    pids: tuple = ()   # whose attempts are over with it
    again: int = 0     # when the new server was started; 0: nothing was started by us
    answered: int = 0  # when the server answered; 0: that says nothing about this victim


def read_ledger(lines):
    """Attempts in the order of their starts. A line that a death cut short counts as not written."""
    attempts = {}
    for line in lines:
        words = line.split()
        if len(words) != 6 or not line.endswith("\n"):
            continue
        what, job, number, nonce, pid, at = words[0], int(words[1]), int(words[2]), words[3], int(words[4]), int(words[5])
        if what == "start":
            attempts[nonce] = Attempt(job, number, nonce, pid, at)
        else:
            attempts[nonce].end = attempts[nonce].until = at
    return sorted(attempts.values(), key=lambda attempt: attempt.start)


def read_requests(lines):
    requests = Requests()
    for line in lines:
        at, what, job, *rest = line.split()
        job = int(job)
        if what == "ask":
            requests.asked.add(job)
        elif what == "ack":
            requests.acknowledged.setdefault(job, int(at))
            requests.ids[job].add(rest[0])
        else:
            getattr(requests, what).add(job)
    return requests


def close_broken(attempts, deaths):
    """Sets `until` of broken attempts. A process runs one attempt at a time, so its next start is a limit, too.

    deaths: {pid: [when it was found dead, …]}"""
    of_pid = defaultdict(list)
    for attempt in attempts:
        of_pid[attempt.pid].append(attempt.start)
    for attempt in attempts:
        if attempt.broken:
            limits = [at for at in deaths.get(attempt.pid, ()) if at > attempt.start]
            limits += [at for at in of_pid[attempt.pid] if at > attempt.start]
            attempt.until = min(limits, default=0)


def by_job(attempts):
    jobs = defaultdict(list)
    for attempt in attempts:
        jobs[attempt.job].append(attempt)
    return jobs


def overlapping(attempts):
    """Jobs of which two attempts surely ran at the same time."""
    found = set()
    for job, of_job in by_job(attempts).items():
        latest = 0
        for attempt in of_job:
            if attempt.start < latest:
                found.add(job)
            latest = max(latest, attempt.until)
    return found


def waits(requests, attempts):
    """{job: (from, to)}: the longest that a job which was not done stood still, from its answer or a broken attempt on."""
    longest = {}
    jobs = by_job(attempts)
    for job, at in requests.acknowledged.items():
        idle_since = at
        for attempt in jobs.get(job, ()):
            begin, end = longest.get(job, (at, at))
            if attempt.start - idle_since > end - begin:
                longest[job] = (idle_since, attempt.start)
            idle_since = attempt.until or attempt.start
            if not attempt.broken:
                break
    return longest


def idle_times(attempts, kills):
    """[(from, to)], longer than IDLE_S: the server was up, and nothing ran."""
    busy = [(one.start, one.until or one.start) for one in attempts] + [(kill.at, kill.answered or kill.at) for kill in kills]
    found, last = [], None
    for begin, end in sorted(busy):
        if last is not None and begin - last > IDLE_S * NS:
            found.append((last, begin))
        last = end if last is None else max(last, end)
    return found


def held(requests, attempts, kills):
    """{job: seconds} of those that waited longer than HELD_S while later ones were begun, or while nothing ran at all.

    A job that waits because others are before it is not held."""
    first = {}
    for attempt in attempts:
        first.setdefault(attempt.job, attempt.start)
    idle = idle_times(attempts, kills)
    found = {}
    for job, (begin, end) in waits(requests, attempts).items():
        if end - begin > HELD_S * NS:
            margin = IDLE_S * NS
            overtaken = any(begin + margin < at and first.get(other, end) + margin < end
                            for other, at in requests.acknowledged.items())
            if overtaken or any(begin <= since and until <= end for since, until in idle):
                found[job] = (end - begin) / NS
    return found


def answered_after(kills, victim):
    """Milliseconds from each kill of that victim until the server answered."""
    return sorted((kill.answered - kill.at) / 1e6 for kill in kills if kill.victim == victim and kill.answered)


def done_after(kills, victim, attempts):
    """Milliseconds from each kill of that victim until a job was done that was begun afterwards."""
    found = []
    for at, kill in enumerate(kills):
        if kill.victim != victim or not kill.answered:
            continue
        begun = kill.again or kill.at
        limit = kills[at + 1].at if at + 1 < len(kills) else None
        ends = [attempt.end for attempt in attempts if attempt.start > begun and not attempt.broken]
        if ends and (limit is None or min(ends) < limit):
            found.append((min(ends) - kill.at) / 1e6)
    return sorted(found)


def again_after(struck, attempts):
    """Milliseconds from the death of a job's worker to its next start, or None. struck: {job: when}"""
    jobs = by_job(attempts)
    found = []
    for job, at in struck.items():
        starts = [attempt.start for attempt in jobs[job] if attempt.start > at]
        found.append((starts[0] - at) / 1e6 if starts else None)
    return found


@dataclass
class Tally:
    asked: int
    acknowledged: int
    unanswered: int
    lost: list
    doubled: list            # more than one end in the ledger
    doubled_by_request: int  # of these, those whose request was repeated, and that are no later attempt
    doubled_records: int     # -1: the system keeps none
    overlapping: list
    held: dict
    broken: int


def tally(requests, attempts, kills, records):
    """records: {job: how often the system has it on record as done}, or None if it keeps no record."""
    ends = Counter(attempt.job for attempt in attempts if not attempt.broken)
    highest = {}
    for attempt in attempts:
        highest[attempt.job] = max(highest.get(attempt.job, 0), attempt.number)
    doubled = sorted(job for job, count in ends.items() if count > 1)
    return Tally(
        asked=len(requests.asked), acknowledged=len(requests.acknowledged), unanswered=len(requests.unanswered),
        lost=sorted(job for job in requests.acknowledged if not ends[job]), doubled=doubled,
        doubled_by_request=sum(1 for job in doubled if job in requests.unanswered and highest[job] == 1),
        doubled_records=-1 if records is None else sum(1 for count in records.values() if count > 1),
        overlapping=sorted(overlapping(attempts)), held=held(requests, attempts, kills),
        broken=sum(1 for attempt in attempts if attempt.broken))


def middle_and_worst(numbers):
    """(median, maximum), or None"""
    numbers = sorted(numbers)
    return (numbers[len(numbers) // 2], numbers[-1]) if numbers else None
