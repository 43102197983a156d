"""Length of a training in epochs, `schedule.epochs`: it becomes a number of steps once the dataset is open."""

from __future__ import annotations

import math
from collections.abc import Sequence

from omegaconf import DictConfig

from lineage.config.build import ConfigError
from lineage.results.overrides import Override

LONGEST_WARMUP = 10  # parts of the steps; a warm-up that is longer is cut


def fill_schedule(config: DictConfig, images: int, overrides: Sequence[str]) -> None:
    """Set schedule.steps from schedule.epochs, if it is given, for a training set of `images` images.

    Unless they were typed, milestones move in proportion, and a warm-up longer than a tenth of the steps is cut.
    Raises ConfigError if schedule.steps was typed too.
    """
    schedule = config.schedule
    if schedule.get("epochs") is None:
        return
    typed = {Override.parse(text).key for text in overrides}
    if "schedule.steps" in typed:
        raise ConfigError(f"schedule.epochs={schedule.epochs:g} and schedule.steps={schedule.steps}: give one of them")
    steps = max(1, math.ceil(schedule.epochs * images / schedule.images_per_step))
    if "schedule.milestones" not in typed and schedule.steps:
        schedule.milestones = [round(milestone * steps / schedule.steps) for milestone in schedule.milestones]
    if "schedule.warmup_steps" not in typed:
        schedule.warmup_steps = min(schedule.warmup_steps, steps // LONGEST_WARMUP)
    schedule.steps = steps
