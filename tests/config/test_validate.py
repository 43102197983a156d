"""A number that no run can have ends in one line, at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from lineage.config.build import ConfigError
from lineage.config.compose import compose_config
from lineage.config.foreign_keys import SET_BY_RUN, explain
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
        ("resume", "auto"),
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


@pytest.mark.parametrize(
    ("override", "use"),
    [
        ("+trainer.max_epochs=3", "schedule.epochs"),
        ("+trainer.accumulate_grad_batches=2", "data.images_per_device"),
        ("+trainer.val_check_interval=5", "schedule.evaluate_every"),
        ("+trainer.limit_val_batches=2", "a smaller dataset.val"),
        ("+trainer.fast_dev_run=true", "tier=smoke"),
        ("+trainer.callbacks=[]", "callbacks=NAME"),
        ("+epochs=10", "schedule.epochs"),
        ("epochs=10", "schedule.epochs"),
        ("batch_size=8", "schedule.images_per_step"),
        ("trainer.max_epochs=3", "schedule.epochs"),
    ],
)
def test_a_key_without_effect_is_refused_with_the_key_to_use(override: str, use: str, tmp_path: Path) -> None:
    done = train(override, f"hydra.run.dir={tmp_path}")
    assert done.returncode == 1
    assert f"use {use}" in done.stderr.replace("Use", "use")
    assert "+epochs" not in done.stderr


@pytest.mark.parametrize("name", ["pixel_range", "max_megapixels"])
def test_a_key_of_other_datasets_is_refused(name: str) -> None:
    """dataset=lvis took it with a plus and read as before."""
    check(compose_config(["dataset=coco", f"dataset.{name}=500"]))
    check(compose_config(["dataset=voc0712", f"dataset.{name}=500", "dataset.val=null"]))
    for dataset in ("lvis", "cityscapes", "shapes"):
        with pytest.raises(ConfigError, match=f"dataset.{name} has no effect: only datasets in the formats"):
            check(compose_config([f"dataset={dataset}", f"+dataset.{name}=500"]))
    assert "dataset=coco" in (explain(f"dataset.{name}") or ""), "typed without a plus"


def test_a_share_of_a_dataset_that_cannot_be_divided_is_refused() -> None:
    """The advice was +dataset.val.fraction, which ended in a TypeError about `held_out`."""
    for dataset in ("coco_person", "voc0712"):
        check(compose_config([f"dataset={dataset}", "dataset.val.fraction=0.2"]))
    for dataset in ("shapes", "lvis", "coco_panoptic"):
        with pytest.raises(ConfigError, match=r"only dataset=coco, .* can validate on a share"):
            check(compose_config([f"dataset={dataset}", "+dataset.val.fraction=0.2"]))
        with pytest.raises(ConfigError, match=r"only dataset=coco, .* can validate on a share"):
            compose_config([f"dataset={dataset}", "dataset.val.fraction=0.2"])


@pytest.mark.parametrize("flow", ["exact", "exact_intermediate"])
@pytest.mark.parametrize("dataset", ["clips", "reds_vtsr"])
def test_recorded_videos_have_no_true_motion(dataset: str, flow: str) -> None:
    """The run made a folder, read every clip and built the model, and failed in its first step."""
    check(compose_config(["model=dvtsr", "dataset=moving_shapes", f"model.flow={flow}"]))
    check(compose_config(["model=dvtsr", f"dataset={dataset}", "model.flow=none"]))
    message = rf"model\.flow={flow} reads .* which dataset\.train \(dataset={dataset}\) .*\n.*model\.flow=spynet"
    with pytest.raises(ConfigError, match=message):
        check(compose_config(["model=dvtsr", f"dataset={dataset}", f"model.flow={flow}"]))


def test_the_videos_of_the_test_have_true_motion_too() -> None:
    overrides = ["model=dvtsr", "dataset=moving_shapes", "model.flow=exact"]
    config = compose_config([*overrides, "dataset.val._target_=lineage.data.frames.clips.load"])
    with pytest.raises(ConfigError, match=r"which dataset\.val "):
        check(config)


def test_every_key_that_a_run_sets_itself_is_an_argument_of_the_trainer() -> None:
    import inspect

    from pytorch_lightning import Trainer

    known = set(inspect.signature(Trainer.__init__).parameters)
    assert set(SET_BY_RUN) <= known


@pytest.mark.parametrize("text", ["evaluate_only=2147483648", "profile=-3", "+dump_labels=1.5"])
def test_a_number_is_not_a_switch(text: str) -> None:
    """OmegaConf reads every whole number but 0 as true."""
    with pytest.raises(ConfigError, match=f"{text.lstrip('+')}: .* is true or false"):
        compose_config([text])


def test_a_key_of_a_dataset_that_nothing_reads_is_told_its_neighbour() -> None:
    """Refuse what `set: {dataset.sise: ...}` of a row adds; leave a key that is like none that is read."""
    check(compose_config(["tier=smoke", "+dataset.notes=mine"]))
    with pytest.raises(ConfigError, match=r"there is no key 'dataset.sise'\. Did you mean dataset.size\?"):
        check(compose_config(["tier=smoke", "+dataset.sise=3"]))
