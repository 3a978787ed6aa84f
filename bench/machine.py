"""How fast the machine is just now, who else uses it, and when a measurement counts as disturbed.

The rule is fixed beforehand. Between the readings before and after a measurement none of these may be over its limit:
how much the two calibrations differ (a fixed loop, and a copy of memory), the time stolen by the host, and the time that
processes which are not ours had.
"""

import ctypes
import os
import platform
import subprocess
import time
from dataclasses import dataclass

LIMITS = {"spin": 0.10, "copy": 0.10, "steal": 0.10, "foreign": 0.10}
RULE = ("A measurement is disturbed if the calibrations before and after it (a fixed loop; a copy of memory) differ by more than "
        f"{LIMITS['spin']:.0%}, or if more than {LIMITS['steal']:.0%} of the CPUs was stolen by the host or more than "
        f"{LIMITS['foreign']:.0%} used by processes that are not part of it.")

PR_SET_CHILD_SUBREAPER = 36
SPINS, COPY_BYTES, TRIES = 400_000, 16 << 20, 9


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
    """The shortest time: how fast the processor is, not who else has it."""
    times = []
    for _ in range(TRIES):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times) * 1000


def cpu_ticks(line):
    """(total, busy, steal) of the first line of /proc/stat. Interrupts are nobody's: they are not busy here."""
    user, nice, system, idle, wait, irq, soft, steal = map(int, line.split()[1:9])
    return user + nice + system + idle + wait + irq + soft + steal, user + nice + system, steal


def processes():
    """{pid: (state, parent, ticks)} of all; ticks with those of the children that it waited for."""
    found = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        found[int(name)] = fields[0], int(fields[1]), sum(map(int, fields[11:15]))
    return found


def family(root, found):
    """A process and all below it."""
    mine, before = {root}, 0
    while len(mine) != before:
        before = len(mine)
        mine |= {pid for pid, (_, parent, _) in found.items() if parent in mine}
    return mine & set(found)


def tree_ticks(root):
    found = processes()
    return sum(found[pid][2] for pid in family(root, found))


def adopt():
    """From now on orphans below us become our children: what they used stays ours when a server is killed."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)


def reap_orphans():
    """Those that ended. Nothing else of ours may be waiting to be waited for."""
    for pid, (state, parent, _) in processes().items():
        if state == b"Z" and parent == os.getpid():
            os.waitpid(pid, 0)


def read():
    reap_orphans()
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
