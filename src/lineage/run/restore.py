"""A trained model again, for prediction and export: of a run, of an entry, or of another code base's weights.

A run folder holds its config, so nothing has to be said. Foreign weights tell their model by names and shapes; what
they cannot tell, such as a stride or the mean of the pixels, their source does.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torchvision
from omegaconf import DictConfig, OmegaConf
from torch import nn

import lineage.config.schema  # noqa: F401  registers the schema
from lineage.config.build import ConfigError, build
from lineage.config.compose import compose_config
from lineage.data.annotations.skeleton import read_skeleton
from lineage.data.formats import voc
from lineage.data.samples.metadata import DatasetMeta, parse_meta
from lineage.data.shapes.dataset import FIGURE_SKELETON
from lineage.data.shapes.outlines import FLIP_INDICES, KEYPOINTS
from lineage.results.overrides import Override
from lineage.results.renames import key_today, upgrade
from lineage.results.run_folder import RunFolder
from lineage.run.initialize import load_initial_weights, locate_weights
from lineage.weights import pretrained
from lineage.weights.identify import LoadedWeights
from lineage.weights.infer_overrides import count_classes, infer_overrides
from lineage.weights.pretrained import LATER

log = logging.getLogger(__name__)


class Restored(NamedTuple):
    model: nn.Module  # in eval mode
    config: DictConfig
    meta: DatasetMeta  # of the dataset it was trained on
    source: str


def restore(weights: str, overrides: Sequence[str], results: Path, names: str | None = None) -> Restored:
    """`overrides` as on the command line of train.py; `names` a file or a comma-separated list of classes.

    Raises ConfigError or WeightsError when there is no such model, or the weights are of another.
    """
    path = locate_weights(weights, results)
    folder = RunFolder.containing(Path(path))
    config = of_run(folder, overrides) if folder else of_weights(pretrained.load_full(path), overrides)
    OmegaConf.set_struct(config, False)
    given = pretrained.load_full(path) if config.dataset.classes is None or names is None else None
    if given is not None and config.dataset.classes is None:
        config.dataset.classes = count_classes(given.state)
    if "weights" in config.backbone:
        config.backbone.weights = LATER
    model = build(config.model)
    for edit in (build(config.get("edit")) or {}).values():
        edit(model)
    load_initial_weights(model, path, require_all=True, results=results, warn_about_settings=False)
    return Restored(model.eval(), config, named(names, folder, config), path)


def of_run(folder: RunFolder, overrides: Sequence[str]) -> DictConfig:
    config = OmegaConf.create(upgrade(OmegaConf.to_container(OmegaConf.load(folder.config))))
    assert isinstance(config, DictConfig)
    for text in overrides:
        override = Override.parse(text)
        key, value = override.key, override.value or ""
        if OmegaConf.select(config, key, default="absent") == "absent":
            today = key_today(key, OmegaConf.to_container(config))
            renamed = "" if today == key else f"; its name is now {today}"
            raise ConfigError(f"{text}: {folder.config} has no key {key}{renamed}")
        if OmegaConf.is_dict(OmegaConf.select(config, key)) and not value.startswith("{"):
            raise ConfigError(f"{text}: the run's config says which {key} it is; override single numbers of it")
        OmegaConf.update(config, key, OmegaConf.create(f"value: {value}").value)
    return config


def of_weights(given: LoadedWeights, overrides: Sequence[str]) -> DictConfig:
    """Typed overrides win; what is not typed is told by the weights, then by their source."""
    typed = {Override.parse(text).key for text in overrides}
    told = [text for text in infer_overrides(given.state) if Override.parse(text).key not in typed]
    tier = [] if "tier" in typed else ["tier=paper"]
    first = compose_config([*tier, *told, *overrides])
    later = []
    for text in settings(given):
        key = Override.parse(text).key
        if key in typed or key.split(".")[0] not in first:
            continue
        if OmegaConf.select(first, key, default="absent") == "absent":
            log.warning(f"weights of {given.source} were trained with {text}, which this model has no key for")
            continue
        later.append(text)
    return compose_config([*tier, *told, *later, *overrides])


def settings(given: LoadedWeights) -> list[str]:
    """What the source of weights says about the model that they were trained in."""
    if given.conventions is None:
        return []
    pixels = {"backbone.mean": given.conventions.pixels.mean, "backbone.std": given.conventions.pixels.std}
    return [*given.conventions.settings, *(f"{key}={list(value)}" for key, value in pixels.items())]


def named(told: str | None, folder: RunFolder | None, config: DictConfig) -> DatasetMeta:
    """The names of the classes: told, left by the run, of the dataset, or known by their number."""
    count = config.dataset.classes
    left = left_by_run(folder) if folder else None
    if told is not None:
        found = read_names(told)
        if len(found.classes) != count:
            raise ConfigError(f"--classes names {len(found.classes)} classes, the model tells {count} apart")
        drawn = left or known(count)
        return replace(drawn, classes=found.classes, category_ids=found.category_ids,
                       skeleton=found.skeleton or drawn.skeleton)  # fmt: skip
    if left is not None:
        return left
    if folder:
        try:
            dataset = build(config.dataset.val)
        except Exception as error:  # the dataset is on another machine
            log.warning(f"the names of the classes are not known, for the dataset is not here: {error}")
        else:
            meta: DatasetMeta = dataset.meta
            return meta
    return known(count)


def left_by_run(folder: RunFolder) -> DatasetMeta | None:
    """Return the metadata in a run folder, or None if it has none."""
    if not folder.classes.is_file():
        return None
    return parse_meta(json.loads(folder.classes.read_text(encoding="utf-8")))


def known(count: int) -> DatasetMeta:
    """COCO's 80 classes, torchvision's 90 with gaps, VOC's 20, one person; numbers else."""
    ids = tuple(range(1, count + 1))
    coco = torchvision.models.detection.FasterRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"]
    listed = {
        80: DatasetMeta(*zip(*((name, i) for i, name in enumerate(coco) if i and name != "N/A"), strict=True)),
        90: DatasetMeta(tuple(coco[1:]), ids),
        20: DatasetMeta(voc.CLASSES, ids),
        1: DatasetMeta(("person",), ids, KEYPOINTS, FLIP_INDICES, FIGURE_SKELETON),
    }
    return listed.get(count) or DatasetMeta(tuple(f"class {i}" for i in ids), ids)


def read_names(told: str) -> DatasetMeta:
    """`cat,dog`, a text file with a name per line, or a JSON file with COCO's categories."""
    path = Path(told)
    if not path.is_file():
        if "," not in told and ("/" in told or path.suffix in (".txt", ".json")):
            raise ConfigError(f"--classes {told}: no such file")
        found = [name.strip() for name in told.split(",")]
        return DatasetMeta(tuple(found), tuple(range(1, len(found) + 1)))
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".json":
        found = [line.strip() for line in text.splitlines() if line.strip()]
        return DatasetMeta(tuple(found), tuple(range(1, len(found) + 1)))
    content: Any = json.loads(text)
    categories = sorted(content["categories"] if isinstance(content, dict) else content, key=lambda one: one["id"])
    ids = tuple(int(one["id"]) for one in categories)
    return DatasetMeta(tuple(one["name"] for one in categories), ids, skeleton=read_skeleton(categories))
