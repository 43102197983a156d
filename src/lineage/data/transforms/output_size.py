"""The size of an image after a transform, without the image: a function of the size before, or unknown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from torch import nn
from torchvision.transforms import v2

from lineage.data.transforms.geometry import Size


@runtime_checkable
class FixedOutputSize(Protocol):
    """Transform whose output size is a function of its input size."""

    def output_size(self, size: Size) -> Size | None:
        """Return (height, width), or None if they are drawn at random."""
        ...


def compute_output_size(transform: Callable[..., Any], size: Size) -> Size | None:
    """Return the size that a transform makes of `size`, or None if it is unknown."""
    if isinstance(transform, nn.Identity):
        return size
    if isinstance(transform, FixedOutputSize):
        return transform.output_size(size)
    if isinstance(transform, v2.Compose):
        output: Size | None = size
        for step in transform.transforms:
            output = None if output is None else compute_output_size(step, output)
        return output
    return None
