"""CenterNet (arXiv:1904.07850): one stage without anchors; an object is the point in the middle of its box.

A body, maps of stride 4 from its upsampling, heads on each. Nothing is suppressed: a peak of the heat map is an object.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from lineage.models.centers.center_head import CenterHead
from lineage.models.upsampling.unchanged import Unchanged
from lineage.structures import Detections, Images, Losses, Targets


class CenterNet(nn.Module):
    """Body, upsampling, heads. Parts whose width depends on their input are unbuilt.

    neck: widths of the body's maps -> module; null or empty for a body whose maps have the heads' stride.
    head: (width of a map, number of maps) -> module.
    """

    def __init__(
        self,
        *,
        backbone: nn.Module,
        neck: Callable[[Sequence[int]], nn.Module] | None,
        head: Callable[[int, int], CenterHead],
    ):
        super().__init__()
        self.backbone = backbone
        self.neck = (neck or Unchanged)(backbone.channels)
        self.head = head(self.neck.channels, self.neck.stacks)

    def losses(self, images: Images, targets: Targets) -> Losses:
        """Return the losses of a training step, each a sum and its normalizer."""
        features = self._features(images)
        return self.head.losses(features, self.head.encode(features, targets), targets)

    def detect(self, images: Images) -> Detections:
        """Return the objects of each image, in canvas pixels, best first."""
        return self.head.decode(self.head.predict(self._features(images)), images)

    def _features(self, images: Images) -> list[Tensor]:
        maps: list[Tensor] = self.neck(self.backbone(images))
        return maps
