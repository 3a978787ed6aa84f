#!/usr/bin/python3
"""Makes tests/fuzz/seeds/ from the cases of the other tests, and the dictionaries from tables in the code.

    tests/fuzz/seeds.py && tests/fuzz/run --seconds 0      then look at what is new, and commit it

Cases are string literals of the C tests, requests of tests/system/test_bad_input.py, and some written here. Of all that
are made, libFuzzer's merge keeps those that reach something that no other reaches; of these MOST, of all sizes.
"""

import ast
import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

FUZZ = Path(__file__).resolve().parent
ROOT = FUZZ.parents[1]
SEEDS = FUZZ / "seeds"
MOST, MOST_BYTES = 40, 1500
ID = "0193a2f4-7c3b-7d1e-9f10-4b1a2c3d4e5f"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
LITERALS = re.compile(r'"(?:[^"\\\n]|\\.)*"(?:\s*"(?:[^"\\\n]|\\.)*")*')


def literals(*patterns):
    """The strings of C tests, as they are in memory; pieces that stand next to each other are one."""
    found = []
    for path in sorted(path for pattern in patterns for path in (ROOT / "tests").glob(pattern)):
        text = re.sub(r'"\s*[AB]\s*"', ID, path.read_text(encoding="utf-8"))
        for match in LITERALS.finditer(text):
            pieces = re.findall(r'"((?:[^"\\\n]|\\.)*)"', match.group(0))
            try:
                found.append(b"".join(ast.literal_eval('b"' + piece.encode("utf-8").decode("latin-1").encode(
                    "ascii", "backslashreplace").decode() + '"') for piece in pieces))
            except (SyntaxError, ValueError):
                continue
    return list(dict.fromkeys(found))


def bodies(*patterns):
    return [text for text in literals(*patterns) if text[:1] in b"{[" and b"%" not in text]


def members(*patterns):
    """Members of an object, without its braces."""
    return [b"{" + text + b"}" for text in literals(*patterns) if re.match(rb'"[a-z_]+" ?:', text) and b"%" not in text]


def make_json():
    return literals("shared/test_json*.c")


def make_submission():
    objects = [b'{"task":"echo",' + text[1:] for text in members("api/test_codec*.c")] + bodies("api/test_codec*.c")
    alone = [b"\n\n\n\n" + text for text in objects]
    lines = [b"b\n\n\n\n" + text for text in objects if b"ref" in text or b"@" in text]
    query = f"after={ID},{ID[:-1]}0&after_policy=fail&unique_key=k&tag=a&timeout=5&delay=1&max_attempts=2"
    return alone + lines + [f"t\n{query}\nkey-1\n{TRACE}\n".encode() + b'{"a":[1,2.5e3]}']


def make_changes():
    patches = [b"p\n" + text for text in bodies("api/test_codec_patch.c") + members("api/test_codec_patch.c")]
    limits = [letter + b"\n" + text for text in bodies("api/test_codec_lane.c") + members("api/test_codec_lane.c")
              for letter in (b"q", b"t")]
    actions = [b"a\n" + text for text in bodies("api/test_codec_action.c") + members("api/test_codec_action.c")]
    filters = f"f\nstate=failed\ntask=a\nqueue=b\ntag=c\nbatch={ID}\nq=x\ncreated_after=2026-11-23T06:36:00Z\n"
    return patches + limits + actions + [filters.encode(), filters.replace("failed", "running").encode()]


def make_cron():
    expressions = [text for text in literals("shared/test_cron.c") if len(text.split()) in (5, 6) or text[:1] == b"@"]
    zones = [(b"UTC", 1700000000000), (b"Europe/Berlin", 1711846000000), (b"Europe/Berlin", 1729986000000),
             (b"Australia/Lord_Howe", 1700000000000), (b"Pacific/Apia", 1325200000000)]
    return [b"%s\n%d\n%s" % (*zones[i % len(zones)], text) for i, text in enumerate(expressions)]


