"""Many busy keep-alive connections: none of them may stall, whatever their number.

libmicrohttpd with one internal epoll thread stalls when exactly 128 events are ready at once (or 256, 512): hence the
numbers, and the rounds in which the front is stopped until every request has arrived."""

import os
import selectors
import signal
import socket
import time

import pytest

from load import get_bytes, post_bytes

SERVER = {"workers_count": 2}
ROUNDS = 20
REQUESTS = {
    "get": get_bytes("/version"),
    "submit": post_bytes("/v1/jobs", {"task": "echo", "args": 1, "durability": "process"}),
    "call": post_bytes("/v1/tasks/echo/call?wait=20", {"n": 1}),
}


class Busy:
    """One keep-alive connection with at most one request on its way."""

    def __init__(self, address):
        self.socket = socket.create_connection(address, timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer, self.answers = b"", 0

    def receive(self):
        """True when the answer is whole."""
        data = self.socket.recv(65536)
        assert data, f"closed after {self.answers} answers: {self.buffer!r}"
        self.buffer += data
        head, end, body = self.buffer.partition(b"\r\n\r\n")
        if not end:
            return False
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        if len(body) < length:
            return False
        assert head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 202")), self.buffer
        assert len(body) == length, f"more than one answer: {self.buffer!r}"
        self.buffer, self.answers = b"", self.answers + 1
        return True


@pytest.fixture
def connections(server, request):
    made = [Busy(server.address) for _ in range(request.param)]
    yield made
    for one in made:
        one.socket.close()


def serve_all(connections, request, rounds, seconds):
    """Each connection sends its next request as soon as it has its answer. Returns the longest wait for an answer."""
    longest = 0.0
    with selectors.DefaultSelector() as selector:
        sent = {}
        for one in connections:
            one.answers = 0
            selector.register(one.socket, selectors.EVENT_READ, one)
            one.socket.sendall(request)
            sent[one] = time.monotonic()
        busy, end = len(connections), time.monotonic() + seconds
        while busy:
            ready = selector.select(max(0.0, end - time.monotonic()))
            assert ready and time.monotonic() < end, \
                f"stalled: {busy} of {len(connections)} connections wait, after {[one.answers for one in connections]} answers"
            for key, _ in ready:
                one = key.data
                if one.receive():
                    now = time.monotonic()
                    longest = max(longest, now - sent[one])
                    if one.answers < rounds:
                        one.socket.sendall(request)
                        sent[one] = now
                    else:
                        selector.unregister(one.socket)
                        busy -= 1
    return longest


@pytest.mark.parametrize("kind", REQUESTS)
@pytest.mark.parametrize("connections", [127, 128, 256, 512], indirect=True)
def test_busy_connections_do_not_stall(server, connections, kind):
    longest = serve_all(connections, REQUESTS[kind], ROUNDS, 30)
    assert longest < 5, f"an answer took {longest:.1f} s"
    assert all(one.answers == ROUNDS for one in connections)


@pytest.mark.parametrize("connections", [127, 128, 129, 256, 512], indirect=True)
def test_requests_that_arrive_all_at_once_do_not_stall(server, connections):
    serve_all(connections, REQUESTS["get"], 1, 10)
    for kind in ("get", "submit", "get"):
        front = server.front()
        os.kill(front, signal.SIGSTOP)
        try:
            for one in connections:
                one.socket.sendall(REQUESTS[kind])
                one.answers = 0
            time.sleep(0.05)
        finally:
            os.kill(front, signal.SIGCONT)
        collect(connections)


def collect(connections):
    with selectors.DefaultSelector() as selector:
        for one in connections:
            selector.register(one.socket, selectors.EVENT_READ, one)
        end, busy = time.monotonic() + 5, len(connections)
        while busy:
            ready = selector.select(max(0.0, end - time.monotonic()))
            assert ready, f"stalled: {busy} of {len(connections)} connections wait"
            for key, _ in ready:
                if key.data.receive():
                    selector.unregister(key.data.socket)
                    busy -= 1


@pytest.mark.parametrize("connections", [1000], indirect=True)
def test_idle_connections_do_not_keep_others_waiting(server, client, connections):
    began = time.monotonic()
    for n in range(50):
        assert client.submit("echo", n, wait=10)["state"] == "succeeded"
    assert time.monotonic() - began < 10
    serve_all(connections[:64], REQUESTS["get"], 5, 10)


def test_connections_beyond_the_limit_are_not_served_and_room_is_found_again(start_server):
    server = start_server(http_max_connections=8)
    made = [Busy(server.address) for _ in range(8)]
    for one in made:
        one.socket.sendall(REQUESTS["get"])
    served = 0
    for one in made:
        one.socket.settimeout(2)
        try:
            served += one.receive()
        except (TimeoutError, AssertionError, ConnectionError):
            pass
    assert served >= 6, f"{served} of 8 allowed connections were served"
    for one in made:
        one.socket.close()
    last = server.new_client()
    for _ in range(100):
        try:
            assert last.get("/livez", timeout=2).status_code == 200
            break
        except OSError:
            time.sleep(0.05)
    else:
        pytest.fail("no room after all connections were closed")
    server.stop()


def test_pipelined_requests_are_answered_in_order(server):
    with server.raw() as raw:
        raw.send(get_bytes("/livez") + get_bytes("/v1/nothing") + REQUESTS["submit"] + get_bytes("/livez"))
        assert [raw.answer()[0] for _ in range(4)] == [200, 404, 202, 200]


def test_a_client_that_leaves_while_it_waits_harms_nobody(server, client):
    for _ in range(20):
        with server.raw() as raw:
            raw.send(post_bytes("/v1/tasks/sleep/call?wait=20", {"seconds": 0.2}))
            time.sleep(0.01)
    assert client.submit("echo", 1, wait=20)["state"] == "succeeded"
    assert not server.events("front.die")
