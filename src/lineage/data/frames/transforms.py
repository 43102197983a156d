"""Augmentation of triplets: one crop and one symmetry of the square for all three frames."""

from __future__ import annotations

import torch

from lineage.data.frames.sample import FrameSample
from lineage.ops.square_symmetries import SYMMETRIES, apply_symmetry, apply_symmetry_to_flow


class RandomSymmetry:
    """Quarter turns and mirror images, all eight equally often. A batch of turned frames needs square ones."""

    def __call__(self, sample: FrameSample) -> FrameSample:
        turns, mirrored = SYMMETRIES[int(torch.randint(len(SYMMETRIES), ()))]
        flows = sample.flows
        return sample._replace(
            frames=apply_symmetry(sample.frames, turns, mirrored),
            image=apply_symmetry(sample.image, turns, mirrored),
            flows=None if flows is None else apply_symmetry_to_flow(flows, turns, mirrored),
        )


class RandomCrop:
    """Square crop at a random place; a side that is shorter stays as it is."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self, sample: FrameSample) -> FrameSample:
        height, width = sample.image.shape[-2:]
        top = int(torch.randint(max(height - self.size, 0) + 1, ()))
        left = int(torch.randint(max(width - self.size, 0) + 1, ()))
        window = ..., slice(top, top + self.size), slice(left, left + self.size)
        flows = None if sample.flows is None else sample.flows[window]
        return sample._replace(frames=sample.frames[window], image=sample.image[window], flows=flows)
