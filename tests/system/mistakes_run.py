"""Runs the mistakes of mistakes.py as they stand there, and shows what comes back as Markdown.

The documents speak of localhost:8080, /srv/tasks, /var/lib/forkpool and /etc/forkpool.yaml. Here these are a free port and
folders below a temporary one: put in before a command runs, taken out of what it said. Ids become ID.
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from client import ID
from server import BINARY, BUILD, ROOT, TASKS, Server, environment

DOCUMENT = ROOT / "docs" / "mistakes.md"
STATE = "var/lib/forkpool"

HEAD = """# First mistakes

What a newcomer does, and what comes back. Each was really done: this page is written by a test that runs every command
below against a server and compares (`/usr/bin/python3 tests/system/mistakes.py --write` writes it anew). Of an answer it
shows the status, the code, the sentence and the hint; `curl` shows them as one JSON document
([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)), in which a job, if there is one, has them as `error.code` and
`error.message`. Codes never change their meaning; sentences may improve.

"""


class Said:
    """What a command said: status, code, and all of the words."""

    def __init__(self, status, code, text):
        self.status, self.code, self.text = status, code, text


class Place:
    """A folder in place of /, and the server that answers at localhost:8080."""

    def __init__(self):
        self.root = Path(tempfile.mkdtemp(prefix="forkpool-mistakes-"))
        self.root.chmod(0o755)
        for folder in (STATE, "srv/tasks", "etc", "bin", "work"):
            (self.root / folder).mkdir(parents=True)
        (self.root / STATE / "readonly").mkdir(mode=0o555)
        (self.root / "bin" / "forkpool").symlink_to(BINARY)
        self.wrap_curl()
        self.shared = self.server("shared", store_url=f"sqlite://{self.root}/{STATE}/forkpool.db", tasks_dir=TASKS)
        self.current = self.shared

    def wrap_curl(self):
        """The same program; the status of the answer goes to a line of its own behind it."""
        path = self.root / "bin" / "curl"
        path.write_text(f"#!/bin/sh\nexec {shutil.which('curl')} -sS --max-time 40 -w '\\n%{{http_code}}' \"$@\"\n")
        path.chmod(0o755)

    def server(self, name, flags="", **config):
        server = Server(self.root / name, **config)
        if "tasks_dir" not in config:
            del server.config["tasks_dir"]
        for flag, value in re.findall(r"--(\S+) (\S+)", flags):
            server.config[flag.replace("-", "_")] = self.real(value)
        return server.start()

    def close(self):
        self.shared.clean_up()
        shutil.rmtree(self.root)

    def real(self, text):
        text = re.sub(r"/(srv/|var/lib/forkpool|etc/forkpool)", rf"{self.root}/\1", text)
        return text.replace(":8080", f":{self.current.address[1]}") if hasattr(self, "current") else text

    def shown(self, text):
        text = text.replace(str(self.root), "").replace(f":{self.current.address[1]}", ":8080")
        return ID.sub("ID", text)

    def run(self, command, nobody=False):
        """(exit status, output) of a shell command."""
        user = {"user": "nobody", "group": "nogroup", "extra_groups": []} if nobody and os.geteuid() == 0 else {}
        env = {**environment(), "PATH": f"{self.root}/bin:/usr/bin:/bin", "FORKPOOL_LOG_FORMAT": "text", "no_proxy": "*"}
        done = subprocess.run(["bash", "-c", self.real(command)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=60, check=False, env=env, cwd=self.root / "work", **user)
        return done.returncode, done.stdout.decode(errors="replace")


def make_files(place, files):
    for name, (mode, text) in files.items():
        path = Path(place.real(name))
        if name.endswith(".so"):
            shutil.copy(BUILD / text, path)
        else:
            path.write_bytes(text.encode())
        path.chmod(mode)


def read_answer(place, output):
    """What curl's output says: the sentence and the hint of a problem, or the state and the error of a job."""
    body, _, status = output.rpartition("\n")
    document = json.loads(body)
    if "code" in document:
        return Said(int(status), document["code"],
                    f"{status} {document['code']}\n{document['detail']}\nhint: {document['hint']}"), document
    if document.get("error"):
        error = document["error"]
        return Said(int(status), error["code"], f"{status}, and the job has {document['state']}: {error['code']}\n"
                                                f"{error['message']}"), document
    result = json.dumps(document.get("result"), ensure_ascii=False)
    return Said(int(status), "", f"{status}, and the job has {document['state']}\nresult: {result}"), document


