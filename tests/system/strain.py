"""Servers short of memory, or with a clock that jumps: what tests/system/strain.c does, and walks over allocations."""

import mmap
import struct
import time

import requests

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


def submit(server, body, path="/v1/jobs", timeout=20):
    """The id of what was acknowledged, as a list: nothing, if it was refused."""
    answer = requests.post(server.url + path, json=body, timeout=timeout)
    if answer.status_code in (200, 202):
        document = answer.json()
        return [document["id"]] if "id" in document else []
    assert answer.status_code in (413, 500, 503, 507), (answer.status_code, answer.text)
    return []
