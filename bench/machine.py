"""How fast the machine is just now, who else uses it, and when a measurement counts as disturbed.

The rule is fixed beforehand. Between the readings before and after a measurement none of these may be over its limit:
how much the two calibrations differ (a fixed loop, and a copy of memory), the time stolen by the host, and the time that
processes which are not ours had.
"""

import os
import platform
import statistics
import subprocess
import time
from dataclasses import dataclass

LIMITS = {"spin": 0.10, "copy": 0.10, "steal": 0.10, "foreign": 0.10}
RULE = ("A measurement is disturbed if the calibrations before and after it (a fixed loop; a copy of memory) differ by more than "
        f"{LIMITS['spin']:.0%}, or if more than {LIMITS['steal']:.0%} of the CPUs was stolen by the host or more than "
        f"{LIMITS['foreign']:.0%} used by processes that are not part of it.")

SPINS, COPY_BYTES, TRIES = 400_000, 16 << 20, 5


@dataclass(frozen=True)
class Reading:
    spin_ms: float   # the loop
    copy_ms: float   # the copy
    total: int       # ticks of all CPUs since boot, of which:
    busy: int
    steal: int
    own: int         # ticks of our process and all below it


def spin():
    count = SPINS
    while count:
        count -= 1


def best_ms(work):
    times = []
    for _ in range(TRIES):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


def cpu_ticks(line):
    """(total, busy, steal) of the first line of /proc/stat. Interrupts are nobody's: they are not busy here."""
    user, nice, system, idle, wait, irq, soft, steal = map(int, line.split()[1:9])
    return user + nice + system + idle + wait + irq + soft + steal, user + nice + system, steal


def tree_ticks(root):
    """Of a process and all below it, those that ended and were waited for included."""
    parents, ticks = {}, {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        parents[int(name)], ticks[int(name)] = int(fields[1]), sum(map(int, fields[11:15]))
    return sum(ticks[pid] for pid in tree(root, parents))


def tree(root, parents):
    """A process and all below it."""
    found, before = {root}, 0
    while len(found) != before:
        before = len(found)
        found |= {pid for pid, parent in parents.items() if parent in found}
    return found & (set(parents) | {root})


def read():
    memory = bytearray(COPY_BYTES)
    spin_ms, copy_ms = best_ms(spin), best_ms(lambda: bytes(memory))
    with open("/proc/stat", encoding="ascii") as file:
        total, busy, steal = cpu_ticks(file.readline())
    return Reading(spin_ms, copy_ms, total, busy, steal, tree_ticks(os.getpid()))


def disturbances(before, after):
    """{what: how much} of those that are over their limits; empty if the measurement in between counts."""
    total = max(1, after.total - before.total)
    found = {
        "spin": abs(after.spin_ms - before.spin_ms) / min(after.spin_ms, before.spin_ms),
        "copy": abs(after.copy_ms - before.copy_ms) / min(after.copy_ms, before.copy_ms),
        "steal": (after.steal - before.steal) / total,
        "foreign": max(0, after.busy - before.busy - (after.own - before.own)) / total,
    }
    return {what: round(much, 3) for what, much in found.items() if much > LIMITS[what]}


def describe():
    """What the figures depend on, besides forkpool."""
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo", encoding="utf-8") if line.startswith("model name")), "?")
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False,
                            cwd=os.path.dirname(__file__)).stdout.strip()
    return {"cpu": model, "cpus": os.cpu_count(), "kernel": platform.release(), "load": [round(one, 2) for one in os.getloadavg()],
            "commit": commit or "unknown"}
