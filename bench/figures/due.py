"""Very many jobs that are due at the same millisecond: when they start, beside how long the same jobs take when they are queued."""

import statistics
from datetime import datetime, timedelta, timezone

from ..subjects.forkpool import forkpool
from .bulk import SIZE, drain, lines, submit

TITLE = "jobs due at the same millisecond, two workers, `process`; milliseconds after it"
COLUMNS = {"jobs": "jobs", "first": "first start", "half": "half have started", "most": "99 %", "last": "last start", "drained": "the same jobs, queued: all ended"}
AHEAD_S = 3  # from the last submit to the moment
AIMS = ()


def moment(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def starts(server, jobs):
    """When each job began that was scheduled, in the order of time."""
    found, path = [], "/v1/jobs?tag=due&limit=1000"
    while path:
        page = server.ask("GET", path).json()
        found += [moment(job["started_at"]) for job in page["items"] if job["started_at"]]
        path = page["next_cursor"] and f"/v1/jobs?tag=due&limit=1000&cursor={page['next_cursor']}"
    if len(found) != jobs:
        raise RuntimeError(f"{len(found)} of {jobs} jobs have started")
    return sorted(found)


def of_jobs(lab, jobs):
    with forkpool(lab, "process", memory_slots=None, memory_arena=None) as server:
        server.ask("POST", "/v1/queues/default/pause")
        submit(lab, server, jobs, lines(lab))
        drained = jobs / drain(server, jobs)
        due = datetime.now(timezone.utc) + timedelta(seconds=AHEAD_S + jobs / 20000)
        due = due.replace(microsecond=due.microsecond // 1000 * 1000)
        submit(lab, server, jobs, lines(lab, tags=["due"], scheduled_at=due.isoformat(timespec="milliseconds").replace("+00:00", "Z")))
        server.until_finished(2 * jobs)
        late = [1000 * (at - due.timestamp()) for at in starts(server, jobs)]
    if late[0] < 0:
        raise RuntimeError(f"a job started {-late[0]:.0f} ms before its time")
    return {"jobs": jobs, "first": late[0], "half": statistics.median(late), "most": late[int(0.99 * jobs)], "last": late[-1],
            "drained": 1000 * drained}


def cases(lab):
    jobs = lab.pick(50 * SIZE, 10 * SIZE)
    return {"forkpool process": lambda: of_jobs(lab, jobs)}
