"""Tolerances (sigmas) of keypoints in the object keypoint similarity, by the keypoints' names.

Those of 17 keypoints are COCO's (cocodataset.org/#keypoints-eval); those of head and neck are CrowdPose's
(arXiv:1812.00324), whose other 12 are COCO's [recalled].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lineage.eval.document import ProtocolError
from lineage.eval.scored_document import keypoint_length

COCO_KEYPOINTS = 17  # the engine has their sigmas, in COCO's order
SIGMAS = {
    "nose": 0.026, "left_eye": 0.025, "right_eye": 0.025, "left_ear": 0.035, "right_ear": 0.035,
    "left_shoulder": 0.079, "right_shoulder": 0.079, "left_elbow": 0.072, "right_elbow": 0.072,
    "left_wrist": 0.062, "right_wrist": 0.062, "left_hip": 0.107, "right_hip": 0.107,
    "left_knee": 0.087, "right_knee": 0.087, "left_ankle": 0.089, "right_ankle": 0.089,
    "head": 0.079, "top_head": 0.079, "head_top": 0.079, "neck": 0.079,
}  # fmt: skip
COCO_NAMES = [*SIGMAS][:COCO_KEYPOINTS]
UNKNOWN = 0.05  # deviates: of keypoints without sigmas in the dataset or config, and with names that are not listed


class KeypointSigmas(NamedTuple):
    sigmas: list[float] | None  # None: no keypoints, or COCO's 17, which the engine knows
    notes: tuple[str, ...] = ()


def find_sigmas(document: Mapping[str, Any], sigmas: Sequence[float] | None) -> KeypointSigmas:
    """Return a sigma for each keypoint: those given, else those that COCO and CrowdPose publish for the names."""
    count = keypoint_length(document) // 3
    if sigmas and count and len(sigmas) != count:
        raise ProtocolError(f"{len(sigmas)} sigmas for {count} keypoints: each keypoint needs its own.")
    if sigmas:
        return KeypointSigmas([float(sigma) for sigma in sigmas])
    names = keypoint_names(document, count)
    if not count or names == COCO_NAMES:
        return KeypointSigmas(None)
    if names and all(name in SIGMAS for name in names):
        return KeypointSigmas([SIGMAS[name] for name in names])
    advice = "Set them: dataset.evaluator.sigmas, or lineage evaluate --sigmas."
    if count == COCO_KEYPOINTS:
        note = f"deviates: keypoint: 17 keypoints without known names have the sigmas of COCO's persons. {advice}"
        return KeypointSigmas(None, (note,) if names else ())
    note = f"deviates: keypoint: no sigmas are known for these {count} keypoints; all have {UNKNOWN}. {advice}"
    return KeypointSigmas([UNKNOWN] * count, (note,))


def keypoint_names(document: Mapping[str, Any], count: int) -> list[str]:
    """Return the names of `count` keypoints as a category lists them, spelt as in SIGMAS; [] if none does."""
    for category in document["categories"]:
        names = category.get("keypoints") or ()
        if len(names) == count:
            return [str(name).strip().lower().replace(" ", "_").replace("-", "_") for name in names]
    return []
