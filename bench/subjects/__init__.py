"""What is measured. The servers of the tests, and those of tests/crash/peers, are started by the same code as there."""

import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[2] / "tests"
for folder in (TESTS / "crash" / "peers", TESTS / "system"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