def make_config():
    files = [text for text in literals("shared/test_config*.c") if b":" in text and b"\n" in text or b"{" in text]
    variables = [b"#env\n" + text for text in literals("shared/test_config*.c") if text.startswith(b"FORKPOOL_")]
    examples = [path.read_bytes() for path in ROOT.glob("examples/**/*.yaml") if path.stat().st_size < MOST_BYTES]
    return files + variables + examples


def make_bulk():
    lines = [b'{"task":"echo","ref":"a"}', b'{"task":"sum","ref":"b","after":["@a"]}', b'{"task":"nix","ref":"c"}',
             b'{"task":"echo","after":["@batch"],"ref":"d"}', b'{"task":"echo","after":["@b","@%s"]}' % ID.encode(),
             b'{"task":"echo","ref":"a"}', b"", b"[1]", b'{"task":"echo","ref":"x","after":["@x"]}', b"\xff"]
    made = [b"%s\n%s\n" % (mode, cuts) + end.join(lines[start:start + 5])
            for mode in (b"", b"a", b"k") for cuts in (b"\1", b"\7\x20", b"\xff") for end in (b"\n", b"\r\n")
            for start in range(6)]
    return made + [b"a\n\5\n" + text for text in bodies("api/test_bulk*.c", "api/test_codec_together.c")]


