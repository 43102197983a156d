"""Line charts as inline SVG: no script, no network; colours come from the page, so they follow light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

WIDTH, HEIGHT = 520, 250
LEFT, RIGHT, TOP, BOTTOM = 50, 14, 12, 28
POINTS = 300  # a chart of this width cannot show more


class Line(NamedTuple):
    name: str
    points: list[tuple[float, float]]  # (x, y), x ascending


class Scale(NamedTuple):
    """A linear map from values to pixels of the chart."""

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / ((self.high - self.low) or 1)
        return round(self.start + share * (self.stop - self.start), 1)


def render_chart(title: str, lines: Sequence[Line], smooth: bool = False, zero: bool = True) -> str:
    """Return a figure with axes, the lines, and a legend with their last values.

    `smooth`: draw a running mean, and the raw line in pale; `zero`: the y axis begins at 0 if no value is negative.
    """
    lines = [line for line in (Line(line.name, _thin(line.points)) for line in lines) if line.points]
    if not lines:
        return ""
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points]
    floor = 0.0 if zero and min(ys) >= 0 else min(ys)
    x_ticks, y_ticks = _ticks(min(xs), max(xs), 5), _ticks(floor, max(ys), 4)
    across = Scale(min(xs), max(xs), LEFT, WIDTH - RIGHT)
    up = Scale(floor, max(ys), HEIGHT - BOTTOM, TOP)
    curves = [_render_line(line, index, across, up, smooth) for index, line in enumerate(lines)]
    legend = "".join(_render_legend(line, index, smooth) for index, line in enumerate(lines))
    return (
        f'<figure class="chart"><figcaption>{escape(title)} <small>over steps</small></figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title, quote=True)} over steps">'
        f"{_render_axes(x_ticks, y_ticks, across, up)}{''.join(curves)}</svg>"
        f'<ul class="legend">{legend}</ul></figure>'
    )


def format_short(value: float) -> str:
    """Return a short number: 90k, 0.02, 1.3e-05."""
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 10_000:
        return f"{value / 1000:.4g}k"
    return f"{value:.4g}" if size >= 0.001 else f"{value:.1e}".replace("e-0", "e-")


def _render_line(line: Line, index: int, across: Scale, up: Scale, smooth: bool) -> str:
    hue = f"c{index % 8}"
    if len(line.points) == 1:
        ((x, y),) = line.points
        return f'<circle class="{hue}" cx="{across(x)}" cy="{up(y)}" r="3"><title>{escape(line.name)}</title></circle>'
    title = f"<title>{escape(line.name)}</title>"
    if not smooth:
        return f'<polyline class="{hue}" points="{_path(line.points, across, up)}">{title}</polyline>'
    raw = f'<polyline class="{hue} raw" points="{_path(line.points, across, up)}"/>'
    return raw + f'<polyline class="{hue}" points="{_path(_smooth(line.points), across, up)}">{title}</polyline>'


def _path(points: Sequence[tuple[float, float]], across: Scale, up: Scale) -> str:
    return " ".join(f"{across(x)},{up(y)}" for x, y in points)


def _render_axes(x_ticks: Sequence[float], y_ticks: Sequence[float], across: Scale, up: Scale) -> str:
    parts = []
    for tick in y_ticks:
        y = up(tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{format_short(tick)}</text>')
    for tick in x_ticks:
        parts.append(f'<text x="{across(tick)}" y="{HEIGHT - 8}" text-anchor="middle">{format_short(tick)}</text>')
    return "".join(parts)


def _render_legend(line: Line, index: int, smooth: bool) -> str:
    last = (_smooth(line.points) if smooth else line.points)[-1][1]
    return f'<li><i class="c{index % 8}"></i>{escape(line.name)} <b>{format_short(float(f"{last:.3g}"))}</b></li>'


def _ticks(low: float, high: float, count: int) -> list[float]:
    """Return about `count` round numbers inside [low, high]."""
    if high <= low:
        return [low]
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def _thin(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Average groups of neighbouring points, so that about POINTS finite ones remain."""
    finite = [(x, y) for x, y in points if math.isfinite(y)]
    size = -(-len(finite) // POINTS) or 1
    groups = [finite[start : start + size] for start in range(0, len(finite), size)]
    return [(group[-1][0], sum(y for _, y in group) / len(group)) for group in groups]


def _smooth(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the running mean over a tenth of the points, at least three."""
    reach = max(1, len(points) // 20)
    windows = [points[max(0, i - reach) : i + reach + 1] for i in range(len(points))]
    return [(x, sum(y for _, y in window) / len(window)) for (x, _), window in zip(points, windows, strict=True)]
