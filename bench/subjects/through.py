"""Jobs through a whole system: single submits by so many connections, for some seconds, while two workers work.

accepted: answered submits a second. done: jobs a second from the first submit until the last one is done.
"""

import time

from . import bare, peers
from .forkpool import forkpool


def of_bare(lab, connections, seconds):
    with bare.bare(lab) as port:
        answered, took = lab.wrk(f"http://127.0.0.1:{port}/", connections, seconds)
    return {"accepted": answered / took}


def by_forkpool(lab, server, connections, seconds):
    before, began = server.numbers()[1], time.monotonic()
    answered, took = lab.wrk(f"{server.url}/v1/jobs", connections, seconds)
    ended, finished = server.until_finished(before + answered)
    return {"accepted": answered / took, "done": (finished - before) / (ended - began)}


def of_forkpool(lab, level, connections, seconds):
    with forkpool(lab, level) as server:
        return by_forkpool(lab, server, connections, seconds)


def by_peer(server, tallies, connections, seconds):
    before, began = tallies.sum(), time.monotonic()
    load = server.load(connections, seconds)
    ended = tallies.until(before + load["answered"])
    return {"accepted": load["answered"] / load["seconds"], "done": load["answered"] / (ended - began)}


def of_peer(lab, kind, connections, seconds):
    with peers.started(lab, kind) as server, server.working() as tallies:
        return by_peer(server, tallies, connections, seconds)


def of_pool(lab, seconds):
    load = peers.pool(lab, "pool-load", seconds)
    return {"done": load["answered"] / load["seconds"]}


# {name: class}: those that lose jobs with the power, and those that survive it.
VOLATILE = {"beanstalkd": peers.Beanstalkd, "gearmand": peers.Gearmand, "bee-queue": peers.BeeMemory, "BullMQ": peers.BullMQMemory,
            "Celery": peers.Celery}
DURABLE = {"beanstalkd, log synced": peers.BeanstalkdLog, "bee-queue, log synced": peers.Bee, "BullMQ, log synced": peers.BullMQ,
           "graphile-worker": peers.Graphile, "pg-boss": peers.PgBoss}

