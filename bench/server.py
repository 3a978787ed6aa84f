"""A server of its own for a measurement: in a fresh folder, two workers, durability process."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import requests

ROOT = Path(__file__).resolve().parent.parent


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

    def memory_mb(self):
        pids = [self.process.pid] + [int(p) for p in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
                                     .read_text().split()]
        text = "".join(Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in pids)
        return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) / 1000
