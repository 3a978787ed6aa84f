"""What bench/ computes from what it measured, on numbers made by hand; and that its client counts right. No figure is taken here."""

import json
import re
import subprocess
import sys
from importlib import import_module
from xml.etree import ElementTree

import pytest

from server import ROOT

sys.path.append(str(ROOT))

from bench import figure, machine, report, svg  # noqa: E402
from bench.figure import Aim, Figure, Sample  # noqa: E402
from bench.machine import Reading  # noqa: E402

QUIET = Reading(spin_ms=10, copy_ms=2, total=1000, busy=100, steal=5, own=40)


def after(**changes):
    """A reading 1,000 ticks later, with nothing else on the machine."""
    return Reading(**{**QUIET.__dict__, "total": 2000, "busy": 700, "own": 640, **changes})


def test_a_quiet_round_is_not_disturbed():
    assert machine.disturbances(QUIET, after()) == {}
    assert machine.disturbances(QUIET, after(spin_ms=10.9, copy_ms=1.9, steal=100, busy=790)) == {}


@pytest.mark.parametrize("changes, found", [
    ({"spin_ms": 11.5}, {"spin": 0.15}),
    ({"spin_ms": 8}, {"spin": 0.25}),
    ({"copy_ms": 3}, {"copy": 0.5}),
    ({"steal": 155}, {"steal": 0.15}),
    ({"busy": 900}, {"foreign": 0.2}),
    ({"spin_ms": 20, "busy": 900}, {"spin": 1.0, "foreign": 0.2}),
])
def test_what_disturbs_a_round_is_named(changes, found):
    assert machine.disturbances(QUIET, after(**changes)) == found


def test_interrupts_and_stolen_time_are_nobodys_work():
    assert machine.cpu_ticks("cpu  100 20 30 400 50 6 7 8 0 0\n") == (621, 150, 8)


def test_a_family_is_a_process_and_all_below_it():
    found = {1: ("S", 0, 5), 2: ("S", 1, 5), 3: ("S", 2, 5), 4: ("S", 3, 5), 5: ("S", 1, 5)}
    assert machine.family(2, found) == {2, 3, 4}


def test_percentiles_of_a_histogram():
    times = [[1.0, 50], [2.0, 40], [8.0, 9], [100.0, 1]]
    assert [figure.percentile(times, percent) for percent in (1, 50, 51, 90, 99, 99.5, 100)] == [1, 1, 2, 2, 8, 100, 100]
    assert figure.percentile([], 50) is None
    assert figure.mean(times) == pytest.approx((50 + 80 + 72 + 100) / 100)
    assert figure.merged([[[1.0, 2], [3.0, 1]], [[2.0, 1], [3.0, 4]]]) == [[1.0, 2], [2.0, 1], [3.0, 5]]


def taken(*samples, aims=(), rounds=3):
    return Figure("sample", "a title", {"rate": "jobs/s"}, aims, rounds, "bench/run sample",
                  [Sample(case, number, {"rate": rate, "_times": [[rate, 1]]}, disturbed) for case, number, rate, disturbed in samples])


def test_medians_are_of_undisturbed_rounds():
    one = taken(("a", 1, 10, {}), ("a", 2, 1000, {"spin": 0.5}), ("a", 3, 30, {}))
    assert one.medians() == {"a": {"rate": 20}}
    assert one.undisturbed("a") == 2
    assert one.histogram("a") == [[10, 1], [30, 1]]
    text = report.markdown(one, [])
    assert "| a | 20.0 | 2 of 3 |" in text and "Disturbed: 1 of 3 measurements (worst: spin 50%)" in text and "⚠" not in text


def test_if_no_round_is_undisturbed_the_figure_says_so():
    one = taken(("a", 1, 10, {"steal": 0.2}), ("a", 2, 30, {"foreign": 0.4}), ("b", 1, 5, {}))
    assert one.medians() == {"a": {"rate": 20}, "b": {"rate": 5}}
    text = report.markdown(one, [])
    assert "| a | 20.0 | 0 of 2 ⚠ |" in text and "⚠ No round was undisturbed of a:" in text


