"""The clients of thumbnails.sh: submit a job for each picture, wait for all, then open what was made and compare.

usage: thumbnail_clients.py URL CLIENTS SIZE PICTURES OUT

PICTURES holds names, each with a NUL behind it; the thumbnails go into the folder OUT, in the format of their originals.
"""

import http.client
import json
import os
import subprocess
import sys
import threading
import time
import urllib.parse

ENDED = ("succeeded", "failed", "cancelled")
LYING = ("LeftTop", "RightTop", "RightBottom", "LeftBottom")  # turned by the camera: width is height


class Picture:
    def __init__(self, path, target):
        self.path, self.target = path, target
        self.original = self.job = None


class Client(threading.Thread):
    """One keep-alive connection and its share of the pictures: first submits all of them, then waits for each."""

    def __init__(self, address, size, share):
        super().__init__(daemon=True)
        self.address, self.size, self.share = address, size, share
        self.connection = None
        self.fault = None

    def run(self):
        try:
            self.connection = http.client.HTTPConnection(*self.address, timeout=90)
            for picture in self.share:
                args = {"path": picture.path, "width": self.size, "height": self.size, "output": picture.target}
                picture.job = self.request("POST", "/v1/jobs", json.dumps({"task": "thumbnail", "args": args}))
            for picture in self.share:
                while picture.job["state"] not in ENDED:
                    picture.job = self.request("GET", f"/v1/jobs/{picture.job['id']}?wait=30")
        except Exception as fault:
            self.fault = f"a client gave up: {fault!r}"

    def request(self, method, path, body=None):
        self.connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
        answer = self.connection.getresponse()
        document = json.loads(answer.read())
        if answer.status not in (200, 202):
            raise ValueError(f"{method} {path}: {answer.status} {document.get('detail')}")
        return document


def look(paths, what):
    """{path: [words]} of ImageMagick's identify, many pictures a call; one that does not open is missing."""
    seen = {}
    for start in range(0, len(paths), 50):
        some = paths[start:start + 50]
        done = subprocess.run(["identify", "-format", what + " %i\n", *(path + "[0]" for path in some)],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
        for line in done.stdout.splitlines():
            words = line.split(" ", what.count("%"))
            seen[words[-1].removesuffix("[0]")] = words[:-1]
    return seen


def right_size(original, size):
    """Width and height of a thumbnail: inside the square, in proportion, never larger than the original."""
    _, width, height, turned = original
    width, height = (int(height), int(width)) if turned in LYING else (int(width), int(height))
    scale = min(1, size / width, size / height)
    return max(1, width * scale), max(1, height * scale)


def judge(picture, made, size):
    """What is wrong with a thumbnail, or None."""
    job = picture.job or {"state": "never submitted"}
    if job["state"] != "succeeded":
        return f"{job['state']}: {(job.get('error') or {}).get('message')}"
    if made is None:
        return "what was made does not open"
    form, width, height = made[0], int(made[1]), int(made[2])
    result = job["result"]
    if (result["path"], result["width"], result["height"]) != (picture.target, width, height):
        return f"the result says {result}, the file has {width} x {height}"
    if result["bytes"] != os.stat(picture.target).st_size:
        return f"the result says {result['bytes']} bytes, the file has {os.stat(picture.target).st_size}"
    wanted = right_size(picture.original, size)
    if abs(width - wanted[0]) > 1 or abs(height - wanted[1]) > 1 or max(width, height) > size:
        return f"{width} x {height} in place of {wanted[0]:.1f} x {wanted[1]:.1f}"
    return None if form == picture.original[0] else f"{form} in place of {picture.original[0]}"


def main():
    url, count, size, listed, out = sys.argv[1:]
    parts, size = urllib.parse.urlsplit(url), int(size)
    with open(listed, "rb") as file:
        paths = [os.path.abspath(os.fsdecode(name)) for name in file.read().split(b"\0")[:-1]]
    pictures = [Picture(path, os.path.join(out, f"{number:04}{os.path.splitext(path)[1].lower()}"))
                for number, path in enumerate(paths)]
    originals = look(paths, "%m %w %h %[orientation]")
    for picture in pictures:
        picture.original = originals.get(picture.path)

    began = time.monotonic()
    clients = [Client((parts.hostname, parts.port), size, pictures[n::int(count)]) for n in range(int(count))]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    seconds = time.monotonic() - began

    made = look([picture.target for picture in pictures if os.path.exists(picture.target)], "%m %w %h %k")  # %k: all of it
    faults = [client.fault for client in clients if client.fault]
    for picture in pictures:
        if picture.original is None and picture.job and picture.job["state"] == "succeeded":
            faults.append(f"{picture.path}: no picture, and yet it has a thumbnail")
        elif fault := judge(picture, made.get(picture.target), size):
            faults.append(f"{picture.path}: {fault}")
    for fault in faults[:20]:
        print(fault, file=sys.stderr)

    jobs = [picture.job for picture in pictures if picture.job]
    print(f"{'pictures':22} {len(pictures)}")
    print(f"{'clients':22} {count}")
    print(f"{'kB of pictures':22} {sum(os.stat(path).st_size for path in paths) // 1000}")
    print(f"{'kB of thumbnails':22} {sum(os.stat(picture.target).st_size for picture in pictures if picture.target in made) // 1000}")
    print(f"{'jobs succeeded':22} {sum(job['state'] == 'succeeded' for job in jobs)}")
    print(f"{'jobs failed':22} {sum(job['state'] == 'failed' for job in jobs)}")
    print(f"{'files that open':22} {len(made)}")
    print(f"{'wrong or missing':22} {len(faults)}")
    print(f"{'attempts':22} {sum(job['attempt'] for job in jobs)}")
    print(f"{'seconds':22} {seconds:.1f}")
    print(f"{'jobs/s':22} {len(jobs) / seconds:.1f}")
    return 1 if faults else 0


sys.exit(main())
