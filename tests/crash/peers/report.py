"""The tables, in Markdown, as docs/reliability.md has them."""

from collections import Counter

from torment import STRUCK_PATIENCE_S


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows])


def pair(numbers):
    return "–" if numbers is None else f"{numbers[0]:,.0f} / {numbers[1]:,.0f}"


def kills(outcome):
    counts = Counter(kill.victim for kill in outcome.kills)
    return ", ".join(f"{count} {victim}" for victim, count in counts.most_common())


def held(outcome):
    found = outcome.tally.held
    return f"{len(found)} ({max(found.values()):.0f} s)" if found else "0"


def twice(outcome):
    found = outcome.tally
    return f"{len(found.doubled)}" + (f" ({found.doubled_by_request} by a repeated request)" if found.doubled_by_request else "")


def struck(outcome):
    if not outcome.struck:
        return "–"
    return ", ".join(f"> {STRUCK_PATIENCE_S} s" if ms is None else f"{ms:,.0f} ms" for ms in sorted(
        outcome.struck, key=lambda ms: float("inf") if ms is None else ms))


COUNTS = {
    "": lambda one: one.name,
    "kills": kills,
    "asked": lambda one: f"{one.tally.asked:,}",
    "unanswered": lambda one: one.tally.unanswered,
    "**lost**": lambda one: len(one.tally.lost),
    "**done twice**": twice,
    "on record twice": lambda one: "no record" if one.tally.doubled_records < 0 else one.tally.doubled_records,
    "overlapping": lambda one: len(one.tally.overlapping),
    "held up (longest)": held,
    "to unlock by hand": lambda one: one.by_hand,
    "broken off": lambda one: one.tally.broken,
}
TIMES = {
    "": lambda one: one.name,
    "answers again": lambda one: pair(one.answered()),
    "a job is done again": lambda one: pair(one.done()),
    "worker killed: its job runs again": struck,
    "workers that ended by themselves": lambda one: one.restarts,
}


def rows(columns, outcomes):
    return table(list(columns), [[value(outcome) for value in columns.values()] for outcome in outcomes])


def text(outcomes):
    parts = [rows(COUNTS, outcomes), "Milliseconds from the kill of the server, median / maximum:", rows(TIMES, outcomes)]
    for one in outcomes:
        if one.answered("front"):
            parts.append(f"{one.name}: front killed: answers again {pair(one.answered('front'))}, a job is done again "
                         f"{pair(one.done('front'))}")
    return "\n\n".join(parts + ["Versions: " + "; ".join(dict.fromkeys(one.version for one in outcomes)) + "."])


def violations(outcome):
    """What forkpool promises not to happen, and did."""
    found = outcome.tally
    counts = {"lost": len(found.lost), "on record twice": found.doubled_records, "overlapping": len(found.overlapping),
              "held up": len(found.held), "left": outcome.left, "not run again": list(outcome.struck).count(None)}
    return [f"{outcome.name}: {count} {what}" for what, count in counts.items() if count > 0]