def test_an_aim_is_marked_if_it_rests_on_disturbed_rounds():
    aims = (Aim("calm", ("a", "rate"), ("b", "rate"), least=1), Aim("shaky", ("a", "rate"), [("b", "rate"), ("c", "rate")], least=1))
    one = taken(("a", 1, 10, {}), ("b", 1, 5, {}), ("c", 1, 2, {"spin": 0.3}), aims=aims)
    assert [verdict.shaky for verdict in one.verdicts()] == [False, True]
    text = report.markdown(one, [])
    assert "| calm | 2.00 | ≥ 1 | reached |" in text and "| shaky | 2.00 | ≥ 1 | reached ⚠ |" in text


def verdict(**aim):
    one = taken(("ours", 1, 30, {}), ("slow", 1, 10, {}), ("fast", 1, 20, {}), aims=(Aim("text", ("ours", "rate"), **aim),))
    return one.verdicts()[0]


def test_aims_are_ratios():
    assert verdict(to=("slow", "rate"), least=3) == figure.Verdict("text", 3, "≥ 3", True)
    assert verdict(to=("slow", "rate"), least=3.1).reached is False
    assert verdict(to=("slow", "rate"), most=2.9).reached is False
    assert verdict(to=[("slow", "rate"), ("fast", "rate"), ("absent", "rate")], least=1.5).ratio == 1.5
    assert verdict(to=lambda medians: 2 * medians["fast"]["rate"] + 20, most=0.5).reached is True
    assert verdict(to=60, most=1).ratio == 0.5


def test_what_was_not_measured_is_neither_reached_nor_missed():
    for to in (("absent", "rate"), [("absent", "rate")], lambda medians: medians["absent"]["rate"]):
        assert verdict(to=to, least=1) == figure.Verdict("text", None, "≥ 1", None)
    one = taken(("a", 1, 1, {}), aims=(Aim("text", ("absent", "rate"), least=1),))
    assert "| text | – | ≥ 1 | not measured |" in report.markdown(one, [])


def test_numbers_have_three_digits_or_all_whole_ones():
    assert [report.number(value) for value in (None, 0, 0.00451, 0.0451, 0.451, 4.51, 45.1, 451, 45123.4)] == [
        "–", "0.00", "0.0045", "0.045", "0.451", "4.51", "45.1", "451", "45,123"]


def test_the_json_has_every_sample():
    one = taken(("a", 1, 10, {}), ("a", 2, 20, {"spin": 0.5}), aims=(Aim("text", ("a", "rate"), 5, least=2),))
    told = json.loads(json.dumps(report.as_json([one], {"date": "today"})))["figures"]["sample"]
    assert [sample["disturbed"] for sample in told["samples"]] == [{}, {"spin": 0.5}]
    assert told["aims"] == [{"text": "text", "ratio": 2, "wanted": "≥ 2", "reached": True, "shaky": False}]


def test_the_document_says_on_what_and_with_what_it_was_measured():
    settings = {"date": "today", "quick": True, "versions": {"Redis": "7.0"}, "commands": ["redis-server --port PORT"],
                "machine": {"cpu": "fast", "cpus": 2, "kernel": "6.1", "load": [0.5, 1, 2], "commit": "abc"}}
    text = report.document([taken(("a", 1, 10, {}))], {"sample": ["plot.svg"]}, settings)
    for wanted in ("2 × fast, Linux 6.1; load at the start 0.5", machine.RULE, "forkpool abc; Redis 7.0.", "provisional", "![sample](plot.svg)",
                   "    redis-server --port PORT"):
        assert wanted in text, wanted


