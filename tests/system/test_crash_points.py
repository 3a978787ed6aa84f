"""Every crash point once: a server of which one process dies there still does all it was asked for, once. tests/crash/points
walks further: more hits of each, other numbers of workers."""

import os
import subprocess

import pytest

from server import BUILD, ROOT

CRASH_BUILD = ROOT / "build-crash"
POINTS = ROOT / "tests" / "crash" / "points"
SYMBOLS = {"crash_point", "crash_process", "crash_passing", "crash_copy"}
VARIABLE = b"FORKPOOL_TEST_CRASH"


@pytest.fixture(scope="module")
def crash_build():
    assert (CRASH_BUILD / "tests" / "crash_point_table").exists() and (CRASH_BUILD / "forkpool").exists(), \
        "build-crash/ is missing: cmake --preset crash && cmake --build build-crash"
    return CRASH_BUILD


def symbols(binary):
    lines = subprocess.run(["nm", binary], capture_output=True, text=True, check=True).stdout.splitlines()
    return {line.split()[-1] for line in lines}


def walk(*arguments):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("FORKPOOL_")}
    return subprocess.run([POINTS, *arguments], capture_output=True, text=True, timeout=400, check=False, env=environment)


def test_every_point_fires_and_no_death_there_harms_a_job(crash_build):
    done = walk("--workers", "2", "--most", "1")
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def test_nothing_of_them_is_in_a_build_that_is_not_for_tests(crash_build):
    assert SYMBOLS <= symbols(crash_build / "forkpool")
    assert VARIABLE in (crash_build / "forkpool").read_bytes()
    assert not SYMBOLS & symbols(BUILD / "forkpool")
    assert VARIABLE not in (BUILD / "forkpool").read_bytes()


def test_the_documentation_has_the_table_as_it_is(crash_build):
    text = (ROOT / "docs" / "crash-points.md").read_text()
    assert text.endswith(walk("--table").stdout), "tests/crash/points --table prints what docs/crash-points.md must end with"
