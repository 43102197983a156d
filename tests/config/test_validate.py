"""A number that no run can have ends in one line, at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from lineage.config.build import ConfigError
from lineage.config.validate import LEAST, check
from tests.config.test_compose import train

GOOD = {
    "schedule": {"steps": 9, "images_per_step": 2, "warmup_steps": 0, "evaluate_every": 0, "milestones": [3, 6]},
    "optimizer": {"lr": 0.1},
    "data": {"images_per_device": 1, "workers": 0, "on_unreadable": "raise"},
    "checkpoint_every": 1,
    "seed": 0,
}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *((key, least - 1) for key, least in LEAST.items()),
        ("optimizer.lr", float("nan")),
        ("data.on_unreadable", "maybe"),
        ("seed", 2**32),
        ("schedule.milestones", [5, 3]),
    ],
)
def test_the_message_names_the_key(key: str, value: object) -> None:
    config = OmegaConf.create(GOOD)
    check(config)
    OmegaConf.update(config, key, value)
    with pytest.raises(ConfigError, match=rf"{key}=.*: \w"):
        check(config)


def test_an_optimizer_may_name_its_rate_otherwise() -> None:
    check(OmegaConf.create({**GOOD, "optimizer": {}}))


def test_the_command_line_says_it_in_one_line(tmp_path: Path) -> None:
    done = train("data.workers=-1", f"hydra.run.dir={tmp_path}")
    assert done.returncode == 1
    assert done.stderr == "data.workers=-1: data.workers is 0 or more\n"
