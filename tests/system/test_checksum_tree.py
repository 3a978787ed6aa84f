"""The main job on real input, in its short form: examples/checksum-tree.sh, calm and in chaos."""

import re
import subprocess

import pytest

from server import ROOT


def tree(tmp_path, *arguments):
    done = subprocess.run([str(ROOT / "examples" / "checksum-tree.sh"), *arguments], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=180, check=False, env={"PATH": "/usr/bin:/bin",
                                                                                         "TMPDIR": str(tmp_path)})
    numbers = {name.strip(): int(number) for name, number in re.findall(r"^(\D{22}) (\d+)$", done.stdout, re.M)}
    return done, numbers


def test_every_file_is_hashed_right(tmp_path):
    done, numbers = tree(tmp_path, "--limit", "500", "/usr/share")
    assert done.returncode == 0, done.stdout + done.stderr
    assert numbers["files"] == numbers["jobs acknowledged"] == numbers["attempts"] == 500
    assert numbers["wrong or lost"] == numbers["jobs retried"] == 0
    assert "every result is right" in done.stdout
    assert not list(tmp_path.iterdir()), "it cleans up"


def test_every_file_is_hashed_right_while_workers_and_front_are_killed(tmp_path):
    big = tmp_path / "big"
    big.mkdir()
    for n in range(500):  # with one worker: it lasts for seconds, and each kill meets a running job
        with open(big / f"{n:03}", "wb") as file:
            file.write(b"%d" % n)
            file.truncate(3_000_000 + n)
    done, numbers = tree(tmp_path, "--chaos", "--limit", "500", "--workers", "1", str(big))
    assert done.returncode == 0, done.stdout + done.stderr
    assert numbers["jobs acknowledged"] == 500 and numbers["wrong or lost"] == 0
    assert numbers["workers killed"] >= 4 and numbers["fronts killed"] >= 1, done.stdout
    assert numbers["jobs retried"] >= 1, "no kill met a running job: this was no test"


def test_a_wrong_answer_is_found_out(tmp_path, start_server):
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    (tasks / "sha256").write_text("#!/bin/sh\necho '{\"sha256\":\"0000\",\"bytes\":1}'\n")
    (tasks / "sha256").chmod(0o755)
    server = start_server(tasks_dir=tasks)
    done, numbers = tree(tmp_path, "--url", server.url, "--limit", "20", "/usr/share")
    assert done.returncode == 1 and numbers["wrong or lost"] == 20, done.stdout + done.stderr
    server.stop()


@pytest.mark.parametrize("arguments", [["--chaos", "--url", "http://127.0.0.1:1"], ["--bogus"], ["/etc/apt"]])
def test_what_makes_no_sense_is_refused(tmp_path, arguments):
    assert tree(tmp_path, *arguments)[0].returncode == 2
