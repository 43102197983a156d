"""Context of a transform: what it depends on beside the sample.

Most transforms are functions Sample -> Sample, as those of torchvision.transforms.v2. One that reads the dataset, the
step or the seed has a second parameter `context`; without it Python raises TypeError. `bind_context` makes functions
Sample -> Sample of all of them, also inside Compose and the other containers of torchvision.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeAlias, TypeGuard, cast

import torch
from torchvision.transforms import v2

from lineage.data.samples.dataset import Dataset
from lineage.data.samples.sample import Sample

CONTAINERS = (v2.Compose, v2.RandomApply, v2.RandomChoice, v2.RandomOrder)


@dataclass(frozen=True, slots=True)
class Context:
    """The dataset a sample comes from, the optimizer step it is used in, and the seed of the run."""

    dataset: Dataset
    step: int
    seed: int
    steps: int | None = None  # of the training, None where nothing is trained

    @property
    def progress(self) -> float:
        """Part of the training that is done, from 0 to below 1; 0 where nothing is trained."""
        return self.step / self.steps if self.steps else 0.0

    def draw_partner(self, sample: Sample) -> Sample:
        """Return another image of the dataset, each with equal probability; the same if the dataset has only one."""
        index = int(torch.randint(len(self.dataset), ()))
        other = self.dataset[index]
        is_same = other.image_id == sample.image_id
        return self.dataset[(index + 1) % len(self.dataset)] if is_same and len(self.dataset) > 1 else other


class ContextTransform(Protocol):
    """Transform that takes a context beside the sample."""

    def __call__(self, sample: Sample, context: Context) -> Sample: ...


SampleTransform: TypeAlias = Callable[[Sample], Sample]
Transform: TypeAlias = SampleTransform | ContextTransform


def takes_context(transform: Transform) -> TypeGuard[ContextTransform]:
    """Return whether a transform has a parameter `context`."""
    return "context" in inspect.signature(transform).parameters


def bind_context(transform: Transform, context: Context) -> SampleTransform:
    """Return the transform as a function of the sample alone. The transform itself is not changed."""
    if takes_context(transform):
        return partial(transform, context=context)
    if isinstance(transform, CONTAINERS):
        container: Any = copy(transform)
        container.transforms = [bind_context(inner, context) for inner in transform.transforms]
        return container
    return cast(SampleTransform, transform)
