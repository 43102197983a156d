"""Refuse configs that no run can have: what no type of the schema expresses. Runs before torch is imported."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from typing import get_type_hints

from omegaconf import DictConfig, OmegaConf

from lineage.config import foreign_keys
from lineage.config.allowed_targets import check_targets
from lineage.config.build import ConfigError
from lineage.config.evaluation_interval import AUTO as EVALUATE_AUTO
from lineage.config.evaluation_interval import INTERVAL
from lineage.config.resume_overrides import AUTO
from lineage.config.schema import Run
from lineage.results.overrides import Override
from lineage.results.renames import REFERENCE, former_names, key_today
from lineage.tables.suggest import nearest, nearest_key

LEAST = {
    "schedule.steps": 0,  # evaluates only, with weights=PATH
    "schedule.images_per_step": 1,
    "schedule.warmup_steps": 0,
    INTERVAL: 0,
    "optimizer.lr": 0,
    "data.images_per_device": 1,
    "data.workers": 0,
    "checkpoint_every": 1,
    "rank_timeout": 1,
    "seed": 0,
}
TRUE_FLOWS = ("exact", "exact_intermediate")  # values of model.flow that read the dataset's own motion between frames
RECORDED = ("lineage.data.frames.clips.load", "lineage.data.frames.reds.load")  # videos whose motion nobody measured
CHOICES = {"data.on_unreadable": ("raise", "skip")}
OF_DATASETS = (  # keys of datasets, beside splits and evaluator, that a run reads
    "name", "classes", "stuff", "keypoints", "keypoint_counts", "keypoint_offsets", "keypoint_groups", "root", "labels",
    "pixel_range", "max_megapixels",
)  # fmt: skip
LARGEST_SEED = 2**32 - 1  # numpy's
TYPES = get_type_hints(Run)
KEYS = {"": [key.name for key in fields(Run)]} | {  # by node of the schema
    node: [key.name for key in fields(kind)] for node, kind in TYPES.items() if is_dataclass(kind)
}


SWITCHES = {name for name, kind in TYPES.items() if kind is bool}
SWITCH_VALUES = {"true", "false", "yes", "no", "on", "off", "y", "n", "1", "0", "null", ""}


def refuse_numbers_as_switches(overrides: Iterable[str]) -> None:
    """Raise ConfigError for `evaluate_only=2147483648`, which OmegaConf reads as true."""
    for override in map(Override.parse, overrides):
        text = (override.value or "").strip("'\"").lower()
        if override.key in SWITCHES and text not in SWITCH_VALUES and "$" not in text:
            raise ConfigError(f"{override}: {override.key} is true or false")


def check(config: DictConfig) -> None:
    """Raise ConfigError for a wrong name, number or word."""
    refuse_unknown_keys(config)
    refuse_trainer_keys(config)
    refuse_keys_of_other_datasets(config)
    refuse_unread_keys_of_dataset(config)
    refuse_former_names(config)
    row = OmegaConf.select(config, "cell.row")
    check_targets(config, f"the row {config.cell.table}/{row}" if row else "this config")
    for key, least in LEAST.items():
        value = OmegaConf.select(config, key)
        if (key, value) == (INTERVAL, EVALUATE_AUTO):
            continue
        if value is not None and not isinstance(value, int | float):
            raise ConfigError(f"{key}={value}: {key} is a number")
        if value is not None and not value >= least:  # NaN too
            raise ConfigError(f"{key}={value}: {key} is {least} or more")
    for key, choices in CHOICES.items():
        value = OmegaConf.select(config, key)
        if value is not None and value not in choices:
            raise ConfigError(f"{key}={value}: {key} is {' or '.join(choices)}")
    if config.seed > LARGEST_SEED:
        raise ConfigError(f"seed={config.seed}: seed is at most {LARGEST_SEED}")
    if config.get("resume") == AUTO:
        raise ConfigError("resume=auto: it needs the run folder, hydra.run.dir=runs/NAME, the same in every start")
    check_schedule(config)
    check_averages(config)
    check_flow(config)


def check_averages(config: DictConfig) -> None:
    """Raise ConfigError for checkpoints that are averaged in a training, and for parts that are no parts of it."""
    for key in ("keep_checkpoints", "average_checkpoints"):
        parts = config.get(key) or []
        if not all(0 < part <= 1 for part in parts):
            raise ConfigError(f"{key}={parts}: parts of the training, above 0 and at most 1, e.g. {key}=[0.8,0.9,1]")
    if config.get("average_checkpoints") and not config.evaluate_only:
        raise ConfigError("average_checkpoints tests weights: it goes with evaluate_only=true and weights=RUN_FOLDER")


def check_schedule(config: DictConfig) -> None:
    """Raise ConfigError for milestones that descend or have no effect, and for a length that is none."""
    milestones, epochs = config.schedule.milestones, config.schedule.get("epochs")
    if sorted(milestones) != milestones:
        raise ConfigError(f"schedule.milestones={milestones}: they ascend")
    if milestones and config.get("lr_schedule"):
        raise ConfigError(
            f"schedule.milestones={milestones} only have an effect with lr_schedule=steps; leave them out"
        )
    if epochs is not None and not epochs > 0:
        raise ConfigError(f"schedule.epochs={epochs:g}: it is above 0; schedule.steps=0 evaluates only")


def check_flow(config: DictConfig) -> None:
    """Raise ConfigError for a model that reads the true motion between the frames of recorded videos."""
    flow = OmegaConf.select(config, "model.flow")
    if flow not in TRUE_FLOWS:
        return
    for split in ("train", "val"):
        if OmegaConf.select(config, f"dataset.{split}._target_") in RECORDED:
            raise ConfigError(
                f"model.flow={flow} reads the true motion between frames, which dataset.{split} "
                f"(dataset={config.dataset.name}) does not have: its videos are recorded.\n"
                "Choose model.flow=spynet, which estimates the motion, or none; or dataset=moving_shapes, which draws "
                "its videos."
            )


def refuse_unknown_keys(config: DictConfig) -> None:
    """Raise ConfigError for a key that the schema does not have: `+KEY=x` and the `set:` of a row add any key."""
    if OmegaConf.get_type(config) is not Run:
        return
    for node, keys in KEYS.items():
        below = OmegaConf.select(config, node) if node else config
        for name in below if OmegaConf.is_dict(below) else ():
            if name not in keys:
                raise ConfigError(_unknown(f"{node}.{name!s}".lstrip("."), config))


def refuse_trainer_keys(config: DictConfig) -> None:
    """Raise ConfigError for an argument of Lightning's Trainer that a run sets itself: it would have no effect."""
    trainer = OmegaConf.select(config, "trainer")
    for name in trainer if OmegaConf.is_dict(trainer) else ():
        if name in foreign_keys.SET_BY_RUN:
            raise ConfigError(foreign_keys.explain(f"trainer.{name}"))


