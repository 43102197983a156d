"""Losses of the latest steps, kept on the device until somebody reads them.

Reading makes the host wait for the device, so it happens once in many steps. A loss that is not finite is found then,
and the step and the images that produced it are still known.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Step(NamedTuple):
    number: int
    losses: Tensor  # [L] already divided by their counts, over all ranks
    ids: Tensor  # [B] images of this rank


class Reading(NamedTuple):
    means: dict[str, float]  # by loss name, over the steps since the last reading; "loss" is the sum
    broken: Step | None  # the first step with a loss that is not finite


class NotFinite(ArithmeticError):
    """Training has diverged; `step` and `images` go into the entry."""

    def __init__(self, step: int, losses: dict[str, float], images: list[int]) -> None:
        self.step, self.images = step, images
        values = ", ".join(f"{name} = {value:g}" for name, value in losses.items() if not math.isfinite(value))
        super().__init__(
            f"The loss is not finite at step {step}: {values}. Images of that step: {', '.join(map(str, images))}.\n"
            "  Train more gently: a tenth of optimizer.lr, or a longer schedule.warmup_steps. If it happens at any\n"
            "  learning rate, look at the annotations of these images: lineage data check"
        )


class History:
    def __init__(self) -> None:
        self.names: list[str] = []
        self.steps: list[Step] = []

    def write(self, names: list[str], step: Step) -> None:
        self.names = names
        self.steps.append(step)

    def read(self) -> Reading:
        """Empty the history. One host sync, whatever its length."""
        steps, self.steps = self.steps, []
        if not steps:
            return Reading({}, None)
        rows = torch.stack([step.losses for step in steps]).tolist()
        means = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
        broken = next((step for step, row in zip(steps, rows, strict=True) if not all(map(math.isfinite, row))), None)
        return Reading({"loss": sum(means)} | dict(zip(self.names, means, strict=True)), broken)
