"""The COCO protocol: average precision and recall of one task, over 10 IoU thresholds and 3 object sizes.

hotcoco does the matching, 40 to 90 times faster than pycocotools and equal to it (tests compare all numbers).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import hotcoco
import numpy as np
from numpy.typing import NDArray

from lineage.eval.metrics import own_matching
from lineage.eval.metrics.boundary import RATIO
from lineage.eval.metrics.tide import breakdown

TASKS = {"box": "bbox", "mask": "segm", "keypoint": "keypoints"}  # our name -> COCO's


class Scores(NamedTuple):
    metrics: dict[str, float]  # box/AP -> percent
    per_class: dict[str, dict[str, float]]  # class -> box/AP -> percent


def score(
    truth: hotcoco.COCO,
    found: hotcoco.COCO,
    task: str,
    sigmas: Sequence[float] | None = None,
    extras: Sequence[str] = (),
) -> Scores:
    """The numbers COCO prints for one task, in percent; NaN where no object of that size or class exists.

    `extras`, for boxes and masks: "lrp", "tide", and "ious", which is AP60 to AP90 as Cascade R-CNN prints them.
    """
    if task == "boundary":
        return Scores(*own_matching.boundary(truth, found))
    engine = hotcoco.COCOeval(truth, found, TASKS[task])
    if task == "keypoint" and sigmas is not None:
        engine.params.kpt_oks_sigmas = list(sigmas)
    scores = [measured(engine, task)]
    if "ious" in extras and task != "keypoint":
        scores.append(Scores(_strict(engine, task), {}))
    if "tide" in extras and task != "keypoint":
        scores.append(Scores(breakdown(engine, task), {}))
    if "lrp" in extras and task != "keypoint":
        scores.append(Scores(*own_matching.lrp(truth, found, task)))
    return join(scores)


def measured(engine: hotcoco.COCOeval, task: str) -> Scores:
    """Runs an engine that is set up."""
    engine.evaluate()
    engine.accumulate()
    engine.summary_lines()  # fills `stats` without printing
    names = [f"{task}/{key.replace('@', '')}" for key in engine.metric_keys()]
    return Scores(dict(zip(names, map(_percent, engine.stats), strict=True)), _per_class(engine, task))


def join(scores: Iterable[Scores]) -> Scores:
    """All tasks in one."""
    metrics: dict[str, float] = {}
    per_class: dict[str, dict[str, float]] = {}
    for part in scores:
        metrics |= part.metrics
        for name, values in part.per_class.items():
            per_class.setdefault(name, {}).update(values)
    return Scores(metrics, per_class)


def protocol(task: str) -> dict[str, Any]:
    """What the engine measures for a task, as plain data."""
    if task == "boundary":
        return protocol("mask") | {"overlap": "min(mask IoU, boundary IoU)", "boundary": RATIO}
    return limits(hotcoco.Params(TASKS[task]))


def limits(params: hotcoco.Params) -> dict[str, Any]:
    return {
        "iou_thresholds": [round(value, 4) for value in params.iou_thrs],
        "recall_points": len(params.rec_thrs),
        "max_detections": list(params.max_dets),
        "areas": dict(zip(params.area_rng_lbl, params.area_rng, strict=True)),
    }


def _per_class(engine: hotcoco.COCOeval, task: str) -> dict[str, dict[str, float]]:
    assert engine.eval is not None
    precision = engine.eval["precision"][:, :, :, 0, -1]  # [thresholds, recall points, classes], all sizes
    names = [category["name"] for category in engine.coco_gt.load_cats(engine.params.cat_ids)]
    return {
        name: {f"{task}/AP": _mean(precision[:, :, k]), f"{task}/AP50": _mean(precision[0, :, k])}
        for k, name in enumerate(names)
    }


def _strict(engine: hotcoco.COCOeval, task: str) -> dict[str, float]:
    """AP at the IoU thresholds between AP50 and AP95 that papers print."""
    assert engine.eval is not None
    precision = engine.eval["precision"][:, :, :, 0, -1]
    at = {round(100 * value): index for index, value in enumerate(engine.params.iou_thrs)}
    return {f"{task}/AP{iou}": _mean(precision[at[iou]]) for iou in (60, 70, 80, 90)}


def _mean(precision: NDArray[np.float64]) -> float:
    measured = precision[precision > -1]
    return 100 * float(measured.mean()) if measured.size else float("nan")


def _percent(value: float) -> float:
    return 100 * float(value) if value > -1 else float("nan")
