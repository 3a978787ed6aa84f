"""The measuring half of due.sh: when jobs that are all due at the same moment start, beside the same jobs sent to run at once."""

import statistics
import sys
import tempfile
import time
from datetime import datetime, timedelta, timezone

import json

from server import Server

AHEAD_S = 5  # from the last submit to the moment


def moment(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def send(server, count, tag, **options):
    for begin in range(0, count, 5000):
        lines = [json.dumps({"task": "echo", "args": i, "tags": [tag], **options}) for i in range(begin, min(begin + 5000, count))]
        answer = server.http.post(f"{server.url}/v1/jobs/bulk", data="\n".join(lines),
                                  headers={"Content-Type": "application/x-ndjson"})
        assert answer.status_code == 202, answer.text


def ended(server, count, tag):
    """All of them, once they have ended."""
    while True:
        stats = server.get("/v1/queues/default").json()["jobs"]
        if stats["queued"] + stats["scheduled"] + stats["running"] == 0:
            break
        time.sleep(0.05)
    jobs, path = [], f"/v1/jobs?tag={tag}&limit=1000"
    while path:
        page = server.get(path).json()
        jobs += page["items"]
        path = page["next_cursor"] and f"/v1/jobs?tag={tag}&limit=1000&cursor={page['next_cursor']}"
    assert len(jobs) == count and all(job["state"] == "succeeded" for job in jobs)
    return jobs


def main():
    count = int(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        server = Server(folder)
        server.start()
        server.post("/v1/queues/default/pause")
        send(server, count, "now")
        server.post("/v1/queues/default/resume")
        began = time.time()
        now = ended(server, count, "now")
        drained = max(moment(job["finished_at"]) for job in now) - began
        due = datetime.now(timezone.utc) + timedelta(seconds=AHEAD_S + count / 20000)
        send(server, count, "due", scheduled_at=due.isoformat(timespec="milliseconds").replace("+00:00", "Z"))
        late = sorted(moment(job["started_at"]) - due.timestamp() for job in ended(server, count, "due"))
        server.stop()
    print(f"{count:,} jobs (echo, 2 workers, `process`) due at the same millisecond\n")
    print("| s after that moment | first start | half | 99 % | last start |\n|---|---:|---:|---:|---:|")
    print(f"| all due at once | {late[0]:.3f} | {statistics.median(late):.3f} | {late[int(0.99 * count)]:.3f} | {late[-1]:.3f} |")
    print(f"\nThe same jobs, already queued, behind a queue that is resumed: all ended after {drained:.3f} s.")
    assert late[0] >= 0, "a job started before its time"


main()
