"""Names of the metrics that each evaluator computes, as lineage.eval writes them; `*` stands for any part of a name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from lineage.results import diff
from lineage.tables.suggest import nearest

SIZES = ("s", "m", "l")
BY_AP = ("AP", "AP50", "AP75", *(f"AP{size}" for size in SIZES))
BY_RECALL = ("AR1", "AR10", "AR100", *(f"AR{size}" for size in SIZES), "AR[1-9]*")  # AR300: max_detections
OF_EXTRAS = ("AP60", "AP70", "AP80", "AP90", "oLRP", "oLRP_*", "dAP_*")
OF_LVIS = ("APr", "APc", "APf", "AP_fixed", "AP[rcf]_fixed", "AR[sml][1-9]*")
OF_KEYPOINTS = ("AP", "AP50", "AP75", "APm", "APl", "AR", "AR50", "AR75", "ARm", "ARl")
QUALITIES = ("PQ", "SQ", "RQ")


def _list(tasks: Iterable[str], *groups: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"{task}/{name}" for task in tasks for group in groups for name in group)


INSTANCES = _list(("box", "mask"), BY_AP, BY_RECALL, OF_EXTRAS)
COCO = (*INSTANCES, *_list(("keypoint",), OF_KEYPOINTS), *_list(("boundary",), BY_AP, BY_RECALL))
VOC = ("voc/mAP", "voc/mAP07")
ANY = (*COCO, *_list(("box", "mask"), OF_LVIS), "lvis/*", *VOC)  # what an evaluator around another one passes on
EVALUATORS = (  # pattern of the evaluator's class in lower case -> its metrics
    ("lineage.calibration.*", ("calibration/*", *ANY)),
    ("lineage.explain.*", ("explain/*", *ANY)),
    ("*.frames.frameevaluator", ("frame/PSNR", "frame/SSIM")),
    ("*lvis*", (*INSTANCES, *_list(("box", "mask"), OF_LVIS), "lvis/*")),
    ("*voc*", VOC),
    ("*cityscapes*", INSTANCES),
    ("*panoptic*", (*_list(("panoptic",), QUALITIES, (f"{name}_*" for name in QUALITIES)), "semantic/mIoU",
                    *INSTANCES)),
    ("*proposal*", _list(("box",), (f"AR{size}{count}" for count in (10, 100, 300, 1000) for size in ("", *SIZES)),
                         ("R10", "R100", "R300", "R1000"))),
    ("*coco*", COCO),
)  # fmt: skip


def explain_unknown(config: Mapping[str, Any], metric: str) -> str | None:
    """Return why the evaluator of a config does not compute a metric, with the nearest that it does, or None."""
    target = str(diff.at(config, "evaluator._target_"))
    target = str(diff.at(config, "dataset.evaluator._target_")) if target == diff.ABSENT else target
    names = next((names for pattern, names in EVALUATORS if fnmatchcase(target.lower(), pattern)), None)
    if names is None or any(fnmatchcase(metric, name) for name in names):
        return None
    plain = [name for name in names if not {"*", "["} & {*name}]
    close = nearest(metric, plain)
    advice = f"Did you mean {' or '.join(close)}?" if close else f"It measures {', '.join(plain[:3])} and others"
    return f"{metric} is not measured by {target.rpartition('.')[2]}. {advice}"
