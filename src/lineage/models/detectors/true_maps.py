"""Error analysis of CenterNet (arXiv:1904.07850, appendix; `eval_oracle_*` of its code): true maps for predicted ones.

Rows of such a table test one checkpoint; the evaluation hands the truth in, so that prediction and export have none.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lineage.models.centers.center_targets import CenterTargets, draw_centers
from lineage.models.detectors.centernet import CenterNet
from lineage.structures import Detections, Images, Targets


class TrueMaps:
    """A CenterNet whose maps of centres are replaced by the true ones where `heat`, `sizes` or `offsets` is true.

    flip_indices, class_flip_indices: given to every option of `tta`, and not needed here: nothing is mirrored.
    """

    def __init__(
        self,
        model: CenterNet,
        *,
        heat: bool,
        sizes: bool,
        offsets: bool,
        flip_indices: Sequence[int] = (),
        class_flip_indices: Sequence[Sequence[int]] = (),
    ):
        if not isinstance(model, CenterNet):
            raise ValueError(f"tta=oracle_... replaces maps of a CenterNet, and this model is a {type(model).__name__}")
        self.model, self.heat, self.sizes, self.offsets = model, heat, sizes, offsets

    def detect(self, images: Images) -> Detections:
        """Raise ValueError: without annotations there is no truth."""
        raise ValueError(
            "tta: true maps need the annotations of the images, which only an evaluation has; leave tta out"
        )

    def detect_with_truth(self, images: Images, targets: Targets) -> Detections:
        """Return the objects by the model's maps and the true ones."""
        predictions = self.model.predict(images)
        maps, head = predictions.centers, self.model.head
        height, width = maps.heat.shape[-2:]
        centers = head.encode([maps.heat], targets)
        if self.heat:
            heat = draw_centers(centers, targets, num_classes=head.num_classes, size=(height, width))
            maps = maps._replace(heat=heat)
        if self.sizes:
            maps = maps._replace(sizes=spread(centers, centers.sizes, (height, width)))
        if self.offsets:
            maps = maps._replace(offsets=spread(centers, centers.offsets, (height, width)))
        return self.model.decode(predictions._replace(centers=maps), images)


def spread(centers: CenterTargets, values: Tensor, size: tuple[int, int]) -> Tensor:
    """Return maps [B, 2, H, W] with the value [B, G, 2] of the nearest centre in each cell, in steps to neighbours."""
    height, width = size
    rows, columns = torch.arange(height, device=values.device), torch.arange(width, device=values.device)
    down = (rows[:, None] - centers.cells[:, None, :, 1]).abs()  # [B, H, G]
    across = (columns[:, None] - centers.cells[:, None, :, 0]).abs()  # [B, W, G]
    steps = (down[:, :, None] + across[:, None]).float()  # [B, H, W, G]
    nearest = steps.masked_fill(~centers.positive[:, None, None], torch.inf).argmin(-1).flatten(1)
    taken = values.gather(1, nearest[..., None].expand(-1, -1, values.shape[-1]))
    return taken.transpose(1, 2).unflatten(2, (height, width))
