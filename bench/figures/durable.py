"""Figure 1: one job a request, 64 connections, two workers, results recorded."""

from ..figure import Aim
from ..subjects import through
from ..subjects.bare import NAME as BARE
from ..subjects.forkpool import LEVELS

TITLE = "one job a request, 64 connections, two workers, results recorded; a second"
CONNECTIONS = 64
COLUMNS = {"accepted": "accepted/s", "done": "done/s"}

AIMS = (
    Aim("`full` against gearmand in memory, without results", ("forkpool full", "done"), ("gearmand", "done"), least=1.0),
    Aim("`full` against the fastest peer that survives a power cut", ("forkpool full", "done"),
        [(name, "done") for name in through.DURABLE], least=3),
    Aim("`full` against pg-boss", ("forkpool full", "done"), ("pg-boss", "done"), least=20),
    Aim("`full` against graphile-worker", ("forkpool full", "done"), ("graphile-worker", "done"), least=40),
    Aim("`process` against the bare server", ("forkpool process", "done"), (BARE, "accepted"), least=0.55),
    Aim("`memory` against the bare server", ("forkpool memory", "done"), (BARE, "accepted"), least=0.6),
)


def cases(lab):
    seconds = lab.pick(5, 2)
    found = {BARE: lambda: through.of_bare(lab, CONNECTIONS, seconds)}
    for level in LEVELS:
        found[f"forkpool {level}"] = lambda level=level: through.of_forkpool(lab, level, CONNECTIONS, seconds)
    for name, kind in {**through.VOLATILE, **through.DURABLE}.items():
        found[name] = lambda kind=kind: through.of_peer(lab, kind, CONNECTIONS, seconds)
    found["multiprocessing.Pool"] = lambda: through.of_pool(lab, seconds)
    return found
