"""Tolerances (sigmas) of keypoints in the object keypoint similarity, by the keypoints' names.

Those of 17 keypoints are COCO's (cocodataset.org/#keypoints-eval). Those of head and neck are CrowdPose's
(arXiv:1812.00324; crowdposetools/cocoeval.py of its authors), whose other 12 equal COCO's.
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
CROWDPOSE_KEYPOINTS = {*COCO_NAMES[5:], "head", "neck"}
UNKNOWN = 0.05  # deviates: of keypoints without sigmas in the dataset or config, and with names that are not listed


class KeypointSigmas(NamedTuple):
    sigmas: list[float] | None  # None: no keypoints, or COCO's 17, which the engine knows
    notes: tuple[str, ...] = ()


def find_sigmas(document: Mapping[str, Any], sigmas: Sequence[float] | None) -> KeypointSigmas:
    """Return a sigma for each keypoint: those given, else of the document, else published for the keypoints' names."""
    count = keypoint_length(document) // 3
    if sigmas and count and len(sigmas) != count:
        raise ProtocolError(f"{len(sigmas)} sigmas for {count} keypoints: each keypoint needs its own.")
    sigmas = sigmas or category_sigmas(document, count)
    if sigmas:
        return KeypointSigmas([float(sigma) for sigma in sigmas])
    names = keypoint_names(document, count)
    if not count or names == COCO_NAMES:
        return KeypointSigmas(None, category_notes(document, names))
    if names and all(name in SIGMAS for name in names):
        notes = (*category_notes(document, names), *crowdpose_notes(names))
        return KeypointSigmas([SIGMAS[name] for name in names], notes)
    advice = "Set them: dataset.evaluator.sigmas, or lineage evaluate --sigmas."
    if count == COCO_KEYPOINTS:
        note = f"deviates: keypoint: 17 keypoints without known names have the sigmas of COCO's persons. {advice}"
        return KeypointSigmas(None, (note,) if names else ())
    note = f"deviates: keypoint: no sigmas are known for these {count} keypoints; all have {UNKNOWN}. {advice}"
    return KeypointSigmas([UNKNOWN] * count, (note,))


def category_sigmas(document: Mapping[str, Any], count: int) -> list[float]:
    """Return `sigmas` of a category with `count` keypoints; [] if none has any."""
    lists = (category.get("sigmas") for category in document["categories"])
    return next((sigmas for sigmas in lists if isinstance(sigmas, list) and len(sigmas) == count > 0), [])


def category_notes(document: Mapping[str, Any], names: Sequence[str]) -> tuple[str, ...]:
    """Note categories whose keypoints are others than `names`, those of the category that has most."""
    others = [
        str(category.get("name", category["id"]))
        for category in document["categories"]
        if category.get("keypoints") and _spell(category["keypoints"]) != [*names][: len(category["keypoints"])]
    ]
    if not names or not others:
        return ()
    return (
        f"deviates: keypoint: the keypoints of {', '.join(others)} have the sigmas of {', '.join(names[:3])} ..., slot "
        "by slot: COCO's similarity has one list for all categories.",
    )


def crowdpose_notes(names: Sequence[str]) -> tuple[str, ...]:
    if {*names} != CROWDPOSE_KEYPOINTS:
        return ()
    return (
        "deviates: keypoint: the area of a person is that of the annotation; crowdposetools takes 0.53 of that of the "
        "box.",
    )


def keypoint_names(document: Mapping[str, Any], count: int) -> list[str]:
    """Return the names of `count` keypoints as a category lists them, spelt as in SIGMAS; [] if none does."""
    lists = (category.get("keypoints") or () for category in document["categories"])
    return next((_spell(names) for names in lists if len(names) == count), [])


def _spell(names: Sequence[Any]) -> list[str]:
    return [str(name).strip().lower().replace(" ", "_").replace("-", "_") for name in names]