@pytest.mark.parametrize("log", [False, True])
def test_a_plot_keeps_every_point_within_its_axes(log):
    text = svg.plot("<title>", "x", "y", {"a & b": [(1, 3), (10, 0.5), (512, 40000)], "zero": [(0, 0)]}, x_log=log, y_log=log)
    names = [element.text for element in ElementTree.fromstring(text).iter("{http://www.w3.org/2000/svg}text")]
    assert "<title>" in names and "a & b" in names and ("zero" in names) is not log
    points = [tuple(map(float, point.split(","))) for line in re.findall(r'points="([^"]+)"', text) for point in line.split()]
    assert len(points) == (3 if log else 4)
    assert all(svg.LEFT <= x <= svg.WIDTH - svg.RIGHT and svg.TOP <= y <= svg.HEIGHT - svg.BOTTOM for x, y in points)
    assert svg.plot("nothing", "x", "y", {"a": []}) is None


def test_a_point_lies_where_its_axis_says():
    axis = svg.Axis([1, 1000], True, 0, 300)
    assert [round(axis.at(value)) for value in (1, 10, 100, 1000)] == [0, 100, 200, 300]
    assert svg.Axis([0, 47], False, 0, 100).ticks == [0, 10, 20, 30, 40, 50]


def test_every_figure_says_what_it_is():
    for name in ("durable", "bulk", "latency", "reading", "scale", "small", "tasks", "workers", "connections", "endurance", "due"):
        module = import_module(f"bench.figures.{name}")
        assert module.TITLE and module.COLUMNS
        for aim in module.AIMS:
            assert (aim.least is None) != (aim.most is None), aim.text
            assert callable(aim.of) or aim.of[1] in module.COLUMNS, aim.text


def compiled(folder, source, name):
    subprocess.run(["cc", "-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", f"-I{ROOT / 'bench'}", source, "-o", folder / name],
                   check=True)
    return folder / name


def test_buckets_hold_what_was_added_to_a_thirtieth(tmp_path):
    values = [0, 1, 31, 32, 63, 64, 65, 127, 128, 999, 4096, 123_456_789, 3_600_000_000_000]
    source = tmp_path / "try.c"
    source.write_text('#include "histogram.h"\nint main(void) { static struct histogram all;\n' +
                      "".join(f"histogram_add(&all, {value}); histogram_print(&all); puts(\"\"); all = (struct histogram){{0}};\n"
                              for value in values) + "}\n")
    lines = subprocess.run([compiled(tmp_path, source, "try")], capture_output=True, text=True, check=True).stdout.splitlines()
    for value, line in zip(values, lines, strict=True):
        (end_us, count), = json.loads(line)
        assert count == 1
        assert max(value, 1) < end_us * 1000 + 0.5 <= max(value, 1) * 33 / 32 + 1.5, (value, end_us)


def test_the_client_counts_what_the_server_counts(server, tmp_path):
    (tmp_path / "job").write_text('{"task":"echo","args":1}')
    client = compiled(tmp_path, ROOT / "bench" / "client.c", "client")

    def ask(*options):
        done = subprocess.run([client, "http", str(server.address[1]), *options], capture_output=True, text=True, timeout=30, check=True)
        return json.loads(done.stdout)

    before = len(server.client.get("/v1/jobs?limit=1000").json()["items"])
    found = ask("connections=7", "count=100", "path=/v1/jobs", f"body={tmp_path / 'job'}")
    assert (found["answered"], found["errors"], sum(count for _, count in found["times"])) == (100, 0, 100)
    assert len(server.client.get("/v1/jobs?limit=1000").json()["items"]) == before + 100
    assert ask("connections=2", "count=9", "path=/v1/jobs/none", f"body={tmp_path / 'job'}")["errors"] == 9
    (tmp_path / "paths").write_text("/livez\n/v1/stats\n/v1/jobs/none\n")
    found = ask("connections=3", "count=30", f"paths={tmp_path / 'paths'}")
    assert (found["answered"], found["errors"]) == (20, 10)
