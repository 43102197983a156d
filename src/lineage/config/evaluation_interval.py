"""Steps between the evaluations of a training: those of the config, or as many as cost little.

Without a callback that waits for metrics, an evaluation on the way changes no weight and no final metric, so the
interval is no part of a run's identity (digests.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any

INTERVAL = "schedule.evaluate_every"
AUTO = "auto"
EVALUATIONS = 4  # of a training where they cost little, the last one included
IMAGES_SHARE = 0.125  # of the training images: what the test images on the way may be; one takes a third of the time


def choose_interval(config: Mapping[str, Any], val_images: int) -> int:
    """Return the steps between evaluations; 0 evaluates once, at the end.

    With `schedule.evaluate_every: auto` a training is evaluated four times if the evaluations on the way see few images
    beside the training, and if no part, such as SVMs, is fitted after it.
    """
    schedule = config["schedule"]
    interval = schedule.get("evaluate_every", 0)
    if interval != AUTO:
        return int(interval)
    steps, images_per_step = int(schedule["steps"]), int(schedule["images_per_step"])
    is_cheap = (EVALUATIONS - 1) * val_images <= IMAGES_SHARE * steps * images_per_step
    return ceil(steps / EVALUATIONS) if is_cheap and not config.get("refit_images") else 0


def waits_for_metrics(config: Mapping[str, Any]) -> bool:
    """Return whether a callback, such as `best`, depends on when the training is evaluated."""
    callbacks = config.get("callbacks") or {}
    nodes = callbacks.values() if isinstance(callbacks, Mapping) else ()
    return any(isinstance(node, Mapping) and node.get("monitor") is not None for node in nodes)
