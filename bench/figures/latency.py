"""Figure 3: submit and wait for the result, one connection, nothing else to do."""

from .. import svg
from ..figure import Aim, percentile
from ..subjects import peers
from ..subjects.forkpool import LEVELS, forkpool

TITLE = "submit and wait for the result, one connection; milliseconds"
COLUMNS = {"p50": "p50", "p90": "p90", "p99": "p99", "p999": "p99.9"}
SYNC = "fdatasync of 4 KiB"
OVER_SYNCS_MS = 0.25

AIMS = (
    Aim("`process`, p50, against a foreground call of gearmand", ("forkpool process", "p50"), ("gearmand", "p50"), most=1.5),
    Aim(f"`full`, p50, against two fdatasyncs and {OVER_SYNCS_MS} ms", ("forkpool full", "p50"),
        lambda medians: 2 * medians[SYNC]["p50"] + OVER_SYNCS_MS, most=1),
    *(Aim(f"`{level}`, p99 against its p50", (f"forkpool {level}", "p99"), (f"forkpool {level}", "p50"), most=5) for level in LEVELS),
)

PEERS = {"gearmand": peers.Gearmand, "bee-queue": peers.BeeMemory, "bee-queue, log synced": peers.Bee, "BullMQ": peers.BullMQMemory,
         "BullMQ, log synced": peers.BullMQ, "Celery": peers.Celery}


def values(found):
    times = found["times"]
    return {**{key: percentile(times, percent) / 1000 for key, percent in (("p50", 50), ("p90", 90), ("p99", 99), ("p999", 99.9))},
            "_times": times}


def of_forkpool(lab, level, count):
    with forkpool(lab, level) as server:
        lab.client("http", server.port, count=100, path="/v1/tasks/echo/call", body=lab.args)
        return values(lab.client("http", server.port, count=count, path="/v1/tasks/echo/call", body=lab.args))


def of_peer(lab, kind, count):
    with peers.started(lab, kind) as server:
        return values(server.call(count))


def cases(lab):
    count = lab.pick(10000, 1000)
    few = count // 10  # the slow ones
    found = {SYNC: lambda: values(lab.limits("fdatasync", lab.base, count)),
             "semaphore, there and back": lambda: values(lab.limits("semaphore", count))}
    for level in LEVELS:
        found[f"forkpool {level}"] = lambda level=level: of_forkpool(lab, level, count)
    for name, kind in PEERS.items():
        found[name] = lambda name=name, kind=kind: of_peer(lab, kind, count if name == "gearmand" else few)
    found["multiprocessing.Pool"] = lambda: values(peers.pool(lab, "pool-call", count))
    return found


def tail(times):
    """Points of a curve that shows the last percents as wide as the first: x is 1 / (1 - share)."""
    count, seen, points = sum(number for _, number in times), 0, []
    for end, number in times:
        if seen < count:
            points.append((count / (count - seen), end / 1000))
        seen += number
    return points


def draw(figure):
    return {"latency.svg": svg.plot("Submit to result, one connection", "1 of so many is slower (10: p90, 100: p99)", "ms",
                                    {case: tail(figure.histogram(case)) for case in figure.cases()}, x_log=True, y_log=True)}
