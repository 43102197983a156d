"""Numbers as text: fixed decimals, and a dash for a missing one; units of metrics."""

from __future__ import annotations

from math import isnan

EMPTY = "-"
UNITS = {"PSNR": "dB", "NLL": "nats", "seconds": "s"}  # metric, without its task -> unit; others are in percent
DECIMALS = {"PSNR": 2, "SSIM": 2, "NLL": 3, "seconds": 3}  # of a metric without its task, at least; others have 1


def find_unit(metric: str) -> str:
    """Return the unit of a metric, such as frame/PSNR."""
    return UNITS.get(metric.rpartition("/")[2], "%")


def count_decimals(metric: str) -> int:
    """Return the decimals that a metric needs, such as 1 for box/AP."""
    return DECIMALS.get(metric.rpartition("/")[2], 1)


def format_number(value: float | None, decimals: int = 1, sign: bool = False) -> str:
    """Return `value` with `decimals`, with `sign` also a plus; EMPTY for None and NaN."""
    if value is None or isnan(value):
        return EMPTY
    value = round(value, decimals) + 0.0  # no minus before a zero
    return f"{value:+.{decimals}f}" if sign else f"{value:.{decimals}f}"
