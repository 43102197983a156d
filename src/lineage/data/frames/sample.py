"""The sample of frame interpolation: two frames of a video and the one between them."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class FrameSample(NamedTuple):
    """Two frames and the one between them before batching."""

    frames: Tensor  # [2, 3, h, w] uint8, RGB
    image: Tensor  # [3, h, w] uint8: the frame between them, which a model has to find
    flows: Tensor | None  # [4, 2, h, w] float32 pixels (x, y), as FramePairs.flows has them; None: not known
    image_id: int  # position in the dataset, from 1
    original_size: tuple[int, int]  # (height, width) of the file
