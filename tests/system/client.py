"""Clients for the tests: requests with the checks that hold for every answer, and raw sockets."""

import json
import re
import socket
import time

import requests

TERMINAL = ("succeeded", "failed", "cancelled")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
PROBLEM = "application/problem+json"


class Client:
    """One keep-alive connection, as curl would use it. Checks what every answer promises."""

    def __init__(self, base, token=None):
        self.base = base
        self.session = requests.Session()
        self.session.trust_env = False
        if token:
            self.session.headers["Authorization"] = f"Bearer {token}"

    def close(self):
        self.session.close()

    def request(self, method, path, **options):
        options.setdefault("timeout", 70)
        answer = self.session.request(method, self.base + path, **options)
        assert answer.headers.get("X-Request-Id"), f"no X-Request-Id on {method} {path}"
        if answer.status_code >= 400 and method != "HEAD":
            check_problem(answer)
        return answer

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def post(self, path, body=None, **options):
        if body is not None:
            text = body if isinstance(body, (bytes, str)) else json.dumps(body)
            options["data"] = text.encode() if isinstance(text, str) else text
            options["headers"] = {"Content-Type": "application/json", **options.get("headers", {})}
        return self.request("POST", path, **options)

    def put(self, path, body):
        text = body if isinstance(body, (bytes, str)) else json.dumps(body)
        return self.request("PUT", path, data=text, headers={"Content-Type": "application/json"})

    def patch(self, path, body):
        text = body if isinstance(body, (bytes, str)) else json.dumps(body)
        return self.request("PATCH", path, data=text, headers={"Content-Type": "application/json"})

    def submit(self, task, args=None, wait=None, headers=None, **fields):
        """Submits a job and returns its document."""
        path = "/v1/jobs" if wait is None else f"/v1/jobs?wait={wait}"
        answer = self.post(path, {"task": task, "args": args, **fields}, headers=headers or {})
        assert answer.status_code in (200, 202), answer.text
        return answer.json()

    def job(self, job_id):
        answer = self.get(f"/v1/jobs/{job_id}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def wait(self, job_id, seconds=30):
        """The document of a job at its end."""
        end = time.monotonic() + seconds
        while True:
            left = max(1, min(20, int(end - time.monotonic())))
            try:
                answer = self.get(f"/v1/jobs/{job_id}?wait={left}")
            except requests.ConnectionError:  # the front was killed; the next one knows
                answer = None
                time.sleep(0.02)
            if answer is not None:
                if answer.status_code == 503:  # the next front is still starting
                    time.sleep(0.02)
                else:
                    assert answer.status_code == 200, answer.text
                    if answer.json()["state"] in TERMINAL:
                        return answer.json()
            assert time.monotonic() < end, f"job {job_id} did not end within {seconds} s: {answer and answer.text}"

    def attempts(self, job_id):
        answer = self.get(f"/v1/jobs/{job_id}/attempts")
        assert answer.status_code == 200, answer.text
        return answer.json()["items"]

    def all_jobs(self, **filters):
        """Every job of the list, page by page."""
        query = "&".join(f"{key}={value}" for key, value in {"limit": 1000, **filters}.items())
        path, found = f"/v1/jobs?{query}", []
        while True:
            answer = self.get(path)
            assert answer.status_code == 200, answer.text
            page = answer.json()
            found += page["items"]
            if page["next_cursor"] is None:
                return found
            path = f"/v1/jobs?{query}&cursor={page['next_cursor']}"

    def counters(self):
        """The samples of /metrics: {name{labels}: value}."""
        samples = {}
        for line in self.get("/metrics").text.splitlines():
            if line and not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                samples[name] = float(value)
        return samples


def check_problem(answer):
    """Errors are RFC 9457 documents with a stable code, and say what to do next."""
    assert answer.headers["Content-Type"].split(";")[0] == PROBLEM, (answer.status_code, answer.headers, answer.text)
    problem = answer.json()
    assert problem["status"] == answer.status_code
    for member in ("type", "title", "detail", "code", "hint", "request_id"):
        assert problem.get(member), f"no {member} in {problem}"
    assert re.fullmatch(r"[a-z0-9_]+", problem["code"])
    assert problem["request_id"] == answer.headers["X-Request-Id"]
    return problem


class Raw:
    """A socket that says exactly what it is told, and reads answers one by one."""

    def __init__(self, address, timeout=10):
        self.socket = socket.create_connection(address, timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else data.encode())

    def _more(self):
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        self.buffer += data
        return data

    def answer(self):
        """The next answer as (status, headers in lower case, body), or None when the server closed instead."""
        while b"\r\n\r\n" not in self.buffer:
            if not self._more():
                assert not self.buffer, f"half an answer: {self.buffer!r}"
                return None
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        status = int(lines[0].split()[1])
        if status == 100:
            return self.answer()
        length = int(headers.get("content-length", 0))
        while len(self.buffer) < length and self._more():
            pass
        body, self.buffer = self.buffer[:length], self.buffer[length:]
        return status, headers, body

    def closed(self):
        """True when the server closes without another byte (within the timeout of the socket)."""
        return not self.buffer and not self._more()
