"""The scalars of a detection that can be explained.

class: its logit. contrast: its logit minus the largest other. x1, y1, x2, y2: a side of its box. mask: the sum of its
mask's logits where they are positive, those of PointRend after its subdivision. keypoint, keypoint:K: the logits at the
peaks of all heatmaps, or of number K. proposal: the objectness logit of the anchor that became the detection's
proposal, which is a constant.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lineage.explain.detectors import Region, RegionDetector, find_normalization
from lineage.explain.variants import repeat
from lineage.models.proposals.rpn import RPN
from lineage.models.roi_heads.cascade_mask import CascadeMaskHead
from lineage.models.roi_heads.keypoint_head import KeypointHead
from lineage.models.roi_heads.mask_fc import MLPMaskHead
from lineage.models.roi_heads.mask_head import MaskHead
from lineage.models.roi_heads.mask_softmax import SoftmaxMaskHead
from lineage.models.roi_heads.pointrend import PointRend
from lineage.structures import Detections, Images

Target = Callable[[RegionDetector, list[Tensor], Region], Tensor]
SIDES = ("x1", "y1", "x2", "y2")
PROPOSAL = "proposal"
LOGIT_HEADS = (MaskHead, MLPMaskHead, PointRend)  # those whose mask is the sigmoid of one logit per pixel
MASK_HEADS = (*LOGIT_HEADS, CascadeMaskHead, SoftmaxMaskHead)
LEAST_PROBABILITY = 1e-6  # log odds are cut there, and at 1 minus it
NAMES = ("class", "contrast", *SIDES, "mask", "keypoint", "keypoint:K", PROPOSAL)


class UnknownTarget(ValueError):
    """No such scalar, or the model does not predict it."""


def class_logit(detector: RegionDetector, features: list[Tensor], region: Region) -> Tensor:
    """Return the logit of the detection's class, before softmax or sigmoid."""
    return detector.predict(features, region).logits[region.label]


def contrast(detector: RegionDetector, features: list[Tensor], region: Region) -> Tensor:
    """Return the logit of the detection's class minus the largest other, background among them if it has a logit.

    If there is a single logit, the other one is 0: the logit of "not this class".
    """
    logits = detector.predict(features, region).logits
    others = torch.cat((logits[: region.label], logits[region.label + 1 :]))
    return logits[region.label] - (others.max() if len(others) else 0.0)


def box_side(side: int) -> Target:
    """Return the target of a side of the box in pixels: 0 to 3 for x1, y1, x2, y2."""
    return lambda detector, features, region: detector.predict(features, region).box[side]


def mask_logits(detector: RegionDetector, features: list[Tensor], region: Region) -> Tensor:
    """Return the sum of the positive logits of the detection's mask; of a softmax and of a cascade, its log odds."""
    head = _find_head(detector, MASK_HEADS, "mask")
    labels = torch.tensor([[region.label]], device=region.detection.device)
    if isinstance(head, LOGIT_HEADS):
        logits = head.mask_logits(features, region.detection, labels)
    else:
        scores = torch.ones_like(region.detection[..., 0])
        detection = Detections(region.detection, scores, labels, scores > 0, labels, scores[..., None])
        logits = head.detect(features, detection).masks.logit(LEAST_PROBABILITY)
    return logits.clamp(min=0).sum()


def keypoint_logits(number: int | None) -> Target:
    """Return the target of the logits at the peaks of all heatmaps, or of one."""

    def peaks(detector: RegionDetector, features: list[Tensor], region: Region) -> Tensor:
        if getattr(detector.model, "landmarks", None) is not None:
            raise UnknownTarget(
                "target keypoint: landmarks of a CenterNet, such as DeepMark's, cannot be a target; choose class, "
                "contrast or a side of the box"
            )
        head = _find_head(detector, (KeypointHead,), "keypoint")
        values = head.heatmaps(features, region.detection)[0, 0].flatten(1).amax(1)
        if number is None:
            return values.sum()
        if number >= len(values):
            raise UnknownTarget(f"keypoint:{number}: the model predicts keypoints 0 to {len(values) - 1}")
        return values[number]

    return peaks


def objectness_logit(detector: RegionDetector, features: list[Tensor], region: Region) -> Tensor:
    """Return the objectness logit of the anchor that became the proposal of the detection."""
    proposals = getattr(detector.model, "proposals", None)
    if not isinstance(proposals, RPN) or region.anchor is None:
        kind = f"its regions come from {type(proposals).__name__}" if proposals else "it has no proposals"
        raise UnknownTarget(f"target proposal: {kind}, not from an RPN; choose class, contrast or a side of the box")
    return proposals.objectness_logits(features)[0, region.anchor]


def parse_target(name: str) -> Target:
    """Return the target of a name. Raises UnknownTarget."""
    if name in SIDES:
        return box_side(SIDES.index(name))
    kind, _, number = name.partition(":")
    if kind == "keypoint" and (number.isdigit() or name == kind):
        return keypoint_logits(int(number) if number else None)
    targets: dict[str, Target] = {"class": class_logit, "contrast": contrast, "mask": mask_logits,
                                 PROPOSAL: objectness_logit}  # fmt: skip
    if name == "overlap":
        raise UnknownTarget(
            "target overlap: the IoU of a box with itself is at its maximum, where its gradient is 0; choose a side "
            f"of the box: {', '.join(SIDES)}"
        )
    if name not in targets:
        raise UnknownTarget(f"target {name!r} is unknown; choose one of {', '.join(NAMES)}")
    return targets[name]


class DetectionOutput:
    """A scalar of a detection as a function of the pixels: a ScalarOutput."""

    def __init__(self, detector: RegionDetector, images: Images, region: Region, target: Target):
        self.detector, self.images, self.region, self.target = detector, images, region, target
        self.pixels = images.pixels.float()
        height, width = images.sizes[0].tolist()
        self.size = (height, width)
        normalization = find_normalization(detector.model)
        self.std = normalization.std.expand(3, 1, 1)
        self.baseline = normalization.mean.expand_as(self.pixels)

    def features(self, pixels: Tensor) -> list[Tensor]:
        return self.detector.features(repeat(self.images, len(pixels))._replace(pixels=pixels))

    def score(self, features: list[Tensor]) -> Tensor:
        return self.target(self.detector, features, self.region)


def _find_head(detector: RegionDetector, kinds: tuple[type, ...], name: str) -> Any:
    head = dict(getattr(detector.model, "heads", {})).get(name)
    if not isinstance(head, kinds):
        kind = f"its {name} head, {type(head).__name__}, has no logits of one region" if head else f"it has no {name}s"
        raise UnknownTarget(f"target {name}: {kind}; choose class, contrast or a side of the box")
    return head
