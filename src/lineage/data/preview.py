"""A few samples exactly as training draws them: the loader's own order of transforms, seeds and cleaning."""

from __future__ import annotations

from collections.abc import Callable

import torch

from lineage.data.samples.dataset import Dataset
from lineage.data.samples.sample import Sample
from lineage.data.transforms.resize_flip import bind, clean
from lineage.ops.random import fold_in


def augmented(dataset: Dataset, transform: Callable[[Sample], Sample], count: int, seed: int) -> list[Sample]:
    """`count` images spread over the dataset by the seed, those with objects first."""
    bind(transform, dataset)
    order = sorted(range(len(dataset)), key=lambda index: fold_in("show", seed, index))
    found: list[Sample] = []
    for position, index in enumerate(order):
        sample = dataset[index]
        if len(sample.labels) or len(order) - position <= count - len(found):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(fold_in(seed, position, sample.image_id))
                found.append(clean(transform(sample)))
        if len(found) == count:
            break
    return found
