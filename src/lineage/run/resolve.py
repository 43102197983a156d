"""Resolve the config of a run once: a copy with everything filled in that parents and datasets decide, then read-only.

Two copies, for a run is what it computes and not where its parents lie: `config` is what the run builds, `recorded`
is what its entry keeps. Both have the classes of the dataset; only the first has the folders of the parents.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf

from lineage.config.build import ConfigError
from lineage.data.annotations.compare_splits import compare, explain_classes
from lineage.data.formats.landmark_parts import group_landmarks
from lineage.data.samples.dataset import Dataset
from lineage.data.samples.metadata import DatasetMeta
from lineage.run.checks.labels import check_format
from lineage.run.epochs import fill_schedule
from lineage.run.splits import build_train, build_val, fill_source, require_val
from lineage.weights.pretrained import LATER

log = logging.getLogger(__name__)

COCO_KEYPOINTS = 17


@dataclass(frozen=True, slots=True)
class Resolved:
    """A run's config, read-only, and the datasets that were opened to fill it in."""

    config: DictConfig  # what the run builds
    recorded: DictConfig  # what its entry keeps: no places of parents
    train: Dataset
    val: Dataset | None  # None leaves evaluation out


def resolve(
    composed: DictConfig, artifacts: Mapping[str, Path] | None = None, overrides: Sequence[str] = ()
) -> Resolved:
    """Fill in a config as it was composed, which stays as it is.

    artifacts  key -> path of what a parent left, e.g. {"weights": runs/a/weights.pt}
    overrides  as typed
    """
    pl.seed_everything(composed.seed, workers=True, verbose=False)
    os.environ["LINEAGE_CACHE"] = composed.paths.cache  # backbones know no paths; other processes inherit it
    # 1. The artifacts of the parents, which datasets may read.
    config, recorded = composed.copy(), composed.copy()
    for key, path in (artifacts or {}).items():
        OmegaConf.update(config, key, str(path), force_add=True)
    # 2. What the datasets decide.
    require_val(config)
    check_format(config)
    train, val = build_train(config), build_val(config)
    for copy in (config, recorded):
        fill_source(copy)
        fill_classes(copy, train.meta, train.meta if val is None else val.meta)
        fill_stuff(copy, train)
        fill_schedule(copy, len(train), overrides)
        fill_keypoints(copy, train)
        fill_backbone_weights(copy)
        OmegaConf.set_readonly(copy, True)
    for oddity in compare(train, val):
        log.warning("%s: %s", train.source, oddity)
    return Resolved(config, recorded, train, val)


def fill_classes(config: DictConfig, train: DatasetMeta, val: DatasetMeta) -> None:
    """Set `dataset.classes`, the number of classes, which the heads of a model read."""
    if difference := explain_classes(train, val):
        raise ConfigError(difference)
    count, names = len(train.classes), ", ".join(train.classes[:5])
    if config.dataset.classes not in (None, count):
        raise ConfigError(
            f"dataset.classes={config.dataset.classes}, but the dataset has {count}: {names}, ...\n"
            "Leave dataset.classes out; it is read from the dataset."
        )
    config.dataset.classes = count


def fill_stuff(config: DictConfig, dataset: Dataset) -> None:
    """Set `dataset.stuff`, the number of semantic classes, if the dataset has any. The first is all things together."""
    stuff = dataset.meta.stuff
    if not stuff:
        return
    count = OmegaConf.select(config, "dataset.stuff")
    if count not in (None, len(stuff)):
        raise ConfigError(
            f"dataset.stuff={count}, but the dataset has {len(stuff)} semantic classes, counting things as one.\n"
            "Leave dataset.stuff out; it is read from the dataset."
        )
    OmegaConf.update(config, "dataset.stuff", len(stuff), force_add=True)


def fill_keypoints(config: DictConfig, dataset: Dataset) -> None:
    """Set `dataset.keypoints`, the number of keypoints, unless it is COCO's, which models have where it is absent.

    So digests of runs on persons stay what they were.
    """
    count = len(dataset.meta.keypoints)
    configured = OmegaConf.select(config, "dataset.keypoints")
    if configured not in (None, count):
        raise ConfigError(
            f"dataset.keypoints={configured}, but the dataset has {count}: {', '.join(dataset.meta.keypoints)}\n"
            "Leave dataset.keypoints out; it is read from the dataset."
        )
    if count not in (0, COCO_KEYPOINTS):
        OmegaConf.update(config, "dataset.keypoints", count, force_add=True)
    offsets = dataset.meta.keypoint_offsets
    if offsets:  # classes share no keypoints
        classes = {"keypoint_counts": list(dataset.meta.keypoint_counts), "keypoint_offsets": list(offsets)}
        for name, value in (classes | {"keypoint_groups": group_landmarks(dataset.meta)}).items():
            if OmegaConf.select(config, f"dataset.{name}") is None:
                OmegaConf.update(config, f"dataset.{name}", value, force_add=True)


def fill_backbone_weights(config: DictConfig) -> None:
    """If the whole model gets `weights`, let its backbone wait for them: no frozen layer stays untrained."""
    if config.weights and config.backbone.get("weights", LATER) is None:
        config.backbone.weights = LATER
