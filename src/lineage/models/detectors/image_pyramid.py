"""Multi-scale testing of SPPnet (arXiv:1406.4729, section 4.1) and Fast R-CNN (arXiv:1504.08083, section 5.2).

At test time the image is resized to several scales, and each region is pooled from the scale at which its area is
nearest to 224 x 224. In training every image has one scale, drawn at random (augment=fast_rcnn_multiscale), so only
`detect` differs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from lineage.models.detectors.rcnn import RCNN
from lineage.models.roi_heads.pooler import RoILayer
from lineage.structures import Detections, Images, Losses, Targets


class ScalePooler(nn.Module):
    """Regions of a batch -> [B * N, C, size, size], each from the map on which its area is nearest to `area`^2 pixels.

    `ratios` are the sizes of the pyramid's images relative to the canvas; a single map is that of the canvas itself.
    `canonical_level` has no meaning without pyramid levels and is null.
    """

    def __init__(
        self,
        layer: Callable[[int], RoILayer],
        *,
        size: int,
        strides: Sequence[int],
        ratios: Sequence[float],
        canonical_size: int,
        canonical_level: None = None,
    ):
        super().__init__()
        self.layer, self.size, self.stride = layer(size), size, strides[0]
        self.canonical_size = canonical_size
        self.register_buffer("ratios", torch.tensor(ratios), persistent=False)

    def forward(self, features: Sequence[Tensor], boxes: Tensor) -> Tensor:
        """features: the map of the canvas, or one per ratio; boxes [B, N, 4] -> [B * N, C, size, size]"""
        image = torch.arange(boxes.shape[0], device=boxes.device).repeat_interleave(boxes.shape[1])
        if len(features) == 1:
            level, scaled = None, boxes / self.stride
        else:
            level = self._select_scale(boxes).flatten()
            scaled = boxes * (self.ratios[level].view(boxes.shape[:2]) / self.stride)[..., None]
        return self.layer(features, torch.cat((image[:, None].to(scaled.dtype), scaled.flatten(0, 1)), dim=1), level)

    def _select_scale(self, boxes: Tensor) -> Tensor:
        """Return the scale of each box [B, N]: that at which its area is nearest to the canonical one."""
        area = (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
        return (area[..., None] * self.ratios**2 - self.canonical_size**2).abs().argmin(-1)


class ImagePyramid(nn.Module):
    """A detector that sees `ratios` of the canvas at test time; the pooler of its box head is a ScalePooler.

    It has the detector's parts under the same names, so weights load from one into the other, and trains as it does.
    """

    def __init__(self, detector: RCNN, ratios: Sequence[float]):
        super().__init__()
        self.backbone, self.neck, self.proposals = detector.backbone, detector.neck, detector.proposals
        self.sampler, self.box = detector.sampler, detector.box
        self.ratios, self.single_scale_losses = tuple(ratios), detector.losses

    def losses(self, images: Images, targets: Targets) -> Losses:
        """Return the losses of the detector on the images at their own scale."""
        return self.single_scale_losses(images, targets)

    def detect(self, images: Images) -> Detections:
        """Classify given proposals; an RPN is not supported, because it would propose at each scale."""
        maps = [self.neck(self.backbone(resize(images, ratio)))[0] for ratio in self.ratios]
        return self.box.detect(maps, self.proposals.propose(images, maps), images)


def image_pyramid(*, detector: Callable[..., RCNN], ratios: Sequence[float], **parts: object) -> ImagePyramid:
    """Build a detector from its `parts`, and its multi-scale version."""
    return ImagePyramid(detector(**parts), ratios)


def resize(images: Images, ratio: float) -> Images:
    """Resize the canvas; position x moves to ratio * x exactly, though sides are rounded down.

    Equals `interpolate` with antialias. ONNX's Resize cannot replace it: it takes the ratio from the rounded sides, and
    ONNX Runtime weights the pixels differently. Pixels stay float: rounding would be ambiguous at halves.
    """
    if ratio == 1:
        return images
    rows, columns = (_triangle_filter(side, ratio).to(images.pixels.device) for side in images.pixels.shape[-2:])
    return images._replace(pixels=rows @ images.pixels.float() @ columns.T, sizes=images.sizes * ratio)


def _triangle_filter(side: int, ratio: float) -> Tensor:
    """Compute the weight of each old pixel along a side in each new one: [int(side * ratio), side], rows of sum 1."""
    centers = (torch.arange(int(side * ratio), dtype=torch.float64) + 0.5) / ratio
    distances = (torch.arange(side, dtype=torch.float64) + 0.5 - centers[:, None]).abs()
    weights = (1 - distances / max(1 / ratio, 1.0)).clamp(min=0)
    return (weights / weights.sum(1, keepdim=True)).float()
