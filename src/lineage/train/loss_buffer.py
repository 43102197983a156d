"""Losses of the latest steps, buffered on the device.

A flush makes the host wait for the device, so it happens once in many steps. If a loss was not finite, the flush
returns the step and the images that produced it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


class StepLosses(NamedTuple):
    """Losses of one training step, on the device."""

    step: int
    losses: Tensor  # [L] already divided by their normalizers, over all ranks
    image_ids: Tensor  # [B] images of this rank


class FlushedLosses(NamedTuple):
    """Losses of the steps since the last flush, on the host."""

    means: dict[str, float]  # by loss name; "loss" is the sum. Empty if there was no step
    first_non_finite: StepLosses | None


class NonFiniteLoss(ArithmeticError):
    """Error for a loss that is inf or nan: training has diverged. `step` and `images` go into the entry."""

    def __init__(self, step: int, losses: dict[str, float], images: list[int]) -> None:
        self.step, self.images = step, images
        values = ", ".join(f"{name} = {value:g}" for name, value in losses.items() if not math.isfinite(value))
        super().__init__(
            f"The loss is not finite at step {step}: {values}. Images of that step: {', '.join(map(str, images))}.\n"
            "  Train more gently: a tenth of optimizer.lr, or a longer schedule.warmup_steps. If it happens at any\n"
            "  learning rate, look at the annotations of these images: lineage data check"
        )


class LossBuffer:
    """Buffer of losses on the device."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.steps: list[StepLosses] = []

    def append(self, names: list[str], losses: StepLosses) -> None:
        self.names = names
        self.steps.append(losses)

    def flush(self) -> FlushedLosses:
        """Empty the buffer and return its means. One host sync, whatever its length."""
        steps, self.steps = self.steps, []
        if not steps:
            return FlushedLosses({}, None)
        rows = torch.stack([step.losses for step in steps]).tolist()
        means = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
        non_finite = (step for step, row in zip(steps, rows, strict=True) if not all(map(math.isfinite, row)))
        return FlushedLosses({"loss": sum(means)} | dict(zip(self.names, means, strict=True)), next(non_finite, None))
