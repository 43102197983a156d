"""Baselines of frames between frames: the mean of two frames, and the nearer of them. Neither has parameters."""

from __future__ import annotations

from torch import Tensor, nn

from lineage.structures import INTERPOLATION, FramePairs


class FrameAverage(nn.Module):
    """Mean of both frames, each weighted by how near it is in time."""

    task = INTERPOLATION
    size_divisibility = 1

    def __init__(self, *, time: float) -> None:
        super().__init__()
        self.time = time

    def detect(self, pairs: FramePairs) -> Tensor:
        """Return the frame [B, 3, H, W] in 0..1."""
        first, second = (pairs.frames / 255).unbind(1)
        return (1 - self.time) * first + self.time * second


class NearestFrame(nn.Module):
    """The frame that is nearer in time; the first one in the middle."""

    task = INTERPOLATION
    size_divisibility = 1

    def __init__(self, *, time: float) -> None:
        super().__init__()
        self.nearest = int(time > 0.5)

    def detect(self, pairs: FramePairs) -> Tensor:
        """Return the frame [B, 3, H, W] in 0..1."""
        return pairs.frames[:, self.nearest] / 255
