"""Multi-scale testing of SPPnet (arXiv:1406.4729, section 4.1) and Fast R-CNN (arXiv:1504.08083, section 5.2).

The image is seen at several scales, and each region is pooled from the one where its area is nearest to 224 x 224. In
training an image is seen at one scale, drawn at random (augment=fast_rcnn_multiscale), so only `detect` differs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from lineage.models.detectors.rcnn import RCNN
from lineage.models.roi_heads.pooler import Layer, together
from lineage.structures import Detections, Images, Losses, Targets


class ScalePooler(nn.Module):
    """Regions of a batch -> [B * N, C, size, size], each from the map on which its area is nearest to `area`^2 pixels.

    `ratios` are the sizes of the pyramid's images to the canvas; a single map is that of the canvas itself. There are
    no levels here, so none is canonical.
    """

    def __init__(
        self,
        layer: Callable[[int], Layer],
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
        """features: the canvas's own, or one of each ratio; boxes [B, N, 4]"""
        image = torch.arange(boxes.shape[0], device=boxes.device).repeat_interleave(boxes.shape[1])
        if len(features) == 1:
            feature, placed = features[0], boxes / self.stride
        else:
            feature, placed = self._nearest(features, boxes)
        return self.layer(feature, torch.cat((image[:, None].to(placed.dtype), placed.flatten(0, 1)), dim=1))

    def _nearest(self, features: Sequence[Tensor], boxes: Tensor) -> tuple[Tensor, Tensor]:
        """All maps on one canvas, and the boxes on it."""
        feature, origins = together(features)
        area = (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
        away = (area[..., None] * self.ratios**2 - self.canonical_size**2).abs()
        choice = away.argmin(-1)  # [B, N]
        origin = torch.tensor(origins, device=boxes.device, dtype=boxes.dtype).repeat(1, 2)  # [S, 4] x, y, x, y
        return feature, boxes * (self.ratios[choice] / self.stride)[..., None] + origin[choice]


class ImagePyramid(nn.Module):
    """A detector that looks at `ratios` of the canvas when it detects; its box head needs a ScalePooler.

    Its parts stand here under their own names, so that weights go from one to the other.
    """

    def __init__(self, detector: RCNN, ratios: Sequence[float]):
        super().__init__()
        self.backbone, self.neck, self.proposals = detector.backbone, detector.neck, detector.proposals
        self.sampler, self.box = detector.sampler, detector.box
        self.ratios, self._detector = tuple(ratios), (detector,)  # in a tuple, which registers nothing twice

    def losses(self, images: Images, targets: Targets) -> Losses:
        return self._detector[0].losses(images, targets)

    def detect(self, images: Images) -> Detections:
        """Of regions that were given; an RPN would have to know the scales."""
        maps = [self.neck(self.backbone(resized(images, ratio)))[0] for ratio in self.ratios]
        return self.box.detect(maps, self.proposals.propose(images, maps), images)


def image_pyramid(*, detector: Callable[..., RCNN], ratios: Sequence[float], **parts: object) -> ImagePyramid:
    """`parts` are those of the detector."""
    return ImagePyramid(detector(**parts), ratios)


def resized(images: Images, ratio: float) -> Images:
    """The whole canvas at another size; position x goes to ratio * x exactly, though sides are rounded.

    As `interpolate` with antialias, whose place ONNX's Resize cannot take: it goes by the rounded sides, and ONNX
    Runtime gives it other weights. Pixels stay float, for of those between two whole numbers either is right.
    """
    if ratio == 1:
        return images
    height, width = (_triangles(side, ratio).to(images.pixels.device) for side in images.pixels.shape[-2:])
    return images._replace(pixels=height @ images.pixels.float() @ width.T, sizes=images.sizes * ratio)


def _triangles(side: int, ratio: float) -> Tensor:
    """What each new pixel along a side takes of the old ones: [int(side * ratio), side], rows of sum 1."""
    centres = (torch.arange(int(side * ratio), dtype=torch.float64) + 0.5) / ratio
    apart = (torch.arange(side, dtype=torch.float64) + 0.5 - centres[:, None]).abs()
    weights = (1 - apart / max(1 / ratio, 1.0)).clamp(min=0)
    return (weights / weights.sum(1, keepdim=True)).float()
