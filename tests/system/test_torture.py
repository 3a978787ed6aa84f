"""`forkpool torture`: a short run in each test run, and that it finds what is wrong."""

import csv
import os
import re
import signal
import sqlite3
import subprocess

from processes import until
from server import BUILD, ROOT, environment, run_forkpool

TORTURE = ROOT / "tests" / "crash" / "torture"
LIAR = BUILD / "tests" / "crash" / "liar.so"


def start(tmp_path, *flags, program=TORTURE):
    """With folders under tmp_path. Not run_forkpool: some tests do something meanwhile."""
    return subprocess.Popen([str(program), *map(str, flags)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True,
                            env={**environment(), "TMPDIR": str(tmp_path), "FORKPOOL_TEST_BUILD": str(BUILD)})


def finish(process, seconds=200):
    """(exit status, report); nothing is left running, whatever happens."""
    try:
        out, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()  # its instance dies with it
        process.communicate()
        raise
    assert errors == "", errors
    return process.returncode, out


def violations(report):
    """{"lost jobs": 0, …}"""
    part = report.split("\nviolations\n")[1]
    return {name: int(count) for count, name in re.findall(r"^ +(\d+)  ([^:\n]+)", part, re.M)}


def number(pattern, report):
    return int(re.search(pattern, report).group(1))


def test_a_short_torture_violates_nothing(tmp_path):
    status, report = finish(start(tmp_path, "--minutes", 0.25, "--seed", 20261125))
    assert status == 0, report
    assert "Nothing was violated." in report
    found = violations(report)
    assert len(found) == 22 and set(found.values()) == {0}, report
    jobs, kills = number(r"(\d+) in the store", report), number(r"kills +(\d+) in", report)
    assert jobs > 300 and kills > 30, report
    assert re.search(r"^descriptors, front( +\d+){10}$", report, re.M), report
    memory, gone = (int(count) for count in re.search(r"(\d+) of durability memory; (\d+) of these gone", report).groups())
    assert memory > 5 and gone <= memory, report
    assert re.search(r"^throughput back +not compared", report, re.M), "nor is it in so short a run"
    assert "--seed 20261125" in report and "--plugin" in report, "the command line, to run it again"
    assert not list(tmp_path.iterdir()), "the evidence of a success is removed"


def test_it_finds_what_was_done_to_the_store(tmp_path):
    """Somebody deletes a finished row, and writes another one again, while it runs."""
    folder = tmp_path / "evidence"
    process = start(tmp_path, "--minutes", 0.1, "--seed", 3, "--mix", "workers", "--keep", folder)
    try:
        log = folder / "client.log"
        until(lambda: log.exists() and b"acked" in log.read_bytes(), 20, "a job")
        with sqlite3.connect(folder / "state" / "forkpool.db", timeout=10, isolation_level=None) as store:
            until(lambda: store.execute("SELECT count(*) FROM jobs WHERE state = 3").fetchone()[0] > 20, 20, "jobs")
            ids = [row[0] for row in store.execute("SELECT id_key FROM jobs WHERE state = 3 ORDER BY id_key LIMIT 2")]
            store.execute("DELETE FROM jobs WHERE id_key = ?", ids[:1])
            store.execute("UPDATE jobs SET finished_ms = finished_ms + 1 WHERE id_key = ?", ids[1:])
    finally:
        status, report = finish(process)
    found = violations(report)
    assert status == 1 and "PROMISES WERE VIOLATED." in report
    assert {name: count for name, count in found.items() if count} == {"lost jobs": 1, "changed records": 1}, report
    assert f"Evidence kept in {folder}" in report
    assert {"client.log", "ledger", "server.log", "samples.csv", "report.txt", "state"} <= set(os.listdir(folder))


def test_it_finds_results_that_no_attempt_has_worked_for(tmp_path):
    status, report = finish(start(tmp_path, "torture", "--minutes", 0.05, "--seed", 4, "--mix", "workers", "--plugin", LIAR,
                                  program=BUILD / "forkpool"))
    found = violations(report)
    assert status == 1 and found["unproved results"] > 0, report
    assert sum(found.values()) == found["unproved results"], report


def test_it_ends_early_when_interrupted_and_checks_all_the_same(tmp_path):
    process = start(tmp_path, "--minutes", 1, "--seed", 5)
    try:
        until(lambda: [path for path in tmp_path.glob("*/client.log") if b"killed" in path.read_bytes()], 40, "a kill")
    finally:
        process.send_signal(signal.SIGINT)
        status, report = finish(process)
    assert status == 0, report
    assert not list(tmp_path.iterdir())


def test_it_ends_when_as_many_jobs_as_were_asked_for_have_ended_and_compares_with_a_fresh_instance(tmp_path):
    folder = tmp_path / "evidence"
    status, report = finish(start(tmp_path, "--minutes", 0.25, "--jobs", 60, "--mix", "workers", "--seed", 6, "--pairs", 3,
                                  "--keep", folder))
    assert status == 0, report
    assert number(r"kills +\d+ in (\d+) s", report) < 12
    used, left_out = (int(count) for count in re.search(
        r"^throughput back +nothing can be said without 5 undisturbed pairs of rounds; (\d+) used, (\d+) left out$",
        report, re.M).groups())
    rounds = list(csv.DictReader((folder / "pairs.csv").open()))
    assert [(row["pair"], row["instance"], row["order"]) for row in rounds] == [
        ("1", "tortured", "1"), ("1", "fresh", "2"), ("2", "tortured", "2"), ("2", "fresh", "1"),
        ("3", "tortured", "1"), ("3", "fresh", "2")]
    assert all(float(row["jobs_per_second"]) > 0 for row in rounds), rounds
    assert used + left_out == 3 and sum(row["counts"] == "1" for row in rounds) == 2 * used
    for name in (".", "fresh"):
        with sqlite3.connect(folder / name / "state" / "forkpool.db") as store:
            assert store.execute("SELECT count(*) FROM jobs WHERE state = 3").fetchone()[0] > 60, name


def test_wrong_uses_are_refused_with_what_would_be_right(tmp_path):
    for flags, sentence in (
            (["--mix", "none"], '--mix: "none" is not all, workers, front or everything'),
            (["--minutes", "0"], '--minutes: "0" is not a number of minutes above 0'),
            (["--seed", "-1"], '--seed: "-1" is not a whole number'),
            (["--workers", "100"], '--workers: "100" is not a whole number from 1 to 64'),
            (["--durability", "memory"], '--durability: "memory" is not full or process'),
            (["--pairs", "1001"], '--pairs: "1001" is not a whole number from 0 to 1000'),
            (["--plugin", "/none.so"], '--plugin: "/none.so" is not a file that can be read'),
            (["--quick"], "--quick is not understood, or has no value"),
            (["--speed", "9"], "--speed is not understood")):
        done = run_forkpool("torture", *flags)
        assert done.returncode == 64 and sentence in done.stderr and "usage: forkpool torture" in done.stderr, done
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    done = run_forkpool("torture", "--keep", tmp_path / "full")
    assert done.returncode == 1 and "Directory not empty" in done.stderr
    assert (tmp_path / "full" / "file").read_text() == "mine"
