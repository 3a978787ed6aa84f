"""Seeded bugs (tests/seeded/run): what is known to be caught can still be seeded."""

import shutil
import subprocess

from server import ROOT

RUN = ROOT / "tests" / "seeded" / "run"
NAMED = {"pop-before-claim", "no-post-per-reap", "free-before-commit", "unconditional-update", "requeue-before-reap",
         "incarnation-before-claim", "kill-without-run-word"}


def run(*arguments, script=RUN):
    return subprocess.run([script, *arguments], capture_output=True, text=True, timeout=120, check=False)


def table():
    lines = run("--list").stdout.splitlines()
    return {name: (what, tests) for name, what, tests in (line.split(" | ") for line in lines)}


def test_each_bug_can_be_seeded_into_the_tree_as_it_is():
    done = run("--check")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{len(table())} patches apply\n"


def test_a_patch_that_does_not_apply_is_named(tmp_path):
    """In a tree of its own, without git, whose ring has been rewritten."""
    shutil.copytree(ROOT / "tests" / "seeded", tmp_path / "tests" / "seeded")
    for name in ("worker", "server", "shared"):
        shutil.copytree(ROOT / name, tmp_path / name)
    script = tmp_path / "tests" / "seeded" / "run"
    assert run("--check", script=script).returncode == 0
    worker = tmp_path / "worker" / "worker.c"
    worker.write_text(worker.read_text().replace("ring_advance(ring, head)", "ring_go_on(ring, head)"))
    done = run("--check", script=script)
    assert done.returncode == 1
    assert "pop-before-claim: " in done.stderr and "kill-without-run-word" not in done.stderr


def test_the_documentation_has_each_bug_and_who_catches_it():
    text = (ROOT / "docs" / "reliability.md").read_text()
    for name, (what, tests) in table().items():
        caught = ", ".join(f"`{test}`" for test in tests.split(", ")).replace("|", "\\|")
        assert f"| `{name}` | {what} | {caught} |" in text, name
    assert NAMED <= set(table())


def test_an_unknown_bug_is_refused():
    done = run("no-such-bug")
    assert done.returncode == 2 and "no bug is called no-such-bug" in done.stderr
