"""Detectors as functions from feature maps to the class scores and the box of one region.

A detection came from a region: a proposal of a two-stage detector, an anchor of a one-stage detector. The region is a
constant here. So the path through the RPN has no share in a map, and neither has the gradient to the coordinates of
RoIAlign, which the kernel for CPUs has and those for CUDA have not.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol, cast

import torch
from torch import Tensor, nn

from lineage.models.backbones.normalize import Normalize
from lineage.models.detectors.centernet import CenterNet
from lineage.models.detectors.image_pyramid import ImagePyramid, resize
from lineage.models.detectors.rcnn import RCNN
from lineage.models.detectors.retinanet import DenseHead, RetinaNet
from lineage.models.proposals.rpn import RPN
from lineage.models.roi_heads.box_head import BoxHead
from lineage.models.roi_heads.cascade import CascadeBoxHead
from lineage.ops import boxes as box_ops
from lineage.structures import Detections, Images


class UnsupportedModel(ValueError):
    """The model has a part for which no explanation is defined here."""


class Region(NamedTuple):
    """A detection and the place in the network that it came from; constants, without gradient."""

    boxes: Tensor  # [stages, 1, 1, 4] the proposal as each stage of a cascade reads it; [1, 1, 1, 4] or the anchor
    number: int  # of the proposal or anchor
    label: int
    detection: Tensor  # [1, 1, 4] the box of the detection
    anchor: int | None = None  # that became the proposal, over all levels; None without an RPN


class Outputs(NamedTuple):
    """The predictions for one region."""

    logits: Tensor  # [outputs] of the classes, and of background if a softmax has it
    box: Tensor  # [4] decoded, x1 y1 x2 y2 in canvas pixels


class RegionDetector(Protocol):
    """A detector that predicts for one region at a time."""

    model: nn.Module
    num_classes: int
    proposal_policy: str  # the region, in words

    def features(self, images: Images) -> list[Tensor]: ...

    def detect(self, images: Images) -> tuple[Detections, list[Region]]:
        """Return the detections of one image, and the region of each slot."""
        ...

    def detect_boxes(self, images: Images) -> Detections:
        """Return the detections of images without masks and keypoints."""
        ...

    def predict(self, features: list[Tensor], region: Region) -> Outputs: ...


class TwoStage:
    """An R-CNN with one box head, or the stages of a cascade.

    The logits of a cascade are the mean of those that its score averages; its box is that of the last stage.
    """

    proposal_policy = "the proposal is a constant"

    def __init__(self, model: RCNN | ImagePyramid):
        self.model = model
        box = cast(BoxHead | CascadeBoxHead, model.box)
        self.stages = [box] if isinstance(box, BoxHead) else [cast(BoxHead, box.stages[i - 1]) for i in box.test_stages]
        self.num_classes = box.num_classes
        self.ensemble = "last" if isinstance(box, BoxHead) else box.ensemble

    def features(self, images: Images) -> list[Tensor]:
        if isinstance(self.model, ImagePyramid):
            ratios = self.model.ratios
            return [self.model.neck(self.model.backbone(resize(images, ratio)))[0] for ratio in ratios]
        maps: list[Tensor] = self.model.neck(self.model.backbone(images))
        return maps

    @torch.no_grad()
    def detect(self, images: Images) -> tuple[Detections, list[Region]]:
        features = self.features(images)
        proposals = self.model.proposals.propose(images, features)
        detections: Detections = self.model.box.detect(features, proposals, images)
        for head in getattr(self.model, "heads", {}).values():
            detections = head.detect(features, detections)
        boxes = [proposals.boxes]
        if isinstance(self.model.box, CascadeBoxHead):
            boxes = self.model.box.refine_by_stage(features, proposals.boxes, images.sizes)
        regions = _list_regions(detections, torch.stack(boxes))
        if not isinstance(self.model.proposals, RPN):
            return detections, regions
        chosen = proposals.boxes[0, [region.number for region in regions]]
        anchors = self.model.proposals.find_anchors(images, features, chosen).tolist()
        return detections, [region._replace(anchor=index) for region, index in zip(regions, anchors, strict=True)]

    @torch.no_grad()
    def detect_boxes(self, images: Images) -> Detections:
        features = self.features(images)
        detections: Detections = self.model.box.detect(features, self.model.proposals.propose(images, features), images)
        return detections

    def predict(self, features: list[Tensor], region: Region) -> Outputs:
        last, boxes = self.stages[-1], region.boxes[-1]
        logits, deltas = last.predict(features, boxes)
        if self.ensemble != "last":
            inputs = region.boxes if self.ensemble == "each" else [boxes] * len(self.stages)
            earlier = [head.logits(features, box) for head, box in zip(self.stages[:-1], inputs, strict=False)]
            logits = torch.stack([*earlier, logits]).mean(0)
        deltas = last.select_class(deltas, torch.tensor([[region.label]], device=deltas.device))
        return Outputs(logits[0, 0], box_ops.decode(deltas, boxes, last.bbox_reg_weights)[0, 0])


class OneStage:
    """A RetinaNet."""

    proposal_policy = "the anchor is a constant"

    def __init__(self, model: RetinaNet):
        self.model, self.head = model, cast(DenseHead, model.head)
        self.num_classes = self.head.num_classes

    def features(self, images: Images) -> list[Tensor]:
        maps: list[Tensor] = self.model.neck(self.model.backbone(images))
        return maps

    @torch.no_grad()
    def detect(self, images: Images) -> tuple[Detections, list[Region]]:
        features = self.features(images)
        detections = self.head.detect(features, images)
        return detections, _list_regions(detections, torch.cat(self.head.anchors(features))[None, None])

    @torch.no_grad()
    def detect_boxes(self, images: Images) -> Detections:
        return self.head.detect(self.features(images), images)

    def predict(self, features: list[Tensor], region: Region) -> Outputs:
        logits = torch.cat(self.head.scores(features, self.head.num_classes), 1)[0, region.number]
        deltas = torch.cat(self.head.deltas(features, 4), 1)[0, region.number]
        return Outputs(logits, box_ops.decode(deltas, region.boxes[0, 0, 0], self.head.bbox_reg_weights))


class CenterPoints:
    """A CenterNet: the class and the box in the cell of a centre."""

    proposal_policy = "the cell of the centre is a constant"

    def __init__(self, model: CenterNet):
        self.model = model
        self.num_classes = model.head.num_classes

    def features(self, images: Images) -> list[Tensor]:
        return self.model.features(images)[-1:]  # of the last stack, which is the one that detects

    @torch.no_grad()
    def detect(self, images: Images) -> tuple[Detections, list[Region]]:
        detections = self.model.detect(images)
        columns, stride = images.pixels.shape[-1] // self.model.head.stride, self.model.head.stride
        index = detections.proposal_index[0]
        corner = torch.stack((index % columns, index // columns), -1) * float(stride)
        cells = torch.cat((corner, corner + stride), -1)
        pairs = enumerate(zip(index.tolist(), detections.labels[0].tolist(), strict=True))
        regions = [
            Region(cells[None, None, slot : slot + 1], number, label, detections.boxes[:, slot : slot + 1])
            for slot, (number, label) in pairs
        ]
        return detections, regions

    @torch.no_grad()
    def detect_boxes(self, images: Images) -> Detections:
        return self.model.head.decode(self.model.head.predict(self.features(images)), images)

    def predict(self, features: list[Tensor], region: Region) -> Outputs:
        maps = self.model.head.predict_last(features[-1])
        row, column = divmod(region.number, maps.heat.shape[-1])
        center = maps.offsets[0, :, row, column] + maps.offsets.new_tensor([column, row])
        half = maps.sizes[0, :, row, column].clamp(min=0) / 2
        box = torch.cat((center - half, center + half)) * self.model.head.stride
        return Outputs(maps.heat[0, :, row, column], box)


def adapt_detector(model: nn.Module) -> RegionDetector:
    """Return the model as a RegionDetector. Raises UnsupportedModel for one that predicts otherwise."""
    if isinstance(model, RCNN | ImagePyramid) and isinstance(model.box, BoxHead | CascadeBoxHead):
        return TwoStage(model)
    if isinstance(model, RetinaNet):
        return OneStage(model)
    if isinstance(model, CenterNet):
        return CenterPoints(model)
    part = type(getattr(model, "box", model)).__name__
    raise UnsupportedModel(
        f"{type(model).__name__} with {part} cannot be explained: its score is no logit of one region. R-CNNs with a "
        "BoxHead or a cascade can, RetinaNet and CenterNet"
    )


def find_normalization(model: nn.Module) -> Normalize:
    """Return the layer that normalises the pixels."""
    layers = [module for module in model.modules() if isinstance(module, Normalize)]
    if not layers:
        raise UnsupportedModel(f"{type(model).__name__} has no Normalize layer, so that its mean colour is unknown")
    return layers[0]


def _list_regions(detections: Detections, boxes: Tensor) -> list[Region]:
    """Return the region of each slot of the first image; boxes: [stages, 1, N, 4] of all proposals or anchors."""
    indices, labels = detections.proposal_index[0].tolist(), detections.labels[0].tolist()
    return [
        Region(boxes[:, :, index : index + 1], index, label, detections.boxes[:, slot : slot + 1])
        for slot, (index, label) in enumerate(zip(indices, labels, strict=True))
    ]
