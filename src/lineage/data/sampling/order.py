"""Which images make which step: a pure function of the seed and the step.

The batch of a whole step is formed first and then split over processes and device batches, so a run sees the same
images in the same steps on one GPU or on eight, and after a resume as if it had never stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
from torch import Tensor

from lineage.data.samples.dataset import Dataset
from lineage.ops.random import fold_in


class Shuffle:
    """Every epoch is a permutation of the dataset."""

    def __init__(self, dataset: Dataset, seed: int) -> None:
        self.length = len(dataset)
        self.seed = seed

    def __call__(self, epoch: int) -> np.ndarray:
        """The image indices of an epoch, in their order."""
        return np.random.Generator(np.random.PCG64(fold_in("order", self.seed, epoch))).permutation(self.length)


class Order:
    """Epochs cut into steps; a step's images are all wide or all tall, so that they pad little.

    What an epoch leaves over of either kind opens the next one: no image is lost, however small the dataset. `epoch`
    gives the image indices of an epoch by its number: Shuffle, RepeatFactor, ClassAware.
    """

    def __init__(self, sizes: Tensor, images_per_step: int, epoch: Callable[[int], np.ndarray]) -> None:
        self.images_per_step = images_per_step
        self.epoch = epoch
        tall = (sizes[:, 0] > sizes[:, 1]).numpy()
        rare = min(tall.sum(), (~tall).sum()) < images_per_step
        # too few of a kind would fill whole steps with copies of the same images
        self.tall = np.zeros_like(tall) if rare else tall

    def steps(self, start: int = 0) -> Iterator[list[int]]:
        """The image indices of step `start`, `start + 1`, ... without end."""
        step, epoch = 0, 0
        left_over = np.zeros(0, np.int64)
        while True:
            stream = np.concatenate([left_over, self.epoch(epoch)])
            batches, left_over = self._split(stream)
            yield from (batch.tolist() for batch in batches[max(start - step, 0) :])
            step, epoch = step + len(batches), epoch + 1

    def _split(self, stream: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
        """Full batches in the order in which their last image comes up, and the rest."""
        batches: list[tuple[int, np.ndarray]] = []
        rest = []
        for kind in (False, True):
            places = np.flatnonzero(self.tall[stream] == kind)
            full = len(places) - len(places) % self.images_per_step
            batches += [(int(group[-1]), stream[group]) for group in places[:full].reshape(-1, self.images_per_step)]
            rest.append(places[full:])
        ordered = [batch for _, batch in sorted(batches, key=lambda pair: pair[0])]
        return ordered, stream[np.sort(np.concatenate(rest))]


def share(images_per_step: int, rank: int, world: int) -> range:
    """The places of a step's batch that one process works on."""
    if images_per_step % world:
        raise ValueError(
            f"schedule.images_per_step={images_per_step} cannot be split evenly over {world} processes; "
            f"try schedule.images_per_step={-(-images_per_step // world) * world} or trainer.devices=1"
        )
    each = images_per_step // world
    return range(rank * each, (rank + 1) * each)


def micro_batches(images: int, images_per_device: int) -> list[range]:
    """One process's images of a step, in as few device batches as fit, nearly equal in size."""
    count = max(1, -(-images // images_per_device))
    edges = [round(images * i / count) for i in range(count + 1)]
    return [range(a, b) for a, b in pairwise(edges)]
