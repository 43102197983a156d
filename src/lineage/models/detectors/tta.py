"""Test-time augmentation: one detector asked about several views of an image (Mask R-CNN, arXiv:1703.06870, Table 8).

Boxes of all views are brought back and suppressed together; the heads then look at the surviving boxes in every view:
masks are averaged as probabilities, keypoints as heatmaps, as Detectron does. Semantic maps are of the plain view.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lineage.models.roi_heads.nms_variants import Suppression, best
from lineage.ops import boxes as box_ops
from lineage.structures import Detections, Images

MULTIPLE = 32  # sides of a canvas, as collate pads them


class View(NamedTuple):
    """Images as one view shows them, and the way back."""

    images: Images
    factor: Tensor  # [4]: x, y, x, y of the view per pixel of the canvas
    flip: bool
    width: Tensor  # [B, 1] of the content in the view

    def there(self, boxes: Tensor) -> Tensor:
        """Canvas -> view: [B, N, 4]"""
        scaled = boxes * self.factor
        return _mirror(scaled, self.width) if self.flip else scaled

    def back(self, boxes: Tensor) -> Tensor:
        """View -> canvas: [B, N, 4]"""
        plain = _mirror(boxes, self.width) if self.flip else boxes
        return plain / self.factor


def _mirror(boxes: Tensor, width: Tensor) -> Tensor:
    x1, y1, x2, y2 = boxes.unbind(-1)
    return torch.stack((width - x2, y1, width - x1, y2), -1)


def view(images: Images, scale: float, flip: bool) -> View:
    """Mirrored within each image's content, then resized. Shapes follow from the canvas and `scale` alone.

    # deviates: resizes what the loader already resized; Detectron starts from the file, which may have more detail
    """
    pixels, sizes = images.pixels, images.sizes
    height, width = pixels.shape[-2:]
    tall, wide = round(height * scale), round(width * scale)
    ratio = sizes.new_tensor([tall / height, wide / width])
    if flip or scale != 1:
        pixels = _continued(pixels, sizes, flip)
    if scale != 1:
        resized = F.interpolate(pixels.float(), (tall, wide), mode="bilinear", antialias=True)
        pixels = F.pad(resized.round().clamp(0, 255).to(torch.uint8), (0, -wide % MULTIPLE, 0, -tall % MULTIPLE))
    seen = Images(pixels, sizes * ratio, images.rng_keys)
    made = View(seen, ratio.flip(0).repeat(2), flip, seen.sizes[:, 1:])
    if images.proposals is None:
        return made
    given = images.proposals
    return made._replace(images=seen._replace(proposals=given._replace(boxes=made.there(given.boxes))))


def _continued(pixels: Tensor, sizes: Tensor, flip: bool) -> Tensor:
    """Padding becomes the border of the content, so that resizing mixes no black in; content mirrored if `flip`."""
    limits = sizes.long() - 1  # [B, 2]
    rows = torch.minimum(torch.arange(pixels.shape[2], device=pixels.device), limits[:, :1])
    columns = torch.minimum(torch.arange(pixels.shape[3], device=pixels.device), limits[:, 1:])
    if flip:
        columns = limits[:, 1:] - columns
    pixels = pixels.gather(2, rows[:, None, :, None].expand_as(pixels))
    return pixels.gather(3, columns[:, None, None, :].expand_as(pixels))


class TTA:
    """A thing that detects, like the model it holds: an RCNN with its heads, or any other model, for boxes alone.

    `flip_indices[k]` is the keypoint that k becomes in a flipped image.
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
    ):
        if 1.0 not in scales:
            raise ValueError(f"tta.scales={list(scales)} lacks 1.0, the size that the model is evaluated at")
        ordered = sorted(scales, key=lambda scale: scale != 1)  # the plain view first
        self.model = model
        self.views = [(scale, mirror) for mirror in ((False, True) if flip else (False,)) for scale in ordered]
        self.nms_thresh, self.suppression, self.detections_per_img = nms_thresh, suppression, detections_per_img
        self.flip_indices = list(flip_indices)

    def detect(self, images: Images) -> Detections:
        """The objects of each image, in canvas pixels, best first."""
        views = [view(images, scale, flip) for scale, flip in self.views]
        if not hasattr(self.model, "heads"):
            return self._merge(views, [self.model.detect(one.images) for one in views])
        features = [self.model.neck(self.model.backbone(one.images)) for one in views]
        found = [self._boxes(one.images, maps) for one, maps in zip(views, features, strict=True)]
        merged = self._merge(views, found)
        for head in self.model.heads.values():
            merged = self._ask(head, views, features, merged)
        return merged

    def _boxes(self, images: Images, features: list[Tensor]) -> Detections:
        return self.model.box.detect(features, self.model.proposals.propose(images, features), images)

    def _merge(self, views: list[View], found: list[Detections]) -> Detections:
        """The detections of all views, suppressed together; `region` counts the proposals of its own view."""
        boxes = torch.cat([one.back(seen.boxes) for one, seen in zip(views, found, strict=True)], 1)
        scores, labels, valid, region, probabilities = (
            torch.cat([getattr(seen, name) for seen in found], 1)
            for name in ("scores", "labels", "valid", "proposal_index", "probabilities")
        )
        scores, order = torch.where(valid, scores, -1.0).sort(dim=1, descending=True, stable=True)
        boxes, labels = box_ops.take(boxes, order), labels.gather(1, order)
        boxes, kept = self.suppression(boxes, scores, labels, scores >= 0, self.nms_thresh, self.detections_per_img)
        score, slot = best(kept, self.detections_per_img)
        chosen = order.gather(1, slot)
        return Detections(
            boxes=torch.where((score >= 0)[..., None], box_ops.take(boxes, slot), 0.0),
            scores=score.clamp(min=0),
            labels=labels.gather(1, slot),
            valid=score >= 0,
            proposal_index=region.gather(1, chosen),
            probabilities=box_ops.take(probabilities, chosen),
        )

    def _ask(self, head: nn.Module, views: list[View], features: list[list[Tensor]], found: Detections) -> Detections:
        """What one head says of the merged boxes, averaged over the views."""
        asked = [found._replace(boxes=one.there(found.boxes)) for one in views]
        if hasattr(head, "heatmaps"):
            maps = [head.heatmaps(seen, one.boxes) for seen, one in zip(features, asked, strict=True)]
            mean = _mean(self._renamed(one, each) for one, each in zip(views, maps, strict=True))
            return head.locate(mean, features[0], found)
        answers = [head.detect(seen, one) for seen, one in zip(features, asked, strict=True)]
        if answers[0].masks is found.masks:  # of another kind, such as semantic maps: the plain view speaks
            return answers[0]._replace(boxes=found.boxes)
        masks = (each.masks.flip(-1) if one.flip else each.masks for one, each in zip(views, answers, strict=True))
        return found._replace(masks=_mean(masks))

    def _renamed(self, one: View, maps: Tensor) -> Tensor:
        """Heatmaps [B, D, K, M, M] of a flipped view as the plain one would have them: a left eye was a right one."""
        if not one.flip:
            return maps
        return maps.flip(-1)[:, :, self.flip_indices] if self.flip_indices else maps.flip(-1)


def _mean(values: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(values)).mean(0)
