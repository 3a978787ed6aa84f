"""Servers short of memory, or with a clock that jumps: what tests/system/strain.c does, and walks over allocations."""

import mmap
import signal
import struct
import time

import requests

import processes
from client import TERMINAL
from processes import until
from server import BUILD

_SIZE = 48
DEATHS_A_LIFE = 3


class Strain:
    """The control file of one server."""

    def __init__(self, folder):
        self.path = folder / "strain"
        self.path.write_bytes(b"\0" * _SIZE)
        with open(self.path, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), _SIZE)

    def environment(self):
        library = BUILD / "tests" / "strain.so"
        assert library.exists(), f"{library} is missing: ./run.sh --build"
        return {"LD_PRELOAD": str(library), "FORKPOOL_TEST_STRAIN": str(self.path)}

    def _put(self, layout, at, *values):
        struct.pack_into(layout, self.memory, at, *values)

    def arm(self, role, countdown, burst=1):
        """The allocation of that number from now on fails in processes of that title, and burst - 1 after it."""
        self.disarm()
        self._put("<I", 4, burst)
        self._put("<qq", 8, countdown, 0)
        self._put("16s", 32, role.encode())
        self._put("<I", 0, 1)

    def disarm(self):
        """How many have failed."""
        self._put("<I", 0, 0)
        return struct.unpack_from("<q", self.memory, 16)[0]

    def shift(self, seconds):
        """The real time of all its processes is so much later from now on."""
        self._put("<q", 24, int(seconds * 1000))


class Walk:
    """An action, again and again, in which the first allocation fails, then the second, …, until none does.

    An error answer, a connection that breaks and a clean restart are fine. What was acknowledged ends, once."""

    def __init__(self, server, strain, role, action):
        self.server, self.strain, self.role, self.action = server, strain, role, action
        self.acknowledged, self.longest, self.deaths = [], 0.0, 0

    def step(self, number, burst=1):
        """False if no allocation of that number happened."""
        front = self.server.fronts()
        self.strain.arm(self.role, number, burst)
        began = time.monotonic()
        try:
            self.acknowledged += self.action() or []
        except requests.RequestException:
            pass  # the front is being replaced
        struck = self.strain.disarm()
        self.longest = max(self.longest, time.monotonic() - began)
        self.server.wait_ready(30)
        if self.server.fronts() != front:
            self.deaths += 1
            self._begin_anew()
        return struck > 0

    def _begin_anew(self):
        """Fronts that die one after the other are replaced ever more slowly: so now and then all of it starts anew."""
        if self.deaths % DEATHS_A_LIFE == 0:
            self.server.kill_everything()
            self.server.start()

    def run(self, most=100000, stride=1.0, burst=1):
        """Walks; returns how many allocations were tried. stride: from so many on, ever larger steps."""
        number, tried = 1, 0
        while number <= most and self.step(number, burst):
            tried += 1
            number = max(number + 1, int(number * stride))
        self.settle()
        return tried

    def settle(self):
        """All that was acknowledged has ended, and all workers are there."""
        for job in self.acknowledged:
            assert self.server.client.wait(job, 40)["state"] in TERMINAL
        until(self.server.full_strength, 20, "full strength")


REFUSALS = (413, 500, 503, 507)


def submit(server, body, path="/v1/jobs", **options):
    """The ids of what was acknowledged, as a list: nothing, if it was refused."""
    answer = requests.post(server.url + path, timeout=20, **({"json": body} if not options else {"data": body, **options}))
    if answer.status_code in (200, 202):
        document = answer.json()
        return document["ids"] if "ids" in document else [document["id"]]
    assert answer.status_code in REFUSALS, (answer.status_code, answer.text)
    return []


def _bulk(server):
    lines = ['{"task":"echo","ref":"a"}'] + ['{"task":"echo","args":%d,"after":["@a"]}' % n for n in range(4)]
    return submit(server, "\n".join(lines), "/v1/jobs/bulk", headers={"Content-Type": "application/x-ndjson"})


def _read(server, *paths):
    for path in paths:
        try:
            answer = requests.get(server.url + path, timeout=20)
            assert answer.status_code == 200 or answer.status_code in REFUSALS, (path, answer.status_code, answer.text)
        except requests.RequestException:
            server.wait_ready(30)


def _reload(server):
    lines = len(server.events())
    server.process.send_signal(signal.SIGHUP)
    until(lambda: len(server.events()) > lines, 10, "something in the log after SIGHUP")
    time.sleep(0.1)


def _replace(server, pids):
    for pid in pids:
        processes.kill(pid)
    server.wait_ready(30)
    until(server.full_strength, 20, "full strength")


# name: (title of the processes, what is done)
WALKS = {
    "submit": ("front", lambda server: submit(server, {"task": "echo", "args": 1})),
    "run": ("front", lambda server: submit(server, {"task": "echo", "args": 1}, "/v1/jobs?wait=10")),
    "work": ("worker", lambda server: submit(server, {"task": "echo", "args": 1}, "/v1/jobs?wait=10")),
    "command": ("worker", lambda server: submit(server, {"task": "chatty", "args": 1}, "/v1/jobs?wait=10")),
    "bulk": ("front", _bulk),
    "lists": ("front", lambda server: _read(server, "/v1/jobs?limit=3", "/v1/jobs?state=failed&limit=3")),
    "status": ("front", lambda server: _read(server, "/v1/stats", "/v1/workers", "/v1/queues", "/v1/tasks", "/metrics")),
    "reload": ("supervisor", _reload),
    "probe": ("probe", _reload),
    "refresh": ("front", _reload),
    "fronts": ("front", lambda server: _replace(server, server.fronts())),
    "workers": ("worker", lambda server: _replace(server, server.workers())),
}
STRIDE = 1.4


def walk_of(name, server, strain):
    role, action = WALKS[name]
    return Walk(server, strain, role, lambda: action(server))
