"""The measuring half of backlog.sh: fills a server by wrk, and times single requests before and after."""

import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time

from server import Server

TIMES = 200  # of each request
DRAIN_S, SOME = 2, 200000  # jobs that are there when draining is measured without the backlog
FILL = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '%s'
"""


def waiting(server):
    jobs = server.get("/v1/queues/backlog").json()["jobs"]
    return jobs["queued"] + jobs["scheduled"]


def fill(server, body, wanted):
    script = server.folder / "fill.lua"
    script.write_text(FILL % json.dumps(body))
    while (missing := wanted - waiting(server)) > 0:
        seconds = max(1, missing // 25000)
        subprocess.run(["wrk", "-t2", "-c64", f"-d{seconds}s", "-s", script, f"{server.url}/v1/jobs"], check=True,
                       stdout=subprocess.DEVNULL)
        print(f"{waiting(server):,} wait", file=sys.stderr)


def median_ms(ask):
    times = []
    for _ in range(TIMES):
        began = time.perf_counter()
        answer = ask()
        times.append(time.perf_counter() - began)
        assert answer.status_code < 300, answer.text
    return statistics.median(times) * 1000


def measure(server, known):
    ids = [known] if known else [server.post("/v1/jobs", {"task": "echo", "queue": "backlog"}).json()["id"]]
    return {
        "submit": median_ms(lambda: server.post("/v1/jobs", {"task": "echo", "queue": "backlog"})),
        "submit for later": median_ms(lambda: server.post("/v1/jobs", {"task": "echo", "queue": "backlog", "delay": 9e5})),
        "submit, run and result, other queue": median_ms(lambda: server.post("/v1/tasks/echo/call", 1)),
        "why": median_ms(lambda: server.get(f"/v1/jobs/{ids[0]}/why")),
        "read": median_ms(lambda: server.get(f"/v1/jobs/{ids[0]}")),
        "list of 100 queued": median_ms(lambda: server.get("/v1/jobs?state=queued&queue=backlog&limit=100")),
        "queues": median_ms(lambda: server.get("/v1/queues")),
    }


def drained(server):
    """Jobs of the backlog that run in a second while its queue is resumed."""
    before, began = waiting(server), time.perf_counter()
    server.post("/v1/queues/backlog/resume")
    time.sleep(DRAIN_S)
    server.post("/v1/queues/backlog/pause")
    return (before - waiting(server)) / (time.perf_counter() - began)


def main():
    wanted = int(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        server = Server(folder)
        server.start()
        server.post("/v1/queues/backlog/pause")
        empty, empty_mb = measure(server, None), server.memory_mb()
        fill(server, {"task": "echo", "queue": "backlog", "args": {"user": 123456}}, SOME)
        some_rate = drained(server)
        last = server.post("/v1/jobs", {"task": "echo", "queue": "backlog"}).json()["id"]
        fill(server, {"task": "echo", "queue": "backlog", "args": {"user": 123456}}, wanted // 2)
        fill(server, {"task": "echo", "queue": "backlog", "delay": 900000}, wanted)
        full, full_mb, wait = measure(server, last), server.memory_mb(), waiting(server)
        rate = drained(server)
        server.stop(signal.SIGKILL)
        time.sleep(0.5)
        ready = server.start()
        print(f"{wait:,} jobs wait; medians of {TIMES} requests, one connection, `process`\n")
        print("| ms | empty | with them | × |\n|---|---:|---:|---:|")
        for name, value in empty.items():
            print(f"| {name} | {value:.2f} | {full[name]:.2f} | {full[name] / value:.2f} |")
        print(f"\nJobs run a second once the queue is resumed: {some_rate:,.0f} with {SOME:,} waiting, {rate:,.0f} with all of them: "
              f"{rate / some_rate:.2f} ×.")
        print(f"\nMemory of all processes (Pss): {empty_mb:.1f} → {full_mb:.1f} MB. Ready after kill -9: {ready:.2f} s.")
        server.stop()


main()
