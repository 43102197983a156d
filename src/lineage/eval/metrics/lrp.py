"""Localisation Recall Precision (Oksuz et al., arXiv:2011.10772, section 4): one error for missed, false and loose.

    LRP(s) = (sum over matched (1 - IoU) / (1 - 0.5) + FP + FN) / (TP + FP + FN)

of the detections with a score from s on, 0 for perfect and 1 for useless; matched at IoU 0.5 as COCO does. oLRP is the
least over s, so the score it is reached at is the best threshold of the class for use; its parts say why it is not 0.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lineage.eval.metrics.matching import Ranked

TIGHT = 0.5  # IoU that matches


class Error(NamedTuple):
    """Of one class, in percent at the best threshold; NaN for a class without objects."""

    total: float  # oLRP
    localisation: float  # mean 1 - IoU of the matched
    false: float  # 1 - precision
    missed: float  # 1 - recall
    threshold: float  # the score of the last detection to keep


def error(one: Ranked) -> Error:
    objects = int(one.objects[0])
    nothing = float("nan")
    if not objects:
        return Error(nothing, nothing, nothing, nothing, nothing)
    counted = ~one.ignored[0, 0]
    hit, scores = one.hit[0, 0][counted], one.scores[counted]
    right, wrong = np.cumsum(hit), np.cumsum(~hit)
    loose = np.cumsum(np.where(hit, 1 - one.overlap[counted], 0))
    last = np.flatnonzero(np.diff(scores, append=-np.inf))  # equal scores are kept or dropped together
    right, wrong, loose = right[last], wrong[last], loose[last]
    values = (loose / (1 - TIGHT) + wrong + objects - right) / (wrong + objects)
    if not len(values) or values.min() >= 1 or not right[values.argmin()]:
        return Error(100.0, nothing, nothing, 100.0, nothing)
    best = int(values.argmin())
    found = right[best] / (right[best] + wrong[best])
    parts = np.array([values[best], loose[best] / right[best], 1 - found, 1 - right[best] / objects])
    total, localisation, false, missed = (100 * parts).tolist()
    return Error(total, localisation, false, missed, float(scores[last][best]))


def average(errors: list[Error], task: str) -> dict[str, float]:
    """Over the classes that have objects: <task>/oLRP and its parts."""
    names = ("oLRP", "oLRP_localisation", "oLRP_false", "oLRP_missed")
    columns = np.array(errors, np.float64).reshape(-1, 5).T
    return {f"{task}/{name}": _mean(column) for name, column in zip(names, columns, strict=False)}


def _mean(column: np.ndarray) -> float:
    known = column[~np.isnan(column)]
    return float(known.mean()) if len(known) else float("nan")
