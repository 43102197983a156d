"""Reliability diagrams as SVG: precision over confidence with intervals, and below the number of detections.

A calibrated score lies on the diagonal. The red part of a bar is the gap. Colours are those of a page on white, so that
the file can be opened by itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from lineage.calibration.reliability import Reliability

SIDE, LEFT, TOP, GAP = 260, 54, 44, 26  # pixels: of a panel, its left margin, its top margin, between panels
COUNTS = 64  # height of the counts below a panel
STYLE = (
    "text{font:12px sans-serif;fill:#333}.title{font-weight:bold;font-size:13px}.small{font-size:10px;fill:#555}"
    ".frame{fill:none;stroke:#999}.bar{fill:#7aa6d6}.miss{fill:#d9534f;fill-opacity:.35}.line{stroke:#222;stroke-width:1.2}"
    ".even{stroke:#777;stroke-dasharray:4 3}.count{fill:#b9b9b9}"
)


def draw_diagram(panels: Sequence[tuple[str, str, Reliability]]) -> str:
    """Return one panel beside the other: (title, line below it, reliability)."""
    width, height = LEFT + len(panels) * (SIDE + GAP + LEFT) - LEFT, TOP + SIDE + COUNTS + 70
    parts = [
        _draw_panel(title, text, reliability, LEFT + index * (SIDE + GAP + LEFT))
        for index, (title, text, reliability) in enumerate(panels)
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
        f'<style>{STYLE}</style><rect width="{width}" height="{height}" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def _draw_panel(title: str, text: str, reliability: Reliability, left: float) -> str:
    bottom, step = TOP + SIDE, SIDE / len(reliability.num_detections)
    parts = [
        f'<text class="title" x="{left}" y="18">{escape(title)}</text>',
        f'<text class="small" x="{left}" y="34">{escape(text)}</text>',
    ]
    for index, row in enumerate(zip(*reliability, strict=True)):
        if row[0]:
            parts.append(_draw_bar(row, left + index * step, step, bottom))
    parts.append(f'<rect class="frame" x="{left}" y="{TOP}" width="{SIDE}" height="{SIDE}"/>')
    parts.append(f'<line class="even" x1="{left}" y1="{bottom}" x2="{left + SIDE}" y2="{TOP}"/>')
    for tick in (0, 0.25, 0.5, 0.75, 1):
        y, x = bottom - tick * SIDE, left + tick * SIDE
        parts.append(f'<text class="small" x="{left - 6}" y="{y + 3:.1f}" text-anchor="end">{tick:g}</text>')
        parts.append(f'<text class="small" x="{x:.1f}" y="{bottom + 13}" text-anchor="middle">{tick:g}</text>')
    x, y = left - 36, TOP + SIDE / 2
    parts.append(f'<text x="{x}" y="{y}" transform="rotate(-90 {x} {y})" text-anchor="middle">precision</text>')
    return "".join(parts) + _draw_counts(reliability, left, bottom + 22)


def _draw_bar(row: Sequence[float], x: float, step: float, bottom: float) -> str:
    """Return the bar of a bin: precision, the gap to its mean confidence, and the interval."""
    count, confidence, precision, low, high = row
    top, even = bottom - precision * SIDE, bottom - confidence * SIDE
    interval = "" if math.isnan(low) else f", 95 % interval {low:.3f} to {high:.3f}"
    title = f"confidence {confidence:.3f}, precision {precision:.3f}{interval}, {count:.0f} detections"
    parts = [
        f"<g><title>{title}</title>",
        f'<rect class="bar" x="{x + 1:.1f}" y="{top:.1f}" width="{step - 2:.1f}" height="{bottom - top:.1f}"/>',
        f'<rect class="miss" x="{x + 1:.1f}" y="{min(top, even):.1f}" width="{step - 2:.1f}" '
        f'height="{abs(top - even):.1f}"/>',
    ]
    if not math.isnan(low):
        middle, ends = x + step / 2, (bottom - low * SIDE, bottom - high * SIDE)
        parts.append(f'<line class="line" x1="{middle:.1f}" x2="{middle:.1f}" y1="{ends[0]:.1f}" y2="{ends[1]:.1f}"/>')
        parts += [
            f'<line class="line" x1="{middle - 4:.1f}" x2="{middle + 4:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>' for y in ends
        ]
    return "".join(parts) + "</g>"


def _draw_counts(reliability: Reliability, left: float, top: float) -> str:
    """Return the number of detections of each bin, as bars of the logarithm and as figures."""
    step = SIDE / len(reliability.num_detections)
    highest = math.log1p(max(reliability.num_detections.max(), 1.0))
    parts = []
    for index, count in enumerate(reliability.num_detections):
        height = (COUNTS - 12) * math.log1p(count) / highest
        x, y = left + index * step, top + COUNTS - height
        parts.append(f'<rect class="count" x="{x + 1:.1f}" y="{y:.1f}" width="{step - 2:.1f}" height="{height:.1f}"/>')
        parts.append(
            f'<text class="small" x="{x + step / 2:.1f}" y="{y - 2:.1f}" text-anchor="middle">{count:.0f}</text>'
        )
    parts.append(
        f'<text x="{left + SIDE / 2}" y="{top + COUNTS + 16}" text-anchor="middle">confidence; detections of each bin '
        "(log scale)</text>"
    )
    return "".join(parts)
