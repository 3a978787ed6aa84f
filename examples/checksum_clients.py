"""The clients of checksum-tree.sh: submit a sha256 job for each file, collect the results, compare.

usage: checksum_clients.py URL CLIENTS EXPECTED

EXPECTED holds what `sha256sum -z` printed. A request whose answer did not come is sent again: submits carry an
Idempotency-Key, so the job is not made twice.
"""

import http.client
import json
import sys
import threading
import time
import urllib.parse
import uuid

GIVE_UP_SECONDS = 120  # on one request, over all its repetitions


class Client(threading.Thread):
    """One keep-alive connection and its share of the files: first submits all of them, then reads each result."""

    def __init__(self, address, run, share):
        super().__init__(daemon=True)
        self.address, self.run_id, self.share = address, run, share
        self.connection = None
        self.submitted = self.repeated = self.attempts = self.retried = 0
        self.wrong = []

    def run(self):
        try:
            jobs = [(path, expected, self.submit(number, path)) for number, path, expected in self.share]
            for path, expected, job in jobs:
                self.collect(path, expected, job)
        except Exception as fault:
            self.wrong.append(f"a client gave up: {fault!r}")

    def request(self, method, path, body=None, headers=None):
        """(status, document), however often it has to be asked."""
        end = time.monotonic() + GIVE_UP_SECONDS
        while True:
            try:
                if self.connection is None:
                    self.connection = http.client.HTTPConnection(*self.address, timeout=60)
                self.connection.request(method, path, body, headers or {})
                answer = self.connection.getresponse()
                text = answer.read()
                if answer.status != 503:
                    return answer.status, json.loads(text)
            except (OSError, http.client.HTTPException):
                if self.connection:
                    self.connection.close()
                self.connection = None
            if time.monotonic() > end:
                raise TimeoutError(f"no answer to {method} {path} within {GIVE_UP_SECONDS} s")
            self.repeated += 1
            time.sleep(0.05)

    def submit(self, number, path):
        body = json.dumps({"task": "sha256", "args": {"path": path}})
        headers = {"Content-Type": "application/json", "Idempotency-Key": f"{self.run_id}-{number}"}
        status, job = self.request("POST", "/v1/jobs", body, headers)
        if status != 202:
            raise ValueError(f"{path}: {status} {job}")
        self.submitted += 1
        return job["id"]

    def collect(self, path, expected, job_id):
        while True:
            status, job = self.request("GET", f"/v1/jobs/{job_id}?wait=30")
            if status != 200:
                self.wrong.append(f"{path}: acknowledged as {job_id}, now {status} {job}")
                return
            if job["state"] in ("succeeded", "failed", "cancelled"):
                break
        self.attempts += job["attempt"]
        self.retried += job["attempt"] > 1
        if job["state"] != "succeeded":
            self.wrong.append(f"{path}: {job['state']}: {job['error']}")
        elif job["result"]["sha256"] != expected:
            self.wrong.append(f"{path}: {job['result']['sha256']}, sha256sum says {expected}")


def read_expected(name):
    """[(number, path, sum)], and how many names are no UTF-8, which JSON could not carry."""
    files, skipped = [], 0
    with open(name, "rb") as file:
        for line in file.read().split(b"\0")[:-1]:
            total, _, path = line.partition(b"  ")
            try:
                files.append((len(files), path.decode(), total.decode()))
            except UnicodeDecodeError:
                skipped += 1
    return files, skipped


def main():
    url, count, name = sys.argv[1:]
    parts = urllib.parse.urlsplit(url)
    files, skipped = read_expected(name)
    run = uuid.uuid4().hex
    began = time.monotonic()
    clients = [Client((parts.hostname, parts.port), run, files[n::int(count)]) for n in range(int(count))]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    seconds = time.monotonic() - began

    def total(name):
        return sum(getattr(client, name) for client in clients)

    wrong = [line for client in clients for line in client.wrong]
    for line in wrong[:20]:
        print(line, file=sys.stderr)
    print(f"{'clients':22} {count}")
    print(f"{'jobs acknowledged':22} {total('submitted')}")
    print(f"{'wrong or lost':22} {len(wrong)}")
    print(f"{'names not UTF-8':22} {skipped}")
    print(f"{'attempts':22} {total('attempts')}")
    print(f"{'jobs retried':22} {total('retried')}")
    print(f"{'requests repeated':22} {total('repeated')}")
    print(f"{'seconds':22} {seconds:.1f}")
    print(f"{'jobs/s':22} {len(files) / seconds:.0f}")
    return 1 if wrong or total("submitted") != len(files) else 0


sys.exit(main())
