"""The line printed before a run starts: what will run, beside what the paper ran."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BatchSplit:
    """Division of a step's images over devices and micro batches."""

    devices: int
    images: int  # per optimizer step
    accumulate: int  # micro batches of a device per optimizer step


@dataclass(frozen=True, slots=True)
class LrScaling:
    """Learning rate with the batch size, the number of steps and the optimizer it is meant for."""

    lr: float
    images_per_step: int
    steps: int
    optimizer: str = ""  # its class: rates of different optimizers do not compare


def format_start_line(machine: str, split: BatchSplit, ours: LrScaling, paper: LrScaling | None, images: int) -> str:
    """Return the line before the start.

    machine  device, precision and engine, such as "CPU (2 threads), 32-true, eager"
    paper    None: nothing is published that models of this task share
    images   size of the training set
    """
    total = ours.steps * ours.images_per_step
    per_micro_batch = split.images / split.devices / split.accumulate
    plural = "s" * (split.devices > 1)
    batch = f"{split.devices} device{plural} x {per_micro_batch:g} images x {split.accumulate} accumulated"
    return (
        f"{machine} · {ours.images_per_step} images per step ({batch}) · lr {ours.lr:g} · "
        f"{ours.steps:,} steps = {total:,} images = {total / images:.1f} epochs{_format_reference(ours, paper)}"
    )


def _format_reference(ours: LrScaling, paper: LrScaling | None) -> str:
    if paper is None:
        return ""
    optimizer = f" with {paper.optimizer.rpartition('.')[2]}" if ours.optimizer != paper.optimizer else ""
    return f" · reference: {paper.images_per_step} images per step, lr {paper.lr:g}{optimizer}, {paper.steps:,} steps"


def format_lr_warning(ours: LrScaling, paper: LrScaling | None) -> str | None:
    """Return a warning if the learning rate does not follow the batch size (linear scaling, arXiv:1706.02677, 2.1)."""
    if paper is None or ours.optimizer != paper.optimizer:
        return None
    scaled = paper.lr * ours.images_per_step / paper.images_per_step
    if 0.5 <= ours.lr / scaled <= 2:
        return None
    return (
        f"lr {ours.lr:g} is {ours.lr / scaled:.2g} times what linear scaling gives for {ours.images_per_step} images "
        f"per step; the paper's rate would be optimizer.lr={scaled:g}"
    )


def format_schedule_warning(steps: int, milestones: Sequence[int], warmup_steps: int) -> str | None:
    """Return a warning if the schedule does not fit its length: the rate never drops, or never gets warm."""
    if not steps:
        return None
    if milestones and milestones[0] >= steps:
        scaled = dict.fromkeys(round(steps * milestone / (milestones[-1] * 12 / 11)) for milestone in milestones)
        proposed = f"schedule.milestones=[{','.join(str(step) for step in scaled if 0 < step < steps)}]"
        return (
            f"the learning rate never drops: schedule.milestones={[*milestones]} lie at or beyond "
            f"schedule.steps={steps}; in proportion they would be {shlex.quote(proposed)}"
        )
    if warmup_steps >= steps:
        return (
            f"the learning rate is never reached: schedule.warmup_steps={warmup_steps} of schedule.steps={steps}; "
            f"a tenth would be schedule.warmup_steps={steps // 10}"
        )
    return None


def format_scale_warning(tier: str, model: str, has_scale: bool) -> str | None:
    """Return a warning if a small tier has no file that shrinks the model."""
    if tier == "paper" or has_scale:
        return None
    return (
        f"model={model} has the paper's numbers at tier {tier} and is slow: conf/scale/{tier}/{model}.yaml would "
        f"shrink it, in one line if it is as large as another model: defaults: [/scale/{tier}/OTHER@_global_]"
    )


def format_precision_warning(device: str, precision: str, has_bf16: bool | None) -> str | None:
    """Return a warning if a CPU computes bfloat16 by emulation, which is slower than float32."""
    if device == "cpu" and precision.startswith("bf16") and has_bf16 is False:
        return f"this CPU has no bf16: trainer.precision={precision} is slower here than 32-true"
    return None
