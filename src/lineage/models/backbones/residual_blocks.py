"""torchvision's residual blocks, computed with their norms folded: the same layers under the same names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from torch import Tensor, nn
from torchvision.models import resnet

from lineage.models.backbones.norm import Shortcut, convolve_and_normalize, convolve_and_normalize_for_readers, project
from lineage.models.backbones.residual import run_block
from lineage.ops.layers.convolution import READERS


class BasicBlock(resnet.BasicBlock):
    """Two 3x3 convolutions and a shortcut: ResNet (arXiv:1512.03385), figure 5, left."""

    def forward(self, x: Tensor) -> Tensor:
        return self.run(x, x)[0]

    def run(self, x: Tensor, skipped: Tensor) -> tuple[Tensor, ...]:
        """Return the map to each reader, see `run_blocks`; `skipped` is x for the shortcut."""
        hidden = convolve_and_normalize(x, self.conv1, self.bn1)
        return convolve_and_normalize_for_readers(hidden, self.conv2, self.bn2, _project(self.downsample, skipped))

    def run_scaled(self, x: Tensor, scale: Tensor) -> Tensor:
        """Return the map where the branch counts `scale` [B] times."""
        return run_block(self, x, scale)


class Bottleneck(resnet.Bottleneck):
    """1x1, 3x3 and 1x1 convolutions and a shortcut: figure 5, right."""

    def forward(self, x: Tensor) -> Tensor:
        return self.run(x, x)[0]

    def run(self, x: Tensor, skipped: Tensor) -> tuple[Tensor, ...]:
        """Return the map to each reader, see `run_blocks`; `skipped` is x for the shortcut."""
        hidden = convolve_and_normalize(x, self.conv1, self.bn1)
        hidden = convolve_and_normalize(hidden, self.conv2, self.bn2)
        return convolve_and_normalize_for_readers(hidden, self.conv3, self.bn3, _project(self.downsample, skipped))

    def run_scaled(self, x: Tensor, scale: Tensor) -> Tensor:
        """Return the map where the branch counts `scale` [B] times."""
        return run_block(self, x, scale)


def run_blocks(blocks: Iterable[nn.Module], x: Tensor, skipped: Tensor) -> tuple[Tensor, ...]:
    """Run one block after the other; return the map for the next block, for its shortcut, and for the pyramid.

    So each map goes to its readers, and the gradients of all are added where the ReLU masks them and not in passes of
    their own.
    """
    maps: tuple[Tensor, ...] = (x, skipped)
    for block in blocks:
        assert isinstance(block, BasicBlock | Bottleneck)
        maps = block.run(*maps[:2])
    return maps


def run_scaled_blocks(
    blocks: Iterable[nn.Module], x: Tensor, skipped: Tensor, scales: Iterator[Tensor]
) -> tuple[Tensor, ...]:
    """Run one block after the other, each with the next factors [B] of its branch; return as `run_blocks`."""
    for block in blocks:
        assert isinstance(block, BasicBlock | Bottleneck)
        x = block.run_scaled(x, next(scales))
    return (x,) * READERS


def _project(projection: nn.Module | None, x: Tensor) -> Shortcut:
    """Apply the projection of a block that changes its stride or width."""
    if projection is None:
        return Shortcut(x)
    *pools, conv, norm = projection  # ResNet-D averages pixels before the convolution
    for pool in pools:
        x = pool(x)
    return project(x, conv, norm)
