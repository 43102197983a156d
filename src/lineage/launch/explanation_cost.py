"""The price of explanations: as many test images as a row with `evaluator=explanation` could detect in their time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

EVALUATOR = "ExplanationEvaluator"
D_RISE = "d_rise"
# of one map, in detections of an image: a run of the class path and its gradient is about 2
MAPS = {"random": 0.0, "center": 0.0, "smooth_grad": 50.0, "integrated_gradients": 64.0, "guided_grad_cam": 4.0}
MAP = 2.0  # of any other method
EFFECTS = {"removal": 22.0, "road": 30.0, "sensitivity": 30.0}  # of one map; the imputation of ROAD takes a third
DEPENDENCE = 7.0  # maps and detections of each explained detection


def count_equivalent_images(config: Mapping[str, Any]) -> float:
    """Return the images whose detection takes as long as the explanations of one evaluation; 0 without explanations."""
    evaluator = config.get("evaluator")
    if not isinstance(evaluator, Mapping) or not str(evaluator.get("_target_", "")).endswith(EVALUATOR):
        return 0.0
    images, detections = int(evaluator.get("images", 0)), int(evaluator.get("detections", 0))
    method, measures = str(evaluator.get("method")), evaluator.get("measures") or ()
    one_map = 0.0 if method == D_RISE else MAPS.get(method, MAP)
    effects = sum(EFFECTS.get(name, 0.0) for name in measures)
    others = DEPENDENCE * (one_map + 1) if "dependence" in measures else 0.0
    masks = float(evaluator.get("masks", 0)) if method == D_RISE else 0.0  # of all detections of an image together
    return images * (detections * (one_map + effects + others) + masks)
