"""Learning-rate schedules: the factor of `optimizer.lr` at a step, a pure function of the step.

Every schedule begins with a linear warm-up (Goyal et al., arXiv:1706.02677, section 2.2), over `schedule.warmup_steps`.
The decay that follows is an option of `lr_schedule`.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

Decay = Callable[[int], float]  # step, counted from 0 -> factor


@dataclass(frozen=True, slots=True)
class MultiStep:
    """A drop by gamma at each milestone, as in all papers of the R-CNN lineage."""

    milestones: Sequence[int]  # ascending
    gamma: float

    def __call__(self, step: int) -> float:
        return float(self.gamma ** bisect_right(self.milestones, step))


@dataclass(frozen=True, slots=True)
class Cosine:
    """Half a cosine, from 1 after the warm-up to `final_factor` at the last step (arXiv:1608.03983, eq. 5)."""

    steps: int
    warmup_steps: int
    final_factor: float = 0.0

    def __call__(self, step: int) -> float:
        progress = (step - self.warmup_steps) / max(self.steps - self.warmup_steps - 1, 1)
        return self.final_factor + (1 - self.final_factor) * half_cosine(progress)


@dataclass(frozen=True, slots=True)
class OneCycle:
    """A rise to the rate, then a fall to nearly 0, each half a cosine (arXiv:1708.07120, as torch's OneCycleLR).

    rising          part of the steps that rise, before the highest rate
    initial_factor  at step 0
    final_factor    at the last step
    """

    steps: int
    rising: float = 0.3
    initial_factor: float = 0.04
    final_factor: float = 4e-6

    def __call__(self, step: int) -> float:
        peak, last = self.rising * self.steps - 1, self.steps - 1
        if step <= peak:
            return self.initial_factor + (1 - self.initial_factor) * (1 - half_cosine(step / peak))
        return self.final_factor + (1 - self.final_factor) * half_cosine((step - peak) / max(last - peak, 1))


class Constant:
    """No decay."""

    def __call__(self, step: int) -> float:
        return 1.0


def half_cosine(progress: float) -> float:
    """Return half a cosine: 1 at progress 0, 0 at progress 1 and after it."""
    return (1 + math.cos(math.pi * min(max(progress, 0.0), 1.0))) / 2


def get_lr_factor(step: int, decay: Decay, warmup_steps: int, warmup_factor: float) -> float:
    """Return the factor of the learning rate at a step, counted from 0."""
    if step >= warmup_steps:
        return decay(step)
    return decay(step) * (warmup_factor + (1 - warmup_factor) * step / warmup_steps)


def with_warmup(optimizer: Optimizer, *, decay: Decay, warmup_steps: int, warmup_factor: float) -> LambdaLR:
    """Return the schedule: warm-up from warmup_factor * lr to lr, times the decay."""
    return LambdaLR(optimizer, lambda step: get_lr_factor(step, decay, warmup_steps, warmup_factor))
