"""forkpool as it is built in build/, with two workers and the shipped tasks unless a figure says otherwise."""

import sqlite3
import time
from contextlib import contextmanager

from . import memory
from server import Server, flags_of  # tests/system

LEVELS = ("memory", "process", "full")

# So many jobs in shared memory that a load of some seconds, or 1 GiB of arguments, is never what limits `memory`.
SETTINGS = {"workers_count": 2, "memory_slots": 1 << 20, "memory_arena": "1GiB", "jobs_backoff_initial": None}


class Forkpool(Server):
    @property
    def port(self):
        return self.address[1]

    def ask(self, method, path, body=None):
        answer = self.client.post(path, body) if method == "POST" else self.client.get(path)
        if answer.status_code >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer

    def numbers(self):
        """(submitted, finished) jobs since the start."""
        sums = {"forkpool_jobs_submitted_total": 0, "forkpool_jobs_finished_total": 0}
        for line in self.ask("GET", "/metrics").text.splitlines():
            name = line.partition(" ")[0].partition("{")[0]
            if name in sums:
                sums[name] += int(float(line.rpartition(" ")[2]))
        return tuple(sums.values())

    def until_finished(self, wanted=0, patience_s=120):
        """When all that was submitted, and at least so many, had ended; and how many that are."""
        last, moved = -1, time.monotonic()
        while True:
            now = time.monotonic()
            submitted, finished = self.numbers()
            if finished >= max(submitted, wanted):
                return now, finished
            if finished != last:
                last, moved = finished, now
            elif now - moved > patience_s:
                raise RuntimeError(f"{finished} of {submitted} jobs ended, and then none for {patience_s} s")
            time.sleep(0.01)

    def store(self, question):
        """The one number that it answers."""
        store = sqlite3.connect(f"file:{self.state}/forkpool.db?mode=ro", uri=True, timeout=10)
        try:
            return store.execute(question).fetchone()[0]
        finally:
            store.close()

    def pss_mb(self):
        return memory.pss_mb(self.process.pid)


@contextmanager
def forkpool(lab, durability, **settings):
    with lab.folder() as folder:
        wanted = {**SETTINGS, "store_durability": durability, **settings}  # None: as it is by default
        server = Forkpool(folder, **wanted)
        server.config = {key: value for key, value in server.config.items() if value is not None}
        lab.note(["forkpool", "serve", *flags_of(server.config)], folder)
        try:
            server.start()
            yield server
            if server.process:
                server.stop(60)
        finally:
            server.clean_up()
