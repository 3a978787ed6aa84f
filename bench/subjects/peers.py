"""Other job systems, each in the setting in which it is fastest for what is measured; two workers.

beanstalkd and gearmand get jobs by bench/client.c, those of Node.js by node/peers.js, those of Python by python_peers.py.
"""

import json
import re
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import systems  # tests/crash/peers

from ..lab import BENCH, TOOLS, Missing, Tallies

WORKERS = 2


@contextmanager
def started(lab, kind):
    """A server of one of the classes below, that answers."""
    for program in kind.programs:
        if shutil.which(program) is None and not list(Path("/usr/lib/postgresql").glob(f"*/bin/{program}")):
            raise Missing(f"{program} is not installed: scripts/packages.sh peers bench_peers")
    with lab.folder() as folder:
        server = kind(folder)
        server.lab = lab
        server.prepare()
        server.start()
        try:
            server.until_it_answers()
            server.settle()
            lab.versions.update(server.versions())
            lab.note(server.command(), folder, server.port)
            yield server
        finally:
            server.stop()


class Peer:
    """What figures ask of a peer, beside what systems.System does."""

    programs = ()

    def versions(self):
        name, _, version = self.version().partition(" ")
        return {name: version}

    def load(self, connections, seconds):
        """Submits single jobs: {answered, seconds}."""
        raise NotImplementedError

    def workers(self, tallies):
        """The commands of the workers."""
        raise NotImplementedError

    @contextmanager
    def at_work(self):
        """Workers, from the moment at which they are started."""
        tallies = self.tallies()
        with self.lab.running(*self.workers(tallies), env=self.environment(), cwd=self.folder):
            yield tallies

    @contextmanager
    def working(self):
        """Workers that are ready."""
        with self.at_work() as tallies:
            time.sleep(self.warm_s)
            yield tallies

    def tallies(self):
        return Tallies(self.folder, WORKERS)

    warm_s = 0.3


class ByClient(Peer):
    protocol = ""

    def load(self, connections, seconds):
        return self.lab.client(f"{self.protocol}-put", self.port, connections=connections, seconds=seconds, body=self.lab.args)

    def workers(self, tallies):
        return [[TOOLS / "client", f"{self.protocol}-work", self.port, f"connections={self.ahead}", f"tally={path}"]
                for path in tallies.paths]

    ahead = 8  # connections of a worker


class Beanstalkd(ByClient, systems.Beanstalkd):
    """In memory."""

    programs, protocol = ("beanstalkd",), "beanstalk"

    def command(self):
        return ["beanstalkd", "-l", "127.0.0.1", "-p", str(self.port)]


class BeanstalkdLog(ByClient, systems.Beanstalkd):
    """With a log, synced at each write."""

    programs, protocol = ("beanstalkd",), "beanstalk"


class Gearmand(ByClient, systems.System):
    """In memory, four threads."""

    name, programs, protocol = "gearmand", ("gearmand",), "gearman"

    def command(self):
        return ["gearmand", "-L", "127.0.0.1", "-p", str(self.port), "-t", "4", "-l", str(self.state / "log")]

    def answers(self):
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as one:
            one.sendall(b"version\n")
            return one.recv(64).startswith(b"OK")

    def version(self):
        text = subprocess.run(["gearmand", "--version"], capture_output=True, text=True, check=False).stdout
        return "gearmand " + (re.search(r"\d+\.\d+[.\d]*", text) or ["?"])[0]

    def call(self, count):
        """Calls one after the other, each until its result is here."""
        with self.working():
            return self.lab.client("gearman-call", self.port, count=count, body=self.lab.args)


