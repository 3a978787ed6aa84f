"""What /proc says about processes: sessions, children, titles. Kills only what it is told to, by pid."""

import os
import signal
import time


def _stat(pid):
    """(state, parent, session) of a process, or None if it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return fields[0].decode(), int(fields[1]), int(fields[3])


def _all():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def alive(pid):
    """True unless the process is gone or only waits to be reaped."""
    stat = _stat(pid)
    return stat is not None and stat[0] not in "ZX"


def session_members(session):
    """Processes of a session that are not mere zombies. Neither setpgid nor a dead parent takes one out of it."""
    found = []
    for pid in _all():
        stat = _stat(pid)
        if stat and stat[2] == session and stat[0] not in "ZX":
            found.append(pid)
    return found


def children(parent):
    """Living direct children, oldest first."""
    found = []
    for pid in _all():
        stat = _stat(pid)
        if stat and stat[1] == parent and stat[0] not in "ZX":
            found.append(pid)
    return sorted(found)


def title(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().replace(b"\0", b" ").decode(errors="replace").strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def kill(pid, number=signal.SIGKILL):
    """True if the signal was sent."""
    try:
        os.kill(pid, number)
        return True
    except ProcessLookupError:
        return False


def until(condition, seconds=10, what="", every=0.01):
    """Polls until condition() is true and returns what it returned; fails loudly otherwise."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what or condition}")
        time.sleep(every)
