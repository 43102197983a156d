"""No upsampling: the maps of the body as they are, one per stack."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class Unchanged(nn.Module):
    """The maps of a body all of whose maps have one width and stride, such as an hourglass."""

    size_divisibility = 128  # of a test image's canvas: an hourglass halves its map of stride 4 five times

    def __init__(self, inputs: Sequence[int]):
        super().__init__()
        if len(set(inputs)) > 1:
            raise ValueError(
                f"upsampling=none, but the maps of the backbone have widths {list(inputs)}; stacks have equal ones. "
                "Choose upsampling=deconvolution, or backbone=hourglass104"
            )
        self.channels, self.stacks = inputs[0], len(inputs)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        return maps
