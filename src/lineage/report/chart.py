"""Line charts as inline SVG: no script, no network; colours come from the page, so they follow light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

WIDTH, HEIGHT = 520, 250
LEFT, RIGHT, TOP, BOTTOM = 50, 14, 12, 28
POINTS = 300  # more would not be seen


class Line(NamedTuple):
    name: str
    points: list[tuple[float, float]]  # (x, y), x ascending


class Scale(NamedTuple):
    """Where a value lies on the paper."""

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / ((self.high - self.low) or 1)
        return round(self.start + share * (self.stop - self.start), 1)


def chart(title: str, lines: Sequence[Line], smooth: bool = False, zero: bool = True) -> str:
    """A figure with axes, a legend with the last values, and a line each; `smooth` leaves the raw line in pale."""
    lines = [line for line in (Line(line.name, _thin(line.points)) for line in lines) if line.points]
    if not lines:
        return ""
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points]
    floor = 0.0 if zero and min(ys) >= 0 else min(ys)
    x_ticks, y_ticks = _ticks(min(xs), max(xs), 5), _ticks(floor, max(ys), 4)
    across = Scale(min(xs), max(xs), LEFT, WIDTH - RIGHT)
    up = Scale(floor, max(ys), HEIGHT - BOTTOM, TOP)
    drawn = [_drawn(line, place, across, up, smooth) for place, line in enumerate(lines)]
    legend = "".join(_legend(line, place, smooth) for place, line in enumerate(lines))
    return (
        f'<figure class="chart"><figcaption>{escape(title)} <small>over steps</small></figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title, quote=True)} over steps">'
        f"{_axes(x_ticks, y_ticks, across, up)}{''.join(drawn)}</svg>"
        f'<ul class="legend">{legend}</ul></figure>'
    )


def short(value: float) -> str:
    """Short, for people: 90k, 0.02, 1.3e-05."""
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 10_000:
        return f"{value / 1000:.4g}k"
    return f"{value:.4g}" if size >= 0.001 else f"{value:.1e}".replace("e-0", "e-")


def _drawn(line: Line, place: int, across: Scale, up: Scale, smooth: bool) -> str:
    hue = f"c{place % 8}"
    if len(line.points) == 1:
        ((x, y),) = line.points
        return f'<circle class="{hue}" cx="{across(x)}" cy="{up(y)}" r="3"><title>{escape(line.name)}</title></circle>'
    title = f"<title>{escape(line.name)}</title>"
    if not smooth:
        return f'<polyline class="{hue}" points="{_path(line.points, across, up)}">{title}</polyline>'
    raw = f'<polyline class="{hue} raw" points="{_path(line.points, across, up)}"/>'
    return raw + f'<polyline class="{hue}" points="{_path(_smoothed(line.points), across, up)}">{title}</polyline>'


def _path(points: Sequence[tuple[float, float]], across: Scale, up: Scale) -> str:
    return " ".join(f"{across(x)},{up(y)}" for x, y in points)


def _axes(x_ticks: Sequence[float], y_ticks: Sequence[float], across: Scale, up: Scale) -> str:
    parts = []
    for tick in y_ticks:
        y = up(tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{short(tick)}</text>')
    for tick in x_ticks:
        parts.append(f'<text x="{across(tick)}" y="{HEIGHT - 8}" text-anchor="middle">{short(tick)}</text>')
    return "".join(parts)


def _legend(line: Line, place: int, smooth: bool) -> str:
    last = (_smoothed(line.points) if smooth else line.points)[-1][1]
    return f'<li><i class="c{place % 8}"></i>{escape(line.name)} <b>{short(float(f"{last:.3g}"))}</b></li>'


def _ticks(low: float, high: float, count: int) -> list[float]:
    """Round numbers inside [low, high]."""
    if high <= low:
        return [low]
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(place * step, 12) for place in range(first, last + 1)]


def _thin(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most about POINTS finite points: the mean of every so many."""
    finite = [(x, y) for x, y in points if math.isfinite(y)]
    every = -(-len(finite) // POINTS) or 1
    groups = [finite[start : start + every] for start in range(0, len(finite), every)]
    return [(group[-1][0], sum(y for _, y in group) / len(group)) for group in groups]


def _smoothed(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """A running mean over a tenth of the points around each, at least three."""
    reach = max(1, len(points) // 20)
    around = [points[max(0, place - reach) : place + reach + 1] for place in range(len(points))]
    return [(x, sum(y for _, y in some) / len(some)) for (x, _), some in zip(points, around, strict=True)]
