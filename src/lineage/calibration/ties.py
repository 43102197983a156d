"""Order of equal scores: a map of steps gives many detections one score, and AP would then depend on their order.

A millionth of the raw score is mixed in. It keeps the raw order inside a step and changes no measure visibly.
"""

from __future__ import annotations

from lineage.calibration.logit import Floats

SHARE = 1e-6


def keep_order(calibrated: Floats, raw: Floats) -> Floats:
    """Return calibrated scores of [0, 1], of which equal ones follow the raw scores."""
    return (1 - SHARE) * calibrated + SHARE * raw
