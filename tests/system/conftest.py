"""Fixtures: `server`, one per file of tests and stopped cleanly at its end; `start_server`, for tests that need their own."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from server import BINARY, Server  # noqa: E402


# Those that take longest begin first: two files run at a time, and the end should not wait for one of them.
LONG = ["test_torture", "test_store_care", "test_fuzz", "test_schedules", "test_model", "test_crash_points", "test_faults"]


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: LONG.index(item.path.stem) if item.path.stem in LONG else len(LONG))


def pytest_sessionstart(session):
    if not BINARY.exists():
        raise pytest.UsageError(f"{BINARY} is missing: ./run.sh --build")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failing test shows the end of the logs of its servers."""
    report = (yield).get_result()
    if report.when == "call" and report.failed:
        for server in _servers_of(item):
            report.sections.append((f"log of {server.folder.name}", server.log_text()[-6000:]))


def _servers_of(item):
    shared = item.funcargs.get("server")
    own = getattr(item, "own_servers", [])
    return ([shared] if shared else []) + own


@pytest.fixture(scope="module")
def server(tmp_path_factory, request):
    """The server that the tests of one file share."""
    config = getattr(request.module, "SERVER", {})
    one = Server(tmp_path_factory.mktemp("server"), **config)
    try:
        one.start()
        yield one
        if one.process:
            one.stop()
    finally:
        one.clean_up()


@pytest.fixture
def client(server):
    return server.client


@pytest.fixture
def start_server(tmp_path, request):
    """start_server(workers_count=2) → a running server of the test's own; start=False leaves starting to the test."""
    request.node.own_servers = []

    def make(start=True, name="server", **config):
        one = Server(tmp_path / name, **config)
        request.node.own_servers.append(one)
        return one.start() if start else one

    yield make
    for one in request.node.own_servers:
        one.clean_up()
