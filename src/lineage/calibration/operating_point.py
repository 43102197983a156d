"""The error LRP of a class at its best score threshold, and that threshold (Oksuz et al., arXiv:2011.10772).

`eval/metrics/lrp.py` has the formula at IoU .5. Here the least overlap may be another, such as that of LaECE_0, and
detections and objects have weights, for the bootstrap.
"""

from __future__ import annotations

import numpy as np

from lineage.calibration.logit import Floats
from lineage.calibration.overlaps import IOUS, Matches

KEEP_ALL = 0.0  # the threshold of a class whose least error cannot be measured: it has no object, or no hit


def optimise_lrp(matches: Matches, level: int, weights: Floats, num_classes: int) -> tuple[Floats, Floats]:
    """Return [C] the least LRP, NaN for a class without objects, and [C] the score of the last detection to keep.

    level: row of IOUS. weights: [I] how often each image counts.
    """
    errors, thresholds = np.full(num_classes, np.nan), np.full(num_classes, KEEP_ALL)
    num_objects = np.bincount(matches.object_label, weights[matches.object_image], minlength=num_classes)
    counts = ~matches.ignored[level] & (weights[matches.image] > 0)
    starts = np.searchsorted(matches.label, np.arange(num_classes + 1))
    for label in np.flatnonzero(num_objects):
        # 1. True and false positives down to each detection of the class.
        rows = np.arange(starts[label], starts[label + 1])
        rows = rows[counts[rows]]
        weight, is_tp = weights[matches.image[rows]], matches.is_tp[level, rows]
        errors[label] = 1.0
        if not is_tp.any():
            continue
        tp, fp = np.cumsum(weight * is_tp), np.cumsum(weight * ~is_tp)
        # 2. LRP at each, and the least.
        localisation = np.cumsum(weight * np.where(is_tp, 1 - matches.iou[level, rows], 0)) / (1 - IOUS[level])
        total = num_objects[label]
        lrp = (localisation + fp + total - tp) / (fp + total)
        best = int(lrp.argmin())
        errors[label], thresholds[label] = lrp[best], matches.score[rows[best]]
    return errors, thresholds
