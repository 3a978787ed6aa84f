"""What becomes of measurements: medians over the undisturbed rounds, ratios, and whether an aim is reached. Nothing here measures."""

import statistics
from dataclasses import dataclass, field, replace


def percentile(times, percent):
    """Of a histogram [[upper end, count], …] in the order of its ends; None if it is empty."""
    wanted = sum(count for _, count in times) * percent / 100
    seen = 0
    for end, count in times:
        seen += count
        if seen >= wanted and seen > 0:
            return end
    return None


def mean(times):
    count = sum(count for _, count in times)
    return sum(end * count for end, count in times) / count if count else None


def merged(histograms):
    """One of several."""
    counts = {}
    for times in histograms:
        for end, count in times:
            counts[end] = counts.get(end, 0) + count
    return sorted([end, count] for end, count in counts.items())


@dataclass(frozen=True)
class Sample:
    """One case in one round. Values whose keys begin with _ are no numbers: histograms and series, for the plots."""
    case: str
    round: int
    values: dict
    disturbed: dict


@dataclass(frozen=True)
class Aim:
    """of is (case, key). to: another, several of which the largest counts, a function of the medians, or a number.
    The ratio of/to is to be at least or at most so much."""
    text: str
    of: tuple
    to: object = 1
    least: float = None
    most: float = None


@dataclass(frozen=True)
class Verdict:
    text: str
    ratio: float    # None: not measured
    wanted: str
    reached: bool   # None: not measured
    shaky: bool = False  # it rests on a case of which no round was undisturbed


@dataclass
class Figure:
    name: str
    title: str
    columns: dict
    aims: tuple
    rounds: int
    command: str
    samples: list = field(default_factory=list)
    missing: dict = field(default_factory=dict)  # {case: why it could not be measured}
    settings: dict = field(default_factory=dict)
    timed: bool = True  # False: nothing in it is a time, so no round is disturbed

    def cases(self):
        return list(dict.fromkeys(sample.case for sample in self.samples))

    def counted(self, case):
        """The samples that count: undisturbed ones, or, if there is none, all."""
        mine = [sample for sample in self.samples if sample.case == case]
        return [sample for sample in mine if not sample.disturbed] or mine

    def undisturbed(self, case):
        return sum(not sample.disturbed for sample in self.samples if sample.case == case)

    def medians(self):
        """{case: {key: median}}"""
        found = {}
        for case in self.cases():
            counted = self.counted(case)
            keys = dict.fromkeys(key for sample in counted for key in sample.values if not key.startswith("_"))
            found[case] = {key: statistics.median(sample.values[key] for sample in counted if key in sample.values) for key in keys}
        return found

    def histogram(self, case, key="_times"):
        return merged(sample.values[key] for sample in self.counted(case) if key in sample.values)

    def hidden(self):
        """Cases of which no round was undisturbed."""
        return [case for case in self.cases() if not self.undisturbed(case)]

    def verdicts(self):
        medians, hidden = self.medians(), set(self.hidden())
        found = []
        for aim in self.aims:
            verdict = judge(aim, medians)
            told = not callable(aim.of) and not callable(aim.to)
            bad = hidden & (cases_named(aim.of) | cases_named(aim.to)) if told else hidden
            found.append(replace(verdict, shaky=verdict.reached is not None and bool(bad)))
        return found


def cases_named(side):
    """Those of one side of an aim."""
    if isinstance(side, tuple):
        return {side[0]}
    return set().union(*map(cases_named, side)) if isinstance(side, list) else set()


def value_of(what, medians):
    """Of one side of an aim; None if it was not measured."""
    if callable(what):
        try:
            return what(medians)
        except KeyError:
            return None
    if isinstance(what, (int, float)):
        return what
    if isinstance(what, list):
        found = [value for value in (value_of(one, medians) for one in what) if value is not None]
        return max(found, default=None)
    case, key = what
    return medians.get(case, {}).get(key)


def judge(aim, medians):
    wanted = f"≥ {aim.least:g}" if aim.least is not None else f"≤ {aim.most:g}"
    of, to = value_of(aim.of, medians), value_of(aim.to, medians)
    if of is None or not to:
        return Verdict(aim.text, None, wanted, None)
    ratio = of / to
    return Verdict(aim.text, ratio, wanted, ratio >= aim.least if aim.least is not None else ratio <= aim.most)
