"""Throughput against the number of connections, of each level and of the peers: one job a request, until it is done.

The bare server has libmicrohttpd's own threads; with these it can stall when exactly 128 events are ready at once.
"""

from .. import svg
from ..subjects import peers, through
from ..subjects.bare import NAME as BARE
from ..subjects.bare import bare
from ..subjects.forkpool import LEVELS, forkpool

TITLE = "jobs done a second by so many connections, one job a request, two workers (bare server: accepted)"
COUNTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
COLUMNS = {str(count): str(count) for count in COUNTS}
AIMS = ()

PEERS = {name: kind for name, kind in {**through.VOLATILE, **through.DURABLE}.items() if kind is not peers.Celery}


def of_bare(lab, seconds):
    found = {}
    with bare(lab) as port:
        for count in COUNTS:
            answered, took = lab.wrk(f"http://127.0.0.1:{port}/", count, seconds)
            found[str(count)] = answered / took
    return found


def of_forkpool(lab, level, seconds):
    with forkpool(lab, level) as server:
        return {str(count): through.by_forkpool(lab, server, count, seconds)["done"] for count in COUNTS}


def of_peer(lab, kind, seconds):
    with peers.started(lab, kind) as server, server.working() as tallies:
        return {str(count): through.by_peer(server, tallies, count, seconds)["done"] for count in COUNTS}


def cases(lab):
    seconds = lab.pick(3, 1)
    found = {BARE: lambda: of_bare(lab, seconds)}
    for level in LEVELS:
        found[f"forkpool {level}"] = lambda level=level: of_forkpool(lab, level, seconds)
    for name, kind in PEERS.items():
        found[name] = lambda kind=kind: of_peer(lab, kind, seconds)
    return found


def draw(figure):
    lines = {case: [(int(count), value) for count, value in row.items()] for case, row in figure.medians().items()}
    return {"connections.svg": svg.plot("Jobs done a second", "connections", "jobs/s", lines, x_log=True, y_log=True)}
