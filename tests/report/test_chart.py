"""Ticks are round numbers, and a chart takes any line."""

from __future__ import annotations

import math
import re

import pytest

from lineage.report.chart import HEIGHT, WIDTH, Line, format_short, render_chart


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (1000, "1000"), (90000, "90k"), (0.02, "0.02"), (0.000013, "1.3e-5"), (-2.5, "-2.5")],
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert format_short(value) == text


@pytest.mark.parametrize(
    "points",
    [
        [(5, 0.0)], [(5, 3.0)], [(1, 0.0), (2, 0.0)], [(1, -3.0), (2, -3.0)], [(1, -1.0), (9, 1e6)],
        [(step, math.sin(step)) for step in range(5000)], [(1, math.nan), (2, 1.0), (3, math.inf)],
    ],
)  # fmt: skip
@pytest.mark.parametrize("smooth", [True, False])
def test_everything_drawn_lies_on_the_paper(points: list[tuple[float, float]], smooth: bool) -> None:
    svg = render_chart("any", [Line("line", points)], smooth=smooth)
    assert "nan" not in svg
    assert "inf" not in svg.replace("info", "")
    drawn = re.findall(r"(-?[\d.]+),(-?[\d.]+)", " ".join(re.findall(r'points="([^"]*)"', svg)))
    assert all(0 <= float(x) <= WIDTH and 0 <= float(y) <= HEIGHT for x, y in drawn)
    ticks = [float(x) for x in re.findall(r'<text x="(-?[\d.]+)"', svg)]
    assert ticks
    assert all(0 <= x <= WIDTH for x in ticks)


def test_nothing_to_show_is_no_chart() -> None:
    assert (
        render_chart("empty", [])
        == render_chart("empty", [Line("a", [])])
        == render_chart("empty", [Line("a", [(1, math.nan)])])
        == ""
    )