def request(method, target, body=b"", *headers, kind="application/json"):
    head = [f"{method} {target} HTTP/1.1", "Host: localhost", *headers]
    if body:
        head += [f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
    return "\r\n".join(head + ["", ""]).encode() + body


def make_http():
    sys.path.insert(0, str(ROOT / "tests" / "system"))
    from test_bad_input import MALFORMED, SMUGGLED  # pylint: disable=import-outside-toplevel
    routes = re.findall(r'\{"(GET|POST|PUT|PATCH|DELETE)", "(/[^"]*)"',
                        (ROOT / "api" / "routes.c").read_text(encoding="utf-8"))
    plain = [request(method, re.sub(r"\{(id|batch)\}", ID, path).replace("{task}", "echo").replace("{queue}", "default"),
                     b"{}" if method not in ("GET", "DELETE") else b"") for method, path in routes]
    job = b'{"task":"echo","args":[1],"unique":{"key":"k"},"tags":["a"]}'
    chunked = (b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
               b'Transfer-Encoding: chunked\r\n\r\n6\r\n{"task\r\n9;x=y\r\n":"echo"}\r\n0\r\nX: y\r\n\r\n')
    made = [request("POST", "/v1/jobs", job, "Idempotency-Key: k", "Prefer: wait=1, respond-async", f"traceparent: {TRACE}"),
            request("POST", "/v1/tasks/echo/call?wait=1", b"[]"),
            request("POST", "/v1/jobs/bulk?atomic=false", job + b"\n" + job, kind="application/x-ndjson"),
            request("POST", "/v1/jobs/actions", b'{"action":"cancel","filter":{"state":"queued"},"confirm":true}'),
            request("GET", f"/v1/jobs?state=failed&limit=5&sort=asc&tag=a%20b&cursor={ID}"),
            request("GET", "/v1/jobs", b"", "If-None-Match: \"a\"", "Accept: text/html", "Expect: 100-continue"),
            request("PATCH", "/v1/queues/default", b'{"paused":true,"rate":"10/s"}'),
            request("HEAD", "/livez") + request("GET", "/metrics"), chunked, chunked + SMUGGLED.encode()]
    malformed = [text.encode() + SMUGGLED.encode() for text in MALFORMED.values()]
    return [b"%c" % piece + text for text in plain + made + malformed for piece in b"03"]


def calls(first, *parts):
    return bytes(first) + b"".join(bytes([number]) + len(text).to_bytes(2, "big") + text for number, text in parts)


def make_command():
    progress = [b'{"progress":0.5,"message":"half"}\n', b'{"value":1e400}\n{"message":"\\u00e4\\ud83d\\ude00"}\n',
                b"[1]\n", b'{"progress":2}', b"x" * 900 + b"\n"]
    outputs = [b"[1,2]\n", b"plain text\r\n", b"\xff\x00", b" \n", b"1" * 80]
    return [calls([first], (0, out), (1, b"log\nlast line\n\n"), (2, line))
            for first in (0, 8, 1) for out, line in zip(outputs, progress)]


def make_plugin():
    return [calls([answer], (0, b"[1]"), (1, b"bad_input|why \xff"), (2, b"log"), (3, b"0.5")) for answer in range(4)] + [
        calls([1], (0, b"nonsense"), (0, b" 2 ")), calls([2], (4, b"for_good|x")), calls([1], (64, b"abc")),
        calls([1], (128, b"1")), calls([1], (0, b"9" * 300)), calls([3], (67, b"nan"))]


def make_segment():
    def damage(before, how, *parts):
        return bytes([before, how]) + b"".join(
            bytes([what]) + where.to_bytes(2, "big") + bytes([len(text)]) + text for what, where, text in parts)
    made = [damage(0, how) for how in (0, 255, 170)]
    made += [damage(1, 255, (128 + state, slot, b"")) for slot in range(0, 12, 2) for state in range(7)]
    made += [damage(before, 255, (part, where, b"\xff" * 8)) for part in range(6) for where in (0, 8, 64, 500)
             for before in (0, 1)]
    return made


# ── dictionaries: the words of tables in the code ──

def words(path, pattern):
    return re.findall(pattern, (ROOT / path).read_text(encoding="utf-8"))


def dictionaries():
    options = words("api/codec_options.h", r'O\(\w+, "(\w+)"')
    filters = words("api/filter.h", r'F\(\w+, "(\w+)"')
    keys = {word for path in ("shared/config.h", "shared/config_private.h")
            for pair in words(path, r'K\("(\w*)", "(\w+)"') for word in pair if word}
    paths = words("api/routes.c", r'\{"[A-Z]+", "(/[^"]*)"')
    headers = words("api/http.h", r'H\(\w+, "([\w-]+)"')
    return {
        "submission": [f'\\"{word}\\":' for word in options] + ["@batch", "@", "=", "&"],
        "changes": [f'\\"{word}\\":' for word in options + filters + words("shared/limit.h", r'L\(\w+, "(\w+)"')],
        "bulk": ['\\"ref\\":', '\\"after\\":[', '\\"@batch\\"', '\\"@a\\"', "\\x0d\\x0a"],
        "config": [f"{word}: " for word in sorted(keys)] + ["tasks:", "pools:", "queues:", "schedules:", "\\x0a- "],
        "http": paths + [f"{word}: " for word in headers] + ["HTTP/1.1", "\\x0d\\x0a\\x0d\\x0a", "chunked", "Expect: 100-continue"],
    }


def write_dictionaries():
    for target, entries in dictionaries().items():
        lines = [f'"{entry}"' for entry in dict.fromkeys(entries)]
        (FUZZ / f"{target}.dict").write_text("# Written by seeds.py.\n" + "\n".join(lines) + "\n", encoding="utf-8")


def main():
    write_dictionaries()
    for maker, make in sorted(globals().items()):
        if not maker.startswith("make_"):
            continue
        target = maker.removeprefix("make_")
        made, kept = ROOT / "var" / "fuzz" / target / "made", SEEDS / target
        shutil.rmtree(made, ignore_errors=True)
        for folder in (made, kept):
            folder.mkdir(parents=True, exist_ok=True)
        for path in kept.iterdir():
            if not path.name.startswith("found-"):  # those stay: each was a bug
                path.unlink()
        for text in make():
            if len(text) <= MOST_BYTES:
                (made / hashlib.sha256(text).hexdigest()[:16]).write_bytes(text)
        program = ROOT / "build-fuzz" / "tests" / "fuzz" / f"fuzz_{target}"
        subprocess.run([program, "-merge=1", f"-max_len={MOST_BYTES}", kept, made], check=True, capture_output=True,
                       cwd=made.parent)
        found = sorted(kept.iterdir(), key=lambda path: (-path.stat().st_size, path.name))
        for path in set(found) - {found[i * len(found) // MOST] for i in range(MOST)}:
            if not path.name.startswith("found-"):
                path.unlink()
        print(f"{target}: {len(list(made.iterdir()))} made, {len(list(kept.iterdir()))} kept, "
              f"{sum(path.stat().st_size for path in kept.iterdir())} bytes")


if __name__ == "__main__":
    main()
