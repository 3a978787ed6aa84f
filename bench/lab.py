"""Where figures are taken: scratch folders, our own measuring programs, what is run and how its numbers come back."""

import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BENCH = ROOT / "bench"
TOOLS = ROOT / "var" / "bench" / "tools"

ARGS = {"user": 123456, "email": "someone@example.com", "template": "welcome", "tries": 3}
JOB = {"task": "echo", "args": ARGS}


def compact(document):
    return json.dumps(document, separators=(",", ":"))


class Missing(Exception):
    """What is to be measured is not here: the text says what."""


class Lab:
    """rounds are short if it is quick. deep: also what takes very long."""

    def __init__(self, quick, deep):
        self.quick, self.deep = quick, deep
        self.base = Path(tempfile.mkdtemp(prefix="forkpool-bench.", dir=os.environ.get("TMPDIR", "/var/tmp")))
        self.base.chmod(0o755)  # PostgreSQL runs as a user of its own
        self.job = self.file("job.json", compact(JOB))
        self.args = self.file("args.json", compact(ARGS))
        self.versions, self.commands = {}, []

    def note(self, command, folder, port=None):
        """A command line that is to stand in the results, without what is another one each time."""
        words = [str(word).replace(str(folder), "FOLDER").replace(str(ROOT) + "/", "") for word in command]
        line = " ".join(word.replace(str(port), "PORT") if port else word for word in words)
        if line not in self.commands:
            self.commands.append(line)

    def close(self):
        shutil.rmtree(self.base, ignore_errors=True)

    def pick(self, normal, quick):
        return quick if self.quick else normal

    def file(self, name, content):
        path = self.base / name
        path.write_text(content)
        return path

    @contextmanager
    def folder(self):
        path = Path(tempfile.mkdtemp(dir=self.base))
        path.chmod(0o755)
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def build(self):
        """The measuring programs, if their sources are younger."""
        TOOLS.mkdir(parents=True, exist_ok=True)
        libraries = subprocess.run(["pkg-config", "--cflags", "--libs", "libmicrohttpd", "jansson"], capture_output=True, text=True,
                                   check=True).stdout.split()
        for name, more in (("client", []), ("limits", ["-pthread"]), ("bare", libraries)):
            newest = max(path.stat().st_mtime for path in (BENCH / f"{name}.c", BENCH / "histogram.h"))
            if not (TOOLS / name).exists() or (TOOLS / name).stat().st_mtime < newest:
                subprocess.run(["cc", "-std=gnu11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror", BENCH / f"{name}.c", "-o",
                                TOOLS / name, *more], check=True)

    # ── programs that end by themselves ──

    def output(self, command, timeout=1800):
        done = subprocess.run(list(map(str, command)), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout,
                              check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stderr.strip()[-2000:]}")
        return done.stdout

    def client(self, protocol, port, **options):
        """{answered, errors, seconds, times}; see client.c. Raises if an answer was an error."""
        found = json.loads(self.output([TOOLS / "client", protocol, port, *(f"{key}={value}" for key, value in options.items())]))
        if found["errors"]:
            raise RuntimeError(f"{found['errors']} of {found['answered'] + found['errors']} answers were errors: {protocol} {options}")
        return found

    def limits(self, *words):
        return json.loads(self.output([TOOLS / "limits", *words]))

    def wrk(self, url, connections, seconds):
        """Good answers to POSTs of the job, and seconds."""
        text = self.output(["wrk", "--threads", min(2, connections), "--connections", connections, "--duration", f"{seconds}s", "--script",
                            BENCH / "post.lua", url, "--", self.job])
        count, took, unit = re.search(r"(\d+) requests in ([\d.]+)(s|m),", text).groups()
        bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
        return int(count) - int(bad[1] if bad else 0), float(took) * (60 if unit == "m" else 1)

    # ── programs that work until they are stopped ──

    @contextmanager
    def running(self, *commands, **options):
        """Stopped by SIGTERM, and by SIGKILL if that does not help."""
        log = open(self.base / "programs.log", "ab")
        started = [subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=log, stderr=log, **options)
                   for command in commands]
        try:
            yield started
        finally:
            for process in started:
                process.send_signal(signal.SIGTERM)
            for process in started:
                try:
                    process.wait(5)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
            log.close()


class Tallies:
    """Files in which workers say how many jobs they did: 8 bytes each."""

    def __init__(self, folder, count):
        self.paths = [Path(folder) / f"tally.{number}" for number in range(count)]
        for path in self.paths:
            path.write_bytes(bytes(8))

    def sum(self):
        return sum(struct.unpack("=Q", path.read_bytes()[:8])[0] for path in self.paths)

    def until(self, wanted, patience_s=120):
        """When so many were done."""
        last, moved = -1, time.monotonic()
        while (now := self.sum()) < wanted:
            if now != last:
                last, moved = now, time.monotonic()
            elif time.monotonic() - moved > patience_s:
                raise RuntimeError(f"{now} of {wanted} jobs were done, and then none for {patience_s} s")
            time.sleep(0.002)
        return time.monotonic()


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]
