"""Losses and diagnostics of the latest steps, buffered on the device.

A flush makes the host wait for the device, so it happens once in many steps. If a loss was not finite, the flush
returns the step and the images that produced it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from lineage.structures import Losses


class StepLosses(NamedTuple):
    """Losses of one training step, on the device."""

    step: int
    losses: Tensor  # [L] already divided by their normalizers, over all ranks
    diagnostics: Tensor  # [2, D] sums and normalizers, over all ranks
    image_ids: Tensor  # [B] images of this rank


class FlushedLosses(NamedTuple):
    """Losses of the steps since the last flush, on the host."""

    means: dict[str, float]  # by loss name; "loss" is the sum. Empty if there was no step
    diagnostics: dict[str, float]  # by name, e.g. roi_cls/accuracy; without those whose normalizers are all 0
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
    """Buffer of losses, diagnostics and gradient norms on the device."""

    def __init__(self) -> None:
        self.names: list[str] = []  # of the losses
        self.diagnostic_names: list[str] = []
        self.steps: list[StepLosses] = []
        self.grad_norms: list[Tensor] = []  # [] of each optimizer step

    def append(self, losses: Losses, values: StepLosses) -> None:
        if not self.steps:  # names are the same until the next flush
            self.names = list(losses)
            self.diagnostic_names = name_diagnostics(losses)
        self.steps.append(values)

    def append_grad_norm(self, norm: Tensor) -> None:
        self.grad_norms.append(norm)

    def flush(self) -> FlushedLosses:
        """Empty the buffer and return its means. One host sync, whatever its length."""
        steps, self.steps = self.steps, []
        norms, self.grad_norms = self.grad_norms, []
        if not steps:
            return FlushedLosses({}, {}, None)
        count = len(self.names)
        rows = [torch.cat([step.losses, step.diagnostics.flatten().to(step.losses)]) for step in steps]
        width = len(rows[0])
        values = torch.cat([*rows, *(norm[None].to(rows[0]) for norm in norms)]).tolist()
        table = [values[i * width : (i + 1) * width] for i in range(len(steps))]
        means = [sum(column) / len(table) for column in zip(*(row[:count] for row in table), strict=True)]
        non_finite = (step for step, row in zip(steps, table, strict=True) if not all(map(math.isfinite, row[:count])))
        diagnostics = self._divide([row[count:] for row in table])
        if grad_norms := values[len(steps) * width :]:
            diagnostics["grad_norm"] = sum(grad_norms) / len(grad_norms)
        losses = {"loss": sum(means)} | dict(zip(self.names, means, strict=True))
        return FlushedLosses(losses, diagnostics, next(non_finite, None))

    def _divide(self, rows: list[list[float]]) -> dict[str, float]:
        """Divide the sums of all steps by their normalizers; a row holds D sums, then D normalizers."""
        totals = [sum(column) for column in zip(*rows, strict=True)]
        sums, normalizers = totals[: len(totals) // 2], totals[len(totals) // 2 :]
        columns = zip(self.diagnostic_names, sums, normalizers, strict=True)
        return {name: total / normalizer for name, total, normalizer in columns if normalizer}


def name_diagnostics(losses: Losses) -> list[str]:
    """Return e.g. ["roi_cls/accuracy", ...]."""
    return [f"{name}/{diagnostic.name}" for name, loss in losses.items() for diagnostic in loss.diagnostics]
