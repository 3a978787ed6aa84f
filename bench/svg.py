"""Line plots as SVG, without a library."""

import math
from html import escape

WIDTH, HEIGHT = 860, 460
LEFT, RIGHT, TOP, BOTTOM = 80, 230, 46, 56
COLOURS = ("#1b6ca8", "#d1495b", "#2a9d5c", "#8a5fbf", "#e08e26", "#4c4c4c", "#17a2a2", "#b0447d", "#7a8b2c", "#9c6b4a", "#5a7fd6", "#c2a000")


def steps(low, high, log):
    """Where the lines of a grid are."""
    if log:
        return [10.0 ** power for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]
    raw = (high - low) / 5 or 1
    size = 10.0 ** math.floor(math.log10(raw))
    size *= next(factor for factor in (1, 2, 5, 10) if factor * size >= raw)
    first = math.floor(low / size)
    return [size * step for step in range(first, math.ceil(high / size - 1e-9) + 1)]


def label(value):
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


class Axis:
    def __init__(self, values, log, begin, end):
        low, high = min(values), max(values)
        self.log, self.begin, self.end = log, begin, end
        self.ticks = steps(low if log else min(0, low), high if high > low or log else low + 1, log)
        self.low, self.high = self.place(self.ticks[0]), self.place(self.ticks[-1])

    def place(self, value):
        return math.log10(value) if self.log else value

    def at(self, value):
        span = self.high - self.low or 1
        return self.begin + (self.place(value) - self.low) / span * (self.end - self.begin)


def text(x, y, words, anchor="middle", extra=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{extra}>{escape(words)}</text>'


def plot(title, x_title, y_title, lines, x_log=False, y_log=False):
    """lines: {name: [(x, y), …]}. On a logarithmic axis what is not over 0 is left out."""
    shown = {name: [(x, y) for x, y in points if (x > 0 or not x_log) and (y > 0 or not y_log)] for name, points in lines.items()}
    shown = {name: points for name, points in shown.items() if points}
    if not shown:
        return None
    every = [point for points in shown.values() for point in points]
    x_axis = Axis([x for x, _ in every], x_log, LEFT, WIDTH - RIGHT)
    y_axis = Axis([y for _, y in every], y_log, HEIGHT - BOTTOM, TOP)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
           f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>', text(LEFT, 24, title, "start", ' font-size="15" font-weight="bold"'),
           text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14, x_title),
           text(18, (TOP + HEIGHT - BOTTOM) / 2, y_title, extra=f' transform="rotate(-90 18 {(TOP + HEIGHT - BOTTOM) / 2})"')]
    for tick in x_axis.ticks:
        out.append(f'<path d="M{x_axis.at(tick):.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#e4e4e4"/>')
        out.append(text(x_axis.at(tick), HEIGHT - BOTTOM + 18, label(tick)))
    for tick in y_axis.ticks:
        out.append(f'<path d="M{LEFT} {y_axis.at(tick):.1f}H{WIDTH - RIGHT}" stroke="#e4e4e4"/>')
        out.append(text(LEFT - 8, y_axis.at(tick) + 4, label(tick), "end"))
    for index, (name, points) in enumerate(shown.items()):
        colour, places = COLOURS[index % len(COLOURS)], [(x_axis.at(x), y_axis.at(y)) for x, y in points]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        out.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.8"/>')
        if len(places) <= 40:
            out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6" fill="{colour}"/>' for x, y in places]
        y = TOP + 8 + 20 * index
        out.append(f'<path d="M{WIDTH - RIGHT + 16} {y}h22" stroke="{colour}" stroke-width="3"/>')
        out.append(text(WIDTH - RIGHT + 44, y + 4, name, "start"))
    return "\n".join([*out, "</svg>", ""])
