"""The systems that are compared: how each is started on loopback in a folder of its own, killed, and asked.

All are set up as well as they can be for this: each write synced, and short waits before a reconnect. `full` and
`process` of forkpool sync and do not.
"""

import http.client
import json
import os
import pwd
import re
import socket
import sqlite3
import struct
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "system"))

import processes  # noqa: E402
from server import BUILD, ROOT, _die_with_the_tests, environment  # noqa: E402

from beanstalk import Beanstalk  # noqa: E402

VAR = ROOT / "var" / "peers"
WORKERS = 4
PATIENCE_S = 60

def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def first_line(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[0]


class System:
    """One server over all of its lives."""

    name = peer = ""
    packages = ()
    victims = {"server": 1.0}  # whom a blow hits, and how likely; `server` is that which is started again by us
    measured = ("server",)     # the victims whose death must pass before there is an answer
    own_workers = False        # the server forks them itself
    idle_s = 20                # nothing happens for so long: nothing will

    def __init__(self, folder):
        self.folder, self.port, self.process = Path(folder), free_port(), None
        self.ledger, self.client_log = self.folder / "ledger", self.folder / "client.log"
        self.state = self.folder / "state"
        self.state.mkdir()

    # ── what each one is ──

    def command(self):
        raise NotImplementedError

    def answers(self):
        """True if the server does its work."""
        raise NotImplementedError

    def open_jobs(self):
        """How many jobs it has that are not done."""
        raise NotImplementedError

    def records(self):
        """{job: how often it is on record as done}, or None. The server still runs."""
        return None

    def version(self):
        raise NotImplementedError

    def prepare(self):
        """Before the first start."""

    def settle(self):
        """After the first start: what the clients need."""

    def unlock(self):
        """What an operator does about jobs that nothing else sets free; True if there is something to do."""
        return False

    def lines(self, program):
        """The command of a `worker` or of a `load`."""
        if self.peer in ("bullmq", "graphile"):
            return ["node", str(HERE / "node" / f"{program}.js")]
        return [sys.executable, str(HERE / ("beanstalk.py" if program == "worker" else "load.py"))]

    # ── processes ──

    def environment(self):
        return {**environment(), "NODE_PATH": str(VAR / "node_modules"), "PEERS_LEDGER": str(self.ledger), "NO_LOG_SUCCESS": "1"}

    def spawn(self, command, log):
        with open(self.folder / log, "ab") as file:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=self.environment(),
                                    cwd=self.folder, start_new_session=True, preexec_fn=_die_with_the_tests)

    def start(self):
        self.process = self.spawn(self.command(), "server.log")

    def until_it_answers(self):
        """When it did. A server that cannot start yet, because something of the last life still ends, is started again."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            if self.process.poll() is not None:
                time.sleep(0.01)
                self.start()
            try:
                if self.answers():
                    return time.monotonic_ns()
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(0.002)
        raise RuntimeError(f"{self.name} does not answer within {PATIENCE_S} s: see {self.folder / 'server.log'}")

    def members(self):
        """Processes of this life of the server, itself included."""
        return [self.process.pid, *processes.children(self.process.pid)]

    def victim(self, kind, chance):
        """(pid to kill, pids whose attempts end with it) or None if there is none now."""
        return (self.process.pid, ()) if kind == "server" else None

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            members = self.members()
            self.process.kill()
            self.process.wait()
            processes.until(lambda: not any(map(processes.alive, members)), 10, f"the end of {self.name}")


class Forkpool(System):
    peer = "forkpool"
    durability = ""
    victims = {"server": 0.7, "front": 0.2, "worker": 0.1}
    measured = ("server", "front")
    own_workers = True

    def prepare(self):
        subprocess.run(["cc", "-std=c11", "-D_GNU_SOURCE", "-O2", "-shared", "-fPIC", f"-I{ROOT / 'worker'}", "-o",
                        self.folder / "tasks" / "peer_job.so", HERE / "job.c"], check=True)

    def __init__(self, folder):
        super().__init__(folder)
        (self.folder / "tasks").mkdir()

    def command(self):
        return [str(BUILD / "forkpool"), "serve", "--http-listen", f"127.0.0.1:{self.port}", "--store-url",
                f"sqlite://{self.state}/forkpool.db", "--store-durability", self.durability, "--tasks-dir",
                str(self.folder / "tasks"), "--workers-count", str(WORKERS)]

    def get(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def answers(self):
        return self.get("/readyz")[0] == 200

    def store(self, question):
        store = sqlite3.connect(f"file:{self.state}/forkpool.db?mode=ro", uri=True, timeout=10)
        try:
            return store.execute(question).fetchall()
        finally:
            store.close()

    def open_jobs(self):
        return self.store("SELECT count(*) FROM jobs WHERE state NOT IN (3, 4, 5)")[0][0]

    def records(self):
        return Counter(int(re.match(r'{"n":(\d+)', args)[1]) for args, in self.store("SELECT args FROM jobs WHERE state = 3"))

    def version(self):
        return first_line(str(BUILD / "forkpool"), "version")

    def victim(self, kind, chance):
        if kind == "server":
            return self.process.pid, tuple(self.members())
        of_kind = [pid for pid in processes.children(self.process.pid) if processes.title(pid).startswith(f"forkpool: {kind}")]
        if not of_kind:
            return None
        pid = chance.choice(of_kind)
        return pid, ((pid,) if kind == "worker" else ())


class ForkpoolFull(Forkpool):
    name, durability = "forkpool-full", "full"


class ForkpoolProcess(Forkpool):
    name, durability = "forkpool-process", "process"


class Beanstalkd(System):
    name = peer = "beanstalkd"

    def command(self):
        return ["beanstalkd", "-l", "127.0.0.1", "-p", str(self.port), "-b", str(self.state), "-f0"]

    def stats(self):
        server = Beanstalk(self.port, 10)
        try:
            return server.stats()
        finally:
            server.close()

    def answers(self):
        return bool(self.stats())

    def open_jobs(self):
        stats = self.stats()
        return sum(int(stats[f"current-jobs-{state}"]) for state in ("ready", "reserved", "delayed", "buried"))

    def version(self):
        return first_line("beanstalkd", "-v")


class Redis(System):
    appendonly = True

    def command(self):
        log = ["--appendonly", "yes", "--appendfsync", "always"] if self.appendonly else ["--appendonly", "no"]
        return ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.state), "--save", "", *log]

    def ask(self, *words):
        """One answer of Redis: text, a number, or a list of texts."""
        request = f"*{len(words)}\r\n" + "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as one, one.makefile("rb") as file:
            one.sendall(request.encode())
            return self.read(file)

    def read(self, file):
        line = file.readline().decode()
        if not line.endswith("\r\n"):
            raise ConnectionResetError("Redis closed the connection")
        kind, rest = line[0], line[1:-2]
        if kind == "*":
            return [self.read(file) for _ in range(int(rest))]
        if kind == "$":
            return file.read(int(rest) + 2)[:-2].decode()
        return int(rest) if kind == ":" else rest

    def answers(self):
        return self.ask("PING") == "PONG"

    def version(self):
        return f"Redis {first_line('redis-server', '--version').split()[2].removeprefix('v=')}"


class BullMQ(Redis):
    name = peer = "bullmq"
    idle_s = 75  # a stalled job is found after 30 to 60 s

    def open_jobs(self):
        lists = sum(self.ask("LLEN", f"bull:torture:{state}") for state in ("wait", "active", "paused"))
        return lists + sum(self.ask("ZCARD", f"bull:torture:{state}") for state in ("delayed", "prioritized", "failed"))

    def records(self):
        return Counter(int(one.removeprefix("job-")) for one in self.ask("ZRANGE", "bull:torture:completed", "0", "-1"))

    def version(self):
        return f"{super().version()}, {npm_version('bullmq')}"


class PostgreSQL(System):
    settings = ()  # more of them

    def __init__(self, folder):
        super().__init__(folder)
        self.bin = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
        self.user = []  # a change of users forgets the death signal, so it is set anew
        if os.geteuid() == 0:
            self.user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--pdeathsig=KILL"]

    def prepare(self):
        if self.user:
            account = pwd.getpwnam("postgres")
            os.chown(self.state, account.pw_uid, account.pw_gid)
        subprocess.run([*self.user, self.bin / "initdb", "-A", "trust", "-U", "postgres", "-D", self.state / "data"],
                       check=True, stdout=subprocess.DEVNULL, cwd="/")

    def command(self):
        return [*self.user, str(self.bin / "postgres"), "-D", str(self.state / "data"), "-h", "127.0.0.1", "-p", str(self.port),
                "-k", str(self.state), "-c", "synchronous_commit=on", "-c", "fsync=on", "-c",
                "recovery_init_sync_method=syncfs",  # by default each file is synced after a crash: some seconds
                *(word for setting in self.settings for word in ("-c", setting))]

    def sql(self, text, database="torture"):
        command = [self.bin / "psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-qAtc", text, database]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        if done.returncode != 0:
            raise OSError(done.stderr)
        return done.stdout.split()

    def settle(self):
        self.sql("CREATE DATABASE torture", "postgres")

    def answers(self):
        """A session begins and is ready for a query."""
        words = b"user\0postgres\0database\0postgres\0\0"
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as one, one.makefile("rb") as file:
            one.sendall(struct.pack("!ii", len(words) + 8, 196608) + words)
            while True:
                head = file.read(5)
                if len(head) < 5 or head[:1] == b"E":
                    return False
                file.read(struct.unpack("!i", head[1:])[0] - 4)
                if head[:1] == b"Z":
                    one.sendall(b"X\0\0\0\4")
                    return True

    def version(self):
        return f"PostgreSQL {first_line(str(self.bin / 'postgres'), '--version').split()[2]}"


class Graphile(PostgreSQL):
    name = peer = "graphile"
    victims = {"server": 0.85, "backend": 0.15}
    idle_s = 15  # a lock holds for four hours: this is not waited for

    def open_jobs(self):
        return int(self.sql("SELECT count(*) FROM graphile_worker.jobs")[0])

    def unlock(self):
        owners = self.sql("SELECT DISTINCT locked_by FROM graphile_worker.jobs WHERE locked_by IS NOT NULL")
        if owners:
            self.sql(f"SELECT graphile_worker.force_unlock_workers(ARRAY[{','.join(repr(owner) for owner in owners)}])")
        return bool(owners)

    def victim(self, kind, chance):
        if kind == "server":
            return self.process.pid, ()
        backends = [pid for pid in processes.children(self.process.pid) if "postgres torture" in processes.title(pid)]
        return (chance.choice(backends), ()) if backends else None

    def version(self):
        return f"{super().version()}, {npm_version('graphile-worker')}"


def npm_version(package):
    return f"{package} {json.loads((VAR / 'node_modules' / package / 'package.json').read_text())['version']}"


def install_npm():
    """The packages of node/package.json into var/peers, if they are not there just so."""
    wanted = (HERE / "node" / "package.json").read_text()
    installed = VAR / "package.json"
    if installed.exists() and installed.read_text() == wanted and (VAR / "node_modules" / "bullmq").exists():
        return
    VAR.mkdir(parents=True, exist_ok=True)
    (VAR / "package.json").write_text(wanted)
    done = subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--no-package-lock"], cwd=VAR, capture_output=True,
                          text=True, check=False)
    if done.returncode != 0:
        installed.unlink()
        sys.exit(f"npm install, in {VAR}:\n{done.stdout}{done.stderr}")


SYSTEMS = {system.name: system for system in (ForkpoolFull, ForkpoolProcess, Beanstalkd, BullMQ, Graphile)}
