"""Figure 4: GET of a job that is in a slot, and of any of very many in the store."""

from ..figure import Aim
from ..lab import JOB
from ..subjects.bare import NAME as BARE
from ..subjects.bare import bare
from ..subjects.forkpool import forkpool
from .bulk import SIZE, lines, submit

TITLE = "GET of a job, 64 connections; a second"
COLUMNS = {"rate": "answers/s", "jobs": "jobs in the store"}
CONNECTIONS = 64
HOT, COLD = "forkpool, job in a slot", "forkpool, any of very many queued jobs"
PARTS = 20  # after each part of the fill a request whose ids are kept: they are spread over all of it

AIMS = (
    Aim("a hot job, against a GET of the bare server", (HOT, "rate"), (BARE, "rate"), least=0.85),
    Aim("a cold job, against a GET of the bare server (10 million jobs: --deep)", (COLD, "rate"), (BARE, "rate"), least=0.5),
)


def read(lab, port, paths, seconds):
    found = lab.client("http", port, connections=CONNECTIONS, seconds=seconds, paths=lab.file("paths", "\n".join(paths)))
    return found["answered"] / found["seconds"]


def of_bare(lab, seconds):
    with bare(lab) as port:
        return {"rate": read(lab, port, ["/"], seconds)}


def of_hot(lab, seconds):
    """It waits for a worker, in a queue that is paused for workers only by a long job."""
    with forkpool(lab, "process", workers_count=1) as server:
        server.ask("POST", "/v1/jobs", {"task": "sleep", "args": {"seconds": 600}})
        job = server.ask("POST", "/v1/jobs", JOB).json()["id"]
        rate = read(lab, server.port, [f"/v1/jobs/{job}"], seconds)
        server.kill_everything()
    return {"rate": rate, "jobs": 2}


def known_ids(server, body):
    answer = server.client.post("/v1/jobs/bulk", body, headers={"Content-Type": "application/x-ndjson"})
    return answer.json()["ids"]


def of_cold(lab, jobs, seconds):
    with forkpool(lab, "process", memory_slots=None, memory_arena=None) as server:
        server.ask("POST", "/v1/queues/default/pause")
        body, ids = lines(lab), []
        text = body.read_text()
        for _ in range(PARTS):
            submit(lab, server, jobs // PARTS - SIZE, body)
            ids.append(known_ids(server, text))
        # One of each part in turn, so that no two that follow each other lie side by side.
        rate = read(lab, server.port, [f"/v1/jobs/{job}" for several in zip(*ids) for job in several], seconds)
        server.kill_everything()
    return {"rate": rate, "jobs": jobs}


def cases(lab):
    seconds = lab.pick(5, 2)
    jobs = 10_000_000 if lab.deep else lab.pick(1_000_000, 100_000)
    return {BARE: lambda: of_bare(lab, seconds), HOT: lambda: of_hot(lab, seconds), COLD: lambda: of_cold(lab, jobs, seconds)}
