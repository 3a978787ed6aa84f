"""Many jobs that are due at the same moment: none before it, and all of them as fast as the workers can."""

import json
from datetime import datetime, timedelta, timezone

from processes import until

JOBS = 3000


def send(client, tag, **options):
    lines = [json.dumps({"task": "echo", "args": i, "tags": [tag], "durability": "process", **options}) for i in range(JOBS)]
    answer = client.post("/v1/jobs/bulk", data="\n".join(lines), headers={"Content-Type": "application/x-ndjson"})
    assert answer.status_code == 202, answer.text


def moment(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def all_ended(client, tag):
    def waiting():
        jobs = client.get("/v1/queues/default").json()["jobs"]
        return jobs["queued"] + jobs["scheduled"] + jobs["running"]
    until(lambda: waiting() == 0, 60, "all have ended", every=0.05)
    jobs = client.all_jobs(tag=tag)
    assert len(jobs) == JOBS and {job["state"] for job in jobs} == {"succeeded"}
    return jobs


def test_what_is_due_at_one_moment_starts_then_as_fast_as_workers_can(start_server):
    client = start_server(workers_count=2).client
    client.post("/v1/queues/default/pause")
    send(client, "now")
    began = datetime.now(timezone.utc)
    client.post("/v1/queues/default/resume")
    drained = max(moment(job["finished_at"]) for job in all_ended(client, "now")) - began
    due = datetime.now(timezone.utc) + timedelta(seconds=2)
    send(client, "due", scheduled_at=due.isoformat(timespec="milliseconds").replace("+00:00", "Z"))
    jobs = all_ended(client, "due")
    started = [moment(job["started_at"]) for job in jobs]
    early = due.replace(microsecond=due.microsecond // 1000 * 1000)
    assert min(started) >= early, "none starts before its time"
    assert max(started) - due < 5 * drained + timedelta(seconds=1), "and they do not trickle in"
