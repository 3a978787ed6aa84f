"""What is written of the figures: Markdown for people, JSON for programs."""

from dataclasses import asdict

from . import machine


def number(value):
    """Three digits, but never fewer than the whole ones."""
    if value is None:
        return "–"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) >= 1 or value == 0:
        return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
    return f"{value:.3f}" if abs(value) >= 0.01 else f"{value:.2g}"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def rounds_text(figure, case):
    """How many rounds count; marked where none is undisturbed."""
    all_of_it = sum(sample.case == case for sample in figure.samples)
    undisturbed = figure.undisturbed(case)
    return f"{undisturbed} of {all_of_it}" + ("" if undisturbed else " ⚠")


def results(figure):
    medians = figure.medians()
    rows = [[case, *(number(medians[case].get(key)) for key in figure.columns), rounds_text(figure, case)] for case in medians]
    return table(["", *figure.columns.values(), "undisturbed rounds"], rows)


def verdict_row(verdict):
    said = {True: "reached", False: "**missed**", None: "not measured"}[verdict.reached]
    return [verdict.text, number(verdict.ratio), verdict.wanted, said + (" ⚠" if verdict.shaky else "")]


def disturbed_text(figure):
    """What was discarded, and what could not be."""
    if not figure.timed:
        return "Nothing here is a time, so no round is disturbed."
    discarded = [sample for sample in figure.samples if sample.disturbed]
    if not discarded:
        return "All rounds were undisturbed."
    worst = {}
    for sample in discarded:
        for what, much in sample.disturbed.items():
            worst[what] = max(worst.get(what, 0), much)
    hidden = figure.hidden()
    text = f"Disturbed: {len(discarded)} of {len(figure.samples)} measurements (worst: " + ", ".join(
        f"{what} {much:.0%}" for what, much in worst.items()) + "); they are left out where an undisturbed round is left."
    if hidden:
        of = "any of these" if hidden == figure.cases() else ", ".join(hidden)
        text += f" ⚠ No round was undisturbed of {of}: medians of disturbed rounds count for little."
    return text


def markdown(figure, pictures):
    parts = [f"## {figure.name}: {figure.title}", f"`{figure.command}`; medians of up to {figure.rounds} rounds.", results(figure)]
    if figure.aims:
        parts.append(table(["aim", "ratio", "wanted", ""], [verdict_row(one) for one in figure.verdicts()]))
    parts.append(disturbed_text(figure))
    parts += [f"Not measured: {case}: {why}." for case, why in figure.missing.items()]
    parts += [f"![{figure.name}]({picture})" for picture in pictures]
    return "\n\n".join(parts)


def document(figures, pictures, settings):
    """All of it. pictures: {figure: [file]}"""
    about = settings["machine"]
    head = [f"# Speed, {settings['date']}",
            f"{about['cpus']} × {about['cpu']}, Linux {about['kernel']}; load at the start "
            f"{about['load'][0]}. " + ("Short rounds (`--quick`): provisional. " if settings["quick"] else "") +
            "Only ratios within one run count.", machine.RULE,
            "Versions: " + "; ".join(["forkpool " + about["commit"], *map(" ".join, settings["versions"].items())]) + "."]
    started = ["## Settings", "What was started:", "\n".join(f"    {line}" for line in settings["commands"])]
    return "\n\n".join(head + [markdown(figure, pictures.get(figure.name, [])) for figure in figures] + started) + "\n"


def as_json(figures, settings):
    return {**settings, "rule": machine.RULE, "figures": {
        figure.name: {"title": figure.title, "command": figure.command, "rounds": figure.rounds, "settings": figure.settings,
                      "medians": figure.medians(), "aims": [asdict(one) for one in figure.verdicts()], "missing": figure.missing,
                      "samples": [asdict(sample) for sample in figure.samples]} for figure in figures}}