class ByNode(Peer):
    package = ""
    ahead = 64   # jobs that a worker has in hand at a time
    warm_s = 1.5  # Node.js starts, and PostgreSQL's tables are made

    def node(self, mode, **more):
        what = {"peer": self.package, "mode": mode, "port": self.port, "args": json.loads(self.lab.args.read_text()), **more}
        return ["node", BENCH / "node" / "peers.js", json.dumps(what)]

    def run(self, mode, **more):
        done = subprocess.run(self.node(mode, **more), capture_output=True, text=True, env=self.environment(), timeout=900, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{self.package} {mode}: {done.stderr[-2000:]}")
        return json.loads(done.stdout or "null")

    def versions(self):
        node = systems.first_line("node", "--version").removeprefix("v")
        package, _, version = systems.npm_version(self.package).rpartition(" ")
        return {**super().versions(), "Node.js": node, package: version}

    def settle(self):
        super().settle()
        self.run("prepare")

    def load(self, connections, seconds):
        return self.run("load", connections=connections, seconds=seconds)

    def bulk(self, count, size):
        return self.run("load", connections=4, count=count, size=size)

    def workers(self, tallies):
        return [self.node("work", tally=str(path), ahead=self.ahead) for path in tallies.paths]

    def call(self, count):
        tallies = self.tallies()
        commands = [self.node("work", tally=str(path), ahead=self.ahead, answers=True) for path in tallies.paths]
        with self.lab.running(*commands, env=self.environment(), cwd=self.folder):
            time.sleep(self.warm_s)
            return self.run("call", count=count)


class RedisPeer(ByNode, systems.Redis):
    programs = ("redis-server", "node")

    def version(self):
        return systems.Redis.version(self)


class Bee(RedisPeer):
    """Redis writes its log at each change."""
    package = "bee-queue"


class BeeMemory(Bee):
    appendonly = False


class BullMQ(RedisPeer):
    package = "bullmq"


class BullMQMemory(BullMQ):
    appendonly = False


class PostgresPeer(ByNode, systems.PostgreSQL):
    programs = ("postgres", "node")
    ahead = 16
    settings = ("shared_buffers=512MB", "max_wal_size=8GB", "checkpoint_timeout=30min", "max_connections=120")


class Graphile(PostgresPeer):
    package = "graphile-worker"


class PgBoss(PostgresPeer):
    package = "pg-boss"


class Bytes(Tallies):
    """A file with a byte for each job."""

    def __init__(self, path):
        self.path = path
        path.touch()

    def sum(self):
        return self.path.stat().st_size


class Celery(Peer, systems.Redis):
    """Redis without a log, prefork, results kept."""

    name, programs, appendonly = "celery", ("redis-server",), False
    warm_s = 5

    def python(self, *words):
        return [sys.executable, BENCH / "python_peers.py", *map(str, words)]

    def environment(self):
        return {**super().environment(), "BENCH_REDIS": f"redis://127.0.0.1:{self.port}", "BENCH_TALLY": str(self.folder / "bytes"),
                "PYTHONPATH": str(BENCH)}

    def tallies(self):
        return Bytes(self.folder / "bytes")

    def workers(self, tallies):
        return [[sys.executable, "-m", "celery", "-A", "python_peers", "worker", "-P", "prefork", "-c", str(WORKERS), "--loglevel",
                 "ERROR", "--without-gossip", "--without-mingle", "--without-heartbeat"]]

    def run(self, *words):
        done = subprocess.run(self.python(*words), capture_output=True, text=True, env=self.environment(), timeout=300, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"celery: {done.stderr[-2000:]}")
        return json.loads(done.stdout)

    def versions(self):
        return {**super().versions(), "Celery": self.run("version")["version"]}

    def load(self, connections, seconds):
        return self.run("celery-load", min(connections, 8), seconds)

    def call(self, count):
        with self.working():
            return self.run("celery-call", count)


def pool(lab, mode, *words):
    """multiprocessing.Pool, in a process of its own."""
    lab.versions["Python"] = sys.version.split()[0]
    return json.loads(lab.output([sys.executable, BENCH / "python_peers.py", mode, WORKERS, *words]))
