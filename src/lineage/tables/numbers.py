"""Numbers as text: fixed decimals, and a dash for a missing one."""

from __future__ import annotations

from math import isnan

EMPTY = "-"


def format_number(value: float | None, decimals: int = 1, sign: bool = False) -> str:
    """Return `value` with `decimals`, with `sign` also a plus; EMPTY for None and NaN."""
    if value is None or isnan(value):
        return EMPTY
    value = round(value, decimals) + 0.0  # no minus before a zero
    return f"{value:+.{decimals}f}" if sign else f"{value:.{decimals}f}"
