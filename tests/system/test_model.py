"""The model of shared memory (tests/model, docs/reliability.md): every check holds, and every mutant is found."""

import re
import subprocess
import sys
from pathlib import Path

RUN = Path(__file__).resolve().parents[1] / "model" / "run"


def test_the_protocol_holds_and_every_mutant_of_it_is_found():
    done = subprocess.run([sys.executable, str(RUN), "--jobs", "2"], capture_output=True, text=True, timeout=900, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    checks, mutants, wrong = re.search(r"^(\d+) checks, (\d+) mutants, (\d+) wrong$", done.stdout, re.M).groups()
    assert int(checks) >= 11 and int(mutants) >= 22 and int(wrong) == 0
    assert "NOT FOUND" not in done.stdout and "FAILS" not in done.stdout


def test_what_explores_too_little_shows_nothing(tmp_path):
    """A model that stops at once must not pass for one that holds."""
    (tmp_path / "run").write_text(RUN.read_text())
    for name in ("forkpool", "orders"):
        (tmp_path / f"{name}.pml").write_text("init { skip }\n")
    done = subprocess.run([sys.executable, str(tmp_path / "run"), "orders", "no-fence-d1"], capture_output=True, text=True,
                          timeout=300, check=False)
    assert done.returncode == 1
    assert "this shows nothing" in done.stdout and "NOT FOUND" in done.stdout
