"""A length in epochs is a number of steps of the dataset at hand."""

from __future__ import annotations

import pytest
from omegaconf import DictConfig, OmegaConf

from lineage.config.build import ConfigError
from lineage.run.epochs import fill_schedule


def config(**schedule: object) -> DictConfig:
    values = {"steps": 90000, "epochs": 12, "images_per_step": 16, "milestones": [60000, 80000], "warmup_steps": 1000}
    return OmegaConf.create({"schedule": values | schedule})


def test_twelve_epochs_of_coco_are_its_1x() -> None:
    filled = config()
    fill_schedule(filled, 118287 + 1713, ["schedule.epochs=12"])
    assert filled.schedule.steps == 90000
    assert filled.schedule.milestones == [60000, 80000]
    assert filled.schedule.warmup_steps == 1000


def test_a_small_dataset_keeps_the_proportions() -> None:
    filled = config(epochs=100)
    fill_schedule(filled, 61, ["schedule.epochs=100"])
    assert filled.schedule.steps == 382  # 100 * 61 / 16 = 381.25
    assert filled.schedule.milestones == [255, 340]
    assert filled.schedule.warmup_steps == 38


def test_what_was_typed_stays() -> None:
    filled = config(milestones=[100], warmup_steps=200)
    fill_schedule(filled, 1600, ["schedule.epochs=12", "schedule.milestones=[100]", "schedule.warmup_steps=200"])
    assert (filled.schedule.steps, filled.schedule.milestones, filled.schedule.warmup_steps) == (1200, [100], 200)


def test_steps_stay_without_epochs() -> None:
    filled = config(epochs=None)
    fill_schedule(filled, 61, [])
    assert filled.schedule == config(epochs=None).schedule


def test_both_lengths_contradict() -> None:
    with pytest.raises(ConfigError, match="give one of them"):
        fill_schedule(config(), 61, ["schedule.epochs=12", "schedule.steps=90000"])
