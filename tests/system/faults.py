"""Disks that fill up or fail, for tests: small filesystems in a private mount namespace, and preloaded faults."""

import ctypes
import errno
import os
import subprocess

import pytest

from server import BUILD

_CLONE_NEWNS = 0x20000
_libc = ctypes.CDLL(None, use_errno=True)
_unshared = None


def _private_mounts():
    """From here on our mounts, and those of our children, are seen by nobody else and end with us. Why not, or ""."""
    global _unshared
    if _unshared is None:
        if os.geteuid() != 0:
            _unshared = "only root may mount"
        elif _libc.unshare(_CLONE_NEWNS) != 0:
            _unshared = f"a mount namespace is not permitted: {os.strerror(ctypes.get_errno())}"
        else:
            made = subprocess.run(["mount", "--make-rprivate", "/"], capture_output=True, text=True, check=False)
            _unshared = made.stderr.strip()
    return _unshared


class Disk:
    """A filesystem in memory, of so many megabytes."""

    def __init__(self, path, megabytes):
        self.path = path
        why = _private_mounts()
        if not why:
            path.mkdir()
            why = self._mount("-t", "tmpfs", "-o", f"size={megabytes}m,mode=0755", "forkpool-test")
        if why:
            pytest.skip(f"no disk of its own for this test: {why}")

    def _mount(self, *arguments):
        return subprocess.run(["mount", *arguments, str(self.path)], capture_output=True, text=True,
                              check=False).stderr.strip()

    def remount(self, options):
        said = self._mount("-o", f"remount,{options}")
        assert not said, said

    def free(self):
        status = os.statvfs(self.path)
        return status.f_bavail * status.f_frsize

    def fill(self):
        """Takes every byte that is left; give it back with .empty()."""
        with open(self.path / "filler", "ab", buffering=0) as filler:
            size = 1 << 20
            while size >= 1:
                try:
                    if filler.write(b"x" * size) < size:
                        size //= 2
                except OSError as error:
                    assert error.errno == errno.ENOSPC
                    size //= 2

    def empty(self):
        (self.path / "filler").unlink()

    def unmount(self):
        subprocess.run(["umount", "-l", str(self.path)], capture_output=True, check=False)


class Faults:
    """What tests/system/fault.c reads: calls of a server that fail, or are slow, from now on."""

    def __init__(self, folder):
        self.control = folder / "fault"

    def environment(self):
        library = BUILD / "tests" / "fault.so"
        assert library.exists(), f"{library} is missing: ./run.sh --build"
        return {"LD_PRELOAD": str(library), "FORKPOOL_TEST_FAULT": str(self.control)}

    def on(self, *lines):
        """("pwrite", errno.EROFS, "forkpool.db"): that call fails so on files whose path holds that text.
        ("slow", 50, "forkpool.db"): syncs of them take 50 ms longer. A fourth: only one call in so many. All: fault.c."""
        temporary = self.control.with_suffix(".new")
        temporary.write_text("".join(" ".join(map(str, line)) + "\n" for line in lines))
        temporary.rename(self.control)

    def off(self):
        self.control.unlink()
