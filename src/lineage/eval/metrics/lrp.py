"""Localisation Recall Precision (Oksuz et al., arXiv:2011.10772, section 4): one error for missed, false and loose.

    LRP(s) = (sum over matched (1 - IoU) / (1 - 0.5) + FP + FN) / (TP + FP + FN)

of the detections with a score from s on, 0 for perfect and 1 for useless; matched at IoU 0.5 as COCO does. oLRP is the
least over s, so the score where it is reached is the best threshold of the class for use; its components give the
reasons why it is not 0. As in the authors' code, s stops after each detection, also between two of equal score.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lineage.eval.metrics.matching import MatchedDetections
from lineage.eval.scores import NAN, nan_mean

MATCH_IOU = 0.5
COMPONENTS = ("oLRP", "oLRP_localisation", "oLRP_false", "oLRP_missed")


class LrpError(NamedTuple):
    """Error of one class, in percent at the best threshold; NaN for a class without objects."""

    total: float  # oLRP
    localisation: float  # mean 1 - IoU of the matched
    false: float  # 1 - precision
    missed: float  # 1 - recall
    threshold: float  # the score of the last detection to keep


NO_OBJECTS = LrpError(NAN, NAN, NAN, NAN, NAN)
NOTHING_RIGHT = LrpError(100.0, NAN, NAN, 100.0, NAN)


def optimal_lrp(matched: MatchedDetections) -> LrpError:
    """Return the least LRP over all score thresholds and its components; of equal ones that of the highest score."""
    num_objects = int(matched.num_objects[0])
    if not num_objects:
        return NO_OBJECTS
    # 1. True and false positives down to each detection.
    counts = ~matched.ignored[0, 0]
    is_tp, scores = matched.is_tp[0, 0][counts], matched.scores[counts]
    tp, fp = np.cumsum(is_tp), np.cumsum(~is_tp)
    if not is_tp.any():
        return NOTHING_RIGHT
    # 2. LRP at each, and the least.
    localisation_error = np.cumsum(np.where(is_tp, 1 - matched.iou[counts], 0))
    lrp = (localisation_error / (1 - MATCH_IOU) + fp + num_objects - tp) / (fp + num_objects)
    best = int(lrp.argmin())
    # 3. Its components; a useless class may have its least before the first true positive.
    localisation = localisation_error[best] / tp[best] if tp[best] else NAN
    false, missed = fp[best] / (tp[best] + fp[best]), 1 - tp[best] / num_objects
    total, localisation, false, missed = (100 * float(v) for v in (lrp[best], localisation, false, missed))
    return LrpError(total, localisation, false, missed, float(scores[best]))


def average(errors: list[LrpError], task: str) -> dict[str, float]:
    """Return <task>/oLRP and its components, averaged over the classes that have them."""
    columns = np.array(errors, np.float64).reshape(-1, len(LrpError._fields)).T
    return {f"{task}/{name}": nan_mean(column) for name, column in zip(COMPONENTS, columns, strict=False)}