def refuse_keys_of_other_datasets(config: DictConfig) -> None:
    """Raise ConfigError for a key that this dataset takes no value of: of decoding, or the share for validation."""
    dataset = OmegaConf.select(config, "dataset")
    splits = [split for split in dataset.values() if OmegaConf.is_dict(split)] if OmegaConf.is_dict(dataset) else []
    for name in foreign_keys.OF_FORMATS if splits else ():
        if name in dataset and not any(name in split for split in splits):
            raise ConfigError(foreign_keys.explain(f"dataset.{name}"))
    target = str(OmegaConf.select(config, "dataset.train._target_"))
    has_share = OmegaConf.select(config, foreign_keys.FRACTION) is not None
    if has_share and target.startswith("lineage.") and target not in foreign_keys.SHARED:
        raise ConfigError(foreign_keys.explain(foreign_keys.FRACTION))


def refuse_unread_keys_of_dataset(config: DictConfig) -> None:
    """Raise ConfigError for a key beside the splits of a dataset that nothing reads and that is like one that is read.

    Rows of tables can add such keys, as the schema leaves the keys of datasets open.
    """
    dataset = OmegaConf.select(config, "dataset")
    names = [str(name) for name in dataset] if OmegaConf.is_dict(dataset) else []
    unread = [name for name in names if name not in OF_DATASETS and not OmegaConf.is_dict(dataset._get_node(name))]
    if not unread:
        return
    written = str(OmegaConf.to_container(config, resolve=False))
    read = {key.rpartition(".")[2] for _, _, key in REFERENCE.findall(written)}
    for name in unread:
        close = [] if name in read else nearest(name, [*OF_DATASETS, *(other for other in names if other in read)])
        if close:
            raise ConfigError(f"there is no key 'dataset.{name}'. Did you mean dataset.{close[0]}?")


def refuse_former_names(config: DictConfig) -> None:
    """Raise ConfigError for former names of keywords and classes: what a run computes is written in names of today."""
    former = former_names(OmegaConf.to_container(config))
    if former:
        lines = [f"{name} is now {today}" for name, today in former.items()]
        raise ConfigError("\n".join(lines))


def _unknown(key: str, config: DictConfig) -> str:
    today = key_today(key, OmegaConf.to_container(config))
    if today != key:
        return f"{key} is now {today}"
    if explanation := foreign_keys.explain(key):
        return explanation
    close = nearest_key(key, [f"{node}.{name}" if node else name for node, keys in KEYS.items() for name in keys])
    return f"there is no key {key!r}.{f' Did you mean {close[0]}?' if close else ''}"
