"""Curves of a run from its metrics.csv, thinned to what a screen can show."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

POINTS = 300  # of a curve
DIGITS = 5
AXES = ("step", "epoch")

Rows = Sequence[Mapping[str, str]]
Points = list[tuple[float, float]]


def describe_curves(rows: Rows, images_per_step: float | None, step_hours: float | None) -> dict[str, Any]:
    """Return the lines of all columns; lines with equal steps share them.

    images_per_step, step_hours: factors from steps to the other axes; None if unknown.
    """
    steps: list[list[float]] = []
    lines: dict[str, list[Any]] = {}
    for name in dict.fromkeys(name for row in rows for name in row if name and name not in AXES):
        points = thin(read_points(rows, name))
        if points:
            x = [step for step, _ in points]
            if x not in steps:
                steps.append(x)
            lines[name] = [steps.index(x), [float(f"{y:.{DIGITS}g}") for _, y in points]]
    return {"steps": steps, "lines": lines, "images_per_step": images_per_step, "step_hours": step_hours}


def read_points(rows: Rows, name: str) -> Points:
    """Return (step, value) of a column in the order of the file; cells that are empty or no numbers are left out."""
    pairs = ((_read(row.get("step")), _read(row.get(name))) for row in rows)
    return [(x, y) for x, y in pairs if x is not None and y is not None]


def thin(points: Points) -> Points:
    """Return the means of groups of neighbours, about POINTS of them; values that are not finite are left out."""
    finite = [(x, y) for x, y in points if math.isfinite(y)]
    size = -(-len(finite) // POINTS) or 1
    groups = [finite[start : start + size] for start in range(0, len(finite), size)]
    return [(group[-1][0], math.fsum(y for _, y in group) / len(group)) for group in groups]


def _read(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None
