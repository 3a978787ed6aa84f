"""A server that may die at any moment, and a client that asks until it is answered."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "system"))

import processes  # noqa: E402
from server import _die_with_the_tests, environment  # noqa: E402

PATIENCE_S = 30
YAML = """\
http: {{listen: "127.0.0.1:0"}}
store: {{url: "sqlite://{folder}/state/forkpool.db", durability: process}}
tasks_dir: {folder}/tasks
pools: [{{name: default, workers: {workers}, max_jobs: 5}}]
jobs: {{backoff_initial: 20ms, backoff_max: 20ms, kill_after: 50ms, max_result: 64KiB, retain_results: 400ms}}
tasks: [{{name: passing, path: {folder}/tasks/note, retain_succeeded: 50ms}}]
shutdown: {{drain: 100ms}}
log: {{format: json}}
memory: {{slots: 64, tray: 1MiB, arena: 16MiB}}
"""


class Unproved(Exception):
    """What the scenario found wrong."""


class Life:
    """One server over all of its lives. `crash`: the point at which one of its processes dies, as NAME:N."""

    def __init__(self, build, folder, workers, crash=""):
        self.folder, self.workers, self.crash = Path(folder), workers, crash
        self.binary = Path(build) / "forkpool"
        self.counts, self.ledger = self.folder / "counts", self.folder / "ledger"
        self.log_path, self.config = self.folder / "server.log", self.folder / "forkpool.yaml"
        (self.folder / "tasks").mkdir(parents=True)
        (self.folder / "state").mkdir()
        for name in ("ledger.so", "note"):
            os.symlink(Path(build) / "tests" / "walk" / name, self.folder / "tasks" / name)
        self.config.write_text(YAML.format(folder=self.folder, workers=workers))
        self.process, self.sessions, self.starts = None, [], 0
        self.connection, self.port = None, 0
        self.asked = 0  # requests, answered or not

    # ── processes ──

    def start(self):
        self.starts += 1
        if self.starts > 8:
            raise Unproved("the server does not stay up")
        begin = self.log_path.stat().st_size if self.log_path.exists() else 0
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [str(self.binary), "serve", "--config", str(self.config)], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, start_new_session=True, preexec_fn=_die_with_the_tests,
                env={**environment(), "CRASH_LEDGER": str(self.ledger), "FORKPOOL_TEST_CRASH": self.crash,
                     "FORKPOOL_TEST_CRASH_FILE": str(self.counts)})
        self.sessions.append(self.process.pid)
        self.port = 0
        end = time.monotonic() + PATIENCE_S
        while not self.port and self.process.poll() is None and time.monotonic() < end:
            with open(self.log_path, "rb") as log:
                log.seek(begin)
                found = re.search(rb'"event":"server.listen".*"port":(\d+)', log.read())
            self.port = int(found[1]) if found else 0
            time.sleep(0.005)

    def revive(self):
        """If the supervisor is gone, so is everything: once that is true, the next life begins."""
        if self.process is not None and self.process.poll() is None:
            return
        if self.process is not None:
            status, session = self.process.returncode, self.process.pid
            if status not in (0, -signal.SIGKILL):
                raise Unproved(f"the supervisor ended with {status}")
            processes.until(lambda: not processes.session_members(session), 5, "everything gone with the supervisor")
        self.start()

    def stop(self):
        """A drain; a supervisor that dies in it is not started again."""
        session = self.process.pid
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(PATIENCE_S)
        if status not in (0, -signal.SIGKILL):
            raise Unproved(f"a drain ended with {status}")
        processes.until(lambda: not processes.session_members(session), 5, "no process left after a drain")
        self.process = None

    def kill_all(self):
        self.process.kill()
        self.process.wait()
        self.revive()

    def kill_front(self):
        for pid in processes.children(self.process.pid):
            if processes.title(pid).startswith("forkpool: front"):
                processes.kill(pid)

    def clean_up(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for session in self.sessions:
            for pid in processes.session_members(session):
                processes.kill(pid)

    def open_gate(self, number):
        """The jobs that wait for it may end."""
        Path(f"{self.ledger}.gate{number}").touch()

    # ── requests ──

    def once(self, method, path, body=None, headers=None):
        """(status, document), or None if no answer came."""
        self.asked += 1
        if isinstance(body, (dict, list)):
            body, headers = json.dumps(body), {"Content-Type": "application/json", **(headers or {})}
        try:
            if self.connection is None:
                self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
            self.connection.request(method, path, body, headers or {})
            answer = self.connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text else None
        except (OSError, http.client.HTTPException):
            if self.connection is not None:
                self.connection.close()
            self.connection = None
            return None

    def ask(self, method, path, body=None, headers=None):
        """Asks until it is answered, over all lives. 503: not ready, or on its way out."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            self.revive()
            answer = self.once(method, path, body, headers)
            if answer is not None and answer[0] != 503:
                return answer
            time.sleep(0.01)
        raise Unproved(f"no answer to {method} {path} within {PATIENCE_S} s")

    def get(self, path):
        status, document = self.ask("GET", path)
        if status != 200:
            raise Unproved(f"GET {path}: {status} {document}")
        return document

    def until(self, what, look, seconds=PATIENCE_S):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            value = look()
            if value:
                return value
            time.sleep(0.015)
        raise Unproved(f"not within {seconds} s: {what}")

    def hits(self):
        """How often each point was passed, in the order of the table."""
        data = self.counts.read_bytes() if self.counts.exists() else b""
        return [int.from_bytes(data[at:at + 8], "little") for at in range(0, len(data), 8)]
