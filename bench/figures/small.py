"""Figure 6: memory of an idle server, and what idle connections add."""

import resource
import socket
from contextlib import ExitStack

from ..figure import Aim
from ..subjects import memory, peers
from ..subjects.forkpool import forkpool

TITLE = "memory of all processes when idle, and with 1,000 idle connections; MB (PSS)"
COLUMNS = {"idle": "idle", "more": "more with 1,000 connections"}
TIMED = False
CONNECTIONS, WORKERS = 1000, 4
OURS = f"forkpool, {WORKERS} workers"

AIMS = (
    Aim("supervisor, front and 4 workers, of 12 MB", (OURS, "idle"), 12, most=1),
    Aim("1,000 idle connections, of 20 MB", (OURS, "more"), 20, most=1),
)

PEERS = {"beanstalkd": peers.Beanstalkd, "gearmand": peers.Gearmand, "Redis": peers.BeeMemory, "PostgreSQL": peers.Graphile}


def with_connections(port, pid, used):
    """What connections add, on each of which something was asked and answered (`used`: what)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 2 * CONNECTIONS)), hard))
    before = memory.pss_mb(pid)
    with ExitStack() as stack:
        for _ in range(CONNECTIONS):
            one = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            if used:
                one.sendall(used)
                one.recv(4096)
        return memory.pss_mb(pid) - before


def of_forkpool(lab):
    with forkpool(lab, "full", workers_count=WORKERS, memory_slots=None, memory_arena=None) as server:
        server.ask("POST", "/v1/tasks/echo/call", 1)
        return {"idle": server.pss_mb(), "more": with_connections(server.port, server.process.pid, b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")}


def of_peer(lab, kind):
    with peers.started(lab, kind) as server:
        found = {"idle": memory.pss_mb(server.process.pid)}
        if isinstance(server, (peers.ByClient, peers.RedisPeer)):  # PostgreSQL allows fewer
            found["more"] = with_connections(server.port, server.process.pid, None)
        return found


def cases(lab):
    return {OURS: lambda: of_forkpool(lab), **{name: lambda kind=kind: of_peer(lab, kind) for name, kind in PEERS.items()}}
