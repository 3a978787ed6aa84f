"""Figure 2: a thousand jobs a request; accepting and draining apart from each other."""

import re
import time

from ..figure import Aim
from ..lab import ARGS, JOB, ROOT, compact
from ..subjects import peers
from ..subjects.forkpool import forkpool

TITLE = "1,000 jobs a request; jobs accepted and done a second, one after the other, two workers"
COLUMNS = {"accepted": "accepted/s", "done": "done/s"}
SIZE, CONNECTIONS = 1000, 4
STORE = "SQLite alone"

AIMS = (
    Aim("`full`, accepted a second, of 100,000", ("forkpool full", "accepted"), 100_000, least=1),
    Aim("`full`, done a second, of 50,000", ("forkpool full", "done"), 50_000, least=1),
    Aim("`full`, accepted, against SQLite alone with our schema", ("forkpool full", "accepted"), (STORE, "accepted"), least=0.8),
    Aim("`full`, done, against SQLite alone with our schema", ("forkpool full", "done"), (STORE, "done"), least=0.8),
)

PEERS = {"bee-queue, log synced": peers.Bee, "BullMQ, log synced": peers.BullMQ, "graphile-worker": peers.Graphile, "pg-boss": peers.PgBoss}


def of_store(lab, level, jobs):
    """The same rows by tests/server/bench_store.c: all inserts, then all landings, a thousand a commit."""
    text = lab.output([ROOT / "build" / "tests" / "bench_store", jobs, SIZE, level, len(compact(ARGS)), jobs // SIZE, lab.base])
    return {"accepted": float(re.search(r"(\d+) inserts/s", text)[1]), "done": float(re.search(r"(\d+) lands/s", text)[1])}


def lines(lab, **more):
    """A file with the body of a request."""
    return lab.file("bulk.ndjson", (compact({**JOB, **more}) + "\n") * SIZE)


def submit(lab, server, jobs, body):
    """Jobs accepted a second."""
    found = lab.client("http", server.port, connections=CONNECTIONS, count=jobs // SIZE, path="/v1/jobs/bulk", body=body,
                       type="application/x-ndjson")
    return jobs / found["seconds"]


def drain(server, jobs, queue="default"):
    """Jobs done a second, from the moment at which the queue goes on."""
    began = time.monotonic()
    server.ask("POST", f"/v1/queues/{queue}/resume")
    ended, finished = server.until_finished()
    if finished < jobs:
        raise RuntimeError(f"{finished} of {jobs} jobs were done")
    return jobs / (ended - began)


def of_forkpool(lab, level, jobs):
    with forkpool(lab, level, memory_slots=None, memory_arena=None) as server:
        server.ask("POST", "/v1/queues/default/pause")
        return {"accepted": submit(lab, server, jobs, lines(lab)), "done": drain(server, jobs)}


def of_peer(lab, kind, jobs):
    with peers.started(lab, kind) as server:
        load = server.bulk(jobs, SIZE)
        with server.at_work() as tallies:
            tallies.until(1)  # they have started
            before, began = tallies.sum(), time.monotonic()
            ended = tallies.until(jobs)
        return {"accepted": load["answered"] / load["seconds"], "done": (jobs - before) / (ended - began)}


def cases(lab):
    jobs = lab.pick(500_000, 50_000)
    found = {STORE: lambda: of_store(lab, "full", jobs), f"{STORE}, not synced": lambda: of_store(lab, "process", jobs)}
    for level in ("full", "process"):
        found[f"forkpool {level}"] = lambda level=level: of_forkpool(lab, level, jobs)
    for name, kind in PEERS.items():
        found[name] = lambda kind=kind: of_peer(lab, kind, jobs // 5)
    return found
