"""docs/mistakes.md says what really comes back: every mistake of mistakes.py is made, and the page made of it compared."""

import difflib

import pytest

import mistakes_run
from mistakes import SECTIONS


@pytest.fixture(scope="module")
def results():
    return mistakes_run.run_all(SECTIONS)


def test_each_mistake_is_answered_with_its_code_and_the_words_that_help(results):
    for _, mistake, said in results:
        mistakes_run.check(mistake, said)


def test_the_page_is_what_the_mistakes_said(results):
    written = mistakes_run.DOCUMENT.read_text(encoding="utf-8")
    made = mistakes_run.document(results)
    difference = "\n".join(difflib.unified_diff(written.splitlines(), made.splitlines(), "docs/mistakes.md", "now", lineterm=""))
    assert written == made, f"run /usr/bin/python3 tests/system/mistakes.py --write\n{difference}"


def test_there_are_at_least_forty_and_no_two_are_alike(results):
    assert len(results) >= 40
    assert len({mistake.title for _, mistake, _ in results}) == len(results)
    assert len({(tuple(mistake.do), str(mistake.files), mistake.serve) for _, mistake, _ in results}) == len(results)


def test_nothing_volatile_is_in_the_page():
    text = mistakes_run.DOCUMENT.read_text(encoding="utf-8")
    for volatile in ("/tmp/", "forkpool-mistakes-", str(mistakes_run.ROOT)):
        assert volatile not in text
