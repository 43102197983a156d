"""The line printed before a run starts: what will run, beside what the paper ran."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BatchSplit:
    """Division of a step's images over devices and micro batches."""

    devices: int
    images: int  # per optimizer step
    accumulate: int  # micro batches of a device per optimizer step


@dataclass(frozen=True, slots=True)
class LrScaling:
    """Learning rate with the batch size and the number of steps it is meant for."""

    lr: float
    images_per_step: int
    steps: int


def format_start_line(
    device: str, precision: str, split: BatchSplit, ours: LrScaling, paper: LrScaling, images: int
) -> str:
    """Return the line before the start; `images` is the size of the training set."""
    total = ours.steps * ours.images_per_step
    per_micro_batch = split.images / split.devices / split.accumulate
    plural = "s" * (split.devices > 1)
    batch = f"{split.devices} device{plural} x {per_micro_batch:g} images x {split.accumulate} accumulated"
    return (
        f"{device}, {precision} · {ours.images_per_step} images per step ({batch}) · lr {ours.lr:g} · "
        f"{ours.steps:,} steps = {total:,} images = {total / images:.1f} epochs · reference: "
        f"{paper.images_per_step} images per step, lr {paper.lr:g}, {paper.steps:,} steps"
    )


def format_lr_warning(ours: LrScaling, paper: LrScaling) -> str | None:
    """Return a warning if the learning rate does not follow the batch size (linear scaling, arXiv:1706.02677, 2.1)."""
    scaled = paper.lr * ours.images_per_step / paper.images_per_step
    if 0.5 <= ours.lr / scaled <= 2:
        return None
    return (
        f"lr {ours.lr:g} is {ours.lr / scaled:.2g} times what linear scaling gives for {ours.images_per_step} images "
        f"per step; the paper's rate would be optimizer.lr={scaled:g}"
    )
