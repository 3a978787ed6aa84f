"""Figure 8: how busy many workers are with jobs that sleep, beside as many processes that only sleep."""

import time

from ..figure import Aim
from ..subjects.forkpool import forkpool
from .bulk import SIZE, drain, lines, submit

TITLE = "jobs that sleep, a second, and the share of what as many sleeping processes do"
COLUMNS = {"rate": "jobs/s", "bare": "sleeps/s of as many processes", "busy": "share"}
NO_OP = "no-op, 2 workers"

# W workers and jobs of so many ms: at most about half of the rate of no-ops.
SHAPES = ((1, 4), (1, 8), (10, 16), (10, 64), (100, 64), (100, 256))
SETTLE_S = 0.5


def name_of(ms, workers):
    return f"{ms} ms, {workers} workers"


AIMS = tuple(Aim(name_of(*shape), (name_of(*shape), "busy"), least=0.97) for shape in SHAPES)


def of_shape(lab, ms, workers, seconds):
    bare = lab.limits("sleep", workers, ms, seconds)["rate"]
    jobs = -(-int(1000 / ms * workers * (seconds + 3 * SETTLE_S)) // SIZE) * SIZE
    with forkpool(lab, "process", workers_count=workers) as server:
        server.ask("POST", "/v1/queues/default/pause")
        submit(lab, server, jobs, lines(lab, task="sleep", args={"seconds": ms / 1000}))
        server.ask("POST", "/v1/queues/default/resume")
        time.sleep(SETTLE_S)
        before, began = server.numbers()[1], time.monotonic()
        time.sleep(seconds)
        after, ended = server.numbers()[1], time.monotonic()
        if after >= jobs:
            raise RuntimeError("the jobs were done before the measurement was over")
        server.kill_everything()  # the rest is not waited for
    rate = (after - before) / (ended - began)
    return {"rate": rate, "bare": bare, "busy": rate / bare}


def of_no_op(lab, jobs):
    with forkpool(lab, "process") as server:
        server.ask("POST", "/v1/queues/default/pause")
        submit(lab, server, jobs, lines(lab))
        return {"rate": drain(server, jobs)}


def cases(lab):
    seconds = lab.pick(5, 1.5)
    found = {NO_OP: lambda: of_no_op(lab, lab.pick(200_000, 50_000))}
    for ms, workers in SHAPES:
        found[name_of(ms, workers)] = lambda ms=ms, workers=workers: of_shape(lab, ms, workers, seconds)
    return found
