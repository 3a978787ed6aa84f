"""Figure 5: what changes when very many jobs wait. Half of them are queued in a paused queue, half are scheduled."""

import time

from .. import svg
from ..figure import Aim, percentile
from ..lab import compact
from ..subjects.forkpool import forkpool
from .bulk import SIZE, lines, submit

TITLE = "single requests while so many jobs wait, `process`, one connection; milliseconds (medians)"
TIMES = {"submit": "submit", "later": "submit for later", "claim": "submit, claim, result (another queue)", "get": "GET", "list": "list page of 100",
         "stats": "stats", "why": "why"}
COLUMNS = {**TIMES, "worst": "slowest of all", "memory": "memory, MB", "ready": "ready after kill -9, s", "filled": "filled, jobs/s",
           "drained": "drained, jobs/s", "disk": "disk, bytes a job"}
QUEUE, REQUESTS = "backlog", 300
EMPTY, TEN, THOUSANDS, MILLION, MILLIONS = "empty", "10", "10,000", "1,000,000", "10,000,000"
SIZES = {EMPTY: 0, TEN: 10, THOUSANDS: 10_000, MILLION: 1_000_000, MILLIONS: 10_000_000}
DRAIN_S, DRAIN_LEAST = 3, 200_000
STALL_MS = 250

AIMS = (
    *(Aim(f"{TIMES[key]} with {name}, against the empty server", (name, key), (EMPTY, key), most=1.5)
      for name in (THOUSANDS, MILLION, MILLIONS) for key in ("submit", "claim", "get", "list", "stats")),
    *(Aim(f"memory with {name}: MB more, of 16", lambda medians, name=name: medians[name]["memory"] - medians[EMPTY]["memory"], 16, most=1)
      for name in (MILLION, MILLIONS)),
    Aim(f"ready after kill -9 with {MILLION}, of 2 s", (MILLION, "ready"), 2, most=1),
    *(Aim(f"slowest request with {name}, of {STALL_MS} ms", (name, "worst"), STALL_MS, most=1) for name in (MILLION, MILLIONS)),
)


def fill(lab, server, jobs):
    """Half queued, half scheduled; jobs a second."""
    began = time.monotonic()
    if jobs < 2 * SIZE:
        for number in range(jobs):
            server.ask("POST", "/v1/jobs", {"task": "echo", "queue": QUEUE, **({"delay": 900000} if number % 2 else {})})
    else:
        for more in ({}, {"delay": 900000}):
            submit(lab, server, jobs // 2, lines(lab, queue=QUEUE, **more))
    return jobs / (time.monotonic() - began)


def requests(lab, job):
    """{key: options of the client}"""
    def body(name, **more):
        return {"path": "/v1/jobs", "body": lab.file(name, compact({"task": "echo", "queue": QUEUE, **more}))}

    def get(name, path):
        return {"paths": lab.file(name, path)}

    return {"submit": body("submit"), "later": body("later", delay=900000), "claim": {"path": "/v1/tasks/echo/call", "body": lab.args},
            "get": get("get", f"/v1/jobs/{job}"), "list": get("list", f"/v1/jobs?state=queued&queue={QUEUE}&limit=100"),
            "stats": get("stats", "/v1/stats"), "why": get("why", f"/v1/jobs/{job}/why")}


def timed(lab, server):
    """Milliseconds."""
    job = server.ask("POST", "/v1/jobs", {"task": "echo", "queue": QUEUE}).json()["id"]
    found, worst = {}, 0
    for key, options in requests(lab, job).items():
        times = lab.client("http", server.port, count=REQUESTS, **options)["times"]
        found[key], worst = percentile(times, 50) / 1000, max(worst, times[-1][0] / 1000)
    return {**found, "worst": worst}


def waiting(server):
    jobs = server.ask("GET", f"/v1/queues/{QUEUE}").json()["jobs"]
    return jobs["queued"] + jobs["scheduled"]


def drained(server):
    """Jobs that run in a second once the queue goes on."""
    before, began = waiting(server), time.monotonic()
    server.ask("POST", f"/v1/queues/{QUEUE}/resume")
    time.sleep(DRAIN_S)
    server.ask("POST", f"/v1/queues/{QUEUE}/pause")
    return (before - waiting(server)) / (time.monotonic() - began)


def restarted(server):
    """Seconds until it is ready after everything was killed."""
    server.kill_everything()
    began = time.monotonic()
    server.start()
    return time.monotonic() - began


def disk(server):
    return sum(path.stat().st_size for path in server.state.glob("forkpool.db*"))


def of_size(lab, jobs):
    with forkpool(lab, "process", memory_slots=None, memory_arena=None) as server:
        server.ask("POST", f"/v1/queues/{QUEUE}/pause")
        empty_bytes = disk(server)
        rate = fill(lab, server, jobs)
        found = {**timed(lab, server), "memory": server.pss_mb()}
        if jobs >= 2 * SIZE:
            found.update(filled=rate, disk=(disk(server) - empty_bytes) / jobs)
        if jobs >= DRAIN_LEAST:
            found["drained"] = drained(server)
        found["ready"] = restarted(server)
        return found


def cases(lab):
    most = 10_000_000 if lab.deep else lab.pick(1_000_000, 10_000)
    return {name: lambda jobs=jobs: of_size(lab, jobs) for name, jobs in SIZES.items() if jobs <= most}


def draw(figure):
    medians = figure.medians()
    times = {heading: [(SIZES[case], medians[case][key]) for case in medians if key in medians[case]] for key, heading in TIMES.items()}
    memory = {"all processes": [(SIZES[case], medians[case]["memory"]) for case in medians]}
    return {"backlog.svg": svg.plot("Single requests while jobs wait", "jobs that wait", "ms, median", times, x_log=True),
            "backlog-memory.svg": svg.plot("Memory while jobs wait", "jobs that wait", "MB (PSS)", memory, x_log=True)}
