"""A few samples as training gets them: with the loader's order of transforms, seeds and cleaning."""

from __future__ import annotations

import torch

from lineage.data.samples.dataset import Dataset
from lineage.data.samples.sample import Sample
from lineage.data.transforms.context import Context, Transform, bind_context
from lineage.data.transforms.sanitize import sanitize
from lineage.ops.random import fold_in


def augment_samples(dataset: Dataset, transform: Transform, count: int, seed: int) -> list[Sample]:
    """Return `count` samples in an order that the seed decides; images without objects only if there are no others."""
    order = sorted(range(len(dataset)), key=lambda index: fold_in("show", seed, index))
    samples: list[Sample] = []
    for position, index in enumerate(order):
        sample = dataset[index]
        if len(sample.labels) or len(order) - position <= count - len(samples):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(fold_in(seed, position, sample.image_id))
                samples.append(sanitize(bind_context(transform, Context(dataset, position, seed))(sample)))
        if len(samples) == count:
            break
    return samples
