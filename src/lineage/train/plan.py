"""How the images of an optimizer step are spread over hardware, and how that compares with the paper.

The number of images per step belongs to the experiment; how many fit a device at once does not. What does not fit is
accumulated, so that any machine runs the schedule the paper ran.
"""

from __future__ import annotations

from typing import NamedTuple


class Split(NamedTuple):
    devices: int
    images: int  # per device and micro batch
    accumulated: int  # micro batches per optimizer step


class Recipe(NamedTuple):
    lr: float
    images_per_step: int
    steps: int


def split(images_per_step: int, devices: int, images_per_device: int) -> Split:
    """The largest micro batches of at most `images_per_device` that make up the step exactly."""
    share, rest = divmod(images_per_step, devices)
    if rest or not share:
        fitting = [n for n in range(1, images_per_step + 1) if images_per_step % n == 0]
        raise ValueError(
            f"schedule.images_per_step={images_per_step} cannot be shared equally by {devices} devices; "
            f"use trainer.devices={max(n for n in fitting if n <= devices)}"
        )
    images = max(n for n in range(1, min(share, max(images_per_device, 1)) + 1) if share % n == 0)
    return Split(devices, images, share // images)


def announce(place: str, precision: str, part: Split, ours: Recipe, paper: Recipe, images: int) -> str:
    """The line before the start; `images` is the size of the training set."""
    seen = ours.steps * ours.images_per_step
    batch = f"{part.devices} device{'s' * (part.devices > 1)} x {part.images} x {part.accumulated} accumulated"
    return (
        f"{place}, {precision} · {ours.images_per_step} images per step ({batch}) · lr {ours.lr:g} · "
        f"{ours.steps:,} steps = {seen:,} images = {seen / images:.1f} epochs · reference: "
        f"{paper.images_per_step} images per step, lr {paper.lr:g}, {paper.steps:,} steps"
    )


def unscaled(ours: Recipe, paper: Recipe) -> str | None:
    """A warning where the learning rate does not follow the batch (linear scaling, arXiv:1706.02677, 2.1)."""
    scaled = paper.lr * ours.images_per_step / paper.images_per_step
    if 0.5 < ours.lr / scaled < 2:
        return None
    return (
        f"lr {ours.lr:g} is {ours.lr / scaled:.2g} times what linear scaling gives for {ours.images_per_step} images "
        f"per step; the paper's rate would be optimizer.lr={scaled:g}"
    )
