"""Alerts of a run: what a person should look at before they believe its numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import Any, NamedTuple

from lineage.report.site.curves import Points, Rows, read_points
from lineage.results.entry import Entry

ERROR, WARNING, NOTE = "error", "warning", "note"
SPIKE = 3.0  # times the median of the rows before it
WINDOW = 20  # rows
SETTLED = 10  # rows of warm-up in which a loss may do anything
SLOW = 0.5  # of the median speed
FEWEST_SLOW = 3  # rows


class Alert(NamedTuple):
    level: str
    text: str


def find_alerts(entry: Entry, rows: Rows) -> list[Alert]:
    """Return the alerts of a run, errors first."""
    alerts = [*_check_entry(entry), *_check_losses(rows), *_check_speed(rows)]
    return sorted(alerts, key=lambda alert: (ERROR, WARNING, NOTE).index(alert.level))


def describe_alerts(alerts: Sequence[Alert]) -> list[list[Any]]:
    return [[alert.level, alert.text] for alert in alerts]


def _check_entry(entry: Entry) -> list[Alert]:
    alerts = []
    if entry.status == "failed":
        alerts.append(Alert(ERROR, f"failed: {entry.error or 'no reason was recorded'}"))
    if entry.status == "stopped":
        alerts.append(Alert(WARNING, f"stopped before its end: {entry.error or 'no reason was recorded'}"))
    if entry.table and entry.deviations:
        alerts.append(Alert(WARNING, f"off protocol: {len(entry.deviations)} deviations from its row"))
    if entry.dirty:
        alerts.append(Alert(NOTE, "ran code that is in no commit"))
    if entry.status == "finished" and not entry.metrics:
        alerts.append(Alert(NOTE, "measured nothing: it had no validation images"))
    return alerts


NO_LOSSES = ("step", "epoch", "lr", "images_per_second", "data_wait")


def _check_losses(rows: Rows) -> list[Alert]:
    """Find losses that are not finite, and the largest jump of each loss above the median of the rows before."""
    alerts = []
    names = [name for name in dict.fromkeys(name for row in rows for name in row)
             if name and "/" not in name and name not in NO_LOSSES]  # fmt: skip
    for name in names:
        points = read_points(rows, name)
        broken = next((step for step, value in points if not math.isfinite(value)), None)
        if broken is not None:
            alerts.append(Alert(ERROR, f"{name} is not finite at step {broken:g}"))
        elif (spike := _find_spike(points)) is not None:
            step, ratio = spike
            alerts.append(Alert(WARNING, f"{name} spikes at step {step:g}: {ratio:.1f} times the median before it"))
    return alerts


def _find_spike(points: Points) -> tuple[float, float] | None:
    """Return (step, ratio) of the largest jump, or None if none is a spike."""
    largest = None
    for index in range(SETTLED, len(points)):
        before = median(value for _, value in points[max(0, index - WINDOW) : index])
        step, value = points[index]
        if before > 0 and value > SPIKE * before and (largest is None or value / before > largest[1]):
            largest = (step, value / before)
    return largest


def _check_speed(rows: Rows) -> list[Alert]:
    """Find rows that are half as fast as usual: the training waited for images, or shared its machine."""
    points = read_points(rows, "images_per_second")[1:]
    if len(points) < 2 * FEWEST_SLOW:
        return []
    usual = median(value for _, value in points)
    slow = [step for step, value in points if value < SLOW * usual]
    if len(slow) < FEWEST_SLOW:
        return []
    where = f"{len(slow)} of {len(points)} rows, first at step {slow[0]:g}"
    cause = "it waited for images, or shared the machine"
    return [Alert(NOTE, f"slower than half its usual {usual:.3g} images per second in {where}: {cause}")]
