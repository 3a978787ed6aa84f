"""The models of shared memory (tests/model, docs/reliability.md): every check holds, and every mutant is found."""

import re
import subprocess
import sys
from pathlib import Path

RUN = Path(__file__).resolve().parents[1] / "model" / "run"
ORDERS = RUN.with_name("c11")
ROOT = RUN.parents[2]


def test_the_protocol_holds_and_every_mutant_of_it_is_found():
    done = subprocess.run([sys.executable, str(RUN), "--jobs", "2"], capture_output=True, text=True, timeout=900, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    checks, mutants, wrong = re.search(r"^(\d+) checks, (\d+) mutants, (\d+) wrong$", done.stdout, re.M).groups()
    assert int(checks) >= 11 and int(mutants) >= 22 and int(wrong) == 0
    assert "NOT FOUND" not in done.stdout and "FAILS" not in done.stdout


def test_the_orders_in_the_code_are_enough_and_each_weakened_one_is_found():
    done = subprocess.run([sys.executable, str(ORDERS)], capture_output=True, text=True, timeout=600, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    checks, mutants, wrong = re.search(r"^(\d+) checks, (\d+) mutants, (\d+) wrong$", done.stdout, re.M).groups()
    assert int(checks) >= 7 and int(mutants) >= 18 and int(wrong) == 0


def test_an_order_that_is_weakened_in_the_code_is_found(tmp_path):
    """The orders come from the code: R1 relaxed there makes the check of publications fail."""
    for name in ("tests/model/c11", "tests/model/c11.cpp", "shared/ring.c", "shared/ring.h", "shared/slots.c", "shared/slots.h",
                 "shared/trays.c", "worker/worker.c", "server/dispatcher/publish.c", "server/supervisor/reap.c"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text((ROOT / name).read_text())
    ring = tmp_path / "shared" / "ring.c"
    ring.write_text(ring.read_text().replace("memory_order_release); /* R1", "memory_order_relaxed); /* R1"))
    done = subprocess.run([sys.executable, str(tmp_path / "tests/model/c11"), "publication"], capture_output=True, text=True,
                          timeout=300, check=False)
    assert done.returncode == 1 and "FAILS: R1" in done.stdout, done.stdout + done.stderr


def test_what_explores_too_little_shows_nothing(tmp_path):
    """A model that stops at once must not pass for one that holds."""
    (tmp_path / "run").write_text(RUN.read_text())
    for name in ("forkpool", "orders"):
        (tmp_path / f"{name}.pml").write_text("init { skip }\n")
    done = subprocess.run([sys.executable, str(tmp_path / "run"), "orders", "no-fence-d1"], capture_output=True, text=True,
                          timeout=300, check=False)
    assert done.returncode == 1
    assert "this shows nothing" in done.stdout and "NOT FOUND" in done.stdout
