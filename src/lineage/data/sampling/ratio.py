"""Training on two sets at a fixed ratio: data distillation (arXiv:1712.04440), section 3.

Every batch holds true labels beside generated ones, however many images either set has.
"""

from __future__ import annotations

import numpy as np

from lineage.data.samples.dataset import Dataset
from lineage.ops.random import fold_in


class Mixed:
    """Of any images in a row, `ratio[0]` of `sum(ratio)` are of the training set's first part, to within one image.

    An epoch shows each image of the first part once, with as many of the second as that takes: these come in rounds
    that go on in the next epoch. The ratio holds among wide images and among tall ones, of which batches are made.
    """

    def __init__(self, dataset: Dataset, seed: int, *, ratio: tuple[int, int]) -> None:
        if len(dataset.part_lengths) != 2:
            raise ValueError(
                "sampling=mixed mixes two sets, and the training images are one; dataset=coco_person_distilled has two"
            )
        self.seed, self.ratio = seed, (int(ratio[0]), int(ratio[1]))
        tall = (dataset.sizes[:, 0] > dataset.sizes[:, 1]).numpy()
        second = np.arange(len(tall)) >= dataset.part_lengths[0]
        self.kinds = [[np.flatnonzero((tall == kind) & (second == part)) for part in (0, 1)] for kind in (0, 1)]
        if any(not len(images) for kind in self.kinds for images in kind):  # then wide and tall cannot both be mixed
            self.kinds = [[np.flatnonzero(second == part) for part in (0, 1)]]

    def __call__(self, epoch: int) -> np.ndarray:
        """The image indices of an epoch, in their order."""
        streams = [self._stream(epoch, kind) for kind in range(len(self.kinds))]
        chance = np.random.Generator(np.random.PCG64(fold_in("mixed", self.seed, epoch)))
        which = chance.permutation(np.repeat(np.arange(len(streams)), [len(one) for one in streams]))
        found = np.zeros(len(which), np.int64)
        for kind, stream in enumerate(streams):
            found[which == kind] = stream
        return found

    def _stream(self, epoch: int, kind: int) -> np.ndarray:
        """Images of one kind: a piece of a sequence without end, so that the ratio also holds across epochs."""
        (first, second), (a, b) = self.kinds[kind], self.ratio
        drawn = epoch * len(first), (epoch + 1) * len(first)
        start, stop = (-(-count * (a + b) // a) for count in drawn)  # where the sequence has so many of the first
        places = np.arange(start, stop + 1) * a // (a + b)
        of_first = np.diff(places) > 0
        found = np.zeros(stop - start, np.int64)
        found[of_first] = self._rounds(first, *drawn, ("first", kind))
        found[~of_first] = self._rounds(second, start - drawn[0], stop - drawn[1], ("second", kind))
        return found

    def _rounds(self, images: np.ndarray, start: int, stop: int, name: tuple[str, int]) -> np.ndarray:
        """Draws `start` to `stop` of these images, each round of which is a new permutation."""
        size = len(images)
        rounds = range(start // size, -(-stop // size))
        shown = [self._permutation(images, (*name, number)) for number in rounds]
        return np.concatenate([np.zeros(0, np.int64), *shown])[start - rounds.start * size :][: stop - start]

    def _permutation(self, images: np.ndarray, name: tuple[str, int, int]) -> np.ndarray:
        return np.random.Generator(np.random.PCG64(fold_in("mixed", self.seed, *name))).permutation(images)
