"""TIDE (Bolya et al., arXiv:2008.08115, section 3): how much AP each kind of error costs at IoU 0.5.

A false positive is one of: right location and wrong class; right class and loose (IoU 0.1 to 0.5); both; a duplicate of
an object that is matched already; background. An object that none of these explains is missed. The cost of a kind is
how much the AP rises when an oracle repairs it alone. The engine's costs are those of tidecv 1.0.1 to a few hundredths
of a point where every class has objects and detections. Other than there, a class without objects has no AP, as in
COCO, and a class without any detection keeps its AP of zero when missed objects are repaired.
"""

from __future__ import annotations

import hotcoco

KINDS = {
    "Cls": "class", "Loc": "localisation", "Both": "both", "Dupe": "duplicate", "Bkg": "background", "Miss": "missed",
}  # fmt: skip
WHOLE = {"FP": "false_positives", "FN": "false_negatives"}  # repairing all of one side at once
MATCH_IOU = 0.5
BACKGROUND_IOU = 0.1  # a detection that overlaps every object by less is background


def tide_breakdown(engine: hotcoco.COCOeval, task: str) -> dict[str, float]:
    """Return <task>/dAP_<kind> in points of AP50 from an engine that has run."""
    costs = engine.tide_errors(pos_thr=MATCH_IOU, bg_thr=BACKGROUND_IOU)["delta_ap"]
    return {f"{task}/dAP_{name}": 100 * costs[kind] for kind, name in (KINDS | WHOLE).items()}
