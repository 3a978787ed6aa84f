"""The measuring half of backlog.sh: fills a server by wrk, and times single requests before and after."""

import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import requests

ROOT = Path(__file__).resolve().parent.parent
TIMES = 200  # of each request
FILL = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '%s'
"""


class Server:
    def __init__(self, folder):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url, self.folder, self.http = f"http://127.0.0.1:{self.port}", Path(folder), requests.Session()

    def start(self):
        began = time.monotonic()
        command = [ROOT / "build/forkpool", "serve", "--http-listen", f"127.0.0.1:{self.port}", "--store-url",
                   f"sqlite://{self.folder}/store.db", "--tasks-dir", ROOT / "build/tasks", "--workers-count", "2",
                   "--store-durability", "process", "--log-level", "warn"]
        self.process = subprocess.Popen(command, stderr=open(self.folder / "log", "ab"))
        while True:
            try:
                if self.http.get(f"{self.url}/readyz").status_code == 200:
                    return time.monotonic() - began
            except requests.ConnectionError:
                pass
            time.sleep(0.005)

    def stop(self, number=signal.SIGTERM):
        os.kill(self.process.pid, number)
        self.process.wait()

    def post(self, path, body=None):
        return self.http.post(self.url + path, json=body)

    def get(self, path):
        return self.http.get(self.url + path)

    def waiting(self):
        jobs = self.get("/v1/queues/backlog").json()["jobs"]
        return jobs["queued"] + jobs["scheduled"]

    def fill(self, body, wanted):
        script = self.folder / "fill.lua"
        script.write_text(FILL % json.dumps(body))
        while (missing := wanted - self.waiting()) > 0:
            seconds = max(1, missing // 25000)
            subprocess.run(["wrk", "-t2", "-c64", f"-d{seconds}s", "-s", script, f"{self.url}/v1/jobs"], check=True,
                           stdout=subprocess.DEVNULL)
            print(f"{self.waiting():,} wait", file=sys.stderr)

    def memory_mb(self):
        pids = [self.process.pid] + [int(p) for p in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
                                     .read_text().split()]
        text = "".join(Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in pids)
        return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) / 1000


def median_ms(ask):
    times = []
    for _ in range(TIMES):
        began = time.perf_counter()
        answer = ask()
        times.append(time.perf_counter() - began)
        assert answer.status_code < 300, answer.text
    return statistics.median(times) * 1000


def measure(server, known):
    ids = [known] if known else [server.post("/v1/jobs", {"task": "echo", "queue": "backlog"}).json()["id"]]
    return {
        "submit": median_ms(lambda: server.post("/v1/jobs", {"task": "echo", "queue": "backlog"})),
        "submit for later": median_ms(lambda: server.post("/v1/jobs", {"task": "echo", "queue": "backlog", "delay": 9e5})),
        "submit, run and result, other queue": median_ms(lambda: server.post("/v1/tasks/echo/call", 1)),
        "why": median_ms(lambda: server.get(f"/v1/jobs/{ids[0]}/why")),
        "read": median_ms(lambda: server.get(f"/v1/jobs/{ids[0]}")),
        "list of 100 queued": median_ms(lambda: server.get("/v1/jobs?state=queued&queue=backlog&limit=100")),
        "queues": median_ms(lambda: server.get("/v1/queues")),
    }


def main():
    wanted = int(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        server = Server(folder)
        server.start()
        server.post("/v1/queues/backlog/pause")
        empty, empty_mb = measure(server, None), server.memory_mb()
        last = server.post("/v1/jobs", {"task": "echo", "queue": "backlog"}).json()["id"]
        server.fill({"task": "echo", "queue": "backlog", "args": {"user": 123456}}, wanted // 2)
        server.fill({"task": "echo", "queue": "backlog", "delay": 900000}, wanted)
        full, full_mb, waiting = measure(server, last), server.memory_mb(), server.waiting()
        server.stop(signal.SIGKILL)
        time.sleep(0.5)
        ready = server.start()
        print(f"{waiting:,} jobs wait; medians of {TIMES} requests, one connection, `process`\n")
        print("| ms | empty | with them | × |\n|---|---:|---:|---:|")
        for name, value in empty.items():
            print(f"| {name} | {value:.2f} | {full[name]:.2f} | {full[name] / value:.2f} |")
        print(f"\nMemory of all processes (Pss): {empty_mb:.1f} → {full_mb:.1f} MB. Ready after kill -9: {ready:.2f} s.")
        server.stop()


main()
