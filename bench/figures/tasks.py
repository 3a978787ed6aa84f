"""Figure 7: what a job costs beyond what its kind of task needs anyway."""

import shutil

from ..figure import Aim, mean, percentile
from ..lab import ROOT
from ..subjects.forkpool import forkpool
from .bulk import SIZE, drain, lines, submit

TITLE = "cost of a job by its kind of task, beside the bare mechanism; microseconds"
COLUMNS = {"cpu": "CPU of the worker", "wall": "time", "p50": "p50"}
PLUGIN, COMMAND, SPAWN, PIPE = "plugin (echo)", "command (does nothing)", "posix_spawn and wait", "line of JSON to a warm python3 and back"

AIMS = (
    Aim("CPU of a plugin's job, of 10 µs", (PLUGIN, "cpu"), 10, most=1),
    Aim("a command's job, against posix_spawn and wait of the same program", (COMMAND, "wall"), (SPAWN, "wall"), most=1.3),
    Aim("a job of a warm runtime, against the bare pipe (forkpool has no such kind yet)", ("warm runtime", "wall"), (PIPE, "wall"), most=2),
)


def cpu_us(pid):
    """Of the main thread, and workers have no other."""
    with open(f"/proc/{pid}/schedstat", encoding="ascii") as file:
        return int(file.read().split()[0]) / 1000


def of_task(lab, task, jobs, folder):
    """One worker drains a queue that is full beforehand."""
    with forkpool(lab, "process", workers_count=1, tasks_dir=folder) as server:
        server.ask("POST", "/v1/queues/default/pause")
        submit(lab, server, jobs, lines(lab, task=task))
        worker = server.workers()[0]
        before = cpu_us(worker)
        rate = drain(server, jobs)
        return {"cpu": (cpu_us(worker) - before) / jobs, "wall": 1e6 / rate}


def bare(found):
    return {"wall": mean(found["times"]), "p50": percentile(found["times"], 50)}


def cases(lab):
    """Both run the same program, which does nothing."""
    folder = lab.base / "tasks"
    folder.mkdir(exist_ok=True)
    shutil.copy("/bin/true", folder / "nothing")
    shutil.copy(ROOT / "build" / "tasks" / "echo.so", folder)
    jobs = lab.pick(200_000, 50_000)
    commands = lab.pick(10 * SIZE, 2 * SIZE)
    return {
        PLUGIN: lambda: of_task(lab, "echo", jobs, folder),
        COMMAND: lambda: of_task(lab, "nothing", commands, folder),
        SPAWN: lambda: bare(lab.limits("spawn", commands, folder / "nothing")),
        PIPE: lambda: bare(lab.limits("pipe", lab.pick(20_000, 5_000))),
        "semaphore, there and back": lambda: bare(lab.limits("semaphore", lab.pick(100_000, 20_000))),
    }
