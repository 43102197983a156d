"""Test-time augmentation: one detector applied to several views of an image (Mask R-CNN, arXiv:1703.06870, Table 8).

Boxes of all views are mapped back and suppressed together; the other heads are then applied to the final boxes in every
view: masks are averaged as probabilities, keypoints as heatmaps, as in Detectron. Semantic maps are of the plain view.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lineage.models.detectors.size_divisibility import get_size_divisibility
from lineage.models.roi_heads.nms_variants import Suppression
from lineage.models.roi_heads.postprocess import Candidates, finalize
from lineage.ops import boxes as box_ops
from lineage.structures import Detections, Images


class View(NamedTuple):
    """A rescaled, possibly mirrored batch, and its coordinate transform."""

    images: Images
    factor: Tensor  # [4]: x, y, x, y of the view per pixel of the canvas
    flip: bool
    width: Tensor  # [B, 1] of the content in the view

    def to_view(self, boxes: Tensor) -> Tensor:
        """Convert boxes [B, N, 4] from the canvas to the view."""
        scaled = boxes * self.factor
        return _mirror(scaled, self.width) if self.flip else scaled

    def to_canvas(self, boxes: Tensor) -> Tensor:
        """Convert boxes [B, N, 4] from the view to the canvas."""
        plain = _mirror(boxes, self.width) if self.flip else boxes
        return plain / self.factor


def _mirror(boxes: Tensor, width: Tensor) -> Tensor:
    x1, y1, x2, y2 = boxes.unbind(-1)
    return torch.stack((width - x2, y1, width - x1, y2), -1)


def make_view(images: Images, scale: float, flip: bool, size_divisibility: int) -> View:
    """Mirror within each image's content, then resize. Shapes depend on the canvas and `scale` alone.

    # deviates: resizes what the loader already resized; Detectron starts from the file, which may have more detail
    """
    pixels, sizes = images.pixels, images.sizes
    height, width = pixels.shape[-2:]
    view_height, view_width = round(height * scale), round(width * scale)
    ratio = sizes.new_tensor([view_height / height, view_width / width])
    if flip or scale != 1:
        pixels = _replicate_border(pixels, sizes, flip)
    if scale != 1:
        resized = F.interpolate(pixels.float(), (view_height, view_width), mode="bilinear", antialias=True)
        padding = (0, -view_width % size_divisibility, 0, -view_height % size_divisibility)
        pixels = F.pad(resized.round().clamp(0, 255).to(torch.uint8), padding)
    view_images = Images(pixels, sizes * ratio, images.rng_keys)
    view = View(view_images, ratio.flip(0).repeat(2), flip, view_images.sizes[:, 1:])
    if images.proposals is None:
        return view
    proposals = images.proposals._replace(boxes=view.to_view(images.proposals.boxes))
    return view._replace(images=view_images._replace(proposals=proposals))


def _replicate_border(pixels: Tensor, sizes: Tensor, flip: bool) -> Tensor:
    """Replace the padding by the border of the content, so that resizing mixes in no black; mirror if `flip`."""
    limits = sizes.long() - 1  # [B, 2]
    rows = torch.minimum(torch.arange(pixels.shape[2], device=pixels.device), limits[:, :1])
    columns = torch.minimum(torch.arange(pixels.shape[3], device=pixels.device), limits[:, 1:])
    if flip:
        columns = limits[:, 1:] - columns
    pixels = pixels.gather(2, rows[:, None, :, None].expand_as(pixels))
    return pixels.gather(3, columns[:, None, None, :].expand_as(pixels))


class TTA:
    """Detects like the model it wraps: an RCNN with its heads; CenterNet, which averages maps; others, for boxes alone.

    scales, flip: the views; 1.0 is the size of evaluation.
    flip_indices[k]: the keypoint that k becomes if mirrored; class_flip_indices: those of each class, if they differ.
    nms_thresh, suppression, detections_per_img: as in a box head, applied to the detections of all views.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        scales: Sequence[float],
        flip: bool,
        nms_thresh: float,
        suppression: Suppression,
        detections_per_img: int,
        flip_indices: Sequence[int],
        class_flip_indices: Sequence[Sequence[int]] = (),
    ):
        if 1.0 not in scales:
            raise ValueError(f"tta.scales={list(scales)} lacks 1.0, the size that the model is evaluated at")
        ordered = sorted(scales, key=lambda scale: scale != 1)  # the plain view first
        self.model, self.size_divisibility = model, get_size_divisibility(model)
        self.scales, self.flip = ordered, flip
        self.views = [(scale, mirror) for mirror in ((False, True) if flip else (False,)) for scale in ordered]
        self.nms_thresh, self.suppression, self.detections_per_img = nms_thresh, suppression, detections_per_img
        self.flip_indices = [list(row) for row in class_flip_indices] or [list(flip_indices)]  # [C or 1][K]

    def detect(self, images: Images) -> Detections:
        """Return the objects of each image, in canvas pixels, best first."""
        if hasattr(self.model, "detect_mirrored"):
            return self._detect_scales(images)
        views = [make_view(images, scale, flip, self.size_divisibility) for scale, flip in self.views]
        if not hasattr(self.model, "heads"):
            return self._merge(views, [self.model.detect(view.images) for view in views])
        # 1. boxes of every view
        features = [self.model.neck(self.model.backbone(view.images)) for view in views]
        by_view = [self._detect_boxes(view.images, maps) for view, maps in zip(views, features, strict=True)]
        # 2. suppress them together
        detections = self._merge(views, by_view)
        # 3. the other heads, on the final boxes in every view
        for head in self.model.heads.values():
            detections = self._apply_head(head, views, features, detections)
        return detections

    def _detect_scales(self, images: Images) -> Detections:
        """Run a model that averages the maps of an image and its mirror image itself; only scales are suppressed."""
        views = [make_view(images, scale, False, self.size_divisibility) for scale in self.scales]
        if self.flip:
            by_view = [self.model.detect_mirrored(view.images, self.flip_indices) for view in views]
        else:
            by_view = [self.model.detect(view.images) for view in views]
        return by_view[0] if len(views) == 1 else self._merge(views, by_view)

    def _detect_boxes(self, images: Images, features: list[Tensor]) -> Detections:
        return self.model.box.detect(features, self.model.proposals.propose(images, features), images)

    def _merge(self, views: list[View], by_view: list[Detections]) -> Detections:
        """Suppress the detections of all views together; `proposal_index` counts the proposals of its own view."""
        # 1. join the views and sort by score
        pairs = zip(views, by_view, strict=True)
        boxes = torch.cat([view.to_canvas(detections.boxes) for view, detections in pairs], 1)
        scores, labels, valid, proposal_index, probabilities = (
            torch.cat([getattr(detections, name) for detections in by_view], 1)
            for name in ("scores", "labels", "valid", "proposal_index", "probabilities")
        )
        scores, order = torch.where(valid, scores, -1.0).sort(dim=1, descending=True, stable=True)
        boxes, labels = box_ops.take(boxes, order), labels.gather(1, order)
        # 2. suppress
        merged = finalize(
            Candidates(boxes, scores, labels, scores >= 0, order),
            lambda index: box_ops.take(probabilities, index),
            suppression=self.suppression,
            nms_thresh=self.nms_thresh,
            detections_per_img=self.detections_per_img,
        )
        # 3. keypoints that detections already have; slot among the joined detections -> proposal of its view
        points = [
            detections.keypoints / torch.cat((view.factor[:2], view.factor.new_ones(1)))
            for view, detections in zip(views, by_view, strict=True) if detections.keypoints is not None
        ]  # fmt: skip
        if points:
            merged = merged._replace(keypoints=box_ops.take(torch.cat(points, 1), merged.proposal_index))
        return merged._replace(proposal_index=proposal_index.gather(1, merged.proposal_index))

    def _apply_head(
        self, head: nn.Module, views: list[View], features: list[list[Tensor]], detections: Detections
    ) -> Detections:
        """Apply a head to the merged boxes in every view, and average its predictions."""
        by_view = [detections._replace(boxes=view.to_view(detections.boxes)) for view in views]
        if hasattr(head, "heatmaps"):
            heatmaps = [head.heatmaps(maps, inputs.boxes) for maps, inputs in zip(features, by_view, strict=True)]
            pairs = zip(views, heatmaps, strict=True)
            mean = _mean(self._unflip(view, logits, detections.labels) for view, logits in pairs)
            return head.locate(mean, features[0], detections)
        outputs = [head.detect(maps, inputs) for maps, inputs in zip(features, by_view, strict=True)]
        if outputs[0].masks is detections.masks:  # no masks but e.g. semantic maps: those of the plain view
            return outputs[0]._replace(boxes=detections.boxes)
        masks = (
            output.masks.flip(-1) if view.flip else output.masks for view, output in zip(views, outputs, strict=True)
        )
        return detections._replace(masks=_mean(masks))

    def _unflip(self, view: View, heatmaps: Tensor, labels: Tensor) -> Tensor:
        """Mirror heatmaps [B, D, K, M, M] of a flipped view back, and swap left and right keypoints."""
        if not view.flip:
            return heatmaps
        mirrored = heatmaps.flip(-1)
        table = torch.tensor(self.flip_indices, device=labels.device)
        if not table.numel():
            return mirrored
        order = table[labels.clamp(max=len(table) - 1)]  # [B, D, K]; labels of empty slots may be out of range
        return mirrored.gather(2, order[..., None, None].expand_as(mirrored))


def _mean(values: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(values)).mean(0)
