"""Each fuzz target over its seeds and for two seconds more (tests/fuzz/run says what it does). Longer runs are by hand."""

import re
import subprocess

import pytest

from server import ROOT

FUZZ = ROOT / "tests" / "fuzz"
TARGETS = sorted(path.stem for path in FUZZ.glob("*.c"))


@pytest.fixture(scope="module")
def table():
    """The run as a whole, and for each target its row."""
    done = subprocess.run([FUZZ / "run", "--seconds", "2", "--jobs", "2"], capture_output=True, text=True, timeout=300,
                          check=False)
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines, done.stderr
    head = lines[0]
    return done, {line[0]: dict(zip(head, line)) for line in lines[1:] if line[0] in TARGETS and len(line) == len(head)}


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_is_found(table, target):
    done, rows = table
    row = rows[target]
    seeds = len(list((FUZZ / "seeds" / target).iterdir()))
    assert row["found"] == "0", done.stdout
    assert 0 < seeds < int(row["runs"]), "not even the seeds were run"
    assert int(row["edges"]) > 100


def test_the_run_says_that_nothing_is_found(table):
    done, rows = table
    assert set(rows) == set(TARGETS) and len(TARGETS) >= 10
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_broken_property_would_be_found(tmp_path):
    """The word that libFuzzer and tests/fuzz/run agree on: a target that breaks leaves its input behind."""
    broken = tmp_path / "broken.c"
    broken.write_text('#include "fuzz.h"\nint LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)\n'
                      '{ HOLDS(bytes < 2 || data[0] != 0x21, "a mark"); return 0; }\n', encoding="utf-8")
    program = tmp_path / "broken"
    subprocess.run(["clang", "-fsanitize=fuzzer,address", "-D_GNU_SOURCE", "-iquote", FUZZ, "-iquote", ROOT / "shared", broken,
                    "-o", program], check=True, timeout=60)
    done = subprocess.run([program, "-max_total_time=20", "-seed=1", f"-artifact_prefix={tmp_path}/"], capture_output=True,
                          text=True, timeout=60, check=False)
    assert done.returncode != 0 and "does not hold" in done.stderr
    found = [path for path in tmp_path.iterdir() if re.match(r"crash-[0-9a-f]{40}$", path.name)]
    assert len(found) == 1 and found[0].read_bytes()[:1] == b"!"
