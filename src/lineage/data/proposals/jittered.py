"""Proposals made from the annotations: objects moved a little, among random boxes, for `shapes` and for tests."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lineage.data.proposals.source import Boxes
from lineage.data.samples.dataset import Dataset
from lineage.data.samples.sample import Sample
from lineage.ops.random import fold_in


class JitteredProposals:
    """A proposal source of known recall: objects moved a little and random boxes, in random order.

    A share `recall` of the objects is proposed `copies` times; the first copy overlaps its object by 0.7 or more, the
    borders of the others move by a normal number of `shift` sides. A function of the image id alone.
    """

    CLOSE = 0.08  # no border moves by more sides than this: then the overlap is at least (1 - 2 x 0.08)^2 > 0.7

    def __init__(self, dataset: Dataset, *, copies: int, random: int, shift: float, recall: float) -> None:
        self.copies, self.random, self.shift, self.recall = copies, random, shift, recall
        self.fingerprint = f"jittered {copies} {random} {shift} {recall}"

    def __call__(self, sample: Sample) -> Boxes:
        generator = np.random.Generator(np.random.PCG64(fold_in("jittered", sample.image_id)))
        # 1. Some of the objects, each several times.
        objects = sample.boxes.numpy()[~sample.crowd.numpy()]
        objects = objects[generator.random(len(objects)) < self.recall].repeat(self.copies, axis=0)
        # 2. Move their borders, those of the first copy only a little.
        moves = generator.normal(0, self.shift, (len(objects), 4))
        is_first = np.arange(len(objects)) % self.copies == 0
        moves[is_first] = moves[is_first].clip(-self.CLOSE, self.CLOSE)
        sides = np.tile(objects[:, 2:] - objects[:, :2], 2)
        # 3. Add random boxes, clip and shuffle.
        boxes = np.concatenate([objects + moves * sides, self._draw_random(generator, sample.original_size)])
        height, width = sample.original_size
        boxes = np.sort(boxes.reshape(-1, 2, 2), axis=1).reshape(-1, 4).clip(0, [width, height, width, height])
        return generator.permutation(boxes).astype(np.float32)

    def _draw_random(self, generator: np.random.Generator, size: tuple[int, int]) -> NDArray[np.float64]:
        height, width = size
        sides = np.exp(generator.uniform(np.log(0.06), 0, (self.random, 2))) * [width, height]
        corners = generator.random((self.random, 2)) * ([width, height] - sides)
        return np.concatenate([corners, corners + sides], axis=1)
