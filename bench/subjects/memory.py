"""What processes cost in memory."""

from .. import machine


def pss_mb(root):
    """Of a process and all below it: pages that are shared count as their share."""
    total = 0
    for pid in machine.family(root, machine.processes()):
        try:
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
                total += next(int(line.split()[1]) for line in file if line.startswith("Pss:"))
        except (FileNotFoundError, ProcessLookupError):
            pass
    return total / 1000
