"""Seeded bugs (tests/seeded/run): what is known to be caught can still be seeded."""

import shutil
import subprocess

import pytest

from server import ROOT

RUN = ROOT / "tests" / "seeded" / "run"
NAMED = {"pop-before-claim", "no-post-per-reap", "free-before-commit", "unconditional-update", "requeue-before-reap",
         "incarnation-before-claim", "kill-without-run-word"}


TOY = {
    "CMakeLists.txt": "cmake_minimum_required(VERSION 3.20)\nproject(toy C)\nadd_executable(test_shared_toy toy.c)\n"
                      "set_target_properties(test_shared_toy PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)\n",
    "CMakePresets.json": '{"version": 3, "configurePresets": [{"name": "release", "generator": "Ninja", "binaryDir": "${sourceDir}/build"}]}',
    "toy.c": "int main(void)\n{\n    return 0;\n}\n",
}
BUG = "--- a/toy.c\n+++ b/toy.c\n@@ -1,4 +1,4 @@\n int main(void)\n {\n-    return 0;\n+    return {value};\n }\n"


def run(*arguments, script=RUN):
    return subprocess.run([script, *arguments], capture_output=True, text=True, timeout=240, check=False)


@pytest.fixture
def toy(tmp_path):
    """A tree of one program, which is its own test, and two bugs: one of them does no harm."""
    seeded = tmp_path / "tests" / "seeded"
    (seeded / "patches").mkdir(parents=True)
    shutil.copy(RUN, seeded / "run")
    head = RUN.with_name("bugs.py").read_text().split("BUGS = [")[0]
    bugs = "".join(f"    Bug({name!r}, 'as it is', ('shared/toy',)),\n" for name in ("harmful", "harmless"))
    (seeded / "bugs.py").write_text(f"{head}BUGS = [\n{bugs}]\n")
    for name, value in (("harmful", "1"), ("harmless", "1 - 1")):
        (seeded / "patches" / f"{name}.diff").write_text(BUG.replace("{value}", value))
    for name, text in TOY.items():
        (tmp_path / name).write_text(text)
    return tmp_path


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


def test_bugs_in_the_claim_word_are_caught_the_whole_way():
    done = run("incarnation-before-claim", "claim-looked-at-once")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "claim-looked-at-once | shared/slots | an owner that finished before it died is not taken for dead" in done.stdout
    assert done.stdout.endswith("\n2 bugs, 0 not caught\n")


def test_a_bug_that_nobody_catches_is_told(toy):
    script = toy / "tests" / "seeded" / "run"
    assert run("harmful", script=script).returncode == 0
    done = run(script=script)
    assert done.returncode == 1 and done.stdout.endswith("\n2 bugs, 1 not caught: harmless\n"), done.stdout + done.stderr


def test_a_test_that_fails_without_any_bug_shows_nothing(toy):
    (toy / "toy.c").write_text("int main(void)\n{\n    return 2;\n}\n")
    done = run("harmful", script=toy / "tests" / "seeded" / "run")
    assert done.returncode == 1 and "shared/toy fails without any bug" in done.stderr


def test_an_unknown_bug_is_refused():
    done = run("no-such-bug")
    assert done.returncode == 2 and "no bug is called no-such-bug" in done.stderr
