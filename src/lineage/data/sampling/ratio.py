"""Sampling of two datasets at a fixed ratio: data distillation (arXiv:1712.04440), section 3.

Every batch holds true labels beside generated ones, however many images either dataset has.
"""

from __future__ import annotations

import numpy as np

from lineage.data.samples.dataset import Dataset
from lineage.ops.random import fold_in


class RatioSampler:
    """Sampler of a concatenation of two datasets.

    In any run of consecutive images the share from the first dataset is ratio[0] / sum(ratio), within one image. An
    epoch draws each image of the first dataset once, and as many of the second as the ratio requires: these come in
    rounds that continue in the next epoch. The ratio holds among wide images and among tall ones, because batches are
    made of one kind.
    """

    def __init__(self, dataset: Dataset, seed: int, *, ratio: tuple[int, int]) -> None:
        if len(dataset.part_lengths) != 2:
            raise ValueError(
                "sampling=ratio mixes two sets, and the training images are one; dataset=coco_person_distilled has two"
            )
        self.seed, self.ratio = seed, (int(ratio[0]), int(ratio[1]))
        is_tall = (dataset.sizes[:, 0] > dataset.sizes[:, 1]).numpy()
        is_second = np.arange(len(is_tall)) >= dataset.part_lengths[0]
        # groups[tall] = [indices in the first dataset, indices in the second]
        self.groups = [
            [np.flatnonzero((is_tall == tall) & (is_second == second)) for second in (0, 1)] for tall in (0, 1)
        ]
        if any(not len(images) for group in self.groups for images in group):  # wide and tall cannot both be mixed
            self.groups = [[np.flatnonzero(is_second == second) for second in (0, 1)]]

    def __call__(self, epoch: int) -> np.ndarray:
        """Return the image indices of an epoch in their order."""
        streams = [self._draw_group(epoch, group) for group in range(len(self.groups))]
        rng = np.random.Generator(np.random.PCG64(fold_in("mixed", self.seed, epoch)))
        group_of = rng.permutation(np.repeat(np.arange(len(streams)), [len(stream) for stream in streams]))
        indices = np.zeros(len(group_of), np.int64)
        for group, stream in enumerate(streams):
            indices[group_of == group] = stream
        return indices

    def _draw_group(self, epoch: int, group: int) -> np.ndarray:
        """Return the images of one group in an epoch.

        Each group is one endless sequence, of which an epoch is a piece, so the ratio also holds across epochs.
        """
        (first, second), (a, b) = self.groups[group], self.ratio
        # 1. The epoch starts and stops where the sequence has drawn so many images of the first dataset.
        drawn = epoch * len(first), (epoch + 1) * len(first)
        start, stop = (-(-count * (a + b) // a) for count in drawn)
        # 2. Position i is of the first dataset if floor(i * a / (a + b)) grows there.
        count_first = np.arange(start, stop + 1) * a // (a + b)
        is_first = np.diff(count_first) > 0
        # 3. Fill the positions of each dataset with its own rounds.
        indices = np.zeros(stop - start, np.int64)
        indices[is_first] = self._draw_rounds(first, *drawn, ("first", group))
        indices[~is_first] = self._draw_rounds(second, start - drawn[0], stop - drawn[1], ("second", group))
        return indices

    def _draw_rounds(self, images: np.ndarray, start: int, stop: int, name: tuple[str, int]) -> np.ndarray:
        """Return draws `start` to `stop` of these images; each round through them is a new permutation."""
        size = len(images)
        rounds = range(start // size, -(-stop // size))
        draws = [self._permute(images, (*name, number)) for number in rounds]
        return np.concatenate([np.zeros(0, np.int64), *draws])[start - rounds.start * size :][: stop - start]

    def _permute(self, images: np.ndarray, name: tuple[str, int, int]) -> np.ndarray:
        return np.random.Generator(np.random.PCG64(fold_in("mixed", self.seed, *name))).permutation(images)
