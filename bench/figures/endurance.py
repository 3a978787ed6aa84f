"""Throughput over minutes: neither checkpoints nor the deletion of old jobs may show."""

import threading
import time

from .. import svg
from ..figure import Aim, percentile
from ..subjects.forkpool import forkpool

TITLE = "64 connections for minutes, jobs deleted after a few seconds; jobs a second, milliseconds"
COLUMNS = {"seconds": "seconds", "median": "jobs/s, median second", "low": "1 % of the seconds are slower", "lowest": "slowest second", "p50": "p50",
           "p99": "p99", "worst": "slowest answer", "kept": "jobs kept at the end", "memory": "memory at the end, MB"}
SETTINGS = {"jobs_retain_succeeded": "10s"}
CONNECTIONS = 64
START_S = 2  # left out: the machine wakes up
LEVELS = ("full", "process")

AIMS = tuple(aim for level in LEVELS for aim in (
    Aim(f"`{level}`: the slowest second against the median one", (f"forkpool {level}", "lowest"), (f"forkpool {level}", "median"), least=0.5),
    Aim(f"`{level}`: slowest answer, of 250 ms", (f"forkpool {level}", "worst"), 250, most=1)))


def each_second(server, ends, series):
    """(seconds since the start, jobs that ended in this one)"""
    began = last_time = time.monotonic()
    last = server.numbers()[1]
    while time.monotonic() < ends:
        time.sleep(max(0, last_time + 1 - time.monotonic()))
        now, finished = time.monotonic(), server.numbers()[1]
        series.append((now - began, (finished - last) / (now - last_time)))
        last_time, last = now, finished


def of_level(lab, level, seconds):
    with forkpool(lab, level, **SETTINGS) as server:
        series = []
        watch = threading.Thread(target=each_second, args=(server, time.monotonic() + seconds, series))
        watch.start()
        load = lab.client("http", server.port, connections=CONNECTIONS, seconds=seconds, path="/v1/jobs", body=lab.job)
        watch.join()
        server.until_finished()
        kept = server.store("SELECT count(*) FROM jobs")
        memory = server.pss_mb()
    rates = sorted(rate for at, rate in series if START_S < at < load["seconds"])
    return {"seconds": load["seconds"], "median": rates[len(rates) // 2], "low": rates[len(rates) // 100], "lowest": rates[0],
            "p50": percentile(load["times"], 50) / 1000, "p99": percentile(load["times"], 99) / 1000, "worst": load["times"][-1][0] / 1000,
            "kept": kept, "memory": memory, "_series": series}


def cases(lab):
    seconds = 600 if lab.deep else lab.pick(120, 20)
    return {f"forkpool {level}": lambda level=level: of_level(lab, level, seconds) for level in LEVELS}


def draw(figure):
    """The last round that counts."""
    lines = {case: figure.counted(case)[-1].values["_series"] for case in figure.cases()}
    return {"endurance.svg": svg.plot("Jobs done in each second", "seconds", "jobs/s", lines)}