def run_http(place, mistake):
    known, said = "", None
    for command in mistake.do:
        command = command.replace("ID", known) if known else command
        status, output = place.run(command)
        if not output.startswith("{"):
            assert status == 0 or command.startswith("printf"), (command, output)
            continue
        said, document = read_answer(place, output)
        known = document.get("id", known)
    return said


def run_mistake(place, section, mistake):
    """Does it; returns what was seen."""
    own = None
    tasks = place.root / "srv" / "tasks"
    try:
        make_files(place, mistake.files)
        if mistake.serve or any(name.startswith("/srv/tasks") for name in mistake.files):
            own = place.server("own", mistake.serve or "--tasks-dir /srv/tasks", workers_count=2)
            place.current = own
        if section.startswith("The start"):
            status, output = place.run(mistake.do[-1], nobody="readonly" in mistake.do[-1])
            said = Said(status, "", output.rstrip("\n") + f"\n(exit status {status})")
        else:
            said = run_http(place, mistake)
        said.text = place.shown(said.text)
        if mistake.instead:
            check_instead(place, mistake)
        return said
    finally:
        if own:
            own.clean_up()
            shutil.rmtree(own.folder)
        place.current = place.shared
        for path in tasks.iterdir():
            path.unlink()


def check_instead(place, mistake):
    _, output = place.run(mistake.instead)
    assert output.rpartition("\n")[2] in ("200", "202"), (mistake.title, mistake.instead, output)


# ── Markdown ──


def block(text):
    return "".join(f"    {line}".rstrip() + "\n" for line in text.split("\n")) + "\n"


def show_files(mistake):
    text = ""
    for name, (mode, content) in mistake.files.items():
        if name.endswith(".so"):
            text += f"With `{name}`, built from another forkpool.h:\n\n"
        else:
            text += f"With `{name}`" + (f", mode {mode:o}" if name.startswith("/srv") else "") + ":\n\n"
            text += block(content.rstrip("\n").replace("\r", "\\r").replace("\t", "⇥ "))
    if mistake.serve:
        text += f"With a server started as `{('forkpool serve ' + mistake.serve).strip()}`:\n\n"
    return text


def section_text(number, section, mistake, said):
    """A program prints, a server answers."""
    verb = "prints" if section.startswith("The start") else "answers"
    text = f"### {number}. {mistake.title}\n\n{show_files(mistake)}{block(chr(10).join(mistake.do))}{verb}:\n\n{block(said.text)}"
    if mistake.note:
        text += mistake.note + "\n\n"
    if mistake.instead:
        text += f"Instead:\n\n{block(mistake.instead)}"
    return text


def anchor(number, title):
    """As GitHub makes them."""
    return re.sub(r"[^\w\- ]", "", f"{number}. {title}".lower()).replace(" ", "-")


def document(results):
    """The whole page, of [(section, mistake, said)]."""
    table, body, last = "| | mistake | what comes back |\n|---|---|---|\n", "", ""
    for number, (section, mistake, said) in enumerate(results, 1):
        answer = f"`{said.code}`" if said.code else "the text as a string" if said.status == 200 else f"exit status {said.status}"
        answer = f"{said.status} {answer}" if said.status >= 400 else answer
        table += f"| {number} | [{mistake.title}](#{anchor(number, mistake.title)}) | {answer} |\n"
        if section != last:
            body += f"## {section}\n\n"
            last = section
        body += section_text(number, section, mistake, said)
    return HEAD + table + "\n" + body.rstrip("\n") + "\n"


def check(mistake, said):
    """The exact status and code, and the words that matter."""
    assert (said.status, said.code) == (mistake.status, mistake.code), (mistake.title, said.text)
    for word in mistake.says:
        assert word in said.text, (mistake.title, word, said.text)


def run_all(sections):
    place = Place()
    try:
        return [(name, mistake, run_mistake(place, name, mistake)) for name, mistakes in sections for mistake in mistakes]
    finally:
        place.close()


def main(sections):
    import sys  # pylint: disable=import-outside-toplevel
    results = run_all(sections)
    bad = 0
    for _, mistake, said in results:
        try:
            check(mistake, said)
        except AssertionError as fault:
            print(f"mistakes: not as expected: {fault}", file=sys.stderr)
            bad = 1
    text = document(results)
    if sys.argv[1:] == ["--write"]:
        DOCUMENT.write_text(text, encoding="utf-8")
    else:
        print(text, end="")
    return bad
