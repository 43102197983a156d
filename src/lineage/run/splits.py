"""The images for training and for validation: two nodes of the config, or one that gives a share of its images away.

`dataset.val.fraction=0.1` validates on a tenth of the training images, chosen by a hash of their names;
`dataset.val=null` leaves evaluation out.
"""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig, OmegaConf

from lineage.config.build import ConfigError, build
from lineage.data.samples.dataset import Dataset

SOURCE = ("root", "annotations", "images", "image_sets")  # keys of a split that say which files it reads


def build_train(config: DictConfig, **options: Any) -> Dataset:
    """Open the training images, those held out for validation aside; `options` replace keys of the node."""
    held_out = {} if read_fraction(config) is None else {"held_out": read_fraction(config)}
    dataset: Dataset = build(config.dataset.train, **held_out, **options)
    return dataset


def build_val(config: DictConfig, **options: Any) -> Dataset | None:
    """Open the validation images; None if evaluation is left out."""
    if config.dataset.get("val") is None:
        return None
    dataset: Dataset = build(config.dataset.val, **read_source(config), **options)
    return dataset


def read_fraction(config: DictConfig) -> float | None:
    """Return the share of the training images that validation takes; None if it has its own."""
    fraction: float | None = OmegaConf.select(config, "dataset.val.fraction")
    return fraction


def read_source(config: DictConfig) -> dict[str, Any]:
    """Return the keys of `dataset.val` that follow `dataset.train`, as validation takes its share."""
    if read_fraction(config) is None:
        return {}
    train, val = config.dataset.train, config.dataset.val
    return {key: train[key] for key in SOURCE if key in train and key in val}


def fill_source(config: DictConfig) -> None:
    """Write the files that validation reads into the config, so that an entry states them."""
    for key, value in read_source(config).items():
        config.dataset.val[key] = value


def require_val(config: DictConfig) -> None:
    """Raise ConfigError if evaluation is left out of a run that does nothing else."""
    if config.evaluate_only and config.dataset.get("val") is None:
        raise ConfigError("evaluate_only=true has nothing to do with dataset.val=null: name the images to test on")


def describe_val(config: DictConfig, train: int, val: int | None) -> str | None:
    """Return where the validation images come from, if not from files of their own; None otherwise.

    train, val: numbers of images
    """
    if val is None:
        return "not evaluated: dataset.val=null; dataset.val.fraction=0.1 would test on a tenth of the training images"
    if (fraction := read_fraction(config)) is None:
        return None
    return (
        f"evaluated on {val} of the {train + val} training images and trained on the others: dataset.val.fraction="
        f"{fraction:g}, by a hash of their names"
    )
