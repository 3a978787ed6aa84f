"""One forkpool server of a test: starts it, knows its processes, kills parts of it, and always cleans up."""

import ctypes
import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import requests

import processes
from client import Client, Raw

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("FORKPOOL_TEST_BUILD", ROOT / "build"))
BINARY = BUILD / "forkpool"
TASKS = BUILD / "tasks"

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def _die_with_the_tests():
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def flags_of(config):
    """{"jobs_max_lost": 5} → ["--jobs-max-lost", "5"]"""
    flags = []
    for key, value in config.items():
        flags += ["--" + key.replace("_", "-"), str(value)]
    return flags


def environment():
    """Ours, without settings that would reach the server."""
    return {key: value for key, value in os.environ.items() if not key.startswith("FORKPOOL_")}


def run_forkpool(*arguments, timeout=15, env=None):
    """Runs the program to its end."""
    return subprocess.run([str(BINARY), *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=timeout, env={**environment(), **(env or {})}, check=False)


class Server:
    """Listens on a free port of loopback. Settings are keywords: workers_count=2 is --workers-count 2.

    env: more variables; token: what its clients send."""

    def __init__(self, folder, env=None, token=None, under=(), **config):
        """under: a command that is to run the server, as Valgrind does."""
        self.folder = Path(folder)
        self.env, self.token, self.under = env or {}, token, under
        self.state = self.folder / "state"
        self.state.mkdir(parents=True, exist_ok=True)
        self.log_path = self.folder / "server.log"
        self.config = {
            "http_listen": "127.0.0.1:0",
            "store_url": f"sqlite://{self.state}/forkpool.db",
            "tasks_dir": TASKS,
            "workers_count": 4,
            "log_format": "json",
            "jobs_backoff_initial": "50ms",
            **config,
        }
        self.environment = {}
        self.process = None
        self.sessions = []
        self.log_start = 0
        self.address = None
        self.client = None

    # ── life ──

    def start(self, ready=True, **config):
        """Starts it (again), by default until it is ready."""
        assert self.process is None
        self.config.update(config)
        self.log_start = self.log_path.stat().st_size if self.log_path.exists() else 0
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [*self.under, str(BINARY), "serve", *flags_of(self.config)], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, preexec_fn=_die_with_the_tests,
                env={**environment(), **self.env, **self.environment})
        self.sessions.append(self.process.pid)
        self.address = processes.until(self._listening, 20, "server.listen in the log")
        self.client = self.new_client()
        if ready:
            self.wait_ready()
        return self

    def _listening(self):
        assert self.process.poll() is None, f"the server ended with {self.process.returncode}:\n{self.log_text()}"
        for line in self.events("server.listen"):
            found = re.search(r"(127\.0\.0\.1|0\.0\.0\.0):(\d+)", json.dumps(line))
            if found and found[2] != "0":
                return "127.0.0.1", int(found[2])
        return None

    @property
    def url(self):
        return f"http://{self.address[0]}:{self.address[1]}"

    def ready(self):
        assert self.process.poll() is None, f"the server ended with {self.process.returncode}:\n{self.log_text()}"
        try:
            return requests.get(self.url + "/readyz", timeout=5).status_code == 200
        except requests.RequestException:
            return False

    def wait_ready(self, seconds=20):
        processes.until(self.ready, seconds, "/readyz 200")

    def new_client(self):
        return Client(self.url, self.token)

    def raw(self, timeout=10):
        return Raw(self.address, timeout)

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def ended(self, seconds=20):
        """Waits for the end of the supervisor and that nothing of it is left; returns its exit status."""
        status = self.process.wait(seconds)
        session = self.process.pid
        self._forget()
        processes.until(lambda: not processes.session_members(session), 5,
                        "no process left: " + str(list(map(processes.title, processes.session_members(session)))))
        return status

    def stop(self, seconds=20):
        """Drains, and asserts a clean end."""
        self.terminate()
        status = self.ended(seconds)
        assert status == 0, f"exit status {status}:\n{self.log_text()}"
        self.assert_no_complaint()

    def assert_no_complaint(self):
        """No process of it has aborted: neither by a check of ours nor by a sanitizer."""
        text = self.log_path.read_text(errors="replace")
        for sign in ("broken invariant", "ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:"):
            assert sign not in text, text[max(0, text.index(sign) - 500):][:6000]

    def kill_everything(self):
        """kill -9 of the whole process group, as an OOM killer of the container would."""
        session = self.process.pid
        os.killpg(session, signal.SIGKILL)
        self.process.wait(10)
        self._forget()
        processes.until(lambda: not processes.session_members(session), 5, "everything gone after kill -9")

    def _forget(self):
        self.process = None
        if self.client:
            self.client.close()

    def clean_up(self):
        """Ends whatever is left of any life of this server, by pid."""
        if self.process:
            self.process.kill()
            self.process.wait(10)
            self._forget()
        end = time.monotonic() + 5
        for session in self.sessions:
            while time.monotonic() < end:
                left = processes.session_members(session)
                if not left:
                    break
                for pid in left:
                    processes.kill(pid)
                time.sleep(0.02)

    # ── processes ──

    @property
    def supervisor(self):
        return self.process.pid

    def titled(self, beginning):
        return [pid for pid in processes.children(self.supervisor)
                if processes.title(pid).startswith("forkpool: " + beginning)]

    def fronts(self):
        return self.titled("front")

    def front(self):
        return processes.until(self.fronts, 10, "a front process")[0]

    def workers(self):
        return self.titled("worker")

    def worker_of(self, job_id):
        """The pid of the worker that runs a job, once it does."""
        def look():
            items = self.client.get("/v1/workers").json()["items"]
            return next((item["pid"] for item in items if item["job"] and item["job"]["id"] == job_id), None)
        return processes.until(look, 10, f"a worker running {job_id}")

    def full_strength(self):
        """As many workers as configured, each in the list of workers too."""
        return len(self.workers()) == int(self.config["workers_count"])

    # ── what it left behind ──

    def log_text(self):
        return self.log_path.read_text(errors="replace")[-20000:] if self.log_path.exists() else ""

    def events(self, name=None):
        """The log lines of this life, optionally of one event."""
        found = []
        with open(self.log_path, "rb") as log:
            log.seek(self.log_start)
            for line in log:
                if line.startswith(b"{") and line.endswith(b"}\n"):
                    event = json.loads(line)
                    if name is None or event["event"] == name:
                        found.append(event)
        return found


def copy_tasks(folder, **scripts):
    """A tasks folder of one's own: the shipped tasks, and shell scripts by name."""
    folder = Path(folder)
    shutil.copytree(TASKS, folder)
    for name, text in scripts.items():
        add_script(folder, name, text)
    return folder


def add_script(folder, name, text):
    """Adds an executable in one step, so that no reload sees half of it."""
    temporary = Path(folder) / f".{name}.new"
    temporary.write_text(text)
    temporary.chmod(0o755)
    temporary.rename(Path(folder) / name)
