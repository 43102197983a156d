"""The images of each training step: a function of the seed and the step alone.

The batch of a whole step is formed first and then split over processes and micro batches. A run sees the same images in
the same steps on one GPU or on eight, and after a resume as without one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from torch import Tensor

from lineage.data.samples.dataset import Dataset
from lineage.ops.random import fold_in

IndexSampler: TypeAlias = Callable[[int], np.ndarray]  # epoch -> image indices in their order


class ShuffleSampler:
    """Sampler of every image once per epoch, in random order."""

    def __init__(self, dataset: Dataset, seed: int) -> None:
        self.length = len(dataset)
        self.seed = seed

    def __call__(self, epoch: int) -> np.ndarray:
        """Return the image indices of an epoch in their order."""
        return np.random.Generator(np.random.PCG64(fold_in("order", self.seed, epoch))).permutation(self.length)


class StepOrder:
    """Epochs cut into steps, grouped by aspect ratio: the images of a step are all wide or all tall and pad little.

    Images that do not fill a step open the next epoch, so no image is lost, however small the dataset. `sampler` is
    a ShuffleSampler, RepeatFactorSampler, ClassAwareSampler or RatioSampler.
    """

    def __init__(self, sizes: Tensor, images_per_step: int, sampler: IndexSampler) -> None:
        self.images_per_step = images_per_step
        self.sampler = sampler
        is_tall = (sizes[:, 0] > sizes[:, 1]).numpy()
        has_few = min(is_tall.sum(), (~is_tall).sum()) < images_per_step
        # too few images of one kind would fill whole steps with copies of the same images
        self.is_tall = np.zeros_like(is_tall) if has_few else is_tall

    def iter_steps(self, start: int = 0) -> Iterator[list[int]]:
        """Yield the image indices of step `start`, `start + 1`, ... without end."""
        step, epoch = 0, 0
        left_over = np.zeros(0, np.int64)
        while True:
            stream = np.concatenate([left_over, self.sampler(epoch)])
            batches, left_over = self._split_stream(stream)
            yield from (batch.tolist() for batch in batches[max(start - step, 0) :])
            step, epoch = step + len(batches), epoch + 1

    def _split_stream(self, stream: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
        """Return full batches, ordered by the position of their last image, and the images left over."""
        batches: list[tuple[int, np.ndarray]] = []
        rest = []
        for tall in (False, True):
            positions = np.flatnonzero(self.is_tall[stream] == tall)
            full = len(positions) - len(positions) % self.images_per_step
            groups = positions[:full].reshape(-1, self.images_per_step)
            batches += [(int(group[-1]), stream[group]) for group in groups]
            rest.append(positions[full:])
        ordered = [batch for _, batch in sorted(batches, key=lambda pair: pair[0])]
        return ordered, stream[np.sort(np.concatenate(rest))]


def split_step(images_per_step: int, rank: int, world_size: int) -> range:
    """Return the positions in a step's batch that one process works on."""
    if images_per_step % world_size:
        raise ValueError(
            f"schedule.images_per_step={images_per_step} cannot be split evenly over {world_size} processes; "
            f"try schedule.images_per_step={-(-images_per_step // world_size) * world_size} or trainer.devices=1"
        )
    per_process = images_per_step // world_size
    return range(rank * per_process, (rank + 1) * per_process)


def split_micro_batches(images: int, images_per_device: int) -> list[range]:
    """Split one process's images of a step into as few micro batches as fit, nearly equal in size."""
    count = max(1, -(-images // images_per_device))
    edges = [round(images * i / count) for i in range(count + 1)]
    return [range(a, b) for a, b in pairwise(edges)]
