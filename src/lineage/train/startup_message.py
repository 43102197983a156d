"""What is about to run, in one line, and how that compares with the paper."""

from __future__ import annotations

from typing import NamedTuple


class Split(NamedTuple):
    devices: int
    images: int  # per optimizer step
    accumulated: int  # micro batches of a device per optimizer step


class Recipe(NamedTuple):
    lr: float
    images_per_step: int
    steps: int


def announce(place: str, precision: str, part: Split, ours: Recipe, paper: Recipe, images: int) -> str:
    """The line before the start; `images` is the size of the training set."""
    seen = ours.steps * ours.images_per_step
    each = part.images / part.devices / part.accumulated
    batch = f"{part.devices} device{'s' * (part.devices > 1)} x {each:g} images x {part.accumulated} accumulated"
    return (
        f"{place}, {precision} · {ours.images_per_step} images per step ({batch}) · lr {ours.lr:g} · "
        f"{ours.steps:,} steps = {seen:,} images = {seen / images:.1f} epochs · reference: "
        f"{paper.images_per_step} images per step, lr {paper.lr:g}, {paper.steps:,} steps"
    )


def unscaled(ours: Recipe, paper: Recipe) -> str | None:
    """A warning where the learning rate does not follow the batch (linear scaling, arXiv:1706.02677, 2.1)."""
    scaled = paper.lr * ours.images_per_step / paper.images_per_step
    if 0.5 <= ours.lr / scaled <= 2:
        return None
    return (
        f"lr {ours.lr:g} is {ours.lr / scaled:.2g} times what linear scaling gives for {ours.images_per_step} images "
        f"per step; the paper's rate would be optimizer.lr={scaled:g}"
    )
