"""When cron expressions fire, by tests/system/cron_next.c, against two judges that know nothing of its code: croniter,
on random expressions; and, where clocks are shifted, a list of all the times that a wall shows, by Python's zoneinfo.

FORKPOOL_TEST_SEED chooses other expressions.
"""

import os
import random
import re
import subprocess
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from croniter import CroniterBadDateError, croniter

from server import BUILD

SEED = int(os.environ.get("FORKPOOL_TEST_SEED", "20261123"))
FIRINGS = 3
MONTHS = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split()
WEEKDAYS = "SUN MON TUE WED THU FRI SAT".split()


def firings(questions, count):
    """[(expression, zone, after in seconds)] → for each, the times in seconds, or why it is refused."""
    text = "".join(f"{expression}\t{zone}\t{after * 1000}\n" for expression, zone, after in questions)
    done = subprocess.run([str(BUILD / "tests" / "cron_next"), str(count)], input=text, capture_output=True, text=True,
                          timeout=60, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == len(questions)
    return [line if line.startswith("refused: ") else [int(ms) // 1000 for ms in line.split()] for line in lines]


# ── random expressions ──

class Maker:
    """Makes expressions of every form but the macros."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def value(self, low, high, names):
        number = self.random.randint(low, high)
        if names and self.random.random() < 0.4:
            name = names[(number - low) % len(names)]
            return number, self.random.choice([name, name.lower(), name.capitalize()])
        return number, str(number)

    def item(self, low, high, names=None):
        kind = self.random.choice(["one", "one", "range", "range/step", "one/step"])
        (first, first_text), (last, last_text) = sorted(self.value(low, high, names) for _ in range(2))
        step = self.random.randint(1, high - low + 1)
        if kind == "one":
            return first_text
        if kind == "one/step":
            return f"{first_text}/{step}"
        return f"{first_text}-{last_text}" + (f"/{step}" if kind == "range/step" else "")

    def field(self, low, high, names=None, star=0.35):
        kind = self.random.random()
        if kind < star:
            return "*"
        if kind < star + 0.15:
            return f"*/{self.random.randint(1, high - low + 1)}"
        return ",".join(self.item(low, high, names) for _ in range(self.random.choice([1, 1, 1, 2, 3])))

    def day(self):
        kind = self.random.random()
        if kind < 0.1:
            return self.random.choice(["L", "l", "1,L", "15,L"])
        return self.field(1, 31, star=0.5) if kind < 0.95 else "?"

    def weekday(self):
        kind = self.random.random()
        if kind < 0.08:
            return f"{self.random.randint(0, 6)}#{self.random.randint(1, 5)}"
        if kind < 0.14:
            return f"{self.random.randint(0, 6)}L"
        return self.field(0, 6, WEEKDAYS, star=0.55) if kind < 0.96 else "?"

    def fields(self):
        """Six texts, the second first; None for the second of an expression of five fields."""
        second = self.field(0, 59) if self.random.random() < 0.4 else None
        return [second, self.field(0, 59), self.field(0, 23), self.day(), self.field(1, 12, MONTHS, star=0.6),
                self.weekday()]


def as_written(fields):
    return " ".join(field for field in fields if field is not None)


def for_croniter(second, minute, hour, day, month, weekday):
    """The second comes last, and the last Friday is L5. 3/2 goes on to 7 there, which is Sunday again."""
    weekday = re.sub(r"(^|,)(\w+)/", r"\1\2-6/", re.sub(r"^(\d)L$", r"L\1", weekday.replace("?", "*")))
    return as_written([minute, hour, day.replace("?", "*"), month, weekday, second])


def ask_croniter(fields, after, tz=None):
    start = datetime.fromtimestamp(after, tz) if tz else float(after)
    there = croniter(for_croniter(*fields), start, day_or=False, max_years_between_matches=12)
    found = []
    try:
        while len(found) < FIRINGS:
            found.append(int(there.get_next(float)))
    except CroniterBadDateError:
        pass
    return found


def expected(fields, after, tz=None):
    """By croniter. Asked for both day fields at once it takes 0-6 for *, and forgets the date beside 5L and 1#2; so where
    either may match, it is asked for each alone."""
    second, minute, hour, day, month, weekday = fields
    if day[0] in "*?" or weekday[0] in "*?":
        return ask_croniter(fields, after, tz)
    by_date = ask_croniter([second, minute, hour, day, month, "*"], after, tz)
    by_weekday = ask_croniter([second, minute, hour, "*", month, weekday], after, tz)
    return sorted(set(by_date + by_weekday))[:FIRINGS]


def croniter_errs(fields):
    """Looking for the 29th, 30th or 31st, it goes from a shorter month into the next one and misses its 1st and 2nd:
    from 2047-02-16, "0 0 */30 * *" is due on 03-01, and it says 03-31."""
    days = croniter.expand(for_croniter(*fields))[0][2]
    return bool({1, 2} & set(days) and {29, 30, 31} & set(days))


def test_croniter_agrees_on_random_expressions():
    maker, cases = Maker(SEED), []
    while len(cases) < 6000:
        fields, after = maker.fields(), maker.random.randint(0, 4_000_000_000)
        if not croniter_errs(fields):
            cases.append((fields, after))
    ours = firings([(as_written(fields), "UTC", after) for fields, after in cases], FIRINGS)
    refused = 0
    for (fields, after), found in zip(cases, ours):
        if isinstance(found, str):
            assert found.startswith("refused: it would never fire")
            refused, found = refused + 1, []
        assert found == expected(fields, after), (as_written(fields), after)
    assert refused < 100  # so what was compared is mostly firings


# Months without a shift, so that croniter's own ideas of shifts do not matter.
QUIET = {"Europe/Berlin": (11, 2), "America/New_York": (12, 2), "Asia/Kolkata": (1, 11), "Australia/Lord_Howe": (5, 8),
         "America/St_Johns": (12, 2), "Asia/Kathmandu": (1, 11), "Pacific/Auckland": (5, 8), "America/Santiago": (6, 7)}


def test_croniter_agrees_in_time_zones_away_from_shifts():
    maker, cases = Maker(SEED + 1), []
    while len(cases) < 400:
        zone, (first, last) = maker.random.choice(list(QUIET.items()))
        fields = maker.fields()
        if croniter_errs(fields):
            continue
        begin = datetime(maker.random.randint(2008, 2036), first, 2, tzinfo=ZoneInfo(zone))
        end = begin.replace(year=begin.year + (last < first), month=last, day=28)
        after = maker.random.randint(int(begin.timestamp()), int(end.timestamp()))
        cases.append((fields, zone, after, int(end.timestamp())))
    ours = firings([(as_written(fields), zone, after) for fields, zone, after, _ in cases], FIRINGS)
    compared = 0
    for (fields, zone, after, end), found in zip(cases, ours):
        if isinstance(found, str):
            continue
        there = [at for at in expected(fields, after, ZoneInfo(zone)) if at < end]
        assert [at for at in found if at < end] == there, (as_written(fields), zone, after)
        compared += len(there)
    assert compared > 400


# ── where clocks are shifted ──

UTC = timezone.utc
MINUTE = timedelta(minutes=1)

# A day in whose night, before or after, clocks are shifted.
SHIFTS = [("Europe/Berlin", (2026, 3, 29)), ("Europe/Berlin", (2026, 10, 25)), ("Europe/London", (2026, 10, 25)),
          ("America/New_York", (2026, 3, 8)), ("America/New_York", (2026, 11, 1)), ("Europe/Dublin", (2027, 3, 28)),
          ("Australia/Lord_Howe", (2026, 4, 5)), ("Australia/Lord_Howe", (2026, 10, 4)),
          ("America/Santiago", (2026, 4, 5)), ("America/Santiago", (2026, 9, 6)),
          ("Africa/Cairo", (2026, 4, 24)), ("Africa/Cairo", (2026, 10, 30)), ("Pacific/Apia", (2011, 12, 30)),
          ("Europe/Moscow", (2014, 10, 26)), ("Asia/Pyongyang", (2018, 5, 5)), ("Europe/Istanbul", (2016, 9, 7)),
          ("America/Nuuk", (2026, 3, 29)), ("America/Nuuk", (2026, 10, 25)), ("Africa/Casablanca", (2026, 2, 15)),
          ("Africa/Casablanca", (2026, 3, 22)), ("Antarctica/Troll", (2026, 3, 29)), ("America/Caracas", (2016, 5, 1))]


def moments(local, zone):
    """When the clocks of a zone show a local time: never, once or twice."""
    tries = {local.replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC) for fold in (0, 1)}
    return sorted(at for at in tries if at.astimezone(ZoneInfo(zone)).replace(tzinfo=None) == local)


def wall_around(middle, zone):
    """For every minute of some days: the local time, its moments, and those of the next one that has any."""
    wall, local, next_shown = [], middle + timedelta(days=4), []
    while local > middle - timedelta(days=3):
        local -= MINUTE
        shown = moments(local, zone)
        next_shown = shown or next_shown
        wall.append((local, shown, next_shown))
    return wall


def by_the_wall(wall, minutes, hours, real_time):
    found = set()
    for local, shown, next_shown in wall:
        if local.minute in minutes and local.hour in hours:
            found.update(shown if real_time else next_shown[:1])
    return sorted(int(at.timestamp()) for at in found)


@pytest.mark.parametrize("zone, day", SHIFTS, ids=lambda value: value if isinstance(value, str) else "%d-%d-%d" % value)
def test_around_a_shift_it_fires_by_the_rules_for_the_wall(zone, day):
    maker, middle = Maker(f"{SEED} {zone} {day}"), datetime(*day)
    after = int(middle.replace(tzinfo=UTC).timestamp()) - 2 * 86400
    wall = wall_around(middle, zone)
    for _ in range(20):
        minute, hour = maker.field(0, 59), maker.field(0, 23)
        minutes, hours = (set(range(count) if "*" in values else values) for count, values in
                          zip((60, 24), croniter.expand(f"{minute} {hour} * * *")[0]))
        judge = [at for at in by_the_wall(wall, minutes, hours, hour[0] == "*") if after < at < after + 4 * 86400]
        assert judge
        [ours] = firings([(f"{minute} {hour} * * *", zone, after)], len(judge))
        assert ours == judge, (minute, hour)
